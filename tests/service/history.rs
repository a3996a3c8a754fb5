//! Commands that are given while something happens, and what must be kept afterwards: each that was
//! acknowledged, and the digests of a run that nothing happened to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use ureq::http::Method;

use crate::api::Api;
use crate::processes::{Service, autofarm, wait_until};

/// Machines of the farm.
pub(crate) const ENTITIES: u32 = 640;
/// Ticks between two digests that are kept.
pub(crate) const DIGEST_EVERY: u64 = 10;

/// Creates a simulation that commands are given to, and starts it.
pub(crate) fn begin(service: &Service, speed: &Value) -> String {
    let body = json!({
        "name": "disturbed", "scenario": "dense", "entities": ENTITIES, "tick_ms": 20, "seed": 7, "speed": speed,
        "digest_every": DIGEST_EVERY,
    });
    let created = service.api.post("/v1/simulations", &body).expect(201);
    let id = created["id"].as_str().expect("an id").to_owned();
    let start = format!("/v1/simulations/{id}/start");
    service.api.post(&start, &json!({})).expect(200);
    id
}

/// What is kept of a run that was stopped.
pub(crate) struct Kept {
    /// Its last tick.
    pub(crate) ticks: u64,
    /// Its digests, every one compared.
    pub(crate) digests: usize,
}

/// Stops a run after the last tick of these commands, and compares what is kept of it with a run that nothing
/// happened to: each command at its tick, each digest, and events without a gap.
pub(crate) fn stop_and_compare(service: &Service, id: &str, acknowledged: &[Acknowledged]) -> Kept {
    let end = acknowledged.iter().map(|c| c.tick).max().unwrap_or(0);
    service.simulation_when(id, "the last command's tick", |s| tick(s) > end + 20);
    let stopped_at = ask(service, id, "stop");
    compare_stopped(service, id, acknowledged, stopped_at)
}

/// Asks for a run to be paused, resumed or stopped; answers the tick that it was answered with.
pub(crate) fn ask(service: &Service, id: &str, what: &str) -> u64 {
    let path = format!("/v1/simulations/{id}/{what}");
    tick(&service.api.post(&path, &json!({})).expect(200))
}

/// The same of a run that was stopped, and was said to end with this tick: the window that leads there may still be in
/// flight.
pub(crate) fn compare_stopped(
    service: &Service,
    id: &str,
    acknowledged: &[Acknowledged],
    last_tick: u64,
) -> Kept {
    service.simulation_when(id, "it ends where it was said to", |s| {
        s["status"] == "stopped" && tick(s) == last_tick
    });
    // The history is written behind the ticks: once the last digest is there, all of it is.
    let digests = wait_until("the digests are written", || {
        let digests = digests(&service.api, id);
        digests.contains_key(&last_tick).then_some(digests)
    });
    assert_each_command_was_heard(&service.api, id, acknowledged);
    assert_events_have_no_gap(&service.api, id);
    let undisturbed = undisturbed(acknowledged, last_tick);
    let differing: Vec<_> = digests
        .iter()
        .filter(|(tick, digest)| undisturbed.get(tick) != Some(digest))
        .collect();
    assert!(
        differing.is_empty(),
        "of {} digests: {differing:?}",
        digests.len()
    );
    let missing: Vec<u64> = (DIGEST_EVERY..=last_tick)
        .step_by(DIGEST_EVERY as usize)
        .filter(|tick| !digests.contains_key(tick))
        .collect();
    assert!(missing.is_empty(), "no digests of {missing:?}");
    Kept {
        ticks: last_tick,
        digests: digests.len(),
    }
}

/// The seqs of both logs are 1, 2, 3, ...
fn assert_events_have_no_gap(api: &Api, id: &str) {
    for log in ["sim", "system"] {
        let events = api.list(&format!("/v1/simulations/{id}/events?log={log}"));
        let mut seqs: Vec<u64> = events
            .iter()
            .map(|e| e["seq"].as_u64().expect("a seq"))
            .collect();
        seqs.sort_unstable();
        let gap = seqs.iter().zip(1..).find(|(seq, due)| *seq != due);
        assert_eq!(gap, None, "of {} events of the log {log}", seqs.len());
    }
}

/// A command that was acknowledged.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) seq: u64,
    pub(crate) tick: u64,
    pub(crate) body: Value,
}

