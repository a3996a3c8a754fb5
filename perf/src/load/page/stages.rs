//! Where a tick's time goes: a row a stage, in the order in which it passes through them.

use maud::{Markup, html};

use super::plot::Axis;
use super::tables;
use crate::load::catalogue::STAGES;
use crate::load::report_text::COARSE;
use crate::load::run_report::RunReport;
use crate::load::tally::Durations;
use crate::load::unit::Unit;

const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 968.0;
const TOP: f64 = 22.0;
const ROW: f64 = 30.0;
const FOOT: f64 = 30.0;

/// The stages of a run, all simulations together.
pub(super) fn of_run(run: &RunReport) -> Markup {
    let named = STAGES.map(|stage| (stage, format!("stage.{stage}")));
    let named = named.into_iter().chain([("whole tick", "tick".to_owned())]);
    let rows: Vec<(&str, &Durations)> = named
        .filter_map(|(label, name)| Some((label, run.figures.durations.get(&name)?)))
        .filter(|(_, durations)| !durations.0.is_empty())
        .collect();
    if rows.is_empty() {
        return html! { p.note { "The server told of no tick in this time." } };
    }
    html! {
        p.lead { "The bar is from p50 to p99, the thin line up to the longest. The axis is logarithmic: a step to the right is twice or more." }
        (draw(&rows, run.period_us()))
        @if let [_, ..] = run.coarse().as_slice() {
            p.warn { @for id in run.coarse() { code { (id) } " " } (COARSE) }
        }
        (tables::rows(rows.iter().map(|(label, durations)| ((*label).to_owned(), *durations))))
    }
}

fn draw(rows: &[(&str, &Durations)], period_us: Option<f64>) -> Markup {
    let at = |durations: &Durations, q: f64| durations.0.value_at_quantile(q) as f64;
    let ends = rows
        .iter()
        .flat_map(|(_, d)| [at(d, 0.5), d.0.max() as f64]);
    let axis = Axis::log("", ends.chain(period_us), |us| Unit::Time.show(us));
    let x = |us: f64| ((LEFT + (RIGHT - LEFT) * axis.position(us)) * 10.0).round() / 10.0;
    let bottom = TOP + ROW * rows.len() as f64;
    html! {
        figure.plot {
            svg.stages viewBox={ "0 0 " (WIDTH) " " (bottom + FOOT) } role="img"
                aria-label="Stages of a tick; the table below has the numbers" {
                @for (us, label) in &axis.ticks {
                    path.grid d={ "M" (x(*us)) " " (TOP) "V" (bottom) } {}
                    text.tick x=(x(*us)) y=(bottom + 20.0) text-anchor="middle" { (label) }
                }
                @for (n, (label, durations)) in rows.iter().enumerate() {
                    @let middle = TOP + ROW * (n as f64 + 0.5);
                    @let (p50, p99, max) = (at(durations, 0.5), at(durations, 0.99), durations.0.max() as f64);
                    text.row x=(LEFT - 10.0) y=(middle + 4.5) text-anchor="end" { (label.replace('_', " ")) }
                    path.whisker d={ "M" (x(p50)) " " (middle) "H" (x(max)) } {}
                    path.whisker d={ "M" (x(max)) " " (middle - 5.0) "V" (middle + 5.0) } {}
                    rect.bar.total[*label == "whole tick"] x=(x(p50)) y=(middle - 8.0)
                        width=((x(p99) - x(p50)).max(2.0)) height="16" rx="3" {
                        title { (label) ": p50 " (Unit::Time.show(p50)) ", p99 " (Unit::Time.show(p99)) ", max " (Unit::Time.show(max)) }
                    }
                    circle.median cx=(x(p50)) cy=(middle) r="4" {}
                }
                @if let Some(us) = period_us {
                    path.mark d={ "M" (x(us)) " " (TOP) "V" (bottom) } {}
                    text.mark-label x=(x(us) + 4.0) y=(TOP - 7.0) text-anchor="end" { "tick period " (Unit::Time.show(us)) }
                }
            }
        }
    }
}
