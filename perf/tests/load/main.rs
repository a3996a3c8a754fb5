//! `perf load` against a server that does everything right, and against ones that do one thing wrong: every
//! check is seen failing.

#![allow(missing_docs)]

mod failures;
mod fake;
mod outages;
mod outputs;
mod page;
mod pairs;
mod progress;
mod stream;
mod terminal;
mod wire;

use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::fake::{Fake, Fault, STALL};

/// `perf load` against the server, with its report as JSON.
fn perf(fake: &Fake, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_perf"))
        .args(["load", "--json", "--url", &fake.url, "--rate-hz", "60"])
        .args([
            "--json-clients",
            "2",
            "--binary-clients",
            "2",
            "--decode-one-in",
            "1",
        ])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn short(fault: Fault, arguments: &[&str]) -> (Output, Value) {
    let fake = Fake::start(fault);
    let often = ["--duration", "1", "--warm-up", "0", "--rest-per-s", "200"];
    let arguments = [&often, arguments].concat();
    let output = perf(&fake, &arguments).wait_with_output().unwrap();
    let report = report_of(&output);
    (output, report)
}

fn report_of(output: &Output) -> Value {
    let told = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told()))
}

fn assert_found(fault: Fault, check: &str, place: &str) {
    let (output, report) = short(fault, &[]);
    let checks = &report["checks"];
    assert_eq!(output.status.code(), Some(1), "{fault:?}: {checks}");
    assert!(
        checks["counts"][check].as_u64() > Some(0),
        "{fault:?}: {checks}"
    );
    let first = checks["first"].as_array().unwrap();
    let found = first.iter().find(|v| v["check"] == check).unwrap();
    assert!(
        found["place"].as_str().unwrap().contains(place),
        "{fault:?}: {found}"
    );
    // It is the only thing that is wrong.
    assert_eq!(
        checks["counts"].as_object().unwrap().len(),
        1,
        "{fault:?}: {checks}"
    );
}

