//! What takes too long for the loop: it is carried out on a thread of its own, by whoever drives the
//! core, and told when it is done.

use kernel::config::{ConfigError, SimulationConfig};
use kernel::plan::Plan;

/// Work for another thread.
#[derive(Clone, Debug)]
pub struct Chore {
    /// Names it when it is done.
    pub id: u64,
    /// The farm to be cut.
    pub config: SimulationConfig,
}

/// A chore that is done.
#[derive(Debug)]
pub struct ChoreDone {
    /// The chore's name.
    pub id: u64,
    /// The farm, cut, or what is wrong with it; `None` where the thread has panicked.
    pub plan: Option<Result<Plan, ConfigError>>,
}

impl Chore {
    /// Carries it out. It may take seconds.
    #[must_use]
    pub fn carry_out(&self) -> ChoreDone {
        ChoreDone {
            id: self.id,
            plan: Some(Plan::new(&self.config)),
        }
    }

    /// It was begun and will never be done.
    #[must_use]
    pub fn failed(id: u64) -> ChoreDone {
        ChoreDone { id, plan: None }
    }
}
