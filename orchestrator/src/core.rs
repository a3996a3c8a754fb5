//! The state machine: what comes in is handed to the part it is for. It never does I/O, never waits
//! and never reads a clock.
//!
//! # Call order
//!
//! 1. Give it one input: [`Orchestrator::handle_link`], [`Orchestrator::handle_timeout`],
//!    [`Orchestrator::handle_arbitrated`] or a control call such as [`Orchestrator::start`].
//! 2. Drain [`Orchestrator::poll_transmit`], then [`Orchestrator::poll_event`], then
//!    [`Orchestrator::poll_arbitration`], [`Orchestrator::poll_view`] and [`Orchestrator::poll_cut`],
//!    each until `None`.
//! 3. Say how long that took: [`Orchestrator::handle_drained`]. A test in virtual time may leave it out.
//! 4. Call [`Orchestrator::handle_timeout`] at [`Orchestrator::poll_timeout`] or soon after.
//!
//! `now` is the time since an origin of the caller's choice and never goes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kernel::plan::Plan;
use store::history::Cut;
use store::recovery::Recovered;
use transport::frame::Frame;
use transport::header::Kind;
use transport::link::{Class, LinkCommand, LinkEvent, PeerId, Role};
use transport::message::{Heartbeat, Register};
use transport::metrics::Traffic;
use transport::pool::FramePool;

use crate::arbitrate::Arbitrated;
use crate::chronicle::Chronicle;
use crate::collect::ResultFault;
use crate::config::Config;
use crate::context::{Context, Outbox, Stopwatch};
use crate::control::{
    Cause, CommandRequest, CommandStamp, ControlError, SimulationId, SimulationInfo, Spec, Speed,
    Status, WorkerId, validate_speed,
};
use crate::cost;
use crate::desk::Desk;
use crate::event::Event;
use crate::feeds::Feeds;
use crate::gateways::Gateways;
use crate::latency::{Durations, Latencies, Stage};
use crate::limits::{HICCUP, MAX_MOVES, MAX_UNREGISTERED, MAX_WORKERS, REBALANCE_EVERY};
use crate::placement::{self, Load};
use crate::reception::Postponed;
use crate::recovery::RecoveryFault;
use crate::registry::{Registry, Worker, WorkerState};
use crate::request::{check_partitions, refused};
use crate::simulation::Simulation;
use crate::snapshot::{SimulationSnapshot, Snapshot, Stalls, Times, Totals, WorkerSnapshot};
use crate::tickets::Tickets;
use crate::tokens::Tokens;
use crate::verify::{Arbitration, Verdict, Verifier};
use crate::wall::Wall;
use crate::wire;
use crate::writing::Metadata;

/// How much busier than the average the busiest worker may be before partitions move.
const IMBALANCE: f64 = 0.25;
/// The same when a worker has just joined.
const JOIN_IMBALANCE: f64 = 0.02;
/// Least share by which a move makes the busiest worker less busy.
const MOVE_GAIN: f64 = 0.01;

/// The context of one input, borrowing every part of the core but the simulations.
macro_rules! context {
    ($core:ident, $now:expr) => {
        $crate::context::Context {
            now: $now,
            stopwatch: $core.stopwatch.as_ref(),
            config: &$core.config,
            holds_runs: $core.is_closing || $core.chronicle.holds_runs(),
            registry: &mut $core.registry,
            verifier: &mut $core.verifier,
            outbox: &mut $core.outbox,
        }
    };
}

pub(crate) use context;

/// The orchestrator without its I/O.
#[derive(Debug)]
pub struct Orchestrator {
    pub(crate) config: Config,
    pub(crate) stopwatch: Option<Stopwatch>,
    /// When the last input came.
    pub(crate) now: Duration,
    /// When the next one was to come at the latest, as the caller was told.
    wake_at: Option<Duration>,
    pub(crate) registry: Registry,
    /// Connections that have not registered, and since when.
    pub(crate) strangers: BTreeMap<u64, (Duration, Role)>,
    pub(crate) simulations: BTreeMap<SimulationId, Simulation>,
    pub(crate) verifier: Verifier,
    pub(crate) outbox: Outbox,
    /// What was asked and waits.
    pub(crate) desk: Desk,
    pub(crate) tokens: Tokens,
    /// Whether gateways are to be told of them.
    pub(crate) tokens_changed: bool,
    pub(crate) tickets: Tickets,
    pub(crate) wall: Wall,
    pub(crate) gateways: Gateways,
    pub(crate) feeds: Feeds,
    /// Subscriptions that wait; of each gateway no more than it may ask at once.
    pub(crate) postponed: Vec<Postponed>,
    /// What gateways are told, in order.
    pub(crate) publications: VecDeque<LinkCommand>,
    /// Frames published, each once however many heard it.
    pub(crate) published: u64,
    /// Ticks whose views a gateway was not sent, for it was slow and there was a newer one.
    pub(crate) skipped_views: u64,
    pub(crate) chronicle: Chronicle,
    /// How long batches took to be written.
    pub(crate) appends: Durations,
    /// Metadata that are not written yet.
    pub(crate) metadata: BTreeMap<SimulationId, Metadata>,
    /// Runs that a worker had a part of, whose fate is about to be told.
    pub(crate) had: BTreeMap<WorkerId, Vec<SimulationId>>,
    /// Whether it is about to end: nothing that is asked is begun, and no run goes on.
    pub(crate) is_closing: bool,
    /// Set once nothing more is begun, and why.
    pub(crate) ended: Option<String>,
    rebalance_at: Option<Duration>,
    /// What deleted runs left.
    retired: (Totals, Latencies, Stalls),
    refused: u64,
    lost_workers: u64,
    unexpected_frames: u64,
    pub(crate) traffic: Traffic,
    /// When runs are to be advanced though no input is for them. One entry a run is right, the one
    /// that the run names; others are of deleted runs.
    wakes: BTreeSet<(Duration, SimulationId)>,
    /// Runs whose entry is to be looked up anew.
    stale: Vec<SimulationId>,
    /// Runs that completed, and runs that dispatched, a window in this input.
    touched: Touched,
}

