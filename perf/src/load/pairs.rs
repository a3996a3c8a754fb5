//! Runs in pairs: without the clients that stall, and with them, in turns, so that a drift of the machine's
//! speed touches both alike.

use std::fmt;

use serde::Serialize;

use crate::load::figures::Figures;
use crate::load::report::{Frame, Verdict};
use crate::load::run_report::{Percentiles, RunReport};

/// Of the ticks that the clients of one half read, the other half's must have read so many: a stream that ended
/// early has no long latencies.
const LEAST_SHARE: f64 = 0.5;

/// A run without and one with.
#[derive(Serialize)]
pub(crate) struct Pair {
    /// Whether the one without came first.
    pub(crate) without_first: bool,
    /// p99 end to end with the stalled clients over the one without; absent where the clients of a half read too
    /// little for it.
    pub(super) ratio_p99: Option<f64>,
    pub(super) without: RunReport,
    pub(super) with: RunReport,
}

/// All pairs.
#[derive(Serialize)]
pub(crate) struct PairsReport {
    /// What every report says.
    #[serde(flatten)]
    pub(crate) frame: Frame,
    /// Clients that stall.
    pub(crate) stalled_clients: u32,
    /// The middle of the pairs' ratios; absent where no pair is complete, or one has none.
    pub(crate) median_ratio_p99: Option<f64>,
    /// In the order they ran.
    pub(crate) pairs: Vec<Pair>,
    /// How they are judged.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// Whether pair number `n`, from 0 on, begins without: the order turns with each.
pub(crate) fn without_first(n: u32) -> bool {
    n.is_multiple_of(2)
}

impl Pair {
    /// Two runs, compared.
    pub(crate) fn new(without_first: bool, without: RunReport, with: RunReport) -> Pair {
        Pair {
            without_first,
            ratio_p99: ratio_p99(without.end_to_end(), with.end_to_end()),
            without,
            with,
        }
    }
}

fn ratio_p99(without: &Percentiles, with: &Percentiles) -> Option<f64> {
    let (fewer, more) = (without.count.min(with.count), without.count.max(with.count));
    let is_enough = fewer > 0 && fewer as f64 >= LEAST_SHARE * more as f64;
    is_enough.then(|| with.p99_us as f64 / (without.p99_us as f64).max(1.0))
}

/// The middle of the pairs' ratios, if each has one: those that have none are no better for it.
pub(crate) fn median_ratio(pairs: &[Pair]) -> Option<f64> {
    let ratios: Option<Vec<f64>> = pairs.iter().map(|pair| pair.ratio_p99).collect();
    median(ratios?)
}

/// Why a pair has no ratio, a sentence each.
pub(crate) fn without_ratio(pairs: &[Pair]) -> Vec<String> {
    let pairs = pairs.iter().enumerate();
    let odd = pairs.filter(|(_, pair)| pair.ratio_p99.is_none());
    odd.map(|(n, pair)| {
        format!(
            "pair {} compares nothing: clients read {} ticks without those that read nothing, and {} with them",
            n + 1,
            pair.without.end_to_end().count,
            pair.with.end_to_end().count
        )
    })
    .collect()
}

/// What all pairs come to, by name.
pub(crate) fn figures(pairs: &[Pair], violations: u64) -> Figures {
    let mut figures = Figures::default();
    if let Some(ratio) = median_ratio(pairs) {
        figures.set("pairs.ratio_p99", ratio);
    }
    let failed = pairs.iter().flat_map(|pair| [&pair.without, &pair.with]);
    if let Some(most) = failed.map(RunReport::failed_percent).max_by(f64::total_cmp) {
        figures.set("rest.failed_share", most);
    }
    figures.set("violations", violations as f64);
    figures
}

/// A ratio for people.
pub(crate) fn shown(ratio: Option<f64>) -> String {
    ratio.map_or("none".to_owned(), |ratio| format!("{ratio:.3}"))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
}

impl fmt::Display for PairsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "p99 end to end, us, without and with {} clients that read nothing; timer jitter p99 beside it",
            self.stalled_clients
        )?;
        writeln!(
            f,
            "{:<6} {:>10} {:>10} {:>10} {:>10} {:>7}  late ticks",
            "pair", "without", "jitter", "with", "jitter", "ratio"
        )?;
        for (n, pair) in self.pairs.iter().enumerate() {
            let (without, with) = (&pair.without, &pair.with);
            writeln!(
                f,
                "{:<6} {:>10} {:>10} {:>10} {:>10} {:>7}  {} and {}",
                n + 1,
                without.end_to_end().p99_us,
                without.timer_jitter().p99_us,
                with.end_to_end().p99_us,
                with.timer_jitter().p99_us,
                shown(pair.ratio_p99),
                without.late_ticks(),
                with.late_ticks(),
            )?;
        }
        match self.median_ratio_p99 {
            Some(ratio) => writeln!(f, "median ratio {ratio:.3}")?,
            None => writeln!(
                f,
                "no median ratio: no pair is complete, or one compares nothing"
            )?,
        }
        if let Some(pair) = self.pairs.last() {
            writeln!(f, "\nlast run without:\n{}", pair.without)?;
            writeln!(f, "last run with:\n{}", pair.with)?;
        }
        write!(f, "{}\n{}", self.frame, self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tally::Durations;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(vec![1.3, 0.9, 1.1]), Some(1.1));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_half_that_read_nothing_or_little_is_compared_with_nothing() {
        let read = |count, us| {
            let mut durations = Durations::default();
            durations.record_n_us(us, count);
            Percentiles::of(&durations.0)
        };
        let ratio = |without, with| ratio_p99(&without, &with);
        assert_eq!(ratio(read(100, 100), read(100, 150)), Some(1.5));
        assert_eq!(ratio(read(100, 100), read(50, 100)), Some(1.0));
        for (without, with) in [(100, 0), (0, 100), (0, 0), (100, 49), (1, 100)] {
            let ratio = ratio(read(without, 100), read(with, 100));
            assert_eq!(ratio, None, "{without} and {with}");
        }
    }

    #[test]
    fn the_order_turns_with_each_pair() {
        let order: Vec<_> = (0..4).map(without_first).collect();
        assert_eq!(order, [true, false, true, false]);
    }
}
