//! Tokens and tickets: the secret is told once and only its hash is passed on.

use gateway::token::{Secret, find};
use serde_json::json;
use transport::control::{Access, Ask};

use crate::bench::Bench;
use crate::http::send;

#[tokio::test]
async fn a_token_is_made_listed_and_revoked() {
    let bench = Bench::start().await;
    let made = bench
        .post("/v1/tokens", json!({"name": "dash", "role": "operator"}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let token = made.json();
    let text = token["token"].as_str().unwrap();
    let kept = bench.orchestrator.play().tokens.clone();
    let found = find(&kept, text).expect("its hash was passed on");
    assert_eq!(
        (found.name.as_str(), found.access),
        ("dash", Access::Operator)
    );
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let path = made.header("location").unwrap();
    assert_eq!(
        path,
        format!("/v1/tokens/{}", token["id"].as_str().unwrap())
    );
    let listed = bench.get("/v1/tokens").await;
    assert_eq!(listed.json()["items"][0]["role"], "operator");
    assert!(!listed.text().contains(text), "the secret is told once");
    let revoked = send("DELETE", path).to(bench.address).await;
    assert_eq!(revoked.status, 204);
    let again = send("DELETE", path).to(bench.address).await;
    again.problem(404, "not-found");
    for wrong in ["7", "00000000000000AA", "zzzzzzzzzzzzzzzz"] {
        let reply = send("DELETE", format!("/v1/tokens/{wrong}"))
            .to(bench.address)
            .await;
        assert_eq!(reply.problem(422, "invalid")["field"], "id");
    }
}

#[tokio::test]
async fn fields_of_a_token_are_refused_by_name() {
    let bench = Bench::start().await;
    for (field, body) in [
        ("name", json!({"role": "viewer"})),
        ("name", json!({"name": "", "role": "viewer"})),
        ("role", json!({"name": "x"})),
        ("role", json!({"name": "x", "role": "king"})),
        (
            "secret",
            json!({"name": "x", "role": "viewer", "secret": "mine"}),
        ),
    ] {
        let problem = bench.post("/v1/tokens", body).await.problem(422, "invalid");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            problem["field"] == field || detail.contains(&format!("`{field}`")),
            "{problem}"
        );
    }
}

/// The repetition of a creation draws another secret, which nobody keeps: it must not be told as if it opened something.
#[tokio::test]
async fn a_repeated_creation_never_tells_a_secret_that_is_not_kept() {
    let bench = Bench::start().await;
    let make = send("POST", "/v1/tokens").json(&json!({"name": "x", "role": "viewer"}));
    let make = make.header("Idempotency-Key", "once");
    assert_eq!(make.to(bench.address).await.status, 201);
    make.to(bench.address).await.problem(409, "exists");
    assert_eq!(bench.orchestrator.play().tokens.len(), 1);
}

#[tokio::test]
async fn tokens_come_in_pages() {
    let bench = Bench::start().await;
    for n in 0..5 {
        let made = bench
            .post(
                "/v1/tokens",
                json!({"name": format!("t{n}"), "role": "viewer"}),
            )
            .await;
        assert_eq!(made.status, 201);
    }
    let first = bench.get("/v1/tokens?limit=3").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = bench
        .get(&format!("/v1/tokens?limit=3&cursor={cursor}"))
        .await
        .json();
    let ids = |page: &serde_json::Value| {
        let items = page["items"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut all = ids(&first);
    all.extend(ids(&rest));
    let mut sorted = all.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((all.len(), rest["next_cursor"].is_null()), (5, true));
    assert_eq!(all, sorted);
}

#[tokio::test]
async fn a_ticket_is_passed_on_by_its_hash_with_the_callers_role() {
    let bench = Bench::start().await;
    let made = send("POST", "/v1/stream-tickets").to(bench.address).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let ticket = made.json();
    assert_eq!(ticket["expires_in_s"], 30);
    let secret = Secret::of_ticket(ticket["ticket"].as_str().unwrap()).expect("a ticket");
    let asked = bench.orchestrator.last().ask;
    let expected = Ask::IssueTicket {
        secret_hash: secret.hash(),
        access: Access::Admin,
    };
    assert_eq!(asked, expected);
}
