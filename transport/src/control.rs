//! What users ask of an orchestrator and what it answers: simulations, commands, tokens, subscriptions.
//!
//! A gateway sends [`Request`] frames and gets a [`Response`] of the same id to each, in any order. To
//! what it has subscribed, the orchestrator sends [`Published`] frames and the workers' views, as
//! they are. Unlike what travels every tick, these are few and small, so their archives may hold
//! enums and options; an unknown one is refused when the frame is validated.

#![allow(
    missing_docs,
    reason = "rkyv derives undocumented structs from enums with named fields"
)]

use kernel::aggregate::Aggregate;
use kernel::command::Action;
use kernel::config::SimulationConfig;
use rkyv::{Archive, Deserialize, Serialize};

pub use crate::header::SimulationId;
use crate::message::TickDigest;

/// Slowest factor, 0.1.
pub const MIN_SPEED_MILLI: u32 = 100;
/// Fastest factor, 1,000.
pub const MAX_SPEED_MILLI: u32 = 1_000_000;
/// Longest name of a simulation or a token, in bytes.
pub const MAX_LABEL_BYTES: usize = 200;
/// Longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Most ids in one command.
pub const MAX_COMMAND_ENTITIES: usize = 100_000;
/// Most simulations in one page.
pub const MAX_PAGE: u32 = 1_000;
/// Fastest that views are made for a subscription, per second of wall time.
pub const MAX_VIEW_HZ: u32 = 60;

/// How fast simulated time passes.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// Thousandths of real time, [`MIN_SPEED_MILLI`]..=[`MAX_SPEED_MILLI`].
    Milli(u32),
    /// As fast as the workers go.
    Max,
}

impl Speed {
    /// Real time.
    pub const REAL: Speed = Speed::Milli(1_000);
}

/// What happens once a run is too far behind to catch up.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LatePolicy {
    /// Deadlines are shifted, and by how much is counted.
    #[default]
    Dilate,
    /// The run ends as failed.
    Fail,
}

/// A simulation to be created.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its id, chosen by the caller so that the core draws no random number.
    pub id: SimulationId,
    /// Its name, for people; at most [`MAX_LABEL_BYTES`].
    pub name: String,
    /// What is simulated.
    pub config: SimulationConfig,
    /// How fast.
    pub speed: Speed,
    /// Last tick, after which the run is completed; `None` to run until stopped.
    pub max_ticks: Option<u64>,
    /// Ticks between digests; at least 1.
    pub digest_every: u32,
    /// What to do when late beyond catching up.
    pub late: LatePolicy,
    /// The run it was forked from, and at which tick.
    pub parent: Option<(SimulationId, u64)>,
}

/// Where a simulation stands.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not started.
    Created,
    /// Ticking.
    Running,
    /// Standing until resumed or stepped.
    Paused,
    /// Ended by request.
    Stopped,
    /// Ended at its last tick.
    Completed,
    /// Ended by an error.
    Failed,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 6] = [
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Stopped,
        Status::Completed,
        Status::Failed,
    ];

    /// As the API and the database spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
            Status::Completed => "completed",
            Status::Failed => "failed",
        }
    }

    /// The status of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whether nothing can follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Status::Stopped | Status::Completed | Status::Failed)
    }
}

/// Why a simulation has its status.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Asked for.
    Requested,
    /// Its last tick was reached.
    LastTick,
    /// Two workers computed different digests.
    DigestMismatch,
    /// Late beyond catching up, under [`LatePolicy::Fail`].
    Late,
    /// A partition could not be stepped anywhere.
    Unable,
    /// The database takes nothing, and the history that waits for it has reached its bound.
    HistoryFull,
    /// The database has no room, and the history that waits for it has reached its bound.
    DiskFull,
    /// What the database holds of it cannot be read by this build.
    Unrecoverable,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 8] = [
        Cause::Requested,
        Cause::LastTick,
        Cause::DigestMismatch,
        Cause::Late,
        Cause::Unable,
        Cause::HistoryFull,
        Cause::DiskFull,
        Cause::Unrecoverable,
    ];

    /// As logs, the API and the database spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Requested => "requested",
            Cause::LastTick => "last_tick",
            Cause::DigestMismatch => "digest_mismatch",
            Cause::Late => "late",
            Cause::Unable => "unable",
            Cause::HistoryFull => "history_full",
            Cause::DiskFull => "disk_full",
            Cause::Unrecoverable => "unrecoverable",
        }
    }

    /// The cause of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// Which machines a command is for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One.
    Entity(u32),
    /// Some, each at most once; at most [`MAX_COMMAND_ENTITIES`].
    Entities(Vec<u32>),
    /// All of one site, 0-based.
    Site(u32),
    /// All of the simulation.
    All,
}

