//! What clients count and how long things took them. Each thread has its own, so that counting takes
//! no lock; they are added up in the end.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

/// Longest time told apart, in us; longer ones count as this.
const MAX_US: u64 = 60_000_000;

/// A histogram of us with three digits.
#[derive(Clone, Debug)]
pub(crate) struct Durations(pub(crate) Histogram<u64>);

impl Default for Durations {
    fn default() -> Durations {
        Durations(Histogram::new_with_max(MAX_US, 3).expect("three digits"))
    }
}

impl Durations {
    /// Adds one.
    pub(crate) fn record(&mut self, time: Duration) {
        self.record_us(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds one, in us.
    pub(crate) fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// Adds `n` of one length, in us.
    pub(crate) fn record_n_us(&mut self, us: u64, n: u64) {
        // None of a length would still be the longest.
        if n > 0 {
            self.0.saturating_record_n(us, n);
        }
    }

    /// Adds all of another.
    pub(crate) fn add(&mut self, other: &Durations) {
        self.0.add(&other.0).expect("the same digits and reach");
    }
}

/// A duration between two clocks of the machine's wall time, which may run apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct WallDurations {
    /// Those that are at least 0, and the others as 0.
    pub(crate) durations: Durations,
    /// Those below 0: the sender's clock is ahead.
    pub(crate) negative: u64,
}

impl WallDurations {
    /// Adds the time from one UNIX time in us to another.
    pub(crate) fn record(&mut self, from_us: u64, to_us: u64) {
        self.negative += u64::from(to_us < from_us);
        self.durations.record_us(to_us.saturating_sub(from_us));
    }

    fn add(&mut self, other: &WallDurations) {
        self.durations.add(&other.durations);
        self.negative += other.negative;
    }
}

/// What arrived at the clients of one subprotocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// From a tick's start to its message being read.
    pub(crate) end_to_end: WallDurations,
    /// How old what a client saw was, at each moment at which it was due a tick, connected or not.
    pub(crate) staleness: Durations,
    /// From its sending to its being read.
    pub(crate) sent_to_received: WallDurations,
    /// By how much two consecutive messages of a client came further apart, or closer together, than
    /// their ticks started (RFC 3550's D).
    pub(crate) jitter: Durations,
    /// Messages of all types.
    pub(crate) messages: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
    /// Messages with a tick.
    pub(crate) ticks: u64,
    /// Events.
    pub(crate) events: u64,
    /// Messages that told of events that cannot be had any more.
    pub(crate) events_missing: u64,
    /// Messages that told of skipped frames.
    pub(crate) lagged: u64,
    /// Frames that they say were skipped.
    pub(crate) skipped: u64,
    /// Messages that were decoded to the last machine.
    pub(crate) decoded: u64,
}

impl Received {
    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: &Received) {
        self.end_to_end.add(&other.end_to_end);
        self.staleness.add(&other.staleness);
        self.sent_to_received.add(&other.sent_to_received);
        self.jitter.add(&other.jitter);
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.ticks += other.ticks;
        self.events += other.events;
        self.events_missing += other.events_missing;
        self.lagged += other.lagged;
        self.skipped += other.skipped;
        self.decoded += other.decoded;
    }
}

/// What happened to connections of the live stream, in the whole run: most open before it counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    /// From the time a connection was first due to be opened, whatever attempts failed, until the upgrade was answered.
    pub(crate) connect: Durations,
    /// From the same time until the hello was read.
    pub(crate) hello: Durations,
    /// Connections that were opened again after they broke.
    pub(crate) reconnects: u64,
    /// Attempts that failed.
    pub(crate) failed: u64,
    /// Why attempts failed and connections ended that should not have.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Clients that read nothing, opened.
    pub(crate) stalled_opened: u64,
    /// Those of them that the gateway had closed when the run ended.
    pub(crate) stalled_closed: u64,
}

/// Different reasons that are told apart; the others count as one.
const MAX_REASONS: usize = 50;

impl Connections {
    /// Counts why one failed or ended.
    pub(crate) fn count_reason(&mut self, reason: String) {
        let full = self.reasons.len() >= MAX_REASONS && !self.reasons.contains_key(&reason);
        let reason = if full { "other".to_owned() } else { reason };
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: &Connections) {
        self.connect.add(&other.connect);
        self.hello.add(&other.hello);
        self.reconnects += other.reconnects;
        self.failed += other.failed;
        self.stalled_opened += other.stalled_opened;
        self.stalled_closed += other.stalled_closed;
        for (reason, n) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += n;
        }
    }
}

/// Everything that stream clients count.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamTally {
    /// By clients of the JSON subprotocol.
    pub(crate) json: Received,
    /// By clients of the binary one.
    pub(crate) binary: Received,
    /// Connections of both.
    pub(crate) connections: Connections,
}

impl StreamTally {
    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: &StreamTally) {
        self.json.add(&other.json);
        self.binary.add(&other.binary);
        self.connections.add(&other.connections);
    }
}

/// UNIX time in us.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_ahead_is_counted_and_not_a_long_time() {
        let mut wall = WallDurations::default();
        wall.record(1_000, 3_000);
        wall.record(3_000, 1_000);
        assert_eq!((wall.negative, wall.durations.0.len()), (1, 2));
        assert_eq!(wall.durations.0.max(), 2_000);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut connections = Connections::default();
        for n in 0..2 * MAX_REASONS {
            connections.count_reason(format!("reason {n}"));
        }
        assert_eq!(connections.reasons.len(), MAX_REASONS + 1);
        assert_eq!(connections.reasons["other"], MAX_REASONS as u64);
    }
}
