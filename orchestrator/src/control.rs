//! What an operator can ask for, and what is answered.

use kernel::config::ConfigError;
pub use transport::control::{
    Cause, CommandRequest, CommandStamp, LatePolicy, MAX_SPEED_MILLI, MIN_SPEED_MILLI, Refusal,
    RefusalKind, SimulationId, SimulationInfo, Spec, Speed, Status, Target,
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
    #[error("speed: {}.{:03} is not from 0.1 to 1000, nor `max`", milli / 1_000, milli % 1_000)]
    SpeedOutOfRange {
        /// What was asked for.
        milli: u32,
    },
    /// `digest_every` of zero.
    #[error("digest_every: must be at least 1")]
    DigestEveryZero,
    /// `max_ticks` out of range.
    #[error("max_ticks: {max_ticks} is not from 1 to {max}")]
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
    #[error("{}: {entity} is not from 1 to {entities}", if at.is_some() { "entities" } else { "entity" })]
    UnknownEntity {
        /// What was named.
        entity: u32,
        /// How many there are.
        entities: u32,
        /// Where it stands in a list, from 0 on.
        at: Option<usize>,
    },
    /// The command names a site that is not there.
    #[error("site: {site} is not from 0 to {last}")]
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
    /// A name of a simulation or a token is too long.
    #[error("name: {bytes} bytes are more than {limit}")]
    NameTooLong {
        /// How long it is.
        bytes: usize,
        /// [`transport::control::MAX_LABEL_BYTES`].
        limit: usize,
    },
    /// A new simulation names a parent, which only a fork has.
    #[error("parent: a new simulation has none; ask for a fork")]
    ParentGiven,
    /// A page of no simulation, or of too many.
    #[error("limit: {limit} is not from 1 to {max}")]
    PageOutOfRange {
        /// What was asked for.
        limit: u32,
        /// [`transport::control::MAX_PAGE`].
        max: u32,
    },
    /// Views were asked for too often.
    #[error("rate_hz: {view_hz} is more than {max}")]
    ViewRateOutOfRange {
        /// What was asked for.
        view_hz: u32,
        /// [`transport::control::MAX_VIEW_HZ`].
        max: u32,
    },
    /// The idempotency key is empty, or it or its route is too long.
    #[error("Idempotency-Key: must have 1 to {limit} bytes")]
    BadIdempotencyKey {
        /// [`transport::control::MAX_IDEMPOTENCY_KEY_BYTES`].
        limit: usize,
    },
    /// The idempotency key was used for something else.
    #[error("Idempotency-Key: it was used with another body; use a new one")]
    KeyReused,
    /// The tick lies before what is kept, or has not come yet.
    #[error("tick: {tick} is not kept; ask for one up to {last}")]
    TickNotKept {
        /// What was asked for.
        tick: u64,
        /// Last complete one.
        last: u64,
    },
    /// A command may still get a place before the tick of which a fork was asked for.
    #[error("a command is just being given its place; try again")]
    CommandBeingPlaced {
        /// Its present place.
        stamp: CommandStamp,
    },
    /// The farm could not be cut, for a reason that is a defect.
    #[error("this farm could not be cut; the log says why")]
    Uncuttable,
    /// No token has that id.
    #[error("token {id} does not exist")]
    UnknownToken {
        /// What was asked for.
        id: u64,
    },
    /// A token of that id exists.
    #[error("token {id} exists already")]
    TokenExists {
        /// The id.
        id: u64,
    },
    /// Too many tokens.
    #[error("{limit} tokens exist; revoke one first")]
    TooManyTokens {
        /// [`crate::limits::MAX_TOKENS`].
        limit: usize,
    },
    /// Too many tickets wait to be redeemed.
    #[error("{limit} tickets wait to be redeemed; try again later")]
    TooManyTickets {
        /// [`crate::limits::MAX_TICKETS`].
        limit: usize,
    },
    /// The ticket is unknown, used or too old.
    #[error("ticket: it is unknown, used or too old; ask for a new one")]
    BadTicket,
    /// Too many requests wait.
    #[error("{limit} requests wait for an answer; try again later")]
    TooManyRequests {
        /// One of [`crate::limits`].
        limit: usize,
    },
    /// The answer would be longer than a frame holds.
    #[error("the answer would have more than {limit} bytes; ask for less")]
    AnswerTooLong {
        /// Most bytes.
        limit: usize,
    },
    /// The database is behind by more events than one answer holds.
    #[error("the database is behind by {bytes} bytes of events; try again later")]
    TooManyUnflushed {
        /// How many.
        bytes: usize,
    },
    /// The database does not answer, or has no room. Nothing was changed.
    #[error("the database takes nothing at the moment, and nothing was changed; try again later")]
    StoreUnavailable,
    /// A command's tick was over each time its commit came. It was taken back.
    #[error(
        "commits took longer than {stamps} ever longer leads, and the command was taken back; try again later"
    )]
    NoPlace {
        /// [`crate::limits::MAX_STAMPS`].
        stamps: u32,
    },
    /// What was asked needs a database, and this orchestrator has none.
    #[error("this orchestrator keeps nothing, so nothing can be forked")]
    NeedsStore,
    /// What was asked makes sense only over a gateway's connection.
    #[error("only a gateway can subscribe")]
    NeedsGateway,
    /// The orchestrator has ended, or is going away.
    #[error("the orchestrator is going away, or has gone")]
    Ended,
}
