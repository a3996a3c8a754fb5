//! The few figures that are looked at first.

use maud::{Markup, html};

use crate::load::figures::Figures;
use crate::load::measure::Measure;
use crate::load::pairs::{PairsReport, shown};
use crate::load::run_report::RunReport;

/// Those of a run.
pub(super) fn of_run(run: &RunReport, figures: &Figures) -> Markup {
    let late = value(figures, "late_ticks");
    let is_stale = number(figures, "staleness.max") > Some(run.stale_after_us());
    let failed = number(figures, "rest.failed_share");
    let ticks = value(figures, "ticks");
    let messages = ["json", "binary"]
        .map(|form| number(figures, &format!("{form}.messages_per_s")).unwrap_or(0.0));
    html! {
        div.tiles {
            (tile("Server tick p99", &value(figures, "tick.p99"), &format!("p50 {}", value(figures, "tick.p50")), false))
            (tile("End to end p99", &value(figures, "end_to_end.p99"), &format!("p50 {}", value(figures, "end_to_end.p50")), false))
            (tile("Request p99", &value(figures, "rest.p99"), &format!("{} succeeded", value(figures, "rest.answers_per_s")), false))
            (tile("Late ticks", &late, &format!("of {ticks}"), number(figures, "late_ticks") > Some(0.0)))
            (tile("Times real time", &value(figures, "achieved_speed"), &asked(run), false))
            (tile("Age of what is seen, p99", &value(figures, "staleness.p99"), &format!("at most {}", value(figures, "staleness.max")), is_stale))
            (tile("Requests failed", &value(figures, "rest.failed_share"), &format!("{} refused, {} unanswered", value(figures, "rest.refused"), value(figures, "rest.unanswered")), failed > Some(0.0)))
            (tile("Messages read", &format!("{:.0}/s", messages[0] + messages[1]), &format!("by {} clients", run.joined), false))
        }
    }
}

/// Those of pairs.
pub(super) fn of_pairs(report: &PairsReport) -> Markup {
    let ratio = report.median_ratio_p99;
    let late = |of: fn(&crate::load::pairs::Pair) -> &RunReport| -> u64 {
        report.pairs.iter().map(|pair| of(pair).late_ticks()).sum()
    };
    let (without, with) = (late(|p| &p.without), late(|p| &p.with));
    html! {
        div.tiles {
            (tile("p99 end to end, with over without", &shown(ratio), "the middle of the pairs", ratio.is_none()))
            (tile("Pairs", &report.pairs.len().to_string(), "complete", false))
            (tile("Late ticks", &with.to_string(), &format!("{without} without"), with > without))
        }
    }
}

fn asked(run: &RunReport) -> String {
    match run.simulations.first().and_then(|s| s.speed) {
        Some(speed) => format!("{speed} asked for"),
        None => "as fast as it goes".to_owned(),
    }
}

fn number(figures: &Figures, name: &str) -> Option<f64> {
    let measure: Measure = name.parse().expect("a name of a measure");
    figures.value(&measure)
}

fn value(figures: &Figures, name: &str) -> String {
    let measure: Measure = name.parse().expect("a name of a measure");
    let value = figures.value(&measure);
    value.map_or("–".to_owned(), |value| measure.unit.show(value))
}

fn tile(name: &str, value: &str, below: &str, is_wrong: bool) -> Markup {
    html! {
        div.tile.wrong[is_wrong] {
            p.name { (name) }
            p.value { (value) }
            p.below { (below) }
        }
    }
}
