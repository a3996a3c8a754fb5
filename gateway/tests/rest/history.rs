//! History, as a real database holds it.

use std::time::Duration;

use kernel::aggregate::Aggregate;
use kernel::config::{Scenario, SimulationConfig};
use kernel::event::kind;
use serde_json::{Value, json};
use store::history::{Batch, History, MetricSnapshot};
use store::lease::{Acquired, SameAddress};
use store::store::Store;
use store::write::{Change, State, Write};
use transport::control::{
    Cause, LatePolicy, Log, LogEvent, SimulationId, Spec, Speed, Status, event_kind,
};
use transport::message::TickDigest;

use crate::bench::{Bench, config};
use crate::http::send;
use crate::orchestrator::stages;

const ID: SimulationId = SimulationId(0x0190_0000_0000_7000_8000_0000_0000_0001);

fn event(log: Log, seq: u64, tick: u64, kind: u32) -> LogEvent {
    let is_sim = log == Log::Sim;
    LogEvent {
        seq,
        log,
        tick,
        kind,
        site: 0,
        detail: 2,
        reason: 0,
        entities: if is_sim { vec![1, 5] } else { Vec::new() },
        text: if is_sim {
            String::new()
        } else {
            "{\"status\":\"running\"}".to_owned()
        },
    }
}

fn written(id: SimulationId, snapshots: u64) -> Vec<History> {
    let mut events = vec![event(Log::System, 1, 0, event_kind::LIFECYCLE)];
    events.extend((1..=9).map(|n| {
        event(
            Log::Sim,
            n,
            n * 10,
            if n % 3 == 0 {
                kind::FAULT
            } else {
                kind::TRANSITION
            },
        )
    }));
    let mut pieces = vec![
        History::Events(id, events),
        History::Digests(
            id,
            (0..25)
                .map(|n| TickDigest {
                    tick: n * 20,
                    digest: n,
                })
                .collect(),
        ),
    ];
    for n in 0..snapshots {
        let snapshot = MetricSnapshot {
            tick: n * 100,
            at_us: 1_700_000_000_000_000,
            aggregate: Aggregate {
                rows: 24,
                ..Aggregate::default()
            },
            late_ticks: n,
            achieved_speed_milli: 1_000,
            stages: stages(),
        };
        pieces.push(History::Metrics(id, Box::new(snapshot)));
    }
    pieces
}

/// Makes a database that holds one simulation, with a snapshot of each of so many hundred ticks.
async fn fill(url: &str, id: SimulationId, snapshots: u64) {
    store::schema::migrate(url).await.expect("a new file");
    let store = Store::connect(url).await.expect("it is made");
    let ttl = Duration::from_secs(60);
    let acquired = store
        .acquire("127.0.0.1:7400", ttl, SameAddress::Waits)
        .await;
    let Acquired::Owned(lease) = acquired.expect("the database answers") else {
        panic!("somebody has it");
    };
    let config = SimulationConfig {
        scenario: Scenario::Weeding.code(),
        entities: 24,
        tick_ms: 50,
        seed: 1,
        partition_rows: 4_096,
    };
    let spec = Spec {
        id,
        name: "kept".to_owned(),
        config,
        speed: Speed::REAL,
        max_ticks: None,
        digest_every: 20,
        late: LatePolicy::Dilate,
        parent: None,
    };
    let state = State {
        status: Status::Running,
        cause: Cause::Requested,
        name: "kept".to_owned(),
        speed: Speed::REAL,
        step_until: None,
        created_at_us: 1,
        started_at_us: None,
        ended_at_us: None,
    };
    let write = Write {
        id: 1,
        guard: None,
        change: Change::Create { spec, state },
    };
    store.commit(&lease, &[write]).await.expect("it is written");
    let batch = Batch {
        id: 1,
        pieces: written(id, snapshots),
    };
    store.append(&lease, &batch).await.expect("it is written");
    store.close().await;
}