#[derive(Debug, Default)]
struct Touched {
    /// And since when.
    completed: Vec<(SimulationId, Duration)>,
    dispatched: Vec<SimulationId>,
}

/// How far the drive loop had come, when.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// The last frame was given to the link.
    pub transmitted: Duration,
    /// The last event was given to the subscribers.
    pub published: Duration,
}

impl Orchestrator {
    /// An orchestrator without workers and simulations, that makes its frames in buffers of `pool`.
    #[must_use]
    pub fn new(config: Config, pool: FramePool) -> Orchestrator {
        let chronicle = Chronicle::new(config.max_backlog_bytes);
        Orchestrator {
            config,
            stopwatch: None,
            now: Duration::ZERO,
            wake_at: None,
            registry: Registry::default(),
            strangers: BTreeMap::new(),
            simulations: BTreeMap::new(),
            verifier: Verifier::default(),
            outbox: Outbox::new(pool),
            desk: Desk::default(),
            tokens: Tokens::default(),
            tokens_changed: false,
            tickets: Tickets::default(),
            wall: Wall::default(),
            gateways: Gateways::default(),
            feeds: Feeds::default(),
            postponed: Vec::new(),
            publications: VecDeque::new(),
            published: 0,
            skipped_views: 0,
            chronicle,
            appends: Durations::default(),
            metadata: BTreeMap::new(),
            had: BTreeMap::new(),
            ended: None,
            is_closing: false,
            rebalance_at: None,
            retired: Default::default(),
            refused: 0,
            lost_workers: 0,
            unexpected_frames: 0,
            traffic: Traffic::default(),
            wakes: BTreeSet::new(),
            stale: Vec::new(),
            touched: Touched::default(),
        }
    }

    /// Measures with a clock of the same origin as `now`. Without one an input takes no time, as in
    /// virtual time. It is only measured with: no decision depends on it.
    #[must_use]
    pub fn with_stopwatch(mut self, read: impl Fn() -> Duration + Send + 'static) -> Orchestrator {
        self.stopwatch = Some(Stopwatch(Box::new(read)));
        self
    }

    /// Something came from the link.
    pub fn handle_link(&mut self, now: Duration, event: LinkEvent) {
        self.begin(now);
        match event {
            LinkEvent::Connected { peer, role, .. } => self.handle_connected(now, peer, role),
            LinkEvent::Frame { peer, frame } => {
                self.traffic.received(&frame);
                self.handle_frame(now, peer, frame);
            }
            LinkEvent::Disconnected { peer, reason } => {
                self.strangers.remove(&peer.0);
                if let Some(worker) = self.registry.by_peer(peer) {
                    self.lose(now, worker, &reason.to_string());
                }
                self.lose_gateway(now, peer, &reason.to_string());
            }
        }
    }

    /// The link takes nothing more for a peer: what it was sent last is lost, so the peer is too.
    pub fn handle_stuck(&mut self, now: Duration, peer: PeerId) {
        self.begin(now);
        let reason = "the link takes nothing more for it";
        self.strangers.remove(&peer.0);
        match self.registry.by_peer(peer) {
            Some(worker) => self.expel(now, worker, reason),
            None if self.gateways.contains(peer) => self.expel_gateway(now, peer, reason),
            None => self.outbox.disconnect(peer, reason.to_owned()),
        }
    }

