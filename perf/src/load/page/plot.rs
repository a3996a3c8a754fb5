//! A plot as SVG: axes, lines, and the values that the page's script reads off it.

use maud::{Markup, html};
use serde::Serialize;

/// Width of a plot that has a row of its own, in the plot's units; the page scales it.
pub(super) const WHOLE: f64 = 1_000.0;
/// Width of one that stands beside another.
pub(super) const HALF: f64 = 490.0;
const LEFT: f64 = 88.0;
/// Right of the axis: half of its last number.
const MARGIN: f64 = 16.0;
const TOP: f64 = 12.0;
/// Room that a line's label needs above it.
const LABEL: f64 = 20.0;
/// Below the axis: its numbers and its title.
const FOOT: f64 = 44.0;
/// Numbers on a logarithmic axis that have room beside each other.
const MAX_FINE_TICKS: usize = 16;
/// Colours that there are; further series have them again, dashed otherwise.
const COLOURS: usize = 6;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm.
    Log,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where there is a line, and what stands at it.
    pub(super) ticks: Vec<(f64, String)>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Joined by a line.
    Line,
    /// The same, dashed: for what lies on another line.
    Dashed,
    /// Each by itself.
    Dots,
    /// From the axis up.
    Bars,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) label: String,
    /// Of its colour and dashes.
    pub(super) number: usize,
    /// How its points are drawn.
    pub(super) shape: Shape,
    /// From left to right, with what the script shows of each; `None` where the line is broken.
    pub(super) points: Vec<Option<Point>>,
}

/// A point of a line.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Where it is, for people.
    pub(super) at: String,
    /// What it is, for people.
    pub(super) value: String,
}

/// A plot.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// What it shows, for those who cannot see it.
    pub(super) says: String,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    /// A value of the y axis that is marked across, with what it is.
    pub(super) mark: Option<(f64, String)>,
}

/// What the script is told of a series.
#[derive(Serialize)]
struct Readable<'a> {
    label: &'a str,
    number: usize,
    points: Vec<(f64, f64, &'a str, &'a str)>,
}

impl Axis {
    /// From 0 to at least a value, with some numbers on it that are round in a unit.
    pub(super) fn linear(
        title: &'static str,
        to: f64,
        steps: f64,
        unit: f64,
        show: impl Fn(f64) -> String,
    ) -> Axis {
        let step = unit * round_up(to / unit / steps);
        let count = (to / step).ceil().max(1.0) as u32;
        let values = (0..=count).map(|n| f64::from(n) * step);
        Axis {
            title,
            scale: Scale::Linear,
            from: 0.0,
            to: f64::from(count) * step,
            ticks: values.map(|value| (value, show(value))).collect(),
        }
    }

    /// Time from the begin to the end of a run, s: it ends where the run does.
    pub(super) fn seconds(title: &'static str, to: f64) -> Axis {
        /// Numbers on it.
        const STEPS: f64 = 8.0;
        let mut axis = Axis::linear(title, to, STEPS, 1.0, |value| {
            format!("{}", (value * 1e6).round() / 1e6)
        });
        axis.to = to;
        axis.ticks.retain(|(value, _)| *value <= to * 1.001);
        axis
    }

    /// Around some values, all above 0, by their logarithm.
    pub(super) fn log(
        title: &'static str,
        values: impl Iterator<Item = f64>,
        show: impl Fn(f64) -> String,
    ) -> Axis {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.map(|value| value.max(1.0)) {
            least = least.min(value);
            most = most.max(value);
        }
        if most <= 0.0 {
            (least, most) = (1.0, 10.0);
        }
        let steps = |mantissas: &[f64]| -> Vec<f64> {
            let decades = least.log10().floor() as i32..=most.log10().ceil() as i32;
            let all = decades.flat_map(|d| mantissas.iter().map(move |m| m * 10_f64.powi(d)));
            all.collect()
        };
        let fine = steps(&[1.0, 2.0, 5.0]);
        let from = fine
            .iter()
            .rfind(|step| **step <= least)
            .copied()
            .unwrap_or(least);
        let to = fine
            .iter()
            .find(|step| **step >= most && **step > from)
            .copied();
        let to = to.unwrap_or(most);
        let within = |steps: Vec<f64>| -> Vec<f64> {
            let kept = steps.into_iter();
            kept.filter(|step| (from..=to).contains(step)).collect()
        };
        // Over many decades 2 and 5 are left out.
        let fine = within(fine);
        let is_many = fine.len() > MAX_FINE_TICKS;
        let shown = if is_many { within(steps(&[1.0])) } else { fine };
        Axis {
            title,
            scale: Scale::Log,
            from,
            to,
            ticks: shown.into_iter().map(|step| (step, show(step))).collect(),
        }
    }

