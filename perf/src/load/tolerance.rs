//! By how much a measure may be worse than a baseline's.

use crate::load::measure::Measure;
use crate::load::unit::Unit;

/// Where nothing is said.
const DEFAULT: Allowance = Allowance::Share(0.1);

/// An allowance, of one measure or of all others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tolerance {
    /// Which; `None` for all that have none of their own.
    pub(crate) measure: Option<Measure>,
    allowance: Allowance,
}

/// By how much something may be worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Allowance {
    /// By so much of what it was, and by noise in any case.
    Share(f64),
    /// By so much, in the first unit of the measure: of what was nothing, every share is nothing.
    Amount(f64),
}

impl Allowance {
    /// What may be added to a value, where so much is noise.
    pub(crate) fn of(self, before: f64, noise: f64) -> f64 {
        match self {
            Allowance::Share(share) => (share * before).max(noise),
            Allowance::Amount(amount) => amount,
        }
    }
}

impl Tolerance {
    /// Of a measure, among all that were given: the last one that is its own, else the last of all others.
    pub(crate) fn of(all: &[Tolerance], measure: &Measure) -> Allowance {
        let named = |t: &&Tolerance| t.measure.as_ref() == Some(measure);
        let general = |t: &&Tolerance| t.measure.is_none();
        let found = (all.iter().rfind(named)).or_else(|| all.iter().rfind(general));
        found.map_or(DEFAULT, |tolerance| tolerance.allowance)
    }
}

impl std::str::FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Tolerance, String> {
        let (measure, value) = match text.split_once('=') {
            Some((name, value)) => (Some(name.trim().parse::<Measure>()?), value),
            None => (None, text),
        };
        let amount = measure
            .as_ref()
            .filter(|_| !value.trim_end().ends_with('%'));
        let allowance = match amount {
            None => Allowance::Share(Unit::Percent.parse(value)? / 100.0),
            Some(measure) => {
                let amount = measure.unit.parse(value);
                let amount = amount.map_err(|what| format!("{}: {what}, or %", measure.name()))?;
                Allowance::Amount(amount)
            }
        };
        Ok(Tolerance { measure, allowance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_has_its_own_or_the_general_one_or_the_default() {
        let of = |all: &[&str], name: &str| {
            let all: Vec<Tolerance> = all.iter().map(|text| text.parse().unwrap()).collect();
            Tolerance::of(&all, &name.parse().unwrap()).of(1_000.0, 60.0)
        };
        assert_eq!(of(&[], "tick.p99"), 100.0);
        assert_eq!(of(&["20%"], "tick.p99"), 200.0);
        assert_eq!(of(&["tick.p99=50%", "20%"], "tick.p99"), 500.0);
        assert_eq!(of(&["tick.p99=50%", "20%"], "tick.p50"), 200.0);
        assert_eq!(of(&["20%", "5%"], "tick.p50"), 60.0, "noise");
        assert_eq!(of(&["tick.p99=3ms"], "tick.p99"), 3_000.0);
        assert_eq!(of(&["late_ticks=25"], "late_ticks"), 25.0);
    }

    #[test]
    fn what_is_no_tolerance_is_refused() {
        for (text, said) in [
            ("0.1", "%"),
            ("10ms", "%"),
            ("-1%", "below 0"),
            ("tock=10%", "no measure"),
            ("tick.p99=10", "us, µs, ms, s, or %"),
            ("", "no number"),
        ] {
            let error = text.parse::<Tolerance>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