/// A command to be applied.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CommandRequest {
    /// For whom.
    pub target: Target,
    /// What to do.
    pub action: Action,
    /// At which tick; `None` for as soon as possible.
    pub tick: Option<u64>,
}

/// The place a command was given.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandStamp {
    /// Position in the command log; commands of one tick apply in this order.
    pub seq: u64,
    /// Tick it applies in.
    pub tick: u64,
}

/// What can be read of a simulation at any time. Times are UNIX time in us.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SimulationInfo {
    /// What was asked for; its speed and name as they are now.
    pub spec: Spec,
    /// Status.
    pub status: Status,
    /// Why it has this status.
    pub cause: Cause,
    /// Last tick that is complete.
    pub tick: u64,
    /// Newest digest, with its tick.
    pub digest: Option<TickDigest>,
    /// Sums at the last complete tick.
    pub aggregate: Aggregate,
    /// Simulated over real time, in thousandths, over the last seconds; 0 while it stands.
    pub achieved_speed_milli: u64,
    /// Ticks that were complete only after their time.
    pub late_ticks: u64,
    /// By how much deadlines were shifted, ms.
    pub dilated_ms: u64,
    /// When it was created.
    pub created_at_us: u64,
    /// When it was first started.
    pub started_at_us: Option<u64>,
    /// When it reached a final status.
    pub ended_at_us: Option<u64>,
    /// Whether a final status has been followed by its last digest: nothing more will be published.
    pub settled: bool,
    /// While a recovered or forked run replays: the tick it replays to.
    pub replaying_to: Option<u64>,
    /// Ticks from the oldest of which something waits to be written to the present one; 0 where all is written.
    pub history_lag_ticks: u64,
}

/// What a token may do. Each role may do what those before it may.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub enum Access {
    /// Read and watch.
    Viewer,
    /// Create, command, end and delete simulations.
    Operator,
    /// Make and revoke tokens.
    Admin,
}

impl Access {
    /// Every role.
    pub const ALL: [Access; 3] = [Access::Viewer, Access::Operator, Access::Admin];

    /// As the API, the command line and the database spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Access::Viewer => "viewer",
            Access::Operator => "operator",
            Access::Admin => "admin",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Access> {
        Access::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// A token as it is kept: never the secret, only its SHA-256.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its public number, drawn by whoever made it; never 0, which stands for a local user without one.
    pub id: u64,
    /// For people.
    pub name: String,
    /// What it may do.
    pub access: Access,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// UNIX time in us.
    pub created_at_us: u64,
}

/// What makes a repeated request answer as the first one did.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key, at most [`MAX_IDEMPOTENCY_KEY_BYTES`].
    pub key: String,
    /// What was called: method and path.
    pub route: String,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
}

