//! Who may do what, from where.

use serde_json::json;
use transport::control::{Access, Ask, Token};

use crate::bench::{Bench, config, token};
use crate::http::{Reply, Send, send};
use crate::orchestrator::Tell;

/// Every route with an access check, and the least role that it takes.
fn guarded(path: &str) -> Vec<(Send, Access)> {
    let get = |part: &str| (send("GET", format!("{path}{part}")), Access::Viewer);
    let post = |part: &str| (send("POST", format!("{path}{part}")), Access::Operator);
    vec![
        (send("GET", "/v1/simulations"), Access::Viewer),
        get(""),
        get("/entities"),
        get("/entities/1"),
        get("/world"),
        get("/metrics"),
        get("/events"),
        get("/digests"),
        get("/latency"),
        (send("GET", "/v1/workers"), Access::Viewer),
        (send("GET", "/v1/scenarios"), Access::Viewer),
        (send("GET", "/metrics"), Access::Viewer),
        (send("POST", "/v1/stream-tickets"), Access::Viewer),
        (
            send("POST", "/v1/simulations").json(&json!({"scenario": "weeding"})),
            Access::Operator,
        ),
        (
            send("PATCH", path).json(&json!({"speed": 2})),
            Access::Operator,
        ),
        post("/start"),
        post("/pause"),
        post("/step"),
        post("/resume"),
        post("/stop"),
        post("/fork"),
        (
            send("POST", format!("{path}/commands")).json(&json!({"all": true, "command": "hold"})),
            Access::Operator,
        ),
        (send("DELETE", path), Access::Operator),
        (send("GET", "/v1/tokens"), Access::Admin),
        (
            send("POST", "/v1/tokens").json(&json!({"name": "x", "role": "viewer"})),
            Access::Admin,
        ),
        (send("DELETE", "/v1/tokens/00000000000000aa"), Access::Admin),
    ]
}

async fn locked(tokens: Vec<Token>) -> Bench {
    let config = gateway::Config {
        require_tokens: true,
        ..config()
    };
    Bench::with(config, tokens).await
}

#[tokio::test]
async fn every_route_takes_its_role_and_no_less() {
    let roles = [Access::Viewer, Access::Operator, Access::Admin];
    let made = roles.map(|access| token(access as u64 + 1, access));
    let bench = locked(made.iter().map(|(token, _)| token.clone()).collect()).await;
    let admin = &made[2].1;
    let body = json!({"scenario": "weeding", "entities": 12});
    let created = send("POST", "/v1/simulations")
        .json(&body)
        .token(admin)
        .to(bench.address)
        .await;
    let path = created.header("location").unwrap().to_owned();
    let document = serde_json::to_value(gateway::rest::openapi()).unwrap();
    let mut operations = 0;
    for methods in document["paths"].as_object().unwrap().values() {
        operations += methods.as_object().unwrap().len();
    }
    // All that the document has, but for the two probes and what the live stream serves.
    assert_eq!(
        guarded(&path).len() + 2,
        operations - bench_streams(&document)
    );
    for (request, needed) in guarded(&path) {
        let nobody = request.to(bench.address).await;
        nobody.problem(401, "unauthorized");
        assert_eq!(
            nobody.header("www-authenticate"),
            Some("Bearer realm=\"autofarm\"")
        );
        for ((_, text), access) in made.iter().zip(roles) {
            // The least role goes first, so that a deletion comes last.
            let reply = request.clone().token(text).to(bench.address).await;
            if access < needed {
                let problem = reply.problem(403, "forbidden");
                let named = problem["allowed"].as_str().unwrap();
                assert_eq!(named, gateway::access::access_name(needed));
            } else {
                assert!(
                    ![401, 403].contains(&reply.status),
                    "{request:?}: {}",
                    reply.text()
                );
            }
        }
    }
}

fn bench_streams(document: &serde_json::Value) -> usize {
    let paths = document["paths"].as_object().unwrap().keys();
    paths.filter(|path| path.ends_with("/stream")).count()
}

