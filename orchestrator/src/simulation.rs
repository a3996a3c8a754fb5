//! One run: its lifecycle, its partitions, and the choice of its next window. How a window is sent
//! is in `dispatch`, how its results come in is in `collect`, who is suspect is in `suspicion`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use kernel::aggregate::Aggregate;
use kernel::command::Command;
use kernel::plan::Plan;
use transport::link::Class;
use transport::message::TickDigest;

use crate::context::Context;
use crate::control::{
    Cause, CommandRequest, CommandStamp, ControlError, LatePolicy, SimulationInfo, Spec, Speed,
    Status, Target, WorkerId,
};
use crate::cost::visit;
use crate::cuts::Cuts;
use crate::event::Event;
use crate::history::History;
use crate::latency::Latencies;
use crate::limits::{
    CHECKPOINT_PATIENCE, DILATED_EVERY, FIRST_CHECKPOINT_TICKS, MAX_CHECKPOINT_TICKS,
    MAX_COMMAND_ENTITIES, MAX_DIGESTS_PER_WINDOW, MAX_PARTITION_COMMANDS, MAX_REPLAY_TICKS,
    MAX_WINDOW_TICKS, MIN_CHECKPOINT_TICKS, REPLAY_BUDGET, WINDOW_TARGET,
};
use crate::placing::Placing;
use crate::record::Record;
use crate::recovery::Replay;
use crate::registry::{Debt, WorkerState};
use crate::routing::Routing;
use crate::schedule::Schedule;
use crate::snapshot::{Stalls, Totals};
use crate::verify;
use crate::views::Views;
use crate::window::Window;
use crate::wire;

/// A partition, as the orchestrator knows it.
#[derive(Debug)]
pub(crate) struct PartitionState {
    /// Its rows.
    pub(crate) rows: u64,
    /// Who has it; `None` while nobody does.
    pub(crate) owner: Option<WorkerId>,
    /// Placement epoch: grows with every hand-over.
    pub(crate) epoch: u32,
    /// Whether the owner was told to bring it to the present.
    pub(crate) held: bool,
    /// What brings it back.
    pub(crate) history: History,
    /// A checkpoint is wanted of the window that reaches this tick.
    pub(crate) checkpoint_at: u64,
    /// The checkpoint that was asked for: its tick, and when it is asked for again.
    pub(crate) asked: Option<(u64, Duration)>,
    /// Who takes it once a checkpoint of this tick or a later one is there.
    pub(crate) moving: Option<(WorkerId, Option<u64>)>,
    /// What its owner was sent to do and has not answered.
    pub(crate) debt: Debt,
    /// Time one of its steps takes on one thread, a moving average; `None` until measured.
    pub(crate) step_ns: Option<f64>,
}

