//! The worker's metrics as Prometheus reads them, made from a copy of its counters.
//!
//! Nothing here is touched while a tick is stepped: a scrape asks the drive loop for a copy.

use std::fmt;

use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use transport::metrics::{encode_copies, encode_histogram, encode_traffic};
use transport::pool::FramePool;

use crate::stats::Stats;

/// Names of the codes of [`transport::message::unable`], by index of [`Stats::unable`].
const UNABLE_NAMES: [&str; 6] = [
    "other",
    "not_held",
    "bad_checkpoint",
    "bad_input",
    "not_open",
    "panicked",
];

/// The metrics page, in the OpenMetrics text format.
#[must_use]
pub fn text(stats: &Stats, pool: &FramePool) -> String {
    let mut registry = Registry::with_prefix("autofarm_worker");
    registry.register_collector(Box::new(Page {
        stats: stats.clone(),
        pool: pool.clone(),
    }));
    let mut page = String::new();
    encode(&mut page, &registry).expect("writing to a string does not fail");
    page
}

#[derive(Debug)]
struct Page {
    stats: Stats,
    pool: FramePool,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = &self.stats;
        for (name, help, value) in gauges(stats) {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in counters(stats) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let busy = ConstCounter::new(stats.busy.as_secs_f64());
        let help = "Time spent on jobs, summed over threads";
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Counter);
        busy.encode(encoder.encode_descriptor("busy", help, unit, kind)?)?;
        encode_unable(&mut encoder, stats)?;
        let help = "From a dispatch's arrival to the start of its first step";
        encode_stage(&mut encoder, "queue", help, &stats.queue_us)?;
        let help = "From the start of a job's first step to its last one's end";
        encode_stage(&mut encoder, "compute", help, &stats.compute_us)?;
        let help = "Writing a view, behind the result";
        encode_stage(&mut encoder, "view", help, &stats.view_us)?;
        let help = "Writing a job's checkpoints";
        encode_stage(&mut encoder, "checkpoint", help, &stats.checkpoint_us)?;
        encode_traffic(&mut encoder, stats.traffic)?;
        encode_copies(&mut encoder, &self.pool)
    }
}

fn gauges(stats: &Stats) -> [(&'static str, &'static str, u64); 6] {
    [
        (
            "registered",
            "1 while an orchestrator has accepted this worker",
            stats.registered.into(),
        ),
        (
            "draining",
            "1 once it was asked to stop",
            stats.draining.into(),
        ),
        ("simulations", "Simulations open here", stats.simulations),
        ("partitions", "Partitions held", stats.partitions),
        ("rows", "Machines held", stats.rows),
        (
            "waiting_checkpoint_bytes",
            "Checkpoint frames that wait for their dispatch",
            stats.waiting_checkpoint_bytes,
        ),
    ]
}

fn counters(stats: &Stats) -> [(&'static str, &'static str, u64); 7] {
    [
        (
            "entity_steps",
            "Machines times ticks stepped",
            stats.row_steps,
        ),
        (
            "partition_steps",
            "Partitions times ticks stepped",
            stats.partition_steps,
        ),
        ("jobs", "Jobs finished", stats.jobs),
        (
            "computes",
            "Stateless steps done for verification",
            stats.computes,
        ),
        (
            "failed_extras",
            "Views and checkpoints that could not be written; their steps stand",
            stats.failed_extras,
        ),
        (
            "stale_frames",
            "Frames of an older lease or connection, dropped",
            stats.stale_frames,
        ),
        (
            "connections",
            "Connections to an orchestrator",
            stats.connections,
        ),
    ]
}

fn encode_unable(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> Result<(), fmt::Error> {
    let help = "Work answered with Unable, by reason";
    let mut family = encoder.encode_descriptor("unable", help, None, MetricType::Counter)?;
    for (reason, n) in UNABLE_NAMES.into_iter().zip(stats.unable) {
        ConstCounter::new(n).encode(family.encode_family(&[("reason", reason)])?)?;
    }
    Ok(())
}

fn encode_stage(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    us: &Histogram<u64>,
) -> Result<(), fmt::Error> {
    let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
    encode_histogram(encoder.encode_descriptor(name, help, unit, kind)?, us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Figures, JobError};
    use crate::step::Extras;
    use std::time::Duration;

    #[test]
    fn the_page_holds_every_counter_under_its_name() {
        let mut stats = Stats {
            rows: 4_096,
            ..Stats::default()
        };
        stats.record_job(Figures::Stepped {
            rows: 4_096,
            ticks: 2,
            queue: Duration::from_micros(15),
            compute: Duration::from_micros(900),
        });
        stats.record_extras(&Extras {
            checkpoint_time: Some(Duration::from_micros(100)),
            failures: vec![JobError::NotOpen],
            ..Extras::default()
        });
        stats.record_unable(transport::message::unable::NOT_HELD);
        let page = text(&stats, &FramePool::new());
        for line in [
            "autofarm_worker_rows 4096",
            "autofarm_worker_entity_steps_total 8192",
            "autofarm_worker_busy_seconds_total 0.001",
            "autofarm_worker_failed_extras_total 1",
            "autofarm_worker_checkpoint_seconds_count 1",
            "autofarm_worker_view_seconds_count 0",
            "autofarm_worker_unable_total{reason=\"not_held\"} 1",
            "autofarm_worker_queue_seconds_bucket{le=\"0.00001\"} 0",
            "autofarm_worker_queue_seconds_bucket{le=\"0.00002\"} 1",
            "autofarm_worker_compute_seconds_bucket{le=\"+Inf\"} 1",
            "autofarm_worker_compute_seconds_count 1",
            "# EOF",
        ] {
            assert!(
                page.lines().any(|l| l == line),
                "`{line}` is not in\n{page}"
            );
        }
    }
}
