//! The `autofarm` binary. So far it has one role: `run`, headless in this process.

use std::time::Instant;

use anyhow::Context;
use bumpalo::Bump;
use clap::Parser;
use kernel::aggregate::Aggregate;
use kernel::config::{DEFAULT_PARTITION_ROWS, Scenario, SimulationConfig};
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};

/// Simulates fleets of autonomous farm machines.
#[derive(Parser)]
#[command(name = "autofarm", version)]
enum Cli {
    /// Steps a farm as fast as it goes, in this process, and prints its digest.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// weeding or dense.
    #[arg(long, env = "AUTOFARM_SCENARIO", default_value = "weeding")]
    scenario: String,
    /// Machines.
    #[arg(long, env = "AUTOFARM_ENTITIES", default_value_t = 1_000)]
    entities: u32,
    /// Simulated length of a tick, ms.
    #[arg(long, env = "AUTOFARM_TICK_MS", default_value_t = 50)]
    tick_ms: u32,
    /// Ticks to step.
    #[arg(long, env = "AUTOFARM_TICKS", default_value_t = 1_000)]
    ticks: u32,
    /// Seed of every random draw.
    #[arg(long, env = "AUTOFARM_SEED", default_value_t = 1)]
    seed: u64,
    /// Most rows in a partition; changes nothing but speed.
    #[arg(long, env = "AUTOFARM_PARTITION_ROWS", default_value_t = DEFAULT_PARTITION_ROWS)]
    partition_rows: u32,
}

fn main() -> anyhow::Result<()> {
    let Cli::Run(run) = Cli::parse();
    run.run()
}

impl Run {
    fn run(&self) -> anyhow::Result<()> {
        let scenario: Scenario = self.scenario.parse()?;
        let plan = Plan::new(&SimulationConfig {
            scenario: scenario.code(),
            entities: self.entities,
            tick_ms: self.tick_ms,
            seed: self.seed,
            partition_rows: self.partition_rows,
        })?;
        let mut partitions: Vec<_> = (0..plan.partitions.len() as u32)
            .map(|index| Partition::create(&plan, index))
            .collect();
        let begun = Instant::now();
        let mut bump = Bump::new();
        for tick in 1..=self.ticks {
            step(&mut partitions, &mut bump).with_context(|| format!("tick {tick}"))?;
        }
        let wall_s = begun.elapsed().as_secs_f64();
        let mut sums = Aggregate::default();
        let mut digest = 0_u64;
        for partition in &partitions {
            sums.merge(&partition.aggregate());
            digest = digest.wrapping_add(partition.digest());
        }
        let steps = f64::from(self.entities) * f64::from(self.ticks);
        println!("digest              {digest:016x}");
        println!("ticks               {}", self.ticks);
        println!("wall_s              {wall_s:.3}");
        println!("entity_steps_per_s  {:.0}", steps / wall_s);
        println!("counts              {:?}", sums.counters);
        Ok(())
    }
}

/// Steps every partition once, with the letters of the tick before.
fn step(partitions: &mut [Partition], bump: &mut Bump) -> Result<(), kernel::MailError> {
    let letters: Vec<(u32, Vec<u32>)> = (partitions.iter())
        .flat_map(Partition::outbox)
        .map(|(to, words)| (to, words.to_vec()))
        .collect();
    for partition in partitions {
        let index = partition.index();
        let mail: Vec<&[u32]> = (letters.iter())
            .filter(|(to, _)| *to == index)
            .map(|(_, words)| &words[..])
            .collect();
        bump.reset();
        let inputs = StepInputs {
            commands: &[],
            mail: &mail,
        };
        partition.step(&inputs, bump)?;
    }
    Ok(())
}
