//! What is known of a run beyond its ticks: when it was created, begun and ended, how fast it goes,
//! and how far its log `system` is numbered.

use std::time::Duration;

use store::write::State;
use transport::control::{EpochBegin, Status};

use crate::recent::Recent;

/// What is known of one run beyond its ticks. Times are UNIX time in us.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) created_at_us: u64,
    pub(crate) started_at_us: Option<u64>,
    pub(crate) ended_at_us: Option<u64>,
    /// Ticks completed, at points of the last seconds.
    ticks: Recent<1>,
    /// Seq of the newest event of the log `system`.
    pub(crate) last_system_seq: u64,
    /// Where the orchestrators that took it over began, this one among them; none where it was created here.
    pub(crate) epochs: Vec<EpochBegin>,
    /// Where it stands for the store, where this build cannot go on with it and shows it as failed:
    /// another one can.
    pub(crate) kept_state: Option<State>,
    /// When its sums and timings were last noted for the database.
    pub(crate) metrics_at: Option<Duration>,
    /// Ticks that were late and are still to be said.
    pub(crate) late: Option<Late>,
}

/// Ticks that were late within a second or so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Late {
    pub(crate) since: Duration,
    pub(crate) ticks: u64,
    /// The greatest latency among them.
    pub(crate) worst: Duration,
}

impl Record {
    /// The run has changed its status.
    pub(crate) fn status(&mut self, status: Status, unix_us: u64) {
        match status {
            Status::Created if self.created_at_us == 0 => self.created_at_us = unix_us,
            Status::Running => {
                self.started_at_us.get_or_insert(unix_us);
            }
            status if status.is_final() => {
                self.ended_at_us.get_or_insert(unix_us);
            }
            _ => {}
        }
        // What it did before a pause is not how fast it goes after.
        self.ticks.forget();
    }

    /// So many ticks are complete, none of them in a replay.
    pub(crate) fn completed(&mut self, now: Duration, ticks: u64) {
        self.ticks.note(now, [ticks]);
    }

    /// Simulated over real time, in thousandths; 0 where too little is known, as before a run went on by itself.
    pub(crate) fn achieved_speed_milli(&self, now: Duration, tick_ms: u32) -> u64 {
        let Some(growth) = self.ticks.growth(now) else {
            return 0;
        };
        let simulated_us = u128::from(growth.by[0]) * u128::from(tick_ms) * 1_000;
        let milli = simulated_us * 1_000 / growth.elapsed.as_micros().max(1);
        u64::try_from(milli).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_as_they_were_first() {
        let mut record = Record::default();
        for (status, at) in [
            (Status::Created, 1),
            (Status::Running, 2),
            (Status::Paused, 3),
            (Status::Running, 4),
            (Status::Stopped, 5),
        ] {
            record.status(status, at);
        }
        assert_eq!(record.created_at_us, 1);
        assert_eq!(
            (record.started_at_us, record.ended_at_us),
            (Some(2), Some(5))
        );
    }

    #[test]
    fn speed_is_of_the_last_seconds_and_begins_anew_after_a_pause() {
        let mut record = Record::default();
        let ms = Duration::from_millis;
        for n in 0..1_000 {
            record.completed(ms(10 * n), n);
        }
        // Ticks of 20 ms, a hundred a second.
        assert_eq!(record.achieved_speed_milli(ms(9_990), 20), 2_000);
        record.status(Status::Paused, 1);
        assert_eq!(record.achieved_speed_milli(ms(9_990), 20), 0);
    }
}
