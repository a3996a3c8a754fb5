//! The undisturbed run: the whole farm in one partition, stepped by the kernel alone. There is no
//! cut, no frame, no network and no second try in it.

use std::collections::BTreeMap;

use bumpalo::Bump;
use kernel::aggregate::Aggregate;
use kernel::command::{Action, Command};
use kernel::config::{MAX_PARTITION_ROWS, SimulationConfig};
use kernel::event::Event;
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};
use orchestrator::control::CommandStamp;
use transport::message::TickDigest;

/// The farm as it should be.
pub(crate) struct Reference {
    partition: Partition,
    digest_every: u64,
    /// Commands that were acknowledged, by tick, in order of their numbers.
    commands: BTreeMap<u64, Vec<Command>>,
    created: bool,
    arena: Bump,
}

/// What should be published of some ticks.
#[derive(Default)]
pub(crate) struct Expected {
    /// Digests that fell due.
    pub(crate) digests: Vec<TickDigest>,
    /// Events, in order.
    pub(crate) events: Vec<Event>,
}

impl Reference {
    /// A farm that is not created yet.
    pub(crate) fn new(config: &SimulationConfig, digest_every: u32) -> Reference {
        let config = SimulationConfig {
            partition_rows: MAX_PARTITION_ROWS,
            ..config.clone()
        };
        let plan = Plan::new(&config).expect("the cluster runs valid configurations");
        assert_eq!(plan.partitions.len(), 1, "the reference is not cut");
        Reference {
            partition: Partition::create(&plan, 0),
            digest_every: u64::from(digest_every),
            commands: BTreeMap::new(),
            created: false,
            arena: Bump::new(),
        }
    }

    /// Takes in a command that was acknowledged.
    pub(crate) fn command(&mut self, stamp: CommandStamp, entities: &[u32], action: Action) {
        let commands = entities.iter().map(|e| Command::new(stamp.seq, *e, action));
        self.commands
            .entry(stamp.tick)
            .or_default()
            .extend(commands);
    }

    /// Steps up to a tick; the first call begins with creation.
    pub(crate) fn advance(&mut self, tick: u64) -> Expected {
        let mut expected = Expected::default();
        if !std::mem::replace(&mut self.created, true) {
            self.report(&mut expected);
        }
        while self.tick() < tick {
            self.step();
            self.report(&mut expected);
        }
        expected
    }

    /// The tick it stands at.
    pub(crate) fn tick(&self) -> u64 {
        self.partition.tick()
    }

    /// The digest of that tick.
    pub(crate) fn digest(&self) -> u64 {
        self.partition.digest()
    }

    /// The sums of that tick.
    pub(crate) fn aggregate(&self) -> Aggregate {
        self.partition.aggregate()
    }

    fn step(&mut self) {
        let commands = self.commands.remove(&(self.tick() + 1)).unwrap_or_default();
        let inputs = StepInputs {
            commands: &commands,
            mail: &[],
        };
        self.arena.reset();
        self.partition
            .step(&inputs, &self.arena)
            .expect("a farm in one part reads no mail");
    }

    fn report(&self, expected: &mut Expected) {
        expected.events.extend_from_slice(self.partition.events());
        if self.tick().is_multiple_of(self.digest_every) {
            expected.digests.push(TickDigest {
                tick: self.tick(),
                digest: self.digest(),
            });
        }
    }
}
