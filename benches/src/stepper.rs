//! A partition that is stepped again and again.

use bumpalo::Bump;
use kernel::config::{Scenario, SimulationConfig};
use kernel::isa::Isa;
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};

use crate::ROWS;

/// Simulated length of a tick.
const TICK_MS: u32 = 50;
/// Ticks before a partition is measured: machines have left their stations.
const TICKS_AT_WORK: u32 = 100;

/// A whole partition, without mail or commands, and its scratch memory.
pub struct Stepper {
    /// The partition.
    pub partition: Partition,
    arena: Bump,
}

/// The one plan of a scenario that is measured; its first partition is.
///
/// # Panics
/// Panics where the kernel refuses what it is made of here.
#[must_use]
pub fn plan(scenario: Scenario) -> Plan {
    let plan = plan_of(scenario, ROWS);
    assert!(!plan.has_cut_site(), "nobody sends it mail");
    plan
}

/// The same of a farm of so many machines.
///
/// # Panics
/// Panics where the kernel refuses so many.
#[must_use]
pub fn plan_of(scenario: Scenario, entities: u32) -> Plan {
    let plan = Plan::new(&SimulationConfig {
        scenario: scenario.code(),
        entities,
        tick_ms: TICK_MS,
        seed: 7,
        partition_rows: ROWS,
    });
    plan.expect("a valid configuration")
}

impl Stepper {
    /// A partition of at most [`ROWS`] rows whose machines are at work.
    #[must_use]
    pub fn at_work(scenario: Scenario, isa: Isa) -> Stepper {
        let mut partition = Partition::create(&plan(scenario), 0);
        partition.set_isa(isa);
        let mut stepper = Stepper {
            partition,
            arena: Bump::new(),
        };
        stepper.step(TICKS_AT_WORK);
        stepper
    }

    /// Steps it.
    ///
    /// # Panics
    /// Panics where the kernel refuses mail, of which there is none.
    pub fn step(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.arena.reset();
            let inputs = StepInputs {
                commands: &[],
                mail: &[],
            };
            let stepped = self.partition.step(&inputs, &self.arena);
            stepped.expect("no mail, no bad mail");
        }
    }
}
