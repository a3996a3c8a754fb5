//! A server's stage as the `.hgrm` text that `GET /latency` gives, and what was added to it between two
//! such texts.

use crate::load::tally::Durations;

/// Durations from before over those added, above which what was added is known coarsely: two texts differ by so little
/// then that the straight lines between their points count for more. Up to here, of a distribution that does not
/// change, the middle is within a fiftieth and the 99th percentile within a tenth (a test says so).
const MAX_HIDING: u64 = 10;

/// Steps in which what was added between two points is counted.
const STEPS: u64 = 16;

/// How many durations were at most how long: points of a rising line, by value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cumulative(Vec<Point>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    us: u64,
    count: u64,
}

impl Cumulative {
    /// Reads an `.hgrm` text whose values are in ms.
    ///
    /// # Errors
    /// The line that is none of its.
    pub(crate) fn parse(hgrm: &str) -> Result<Cumulative, String> {
        let mut points: Vec<Point> = Vec::new();
        for line in hgrm.lines().skip(1) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let point =
                point_of(line).ok_or_else(|| format!("{line:?} is no line of a histogram"))?;
            match points.last_mut() {
                // A long step is reported at many percentiles: the last one has all of it.
                Some(last) if last.us == point.us => *last = point,
                _ => points.push(point),
            }
        }
        Ok(Cumulative(points))
    }

    /// What was added since, to the resolution of the text: between its points a line is drawn.
    pub(crate) fn since(&self, before: &Cumulative) -> Durations {
        let mut values: Vec<u64> = (self.0.iter().chain(&before.0)).map(|p| p.us).collect();
        values.sort_unstable();
        values.dedup();
        let mut added = Durations::default();
        let (mut so_far, mut last) = (0, None);
        for us in values {
            let until = self.at(us).saturating_sub(before.at(us)).max(so_far);
            record_between(&mut added, last.unwrap_or(us), us, until - so_far);
            (so_far, last) = (until, Some(us));
        }
        added
    }

    /// Whether what was added since is so little of all that it is known coarsely.
    pub(crate) fn hides(&self, added: &Durations) -> bool {
        let before = self.0.last().map_or(0, |last| last.count);
        before > MAX_HIDING.saturating_mul(added.0.len())
    }

    /// Durations of at most so long.
    fn at(&self, us: u64) -> u64 {
        let after = self.0.partition_point(|point| point.us < us);
        let Some(next) = self.0.get(after) else {
            return self.0.last().map_or(0, |last| last.count);
        };
        if next.us == us {
            return next.count;
        }
        let Some(last) = after.checked_sub(1).map(|n| self.0[n]) else {
            return 0;
        };
        let share = (us - last.us) as f64 / (next.us - last.us) as f64;
        last.count + ((next.count - last.count) as f64 * share) as u64
    }
}

/// Counts `n` durations that were longer than one and at most another, evenly: all at the longer one would make what
/// was added longer than it was.
fn record_between(added: &mut Durations, from_us: u64, to_us: u64, n: u64) {
    let apart_us = to_us - from_us;
    let steps = STEPS.min(n).min(apart_us).max(1);
    for step in 1..=steps {
        let count = n * step / steps - n * (step - 1) / steps;
        added.record_n_us(from_us + apart_us * step / steps, count);
    }
}

fn point_of(line: &str) -> Option<Point> {
    let mut columns = line.split_whitespace();
    let ms: f64 = columns.next()?.parse().ok()?;
    let _percentile: f64 = columns.next()?.parse().ok()?;
    let count = columns.next()?.parse().ok()?;
    let us = (ms * 1_000.0).round() as u64;
    Some(Point { us, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::run_report::hgrm_of;

    fn cumulative(durations: &Durations) -> Cumulative {
        Cumulative::parse(&hgrm_of(durations).unwrap()).unwrap()
    }

    #[test]
    fn what_was_added_has_its_own_percentiles() {
        let mut all = Durations::default();
        for us in 1..=1_000 {
            all.record_us(10 * us);
        }
        let before = cumulative(&all);
        for us in 1..=10_000 {
            all.record_us(us);
        }
        let added = cumulative(&all).since(&before).0;
        assert!(added.len().abs_diff(10_000) < 20, "{}", added.len());
        for (quantile, wanted) in [(0.5, 5_000_u64), (0.99, 9_900)] {
            let found = added.value_at_quantile(quantile);
            assert!(found.abs_diff(wanted) < wanted / 20, "{quantile}: {found}");
        }
    }

    /// Service times with a long tail, as a tick's are: the sum of what two stages take, and now and then a third.
    fn service_us(random: &mut fastrand::Rng) -> u64 {
        let stage = |random: &mut fastrand::Rng, mean: f64| -mean * random.f64().max(1e-9).ln();
        let rare = if random.u8(..) < 8 { 6_000.0 } else { 0.0 };
        (500.0 + stage(random, 900.0) + stage(random, 300.0) + stage(random, rare)) as u64
    }

    #[test]
    fn what_was_added_to_few_is_known_well_and_added_to_many_it_is_hidden() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut all, mut added) = (Durations::default(), Durations::default());
            (0..20_000).for_each(|_| all.record_us(service_us(&mut random)));
            let before = cumulative(&all);
            for _ in 0..2_500 {
                let us = service_us(&mut random);
                all.record_us(us);
                added.record_us(us);
            }
            let found = cumulative(&all).since(&before);
            assert!(!before.hides(&found), "{}", found.0.len());
            for (quantile, within) in [(0.5, 0.02), (0.99, 0.1)] {
                let (found, wanted) = (&found.0, added.0.value_at_quantile(quantile) as f64);
                let ratio = found.value_at_quantile(quantile) as f64 / wanted;
                assert!((ratio - 1.0).abs() < within, "{seed}, {quantile}: {ratio}");
            }
        }
        let mut all = Durations::default();
        all.record_n_us(500, 1_001);
        let before = cumulative(&all);
        all.record_n_us(500, 100);
        assert!(before.hides(&cumulative(&all).since(&before)));
        all.record_us(500);
        assert!(
            !before.hides(&cumulative(&all).since(&before)),
            "1,001 to 101"
        );
    }

    #[test]
    fn nothing_added_is_nothing() {
        let mut all = Durations::default();
        all.record_us(500);
        let once = cumulative(&all);
        let nothing = once.since(&once).0;
        assert_eq!((nothing.len(), nothing.max()), (0, 0));
        assert_eq!(once.since(&Cumulative::default()).0.len(), 1);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert!(Cumulative::parse("head\n\nnot a line\n").is_err());
    }
}
