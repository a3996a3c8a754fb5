//! What is told of machines where no view has come.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use transport::control::Status;

use crate::sample::{SIMULATION, Sample};
use crate::stream_limits::{LATEST_PATIENCE, StreamBounds};
use crate::stream_stage::Stage;

/// Much less than a view is waited for.
const QUICK: Duration = Duration::from_millis(LATEST_PATIENCE.as_millis() as u64 / 2);

struct Answered {
    status: u16,
    head: String,
    body: Value,
    took: Duration,
}

async fn entities(stage: &Stage, query: &str) -> Answered {
    let started = Instant::now();
    let mut socket = TcpStream::connect(stage.address).await.unwrap();
    let request = format!(
        "GET /v1/simulations/{SIMULATION}/entities{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        stage.address
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answered {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap(),
        took: started.elapsed(),
    }
}

async fn stage(status: Status, has_worker: bool) -> Stage {
    let stage = Stage::new(Sample::weeding(30, 12), StreamBounds::default()).await;
    let mut known = stage.orchestrator.known();
    (known.status, known.has_worker) = (status, has_worker);
    drop(known);
    stage
}

#[tokio::test]
async fn machines_of_one_that_was_not_started_are_as_they_are_created_though_no_worker_is_there() {
    let stage = stage(Status::Created, false).await;
    let page = entities(&stage, "").await;
    assert_eq!((page.status, &page.body["tick"]), (200, &0.into()));
    let items = page.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 30);
    for machine in items {
        let (now, home) = (&machine["now"], &machine["home_m"]);
        let off = now["x"].as_f64().unwrap() - home[0].as_f64().unwrap();
        assert!(off.abs() < 0.2, "{machine}");
        assert_eq!(now["state"], "idle");
    }
    let idle = entities(&stage, "?state=idle").await;
    assert_eq!(idle.body["items"].as_array().unwrap().len(), 30);
    let working = entities(&stage, "?state=working").await;
    assert_eq!(
        (
            working.status,
            working.body["items"].as_array().unwrap().len()
        ),
        (200, 0)
    );
    // Who watches sees the same, and goes on from there.
    let mut watcher = stage.watch("autofarm.v1.json", "").await;
    let tick = watcher.of_type("tick").await;
    assert_eq!(
        (&tick["tick"], &tick["aggregates"]["machines"]),
        (&0.into(), &30.into())
    );
    stage.orchestrator.publish(1, &[]).await;
    assert_eq!(watcher.of_type("tick").await["tick"], 1);
}

#[tokio::test]
async fn without_a_worker_it_is_said_at_once_that_there_is_none() {
    let stage = stage(Status::Running, false).await;
    let unseen = entities(&stage, "?state=idle").await;
    assert_eq!(unseen.status, 503);
    assert!(unseen.head.contains("retry-after: "), "{}", unseen.head);
    let detail = unseen.body["detail"].as_str().unwrap();
    assert!(detail.contains("no worker that could show"), "{detail}");
    assert!(unseen.took < QUICK, "{:?}", unseen.took);
    let page = entities(&stage, "").await;
    assert_eq!((page.status, &page.body["tick"]), (200, &Value::Null));
    assert!(page.took < QUICK, "{:?}", page.took);
}

#[tokio::test]
async fn of_one_that_has_ended_nobody_is_waited_for() {
    let stage = stage(Status::Stopped, true).await;
    let unseen = entities(&stage, "?state=idle").await;
    assert_eq!(unseen.status, 409);
    assert!(!unseen.head.contains("retry-after"), "{}", unseen.head);
    assert!(unseen.took < QUICK, "{:?}", unseen.took);
}
