//! Every route of a simulation's life, as a user goes through it.

use serde_json::json;
use transport::control::{Ask, Speed, Target};

use crate::bench::Bench;
use crate::http::send;

#[tokio::test]
async fn a_simulation_is_created_read_and_deleted() {
    let bench = Bench::start().await;
    let body = json!({
        "name": "beet", "scenario": "weeding", "entities": 24, "tick_ms": 20, "seed": 7, "speed": 2.5,
        "max_ticks": 100, "digest_every": 5, "late_policy": "fail", "params": {},
    });
    let created = bench.post("/v1/simulations", body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let simulation = created.json();
    let expected = json!({
        "id": simulation["id"], "name": "beet", "scenario": "weeding", "entities": 24, "tick_ms": 20,
        "seed": 7, "speed": 2.5, "max_ticks": 100, "digest_every": 5, "late_policy": "fail",
        "status": "created", "cause": "requested", "tick": 0, "sim_time_s": 0.0, "achieved_speed": 0.0,
        "late_ticks": 0, "dilated_ms": 0, "digest": "0000000000abcdef", "digest_tick": 0,
        "created_at": "2023-11-14T22:13:20.000000Z", "started_at": null, "ended_at": null, "parent": null,
        "parent_tick": null, "replaying_to": null, "history_lag_ticks": 0,
    });
    assert_eq!(simulation, expected);
    let path = created.header("location").unwrap().to_owned();
    assert_eq!(
        path,
        format!("/v1/simulations/{}", simulation["id"].as_str().unwrap())
    );
    assert_eq!(
        simulation["id"].as_str().unwrap().as_bytes()[14],
        b'7',
        "a UUID of version 7"
    );
    assert_eq!(bench.get(&path).await.json(), simulation);
    let deleted = send("DELETE", &path).to(bench.address).await;
    assert_eq!((deleted.status, deleted.text().as_str()), (204, ""));
    bench.get(&path).await.problem(404, "not-found");
    let again = send("DELETE", &path).to(bench.address).await;
    again.problem(404, "not-found");
}

#[tokio::test]
async fn what_is_left_out_has_its_default() {
    let bench = Bench::start().await;
    let created = bench
        .post("/v1/simulations", json!({"scenario": "dense"}))
        .await;
    let simulation = created.json();
    assert_eq!(simulation["name"], "dense");
    assert_eq!(
        (&simulation["entities"], &simulation["tick_ms"]),
        (&json!(1_000), &json!(50))
    );
    assert_eq!(
        (&simulation["seed"], &simulation["speed"]),
        (&json!(1), &json!(1.0))
    );
    assert_eq!(
        (&simulation["max_ticks"], &simulation["digest_every"]),
        (&json!(null), &json!(20))
    );
}

#[tokio::test]
async fn a_life_goes_from_status_to_status_and_no_other_way() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    let go = async |step: &str| {
        send("POST", format!("{path}/{step}"))
            .to(bench.address)
            .await
    };
    let wrong = go("resume").await.problem(409, "invalid-transition");
    assert_eq!(wrong["detail"], "the simulation is created");
    for (step, status) in [
        ("start", "running"),
        ("pause", "paused"),
        ("step", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
    ] {
        let after = go(step).await;
        assert_eq!(after.status, 200, "{step}: {}", after.text());
        assert_eq!(after.json()["status"], status);
    }
    for step in ["start", "pause", "resume", "step", "stop"] {
        let wrong = go(step).await.problem(409, "invalid-transition");
        assert_eq!(wrong["detail"], "the simulation is stopped");
    }
}

#[tokio::test]
async fn bodies_of_a_life_may_be_empty_objects_or_null_and_a_step_may_be_long() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    assert_eq!(
        bench.post(&format!("{path}/start"), json!({})).await.status,
        200
    );
    assert_eq!(
        bench
            .post(&format!("{path}/pause"), json!(null))
            .await
            .status,
        200
    );
    let stepped = bench
        .post(&format!("{path}/step"), json!({"ticks": 40}))
        .await;
    assert_eq!(stepped.json()["tick"], 40);
    let wrong = bench
        .post(&format!("{path}/step"), json!({"ticks": 0}))
        .await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "ticks");
    let wrong = bench
        .post(&format!("{path}/resume"), json!({"now": true}))
        .await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "now");
}

