//! What was measured once, in a file, and what is measured now beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::load::figures::Figures;
use crate::load::measure::{Better, Measure, Source, Statistic};
use crate::load::parameters::{Parameters, differences};
use crate::load::tolerance::Allowance;
use crate::load::unit::Unit;

/// What the file says that it is.
const SCHEMA: &str = "autofarm perf load baseline";
/// Its version: it grows when a measure's name or meaning changes.
const SCHEMA_VERSION: u32 = 2;
/// Largest file that is read.
const MAX_BYTES: u64 = 4 << 20;
/// Samples that must lie above a percentile before it is judged: one sample decides nothing.
const MIN_TAIL_SAMPLES: f64 = 10.0;
/// What says how busy the machine was.
const TIMER: &str = "timer_jitter.p99";
/// A difference of this share is none.
const SAME: f64 = 1e-9;

/// A file of this kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    schema: String,
    version: u32,
    /// Of the program that wrote it.
    program: String,
    /// When, s since 1970.
    saved_at_s: u64,
    parameters: Parameters,
    /// By name, in the first unit of each.
    measures: BTreeMap<String, f64>,
}

/// What every version of the file says.
#[derive(Deserialize)]
struct Head {
    schema: String,
    version: u32,
}

/// A measure then and now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ratio {
    /// Its name.
    pub(crate) measure: String,
    /// Then, in the first unit of the measure.
    pub(crate) before: f64,
    /// Now.
    pub(crate) now: f64,
    /// Now over then; absent where that was 0.
    pub(crate) ratio: Option<f64>,
    /// The unit of both.
    pub(crate) unit: &'static str,
    /// Whether it can be a regression; the others are only told.
    pub(crate) judged: bool,
    /// It is worse by more than may be.
    pub(crate) regressed: bool,
    /// The same for people.
    pub(crate) says: String,
}

