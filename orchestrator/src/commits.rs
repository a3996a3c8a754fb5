//! How long commits take, and what that means for a command's place.

use std::collections::VecDeque;
use std::time::Duration;

use crate::latency::Durations;
use crate::limits::{MAX_LEAD_TICKS, RECENT_COMMITS};

/// Commit times: the last ones, and all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits {
    recent: VecDeque<Duration>,
    all: Durations,
}

impl Commits {
    /// A commit took so long.
    pub(crate) fn note(&mut self, took: Duration) {
        if self.recent.len() >= RECENT_COMMITS {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
        self.all.record_n(took, 1);
    }

    /// All of them, in us.
    pub(crate) fn all(&self) -> Durations {
        self.all.clone()
    }

    /// Ticks that a command is put off: as many as pass in twice the p99 of the last commits where a
    /// tick takes `tick`, and no fewer than `least`.
    pub(crate) fn lead_ticks(&self, tick: Duration, least: u64) -> u64 {
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        let p99 = rank.checked_sub(1).map_or(Duration::ZERO, |i| sorted[i]);
        let ticks = (2 * p99).as_nanos().div_ceil(tick.as_nanos().max(1));
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        ticks.clamp(least.max(1), MAX_LEAD_TICKS.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_lead_covers_twice_the_p99_of_the_last_commits() {
        let mut commits = Commits::default();
        assert_eq!(commits.lead_ticks(20 * MS, 1), 1, "nothing is known");
        for _ in 0..RECENT_COMMITS {
            commits.note(100 * MS);
        }
        assert_eq!(commits.lead_ticks(20 * MS, 1), 10);
        assert_eq!(commits.lead_ticks(20 * MS, 15), 15);
        for n in 0..RECENT_COMMITS {
            commits.note(if n < 250 { MS } else { 50 * MS });
        }
        assert_eq!(
            commits.lead_ticks(20 * MS, 1),
            5,
            "the old ones are forgotten"
        );
        assert_eq!(commits.all().histogram().len(), 2 * RECENT_COMMITS as u64);
        commits.note(1_000_000 * MS);
        for _ in 0..3 {
            commits.note(1_000_000 * MS);
        }
        assert_eq!(commits.lead_ticks(MS, 1), MAX_LEAD_TICKS);
    }
}
