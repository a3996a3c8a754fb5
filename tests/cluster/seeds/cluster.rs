//! The cluster: one orchestrator, some workers and a network on one thread, in virtual time. The
//! seed determines everything that happens in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use orchestrator::Orchestrator;
use orchestrator::arbitrate::arbitrate;
use orchestrator::control::{ControlError, SimulationId, Speed, Status, WorkerId};
use orchestrator::event::Event;
use orchestrator::limits::MAX_BATCH;
use orchestrator::snapshot::Snapshot;
use transport::header::Kind;
use transport::link::{LinkCommand, LinkEvent, PeerId, Role};
use transport::pool::FramePool;
use transport::sim::{Faults, NodeId, SimNet};

use crate::agenda::{self, Act, Fault, Nature};
use crate::check::{
    FRAME_BYTES_A_KEPT_BYTE, MAX_FRAME_BYTES, MAX_INPUTS_AT_ONCE, MAX_REPLAY_BYTES,
    MAX_WAITING_CHECKPOINT_BYTES, RECOVERY, REST, Run, Wire, violated,
};
use crate::counts::Counts;
use crate::manner::Manner;
use crate::process::Process;

/// Most worker processes at once.
const MAX_PROCESSES: usize = 6;
/// Inputs of the orchestrator between two looks at what it keeps.
const LOOK_EVERY: u64 = 256;
/// As the QUIC link closes a connection of which nothing is heard.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Prints what happens, where the seed is replayed alone.
macro_rules! trace {
    ($cluster:expr, $($what:tt)*) => {
        if $cluster.tracing {
            println!("{:>12.6} {}", $cluster.now.as_secs_f64(), format_args!($($what)*));
        }
    };
}

pub(crate) struct Cluster {
    now: Duration,
    random: Rng,
    tracing: bool,
    net: SimNet,
    usual: Faults,
    /// Whether no frame is ever lost but with its connection.
    heard_all: bool,
    core: Orchestrator,
    core_node: NodeId,
    /// Link events that wait for the orchestrator while it is stalled.
    stalled: Option<VecDeque<LinkEvent>>,
    processes: BTreeMap<NodeId, Process>,
    nodes: BTreeMap<PeerId, NodeId>,
    /// What waits for a process to be back on the network, and who sent it.
    parted: BTreeMap<NodeId, Vec<(NodeId, LinkCommand)>>,
    agenda: BTreeMap<(Duration, u64), Act>,
    planned: u64,
    /// Processes started so far.
    started: u32,
    faults: Vec<Fault>,
    fault_every: Duration,
    runs: Vec<Run>,
    wire: Wire,
    pool: FramePool,
    /// Where each partition is, and the workers that nothing is held against.
    owners: BTreeMap<(SimulationId, u32), WorkerId>,
    good: BTreeSet<WorkerId>,
    mended_at: Option<Duration>,
    inputs: u64,
    at_once: u32,
    counts: Counts,
    reasons: Vec<String>,
    /// A hash of all that happened, to compare two runs of one seed.
    fingerprint: u64,
}

/// What a seed came to.
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    /// Why workers were lost or refused.
    pub(crate) reasons: Vec<String>,
    pub(crate) fingerprint: u64,
}

/// Runs a seed to the end of all its runs.
///
/// # Panics
/// Where an invariant does not hold.
pub(crate) fn run(seed: u64, tracing: bool) -> Outcome {
    let nature = agenda::nature(&mut Rng::with_seed(seed));
    run_nature(seed, nature, None, tracing)
}

/// Runs a seed of this nature, with one more process of this manner.
///
/// # Panics
/// Where an invariant does not hold.
pub(crate) fn run_nature(
    seed: u64,
    nature: Nature,
    manner: Option<Manner>,
    tracing: bool,
) -> Outcome {
    let mut cluster = Cluster::new(seed, nature, tracing);
    if let Some(manner) = manner {
        cluster.join(manner);
    }
    while !cluster.is_over() {
        cluster.step();
    }
    cluster.come_to_rest();
    cluster.end()
}

