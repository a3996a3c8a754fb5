//! What happened when: a point a slot.

use maud::{Markup, html};

use super::plot::{Axis, HALF, Plot, Point, Series, Shape, WHOLE};
use crate::load::catalogue::WAYS;
use crate::load::moments::{Moment, Times};
use crate::load::run_report::RunReport;
use crate::load::unit::Unit;

const HEIGHT: f64 = 300.0;
const LOW: f64 = 220.0;
const SECONDS: &str = "seconds since measuring began";
/// Numbers on an axis of a low plot.
const STEPS: f64 = 4.0;

/// How a plot over time is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    /// Beside another, from 0 on.
    Half,
    /// In a row of its own, by the logarithm.
    Whole,
}

/// End to end and requests.
pub(super) fn latency(run: &RunReport) -> Markup {
    let period = run.period_us().map(|us| (us, "tick period"));
    let clients = Some((run.client_period_us, "period that clients asked for"));
    let of = |pick: fn(&Moment) -> Option<Times>, of: fn(Times) -> u64| {
        move |moment: &Moment| pick(moment).map(|times| of(times) as f64)
    };
    let drawn = |says: &str, title, lines, mark| {
        let mut plot = over_time(run, Unit::Time, says, title, Size::Whole, lines);
        if let Some((us, of)) = mark {
            plot.include(us);
            plot.mark = Some((us, format!("{of} {}", Unit::Time.show(us))));
        }
        plot.draw()
    };
    let lines = |pick: fn(&Moment) -> Option<Times>| {
        let mut max = line(run, "max", 2, Unit::Time, of(pick, |t| t.max_us));
        max.shape = Shape::Dots;
        vec![
            line(run, "p50", 0, Unit::Time, of(pick, |t| t.p50_us)),
            line(run, "p99", 1, Unit::Time, of(pick, |t| t.p99_us)),
            max,
        ]
    };
    html! {
        h3 { "Ticks, from their deadline to being read by a client" }
        (drawn("End to end latency over time", "end to end", lines(|m| m.end_to_end), period))
        (incidents(run))
        h3 { "Age of what clients see, at each moment at which one was due a tick" }
        (drawn("Age of what clients see over time", "age", lines(|m| m.staleness), clients))
        h3 { "Requests, from when they were due to being answered with success" }
        (drawn("Latency of requests over time", "requests", lines(|m| m.rest), None))
    }
}

/// In how many slots something went wrong, by what it was, and how it was in the worst.
fn incidents(run: &RunReport) -> Markup {
    let stale_after_us = run.stale_after_us();
    let old = Unit::Time.show(stale_after_us);
    let kinds: [(String, Amount); 4] = [
        ("late ticks".to_owned(), |m| m.late_ticks.unwrap_or(0.0)),
        ("ticks skipped for a client".to_owned(), |m| {
            m.skipped as f64
        }),
        ("breaks of streams or failed attempts".to_owned(), |m| {
            m.broken as f64
        }),
        (
            format!("clients that saw what was more than {old} old"),
            oldest_us,
        ),
    ];
    let bounds = [0.0, 0.0, 0.0, stale_after_us];
    let had = |m: &Moment, n: usize| (kinds[n].1)(m) > bounds[n];
    let of_kind = |n: usize| run.timeline.iter().filter(|m| had(m, n)).count();
    let told = (0..kinds.len()).filter(|n| of_kind(*n) > 0);
    let told = told.map(|n| format!("{} had {}", of_kind(n), kinds[n].0));
    let told: Vec<_> = told.collect();
    let odd = (run.timeline.iter()).filter(|m| (0..kinds.len()).any(|n| had(m, n)));
    let weight = |m: &Moment| {
        let counts: f64 = kinds[..3].iter().map(|kind| (kind.1)(m)).sum();
        (oldest_us(m).max(stale_after_us), counts)
    };
    let worst = odd.max_by(|a, b| weight(a).partial_cmp(&weight(b)).expect("numbers"));
    html! {
        p.note {
            @if let Some(worst) = worst {
                "Of " (run.timeline.len()) " slots " (told.join(", ")) ". The worst began at "
                (format!("{:.0}", worst.from_s)) " s: " ((kinds[0].1)(worst)) " late, " (worst.skipped) " skipped, "
                (worst.broken) " breaks, and what a client saw was at most " (Unit::Time.show(oldest_us(worst))) " old."
            } @else {
                "In no slot was a tick late or skipped for a client, did a stream break, or did a client see what was more than "
                (old) " old."
            }
        }
    }
}

/// Something of a slot.
type Amount = fn(&Moment) -> f64;

fn oldest_us(moment: &Moment) -> f64 {
    moment.staleness.map_or(0.0, |age| age.max_us as f64)
}

