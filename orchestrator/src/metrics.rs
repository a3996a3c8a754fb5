//! The orchestrator's metrics as Prometheus reads them, made from a [`Snapshot`].
//!
//! A scrape asks the drive loop for a [`Snapshot`], between two inputs. There it costs a look at every
//! partition and a reference to each histogram; those of runs that go on are shown anew at most once
//! in [`crate::limits::HISTOGRAMS_EVERY`], and only what is recorded after that copies them, once each.
//! Adding them up and writing the page is done here, by whoever scrapes.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use transport::metrics::{encode_copies, encode_histogram, encode_traffic, in_bytes};
use transport::pool::FramePool;

use crate::control::{Cause, Status};
use crate::latency::{Latencies, Stage};
use crate::registry::WorkerState;
use crate::snapshot::{Snapshot, Stalls, Totals, Verified, WorkerSnapshot};

/// A figure of its own: name, help, value.
type Figure = (&'static str, &'static str, u64);
/// A figure a worker.
type WorkerFigure = (&'static str, &'static str, fn(&WorkerSnapshot) -> u64);

/// The metrics page, in the OpenMetrics text format.
///
/// # Panics
/// Never: writing to a string does not fail.
#[must_use]
pub fn text(snapshot: Snapshot, pool: &FramePool) -> String {
    let mut registry = Registry::with_prefix("autofarm_orchestrator");
    registry.register_collector(Box::new(Page {
        all_runs: snapshot.all_runs(),
        snapshot,
        pool: pool.clone(),
    }));
    let mut page = String::new();
    encode(&mut page, &registry).expect("writing to a string does not fail");
    page
}

#[derive(Debug)]
struct Page {
    snapshot: Snapshot,
    all_runs: (Latencies, Stalls),
    pool: FramePool,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = &self.snapshot;
        let (latencies, stalls) = &self.all_runs;
        for (name, help, value) in gauges(snapshot) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let (name, unit) = in_bytes(name);
            gauge.encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)?;
        }
        let counters = run_counters(&snapshot.totals)
            .into_iter()
            .chain(verification_counters(&snapshot.verified))
            .chain(worker_counters(snapshot))
            .chain(store_counters(snapshot));
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let (name, unit) = in_bytes(name);
            counter.encode(encoder.encode_descriptor(name, help, unit, MetricType::Counter)?)?;
        }
        let dilated = ConstCounter::new(snapshot.totals.dilated.as_secs_f64());
        let help = "By how much deadlines were shifted";
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Counter);
        dilated.encode(encoder.encode_descriptor("dilated", help, unit, kind)?)?;
        encode_workers(&mut encoder, &snapshot.workers)?;
        encode_simulations(&mut encoder, snapshot)?;
        encode_stages(&mut encoder, latencies)?;
        let help = "Gaps between completions that hand-overs left, beyond the period";
        let family = encoder.encode_descriptor(
            "stall",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        encode_histogram(family, stalls.histogram())?;
        encode_answers(&mut encoder, snapshot)?;
        encode_times(&mut encoder, snapshot)?;
        encode_traffic(&mut encoder, &[(None, snapshot.traffic)])?;
        encode_copies(&mut encoder, &[(None, &self.pool)])
    }
}

fn gauges(snapshot: &Snapshot) -> [Figure; 9] {
    [
        ("gateways", "Gateways registered", snapshot.gateways),
        (
            "subscriptions",
            "Simulations that gateways follow, each as often as one does",
            snapshot.subscriptions,
        ),
        (
            "waiting_requests",
            "Requests that wait for their turn, their farm or their commit",
            snapshot.waiting_requests,
        ),
        (
            "halting",
            "Runs that stand until it is known whether a pause or a stop is kept",
            snapshot.halting,
        ),
        (
            "backlog_bytes",
            "History that waits for the database",
            snapshot.backlog_bytes,
        ),
        (
            "workers",
            "Workers registered",
            snapshot.workers.len() as u64,
        ),
        (
            "simulations",
            "Simulations, ended ones included",
            snapshot.simulations.len() as u64,
        ),
        (
            "checkpoint_bytes",
            "Checkpoints kept for replays",
            snapshot.checkpoint_bytes(),
        ),
        (
            "replay_bytes",
            "Inputs kept for replays",
            snapshot.replay_bytes(),
        ),
    ]
}

