//! Processes killed under a stream of commands: nothing acknowledged is lost, the digests are those of
//! an undisturbed run, and the service is back soon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::api::Api;
use crate::database::Database;
use crate::service::{ROLES, Role, Service, autofarm, wait_until};

/// Longest from the start of a killed orchestrator's successor to the next new tick.
const BACK_WITHIN: Duration = Duration::from_secs(3);
/// Machines of the farm.
const ENTITIES: u32 = 640;

#[test]
fn an_orchestrator_is_killed_on_sqlite() {
    kill_many(Database::sqlite(), &[Role::Orchestrator], kills(6));
}

#[test]
fn an_orchestrator_is_killed_on_postgres() {
    kill_many(Database::postgres(), &[Role::Orchestrator], kills(6));
}

#[test]
fn everything_is_killed_at_once_on_sqlite() {
    kill_many(Database::sqlite(), &ROLES, kills(2));
}

#[test]
fn everything_is_killed_at_once_on_postgres() {
    kill_many(Database::postgres(), &ROLES, kills(2));
}

/// How often, where nothing else is said.
fn kills(usual: u32) -> u32 {
    let wanted = std::env::var("AUTOFARM_KILLS").ok();
    wanted.map_or(usual, |n| n.parse().expect("AUTOFARM_KILLS is a number"))
}

fn kill_many(database: Database, roles: &[Role], kills: u32) {
    let mut service = Service::start(database);
    let body = json!({
        "name": "killed", "scenario": "dense", "entities": ENTITIES, "tick_ms": 20, "seed": 7, "speed": 1,
        "digest_every": 10,
    });
    let created = service.api.post("/v1/simulations", &body).expect(201);
    let id = created["id"].as_str().expect("an id").to_owned();
    service
        .api
        .post(&format!("/v1/simulations/{id}/start"), &json!({}))
        .expect(200);
    let commands = Commander::start(service.api.clone(), &id);
    let mut longest = Duration::ZERO;
    for kill in 0..kills {
        // Further each time, so that kills fall at different places in a checkpoint's interval.
        let ticks = 20 + u64::from(kill) * 37 % 90;
        let before = tick_of(&service, &id);
        service.simulation_when(&id, "it goes on", |s| tick(s) >= before + ticks);
        let last = tick_of(&service, &id);
        if roles.len() == ROLES.len() {
            service.kill_all();
        } else {
            for role in roles {
                service.kill(*role);
            }
        }
        let begun = Instant::now();
        for role in roles {
            service.start_role(*role);
        }
        service.simulation_when(&id, "it is back", |s| {
            s["status"] == "running" && tick(s) > last
        });
        longest = longest.max(begun.elapsed());
    }
    let acknowledged = commands.stop();
    assert!(acknowledged.len() as u32 > kills, "commands went on");
    let end = acknowledged.iter().map(|c| c.tick).max().unwrap_or(0);
    service.simulation_when(&id, "the last command's tick", |s| tick(s) > end + 20);
    service
        .api
        .post(&format!("/v1/simulations/{id}/stop"), &json!({}))
        .expect(200);
    // The history is written behind the ticks: once the last digest is there, all of it is.
    let stopped = service.simulation_when(&id, "the last digest", |s| {
        s["status"] == "stopped" && s["digest_tick"] == s["tick"]
    });
    let last_tick = tick(&stopped);
    let digests = wait_until("the digests are written", || {
        let digests = digests(&service.api, &id);
        digests.contains_key(&last_tick).then_some(digests)
    });
    assert_each_command_was_heard(&service.api, &id, &acknowledged);
    let undisturbed = undisturbed(&acknowledged, last_tick);
    let differing: Vec<_> = digests
        .iter()
        .filter(|(tick, digest)| undisturbed.get(tick) != Some(digest))
        .collect();
    assert!(
        differing.is_empty(),
        "of {} digests: {differing:?}",
        digests.len()
    );
    assert!(
        digests.len() as u64 >= last_tick / 10,
        "{} digests of {last_tick} ticks",
        digests.len()
    );
    println!(
        "{kills} kills of {roles:?}, {} commands acknowledged, {last_tick} ticks, {} digests equal, back after {longest:?} at most",
        acknowledged.len(),
        digests.len()
    );
    assert!(longest <= BACK_WITHIN, "back only after {longest:?}");
}

/// A command that was acknowledged.
#[derive(Debug)]
struct Acknowledged {
    seq: u64,
    tick: u64,
    body: Value,
}

/// Gives commands until it is told to stop, each again and again under its key until it is acknowledged.
struct Commander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Acknowledged>>,
}

impl Commander {
    fn start(api: Api, id: &str) -> Commander {
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

    fn stop(self) -> Vec<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("commands were given")
    }
}

/// Gives a command until it is acknowledged.
fn give(api: &Api, path: &str, number: u32) -> Acknowledged {
    let entity = 1 + number * 37 % ENTITIES;
    let body = match number % 4 {
        0 => json!({"entity": entity, "command": "hold"}),
        1 => json!({"entity": entity, "command": "release"}),
        2 => {
            json!({"entity": entity, "command": "inject_fault", "args": {"component": "drive", "for_s": 5}})
        }
        _ => {
            json!({"entities": [entity, 1 + entity % ENTITIES], "command": "set_speed_limit", "args": {"m_per_s": 0.4}})
        }
    };
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
    Acknowledged {
        seq: answer["seq"].as_u64().expect("seq"),
        tick: answer["tick"].as_u64().expect("tick"),
        body,
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

fn tick_of(service: &Service, id: &str) -> u64 {
    tick(&service.simulation_when(id, "it can be read", |_| true))
}

fn tick(value: &Value) -> u64 {
    value["tick"].as_u64().expect("a tick")
}
