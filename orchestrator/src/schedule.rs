//! When ticks are due: absolute deadlines of one run, its speed, and the shifting of deadlines that
//! can no longer be met. Never reads a clock.

use std::time::Duration;

use crate::control::Speed;
use crate::limits::{MAX_BEHIND, MAX_WINDOW_TICKS, MIN_DISPATCH_PERIOD};

/// Deadlines of a run: tick `anchor_tick + n` is due at `anchor + n * period`.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    tick_ms: u32,
    speed: Speed,
    anchor: Duration,
    anchor_tick: u64,
}

impl Schedule {
    /// A schedule whose tick `tick` is due at `now`.
    #[must_use]
    pub(crate) fn new(tick_ms: u32, speed: Speed, now: Duration, tick: u64) -> Schedule {
        Schedule {
            tick_ms,
            speed,
            anchor: now,
            anchor_tick: tick,
        }
    }

    /// The speed asked for.
    #[must_use]
    pub(crate) fn speed(&self) -> Speed {
        self.speed
    }

    /// Begins anew: tick `tick` counts as due at `now`.
    pub(crate) fn restart(&mut self, now: Duration, tick: u64) {
        self.anchor = now;
        self.anchor_tick = tick;
    }

    /// Changes the speed from `tick`, the last one dispatched, on. Its deadline stays, unless it
    /// lies in the future of `now` or there was none.
    pub(crate) fn set_speed(&mut self, now: Duration, tick: u64, speed: Speed) {
        let anchor = self.deadline(tick).map_or(now, |due| due.min(now));
        self.speed = speed;
        self.restart(anchor, tick);
    }

    /// Real time between two ticks; `None` at speed `max`.
    #[must_use]
    pub(crate) fn period(&self) -> Option<Duration> {
        self.span(1)
    }

    /// When `tick` is due; `None` at speed `max`, where every tick is due at once.
    ///
    /// # Panics
    /// If `tick` lies before the anchor.
    #[must_use]
    pub(crate) fn deadline(&self, tick: u64) -> Option<Duration> {
        assert!(tick >= self.anchor_tick, "a deadline before the schedule");
        let span = self.span(tick - self.anchor_tick)?;
        Some(self.anchor + span)
    }

    /// Ticks in an ordinary window: 1, or as many as fill [`MIN_DISPATCH_PERIOD`] where the period
    /// is shorter. At speed `max` there is no ordinary window and the answer is 1.
    #[must_use]
    pub(crate) fn nominal_ticks(&self) -> u32 {
        let Some(period) = self.period() else {
            return 1;
        };
        let nominal = MIN_DISPATCH_PERIOD
            .as_nanos()
            .div_ceil(period.as_nanos().max(1));
        u32::try_from(nominal).map_or(MAX_WINDOW_TICKS, |n| n.clamp(1, MAX_WINDOW_TICKS))
    }

    /// How many ticks from `first` on have their deadline at or before `now`, at most `max`.
    #[must_use]
    pub(crate) fn due_ticks(&self, first: u64, now: Duration, max: u32) -> u32 {
        let Some(deadline) = self.deadline(first) else {
            return max;
        };
        let Some(behind) = now.checked_sub(deadline) else {
            return 0;
        };
        let period = self.span(1).map_or(1, |p| p.as_nanos().max(1));
        let due = behind.as_nanos() / period + 1;
        u32::try_from(due).map_or(max, |n| n.min(max))
    }

    /// Ticks of `first ..= last` that completed late at `now`: later than the length of an ordinary
    /// window after the deadline of the window they would ordinarily belong to.
    #[must_use]
    pub(crate) fn late_ticks(&self, first: u64, last: u64, now: Duration) -> u64 {
        let slack = self.span(u64::from(2 * self.nominal_ticks() - 1));
        let (Some(slack), Some(period)) = (slack, self.period()) else {
            return 0;
        };
        let Some(limit) = now.checked_sub(slack) else {
            return 0;
        };
        // Ticks whose deadline lies strictly before `limit`.
        let Some(past) = self.deadline(first).and_then(|due| limit.checked_sub(due)) else {
            return 0;
        };
        let late = past.as_nanos().div_ceil(period.as_nanos().max(1));
        u64::try_from(late).map_or(last + 1 - first, |n| n.min(last + 1 - first))
    }

    /// Shifts the deadlines so that `next` is no more than [`MAX_BEHIND`] late; answers by how much.
    pub(crate) fn dilate(&mut self, next: u64, now: Duration) -> Option<Duration> {
        let behind = now.checked_sub(self.deadline(next)?)?;
        let excess = behind.checked_sub(MAX_BEHIND).filter(|e| !e.is_zero())?;
        self.anchor += excess;
        Some(excess)
    }