impl PartitionState {
    /// Whether a replay to `tick` leaves no place for another window in a dispatch.
    fn is_far(&self, tick: u64) -> bool {
        let most = u64::from(MAX_REPLAY_TICKS - MAX_WINDOW_TICKS);
        tick.saturating_sub(self.history.base_tick()) > most
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) spec: Spec,
    /// How the farm is cut; `None` once it has settled.
    pub(crate) plan: Option<Plan>,
    pub(crate) cut: bool,
    pub(crate) status: Status,
    pub(crate) cause: Cause,
    pub(crate) settled: bool,
    /// By index; none once it has settled.
    pub(crate) partitions: Vec<PartitionState>,
    /// How many they were made.
    pub(crate) partition_count: u32,
    /// Last tick that every partition has completed; `None` before creation.
    pub(crate) completed: Option<u64>,
    pub(crate) completed_at: Duration,
    /// When creation was complete.
    pub(crate) created_at: Duration,
    pub(crate) window: Option<Window>,
    pub(crate) schedule: Schedule,
    pub(crate) routing: Routing,
    /// Commands that wait, by their tick and by the partition that carries them out.
    pub(crate) pending: BTreeMap<u64, BTreeMap<u32, Vec<Command>>>,
    pub(crate) pending_count: usize,
    pub(crate) last_seq: u64,
    /// Number of the newest entry of the log `sim`; 0 for none.
    pub(crate) last_sim_seq: u64,
    /// The same as the store has it, which a replay has yet to reach.
    pub(crate) kept_sim_seq: u64,
    /// Tick at which it stands, or to which it goes before it does; `None` while it runs.
    pub(crate) step_until: Option<u64>,
    /// It was asked to stand, and whether that is kept is not known: until then it goes no further.
    pub(crate) halting: bool,
    /// It had ended when it was taken up, and the end of its history is not written: that waits for a worker.
    pub(crate) lacks_end: bool,
    pub(crate) views: Views,
    pub(crate) cuts: Cuts,
    /// Set while it repeats what was published before.
    pub(crate) replay: Option<Replay>,
    /// Workers that were told of this simulation.
    pub(crate) opened: BTreeSet<WorkerId>,
    /// Since when the next window is owed though it could not be dispatched: the deadline that was
    /// shifted, or when it was found that no worker is there.
    pub(crate) owed_since: Option<Duration>,
    /// Since when all runs have been held back, as far as this one has met it.
    held_since: Option<Duration>,
    /// When it is to be advanced though no input is for it, as the core has it in its list.
    pub(crate) wake: Option<Duration>,
    /// Whether `wake` is to be looked up anew.
    pub(crate) wake_stale: bool,
    /// Whether the log has said that no worker is there.
    pub(crate) said_no_worker: bool,
    /// Whether a partition's inputs did not fit a frame.
    pub(crate) unsendable: bool,
    pub(crate) aggregate: Aggregate,
    pub(crate) digest: Option<(u64, u64)>,
    /// Wall time of a tick in recent windows, ns.
    pub(crate) pace_ns: Option<f64>,
    pub(crate) last_ticks: u32,
    pub(crate) checkpoint_ticks: u64,
    pub(crate) latencies: Latencies,
    pub(crate) round_trips: crate::suspicion::RoundTrips,
    pub(crate) totals: Totals,
    pub(crate) stalls: Stalls,
    /// What snapshots show of both while it goes on; `None` for what they are.
    pub(crate) shown: Option<(Latencies, Stalls)>,
    /// Shifts of deadlines that were not said yet.
    pub(crate) dilated_unsaid: Duration,
    /// When such a shift was last said.
    pub(crate) dilated_said_at: Option<Duration>,
    /// What is known of it beyond its ticks.
    pub(crate) record: Record,
    /// Commands that have a place which is not kept yet.
    pub(crate) placing: Placing,
}

/// What a run does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing before an input comes.
    Wait,
    /// Nothing before this time.
    WaitUntil(Duration),
    /// A window of so many ticks, perhaps with the digest of its last.
    Window {
        /// Steps.
        ticks: u32,
        /// Whether the digest of the last tick is wanted.
        wants_digest: bool,
        /// Deadline it stands for.
        deadline: Option<Duration>,
    },
    /// It has ended and nothing is left to be asked.
    Settle,
}

impl Simulation {
    /// A simulation that has not started, cut as `plan` says.
    ///
    /// # Panics
    /// If the plan is of another configuration.
    pub(crate) fn new(spec: Spec, plan: Plan) -> Simulation {
        assert_eq!(plan.farm.config, spec.config, "the plan is of this run");
        let count = plan.partitions.len() as u64;
        let first = |index| next_checkpoint(0, FIRST_CHECKPOINT_TICKS, index, count);
        let partitions = plan
            .partitions
            .iter()
            .map(|p| PartitionState {
                rows: u64::from(p.rows),
                owner: None,
                epoch: 0,
                held: false,
                history: History::default(),
                checkpoint_at: first(u64::from(p.index)),
                asked: None,
                moving: None,
                debt: Debt::default(),
                step_ns: None,
            })
            .collect();
        Simulation {
            cut: plan.has_cut_site(),
            routing: Routing::new(&plan),
            partition_count: u32::try_from(count).unwrap_or(u32::MAX),
            partitions,
            plan: Some(plan),
            ..Simulation::without_plan(spec)
        }
    }