impl Acknowledged {
    /// A command of this body that was answered with this stamp.
    pub(crate) fn new(stamp: &Value, body: &Value) -> Acknowledged {
        Acknowledged {
            seq: stamp["seq"].as_u64().expect("seq"),
            tick: stamp["tick"].as_u64().expect("tick"),
            body: body.clone(),
        }
    }
}

/// Gives commands until it is told to stop, each again and again under its key until it is acknowledged.
pub(crate) struct Commander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Acknowledged>>,
}

impl Commander {
    pub(crate) fn start(api: Api, id: &str) -> Commander {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let path = format!("/v1/simulations/{id}/commands");
        let thread = std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                number += 1;
                acknowledged.push(give(&api, &path, number));
            }
            acknowledged
        });
        Commander { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("commands were given")
    }
}

/// Gives a command until it is acknowledged.
pub(crate) fn give(api: &Api, path: &str, number: u32) -> Acknowledged {
    let body = body_of(number);
    let key = format!("command-{number}");
    let answer = wait_until("a command is acknowledged", || {
        let answer = api.call(Method::POST, path, Some(&body), Some(&key)).ok()?;
        match answer.status {
            202 => Some(answer.body),
            // On the way to being there again.
            429 | 502 | 503 | 504 => None,
            status => panic!("{status}: {}", answer.body),
        }
    });
    Acknowledged::new(&answer, &body)
}

/// The command that is given under a number.
pub(crate) fn body_of(number: u32) -> Value {
    let entity = 1 + number * 37 % ENTITIES;
    match number % 4 {
        0 => json!({"entity": entity, "command": "hold"}),
        1 => json!({"entity": entity, "command": "release"}),
        2 => {
            json!({"entity": entity, "command": "inject_fault", "args": {"component": "drive", "for_s": 5}})
        }
        _ => {
            json!({"entities": [entity, 1 + entity % ENTITIES], "command": "set_speed_limit", "args": {"m_per_s": 0.4}})
        }
    }
}

/// Every command has left its event, at its tick.
fn assert_each_command_was_heard(api: &Api, id: &str, acknowledged: &[Acknowledged]) {
    let mut heard = BTreeMap::new();
    for kind in ["command", "command_rejected"] {
        for event in api.list(&format!("/v1/simulations/{id}/events?kind={kind}")) {
            let seq = event["detail"]["command_seq"]
                .as_u64()
                .expect("command_seq");
            heard.insert(seq, event["tick"].as_u64().expect("tick"));
        }
    }
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|c| heard.get(&c.seq) != Some(&c.tick))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// The digests of a run with the same commands that nothing happens to.
fn undisturbed(commands: &[Acknowledged], ticks: u64) -> BTreeMap<u64, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("commands.jsonl");
    let digests = directory.path().join("digests");
    let mut in_order: Vec<_> = commands.iter().filter(|c| c.tick <= ticks).collect();
    in_order.sort_by_key(|c| (c.tick, c.seq));
    let mut lines = String::new();
    for command in in_order {
        let mut line = command.body.clone();
        line["tick"] = command.tick.into();
        lines += &format!("{line}\n");
    }
    std::fs::write(&script, lines).expect("a script");
    let run = autofarm()
        .args([
            "run",
            "--scenario",
            "dense",
            "--entities",
            &ENTITIES.to_string(),
        ])
        .args([
            "--tick-ms",
            "20",
            "--seed",
            "7",
            "--ticks",
            &ticks.to_string(),
        ])
        .args(["--digest-every", "1", "--threads", "1"])
        .arg("--commands")
        .arg(&script)
        .arg("--digests")
        .arg(&digests)
        .output()
        .expect("the binary starts");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let text = std::fs::read_to_string(&digests).expect("digests");
    text.lines()
        .map(|line| {
            let (tick, digest) = line.split_once(' ').expect("tick digest");
            (tick.parse().expect("a tick"), digest.to_owned())
        })
        .collect()
}

/// The digests that are kept.
fn digests(api: &Api, id: &str) -> BTreeMap<u64, String> {
    api.list(&format!("/v1/simulations/{id}/digests"))
        .iter()
        .map(|row| {
            let digest = row["digest"].as_str().expect("a digest").to_owned();
            (tick(row), digest)
        })
        .collect()
}

pub(crate) fn tick_of(service: &Service, id: &str) -> u64 {
    tick(&service.simulation_when(id, "it can be read", |_| true))
}

pub(crate) fn tick(value: &Value) -> u64 {
    value["tick"].as_u64().expect("a tick")
}
