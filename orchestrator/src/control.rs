//! What an operator can ask for, and what is answered.

use kernel::config::{ConfigError, SimulationConfig};
pub use transport::control::{
    Cause, CommandRequest, CommandStamp, LatePolicy, MAX_SPEED_MILLI, MIN_SPEED_MILLI,
    SimulationId, Spec, Speed, Status, Target,
};

/// Names a worker in logs and metrics, as its `Welcome` told it. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

impl std::fmt::Display for WorkerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Checks a speed's range.
///
/// # Errors
/// [`ControlError::SpeedOutOfRange`].
pub fn validate_speed(speed: Speed) -> Result<Speed, ControlError> {
    match speed {
        Speed::Milli(milli) if !(MIN_SPEED_MILLI..=MAX_SPEED_MILLI).contains(&milli) => {
            Err(ControlError::SpeedOutOfRange { milli })
        }
        speed => Ok(speed),
    }
}

/// What can be read of a simulation at any time.
#[derive(Clone, Debug)]
pub struct SimulationInfo {
    /// Its id.
    pub id: SimulationId,
    /// Its name.
    pub name: String,
    /// What is simulated.
    pub config: SimulationConfig,
    /// Status.
    pub status: Status,
    /// Why it has this status.
    pub cause: Cause,
    /// How fast it is asked to go.
    pub speed: Speed,
    /// Last tick that is complete.
    pub tick: u64,
    /// Newest digest, with its tick.
    pub digest: Option<(u64, u64)>,
    /// Sums at the last complete tick.
    pub aggregate: kernel::aggregate::Aggregate,
    /// Whether a final status has been followed by its last digest: nothing more will be published.
    pub settled: bool,
    /// While it repeats what was published before: the tick to which it does.
    pub replaying_to: Option<u64>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No simulation has that id.
    #[error("simulation {id} does not exist")]
    UnknownSimulation {
        /// What was asked for.
        id: SimulationId,
    },
    /// A simulation of that id exists.
    #[error("simulation {id} exists already")]
    Exists {
        /// The id.
        id: SimulationId,
    },
    /// No worker has that id.
    #[error("worker {worker} is not registered")]
    UnknownWorker {
        /// What was asked for.
        worker: WorkerId,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration cuts the farm into too many parts.
    #[error("partition_rows: makes {partitions} partitions, more than {limit}; use larger ones")]
    TooManyPartitions {
        /// How many there would be.
        partitions: usize,
        /// [`crate::limits::MAX_PARTITIONS`].
        limit: usize,
    },
    /// The speed is out of range.
    #[error("speed: {}.{:03} is not in 0.1..=1000, nor `max`", milli / 1_000, milli % 1_000)]
    SpeedOutOfRange {
        /// What was asked for.
        milli: u32,
    },
    /// `digest_every` of zero.
    #[error("digest_every: must be at least 1")]
    DigestEveryZero,
    /// `max_ticks` out of range.
    #[error("max_ticks: {max_ticks} is not in 1..={max}")]
    MaxTicksOutOfRange {
        /// What was asked for.
        max_ticks: u64,
        /// Most that is allowed.
        max: u64,
    },
    /// The transition does not exist.
    #[error("cannot {request} a simulation that is {}", status.name())]
    InvalidTransition {
        /// What was asked.
        request: &'static str,
        /// Where the simulation stands.
        status: Status,
    },
    /// `step` of zero ticks.
    #[error("ticks: must be at least 1")]
    StepZero,
    /// The command names a machine that is not there.
    #[error("entity: {entity} is not in 1..={entities}")]
    UnknownEntity {
        /// What was named.
        entity: u32,
        /// How many there are.
        entities: u32,
    },
    /// The command names a site that is not there.
    #[error("site: {site} is not in 0..={last}")]
    UnknownSite {
        /// What was named.
        site: u32,
        /// The last one there is.
        last: u32,
    },
    /// The command names a tick that was dispatched already.
    #[error("tick: {tick} has been dispatched; the next free one is {next}")]
    TickPassed {
        /// What was asked for.
        tick: u64,
        /// First tick that would do.
        next: u64,
    },
    /// The command names a tick that the simulation never reaches.
    #[error("tick: {tick} lies beyond the last tick, {last}")]
    TickBeyondEnd {
        /// What was asked for.
        tick: u64,
        /// The run's last tick.
        last: u64,
    },
    /// Too many simulations.
    #[error("{limit} simulations exist; delete one first")]
    TooManySimulations {
        /// [`crate::limits::MAX_SIMULATIONS`].
        limit: usize,
    },
    /// Too many commands wait.
    #[error("more than {limit} commands would wait for their tick; try again later")]
    TooManyCommands {
        /// [`crate::limits::MAX_PENDING_COMMANDS`].
        limit: usize,
    },
    /// A command that lists no machine.
    #[error("entities: must name at least one machine")]
    NoEntities,
    /// Too many ids in one command.
    #[error("entities: more than {limit} ids; use `all`, or several commands")]
    TooManyEntities {
        /// [`crate::limits::MAX_COMMAND_ENTITIES`].
        limit: usize,
    },
    /// The orchestrator has ended.
    #[error("the orchestrator has ended")]
    Ended,
}