#[tokio::test]
async fn speed_and_name_change() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    let change = async |body| send("PATCH", &path).json(&body).to(bench.address).await;
    let changed = change(json!({"speed": "max", "name": "new"})).await;
    assert_eq!(
        (&changed.json()["speed"], &changed.json()["name"]),
        (&json!("max"), &json!("new"))
    );
    assert_eq!(change(json!({"speed": 0.1})).await.json()["speed"], 0.1);
    let Ask::Change { speed, name, .. } = bench.orchestrator.last().ask else {
        panic!("it was no change");
    };
    assert_eq!((speed, name), (Some(Speed::Milli(100)), None));
    for body in [
        json!({"speed": 0.09}),
        json!({"speed": 1000.1}),
        json!({"speed": "fast"}),
        json!({"speed": [1]}),
        json!({}),
    ] {
        let wrong = change(body).await.problem(422, "invalid");
        assert_eq!(wrong["field"], "speed", "{wrong}");
    }
    let wrong = change(json!({"name": ""})).await.problem(422, "invalid");
    assert_eq!(wrong["field"], "name");
}

#[tokio::test]
async fn lists_come_in_pages_with_a_filter() {
    let bench = Bench::start().await;
    let mut paths = Vec::new();
    for _ in 0..7 {
        paths.push(bench.simulation(12).await);
    }
    for path in &paths[..3] {
        bench.post(&format!("{path}/start"), json!({})).await;
    }
    let mut ids = paths
        .iter()
        .map(|path| path.rsplit('/').next().unwrap().to_owned())
        .collect::<Vec<_>>();
    let mut seen = Vec::new();
    let mut next = "/v1/simulations?limit=3".to_owned();
    for expected in [3, 3, 1] {
        let page = bench.get(&next).await.json();
        let items = page["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), expected);
        seen.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("/v1/simulations?limit=3&cursor={cursor}"),
            None => assert_eq!(expected, 1),
        }
    }
    // Those of one millisecond have no order of their own.
    ids.sort();
    assert_eq!(seen, ids);
    let running = bench.get("/v1/simulations?status=running").await.json();
    assert_eq!(running["items"].as_array().unwrap().len(), 3);
    assert!(running["next_cursor"].is_null());
    // A cursor is good for its own list only.
    let page = bench.get("/v1/simulations?limit=3").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    for query in [
        format!("status=running&cursor={cursor}"),
        "cursor=abc".to_owned(),
    ] {
        let wrong = bench.get(&format!("/v1/simulations?{query}")).await;
        assert_eq!(wrong.problem(422, "bad-cursor")["field"], "cursor");
    }
}

#[tokio::test]
async fn commands_are_kept_with_their_place() {
    let bench = Bench::start().await;
    let path = bench.simulation(24).await;
    let commands = format!("{path}/commands");
    let stop = json!({"entities": [3, 1], "command": "hold", "tick": 9});
    let given = bench.post(&commands, stop).await;
    assert_eq!(given.status, 202, "{}", given.text());
    assert_eq!(given.json(), json!({"seq": 1, "tick": 9}));
    let Ask::Command(_, command) = bench.orchestrator.last().ask else {
        panic!("it was no command");
    };
    assert_eq!(command.target, Target::Entities(vec![3, 1]));
    for target in [
        json!({"all": true}),
        json!({"entity": 1}),
        json!({"site": 1}),
    ] {
        let mut body = json!({"command": "goto", "args": {"x_m": 1, "y_m": 2}});
        body.as_object_mut()
            .unwrap()
            .extend(target.as_object().unwrap().clone());
        assert_eq!(bench.post(&commands, body).await.status, 202);
    }
}

#[tokio::test]
async fn a_fork_is_another_simulation() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    let forked = bench
        .post(
            &format!("{path}/fork"),
            json!({"tick": 0, "name": "what if"}),
        )
        .await;
    assert_eq!(forked.status, 201, "{}", forked.text());
    let fork = forked.json();
    assert_eq!(fork["parent"].as_str(), path.rsplit('/').next());
    assert_eq!(
        (&fork["parent_tick"], &fork["status"]),
        (&json!(0), &json!("paused"))
    );
    let location = forked.header("location").unwrap();
    assert_ne!(location, path);
    assert_eq!(bench.get(location).await.json(), fork);
    let now = send("POST", format!("{path}/fork")).to(bench.address).await;
    assert_eq!(now.status, 201);
}