impl Cluster {
    fn new(seed: u64, nature: Nature, tracing: bool) -> Cluster {
        let mut random = Rng::with_seed(!seed);
        let mut net = SimNet::new(random.u64(..), nature.network);
        let core_node = net.add_node(Role::Orchestrator, "orchestrator");
        let Nature { config, runs, .. } = nature;
        let mut cluster = Cluster {
            now: Duration::from_secs(1),
            random,
            tracing,
            net,
            usual: nature.network,
            heard_all: nature.network.drop_per_mille == 0,
            core: Orchestrator::new(config, FramePool::new()),
            core_node,
            stalled: None,
            processes: BTreeMap::new(),
            nodes: BTreeMap::new(),
            parted: BTreeMap::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            started: 0,
            faults: nature.faults,
            fault_every: nature.fault_every,
            runs: runs.into_iter().map(Run::new).collect(),
            wire: Wire::default(),
            pool: FramePool::new(),
            owners: BTreeMap::new(),
            good: BTreeSet::new(),
            mended_at: None,
            inputs: 0,
            at_once: 0,
            counts: Counts {
                seeds: 1,
                ..Counts::default()
            },
            reasons: Vec::new(),
            fingerprint: seed,
        };
        for run in 0..cluster.runs.len() {
            let after = cluster.random.u64(0..3_000);
            cluster.plan(Duration::from_millis(after), Act::Create(run));
        }
        for _ in 0..nature.workers {
            cluster.plan(Duration::ZERO, Act::Join);
        }
        cluster.plan(Duration::from_secs(1), Act::Fault);
        let siege = cluster.random.u8(..3) == 0 && !cluster.faults.is_empty();
        cluster.plan(nature.mend_at, if siege { Act::Siege } else { Act::Mend });
        cluster
    }

    fn is_over(&self) -> bool {
        self.runs.iter().all(|run| run.settled)
    }

    /// The next thing that is due, wherever it is.
    fn step(&mut self) {
        let network = self.net.next_time();
        let process = self
            .processes
            .iter()
            .filter_map(|(node, p)| Some((p.next_time()?, *node)))
            .min();
        let act = self.agenda.keys().next().map(|(at, _)| *at);
        let core = self.core.poll_timeout().filter(|_| self.stalled.is_none());
        let next = [network, process.map(|(at, _)| at), act, core];
        let Some(next) = next.into_iter().flatten().min() else {
            violated!("liveness", "nothing will ever happen again");
        };
        self.at_once = if next > self.now { 0 } else { self.at_once + 1 };
        if self.at_once > MAX_INPUTS_AT_ONCE {
            violated!("liveness", "time stands still at {:?}", self.now);
        }
        self.now = self.now.max(next);
        if network.is_some_and(|at| at <= self.now) {
            let (node, event) = self.net.poll(self.now).expect("it is due");
            self.deliver(node, event);
        } else if let Some((_, node)) = process.filter(|(at, _)| *at <= self.now) {
            self.act_process(node);
        } else if act.is_some_and(|at| at <= self.now) {
            let (_, act) = self.agenda.pop_first().expect("it is due");
            self.act(act);
        } else {
            self.core.handle_timeout(self.now);
            self.drain_core();
        }
        self.check_recovery();
    }

    fn plan(&mut self, after: Duration, act: Act) {
        self.planned += 1;
        self.agenda.insert((self.now + after, self.planned), act);
    }

    fn deliver(&mut self, node: NodeId, event: LinkEvent) {
        self.note(u64::from(node.0));
        if node == self.core_node {
            match &mut self.stalled {
                Some(waiting) => waiting.push_back(event),
                None => self.core_hears(event),
            }
        } else if let Some(process) = self.processes.get_mut(&node) {
            process.deliver(self.now, event, &mut self.random);
            self.drain_process(node);
        }
    }

