//! What the benches measure, made once: partitions that are at work, and the frames of a tick.
//!
//! The benches themselves stand beside `src`: `step`, `frame`, `exchange` and `stream` measure times,
//! `instructions` counts what valgrind counts. Nothing here reads a clock, or needs the gateway: only
//! `stream` is linked with all that serves clients.

pub mod budget;
pub mod frames;
pub mod stepper;

use std::time::Duration;

use kernel::config::Scenario;

/// Most rows of a measured partition.
pub const ROWS: u32 = 4_096;
/// The scenarios that are measured.
pub const SCENARIOS: [Scenario; 2] = [Scenario::Weeding, Scenario::Dense];

/// Set, to anything, for measurements of CI's length: they show that a bench runs and what order of
/// time it takes, not a change of a few percent.
pub const SHORT_FORM: &str = "AUTOFARM_BENCH_SHORT";

/// How long one bench warms up, how long it measures, and in how many samples.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Before anything counts.
    pub warm_up: Duration,
    /// All samples together.
    pub measurement: Duration,
    /// Samples.
    pub samples: usize,
}

impl Form {
    /// The form that [`SHORT_FORM`] asks for.
    #[must_use]
    pub fn from_environment() -> Form {
        if std::env::var_os(SHORT_FORM).is_some() {
            Form {
                warm_up: Duration::from_millis(200),
                measurement: Duration::from_millis(800),
                samples: 20,
            }
        } else {
            Form {
                warm_up: Duration::from_secs(2),
                measurement: Duration::from_secs(5),
                samples: 100,
            }
        }
    }
}
