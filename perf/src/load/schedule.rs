//! When things are due: at a fixed rate from a start, whatever became of those before.

use std::time::{Duration, Instant};

/// Due times at a fixed rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Instant,
    per_s: f64,
}

impl Schedule {
    /// The first is due at `start`. A rate of 0 is none: everything is due at once.
    pub(crate) fn new(start: Instant, per_s: f64) -> Schedule {
        Schedule { start, per_s }
    }

    /// When number `n`, from 0 on, is due: computed from the start, so that nothing adds up.
    pub(crate) fn due(&self, n: u64) -> Instant {
        if self.per_s <= 0.0 {
            return self.start;
        }
        self.start + Duration::from_secs_f64(n as f64 / self.per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_do_not_drift() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 3.0);
        assert_eq!(schedule.due(0), start);
        let hour = schedule.due(3 * 3_600) - start;
        assert!(hour.abs_diff(Duration::from_secs(3_600)) < Duration::from_micros(1));
        assert_eq!(Schedule::new(start, 0.0).due(9), start);
    }
}
