//! The state machine: what comes in is handed to the part it is for. It never does I/O, never waits
//! and never reads a clock.
//!
//! # Call order
//!
//! 1. Give it one input: [`Orchestrator::handle_link`], [`Orchestrator::handle_timeout`], what came of something that it
//!    gave out (`handle_arbitrated`, `handle_chore`, `handle_committed`, `handle_appended`), a request
//!    ([`Orchestrator::handle_request`]) or a control call such as [`Orchestrator::start`].
//! 2. Drain [`Orchestrator::poll_transmit`], then [`Orchestrator::poll_publication`], then
//!    [`Orchestrator::poll_event`], [`Orchestrator::poll_arbitration`], [`Orchestrator::poll_chore`] and
//!    [`Orchestrator::poll_response`], each until `None`; then, as the store takes them, [`Orchestrator::poll_write`] and
//!    [`Orchestrator::poll_batch`]. A cluster without gateways or a store may take its views by
//!    [`Orchestrator::poll_view`] and its cuts by [`Orchestrator::poll_cut`] in their place.
//! 3. Say how long that took: [`Orchestrator::handle_drained`]. A test in virtual time may leave it out.
//! 4. Call [`Orchestrator::handle_timeout`] at [`Orchestrator::poll_timeout`] or soon after.
//!
//! `now` is the time since an origin of the caller's choice and never goes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use store::history::Cut;
use transport::frame::Frame;
use transport::header::Kind;
use transport::link::{Class, LinkCommand, LinkEvent, PeerId, Role};
use transport::metrics::Traffic;
use transport::pool::FramePool;

use crate::arbitrate::Arbitrated;
use crate::balance::{IMBALANCE, JOIN_IMBALANCE};
use crate::chronicle::Chronicle;
use crate::collect::ResultFault;
use crate::config::Config;
use crate::context::{Context, Outbox, Stopwatch};
use crate::control::{ControlError, SimulationId, WorkerId};
use crate::desk::Desk;
use crate::event::Event;
use crate::feeds::Feeds;
use crate::gateways::Gateways;
use crate::latency::{Durations, Latencies, Stage};
use crate::limits::{HICCUP, MAX_UNREGISTERED};
use crate::reception::Postponed;
use crate::registry::Registry;
use crate::request::refused;
use crate::simulation::Simulation;
use crate::snapshot::{Stalls, Totals};
use crate::tickets::Tickets;
use crate::tokens::Tokens;
use crate::verify::{Arbitration, Verifier};
use crate::wall::Wall;
use crate::wire;
use crate::writing::Metadata;

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
    pub(crate) rebalance_at: Option<Duration>,
    /// What deleted runs left.
    pub(crate) retired: (Totals, Latencies, Stalls),
    pub(crate) refused: u64,
    pub(crate) lost_workers: u64,
    pub(crate) unexpected_frames: u64,
    pub(crate) traffic: Traffic,
    /// When runs are to be advanced though no input is for them. One entry a run is right, the one
    /// that the run names; others are of deleted runs.
    pub(crate) wakes: BTreeSet<(Duration, SimulationId)>,
    /// Runs whose entry is to be looked up anew.
    pub(crate) stale: Vec<SimulationId>,
    /// Runs that completed, and runs that dispatched, a window in this input.
    pub(crate) touched: Touched,
}

#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// And since when.
    completed: Vec<(SimulationId, Duration)>,
    pub(crate) dispatched: Vec<SimulationId>,
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
                let is_orderly = reason.is_orderly();
                let reason = reason.to_string();
                if let Some(worker) = self.registry.by_peer(peer) {
                    self.lose(now, worker, &reason);
                }
                if is_orderly {
                    self.let_gateway_go(now, peer, &reason);
                } else {
                    self.lose_gateway(now, peer, &reason);
                }
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
            tracing::error!(worker = worker.0, simulation = %id, partition = from.partition,
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

    pub(crate) fn refuse(&mut self, peer: PeerId, name: String, reason: String) {
        self.refused += 1;
        self.strangers.remove(&peer.0);
        let frame = wire::refused(&self.outbox.pool, self.config.lease_epoch, &reason);
        self.outbox.send(peer, Class::Control, 0, frame, true);
        self.outbox.disconnect(peer, reason.clone());
        self.outbox.event(Event::WorkerRefused { name, reason });
    }
}
