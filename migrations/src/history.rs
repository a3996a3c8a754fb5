//! History: what nobody waits for, written in batches behind the ticks, in order, and never twice.

use bytes::Bytes;
use kernel::aggregate::Aggregate;
use transport::control::{Cause, LogEvent, SimulationId, StageLatency, Status};
use transport::message::{Mail, TickDigest};

/// One piece of history. Writing one again changes nothing: rows are keyed by (simulation, log, seq),
/// (simulation, tick) or (simulation, entity).
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a batch holds few pieces, and most of them are heads"
)]
pub enum History {
    /// Metadata of some machines of a new simulation.
    Entities(SimulationId, Vec<EntityRow>),
    /// Events, in order.
    Events(SimulationId, Vec<LogEvent>),
    /// Digests, by tick.
    Digests(SimulationId, Vec<TickDigest>),
    /// Sums and timings of an interval.
    Metrics(SimulationId, Box<MetricSnapshot>),
    /// Where a simulation stands: a replay after a crash goes as far as this.
    Head(SimulationId, Head),
    /// A consistent cut.
    Cut(SimulationId, Box<Cut>),
}

/// Metadata of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityRow {
    /// Its id.
    pub entity: u32,
    /// Name of its class.
    pub class: String,
    /// Its site, 0-based.
    pub site: u32,
    /// Its home in the site's frame, m.
    pub home_x_m: f64,
    /// The same, north.
    pub home_y_m: f64,
}

/// Sums at a tick, and timings of the interval that ends with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSnapshot {
    /// The tick.
    pub tick: u64,
    /// UNIX time in us.
    pub at_us: u64,
    /// Sums at the tick.
    pub aggregate: Aggregate,
    /// Late ticks since creation.
    pub late_ticks: u64,
    /// Simulated over real time in the interval, in thousandths.
    pub achieved_speed_milli: u64,
    /// Histograms of the interval, in us.
    pub stages: Vec<StageLatency>,
}

/// Where a simulation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Last complete tick of which all history is written, or is in this batch.
    pub tick: u64,
    /// Status and cause, where the orchestrator itself has changed them.
    pub status: Option<(Status, Cause)>,
    /// Tick at which it stands, or will; written where `status` is.
    pub step_until: Option<u64>,
    /// UNIX time in us at which it ended, if it has.
    pub ended_at_us: Option<u64>,
    /// Newest digest.
    pub digest: Option<TickDigest>,
    /// Sums at the tick.
    pub aggregate: Aggregate,
    /// Late ticks since creation.
    pub late_ticks: u64,
    /// By how much deadlines were shifted, ms.
    pub dilated_ms: u64,
}

/// A consistent cut: every partition at one tick, and the messages under way. It counts only once it is
/// written whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The tick.
    pub tick: u64,
    /// [`kernel::config::KERNEL_VERSION`] of who made it.
    pub kernel_version: u32,
    /// [`transport::header::SCHEMA_HASH`] of who made it.
    pub schema_hash: u64,
    /// Seq of the newest event of the log `sim` of ticks up to this one.
    pub last_sim_seq: u64,
    /// Payloads of checkpoint frames, by partition.
    pub checkpoints: Vec<Bytes>,
    /// Messages emitted in the tick, for the next one, by (from, to).
    pub mail: Vec<Mail>,
}

/// Pieces that are written together or not at all, with the number by which their outcome is told.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Grows from batch to batch.
    pub id: u64,
    /// In order.
    pub pieces: Vec<History>,
}
