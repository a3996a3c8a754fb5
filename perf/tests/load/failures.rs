//! Requests that are refused or lost: neither is a quick answer, and a run with many of them has failed.

use serde_json::Value;

use crate::fake::{Fake, Fault};
use crate::{perf, report_of};

/// Exit code, standard error and what is said of requests, of which four of five fail at once.
fn run(fault: Fault, arguments: &[&str]) -> (Option<i32>, String, Value) {
    let fake = Fake::start(fault);
    let often = ["--duration", "1", "--warm-up", "0", "--rest-per-s", "200"];
    let routes = ["--rest-mix", "world=1"];
    let output = perf(&fake, &[&often[..], &routes, arguments].concat());
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = report_of(&output);
    (output.status.code(), said, report["run"]["rest"].clone())
}

fn counts(rest: &Value) -> [u64; 3] {
    ["all", "refusal", "failure"].map(|end| rest[end]["count"].as_u64().unwrap())
}

#[test]
fn refusals_are_no_latency_and_many_of_them_fail_the_run() {
    let (code, said, rest) = run(Fault::Refuses, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rest.failed_share>1%: 80"), "{said}");
    let [succeeded, refused, failed] = counts(&rest);
    assert!(
        succeeded.abs_diff(40) < 12 && refused.abs_diff(160) < 40,
        "{rest}"
    );
    assert_eq!(failed, 0, "{rest}");
    assert_eq!(
        rest["routes"]["world"]["statuses"]["429"], refused,
        "{rest}"
    );
    assert_eq!(
        rest["routes"]["world"]["latency"]["count"], succeeded,
        "{rest}"
    );
    let (code, said, _) = run(Fault::Refuses, &["--fail-if", "rest.failed_share>90%"]);
    assert_eq!(code, Some(0), "as was asked for: {said}");
}

#[test]
fn requests_without_an_answer_are_no_latency_and_many_of_them_fail_the_run() {
    let (code, said, rest) = run(Fault::HangsUp, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rest.failed_share>1%: 80"), "{said}");
    let [succeeded, refused, failed] = counts(&rest);
    assert!(
        succeeded.abs_diff(40) < 12 && failed.abs_diff(160) < 40,
        "{rest}"
    );
    assert_eq!(refused, 0, "{rest}");
    assert_eq!(rest["routes"]["world"]["unanswered"], failed, "{rest}");
}
