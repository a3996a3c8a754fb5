//! The report as a page: it is well-formed, says what was measured, and fetches nothing.

use std::process::Command;

use scraper::{Html, Selector};
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{Fake, Fault};

/// The page of a run, and its report as JSON.
fn page(fault: Fault, arguments: &[&str]) -> (String, Value) {
    let fake = Fake::start(fault);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("load.html");
    let output = Command::new(env!("CARGO_BIN_EXE_perf"))
        .args(["load", "--json", "--url", &fake.url, "--rate-hz", "60"])
        .args(["--warm-up", "0", "--rest-per-s", "100", "--html"])
        .arg(&file)
        .args(arguments)
        .output()
        .unwrap();
    let told = || String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told()));
    (std::fs::read_to_string(file).unwrap(), report)
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let found = page.select(&selector);
    found.map(|element| element.text().collect()).collect()
}

fn attributes(page: &Html, selector: &str, name: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let found = page.select(&selector);
    found
        .filter_map(|element| element.attr(name).map(str::to_owned))
        .collect()
}

fn assert_stands_alone(text: &str, page: &Html) {
    assert_eq!(page.errors, [] as [&str; 0]);
    for foreign in [
        "http://", "https://", "url(", "@import", "<link", "<img", "<iframe", " src=", " href=",
    ] {
        assert!(!text.contains(foreign), "{foreign} is in the page");
    }
    let policy = attributes(page, "meta[http-equiv=Content-Security-Policy]", "content");
    assert!(policy[0].starts_with("default-src 'none';"), "{policy:?}");
}

#[test]
fn a_page_has_the_figures_and_plots_of_its_run_and_needs_nothing_else() {
    let pid = format!("self={}", std::process::id());
    let arguments = [
        "--duration",
        "2",
        "--pid",
        &pid,
        "--fail-if",
        "tick.p99>1.5ms",
    ];
    let (text, report) = page(Fault::None, &arguments);
    let page = Html::parse_document(&text);
    assert_stands_alone(&text, &page);
    let failed = texts(&page, ".verdict.failed li");
    assert_eq!(
        failed,
        ["tick.p99>1.5ms: 2 ms, 500 us, 33.3 % above the bound"]
    );
    let tiles = texts(&page, ".tile .value");
    assert_eq!(
        (tiles[0].as_str(), tiles[3].as_str()),
        ("2 ms", "0"),
        "{tiles:?}"
    );
    // The table of all durations has the counts that the report has.
    let run = &report["run"];
    let rows = texts(&page, "tbody tr");
    for (name, count) in [
        (
            "json.end_to_end",
            &run["stream"]["json"]["end_to_end"]["count"],
        ),
        (
            "rest.world",
            &run["rest"]["routes"]["world"]["latency"]["count"],
        ),
        ("connect", &run["stream"]["connect"]["count"]),
    ] {
        let begins = format!("{name}{count}");
        assert!(
            rows.iter().any(|row| row.starts_with(&begins)),
            "{begins}: {rows:?}"
        );
    }
    for parameter in ["scenarioweeding", "rate-hz60", "duration2"] {
        let all = texts(&page, ".parameters div");
        assert!(
            all.iter().any(|one| one == parameter),
            "{parameter}: {all:?}"
        );
    }
    let plots = attributes(&page, "svg.drawn", "data-series");
    assert_eq!(
        plots.len(),
        11,
        "percentiles, latency, age, requests, four rates, CPU, memory, bytes"
    );
    let series: Vec<Value> = plots
        .iter()
        .map(|p| serde_json::from_str(p).unwrap())
        .collect();
    let labels: Vec<_> = series[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["label"])
        .collect();
    assert_eq!(labels.len(), 6, "{labels:?}");
    let slots = run["timeline"].as_array().unwrap().len();
    let p50 = series[1][0]["points"].as_array().unwrap();
    assert_eq!((slots, p50.len()), (2, 2));
    let lines = attributes(&page, "svg.drawn path[class^=s]", "d");
    assert!(lines.len() >= 13 && lines.iter().all(|d| d.starts_with('M') && d.contains('L')));
    assert_eq!(
        attributes(&page, "svg.stages rect.bar", "width").len(),
        2,
        "compute, and all"
    );
}

#[test]
fn names_with_markup_in_them_are_text() {
    let pid = format!("<b>&\"={}", std::process::id());
    let (text, _) = page(Fault::OtherTotal, &["--duration", "1", "--pid", &pid]);
    let page = Html::parse_document(&text);
    assert_stands_alone(&text, &page);
    assert_eq!(texts(&page, "th b"), [""; 0]);
    let named = texts(&page, "tbody th");
    assert!(named.iter().any(|name| name == "<b>&\""), "{named:?}");
    let violated = texts(&page, "tr.bad th");
    assert!(
        violated.iter().any(|check| check == "entities_total"),
        "{violated:?}"
    );
}

#[test]
fn a_page_of_pairs_has_both_curves_and_every_pair() {
    let arguments = [
        "--duration",
        "0.5",
        "--stalled-clients",
        "1",
        "--pairs",
        "2",
    ];
    let (text, report) = page(Fault::None, &arguments);
    let page = Html::parse_document(&text);
    assert_stands_alone(&text, &page);
    let legend = texts(&page, ".legend > span");
    assert_eq!(legend, ["without", "with"]);
    let median = report["median_ratio_p99"].as_f64().unwrap();
    assert_eq!(texts(&page, ".tile .value")[0], format!("{median:.3}"));
    let rows = texts(&page, ".pairs tbody tr");
    assert!(
        rows[0].starts_with("1without") && rows[1].starts_with("2with"),
        "{rows:?}"
    );
}
