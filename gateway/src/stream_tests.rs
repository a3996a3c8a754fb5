//! Live streams over real sockets, read by a client that shares no code with the gateway.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use transport::control::{Access, EpochBegin, Log, LogEvent, SimulationId, Token};

use crate::app::Life;
use crate::config::Config;
use crate::sample::{Sample, event};
use crate::stream_binary::{IDS, TICK};
use crate::stream_limits::{CLOSE_PATIENCE, RATE_PAUSE, StreamBounds};
use crate::stream_stage::{Known, Stage, Watcher};
use crate::token::Secret;
use crate::view_setting::Subprotocol;

const JSON: &str = "autofarm.v1.json";
const BINARY: &str = "autofarm.v1.bin";

async fn stage() -> Stage {
    Stage::new(Sample::weeding(48, 24), StreamBounds::default()).await
}

/// Watches the stage's first tick, so that its feed is there.
async fn first(stage: &Stage, query: &str) -> Watcher {
    let mut watcher = stage.watch(JSON, query).await;
    assert_eq!(watcher.json().await["type"], "hello");
    watcher
}

fn sim(seqs: impl IntoIterator<Item = u64>) -> Vec<LogEvent> {
    seqs.into_iter().map(|seq| event(Log::Sim, seq)).collect()
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap())
        .collect()
}

#[tokio::test]
async fn who_joins_late_gets_hello_and_the_newest_full_tick_at_once() {
    let stage = stage().await;
    let mut early = first(&stage, "").await;
    stage.orchestrator.publish(7, &sim([1, 2])).await;
    assert_eq!(early.of_type("tick").await["tick"], 7);
    let mut late = stage.watch("", "").await;
    let hello = late.json().await;
    assert_eq!(hello["simulation"]["tick"], 7);
    assert_eq!(hello["world"]["sites"], 4);
    assert_eq!(hello["world"]["fields"], 48);
    assert_eq!(numbers(&hello["world"]["bounds_m"]).len(), 4);
    assert_eq!(
        (&hello["epoch"], &hello["next_event"]),
        (&json!(1), &json!(3))
    );
    let tick = late.json().await;
    assert_eq!((&tick["type"], &tick["tick"]), (&json!("tick"), &json!(7)));
    assert_eq!(tick["entities"].as_array().unwrap().len(), 48);
}

#[tokio::test]
async fn both_subprotocols_agree_on_every_row_whatever_the_view() {
    let mut sample = Sample::dense(900, 4_096);
    sample.step(300);
    let stage = Stage::new(sample, StreamBounds::default()).await;
    for query in [
        "",
        "max_entities=100",
        "bounds_m=-100,-100,120,90",
        "bounds_m=0,0,300,300&max_entities=40",
    ] {
        let mut text = stage.watch(JSON, query).await;
        let mut binary = stage.watch(BINARY, query).await;
        let hello = binary.json().await;
        assert_eq!(hello["type"], "hello");
        let ids = Ids::read(&binary.binary().await);
        let tick = stage.orchestrator.known().tick + 1;
        stage.orchestrator.publish(tick, &[]).await;
        let json = text.of_type("tick").await;
        let shown = loop {
            let message = binary.binary().await;
            let (shown, number) = ids.rows(&message);
            if json["tick"] == number {
                break shown;
            }
        };
        let entities = json["entities"].as_array().unwrap();
        assert!(!entities.is_empty(), "{query}");
        let mut seen = 0;
        for entity in entities {
            let row = &shown[&entity["id"].as_u64().unwrap()];
            for (name, by) in [
                ("x", 0.006),
                ("y", 0.006),
                ("heading", 0.001),
                ("speed", 0.001),
                ("battery", 0.06),
            ] {
                let apart = (entity[name].as_f64().unwrap() - row.0[name]).abs();
                assert!(apart < by, "{query} {name} {entity} {row:?}");
            }
            assert_eq!(entity["state"], STATES[row.1 as usize]);
            seen += 1;
        }
        if query.contains("bounds") {
            // Binary passes whole blocks on; the rows in the snapped bounds are the JSON's.
            text.say(&as_view(query)).await;
            let view = text.of_type("view").await;
            let [west, south, east, north] = numbers(&view["bounds_m"]).try_into().unwrap();
            let inside = shown.values().filter(|(row, _)| {
                let (x, y) = (row["x"], row["y"]);
                x >= west && x < east && y >= south && y < north
            });
            assert_eq!(inside.count(), seen, "{query}");
        } else {
            assert_eq!(shown.len(), seen, "{query}");
        }
    }
}