/// One request.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names it in its response; the gateway's choice, never used twice on a connection.
    pub id: u64,
    /// Token of who asks; 0 for a local user.
    pub token: u64,
    /// Set where a repetition shall have no further effect.
    pub idempotency: Option<Idempotency>,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Adds a simulation. [`Answer::Simulation`].
    Create(Spec),
    /// [`Answer::Simulation`].
    Simulation(SimulationId),
    /// A page, by id, which is by time of creation. [`Answer::Simulations`].
    Simulations {
        /// Ids greater than this.
        after: Option<SimulationId>,
        /// At most so many, 1..=[`MAX_PAGE`].
        limit: u32,
        /// Only those.
        status: Option<Status>,
    },
    /// A created one begins. [`Answer::Simulation`], as the next four.
    Start(SimulationId),
    /// No further window is dispatched.
    Pause(SimulationId),
    /// It goes on.
    Resume(SimulationId),
    /// It ends.
    Stop(SimulationId),
    /// A paused one advances so many ticks.
    Step(SimulationId, u64),
    /// Changes what is given. [`Answer::Simulation`].
    Change {
        /// Which.
        simulation: SimulationId,
        /// New speed.
        speed: Option<Speed>,
        /// New name.
        name: Option<String>,
    },
    /// Removes it and all that is kept of it. [`Answer::Done`].
    Delete(SimulationId),
    /// [`Answer::Stamp`].
    Command(SimulationId, CommandRequest),
    /// A paused copy of a run at a tick of its past or its present. [`Answer::Simulation`] of the copy.
    Fork {
        /// Of which.
        simulation: SimulationId,
        /// Id of the copy.
        child: SimulationId,
        /// Name of the copy; `None` for one made of the parent's.
        name: Option<String>,
        /// At which tick; `None` for the last complete one.
        tick: Option<u64>,
    },
    /// [`Answer::Latency`].
    Latency(SimulationId),
    /// [`Answer::Workers`].
    Workers,
    /// Adds a token. [`Answer::Done`].
    CreateToken(Token),
    /// Revokes the token of this id. [`Answer::Done`].
    RevokeToken(u64),
    /// [`Answer::Tokens`].
    Tokens,
    /// Issues a single-use ticket for a stream. [`Answer::Done`].
    IssueTicket {
        /// SHA-256 of its secret.
        secret_hash: [u8; 32],
        /// What it allows.
        access: Access,
    },
    /// Redeems one. [`Answer::Ticket`].
    RedeemTicket {
        /// SHA-256 of its secret.
        secret_hash: [u8; 32],
    },
    /// Publishes of a simulation to this connection from now on; asked again, changes the rate.
    /// [`Answer::Subscribed`] comes before the first [`Published`].
    Subscribe {
        /// Of which.
        simulation: SimulationId,
        /// Views per second of wall time, 0..=[`MAX_VIEW_HZ`]; 0 for none.
        view_hz: u32,
    },
    /// Ends it. [`Answer::Done`].
    Unsubscribe(SimulationId),
}

/// One response.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The request's.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

/// What can be answered.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done, and if it changed anything, that is kept.
    Done,
    /// A simulation, as it is after what was asked.
    Simulation(Box<SimulationInfo>),
    /// A page of simulations.
    Simulations {
        /// By id.
        items: Vec<SimulationInfo>,
        /// Whether more follow the last.
        more: bool,
    },
    /// A command has its place, and is kept.
    Stamp(CommandStamp),
    /// Where ticks' time went.
    Latency(Vec<StageLatency>),
    /// The registry.
    Workers(Vec<WorkerInfo>),
    /// Every token.
    Tokens(Vec<Token>),
    /// What a redeemed ticket allows.
    Ticket {
        /// It may do as much.
        access: Access,
        /// The token that it was issued to, which is still valid; 0 for a local user.
        token: u64,
    },
    /// A subscription begins.
    Subscribed(Box<Subscribed>),
    /// It was not done.
    Refused(Refusal),
}

/// Where an orchestrator took a simulation up: what an older one said at or after these numbers is void, and is said
/// again as it comes to be.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochBegin {
    /// Epoch of its lease.
    pub epoch: u32,
    /// The first tick that it publishes.
    pub from_tick: u64,
    /// The first event of the log `sim` that it publishes.
    pub from_event: u64,
    /// The first event of the log `system` that it publishes.
    pub from_system_event: u64,
}

impl EpochBegin {
    /// What is void for whoever heard an orchestrator of epoch `seen` last, of `epochs`, which ascend; `None` for nothing.
    #[must_use]
    pub fn void_after(epochs: &[EpochBegin], seen: u32) -> Option<EpochBegin> {
        epochs.iter().find(|begin| begin.epoch > seen).copied()
    }
}

/// Where a subscription begins. The first [`Published`] goes on from here.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The simulation.
    pub info: SimulationInfo,
    /// Events of both logs that the database may not hold yet, by (log, seq); older ones it holds.
    pub unflushed: Vec<LogEvent>,
    /// Seq of the newest event of the log `sim`, flushed or not; 0 for none.
    pub last_sim_seq: u64,
    /// Seq of the newest event of the log `system`.
    pub last_system_seq: u64,
    /// Where the orchestrators that took the simulation over began, ascending: the newest ones.
    pub epochs: Vec<EpochBegin>,
}

/// One stage's histogram.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StageLatency {
    /// Name of the stage, as in metrics.
    pub stage: String,
    /// An HDR histogram in us, in the V2 encoding, uncompressed.
    pub histogram: Vec<u8>,
}