#[test]
fn a_server_that_does_everything_right_is_measured_in_every_way() {
    let directory = std::env::temp_dir().join(format!("perf-load-{}", std::process::id()));
    let pid = format!("self={}", std::process::id());
    let hgrm = directory.to_str().unwrap();
    let (output, report) = short(Fault::None, &["--pid", &pid, "--hgrm", hgrm]);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    assert_eq!(output.stderr, b"", "it is no terminal");
    let (run, checks) = (&report["run"], &report["checks"]);
    assert_eq!((&run["joined"], &run["clients"]), (&4.into(), &4.into()));
    let count = |value: &Value| value["count"].as_u64().unwrap();
    for form in ["json", "binary"] {
        let received = &run["stream"][form];
        assert!(count(&received["end_to_end"]) > 40, "{received}");
        assert!(count(&received["jitter"]) > 40 && count(&received["sent_to_received"]) > 40);
        assert!(received["events"].as_u64() > Some(40));
        assert!(received["bytes_per_s"].as_f64() > Some(1_000.0));
    }
    assert_eq!(count(&run["stream"]["hello"]), 4);
    let routes = run["rest"]["routes"].as_object().unwrap();
    assert_eq!(routes.len(), 11, "{routes:?}");
    assert!(routes.iter().all(|(_, route)| route["unanswered"] == 0));
    assert!(
        count(&run["rest"]["all"]).abs_diff(200) < 40,
        "{}",
        run["rest"]["all"]
    );
    let simulation = &run["simulations"][0];
    assert!(simulation["ticks"].as_u64() > Some(40) && simulation["late_ticks"] == 0);
    // Two were added with each tick, whatever there was before.
    let added = count(&simulation["stages"]["tick_latency"]);
    assert!((80..400).contains(&added), "{added}");
    assert!(count(&run["timer_jitter"]) > 50 && count(&report["idle_timer_jitter"]) == 1_000);
    let named: Vec<_> = run["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(named, ["perf", "self"]);
    assert!(checks["compared_ticks"].as_u64() > Some(40), "{checks}");
    assert!(checks["compared_digests"].as_u64() > Some(1), "{checks}");
    let timeline = run["timeline"].as_array().unwrap();
    let (from_s, to_s) = (&timeline[0]["from_s"], timeline[0]["to_s"].as_f64());
    assert_eq!((from_s.as_f64(), to_s), (Some(0.0), Some(1.0)));
    let slot = &timeline[0];
    assert!(slot["end_to_end"]["count"].as_u64() > Some(80), "{slot}");
    assert!(slot["rest"]["count"].as_u64() > Some(100), "{slot}");
    assert!(
        slot["processes"]["self"]["rss_bytes"].as_f64() > Some(1e6),
        "{slot}"
    );
    let sent = slot["traffic"]["gateway_sent"].as_f64().unwrap();
    assert!(
        (sent - 1e6).abs() < 5e4,
        "a thousand bytes a millisecond: {slot}"
    );
    for file in [
        "end_to_end",
        "binary_jitter",
        "rest_commands",
        "stage_compute",
        "tick",
    ] {
        let text = std::fs::read_to_string(directory.join(format!("{file}.hgrm"))).unwrap();
        assert!(text.contains("Percentile"), "{file}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn ticks_out_of_order_twice_or_of_an_old_epoch_are_found() {
    assert_found(Fault::TickTwice, "tick_order", "client");
    assert_found(Fault::TickBack, "tick_order", "client");
    assert_found(Fault::OldEpoch, "epoch_order", "of s-1");
}

#[test]
fn a_missing_tick_is_found_and_one_that_is_told_is_counted() {
    assert_found(Fault::TickMissing, "missing_tick", "client");
    let (output, report) = short(Fault::TickSkippedAsTold, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    assert!(report["run"]["stream"]["json"]["skipped"].as_u64() >= Some(2));
}

#[test]
fn a_gap_in_the_events_is_found() {
    assert_found(Fault::EventGap, "event_gap", "client");
}

#[test]
fn wrong_counts_and_machines_are_found() {
    assert_found(Fault::MachineLess, "entity_count", "client");
    assert_found(Fault::OtherTotal, "entities_total", "client");
    assert_found(Fault::SumsOfFewer, "aggregates", "client");
}

#[test]
fn a_machine_twice_is_found() {
    let alone = ["--binary-clients", "0"];
    let fake = Fake::start(Fault::MachineTwice);
    let arguments = [&["--duration", "1", "--warm-up", "0.1"][..], &alone].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_perf"));
    command.args(["load", "--json", "--url", &fake.url, "--decode-one-in", "1"]);
    let output = command.args(arguments).output().unwrap();
    let report = report_of(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(report["checks"]["counts"]["entities"].as_u64() > Some(0));
}

#[test]
fn clients_that_are_told_differently_are_found() {
    assert_found(Fault::OtherSumsInBinary, "agreement", "of s-1");
}

#[test]
fn another_digest_in_the_database_is_found() {
    assert_found(Fault::OtherDigest, "digest", "/digests");
}

#[test]
fn a_message_that_is_cut_short_is_found() {
    assert_found(Fault::ShortBinary, "malformed", "binary client");
}

#[test]
fn answers_that_should_not_be_are_found() {
    assert_found(
        Fault::ServerError,
        "status",
        "GET /v1/simulations/s-1/metrics",
    );
    assert_found(Fault::SamePlace, "command_stamp", "POST");
    assert_found(Fault::RepeatedAnew, "command_stamp", "POST");
}

#[test]
fn a_stall_is_charged_for_every_request_it_kept_waiting() {
    let one = [
        "--rest-connections",
        "1",
        "--rest-mix",
        "simulation=1",
        "--duration",
        "2",
    ];
    let few = [
        "--json-clients",
        "0",
        "--binary-clients",
        "0",
        "--warm-up",
        "0.5",
    ];
    let fake = Fake::start(Fault::RestStalls);
    let mut command = Command::new(env!("CARGO_BIN_EXE_perf"));
    command.args(["load", "--json", "--url", &fake.url, "--rest-per-s", "100"]);
    let output = command.args(one).args(few).output().unwrap();
    let report = report_of(&output);
    let all = &report["run"]["rest"]["all"];
    // A fifth of all requests was due in the stall or behind it; closed loop, it would be one.
    let stall_us = STALL.as_micros() as u64;
    assert!(all["p90_us"].as_u64() > Some(stall_us / 4), "{all}");
    assert!(all["count"].as_u64().unwrap().abs_diff(200) < 10, "{all}");
}

#[test]
fn clients_come_again_and_go_on_with_the_next_event() {
    let (output, report) = short(Fault::Closes, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    let stream = &report["run"]["stream"];
    assert!(stream["reconnects"].as_u64() > Some(3), "{stream}");
    assert!(stream["reasons"].to_string().contains("closed"), "{stream}");
}

#[test]
fn clients_that_come_again_say_which_epoch_they_saw_and_are_told_again_what_is_void() {
    let fake = Fake::start(Fault::TakenOver);
    let output = perf(&fake, &["--duration", "2", "--warm-up", "0"])
        .wait_with_output()
        .unwrap();
    let report = report_of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    assert!(report["run"]["stream"]["reconnects"].as_u64() > Some(7));
    let resumed = fake.farm.resumed_from.lock().unwrap().clone();
    assert!(resumed.contains(&3) && resumed.contains(&4), "{resumed:?}");
}

#[test]
fn an_interrupt_ends_it_early_with_results_and_nothing_left_behind() {
    let fake = Fake::start(Fault::None);
    let child = perf(&fake, &["--duration", "600", "--warm-up", "0"]);
    fake.wait_for_ticks(100);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let report = report_of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    assert_eq!(report["interrupted"], true);
    assert!(report["run"]["stream"]["json"]["ticks"].as_u64() > Some(0));
    assert_eq!(fake.farm.deleted.load(Ordering::SeqCst), 1);
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    let fake = Fake::start(Fault::None);
    let output = perf(&fake, &["--pairs", "2"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let nobody = Command::new(env!("CARGO_BIN_EXE_perf"))
        .args(["load", "--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(1));
}
