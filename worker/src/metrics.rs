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
use transport::metrics::{encode_copies, encode_histogram, encode_traffic, in_bytes};
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

/// A figure of its own: name, help, value.
type Figure = (&'static str, &'static str, fn(&Stats) -> u64);
/// A stage of a job: name, help, times.
type Stage = (&'static str, &'static str, fn(&Stats) -> &Histogram<u64>);

/// What one worker tells.
#[derive(Clone, Debug)]
pub struct Told {
    /// The worker's name, a label of all its figures.
    pub name: String,
    /// Its counters.
    pub stats: Stats,
    /// The pool of its frames.
    pub pool: FramePool,
}

/// The metrics page of all workers of a process, in the OpenMetrics text format.
///
/// # Panics
/// Never: writing to a string does not fail.
#[must_use]
pub fn text(workers: Vec<Told>) -> String {
    let mut registry = Registry::with_prefix("autofarm_worker");
    registry.register_collector(Box::new(Page(workers)));
    let mut page = String::new();
    encode(&mut page, &registry).expect("writing to a string does not fail");
    page
}

#[derive(Debug)]
struct Page(Vec<Told>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let workers = self.0.as_slice();
        for (name, help, value) in GAUGES {
            let (name, unit) = in_bytes(name);
            let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            for worker in workers {
                let gauge = ConstGauge::new(value(&worker.stats) as i64);
                gauge.encode(family.encode_family(&worker.labels())?)?;
            }
        }
        for (name, help, value) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for worker in workers {
                let counter = ConstCounter::new(value(&worker.stats));
                counter.encode(family.encode_family(&worker.labels())?)?;
            }
        }
        encode_busy(&mut encoder, workers)?;
        encode_unable(&mut encoder, workers)?;
        for (name, help, times) in STAGES {
            let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
            let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
            for worker in workers {
                let us = times(&worker.stats);
                encode_histogram(family.encode_family(&worker.labels())?, us)?;
            }
        }
        let (mut traffic, mut pools) = (Vec::new(), Vec::new());
        for worker in workers {
            let whose = Some(worker.name.as_str());
            traffic.push((whose, worker.stats.traffic));
            pools.push((whose, &worker.pool));
        }
        encode_traffic(&mut encoder, &traffic)?;
        encode_copies(&mut encoder, &pools)
    }
}

impl Told {
    fn labels(&self) -> [(&'static str, &str); 1] {
        [("name", &self.name)]
    }
}

const GAUGES: [Figure; 6] = [
    (
        "registered",
        "1 while an orchestrator has accepted this worker",
        |s| s.registered.into(),
    ),
    ("draining", "1 once it was asked to stop", |s| {
        s.draining.into()
    }),
    ("simulations", "Simulations open here", |s| s.simulations),
    ("partitions", "Partitions held", |s| s.partitions),
    ("rows", "Machines held", |s| s.rows),
    (
        "waiting_checkpoint_bytes",
        "Checkpoint frames that wait for their dispatch",
        |s| s.waiting_checkpoint_bytes,
    ),
];

const COUNTERS: [Figure; 7] = [
    ("entity_steps", "Machines times ticks stepped", |s| {
        s.row_steps
    }),
    ("partition_steps", "Partitions times ticks stepped", |s| {
        s.partition_steps
    }),
    ("jobs", "Jobs finished", |s| s.jobs),
    ("computes", "Stateless steps done for verification", |s| {
        s.computes
    }),
    (
        "failed_extras",
        "Views and checkpoints that could not be written; their steps stand",
        |s| s.failed_extras,
    ),
    (
        "stale_frames",
        "Frames of an older lease or connection, dropped",
        |s| s.stale_frames,
    ),
    ("connections", "Connections to an orchestrator", |s| {
        s.connections
    }),
];

const STAGES: [Stage; 4] = [
    (
        "queue",
        "From a dispatch's arrival to the start of its first step",
        |s| &s.queue_us,
    ),
    (
        "compute",
        "From the start of a job's first step to its last one's end",
        |s| &s.compute_us,
    ),
    ("view", "Writing a view, behind the result", |s| &s.view_us),
    ("checkpoint", "Writing a job's checkpoints", |s| {
        &s.checkpoint_us
    }),
];

fn encode_busy(encoder: &mut DescriptorEncoder<'_>, workers: &[Told]) -> Result<(), fmt::Error> {
    let help = "Time spent on jobs, summed over threads";
    let (unit, kind) = (Some(&Unit::Seconds), MetricType::Counter);
    let mut family = encoder.encode_descriptor("busy", help, unit, kind)?;
    for worker in workers {
        let busy = ConstCounter::new(worker.stats.busy.as_secs_f64());
        busy.encode(family.encode_family(&worker.labels())?)?;
    }
    Ok(())
}

fn encode_unable(encoder: &mut DescriptorEncoder<'_>, workers: &[Told]) -> Result<(), fmt::Error> {
    let help = "Work answered with Unable, by reason";
    let mut family = encoder.encode_descriptor("unable", help, None, MetricType::Counter)?;
    for worker in workers {
        for (reason, n) in UNABLE_NAMES.into_iter().zip(worker.stats.unable) {
            let labels = [("name", worker.name.as_str()), ("reason", reason)];
            ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
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
        let told = |name: &str, stats: Stats| Told {
            name: name.to_owned(),
            stats,
            pool: FramePool::new(),
        };
        let page = text(vec![told("a", stats), told("b", Stats::default())]);
        for line in [
            "# UNIT autofarm_worker_waiting_checkpoint_bytes bytes",
            "autofarm_worker_waiting_checkpoint_bytes{name=\"a\"} 0",
            "autofarm_worker_rows{name=\"b\"} 0",
            "autofarm_worker_rows{name=\"a\"} 4096",
            "autofarm_worker_entity_steps_total{name=\"a\"} 8192",
            "autofarm_worker_busy_seconds_total{name=\"a\"} 0.001",
            "autofarm_worker_failed_extras_total{name=\"a\"} 1",
            "autofarm_worker_checkpoint_seconds_count{name=\"a\"} 1",
            "autofarm_worker_view_seconds_count{name=\"a\"} 0",
            "autofarm_worker_unable_total{name=\"a\",reason=\"not_held\"} 1",
            "autofarm_worker_queue_seconds_bucket{le=\"0.00001\",name=\"a\"} 0",
            "autofarm_worker_queue_seconds_bucket{le=\"0.00002\",name=\"a\"} 1",
            "autofarm_worker_compute_seconds_bucket{le=\"+Inf\",name=\"a\"} 1",
            "autofarm_worker_compute_seconds_count{name=\"a\"} 1",
            "# EOF",
        ] {
            assert!(
                page.lines().any(|l| l == line),
                "`{line}` is not in\n{page}"
            );
        }
    }
}
