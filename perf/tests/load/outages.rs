//! A gateway that stands still, and one that restarts: clients that see old ticks meanwhile are measured, not only
//! those ticks that came.

use serde_json::Value;

use crate::fake::{Fake, Fault, OUTAGE_MS};
use crate::{perf, report_of};

/// Exit code, standard error and report of a run with an outage in its middle.
fn run(fault: Fault, arguments: &[&str]) -> (Option<i32>, String, Value) {
    let fake = Fake::start(fault);
    let often = ["--duration", "3.5", "--warm-up", "0"];
    let output = perf(&fake, &[&often, arguments].concat());
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said, report_of(&output))
}

fn us(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn lasted_us() -> u64 {
    1_000 * (OUTAGE_MS.end - OUTAGE_MS.start)
}

#[test]
fn a_stream_that_stands_still_is_charged_for_every_tick_that_was_due() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("load.html");
    let condition = "staleness.p90 > 500ms";
    let arguments = ["--fail-if", condition, "--html", file.to_str().unwrap()];
    let (code, said, report) = run(Fault::StreamStalls, &arguments);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("{condition}: ")), "{said}");
    let stream = &report["run"]["stream"];
    let (seen, came) = (&stream["staleness"], &stream["end_to_end"]);
    // Four clients at 60 Hz, whatever came; a third of the time nothing did.
    assert!(us(&seen["count"]).abs_diff(4 * 210) < 40, "{seen}");
    assert!(us(&seen["p50_us"]) < lasted_us() / 4, "{seen}");
    assert!(us(&seen["p90_us"]) > lasted_us() / 2, "{seen}");
    assert!(us(&seen["max_us"]) > lasted_us() * 9 / 10, "{seen}");
    assert!(us(&came["count"]) < us(&seen["count"]), "{came}");
    // It was in the first two slots, and the page says so.
    let oldest = |slot: usize| us(&report["run"]["timeline"][slot]["staleness"]["max_us"]);
    assert!(
        oldest(1) > lasted_us() * 9 / 10 && oldest(3) < oldest(1),
        "{}",
        oldest(3)
    );
    let page = std::fs::read_to_string(file).unwrap();
    assert!(
        page.contains("clients that saw what was more than 500 ms old. The worst began at 1 s")
    );
    assert!(!page.contains("In no slot"));
}

#[test]
fn a_gateway_that_restarts_is_waited_for_since_the_first_attempt() {
    let (code, said, report) = run(Fault::Restarts, &[]);
    assert_eq!(code, Some(0), "{said}: {}", report["checks"]);
    let stream = &report["run"]["stream"];
    let seen = &stream["staleness"];
    assert!(us(&seen["max_us"]) > lasted_us() * 9 / 10, "{seen}");
    // Each client came once before and once after; the attempts between opened nothing.
    assert_eq!(us(&stream["reconnects"]), 4, "{stream}");
    assert!(us(&stream["failed_attempts"]) >= 8, "{stream}");
    for waited in [&stream["hello"], &stream["connect"]] {
        assert_eq!(us(&waited["count"]), 8, "{waited}");
        assert!(us(&waited["max_us"]) > lasted_us() * 3 / 4, "{waited}");
    }
    let slots = report["run"]["timeline"].as_array().unwrap();
    let broken: u64 = slots.iter().map(|slot| us(&slot["broken"])).sum();
    assert_eq!(broken, 4 + us(&stream["failed_attempts"]), "{slots:?}");
}