    /// The orchestrator is given what came; an answer of a placement that has passed must be dropped.
    fn core_hears(&mut self, event: LinkEvent) {
        let late = match &event {
            LinkEvent::Frame { peer, frame } => {
                let header = &frame.header;
                self.note(header.tick << 8 | header.kind as u64);
                trace!(
                    self,
                    "{} {:?} of {}/{} tick {} epoch {} comes",
                    self.name(*peer),
                    header.kind,
                    header.simulation.0,
                    header.partition,
                    header.tick,
                    header.placement_epoch
                );
                let of = |run: &&Run| run.spec.id == header.simulation;
                let settled = self.runs.iter().find(of).is_none_or(|run| run.settled);
                !settled && self.wire.is_late(*peer, header)
            }
            LinkEvent::Disconnected { peer, reason } => {
                trace!(self, "{} is gone: {reason}", self.name(*peer));
                self.wire.gone(*peer);
                false
            }
            LinkEvent::Connected { peer, .. } => {
                trace!(self, "{} is connected", self.name(*peer));
                false
            }
        };
        let before = late.then(|| self.stale());
        self.core.handle_link(self.now, event);
        if let Some(before) = before {
            self.counts.late_answers += 1;
            if self.stale() != before + 1 {
                violated!("late answers", "one was taken in");
            }
        }
        self.drain_core();
    }

    fn stale(&self) -> u64 {
        self.core.snapshot(self.now).totals.stale_results
    }

    fn name(&self, peer: PeerId) -> &str {
        let process = self.nodes.get(&peer).and_then(|n| self.processes.get(n));
        process.map_or("a dead worker", |p| &p.name)
    }

    fn act_process(&mut self, node: NodeId) {
        let process = self.processes.get_mut(&node).expect("it is due");
        match process.connect_at {
            Some(at) if at <= self.now => {
                if self.parted.contains_key(&node) {
                    process.connect_at = Some(self.now + Duration::from_secs(1));
                    return;
                }
                process.connect_at = None;
                let (peer, _) = self.net.connect(self.now, self.core_node, node);
                process.peer = Some(peer);
                self.nodes.insert(peer, node);
            }
            _ => process.act(self.now),
        }
        self.drain_process(node);
    }

    /// Takes from a process what it wants done, and the process where it has ended.
    fn drain_process(&mut self, node: NodeId) {
        let process = self.processes.get_mut(&node).expect("it is there");
        process.begin_jobs(self.now, &mut self.random);
        let mut commands = Vec::new();
        while let Some(command) = process.poll_transmit() {
            commands.push(command);
        }
        let waiting = process.worker.stats().waiting_checkpoint_bytes;
        if waiting > MAX_WAITING_CHECKPOINT_BYTES {
            violated!("bounds", "{waiting} bytes of checkpoints wait in a worker");
        }
        let ended = process.worker.ended().cloned();
        for command in commands {
            if let LinkCommand::Transmit(transmit) = &command {
                self.wire.answered(&transmit.frame);
            }
            let process = self.processes.get_mut(&node).expect("it is there");
            for command in process.behaviour.says(command) {
                self.transmit(node, node, command);
            }
        }
        if let Some(ended) = ended {
            trace!(self, "{} ended: {ended}", self.processes[&node].name);
            self.processes.remove(&node);
            self.parted.remove(&node);
        }
    }

    /// Gives a command to the network, or keeps it while the process at the other end of the
    /// connection, or at this one, is parted from it.
    fn transmit(&mut self, from: NodeId, process: NodeId, command: LinkCommand) {
        match self.parted.get_mut(&process) {
            Some(waiting) => waiting.push((from, command)),
            None => self.net.command(self.now, from, command),
        }
    }

