//! `perf load`: a client of a running AutoFarm that drives it over REST and WebSocket, measures what users
//! would, and checks what it receives.
//!
//! Clients of the stream run on a few threads, requests on one of their own; the main thread creates the
//! simulations, says when is measured, and reports. It knows AutoFarm by its public API only.

mod api;
pub(crate) mod args;
mod binary;
mod cadence;
mod content;
mod gateway;
mod leg;
mod message;
mod mix;
mod pairs;
mod processes;
mod progress;
mod report;
mod report_text;
mod rest;
mod schedule;
mod sequence;
mod session;
mod stage;
mod stop;
mod stream;
mod sums;
mod tally;
mod target;
mod violation;
mod window;

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::jitter;
use crate::load::api::Api;
use crate::load::args::LoadArgs;
use crate::load::gateway::Gateway;
use crate::load::leg::Field;
use crate::load::pairs::{Pair, PairsReport, median_ratio, without_first};
use crate::load::progress::Progress;
use crate::load::report::{CheckReport, Percentiles, RunReport, SingleReport};
use crate::load::stop::Stop;
use crate::load::target::Target;
use crate::load::violation::{Check, Violations, finding};

/// Exit code where arguments do not go together.
const WRONG_INPUT: u8 = 2;

/// Measures, checks and prints.
///
/// # Errors
/// Where it could not be measured.
pub(crate) fn run(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    if let Err(what) = args.validate() {
        eprintln!("error: {what}");
        return Ok(ExitCode::from(WRONG_INPUT));
    }
    if let Some(directory) = &args.hgrm {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("hgrm: {}", directory.display()))?;
    }
    let idle = Percentiles::of_ns(&jitter::measure());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(load(args, idle))
}

async fn load(args: &LoadArgs, idle: Percentiles) -> anyhow::Result<ExitCode> {
    let stop = Stop::catch()?;
    let found = Gateway::find(&args.url, args.token.as_deref(), args.ca.as_deref());
    let gateway = Arc::new(found.await?);
    let run = fastrand::u64(..);
    let mut api = Api::new(Arc::clone(&gateway), run);
    let mut created = Vec::new();
    let loaded = async {
        let targets = targets(args, &mut api, &mut created).await?;
        let field = Field {
            args: args.clone(),
            gateway,
            targets: targets.into(),
            violations: Arc::new(Violations::default()),
            run,
        };
        match args.pairs {
            None => single(&field, &mut api, idle, &stop).await,
            Some(pairs) => paired(&field, &mut api, idle, pairs, &stop).await,
        }
    };
    let loaded = loaded.await;
    if !args.keep {
        for id in &created {
            if let Err(error) = api.delete(id).await {
                eprintln!("warning: {error:#}");
            }
        }
    }
    loaded
}

/// The simulations to watch: those named, or new ones, started.
async fn targets(
    args: &LoadArgs,
    api: &mut Api,
    created: &mut Vec<String>,
) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for id in &args.simulation {
        targets.push(api.read(id).await?);
    }
    if args.simulation.is_empty() {
        for n in 0..args.simulations {
            let resource = api.create(args, n).await?;
            created.push(resource.id.clone());
            targets.push(api.start(&resource.id).await?);
        }
    }
    let targets = targets.into_iter();
    Ok(targets.map(|r| Target::new(r.id, r.entities)).collect())
}

async fn single(
    field: &Field,
    api: &mut Api,
    idle_timer_jitter: Percentiles,
    stop: &Stop,
) -> anyhow::Result<ExitCode> {
    let progress = Progress::new();
    let stalled = field.args.stalled_clients;
    let measured = field.run(api, stalled, 0, &progress, stop).await;
    progress.end();
    let run = RunReport::new(measured?);
    if let Some(directory) = &field.args.hgrm {
        run.write_hgrm(directory)?;
    }
    let checks = checks(field, api).await?;
    let violations = checks.violations;
    let report = SingleReport {
        processors: processors(),
        interrupted: stop.is_asked(),
        idle_timer_jitter,
        run: Some(run),
        checks,
    };
    tell(&report, field.args.json, violations)
}

async fn paired(
    field: &Field,
    api: &mut Api,
    idle_timer_jitter: Percentiles,
    count: u32,
    stop: &Stop,
) -> anyhow::Result<ExitCode> {
    let progress = Progress::new();
    let mut pairs = Vec::new();
    let mut leg = 0;
    for n in 0..count {
        let without_first = without_first(n);
        let stalled = field.args.stalled_clients;
        let order = if without_first {
            [0, stalled]
        } else {
            [stalled, 0]
        };
        let mut runs = Vec::new();
        for stalled in order {
            let measured = field.run(api, stalled, leg, &progress, stop).await?;
            runs.push(RunReport::new(measured));
            leg += 1;
            if stop.is_asked() {
                break;
            }
        }
        // A pair that was cut short compares nothing.
        if stop.is_asked() {
            break;
        }
        let (second, first) = (runs.pop(), runs.pop());
        let (with, without) = match without_first {
            true => (second, first),
            false => (first, second),
        };
        let (without, with) = (without.expect("two runs"), with.expect("two runs"));
        if let Some(directory) = &field.args.hgrm {
            for (name, run) in [("without", &without), ("with", &with)] {
                let directory = directory.join(format!("pair-{}-{name}", n + 1));
                std::fs::create_dir_all(&directory)
                    .with_context(|| directory.display().to_string())?;
                run.write_hgrm(&directory)?;
            }
        }
        pairs.push(Pair::new(without_first, without, with));
    }
    progress.end();
    let checks = checks(field, api).await?;
    let violations = checks.violations;
    let report = PairsReport {
        processors: processors(),
        interrupted: stop.is_asked(),
        idle_timer_jitter,
        stalled_clients: field.args.stalled_clients,
        median_ratio_p99: median_ratio(&pairs),
        pairs,
        checks,
    };
    tell(&report, field.args.json, violations)
}

/// Compares digests with those that the database holds, and puts together what was found.
async fn checks(field: &Field, api: &mut Api) -> anyhow::Result<CheckReport> {
    let (mut compared_ticks, mut compared_digests) = (0, 0);
    for target in field.targets.iter() {
        let range = target
            .agreement
            .lock()
            .expect("nobody panics with it")
            .digest_range();
        let kept = match range {
            Some((first, last)) => api.digests(&target.id, first, last).await?,
            None => Vec::new(),
        };
        let agreement = target.agreement.lock().expect("nobody panics with it");
        let (compared, differing) = agreement.check_digests(&kept);
        compared_ticks += agreement.compared;
        compared_digests += compared;
        for found in differing {
            let place = || format!("GET /v1/simulations/{}/digests", target.id);
            field.violations.add(place, found);
        }
        if compared == 0 && range.is_some_and(|(first, last)| last > first) {
            let what = "none of the digests seen is in the database".to_owned();
            let place = || format!("simulation {}", target.id);
            field.violations.add(place, finding(Check::Digest, what));
        }
    }
    let found = field.violations.found();
    Ok(CheckReport {
        violations: found.total(),
        found,
        compared_ticks,
        compared_digests,
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// Prints a report; a violated check is exit code 1, and is told on standard error too.
fn tell(
    report: &(impl Serialize + fmt::Display),
    json: bool,
    violations: u64,
) -> anyhow::Result<ExitCode> {
    match json {
        true => println!("{}", serde_json::to_string_pretty(report)?),
        false => print!("{report}"),
    }
    if violations == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {violations} violated checks; the report says which, and where");
    Ok(ExitCode::FAILURE)
}
