//! Frames: written, sealed for a wire, and read in place after validation.

use std::hint::black_box;

use benches::frames::{
    DISPATCHED, quiet_work, view_writer, write_dispatch, write_result, write_view,
};
use benches::stepper::Stepper;
use benches::{Form, SCENARIOS};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use kernel::isa::Isa;
use transport::frame::Frame;
use transport::message::Dispatch;
use transport::pool::FramePool;
use transport::result::ResultReader;
use transport::view::View;

fn main() {
    let form = Form::from_environment();
    let mut criterion = Criterion::default().configure_from_args();
    let pool = FramePool::new();

    let mut group = open(&mut criterion, "frame/dispatch", form);
    let work = quiet_work(DISPATCHED);
    group.throughput(Throughput::Elements(DISPATCHED.into()));
    group.bench_function("write", |b| b.iter(|| write_dispatch(&pool, &work)));
    let frame = write_dispatch(&pool, &work).expect("a short frame");
    group.bench_function("access", |b| b.iter(|| accessed_dispatch(&frame)));
    group.finish();

    for scenario in SCENARIOS {
        let stepper = Stepper::at_work(scenario, Isa::detect());
        let partition = &stepper.partition;
        let rows = Throughput::Elements(partition.rows().into());

        let name = format!("frame/result/{}", scenario.name());
        let mut group = open(&mut criterion, &name, form);
        group.bench_function("write", |b| b.iter(|| write_result(&pool, partition)));
        let frame = write_result(&pool, partition).expect("a short frame");
        group.bench_function("access", |b| b.iter(|| accessed_result(&frame)));
        group.finish();

        let mut group = open(
            &mut criterion,
            &format!("frame/view/{}", scenario.name()),
            form,
        );
        let mut writer = view_writer(&pool, partition).expect("a view of one partition");
        group.throughput(rows);
        group.bench_function("write", |b| b.iter(|| write_view(&mut writer, partition)));
        let frame = write_view(&mut writer, partition).expect("laid out");
        group.bench_function("seal", |b| b.iter(|| frame.wire_header()));
        group.bench_function("access", |b| b.iter(|| accessed_view(&frame)));
        group.finish();
    }
    criterion.final_summary();
}

fn open<'a>(criterion: &'a mut Criterion, name: &str, form: Form) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .warm_up_time(form.warm_up)
        .measurement_time(form.measurement)
        .sample_size(form.samples);
    group
}

fn accessed_dispatch(frame: &Frame) -> usize {
    let dispatch = black_box(frame).access::<Dispatch>();
    dispatch.expect("own frame").work.len()
}

fn accessed_result(frame: &Frame) -> u64 {
    let result = ResultReader::new(black_box(frame));
    result.expect("own frame").fixed.digest.to_native()
}

fn accessed_view(frame: &Frame) -> usize {
    let view = black_box(frame).access::<View>();
    view.expect("own frame").records.len()
}
