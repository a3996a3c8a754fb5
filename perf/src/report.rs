//! What a run of `perf exchange` says, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::exchange::{Arrival, histogram};

/// One contestant's turn in one round.
pub(crate) struct Round {
    readable_ns: Histogram<u64>,
    read_ns: Histogram<u64>,
    payload_bytes: u64,
    /// CPU time of both sides, a tick.
    pub(crate) cpu: Duration,
    /// Bytes over the loopback interface, a tick.
    pub(crate) loopback_bytes: u64,
}

impl Round {
    /// Nothing measured yet.
    pub(crate) fn new() -> Round {
        Round {
            readable_ns: histogram(),
            read_ns: histogram(),
            payload_bytes: 0,
            cpu: Duration::ZERO,
            loopback_bytes: 0,
        }
    }

    /// Adds one tick.
    pub(crate) fn record(&mut self, arrival: &Arrival) {
        let ns = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.readable_ns.saturating_record(ns(arrival.readable));
        self.read_ns.saturating_record(ns(arrival.read));
        self.payload_bytes = arrival.payload_bytes;
    }
}

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    /// Lateness of a 1 ms timer before anything else ran.
    idle_timer_jitter_us: Percentiles,
    /// Processors that both sides share.
    processors: usize,
    contests: Vec<Contest>,
}

/// All contestants at one fleet size; the first is ours.
#[derive(Serialize)]
pub(crate) struct Contest {
    entities: u32,
    contestants: Vec<Standing>,
}

#[derive(Serialize)]
struct Standing {
    name: &'static str,
    readable_us: Percentiles,
    read_us: Percentiles,
    /// This contestant's median time until readable over ours, round by round.
    ratio_readable: Range,
    /// The same until read.
    ratio_read: Range,
    payload_bytes: u64,
    loopback_bytes: u64,
    cpu_us_per_tick: Range,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct Range {
    min: f64,
    median: f64,
    max: f64,
}

impl Report {
    /// Puts together what was measured.
    pub(crate) fn new(jitter_ns: &Histogram<u64>, contests: Vec<Contest>) -> Report {
        Report {
            idle_timer_jitter_us: Percentiles::of(jitter_ns),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            contests,
        }
    }
}

impl Contest {
    /// Compares every contestant's rounds with the first one's.
    pub(crate) fn new(
        entities: u32,
        contestants: impl Iterator<Item = (&'static str, Vec<Round>)>,
    ) -> Contest {
        let contestants: Vec<_> = contestants.collect();
        let ours = &contestants[0].1;
        let contestants = contestants
            .iter()
            .map(|(name, rounds)| Standing::new(name, rounds, ours))
            .collect();
        Contest {
            entities,
            contestants,
        }
    }
}

impl Standing {
    fn new(name: &'static str, rounds: &[Round], ours: &[Round]) -> Standing {
        let ratio = |of: fn(&Round) -> &Histogram<u64>| {
            let median = |round| of(round).value_at_quantile(0.5) as f64;
            Range::of(
                rounds
                    .iter()
                    .zip(ours)
                    .map(|(r, our)| median(r) / median(our)),
            )
        };
        Standing {
            name,
            readable_us: Percentiles::of(&merged(rounds, |r| &r.readable_ns)),
            read_us: Percentiles::of(&merged(rounds, |r| &r.read_ns)),
            ratio_readable: ratio(|r| &r.readable_ns),
            ratio_read: ratio(|r| &r.read_ns),
            payload_bytes: rounds[0].payload_bytes,
            loopback_bytes: Range::of(rounds.iter().map(|r| r.loopback_bytes as f64)).median as u64,
            cpu_us_per_tick: Range::of(rounds.iter().map(|r| r.cpu.as_secs_f64() * 1e6)),
        }
    }
}

fn merged(rounds: &[Round], of: fn(&Round) -> &Histogram<u64>) -> Histogram<u64> {
    let mut all = histogram();
    for round in rounds {
        all.add(of(round)).expect("same digits");
    }
    all
}

impl Percentiles {
    fn of(ns: &Histogram<u64>) -> Percentiles {
        let us = |ns: u64| ns as f64 / 1e3;
        Percentiles {
            p50: us(ns.value_at_quantile(0.5)),
            p99: us(ns.value_at_quantile(0.99)),
            max: us(ns.max()),
        }
    }
}

impl Range {
    /// # Panics
    /// If there is no value.
    fn of(values: impl Iterator<Item = f64>) -> Range {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len() - 1;
        let median = f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]);
        Range {
            min: sorted[0],
            median,
            max: sorted[last],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jitter = &self.idle_timer_jitter_us;
        writeln!(
            f,
            "Idle timer jitter: p50 {:.0} us, p99 {:.0} us, max {:.0} us. {} processors, both sides on them.",
            jitter.p50, jitter.p99, jitter.max, self.processors
        )?;
        writeln!(
            f,
            "Times from sending the dispatch; readable: every field can be loaded; read: each was, once."
        )?;
        self.contests
            .iter()
            .try_for_each(|contest| write!(f, "{contest}"))
    }
}

impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:>8} entities        | readable us: p50     p99     max | ratio to ours (range) | read p50 | ratio | payload B | loopback B | CPU us",
            self.entities
        )?;
        self.contestants
            .iter()
            .try_for_each(|standing| write!(f, "{standing}"))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (readable, ratio) = (&self.readable_us, &self.ratio_readable);
        write!(f, "{:<24} | {:>16.0} ", self.name, readable.p50)?;
        write!(f, "{:>7.0} {:>7.0} | ", readable.p99, readable.max)?;
        write!(
            f,
            "{:>5.2} ({:>5.2} to {:>5.2}) | ",
            ratio.median, ratio.min, ratio.max
        )?;
        write!(
            f,
            "{:>8.0} | {:>5.2} | ",
            self.read_us.p50, self.ratio_read.median
        )?;
        write!(
            f,
            "{:>9} | {:>10} | ",
            self.payload_bytes, self.loopback_bytes
        )?;
        writeln!(f, "{:>6.0}", self.cpu_us_per_tick.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_middle_of_an_even_number() {
        let range = Range::of([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!((range.min, range.median, range.max), (1.0, 2.5, 4.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let round = |us: u64| {
            let mut round = Round::new();
            let time = Duration::from_micros(us);
            round.record(&Arrival {
                readable: time,
                read: time,
                payload_bytes: 1,
                checksum: 0,
            });
            round
        };
        let ours = vec![round(100), round(200)];
        let rival = vec![round(300), round(400)];
        let contest = Contest::new(10, [("ours", ours), ("rival", rival)].into_iter());
        let ratio = &contest.contestants[1].ratio_readable;
        assert!((ratio.min - 2.0).abs() < 0.01 && (ratio.max - 3.0).abs() < 0.01);
        assert!((contest.contestants[0].ratio_readable.max - 1.0).abs() < 1e-9);
    }
}
