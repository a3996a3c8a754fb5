//! Everything measured, at one moment: for `/metrics` and for a run's summary.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use transport::metrics::Traffic;

use crate::chronicle::Chronicle;
use crate::control::{SimulationId, SimulationInfo, WorkerId};
use crate::core::Orchestrator;
use crate::latency::{Durations, Latencies};
use crate::registry::{Worker, WorkerState};
use crate::simulation::Simulation;

/// What happened since the start, of one run or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ticks completed.
    pub ticks: u64,
    /// Machines times ticks.
    pub entity_steps: u64,
    /// Ticks that completed late.
    pub late_ticks: u64,
    /// By how much deadlines were shifted.
    pub dilated: Duration,
    /// Partitions brought back by a replay, of no ticks too.
    pub replays: u64,
    /// Ticks stepped a second time in them.
    pub replayed_ticks: u64,
    /// Partitions that changed their worker.
    pub moves: u64,
    /// Frames of an older placement, dropped.
    pub stale_results: u64,
    /// Frames about what was reported already, dropped.
    pub duplicate_results: u64,
    /// Times a worker could not do what was asked.
    pub unable: u64,
    /// Commands sent out, by machine.
    pub commands: u64,
    /// Views passed on, by partition.
    pub views: u64,
    /// Views dropped that were not asked for, or came too late.
    pub unasked_views: u64,
    /// Mails between parts of cut sites.
    pub mails: u64,
    /// Bytes of them.
    pub mail_bytes: u64,
}

impl Totals {
    /// Adds another run's.
    pub fn merge(&mut self, other: &Totals) {
        self.ticks += other.ticks;
        self.entity_steps += other.entity_steps;
        self.late_ticks += other.late_ticks;
        self.dilated += other.dilated;
        self.replays += other.replays;
        self.replayed_ticks += other.replayed_ticks;
        self.moves += other.moves;
        self.stale_results += other.stale_results;
        self.duplicate_results += other.duplicate_results;
        self.unable += other.unable;
        self.commands += other.commands;
        self.views += other.views;
        self.unasked_views += other.unasked_views;
        self.mails += other.mails;
        self.mail_bytes += other.mail_bytes;
    }
}

/// What verification found since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Partition-ticks that two workers computed alike.
    pub agreed: u64,
    /// Partition-ticks they did not.
    pub mismatches: u64,
    /// Samples passed over or given up: too many at once, or a worker left.
    pub skipped: u64,
}

/// Gaps between completions that hand-overs left, beyond the period. A clone copies nothing.
#[derive(Clone, Debug, Default)]
pub struct Stalls {
    durations: Durations,
}

impl Stalls {
    /// Notes one.
    pub fn note(&mut self, stall: Duration) {
        self.durations.record_n(stall, 1);
    }

    /// All of them, in us.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        self.durations.histogram()
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Stalls) {
        self.durations.merge(&other.durations);
    }
}

/// One run at this moment.
#[derive(Clone, Debug)]
pub struct SimulationSnapshot {
    /// Its state.
    pub info: SimulationInfo,
    /// From its creation to its last complete tick, pauses included.
    pub elapsed: Duration,
    /// What happened to it.
    pub totals: Totals,
    /// Where its ticks' time went; up to a second behind `totals` while it goes on.
    pub latencies: Latencies,
    /// Its stalls.
    pub stalls: Stalls,
    /// Bytes of checkpoints kept for it.
    pub checkpoint_bytes: u64,
    /// Bytes of inputs kept for it.
    pub replay_bytes: u64,
    /// Ticks between checkpoints of a partition.
    pub checkpoint_ticks: u64,
    /// Partitions.
    pub partitions: u32,
    /// Ticks of the window in flight; 0 if there is none.
    pub window_ticks: u32,
}

