//! What happened in a run, as text for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use hdrhistogram::Histogram;
use kernel::config::Scenario;
use kernel::rows::State;
use orchestrator::control::SimulationId;
use orchestrator::latency::{Latencies, Stage};
use orchestrator::snapshot::{SimulationSnapshot, Snapshot, WorkerSnapshot};
use serde::Serialize;
use transport::hgrm::write_hgrm;

use crate::failure::wrong_input;
use crate::simulation_args::speed_text;
use crate::wording::counted;

/// Reporting points in each halving of the distance to 100 %, as other tools of the family write.
const HGRM_TICKS_PER_HALF: u32 = 5;

/// Flags of how a summary is told.
#[derive(clap::Args)]
pub(crate) struct Report {
    /// Print the summary as JSON.
    #[arg(long, env = "AUTOFARM_JSON")]
    json: bool,
    /// Directory to write an HDR histogram a stage to, as .hgrm [default: none].
    #[arg(long, env = "AUTOFARM_HGRM", value_name = "DIR")]
    hgrm: Option<PathBuf>,
}

impl Report {
    /// Makes the directory of histograms, so that a wrong one is known before anything has run.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        let Some(directory) = &self.hgrm else {
            return Ok(());
        };
        std::fs::create_dir_all(directory)
            .map_err(|error| wrong_input(format!("hgrm: {}: {error}", directory.display())))
    }

    /// Tells a summary.
    ///
    /// # Errors
    /// Where a file cannot be written, naming it.
    pub(crate) fn tell(&self, summary: &Summary) -> anyhow::Result<()> {
        let text = match self.json {
            true => summary.json() + "\n",
            false => summary.text(),
        };
        let written = std::io::stdout().write_all(text.as_bytes());
        written.context("the summary cannot be written to standard output")?;
        match &self.hgrm {
            Some(directory) => summary.write_hgrm(directory),
            None => Ok(()),
        }
    }
}

/// What a run's summary says. Its field names are the JSON's.
#[derive(Serialize)]
pub(crate) struct Summary {
    scenario: &'static str,
    entities: u32,
    tick_ms: u32,
    seed: u64,
    partitions: u32,
    speed: String,
    status: &'static str,
    cause: &'static str,
    ticks: u64,
    /// Digest of the last tick; absent where no worker was left to compute it.
    digest: Option<String>,
    /// From creation to the last tick.
    wall_s: f64,
    /// Simulated time over wall time.
    achieved_speed: f64,
    entity_steps_per_s: f64,
    late_ticks: u64,
    dilated_ms: f64,
    stages: BTreeMap<&'static str, Percentiles>,
    stalls: Percentiles,
    /// Lateness of this machine's timer while it was idle, just before the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timer_jitter: Option<Percentiles>,
    /// Workers that the run killed on request; `lost_workers` counts those whose end was noticed.
    pub(crate) killed_workers: u64,
    counts: Counts,
    by_state: BTreeMap<&'static str, u64>,
    verification: Verification,
    workers: Vec<WorkerLine>,
    #[serde(skip)]
    latencies: Latencies,
}