fn run_counters(totals: &Totals) -> [Figure; 14] {
    [
        ("ticks", "Ticks completed", totals.ticks),
        (
            "entity_steps",
            "Machines times ticks completed",
            totals.entity_steps,
        ),
        ("late_ticks", "Ticks that completed late", totals.late_ticks),
        (
            "replays",
            "Partitions brought back by a replay",
            totals.replays,
        ),
        (
            "replayed_ticks",
            "Ticks stepped a second time in replays",
            totals.replayed_ticks,
        ),
        (
            "moves",
            "Partitions that changed their worker",
            totals.moves,
        ),
        (
            "stale_results",
            "Frames of an older placement, dropped",
            totals.stale_results,
        ),
        (
            "duplicate_results",
            "Frames about what was known, dropped",
            totals.duplicate_results,
        ),
        (
            "unable",
            "Times a worker could not do what was asked",
            totals.unable,
        ),
        ("commands", "Commands sent out, by machine", totals.commands),
        ("views", "Views passed on, by partition", totals.views),
        (
            "unasked_views",
            "Views dropped that were not asked for, or came too late",
            totals.unasked_views,
        ),
        ("mails", "Mails between parts of cut sites", totals.mails),
        (
            "mail_bytes",
            "Bytes of mails between parts of cut sites",
            totals.mail_bytes,
        ),
    ]
}

fn verification_counters(verified: &Verified) -> [Figure; 3] {
    [
        (
            "verified",
            "Partition-ticks that two workers computed alike",
            verified.agreed,
        ),
        (
            "digest_mismatches",
            "Partition-ticks they did not",
            verified.mismatches,
        ),
        (
            "unverified",
            "Samples passed over or given up",
            verified.skipped,
        ),
    ]
}

fn worker_counters(snapshot: &Snapshot) -> [Figure; 3] {
    [
        (
            "refused_registrations",
            "Registrations refused",
            snapshot.refused,
        ),
        (
            "lost_workers",
            "Workers that were lost",
            snapshot.lost_workers,
        ),
        (
            "unexpected_frames",
            "Frames that nobody waits for",
            snapshot.unexpected_frames,
        ),
    ]
}

fn store_counters(snapshot: &Snapshot) -> [Figure; 4] {
    [
        (
            "published_frames",
            "Frames published, each once however many gateways it went to",
            snapshot.published,
        ),
        (
            "skipped_views",
            "Ticks whose views a gateway was not sent, for it was slow and there was a newer one",
            snapshot.skipped_views,
        ),
        (
            "history_batches",
            "Batches of history written",
            snapshot.batches,
        ),
        (
            "store_faults",
            "Times that the database could not write one",
            snapshot.store_faults,
        ),
    ]
}

