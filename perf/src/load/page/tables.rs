//! The numbers behind the plots, and what has no plot.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::load::baseline::{Ratio, caution};
use crate::load::figures::Figures;
use crate::load::pairs::{PairsReport, shown};
use crate::load::parameters::Parameters;
use crate::load::report::CheckReport;
use crate::load::run_report::RunReport;
use crate::load::tally::Durations;
use crate::load::threshold::Judged;
use crate::load::unit::Unit;

/// Every histogram.
pub(super) fn durations(figures: &Figures) -> Markup {
    rows(figures.durations.iter().map(|(name, d)| (name.clone(), d)))
}

/// Some of them.
pub(super) fn rows<'a>(rows: impl Iterator<Item = (String, &'a Durations)>) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th scope="col" { "duration" }
                @for column in ["count", "p50", "p90", "p99", "p99.9", "max"] { th.n scope="col" { (column) } }
            } }
            tbody {
                @for (name, durations) in rows {
                    tr {
                        th scope="row" { (name) }
                        td.n { (durations.0.len()) }
                        @for us in quantiles(durations) { td.n { (us) } }
                    }
                }
            }
        } }
    }
}

fn quantiles(durations: &Durations) -> [String; 5] {
    let us = &durations.0;
    if us.is_empty() {
        return [const { String::new() }; 5];
    }
    let at = |q| us.value_at_quantile(q);
    let values = [at(0.5), at(0.9), at(0.99), at(0.999), us.max()];
    values.map(|us| Unit::Time.show(us as f64))
}

/// What became of each threshold.
pub(super) fn thresholds(judged: &[Judged]) -> Markup {
    html! {
        div.wide { table {
            thead { tr { th scope="col" { "fails if" } th scope="col" { "" } th scope="col" { "measured" } } }
            tbody { @for one in judged {
                tr.bad[one.failed] {
                    th scope="row" { code { (one.threshold) } }
                    td { (verdict(one.failed)) }
                    td { (one.says) }
                }
            } }
        } }
    }
}

fn verdict(failed: bool) -> Markup {
    html! { @if failed { span.failed { "✗ failed" } } @else { span.held { "✓ held" } } }
}

/// What became worse first; the others where they are asked for.
pub(super) fn comparison(ratios: &[Ratio]) -> Markup {
    let (judged, told): (Vec<_>, Vec<_>) = ratios.iter().partition(|ratio| ratio.judged);
    let (worse, held): (Vec<_>, Vec<_>) = judged.iter().partition(|ratio| ratio.regressed);
    html! {
        @if let Some(caution) = caution(ratios) { p.warn { "Note: " (caution) "." } }
        p.lead {
            @if worse.is_empty() { "None of " (judged.len()) " judged measures is worse than it may be." }
            @else { (worse.len()) " of " (judged.len()) " judged measures are worse than they may be." }
        }
        @if !worse.is_empty() { (ratios_table(&worse)) }
        @for (rest, says) in [(&held, "judged measures held"), (&told, "further measures, told and not judged")] {
            @if !rest.is_empty() {
                details { summary { (rest.len()) " " (says) } (ratios_table(rest)) }
            }
        }
    }
}

fn ratios_table(ratios: &[&Ratio]) -> Markup {
    html! {
        div.wide { table {
            thead { tr { th scope="col" { "measure" } th.n scope="col" { "ratio" } th scope="col" { "" } th scope="col" { "before and now" } } }
            tbody { @for one in ratios {
                tr.bad[one.regressed] {
                    th scope="row" { (one.measure) }
                    td.n { (one.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}"))) }
                    td { @if one.judged { (verdict(one.regressed)) } }
                    td { (one.says) }
                }
            } }
        } }
    }
}

/// What each process used in all.
pub(super) fn processes(run: &RunReport) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th scope="col" { "process" }
                @for column in ["pid", "CPU time", "of one processor", "memory at begin", "at end", "most"] { th.n scope="col" { (column) } }
            } }
            tbody { @for one in &run.processes {
                tr.bad[one.gone] {
                    th scope="row" { (one.name) @if one.gone { " (gone)" } }
                    td.n { (one.pid) }
                    td.n { (format!("{:.2} s", one.cpu_s)) }
                    td.n { (Unit::Percent.show(100.0 * one.cpu_s / run.measured_s)) }
                    @for bytes in [one.rss_begin_bytes, one.rss_end_bytes, one.rss_peak_bytes] {
                        td.n { (Unit::Bytes.show(bytes as f64)) }
                    }
                }
            } }
        } }
    }
}

