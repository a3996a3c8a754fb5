//! Units of measures: how they are written and read.

/// What a measure is counted in. Values are held in the first of each: us, bytes, bytes/s, 1/s, %, 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A time.
    Time,
    /// Memory.
    Bytes,
    /// Bytes a second.
    ByteRate,
    /// Things a second.
    Rate,
    /// A share, in hundredths.
    Percent,
    /// One number over another.
    Factor,
    /// A number of things.
    Count,
}

/// How a unit is written, and how many of the first one it is.
type Suffix = (&'static str, f64);

const TIME: [Suffix; 4] = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
const BYTES: [Suffix; 7] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];
const BYTE_RATE: [Suffix; 7] = [
    ("B/s", 1.0),
    ("kB/s", 1e3),
    ("MB/s", 1e6),
    ("GB/s", 1e9),
    ("KiB/s", 1_024.0),
    ("MiB/s", 1_048_576.0),
    ("GiB/s", 1_073_741_824.0),
];
const RATE: [Suffix; 1] = [("/s", 1.0)];
const PERCENT: [Suffix; 1] = [("%", 1.0)];
const FACTOR: [Suffix; 2] = [("x", 1.0), ("", 1.0)];
const COUNT: [Suffix; 1] = [("", 1.0)];

impl Unit {
    fn suffixes(self) -> &'static [Suffix] {
        match self {
            Unit::Time => &TIME,
            Unit::Bytes => &BYTES,
            Unit::ByteRate => &BYTE_RATE,
            Unit::Rate => &RATE,
            Unit::Percent => &PERCENT,
            Unit::Factor => &FACTOR,
            Unit::Count => &COUNT,
        }
    }

    /// What may stand behind a number.
    pub(crate) fn allowed(self) -> String {
        let all: Vec<_> = (self.suffixes().iter())
            .map(|(suffix, _)| if suffix.is_empty() { "none" } else { *suffix })
            .collect();
        all.join(", ")
    }

    /// How values are spelt where all of a column have one unit.
    pub(crate) fn base(self) -> &'static str {
        match self {
            Unit::Count | Unit::Factor => "",
            other => other.suffixes()[0].0,
        }
    }

    /// Reads a number with its unit.
    ///
    /// # Errors
    /// What is wrong with it, and which units are allowed.
    pub(crate) fn parse(self, text: &str) -> Result<f64, String> {
        let text = text.trim();
        let digits = |c: char| c.is_ascii_digit() || ".+-".contains(c);
        let end = text.find(|c| !digits(c)).unwrap_or(text.len());
        let (number, suffix) = (&text[..end], text[end..].trim());
        let number: f64 =
            (number.parse()).map_err(|_| format!("{text:?} begins with no number"))?;
        if number < 0.0 {
            return Err(format!("{text:?} is below 0"));
        }
        let mut suffixes = self.suffixes().iter();
        match suffixes.find(|(known, _)| *known == suffix) {
            Some((_, factor)) => Ok(number * factor),
            None if suffix.is_empty() => {
                Err(format!("{text:?} wants a unit, one of {}", self.allowed()))
            }
            None => Err(format!(
                "{suffix:?} is no unit of it; allowed: {}",
                self.allowed()
            )),
        }
    }

    /// A value as people read it, with three digits that count.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Time => scaled(value, &[("us", 1.0), ("ms", 1e3), ("s", 1e6)]),
            Unit::Bytes => scaled(value, &[BYTES[0], BYTES[4], BYTES[5], BYTES[6]]),
            Unit::ByteRate => scaled(value, &BYTE_RATE[..4]),
            Unit::Rate => format!("{}/s", digits(value)),
            Unit::Percent => format!("{} %", digits(value)),
            Unit::Factor => format!("{value:.3}"),
            Unit::Count => format!("{value:.0}"),
        }
    }
}

/// In the largest unit of which there is at least one.
fn scaled(value: f64, suffixes: &[Suffix]) -> String {
    let fits = |(_, factor): &&Suffix| value.abs() >= *factor;
    let (suffix, factor) = suffixes.iter().rev().find(fits).unwrap_or(&suffixes[0]);
    format!("{} {suffix}", digits(value / factor))
}

/// Three digits that count, and no fraction of what is large.
fn digits(value: f64) -> String {
    let text = match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => return format!("{value:.0}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Unit; 7] = [
        Unit::Time,
        Unit::Bytes,
        Unit::ByteRate,
        Unit::Rate,
        Unit::Percent,
        Unit::Factor,
        Unit::Count,
    ];

    #[test]
    fn numbers_are_read_with_their_units() {
        let table = [
            (Unit::Time, "12ms", 12_000.0),
            (Unit::Time, " 1.5 s", 1_500_000.0),
            (Unit::Time, "7µs", 7.0),
            (Unit::Bytes, "64MiB", 67_108_864.0),
            (Unit::ByteRate, "2 MB/s", 2e6),
            (Unit::Rate, "99/s", 99.0),
            (Unit::Percent, "80%", 80.0),
            (Unit::Factor, "1.05x", 1.05),
            (Unit::Factor, "1.05", 1.05),
            (Unit::Count, "0", 0.0),
        ];
        for (unit, text, value) in table {
            assert_eq!(unit.parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn another_unit_is_refused_and_the_allowed_ones_are_named() {
        for (unit, text, named) in [
            (Unit::Time, "12", "us, µs, ms, s"),
            (Unit::Time, "12MiB", "us, µs, ms, s"),
            (Unit::Bytes, "12ms", "MiB"),
            (Unit::Count, "12ms", "none"),
            (Unit::Percent, "0.8", "%"),
            (Unit::Rate, "ms", "no number"),
            (Unit::Time, "-1ms", "below 0"),
            (Unit::Time, "", "no number"),
        ] {
            let error = unit.parse(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    proptest! {
        /// What is shown is read back to the three digits that it has.
        #[test]
        fn what_is_shown_can_be_read(unit in prop::sample::select(&ALL[..]), value in 0.0..1e9_f64) {
            let shown = unit.show(value);
            let read = unit.parse(&shown).unwrap();
            let slack = (value * 0.006).max(0.51);
            prop_assert!((read - value).abs() <= slack, "{} is shown as {}", value, shown);
        }

        /// Whatever is written, it is refused or read, and never panics.
        #[test]
        fn any_text_is_refused_or_read(unit in prop::sample::select(&ALL[..]), text in ".{0,12}") {
            let read = unit.parse(&text);
            prop_assert!(read.is_err() || read.is_ok_and(|value| value >= 0.0));
        }
    }
}
