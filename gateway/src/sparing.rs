//! Says something that would be said too often only once in a while, and how often it was not said.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one message through in a period and counts those that it holds back.
#[derive(Debug)]
pub struct Sparing {
    every: Duration,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the next may be said.
    next: Duration,
    held_back: u64,
}

impl Sparing {
    /// At most one message in each such period.
    #[must_use]
    pub fn new(every: Duration) -> Sparing {
        Sparing {
            every,
            start: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Whether a message may be said now: then how many were held back since the last one.
    pub fn admit(&self) -> Option<u64> {
        let now = self.start.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.admit(now, self.every)
    }
}

impl State {
    fn admit(&mut self, now: Duration, every: Duration) -> Option<u64> {
        if now < self.next {
            self.held_back += 1;
            return None;
        }
        self.next = now + every;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_said_in_a_period_and_the_others_are_counted() {
        let mut state = State::default();
        let ms = Duration::from_millis;
        let mut at = |now| state.admit(ms(now), ms(100));
        assert_eq!([at(7), at(8), at(106)], [Some(0), None, None]);
        assert_eq!([at(107), at(120)], [Some(2), None]);
        assert_eq!(at(900), Some(1));
    }
}
