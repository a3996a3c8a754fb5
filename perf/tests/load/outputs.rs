//! Thresholds, baselines, profiles and files: what fails, with which exit code, and what is said.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{Fake, Fault};

const SHORT: [&str; 6] = ["--duration", "0.6", "--warm-up", "0", "--rest-per-s", "100"];

/// Exit code, standard output and standard error of a short run.
fn run(fake: &Fake, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_perf"))
        .args(["load", "--url", &fake.url])
        .args(SHORT)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

fn rewrite(file: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

#[test]
fn thresholds_that_hold_are_told_and_those_that_do_not_fail_the_run() {
    let fake = Fake::start(Fault::None);
    let (code, said, _) = run(&fake, &["--fail-if", "ticks<2", "--fail-if", "tick.p99>1s"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("held    fail if tick.p99>1s: 2 ms"), "{said}");
    let conditions = ["--fail-if", "tick.p99 > 1.5ms", "--fail-if", "late_ticks>0"];
    let (code, said, error) = run(&fake, &conditions);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        error.contains("tick.p99 > 1.5ms: 2 ms, 500 us, 33.3 % above"),
        "{error}"
    );
    assert!(!error.contains("late_ticks"), "{error}");
}

#[test]
fn conditions_that_are_none_are_refused_before_anything_is_measured() {
    let fake = Fake::start(Fault::None);
    for (condition, said) in [
        ("tock.p99>12ms", "is no measure; there are"),
        ("tick.p99>12", "us, µs, ms, s"),
        ("late_ticks>1ms", "allowed: none"),
        ("cpu.gateway>80%", "--pid gateway=PID"),
        ("pairs.ratio_p99>2", "with --pairs only"),
    ] {
        let (code, out, error) = run(&fake, &["--fail-if", condition]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{condition}: {error}");
        assert!(error.contains(said), "{condition}: {error}");
    }
    assert_eq!(fake.farm.streamed.lock().unwrap().len(), 0);
}

#[test]
fn a_run_is_compared_with_one_that_was_saved() {
    let fake = Fake::start(Fault::None);
    let directory = TempDir::new().unwrap();
    let file = path(&directory, "base.json");
    // Of a pause of this machine the stream's clients would tell, and the first run had none.
    let alone = ["--json-clients", "0", "--binary-clients", "0"];
    let (code, _, error) = run(&fake, &[&alone[..], &["--save", &file]].concat());
    assert_eq!(code, Some(0), "{error}");
    let compare = ["--compare", &file, "--tolerance", "10000%"];
    let compare = [&compare[..], &alone].concat();
    let (code, said, error) = run(&fake, &compare);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("held    rest.answers_per_s"), "{said}");
    rewrite(&file, |saved| {
        saved["measures"]["achieved_speed"] = 200.into();
    });
    let speed = ["--tolerance", "achieved_speed=50x"];
    let (code, _, error) = run(&fake, &[&compare[..], &speed].concat());
    assert_eq!(code, Some(1), "{error}");
    let wanted = "achieved_speed is worse than the baseline's: 200.000 -> ";
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn a_baseline_that_does_not_fit_is_refused_by_name() {
    let fake = Fake::start(Fault::None);
    let directory = TempDir::new().unwrap();
    let file = path(&directory, "base.json");
    run(&fake, &["--save", &file]);
    let (code, _, error) = run(&fake, &["--compare", &file, "--entities", "7"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("entities: 1000 in the baseline, 7 now"),
        "{error}"
    );
    rewrite(&file, |saved| saved["version"] = 9.into());
    let (code, _, error) = run(&fake, &["--compare", &file]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("version 9 of the schema"), "{error}");
    let (code, _, error) = run(&fake, &["--compare", &path(&directory, "none.json")]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("none.json"), "{error}");
}

#[test]
fn what_is_wrong_is_no_baseline() {
    let fake = Fake::start(Fault::SumsOfFewer);
    let directory = TempDir::new().unwrap();
    let file = path(&directory, "base.json");
    let (code, _, error) = run(&fake, &["--save", &file]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("not written: checks were violated"),
        "{error}"
    );
    assert!(!Path::new(&file).exists());
}

#[test]
fn a_profile_says_what_flags_say_and_flags_count_more() {
    let fake = Fake::start(Fault::None);
    let directory = TempDir::new().unwrap();
    let file = path(&directory, "nightly.toml");
    let profile = format!(
        "url = \"{}\"\njson_clients = 3\nbinary-clients = 1\nfail-if = [\"ticks>1\"]\n",
        fake.url
    );
    fs::write(&file, profile).unwrap();
    let perf = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_perf"))
            .args(["load", "--json", "--profile", &file])
            .args(SHORT)
            .args(arguments)
            .output()
            .unwrap();
        let report: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        (
            output.status.code(),
            report,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, report, error) = perf(&["--binary-clients", "2"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("ticks>1: "), "{error}");
    assert_eq!(report.unwrap()["run"]["clients"], 5);
    let (code, _, error) = perf(&["--fail-if", "ticks<1"]);
    assert_eq!(code, Some(0), "{error}");
    fs::write(&file, "json-client = 3\n").unwrap();
    let (code, _, error) = perf(&[]);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("nightly.toml: `json-client` is no setting"),
        "{error}"
    );
}

#[test]
fn measures_and_the_timeline_are_written_as_csv() {
    let fake = Fake::start(Fault::None);
    let directory = TempDir::new().unwrap();
    let (code, _, error) = run(&fake, &["--csv", directory.path().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let measures = read("measures.csv");
    for line in [
        "measure,value,unit",
        "tick.max,2000,us",
        "late_ticks,0,",
        "not_joined,0,",
    ] {
        assert!(
            measures.lines().any(|l| l == line),
            "{line} is not in {measures}"
        );
    }
    let timeline = read("timeline.csv");
    let columns: Vec<_> = timeline
        .lines()
        .map(|line| line.split(',').count())
        .collect();
    assert!(
        columns.len() >= 2 && columns.iter().all(|n| *n == columns[0]),
        "{timeline}"
    );
}

#[test]
fn every_measure_is_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_perf"))
        .args(["load", "--list-measures"])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for name in [
        "tick ",
        "stage.<stage>",
        "late_ticks",
        "MiB/s",
        "worker_queue",
        "commands",
    ] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
}
