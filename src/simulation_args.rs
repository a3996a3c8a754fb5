//! The flags that say what is simulated and how fast, and what of them is wrong.

use kernel::config::{
    DEFAULT_PARTITION_ROWS, MAX_ENTITIES, MAX_PARTITION_ROWS, MAX_TICK, MAX_TICK_MS,
    MIN_PARTITION_ROWS, MIN_TICK_MS, Scenario, SimulationConfig,
};
use kernel::plan::Plan;
use orchestrator::control::{LatePolicy, SimulationId, Spec, Speed};
use uuid::Uuid;

use crate::failure::wrong_input;
use crate::value_parser::within;
use crate::wording::one_of;

/// Flags of a simulation.
#[derive(clap::Args, Clone)]
pub(crate) struct SimulationArgs {
    /// Machines, 1 to 1000000.
    #[arg(
        long,
        env = "AUTOFARM_ENTITIES",
        value_name = "N",
        default_value_t = 1_000,
        value_parser = within::<u32>(1..=MAX_ENTITIES.into())
    )]
    pub(crate) entities: u32,
    /// Simulated length of a tick, 5 to 1000 ms.
    #[arg(
        long,
        env = "AUTOFARM_TICK_MS",
        value_name = "MS",
        default_value_t = 50,
        value_parser = within::<u32>(MIN_TICK_MS.into()..=MAX_TICK_MS.into())
    )]
    pub(crate) tick_ms: u32,
    /// Last tick; at speed 1 a tick of 50 ms takes 50 ms.
    #[arg(
        long,
        env = "AUTOFARM_TICKS",
        value_name = "N",
        default_value_t = 1_000,
        value_parser = within::<u64>(1..=MAX_TICK)
    )]
    pub(crate) ticks: u64,
    /// Seed of every random draw: the same seed gives the same run.
    #[arg(long, env = "AUTOFARM_SEED", value_name = "N", default_value_t = 1,
        value_parser = within::<u64>(0..=u64::MAX))]
    pub(crate) seed: u64,
    /// Most machines in a partition, 8 to 65536; changes how work is spread, never a result.
    #[arg(long, env = "AUTOFARM_PARTITION_ROWS", value_name = "N", default_value_t = DEFAULT_PARTITION_ROWS,
        value_parser = within::<u32>(MIN_PARTITION_ROWS.into()..=MAX_PARTITION_ROWS.into()))]
    pub(crate) partition_rows: u32,
    /// Ticks between digests [default: those of one simulated second].
    #[arg(long, env = "AUTOFARM_DIGEST_EVERY", value_name = "TICKS", value_parser = within::<u32>(1..=u32::MAX.into()))]
    pub(crate) digest_every: Option<u32>,
    /// What happens once a run is a second behind: deadlines are shifted, or the run fails.
    #[arg(long, env = "AUTOFARM_LATE", value_name = "POLICY", value_enum, default_value_t = Late::Dilate)]
    pub(crate) late: Late,
}

/// [`LatePolicy`] as a flag.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Late {
    Dilate,
    Fail,
}

impl SimulationArgs {
    /// The simulation they describe.
    ///
    /// # Errors
    /// What does not go together, with what is allowed.
    pub(crate) fn spec(&self, scenario: Scenario, speed: Speed) -> anyhow::Result<Spec> {
        let config = SimulationConfig {
            scenario: scenario.code(),
            entities: self.entities,
            tick_ms: self.tick_ms,
            seed: self.seed,
            partition_rows: self.partition_rows,
        };
        // Cheaper than it looks, and what is wrong is known before any worker is started.
        Plan::new(&config).map_err(wrong_input)?;
        let second = (1_000 / self.tick_ms).max(1);
        Ok(Spec {
            id: SimulationId(Uuid::now_v7().as_u128()),
            name: scenario.name().to_owned(),
            config,
            speed,
            max_ticks: Some(self.ticks),
            digest_every: self.digest_every.unwrap_or(second),
            late: match self.late {
                Late::Dilate => LatePolicy::Dilate,
                Late::Fail => LatePolicy::Fail,
            },
            parent: None,
        })
    }
}

/// Reads the name of a built-in scenario.
pub(crate) fn parse_scenario(name: &str) -> Result<Scenario, String> {
    let names = Scenario::ALL.map(Scenario::name);
    let unknown = |_| format!("{} is expected", one_of(&names));
    name.parse().map_err(unknown)
}

/// Reads a speed: a factor of at most three decimals, or `max`.
pub(crate) fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let expected = || "a factor from 0.1 to 1000 or `max` is expected".to_owned();
    let factor: f64 = text.parse().map_err(|_| expected())?;
    let milli = (factor * 1_000.0).round();
    // Casting saturates, and what is too large for 32 bits is too fast by far.
    let speed = Speed::Milli(milli as u32);
    orchestrator::control::validate_speed(speed).map_err(|_| expected())
}

/// A speed as [`parse_speed`] reads it.
pub(crate) fn speed_text(speed: Speed) -> String {
    match speed {
        Speed::Max => "max".to_owned(),
        Speed::Milli(milli) => format!("{}", f64::from(milli) / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_factors_or_max() {
        assert_eq!(parse_speed("max"), Ok(Speed::Max));
        assert_eq!(parse_speed("1"), Ok(Speed::REAL));
        assert_eq!(parse_speed("0.1"), Ok(Speed::Milli(100)));
        assert_eq!(parse_speed("2.5").map(speed_text), Ok("2.5".to_owned()));
        for wrong in ["0", "-1", "1001", "NaN", "fast", "1e30"] {
            let error = parse_speed(wrong).unwrap_err();
            assert!(error.contains("1000"), "{wrong}: {error}");
        }
    }
}
