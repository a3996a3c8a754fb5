//! What the seed draws: the farms, the network, and what is done to the cluster and asked of its runs.

use std::time::Duration;

use fastrand::Rng;
use kernel::command::{Action, Component};
use kernel::config::{Scenario, SimulationConfig};
use kernel::farm::Farm;
use orchestrator::Config;
use orchestrator::control::{CommandRequest, LatePolicy, SimulationId, Spec, Speed, Target};
use transport::sim::{Faults, NodeId};

/// Row-steps that one run may cost, so that a seed takes a fraction of a second.
const ROW_STEPS: u32 = 60_000;

/// Something that is going to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// A simulation is created and started.
    Create(usize),
    /// Someone asks something of a run.
    Operate(usize),
    /// A paused run is resumed.
    Resume(usize),
    /// A run is stopped before its end.
    End(usize),
    /// A fault is drawn.
    Fault,
    /// A worker process is started.
    Join,
    /// A stopped process goes on.
    Wake(NodeId),
    /// A slow process is as fast as the others again.
    Hurry(NodeId),
    /// A process that was parted from the network is back.
    Heal(NodeId),
    /// The orchestrator goes on after a stall.
    Unstall,
    /// The network is as quick as ever.
    Calm,
    /// One worker is stopped until the others are dead.
    Siege,
    /// The others die.
    Massacre(NodeId),
    /// The last fault has been; everything is mended.
    Mend,
    /// A run is removed.
    Delete(usize),
    /// The orchestrator dies, and another begins with what was kept.
    Crash,
    /// A run is forked at a tick of its past.
    Fork,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Stop,
    Slow,
    Cut,
    Part,
    Join,
    Drain,
    Stall,
    Delay,
}

impl Fault {
    const ALL: [Fault; 9] = [
        Fault::Kill,
        Fault::Stop,
        Fault::Slow,
        Fault::Cut,
        Fault::Part,
        Fault::Join,
        Fault::Drain,
        Fault::Stall,
        Fault::Delay,
    ];
}

/// The nature of one seed.
pub(crate) struct Nature {
    pub(crate) config: Config,
    pub(crate) network: Faults,
    pub(crate) workers: u32,
    /// What goes wrong in this seed: not everything in each, so that rare things meet.
    pub(crate) faults: Vec<Fault>,
    /// Mean time between two faults.
    pub(crate) fault_every: Duration,
    /// When the last fault has been.
    pub(crate) mend_at: Duration,
    pub(crate) runs: Vec<Spec>,
    /// When the orchestrator dies, after the beginning.
    pub(crate) crashes: Vec<Duration>,
    /// When a run is forked.
    pub(crate) forks: Vec<Duration>,
}

/// Draws a seed's nature.
pub(crate) fn nature(random: &mut Rng) -> Nature {
    let faults = Fault::ALL.into_iter().filter(|_| random.u8(..3) > 0);
    let faults: Vec<Fault> = faults.collect();
    let mut network = Faults {
        max_delay: Duration::from_micros(random.u64(100..4_000)),
        loss_notice: Duration::from_millis(random.u64(100..4_000)),
        ..Faults::default()
    };
    // No QUIC does this; that it is borne shows that nothing rests on it.
    if random.u8(..4) == 0 {
        network.duplicate_per_mille = random.u16(5..60);
    }
    if random.u8(..8) == 0 {
        network.drop_per_mille = random.u16(1..10);
    }
    let runs = 1 + random.u8(..5).min(2);
    let mend_ms = random.u64(4_000..30_000);
    let times = |most: u8, random: &mut Rng| {
        let times = (0..random.u8(..=most)).map(|_| random.u64(300..mend_ms));
        times.map(Duration::from_millis).collect::<Vec<_>>()
    };
    let (crashes, forks) = (times(2, random), times(2, random));
    let often = [300, 1_000, 3_000].map(Duration::from_millis);
    Nature {
        config: Config {
            command_lead_ticks: random.u64(0..4),
            verify_one_in: [0, 10, 40, 200][random.usize(..4)],
            rebalance: random.u8(..8) > 0,
            cut_every: Some(often[random.usize(..often.len())]),
            ..Config::default()
        },
        network,
        workers: random.u32(1..=4),
        faults,
        fault_every: Duration::from_millis(random.u64(100..3_000)),
        mend_at: Duration::from_millis(mend_ms),
        crashes,
        forks,
        runs: (0..runs).map(|n| spec(n, random)).collect(),
    }
}

fn spec(n: u8, random: &mut Rng) -> Spec {
    let dense = random.u8(..3) > 0;
    let config = SimulationConfig {
        scenario: if dense {
            Scenario::Dense
        } else {
            Scenario::Weeding
        }
        .code(),
        entities: random.u32(20..150),
        tick_ms: [50, 100, 200][random.usize(..3)],
        seed: random.u64(..),
        partition_rows: [12, 16, 16, 40][random.usize(..4)],
    };
    let most = (ROW_STEPS / config.entities).min(900);
    let speed = match random.u8(..3) {
        0 => Speed::Max,
        _ => Speed::Milli(random.u32(500..10_000)),
    };
    Spec {
        id: SimulationId(u128::from(n) + 1),
        name: format!("run-{n}"),
        max_ticks: Some(u64::from(random.u32(most / 3..=most))),
        digest_every: random.u32(1..=7),
        late: LatePolicy::Dilate,
        parent: None,
        speed,
        config,
    }
}

/// Draws a command for a run whose next tick is about `next`.
pub(crate) fn command(farm: &Farm, next: u64, random: &mut Rng) -> CommandRequest {
    let entities = farm.config.entities;
    let target = match random.u8(..20) {
        0 => Target::All,
        5 => Target::Site(random.u32(..farm.sites)),
        1..5 => {
            let some = (0..5).map(|_| random.u32(1..=entities));
            Target::Entities(some.collect())
        }
        _ => Target::Entity(random.u32(1..=entities)),
    };
    let action = match random.u8(..8) {
        0 => Action::Hold,
        1 => Action::ReturnToCharger,
        2 => Action::Goto {
            x_mm: random.i32(0..200_000),
            y_mm: random.i32(0..50_000),
        },
        3 => Action::SetSpeedLimit {
            mm_per_s: random.i32(0..2_000),
        },
        4 => Action::InjectFault {
            component: [Component::Drive, Component::Battery][random.usize(..2)],
            for_ms: random.i32(100..5_000),
        },
        // Most of all, so that nobody stands for good.
        _ => Action::Release,
    };
    let ahead = random.bool();
    CommandRequest {
        target,
        action,
        tick: ahead.then(|| next + random.u64(1..30)),
    }
}

/// The machines that a command is for.
pub(crate) fn entities_of(target: &Target, farm: &Farm) -> Vec<u32> {
    let mut ids = match target {
        Target::Entity(id) => vec![*id],
        Target::Entities(ids) => ids.clone(),
        Target::Site(site) => {
            let first = farm.first_entity(*site);
            (first..first + farm.machines_of(*site)).collect()
        }
        Target::All => (1..=farm.config.entities).collect(),
    };
    ids.sort_unstable();
    ids.dedup();
    ids
}
