//! What a user asks to be simulated, and the limits of it.

use rkyv::{Archive, Deserialize, Serialize};

/// Version of the simulated model. Two kernels of the same version give the same digests.
pub const KERNEL_VERSION: u32 = 1;
/// Most machines in one simulation.
pub const MAX_ENTITIES: u32 = 1_000_000;
/// Shortest tick, in ms of simulated time.
pub const MIN_TICK_MS: u32 = 5;
/// Longest tick, in ms of simulated time.
pub const MAX_TICK_MS: u32 = 1_000;
/// Fewest rows a partition may be asked to hold.
pub const MIN_PARTITION_ROWS: u32 = 8;
/// Most rows a partition may be asked to hold.
pub const MAX_PARTITION_ROWS: u32 = 65_536;
/// Default number of rows in a partition: its columns fit a core's L2 cache.
pub const DEFAULT_PARTITION_ROWS: u32 = 4_096;
/// Most bytes of a partition's checkpoint. It leaves a frame of 32 MiB room for the messages and commands
/// of the tick that is repeated from it.
pub const MAX_CHECKPOINT_BYTES: u64 = 24 << 20;
/// Last tick a run can reach; the kernel counts ticks in 32 bits.
pub const MAX_TICK: u64 = u32::MAX as u64 - 1;

/// A built-in farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scenario {
    /// Sites of 12 weeding robots on 240 ha of sugar beet.
    Weeding = 1,
    /// One crowded site: short rows, shared headlands, batteries of minutes, frequent faults.
    Dense = 2,
}

impl Scenario {
    /// Every built-in, in the order of the catalogue.
    pub const ALL: [Scenario; 2] = [Scenario::Weeding, Scenario::Dense];

    /// The name used in requests and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Weeding => "weeding",
            Scenario::Dense => "dense",
        }
    }

    /// The code used in frames.
    #[must_use]
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The scenario of a frame's code.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Scenario> {
        Scenario::ALL.into_iter().find(|s| s.code() == code)
    }
}

impl std::str::FromStr for Scenario {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Scenario::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| ConfigError::UnknownScenario {
                name: name.to_owned(),
            })
    }
}

/// Everything that determines a run, but for its commands.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SimulationConfig {
    /// [`Scenario::code`].
    pub scenario: u32,
    /// Machines, 1..=[`MAX_ENTITIES`]; their ids are 1..=entities.
    pub entities: u32,
    /// Simulated length of a tick, [`MIN_TICK_MS`]..=[`MAX_TICK_MS`].
    pub tick_ms: u32,
    /// Seed of every random draw.
    pub seed: u64,
    /// Most rows in a partition. Changes placement, never results.
    pub partition_rows: u32,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No built-in of that name.
    #[error("scenario: `{name}` is unknown; the built-in scenarios are weeding, dense")]
    UnknownScenario {
        /// What was asked for.
        name: String,
    },
    /// A frame held a scenario code that this kernel does not know.
    #[error("scenario: code {code} is unknown to this kernel")]
    UnknownScenarioCode {
        /// What the frame held.
        code: u32,
    },
    /// A number outside its range.
    #[error("{field}: {value} is not from {min} to {max}")]
    OutOfRange {
        /// Name of the field.
        field: &'static str,
        /// What was given.
        value: u64,
        /// Least that is allowed.
        min: u64,
        /// Most that is allowed.
        max: u64,
    },
    /// A machine would cross too much ground in a tick for the neighbour law.
    #[error(
        "tick_ms: {tick_ms} is too long for class {class}, which moves {v_max_mm_per_s} mm/s; at most {max_tick_ms} ms"
    )]
    TickTooLong {
        /// What was asked for.
        tick_ms: u32,
        /// Class that is too fast for it.
        class: &'static str,
        /// Its greatest speed, mm/s.
        v_max_mm_per_s: u32,
        /// Longest tick that class allows.
        max_tick_ms: u32,
    },
    /// One site would be wider than positions reach, or its state more than a checkpoint holds.
    #[error(
        "entities: {entities} do not fit on the one site of this scenario; at most {max_entities}"
    )]
    SiteTooLarge {
        /// What was asked for.
        entities: u32,
        /// Most that fit.
        max_entities: u32,
    },
    /// A partition's checkpoint might be longer than [`MAX_CHECKPOINT_BYTES`].
    #[error(
        "partition_rows: a checkpoint of {partition_rows} may have {bytes} bytes, over {MAX_CHECKPOINT_BYTES}; at most {max_partition_rows}"
    )]
    PartitionTooLarge {
        /// What was asked for.
        partition_rows: u32,
        /// What a checkpoint of a partition of so many rows may have.
        bytes: u64,
        /// Most rows whose checkpoint fits.
        max_partition_rows: u32,
    },
}

impl SimulationConfig {
    /// Checks every field against its limits.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is wrong and what is allowed.
    pub fn validate(&self) -> Result<Scenario, ConfigError> {
        let scenario =
            Scenario::from_code(self.scenario).ok_or(ConfigError::UnknownScenarioCode {
                code: self.scenario,
            })?;
        let ranges = [
            ("entities", self.entities, 1, MAX_ENTITIES),
            ("tick_ms", self.tick_ms, MIN_TICK_MS, MAX_TICK_MS),
            (
                "partition_rows",
                self.partition_rows,
                MIN_PARTITION_ROWS,
                MAX_PARTITION_ROWS,
            ),
        ];
        for (field, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::OutOfRange {
                    field,
                    value: u64::from(value),
                    min: u64::from(min),
                    max: u64::from(max),
                });
            }
        }
        Ok(scenario)
    }
}
