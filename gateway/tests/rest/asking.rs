//! The way to the orchestrator: lost, silent, refused, full, and taken over.

use serde_json::json;
use transport::control::{Access, Ask};
use transport::frame::Frame;
use transport::header::{Header, Kind};

use crate::bench::{Bench, config, token};
use crate::http::send;
use crate::orchestrator::Tell;

#[tokio::test]
async fn without_an_orchestrator_it_lives_and_is_not_ready() {
    let bench = Bench::unconnected(config(), Vec::new()).await;
    bench.orchestrator.end();
    bench.orchestrator.play().refuses_gateways = true;
    assert_eq!(bench.get("/healthz").await.status, 200);
    bench
        .get("/readyz")
        .await
        .problem(503, "orchestrator-unavailable");
    let reply = bench.get("/v1/simulations").await;
    reply.problem(503, "orchestrator-unavailable");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(bench.get("/v1/scenarios").await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_never_heard_the_tokens_calls_none_unknown() {
    let (known, text) = token(7, Access::Viewer);
    let bench = Bench::unconnected(config(), vec![known]).await;
    bench.orchestrator.end();
    let get = send("GET", "/v1/scenarios").token(&text);
    let reply = get.to(bench.address).await;
    reply.problem(503, "orchestrator-unavailable");
    assert_eq!(reply.header("retry-after"), Some("1"));
    // What is no token at all is none whoever is asked.
    let basic = send("GET", "/v1/scenarios").header("Authorization", "Basic eDp5");
    let refused = basic.to(bench.address).await;
    refused.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_lost_connection_is_made_anew_and_what_waited_is_told() {
    let bench = Bench::start().await;
    assert_eq!(bench.get("/readyz").await.status, 200);
    bench.orchestrator.play().is_silent = true;
    let waiting = tokio::spawn(send("GET", "/v1/workers").answered_by(bench.address));
    while bench.orchestrator.play().asked.is_empty() {
        tokio::task::yield_now().await;
    }
    bench.orchestrator.tell(Tell::Drop);
    let reply = waiting.await.unwrap();
    let problem = reply.problem(503, "orchestrator-unavailable");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("may or may not have been done")
    );
    bench.orchestrator.play().is_silent = false;
    assert!(bench.app.client.wait_ready().await);
    assert_eq!(bench.get("/v1/workers").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_ends() {
    let bench = Bench::start().await;
    bench.orchestrator.play().is_silent = true;
    let asked = bench.app.client.ask(0, None, Ask::Workers).await;
    assert_eq!(asked, Err(gateway::client::AskError::Timeout));
}

#[tokio::test]
async fn more_questions_than_may_wait_are_refused_at_once() {
    let bench = Bench::start().await;
    bench.orchestrator.play().is_silent = true;
    let client = bench.app.client.clone();
    let mut waiting = tokio::task::JoinSet::new();
    let mut refused = 0;
    while refused == 0 {
        for _ in 0..100 {
            let client = client.clone();
            waiting.spawn(async move { client.ask(0, None, Ask::Workers).await });
        }
        tokio::task::yield_now().await;
        while let Some(Ok(done)) = waiting.try_join_next() {
            assert_eq!(done, Err(gateway::client::AskError::TooMany));
            refused += 1;
        }
        assert!(
            waiting.len() < 3 * gateway::limits::MAX_IN_FLIGHT,
            "no bound was met"
        );
    }
}

#[tokio::test]
async fn an_orchestrator_of_an_older_lease_is_left() {
    let bench = Bench::start().await;
    // A newer owner was heard of: what an older one says counts no more.
    let newer = Header {
        lease_epoch: 5,
        ..Header::new(Kind::Published)
    };
    bench.orchestrator.tell(Tell::Frame(Frame::bare(newer)));
    bench.orchestrator.tell(Tell::Tokens);
    let mut standing = bench.app.client.standing();
    while standing.ready {
        tokio::task::yield_now().await;
        standing = bench.app.client.standing();
    }
    assert_eq!(standing.epoch, 5);
    assert!(
        standing.trouble.contains("epoch 1, after one of 5"),
        "{}",
        standing.trouble
    );
    bench
        .get("/v1/workers")
        .await
        .problem(503, "orchestrator-unavailable");
    // It takes over itself, and is one to listen to again.
    bench.orchestrator.play().epoch = 6;
    assert!(bench.app.client.wait_ready().await);
    assert_eq!(bench.app.client.standing().epoch, 6);
    assert_eq!(bench.get("/v1/workers").await.status, 200);
}

#[tokio::test]
async fn an_orchestrator_that_refuses_gateways_is_asked_again() {
    let bench = Bench::unconnected(config(), Vec::new()).await;
    bench.orchestrator.play().refuses_gateways = true;
    bench.orchestrator.tell(Tell::Drop);
    while bench.app.client.standing().trouble.is_empty() {
        tokio::task::yield_now().await;
    }
    bench.orchestrator.play().refuses_gateways = false;
    assert!(bench.app.client.wait_ready().await);
}

#[tokio::test]
async fn an_answer_to_another_question_is_a_failure_and_no_panic() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    // The play keeps answers by key alone.
    let hold = json!({"all": true, "command": "hold"});
    let command = send("POST", format!("{path}/commands"))
        .json(&hold)
        .header("Idempotency-Key", "k");
    assert_eq!(command.to(bench.address).await.status, 202);
    let start = send("POST", format!("{path}/start")).header("Idempotency-Key", "k");
    start.to(bench.address).await.problem(500, "internal");
}
