//! The cluster: one orchestrator, some workers and a network on one thread, in virtual time. The
//! seed determines everything that happens in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use fastrand::Rng;
use orchestrator::control::{SimulationId, WorkerId};
use orchestrator::snapshot::{Totals, Verified};
use orchestrator::{Config, Orchestrator};
use transport::link::{LinkCommand, LinkEvent, PeerId, Role};
use transport::pool::FramePool;
use transport::sim::{Faults, NodeId, SimNet};

use crate::agenda::{self, Act, Fault, Nature};
use crate::check::{MAX_INPUTS_AT_ONCE, RECOVERY, REST, Run, Wire, violated};
use crate::counts::Counts;
use crate::kept::Book;
use crate::manner::Manner;
use crate::process::Process;

/// Prints what happens, where the seed is replayed alone.
macro_rules! trace {
    ($cluster:expr, $($what:tt)*) => {
        if $cluster.tracing {
            println!("{:>12.6} {}", $cluster.now.as_secs_f64(), format_args!($($what)*));
        }
    };
}
pub(crate) use trace;

pub(crate) struct Cluster {
    pub(crate) now: Duration,
    pub(crate) random: Rng,
    pub(crate) tracing: bool,
    pub(crate) net: SimNet,
    pub(crate) usual: Faults,
    /// Whether no frame is ever lost but with its connection.
    pub(crate) heard_all: bool,
    pub(crate) core: Orchestrator,
    pub(crate) core_node: NodeId,
    /// Link events that wait for the orchestrator while it is stalled.
    pub(crate) stalled: Option<VecDeque<LinkEvent>>,
    pub(crate) processes: BTreeMap<NodeId, Process>,
    pub(crate) nodes: BTreeMap<PeerId, NodeId>,
    /// What waits for a process to be back on the network, and who sent it.
    pub(crate) parted: BTreeMap<NodeId, Vec<(NodeId, LinkCommand)>>,
    pub(crate) agenda: BTreeMap<(Duration, u64), Act>,
    pub(crate) planned: u64,
    /// Processes started so far.
    pub(crate) started: u32,
    pub(crate) faults: Vec<Fault>,
    pub(crate) fault_every: Duration,
    pub(crate) runs: Vec<Run>,
    /// What a store would have of each; nothing before it is created and after it was deleted.
    pub(crate) books: Vec<Option<Book>>,
    pub(crate) config: Config,
    /// What orchestrators that died had counted.
    pub(crate) before: (Totals, Verified, u64),
    pub(crate) wire: Wire,
    pub(crate) pool: FramePool,
    /// Where each partition is, and the workers that nothing is held against.
    pub(crate) owners: BTreeMap<(SimulationId, u32), WorkerId>,
    pub(crate) good: BTreeSet<WorkerId>,
    pub(crate) mended_at: Option<Duration>,
    pub(crate) inputs: u64,
    pub(crate) at_once: u32,
    pub(crate) counts: Counts,
    pub(crate) reasons: Vec<String>,
    /// A hash of all that happened, to compare two runs of one seed.
    pub(crate) fingerprint: u64,
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
            core: Orchestrator::new(config.clone(), FramePool::new()),
            config,
            books: runs.iter().map(|_| None).collect(),
            before: Default::default(),
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
        for after in nature.crashes {
            cluster.plan(after, Act::Crash);
        }
        for after in nature.forks {
            cluster.plan(after, Act::Fork);
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

    pub(crate) fn plan(&mut self, after: Duration, act: Act) {
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

    pub(crate) fn note(&mut self, what: u64) {
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
        let (totals, verified, lost_workers) = self.before;
        counts.totals = totals;
        counts.totals.merge(&snapshot.totals);
        counts.verified = sum(verified, snapshot.verified);
        counts.lost_workers = lost_workers + snapshot.lost_workers;
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

/// Both together.
pub(crate) fn sum(mut one: Verified, other: Verified) -> Verified {
    one.agreed += other.agreed;
    one.mismatches += other.mismatches;
    one.skipped += other.skipped;
    one
}