    /// A simulation of which nothing is to be stepped.
    pub(crate) fn without_plan(spec: Spec) -> Simulation {
        Simulation {
            cut: false,
            routing: Routing::default(),
            schedule: Schedule::new(spec.config.tick_ms, spec.speed, Duration::ZERO, 0),
            plan: None,
            status: Status::Created,
            cause: Cause::Requested,
            settled: false,
            partitions: Vec::new(),
            partition_count: 0,
            completed: None,
            completed_at: Duration::ZERO,
            created_at: Duration::ZERO,
            window: None,
            pending: BTreeMap::new(),
            pending_count: 0,
            last_seq: 0,
            last_sim_seq: 0,
            kept_sim_seq: 0,
            step_until: None,
            halting: false,
            lacks_end: false,
            views: Views::default(),
            cuts: Cuts::default(),
            replay: None,
            opened: BTreeSet::new(),
            owed_since: None,
            held_since: None,
            wake: None,
            wake_stale: false,
            said_no_worker: false,
            unsendable: false,
            aggregate: Aggregate::default(),
            digest: None,
            pace_ns: None,
            last_ticks: 1,
            checkpoint_ticks: FIRST_CHECKPOINT_TICKS,
            latencies: Latencies::default(),
            round_trips: crate::suspicion::RoundTrips::default(),
            totals: Totals::default(),
            stalls: Stalls::default(),
            shown: None,
            dilated_unsaid: Duration::ZERO,
            dilated_said_at: None,
            record: Record::default(),
            placing: Placing::default(),
            spec,
        }
    }

    /// `start`: a created run begins.
    pub(crate) fn start(&mut self, ctx: &mut Context<'_>) -> Result<(), ControlError> {
        self.transition(ctx, "start", &[Status::Created], Status::Running)
    }

    /// `pause`: no further window is dispatched. It stands once the one in flight is complete.
    pub(crate) fn pause(&mut self, ctx: &mut Context<'_>) -> Result<(), ControlError> {
        self.transition(ctx, "pause", &[Status::Running], Status::Paused)?;
        self.step_until = Some(self.present());
        self.ask_cut();
        Ok(())
    }

    /// `resume`: the next tick is due one period from now.
    pub(crate) fn resume(&mut self, ctx: &mut Context<'_>) -> Result<(), ControlError> {
        self.transition(ctx, "resume", &[Status::Paused], Status::Running)?;
        self.step_until = None;
        self.end_replay_at_head();
        self.schedule.restart(ctx.now, self.last_dispatched());
        Ok(())
    }

    /// `step`: a paused run advances by `ticks`, back to back.
    pub(crate) fn step(&mut self, ticks: u64) -> Result<(), ControlError> {
        if self.status != Status::Paused {
            return Err(self.invalid("step"));
        }
        self.step_until = Some(self.step_end(ticks)?);
        Ok(())
    }

    /// Where a step of so many ticks ends.
    pub(crate) fn step_end(&self, ticks: u64) -> Result<u64, ControlError> {
        if ticks == 0 {
            return Err(ControlError::StepZero);
        }
        let from = self.step_until.unwrap_or(self.present());
        Ok(from.saturating_add(ticks).min(self.last_tick()))
    }

    /// `stop`: the run ends after the window in flight.
    pub(crate) fn stop(&mut self, ctx: &mut Context<'_>) -> Result<(), ControlError> {
        let from = [Status::Running, Status::Paused];
        self.transition(ctx, "stop", &from, Status::Stopped)?;
        self.step_until = Some(self.present());
        self.ask_last_cut();
        Ok(())
    }

    /// Changes the speed of a run that has not ended.
    pub(crate) fn set_speed(&mut self, now: Duration, speed: Speed) -> Result<(), ControlError> {
        if self.status.is_final() {
            return Err(self.invalid("change the speed of"));
        }
        self.spec.speed = speed;
        self.schedule.set_speed(now, self.last_dispatched(), speed);
        Ok(())
    }

    /// Pauses a run that goes, by itself or by steps, for a reason of the orchestrator's own.
    pub(crate) fn pause_because(&mut self, ctx: &mut Context<'_>, cause: Cause) {
        let steps_on = self.status == Status::Paused && self.step_until > Some(self.known_tick());
        if self.status == Status::Running || steps_on {
            self.end_replay_at_head();
            self.step_until = Some(self.present());
            self.change(ctx, Status::Paused, cause);
        }
        if cause == Cause::DigestMismatch {
            // Nobody knows yet what of it is right.
            self.cuts.give_up(ctx.now);
        }
    }

    /// Ends the run at once, without a last digest.
    pub(crate) fn fail(&mut self, ctx: &mut Context<'_>, cause: Cause) {
        if !self.status.is_final() {
            self.step_until = None;
            self.change(ctx, Status::Failed, cause);
        }
        self.window = None;
        self.settle(ctx);
    }