    /// Time has come to [`Orchestrator::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Duration) {
        self.begin(now);
        let timeout = self.config.heartbeat_timeout;
        for worker in self.registry.silent(now, timeout) {
            self.expel(now, worker, "nothing was heard of it");
        }
        for peer in self.gateways.silent(now, timeout) {
            self.expel_gateway(now, peer, "nothing was heard of it");
        }
        let overdue = self
            .strangers
            .iter()
            .filter(|(_, (since, _))| *since + timeout <= now);
        for peer in overdue.map(|(peer, _)| PeerId(*peer)).collect::<Vec<_>>() {
            self.strangers.remove(&peer.0);
            let reason = "it did not register in time".to_owned();
            self.outbox.disconnect(peer, reason);
        }
        self.expire(now);
        for verdict in self.verifier.handle_timeout(now) {
            self.judge(now, &verdict, None);
        }
        // Before others become suspect: who is ready again can take what they have.
        let forgiven = self.registry.forgive(now);
        let suspects = self.find_suspects(now);
        let rebalances = forgiven || self.rebalance_at.is_some_and(|at| at <= now);
        if rebalances {
            let tolerated = if forgiven { JOIN_IMBALANCE } else { IMBALANCE };
            self.rebalance(now, tolerated);
        }
        if suspects || rebalances {
            self.advance_all(now);
        } else {
            self.advance_due(now);
        }
    }

    /// An [`Arbitration`] has its answer.
    pub fn handle_arbitrated(&mut self, now: Duration, arbitrated: &Arbitrated) {
        self.begin(now);
        let Some(verdict) = self.verifier.arbitrated(arbitrated.request) else {
            return;
        };
        self.judge(now, &verdict, arbitrated.digest.as_ref().ok().copied());
        self.advance_all(now);
    }

    /// All polls were drained after the last input: takes in how long that took.
    pub fn handle_drained(&mut self, drained: Drained) {
        let now = self.now;
        let Touched {
            completed,
            dispatched,
        } = std::mem::take(&mut self.touched);
        for (id, _) in &completed {
            if let Some(simulation) = self.simulations.get_mut(id) {
                let publish = drained.published.saturating_sub(drained.transmitted);
                simulation.latencies.record(Stage::Publish, publish);
            }
        }
        for id in &dispatched {
            // What was handled for a completion is aggregation, not dispatch.
            let completed_at = completed.iter().find(|(c, _)| c == id).map(|(_, at)| *at);
            let begin = completed_at.unwrap_or(now);
            if let Some(simulation) = self.simulations.get_mut(id) {
                let dispatch = drained.transmitted.saturating_sub(begin);
                simulation.latencies.record(Stage::Dispatch, dispatch);
            }
        }
    }

    /// Adds a simulation; it begins with [`Orchestrator::start`]. Its farm is cut here, which takes the
    /// longer the larger it is: where nothing may wait for that, see [`Orchestrator::create_planned`].
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with the specification.
    pub fn create(&mut self, now: Duration, spec: Spec) -> Result<SimulationId, ControlError> {
        let plan = Plan::new(&spec.config)?;
        self.create_planned(now, spec, plan)
    }

    /// Adds a simulation whose farm was cut elsewhere.
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with the specification.
    ///
    /// # Panics
    /// If the plan is of another configuration than the specification's.
    pub fn create_planned(
        &mut self,
        now: Duration,
        spec: Spec,
        plan: Plan,
    ) -> Result<SimulationId, ControlError> {
        self.begin(now);
        self.check_spec(&spec)?;
        check_partitions(&plan)?;
        let created_at_us = self.wall.unix_us(now);
        Ok(self.insert(spec, plan, created_at_us))
    }

    /// Adds a simulation that was checked.
    pub(crate) fn insert(&mut self, spec: Spec, plan: Plan, created_at_us: u64) -> SimulationId {
        let id = spec.id;
        let mut simulation = Simulation::new(spec, plan);
        simulation.record.created_at_us = created_at_us;
        self.outbox.event(Event::Lifecycle {
            simulation: id,
            status: Status::Created,
            cause: Cause::Requested,
            tick: 0,
        });
        self.simulations.insert(id, simulation);
        id
    }

    /// Adds a simulation as the store has it, with a plan of its farm if it [goes on](Recovered::goes_on).
    /// It goes on from there, after a replay to its head, or to the later tick at which it was said to stand.
    ///
    /// # Errors
    /// [`RecoveryFault`] names what is wrong with what was kept.
    ///
    /// # Panics
    /// If a simulation of that id is there, or one that goes on has no plan or another run's.
    pub fn recover(
        &mut self,
        now: Duration,
        recovered: Recovered,
        plan: Option<Plan>,
    ) -> Result<(), RecoveryFault> {
        self.begin(now);
        let id = recovered.spec.id;
        assert!(!self.simulations.contains_key(&id), "recovered once");
        let has_entities = recovered.has_entities;
        let farm = plan.as_ref().map(|plan| plan.farm.clone());
        let head = kept_head(&recovered);
        let simulation = if recovered.goes_on() {
            let plan = plan.expect("one that goes on has a plan");
            Simulation::recovered(&mut context!(self, now), recovered, plan)?
        } else {
            Simulation::ended(&recovered)
        };
        self.simulations.insert(id, simulation);
        if self.config.durable {
            self.chronicle.open(id, Some(head));
            if let Some(farm) = farm.filter(|_| !has_entities) {
                self.begin_metadata(id, farm);
            }
        }
        self.advance(now, id);
        Ok(())
    }

    /// Adds a simulation of which what the store has is nothing to go on with: it is shown as failed. The
    /// store is not told so, for it may be this build that cannot, and another that can.
    pub fn recover_as_failed(&mut self, now: Duration, mut recovered: Recovered, reason: &str) {
        self.begin(now);
        let id = recovered.spec.id;
        let mut kept_state = None;
        if !recovered.state.status.is_final() {
            kept_state = Some(recovered.state.clone());
            recovered.state.status = Status::Failed;
            recovered.state.cause = Cause::Unrecoverable;
            recovered.state.ended_at_us = Some(self.wall.unix_us(now));
        }
        let head = kept_head(&recovered);
        let mut simulation = Simulation::ended(&recovered);
        simulation.record.kept_state = kept_state;
        self.simulations.insert(id, simulation);
        self.chronicle.open(id, Some(head));
        self.log(id, || crate::journal::unrecoverable(reason));
    }

    /// Begins with the tokens that are kept.
    pub fn load_tokens(&mut self, tokens: Vec<transport::control::Token>) {
        self.tokens.load(tokens);
    }

    /// It is to end: from now on nothing that is asked is begun, and no run goes on. Each is asked for a last
    /// cut, so that whoever takes it up has nothing to replay.
    pub fn begin_shutdown(&mut self, now: Duration) {
        self.begin(now);
        self.is_closing = true;
        for run in self.simulations.values_mut() {
            if !run.status.is_final() && run.completed.is_some() {
                run.ask_cut();
            }
        }
        self.advance_all(now);
    }

    /// Whether nothing is under way any more, and all that happened is written.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let rests = |run: &Simulation| run.window.is_none() && run.cuts.tick().is_none();
        self.simulations.values().all(rests)
            && self.desk.waiting() == 0
            && self.outbox.cuts.is_empty()
            && self.chronicle.is_empty()
    }

    /// Starts a created simulation.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn start(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::start)
    }

    /// Pauses a running simulation after the window in flight.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn pause(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::pause)
    }

    /// Resumes a paused simulation.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn resume(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::resume)
    }

    /// Advances a paused simulation by `ticks`.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist, is not paused, or `ticks` is 0.
    pub fn step(
        &mut self,
        now: Duration,
        id: SimulationId,
        ticks: u64,
    ) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| simulation.step(ticks))
    }

    /// Stops a simulation; [`Event::Settled`] follows once its last digest is known.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn stop(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::stop)
    }

    /// Changes the speed of a simulation.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist, has ended, or the speed is out of range.
    pub fn set_speed(
        &mut self,
        now: Duration,
        id: SimulationId,
        speed: Speed,
    ) -> Result<(), ControlError> {
        validate_speed(speed)?;
        self.control(now, id, |simulation, ctx| {
            simulation.set_speed(ctx.now, speed)
        })
    }

    /// Gives a command its place in the simulation's log.
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with it.
    pub fn command(
        &mut self,
        now: Duration,
        id: SimulationId,
        request: &CommandRequest,
    ) -> Result<CommandStamp, ControlError> {
        self.control(now, id, |simulation, ctx| simulation.command(ctx, request))
    }

    /// From now on views of a simulation come at most so many times a second of wall time, of the
    /// highest rate that anyone wants; `None` for nobody.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn set_view_hz(
        &mut self,
        now: Duration,
        id: SimulationId,
        hz: Option<u32>,
    ) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| {
            simulation.set_view_hz(hz);
            Ok(())
        })
    }

    /// Asks for a view of a simulation's present tick, or of the next window's if it goes on.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn ask_view(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| {
            simulation.ask_view();
            Ok(())
        })
    }

    /// Asks for a cut of a simulation's present tick, or of the next window's if it goes on.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn ask_cut(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| {
            simulation.ask_cut();
            Ok(())
        })
    }

    /// Removes a simulation in any state; [`Event::Deleted`] is the last that is said of it.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn delete(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.begin(now);
        self.remove(now, id)
    }

    pub(crate) fn remove(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        // Who listens hears the last of it.
        self.note();
        self.publish(now, id, true);
        self.feeds.close(id);
        // Out of the map first: what is closed must never be advanced again.
        let removed = self.simulations.remove(&id);
        let mut simulation = removed.ok_or(ControlError::UnknownSimulation { id })?;
        self.chronicle.close(id);
        self.metadata.remove(&id);
        simulation.close(&mut context!(self, now));
        self.verifier.simulation_gone(id);
        self.retired.0.merge(&totals(&simulation));
        self.retired.1.merge(&simulation.latencies);
        self.retired.2.merge(&simulation.stalls);
        self.outbox.event(Event::Deleted {
            simulation: id,
            tick: simulation.completed.unwrap_or(0),
        });
        // What waited for its replays goes on.
        self.advance_all(now);
        Ok(())
    }

    /// Gives a worker nothing more and moves what it has.
    ///
    /// # Errors
    /// [`ControlError::UnknownWorker`].
    pub fn drain(&mut self, now: Duration, worker: WorkerId) -> Result<(), ControlError> {
        self.begin(now);
        if self.registry.get(worker).is_none() {
            return Err(ControlError::UnknownWorker { worker });
        }
        self.begin_drain(now, worker);
        self.advance_all(now);
        Ok(())
    }

    /// What can be read of a simulation.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn simulation(&self, id: SimulationId) -> Result<SimulationInfo, ControlError> {
        let simulation = self.simulations.get(&id);
        simulation
            .map(|s| s.info(self.now))
            .ok_or(ControlError::UnknownSimulation { id })
    }

    /// What the link shall do next.
    pub fn poll_transmit(&mut self) -> Option<LinkCommand> {
        self.note();
        let command = self.outbox.transmits.pop_front()?;
        if let LinkCommand::Transmit(transmit) = &command {
            self.traffic.sent(&transmit.frame);
        }
        Some(command)
    }

    /// What subscribers and the log shall hear next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.note();
        self.outbox.events.pop_front()
    }

    /// A step the orchestrator must compute itself, see [`crate::arbitrate::arbitrate`].
    pub fn poll_arbitration(&mut self) -> Option<Arbitration> {
        self.outbox.arbitrations.pop_front()
    }

    /// A partition's view that was asked for, as its worker sent it.
    pub fn poll_view(&mut self) -> Option<Frame> {
        self.outbox.views.pop_front()
    }

    /// A cut for the store, to be written behind everything that was published up to its tick. All of that
    /// was polled before, as events.
    pub fn poll_cut(&mut self) -> Option<(SimulationId, Cut)> {
        self.outbox.cuts.pop_front()
    }

    /// When [`Orchestrator::handle_timeout`] has something to do; never if `None`.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        if self.ended.is_some() {
            return None;
        }
        let now = self.now;
        let timeout = self.config.heartbeat_timeout;
        let strangers = self
            .strangers
            .values()
            .map(|(since, _)| *since + timeout)
            .min();
        let next = [
            self.registry.next_timeout(timeout),
            strangers,
            self.verifier.next_timeout(),
            self.rebalance_at,
            self.desk.expire_at,
            self.gateways.next_timeout(timeout),
            self.feeds.next_at(),
            self.chronicle.next_at(),
        ]
        .into_iter()
        .flatten()
        .min();
        let next = [next, self.next_wake(now)].into_iter().flatten().min();
        self.wake_at = next.map(|at| at.max(now));
        next
    }

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
                .map(|s| simulation_snapshot(s, now))
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
            published: self.published,
            skipped_views: self.skipped_views,
            answered: self.desk.answered.clone(),
            waiting_requests: self.desk.waiting() as u64,
            backlog_bytes: self.chronicle.bytes() as u64,
            backlog_age: self.chronicle.age(now),
            batches: self.chronicle.batches,
            store_faults: self.chronicle.faults,
            commits: Times(self.desk.commits.all()),
            appends: Times(self.appends.clone()),
        }
    }

    /// Partitions and rows of each worker that has any.
    pub(crate) fn held(&self) -> BTreeMap<WorkerId, (u64, u64)> {
        let mut held: BTreeMap<WorkerId, (u64, u64)> = BTreeMap::new();
        for p in self.simulations.values().flat_map(|s| &s.partitions) {
            cost::visit();
            if let Some(owner) = p.owner {
                let (partitions, rows) = held.entry(owner).or_default();
                *partitions += 1;
                *rows += p.rows;
            }
        }
        held
    }

    /// What time it is for people: UNIX time in us. To be told about once a second.
    pub fn handle_wall(&mut self, now: Duration, unix_us: u64) {
        self.wall.set(now, unix_us);
    }

    /// Nothing more is begun from now on: what is asked is refused, nothing is dispatched or written.
    pub(crate) fn end(&mut self, reason: String) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(reason);
        for caller in self.desk.clear() {
            self.answer(&caller, refused(ControlError::Ended));
        }
    }

    /// Why nothing more is done; `None` while all goes on.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// An input begins.
    pub(crate) fn begin(&mut self, now: Duration) {
        debug_assert!(now >= self.now, "time never goes back");
        self.now = now;
        self.touched = Touched::default();
        let late = self.wake_at.take().map(|at| now.saturating_sub(at));
        if let Some(late) = late.filter(|late| *late >= HICCUP) {
            self.excuse(now, late);
        }
    }

    /// This side comes too late by `late`: others are not made to pay for it.
    fn excuse(&mut self, now: Duration, late: Duration) {
        self.registry
            .excuse(now, late, self.config.heartbeat_timeout);
        (self.gateways).excuse(now, late, self.config.heartbeat_timeout);
        for (since, _) in self.strangers.values_mut() {
            *since = (*since + late).min(now);
        }
        for simulation in self.simulations.values_mut() {
            simulation.excuse(now, late);
        }
    }

    /// A control call to one simulation.
    fn control<T>(
        &mut self,
        now: Duration,
        id: SimulationId,
        call: impl FnOnce(&mut Simulation, &mut Context<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        self.begin(now);
        self.act(now, id, call)
    }

    /// A call to one simulation, in an input that has begun.
    pub(crate) fn act<T>(
        &mut self,
        now: Duration,
        id: SimulationId,
        call: impl FnOnce(&mut Simulation, &mut Context<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let simulation = self
            .simulations
            .get_mut(&id)
            .ok_or(ControlError::UnknownSimulation { id })?;
        let answer = call(simulation, &mut context!(self, now))?;
        self.advance(now, id);
        Ok(answer)
    }

    fn handle_connected(&mut self, now: Duration, peer: PeerId, role: Role) {
        let known = self.strangers.len() < MAX_UNREGISTERED;
        if role != Role::Orchestrator && known {
            self.strangers.insert(peer.0, (now, role));
        } else {
            let reason = "no place for another connection of this role".to_owned();
            self.outbox.disconnect(peer, reason);
        }
    }

    fn handle_frame(&mut self, now: Duration, peer: PeerId, frame: Frame) {
        let Some(worker) = self.registry.by_peer(peer) else {
            if self.gateways.contains(peer) {
                return self.handle_gateway(now, peer, &frame);
            }
            let role = self.strangers.get(&peer.0).map(|(_, role)| *role);
            match role.filter(|_| frame.header.kind == Kind::Register) {
                Some(Role::Gateway) => self.register_gateway(now, peer, &frame),
                Some(_) => self.register(now, peer, &frame),
                None => self.unexpected_frames += 1,
            }
            return;
        };
        self.registry.heard(worker, now);
        let from = wire::from(&frame);
        if from.lease_epoch != self.config.lease_epoch && frame.header.kind != Kind::Heartbeat {
            self.unexpected_frames += 1;
            return;
        }
        let id = from.simulation;
        let fault = match frame.header.kind {
            Kind::Heartbeat => frame
                .decode()
                .map(|heartbeat| self.handle_heartbeat(now, worker, heartbeat))
                .map_err(ResultFault::from),
            Kind::Result => self.with_simulation(now, worker, id, |s, ctx| {
                s.handle_result(ctx, worker, &frame)
            }),
            Kind::Checkpoint => self.with_simulation(now, worker, id, |s, ctx| {
                s.handle_checkpoint(ctx, worker, frame)
            }),
            Kind::View => {
                self.handle_view(now, worker, id, frame);
                Ok(())
            }
            Kind::Unable => self.with_simulation(now, worker, id, |s, ctx| {
                s.handle_unable(ctx, worker, &frame)
            }),
            Kind::Computed => frame
                .decode()
                .map(|computed| {
                    self.verifier
                        .computed(now, worker, &computed, &mut self.outbox);
                    // A cut may have waited for it.
                    self.advance(now, id);
                })
                .map_err(ResultFault::from),
            _ => {
                self.unexpected_frames += 1;
                Ok(())
            }
        };
        if let Err(fault) = fault {
            tracing::error!(%worker, simulation = %id, partition = from.partition,
                tick = from.tick, %fault, "a worker sent what a correct one does not");
            self.expel(now, worker, &fault.to_string());
            self.advance_all(now);
        }
    }

    /// Hands a frame to the simulation it is of, and lets that go on.
    fn with_simulation(
        &mut self,
        now: Duration,
        worker: WorkerId,
        id: SimulationId,
        handle: impl FnOnce(&mut Simulation, &mut Context<'_>) -> Result<(), ResultFault>,
    ) -> Result<(), ResultFault> {
        let Some(simulation) = self.simulations.get_mut(&id) else {
            self.unexpected_frames += 1;
            self.close_again(worker, id);
            return Ok(());
        };
        if simulation.settled {
            self.close_again(worker, id);
            return Ok(());
        }
        let before = simulation.completed;
        handle(simulation, &mut context!(self, now))?;
        if simulation.completed != before {
            self.touched.completed.push((id, simulation.completed_at));
        }
        let lease_epoch = self.config.lease_epoch;
        self.verifier
            .advance(lease_epoch, &self.registry, &mut self.outbox);
        self.advance(now, id);
        Ok(())
    }

    /// A view is never worth a word to its worker: where it is not wanted it is dropped and counted.
    fn handle_view(&mut self, now: Duration, worker: WorkerId, id: SimulationId, frame: Frame) {
        match self.simulations.get_mut(&id) {
            Some(simulation) => simulation.handle_view(&mut context!(self, now), worker, frame),
            None => self.unexpected_frames += 1,
        }
    }

    /// A worker speaks of a run that has ended: what it was sent of it may have been overtaken by the
    /// word to drop it, and would be held for ever.
    fn close_again(&mut self, worker: WorkerId, id: SimulationId) {
        if let Some(peer) = self.registry.get(worker).map(|w| w.peer) {
            let frame = wire::close(self.config.lease_epoch, id);
            self.outbox.send(peer, Class::Control, 0, frame, false);
        }
    }

    fn register(&mut self, now: Duration, peer: PeerId, frame: &Frame) {
        let register = match frame.decode::<Register>() {
            Ok(register) => register,
            Err(fault) => return self.refuse(peer, String::new(), fault.to_string()),
        };
        let refusal = wire::registration_fault(&register).or_else(|| {
            let full = self.registry.len() >= MAX_WORKERS;
            full.then(|| format!("{MAX_WORKERS} workers are registered; stop one first"))
        });
        if let Some(reason) = refusal {
            return self.refuse(peer, register.name, reason);
        }
        self.strangers.remove(&peer.0);
        let (name, threads) = (register.name, register.threads);
        let worker = self.registry.add(now, peer, name.clone(), threads);
        let welcome = wire::welcome(
            &self.outbox.pool,
            self.config.lease_epoch,
            worker,
            self.config.heartbeat,
        );
        self.outbox.send(peer, Class::Control, 0, welcome, false);
        self.outbox.event(Event::WorkerJoined {
            worker,
            name,
            threads,
        });
        self.rebalance(now, JOIN_IMBALANCE);
        // One that was late alone may have another to hand over to now.
        self.find_suspects(now);
        self.advance_all(now);
    }

    pub(crate) fn refuse(&mut self, peer: PeerId, name: String, reason: String) {
        self.refused += 1;
        self.strangers.remove(&peer.0);
        let frame = wire::refused(&self.outbox.pool, self.config.lease_epoch, &reason);
        self.outbox.send(peer, Class::Control, 0, frame, true);
        self.outbox.disconnect(peer, reason.clone());
        self.outbox.event(Event::WorkerRefused { name, reason });
    }

    fn handle_heartbeat(&mut self, now: Duration, worker: WorkerId, heartbeat: Heartbeat) {
        if self.registry.heartbeat(worker, now, heartbeat) {
            self.begin_drain(now, worker);
            self.advance_all(now);
        }
        self.say_drained();
    }

    /// A worker gets nothing more; what it has is moved, at once where nothing goes on.
    fn begin_drain(&mut self, now: Duration, worker: WorkerId) {
        if !self.registry.drain(worker) {
            return;
        }
        self.note_runs_of(worker);
        self.outbox.event(Event::WorkerDraining { worker });
        for simulation in self.simulations.values_mut() {
            let goes = simulation.status == Status::Running || simulation.window.is_some();
            if !goes {
                simulation.handle_worker_gone(&mut context!(self, now), worker);
            }
        }
        self.rebalance(now, 0.0);
    }

    /// A worker cannot be relied on: it is sent away.
    fn expel(&mut self, now: Duration, worker: WorkerId, reason: &str) {
        if let Some(peer) = self.registry.get(worker).map(|w| w.peer) {
            self.outbox.disconnect(peer, reason.to_owned());
        }
        self.lose(now, worker, reason);
    }

    /// A worker is gone: what it had is placed anew.
    fn lose(&mut self, now: Duration, worker: WorkerId, reason: &str) {
        let Some(gone) = self.registry.remove(worker) else {
            return;
        };
        self.note_runs_of(worker);
        if gone.state == WorkerState::Draining && self.rows(worker) == 0 {
            self.outbox.event(Event::WorkerLeft { worker });
        } else {
            self.lost_workers += 1;
            self.outbox.event(Event::WorkerLost {
                worker,
                reason: reason.to_owned(),
            });
        }
        self.take_all_from(now, worker);
        self.advance_all(now);
    }

    /// Takes every partition from a worker without asking it for anything.
    fn take_all_from(&mut self, now: Duration, worker: WorkerId) {
        self.verifier.worker_gone(worker);
        for simulation in self.simulations.values_mut() {
            simulation.handle_worker_gone(&mut context!(self, now), worker);
        }
    }

    /// Takes what late workers have from them; answers whether there was one.
    fn find_suspects(&mut self, now: Duration) -> bool {
        let mut suspects = Vec::new();
        for simulation in self.simulations.values_mut() {
            suspects.extend(simulation.find_suspects(&mut context!(self, now)));
        }
        for worker in &suspects {
            self.take_all_from(now, *worker);
        }
        !suspects.is_empty()
    }

    /// Two workers differ: the one that is wrong is trusted with nothing more, the run stands.
    fn judge(&mut self, now: Duration, verdict: &Verdict, arbitrated: Option<u64>) {
        let sample = &verdict.sample;
        let owner = (sample.owner, verdict.owner_digest);
        self.outbox.event(Event::DigestMismatch {
            simulation: sample.simulation,
            partition: sample.partition,
            tick: sample.tick,
            owner,
            verifier: verdict.verifier,
            arbitrated,
        });
        if let Some(simulation) = self.simulations.get_mut(&sample.simulation) {
            simulation.pause_because(&mut context!(self, now), Cause::DigestMismatch);
        }
        for (worker, digest) in [owner, verdict.verifier] {
            // Where the orchestrator could not compute it either, nobody is known to be wrong.
            if arbitrated.is_none_or(|right| right == digest) {
                continue;
            }
            if worker == sample.owner
                && let Some(simulation) = self.simulations.get_mut(&sample.simulation)
            {
                simulation.distrust(sample.partition);
            }
            self.note_runs_of(worker);
            // One that drains already is not asked for what it has either.
            if self.registry.drain(worker) {
                self.outbox.event(Event::WorkerDraining { worker });
            }
            self.take_all_from(now, worker);
        }
    }

    /// Plans moves if the busiest worker is busier than the average by more than `tolerated`.
    fn rebalance(&mut self, now: Duration, tolerated: f64) {
        let many = self.registry.ready().nth(1).is_some();
        self.rebalance_at = (self.config.rebalance && many).then(|| now + REBALANCE_EVERY);
        let mut capacities = self
            .registry
            .capacities(|worker| self.rows_after_moves(worker));
        self.leave_draining(&capacities);
        if !self.config.rebalance || !placement::is_uneven(&capacities, tolerated) {
            return;
        }
        capacities = self
            .registry
            .capacities(|worker| self.rows_after_moves(worker));
        let mut loads = Vec::new();
        for (id, simulation) in &self.simulations {
            for (p, state) in simulation.partitions.iter().enumerate() {
                if let (Some(owner), None) = (state.owner, state.moving) {
                    let (key, rows) = ((*id, p), state.rows);
                    loads.push(Load { key, rows, owner });
                }
            }
        }
        for ((id, p), to) in placement::rebalance(&loads, &capacities, MOVE_GAIN, MAX_MOVES) {
            let simulation = self.simulations.get_mut(&id).expect("listed above");
            simulation.partitions[p].moving = Some((to, None));
        }
    }

    /// Plans to move everything that draining workers have, if there is anyone to take it.
    fn leave_draining(&mut self, capacities: &[placement::Capacity]) {
        let mut leaving = Vec::new();
        for (id, simulation) in &self.simulations {
            for (p, state) in simulation.partitions.iter().enumerate() {
                let draining =
                    |w| self.registry.get(w).map(|w| w.state) == Some(WorkerState::Draining);
                if state.moving.is_none() && state.owner.is_some_and(draining) {
                    leaving.push((*id, p, state.rows));
                }
            }
        }
        let rows: Vec<u64> = leaving.iter().map(|(_, _, rows)| *rows).collect();
        let Some(owners) = placement::assign(&rows, capacities) else {
            return;
        };
        for ((id, p, _), to) in leaving.into_iter().zip(owners) {
            let simulation = self.simulations.get_mut(&id).expect("listed above");
            simulation.partitions[p].moving = Some((to, None));
        }
    }

    /// Says once of each draining worker that it holds nothing any more.
    fn say_drained(&mut self) {
        let empty: Vec<WorkerId> = self
            .registry
            .iter()
            .filter(|w| w.state == WorkerState::Draining && self.rows(w.id) == 0)
            .map(|w| w.id)
            .collect();
        for worker in empty {
            if self.registry.mark_drained(worker) {
                self.outbox.event(Event::WorkerDrained { worker });
            }
        }
    }

    fn rows(&self, worker: WorkerId) -> u64 {
        self.simulations.values().map(|s| s.rows_of(worker)).sum()
    }

    /// Rows a worker has once the moves under way are done.
    fn rows_after_moves(&self, worker: WorkerId) -> u64 {
        self.simulations
            .values()
            .flat_map(|s| &s.partitions)
            .filter(|p| p.moving.map(|(to, _)| to).or(p.owner) == Some(worker))
            .map(|p| p.rows)
            .sum()
    }

    /// Advances the runs whose time has come, where nothing that others depend on has changed.
    fn advance_due(&mut self, now: Duration) {
        self.next_wake(now);
        let due: Vec<SimulationId> = self
            .wakes
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            self.advance(now, id);
        }
        self.say_drained();
    }

    pub(crate) fn advance_all(&mut self, now: Duration) {
        let ids: Vec<SimulationId> = self.simulations.keys().copied().collect();
        for id in ids {
            self.advance(now, id);
        }
        self.say_drained();
    }

    /// Lets a simulation dispatch what is due.
    pub(crate) fn advance(&mut self, now: Duration, id: SimulationId) {
        let Some(simulation) = self.simulations.get_mut(&id) else {
            return;
        };
        if self.ended.is_some() {
            return;
        }
        let idle = simulation.window.is_none();
        simulation.advance(&mut context!(self, now));
        if !std::mem::replace(&mut simulation.wake_stale, true) {
            self.stale.push(id);
        }
        if idle && simulation.window.as_ref().is_some_and(|w| w.ticks > 0) {
            self.touched.dispatched.push(id);
        }
        // Another run's replays may wait for the same worker.
        if self.registry.take_eased() {
            self.advance_all(now);
        }
    }

    /// When a run is to be advanced though no input is for it. Only runs that were advanced since the
    /// last call are looked at.
    fn next_wake(&mut self, now: Duration) -> Option<Duration> {
        for id in std::mem::take(&mut self.stale) {
            let Some(simulation) = self.simulations.get_mut(&id) else {
                continue;
            };
            simulation.wake_stale = false;
            let wake = simulation.next_wake(&context!(self, now));
            if wake != simulation.wake {
                let before = std::mem::replace(&mut simulation.wake, wake);
                before.map(|at| self.wakes.remove(&(at, id)));
                wake.map(|at| self.wakes.insert((at, id)));
            }
        }
        while let Some(&(at, id)) = self.wakes.first() {
            if self
                .simulations
                .get(&id)
                .is_some_and(|s| s.wake == Some(at))
            {
                return Some(at);
            }
            self.wakes.pop_first();
        }
        None
    }
}

/// Where a run stands, as it is kept.
fn kept_head(recovered: &Recovered) -> store::history::Head {
    store::history::Head {
        tick: recovered.head_tick,
        status: None,
        step_until: None,
        ended_at_us: None,
        digest: recovered.digest,
        aggregate: recovered.aggregate,
        late_ticks: recovered.late_ticks,
        dilated_ms: recovered.dilated_ms,
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
fn totals(simulation: &Simulation) -> Totals {
    let (mails, mail_bytes) = simulation.routing.totals();
    Totals {
        mails,
        mail_bytes,
        ..simulation.totals
    }
}

fn simulation_snapshot(simulation: &Simulation, now: Duration) -> SimulationSnapshot {
    let (latencies, stalls) = match &simulation.shown {
        Some(shown) => shown.clone(),
        None => (simulation.latencies.clone(), simulation.stalls.clone()),
    };
    let histories = || simulation.partitions.iter().map(|p| &p.history);
    SimulationSnapshot {
        info: simulation.info(now),
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
