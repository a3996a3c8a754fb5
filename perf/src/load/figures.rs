//! What a run came to, by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::load::measure::{Measure, STATISTICS, Source, Statistic};
use crate::load::tally::Durations;

/// Histograms and numbers under the names that [`Measure`] knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// By name, without statistic.
    pub(crate) durations: BTreeMap<String, Durations>,
    numbers: BTreeMap<String, f64>,
    /// Histograms that are known too coarsely to be compared with others.
    coarse: BTreeSet<String>,
}

impl Figures {
    /// Adds to a histogram, that of nothing if it was not there.
    pub(crate) fn keep(&mut self, name: impl Into<String>, durations: &Durations) {
        let all = self.durations.entry(name.into()).or_default();
        all.add(durations);
    }

    /// Says that a histogram is known too coarsely to be compared with others.
    pub(crate) fn keep_coarse(&mut self, name: String) {
        self.coarse.insert(name);
    }

    /// Whether a measure can be compared with the same of another run.
    pub(crate) fn is_comparable(&self, measure: &Measure) -> bool {
        match &measure.source {
            Source::Durations(of, _) => !self.coarse.contains(of),
            Source::Number => true,
        }
    }

    /// Says a number.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.numbers.insert(name.into(), value);
    }

    /// The value of a measure; `None` where nothing was measured of it.
    pub(crate) fn value(&self, measure: &Measure) -> Option<f64> {
        match &measure.source {
            Source::Number => self.numbers.get(measure.name()).copied(),
            Source::Durations(of, statistic) => {
                let us = &self.durations.get(of)?.0;
                let value = match statistic {
                    Statistic::Count => return Some(us.len() as f64),
                    _ if us.is_empty() => return None,
                    Statistic::Quantile(q) => us.value_at_quantile(q / 100.0) as f64,
                    Statistic::Max => us.max() as f64,
                    Statistic::Mean => us.mean(),
                };
                Some(value)
            }
        }
    }

    /// Every measure that has a value, the numbers last.
    pub(crate) fn all(&self) -> Vec<(Measure, f64)> {
        let of_histograms = (self.durations.keys())
            .flat_map(|of| STATISTICS.map(|statistic| Measure::of(of, statistic)));
        let numbers = (self.numbers.keys()).map(|name| {
            (name.parse()).unwrap_or_else(|what| panic!("a number under a name: {what}"))
        });
        of_histograms
            .chain(numbers)
            .filter_map(|measure| self.value(&measure).map(|value| (measure, value)))
            .collect()
    }
}
