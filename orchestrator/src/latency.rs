//! Where a tick's time goes: one HDR histogram a stage. The core is single-threaded and owns them,
//! so recording takes no lock.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time told apart, in us; longer ones count as this.
pub const MAX_US: u64 = 60_000_000;

/// A stage of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From a deadline to the core learning of it.
    DeadlineLateness,
    /// Building and queueing the dispatch frames.
    Dispatch,
    /// From dispatch to the last result, without its worker's own time: the way out and back.
    Network,
    /// From a frame's arrival at the worker to its first step.
    WorkerQueue,
    /// Stepping, of the partition that took longest.
    Compute,
    /// From the last result's arrival at the core to the reports merged.
    Aggregate,
    /// Publishing to whoever listens.
    Publish,
    /// From the deadline to the aggregate complete, of every tick of a window; at speed `max` from
    /// the window's dispatch.
    TickLatency,
}

impl Stage {
    /// All of them, in the order a tick passes through.
    pub const ALL: [Stage; 8] = [
        Stage::DeadlineLateness,
        Stage::Dispatch,
        Stage::Network,
        Stage::WorkerQueue,
        Stage::Compute,
        Stage::Aggregate,
        Stage::Publish,
        Stage::TickLatency,
    ];

    /// As metrics and files spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::DeadlineLateness => "deadline_lateness",
            Stage::Dispatch => "dispatch",
            Stage::Network => "network",
            Stage::WorkerQueue => "worker_queue",
            Stage::Compute => "compute",
            Stage::Aggregate => "aggregate",
            Stage::Publish => "publish",
            Stage::TickLatency => "tick_latency",
        }
    }
}

/// A histogram of every stage, in us.
#[derive(Clone, Debug)]
pub struct Latencies {
    stages: [Histogram<u64>; Stage::ALL.len()],
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            stages: std::array::from_fn(|_| new_histogram()),
        }
    }
}

impl Latencies {
    /// Records one duration.
    pub fn record(&mut self, stage: Stage, latency: Duration) {
        record(&mut self.stages[stage as usize], latency);
    }

    /// Records the same duration `n` times.
    pub fn record_n(&mut self, stage: Stage, latency: Duration, n: u64) {
        record_n(&mut self.stages[stage as usize], latency, n);
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Latencies) {
        for (sum, stage) in self.stages.iter_mut().zip(&other.stages) {
            sum.add(stage).expect("histograms of the same bounds");
        }
    }

    /// A stage's histogram, in us.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &Histogram<u64> {
        &self.stages[stage as usize]
    }
}

/// An empty histogram of durations in us, of three significant digits.
///
/// # Panics
/// Never: the bounds are constants that the histogram accepts.
#[must_use]
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_US, 3).expect("constant bounds")
}

/// Records a duration, the longest ones as [`MAX_US`].
pub fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    record_n(histogram, latency, 1);
}

fn record_n(histogram: &mut Histogram<u64>, latency: Duration, n: u64) {
    let us = u64::try_from(latency.as_micros()).unwrap_or(MAX_US);
    histogram.saturating_record_n(us.min(MAX_US), n);
}

/// Writes a histogram in the percentile text format of HdrHistogram (`.hgrm`), values divided by
/// `unit` (1,000 makes ms of us), with `ticks_per_half` reporting points in each halving of the
/// distance to 100 %. Other tools of the family write 5.
///
/// # Errors
/// What the writer answers.
pub fn write_hgrm(
    out: &mut impl Write,
    histogram: &Histogram<u64>,
    unit: f64,
    ticks_per_half: u32,
) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in histogram.iter_quantiles(ticks_per_half) {
        let value = histogram.highest_equivalent(step.value_iterated_to()) as f64 / unit;
        let quantile = step.quantile_iterated_to();
        count += step.count_since_last_iteration();
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(
                out,
                "{value:12.3} {quantile:2.12} {count:10} {inverse:14.2}"
            )?;
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {count:10}")?;
        }
    }
    let (mean, deviation) = (histogram.mean() / unit, histogram.stdev() / unit);
    writeln!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    )?;
    let (max, total) = (histogram.max() as f64 / unit, histogram.len());
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {total:12}]")?;
    let (buckets, sub_buckets) = layout(histogram);
    writeln!(
        out,
        "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]"
    )
}

/// Buckets and sub-buckets, as the format's last line states them.
fn layout(histogram: &Histogram<u64>) -> (u32, u64) {
    // Twice the power of ten of the digits, rounded up to a power of two.
    let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let mut buckets = 1;
    let mut reach = sub_buckets;
    while reach <= histogram.high() {
        reach = reach.saturating_mul(2);
        buckets += 1;
    }
    (buckets, sub_buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        let mut latencies = Latencies::default();
        latencies.record(Stage::Compute, Duration::from_secs(3_600));
        latencies.record(Stage::Compute, Duration::ZERO);
        let h = latencies.stage(Stage::Compute);
        assert_eq!(h.len(), 2);
        assert!(h.max() >= MAX_US && h.max() < MAX_US + MAX_US / 1_000);
    }

    #[test]
    fn hgrm_has_its_header_rows_and_footer() {
        let mut h = new_histogram();
        for us in 1..=1_000 {
            h.record(us).unwrap();
        }
        let mut text = Vec::new();
        write_hgrm(&mut text, &h, 1_000.0, 5).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "       Value     Percentile TotalCount 1/(1-Percentile)"
        );
        assert_eq!(lines[1], "");
        assert_eq!(
            lines[2],
            "       0.001 0.000000000000          1           1.00"
        );
        assert!(
            text.contains("       0.500 0.500000000000        500           2.00\n"),
            "{text}"
        );
        assert!(text.contains("       1.000 1.000000000000       1000\n"));
        assert!(
            text.ends_with("#[Buckets =           16, SubBuckets     =         2048]\n"),
            "{text}"
        );
    }
}
