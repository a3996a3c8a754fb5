//! An invocation from its first call to its exit code: farms are made, run once or in pairs, checked and judged.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;

use crate::load::api::{Api, Resource};
use crate::load::args::LoadArgs;
use crate::load::baseline::{Baseline, Ratio};
use crate::load::farms::Farms;
use crate::load::figures::Figures;
use crate::load::gateway::Gateway;
use crate::load::leg::Field;
use crate::load::live::Live;
use crate::load::pairs::{self, Pair, PairsReport, median_ratio, without_first, without_ratio};
use crate::load::parameters::{Parameters, parameters};
use crate::load::report::{CheckReport, Frame, SingleReport, Verdict};
use crate::load::run_report::{Percentiles, RunReport};
use crate::load::stop::Stop;
use crate::load::tally::Durations;
use crate::load::target::Target;
use crate::load::threshold::Threshold;
use crate::load::violation::{Check, Violations, finding};
use crate::load::{csv, page, wrong_input};

/// What is asked for, and what is known before the first call.
pub(crate) struct Plan {
    /// Flags.
    pub(crate) args: LoadArgs,
    /// What to compare with.
    pub(crate) baseline: Option<Baseline>,
    /// How late this machine's timer is without a load.
    pub(crate) idle_timer_jitter: Durations,
}

/// A plan under way.
struct Work<'a> {
    plan: &'a Plan,
    gateway: Arc<Gateway>,
    api: Api,
    farms: Farms,
    violations: Arc<Violations>,
    compared: Compared,
    live: Live,
    stop: Stop,
    /// Tells this invocation's idempotency keys from those of others.
    run: u64,
}

/// How much could be compared.
#[derive(Default)]
struct Compared {
    ticks: u64,
    digests: u64,
}

/// Why there is no report.
enum Refusal {
    /// What was asked for does not fit what there is.
    WrongInput(String),
    /// It could not be measured.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Refusal {
        Refusal::Failed(error)
    }
}

impl Plan {
    /// Measures, checks, judges and prints.
    ///
    /// # Errors
    /// Where it could not be measured.
    pub(crate) async fn load(&self) -> anyhow::Result<ExitCode> {
        let args = &self.args;
        let live = Live::new();
        let lines = live.clone();
        let stop = Stop::catch(Box::new(move || lines.end()))?;
        let found = Gateway::find(&args.url, args.token.as_deref(), args.ca.as_deref());
        let gateway = Arc::new(found.await?);
        let run = fastrand::u64(..);
        let mut work = Work {
            plan: self,
            api: Api::new(Arc::clone(&gateway), run),
            gateway,
            farms: Farms::default(),
            violations: Arc::default(),
            compared: Compared::default(),
            live,
            stop,
            run,
        };
        let loaded = match args.pairs {
            None => work.single().await,
            Some(pairs) => work.paired(pairs).await,
        };
        work.live.end();
        if !args.keep {
            work.farms.delete_all(&mut work.api).await;
        }
        match loaded {
            Ok(code) => Ok(code),
            Err(Refusal::WrongInput(what)) => Ok(wrong_input(&what)),
            Err(Refusal::Failed(error)) => Err(error),
        }
    }

    fn processors() -> usize {
        std::thread::available_parallelism().map_or(0, usize::from)
    }

    /// What the run depends on; a baseline of anything else is refused.
    fn parameters(&self, targets: &[Target]) -> Result<Parameters, Refusal> {
        let now = parameters(&self.args, targets, Plan::processors());
        let (Some(baseline), Some(path)) = (&self.baseline, &self.args.output.compare) else {
            return Ok(now);
        };
        match baseline.check_parameters(&now) {
            Ok(()) => Ok(now),
            Err(error) => Err(Refusal::WrongInput(format!(
                "baseline {}: {error}",
                path.display()
            ))),
        }
    }

    fn frame(&self, parameters: Parameters, interrupted: bool) -> Frame {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let authority = self.args.url.authority();
        Frame {
            version: env!("CARGO_PKG_VERSION"),
            ended_at_s: now.map_or(0, |now| now.as_secs()),
            gateway: authority.map_or(String::new(), |host| host.as_str().to_owned()),
            processors: Plan::processors(),
            parameters,
            interrupted,
            idle_timer_jitter: Percentiles::of(&self.idle_timer_jitter.0),
        }
    }

