//! How evenly ticks come to one client: jitter, and whether one is missing that was asked for. No clock of
//! its own.

use std::time::Duration;

use crate::load::message::Tick;
use crate::load::violation::{Check, Finding, finding};

/// By how much a client's rate must exceed the ticks' own before every one is expected: a gateway that keeps
/// to a rate may leave one out where both are nearly equal.
const RATE_MARGIN: f64 = 1.2;
/// Share of the time between two starts that has to lie between their sendings: ticks that are caught up
/// with come faster than was asked for, and some of them are left out.
const ON_TIME: f64 = 0.9;

/// What one connection was sent last.
#[derive(Clone, Debug)]
pub(crate) struct Cadence {
    rate_hz: f64,
    last: Option<Arrival>,
    lagged: bool,
    /// Something is missing unless the next message says why.
    pending: Option<Finding>,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    tick: u64,
    started_at_us: u64,
    sent_at_us: Option<u64>,
    received_at_us: u64,
}

/// What a tick's arrival comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Beat {
    /// By how much it came further from the one before, or closer to it, than they started.
    pub(crate) jitter: Option<Duration>,
    /// A tick before it is missing.
    pub(crate) missing: Option<Finding>,
}

impl Cadence {
    /// A connection that has asked for so many ticks a second.
    pub(crate) fn new(rate_hz: u32) -> Cadence {
        Cadence {
            rate_hz: f64::from(rate_hz),
            last: None,
            lagged: false,
            pending: None,
        }
    }

    /// Frames were skipped, and it says so; it may come before the next frame or after it.
    pub(crate) fn handle_lagged(&mut self) {
        self.lagged = true;
        self.pending = None;
    }

    /// A message could not be read: it may have been the tick that would be missing.
    pub(crate) fn handle_unread(&mut self) {
        self.lagged = true;
    }

    /// A tick came that is not the connection's first.
    pub(crate) fn handle_tick(&mut self, tick: &Tick, received_at_us: u64) -> Beat {
        let missing = self.pending.take();
        let lagged = std::mem::take(&mut self.lagged);
        let Some(started_at_us) = tick.started_at_us else {
            return Beat::default();
        };
        let now = Arrival {
            tick: tick.tick,
            started_at_us,
            sent_at_us: tick.sent_at_us,
            received_at_us,
        };
        let last = self.last.replace(now);
        if let Some(last) = last.filter(|_| !lagged) {
            self.pending = self.missing_between(&last, &now);
        }
        let jitter = last.map(|last| {
            let started = started_at_us.abs_diff(last.started_at_us);
            let received = received_at_us.abs_diff(last.received_at_us);
            Duration::from_micros(received.abs_diff(started))
        });
        Beat { jitter, missing }
    }

    fn missing_between(&self, last: &Arrival, now: &Arrival) -> Option<Finding> {
        let ticks = now.tick.checked_sub(last.tick)?;
        let started_us = now.started_at_us.checked_sub(last.started_at_us)? as f64;
        let sent_us = now.sent_at_us?.checked_sub(last.sent_at_us?)? as f64;
        let period_s = started_us / 1e6 / ticks.max(1) as f64;
        let every_one_wanted = self.rate_hz * period_s >= RATE_MARGIN;
        if ticks <= 1 || !every_one_wanted || sent_us < ON_TIME * started_us {
            return None;
        }
        let (tick, before) = (now.tick, last.tick);
        let what =
            format!("tick {tick} after tick {before}, and nothing says that any was skipped");
        Some(finding(Check::MissingTick, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks of 20 ms, each sent when given and received 1 ms later.
    fn tick(cadence: &mut Cadence, tick: u64, sent_at_us: u64) -> Beat {
        let message = Tick {
            epoch: 1,
            tick,
            started_at_us: Some(tick * 20_000),
            sent_at_us: Some(sent_at_us),
            entities_total: 1,
            shown: None,
            aggregate: None,
            machines: None,
        };
        cadence.handle_tick(&message, sent_at_us + 1_000)
    }

    fn is_missing(beat: &Beat) -> bool {
        beat.missing.as_ref().map(|f| f.check) == Some(Check::MissingTick)
    }

    #[test]
    fn a_missing_tick_is_found_once_the_next_message_does_not_explain_it() {
        let mut cadence = Cadence::new(60);
        assert!(!is_missing(&tick(&mut cadence, 1, 20_000)));
        assert!(!is_missing(&tick(&mut cadence, 3, 60_000)));
        assert!(is_missing(&tick(&mut cadence, 4, 80_000)));
        assert!(!is_missing(&tick(&mut cadence, 5, 100_000)));
    }

    #[test]
    fn a_skip_that_is_told_before_or_after_is_none() {
        let mut cadence = Cadence::new(60);
        tick(&mut cadence, 1, 20_000);
        cadence.handle_lagged();
        tick(&mut cadence, 3, 60_000);
        assert!(!is_missing(&tick(&mut cadence, 5, 100_000)));
        cadence.handle_lagged();
        assert!(!is_missing(&tick(&mut cadence, 6, 120_000)));
    }

    #[test]
    fn ticks_that_were_not_asked_for_or_were_caught_up_with_are_not_missing() {
        let mut slow = Cadence::new(10);
        tick(&mut slow, 1, 20_000);
        tick(&mut slow, 6, 120_000);
        assert!(!is_missing(&tick(&mut slow, 11, 220_000)));
        let mut late = Cadence::new(60);
        tick(&mut late, 1, 200_000);
        tick(&mut late, 9, 220_000);
        assert!(!is_missing(&tick(&mut late, 10, 240_000)));
    }

    #[test]
    fn jitter_is_what_arrivals_differ_by_more_than_starts() {
        let mut cadence = Cadence::new(10);
        assert_eq!(tick(&mut cadence, 1, 20_000).jitter, None);
        let on_time = tick(&mut cadence, 6, 120_000).jitter;
        assert_eq!(on_time, Some(Duration::ZERO));
        let late = tick(&mut cadence, 11, 223_000).jitter;
        assert_eq!(late, Some(Duration::from_millis(3)));
        let early = tick(&mut cadence, 16, 320_000).jitter;
        assert_eq!(early, Some(Duration::from_millis(3)));
    }
}