impl Baseline {
    /// Of what was measured.
    pub(crate) fn new(parameters: Parameters, figures: &Figures) -> Baseline {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let measures = figures.all().into_iter();
        let measures = measures.filter(|(measure, _)| figures.is_comparable(measure));
        Baseline {
            schema: SCHEMA.to_owned(),
            version: SCHEMA_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            saved_at_s: now.map_or(0, |now| now.as_secs()),
            parameters,
            measures: measures
                .map(|(measure, value)| (measure.name().to_owned(), value))
                .collect(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with the file, by its name.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Baseline> {
        let place = || format!("baseline {}", path.display());
        let bytes = fs::metadata(path).with_context(place)?.len();
        anyhow::ensure!(
            bytes <= MAX_BYTES,
            "{}: larger than {MAX_BYTES} bytes",
            place()
        );
        let text = fs::read_to_string(path).with_context(place)?;
        Baseline::parse(&text).with_context(place)
    }

    fn parse(text: &str) -> anyhow::Result<Baseline> {
        let head: Head = serde_json::from_str(text).context("it is none that --save wrote")?;
        anyhow::ensure!(
            head.schema == SCHEMA,
            "its schema is {:?}, not {SCHEMA:?}",
            head.schema
        );
        anyhow::ensure!(
            head.version == SCHEMA_VERSION,
            "it has version {} of the schema, and this program compares version {SCHEMA_VERSION}; save it anew",
            head.version
        );
        Ok(serde_json::from_str(text)?)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let place = || format!("--save {}", path.display());
        fs::write(&beside, text).with_context(place)?;
        fs::rename(&beside, path).with_context(place)
    }

    /// Whether a run with these parameters can be compared with it.
    ///
    /// # Errors
    /// Every parameter that differs.
    pub(crate) fn check_parameters(&self, now: &Parameters) -> anyhow::Result<()> {
        let differing = differences(&self.parameters, now);
        anyhow::ensure!(
            differing.is_empty(),
            "it is of a run with other parameters: {}",
            differing.join("; ")
        );
        Ok(())
    }

    /// Every measure that either has, with how it became; `tolerance` says by how much each may be worse.
    pub(crate) fn compare(
        &self,
        figures: &Figures,
        tolerance: impl Fn(&Measure) -> Allowance,
    ) -> Vec<Ratio> {
        let now: BTreeMap<String, (Measure, f64)> = (figures.all().into_iter())
            .filter(|(measure, _)| figures.is_comparable(measure))
            .map(|(measure, value)| (measure.name().to_owned(), (measure, value)))
            .collect();
        let both = self.measures.iter().filter_map(|(name, before)| {
            let (measure, value) = now.get(name)?;
            let judged = self.judges(measure, figures);
            Some(Ratio::new(
                measure,
                *before,
                *value,
                judged,
                tolerance(measure),
            ))
        });
        let gone = (self.measures.iter())
            .filter(|(name, _)| !now.contains_key(*name))
            .filter_map(|(name, before)| Some(Ratio::gone(&name.parse().ok()?, *before)));
        both.chain(gone).collect()
    }

    /// Of histograms the middle and the 99th percentile, where enough samples lie above both times; of numbers those
    /// that have a better way.
    fn judges(&self, measure: &Measure, figures: &Figures) -> bool {
        let Source::Durations(of, statistic) = &measure.source else {
            return measure.better != Better::Neither;
        };
        let Statistic::Quantile(q) = statistic else {
            return false;
        };
        let count = Measure::of(of, Statistic::Count);
        let before = self.measures.get(count.name()).copied();
        let now = figures.value(&count);
        let samples = before.unwrap_or(0.0).min(now.unwrap_or(0.0));
        let has_tail = samples * (1.0 - q / 100.0) >= MIN_TAIL_SAMPLES;
        // The timer is the machine's, not the program's.
        [50.0, 99.0].contains(q) && has_tail && !of.ends_with("timer_jitter")
    }
}

/// What to think of a comparison where this machine was busier than it was for the baseline.
pub(crate) fn caution(ratios: &[Ratio]) -> Option<String> {
    /// Lateness of the timer that is worth a word, over the baseline's.
    const FACTOR: f64 = 1.5;
    let timer = ratios.iter().find(|ratio| ratio.measure == TIMER)?;
    let is_busier =
        timer.now > FACTOR * timer.before && timer.now - timer.before > noise(Unit::Time);
    is_busier.then(|| {
        format!(
            "this machine was busier than for the baseline, its own timer late by {} and not {} at p99: compare anew when it is quiet",
            Unit::Time.show(timer.now),
            Unit::Time.show(timer.before)
        )
    })
}

/// A difference that is nothing, whatever share it is: what two runs of the same program differ by.
fn noise(unit: Unit) -> f64 {
    match unit {
        Unit::Time => 200.0,
        Unit::Bytes => 4_194_304.0,
        Unit::Percent => 1.0,
        Unit::Factor => 0.01,
        Unit::ByteRate | Unit::Rate | Unit::Count => 0.0,
    }
}

impl Ratio {
    fn new(measure: &Measure, before: f64, now: f64, judged: bool, tolerance: Allowance) -> Ratio {
        let unit = measure.unit;
        let worse_by = match measure.better {
            Better::Lower => now - before,
            Better::Higher => before - now,
            Better::Neither => 0.0,
        };
        let allowed = tolerance.of(before, noise(unit));
        // What is written in decimal is not read back to the last bit.
        let regressed = judged && worse_by > allowed + before * SAME;
        let ratio = (before > 0.0).then(|| now / before);
        let mut says = format!("{} -> {}", unit.show(before), unit.show(now));
        if let Some(ratio) = ratio {
            says += &format!(", {ratio:.3} times");
        }
        if regressed {
            says += &format!(
                "; worse by {}, {} allowed",
                unit.show(worse_by),
                unit.show(allowed)
            );
        }
        Ratio {
            measure: measure.name().to_owned(),
            before,
            now,
            ratio,
            unit: unit.base(),
            judged,
            regressed,
            says,
        }
    }

    /// What the baseline has and this run has not is no better for it.
    fn gone(measure: &Measure, before: f64) -> Ratio {
        let counts = !matches!(measure.source, Source::Durations(..));
        let judged = counts && measure.better != Better::Neither;
        Ratio {
            measure: measure.name().to_owned(),
            before,
            now: 0.0,
            ratio: None,
            unit: measure.unit.base(),
            judged,
            regressed: judged,
            says: format!("{} -> not measured", measure.unit.show(before)),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.regressed, self.judged) {
            (true, _) => "WORSE",
            (false, true) => "held",
            (false, false) => "",
        };
        write!(f, "{verdict:<7} {:<28} {}", self.measure, self.says)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tally::Durations;
    use proptest::prelude::*;

    fn figures(us: u64, late: f64, speed: f64) -> Figures {
        let mut figures = Figures::default();
        let mut durations = Durations::default();
        durations.record_n_us(us, 2_000);
        figures.keep("tick", &durations);
        figures.set("late_ticks", late);
        figures.set("achieved_speed", speed);
        figures
    }

    #[test]
    fn a_machine_that_was_busier_is_told() {
        let timer = |us| {
            let mut figures = Figures::default();
            let mut durations = Durations::default();
            durations.record_n_us(us, 2_000);
            figures.keep("timer_jitter", &durations);
            figures
        };
        let caution = |before, now| {
            let baseline = Baseline::new(parameters("1"), &timer(before));
            let ratios = baseline.compare(&timer(now), |_| Allowance::Share(0.1));
            assert!(
                ratios.iter().all(|ratio| !ratio.regressed),
                "the timer is not judged"
            );
            super::caution(&ratios)
        };
        assert_eq!((caution(500, 600), caution(10, 100)), (None, None));
        let said = caution(500, 5_000).unwrap();
        assert!(said.contains("late by 5 ms and not 500 us"), "{said}");
    }

    fn parameters(entities: &str) -> Parameters {
        [("entities".to_owned(), entities.to_owned())].into()
    }

    fn regressed(before: &Figures, now: &Figures, share: f64) -> Vec<String> {
        let baseline = Baseline::new(parameters("1"), before);
        let ratios = baseline
            .compare(now, |_| Allowance::Share(share))
            .into_iter();
        ratios.filter(|r| r.regressed).map(|r| r.measure).collect()
    }

    #[test]
    fn what_became_worse_by_more_than_may_be_is_found_by_name() {
        let before = figures(10_000, 4.0, 1.0);
        let none: [&str; 0] = [];
        assert_eq!(regressed(&before, &before, 0.0), none);
        assert_eq!(regressed(&before, &figures(10_900, 4.0, 1.0), 0.1), none);
        let slower = regressed(&before, &figures(11_200, 4.0, 1.0), 0.1);
        assert_eq!(slower, ["tick.p50", "tick.p99"]);
        assert_eq!(
            regressed(&before, &figures(10_000, 5.0, 1.0), 0.1),
            ["late_ticks"]
        );
        assert_eq!(
            regressed(&before, &figures(9_000, 4.0, 0.8), 0.1),
            ["achieved_speed"]
        );
    }

    #[test]
    fn a_little_of_nearly_nothing_is_noise_and_one_of_none_is_not() {
        assert_eq!(
            regressed(&figures(20, 0.0, 1.0), &figures(90, 0.0, 1.0), 0.1).len(),
            0
        );
        assert_eq!(
            regressed(&figures(20, 0.0, 1.0), &figures(20, 1.0, 1.0), 0.1),
            ["late_ticks"]
        );
    }

    #[test]
    fn what_is_known_coarsely_is_neither_saved_nor_judged() {
        let baseline = Baseline::new(parameters("1"), &figures(20_000, 0.0, 1.0));
        let mut coarse = figures(90_000, 0.0, 1.0);
        let tick = |figures: &Figures| -> Vec<(bool, String)> {
            let ratios = baseline.compare(figures, |_| Allowance::Share(0.1));
            let of_tick = ratios.into_iter().filter(|r| r.measure == "tick.p99");
            of_tick.map(|r| (r.regressed, r.says)).collect()
        };
        assert!(tick(&coarse)[0].0, "it is worse");
        coarse.keep_coarse("tick".to_owned());
        let (regressed, says) = tick(&coarse).remove(0);
        assert!(!regressed && says.contains("not measured"), "{says}");
        let saved = Baseline::new(parameters("1"), &coarse).measures;
        assert!(!saved.contains_key("tick.p99") && saved.contains_key("late_ticks"));
    }

    #[test]
    fn what_is_not_measured_any_more_is_worse() {
        let mut before = figures(20, 0.0, 1.0);
        before.set("cpu.gateway", 30.0);
        assert_eq!(
            regressed(&before, &figures(20, 0.0, 1.0), 0.1),
            ["cpu.gateway"]
        );
    }

    #[test]
    fn other_parameters_are_refused_by_name() {
        let baseline = Baseline::new(parameters("1000"), &figures(1, 0.0, 1.0));
        baseline.check_parameters(&parameters("1000")).unwrap();
        let other = baseline.check_parameters(&parameters("2000")).unwrap_err();
        let said = other.to_string();
        assert!(
            said.contains("entities: 1000 in the baseline, 2000 now"),
            "{said}"
        );
        let none = baseline.check_parameters(&Parameters::new()).unwrap_err();
        assert!(none.to_string().contains("not there now"), "{none}");
    }

    #[test]
    fn another_schema_or_version_or_text_is_refused() {
        let baseline = Baseline::new(parameters("1"), &figures(1, 0.0, 1.0));
        let text = serde_json::to_string(&baseline).unwrap();
        assert_eq!(Baseline::parse(&text).unwrap(), baseline);
        for (old, new, said) in [
            ("\"version\":2", "\"version\":3", "version 3"),
            (SCHEMA, "k6 summary", "k6 summary"),
            ("\"measures\"", "\"numbers\"", "numbers"),
            ("{\"schema\"", "[\"schema\"", "none that --save wrote"),
        ] {
            let error = Baseline::parse(&text.replacen(old, new, 1)).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }

    proptest! {
        /// What is saved and read compares with itself as equal.
        #[test]
        fn a_baseline_is_no_regression_of_itself(
            us in prop::collection::vec(1..60_000_000_u64, 1..50),
            numbers in prop::collection::vec(0.0..1e12_f64, 3),
        ) {
            let mut figures = Figures::default();
            let mut durations = Durations::default();
            us.iter().for_each(|us| durations.record_n_us(*us, 100));
            figures.keep("rest", &durations);
            for (name, value) in ["late_ticks", "rss.perf", "achieved_speed"].iter().zip(numbers) {
                figures.set(*name, value);
            }
            let saved = Baseline::new(parameters("1"), &figures);
            let read = Baseline::parse(&serde_json::to_string(&saved).unwrap()).unwrap();
            for ratio in read.compare(&figures, |_| Allowance::Share(0.0)) {
                prop_assert!(!ratio.regressed, "{}", ratio);
                prop_assert!(ratio.ratio.is_none_or(|r| (r - 1.0).abs() < 1e-9));
            }
        }
    }
}
