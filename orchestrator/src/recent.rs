//! How fast something grows: what it was at some points of the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{RECENT, RECENT_POINTS};

/// Counters at some points of time. It holds at most [`RECENT_POINTS`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent<const N: usize> {
    points: VecDeque<(Duration, [u64; N])>,
}

/// By how much counters have grown, in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth<const N: usize> {
    pub(crate) elapsed: Duration,
    pub(crate) by: [u64; N],
}

impl<const N: usize> Recent<N> {
    /// Notes what the counters are now. What comes soon after a point takes its place once another does.
    pub(crate) fn note(&mut self, now: Duration, counters: [u64; N]) {
        let spacing = RECENT / (RECENT_POINTS as u32 - 1);
        let len = self.points.len();
        // The newest point moves with time until it is far enough from the one before it.
        if len >= 2 && self.points[len - 1].0 < self.points[len - 2].0 + spacing {
            self.points[len - 1] = (now, counters);
            return;
        }
        while self.points.len() >= RECENT_POINTS
            || self.points.len() > 1 && self.points[1].0 + RECENT <= now
        {
            self.points.pop_front();
        }
        self.points.push_back((now, counters));
    }

    /// Nothing of what was before counts.
    pub(crate) fn forget(&mut self) {
        self.points.clear();
    }

    /// By how much they have grown in the last seconds; `None` where too little is known.
    pub(crate) fn growth(&self, now: Duration) -> Option<Growth<N>> {
        let (first_at, first) = self.points.front()?;
        let (last_at, last) = self.points.back()?;
        // Between two points nothing is known to stand still; long after the last one it is.
        let end = if *last_at + RECENT <= now {
            now
        } else {
            *last_at
        };
        let elapsed = end.checked_sub(*first_at).filter(|e| !e.is_zero())?;
        let by = std::array::from_fn(|i| last[i].saturating_sub(first[i]));
        Some(Growth { elapsed, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_last_seconds_count_and_no_more_points_are_held_than_named() {
        let mut recent = Recent::default();
        assert_eq!(recent.growth(MS), None);
        // Ten a second for a minute, then a hundred a second for six.
        let mut count = 0;
        for n in 0..660_u32 {
            count += if n < 600 { 1 } else { 10 };
            recent.note(n * 100 * MS, [count]);
            assert!(recent.points.len() <= RECENT_POINTS);
        }
        let growth = recent.growth(659 * 100 * MS).unwrap();
        let per_s = growth.by[0] as f64 / growth.elapsed.as_secs_f64();
        assert!((per_s - 100.0).abs() < 1.0, "{growth:?}");
        assert!(growth.elapsed >= 4 * RECENT / 5 && growth.elapsed <= 2 * RECENT);
    }

    #[test]
    fn what_stands_is_found_to_stand() {
        let mut recent = Recent::default();
        recent.note(MS, [0]);
        recent.note(1_001 * MS, [1_000]);
        assert_eq!(recent.growth(1_500 * MS).unwrap().elapsed, 1_000 * MS);
        let later = recent.growth(100_001 * MS).unwrap();
        assert_eq!(later.elapsed, 100_000 * MS);
        recent.forget();
        assert_eq!(recent.growth(MS), None);
    }
}
