//! The core in virtual time, with workers that make up what they compute: a partition's state is one
//! number into which every tick, command and mail is mixed, so that a lost or doubled input shows.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::aggregate::Aggregate;
use kernel::config::{KERNEL_VERSION, Scenario, SimulationConfig};
use kernel::plan::Plan;
use orchestrator::control::{LatePolicy, SimulationId, Spec, Speed, WorkerId};
use orchestrator::event::{Event, TickPublished};
use orchestrator::recovery::RecoveryFault;
use orchestrator::verify::Arbitration;
use orchestrator::{Config, Orchestrator};
use store::history::Cut;
use store::recovery::Recovered;
use transport::control::Answer;
use transport::frame::{self, Frame};
use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH};
use transport::link::{DisconnectReason, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::message::{
    Computed, Dispatch, Heartbeat, Mail, Open, PartitionWork, Register, ResultExtras, ResultFixed,
    TickDigest, Unable, base, unable, want,
};
use transport::pool::FramePool;

use crate::listener::Listener;
use crate::shelf::{Shelf, Told};

/// Time a frame takes, each way together with the work.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(2);
pub(crate) const MS: Duration = Duration::from_millis(1);
/// UNIX time at which a durable testbed begins, us.
pub(crate) const START_US: u64 = 1_700_000_000_000_000;
pub(crate) const SIM: SimulationId = SimulationId(7);

/// A worker that makes up what it computes.
#[derive(Debug, Default)]
pub(crate) struct FakeWorker {
    pub(crate) id: Option<WorkerId>,
    /// Answers nothing while set.
    pub(crate) mute: bool,
    /// Answers every dispatch twice.
    pub(crate) twice: bool,
    /// Sends no checkpoint while set.
    pub(crate) no_checkpoints: bool,
    /// Repeats no step for others while set.
    pub(crate) no_computes: bool,
    /// Sends no view while set.
    pub(crate) no_views: bool,
    /// Tells of an event of partition 0 in every tick that is a multiple of this.
    pub(crate) event_every: Option<u64>,
    /// Adds this to the time it says that its steps took.
    pub(crate) slow_us: u32,
    /// Adds this to digests it reports.
    pub(crate) digest_error: u64,
    /// Adds this to digests it computes for others.
    pub(crate) compute_error: u64,
    pub(crate) refused: Option<String>,
    pub(crate) disconnected: Option<String>,
    pub(crate) draining: bool,
    /// Dispatches that came in.
    pub(crate) dispatches: Vec<(u64, Dispatch)>,
    pub(crate) released: usize,
    pub(crate) closed: usize,
    /// Misses what it is told of runs that end.
    pub(crate) hears_no_close: bool,
    /// What it says of its rows, if it lies.
    pub(crate) sums: Option<Aggregate>,
    opened: BTreeMap<SimulationId, (Plan, u32)>,
    held: BTreeMap<(SimulationId, u32), Held>,
    checkpoints: BTreeMap<(SimulationId, u32, u32), (u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u32,
    tick: u64,
    state: u64,
}

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
        self.create(spec);
        self.control(|core, now| core.start(now, SIM)).unwrap();
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

impl FakeWorker {
    /// Drops all that it holds.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    pub(crate) fn holds_nothing(&self) -> bool {
        self.opened.is_empty() && self.held.is_empty()
    }

    pub(crate) fn handle(&mut self, pool: &FramePool, frame: &Frame) -> Vec<Frame> {
        let header = frame.header;
        let id = header.simulation;
        match header.kind {
            Kind::Welcome => {
                let welcome = frame.decode::<transport::message::Welcome>().unwrap();
                self.id = Some(WorkerId(welcome.worker));
            }
            Kind::Refused => {
                let refused = frame.decode::<transport::message::Refused>().unwrap();
                self.refused = Some(refused.reason);
            }
            Kind::Open => {
                let open = frame.decode::<Open>().unwrap();
                let plan = Plan::new(&open.config).unwrap();
                self.opened.insert(id, (plan, open.digest_every));
            }
            Kind::Close if self.hears_no_close => {}
            Kind::Close => {
                self.closed += 1;
                self.opened.remove(&id);
                self.held.retain(|(sim, _), _| *sim != id);
            }
            Kind::Release => {
                self.released += 1;
                let key = (id, header.partition);
                if self
                    .held
                    .get(&key)
                    .is_some_and(|h| h.epoch <= header.placement_epoch)
                {
                    self.held.remove(&key);
                }
            }
            Kind::Checkpoint => {
                let state = u64::from_le_bytes(frame.payload()[..8].try_into().unwrap());
                let key = (id, header.partition, header.placement_epoch);
                self.checkpoints.insert(key, (header.tick, state));
            }
            Kind::Dispatch => {
                let dispatch = frame.decode::<Dispatch>().unwrap();
                let work = dispatch.work.clone();
                self.dispatches.push((header.tick, dispatch));
                return work
                    .iter()
                    .flat_map(|w| self.work(pool, &header, w))
                    .collect();
            }
            Kind::ComputeTick if self.no_computes => {}
            Kind::ComputeTick => return vec![self.compute(pool, frame)],
            kind => panic!("{kind:?} to a worker"),
        }
        Vec::new()
    }

    fn compute(&mut self, pool: &FramePool, frame: &Frame) -> Frame {
        let header = frame.header;
        let compute = frame.decode::<transport::message::ComputeTick>().unwrap();
        let work = compute.work;
        let key = (header.simulation, work.partition, work.placement_epoch);
        let (tick, state) = self
            .checkpoints
            .remove(&key)
            .expect("a checkpoint comes first");
        assert_eq!((tick + 1, work.ticks), (work.first_tick, 1));
        let digest = step(work.partition, state, work.first_tick, &work);
        let computed = Computed {
            request: compute.request,
            digest: digest.wrapping_add(self.compute_error),
            unable: 0,
        };
        frame::encode(pool, self::header(Kind::Computed), &computed).unwrap()
    }

    fn work(&mut self, pool: &FramePool, header: &Header, work: &PartitionWork) -> Vec<Frame> {
        let id = header.simulation;
        let address = |kind, tick| Header {
            simulation: id,
            tick,
            partition: work.partition,
            placement_epoch: work.placement_epoch,
            ticks: work.ticks,
            ..self::header(kind)
        };
        let Some((state, tick)) = self.base(id, work) else {
            let unable = Unable {
                reason: unable::NOT_HELD,
                detail: String::new(),
            };
            let header = address(Kind::Unable, header.tick);
            return vec![frame::encode(pool, header, &unable).unwrap()];
        };
        assert_eq!(tick + 1, work.first_tick, "stepped once, and from there");
        let (plan, digest_every) = self.opened.get(&id).expect("opened before").clone();
        let mut answers = Vec::new();
        let wanted = |bit| work.wants & bit != 0;
        if wanted(want::PRIOR_STATE) {
            answers.push(checkpoint(address(Kind::Checkpoint, tick), state));
        }
        let mut held = Held {
            epoch: work.placement_epoch,
            tick,
            state,
        };
        let last = tick + u64::from(work.ticks);
        let mut extras = ResultExtras::default();
        let due = |tick: u64| tick.is_multiple_of(u64::from(digest_every));
        for tick in work.first_tick..=last {
            held.state = step(work.partition, held.state, tick, work);
            held.tick = tick;
            if tick >= work.report_from && tick < last && due(tick) {
                let digest = held.state.wrapping_add(self.digest_error);
                extras.digests.push(TickDigest { tick, digest });
            }
            let tells = self.event_every.is_some_and(|n| tick.is_multiple_of(n));
            if tells && tick >= work.report_from && work.partition == 0 {
                extras.events.push(kernel::event::Event {
                    tick,
                    site: 0,
                    entity: 1,
                    ordinal: 0,
                    kind: kernel::event::kind::TRANSITION,
                    detail: 0,
                    reason: 0,
                });
            }
        }
        self.held.insert((id, work.partition), held);
        if let Some(cut) = plan.partitions[work.partition as usize].cut {
            extras.mail = (cut.first_partition..cut.first_partition + cut.parts)
                .filter(|to| *to != work.partition)
                .map(|to| Mail {
                    tick: last + 1,
                    from: work.partition,
                    to,
                    words: vec![work.partition, last as u32, held.state as u32],
                })
                .collect();
        }
        let rows = u64::from(plan.partitions[work.partition as usize].rows);
        let stepped_one = last >= work.report_from && due(last);
        let has_digest = stepped_one || wanted(want::DIGEST);
        let fixed = ResultFixed {
            aggregate: self.sums.unwrap_or_else(|| honest_sums(rows)),
            digest: held.state.wrapping_add(self.digest_error),
            has_digest: u32::from(has_digest),
            stepped: work.ticks,
            queue_us: 10,
            compute_us: 50 * work.ticks + self.slow_us,
        };
        answers.push(
            transport::result::write(pool, address(Kind::Result, last), &fixed, &extras).unwrap(),
        );
        if wanted(want::VIEW) && !self.no_views {
            answers.push(Frame::bare(address(Kind::View, last)));
        }
        if wanted(want::CHECKPOINT) && !self.no_checkpoints {
            answers.push(checkpoint(address(Kind::Checkpoint, last), held.state));
        }
        answers
    }

    /// The state that work begins with, and its tick.
    fn base(&mut self, id: SimulationId, work: &PartitionWork) -> Option<(u64, u64)> {
        match work.base {
            base::CREATE => Some((u64::from(work.partition) + 1, 0)),
            base::RESTORE => {
                let key = (id, work.partition, work.placement_epoch);
                let (tick, state) = self.checkpoints.remove(&key).expect("it comes first");
                Some((state, tick))
            }
            _ => {
                let held = self.held.get(&(id, work.partition))?;
                let fits = held.epoch == work.placement_epoch && held.tick + 1 == work.first_tick;
                fits.then_some((held.state, held.tick))
            }
        }
    }
}

/// Sums of so many machines that are all alike.
pub(crate) fn honest_sums(rows: u64) -> Aggregate {
    let mut sums = Aggregate {
        rows,
        ..Aggregate::default()
    };
    (sums.by_state[0], sums.by_charge[0]) = (rows, rows);
    sums
}

/// The made-up step: every command and mail of the tick is mixed in, in order.
fn step(partition: u32, state: u64, tick: u64, work: &PartitionWork) -> u64 {
    let mut state = mix(state ^ tick ^ (u64::from(partition) << 40));
    for command in work.commands.iter().filter(|c| c.tick == tick) {
        state = mix(state ^ command.command.seq ^ (u64::from(command.command.target) << 20));
    }
    for mail in work.mail.iter().filter(|m| m.tick == tick) {
        assert_eq!(mail.to, partition);
        assert_eq!(u64::from(mail.words[1]) + 1, tick, "mail takes one tick");
        state = mail.words.iter().fold(state, |s, w| mix(s ^ u64::from(*w)));
    }
    state
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}

/// What the digests of a run must be, computed in one piece.
pub(crate) fn expected_digests(
    spec: &Spec,
    last: u64,
    commands: &[(u64, u64, u32)],
) -> BTreeMap<u64, u64> {
    let plan = Plan::new(&spec.config).unwrap();
    let count = plan.partitions.len() as u32;
    let mut states: Vec<u64> = (0..count).map(|p| u64::from(p) + 1).collect();
    let mut digests = BTreeMap::new();
    for tick in 0..=last {
        let before = states.clone();
        for p in (0..count).filter(|_| tick > 0) {
            let mut work = PartitionWork::default();
            let part = &plan.partitions[p as usize];
            let parts = part
                .cut
                .map_or(0..0, |c| c.first_partition..c.first_partition + c.parts);
            for from in parts.filter(|from| *from != p) {
                let words = vec![from, (tick - 1) as u32, before[from as usize] as u32];
                let to = p;
                work.mail.push(Mail {
                    tick,
                    from,
                    to,
                    words,
                });
            }
            for &(at, seq, entity) in commands {
                if at == tick && plan.partition_of(entity) == p {
                    let action = kernel::command::Action::Hold;
                    let command = kernel::command::Command::new(seq, entity, action);
                    work.commands
                        .push(transport::message::StampedCommand { tick, command });
                }
            }
            states[p as usize] = step(p, before[p as usize], tick, &work);
        }
        if tick.is_multiple_of(u64::from(spec.digest_every)) || tick == last {
            let sum = states.iter().fold(0, |sum: u64, s| sum.wrapping_add(*s));
            digests.insert(tick, sum);
        }
    }
    digests
}

/// What an honest worker computes for an arbitration.
pub(crate) fn honest_digest(arbitration: &Arbitration) -> u64 {
    let state = u64::from_le_bytes(arbitration.checkpoint.payload()[..8].try_into().unwrap());
    let work = PartitionWork {
        commands: arbitration.inputs.commands.clone(),
        mail: arbitration.inputs.mail.clone(),
        ..PartitionWork::default()
    };
    step(arbitration.partition, state, arbitration.tick, &work)
}

pub(crate) fn header(kind: Kind) -> Header {
    Header {
        lease_epoch: 1,
        ..Header::new(kind)
    }
}

pub(crate) fn checkpoint(header: Header, state: u64) -> Frame {
    Frame::from_bytes(header, state.to_le_bytes().to_vec()).unwrap()
}

pub(crate) fn registration() -> Register {
    Register {
        protocol_version: u32::from(PROTOCOL_VERSION),
        kernel_version: KERNEL_VERSION,
        schema_hash: SCHEMA_HASH,
        threads: 2,
        name: "fake".into(),
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