/// Some percentiles of a histogram, in us.
#[derive(Serialize)]
pub(crate) struct Percentiles {
    count: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

#[derive(Serialize)]
struct Counts {
    turns: u64,
    swaths: u64,
    charger_waits: u64,
    charges: u64,
    denied_grants: u64,
    ghosts: u64,
    ghost_bytes: u64,
    faults: u64,
    repairs: u64,
    commands: u64,
    rejected_commands: u64,
    stand_offs: u64,
    separation_violations: u64,
    replays: u64,
    replayed_ticks: u64,
    moves: u64,
    stale_results: u64,
    lost_workers: u64,
}

#[derive(Serialize)]
struct Verification {
    agreed: u64,
    mismatches: u64,
    skipped: u64,
}

#[derive(Serialize)]
struct WorkerLine {
    name: String,
    threads: u32,
    partitions: u64,
    rows: u64,
    /// By its last heartbeat; none where the run was over before the first that told of any.
    row_steps: Option<u64>,
    ns_per_row_step: Option<f64>,
}

impl Summary {
    /// The summary of one simulation of a snapshot, which must be in it.
    pub(crate) fn new(snapshot: &Snapshot, id: SimulationId) -> Summary {
        let simulation = snapshot.simulation(id).expect("it is not deleted");
        let (info, totals) = (&simulation.info, &simulation.totals);
        let wall_s = simulation.elapsed.as_secs_f64();
        let simulated_s = info.tick as f64 * f64::from(info.spec.config.tick_ms) / 1_000.0;
        let digest = info.digest.filter(|d| d.tick == info.tick);
        let latencies = &simulation.latencies;
        let stages = Stage::ALL.map(|s| (s.name(), Percentiles::of(latencies.stage(s))));
        Summary {
            scenario: Scenario::from_code(info.spec.config.scenario).map_or("", Scenario::name),
            entities: info.spec.config.entities,
            tick_ms: info.spec.config.tick_ms,
            seed: info.spec.config.seed,
            partitions: simulation.partitions,
            speed: speed_text(info.spec.speed),
            status: info.status.name(),
            cause: info.cause.name(),
            ticks: info.tick,
            digest: digest.map(|d| format!("{:016x}", d.digest)),
            wall_s,
            achieved_speed: per_second(simulated_s, wall_s),
            entity_steps_per_s: per_second(totals.entity_steps as f64, wall_s),
            late_ticks: totals.late_ticks,
            dilated_ms: totals.dilated.as_secs_f64() * 1_000.0,
            stages: stages.into(),
            stalls: Percentiles::of(simulation.stalls.histogram()),
            timer_jitter: None,
            killed_workers: 0,
            counts: Counts::new(simulation, snapshot.lost_workers),
            by_state: State::ALL
                .map(|state| (state.name(), info.aggregate.by_state[state as usize]))
                .into(),
            verification: Verification {
                agreed: snapshot.verified.agreed,
                mismatches: snapshot.verified.mismatches,
                skipped: snapshot.verified.skipped,
            },
            workers: snapshot.workers.iter().map(WorkerLine::new).collect(),
            latencies: latencies.clone(),
        }
    }

    /// One JSON object.
    fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values have a JSON form")
    }

