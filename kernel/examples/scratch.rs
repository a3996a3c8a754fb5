//! scratch
use bumpalo::Bump;
use kernel::config::{Scenario, SimulationConfig};
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};
use std::time::Instant;
fn best(mut f: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..30 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64() * 1e6);
    }
    best
}
fn main() {
    for (scenario, n) in [(Scenario::Weeding, 10_000), (Scenario::Dense, 10_000)] {
        let plan = Plan::new(&SimulationConfig {
            scenario: scenario.code(),
            entities: n,
            tick_ms: 50,
            seed: 7,
            partition_rows: 16_384,
        })
        .unwrap();
        let t = Instant::now();
        let mut p = Partition::create(&plan, 0);
        println!(
            "{} create {:.0} us",
            scenario.name(),
            t.elapsed().as_secs_f64() * 1e6
        );
        let mut bump = Bump::new();
        for _ in 0..200 {
            bump.reset();
            p.step(&StepInputs::default(), &bump).unwrap();
        }
        let d = best(|| {
            std::hint::black_box(p.digest());
        });
        let mut bytes = Vec::new();
        let c = best(|| {
            bytes = Vec::new();
            p.checkpoint(&mut bytes);
        });
        let mut aligned = rkyv::util::AlignedVec::<64>::new();
        let i = best(|| {
            aligned.clear();
            p.checkpoint_into(&mut aligned);
        });
        let r = best(|| {
            std::hint::black_box(Partition::restore(&plan, 0, &aligned).unwrap());
        });
        let s = best(|| {
            bump.reset();
            p.step(&StepInputs::default(), &bump).unwrap();
        });
        println!(
            "{}: digest {d:.0} us, checkpoint {} bytes {c:.0} us, into {i:.0} us, restore {r:.0} us, step {s:.0} us",
            scenario.name(),
            bytes.len()
        );
    }
}