async fn pages(bench: &Bench, path: &str, query: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = bench.get(&format!("{path}?limit=4{query}{cursor}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let page = reply.json();
        let of = page["items"].as_array().unwrap();
        assert!(of.len() <= 4);
        items.extend(of.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// A gateway that is there before its database is.
async fn bench_of(directory: &tempfile::TempDir) -> (Bench, String) {
    let url = format!("sqlite://{}", directory.path().join("farm.db").display());
    let config = gateway::Config {
        database: Some(gateway::config::DatabaseLocation(url.clone())),
        ..config()
    };
    (Bench::with(config, Vec::new()).await, url)
}

#[tokio::test]
async fn latency_is_also_that_of_some_ticks() {
    let directory = tempfile::tempdir().unwrap();
    let (bench, url) = bench_of(&directory).await;
    let path = bench.simulation(24).await;
    let latency = format!("{path}/latency");
    let some = format!("{latency}?from_tick=300&to_tick=550");
    bench.get(&some).await.problem(503, "store-unavailable");
    let id = uuid::Uuid::parse_str(path.rsplit('/').next().unwrap()).unwrap();
    let most = u64::from(gateway::limits::MAX_LATENCY_SNAPSHOTS);
    fill(&url, SimulationId(id.as_u128()), most + 1).await;
    assert!(bench.app.archive.wait().await.is_some());
    for (query, snapshots) in [
        ("", 1),
        ("?from_tick=300&to_tick=550", 3),
        ("?to_tick=99", 1),
        ("?from_tick=301&to_tick=399", 0),
        ("?from_tick=100", most),
        ("?from_tick=500&to_tick=400", 0),
    ] {
        let read = bench.get(&format!("{latency}{query}")).await.json();
        let stages = read["stages"].as_array().unwrap();
        let names: Vec<_> = stages.iter().map(|stage| &stage["stage"]).collect();
        assert_eq!(names, ["compute", "tick_latency"], "{query}");
        assert_eq!(stages[0]["count"], 0, "{query}");
        assert_eq!(stages[1]["count"], snapshots * 1_000, "{query}");
    }
    let text = send("GET", &some).header("Accept", "text/plain");
    let text = text.to(bench.address).await;
    assert!(
        text.text().contains("Total count    =         3000"),
        "{}",
        text.text()
    );
    let all = bench.get(&format!("{latency}?from_tick=0")).await;
    let problem = all.problem(422, "invalid");
    assert_eq!(problem["field"], "from_tick");
}

#[tokio::test]
async fn events_digests_and_sums_are_read_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    let (bench, url) = bench_of(&directory).await;
    let path = format!("/v1/simulations/{ID}");
    bench
        .get(&format!("{path}/events"))
        .await
        .problem(503, "store-unavailable");
    fill(&url, ID, 10).await;
    assert!(bench.app.archive.wait().await.is_some());
    let events = pages(&bench, &format!("{path}/events"), "").await;
    let seqs: Vec<_> = events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(
        events[0],
        json!({"log": "system", "seq": 1, "tick": 0, "kind": "lifecycle", "detail": {"status": "running"}})
    );
    let entered = json!({"log": "sim", "seq": 1, "tick": 10, "kind": "transition", "site": 0, "entities": [1, 5], "detail": {"state": "working"}});
    assert_eq!(events[1], entered);
    let faults = pages(
        &bench,
        &format!("{path}/events"),
        "&kind=fault&from_tick=40",
    )
    .await;
    assert_eq!(
        faults
            .iter()
            .map(|e| e["tick"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [60, 90]
    );
    let system = pages(&bench, &format!("{path}/events"), "&log=system").await;
    assert_eq!(system.len(), 1);

    let digests = pages(&bench, &format!("{path}/digests"), "&from_tick=100").await;
    assert_eq!(digests.len(), 20);
    assert_eq!(
        digests[0],
        json!({"tick": 100, "digest": "0000000000000005"})
    );

    let metrics = pages(&bench, &format!("{path}/metrics"), "").await;
    assert_eq!(metrics.len(), 10);
    assert_eq!(
        (&metrics[3]["tick"], &metrics[3]["late_ticks"]),
        (&json!(300), &json!(3))
    );
    assert_eq!(metrics[3]["aggregates"]["machines"], 24);
    assert_eq!(metrics[3]["stages"][1]["count"], 1_000);
    let every = pages(
        &bench,
        &format!("{path}/metrics"),
        "&every=200&from_tick=100&to_tick=800",
    )
    .await;
    let ticks: Vec<_> = every.iter().map(|m| m["tick"].as_u64().unwrap()).collect();
    assert_eq!(ticks, [100, 300, 500, 700, 800]);

    let nobody = "/v1/simulations/01900000-0000-7000-8000-000000000002";
    for part in ["events", "digests", "metrics"] {
        bench
            .get(&format!("{nobody}/{part}"))
            .await
            .problem(404, "not-found");
    }
    let cursor = bench.get(&format!("{path}/digests?limit=1")).await.json()["next_cursor"].clone();
    let other = format!("{path}/events?cursor={}", cursor.as_str().unwrap());
    bench.get(&other).await.problem(422, "bad-cursor");
}

#[tokio::test]
async fn without_a_database_history_says_so() {
    let bench = Bench::start().await;
    for part in ["events", "digests", "metrics"] {
        let reply = bench.get(&format!("/v1/simulations/{ID}/{part}")).await;
        let problem = reply.problem(503, "store-unavailable");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("without a database")
        );
    }
}
