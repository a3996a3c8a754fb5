//! Where a client's events go on whose filter lets nothing of a log pass.

use serde_json::{Value, json};
use transport::control::{Log, LogEvent};

use crate::sample::{Sample, event};
use crate::stream_limits::{PAST_PAGE, StreamBounds};
use crate::stream_stage::{Known, Stage, Watcher};

/// Of the log `sim` much has happened, of the log `system` little, and all of it is in the database alone.
async fn stage() -> Stage {
    let stage = Stage::new(Sample::weeding(24, 24), StreamBounds::default()).await;
    let kept = (1..=2_000).map(|seq| event(Log::Sim, seq));
    let kept = kept.chain((1..=5).map(|seq| event(Log::System, seq)));
    *stage.kept.events.lock().unwrap() = kept.collect();
    stage.orchestrator.known().last_seqs = [2_000, 5];
    stage
}

fn both(sim: u64, system: u64) -> [LogEvent; 2] {
    [event(Log::Sim, sim), event(Log::System, system)]
}

/// Log and seq of the next event; that events are missing is not told meanwhile.
async fn next_event(watcher: &mut Watcher) -> (String, u64) {
    loop {
        let json = watcher.json().await;
        match json["type"].as_str().unwrap() {
            "event" => {
                let log = json["log"].as_str().unwrap().to_owned();
                return (log, json["seq"].as_u64().unwrap());
            }
            "hello" | "tick" | "lagged" => {}
            other => panic!("{other}: {json}"),
        }
    }
}

/// The past of a log was once read event by event for clients whose filters threw all of it away.
#[tokio::test]
async fn of_a_log_that_a_filter_shuts_nothing_is_read_and_the_other_one_comes_whole() {
    for filter in ["system", "lifecycle"] {
        let stage = stage().await;
        let query = format!("events={filter}&from_event=1&from_system_event=1");
        let mut watcher = stage.watch("", &query).await;
        let hello = watcher.json().await;
        assert_eq!(next(&hello), [2_001, 6], "as for everybody");
        for seq in 1..=5 {
            assert_eq!(next_event(&mut watcher).await, ("system".to_owned(), seq));
        }
        stage.orchestrator.publish(1, &both(2_001, 6)).await;
        assert_eq!(next_event(&mut watcher).await, ("system".to_owned(), 6));
        let read = stage.kept.read.lock().unwrap().clone();
        assert!(!read.is_empty() && !read.contains(&Log::Sim), "{read:?}");
    }
}

#[tokio::test]
async fn who_lets_a_log_pass_later_gets_what_happens_from_then_on_and_the_rest_where_it_asks_for_it()
 {
    let stage = stage().await;
    let mut watcher = stage
        .watch("", "events=none&from_event=1990&from_system_event=1")
        .await;
    assert_eq!(next(&watcher.json().await), [2_001, 6]);
    stage.orchestrator.publish(1, &both(2_001, 6)).await;
    // After the tick of what was let pass by, so that it has gone.
    assert_eq!(watcher.of_type("tick").await["tick"], 1);
    watcher.say(r#"{"type":"view","events":"all"}"#).await;
    assert_eq!(watcher.of_type("view").await["events"], "all");
    stage.orchestrator.publish(2, &both(2_002, 7)).await;
    let live = [
        next_event(&mut watcher).await,
        next_event(&mut watcher).await,
    ];
    assert_eq!(live, [("sim".to_owned(), 2_002), ("system".to_owned(), 7)]);
    assert_eq!(*stage.kept.read.lock().unwrap(), [], "nobody wanted it");
    // Its position is where it began: from there on all comes, out of the database, out of the ring, and live.
    let query = "events=all&from_event=1990&from_system_event=6";
    let mut again = stage.watch("", query).await;
    let mut seqs = [Vec::new(), Vec::new()];
    for _ in 0..13 + 2 {
        let (log, seq) = next_event(&mut again).await;
        seqs[usize::from(log == "system")].push(seq);
    }
    assert_eq!(seqs, [(1_990..=2_002).collect(), vec![6, 7]]);
}

#[tokio::test]
async fn who_shuts_a_log_while_it_catches_up_with_it_is_not_sent_the_rest() {
    let stage = Stage::new(Sample::weeding(24, 24), StreamBounds::default()).await;
    let pages = 3 * PAST_PAGE as u64;
    // Each names many machines, so that a page does not fit into sockets.
    let long = (1..=pages).map(|seq| LogEvent {
        entities: (1..=3_000).collect(),
        ..event(Log::Sim, seq)
    });
    let kept = long.chain((1..=5).map(|seq| event(Log::System, seq)));
    *stage.kept.events.lock().unwrap() = kept.collect();
    stage.orchestrator.known().last_seqs = [pages, 5];
    let query = "events=all&from_event=1&from_system_event=1&rate_hz=5";
    let mut watcher = stage.watch("", query).await;
    watcher
        .say(r#"{"type":"view","events":"system","rate_hz":60}"#)
        .await;
    // What is asked of the orchestrator tells that the view is granted, and the first page stands in the sockets yet.
    let is_granted = |known: &Known| known.asked_hz.last() == Some(&60);
    stage.orchestrator.until(is_granted).await;
    let (mut sim, mut system) = (0, Vec::new());
    while system.len() < 5 {
        let json = watcher.of_type("event").await;
        match json["log"].as_str() {
            Some("sim") => sim += 1,
            _ => system.push(json["seq"].as_u64().unwrap()),
        }
    }
    assert_eq!(system, [1, 2, 3, 4, 5]);
    assert!(sim <= PAST_PAGE, "{sim}");
    let read = stage.kept.read.lock().unwrap().clone();
    assert_eq!(read, [Log::Sim, Log::System]);
}

/// What a hello says of the next events of both logs.
fn next(hello: &Value) -> [u64; 2] {
    assert_eq!(hello["type"], json!("hello"));
    ["next_event", "next_system_event"].map(|name| hello[name].as_u64().unwrap())
}