/// One worker at this moment.
#[derive(Clone, Debug)]
pub struct WorkerSnapshot {
    /// Its id.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// Threads it steps on.
    pub threads: u32,
    /// Whether it may be given partitions.
    pub state: WorkerState,
    /// Partitions it has.
    pub partitions: u64,
    /// Rows it has.
    pub rows: u64,
    /// Row-steps since it started, as it says.
    pub row_steps: u64,
    /// Time spent on them, over its threads.
    pub busy: Duration,
    /// Time one of its threads takes for a row-step, ns; `None` until measured.
    pub ns_per_row: Option<f64>,
}

/// How long something took, each time. A clone copies nothing.
#[derive(Clone, Debug, Default)]
pub struct Times(pub(crate) Durations);

impl Times {
    /// All of them, in us.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        self.0.histogram()
    }
}

/// Everything measured, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub now: Duration,
    /// All runs there are.
    pub simulations: Vec<SimulationSnapshot>,
    /// All workers there are.
    pub workers: Vec<WorkerSnapshot>,
    /// Sums over all runs, deleted ones included.
    pub totals: Totals,
    /// What verification found.
    pub verified: Verified,
    /// Stages and stalls of runs that were deleted.
    pub retired: (Latencies, Stalls),
    /// Registrations refused.
    pub refused: u64,
    /// Workers that were lost.
    pub lost_workers: u64,
    /// Frames exchanged with the link.
    pub traffic: Traffic,
    /// Frames that nobody waits for, or that came from a stranger.
    pub unexpected_frames: u64,
    /// Gateways registered.
    pub gateways: u64,
    /// Simulations that gateways follow, each as often as one does.
    pub subscriptions: u64,
    /// Frames published, each once however many gateways it went to.
    pub published: u64,
    /// Ticks whose views a gateway was not sent, for it was slow and there was a newer one.
    pub skipped_views: u64,
    /// Answers, by what was asked and how it ended.
    pub answered: BTreeMap<(&'static str, &'static str), u64>,
    /// Requests that wait for their turn, their farm or their commit.
    pub waiting_requests: u64,
    /// Runs that stand until it is known whether a pause or a stop is kept.
    pub halting: u64,
    /// Bytes of history that wait for the database.
    pub backlog_bytes: u64,
    /// How long the oldest of it has waited.
    pub backlog_age: Duration,
    /// Batches of history written.
    pub batches: u64,
    /// Times that the database could not write one.
    pub store_faults: u64,
    /// From a write's being given to the store to its commit.
    pub commits: Times,
    /// From a batch's being given to the store to its commit.
    pub appends: Times,
}

impl Snapshot {
    /// One of the runs.
    #[must_use]
    pub fn simulation(&self, id: SimulationId) -> Option<&SimulationSnapshot> {
        self.simulations.iter().find(|s| s.info.spec.id == id)
    }

    /// Stages and stalls over all runs, deleted ones included. They are added here, by whoever reads
    /// them, so that the drive loop need not.
    #[must_use]
    pub fn all_runs(&self) -> (Latencies, Stalls) {
        let (mut latencies, mut stalls) = self.retired.clone();
        for simulation in &self.simulations {
            latencies.merge(&simulation.latencies);
            stalls.merge(&simulation.stalls);
        }
        (latencies, stalls)
    }

    /// Bytes of checkpoints kept.
    #[must_use]
    pub fn checkpoint_bytes(&self) -> u64 {
        self.simulations.iter().map(|s| s.checkpoint_bytes).sum()
    }

    /// Bytes of inputs kept for replays.
    #[must_use]
    pub fn replay_bytes(&self) -> u64 {
        self.simulations.iter().map(|s| s.replay_bytes).sum()
    }
}

