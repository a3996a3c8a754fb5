//! What frames say: the archives of every kind, read in place after validation.
//!
//! Columns are integers and floats of fixed width; there is no enum, bool or map in an archive, so a
//! frame from a stranger can at worst hold a number that the reader refuses by name.

use kernel::aggregate::Aggregate;
use kernel::command::Command;
use kernel::config::SimulationConfig;
use kernel::event::Event;
use rkyv::{Archive, Deserialize, Serialize};

/// A worker's or gateway's first frame.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// [`crate::header::PROTOCOL_VERSION`] of the sender.
    pub protocol_version: u32,
    /// [`kernel::config::KERNEL_VERSION`] of the sender.
    pub kernel_version: u32,
    /// [`crate::header::SCHEMA_HASH`] of the sender.
    pub schema_hash: u64,
    /// Threads it steps on.
    pub threads: u32,
    /// Name for logs, at most [`crate::limits::MAX_NAME_BYTES`].
    pub name: String,
}

/// The orchestrator's answer to a registration it accepts.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The id the worker has in logs and metrics.
    pub worker: u32,
    /// How often the worker says that it lives.
    pub heartbeat_ms: u32,
}

/// The orchestrator's answer to a registration it does not accept; it closes the connection next.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What differs and what to do about it.
    pub reason: String,
}

/// A worker says that it lives.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Rows it holds.
    pub rows: u64,
    /// Row-steps since it started.
    pub row_steps: u64,
    /// Time spent stepping since it started, summed over its threads.
    pub busy_us: u64,
    /// 1 once it was asked to stop: give it nothing more and take what it has.
    pub draining: u32,
}

/// Opens a simulation on a worker; sent before its first dispatch there.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What is simulated.
    pub config: SimulationConfig,
    /// Ticks between digests.
    pub digest_every: u32,
}

/// Bits of [`PartitionWork::wants`].
pub mod want {
    /// A view of the last tick.
    pub const VIEW: u32 = 1;
    /// The digest of the last tick even if it is not due.
    pub const DIGEST: u32 = 2;
    /// A checkpoint of the last tick.
    pub const CHECKPOINT: u32 = 4;
    /// A checkpoint of the tick before `first_tick`, for a verification by another worker.
    pub const PRIOR_STATE: u32 = 8;
}

/// Codes of [`PartitionWork::base`].
pub mod base {
    /// The worker holds the partition at `first_tick - 1`.
    pub const HELD: u32 = 0;
    /// The worker creates it, at tick 0.
    pub const CREATE: u32 = 1;
    /// A checkpoint frame of tick `first_tick - 1` precedes this frame on the same stream.
    pub const RESTORE: u32 = 2;
}

/// What a worker shall do in a window of ticks. A dispatch frame holds one archive of this type.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Dispatch {
    /// One entry a partition.
    pub work: Vec<PartitionWork>,
}

/// The inputs of one partition for ticks `first_tick ..= first_tick + ticks - 1`.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionWork {
    /// Which partition.
    pub partition: u32,
    /// Placement it belongs to; results of an older one are dropped.
    pub placement_epoch: u32,
    /// One of [`base`].
    pub base: u32,
    /// First tick to step.
    pub first_tick: u64,
    /// Ticks to step; 0 asks for what is wanted of the present tick.
    pub ticks: u32,
    /// Ticks before this one are a replay: their digests and events are known and not sent again.
    pub report_from: u64,
    /// Bits of [`want`].
    pub wants: u32,
    /// Commands, ordered by (tick, seq).
    pub commands: Vec<StampedCommand>,
    /// Messages from other parts of a cut site, ordered by (tick, from).
    pub mail: Vec<Mail>,
}

/// A command and the tick it applies in.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StampedCommand {
    /// The tick.
    pub tick: u64,
    /// The command.
    pub command: Command,
}

/// Messages from one part of a cut site to another. Opaque to everything but the kernel.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Tick whose step reads it: the one after it was emitted.
    pub tick: u64,
    /// Partition that emitted it.
    pub from: u32,
    /// Partition that reads it.
    pub to: u32,
    /// The kernel's encoding.
    pub words: Vec<u32>,
}

/// The fixed part of a result: laid out once, then written in place each tick.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultFixed {
    /// Sums at the last tick of the window.
    pub aggregate: Aggregate,
    /// Digest of the last tick, where it was due or wanted.
    pub digest: u64,
    /// 1 where `digest` holds one.
    pub has_digest: u32,
    /// Ticks stepped, replayed ones included.
    pub stepped: u32,
    /// From the frame's arrival to the start of its first step.
    pub queue_us: u32,
    /// Time spent stepping.
    pub compute_us: u32,
}

/// The variable part of a result.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultExtras {
    /// Digests that fell due in the window, but for that of its last tick.
    pub digests: Vec<TickDigest>,
    /// Events of the window's ticks from `report_from` on, in order.
    pub events: Vec<Event>,
    /// Messages emitted in the last tick, for the next.
    pub mail: Vec<Mail>,
}

/// The digest of one tick of one partition.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickDigest {
    /// The tick.
    pub tick: u64,
    /// The partition's share of the digest.
    pub digest: u64,
}

/// Codes of [`Unable::reason`].
pub mod unable {
    /// The worker does not hold the partition at the tick before the first.
    pub const NOT_HELD: u32 = 1;
    /// The checkpoint could not be restored.
    pub const BAD_CHECKPOINT: u32 = 2;
    /// Messages or commands could not be read.
    pub const BAD_INPUT: u32 = 3;
    /// The simulation was not opened here.
    pub const NOT_OPEN: u32 = 4;
    /// The step panicked; the partition is dropped.
    pub const PANICKED: u32 = 5;
}

/// A worker cannot do what a dispatch asked.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Unable {
    /// One of [`unable`].
    pub reason: u32,
    /// In words, for the log.
    pub detail: String,
}

/// One stateless step: the checkpoint frame before it, these messages, out comes a digest.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ComputeTick {
    /// Names the request in its answer.
    pub request: u64,
    /// What is simulated.
    pub config: SimulationConfig,
    /// The step's inputs; `base` is [`base::RESTORE`], `ticks` is 1.
    pub work: PartitionWork,
}

/// The answer to a [`ComputeTick`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The request's name.
    pub request: u64,
    /// Digest after the step.
    pub digest: u64,
    /// 0, or one of [`unable`].
    pub unable: u32,
}

macro_rules! message_kinds {
    ($($message:ident),*) => {
        $(impl crate::frame::Message for $message {
            const KIND: crate::header::Kind = crate::header::Kind::$message;
        })*
    };
}

message_kinds!(
    Register,
    Welcome,
    Refused,
    Heartbeat,
    Open,
    Dispatch,
    Unable,
    ComputeTick,
    Computed
);