/// One worker of the registry.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// `ready`, `suspect` or `draining`.
    pub state: String,
    /// Threads it steps on.
    pub threads: u32,
    /// Partitions it has.
    pub partitions: u64,
    /// Machines it has.
    pub rows: u64,
    /// Machine-ticks it computed since it started.
    pub row_steps: u64,
    /// Share of its threads' time that it spent on them, in thousandths, over the last seconds.
    pub load_milli: u32,
    /// Machine-ticks a second, over the last seconds.
    pub row_steps_per_s: u64,
}

/// The kind of a refusal. Each is one `type` of the API's problems.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// What is named is not there.
    NotFound,
    /// It is there already.
    Exists,
    /// A field is out of its range or means nothing.
    Invalid,
    /// The simulation is not in a status from which that is possible.
    InvalidTransition,
    /// The tick has passed.
    TickPassed,
    /// The tick lies before what is kept, or after the last one.
    TickNotKept,
    /// A named maximum is reached.
    OverCapacity,
    /// The database does not answer, or has no room; nothing was changed.
    StoreUnavailable,
    /// The idempotency key was used with another body.
    KeyReused,
    /// The ticket is unknown, used or too old.
    BadTicket,
    /// This build does not do it.
    NotSupported,
    /// The orchestrator is going away.
    Ending,
}

/// Why something was not done.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind.
    pub kind: RefusalKind,
    /// The offending field of the request, empty where there is none.
    pub field: String,
    /// What the field may be, empty where that is not known.
    pub allowed: String,
    /// For people: what is wrong.
    pub detail: String,
    /// When it is worth trying again, ms; 0 where it is not.
    pub retry_after_ms: u32,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

/// Which log an event is in. Each is numbered apart, from 1 on.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// What happened on the farm: a replay gives the same events and numbers.
    Sim,
    /// What happened to the simulation: lifecycle, workers, lateness.
    System,
}

impl Log {
    /// As the API and the database spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Log::Sim => "sim",
            Log::System => "system",
        }
    }
}

/// Codes of [`LogEvent::kind`] beyond those of [`kernel::event::kind`].
pub mod event_kind {
    /// The simulation changed its status; in [`Log::System`](super::Log::System).
    pub const LIFECYCLE: u32 = 100;
    /// Anything else of the system; `text` says what.
    pub const SYSTEM: u32 = 101;
}

/// An event of a log.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Its number in its log.
    pub seq: u64,
    /// Which log.
    pub log: Log,
    /// When: the tick of it, or the last complete one.
    pub tick: u64,
    /// One of [`kernel::event::kind`] or [`event_kind`].
    pub kind: u32,
    /// Site it happened on, for the log `sim`.
    pub site: u32,
    /// Meaning by kind, as in [`kernel::event::Event`]; 0 in the log `system`.
    pub detail: u32,
    /// [`kernel::command::Rejection`] code, else 0.
    pub reason: u32,
    /// Machines it happened to, ascending; empty in the log `system`.
    pub entities: Vec<u32>,
    /// In the log `system`: a JSON object; else empty.
    pub text: String,
}

/// What a gateway is told of a simulation it has subscribed to. Every event is told once and in order; ticks may be
/// told together. Its header's tick is the tick, its header's lease epoch the epoch of who says it: what a
/// newer one says replaces what an older one said of the same tick.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The simulation at this tick.
    pub info: SimulationInfo,
    /// UNIX time in us of the deadline of the tick, or where it had none, of its dispatch.
    pub started_at_us: u64,
    /// UNIX time in us at which this was published.
    pub published_at_us: u64,
    /// 1 where views of all partitions at this tick follow, or came before.
    pub has_view: u8,
    /// Events of both logs since what was told last, each log in order of seq.
    pub events: Vec<LogEvent>,
    /// 1 in the last frame of a simulation: it was deleted.
    pub deleted: u8,
}

/// Every valid token. Sent to a gateway after its welcome, and whenever they change.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// By id.
    pub tokens: Vec<Token>,
}

macro_rules! message_kinds {
    ($($message:ident),*) => {
        $(impl crate::frame::Message for $message {
            const KIND: crate::header::Kind = crate::header::Kind::$message;
        })*
    };
}

message_kinds!(Request, Response, Published, Tokens);
