//! Where a tick's time goes: one HDR histogram a stage. The core is single-threaded and owns them,
//! so recording takes no lock.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

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

/// A histogram of durations in us that grows with the longest one, up to [`MAX_US`]: an empty one
/// takes no memory of its own, one of up to 8 ms a quarter of one that is made for a minute.
///
/// A clone shares the counts and copies nothing; whoever records next copies them then, once.
#[derive(Clone, Debug)]
pub(crate) struct Durations(Arc<Histogram<u64>>);

impl Default for Durations {
    fn default() -> Self {
        static EMPTY: LazyLock<Arc<Histogram<u64>>> = LazyLock::new(|| {
            let three_digits = Histogram::new(3);
            Arc::new(three_digits.expect("a constant number of digits"))
        });
        Durations(Arc::clone(&EMPTY))
    }
}

impl Durations {
    /// Records a duration `n` times, the longest ones as [`MAX_US`].
    pub(crate) fn record_n(&mut self, latency: Duration, n: u64) {
        let us = Arc::make_mut(&mut self.0).record_n(as_us(latency), n);
        us.expect("it grows with what is recorded");
    }

    /// Adds another one.
    pub(crate) fn merge(&mut self, other: &Durations) {
        if self.0.is_empty() {
            self.0 = Arc::clone(&other.0);
        } else if !other.0.is_empty() {
            let sum = Arc::make_mut(&mut self.0).add(&*other.0);
            sum.expect("it grows with what is added");
        }
    }

    /// The counts.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn is_shared_with(&self, other: &Durations) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A histogram of every stage, in us. A clone copies nothing, see [`Latencies::record`].
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    stages: [Durations; Stage::ALL.len()],
    /// The same since [`Latencies::take_interval`] was last called; `None` where it never was.
    interval: Option<Box<[Durations; Stage::ALL.len()]>>,
}

impl Latencies {
    /// Records one duration. The stage's counts are copied first if a clone shares them.
    pub fn record(&mut self, stage: Stage, latency: Duration) {
        self.record_n(stage, latency, 1);
    }

    /// Records the same duration `n` times.
    pub fn record_n(&mut self, stage: Stage, latency: Duration, n: u64) {
        self.stages[stage as usize].record_n(latency, n);
        if let Some(interval) = &mut self.interval {
            interval[stage as usize].record_n(latency, n);
        }
    }

    /// What was recorded since the last call; by the first one, all of it.
    pub(crate) fn take_interval(&mut self) -> Latencies {
        let recorded = self.interval.replace(Box::default());
        Latencies {
            stages: recorded.map_or_else(|| self.stages.clone(), |recorded| *recorded),
            interval: None,
        }
    }

    /// Nothing is recorded any more that [`Latencies::take_interval`] would tell.
    pub(crate) fn end_intervals(&mut self) {
        self.interval = None;
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Latencies) {
        for (sum, stage) in self.stages.iter_mut().zip(&other.stages) {
            sum.merge(stage);
        }
    }

    #[cfg(test)]
    pub(crate) fn shared_with(&self, other: &Latencies) -> usize {
        let pairs = self.stages.iter().zip(&other.stages);
        pairs.filter(|(a, b)| a.is_shared_with(b)).count()
    }

    /// A stage's histogram, in us.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &Histogram<u64> {
        self.stages[stage as usize].histogram()
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
    histogram.saturating_record(as_us(latency));
}

fn as_us(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).map_or(MAX_US, |us| us.min(MAX_US))
}

/// A histogram in the V2 encoding of HdrHistogram, uncompressed.
///
/// # Panics
/// Never: memory takes what is written, and the counts of a histogram fit the encoding.
#[must_use]
pub fn encode_v2(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = V2Serializer::new().serialize(histogram, &mut bytes);
    written.expect("written to memory");
    bytes
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
    fn an_interval_has_what_was_recorded_since_the_last_one() {
        let mut latencies = Latencies::default();
        let of = |l: &Latencies| l.stage(Stage::Compute).len();
        latencies.record_n(Stage::Compute, Duration::from_millis(1), 3);
        assert_eq!(of(&latencies.take_interval()), 3);
        latencies.record(Stage::Compute, Duration::from_millis(2));
        assert_eq!(of(&latencies.take_interval()), 1);
        assert_eq!(of(&latencies.take_interval()), 0);
        assert_eq!(of(&latencies), 4);
        let bytes = encode_v2(latencies.stage(Stage::Compute));
        let mut read = hdrhistogram::serialization::Deserializer::new();
        let read: Histogram<u64> = read.deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(
            (read.len(), read.max()),
            (4, latencies.stage(Stage::Compute).max())
        );
    }

    #[test]
    fn histograms_of_any_reach_are_added_with_three_digits_kept() {
        let (mut short, mut long) = (Durations::default(), Durations::default());
        short.record_n(Duration::from_micros(15), 2);
        long.record_n(Duration::from_secs(59), 1);
        short.merge(&long);
        let sum = short.histogram();
        assert_eq!((sum.len(), sum.min()), (3, 15));
        assert!(sum.max().abs_diff(59_000_000) < 59_000);
        assert_eq!(long.histogram().len(), 1, "the other is as it was");
    }
}