    /// What can be read of it.
    pub(crate) fn info(&self, now: Duration) -> SimulationInfo {
        let steps = self.step_until > self.completed;
        let stands = self.status != Status::Running && !steps;
        let speed = || (self.record).achieved_speed_milli(now, self.spec.config.tick_ms);
        SimulationInfo {
            spec: self.spec.clone(),
            status: self.status,
            cause: self.cause,
            tick: self.published_tick(),
            digest: self
                .digest
                .map(|(tick, digest)| TickDigest { tick, digest }),
            aggregate: self.aggregate,
            achieved_speed_milli: if stands { 0 } else { speed() },
            late_ticks: self.totals.late_ticks,
            dilated_ms: self.totals.dilated.as_millis() as u64,
            created_at_us: self.record.created_at_us,
            started_at_us: self.record.started_at_us,
            ended_at_us: self.record.ended_at_us,
            settled: self.settled,
            replaying_to: self.replaying_to(),
        }
    }

    /// Its newest digest.
    pub(crate) fn newest_digest(&self) -> Option<TickDigest> {
        self.digest
            .map(|(tick, digest)| TickDigest { tick, digest })
    }

    /// Last tick that was sent out, complete or not.
    pub(crate) fn last_dispatched(&self) -> u64 {
        let completed = self.completed.unwrap_or(0);
        self.window
            .as_ref()
            .map_or(completed, |w| w.last.max(completed))
    }

    /// Last tick that was sent out, or that it goes to because it was published, or promised, before: where it stands if
    /// nothing more is sent.
    pub(crate) fn present(&self) -> u64 {
        self.last_dispatched().max(self.published_tick())
    }

    /// Rows that a worker has of this run.
    pub(crate) fn rows_of(&self, worker: WorkerId) -> u64 {
        self.partitions
            .iter()
            .filter(|p| p.owner == Some(worker))
            .map(|p| p.rows)
            .sum()
    }

    /// When it goes on by itself, or someone becomes suspect; `None` where an input must come first.
    pub(crate) fn next_wake(&mut self, ctx: &Context<'_>) -> Option<Duration> {
        if self.window.is_some() {
            return self.next_suspicion(ctx.now);
        }
        match self.next(ctx) {
            Next::Wait => None,
            Next::WaitUntil(at) => Some(at),
            // It fell due while an input of another run was handled. One that waits for a worker
            // goes on when one comes.
            Next::Window { .. } | Next::Settle => (!self.said_no_worker).then_some(ctx.now),
        }
    }

    /// What to do now, given that no window is in flight.
    pub(crate) fn next(&self, ctx: &Context<'_>) -> Next {
        debug_assert!(self.window.is_none());
        if self.settled || self.status == Status::Created {
            return Next::Wait;
        }
        let Some(completed) = self.completed else {
            return self.next_before_creation();
        };
        // It ends only after what was published of it.
        if self.replay.is_some() && !(self.status.is_final() && self.is_out_of_reach(ctx)) {
            return self.next_ticks(ctx, completed + 1);
        }
        match self.status {
            status if status.is_final() => self.next_of_the_end(ctx, completed),
            Status::Paused if self.step_until.is_none_or(|until| until <= completed) => {
                self.next_of_the_present(ctx, completed)
            }
            _ => self.next_ticks(ctx, completed + 1),
        }
    }

    /// What a run that has ended at `tick` is asked before it settles.
    fn next_of_the_end(&self, ctx: &Context<'_>, tick: u64) -> Next {
        if self.is_out_of_reach(ctx) {
            return Next::Settle;
        }
        let is_cut_owed = self.cuts.is_owed(tick, ctx.config.cut_every);
        if self.is_digest_unknown() || self.views.is_behind(tick) || is_cut_owed {
            return self.question();
        }
        match self.cuts.keeps_open_until(tick) {
            Some(until) if until > ctx.now => Next::WaitUntil(until),
            _ => Next::Settle,
        }
    }

    /// What a run that stands at `tick` is asked, if anything.
    fn next_of_the_present(&self, ctx: &Context<'_>, tick: u64) -> Next {
        if self.is_digest_unknown() {
            return self.question();
        }
        let cut_at = self.cuts.due_at(tick, ctx.config.cut_every);
        let due_at = [self.views.due_at(tick), cut_at]
            .into_iter()
            .flatten()
            .min();
        match due_at {
            None => Next::Wait,
            Some(at) if at > ctx.now => Next::WaitUntil(at),
            Some(_) => self.question(),
        }
    }