    /// Where a value lies, from 0 to 1; one beyond an end lies at the end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(1.0) / self.from).ln() / (self.to / self.from).ln(),
        };
        share.clamp(0.0, 1.0)
    }
}

/// The least of 1, 2 and 5 times a power of 10 that is as large.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    let mantissas = [1.0, 2.0, 5.0, 10.0];
    let found = mantissas.iter().find(|m| **m * decade >= value * 0.999_999);
    found.unwrap_or(&10.0) * decade
}

impl Series {
    /// A line.
    pub(super) fn line(label: impl Into<String>, number: usize) -> Series {
        Series {
            label: label.into(),
            number,
            shape: Shape::Line,
            points: Vec::new(),
        }
    }

    fn class(&self) -> String {
        let dashes = match self.shape {
            Shape::Dashed => 1,
            _ => self.number / COLOURS,
        };
        format!("s{} d{dashes}", self.number % COLOURS)
    }
}

impl Plot {
    fn bottom(&self) -> f64 {
        self.height - FOOT
    }

    fn right(&self) -> f64 {
        self.width - MARGIN
    }

    fn x(&self, value: f64) -> f64 {
        tenths(LEFT + (self.right() - LEFT) * self.x.position(value))
    }

    fn y(&self, value: f64) -> f64 {
        let bottom = self.bottom();
        tenths(bottom - (bottom - TOP) * self.y.position(value))
    }

    /// Where the label of a line across stands: above it, and below where there is no room.
    fn beside(&self, value: f64) -> f64 {
        let y = self.y(value);
        if y - LABEL < TOP { y + 15.0 } else { y - 6.0 }
    }

    /// The plot with its legend.
    pub(super) fn draw(&self) -> Markup {
        let (bottom, right) = (self.bottom(), self.right());
        let middle = f64::midpoint(LEFT, right);
        let turned = format!("translate(14 {}) rotate(-90)", f64::midpoint(TOP, bottom));
        html! {
            figure.plot {
                @if self.series.len() > 1 {
                    figcaption.legend {
                        @for series in &self.series {
                            span {
                                svg.key viewBox="0 0 26 10" aria-hidden="true" {
                                    @if series.shape == Shape::Dots { circle.(series.class()) cx="13" cy="5" r="3.5" {} }
                                    @else if series.shape == Shape::Bars { rect.(series.class()) x="8" y="0" width="10" height="10" {} }
                                    @else { path.(series.class()) d="M1 5H25" {} }
                                }
                                (series.label)
                            }
                        }
                    }
                }
                svg.drawn viewBox={ "0 0 " (self.width) " " (self.height) } role="img" tabindex="0"
                    aria-label=(self.says) data-left=(LEFT) data-right=(right) data-top=(TOP)
                    data-bottom=(bottom) data-width=(self.width) data-series=(self.readable()) {
                    @for (value, label) in &self.y.ticks {
                        path.grid d={ "M" (LEFT) " " (self.y(*value)) "H" (right) } {}
                        text.tick x=(LEFT - 8.0) y=(self.y(*value) + 4.0) text-anchor="end" { (label) }
                    }
                    @for (value, label) in &self.x.ticks {
                        path.grid d={ "M" (self.x(*value)) " " (TOP) "V" (bottom) } {}
                        text.tick x=(self.x(*value)) y=(bottom + 18.0) text-anchor="middle" { (label) }
                    }
                    path.axis d={ "M" (LEFT) " " (TOP) "V" (bottom) "H" (right) } {}
                    text.title x=(middle) y=(self.height - 6.0) text-anchor="middle" { (self.x.title) }
                    text.title transform=(turned) text-anchor="middle" { (self.y.title) }
                    @if let Some((value, _)) = &self.mark {
                        path.mark d={ "M" (LEFT) " " (self.y(*value)) "H" (right) } {}
                    }
                    @for series in &self.series { (self.series(series)) }
                    @if let Some((value, label)) = &self.mark {
                        text.mark-label x=(right - 4.0) y=(self.beside(*value)) text-anchor="end" { (label) }
                    }
                }
            }
        }
    }