/// Requests by route, with what they were answered.
pub(super) fn routes(run: &RunReport) -> Markup {
    html! {
        @if run.rest.routes.is_empty() { p.note { "No request was sent." } }
        @else { div.wide { table {
            thead { tr {
                th scope="col" { "route" }
                @for column in ["succeeded", "p50", "p99", "max"] { th.n scope="col" { (column) } }
                th scope="col" { "statuses" }
            } }
            tbody { @for (name, route) in &run.rest.routes {
                tr {
                    th scope="row" { (name) }
                    td.n { (route.latency.count) }
                    @for us in [route.latency.p50_us, route.latency.p99_us, route.latency.max_us] {
                        td.n { @if route.latency.count > 0 { (Unit::Time.show(us as f64)) } }
                    }
                    td { (statuses(&route.statuses, route.unanswered)) }
                }
            } }
        } } }
    }
}

fn statuses(statuses: &std::collections::BTreeMap<u16, u64>, unanswered: u64) -> String {
    let mut text = String::new();
    for (status, n) in statuses {
        // Writing to memory does not fail.
        let _ = write!(text, "{n} × {status}  ");
    }
    if unanswered > 0 {
        let _ = write!(text, "{unanswered} unanswered");
    }
    text.trim_end().to_owned()
}

/// Simulations, and what clients counted.
pub(super) fn standing(run: &RunReport) -> Markup {
    let stream = &run.stream;
    html! {
        div.wide { table {
            thead { tr {
                th scope="col" { "simulation" }
                @for column in ["machines", "tick", "ticks", "in", "late", "speed"] { th.n scope="col" { (column) } }
                th scope="col" { "status" }
            } }
            tbody { @for one in &run.simulations {
                tr {
                    th scope="row" { code { (one.id) } }
                    td.n { (one.entities) } td.n { (one.tick_ms) " ms" } td.n { (one.ticks) }
                    td.n { (format!("{:.1} s", one.over_s)) }
                    td.n { (one.late_ticks) } td.n { (format!("{:.3}", one.achieved_speed)) }
                    td { (one.status) }
                }
            } }
        } }
        div.wide { table {
            thead { tr {
                th scope="col" { "clients of" }
                @for column in ["messages", "a second", "bytes a second", "ticks", "events", "skipped", "read whole"] { th.n scope="col" { (column) } }
            } }
            tbody { @for (form, read) in [("JSON", &stream.json), ("binary", &stream.binary)] {
                tr {
                    th scope="row" { (form) }
                    td.n { (read.messages) } td.n { (Unit::Rate.show(read.messages_per_s)) }
                    td.n { (Unit::ByteRate.show(read.bytes_per_s)) } td.n { (read.ticks) }
                    td.n { (read.events) } td.n { (read.skipped) } td.n { (read.decoded) }
                }
            } }
        } }
        p.note {
            (run.joined) " of " (run.clients) " clients joined; " (stream.reconnects) " reconnects, "
            (stream.failed_attempts) " attempts failed; " (stream.stalled_opened) " read nothing, "
            (stream.stalled_closed) " of those were closed."
            @for (reason, n) in &stream.reasons { " " (n) " × " (reason) "." }
        }
    }
}

/// Pairs, one by one.
pub(super) fn pairs(report: &PairsReport) -> Markup {
    html! {
        div.wide.pairs { table {
            thead { tr {
                th scope="col" { "pair" } th scope="col" { "first" }
                @for column in ["p99 without", "timer", "p99 with", "timer", "ratio", "late without", "late with"] { th.n scope="col" { (column) } }
            } }
            tbody { @for (n, pair) in report.pairs.iter().enumerate() {
                tr {
                    th scope="row" { (n + 1) }
                    td { (if pair.without_first { "without" } else { "with" }) }
                    @for run in [&pair.without, &pair.with] {
                        td.n { (Unit::Time.show(run.end_to_end().p99_us as f64)) }
                        td.n { (Unit::Time.show(run.timer_jitter().p99_us as f64)) }
                    }
                    td.n { (shown(pair.ratio_p99)) }
                    td.n { (pair.without.late_ticks()) } td.n { (pair.with.late_ticks()) }
                }
            } }
        } }
    }
}

/// What was checked, and what was found.
pub(super) fn checks(checks: &CheckReport) -> Markup {
    html! {
        section {
            h2 { "Checks" }
            p {
                (checks.violations) " violations. " (checks.compared_ticks) " ticks were compared between clients, "
                (checks.compared_digests) " digests with the database."
            }
            @if checks.violations > 0 {
                div.wide { table {
                    thead { tr { th scope="col" { "check" } th scope="col" { "where" } th scope="col" { "what" } } }
                    tbody { @for found in &checks.found.first {
                        tr.bad { th scope="row" { (found.check.name()) } td { (found.place) } td { (found.detail) } }
                    } }
                } }
            }
        }
    }
}

/// Longest value that has room beside others.
const MAX_SHORT: usize = 24;

/// What was asked for.
pub(super) fn parameters(parameters: &Parameters) -> Markup {
    html! {
        section {
            h2 { "What was asked for" }
            dl.parameters {
                @for (name, value) in parameters { div.long[value.len() > MAX_SHORT] { dt { (name) } dd { (value) } } }
            }
        }
    }
}