    /// A window of no ticks, that asks about the present one.
    fn question(&self) -> Next {
        Next::Window {
            ticks: 0,
            wants_digest: self.is_digest_unknown(),
            deadline: None,
        }
    }

    /// Whether the last complete tick's digest was not asked for.
    fn is_digest_unknown(&self) -> bool {
        self.digest.map(|(tick, _)| tick) != self.completed
    }

    /// Whether a partition is lost and nobody is there who could ever take it.
    pub(crate) fn is_out_of_reach(&self, ctx: &Context<'_>) -> bool {
        if self.lacks_end {
            return false;
        }
        self.partitions.iter().any(|p| p.owner.is_none())
            && ctx
                .registry
                .iter()
                .all(|w| w.state == WorkerState::Draining)
    }

    /// Creation comes first; a run that ended before has nothing to settle.
    fn next_before_creation(&self) -> Next {
        if self.status.is_final() && self.replay.is_none() {
            return Next::Settle;
        }
        Next::Window {
            ticks: 0,
            wants_digest: true,
            deadline: None,
        }
    }

    /// The window that begins with tick `first`, if it is due.
    fn next_ticks(&self, ctx: &Context<'_>, first: u64) -> Next {
        if ctx.holds_runs || (self.halting && self.replay.is_none()) {
            return match self.replay {
                None => self.next_of_the_present(ctx, first - 1),
                Some(_) => Next::Wait,
            };
        }
        match self.full_until() {
            Some(until) if until > ctx.now => return Next::WaitUntil(until),
            Some(_) => {
                return Next::Window {
                    ticks: 0,
                    wants_digest: false,
                    deadline: None,
                };
            }
            None => {}
        }
        let replay = self.replay.map(|replay| replay.end_of_window(first));
        let end = replay.or(self.step_until).unwrap_or(u64::MAX);
        let end = end.min(self.last_tick());
        // What a replay finds is not written: the last digest is asked for after it.
        let lacks_digest = self.lacks_end && self.replay.is_some_and(|r| r.repeats(first));
        let left = u32::try_from((end + 1).saturating_sub(first)).unwrap_or(u32::MAX);
        let most = self.most_ticks(ctx, first).min(left);
        let stepping = replay.is_some() || self.status == Status::Paused;
        let nominal = self.schedule.nominal_ticks().min(most).max(1);
        let last_nominal = first + u64::from(nominal) - 1;
        let deadline = self.schedule.deadline(last_nominal).filter(|_| !stepping);
        if let Some(deadline) = deadline.filter(|d| *d > ctx.now) {
            return Next::WaitUntil(deadline);
        }
        let ticks = match deadline {
            None => most,
            Some(_) => self.schedule.due_ticks(first, ctx.now, most).max(nominal),
        };
        Next::Window {
            ticks,
            wants_digest: first + u64::from(ticks) - 1 == end && !lacks_digest,
            deadline,
        }
    }

    /// Most ticks that a window from `first` on may have, at least 1.
    fn most_ticks(&self, ctx: &Context<'_>, first: u64) -> u32 {
        if self.cut {
            return 1;
        }
        let target_ns = WINDOW_TARGET.as_nanos() as f64;
        let aimed = self.pace_ns.map_or(1.0, |pace| target_ns / pace.max(1.0));
        // No more than twice the last one, so that one lucky measurement does no harm.
        let aimed = (aimed as u32).min(self.last_ticks.saturating_mul(2));
        let digests = self
            .spec
            .digest_every
            .saturating_mul(MAX_DIGESTS_PER_WINDOW);
        let most = aimed
            .max(self.schedule.nominal_ticks())
            .min(digests)
            .min(u32::try_from(self.checkpoint_ticks).unwrap_or(u32::MAX))
            .clamp(1, MAX_WINDOW_TICKS);
        // It ends where a command is due, so that what came of it is soon known.
        let most = match self.pending.range(first..).next() {
            Some((tick, _)) => (tick - first + 1).min(u64::from(most)) as u32,
            None => most,
        };
        self.ticks_to_sample(ctx, first, most)
    }

