//! What the orchestrator says of itself: published ticks, and the log of the system.

use std::time::Duration;

use kernel::aggregate::Aggregate;
use transport::control::LogEvent;
use transport::message::TickDigest;

use crate::control::{Cause, CommandStamp, SimulationId, Status, WorkerId};

/// One thing that happened, in the order it happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A window is complete.
    Tick(Box<TickPublished>),
    /// A simulation changed its status.
    Lifecycle {
        /// Which.
        simulation: SimulationId,
        /// What it is now.
        status: Status,
        /// Why.
        cause: Cause,
        /// Last complete tick.
        tick: u64,
    },
    /// A simulation in a final status has published its last tick and digest.
    Settled {
        /// Which.
        simulation: SimulationId,
        /// What it ended as.
        status: Status,
        /// Its last tick.
        tick: u64,
        /// Digest of that tick, unless no worker was left to compute it.
        digest: Option<u64>,
    },
    /// A simulation was removed: nothing more is said of it.
    Deleted {
        /// Which.
        simulation: SimulationId,
        /// Its last complete tick.
        tick: u64,
    },
    /// A command has its place in the log.
    CommandStamped {
        /// For which simulation.
        simulation: SimulationId,
        /// Its place.
        stamp: CommandStamp,
    },
    /// A worker registered.
    WorkerJoined {
        /// Which.
        worker: WorkerId,
        /// Its name.
        name: String,
        /// Threads it steps on.
        threads: u32,
    },
    /// A registration was refused.
    WorkerRefused {
        /// Name it gave.
        name: String,
        /// As the worker was told.
        reason: String,
    },
    /// A draining worker that held nothing has closed its connection.
    WorkerLeft {
        /// Which.
        worker: WorkerId,
    },
    /// A worker is gone.
    WorkerLost {
        /// Which.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
    /// A worker's result is missing.
    WorkerSuspect {
        /// Which.
        worker: WorkerId,
        /// Simulation it is missing for.
        simulation: SimulationId,
        /// Tick it is missing for.
        tick: u64,
        /// Whether another worker takes its partitions; if not, there is none.
        handed_over: bool,
    },
    /// A worker gets nothing new, and what it has is moved.
    WorkerDraining {
        /// Which.
        worker: WorkerId,
    },
    /// A draining worker holds nothing any more and may go.
    WorkerDrained {
        /// Which.
        worker: WorkerId,
    },
    /// A gateway registered.
    GatewayJoined {
        /// Its number.
        gateway: u32,
        /// Its name.
        name: String,
    },
    /// A gateway has closed its connection.
    GatewayLeft {
        /// Its number.
        gateway: u32,
        /// Its name.
        name: String,
        /// What it gave as its reason.
        reason: String,
    },
    /// A gateway cannot be reached any more.
    GatewayLost {
        /// Its number.
        gateway: u32,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A partition has a new place.
    Moved {
        /// Of which simulation.
        simulation: SimulationId,
        /// Which.
        partition: u32,
        /// New owner.
        to: WorkerId,
        /// New placement epoch.
        epoch: u32,
        /// Ticks replayed to bring it to the present.
        replayed: u64,
    },
    /// A run waits because no worker is there.
    NoWorker {
        /// Which run.
        simulation: SimulationId,
        /// Last complete tick.
        tick: u64,
    },
    /// A run was asked to stand, and stands, but for [`crate::limits::MAX_SILENT_HALT`] the store has not said whether that is
    /// kept. Said once each time.
    Halting {
        /// Which run.
        simulation: SimulationId,
        /// Last tick that was sent out.
        tick: u64,
    },
    /// A window was complete only after its time.
    Late {
        /// Of which simulation.
        simulation: SimulationId,
        /// Its last tick.
        tick: u64,
        /// Ticks of it that were late.
        ticks: u64,
        /// Latency of its last tick, which is the least late of them.
        latency: Duration,
    },
    /// A run's deadlines were shifted. Said at most once in [`crate::limits::DILATED_EVERY`].
    Dilated {
        /// Of which simulation.
        simulation: SimulationId,
        /// Next tick.
        tick: u64,
        /// By how much since it was last said.
        by: Duration,
    },
    /// Two workers, and the orchestrator itself, do not agree on a step.
    DigestMismatch {
        /// Of which simulation.
        simulation: SimulationId,
        /// Which partition.
        partition: u32,
        /// Which tick.
        tick: u64,
        /// Worker that owns the partition, and its digest.
        owner: (WorkerId, u64),
        /// Worker that computed it again, and its digest.
        verifier: (WorkerId, u64),
        /// Digest the orchestrator computed, unless it could not.
        arbitrated: Option<u64>,
    },
}

/// A complete window: its last tick, and what fell due in it.
#[derive(Clone, Debug)]
pub struct TickPublished {
    /// Of which simulation.
    pub simulation: SimulationId,
    /// Last tick of the window.
    pub tick: u64,
    /// Deadline of that tick; where it had none, when it was dispatched.
    pub started_at: Duration,
    /// Ticks in the window; 0 where the present tick was asked about again.
    pub ticks: u32,
    /// Whether its ticks were published before, so that they are neither kept nor told again.
    pub replayed: bool,
    /// Whether every partition was asked for its view at `tick`, so that views follow, or came before.
    pub has_view: bool,
    /// Sums over all partitions at `tick`.
    pub aggregate: Aggregate,
    /// Digests of the window's ticks that were due or wanted, in order.
    pub digests: Vec<TickDigest>,
    /// What happened on the farm in the window, numbered as in the log `sim`.
    pub events: Vec<LogEvent>,
}
