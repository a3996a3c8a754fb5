//! How long commits take, and what that means for a command's place.

use std::collections::VecDeque;
use std::time::Duration;

use crate::latency::Durations;
use crate::limits::{COMMIT_PATIENCE, MAX_LEAD_TICKS, RECENT_COMMITS};

/// Commit times: the last ones, and all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits {
    recent: VecDeque<Duration>,
    all: Durations,
}

impl Commits {
    /// A commit took so long. One that took as long as nobody waits for had to do with a database that was away: of
    /// how long the next one takes it says nothing, and commands are not put off by it.
    pub(crate) fn note(&mut self, took: Duration) {
        self.all.record_n(took, 1);
        if took > COMMIT_PATIENCE {
            return;
        }
        if self.recent.len() >= RECENT_COMMITS {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
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
        for _ in 0..4 {
            commits.note(COMMIT_PATIENCE);
        }
        assert_eq!(commits.lead_ticks(MS / 10, 1), MAX_LEAD_TICKS);
    }

    #[test]
    fn an_outage_does_not_put_off_the_commands_after_it() {
        let mut commits = Commits::default();
        commits.note(10 * MS);
        commits.note(60_000 * MS);
        assert_eq!(commits.lead_ticks(20 * MS, 1), 1);
        assert_eq!(commits.all().histogram().len(), 2);
    }
}
