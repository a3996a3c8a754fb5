//! A run of ten simulated minutes with commands, and forks of its fifth minute.

use serde_json::{Value, json};

use crate::database::Database;
use crate::processes::Service;

const TICK_MS: u64 = 50;
const MINUTE: u64 = 60_000 / TICK_MS;

#[test]
fn a_fork_with_the_same_commands_ends_in_the_same_digest_on_sqlite() {
    fork(Database::sqlite());
}

#[test]
fn a_fork_with_the_same_commands_ends_in_the_same_digest_on_postgres() {
    fork(Database::postgres());
}

fn fork(database: Database) {
    let service = Service::start(database);
    let api = &service.api;
    let body = json!({
        "name": "parent", "scenario": "dense", "entities": 320, "tick_ms": TICK_MS, "seed": 3,
        "speed": "max", "max_ticks": 10 * MINUTE,
    });
    let created = api.post("/v1/simulations", &body).expect(201);
    let parent = created["id"].as_str().expect("an id").to_owned();
    let early = [(2 * MINUTE, 5), (4 * MINUTE, 17)];
    let late = [(6 * MINUTE, 40), (7 * MINUTE, 41), (9 * MINUTE, 300)];
    for (tick, entity) in early.into_iter().chain(late) {
        give(&service, &parent, tick, entity);
    }
    api.post(&format!("/v1/simulations/{parent}/start"), &json!({}))
        .expect(200);
    let ended = completed(&service, &parent);

    let same = fork_at(&service, &parent, 5 * MINUTE);
    for (tick, entity) in late {
        give(&service, &same, tick, entity);
    }
    api.post(&format!("/v1/simulations/{same}/resume"), &json!({}))
        .expect(200);
    assert_eq!(completed(&service, &same)["digest"], ended["digest"]);

    let other = fork_at(&service, &parent, 5 * MINUTE);
    api.post(&format!("/v1/simulations/{other}/resume"), &json!({}))
        .expect(200);
    assert_ne!(completed(&service, &other)["digest"], ended["digest"]);
}

fn give(service: &Service, id: &str, tick: u64, entity: u32) {
    let body = json!({
        "entity": entity, "tick": tick, "command": "inject_fault",
        "args": {"component": "drive", "for_s": 60},
    });
    let stamp = service
        .api
        .post(&format!("/v1/simulations/{id}/commands"), &body)
        .expect(202);
    assert_eq!(stamp["tick"], tick);
}

fn fork_at(service: &Service, parent: &str, tick: u64) -> String {
    let forked = service
        .api
        .post(
            &format!("/v1/simulations/{parent}/fork"),
            &json!({"tick": tick}),
        )
        .expect(201);
    assert_eq!(forked["status"], "paused");
    assert_eq!(forked["parent"], parent);
    assert_eq!(forked["parent_tick"], tick);
    let id = forked["id"].as_str().expect("an id").to_owned();
    service.simulation_when(&id, "the fork is at its tick", |s| s["tick"] == tick);
    id
}

fn completed(service: &Service, id: &str) -> Value {
    service.simulation_when(id, "it is completed", |s| {
        s["status"] == "completed" && s["digest_tick"] == s["tick"]
    })
}
