//! Conditions under which a run has failed: `MEASURE > VALUE UNIT`, as in `tick.p99>12ms`.

use std::fmt;

use serde::Serialize;

use crate::load::figures::Figures;
use crate::load::measure::Measure;
use crate::load::unit::Unit;

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    /// As it was written.
    pub(crate) text: String,
    /// What is looked at.
    pub(crate) measure: Measure,
    comparison: Comparison,
    /// In the first unit of the measure.
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// All of them; the longer ones first, for the others are how they begin.
const COMPARISONS: [(&str, Comparison); 4] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

/// What became of a condition.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judged {
    /// As it was written.
    pub(crate) threshold: String,
    /// Whether the run has failed by it.
    pub(crate) failed: bool,
    /// What was measured, in the first unit of the measure; absent where nothing was, which fails too.
    pub(crate) measured: Option<f64>,
    /// What it was compared with.
    pub(crate) bound: f64,
    /// The unit of both.
    pub(crate) unit: &'static str,
    /// The same for people: what was measured, and by how much it is beyond.
    pub(crate) says: String,
}

impl Threshold {
    /// Looks whether it holds.
    pub(crate) fn judge(&self, figures: &Figures) -> Judged {
        let measured = figures.value(&self.measure);
        let failed = measured.is_none_or(|value| self.holds(value));
        Judged {
            threshold: self.text.clone(),
            failed,
            measured,
            bound: self.bound,
            unit: self.measure.unit.base(),
            says: match measured {
                None => "nothing was measured of it".to_owned(),
                Some(value) => self.says(value),
            },
        }
    }

    fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Above => value > self.bound,
            Comparison::AtLeast => value >= self.bound,
            Comparison::Below => value < self.bound,
            Comparison::AtMost => value <= self.bound,
        }
    }

    fn says(&self, value: f64) -> String {
        let unit = self.measure.unit;
        let shown = unit.show(value);
        let apart = (value - self.bound).abs();
        let share = match self.bound {
            0.0 => String::new(),
            // Hundredths of hundredths are read as the former.
            _ if unit == Unit::Percent => String::new(),
            bound => format!(", {:.1} %", 100.0 * apart / bound),
        };
        let side = if value < self.bound { "below" } else { "above" };
        match apart {
            0.0 => format!("{shown}, as the bound"),
            _ => format!("{shown}, {}{share} {side} the bound", unit.show(apart)),
        }
    }
}

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        let text = text.trim();
        let (at, (sign, comparison)) = COMPARISONS
            .iter()
            .filter_map(|found| text.find(found.0).map(|at| (at, found)))
            .min_by_key(|(at, _)| *at)
            .ok_or("want MEASURE, one of > >= < <=, and a value, as in tick.p99>12ms")?;
        let measure: Measure = text[..at].trim().parse()?;
        let bound = measure.unit.parse(&text[at + sign.len()..]);
        let bound = bound.map_err(|what| format!("{}: {what}", measure.name()))?;
        Ok(Threshold {
            text: text.to_owned(),
            measure,
            comparison: *comparison,
            bound,
        })
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failed { "FAILED" } else { "held" };
        write!(f, "{verdict:<7} fail if {}: {}", self.threshold, self.says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1 to 100 ms, and 3 late ticks.
    fn figures() -> Figures {
        let mut figures = Figures::default();
        let mut durations = crate::load::tally::Durations::default();
        (1..=100).for_each(|ms| durations.record_us(1_000 * ms));
        figures.keep("tick", &durations);
        figures.set("late_ticks", 3.0);
        figures.set("achieved_speed", 0.98);
        figures
    }

    #[test]
    fn conditions_are_read_and_judged() {
        for (text, failed, says) in [
            ("tick.p99>98ms", true, "99 ms, 1.01 ms, 1.0 % above"),
            ("tick.p99 > 0.5 s", false, "below the bound"),
            ("tick.p50<=60ms", true, "below"),
            ("tick.count<100", false, "100, as the bound"),
            ("tick.count>=100", true, "as the bound"),
            ("late_ticks>0", true, "3, 3 above the bound"),
            ("late_ticks>3", false, "as the bound"),
            ("achieved_speed<0.99x", true, "0.980, 0.010, 1.0 % below"),
            ("rest.p99>1s", true, "nothing was measured"),
        ] {
            let judged = text.parse::<Threshold>().unwrap().judge(&figures());
            assert_eq!(judged.failed, failed, "{judged}");
            assert!(judged.says.contains(says), "{judged}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for (text, said) in [
            ("tick.p99", "tick.p99>12ms"),
            ("tick.p99>12", "us, µs, ms, s"),
            ("tick.p99>12MiB", "us, µs, ms, s"),
            ("late_ticks>0ms", "allowed: none"),
            ("tock.p99>12ms", "there are"),
            (">12ms", "there are"),
            ("tick.p99>>12ms", "no number"),
            ("tick.p99=12ms", "want MEASURE"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        /// A condition and the one of the other sign are never both true and never both false.
        #[test]
        fn opposite_conditions_exclude_each_other(us in 0..200_000_u32) {
            for (sign, opposite) in [(">", "<="), ("<", ">=")] {
                let failed = |sign: &str| {
                    let text = format!("tick.p50{sign}{us}us");
                    text.parse::<Threshold>().unwrap().judge(&figures()).failed
                };
                prop_assert_ne!(failed(sign), failed(opposite));
            }
        }

        #[test]
        fn any_text_is_refused_or_read(text in ".{0,24}") {
            if let Ok(threshold) = text.parse::<Threshold>() {
                prop_assert_eq!(threshold.text, text.trim());
            }
        }
    }
}