    /// A run that was cut short is compared with none.
    fn compare(&self, figures: &Figures, interrupted: bool) -> Option<Vec<Ratio>> {
        let baseline = self.baseline.as_ref().filter(|_| !interrupted)?;
        let tolerance = |measure: &_| self.args.output.tolerance_of(measure);
        Some(baseline.compare(figures, tolerance))
    }

    /// A run that was cut short, or of which something is wrong, is no baseline.
    fn save(&self, frame: &Frame, verdict: &Verdict, figures: &Figures) -> anyhow::Result<()> {
        let Some(path) = &self.args.output.save else {
            return Ok(());
        };
        let why = match (frame.interrupted, verdict.checks.violations) {
            (true, _) => "the run was ended early",
            (_, 1..) => "checks were violated",
            _ if !verdict.incomparable.is_empty() => "a pair compares nothing",
            _ => return Baseline::new(frame.parameters.clone(), figures).write(path),
        };
        eprintln!("warning: --save {}: not written: {why}", path.display());
        Ok(())
    }
}

impl Work<'_> {
    async fn single(&mut self) -> Result<ExitCode, Refusal> {
        let (plan, args) = (self.plan, &self.plan.args);
        let targets = self.running().await?;
        let parameters = plan.parameters(&targets)?;
        let field = self.field(targets);
        let stalled = args.stalled_clients;
        let measured = field
            .run(&mut self.api, stalled, 0, &self.live, &self.stop)
            .await;
        self.live.end();
        let mut run = RunReport::new(measured?);
        if let Some(directory) = &args.output.hgrm {
            run.write_hgrm(directory)?;
        }
        self.check(&field).await?;
        let checks = self.checks();
        run.figures
            .keep("idle_timer_jitter", &plan.idle_timer_jitter);
        run.figures.set("violations", checks.violations as f64);
        let frame = plan.frame(parameters, self.stop.is_asked());
        let verdict = self.verdict(checks, &run.figures, Vec::new());
        plan.save(&frame, &verdict, &run.figures)?;
        let report = SingleReport {
            frame,
            run,
            verdict,
        };
        if let Some(directory) = &args.output.csv {
            csv::write(&report, directory)?;
        }
        if let Some(path) = &args.output.html {
            write(path, &page::single(&report))?;
        }
        Ok(tell(&report, args.output.json, &report.verdict)?)
    }

    async fn paired(&mut self, count: u32) -> Result<ExitCode, Refusal> {
        let (plan, args) = (self.plan, &self.plan.args);
        let parents = self.parents().await?;
        let named = match parents.is_empty() {
            true => self.running().await?,
            false => Vec::new(),
        };
        let parameters = plan.parameters(&named)?;
        drop(named);
        let mut pairs = Vec::new();
        for n in 0..count {
            let Some(pair) = self.pair(n, &parents).await? else {
                break;
            };
            pairs.push(pair);
        }
        self.live.end();
        let checks = self.checks();
        let figures = pairs::figures(&pairs, checks.violations);
        let frame = plan.frame(parameters, self.stop.is_asked());
        let verdict = self.verdict(checks, &figures, without_ratio(&pairs));
        plan.save(&frame, &verdict, &figures)?;
        let report = PairsReport {
            frame,
            stalled_clients: args.stalled_clients,
            median_ratio_p99: median_ratio(&pairs),
            pairs,
            verdict,
        };
        if let Some(path) = &args.output.html {
            write(path, &page::pairs(&report))?;
        }
        Ok(tell(&report, args.output.json, &report.verdict)?)
    }

    /// Both halves of pair number `n`; none where it was cut short, for half of it compares nothing.
    async fn pair(&mut self, n: u32, parents: &[Resource]) -> anyhow::Result<Option<Pair>> {
        let args = &self.plan.args;
        let without_first = without_first(n);
        let mut runs = Vec::new();
        for half in 0..2 {
            let with_stalled = (half == 0) != without_first;
            let stalled = if with_stalled {
                args.stalled_clients
            } else {
                0
            };
            let targets = match parents.is_empty() {
                true => self.running().await?,
                false => self.farms.forks(&mut self.api, parents, &self.stop).await?,
            };
            let field = self.field(targets);
            let leg = u64::from(2 * n + half);
            let measured = field
                .run(&mut self.api, stalled, leg, &self.live, &self.stop)
                .await;
            let run = RunReport::new(measured?);
            self.check(&field).await?;
            if !args.keep {
                self.farms.delete(&mut self.api, &field.targets).await;
            }
            if let Some(directory) = &args.output.hgrm {
                let name = if with_stalled { "with" } else { "without" };
                let directory = directory.join(format!("pair-{}-{name}", n + 1));
                std::fs::create_dir_all(&directory)
                    .with_context(|| directory.display().to_string())?;
                run.write_hgrm(&directory)?;
            }
            runs.push(run);
            if self.stop.is_asked() {
                return Ok(None);
            }
        }
        let (second, first) = (runs.pop(), runs.pop());
        let (with, without) = match without_first {
            true => (second, first),
            false => (first, second),
        };
        let (without, with) = (without.expect("two runs"), with.expect("two runs"));
        Ok(Some(Pair::new(without_first, without, with)))
    }

    async fn running(&mut self) -> anyhow::Result<Vec<Target>> {
        let running = self
            .farms
            .running(&self.plan.args, &mut self.api, &self.live, &self.stop);
        running.await
    }

    async fn parents(&mut self) -> anyhow::Result<Vec<Resource>> {
        let parents = self
            .farms
            .parents(&self.plan.args, &mut self.api, &self.live, &self.stop);
        parents.await
    }

    fn field(&self, targets: Vec<Target>) -> Field {
        Field {
            args: self.plan.args.clone(),
            gateway: Arc::clone(&self.gateway),
            targets: targets.into(),
            violations: Arc::clone(&self.violations),
            run: self.run,
        }
    }

    /// Compares digests with those that the database holds.
    async fn check(&mut self, field: &Field) -> anyhow::Result<()> {
        for target in field.targets.iter() {
            let range = target
                .agreement
                .lock()
                .expect("nobody panics with it")
                .digest_range();
            let kept = match range {
                Some((first, last)) => self.api.digests(&target.id, first, last).await?,
                None => Vec::new(),
            };
            let agreement = target.agreement.lock().expect("nobody panics with it");
            let (compared, differing) = agreement.check_digests(&kept);
            self.compared.ticks += agreement.compared;
            self.compared.digests += compared;
            for found in differing {
                let place = || format!("GET /v1/simulations/{}/digests", target.id);
                self.violations.add(place, found);
            }
            if compared == 0 && range.is_some_and(|(first, last)| last > first) {
                let what = "none of the digests seen is in the database".to_owned();
                let place = || format!("simulation {}", target.id);
                self.violations.add(place, finding(Check::Digest, what));
            }
        }
        Ok(())
    }

    fn checks(&self) -> CheckReport {
        let found = self.violations.found();
        CheckReport {
            violations: found.total(),
            found,
            compared_ticks: self.compared.ticks,
            compared_digests: self.compared.digests,
        }
    }

    fn verdict(
        &self,
        checks: CheckReport,
        figures: &Figures,
        incomparable: Vec<String>,
    ) -> Verdict {
        let thresholds = self.plan.args.output.thresholds();
        let is_measured = |threshold: &Threshold| {
            // Where no pair is complete nothing is measured, and nobody asked for this one.
            self.plan.args.output.fail_if.contains(threshold)
                || figures.value(&threshold.measure).is_some()
        };
        Verdict {
            checks,
            incomparable,
            thresholds: (thresholds.iter())
                .filter(|threshold| is_measured(threshold))
                .map(|threshold| threshold.judge(figures))
                .collect(),
            comparison: self.plan.compare(figures, self.stop.is_asked()),
        }
    }
}

fn write(path: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::write(path, page).with_context(|| format!("--html {}", path.display()))
}

/// Prints a report; why it has failed is exit code 1, and is told on standard error too.
fn tell(
    report: &(impl Serialize + fmt::Display),
    json: bool,
    verdict: &Verdict,
) -> anyhow::Result<ExitCode> {
    match json {
        true => println!("{}", serde_json::to_string_pretty(report)?),
        false => print!("{report}"),
    }
    let failures = verdict.failures();
    for failure in &failures {
        eprintln!("error: {failure}");
    }
    Ok(match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
