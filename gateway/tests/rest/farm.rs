//! Machines, their world, and the lists of the system.

use serde_json::json;

use crate::bench::Bench;
use crate::http::send;

#[tokio::test]
async fn machines_come_in_pages_with_filters() {
    let bench = Bench::start().await;
    let path = bench.simulation(30).await;
    let mut seen = Vec::new();
    let mut next = format!("{path}/entities?limit=12");
    loop {
        let page = bench.get(&next).await.json();
        // Nobody has shown a view.
        assert!(page["tick"].is_null());
        for machine in page["items"].as_array().unwrap() {
            assert_eq!(machine["class"], "weeder");
            assert!(machine["now"].is_null());
            seen.push(machine["id"].as_u64().unwrap());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        next = format!("{path}/entities?limit=12&cursor={cursor}");
    }
    assert_eq!(seen, (1..=30).collect::<Vec<_>>());
    let of_site = bench
        .get(&format!("{path}/entities?site=2&class=weeder"))
        .await
        .json();
    assert_eq!(of_site["items"].as_array().unwrap().len(), 6);
    let one = bench.get(&format!("{path}/entities/25")).await.json();
    assert_eq!((&one["id"], &one["site"]), (&json!(25), &json!(2)));
    let unseen = bench.get(&format!("{path}/entities?state=working")).await;
    unseen.problem(503, "no-view");
    assert!(unseen.header("retry-after").is_some());
}

#[tokio::test]
async fn the_world_is_shown_in_pages_of_sites() {
    let bench = Bench::start().await;
    let path = bench.simulation(30).await;
    let first = bench.get(&format!("{path}/world?limit=2")).await.json();
    assert_eq!((&first["sites"], &first["fields"]), (&json!(3), &json!(36)));
    assert_eq!(first["layout"]["fields"].as_array().unwrap().len(), 12);
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap();
    let last = bench
        .get(&format!("{path}/world?limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(last["items"][0]["entities"], json!([25, 30]));
    assert!(last["layout"].is_null() && last["next_cursor"].is_null());
    let around = bench
        .get(&format!("{path}/world?bounds_m=-1,-1,1,1"))
        .await
        .json();
    assert_eq!(around["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn latency_is_percentiles_or_a_histogram() {
    let bench = Bench::start().await;
    let path = format!("{}/latency", bench.simulation(12).await);
    let stages = bench.get(&path).await.json();
    assert_eq!(stages["stages"][0]["stage"], "compute");
    let ticks = &stages["stages"][1];
    assert_eq!(
        (&ticks["stage"], &ticks["count"]),
        (&json!("tick_latency"), &json!(1_000))
    );
    for (name, ms) in [
        ("p50_us", 500),
        ("p90_us", 900),
        ("p99_us", 990),
        ("p99_9_us", 999),
        ("max_us", 1_000),
    ] {
        let us = ticks[name].as_u64().unwrap();
        assert!(us.abs_diff(ms * 1_000) <= 1_000, "{name}: {us}");
    }
    let one = bench.get(&format!("{path}?stage=compute")).await.json();
    assert_eq!(one["stages"].as_array().unwrap().len(), 1);
    for accept in ["text/plain", "application/vnd.hgrm, application/json"] {
        let text = send("GET", &path)
            .header("Accept", accept)
            .to(bench.address)
            .await;
        assert!(
            text.header("content-type")
                .unwrap()
                .starts_with(&accept[..10])
        );
        assert!(
            text.text().contains("#[Max     =     1000."),
            "{}",
            text.text()
        );
    }
    for accept in ["application/json, text/plain", "*/*", "image/png"] {
        let json = send("GET", &path)
            .header("Accept", accept)
            .to(bench.address)
            .await;
        assert_eq!(json.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn the_catalogue_and_the_registry_are_lists() {
    let bench = Bench::start().await;
    let scenarios = bench.get("/v1/scenarios").await.json();
    let names: Vec<_> = scenarios["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].clone())
        .collect();
    assert_eq!(names, ["weeding", "dense"]);
    let schema = &scenarios["items"][0]["schema"];
    assert_eq!(schema["$defs"]["ScenarioName"]["enum"], json!(["weeding"]));
    assert_eq!(schema["properties"]["entities"]["maximum"], 1_000_000);
    let workers = bench.get("/v1/workers?limit=2").await.json();
    assert_eq!(workers["items"][0]["load"], 0.42);
    let cursor = workers["next_cursor"].as_str().unwrap();
    let rest = bench
        .get(&format!("/v1/workers?limit=2&cursor={cursor}"))
        .await
        .json();
    assert_eq!(rest["items"][0]["name"], "worker-3");
    assert!(rest["next_cursor"].is_null());
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let bench = Bench::start().await;
    let path = bench.simulation(12).await;
    bench.get(&path).await;
    bench.get("/none/of/them").await;
    let metrics = bench.get("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let text = metrics.text();
    let counted = "autofarm_gateway_requests_total{method=\"GET\",route=\"/v1/simulations/{id}\",status=\"200\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(text.contains("route=\"none\",status=\"404\"} 1"), "{text}");
    assert!(text.contains("autofarm_gateway_request_duration_seconds_bucket"));
    assert!(text.contains("autofarm_gateway_ready 1"));
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_pages_for_people_are_in_the_binary() {
    let bench = Bench::start().await;
    let docs = bench.get("/docs/").await;
    assert!(docs.text().contains("swagger-ui"), "{}", docs.text());
    assert!(
        !docs.text().contains("https://"),
        "nothing is loaded from elsewhere"
    );
    assert_eq!(bench.get("/docs/swagger-ui-bundle.js").await.status, 200);
    assert_eq!(bench.get("/problems/key-reused").await.status, 200);
}
