//! Runs in pairs: without the clients that stall, and with them, in turns, so that a drift of the machine's
//! speed touches both alike.

use std::fmt;

use serde::Serialize;

use crate::load::figures::Figures;
use crate::load::report::{Frame, Verdict};
use crate::load::run_report::RunReport;

/// A run without and one with.
#[derive(Serialize)]
pub(crate) struct Pair {
    /// Whether the one without came first.
    pub(crate) without_first: bool,
    /// p99 end to end with the stalled clients over the one without.
    pub(super) ratio_p99: f64,
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
    /// The middle of the pairs' ratios; absent where no pair is complete.
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
        let p99_us = |run: &RunReport| run.end_to_end().p99_us as f64;
        Pair {
            without_first,
            ratio_p99: p99_us(&with) / p99_us(&without).max(1.0),
            without,
            with,
        }
    }
}

/// The middle of the pairs' ratios.
pub(crate) fn median_ratio(pairs: &[Pair]) -> Option<f64> {
    median(pairs.iter().map(|pair| pair.ratio_p99).collect())
}

/// What all pairs come to, by name.
pub(crate) fn figures(pairs: &[Pair], violations: u64) -> Figures {
    let mut figures = Figures::default();
    if let Some(ratio) = median_ratio(pairs) {
        figures.set("pairs.ratio_p99", ratio);
    }
    figures.set("violations", violations as f64);
    figures
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
                "{:<6} {:>10} {:>10} {:>10} {:>10} {:>7.3}  {} and {}",
                n + 1,
                without.end_to_end().p99_us,
                without.timer_jitter().p99_us,
                with.end_to_end().p99_us,
                with.timer_jitter().p99_us,
                pair.ratio_p99,
                without.late_ticks(),
                with.late_ticks(),
            )?;
        }
        match self.median_ratio_p99 {
            Some(ratio) => writeln!(f, "median ratio {ratio:.3}")?,
            None => writeln!(f, "no pair is complete")?,
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

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(vec![1.3, 0.9, 1.1]), Some(1.1));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn the_order_turns_with_each_pair() {
        let order: Vec<_> = (0..4).map(without_first).collect();
        assert_eq!(order, [true, false, true, false]);
    }
}
