//! The core in virtual time, with what it is connected to.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::config::{Scenario, SimulationConfig};
use kernel::plan::Plan;
use orchestrator::control::{LatePolicy, RefusalKind, SimulationId, Spec, Speed};
use orchestrator::event::{Event, TickPublished};
use orchestrator::recovery::RecoveryFault;
use orchestrator::verify::Arbitration;
use orchestrator::{Config, Orchestrator};
use store::history::Cut;
use store::recovery::Recovered;
use transport::control::Answer;
use transport::frame::{self, Frame};
use transport::header::{Header, Kind};
use transport::link::{DisconnectReason, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::message::{Heartbeat, Register};
use transport::pool::FramePool;

use crate::fake_worker::{FakeWorker, header, registration};
use crate::listener::Listener;
use crate::shelf::{Shelf, Told};

/// Time a frame takes, each way together with the work.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(2);
pub(crate) const MS: Duration = Duration::from_millis(1);
/// UNIX time at which a durable testbed begins, us.
pub(crate) const START_US: u64 = 1_700_000_000_000_000;
pub(crate) const SIM: SimulationId = SimulationId(7);

pub(crate) struct Testbed {
    pub(crate) core: Orchestrator,
    pub(crate) now: Duration,
    pub(crate) workers: BTreeMap<u64, FakeWorker>,
    pub(crate) events: Vec<Event>,
    pub(crate) arbitrations: Vec<Arbitration>,
    /// Views that were passed on.
    pub(crate) views: Vec<Frame>,
    is_durable: bool,
    /// Cuts that were handed out.
    pub(crate) cuts: Vec<Cut>,
    pub(crate) pool: FramePool,
    pub(crate) shelf: Shelf,
    pub(crate) listeners: BTreeMap<u64, Listener>,
    /// Answers to local requests, by id.
    pub(crate) answers: BTreeMap<u64, Answer>,
    pub(crate) last_request: u64,
    in_flight: BTreeMap<(Duration, u64), LinkEvent>,
    sent: u64,
    pub(crate) last_peer: u64,
}

impl Testbed {
    pub(crate) fn new(config: Config) -> Testbed {
        let is_durable = config.durable;
        Testbed {
            core: Orchestrator::new(config, FramePool::new()),
            now: Duration::from_secs(1),
            workers: BTreeMap::new(),
            events: Vec::new(),
            arbitrations: Vec::new(),
            views: Vec::new(),
            is_durable,
            cuts: Vec::new(),
            pool: FramePool::new(),
            shelf: Shelf::default(),
            listeners: BTreeMap::new(),
            answers: BTreeMap::new(),
            last_request: 0,
            in_flight: BTreeMap::new(),
            sent: 0,
            last_peer: 0,
        }
    }

    /// Without verification, rebalancing and cuts, which some tests would only have to look past.
    pub(crate) fn plain() -> Testbed {
        Testbed::new(Config {
            verify_one_in: 0,
            rebalance: false,
            cut_every: None,
            ..Config::default()
        })
    }

    /// With a store that keeps everything.
    pub(crate) fn durable() -> Testbed {
        let mut testbed = Testbed::new(Config {
            verify_one_in: 0,
            rebalance: false,
            durable: true,
            cut_every: Some(Duration::from_secs(10)),
            ..Config::default()
        });
        testbed.core.handle_wall(testbed.now, START_US);
        testbed
    }

    /// A worker that registers.
    pub(crate) fn join(&mut self) -> u64 {
        self.join_as(&registration())
    }

    pub(crate) fn join_as(&mut self, register: &Register) -> u64 {
        self.last_peer += 1;
        let peer = PeerId(self.last_peer);
        self.workers.insert(peer.0, FakeWorker::default());
        let name = register.name.clone();
        let role = Role::Worker;
        let connected = LinkEvent::Connected { peer, role, name };
        self.core.handle_link(self.now, connected);
        self.drain();
        let frame = frame::encode(&self.pool, Header::new(Kind::Register), register).unwrap();
        self.core
            .handle_link(self.now, LinkEvent::Frame { peer, frame });
        self.drain();
        peer.0
    }

    /// A worker's connection ends, and what it sent with it.
    pub(crate) fn kill(&mut self, peer: u64) {
        let gone = PeerId(peer);
        self.in_flight
            .retain(|_, e| !matches!(e, LinkEvent::Frame { peer, .. } if *peer == gone));
        self.workers.remove(&peer);
        let reason = DisconnectReason::Lost {
            error: "killed".into(),
        };
        self.core
            .handle_link(self.now, LinkEvent::Disconnected { peer: gone, reason });
        self.drain();
    }

    /// A control call at the present time.
    pub(crate) fn control<T>(&mut self, call: impl FnOnce(&mut Orchestrator, Duration) -> T) -> T {
        let answer = call(&mut self.core, self.now);
        self.drain();
        answer
    }

    /// Takes up a run as a store has it.
    pub(crate) fn recover(&mut self, recovered: Recovered) -> Result<(), RecoveryFault> {
        let plan = Plan::new(&recovered.spec.config).unwrap();
        self.control(|core, now| core.recover(now, recovered, Some(plan)))
    }

    pub(crate) fn create(&mut self, spec: Spec) {
        self.control(|core, now| core.create(now, spec)).unwrap();
    }

    pub(crate) fn start(&mut self, spec: Spec) {
        let id = spec.id;
        self.create(spec);
        self.control(|core, now| core.start(now, id)).unwrap();
    }

    /// Lets time pass until `done`; panics after an hour of it or a million events.
    pub(crate) fn run_until(&mut self, mut done: impl FnMut(&Testbed) -> bool) {
        let limit = self.now + Duration::from_secs(3_600);
        for _ in 0..1_000_000 {
            if done(self) {
                return;
            }
            let timeout = self.core.poll_timeout();
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let told = self.shelf.next_at();
            let Some(next) = [timeout, arrival, told].into_iter().flatten().min() else {
                panic!("nothing will ever happen again: {:#?}", self.events.last());
            };
            assert!(next < limit, "it never happened");
            self.now = self.now.max(next);
            match arrival {
                _ if told.is_some_and(|at| at <= self.now) => self.hear_store(),
                Some(at) if at <= self.now => {
                    let (_, event) = self.in_flight.pop_first().unwrap();
                    self.core.handle_link(self.now, event);
                }
                _ => self.core.handle_timeout(self.now),
            }
            self.drain();
        }
        panic!("too many events");
    }

    /// Lets `time` pass, with heartbeats of all workers that are not mute.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.heartbeats();
            let until = (self.now + Duration::from_secs(1)).min(end);
            self.run_to(until);
        }
    }

    fn run_to(&mut self, end: Duration) {
        loop {
            let timeout = self.core.poll_timeout();
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            match [timeout, arrival, self.shelf.next_at()]
                .into_iter()
                .flatten()
                .min()
            {
                Some(next) if next <= end => {
                    let mut once = false;
                    self.run_until(|_| std::mem::replace(&mut once, true));
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(crate) fn heartbeats(&mut self) {
        let beats: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, w)| w.id.is_some() && !w.mute)
            .map(|(peer, w)| (*peer, w.draining))
            .collect();
        let listeners = self
            .listeners
            .iter()
            .filter(|(_, l)| l.disconnected.is_none());
        let listeners: Vec<_> = listeners.map(|(peer, _)| (*peer, false)).collect();
        for (peer, draining) in beats.into_iter().chain(listeners) {
            let heartbeat = Heartbeat {
                rows: 0,
                row_steps: 0,
                busy_us: 0,
                draining: u32::from(draining),
            };
            let frame = frame::encode(&self.pool, header(Kind::Heartbeat), &heartbeat).unwrap();
            self.deliver(peer, frame);
        }
    }

    /// Hands a frame of a worker to the core at once.
    pub(crate) fn deliver(&mut self, peer: u64, frame: Frame) {
        let peer = PeerId(peer);
        self.core
            .handle_link(self.now, LinkEvent::Frame { peer, frame });
        self.drain();
    }

    pub(crate) fn tick(&self) -> u64 {
        self.core.simulation(SIM).unwrap().tick
    }

    pub(crate) fn worker(&mut self, peer: u64) -> &mut FakeWorker {
        self.workers.get_mut(&peer).unwrap()
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = &TickPublished> {
        self.events.iter().filter_map(|event| match event {
            Event::Tick(tick) => Some(&**tick),
            _ => None,
        })
    }

    /// All digests that were published, each once.
    pub(crate) fn digests(&self) -> BTreeMap<u64, u64> {
        let mut digests = BTreeMap::new();
        for d in self.published().flat_map(|t| &t.digests) {
            let before = digests.insert(d.tick, d.digest);
            assert!(
                before.is_none_or(|b| b == d.digest),
                "tick {} changed",
                d.tick
            );
        }
        digests
    }

    /// The windows published, as (first, last), without questions about the present.
    pub(crate) fn windows(&self) -> Vec<(u64, u64)> {
        self.published()
            .filter(|t| t.ticks > 0)
            .map(|t| (t.tick + 1 - u64::from(t.ticks), t.tick))
            .collect()
    }

    pub(crate) fn totals(&self) -> orchestrator::snapshot::Totals {
        self.core.snapshot(self.now).totals
    }

    fn drain(&mut self) {
        self.drain_frames();
        while let Some(chore) = self.core.poll_chore() {
            self.core.handle_chore(self.now, chore.carry_out());
            self.drain_frames();
        }
        while let Some((_, response)) = self.core.poll_response() {
            let before = self.answers.insert(response.id, response.answer);
            assert!(before.is_none(), "answered once");
        }
        if self.shelf.takes_writes() {
            let group = std::iter::from_fn(|| self.core.poll_write()).collect();
            self.shelf.write(self.now, group);
        }
        if let Some(batch) = self.core.poll_batch() {
            self.shelf.append(self.now, batch);
        }
    }

    fn drain_frames(&mut self) {
        while let Some(command) = self.core.poll_transmit() {
            self.carry_out(command);
        }
        // Without gateways the views are the test's.
        while !self.listeners.is_empty()
            && let Some(command) = self.core.poll_publication()
        {
            self.carry_out(command);
        }
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
        while let Some(arbitration) = self.core.poll_arbitration() {
            self.arbitrations.push(arbitration);
        }
        while let Some(view) = self.core.poll_view() {
            self.views.push(view);
        }
        while !self.is_durable
            && let Some((_, cut)) = self.core.poll_cut()
        {
            self.cuts.push(cut);
        }
    }

    fn carry_out(&mut self, command: LinkCommand) {
        match command {
            LinkCommand::Transmit(transmit) => self.receive(&transmit),
            LinkCommand::Disconnect { peer, reason } => {
                if let Some(worker) = self.workers.get_mut(&peer.0) {
                    worker.disconnected = Some(reason);
                } else if let Some(listener) = self.listeners.get_mut(&peer.0) {
                    listener.disconnected = Some(reason);
                }
            }
        }
    }

    /// What the store says, and what is to be given to it.
    fn hear_store(&mut self) {
        match self.shelf.tell(self.now) {
            Some(Told::Committed(told)) => {
                for (id, result) in told {
                    self.core.handle_committed(self.now, id, result);
                }
            }
            Some(Told::Appended(id, result)) => self.core.handle_appended(self.now, id, result),
            None => {}
        }
    }

    fn receive(&mut self, transmit: &Transmit) {
        if let Some(listener) = self.listeners.get_mut(&transmit.peer.0) {
            listener.streams.insert((transmit.class, transmit.group));
            if let Some(frame) = listener.handle(&transmit.frame) {
                self.send(transmit.peer, frame);
            }
            return;
        }
        let Some(worker) = self.workers.get_mut(&transmit.peer.0) else {
            return;
        };
        let answers = worker.handle(&self.pool, &transmit.frame);
        if worker.mute {
            return;
        }
        let twice = worker.twice;
        for frame in answers {
            for _ in 0..=u32::from(twice) {
                self.send(transmit.peer, frame.clone());
            }
        }
    }

    /// Sends the core a frame, which comes a little later.
    fn send(&mut self, peer: PeerId, frame: Frame) {
        self.sent += 1;
        let key = (self.now + ROUND_TRIP, self.sent);
        self.in_flight.insert(key, LinkEvent::Frame { peer, frame });
    }
}

/// Whole sites of 12 machines, one a partition.
pub(crate) fn whole(partitions: u32) -> Spec {
    spec(Scenario::Weeding, 12 * partitions, 12)
}

/// One site, cut.
pub(crate) fn cut() -> Spec {
    spec(Scenario::Dense, 64, 16)
}

fn spec(scenario: Scenario, entities: u32, partition_rows: u32) -> Spec {
    Spec {
        id: SIM,
        name: "test".into(),
        config: SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms: 50,
            seed: 3,
            partition_rows,
        },
        speed: Speed::Max,
        max_ticks: None,
        digest_every: 10,
        late: LatePolicy::Dilate,
        parent: None,
    }
}

/// Who has which partition, as the snapshot tells.
pub(crate) fn partitions_of(testbed: &Testbed, peer: u64) -> u64 {
    let id = testbed.workers[&peer].id.unwrap();
    let snapshot = testbed.core.snapshot(testbed.now);
    let worker = snapshot.workers.iter().find(|w| w.id == id).unwrap();
    worker.partitions
}

/// Why something was refused.
pub(crate) fn refusal(answer: &Answer) -> RefusalKind {
    match answer {
        Answer::Refused(refusal) => refusal.kind,
        answer => panic!("{answer:?}"),
    }
}