/// Messages, bytes and answers a second.
pub(super) fn throughput(run: &RunReport) -> Markup {
    let messages = line(run, "messages", 0, Unit::Rate, |m| Some(m.messages_per_s));
    let bytes = line(run, "bytes", 3, Unit::ByteRate, |m| Some(m.bytes_per_s));
    let ended = |label, number, of: fn(&Moment) -> u64| {
        line(run, label, number, Unit::Rate, move |m: &Moment| {
            Some(of(m) as f64 / (m.to_s - m.from_s))
        })
    };
    let answers = vec![
        ended("succeeded", 1, |m| m.rest.map_or(0, |times| times.count)),
        ended("refused or not answered", 5, |m| m.refused + m.unanswered),
    ];
    let draw =
        |unit, says, title, series| over_time(run, unit, says, title, Size::Half, series).draw();
    let bars = |label, number, of: fn(&Moment) -> Option<f64>| Series {
        shape: Shape::Bars,
        ..line(run, label, number, Unit::Count, of)
    };
    let odd = vec![
        bars("late, at the server", 1, |m| m.late_ticks),
        bars("skipped, for a client", 3, |m| Some(m.skipped as f64)),
    ];
    let odd = over_time(
        run,
        Unit::Count,
        "Late and skipped ticks over time",
        "ticks",
        Size::Half,
        odd,
    );
    html! {
        div.columns {
            div { h3 { "Messages read by all clients" } (draw(Unit::Rate, "Messages over time", "messages", vec![messages])) }
            div { h3 { "Bytes of their payloads" } (draw(Unit::ByteRate, "Bytes over time", "bytes", vec![bytes])) }
            div { h3 { "Requests, by how they ended" } (draw(Unit::Rate, "Requests over time", "requests", answers)) }
            div { h3 { "Late and skipped ticks, of each slot" } (odd.draw()) }
        }
    }
}

/// CPU, memory and bytes.
pub(super) fn processes(run: &RunReport) -> Markup {
    let names: Vec<&str> = run.processes.iter().map(|p| p.name.as_str()).collect();
    let each = |unit, of: fn(&crate::load::moments::Load) -> f64| -> Vec<Series> {
        let lines = names
            .iter()
            .enumerate()
            .map(|(n, name)| line(run, name, n, unit, |m| m.processes.get(*name).map(of)));
        lines.collect()
    };
    let ways: Vec<Series> = (WAYS.iter().enumerate())
        .filter(|(_, way)| run.timeline.iter().any(|m| m.traffic.contains_key(*way)))
        .map(|(n, way)| {
            let label = way.replace('_', " ");
            // A logarithm of nothing is nowhere.
            let of = |m: &Moment| m.traffic.get(way).copied().filter(|bytes| *bytes >= 1.0);
            // What one role sends another receives: the lines lie on each other.
            let is_other = way.starts_with("worker");
            Series {
                shape: if is_other { Shape::Dashed } else { Shape::Line },
                ..line(run, &label, n, Unit::ByteRate, of)
            }
        })
        .collect();
    let (cpu, rss) = (
        each(Unit::Percent, |l| l.cpu_percent),
        each(Unit::Bytes, |l| l.rss_bytes),
    );
    let draw =
        |unit, says, title, size, series| over_time(run, unit, says, title, size, series).draw();
    html! {
        @if names.len() == 1 {
            p.note { "Only this program was watched. Name the roles' processes by --pid NAME=PID to see them here." }
        }
        div.columns {
            div { h3 { "CPU time, of one processor's" } (draw(Unit::Percent, "CPU over time", "CPU", Size::Half, cpu)) }
            div { h3 { "Resident memory" } (draw(Unit::Bytes, "Memory over time", "memory", Size::Half, rss)) }
        }
        @if ways.is_empty() {
            p.note {
                "The roles' bytes are not known: "
                (run.metrics_unread.as_deref().unwrap_or("no page of metrics has them")) "."
            }
        } @else {
            h3 { "Bytes of the roles, as their metrics have them" }
            (draw(Unit::ByteRate, "Bytes by role over time", "bytes a second", Size::Whole, ways))
        }
    }
}

/// A point in the middle of each slot.
fn line(
    run: &RunReport,
    label: &str,
    number: usize,
    unit: Unit,
    of: impl Fn(&Moment) -> Option<f64>,
) -> Series {
    let points = run.timeline.iter().map(|moment| {
        of(moment).map(|y| Point {
            x: f64::midpoint(moment.from_s, moment.to_s),
            y,
            at: format!("{:.0} to {:.0} s", moment.from_s, moment.to_s),
            value: unit.show(y),
        })
    });
    Series {
        points: points.collect(),
        ..Series::line(label, number)
    }
}

fn over_time(
    run: &RunReport,
    unit: Unit,
    says: &str,
    title: &'static str,
    size: Size,
    series: Vec<Series>,
) -> Plot {
    let values = || {
        series
            .iter()
            .flat_map(|s| s.points.iter().flatten())
            .map(|p| p.y)
    };
    let show = |value| unit.show(value);
    // There is no half of a tick.
    let least = if unit == Unit::Count { STEPS } else { 0.0 };
    let most = || values().fold(least, f64::max);
    let round_in = if unit == Unit::Bytes {
        1_048_576.0
    } else {
        1.0
    };
    let (width, height, y) = match size {
        Size::Whole => (WHOLE, HEIGHT, Axis::log(title, values(), show)),
        Size::Half => (
            HALF,
            LOW,
            Axis::linear(title, most(), STEPS, round_in, show),
        ),
    };
    Plot {
        says: format!("{says}, in {} slots", run.timeline.len()),
        width,
        height,
        x: Axis::seconds(SECONDS, run.measured_s),
        y,
        series,
        mark: None,
    }
}

impl Plot {
    /// Makes the axis of time reach a value.
    fn include(&mut self, us: f64) {
        let points = self.series.iter().flat_map(|s| s.points.iter().flatten());
        let values = points.map(|point| point.y).chain([us]);
        self.y = Axis::log(self.y.title, values, |value| Unit::Time.show(value));
    }
}
