//! `perf load`: a client of a running AutoFarm that drives it over REST and WebSocket, measures what users
//! would, and checks what it receives.
//!
//! Clients of the stream run on a few threads, requests on one of their own; the main thread creates the
//! simulations, says when is measured, and reports. It knows AutoFarm by its public API only.

mod api;
pub(crate) mod args;
mod baseline;
mod binary;
mod cadence;
mod catalogue;
mod content;
mod csv;
mod farms;
mod figures;
mod gateway;
mod leg;
mod live;
mod measure;
mod message;
mod mix;
mod moments;
mod output_args;
mod page;
mod pairs;
mod parameters;
mod processes;
pub(crate) mod profile;
mod report;
mod report_text;
mod rest;
mod run_report;
mod runs;
mod schedule;
mod sequence;
mod session;
mod stage;
mod staleness;
mod stop;
mod stream;
mod sums;
mod tally;
mod target;
mod threshold;
mod timeline;
mod tolerance;
mod traffic;
mod unit;
mod violation;
mod watch;
mod window;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::jitter;
use crate::load::args::LoadArgs;
use crate::load::baseline::Baseline;
use crate::load::run_report::us_of;
use crate::load::runs::Plan;

/// Exit code where arguments do not go together, or a profile or baseline does not fit.
pub(crate) const WRONG_INPUT: u8 = 2;

/// Measures, checks, judges and prints.
///
/// # Errors
/// Where it could not be measured.
pub(crate) fn run(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    if args.list_measures {
        print!("{}", catalogue::listed());
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(what) = args.validate() {
        return Ok(wrong_input(&what));
    }
    // What cannot be compared in the end is told before anything is measured.
    let baseline = match args
        .output
        .compare
        .as_deref()
        .map(Baseline::read)
        .transpose()
    {
        Ok(baseline) => baseline,
        Err(error) => return Ok(wrong_input(&format!("{error:#}"))),
    };
    for (flag, directory) in [("hgrm", &args.output.hgrm), ("csv", &args.output.csv)] {
        if let Some(directory) = directory {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("{flag}: {}", directory.display()))?;
        }
    }
    let plan = Plan {
        args: args.clone(),
        baseline,
        idle_timer_jitter: us_of(&jitter::measure()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(plan.load())
}

/// Says what is wrong with what was asked for.
pub(crate) fn wrong_input(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(WRONG_INPUT)
}
