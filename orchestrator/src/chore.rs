//! What takes too long for the loop: it is carried out on a thread of its own, by whoever drives the
//! core, and told when it is done.

use std::ops::RangeInclusive;
use std::sync::Arc;

use kernel::config::{ConfigError, SimulationConfig};
use kernel::farm::Farm;
use kernel::plan::Plan;
use store::history::EntityRow;
use transport::control::SimulationId;

/// Units of length in a metre: positions are in units of 2^-16 m.
const UNITS_PER_M: f64 = 65_536.0;

/// Something for another thread.
#[derive(Clone, Debug)]
pub struct Chore {
    /// Names it when it is done.
    pub id: u64,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Work {
    /// A farm is to be cut.
    Cut(SimulationConfig),
    /// Metadata of machines are to be made.
    Describe {
        /// Of which simulation.
        simulation: SimulationId,
        /// Its farm.
        farm: Arc<Farm>,
        /// Which machines.
        entities: RangeInclusive<u32>,
    },
}

/// A chore that is done.
#[derive(Debug)]
pub struct ChoreDone {
    /// The chore's name.
    pub id: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a chore.
#[derive(Debug)]
pub enum Outcome {
    /// The farm, cut, or what is wrong with it.
    Cut(Box<Result<Plan, ConfigError>>),
    /// Metadata of machines.
    Described(SimulationId, Vec<EntityRow>),
    /// The thread has panicked.
    Failed,
}

impl Chore {
    /// Carries it out. It may take seconds.
    #[must_use]
    pub fn carry_out(&self) -> ChoreDone {
        let outcome = match &self.work {
            Work::Cut(config) => Outcome::Cut(Box::new(Plan::new(config))),
            Work::Describe {
                simulation,
                farm,
                entities,
            } => {
                let rows = entities.clone().map(|entity| describe(farm, entity));
                Outcome::Described(*simulation, rows.collect())
            }
        };
        ChoreDone {
            id: self.id,
            outcome,
        }
    }

    /// It was begun and will never be done.
    #[must_use]
    pub fn failed(id: u64) -> ChoreDone {
        let outcome = Outcome::Failed;
        ChoreDone { id, outcome }
    }
}

/// What is known of a machine.
fn describe(farm: &Farm, entity: u32) -> EntityRow {
    let site = (entity - 1) / farm.machines_per_site;
    let machine = (entity - 1) % farm.machines_per_site;
    let home = farm.layout.home(machine);
    EntityRow {
        entity,
        class: farm.classes[farm.class_of(machine) as usize]
            .name
            .to_owned(),
        site,
        home_x_m: f64::from(home.x) / UNITS_PER_M,
        home_y_m: f64::from(home.y) / UNITS_PER_M,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_described_by_its_class_site_and_home() {
        let config = SimulationConfig {
            scenario: 1,
            entities: 30,
            tick_ms: 20,
            seed: 1,
            partition_rows: 12,
        };
        let plan = Plan::new(&config).unwrap();
        let work = Work::Describe {
            simulation: SimulationId(7),
            farm: plan.farm.clone(),
            entities: 1..=30,
        };
        let done = Chore { id: 4, work }.carry_out();
        let Outcome::Described(SimulationId(7), rows) = done.outcome else {
            panic!("{done:?}");
        };
        assert!(rows.iter().map(|r| r.entity).eq(1..=30));
        let last = rows.last().unwrap();
        assert_eq!(last.site, plan.farm.sites - 1);
        assert!(
            rows.iter()
                .all(|r| r.home_x_m.abs() < 32_768.0 && !r.class.is_empty())
        );
    }
}