#[tokio::test]
async fn what_anybody_may_see_needs_no_token() {
    let bench = locked(Vec::new()).await;
    for path in [
        "/healthz",
        "/readyz",
        "/",
        "/openapi.json",
        "/docs/",
        "/problems/invalid",
    ] {
        let reply = bench.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

#[tokio::test]
async fn texts_that_are_no_valid_token_open_nothing() {
    let (viewer, text) = token(7, Access::Viewer);
    let bench = locked(vec![viewer]).await;
    let with = async |value: String| {
        let get = send("GET", "/v1/workers").header("Authorization", value);
        get.to(bench.address).await
    };
    assert_eq!(with(format!("Bearer {text}")).await.status, 200);
    assert_eq!(with(format!("bearer {text}")).await.status, 200);
    let (_, other) = token(7, Access::Admin);
    for wrong in [
        format!("Bearer {other}"),
        format!("Basic {text}"),
        text.clone(),
        "Bearer ".to_owned(),
        format!("Bearer {}", "x".repeat(10_000)),
        format!("Bearer {text} {text}"),
    ] {
        let reply = with(wrong).await;
        reply.problem(401, "unauthorized");
        assert!(!reply.text().contains(&text[20..]), "no secret is repeated");
    }
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_a_new_one_does() {
    let (old, old_text) = token(1, Access::Viewer);
    let (new, new_text) = token(2, Access::Viewer);
    let bench = locked(vec![old]).await;
    let get = async |text: &str| {
        send("GET", "/v1/workers")
            .token(text)
            .to(bench.address)
            .await
            .status
    };
    assert_eq!((get(&old_text).await, get(&new_text).await), (200, 401));
    bench.orchestrator.play().tokens = vec![new];
    bench.orchestrator.tell(Tell::Tokens);
    // The frame goes its own way: the answer to a question that is asked after it comes after it.
    while get(&old_text).await == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!((get(&old_text).await, get(&new_text).await), (401, 200));
}

#[tokio::test]
async fn a_token_counts_on_an_open_listener_too_if_it_is_given() {
    let (viewer, text) = token(5, Access::Viewer);
    let bench = Bench::with(config(), vec![viewer]).await;
    assert_eq!(bench.get("/v1/tokens").await.status, 200);
    assert_eq!(bench.orchestrator.last().token, 0);
    send("GET", "/v1/tokens")
        .token(&text)
        .to(bench.address)
        .await
        .problem(403, "forbidden");
    send("GET", "/v1/workers")
        .token("af_x")
        .to(bench.address)
        .await
        .problem(401, "unauthorized");
    assert_eq!(
        send("GET", "/v1/workers")
            .token(&text)
            .to(bench.address)
            .await
            .status,
        200
    );
    assert_eq!(bench.orchestrator.last().token, 5);
}

#[tokio::test]
async fn what_a_proxy_on_the_machine_passes_on_is_not_local() {
    let (admin, text) = token(5, Access::Admin);
    let bench = Bench::with(config(), vec![admin]).await;
    for (name, value) in [
        ("Forwarded", "for=203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("X-Forwarded-Host", "farm.example"),
        ("X-Real-IP", "203.0.113.9"),
        ("Via", "1.1 proxy"),
        ("Via", ""),
    ] {
        let get = send("GET", "/v1/tokens").header(name, value);
        let refused = get.to(bench.address).await;
        refused.problem(401, "unauthorized");
        assert_eq!(get.token(&text).to(bench.address).await.status, 200);
    }
    assert_eq!(bench.get("/v1/tokens").await.status, 200);
}

#[tokio::test]
async fn a_listener_for_everybody_wants_tokens() {
    let config = gateway::Config {
        listen: vec!["0.0.0.0:0".parse().unwrap()],
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let to = std::net::SocketAddr::new("127.0.0.1".parse().unwrap(), bench.address.port());
    send("GET", "/v1/simulations")
        .to(to)
        .await
        .problem(401, "unauthorized");
    // Names are for whoever set the listener up to choose.
    let named = send("GET", "/healthz")
        .header("Host", "farm.example")
        .to(to)
        .await;
    assert_eq!(named.status, 200);
}

#[tokio::test]
async fn a_name_that_was_bound_anew_to_the_loopback_is_refused() {
    let config = gateway::Config {
        allowed_hosts: vec!["farm.test".to_owned()],
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let host = async |host: &str| {
        send("GET", "/v1/simulations")
            .header("Host", host)
            .to(bench.address)
            .await
    };
    for right in [
        "localhost",
        "LOCALHOST:9000",
        "127.0.0.1:8080",
        "[::1]:8080",
        "farm.test",
        "farm.test:80",
    ] {
        assert_eq!(host(right).await.status, 200, "{right}");
    }
    for wrong in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "x@localhost",
    ] {
        let reply = host(wrong).await;
        assert_eq!(reply.problem(421, "wrong-host")["field"], "Host", "{wrong}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let config = gateway::Config {
        allowed_origins: vec!["https://dash.example".to_owned()],
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let path = bench.simulation(12).await;
    let start = async |origin: String| -> Reply {
        let start = send("POST", format!("{path}/start")).header("Origin", origin);
        start.to(bench.address).await
    };
    for wrong in [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "https://dash.example.evil.example",
    ] {
        start(wrong.to_owned())
            .await
            .problem(403, "origin-not-allowed");
    }
    assert_eq!(start(format!("http://{}", bench.address)).await.status, 200);
    start("https://dash.example".to_owned())
        .await
        .problem(409, "invalid-transition");
    let read = send("GET", &path)
        .header("Origin", "https://evil.example")
        .to(bench.address)
        .await;
    // It is read, but no page of another origin may see it.
    assert_eq!(
        (read.status, read.header("access-control-allow-origin")),
        (200, None)
    );
}

#[tokio::test]
async fn a_token_that_asks_too_often_waits_and_others_do_not() {
    let (one, one_text) = token(1, Access::Viewer);
    let (two, two_text) = token(2, Access::Viewer);
    let config = gateway::Config {
        requests_per_s: 1,
        burst: 3,
        ..config()
    };
    let bench = Bench::with(config, vec![one, two]).await;
    let get = async |text: &str| {
        send("GET", "/v1/workers")
            .token(text)
            .to(bench.address)
            .await
    };
    for _ in 0..3 {
        assert_eq!(get(&one_text).await.status, 200);
    }
    let refused = get(&one_text).await;
    let problem = refused.problem(429, "rate-limited");
    assert_eq!(
        (&problem["limit"], &problem["retry_after_s"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(get(&two_text).await.status, 200);
    assert_eq!(bench.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_address_that_shows_tickets_too_often_waits() {
    let config = gateway::Config {
        requests_per_s: 1,
        burst: 3,
        require_tokens: true,
        ..config()
    };
    let bench = Bench::with(config, Vec::new()).await;
    let secret = gateway::token::Secret::draw().expect("random bytes");
    let path = format!(
        "/v1/simulations/{}/stream?ticket={}",
        uuid::Uuid::from_u128(7),
        secret.ticket_text()
    );
    let open = async || {
        // The server answers before it upgrades anything: the connection is closed then.
        send("GET", &path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .to(bench.address)
            .await
    };
    let redeemed = || {
        let play = bench.orchestrator.play();
        let asked = play.asked.iter();
        asked
            .filter(|request| matches!(request.ask, Ask::RedeemTicket { .. }))
            .count()
    };
    for _ in 0..3 {
        open().await.problem(404, "not-found");
    }
    let refused = open().await;
    refused.problem(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(redeemed(), 3, "the orchestrator is not asked");
}

#[tokio::test]
async fn every_answer_is_safe_to_show() {
    let bench = Bench::start().await;
    for path in ["/", "/docs/", "/v1/simulations", "/none", "/metrics"] {
        let reply = bench.get(path).await;
        let csp = reply.header("content-security-policy").expect("a policy");
        assert!(
            csp.contains("frame-ancestors 'none'") && csp.contains("default-src"),
            "{csp}"
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.header("strict-transport-security"), None);
        assert!(reply.header("x-request-id").is_some());
        assert_eq!(
            reply.header("autofarm-version"),
            Some(gateway::Config::default().version)
        );
    }
}

#[tokio::test]
async fn where_everybody_needs_a_token_and_there_is_none_readiness_says_so() {
    let bench = locked(Vec::new()).await;
    let ready = bench.get("/readyz").await;
    assert_eq!(ready.status, 200);
    let text = ready.text();
    assert!(text.contains("nobody can come in"), "{text}");
    assert!(text.contains("autofarm token create"), "{text}");
    let (token, _) = token(1, Access::Admin);
    bench.orchestrator.play().tokens.push(token);
    bench.orchestrator.tell(Tell::Tokens);
    assert!(bench.app.client.wait_tokens(true).await);
    assert_eq!(bench.get("/readyz").await.text(), "ready\n");
    // On a loopback address nobody needs one.
    let open = Bench::start().await;
    assert_eq!(open.get("/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn metrics_of_other_roles_in_the_process_follow_its_own() {
    let bench = Bench::start().await;
    let others = || -> std::pin::Pin<Box<dyn Future<Output = Vec<String>> + std::marker::Send>> {
        Box::pin(async { vec!["other_role 1\n# EOF\n".to_owned()] })
    };
    assert!(bench.app.others.set(Box::new(others)).is_ok());
    let page = bench.get("/metrics").await.text();
    assert!(page.contains("\nautofarm_gateway_ready 1\n"), "{page}");
    assert!(page.ends_with("\nother_role 1\n# EOF\n"), "{page}");
    assert_eq!(page.matches("# EOF").count(), 1);
}
