//! What `perf load` is to write, and what makes it fail.

use std::path::PathBuf;

use clap::Args;

use crate::load::args::LoadArgs;
use crate::load::measure::{Measure, PAIRS_MEASURES};
use crate::load::threshold::Threshold;
use crate::load::tolerance::{Allowance, Tolerance};

/// What fails a run of which nobody says how many requests may fail.
const MOST_FAILED: &str = "rest.failed_share>1%";

/// Outputs, thresholds and baselines.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Directory to write the histograms to, as .hgrm in ms.
    #[arg(long, value_name = "DIR")]
    pub(crate) hgrm: Option<PathBuf>,
    /// Directory to write measures.csv and timeline.csv to.
    #[arg(long, value_name = "DIR", conflicts_with = "pairs")]
    pub(crate) csv: Option<PathBuf>,
    /// File to write a report with plots to: one page that needs nothing else and no network.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Fails where this holds, as in 'tick.p99>12ms'; repeatable. --list-measures says what there is. Unless one is of
    /// rest.failed_share, 'rest.failed_share>1%' is among them.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<Threshold>,
    /// Writes what was measured to this file, as a baseline.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Compares with the baseline in this file, and fails where something became worse.
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
    /// By how much a measure may be worse than the baseline's, as 10%; for one alone as MEASURE=10%, or in its
    /// unit as tick.p99=2ms; repeatable [default: 10%].
    #[arg(long, value_name = "ALLOWED")]
    pub(crate) tolerance: Vec<Tolerance>,
}

impl OutputArgs {
    /// What one flag cannot know of another.
    ///
    /// # Errors
    /// What does not go together.
    pub(crate) fn validate(&self, args: &LoadArgs) -> Result<(), String> {
        for threshold in &self.fail_if {
            goes_with(&threshold.measure, args)
                .map_err(|what| format!("--fail-if {:?}: {what}", threshold.text))?;
        }
        for measure in self.tolerance.iter().filter_map(|t| t.measure.as_ref()) {
            goes_with(measure, args).map_err(|what| format!("--tolerance: {what}"))?;
        }
        if !self.tolerance.is_empty() && self.compare.is_none() {
            return Err("--tolerance is of --compare, which is not there".to_owned());
        }
        Ok(())
    }

    /// What is asked for, and what holds unless it is asked for otherwise: latencies are of successes, and say nothing
    /// where many requests are none.
    pub(crate) fn thresholds(&self) -> Vec<Threshold> {
        let mut thresholds = self.fail_if.clone();
        let failed: Threshold = MOST_FAILED.parse().expect("a constant condition");
        let is_asked = |asked: &Threshold| asked.measure == failed.measure;
        if !thresholds.iter().any(is_asked) {
            thresholds.push(failed);
        }
        thresholds
    }

    /// The tolerance of a measure.
    pub(crate) fn tolerance_of(&self, measure: &Measure) -> Allowance {
        Tolerance::of(&self.tolerance, measure)
    }
}

/// Whether a run as it is asked for has a measure.
fn goes_with(measure: &Measure, args: &LoadArgs) -> Result<(), String> {
    let name = measure.name();
    let is_of_pairs = PAIRS_MEASURES.contains(&name);
    match args.pairs {
        Some(_) if !is_of_pairs => {
            return Err(format!(
                "with --pairs there are {}",
                PAIRS_MEASURES.join(", ")
            ));
        }
        None if name == PAIRS_MEASURES[0] => {
            return Err(format!("{name} is there with --pairs only"));
        }
        _ => {}
    }
    match measure.process() {
        Some(process) if !args.watches(process) => Err(format!(
            "no process is named {process}; name one by --pid {process}=PID"
        )),
        _ => Ok(()),
    }
}