/// The view message that says what a query says.
fn as_view(query: &str) -> String {
    let mut view = json!({"type": "view"});
    for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap()) {
        view[name] = match name {
            "bounds_m" => serde_json::from_str(&format!("[{value}]")).unwrap(),
            _ => value.parse::<u64>().unwrap().into(),
        };
    }
    view.to_string()
}

const STATES: [&str; 10] = [
    "idle",
    "travelling",
    "working",
    "turning",
    "returning",
    "refilling",
    "queueing",
    "charging",
    "faulted",
    "holding",
];

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn f64_at(bytes: &[u8], at: usize) -> f64 {
    f64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A reader of binary messages, written from docs/stream.md.
struct Ids {
    /// Origin, first id and number of ids of each block.
    blocks: Vec<(f64, f64, usize, usize)>,
    ids: Vec<u32>,
}

type Row = (BTreeMap<&'static str, f64>, u8);

impl Ids {
    fn read(message: &[u8]) -> Ids {
        assert_eq!((message[0], message[1]), (IDS, 1));
        let head = usize::from(u16::from_le_bytes([message[2], message[3]]));
        let blocks = u32_at(message, 4) as usize;
        let rows = u32_at(message, 24) as usize;
        let first_id = head + 32 * blocks;
        assert_eq!(message.len(), first_id + 4 * rows);
        let block = |n: usize| {
            let at = head + 32 * n;
            let (rows, first) = (u32_at(message, at + 4), u32_at(message, at + 8));
            (
                f64_at(message, at + 16),
                f64_at(message, at + 24),
                first as usize,
                rows as usize,
            )
        };
        Ids {
            blocks: (0..blocks).map(block).collect(),
            ids: (0..rows)
                .map(|n| u32_at(message, first_id + 4 * n))
                .collect(),
        }
    }

    fn rows(&self, message: &[u8]) -> (BTreeMap<u64, Row>, u64) {
        assert_eq!((message[0], message[1]), (TICK, 1));
        let head = usize::from(u16::from_le_bytes([message[2], message[3]]));
        let blocks = u32_at(message, 4) as usize;
        let tick = u64::from_le_bytes(message[8..16].try_into().unwrap());
        let mut at = head + 24 * blocks;
        let mut rows = BTreeMap::new();
        for n in 0..blocks {
            let of = head + 24 * n;
            let (block, records) = (u32_at(message, of) as usize, u32_at(message, of + 4));
            let edge = |n: usize| f64::from(u32_at(message, of + 8 + 4 * n).cast_signed());
            let (x0, y0, x1, y1) = (edge(0), edge(1), edge(2), edge(3));
            let (east, north, first, all) = self.blocks[block];
            assert!(records as usize <= all);
            for record in 0..records as usize {
                let r = &message[at..at + 8];
                at += 8;
                let share = |low, high| f64::from(u16::from_le_bytes([low, high])) / 65_535.0;
                let row = BTreeMap::from([
                    ("x", east + (x0 + share(r[0], r[1]) * (x1 - x0)) / 65_536.0),
                    ("y", north + (y0 + share(r[2], r[3]) * (y1 - y0)) / 65_536.0),
                    ("heading", f64::from(r[4]) / 256.0 * std::f64::consts::TAU),
                    ("speed", f64::from(r[5]) / 10.0),
                    ("battery", f64::from(r[6]) / 255.0 * 100.0),
                ]);
                rows.insert(u64::from(self.ids[first + record]), (row, r[7]));
            }
        }
        assert_eq!(at, message.len());
        (rows, tick)
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_delays_nobody_and_holds_one_tick() {
    let mut sample = Sample::dense(4_000, 4_096);
    sample.step(5);
    let stage = Stage::new(sample, StreamBounds::default()).await;
    let query = "max_entities=4000&rate_hz=60";
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(stage.watch(JSON, query).await);
    }
    let mut reader = first(&stage, query).await;
    for tick in 1..=200 {
        stage.orchestrator.publish(tick, &[]).await;
        // It gets every single one, one after the other.
        let message = reader.of_type("tick").await;
        assert_eq!(message["tick"], tick);
    }
    // 200 ticks of 400 kB are far more than sockets hold.
    assert!(
        stage.metrics.skipped_ticks() >= 20 * 100,
        "{}",
        stage.metrics.skipped_ticks()
    );
    let encoded = stage.metrics.encoded_ticks(Subprotocol::Json);
    assert!(encoded <= 201, "{encoded} encoded");
    // Who reads on learns how many it has missed, and has the newest.
    let mut late = stuck.swap_remove(0);
    let mut last = 0;
    while last < 200 {
        let message = late.json().await;
        if message["type"] == "tick" {
            last = message["tick"].as_u64().unwrap();
        } else if message["type"] == "lagged" {
            assert!(message["skipped"].as_u64().unwrap() > 100, "{message}");
        }
    }
}

#[tokio::test]
async fn a_client_that_never_takes_a_message_is_dropped_in_time() {
    let bounds = StreamBounds {
        write_patience: Duration::from_millis(300),
        ..StreamBounds::default()
    };
    let stage = Stage::new(Sample::dense(4_000, 4_096), bounds).await;
    let _stuck = stage.watch(JSON, "max_entities=4000&rate_hz=60").await;
    stage.until_clients(1).await;
    let mut tick = 0;
    while stage.metrics.clients_now() > 0 {
        tick += 1;
        stage.orchestrator.publish(tick, &[]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(tick < 4_000, "it is never dropped");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_pinged_and_dropped_while_one_that_answers_stays() {
    let bounds = StreamBounds {
        ping_every: Duration::from_millis(50),
        idle_patience: Duration::from_millis(400),
        ..StreamBounds::default()
    };
    let stage = Stage::new(Sample::weeding(24, 24), bounds).await;
    let mut alive = first(&stage, "").await;
    // A client that reads answers pings by itself.
    let reading = tokio::spawn(async move { alive.closed().await });
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(stage.raw().await);
    }
    stage.until_clients(1).await;
    assert_eq!(stage.metrics.idle_drops(), 500);
    stage.life.send_replace(Life::Closing);
    assert_eq!(reading.await.unwrap(), (1001, "going_away".to_owned()));
}

#[tokio::test]
async fn events_are_complete_and_in_order_over_a_lost_connection_and_a_new_epoch() {
    let stage = stage().await;
    let mut watcher = first(&stage, "events=all").await;
    stage.orchestrator.publish(1, &sim([1, 2])).await;
    let seq = |event: Value| event["seq"].as_u64().unwrap();
    assert_eq!(seq(watcher.of_type("event").await), 1);
    assert_eq!(seq(watcher.of_type("event").await), 2);
    // While there is no connection, 3 to 6 happen; 3 to 5 reach the database, 6 is told with the subscription.
    let asked = stage.orchestrator.known().asked_hz.len();
    *stage.kept.events.lock().unwrap() = sim(1..=5);
    {
        let mut known = stage.orchestrator.known();
        known.unflushed = sim([6]);
        known.last_seqs = [6, 0];
        known.tick = 4;
    }
    stage.orchestrator.drop_connections().await;
    stage
        .orchestrator
        .until(|known| known.asked_hz.len() > asked)
        .await;
    stage.orchestrator.publish(5, &sim([7])).await;
    for wanted in 3..=7 {
        assert_eq!(seq(watcher.of_type("event").await), wanted);
    }
    // Another orchestrator takes over: its database holds up to 5, and it replays from there.
    let asked = stage.orchestrator.known().asked_hz.len();
    {
        let mut known = stage.orchestrator.known();
        known.epoch = 2;
        known.unflushed = Vec::new();
        known.last_seqs = [5, 0];
        known.tick = 3;
        known.epochs = vec![EpochBegin {
            epoch: 2,
            from_tick: 4,
            from_event: 6,
            from_system_event: 1,
        }];
    }
    stage.orchestrator.drop_connections().await;
    stage
        .orchestrator
        .until(|known| known.asked_hz.len() > asked)
        .await;
    let hello = watcher.of_type("hello").await;
    let begun = json!([{"epoch": 2, "from_tick": 4, "from_event": 6, "from_system_event": 1}]);
    assert_eq!((&hello["epoch"], &hello["epochs"]), (&json!(2), &begun));
    assert_eq!(hello["next_event"], 6);
    stage.orchestrator.publish(4, &sim([6, 7])).await;
    assert_eq!(seq(watcher.of_type("event").await), 6);
    assert_eq!(seq(watcher.of_type("event").await), 7);
    // One that was away, and had heard of the older epoch up to 9, gets again what is void of that.
    let mut away = first(&stage, "events=all&from_event=10&from_epoch=1").await;
    assert_eq!(seq(away.of_type("event").await), 6);
    let mut heard = first(&stage, "events=all&from_event=8&from_epoch=2").await;
    stage.orchestrator.publish(5, &sim([8])).await;
    assert_eq!(seq(heard.of_type("event").await), 8);
    // The tick of the first events may have given way to the next one.
    let tick = watcher.of_type("tick").await;
    assert_eq!(tick["epoch"], 2);
    assert!(tick["tick"] == 4 || tick["tick"] == 5, "{tick}");
}

#[tokio::test]
async fn a_client_resumes_from_the_database_then_from_what_is_held_then_live() {
    let stage = stage().await;
    *stage.kept.events.lock().unwrap() = sim(3..=2_000);
    {
        let mut known = stage.orchestrator.known();
        known.unflushed = sim(1_990..=2_010);
        known.last_seqs = [2_010, 0];
    }
    let mut watcher = first(&stage, "events=all&from_event=1").await;
    let missing = watcher.of_type("events_missing").await;
    let wanted = json!({"type": "events_missing", "log": "sim", "from_seq": 1, "to_seq": 2});
    assert_eq!(missing, wanted);
    for wanted in 3..=2_010_u64 {
        assert_eq!(watcher.of_type("event").await["seq"], wanted);
    }
    stage.orchestrator.publish(9, &sim([2_011])).await;
    assert_eq!(watcher.of_type("event").await["seq"], 2_011);
    // One who has seen all begins with what comes.
    let mut other = first(&stage, "events=all&from_event=2012").await;
    stage.orchestrator.publish(10, &sim([2_012])).await;
    assert_eq!(other.of_type("event").await["seq"], 2_012);
}

#[tokio::test]
async fn a_client_behind_on_events_is_closed_with_1008_and_others_have_them_all() {
    let bounds = StreamBounds {
        client_events: 1_000,
        ..StreamBounds::default()
    };
    let stage = Stage::new(Sample::weeding(24, 24), bounds).await;
    let mut stuck = first(&stage, "events=all").await;
    let mut reader = first(&stage, "events=all").await;
    let mut seq = 0;
    // Each event names many machines, so that sockets are soon full.
    while stage.metrics.event_closes() == 0 {
        let mut events = sim(seq + 1..=seq + 100);
        for event in &mut events {
            event.entities = (1..=3_000).collect();
        }
        stage.orchestrator.publish(seq, &events).await;
        for _ in 0..100 {
            seq += 1;
            assert_eq!(reader.of_type("event").await["seq"], seq);
        }
        assert!(seq < 20_000, "it is never closed");
    }
    assert_eq!(stuck.closed().await, (1008, "events_behind".to_owned()));
}

#[tokio::test]
async fn views_are_capped_and_wrong_ones_refused_while_the_last_stays() {
    let bounds = StreamBounds {
        views_per_simulation: 1,
        ..StreamBounds::default()
    };
    let stage = Stage::new(Sample::weeding(48, 24), bounds).await;
    let mut one = first(&stage, "max_entities=5").await;
    let mut two = first(&stage, "max_entities=6").await;
    assert_eq!(two.json().await["code"], "too_many_views");
    stage.orchestrator.publish(1, &[]).await;
    let count = |tick: Value| tick["entities"].as_array().unwrap().len();
    assert_eq!(count(one.of_type("tick").await), 5);
    assert_eq!(count(two.of_type("tick").await), 48);
    two.say(r#"{"type":"view","max_entities":7}"#).await;
    assert_eq!(two.of_type("error").await["code"], "too_many_views");
    two.say(r#"{"type":"view","max_entities":5,"events":"all","rate_hz":60}"#)
        .await;
    let view = two.of_type("view").await;
    let wanted = json!({"type": "view", "bounds_m": null, "max_entities": 5, "rate_hz": 60, "events": "all"});
    assert_eq!(view, wanted);
    assert_eq!(count(two.of_type("tick").await), 5);
    stage
        .orchestrator
        .until(|known| known.asked_hz.last() == Some(&60))
        .await;
    for (message, code) in [
        (r#"{"type":"view","rate_hz":0}"#, "bad_view"),
        (r#"{"type":"view","max_entities":100001}"#, "bad_view"),
        (r#"{"type":"view","bounds_m":[5,5,1,9]}"#, "bad_view"),
        (r#"{"type":"view","colour":"red"}"#, "bad_message"),
        ("garbage", "bad_message"),
    ] {
        two.say(message).await;
        assert_eq!(two.of_type("error").await["code"], code, "{message}");
    }
    two.say(r#"{"type":"ping"}"#).await;
    two.of_type("pong").await;
}

#[tokio::test]
async fn who_wants_another_rate_all_the_time_does_not_trouble_the_orchestrator() {
    let stage = stage().await;
    let mut watcher = first(&stage, "rate_hz=5").await;
    let asked_5 = |known: &Known| known.asked_hz.last() == Some(&5);
    stage.orchestrator.until(asked_5).await;
    let before = stage.orchestrator.known().asked_hz.len();
    let start = Instant::now();
    for n in 0..100 {
        let rate_hz = if n % 2 == 0 { 20 } else { 30 };
        let view = json!({"type": "view", "rate_hz": rate_hz});
        watcher.say(&view.to_string()).await;
        assert_eq!(watcher.of_type("view").await["rate_hz"], rate_hz);
    }
    let asked_30 = |known: &Known| known.asked_hz.last() == Some(&30);
    stage.orchestrator.until(asked_30).await;
    let pauses = start.elapsed().as_millis() / RATE_PAUSE.as_millis();
    let asked = stage.orchestrator.known().asked_hz.len() - before;
    // One at once, and one after each pause.
    assert!(asked as u128 <= 1 + pauses, "{asked} in {pauses} pauses");
}

#[tokio::test]
async fn a_request_that_may_not_open_a_stream_is_answered_before_the_upgrade() {
    let stage = stage().await;
    let own = format!("http://{}", stage.address);
    let other = SimulationId(7);
    let known = crate::sample::SIMULATION;
    for (simulation, protocol, query, origin, wanted) in [
        (other, JSON, "", None, 404),
        (known, "graphql-ws", "", None, 422),
        (known, JSON, "rate_hz=0", None, 422),
        (known, JSON, "colour=red", None, 422),
        (known, JSON, "", Some("https://evil.example"), 403),
        (known, JSON, "ticket=nonsense", None, 401),
    ] {
        let refused = stage.try_watch(simulation, protocol, query, origin).await;
        assert_eq!(
            refused.map(|_| ()),
            Err(wanted),
            "{protocol} {query} {origin:?}"
        );
    }
    for origin in ["http://localhost:3000", own.as_str()] {
        assert!(stage.try_watch(known, JSON, "", Some(origin)).await.is_ok());
    }
    let mut plain = TcpStream::connect(stage.address).await.unwrap();
    let request = format!(
        "GET /v1/simulations/{known}/stream HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        stage.address
    );
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert!(answer.contains("/problems/not-websocket"), "{answer}");
}

#[tokio::test]
async fn a_ticket_opens_one_stream_where_tokens_are_needed() {
    let config = Config {
        require_tokens: true,
        ..Config::default()
    };
    let sample = Sample::weeding(24, 24);
    let stage = Stage::with(sample, StreamBounds::default(), config).await;
    let known = crate::sample::SIMULATION;
    let secret = Secret::draw().unwrap();
    stage.orchestrator.known().ticket = Some((secret.hash(), 0));
    let query = format!("ticket={}", secret.ticket_text());
    let open = |query| stage.try_watch(known, JSON, query, None);
    assert_eq!(open("").await.map(|_| ()), Err(401));
    let mut watcher = open(&query).await.unwrap();
    assert_eq!(watcher.json().await["type"], "hello");
    assert_eq!(open(&query).await.map(|_| ()), Err(401));
}

#[tokio::test]
async fn streams_of_a_revoked_token_and_of_its_tickets_are_closed_and_others_go_on() {
    let config = Config {
        require_tokens: true,
        ..Config::default()
    };
    let sample = Sample::weeding(24, 24);
    let stage = Stage::with(sample, StreamBounds::default(), config).await;
    let [first, second] = [1, 2].map(|id| {
        let secret = Secret::draw().unwrap();
        let token = Token {
            id,
            name: "x".to_owned(),
            access: Access::Viewer,
            secret_hash: secret.hash(),
            created_at_us: 0,
        };
        (token, secret.token_text(id))
    });
    let both = vec![first.0.clone(), second.0.clone()];
    stage.orchestrator.tell_tokens(both).await;
    let ticket = Secret::draw().unwrap();
    stage.orchestrator.known().ticket = Some((ticket.hash(), 1));
    // Its answer comes after the tokens, which the others need.
    let query = format!("ticket={}", ticket.ticket_text());
    let known = crate::sample::SIMULATION;
    let mut by_ticket = stage.try_watch(known, JSON, &query, None).await.unwrap();
    let mut by_token = stage.watch_as(&first.1, "").await.unwrap();
    let mut other = stage.watch_as(&second.1, "").await.unwrap();
    for watcher in [&mut by_ticket, &mut by_token, &mut other] {
        assert_eq!(watcher.json().await["type"], "hello");
    }
    stage.orchestrator.tell_tokens(vec![second.0]).await;
    for watcher in [&mut by_ticket, &mut by_token] {
        assert_eq!(watcher.closed().await, (1008, "token_revoked".to_owned()));
    }
    stage.until_clients(1).await;
    assert_eq!(stage.watch_as(&first.1, "").await.map(|_| ()), Err(401));
    stage.orchestrator.publish(3, &[]).await;
    assert_eq!(other.of_type("tick").await["tick"], 3);
}

#[tokio::test]
async fn streams_are_capped_for_a_simulation_and_in_all_and_places_come_free() {
    for (streams, streams_per_simulation) in [(2, 9), (9, 2)] {
        let bounds = StreamBounds {
            streams,
            streams_per_simulation,
            ..StreamBounds::default()
        };
        let stage = Stage::new(Sample::weeding(24, 24), bounds).await;
        let known = crate::sample::SIMULATION;
        let one = first(&stage, "").await;
        let _two = first(&stage, "").await;
        let refused = stage.try_watch(known, JSON, "", None).await;
        assert_eq!(refused.map(|_| ()), Err(503));
        drop(one);
        stage.until_clients(1).await;
        // Its place is free a moment after it is counted.
        let again = async { while stage.try_watch(known, JSON, "", None).await.is_err() {} };
        timeout(Duration::from_secs(10), again).await.unwrap();
    }
}

#[tokio::test]
async fn a_deleted_simulation_ends_its_streams_and_one_nobody_watches_is_left() {
    let bounds = StreamBounds {
        feed_linger: Duration::from_millis(50),
        ..StreamBounds::default()
    };
    let stage = Stage::new(Sample::weeding(24, 24), bounds).await;
    let mut watcher = first(&stage, "rate_hz=30").await;
    stage
        .orchestrator
        .until(|known| known.asked_hz.last() == Some(&30))
        .await;
    drop(watcher);
    stage
        .orchestrator
        .until(|known| known.asked_hz.last() == Some(&0))
        .await;
    watcher = first(&stage, "").await;
    stage.orchestrator.delete().await;
    assert_eq!(watcher.closed().await, (1000, "deleted".to_owned()));
}

/// A frame of a client, masked or not.
fn frame(first: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
    let mut bytes = vec![first];
    let mask = if is_masked { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => bytes.push(mask | len as u8),
        len => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    if is_masked {
        // A mask of zeros changes nothing.
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Code and reason of the close that a raw connection ends with.
async fn close_of(socket: &mut TcpStream) -> (u16, String) {
    loop {
        let [first, len] = [
            socket.read_u8().await.unwrap(),
            socket.read_u8().await.unwrap(),
        ];
        let len = match len {
            126 => u64::from(socket.read_u16().await.unwrap()),
            127 => socket.read_u64().await.unwrap(),
            len => u64::from(len),
        };
        let mut payload = vec![0; len as usize];
        socket.read_exact(&mut payload).await.unwrap();
        if first == 0x88 {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
        }
    }
}

#[tokio::test]
async fn frames_that_break_a_rule_close_their_client_and_nobody_else() {
    let stage = stage().await;
    let mut other = first(&stage, "").await;
    let huge: &[u8] = &[
        0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
    ];
    let mut endless = frame(0x01, b"x", true);
    for _ in 0..100 {
        endless.extend(frame(0x00, b"x", true));
    }
    let mut long = frame(0x01, &[b'x'; 9_000], true);
    long.extend(frame(0x00, &[b'x'; 9_000], true));
    let pings: Vec<u8> = (0..1_000).flat_map(|_| frame(0x89, b"?", true)).collect();
    for (bytes, code, reason) in [
        (frame(0x81, b"{}", false), 1002, "unmasked_frame"),
        (frame(0x81, &[b'x'; 20_000], true), 1009, "frame_too_large"),
        (huge.to_vec(), 1009, "frame_too_large"),
        (endless, 1009, "too_many_fragments"),
        (long, 1009, "message_too_large"),
        (frame(0xc1, b"x", true), 1002, "reserved_bits"),
        (frame(0x83, b"x", true), 1002, "unknown_opcode"),
        (frame(0x09, b"x", true), 1002, "control_frame_fragmented"),
        (frame(0x80, b"x", true), 1002, "continuation_of_nothing"),
        (frame(0x82, b"x", true), 1003, "no_binary"),
        (frame(0x81, &[0xff, 0xfe], true), 1007, "no_utf8"),
        (pings, 1008, "too_many_messages"),
    ] {
        let mut socket = stage.raw().await;
        socket.write_all(&bytes).await.unwrap();
        let closed = timeout(Duration::from_secs(10), close_of(&mut socket)).await;
        assert_eq!(closed.unwrap(), (code, reason.to_owned()));
        let ended = timeout(CLOSE_PATIENCE / 2, socket.read_u8()).await;
        let ended = ended.expect("it ends at once").unwrap_err().kind();
        assert_eq!(ended, std::io::ErrorKind::UnexpectedEof, "{reason}");
    }
    stage.until_clients(1).await;
    stage.orchestrator.publish(3, &[]).await;
    assert_eq!(other.of_type("tick").await["tick"], 3);
}