    /// Text, a figure a line.
    fn text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text)
            .expect("writing to a string does not fail");
        text
    }

    /// Writes a `.hgrm` file a stage, in ms, into a directory that is there.
    ///
    /// # Errors
    /// Where a file cannot be written, naming it.
    fn write_hgrm(&self, directory: &Path) -> anyhow::Result<()> {
        for stage in Stage::ALL {
            let path = directory.join(format!("{}.hgrm", stage.name()));
            let write = || {
                let mut file = BufWriter::new(File::create(&path)?);
                let histogram = self.latencies.stage(stage);
                write_hgrm(&mut file, histogram, 1_000.0, HGRM_TICKS_PER_HALF)
            };
            write().with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let line =
            |out: &mut String, name: &str, value: String| writeln!(out, "{name:<20} {value}");
        let what = format!(
            "{} x {}, {}, tick {} ms, seed {}, speed {}",
            self.entities,
            self.scenario,
            counted(self.partitions, "partition"),
            self.tick_ms,
            self.seed,
            self.speed
        );
        line(out, "simulation", what)?;
        line(out, "status", format!("{} ({})", self.status, self.cause))?;
        line(out, "wall_s", format!("{:.3}", self.wall_s))?;
        line(out, "achieved_speed", format!("{:.2}", self.achieved_speed))?;
        let steps = format!("{:.0}", self.entity_steps_per_s);
        line(out, "entity_steps_per_s", steps)?;
        let late = format!("{} (dilated by {:.1} ms)", self.late_ticks, self.dilated_ms);
        line(out, "late_ticks", late)?;
        writeln!(out)?;
        let head = ["stage", "count", "p50", "p90", "p99", "p99.9", "max"];
        let [stage, rest @ ..] = head;
        write!(out, "{stage:<20}")?;
        for column in rest {
            write!(out, " {column:>10}")?;
        }
        writeln!(out, "  us")?;
        for stage in Stage::ALL {
            self.stages[stage.name()].write_row(out, stage.name())?;
        }
        self.stalls.write_row(out, "stalls")?;
        if let Some(jitter) = &self.timer_jitter {
            jitter.write_row(out, "idle timer jitter")?;
        }
        writeln!(out)?;
        let counts = serde_json::to_value(&self.counts).expect("plain numbers");
        let counts = counts.as_object().into_iter().flatten();
        for (name, count) in counts.filter(|(name, _)| *name != "lost_workers") {
            line(out, name, count.to_string())?;
        }
        let killed = format!("{} (as it was asked for)", self.killed_workers);
        line(out, "killed_workers", killed)?;
        // One that is silent is given up after seconds, so a run may be over before: nothing waited for that.
        let lost = format!(
            "{} (found gone before the end; their work went to others sooner)",
            self.counts.lost_workers
        );
        line(out, "lost_workers", lost)?;
        let v = &self.verification;
        let verified = format!(
            "{} agreed, {} mismatches, {} skipped",
            v.agreed, v.mismatches, v.skipped
        );
        line(out, "verification", verified)?;
        for (state, machines) in self.by_state.iter().filter(|(_, machines)| **machines > 0) {
            line(out, state, counted(*machines, "machine"))?;
        }
        for w in &self.workers {
            let cost = w
                .ns_per_row_step
                .map_or(String::new(), |ns| format!(", {ns:.1} ns a row-step"));
            let steps = w
                .row_steps
                .map_or(String::new(), |steps| format!(", {steps} row-steps{cost}"));
            let load = format!("{}{steps}", counted(w.threads, "thread"));
            line(out, &w.name, load)?;
        }
        // The last line, for it is what runs are compared by.
        let digest = self.digest.as_deref().unwrap_or("unknown");
        writeln!(out)?;
        line(out, "digest", format!("{digest} of tick {}", self.ticks))?;
        Ok(())
    }
}

impl Percentiles {
    /// Those of a histogram of us.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Percentiles {
        Percentiles {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }

    fn write_row(&self, out: &mut String, name: &str) -> std::fmt::Result {
        let Percentiles {
            count,
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            max_us,
        } = self;
        writeln!(
            out,
            "{name:<20} {count:>10} {p50_us:>10} {p90_us:>10} {p99_us:>10} {p999_us:>10} {max_us:>10}"
        )
    }
}

impl Counts {
    fn new(simulation: &SimulationSnapshot, lost_workers: u64) -> Counts {
        let (counters, totals) = (&simulation.info.aggregate.counters, &simulation.totals);
        Counts {
            turns: counters.turns,
            swaths: counters.swaths,
            charger_waits: counters.charger_waits,
            charges: counters.charges,
            denied_grants: counters.denied_grants,
            ghosts: counters.ghosts,
            ghost_bytes: counters.ghost_bytes,
            faults: counters.faults,
            repairs: counters.repairs,
            commands: counters.commands,
            rejected_commands: counters.rejected_commands,
            stand_offs: counters.stand_offs,
            separation_violations: counters.separation_violations,
            replays: totals.replays,
            replayed_ticks: totals.replayed_ticks,
            moves: totals.moves,
            stale_results: totals.stale_results,
            lost_workers,
        }
    }
}

impl WorkerLine {
    fn new(worker: &WorkerSnapshot) -> WorkerLine {
        WorkerLine {
            name: worker.name.clone(),
            threads: worker.threads,
            partitions: worker.partitions,
            rows: worker.rows,
            row_steps: (worker.row_steps > 0).then_some(worker.row_steps),
            ns_per_row_step: worker.ns_per_row,
        }
    }
}

fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}
