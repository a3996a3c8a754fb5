//! The undisturbed run: the whole farm in one partition, stepped by the kernel alone. There is no
//! cut, no frame, no network and no second try in it.

use std::collections::BTreeMap;

use bumpalo::Bump;
use kernel::aggregate::Aggregate;
use kernel::command::{Action, Command};
use kernel::config::{MAX_PARTITION_ROWS, SimulationConfig};
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};
use orchestrator::control::CommandStamp;
use transport::control::LogEvent;

use crate::log;

/// The farm as it should be.
pub(crate) struct Reference {
    partition: Partition,
    /// Commands that were acknowledged, by tick, in order of their numbers.
    commands: BTreeMap<u64, Vec<Command>>,
    /// Every tick it was stepped through, creation first.
    ticks: Vec<Tick>,
    arena: Bump,
}

/// A tick as it should be.
#[derive(Debug)]
pub(crate) struct Tick {
    pub(crate) digest: u64,
    pub(crate) aggregate: Aggregate,
    /// Its events, as entries of the log.
    pub(crate) log: Vec<LogEvent>,
    /// Number of the newest entry up to this tick.
    pub(crate) last_sim_seq: u64,
}

impl Reference {
    /// A farm that was created.
    pub(crate) fn new(config: &SimulationConfig) -> Reference {
        let config = SimulationConfig {
            partition_rows: MAX_PARTITION_ROWS,
            ..config.clone()
        };
        let plan = Plan::new(&config).expect("the cluster runs valid configurations");
        assert_eq!(plan.partitions.len(), 1, "the reference is not cut");
        let mut reference = Reference {
            partition: Partition::create(&plan, 0),
            commands: BTreeMap::new(),
            ticks: Vec::new(),
            arena: Bump::new(),
        };
        reference.note();
        reference
    }

    /// Takes in a command that was acknowledged.
    pub(crate) fn command(&mut self, stamp: CommandStamp, entities: &[u32], action: Action) {
        let commands = entities.iter().map(|e| Command::new(stamp.seq, *e, action));
        self.commands
            .entry(stamp.tick)
            .or_default()
            .extend(commands);
    }

    /// A tick as it should be; it steps up to there.
    pub(crate) fn at(&mut self, tick: u64) -> &Tick {
        while self.partition.tick() < tick {
            self.step();
            self.note();
        }
        &self.ticks[usize::try_from(tick).expect("a cluster's ticks are few")]
    }

    fn step(&mut self) {
        let commands = self.commands.remove(&(self.partition.tick() + 1));
        let inputs = StepInputs {
            commands: &commands.unwrap_or_default(),
            mail: &[],
        };
        self.arena.reset();
        self.partition
            .step(&inputs, &self.arena)
            .expect("a farm in one part reads no mail");
    }

    fn note(&mut self) {
        let before = self.ticks.last().map_or(0, |tick| tick.last_sim_seq);
        let log = log::entries(self.partition.events(), before);
        self.ticks.push(Tick {
            digest: self.partition.digest(),
            aggregate: self.partition.aggregate(),
            last_sim_seq: before + log.len() as u64,
            log,
        });
    }
}