    /// A sampled tick is a window of its own: its prior state is a state between windows.
    fn ticks_to_sample(&self, ctx: &Context<'_>, first: u64, most: u32) -> u32 {
        if !verify::is_possible(ctx) {
            return most;
        }
        let partitions = self.partitions.len() as u32;
        for ticks in 0..most {
            let tick = first + u64::from(ticks);
            let one_in = ctx.config.verify_one_in;
            if verify::any_sampled(self.spec.config.seed, partitions, tick, one_in) {
                return ticks.max(1);
            }
        }
        most
    }

    /// Set while a partition's inputs, or the ticks since its checkpoint, are at their bound: the run stands, and this is when the
    /// checkpoint that frees it is asked for again, by a window of no ticks.
    fn full_until(&self) -> Option<Duration> {
        self.partitions
            .iter()
            .inspect(|_| visit())
            .filter(|p| p.history.is_full() || p.is_far(self.completed.unwrap_or(0)))
            .map(|p| p.asked.map_or(Duration::ZERO, |(_, until)| until))
            .max()
    }

    /// Chooses how far apart checkpoints are: so near that what the worker with the most to do would
    /// lose is replayed by the others within the budget.
    pub(crate) fn choose_checkpoint_ticks(&mut self, ctx: &Context<'_>) {
        let mut load_ns: BTreeMap<WorkerId, f64> = BTreeMap::new();
        for p in &self.partitions {
            let (Some(owner), Some(step_ns)) = (p.owner, p.step_ns) else {
                return;
            };
            *load_ns.entry(owner).or_default() += step_ns;
        }
        let threads: u32 = ctx.registry.ready().map(|w| w.threads).sum();
        let slowest = load_ns
            .iter()
            .map(|(worker, ns)| {
                let own = ctx.registry.get(*worker).map_or(0, |w| w.threads);
                let others = threads.saturating_sub(own).max(1);
                ns / f64::from(others)
            })
            .fold(1.0, f64::max);
        let ticks = (REPLAY_BUDGET.as_nanos() as f64 / slowest) as u64;
        let ticks = ticks.clamp(MIN_CHECKPOINT_TICKS, MAX_CHECKPOINT_TICKS);
        // Phases are of use only while the interval stays: it grows where that is worth it.
        if ticks < self.checkpoint_ticks || ticks / 3 >= self.checkpoint_ticks / 2 {
            self.checkpoint_ticks = ticks;
        }
    }

    /// Whether a checkpoint of partition `p` shall be asked for in a window that ends with `last`;
    /// notes that it was.
    pub(crate) fn ask_checkpoint(&mut self, p: usize, last: u64, now: Duration) -> bool {
        let (interval, count) = (self.checkpoint_ticks, self.partitions.len() as u64);
        let state = &mut self.partitions[p];
        let awaited = state.asked.is_some_and(|(_, until)| until > now);
        let lost = state.asked.is_some() && !awaited;
        let moves = matches!(state.moving, Some((_, None)));
        let due = state.checkpoint_at <= last || state.history.is_heavy() || state.is_far(last);
        let is_cut = self.window.as_ref().is_some_and(|w| w.is_cut);
        if last == 0 || !(is_cut || moves || lost || (due && !awaited)) {
            return false;
        }
        if let Some((_, since)) = &mut state.moving {
            *since = Some(last);
        }
        state.asked = Some((last, now + CHECKPOINT_PATIENCE));
        state.checkpoint_at = next_checkpoint(last, interval, p as u64, count);
        true
    }

    /// Says the last word and frees the workers.
    pub(crate) fn settle(&mut self, ctx: &mut Context<'_>) {
        if self.settled {
            return;
        }
        self.settled = true;
        let tick = self.published_tick();
        if !self.dilated_unsaid.is_zero() {
            self.say_dilated(ctx, tick);
        }
        // What it leaves is shown as it is, and what only serves a run that goes on is dropped.
        self.shown = None;
        self.round_trips = crate::suspicion::RoundTrips::default();
        ctx.outbox.event(Event::Settled {
            simulation: self.spec.id,
            status: self.status,
            tick,
            digest: self.digest.filter(|(t, _)| *t == tick).map(|(_, d)| d),
        });
        self.close(ctx);
        self.shed();
    }

    /// Drops what only a run that goes on needs, so that many ended ones may be kept.
    fn shed(&mut self) {
        self.plan = None;
        self.partitions = Vec::new();
        self.routing.shed();
        self.replay = None;
        self.cuts = Cuts::default();
    }

