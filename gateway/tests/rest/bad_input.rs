//! Bad input: each with its own answer, by the name of what is wrong.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use transport::control::RefusalKind;

use crate::bench::{Bench, config};
use crate::http::{Reply, read_all, send};
use crate::orchestrator::refusal;

#[tokio::test]
async fn fields_of_a_creation_are_refused_by_name() {
    let bench = Bench::start().await;
    for (field, body) in [
        ("scenario", json!({})),
        ("scenario", json!({"scenario": "moon"})),
        ("scenario", json!({"scenario": 3})),
        ("entities", json!({"scenario": "weeding", "entities": 0})),
        (
            "entities",
            json!({"scenario": "weeding", "entities": 1_000_001}),
        ),
        (
            "entities",
            json!({"scenario": "weeding", "entities": "many"}),
        ),
        ("entities", json!({"scenario": "weeding", "entities": -1})),
        ("entities", json!({"scenario": "weeding", "entities": 1.5})),
        (
            "entities",
            json!({"scenario": "weeding", "entities": 1_u64 << 40}),
        ),
        (
            "entities",
            json!({"scenario": "dense", "entities": 1_000_000}),
        ),
        ("tick_ms", json!({"scenario": "weeding", "tick_ms": 4})),
        ("tick_ms", json!({"scenario": "weeding", "tick_ms": 1_001})),
        ("tick_ms", json!({"scenario": "dense", "tick_ms": 1_000})),
        ("seed", json!({"scenario": "weeding", "seed": -1})),
        ("speed", json!({"scenario": "weeding", "speed": 0})),
        ("speed", json!({"scenario": "weeding", "speed": "fast"})),
        ("max_ticks", json!({"scenario": "weeding", "max_ticks": 0})),
        (
            "digest_every",
            json!({"scenario": "weeding", "digest_every": 0}),
        ),
        (
            "late_policy",
            json!({"scenario": "weeding", "late_policy": "hope"}),
        ),
        ("name", json!({"scenario": "weeding", "name": ""})),
        (
            "name",
            json!({"scenario": "weeding", "name": "x".repeat(201)}),
        ),
        ("name", json!({"scenario": "weeding", "name": "a\nb"})),
        ("colour", json!({"scenario": "weeding", "colour": "red"})),
    ] {
        let reply = bench.post("/v1/simulations", body.clone()).await;
        let problem = reply.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{body} gave {problem}");
        let is_missing = body.get(field).is_none();
        let says = problem["allowed"].is_string() || problem["limit"].is_u64();
        assert!(is_missing || says, "{body} gave {problem}");
    }
    let out_of_range = bench
        .post(
            "/v1/simulations",
            json!({"scenario": "weeding", "entities": 0}),
        )
        .await;
    assert_eq!(out_of_range.json()["allowed"], "1 to 1000000");
    assert!(
        bench.orchestrator.play().asked.is_empty(),
        "nothing of it was passed on"
    );
}

#[tokio::test]
async fn what_comes_with_a_later_model_says_so() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    let commands = format!("{path}/commands");
    for (path, field, body) in [
        (
            "/v1/simulations",
            "scenario",
            json!({"scenario": {"sites": []}}),
        ),
        (
            "/v1/simulations",
            "params",
            json!({"scenario": "weeding", "params": {"soil": "clay"}}),
        ),
        (
            &commands,
            "command",
            json!({"site": 0, "command": "set_weather", "args": {"wind": 3}}),
        ),
        (
            &commands,
            "station",
            json!({"station": 1, "command": "hold"}),
        ),
        (
            &commands,
            "args.component",
            json!({"all": true, "command": "inject_fault", "args": {"component": "gps", "for_s": 1}}),
        ),
    ] {
        let problem = bench.post(path, body).await.problem(422, "not-supported");
        assert_eq!(problem["field"], field);
        assert!(problem["detail"].as_str().unwrap().len() > 10);
    }
}

#[tokio::test]
async fn fields_of_a_command_are_refused_by_name() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    for (field, body) in [
        ("entity", json!({"command": "hold"})),
        (
            "entity",
            json!({"command": "hold", "entity": 1, "all": true}),
        ),
        ("entity", json!({"command": "hold", "entity": "one"})),
        ("entities", json!({"command": "hold", "entities": []})),
        (
            "entities[1]",
            json!({"command": "hold", "entities": [1, 1]}),
        ),
        (
            "entities[1]",
            json!({"command": "hold", "entities": [1, -1]}),
        ),
        ("command", json!({"command": "jump", "all": true})),
        ("command", json!({"all": true})),
        ("tick", json!({"command": "hold", "all": true, "tick": 0})),
        (
            "args.x",
            json!({"command": "hold", "all": true, "args": {"x": 1}}),
        ),
        (
            "args.x_m",
            json!({"command": "goto", "all": true, "args": {"x_m": 40_000, "y_m": 0}}),
        ),
        (
            "args.m_per_s",
            json!({"command": "set_speed_limit", "all": true, "args": {"m_per_s": -1}}),
        ),
        (
            "args.for_s",
            json!({"command": "inject_fault", "all": true, "args": {"component": "drive", "for_s": 0}}),
        ),
        ("when", json!({"command": "hold", "all": true, "when": 1})),
    ] {
        let reply = bench.post(&format!("{path}/commands"), body.clone()).await;
        let problem = reply.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{body} gave {problem}");
    }
}