impl Orchestrator {
    /// From now on snapshots show the histograms of runs that go on as they are now. To be called once
    /// in [`crate::limits::HISTOGRAMS_EVERY`] or less often by whoever takes snapshots between ticks:
    /// what was shown is copied with the next record, so this bounds how often that is, however
    /// often it is looked at. Without any call snapshots show the present.
    pub fn show_histograms(&mut self) {
        for simulation in self.simulations.values_mut().filter(|s| !s.settled) {
            let shown = (simulation.latencies.clone(), simulation.stalls.clone());
            simulation.shown = Some(shown);
        }
    }

    /// Everything measured up to `now`. It costs a look at every partition and copies no histogram.
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let (mut totals_sum, latencies, stalls) = self.retired.clone();
        for simulation in self.simulations.values() {
            totals_sum.merge(&totals(simulation));
        }
        let held = self.held();
        let held = |id| held.get(&id).copied().unwrap_or_default();
        Snapshot {
            now,
            simulations: (self.simulations.values())
                .map(|s| simulation_snapshot(s, now, &self.chronicle))
                .collect(),
            workers: self
                .registry
                .iter()
                .map(|w| worker_snapshot(w, held(w.id)))
                .collect(),
            totals: totals_sum,
            verified: self.verifier.found,
            retired: (latencies, stalls),
            refused: self.refused,
            lost_workers: self.lost_workers,
            unexpected_frames: self.unexpected_frames,
            traffic: self.traffic,
            gateways: self.gateways.len() as u64,
            subscriptions: self.feeds.subscriptions() as u64,
            published: self.published,
            skipped_views: self.skipped_views,
            answered: self.desk.answered.clone(),
            waiting_requests: self.desk.waiting() as u64,
            halting: self.halting(),
            backlog_bytes: self.chronicle.bytes() as u64,
            backlog_age: self.chronicle.age(now),
            batches: self.chronicle.batches,
            store_faults: self.chronicle.faults,
            commits: Times(self.desk.commits.all()),
            appends: Times(self.appends.clone()),
        }
    }
}

impl Orchestrator {
    /// Runs that stand until it is known whether a pause or a stop is kept.
    fn halting(&self) -> u64 {
        let halting = |run: &&Simulation| run.halting.is_some() && !run.status.is_final();
        self.simulations.values().filter(halting).count() as u64
    }
}

/// A worker, with the partitions and rows that it has.
fn worker_snapshot(worker: &Worker, (partitions, rows): (u64, u64)) -> WorkerSnapshot {
    WorkerSnapshot {
        id: worker.id,
        name: worker.name.clone(),
        threads: worker.threads,
        state: worker.state,
        partitions,
        rows,
        row_steps: worker.heartbeat.row_steps,
        busy: Duration::from_micros(worker.heartbeat.busy_us),
        ns_per_row: worker.ns_per_row,
    }
}

/// A run's totals, with those that its parts count for themselves.
pub(crate) fn totals(simulation: &Simulation) -> Totals {
    let (mails, mail_bytes) = simulation.routing.totals();
    Totals {
        mails,
        mail_bytes,
        ..simulation.totals
    }
}

fn simulation_snapshot(
    simulation: &Simulation,
    now: Duration,
    chronicle: &Chronicle,
) -> SimulationSnapshot {
    let (latencies, stalls) = match &simulation.shown {
        Some(shown) => shown.clone(),
        None => (simulation.latencies.clone(), simulation.stalls.clone()),
    };
    let histories = || simulation.partitions.iter().map(|p| &p.history);
    SimulationSnapshot {
        info: simulation.info(now, chronicle),
        elapsed: simulation
            .completed_at
            .saturating_sub(simulation.created_at),
        totals: totals(simulation),
        latencies,
        stalls,
        checkpoint_bytes: histories().map(|h| h.checkpoint_bytes() as u64).sum(),
        replay_bytes: histories().map(|h| h.input_bytes() as u64).sum(),
        checkpoint_ticks: simulation.checkpoint_ticks,
        partitions: simulation.partition_count,
        window_ticks: simulation.window.as_ref().map_or(0, |w| w.ticks),
    }
}
