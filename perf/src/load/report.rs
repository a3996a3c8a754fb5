//! What `perf load` says in the end: the run, what was checked of it, and how it is judged. The names of fields are
//! the JSON's.

use serde::Serialize;

use crate::load::baseline::Ratio;
use crate::load::figures::Figures;
use crate::load::parameters::Parameters;
use crate::load::run_report::{Percentiles, RunReport};
use crate::load::threshold::Judged;
use crate::load::violation::Found;

/// Measures that became worse and are told one by one where it is said why a run has failed.
const MAX_TOLD: usize = 8;

/// What was checked.
#[derive(Serialize)]
pub(crate) struct CheckReport {
    /// Violations in all.
    pub(crate) violations: u64,
    /// They and the first of them.
    #[serde(flatten)]
    pub(crate) found: Found,
    /// Ticks of which two clients' sums were compared.
    pub(crate) compared_ticks: u64,
    /// Digests that were compared with the database's.
    pub(crate) compared_digests: u64,
}

/// What every report says, whatever was run.
#[derive(Serialize)]
pub(crate) struct Frame {
    /// Of this program.
    pub(crate) version: &'static str,
    /// When it was over, s since 1970.
    pub(crate) ended_at_s: u64,
    /// Where the gateway is.
    pub(crate) gateway: String,
    /// Processors that all sides share, if they share any.
    pub(crate) processors: usize,
    /// What was asked for.
    pub(crate) parameters: Parameters,
    /// An end was asked for before it was due.
    pub(crate) interrupted: bool,
    /// Lateness of this machine's timer before the load.
    pub(crate) idle_timer_jitter: Percentiles,
}

/// How a run is judged.
#[derive(Serialize)]
pub(crate) struct Verdict {
    /// What was checked.
    pub(crate) checks: CheckReport,
    /// What should have been compared within the run and could not be, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) incomparable: Vec<String>,
    /// What became of each threshold.
    pub(crate) thresholds: Vec<Judged>,
    /// Every measure beside the baseline's; absent where there is none.
    pub(crate) comparison: Option<Vec<Ratio>>,
}

/// An invocation with one run.
#[derive(Serialize)]
pub(crate) struct SingleReport {
    /// What every report says.
    #[serde(flatten)]
    pub(crate) frame: Frame,
    /// What was measured.
    pub(crate) run: RunReport,
    /// How it is judged.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

impl Verdict {
    /// Every reason for which the run has failed, as a sentence.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.checks.violations > 0 {
            failures.push(format!(
                "{} violated checks; the report says which, and where",
                self.checks.violations
            ));
        }
        failures.extend(self.incomparable.iter().cloned());
        let failed = self.thresholds.iter().filter(|judged| judged.failed);
        failures.extend(failed.map(|judged| format!("{}: {}", judged.threshold, judged.says)));
        let worse: Vec<_> = (self.comparison.iter().flatten())
            .filter(|ratio| ratio.regressed)
            .collect();
        failures.extend(worse.iter().take(MAX_TOLD).map(|ratio| {
            format!(
                "{} is worse than the baseline's: {}",
                ratio.measure, ratio.says
            )
        }));
        if worse.len() > MAX_TOLD {
            failures.push(format!(
                "{} further measures are worse than the baseline's; the report says which",
                worse.len() - MAX_TOLD
            ));
        }
        failures
    }
}

impl SingleReport {
    /// All that was measured, by name.
    pub(crate) fn figures(&self) -> &Figures {
        &self.run.figures
    }
}
