//! What a run comes to, by name: what `--fail-if` asks for, what baselines and tables hold.

use crate::load::catalogue::{HISTOGRAMS, NUMBERS, STAGES, WAYS, unknown};
use crate::load::mix::Route;
use crate::load::unit::Unit;

/// The measures of an invocation with `--pairs`.
pub(crate) const PAIRS_MEASURES: [&str; 3] = ["pairs.ratio_p99", "rest.failed_share", "violations"];
/// What of every histogram stands in tables and baselines.
pub(crate) const STATISTICS: [Statistic; 7] = [
    Statistic::Quantile(50.0),
    Statistic::Quantile(90.0),
    Statistic::Quantile(99.0),
    Statistic::Quantile(99.9),
    Statistic::Max,
    Statistic::Mean,
    Statistic::Count,
];

/// One measure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    name: String,
    /// Where its value is found.
    pub(crate) source: Source,
    /// What it is counted in.
    pub(crate) unit: Unit,
    /// Which way is better.
    pub(crate) better: Better,
}

/// Where the value of a measure is found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// In a histogram of that name.
    Durations(String, Statistic),
    /// By its own name.
    Number,
}

/// What is asked of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Statistic {
    /// So many hundredths are at most this.
    Quantile(f64),
    /// The longest.
    Max,
    /// The mean.
    Mean,
    /// How many there are.
    Count,
}

/// Which way a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// Less is.
    Lower,
    /// More is.
    Higher,
    /// It says how much was done, and neither is.
    Neither,
}

impl Measure {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A statistic of a histogram.
    pub(crate) fn of(histogram: &str, statistic: Statistic) -> Measure {
        let (unit, better) = match statistic {
            Statistic::Count => (Unit::Count, Better::Neither),
            _ => (Unit::Time, Better::Lower),
        };
        Measure {
            name: format!("{histogram}.{}", statistic.name()),
            source: Source::Durations(histogram.to_owned(), statistic),
            unit,
            better,
        }
    }

    /// The process that it is of, if it is of one.
    pub(crate) fn process(&self) -> Option<&str> {
        let families = ["cpu.", "rss."];
        families.iter().find_map(|f| self.name.strip_prefix(f))
    }

    fn number(name: &str) -> Option<Measure> {
        let named = NUMBERS.iter().find(|(known, ..)| is_of(name, known))?;
        Some(Measure {
            name: name.to_owned(),
            source: Source::Number,
            unit: named.1,
            better: named.2,
        })
    }
}

impl std::str::FromStr for Measure {
    type Err = String;

    fn from_str(name: &str) -> Result<Measure, String> {
        if let Some(measure) = Measure::number(name) {
            return Ok(measure);
        }
        let is_histogram = |name: &str| (HISTOGRAMS.iter()).any(|(known, _)| is_of(name, known));
        let split = split_statistic(name);
        match split {
            Some((of, statistic)) if is_histogram(of) => Statistic::parse(statistic)
                .map(|statistic| Measure::of(of, statistic))
                .ok_or_else(|| {
                    format!("{statistic:?} is no statistic of {of}; there are p0 to p100 as p50 or p99.9, max, mean, count")
                }),
            _ if is_histogram(name) => Err(format!(
                "{name} is a histogram; say which statistic of it, as {name}.p99, .max, .mean or .count"
            )),
            _ => Err(unknown(name)),
        }
    }
}