    /// Tells every worker to drop it. Nothing of it is ever dispatched again.
    pub(crate) fn close(&mut self, ctx: &mut Context<'_>) {
        self.settled = true;
        self.window = None;
        for worker in std::mem::take(&mut self.opened) {
            if let Some(peer) = ctx.registry.get(worker).map(|w| w.peer) {
                let frame = wire::close(ctx.config.lease_epoch, self.spec.id);
                ctx.outbox.send(peer, Class::Control, 0, frame, false);
            }
        }
        for p in &mut self.partitions {
            if let Some(owner) = p.owner.take() {
                ctx.registry.pay(owner, std::mem::take(&mut p.debt));
            }
            p.held = false;
            p.moving = None;
            p.history = History::default();
        }
        self.pending.clear();
        self.pending_count = 0;
    }

    /// Last tick the run can reach.
    pub(crate) fn last_tick(&self) -> u64 {
        self.spec.max_ticks.unwrap_or(kernel::config::MAX_TICK)
    }

    /// Changes the status and says so.
    pub(crate) fn change(&mut self, ctx: &mut Context<'_>, status: Status, cause: Cause) {
        self.status = status;
        self.cause = cause;
        if status == Status::Completed {
            self.step_until = Some(self.last_tick());
        }
        // While a run stands nothing is owed.
        self.owed_since = None;
        ctx.outbox.event(Event::Lifecycle {
            simulation: self.spec.id,
            status,
            cause,
            tick: self.published_tick(),
        });
    }

    /// Shifts the deadlines of a run that is too far behind; `false` if that ends it.
    pub(crate) fn catch_up(&mut self, ctx: &mut Context<'_>) -> bool {
        let Some(next) = self.completed.map(|t| t + 1) else {
            return true;
        };
        if self.status != Status::Running || self.replay.is_some() {
            self.held_since = None;
            return true;
        }
        if ctx.holds_runs || self.halting {
            // What is not due because nothing is dispatched is not late either.
            self.held_since.get_or_insert(ctx.now);
            return true;
        }
        if let Some(since) = self.held_since.take() {
            self.schedule.excuse(next, since, ctx.now);
        }
        let due = self.schedule.deadline(next);
        let Some(by) = self.schedule.dilate(next, ctx.now) else {
            return true;
        };
        self.owed_since = self.owed_since.or(due);
        if self.spec.late == LatePolicy::Fail {
            self.fail(ctx, Cause::Late);
            return false;
        }
        self.totals.dilated += by;
        self.dilated_unsaid += by;
        let said = self.dilated_said_at;
        if said.is_none_or(|at| at + DILATED_EVERY <= ctx.now) {
            self.say_dilated(ctx, next);
        }
        true
    }

    fn say_dilated(&mut self, ctx: &mut Context<'_>, tick: u64) {
        self.dilated_said_at = Some(ctx.now);
        ctx.outbox.event(Event::Dilated {
            simulation: self.spec.id,
            tick,
            by: std::mem::take(&mut self.dilated_unsaid),
        });
    }

    fn transition(
        &mut self,
        ctx: &mut Context<'_>,
        request: &'static str,
        from: &[Status],
        to: Status,
    ) -> Result<(), ControlError> {
        if !from.contains(&self.status) {
            return Err(self.invalid(request));
        }
        self.change(ctx, to, Cause::Requested);
        Ok(())
    }

    pub(crate) fn invalid(&self, request: &'static str) -> ControlError {
        ControlError::InvalidTransition {
            request,
            status: self.status,
        }
    }

    /// How many commands a target makes: one a machine that it names, or one a partition where it
    /// names a site or all.
    ///
    /// # Errors
    /// [`ControlError`] names what of it is not there.
    pub(crate) fn commands_for(&self, target: &Target) -> Result<usize, ControlError> {
        let plan = self.plan.as_ref().expect("a run that goes on has a plan");
        addresses(plan, target).map(|addresses| addresses.len())
    }

