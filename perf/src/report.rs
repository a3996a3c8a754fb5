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

/// All contestants at one fleet size; the others are compared with the first.
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
    /// This contestant's median time until readable over the first one's, round by round.
    ratio_readable: Range,
    /// The same until read.
    ratio_read: Range,
    /// The same of CPU time: what is left of a ratio where others keep the processors busy.
    ratio_cpu: Range,
    payload_bytes: u64,
    loopback_bytes: u64,
    cpu_us_per_tick: Range,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
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
        let first = &contestants[0].1;
        let contestants = contestants
            .iter()
            .map(|(name, rounds)| Standing::new(name, rounds, first))
            .collect();
        Contest {
            entities,
            contestants,
        }
    }
}

impl Standing {
    fn new(name: &'static str, rounds: &[Round], first: &[Round]) -> Standing {
        let ratio = |of: fn(&Round) -> f64| {
            let pairs = rounds.iter().zip(first);
            Range::of(pairs.map(|(round, first)| of(round) / of(first)))
        };
        Standing {
            name,
            readable_us: Percentiles::of(&merged(rounds, |r| &r.readable_ns)),
            read_us: Percentiles::of(&merged(rounds, |r| &r.read_ns)),
            ratio_readable: ratio(|r| r.readable_ns.value_at_quantile(0.5) as f64),
            ratio_read: ratio(|r| r.read_ns.value_at_quantile(0.5) as f64),
            ratio_cpu: ratio(|r| r.cpu.as_secs_f64()),
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
        let at = |quantile| us(ns.value_at_quantile(quantile));
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
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
        f.write_str(LEGEND)?;
        self.contests
            .iter()
            .try_for_each(|contest| write!(f, "{contest}"))
    }
}

const LEGEND: &str = "\
Times in us from sending the dispatch. readable: every field can be loaded; read: each was, once. x: the
median of it over the first contestant's, round by round, as median (least to greatest round). CPU: both
sides, a tick, reading included. payload: the answer's bytes; wire: what loopback carried.
";

impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entities = format!("{} entities", self.entities);
        write!(
            f,
            "\n{entities:<24}  readable p50     p90     p99   p99.9     max"
        )?;
        write!(f, "   x                        read p50   x     ")?;
        writeln!(f, "   CPU   x        payload      wire")?;
        self.contestants
            .iter()
            .try_for_each(|standing| write!(f, "{standing}"))
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (readable, ratio) = (&self.readable_us, &self.ratio_readable);
        write!(f, "{:<24}  {:>12.0} ", self.name, readable.p50)?;
        for us in [readable.p90, readable.p99, readable.p999, readable.max] {
            write!(f, "{us:>7.0} ")?;
        }
        let (median, min, max) = (ratio.median, ratio.min, ratio.max);
        write!(f, "  {median:>5.2} ({min:>5.2} to {max:>5.2})    ")?;
        write!(
            f,
            "{:>8.0}  {:>5.2} ",
            self.read_us.p50, self.ratio_read.median
        )?;
        let (cpu, cpu_ratio) = (&self.cpu_us_per_tick, &self.ratio_cpu);
        write!(f, "  {:>6.0}  {:>5.2} ", cpu.median, cpu_ratio.median)?;
        writeln!(f, "  {:>9} {:>9}", self.payload_bytes, self.loopback_bytes)
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
