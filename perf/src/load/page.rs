//! A report as one page: text, tables and plots, styles and script in it, nothing fetched. The plots are drawn here,
//! so they are there without the script, which only reads values off them.

mod over_time;
mod percentiles;
mod plot;
mod stages;
mod tables;
mod tiles;

use std::time::{Duration, UNIX_EPOCH};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::load::pairs::PairsReport;
use crate::load::report::{Frame, SingleReport, Verdict};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
/// The page may use what stands in it, and fetch nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Of one run.
pub(crate) fn single(report: &SingleReport) -> String {
    let run = &report.run;
    let body = html! {
        (tiles::of_run(run, report.figures()))
        (judgement(&report.verdict))
        (section("Latency by percentile", &html! {
            p.lead { "How long at most the given share took. The axis is stretched towards 100 %, since the slowest few are what is felt." }
            (percentiles::of_run(report.figures()))
        }))
        (section("Latency over time", &over_time::latency(run)))
        (section("Stages of a tick", &stages::of_run(run)))
        (section("What was read and answered", &over_time::throughput(run)))
        (section("Processors, memory and bytes by role", &html! {
            (over_time::processes(run))
            (tables::processes(run))
        }))
        (section("Every duration", &tables::durations(report.figures())))
        (section("Requests", &tables::routes(run)))
        (section("Simulations and clients", &tables::standing(run)))
        (tables::checks(&report.verdict.checks))
        (tables::parameters(&report.frame.parameters))
    };
    let title = match run.simulations.as_slice() {
        [one] => format!("{} machines under load", thousands(one.entities)),
        many => format!("{} simulations under load", many.len()),
    };
    whole(
        &title,
        &report.frame,
        &report.verdict,
        Some(run.measured_s),
        &body,
    )
}

/// Of runs in pairs.
pub(crate) fn pairs(report: &PairsReport) -> String {
    let body = html! {
        (tiles::of_pairs(report))
        @for what in &report.verdict.incomparable { p.warn { (what) } }
        (judgement(&report.verdict))
        (section("End to end by percentile", &html! {
            p.lead { "All pairs together, without and with the clients that read nothing. Where the curves lie on each other, those cost the others nothing." }
            (percentiles::of_pairs(report))
        }))
        (section("Pairs", &tables::pairs(report)))
        (tables::checks(&report.verdict.checks))
        (tables::parameters(&report.frame.parameters))
    };
    let title = format!("{} clients that read nothing", report.stalled_clients);
    whole(&title, &report.frame, &report.verdict, None, &body)
}

fn whole(
    title: &str,
    frame: &Frame,
    verdict: &Verdict,
    measured_s: Option<f64>,
    body: &Markup,
) -> String {
    let failures = verdict.failures();
    let ended = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(frame.ended_at_s));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "perf load: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.eyebrow { "AutoFarm perf load " (frame.version) }
                    h1 { (title) }
                    p.facts {
                        span { (ended) }
                        span { "gateway " (frame.gateway) }
                        @if let Some(seconds) = measured_s { span { (format!("{seconds:.1}")) " s measured" } }
                        span { (frame.processors) " processors" }
                        @if frame.interrupted { span.warn { "ended early, as asked for" } }
                    }
                    @if failures.is_empty() {
                        p.verdict.held role="status" {
                            strong { "Held" }
                            " every check, and every threshold and baseline that was given"
                        }
                    } @else {
                        div.verdict.failed role="status" {
                            strong { "Failed" }
                            ul { @for failure in &failures { li { (failure) } } }
                        }
                    }
                }
                main { (body) }
                footer {
                    p { "Times of requests and connections count from when each was due, so a stall is charged for all that it kept waiting. Latencies of requests are of those that succeeded. End to end is of ticks that came; what did not come in time shows in the age of what clients see, which is looked at whenever a client is due a tick. End to end compares two wall clocks: those of the gateway's and this program's machines." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A number with its thousands apart.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn section(title: &str, content: &Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}

fn judgement(verdict: &Verdict) -> Markup {
    html! {
        @if !verdict.thresholds.is_empty() {
            (section("Thresholds", &tables::thresholds(&verdict.thresholds)))
        }
        @if let Some(ratios) = &verdict.comparison {
            (section("Beside the baseline", &tables::comparison(ratios)))
        }
    }
}
