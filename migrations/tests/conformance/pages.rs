//! What gateways read, page by page.

use store::history::History;
use store::reader::{EventCursor, EventQuery, MetricQuery};
use transport::control::{Log, LogEvent};

use crate::bench::{Bench, commit_one};
use crate::samples::{batch, command, create, digest, event, id, snapshot};

async fn with(bench: &Bench, pieces: Vec<History>) -> store::Reader {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    commit_one(&store, &lease, 2, create(2)).await;
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    bench.reader().await
}

/// Ticks 10, 20, …; every third event a fault, and one of the system at each tick.
fn log() -> Vec<LogEvent> {
    let sim = (1..=30).map(|n| event(Log::Sim, n, n * 10, if n % 3 == 0 { 4 } else { 1 }));
    let system = (1..=5).map(|n| event(Log::System, n, n * 10, 100 + (n % 2) as u32));
    sim.chain(system).collect()
}

fn all_of(kinds: &[u32]) -> EventQuery {
    EventQuery {
        simulation: id(1),
        log: None,
        kinds: kinds.to_vec(),
        from_tick: 0,
        after: None,
        limit: 7,
    }
}

pub(crate) async fn events_by_kind_tick_and_cursor(bench: &Bench) {
    let others = log().into_iter().take(2).collect();
    let reader = with(
        bench,
        vec![
            History::Events(id(1), log()),
            History::Events(id(2), others),
        ],
    )
    .await;
    let mut by_tick = log();
    by_tick.sort_by_key(|event| (event.tick, event.log, event.seq));
    for kinds in [&[][..], &[4], &[1], &[100, 101], &[4, 1, 100], &[77]] {
        for log in [None, Some(Log::Sim), Some(Log::System)] {
            for from_tick in [0, 35, 150, u64::MAX] {
                let mut query = EventQuery {
                    log,
                    from_tick,
                    ..all_of(kinds)
                };
                let mut found = Vec::new();
                loop {
                    let page = reader.events(&query).await.unwrap().unwrap();
                    assert!(page.items.len() <= 7);
                    query.after = page.items.last().map(EventCursor::of);
                    found.extend(page.items);
                    if !page.more {
                        break;
                    }
                }
                let expected: Vec<_> = by_tick
                    .iter()
                    .filter(|event| kinds.is_empty() || kinds.contains(&event.kind))
                    .filter(|event| log.is_none_or(|log| event.log == log))
                    .filter(|event| event.tick >= from_tick)
                    .cloned()
                    .collect();
                assert_eq!(found, expected, "{kinds:?} {log:?} {from_tick}");
            }
        }
    }
}

pub(crate) async fn a_log_by_seq(bench: &Bench) {
    let reader = with(bench, vec![History::Events(id(1), log())]).await;
    let page = reader.log(id(1), Log::Sim, 28, 2).await.unwrap().unwrap();
    let seqs: Vec<u64> = page.items.iter().map(|event| event.seq).collect();
    assert_eq!((seqs, page.more), (vec![28, 29], true));
    let page = reader
        .log(id(1), Log::System, 0, 1_000)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((page.items.len(), page.more), (5, false));
    let page = reader
        .log(id(1), Log::System, u64::MAX, 10)
        .await
        .unwrap()
        .unwrap();
    assert!(page.items.is_empty() && !page.more);
}

pub(crate) async fn metrics_thinned_by_ticks(bench: &Bench) {
    let pieces = (1..=20)
        .map(|n| History::Metrics(id(1), Box::new(snapshot(n * 50))))
        .collect();
    let reader = with(bench, pieces).await;
    let ticks = async |from_tick, to_tick, every, limit| {
        let query = MetricQuery {
            simulation: id(1),
            from_tick,
            to_tick,
            every,
            limit,
        };
        let page = reader.metrics(&query).await.unwrap().unwrap();
        let ticks: Vec<u64> = page.items.iter().map(|snapshot| snapshot.tick).collect();
        (ticks, page.more)
    };
    assert_eq!(ticks(100, 200, 1, 10).await, (vec![100, 150, 200], false));
    assert_eq!(ticks(0, u64::MAX, 0, 2).await, (vec![50, 100], true));
    assert_eq!(
        ticks(0, 640, 200, 10).await,
        (vec![150, 350, 550, 600], false)
    );
}

pub(crate) async fn digests_from_a_tick(bench: &Bench) {
    let digests = (1..=10).map(|n| digest(n * 50)).collect();
    let reader = with(bench, vec![History::Digests(id(1), digests)]).await;
    let page = reader.digests(id(1), 451, 2).await.unwrap().unwrap();
    assert_eq!((page.items, page.more), (vec![digest(500)], false));
    let page = reader.digests(id(1), 0, 2).await.unwrap().unwrap();
    assert_eq!(
        (page.items, page.more),
        (vec![digest(50), digest(100)], true)
    );
}

/// As people find them with the database's own shell.
pub(crate) async fn commands_can_be_read_in_the_database(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    for seq in 1..=5 {
        commit_one(&store, &lease, 1 + seq, command(1, seq, 100 - seq)).await;
    }
    let readable = bench
        .count("commands WHERE command = 'goto' AND CAST(args AS TEXT) LIKE '%\"x_m\"%-1.234%'")
        .await;
    assert_eq!(readable, 5);
}

pub(crate) async fn of_no_simulation_there_is_none(bench: &Bench) {
    let reader = with(bench, Vec::new()).await;
    assert_eq!(reader.digests(id(9), 0, 1).await.unwrap(), None);
    let query = EventQuery {
        simulation: id(9),
        ..all_of(&[])
    };
    assert_eq!(reader.events(&query).await.unwrap(), None);
    assert!(
        reader
            .digests(id(1), 0, 1)
            .await
            .unwrap()
            .unwrap()
            .items
            .is_empty()
    );
}