    /// Takes from the orchestrator what it wants done and says.
    fn drain_core(&mut self) {
        while let Some(command) = self.core.poll_transmit() {
            let peer = match &command {
                LinkCommand::Transmit(transmit) => {
                    self.core_sends(transmit.peer, &transmit.frame);
                    transmit.peer
                }
                LinkCommand::Disconnect { peer, reason } => {
                    trace!(self, "{} is sent away: {reason}", self.name(*peer));
                    self.wire.gone(*peer);
                    *peer
                }
            };
            let node = self.nodes[&peer];
            self.transmit(self.core_node, node, command);
        }
        while let Some(event) = self.core.poll_event() {
            self.hear(event);
        }
        while let Some(view) = self.core.poll_view() {
            self.wire.shown(&view);
            self.run_of(view.header.simulation).shown(&view);
        }
        if let Some(arbitration) = self.core.poll_arbitration() {
            let (partition, tick) = (arbitration.partition, arbitration.tick);
            let right = arbitrate(&arbitration).digest;
            violated!(
                "verification",
                "of partition {partition} at tick {tick}: {right:?} by itself"
            );
        }
        self.inputs += 1;
        if self.inputs.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    fn core_sends(&mut self, peer: PeerId, frame: &transport::frame::Frame) {
        let header = &frame.header;
        trace!(
            self,
            "{} is sent {:?} of {}/{} tick {} ticks {} epoch {}",
            self.name(peer),
            header.kind,
            header.simulation.0,
            header.partition,
            header.tick,
            header.ticks,
            header.placement_epoch
        );
        self.wire.sent(peer, frame);
        if header.kind != Kind::Dispatch {
            return;
        }
        let run = self.run_of(header.simulation);
        run.waits = false;
        run.dispatched = run.dispatched.max(header.tick);
        if run.stands_at.is_some_and(|tick| header.tick > tick) {
            let (tick, stands_at) = (header.tick, run.stands_at);
            violated!(
                "lifecycle",
                "tick {tick} of a run that stands at {stands_at:?}"
            );
        }
    }

    fn run_of(&mut self, id: SimulationId) -> &mut Run {
        let run = self.runs.iter_mut().find(|run| run.spec.id == id);
        run.expect("nobody else creates runs")
    }

    /// The orchestrator said something.
    fn hear(&mut self, event: Event) {
        if !matches!(event, Event::Tick(_)) {
            trace!(self, "{event:?}");
        }
        match event {
            Event::Tick(window) => {
                trace!(
                    self,
                    "simulation {} tick {} of {} ticks is published",
                    window.simulation.0,
                    window.tick,
                    window.ticks
                );
                self.counts.windows += u64::from(window.ticks > 1);
                self.note(window.digests.last().map_or(0, |d| d.digest));
                self.run_of(window.simulation).published(&window);
            }
            Event::Lifecycle {
                simulation,
                status,
                cause,
                ..
            } => {
                if status == Status::Failed {
                    violated!("lifecycle", "simulation {} failed: {cause:?}", simulation.0);
                }
                let run = self.run_of(simulation);
                run.status = status;
                // It may stand now, or be due only later.
                run.waits = false;
            }
            Event::Settled {
                simulation,
                tick,
                digest,
                ..
            } => {
                let created = self.run_of(simulation).published.is_some();
                if digest.is_none() && created && self.wire.anyone_is_there() {
                    violated!(
                        "lifecycle",
                        "simulation {} has no last digest",
                        simulation.0
                    );
                }
                let aggregate = {
                    let run = self.run_of(simulation);
                    run.settled(tick, digest);
                    run.aggregate
                };
                self.counts.farm.merge(&aggregate.counters);
                if let Some(since) = self.mended_at {
                    let ms = (self.now - since).as_millis() as u64;
                    let longest = &mut self.counts.longest_recovery_ms;
                    *longest = (*longest).max(ms);
                }
            }
            Event::Moved {
                simulation,
                partition,
                to,
                ..
            } => {
                let from = self.owners.insert((simulation, partition), to);
                let rebalanced = from.is_some_and(|from| self.good.contains(&from));
                self.counts.rebalances += u64::from(rebalanced);
            }
            Event::DigestMismatch { .. } => violated!("verification", "{event:?}"),
            event => self.hear_of_worker(&event),
        }
    }

    fn hear_of_worker(&mut self, event: &Event) {
        match event {
            Event::WorkerJoined { worker, .. } => {
                self.good.insert(*worker);
                // What it was given at once has been sent by now.
                if let Some(run) = self.runs.iter().find(|run| run.waits) {
                    let id = run.spec.id.0;
                    violated!("liveness", "a worker came and simulation {id} waits on");
                }
            }
            Event::WorkerDraining { worker } | Event::WorkerLeft { worker } => {
                self.good.remove(worker);
            }
            Event::WorkerLost { worker, reason } => {
                self.good.remove(worker);
                self.reasons.push(reason.clone());
            }
            Event::WorkerRefused { reason, .. } => {
                let foreign = |p: &Process| p.behaviour.manner == Manner::Foreign;
                if !self.processes.values().any(foreign) {
                    violated!("registry", "a worker was refused: {reason}");
                }
                self.reasons.push(reason.clone());
            }
            Event::WorkerSuspect { worker, .. } => {
                self.good.remove(worker);
                self.counts.suspicions += 1;
            }
            Event::WorkerDrained { .. } => self.counts.drained += 1,
            Event::NoWorker { simulation, .. } => {
                self.run_of(*simulation).waits = true;
                self.counts.no_worker += 1;
            }
            _ => {}
        }
    }

    /// What is kept stays within its bounds.
    fn look(&mut self) -> Snapshot {
        let snapshot = self.core.snapshot(self.now);
        for simulation in &snapshot.simulations {
            let bytes = simulation.replay_bytes;
            let most = &mut self.counts.most_replay_bytes;
            *most = (*most).max(bytes);
            if bytes > MAX_REPLAY_BYTES {
                violated!("bounds", "{bytes} bytes of inputs are kept");
            }
        }
        let kept: u64 = (snapshot.simulations.iter())
            .map(|simulation| simulation.checkpoint_bytes)
            .sum();
        let most = &mut self.counts.most_checkpoint_bytes;
        *most = (*most).max(kept);
        let allocated = self.pool.copies().allocated.load(Relaxed);
        if allocated > MAX_FRAME_BYTES + FRAME_BYTES_A_KEPT_BYTE * *most {
            violated!(
                "bounds",
                "frames do not come back: {allocated} bytes of buffers"
            );
        }
        snapshot
    }

    fn check_recovery(&self) {
        let Some(since) = self.mended_at else { return };
        if self.now > since + RECOVERY {
            let left: Vec<_> = self.runs.iter().filter(|run| !run.settled).collect();
            let left: Vec<_> = left
                .iter()
                .map(|run| (run.spec.id.0, run.status, run.published, run.spec.max_ticks))
                .collect();
            violated!("liveness", "{RECOVERY:?} after the last fault: {left:?}");
        }
    }

    fn note(&mut self, what: u64) {
        let mixed = self.fingerprint ^ what ^ (self.now.as_nanos() as u64).rotate_left(20);
        self.fingerprint = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    /// Everything is settled: once the last word has come, no worker may hold anything of it.
    fn come_to_rest(&mut self) {
        if self.mended_at.is_none() {
            self.mend();
        }
        let end = self.now + REST;
        while self.now < end {
            self.step();
        }
        let well_behaved = |p: &&Process| p.behaviour.manner == Manner::Correct;
        for process in self.processes.values().filter(well_behaved) {
            let stats = process.worker.stats();
            if self.heard_all && stats.simulations > 0 {
                violated!(
                    "held",
                    "{} has {} partitions of {} runs that are over",
                    process.name,
                    stats.partitions,
                    stats.simulations
                );
            }
        }
    }

    /// The end of a seed: everything is settled.
    fn end(mut self) -> Outcome {
        let snapshot = self.look();
        for simulation in &snapshot.simulations {
            if simulation.replay_bytes + simulation.checkpoint_bytes > 0 {
                violated!("bounds", "a settled run keeps what it can never need");
            }
        }
        let counts = &mut self.counts;
        counts.totals = snapshot.totals;
        counts.verified = snapshot.verified;
        counts.lost_workers = snapshot.lost_workers;
        counts.simulations = self.runs.len() as u64;
        counts.virtual_s = self.now.as_secs();
        counts.checkpoint_bytes = self.pool.copies().checkpoints.load(Relaxed);
        counts.most_frame_bytes = self.pool.copies().allocated.load(Relaxed);
        Outcome {
            counts: self.counts,
            reasons: self.reasons,
            fingerprint: self.fingerprint,
        }
    }
}

/// What the seed does to the cluster.
impl Cluster {
    fn act(&mut self, act: Act) {
        trace!(self, "* {act:?}");
        match act {
            Act::Create(run) => self.create(run),
            Act::Operate(run) => self.operate(run),
            Act::Resume(run) => self.resume(run),
            Act::End(run) => self.end_run(run),
            Act::Fault => {
                let pause = self.fault_every.as_millis() as u64;
                let pause = self.random.u64(pause / 4..=pause * 2);
                if self.mended_at.is_none() {
                    self.plan(Duration::from_millis(pause), Act::Fault);
                    self.draw_fault();
                }
            }
            // Who is there at the end must do.
            Act::Join if self.mended_at.is_some() => {}
            Act::Join => self.join(Manner::Correct),
            Act::Siege => self.siege(),
            Act::Massacre(spared) => self.massacre(spared),
            Act::Delete(run) => self.delete(run),
            Act::Wake(node) => {
                if let Some(process) = self.processes.get_mut(&node) {
                    process.wake(self.now, &mut self.random);
                    self.drain_process(node);
                }
            }
            Act::Hurry(node) => {
                if let Some(process) = self.processes.get_mut(&node) {
                    process.slowness = 1;
                }
            }
            Act::Heal(node) => self.heal(node),
            Act::Unstall => self.unstall(),
            Act::Calm => self.net.faults = self.usual,
            Act::Mend => self.mend(),
        }
    }

    fn join(&mut self, manner: Manner) {
        if self.processes.len() >= MAX_PROCESSES {
            return;
        }
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let node = self.net.add_node(Role::Worker, &name);
        let mut process = Process::new(self.now, name, &self.pool, &mut self.random);
        process.behaviour.manner = manner;
        self.processes.insert(node, process);
    }

    fn draw_fault(&mut self) {
        if self.faults.is_empty() {
            return;
        }
        let fault = self.faults[self.random.usize(..self.faults.len())];
        match fault {
            Fault::Join => {
                self.counts.joins += 1;
                return self.join(Manner::Correct);
            }
            Fault::Stall => {
                if self.stalled.is_none() {
                    self.counts.stalls += 1;
                    self.stalled = Some(VecDeque::new());
                    let time = self.some_time(5, 3_000);
                    trace!(self, "* the orchestrator stalls for {time:?}");
                    self.plan(time, Act::Unstall);
                }
                return;
            }
            Fault::Delay => {
                self.net.faults.max_delay = self.some_time(10, 300);
                let time = self.some_time(100, 5_000);
                return self.plan(time, Act::Calm);
            }
            _ => {}
        }
        if self.processes.is_empty() {
            return;
        }
        let which = self.random.usize(..self.processes.len());
        let node = *self.processes.keys().nth(which).expect("one of them");
        trace!(self, "* {fault:?} {}", self.processes[&node].name);
        self.strike(fault, node);
    }

    /// One process is struck.
    fn strike(&mut self, fault: Fault, node: NodeId) {
        let time = self.some_time(20, 8_000);
        let process = self.processes.get_mut(&node).expect("one of them");
        match fault {
            Fault::Kill => {
                self.counts.kills += 1;
                self.processes.remove(&node);
                self.parted.remove(&node);
                self.net.kill(self.now, node);
                self.replace();
            }
            Fault::Stop if !process.stopped => {
                self.counts.stops += 1;
                process.stopped = true;
                if time >= IDLE_TIMEOUT {
                    self.lose_connection(node, IDLE_TIMEOUT);
                }
                self.plan(time, Act::Wake(node));
            }
            Fault::Slow => {
                self.counts.slowed += 1;
                process.slowness = self.random.u64(10..3_000);
                self.plan(time, Act::Hurry(node));
            }
            Fault::Cut => {
                self.counts.cuts += 1;
                let notice = self.net.faults.loss_notice;
                self.lose_connection(node, notice);
            }
            Fault::Part if !self.parted.contains_key(&node) => {
                self.counts.parted += 1;
                self.parted.insert(node, Vec::new());
                if time >= IDLE_TIMEOUT {
                    self.lose_connection(node, IDLE_TIMEOUT);
                }
                self.plan(time, Act::Heal(node));
            }
            Fault::Drain if !process.draining && !process.stopped => {
                self.counts.drains += 1;
                process.draining = true;
                // Asked of the process, as by SIGTERM, or of the orchestrator.
                if self.random.bool() {
                    process.worker.drain(self.now);
                    self.drain_process(node);
                } else {
                    self.drain_by_core(node);
                }
                self.replace();
            }
            _ => {}
        }
    }

    /// An operator takes a worker out of service, and its process down once it is empty.
    fn drain_by_core(&mut self, node: NodeId) {
        let name = &self.processes[&node].name;
        let snapshot = self.core.snapshot(self.now);
        if let Some(worker) = snapshot.workers.iter().find(|w| w.name == *name) {
            let known = self.core.drain(self.now, worker.id);
            known.expect("the snapshot has it");
            self.drain_core();
        }
    }

    /// The only one that is left has been suspect, and is back once nobody else is there.
    fn siege(&mut self) {
        let staying = self.processes.iter_mut().find(|(_, p)| !p.draining);
        let Some((&node, process)) = staying else {
            return self.mend();
        };
        self.counts.stops += 1;
        process.stopped = true;
        self.plan(Duration::from_millis(1_500), Act::Massacre(node));
        self.plan(Duration::from_millis(3_500), Act::Wake(node));
        self.plan(Duration::from_millis(3_600), Act::Mend);
    }

    fn massacre(&mut self, spared: NodeId) {
        let others = self.processes.keys().filter(|node| **node != spared);
        // So soon that their loss is known before the one that is left wakes.
        self.net.faults.loss_notice = Duration::from_millis(100);
        for node in others.copied().collect::<Vec<_>>() {
            self.counts.kills += 1;
            self.processes.remove(&node);
            self.parted.remove(&node);
            self.net.kill(self.now, node);
        }
        self.net.faults.loss_notice = self.usual.loss_notice;
    }

    /// Another process comes for one that goes, mostly.
    fn replace(&mut self) {
        let after = self.some_time(50, 6_000);
        if self.random.u8(..3) > 0 {
            self.plan(after, Act::Join);
        }
    }

    /// A process's connection breaks; both sides learn of it later.
    fn lose_connection(&mut self, node: NodeId, notice: Duration) {
        let open: Vec<PeerId> = self.net.peers(node).collect();
        self.net.faults.loss_notice = notice;
        for peer in open {
            self.net.cut(self.now, node, peer);
        }
        self.net.faults.loss_notice = self.usual.loss_notice;
        if let Some(waiting) = self.parted.get_mut(&node) {
            waiting.clear();
        }
    }

    fn heal(&mut self, node: NodeId) {
        for (from, command) in self.parted.remove(&node).unwrap_or_default() {
            self.net.command(self.now, from, command);
        }
    }

    /// The orchestrator goes on as its loop does: some of what waits, its clock, the rest.
    fn unstall(&mut self) {
        let Some(mut waiting) = self.stalled.take() else {
            return;
        };
        let rest = waiting.split_off(waiting.len().min(MAX_BATCH));
        for event in waiting {
            self.core_hears(event);
        }
        if self.core.poll_timeout().is_some_and(|at| at <= self.now) {
            self.core.handle_timeout(self.now);
            self.drain_core();
        }
        let mut waiting = rest;
        while let Some(event) = waiting.pop_front() {
            self.core_hears(event);
        }
    }

    /// The last fault has been. From here on every run must reach its end in time.
    fn mend(&mut self) {
        self.mended_at = Some(self.now);
        self.usual = Faults::default();
        self.net.faults = self.usual;
        self.unstall();
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        for node in nodes {
            self.heal(node);
            let process = self.processes.get_mut(&node).expect("listed above");
            process.slowness = 1;
            if process.stopped {
                process.wake(self.now, &mut self.random);
                self.drain_process(node);
            }
        }
        // At times nobody new comes: those that are there must do.
        let least = self.random.usize(1..=2);
        let staying = self.processes.values().filter(|p| !p.draining).count();
        for _ in staying..least {
            self.join(Manner::Correct);
        }
        for run in 0..self.runs.len() {
            self.resume(run);
        }
    }

    /// A time between two bounds in ms; short ones are as likely as long ones.
    fn some_time(&mut self, least: u64, most: u64) -> Duration {
        let least_log = (least as f64).log2();
        let most_log = (most as f64).log2();
        let log = least_log + self.random.f64() * (most_log - least_log);
        Duration::from_micros((log.exp2() * 1_000.0) as u64)
    }
}

/// What operators ask for.
impl Cluster {
    fn create(&mut self, run: usize) {
        let spec = self.runs[run].spec.clone();
        let id = spec.id;
        self.core
            .create(self.now, spec)
            .expect("a valid specification");
        self.drain_core();
        self.core.start(self.now, id).expect("it was just created");
        self.drain_core();
        let time = self.some_time(20, 500);
        self.plan(time, Act::Operate(run));
        match self.random.u8(..16) {
            0 => self.plan(time * 16, Act::End(run)),
            1 => self.plan(time * 16, Act::Delete(run)),
            _ => {}
        }
    }

    fn operate(&mut self, run: usize) {
        if self.runs[run].settled {
            return;
        }
        let time = self.some_time(20, 2_000);
        self.plan(time, Act::Operate(run));
        match self.random.u8(..20) {
            0..2 if self.mended_at.is_none() => self.pause(run),
            2..4 if self.mended_at.is_none() => {
                let speed = match self.random.u8(..4) {
                    0 => Speed::Max,
                    _ => Speed::Milli(self.random.u32(300..30_000)),
                };
                self.set_speed(run, speed);
            }
            4..7 => self.step_run(run),
            7..10 => self.watch(run),
            _ => self.command(run),
        }
    }

    fn command(&mut self, run: usize) {
        let (id, entities) = {
            let spec = &self.runs[run].spec;
            (spec.id, spec.config.entities)
        };
        let next = self.runs[run].dispatched + 1;
        let request = agenda::command(entities, next, &mut self.random);
        match self.core.command(self.now, id, &request) {
            Ok(stamp) => {
                trace!(self, "simulation {} takes {request:?} as {stamp:?}", id.0);
                let entities = agenda::entities_of(&request.target, entities);
                self.runs[run].acknowledged(stamp, &entities, request.action);
                self.counts.commands += 1;
            }
            Err(ControlError::TickBeyondEnd { .. } | ControlError::TickPassed { .. }) => {}
            Err(ControlError::InvalidTransition { status, .. }) if status.is_final() => {}
            Err(error) => violated!("commands", "{request:?} is refused: {error}"),
        }
        self.drain_core();
    }

    fn pause(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        if self.core.pause(self.now, id).is_ok() {
            self.counts.pauses += 1;
            self.drain_core();
            let run_state = &mut self.runs[run];
            run_state.stands_at = Some(run_state.dispatched);
            let time = self.some_time(50, 4_000);
            self.plan(time, Act::Resume(run));
        } else if !matches!(self.runs[run].status, Status::Paused) {
            let status = self.runs[run].status;
            if !status.is_final() {
                violated!("lifecycle", "a run that is {status:?} is not paused");
            }
        }
    }

    /// Someone watches a run, watches it no longer, or looks at it once.
    fn watch(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        let known = match self.random.u8(..4) {
            0 => self.core.ask_view(self.now, id),
            1 => self.core.set_view_hz(self.now, id, None),
            _ => {
                let hz = self.random.u32(1..=60);
                self.core.set_view_hz(self.now, id, Some(hz))
            }
        };
        known.expect("it is there");
        self.drain_core();
    }

    fn step_run(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        let ticks = self.random.u64(1..20);
        // Before the call, for the ticks go out within it.
        let before = self.runs[run].stands_at;
        self.runs[run].stands_at = before.map(|tick| tick + ticks);
        if self.core.step(self.now, id, ticks).is_ok() {
            self.counts.steps += 1;
        } else {
            self.runs[run].stands_at = before;
        }
        self.drain_core();
    }

    fn resume(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        if self.core.resume(self.now, id).is_ok() {
            self.runs[run].stands_at = None;
        }
        self.drain_core();
        if self.mended_at.is_some() {
            self.set_speed(run, Speed::Max);
        }
    }

    fn set_speed(&mut self, run: usize, speed: Speed) {
        let id = self.runs[run].spec.id;
        if self.core.set_speed(self.now, id, speed).is_ok() {
            trace!(self, "simulation {} goes at {speed:?}", id.0);
            self.runs[run].waits = false;
            self.counts.speeds += 1;
        }
        self.drain_core();
    }

    fn delete(&mut self, run: usize) {
        if self.runs[run].settled {
            return;
        }
        let id = self.runs[run].spec.id;
        self.core.delete(self.now, id).expect("it is there");
        self.counts.deletions += 1;
        // Nothing may be published of it any more.
        self.runs[run].settled = true;
        self.runs[run].waits = false;
        self.drain_core();
    }

    fn end_run(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        if self.core.stop(self.now, id).is_ok() {
            self.counts.ends += 1;
        }
        self.drain_core();
    }
}
