//! An orchestrator and its workers, each a process; workers leave in every way there is.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::process::{Role, autofarm, certs, get, metric, path, until};

const FARM: [&str; 12] = [
    "--scenario",
    "dense",
    "--entities",
    "320",
    "--partition-rows",
    "32",
    "--ticks",
    "600",
    "--digest-every",
    "1",
    "--seed",
    "7",
];

const TICKS: &str = "autofarm_orchestrator_ticks_total";

/// A run under way: 12.5 ms a tick.
struct Cluster {
    orchestrator: Role,
    metrics: String,
    listen: String,
    certs: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Cluster {
        let certs = certs();
        let any = "127.0.0.1:0";
        let mut args = vec!["orchestrator", "--listen", any, "--metrics", any, "--json"];
        args.extend(["--speed", "4", "--certs", path(certs.path())]);
        args.extend(FARM);
        let mut orchestrator = Role::start(&args);
        Cluster {
            listen: orchestrator.address("listening for workers"),
            metrics: orchestrator.address("metrics"),
            orchestrator,
            certs,
        }
    }

    fn join(&self) -> Role {
        let certs = path(self.certs.path());
        let mut worker = Role::start(&[
            "worker",
            "--connect",
            &self.listen,
            "--certs",
            certs,
            "--threads",
            "1",
        ]);
        worker.said("registered");
        worker
    }

    fn until_tick(&self, tick: u64) {
        until("the tick", || metric(&self.metrics, TICKS) >= tick as f64);
    }

    /// The summary of the whole run, whose digest is that of a run nobody disturbed.
    fn finish(self) -> Value {
        let (code, text) = self.orchestrator.end();
        assert_eq!(code, Some(0), "{text}");
        let summary: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(summary["ticks"], 600);
        assert_eq!(summary["digest"], undisturbed());
        summary
    }
}

fn undisturbed() -> Value {
    let mut args = vec!["run", "--json"];
    args.extend(FARM);
    let output = autofarm(&args);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    summary["digest"].clone()
}

#[test]
fn a_killed_worker_is_replayed_by_the_others() {
    let cluster = Cluster::start();
    let (first, _second) = (cluster.join(), cluster.join());
    cluster.until_tick(150);
    first.signal(Signal::KILL);
    cluster.until_tick(300);
    let _third = cluster.join();
    let summary = cluster.finish();
    assert!(
        summary["counts"]["replays"].as_u64() > Some(0),
        "{summary:#}"
    );
    assert!(summary["stalls"]["count"].as_u64() > Some(0));
}

#[test]
fn a_stopped_worker_that_wakes_answers_too_late_and_changes_nothing() {
    let mut cluster = Cluster::start();
    let (first, _second) = (cluster.join(), cluster.join());
    cluster.until_tick(150);
    first.signal(Signal::STOP);
    cluster.orchestrator.said("a worker's result is missing");
    cluster.until_tick(250);
    first.signal(Signal::CONT);
    let summary = cluster.finish();
    assert!(
        summary["counts"]["replays"].as_u64() > Some(0),
        "{summary:#}"
    );
    assert!(
        summary["counts"]["stale_results"].as_u64() > Some(0),
        "{summary:#}"
    );
}

#[test]
fn a_worker_told_to_stop_hands_over_first_and_nothing_is_late_for_it() {
    let cluster = Cluster::start();
    let (first, _second) = (cluster.join(), cluster.join());
    cluster.until_tick(150);
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));
    let summary = cluster.finish();
    assert!(summary["counts"]["moves"].as_u64() > Some(0), "{summary:#}");
    assert_eq!(summary["counts"]["lost_workers"], 0);
}

#[test]
fn without_a_worker_the_run_waits_and_says_so() {
    let mut cluster = Cluster::start();
    cluster
        .orchestrator
        .said("no worker is there; the run waits for one");
    assert_eq!(metric(&cluster.metrics, TICKS), 0.0);
    let only = cluster.join();
    cluster.until_tick(100);
    only.signal(Signal::KILL);
    let _second = cluster.join();
    cluster.finish();
}

#[test]
fn metrics_are_served_by_both_roles() {
    let cluster = Cluster::start();
    let certs = path(cluster.certs.path());
    let mut worker = Role::start(&[
        "worker",
        "--connect",
        &cluster.listen,
        "--certs",
        certs,
        "--metrics",
        "127.0.0.1:0",
        "--name",
        "first",
    ]);
    let metrics = worker.address("metrics");
    cluster.until_tick(10);
    assert!(
        metric(
            &metrics,
            "autofarm_worker_entity_steps_total{name=\"first\"}"
        ) >= 3_200.0
    );
    assert_eq!(
        metric(&cluster.metrics, "autofarm_orchestrator_workers"),
        1.0
    );
    for address in [&metrics, &cluster.metrics] {
        assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").starts_with("HTTP/1.1 200"));
        let page = get(address, "/metrics");
        assert!(page.contains("application/openmetrics-text"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}

/// A run with workers of its own, under way: 12.5 ms a tick.
fn run() -> Role {
    let mut args = vec!["run", "--link", "quic", "--workers", "2", "--speed", "4"];
    args.extend(["--json", "--log", "info"]);
    args.extend(FARM);
    let mut run = Role::start(&args);
    run.said_that("running", |line| line["status"] == "running");
    run
}

#[test]
fn a_run_replaces_a_worker_that_somebody_else_kills() {
    let mut run = run();
    // One that dies within a second of its start is taken to be broken.
    let begun = Instant::now();
    until("a second", || begun.elapsed() > Duration::from_secs(1));
    let before = run.children();
    assert_eq!(before.len(), 2);
    kill_process(before[0], Signal::KILL).unwrap();
    run.said("a worker has ended by itself; another is started");
    until("two workers", || run.children().len() == 2);
    let (code, text) = run.end();
    assert_eq!(code, Some(0), "{text}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["digest"], undisturbed());
}

#[test]
fn a_run_that_is_interrupted_stops_its_workers_and_tells_what_it_did() {
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let run = run();
        let workers = run.children();
        run.signal(signal);
        let (code, text) = run.end();
        assert_eq!(code, Some(expected));
        let summary: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(summary["status"], "stopped");
        for worker in workers {
            assert!(
                test_kill_process(worker).is_err(),
                "a worker outlives its run"
            );
        }
    }
}

#[test]
fn no_worker_outlives_a_run_that_is_killed() {
    let run = run();
    let workers = run.children();
    run.signal(Signal::KILL);
    for worker in workers {
        until("the worker's end", || test_kill_process(worker).is_err());
    }
}

#[test]
fn an_orchestrator_that_is_stopped_says_so_with_or_without_a_worker() {
    for joins in [false, true] {
        let mut cluster = Cluster::start();
        let _worker = joins.then(|| {
            let worker = cluster.join();
            cluster.until_tick(10);
            worker
        });
        cluster
            .orchestrator
            .said_that("running", |line| line["status"] == "running");
        cluster.orchestrator.signal(Signal::TERM);
        let (code, text) = cluster.orchestrator.end();
        assert_eq!(code, Some(143), "{text}");
        let summary: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(summary["status"], "stopped");
    }
}
