//! Bad input, from a client to the database and back: a handful; the gateway's own tests have every case.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::database::Database;
use crate::history::{begin, tick, tick_of};
use crate::processes::Service;

#[test]
fn bad_input_is_answered_with_a_problem_and_disturbs_no_run() {
    let service = Service::start(Database::sqlite());
    let api = &service.api;
    let id = begin(&service, &1.into());
    let path = format!("/v1/simulations/{id}");
    service.simulation_when(&id, "it goes on", |s| tick(s) > 5);
    let good = json!({"name": "x", "scenario": "dense", "entities": 64, "tick_ms": 20});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let post = |path: &str, body: &Value, status: u16, kind: &str| {
        let problem = api.post(path, body).expect(status);
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
        problem
    };
    let get = |path: &str, status: u16, kind: &str| {
        let problem = api.get(path).expect(status);
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{problem}");
    };

    let creation = "/v1/simulations";
    let unknown = post(creation, &with("colour", json!("red")), 422, "invalid");
    assert!(unknown.to_string().contains("colour"), "{unknown}");
    let wrong_type = post(creation, &with("entities", json!("many")), 422, "invalid");
    assert_eq!(wrong_type["field"], "entities");
    let out_of_range = post(creation, &with("tick_ms", json!(0)), 422, "invalid");
    assert_eq!(out_of_range["field"], "tick_ms");
    let absent = post(
        creation,
        &with("scenario", json!("harvest")),
        422,
        "invalid",
    );
    assert_eq!(absent["field"], "scenario");

    get("/v1/simulations/no-id", 422, "invalid");
    get(
        "/v1/simulations/01890000-0000-7000-8000-000000000000",
        404,
        "not-found",
    );
    get(&format!("{path}/events?cursor=none"), 422, "bad-cursor");
    get("/v1/nothing", 404, "no-such-route");

    post(
        &format!("{path}/start"),
        &json!({}),
        409,
        "invalid-transition",
    );
    post(
        &format!("{path}/step"),
        &json!({}),
        409,
        "invalid-transition",
    );
    let commands = format!("{path}/commands");
    post(
        &commands,
        &json!({"entity": 0, "command": "hold"}),
        422,
        "invalid",
    );
    post(
        &commands,
        &json!({"entity": 1_000_000, "command": "hold"}),
        422,
        "invalid",
    );
    post(
        &commands,
        &json!({"entity": 1, "command": "fly"}),
        422,
        "invalid",
    );
    post(
        &commands,
        &json!({"entity": 1, "command": "hold", "tick": 1}),
        409,
        "tick-passed",
    );

    let keyed = |entity: u32| {
        let body = json!({"entity": entity, "command": "hold"});
        api.call(Method::POST, &commands, Some(&body), Some("once"))
            .expect("it answers")
    };
    let first = keyed(1).expect(202);
    assert_eq!(keyed(1).expect(202), first);
    assert_eq!(keyed(2).expect(422)["type"], "/problems/key-reused");

    let before = tick_of(&service, &id);
    let after = service.simulation_when(&id, "it goes on", |s| tick(s) > before + 20);
    assert_eq!(after["status"], "running");
    let there = api.list("/v1/simulations");
    assert_eq!(there.len(), 1, "nothing was created: {there:?}");
}
