//! What time it is for people. It is told from outside and never decides anything.

use std::time::Duration;

/// The wall clock, as it was told last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wall {
    at: Duration,
    unix_us: u64,
}

impl Wall {
    /// At `now` it is `unix_us`, UNIX time in us.
    pub(crate) fn set(&mut self, now: Duration, unix_us: u64) {
        (self.at, self.unix_us) = (now, unix_us);
    }

    /// UNIX time in us at `at`; 0 where it was never told.
    pub(crate) fn unix_us(&self, at: Duration) -> u64 {
        if self.unix_us == 0 {
            return 0;
        }
        let us = |d: Duration| d.as_micros() as u64;
        match at.checked_sub(self.at) {
            Some(since) => self.unix_us + us(since),
            None => self.unix_us.saturating_sub(us(self.at - at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_are_told_by_what_was_said_last() {
        let s = Duration::from_secs;
        let mut wall = Wall::default();
        assert_eq!(wall.unix_us(s(5)), 0);
        wall.set(s(10), 1_000_000_000);
        assert_eq!(wall.unix_us(s(12)), 1_002_000_000);
        assert_eq!(wall.unix_us(s(9)), 999_000_000);
    }
}