#[tokio::test]
async fn queries_paths_and_ids_are_refused_by_name() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    for (field, get) in [
        ("limit", "/v1/simulations?limit=0".to_owned()),
        ("limit", "/v1/simulations?limit=1001".to_owned()),
        ("limit", "/v1/simulations?limit=ten".to_owned()),
        ("limit", "/v1/simulations?limit=".to_owned()),
        ("limit", "/v1/simulations?limit=1&limit=2".to_owned()),
        ("status", "/v1/simulations?status=resting".to_owned()),
        ("page", "/v1/simulations?page=2".to_owned()),
        ("id", "/v1/simulations/7".to_owned()),
        ("id", format!("/v1/simulations/{}", "0".repeat(32))),
        ("entity", format!("{path}/entities/0")),
        ("entity", format!("{path}/entities/x")),
        ("entity", format!("{path}/entities/1000001")),
        ("state", format!("{path}/entities?state=flying")),
        ("class", format!("{path}/entities?class=tractor")),
        ("site", format!("{path}/entities?site=1")),
        ("bounds_m", format!("{path}/world?bounds_m=1,2,3")),
        ("every", format!("{path}/metrics?every=0")),
        ("kind", format!("{path}/events?kind=fun")),
        ("log", format!("{path}/events?log=other")),
        ("from_tick", format!("{path}/digests?from_tick=4294967295")),
        ("stage", format!("{path}/latency?stage=none")),
        ("to_tick", format!("{path}/latency?to_tick=4294967295")),
    ] {
        let problem = bench.get(&get).await.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{get}: {problem}");
    }
    let beyond = bench.get(&format!("{path}/entities/13")).await;
    assert_eq!(beyond.problem(404, "not-found")["field"], "entity");
    let nobody = "/v1/simulations/01900000-0000-7000-8000-000000000001";
    for part in ["", "/entities", "/entities/1", "/world", "/latency"] {
        bench
            .get(&format!("{nobody}{part}"))
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_or_no_object_are_told_apart() {
    let bench = Bench::start().await;
    let post = async |body: &str| {
        let post = send("POST", "/v1/simulations")
            .header("Content-Type", "application/json; charset=utf-8");
        post.body(body).to(bench.address).await
    };
    for broken in [
        "",
        "{",
        "{\"scenario\": \"weeding\"} x",
        "nonsense",
        "{\"scenario\":\u{1}}",
    ] {
        post(broken).await.problem(400, "malformed-json");
    }
    let deep = "[".repeat(10_000);
    for other in ["[]", "3", "null", "\"x\""] {
        post(other).await.problem(422, "invalid");
    }
    post(&deep).await.problem(422, "invalid");
    // Fields in the order in which the code happens to name them.
    post(r#"[null,"weeding",1,50,1,1,1,1,null,null]"#)
        .await
        .problem(422, "invalid");
    post("{\"scenario\": \"weeding\", \"scenario\": \"dense\"}")
        .await
        .problem(422, "invalid");
    let text = send("POST", "/v1/simulations").header("Content-Type", "text/plain");
    let text = text.body("{}").to(bench.address).await;
    assert_eq!(
        text.problem(415, "unsupported-media-type")["allowed"],
        "application/json"
    );
    send("POST", "/v1/simulations")
        .body("{}")
        .to(bench.address)
        .await
        .problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused_before_and_while_it_is_read() {
    let bench = Bench::with(
        gateway::Config {
            max_body_bytes: 1_000,
            ..config()
        },
        Vec::new(),
    )
    .await;
    let long = json!({"scenario": "weeding", "name": "x".repeat(1_000)});
    let announced = bench.post("/v1/simulations", long).await;
    assert_eq!(announced.problem(413, "body-too-large")["limit"], 1_000);
    // In chunks nothing is announced.
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    let head = "POST /v1/simulations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("200\r\n{}\r\n", " ".repeat(0x200));
    socket
        .write_all((head.to_owned() + &chunk + &chunk).as_bytes())
        .await
        .unwrap();
    let reply = Reply::parse(&read_all(&mut socket).await);
    reply.problem(413, "body-too-large");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let patience = Duration::from_millis(200);
    let bench = Bench::with(
        gateway::Config {
            body_patience: patience,
            ..config()
        },
        Vec::new(),
    )
    .await;
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    let head = "POST /v1/simulations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    let started = std::time::Instant::now();
    let reply = Reply::parse(&read_all(&mut socket).await);
    reply.problem(408, "body-too-slow");
    assert!(started.elapsed() >= patience);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served_are_problems() {
    let bench = Bench::start().await;
    for path in [
        "/v1",
        "/v1/simulations/",
        "/v2/simulations",
        "/problems/none",
        "/%00",
        "/docs/none.js",
    ] {
        bench.get(path).await.problem(404, "no-such-route");
    }
    let put = send("PUT", "/v1/simulations").to(bench.address).await;
    put.problem(405, "method-not-allowed");
    let allow = put.header("allow").expect("it says what is allowed");
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[tokio::test]
async fn every_refusal_of_the_orchestrator_is_a_problem_of_its_own() {
    let bench = Bench::start().await;
    for (kind, status, slug) in [
        (RefusalKind::NotFound, 404, "not-found"),
        (RefusalKind::Exists, 409, "exists"),
        (RefusalKind::Invalid, 422, "invalid"),
        (RefusalKind::InvalidTransition, 409, "invalid-transition"),
        (RefusalKind::TickPassed, 409, "tick-passed"),
        (RefusalKind::TickNotKept, 409, "tick-not-kept"),
        (RefusalKind::OverCapacity, 503, "over-capacity"),
        (RefusalKind::StoreUnavailable, 503, "store-unavailable"),
        (RefusalKind::KeyReused, 422, "key-reused"),
        (RefusalKind::BadTicket, 401, "bad-ticket"),
        (RefusalKind::NotSupported, 422, "not-supported"),
        (RefusalKind::Ending, 503, "orchestrator-unavailable"),
    ] {
        let mut said = refusal(kind, "tick", "said so");
        said.retry_after_ms = if status == 503 { 2_500 } else { 0 };
        bench.orchestrator.play().refusal = Some(said);
        let reply = bench.get("/v1/workers").await;
        let problem = reply.problem(status, slug);
        assert_eq!(
            (&problem["field"], &problem["detail"]),
            (&json!("tick"), &json!("said so"))
        );
        let waits = (status == 503).then_some("3");
        assert_eq!(reply.header("retry-after"), waits);
        assert_eq!(
            problem["retry_after_s"],
            waits.map_or(Value::Null, |_| json!(3))
        );
    }
}

#[tokio::test]
async fn idempotency_keys_are_passed_on_with_route_and_body() {
    let bench = Bench::start().await;
    let body = json!({"scenario": "weeding", "entities": 12});
    let create = send("POST", "/v1/simulations")
        .json(&body)
        .header("Idempotency-Key", "k-1");
    let first = create.to(bench.address).await;
    let asked = bench.orchestrator.last().idempotency.expect("it has a key");
    assert_eq!(
        (asked.key.as_str(), asked.route.as_str()),
        ("k-1", "POST /v1/simulations")
    );
    assert_eq!(
        asked.body_hash,
        gateway::token::sha256(body.to_string().as_bytes())
    );
    let second = create.to(bench.address).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.json(), second.json());
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!(bench.orchestrator.play().simulations.len(), 1);
    // Without a body too.
    let path = first.header("location").unwrap().to_owned();
    let start = send("POST", format!("{path}/start")).header("Idempotency-Key", "k-2");
    assert_eq!(start.to(bench.address).await.status, 200);
    assert_eq!(
        start.to(bench.address).await.status,
        200,
        "it is not started twice"
    );
    let asked = bench.orchestrator.last().idempotency.expect("it has a key");
    assert_eq!(asked.route, format!("POST {path}/start"));
    for wrong in [
        String::new(),
        "x".repeat(256),
        "a b".to_owned(),
        "\u{e9}".to_owned(),
    ] {
        let reply = send("POST", format!("{path}/pause")).header("Idempotency-Key", wrong);
        let problem = reply.to(bench.address).await.problem(422, "invalid");
        assert_eq!(problem["field"], "Idempotency-Key");
    }
    let twice = start
        .header("Idempotency-Key", "k-3")
        .to(bench.address)
        .await;
    twice.problem(422, "invalid");
}

#[tokio::test]
async fn a_deletion_takes_an_idempotency_key_too() {
    let bench = Bench::start().await;
    let simulation = bench.simulation(12).await;
    let made = bench
        .post("/v1/tokens", json!({"name": "x", "role": "viewer"}))
        .await;
    let token = made.header("location").unwrap().to_owned();
    for (path, key) in [(simulation, "k-1"), (token, "k-2")] {
        for wrong in ["", "a b"] {
            let reply = send("DELETE", path.as_str()).header("Idempotency-Key", wrong);
            let problem = reply.to(bench.address).await.problem(422, "invalid");
            assert_eq!(problem["field"], "Idempotency-Key");
        }
        let delete = send("DELETE", path.as_str()).header("Idempotency-Key", key);
        assert_eq!(delete.to(bench.address).await.status, 204);
        let asked = bench.orchestrator.last().idempotency.expect("it has a key");
        assert_eq!(
            (asked.key.as_str(), asked.route.as_str()),
            (key, format!("DELETE {path}").as_str())
        );
        assert_eq!(asked.body_hash, gateway::token::sha256(b""));
        let again = delete.to(bench.address).await;
        assert_eq!(again.status, 204, "it is answered as the first time");
        let other = send("DELETE", path.as_str()).to(bench.address).await;
        other.problem(404, "not-found");
    }
}
