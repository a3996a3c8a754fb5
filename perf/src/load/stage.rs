//! A server's stage as the `.hgrm` text that `GET /latency` gives, and what was added to it between two
//! such texts.

use crate::load::tally::Durations;

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
        let mut so_far = 0;
        for us in values {
            let until = self.at(us).saturating_sub(before.at(us)).max(so_far);
            added.record_n_us(us, until - so_far);
            so_far = until;
        }
        added
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