impl Statistic {
    /// As measures spell it.
    pub(crate) fn name(self) -> String {
        match self {
            Statistic::Quantile(q) => format!("p{q}"),
            Statistic::Max => "max".to_owned(),
            Statistic::Mean => "mean".to_owned(),
            Statistic::Count => "count".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Statistic> {
        match text {
            "max" => Some(Statistic::Max),
            "mean" => Some(Statistic::Mean),
            "count" => Some(Statistic::Count),
            _ => {
                let number = text.strip_prefix('p')?;
                let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let q: f64 = number.parse().ok().filter(|_| plain)?;
                (q > 0.0 && q <= 100.0).then_some(Statistic::Quantile(q))
            }
        }
    }
}

/// A name that ends in a statistic, apart: a percentile may have a point of its own.
fn split_statistic(name: &str) -> Option<(&str, &str)> {
    let percentile = name.rfind(".p").filter(|at| {
        let rest = &name[at + 2..];
        rest.starts_with(|c: char| c.is_ascii_digit())
    });
    let at = percentile.or_else(|| name.rfind('.'))?;
    Some((&name[..at], &name[at + 1..]))
}

/// Whether a name is the one that stands in a table, or one of the family that does.
fn is_of(name: &str, known: &str) -> bool {
    let Some((family, of)) = known.split_once('<') else {
        return name == known;
    };
    let Some(member) = name.strip_prefix(family) else {
        return false;
    };
    match of {
        "stage>" => STAGES.contains(&member),
        "route>" => Route::ALL.iter().any(|route| route.name() == member),
        "way>" => WAYS.contains(&member),
        // Which processes there are is known with the other flags only.
        _ => !member.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_with_their_statistic() {
        for (name, of, statistic) in [
            ("tick.p99", "tick", Statistic::Quantile(99.0)),
            ("tick.p99.9", "tick", Statistic::Quantile(99.9)),
            (
                "json.end_to_end.p50",
                "json.end_to_end",
                Statistic::Quantile(50.0),
            ),
            ("rest.max", "rest", Statistic::Max),
            ("rest.commands.mean", "rest.commands", Statistic::Mean),
            ("stage.compute.count", "stage.compute", Statistic::Count),
        ] {
            let measure: Measure = name.parse().unwrap();
            assert_eq!(
                measure.source,
                Source::Durations(of.to_owned(), statistic),
                "{name}"
            );
            assert_eq!(measure.name(), name);
        }
        for (name, unit) in [
            ("late_ticks", Unit::Count),
            ("cpu.gateway", Unit::Percent),
            ("rss.perf", Unit::Bytes),
            ("traffic.worker_sent", Unit::ByteRate),
            ("rest.answers_per_s", Unit::Rate),
        ] {
            let measure: Measure = name.parse().unwrap();
            assert_eq!(
                (measure.source, measure.unit),
                (Source::Number, unit),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_measure_is_refused_with_those_there_are() {
        for (name, said) in [
            ("tock.p99", "there are"),
            ("tick", "tick.p99"),
            ("tick.p0", "p99.9"),
            ("tick.p101", "p99.9"),
            ("tick.median", "p99.9"),
            ("stage.lunch.p99", "stage.<stage>"),
            ("rest.lunch.p99", "rest.<route>"),
            ("cpu.", "cpu.<process>"),
            ("traffic.lunch", "traffic.<way>"),
            ("", "late_ticks"),
        ] {
            let error = name.parse::<Measure>().unwrap_err();
            assert!(error.contains(said), "{name}: {error}");
        }
    }

    proptest! {
        /// Every statistic of every histogram is found by the name that it is told with.
        #[test]
        fn a_measure_is_found_by_its_name(at in 0..HISTOGRAMS.len(), tenths in 1..=1000_u32) {
            let of = HISTOGRAMS[at].0.replace("<stage>", "compute").replace("<route>", "world");
            for statistic in [Statistic::Quantile(f64::from(tenths) / 10.0), Statistic::Mean] {
                let measure = Measure::of(&of, statistic);
                prop_assert_eq!(measure.name().parse::<Measure>(), Ok(measure));
            }
        }

        #[test]
        fn any_text_is_refused_or_read(text in "[a-z_.<>0-9p]{0,20}") {
            if let Ok(measure) = text.parse::<Measure>() {
                prop_assert_eq!(measure.name(), text);
            }
        }
    }
}