fn encode_answers(
    encoder: &mut DescriptorEncoder<'_>,
    snapshot: &Snapshot,
) -> Result<(), fmt::Error> {
    let help = "Requests answered, by what was asked and how it ended";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for ((kind, outcome), count) in &snapshot.answered {
        let labels = [("kind", *kind), ("outcome", *outcome)];
        ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_times(
    encoder: &mut DescriptorEncoder<'_>,
    snapshot: &Snapshot,
) -> Result<(), fmt::Error> {
    let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
    for (name, help, times) in [
        (
            "commit",
            "Commits of what someone waits for",
            &snapshot.commits,
        ),
        ("append", "Writing of a batch of history", &snapshot.appends),
    ] {
        let family = encoder.encode_descriptor(name, help, unit, kind)?;
        encode_histogram(family, times.histogram())?;
    }
    let age = ConstGauge::new(snapshot.backlog_age.as_secs_f64());
    let help = "How long the oldest history has waited for the database";
    age.encode(encoder.encode_descriptor("backlog_age", help, unit, MetricType::Gauge)?)
}

fn encode_workers(
    encoder: &mut DescriptorEncoder<'_>,
    workers: &[WorkerSnapshot],
) -> Result<(), fmt::Error> {
    let gauges: [WorkerFigure; 4] = [
        ("worker_threads", "Threads a worker steps on", |w| {
            u64::from(w.threads)
        }),
        ("worker_partitions", "Partitions a worker has", |w| {
            w.partitions
        }),
        ("worker_rows", "Machines a worker has", |w| w.rows),
        (
            "worker_ready",
            "1 while a worker may be given partitions",
            |w| u64::from(w.state == WorkerState::Ready),
        ),
    ];
    for (name, help, value) in gauges {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for worker in workers {
            let labels = [
                ("worker", worker.id.to_string()),
                ("name", worker.name.clone()),
            ];
            let gauge = ConstGauge::new(i64::try_from(value(worker)).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Machines times ticks stepped by a worker, as it says";
    let mut family =
        encoder.encode_descriptor("worker_entity_steps", help, None, MetricType::Counter)?;
    for worker in workers {
        let labels = [
            ("worker", worker.id.to_string()),
            ("name", worker.name.clone()),
        ];
        ConstCounter::new(worker.row_steps).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Simulations by status and by cause: one of them each would be labels without an end.
fn encode_simulations(
    encoder: &mut DescriptorEncoder<'_>,
    snapshot: &Snapshot,
) -> Result<(), fmt::Error> {
    let help = "Simulations by status";
    let mut family =
        encoder.encode_descriptor("simulations_by_status", help, None, MetricType::Gauge)?;
    let all = || snapshot.simulations.iter().map(|run| &run.info);
    for status in Status::ALL {
        let gauge = count(all().filter(|info| info.status == status));
        gauge.encode(family.encode_family(&[("status", status.name())])?)?;
    }
    let help = "Simulations that are paused, by why";
    let mut family =
        encoder.encode_descriptor("paused_simulations", help, None, MetricType::Gauge)?;
    let paused = || all().filter(|info| info.status == Status::Paused);
    for cause in Cause::ALL {
        let gauge = count(paused().filter(|info| info.cause == cause));
        gauge.encode(family.encode_family(&[("cause", cause.name())])?)?;
    }
    Ok(())
}

fn count<T>(of: impl Iterator<Item = T>) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(of.count()).unwrap_or(i64::MAX))
}

fn encode_stages(
    encoder: &mut DescriptorEncoder<'_>,
    latencies: &Latencies,
) -> Result<(), fmt::Error> {
    let help = "Where a tick's time goes";
    let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
    let mut family = encoder.encode_descriptor("stage", help, unit, kind)?;
    for stage in Stage::ALL {
        let labels = [("stage", stage.name())];
        encode_histogram(family.encode_family(&labels)?, latencies.stage(stage))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::core::Orchestrator;

    #[test]
    fn the_page_holds_every_figure_under_its_name() {
        let mut snapshot =
            Orchestrator::new(crate::Config::default(), FramePool::new()).snapshot(Duration::ZERO);
        snapshot.answered.insert(("workers", "done"), 1);
        snapshot.totals.late_ticks = 3;
        snapshot.totals.dilated = Duration::from_millis(1_500);
        let latency = Duration::from_micros(15);
        snapshot.retired.0.record(Stage::Compute, latency);
        let page = text(snapshot, &FramePool::new());
        for line in [
            "autofarm_orchestrator_workers 0",
            "autofarm_orchestrator_late_ticks_total 3",
            "autofarm_orchestrator_dilated_seconds_total 1.5",
            "autofarm_orchestrator_simulations_by_status{status=\"running\"} 0",
            "autofarm_orchestrator_paused_simulations{cause=\"disk_full\"} 0",
            "# UNIT autofarm_orchestrator_backlog_bytes bytes",
            "# UNIT autofarm_orchestrator_mail_bytes bytes",
            "autofarm_orchestrator_mail_bytes_total 0",
            "autofarm_orchestrator_stage_seconds_bucket{le=\"0.00001\",stage=\"compute\"} 0",
            "autofarm_orchestrator_stage_seconds_bucket{le=\"0.00002\",stage=\"compute\"} 1",
            "autofarm_orchestrator_stage_seconds_count{stage=\"publish\"} 0",
            "autofarm_orchestrator_stall_seconds_count 0",
            "autofarm_orchestrator_halting 0",
            "autofarm_orchestrator_backlog_bytes 0",
            "autofarm_orchestrator_backlog_age_seconds 0.0",
            "autofarm_orchestrator_commit_seconds_count 0",
            "autofarm_orchestrator_requests_total{kind=\"workers\",outcome=\"done\"} 1",
            "autofarm_orchestrator_frames_total{way=\"sent\"} 0",
            "autofarm_orchestrator_copied_bytes_total{step=\"received\"} 0",
            "# EOF",
        ] {
            assert!(
                page.lines().any(|l| l == line),
                "`{line}` is not in\n{page}"
            );
        }
    }
}