    /// Queues a command for whom it is for, where no more than `limit` wait then.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be; then nothing is changed.
    pub(crate) fn enqueue(
        &mut self,
        stamp: CommandStamp,
        request: &CommandRequest,
        limit: usize,
    ) -> Result<(), ControlError> {
        let plan = self.plan.as_ref().expect("a run that goes on has a plan");
        let addresses = addresses(plan, &request.target)?;
        if self.pending_count + addresses.len() > limit {
            return Err(ControlError::TooManyCommands { limit });
        }
        let count = addresses.len();
        let mut added: BTreeMap<u32, Vec<Command>> = BTreeMap::new();
        for (partition, machine) in addresses {
            let (seq, action) = (stamp.seq, request.action);
            let command = match (&request.target, machine) {
                (Target::Site(site), _) => Command::for_site(seq, *site, action),
                (_, Some(machine)) => Command::new(seq, machine, action),
                (_, None) => Command::for_all(seq, action),
            };
            added.entry(partition).or_default().push(command);
        }
        // Nothing is entered for what is refused: the next window would end at its tick.
        let queued = self.pending.get(&stamp.tick);
        for (partition, commands) in &added {
            let before = queued.and_then(|q| q.get(partition)).map_or(0, Vec::len);
            if before + commands.len() > MAX_PARTITION_COMMANDS {
                let limit = MAX_PARTITION_COMMANDS;
                return Err(ControlError::TooManyCommands { limit });
            }
        }
        let queued = self.pending.entry(stamp.tick).or_default();
        for (partition, commands) in added {
            let queued = queued.entry(partition).or_default();
            let in_order = queued.last().is_none_or(|last| last.seq < stamp.seq);
            queued.extend(commands);
            // One that was kept sooner may be of a greater seq.
            if !in_order {
                queued.sort_by_key(|command| command.seq);
            }
        }
        self.last_seq = self.last_seq.max(stamp.seq);
        self.pending_count += count;
        Ok(())
    }
}

/// A partition, and a machine of it; `None` for all of those that the target names.
type Address = (u32, Option<u32>);

/// Where a target is: a machine named twice is there once, and a site or all machines are addressed once
/// a partition, however many they are.
fn addresses(plan: &Plan, target: &Target) -> Result<Vec<Address>, ControlError> {
    let entities = plan.farm.config.entities;
    let known = |entity: u32| match (1..=entities).contains(&entity) {
        true => Ok((plan.partition_of(entity), Some(entity))),
        false => Err(ControlError::UnknownEntity { entity, entities }),
    };
    let whole = |partitions: Range<u32>| partitions.map(|p| (p, None)).collect();
    match target {
        Target::Entity(entity) => Ok(vec![known(*entity)?]),
        Target::Entities(ids) if ids.is_empty() => Err(ControlError::NoEntities),
        Target::Entities(ids) if ids.len() > MAX_COMMAND_ENTITIES => {
            let limit = MAX_COMMAND_ENTITIES;
            Err(ControlError::TooManyEntities { limit })
        }
        Target::Entities(ids) => {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.into_iter().map(known).collect()
        }
        Target::Site(site) if *site >= plan.farm.sites => {
            let last = plan.farm.sites - 1;
            Err(ControlError::UnknownSite { site: *site, last })
        }
        Target::Site(site) => Ok(whole(plan.partitions_of_site(*site))),
        Target::All => {
            let partitions = u32::try_from(plan.partitions.len());
            Ok(whole(0..partitions.expect("counted in 32 bits")))
        }
    }
}

/// The first tick after `last` in which a checkpoint of partition `p` of `count` is due: one an
/// interval each, in phases spread evenly over it, so that they never come all at once.
pub(crate) fn next_checkpoint(last: u64, interval: u64, p: u64, count: u64) -> u64 {
    let phase = p * interval / count.max(1);
    // The next number after `last` that is `phase` more than a multiple of the interval.
    last + interval - (last + interval - phase) % interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_an_interval_apart_each_and_evenly_spread() {
        for (interval, count) in [(64, 4), (16, 100), (1_000, 7)] {
            for p in 0..count {
                let first = next_checkpoint(0, interval, p, count);
                assert!((1..=interval).contains(&first));
                assert_eq!(first % interval, p * interval / count);
                assert_eq!(next_checkpoint(first, interval, p, count), first + interval);
            }
            // Whatever lined them up, the next ones are spread again, and none is late.
            let next: Vec<u64> = (0..count)
                .map(|p| next_checkpoint(12_345, interval, p, count))
                .collect();
            assert!(
                next.iter()
                    .all(|at| (1..=interval).contains(&(at - 12_345)))
            );
            let at_once = |at: &&u64| next.iter().filter(|other| other == at).count() as u64;
            assert!(next.iter().map(|at| at_once(&at)).max().unwrap() <= count.div_ceil(interval));
        }
    }
}
