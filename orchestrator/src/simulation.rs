//! One run: its lifecycle and its partitions. What it does next is in `agenda`, how a window is sent is in
//! `dispatch`, how its results come in is in `collect`, who is suspect is in `suspicion`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kernel::aggregate::Aggregate;
use kernel::command::Command;
use kernel::plan::Plan;
use transport::link::Class;
use transport::message::TickDigest;

use crate::checkpoints::next_checkpoint;
use crate::chronicle::Chronicle;
use crate::context::Context;
use crate::control::{
    Cause, ControlError, LatePolicy, SimulationInfo, Spec, Speed, Status, WorkerId,
};
use crate::cuts::Cuts;
use crate::event::Event;
use crate::history::History;
use crate::keeping::Halt;
use crate::latency::Latencies;
use crate::limits::{DILATED_EVERY, FIRST_CHECKPOINT_TICKS, MAX_REPLAY_TICKS, MAX_WINDOW_TICKS};
use crate::placing::Placing;
use crate::record::Record;
use crate::recovery::Replay;
use crate::registry::Debt;
use crate::routing::Routing;
use crate::schedule::Schedule;
use crate::snapshot::{Stalls, Totals};
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
    pub(crate) fn is_far(&self, tick: u64) -> bool {
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
    /// Latest tick that was given to a command that named none.
    pub(crate) last_placed_tick: u64,
    /// Number of the newest entry of the log `sim`; 0 for none.
    pub(crate) last_sim_seq: u64,
    /// The same as the store has it, which a replay has yet to reach.
    pub(crate) kept_sim_seq: u64,
    /// Tick at which it stands, or to which it goes before it does; `None` while it runs.
    pub(crate) step_until: Option<u64>,
    /// It was asked to stand, and whether that is kept is not known: until then it goes no further.
    pub(crate) halting: Option<Halt>,
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
            last_placed_tick: 0,
            last_sim_seq: 0,
            kept_sim_seq: 0,
            step_until: None,
            halting: None,
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

    /// `pause`: no further window is dispatched. It stands once the one in flight is complete. Of a paused run that steps
    /// only the steps end.
    pub(crate) fn pause(&mut self, ctx: &mut Context<'_>) -> Result<(), ControlError> {
        if !self.steps() {
            self.transition(ctx, "pause", &[Status::Running], Status::Paused)?;
        }
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
        if cause == Cause::DigestMismatch {
            // Nobody knows yet what of it is right.
            self.cuts.give_up(ctx.now);
            if !self.status.is_final() {
                self.end_replay_at_head();
            }
        }
        // Where a replay was said to lead it still goes: it is only cut short what was asked for since.
        if self.status == Status::Running || self.steps() {
            self.step_until = Some(self.present());
            self.change(ctx, Status::Paused, cause);
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

    /// What can be read of it, and of what of it waits in `chronicle`.
    pub(crate) fn info(&self, now: Duration, chronicle: &Chronicle) -> SimulationInfo {
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
            history_lag_ticks: chronicle.lag_ticks(self.spec.id, self.completed.unwrap_or(0)),
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

    /// Whether time stands: nothing is on its way, and no tick will be sent before somebody asks for one.
    pub(crate) fn stands(&self) -> bool {
        match self.status {
            Status::Created => true,
            Status::Paused => self
                .step_until
                .is_none_or(|until| self.completed >= Some(until)),
            _ => false,
        }
    }

    /// Whether it is paused and has ticks of a step to send out yet.
    pub(crate) fn steps(&self) -> bool {
        self.status == Status::Paused && self.step_until > Some(self.present())
    }

    /// Rows that a worker has of this run.
    pub(crate) fn rows_of(&self, worker: WorkerId) -> u64 {
        self.partitions
            .iter()
            .filter(|p| p.owner == Some(worker))
            .map(|p| p.rows)
            .sum()
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
        if ctx.holds_runs || self.halting.is_some() {
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
}
