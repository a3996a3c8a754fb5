//! What a worker counts. Owned by the state machine, so nothing here needs a lock; readers get a copy.

use std::time::Duration;

use hdrhistogram::Histogram;
use transport::metrics::Traffic;

use crate::job::Figures;
use crate::step::Extras;

/// Longest time that a histogram tells apart, in µs; longer ones count as this.
pub const MAX_STAGE_US: u64 = 600_000_000;

/// Counters since the worker started, and gauges of the present.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Whether it is connected and welcome.
    pub registered: bool,
    /// Whether it was asked to stop.
    pub draining: bool,
    /// Simulations open here.
    pub simulations: u64,
    /// Partitions held, those being stepped included.
    pub partitions: u64,
    /// Rows held.
    pub rows: u64,
    /// Bytes of checkpoint frames that wait for their dispatch.
    pub waiting_checkpoint_bytes: u64,
    /// Rows times ticks stepped.
    pub row_steps: u64,
    /// Partitions times ticks stepped.
    pub partition_steps: u64,
    /// Time spent on jobs, summed over threads; the heartbeat tells it.
    pub busy: Duration,
    /// Jobs finished.
    pub jobs: u64,
    /// Stateless steps done for verification.
    pub computes: u64,
    /// Work answered with `Unable`, by [`transport::message::unable`] code; index 0 counts other codes.
    pub unable: [u64; 6],
    /// Frames exchanged with the link.
    pub traffic: Traffic,
    /// Frames of an older lease or connection that were dropped.
    pub stale_frames: u64,
    /// Connections to an orchestrator so far.
    pub connections: u64,
    /// From a dispatch's arrival to the start of its first step, µs.
    pub queue_us: Histogram<u64>,
    /// From the start of a job's first step to its last one's end, µs.
    pub compute_us: Histogram<u64>,
    /// Writing a view, behind the result, µs.
    pub view_us: Histogram<u64>,
    /// Writing a job's checkpoints, µs.
    pub checkpoint_us: Histogram<u64>,
    /// Views and checkpoints that could not be written; their steps stand.
    pub failed_extras: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            registered: false,
            draining: false,
            simulations: 0,
            partitions: 0,
            rows: 0,
            waiting_checkpoint_bytes: 0,
            row_steps: 0,
            partition_steps: 0,
            busy: Duration::ZERO,
            jobs: 0,
            computes: 0,
            unable: [0; 6],
            stale_frames: 0,
            traffic: Traffic::default(),
            connections: 0,
            queue_us: stage_histogram(),
            compute_us: stage_histogram(),
            view_us: stage_histogram(),
            checkpoint_us: stage_histogram(),
            failed_extras: 0,
        }
    }
}

impl Stats {
    /// Counts a job that has a result.
    pub(crate) fn record_job(&mut self, figures: Figures) {
        match figures {
            Figures::Stepped {
                rows,
                ticks,
                queue,
                compute,
            } => {
                self.jobs += 1;
                self.row_steps += u64::from(rows) * u64::from(ticks);
                self.partition_steps += u64::from(ticks);
                self.busy += compute;
                record(&mut self.queue_us, queue);
                record(&mut self.compute_us, compute);
            }
            Figures::Computed { compute } => {
                self.computes += 1;
                self.busy += compute;
            }
        }
    }

    /// Counts what follows a result.
    pub(crate) fn record_extras(&mut self, extras: &Extras) {
        self.failed_extras += extras.failures.len() as u64;
        for (stage, time) in [
            (&mut self.view_us, extras.view_time),
            (&mut self.checkpoint_us, extras.checkpoint_time),
        ] {
            if let Some(time) = time {
                self.busy += time;
                record(stage, time);
            }
        }
    }

    /// Counts an answer that names no result.
    pub fn record_unable(&mut self, reason: u32) {
        let index = usize::try_from(reason).unwrap_or(0);
        let index = if index < self.unable.len() { index } else { 0 };
        self.unable[index] += 1;
    }

    /// Row-steps per second of stepping time on one thread; 0 before the first step.
    #[must_use]
    pub fn row_steps_per_busy_second(&self) -> f64 {
        let seconds = self.busy.as_secs_f64();
        if seconds > 0.0 {
            self.row_steps as f64 / seconds
        } else {
            0.0
        }
    }
}

fn stage_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_STAGE_US, 2).expect("the bounds are constants that hold")
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let us = u64::try_from(time.as_micros()).unwrap_or(MAX_STAGE_US);
    histogram.saturating_record(us.min(MAX_STAGE_US));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobError;

    #[test]
    fn a_job_is_counted_in_rows_ticks_and_time() {
        let mut stats = Stats::default();
        let (queue, compute) = (Duration::from_micros(40), Duration::from_millis(2));
        for (rows, ticks, compute) in [(100, 3, compute), (50, 0, Duration::ZERO)] {
            stats.record_job(Figures::Stepped {
                rows,
                ticks,
                queue,
                compute,
            });
        }
        assert_eq!(
            (stats.jobs, stats.row_steps, stats.partition_steps),
            (2, 300, 3)
        );
        assert_eq!(stats.busy, compute);
        assert_eq!(stats.row_steps_per_busy_second(), 150_000.0);
        assert_eq!(stats.queue_us.len(), 2);
        assert!((1_980..=2_020).contains(&stats.compute_us.max()));
    }

    #[test]
    fn what_follows_a_result_is_time_spent_and_a_stage_of_its_own() {
        let mut stats = Stats::default();
        stats.record_extras(&Extras {
            checkpoint_time: Some(Duration::from_millis(3)),
            failures: vec![JobError::NotOpen],
            ..Extras::default()
        });
        assert_eq!(stats.busy, Duration::from_millis(3));
        assert_eq!((stats.checkpoint_us.len(), stats.view_us.len()), (1, 0));
        assert_eq!(stats.failed_extras, 1);
        assert!(stats.compute_us.is_empty());
    }

    #[test]
    fn times_beyond_the_histogram_and_unknown_reasons_still_count() {
        let mut stats = Stats::default();
        stats.record_job(Figures::Stepped {
            rows: 1,
            ticks: 1,
            queue: Duration::MAX,
            compute: Duration::from_secs(3_600),
        });
        assert_eq!(stats.queue_us.len() + stats.compute_us.len(), 2);
        stats.record_unable(transport::message::unable::PANICKED);
        stats.record_unable(999);
        assert_eq!(stats.unable, [1, 0, 0, 0, 0, 1]);
    }
}
