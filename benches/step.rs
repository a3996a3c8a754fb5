//! A partition's step: both scenarios, every instruction set this processor runs.

use benches::stepper::Stepper;
use benches::{Form, SCENARIOS};
use criterion::{BenchmarkId, Criterion, Throughput};
use kernel::isa::Isa;

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
    }
    criterion.final_summary();
}
