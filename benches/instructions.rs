//! Instructions of a step and of frames, as valgrind counts them: the same on a busy machine.
//!
//! Valgrind knows no AVX-512, so steps run in the baseline form, SSE2. The counts are compared with
//! the committed ones by `instructions-check`.

#![allow(missing_docs)] // what the macros make has none

use std::hint::black_box;

use benches::budget::STEPPED_TICKS;
use benches::frames::{
    DISPATCHED, quiet_work, view_writer, write_dispatch, write_result, write_view,
};
use benches::stepper::Stepper;
use gungraun::prelude::*;
use kernel::config::Scenario;
use kernel::isa::Isa;
use transport::frame::Frame;
use transport::message::Dispatch;
use transport::pool::FramePool;
use transport::result::ResultReader;
use transport::view::{View, ViewWriter};

fn stepper(scenario: Scenario) -> Stepper {
    Stepper::at_work(scenario, Isa::Sse2)
}

fn result_source() -> (FramePool, Stepper) {
    let (pool, stepper) = (FramePool::new(), stepper(Scenario::Dense));
    // The pool's first buffer is allocated, later ones are not.
    drop(write_result(&pool, &stepper.partition));
    (pool, stepper)
}

fn view_source(scenario: Scenario) -> (ViewWriter, Stepper) {
    let (pool, stepper) = (FramePool::new(), stepper(scenario));
    let mut writer = view_writer(&pool, &stepper.partition).expect("a view of one partition");
    drop(write_view(&mut writer, &stepper.partition));
    (writer, stepper)
}

fn dispatch_source() -> (FramePool, Dispatch) {
    let (pool, work) = (FramePool::new(), quiet_work(DISPATCHED));
    drop(write_dispatch(&pool, &work));
    (pool, work)
}

fn result() -> Frame {
    let (pool, stepper) = result_source();
    write_result(&pool, &stepper.partition).expect("a short frame")
}

fn view() -> Frame {
    let (mut writer, stepper) = view_source(Scenario::Dense);
    write_view(&mut writer, &stepper.partition).expect("laid out")
}

fn dispatch() -> Frame {
    let (pool, work) = dispatch_source();
    write_dispatch(&pool, &work).expect("a short frame")
}

#[library_benchmark]
#[bench::weeding(stepper(Scenario::Weeding))]
#[bench::dense(stepper(Scenario::Dense))]
fn step(mut stepper: Stepper) -> Stepper {
    stepper.step(STEPPED_TICKS);
    stepper
}

#[library_benchmark]
#[bench::dense(result_source())]
fn result_write((pool, stepper): (FramePool, Stepper)) -> (Frame, FramePool, Stepper) {
    let frame = write_result(&pool, &stepper.partition);
    (frame.expect("a short frame"), pool, stepper)
}

#[library_benchmark]
#[bench::dense(result())]
fn result_access(frame: Frame) -> Frame {
    let result = ResultReader::new(black_box(&frame)).expect("own frame");
    black_box(result.fixed.stepped);
    frame
}

#[library_benchmark]
#[bench::weeding(view_source(Scenario::Weeding))]
#[bench::dense(view_source(Scenario::Dense))]
fn view_write((mut writer, stepper): (ViewWriter, Stepper)) -> (Frame, ViewWriter, Stepper) {
    let frame = write_view(&mut writer, &stepper.partition);
    (frame.expect("laid out"), writer, stepper)
}

#[library_benchmark]
#[bench::dense(view())]
fn view_seal(frame: Frame) -> Frame {
    black_box(black_box(&frame).wire_header());
    frame
}

#[library_benchmark]
#[bench::dense(view())]
fn view_access(frame: Frame) -> Frame {
    let view = black_box(&frame).access::<View>().expect("own frame");
    black_box(view.records.len());
    frame
}

#[library_benchmark]
#[bench::partitions_25(dispatch_source())]
fn dispatch_write((pool, work): (FramePool, Dispatch)) -> (Frame, FramePool, Dispatch) {
    let frame = write_dispatch(&pool, &work);
    (frame.expect("a short frame"), pool, work)
}

#[library_benchmark]
#[bench::partitions_25(dispatch())]
fn dispatch_access(frame: Frame) -> Frame {
    let dispatch = black_box(&frame).access::<Dispatch>().expect("own frame");
    black_box(dispatch.work.len());
    frame
}

library_benchmark_group!(name = kernel_step, benchmarks = [step]);
library_benchmark_group!(
    name = frames,
    benchmarks = [
        result_write,
        result_access,
        view_write,
        view_seal,
        view_access,
        dispatch_write,
        dispatch_access
    ]
);
main!(library_benchmark_groups = [kernel_step, frames]);
