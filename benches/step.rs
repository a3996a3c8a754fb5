//! A partition's step: both scenarios, every instruction set this processor runs. Beside it what is done
//! with a partition now and then: its creation, digest, checkpoint and restoring.

use std::hint::black_box;

use benches::stepper::{self, Stepper};
use benches::{Form, SCENARIOS};
use criterion::{BenchmarkId, Criterion, Throughput};
use kernel::Partition;
use kernel::config::Scenario;
use kernel::isa::Isa;
use transport::pool::Buffer;

/// Machines of the farm whose creation is measured: 300 ms are promised.
const FARM: u32 = 100_000;

fn main() {
    let form = Form::from_environment();
    let mut criterion = Criterion::default().configure_from_args();
    for scenario in SCENARIOS {
        let mut group = criterion.benchmark_group(format!("step/{}", scenario.name()));
        group
            .warm_up_time(form.warm_up)
            .measurement_time(form.measurement)
            .sample_size(form.samples);
        for isa in Isa::available() {
            let mut stepper = Stepper::at_work(scenario, isa);
            group.throughput(Throughput::Elements(stepper.partition.rows().into()));
            group.bench_function(BenchmarkId::from_parameter(isa), |b| {
                b.iter(|| stepper.step(1));
            });
        }
        group.finish();
        now_and_then(&mut criterion, scenario, &form);
    }
    criterion.final_summary();
}

/// Creation is of [`FARM`] machines, on one thread; the rest of one partition at work.
fn now_and_then(criterion: &mut Criterion, scenario: Scenario, form: &Form) {
    let mut group = criterion.benchmark_group(format!("partition/{}", scenario.name()));
    group
        .warm_up_time(form.warm_up)
        .measurement_time(form.measurement)
        .sample_size(form.samples);
    let stepper = Stepper::at_work(scenario, Isa::detect());
    let partition = &stepper.partition;
    let rows = u64::from(partition.rows());
    group.throughput(Throughput::Elements(rows));
    group.bench_function("digest", |b| b.iter(|| partition.digest()));
    let mut bytes = Buffer::with_capacity(partition.checkpoint_bytes());
    group.bench_function("checkpoint", |b| {
        b.iter(|| {
            bytes.clear();
            partition.checkpoint_into(&mut bytes);
        });
    });
    let plan = stepper::plan(scenario);
    group.bench_function("restore", |b| {
        b.iter(|| Partition::restore(&plan, 0, &bytes).expect("just written"));
    });
    group.throughput(Throughput::Elements(u64::from(FARM)));
    group.sample_size(form.samples.min(20));
    group.bench_function("creation", |b| {
        b.iter(|| {
            let plan = stepper::plan_of(scenario, FARM);
            for index in 0..plan.partitions.len() as u32 {
                black_box(Partition::create(&plan, index));
            }
        });
    });
    group.finish();
}