    /// Shifts the deadlines by what of the time from `since` to `now`, in which nothing could be
    /// dispatched, lies after the deadline of `next`: that time makes nothing late.
    pub(crate) fn excuse(&mut self, next: u64, since: Duration, now: Duration) {
        if let Some(due) = self.deadline(next) {
            self.anchor += now.saturating_sub(due.max(since));
        }
    }

    /// Real time that `ticks` ticks take.
    fn span(&self, ticks: u64) -> Option<Duration> {
        let Speed::Milli(milli) = self.speed else {
            return None;
        };
        // In 128 bits: ticks < 2^32, a tick <= 10^9 ns, times 1,000. The longest, of centuries at a tenth of life's
        // pace, does not fit what a duration is made of here.
        let ns =
            u128::from(ticks) * u128::from(self.tick_ms) * 1_000_000 * 1_000 / u128::from(milli);
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn schedule(tick_ms: u32, speed: Speed) -> Schedule {
        Schedule::new(tick_ms, speed, 1_000 * MS, 0)
    }

    #[test]
    fn the_deadline_of_the_last_tick_at_the_slowest_pace_is_one() {
        let s = schedule(1_000, Speed::Milli(100));
        assert!(s.deadline(u64::from(u32::MAX)) > s.deadline(1_844_674_407));
    }

    #[test]
    fn deadlines_are_absolute_and_do_not_drift() {
        let s = schedule(20, Speed::Milli(3_000));
        assert_eq!(s.deadline(0), Some(1_000 * MS));
        assert_eq!(s.deadline(3), Some(1_020 * MS));
        assert_eq!(s.deadline(3_000_000), Some(20_001_000 * MS));
    }

    #[test]
    fn at_max_speed_every_tick_is_due() {
        let s = schedule(20, Speed::Max);
        assert_eq!(s.deadline(7), None);
        assert_eq!(s.due_ticks(7, Duration::ZERO, 64), 64);
        assert_eq!(s.late_ticks(1, 9, 999_999 * MS), 0);
    }

    #[test]
    fn short_periods_come_in_windows_of_about_five_ms() {
        assert_eq!(schedule(20, Speed::REAL).nominal_ticks(), 1);
        assert_eq!(schedule(5, Speed::REAL).nominal_ticks(), 1);
        assert_eq!(schedule(20, Speed::Milli(10_000)).nominal_ticks(), 3);
        assert_eq!(schedule(20, Speed::Milli(1_000_000)).nominal_ticks(), 250);
    }

    #[test]
    fn due_ticks_count_deadlines_that_have_come() {
        let s = schedule(20, Speed::REAL);
        assert_eq!(s.due_ticks(1, 1_019 * MS, 64), 0);
        assert_eq!(s.due_ticks(1, 1_020 * MS, 64), 1);
        assert_eq!(s.due_ticks(1, 1_059 * MS, 64), 2);
        assert_eq!(s.due_ticks(1, 9_000 * MS, 64), 64);
    }

    #[test]
    fn a_tick_is_late_after_one_period() {
        let s = schedule(20, Speed::REAL);
        assert_eq!(s.late_ticks(1, 1, 1_040 * MS), 0);
        assert_eq!(s.late_ticks(1, 1, 1_041 * MS), 1);
        assert_eq!(s.late_ticks(1, 3, 1_061 * MS), 2);
        assert_eq!(s.late_ticks(1, 3, 9_000 * MS), 3);
    }

    #[test]
    fn beyond_a_second_deadlines_are_shifted_by_the_excess() {
        let mut s = schedule(20, Speed::REAL);
        assert_eq!(s.dilate(1, 2_020 * MS), None);
        assert_eq!(s.dilate(1, 2_500 * MS), Some(480 * MS));
        assert_eq!(s.deadline(1), Some(1_500 * MS));
        assert_eq!(s.dilate(1, 2_500 * MS), None);
    }

    #[test]
    fn time_in_which_nothing_could_be_dispatched_makes_nothing_late() {
        let mut s = schedule(20, Speed::REAL);
        s.excuse(1, 500 * MS, 1_015 * MS);
        assert_eq!(s.deadline(1), Some(1_020 * MS), "it was not due");
        s.excuse(1, 1_000 * MS, 5_020 * MS);
        assert_eq!(s.deadline(1), Some(5_020 * MS));
        s.excuse(1, 5_050 * MS, 6_050 * MS);
        assert_eq!(
            s.deadline(1),
            Some(6_020 * MS),
            "what was late before stays"
        );
    }

    #[test]
    fn a_live_change_of_speed_keeps_the_last_deadline() {
        let mut s = schedule(20, Speed::REAL);
        s.set_speed(1_050 * MS, 2, Speed::Milli(2_000));
        assert_eq!(s.deadline(2), Some(1_040 * MS));
        assert_eq!(s.deadline(3), Some(1_050 * MS));
        s.set_speed(1_060 * MS, 3, Speed::Max);
        s.set_speed(5_000 * MS, 9_000, Speed::REAL);
        assert_eq!(s.deadline(9_001), Some(5_020 * MS));
    }
}
