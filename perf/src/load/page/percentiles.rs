//! Durations by percentile, on an axis that gives each nine as much room as the one before.

use maud::Markup;

use super::plot::{Axis, Plot, Point, Scale, Series, WHOLE};
use crate::load::figures::Figures;
use crate::load::pairs::PairsReport;
use crate::load::tally::Durations;
use crate::load::unit::Unit;

/// Steps in each halving of the distance to 100 %.
const STEPS_PER_HALF: u32 = 8;
/// Nines that the axis has at most.
const MAX_NINES: f64 = 6.0;
const HEIGHT: f64 = 400.0;

/// The curves of a run.
pub(super) fn of_run(figures: &Figures) -> Markup {
    let curves = [
        ("binary.end_to_end", "end to end, binary"),
        ("json.end_to_end", "end to end, JSON"),
        ("rest", "requests"),
        ("tick", "tick, at the server"),
        ("timer_jitter", "timer of this machine"),
        ("staleness", "age of what clients see"),
    ];
    let curves: Vec<_> = (curves.into_iter().enumerate())
        .filter_map(|(n, (name, label))| Some((n, label, figures.durations.get(name)?)))
        .filter(|(_, _, durations)| !durations.0.is_empty())
        .collect();
    draw(&curves)
}

/// Those of all pairs together.
pub(super) fn of_pairs(report: &PairsReport) -> Markup {
    let (mut without, mut with) = (Durations::default(), Durations::default());
    for pair in &report.pairs {
        for (all, run) in [(&mut without, &pair.without), (&mut with, &pair.with)] {
            if let Some(durations) = run.figures.durations.get("end_to_end") {
                all.add(durations);
            }
        }
    }
    draw(&[(0, "without", &without), (1, "with", &with)])
}

fn draw(curves: &[(usize, &str, &Durations)]) -> Markup {
    let series: Vec<_> = (curves.iter())
        .map(|(number, label, durations)| curve(label, *number, durations))
        .collect();
    let ends = series.iter().flat_map(|s| s.points.iter().flatten());
    let values = ends.clone().map(|point| point.y);
    let y = Axis::log("latency", values, |us| Unit::Time.show(us));
    let most = ends.map(|point| point.x).fold(1.0, f64::max);
    Plot {
        says: says(curves),
        width: WHOLE,
        height: HEIGHT,
        x: axis(most),
        y,
        series,
        mark: None,
    }
    .draw()
}

fn says(curves: &[(usize, &str, &Durations)]) -> String {
    let each = curves.iter().map(|(_, label, durations)| {
        let at = |q| Unit::Time.show(durations.0.value_at_quantile(q) as f64);
        format!("{label}: p50 {}, p99 {}", at(0.5), at(0.99))
    });
    format!(
        "Latency by percentile. {}",
        each.collect::<Vec<_>>().join("; ")
    )
}

/// Nines of a share: 0 for 0, 1 for 90 %, 2 for 99 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// A share with digits enough to tell its nines.
fn percent(quantile: f64) -> String {
    let digits = nines(quantile).floor().clamp(1.0, MAX_NINES) as usize;
    format!("{:.digits$} %", 100.0 * quantile)
}

fn axis(most: f64) -> Axis {
    let whole = ["90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
    let whole = (1..)
        .zip(whole)
        .map(|(n, label)| (f64::from(n), label.to_owned()));
    let first = [(0.0, "0 %".to_owned()), (nines(0.5), "50 %".to_owned())];
    let ticks = first.into_iter().chain(whole);
    Axis {
        title: "percentile",
        scale: Scale::Linear,
        from: 0.0,
        to: most,
        ticks: ticks.filter(|(at, _)| *at <= most).collect(),
    }
}

/// Up to the last percentile that a single sample does not decide.
fn curve(label: &str, number: usize, durations: &Durations) -> Series {
    let us = &durations.0;
    let last = nines(1.0 - 1.0 / us.len().max(2) as f64).min(MAX_NINES);
    let mut points = Vec::new();
    // The first step is the shortest of all, which says less than the room it would take.
    let skipped = usize::from(us.len() > 1);
    for step in us.iter_quantiles(STEPS_PER_HALF).skip(skipped) {
        let quantile = step.quantile_iterated_to();
        let (x, y) = (nines(quantile).min(last), step.value_iterated_to() as f64);
        points.push(Some(Point {
            x,
            y,
            at: match quantile < 1.0 && x < last {
                true => percent(quantile),
                false => format!("of {}", us.len()),
            },
            value: Unit::Time.show(y),
        }));
        if x >= last {
            break;
        }
    }
    Series {
        points,
        ..Series::line(label, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_has_the_room_of_the_one_before() {
        let at: Vec<_> = [0.0, 0.9, 0.99, 0.999, 0.9999].map(nines).into();
        let apart = at.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            apart.into_iter().all(|room| (room - 1.0).abs() < 1e-9),
            "{at:?}"
        );
        let labels: Vec<_> = axis(2.5)
            .ticks
            .into_iter()
            .map(|(_, label)| label)
            .collect();
        assert_eq!(labels, ["0 %", "50 %", "90 %", "99 %"]);
    }

    #[test]
    fn a_curve_rises_and_ends_where_single_samples_decide() {
        let mut durations = Durations::default();
        (1..=1_000).for_each(|us| durations.record_us(us));
        let points: Vec<_> = curve("", 0, &durations)
            .points
            .into_iter()
            .flatten()
            .collect();
        assert!(points.is_sorted_by(|a, b| a.x <= b.x && a.y <= b.y));
        let last = points.last().unwrap();
        assert!((last.x - 3.0).abs() < 1e-9 && last.y == 1_000.0, "{last:?}");
        let p50 = points.iter().find(|point| point.x >= nines(0.5)).unwrap();
        assert!((p50.y - 500.0).abs() < 5.0, "{p50:?}");
    }

    #[test]
    fn percentiles_are_told_with_their_nines() {
        for (quantile, told) in [
            (0.5, "50.0 %"),
            (0.994_629, "99.46 %"),
            (0.999_95, "99.9950 %"),
        ] {
            assert_eq!(percent(quantile), told);
        }
    }
}
