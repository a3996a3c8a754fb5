//! How old what one client sees is, looked at as often as it is due a tick, whether one comes or not: a stall is charged
//! for every tick that it kept waiting (coordinated omission corrected), a reconnect for all of its time. No clock of
//! its own.

use std::time::{Duration, Instant};

/// The golden ratio's fraction: its multiples spread evenly over any number of turns.
const SPREAD: f64 = 0.618_033_988_749_894_9;

/// What one client sees, over all its connections.
#[derive(Clone, Debug)]
pub(crate) struct Staleness {
    origin: Instant,
    period: Duration,
    /// Turn that is looked at next.
    next: u64,
    /// Part of every turn's place in its period, so that clients of one rate are not looked at together.
    phase: f64,
    /// UNIX time of the deadline of the newest tick that was read, us.
    seen_us: u64,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Age {
    /// When.
    pub(crate) at: Instant,
    /// How old what was seen then was, us.
    pub(crate) us: u64,
}

impl Staleness {
    /// Of a client that connects now and has asked for so many ticks a second; until it reads one, it is as if it had
    /// seen one now.
    pub(crate) fn new(now: Instant, now_us: u64, rate_hz: u32, client: u32) -> Staleness {
        Staleness {
            origin: now,
            period: Duration::from_secs(1) / rate_hz.max(1),
            next: 0,
            phase: f64::from(client) * SPREAD,
            seen_us: now_us,
        }
    }

    /// The looks that were due in a time of which no earlier part is asked for again; `now_us` is the UNIX time of its
    /// end. To be called before what was read at its end is told to [`Staleness::handle_tick`].
    pub(crate) fn looks(&mut self, from: Instant, to: Instant, now_us: u64) -> Vec<Age> {
        let passed =
            from.saturating_duration_since(self.origin).as_nanos() / self.period.as_nanos();
        self.next = self.next.max(passed as u64);
        let mut ages = Vec::new();
        loop {
            let at = self.turn(self.next);
            if at > to {
                return ages;
            }
            self.next += 1;
            if at >= from {
                let before_us = (to - at).as_micros() as u64;
                let us = now_us
                    .saturating_sub(before_us)
                    .saturating_sub(self.seen_us);
                ages.push(Age { at, us });
            }
        }
    }

    /// A tick that was due then was read.
    pub(crate) fn handle_tick(&mut self, started_at_us: u64) {
        self.seen_us = self.seen_us.max(started_at_us);
    }

    /// One look in each period, at another place of each: ticks come at nearly the same rate, and looks in step with
    /// them would all see the same age.
    fn turn(&self, n: u64) -> Instant {
        let place = (self.phase + n as f64 * SPREAD).fract();
        let whole = self.period.as_secs_f64() * (n as f64 + place);
        self.origin + Duration::from_secs_f64(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tally::Durations;

    const BEGAN_US: u64 = 1_000_000_000;

    /// A client at 10 Hz that reads a tick every 100 ms, each 20 ms after its deadline, but none from 3 s to 8 s; and what
    /// it saw until the 10th second.
    fn stalled(from_ms: u64) -> Durations {
        let start = Instant::now();
        let at = |ms: u64| (start + Duration::from_millis(ms), BEGAN_US + 1_000 * ms);
        let mut staleness = Staleness::new(start, BEGAN_US, 10, 0);
        let mut seen = Durations::default();
        let from = at(from_ms).0;
        for ms in (20..10_000)
            .step_by(100)
            .filter(|ms| !(3_000..8_000).contains(ms))
        {
            let (now, now_us) = at(ms);
            for age in staleness.looks(from, now, now_us) {
                seen.record_us(age.us);
            }
            staleness.handle_tick(now_us - 20_000);
        }
        let (end, end_us) = at(10_000);
        (staleness.looks(from, end, end_us).iter()).for_each(|age| seen.record_us(age.us));
        seen
    }

    #[test]
    fn a_stall_is_as_many_looks_as_ticks_were_due_in_it() {
        let seen = stalled(0).0;
        assert!(seen.len().abs_diff(100) <= 1, "{}", seen.len());
        // Half of the time nothing came: the middle is where it began to be old, and a tenth is 4 s old and more.
        assert!(seen.value_at_quantile(0.4) <= 120_300);
        let p90 = seen.value_at_quantile(0.9);
        assert!((3_900_000..4_400_000).contains(&p90), "{p90}");
        assert!(
            (4_900_000..5_130_000).contains(&seen.max()),
            "{}",
            seen.max()
        );
    }

    #[test]
    fn ages_are_spread_over_the_period_where_ticks_come_in_step_with_the_looks() {
        let seen = stalled(8_200).0;
        assert!(seen.len().abs_diff(18) <= 1, "{}", seen.len());
        assert!(seen.min() < 40_000 && seen.max() > 100_000, "{seen:?}");
        assert!(seen.max() <= 120_300, "20 ms and a period: {}", seen.max());
    }

    #[test]
    fn nothing_before_the_time_asked_for_is_looked_at_and_nothing_twice() {
        let start = Instant::now();
        let end = start + Duration::from_secs(100);
        let mut staleness = Staleness::new(start, BEGAN_US, 10, 7);
        let from = start + Duration::from_secs(99);
        let looks = staleness.looks(from, end, BEGAN_US + 100_000_000);
        assert!(looks.len().abs_diff(10) <= 1, "{}", looks.len());
        assert!(
            looks
                .iter()
                .all(|age| age.at >= from && age.us >= 99_000_000)
        );
        assert_eq!(staleness.looks(from, end, BEGAN_US + 100_000_000), []);
    }

    #[test]
    fn an_older_tick_makes_nothing_older() {
        let start = Instant::now();
        let mut staleness = Staleness::new(start, BEGAN_US, 1, 0);
        staleness.handle_tick(BEGAN_US + 500_000);
        staleness.handle_tick(BEGAN_US + 100_000);
        let now = start + Duration::from_millis(600);
        let looks = staleness.looks(start, now, BEGAN_US + 600_000);
        // The look at the begin is before the tick's deadline: nothing is younger than new.
        assert_eq!(looks, [Age { at: start, us: 0 }]);
    }
}