    fn series(&self, series: &Series) -> Markup {
        let points = || series.points.iter().flatten();
        html! {
            @if series.shape == Shape::Bars {
                @let (width, offset) = self.bar(series);
                @for point in points() {
                    rect.(series.class()) x=(tenths(self.x(point.x) + offset)) y=(self.y(point.y))
                        width=(tenths(width)) height=(tenths(self.bottom() - self.y(point.y))) {}
                }
            } @else if series.shape == Shape::Dots {
                @for point in points() {
                    circle.(series.class()) cx=(self.x(point.x)) cy=(self.y(point.y)) r="2.6" {}
                }
            } @else if points().count() == 1 {
                // A line of one point has no length.
                @for point in points() {
                    circle.(series.class()) cx=(self.x(point.x)) cy=(self.y(point.y)) r="3.5" {}
                }
            } @else {
                path.(series.class()) d=(self.path(series)) {}
            }
        }
    }

    /// How wide a bar is and where it begins beside its point: series of bars stand beside each other.
    fn bar(&self, series: &Series) -> (f64, f64) {
        let bars = self.series.iter().filter(|s| s.shape == Shape::Bars);
        let place = bars.clone().position(|s| s.number == series.number);
        let whole = 0.8 * (self.right() - LEFT) / series.points.len().max(1) as f64;
        let width = whole / bars.count().max(1) as f64;
        (width, width * place.unwrap_or(0) as f64 - whole / 2.0)
    }

    fn path(&self, series: &Series) -> String {
        let mut path = String::new();
        let mut is_broken = true;
        for point in &series.points {
            let Some(point) = point else {
                is_broken = true;
                continue;
            };
            let letter = if is_broken { 'M' } else { 'L' };
            path += &format!("{letter}{} {}", self.x(point.x), self.y(point.y));
            is_broken = false;
        }
        path
    }

    /// What the script finds under the pointer.
    fn readable(&self) -> String {
        let series = self.series.iter().map(|series| Readable {
            label: &series.label,
            number: series.number % COLOURS,
            points: (series.points.iter().flatten())
                .map(|p| (self.x(p.x), self.y(p.y), p.at.as_str(), p.value.as_str()))
                .collect(),
        });
        let series: Vec<_> = series.collect();
        serde_json::to_string(&series).expect("numbers and texts")
    }
}

/// What a tenth of a unit adds cannot be seen.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn numbers_on_axes_are_round() {
        let plain = |value: f64| format!("{value}");
        let linear = |to, unit| Axis::linear("", to, 6.0, unit, plain);
        assert_eq!(
            shown(&linear(60.0, 1.0)),
            ["0", "10", "20", "30", "40", "50", "60"]
        );
        assert_eq!(
            shown(&linear(3.0, 1.0)),
            ["0", "0.5", "1", "1.5", "2", "2.5", "3"]
        );
        assert_eq!(
            shown(&linear(5_000.0, 1_024.0)),
            ["0", "1024", "2048", "3072", "4096", "5120"]
        );
        assert_eq!(shown(&linear(0.0, 1.0)), ["0", "1"]);
        assert_eq!(
            shown(&Axis::seconds("", 1.0)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        let log = |values: &[f64]| Axis::log("", values.iter().copied(), plain);
        assert_eq!(shown(&log(&[130.0, 900.0])), ["100", "200", "500", "1000"]);
        assert_eq!(
            shown(&log(&[3.0, 900_000.0])),
            ["10", "100", "1000", "10000", "100000", "1000000"]
        );
        assert_eq!(shown(&log(&[])), ["1", "2", "5", "10"]);
    }

    proptest! {
        /// Every value lies between the ends, and a larger one never below a smaller one.
        #[test]
        fn values_keep_their_order(mut values in prop::collection::vec(0.0..1e9_f64, 1..20)) {
            values.sort_by(f64::total_cmp);
            let most = *values.last().unwrap();
            let axes = [
                Axis::linear("", most, 6.0, 1.0, |v| v.to_string()),
                Axis::log("", values.iter().copied(), |v| v.to_string()),
            ];
            for axis in axes {
                prop_assert!(axis.from < axis.to && axis.ticks.len() <= 40);
                let at: Vec<_> = values.iter().map(|value| axis.position(*value)).collect();
                prop_assert!(at.is_sorted(), "{:?}", at);
                prop_assert!(at.iter().all(|p| (0.0..=1.0).contains(p)));
                // Only the ends of the axis may cut something off, and they cut nothing.
                prop_assert!(axis.to >= most.max(1.0) * 0.999_999 || axis.scale == Scale::Linear);
            }
        }
    }
}
