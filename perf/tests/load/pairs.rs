//! `perf load --pairs`: both halves of a pair run the same ticks.

use std::sync::atomic::Ordering;

use crate::fake::{Fake, Fault};
use crate::{perf, report_of};

const SHORT: [&str; 8] = [
    "--stalled-clients",
    "2",
    "--pairs",
    "2",
    "--duration",
    "0.5",
    "--warm-up",
    "0.2",
];

#[test]
fn pairs_are_compared_one_by_one_on_forks_at_one_tick() {
    let fake = Fake::start(Fault::None);
    let arguments = [&SHORT[..], &["--begin-at", "3"]].concat();
    let output = perf(&fake, &arguments).wait_with_output().unwrap();
    let report = report_of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    let pairs = report["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2);
    for (pair, without_first) in pairs.iter().zip([true, false]) {
        assert_eq!(pair["without_first"], without_first);
        assert_eq!(pair["without"]["stream"]["stalled_opened"], 0);
        assert_eq!(pair["with"]["stream"]["stalled_opened"], 2);
        assert!(pair["ratio_p99"].as_f64() > Some(0.0));
    }
    assert!(report["median_ratio_p99"].as_f64() > Some(0.0));
    let farm = &fake.farm;
    let forks = farm.forks.lock().unwrap().clone();
    assert!(
        forks.len() == 4 && forks.iter().all(|tick| *tick == forks[0]),
        "{forks:?}"
    );
    // 150 ticks of 20 ms, of which some had passed.
    assert!(forks[0] >= 150 && (1..=150).contains(&farm.stepped.load(Ordering::SeqCst)));
    let streamed: Vec<_> = farm.streamed.lock().unwrap().iter().cloned().collect();
    assert_eq!(streamed, ["fork-1", "fork-2", "fork-3", "fork-4"]);
    assert_eq!(
        farm.deleted.load(Ordering::SeqCst),
        5,
        "they and their parent"
    );
}

#[test]
fn a_simulation_that_is_named_is_watched_as_it_is_in_both_halves() {
    let fake = Fake::start(Fault::None);
    let arguments = [&SHORT[..], &["--simulation", "s-9", "--pairs", "1"]].concat();
    let arguments: Vec<_> = (arguments.iter().enumerate())
        .filter(|(n, _)| ![2, 3].contains(n))
        .map(|(_, argument)| *argument)
        .collect();
    let output = perf(&fake, &arguments).wait_with_output().unwrap();
    let report = report_of(&output);
    assert_eq!(output.status.code(), Some(0), "{}", report["checks"]);
    let farm = &fake.farm;
    assert!(farm.forks.lock().unwrap().is_empty());
    let streamed: Vec<_> = farm.streamed.lock().unwrap().iter().cloned().collect();
    assert_eq!(streamed, ["s-9"]);
    assert_eq!(
        farm.deleted.load(Ordering::SeqCst),
        0,
        "it is somebody's own"
    );
}

/// A stream that the stalled clients have killed once gave the best ratio of all.
#[test]
fn a_half_that_read_nothing_is_a_failure_and_no_ratio() {
    let fake = Fake::start(Fault::FirstFlows);
    let once = ["--pairs", "1", "--fail-if", "pairs.ratio_p99>1.1"];
    let arguments = [&SHORT[..2], &SHORT[4..], &once].concat();
    let output = perf(&fake, &arguments).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = report_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let pair = &report["pairs"][0];
    assert!(pair["without"]["stream"]["end_to_end"]["count"].as_u64() > Some(10));
    assert_eq!(pair["with"]["stream"]["end_to_end"]["count"], 0);
    assert!(pair["ratio_p99"].is_null() && report["median_ratio_p99"].is_null());
    for wanted in [
        "pairs.ratio_p99>1.1: nothing was measured",
        "pair 1 compares nothing: clients read ",
        "and 0 with them",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn the_ratio_is_a_measure_and_the_others_are_not_there() {
    let fake = Fake::start(Fault::None);
    let pairs = |condition: &str| {
        let arguments = [&SHORT[..], &["--fail-if", condition]].concat();
        let output = perf(&fake, &arguments).wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = pairs("pairs.ratio_p99>0");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("pairs.ratio_p99>0: "), "{said}");
    let (code, said) = pairs("tick.p99>1s");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("pairs.ratio_p99, rest.failed_share, violations"),
        "{said}"
    );
}
