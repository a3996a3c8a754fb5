//! How long history is kept.

use store::history::History;
use store::retention::Retention;
use transport::control::Log;

use crate::bench::{Bench, Kind, commit_one};
use crate::samples::{batch, create, cut_batch, digest, event, id, snapshot};

pub(crate) async fn history_beyond_its_bounds_is_removed_in_steps(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let mut pieces = vec![
        History::Events(
            id(1),
            (1..=12_000).map(|n| event(Log::Sim, n, n, 1)).collect(),
        ),
        History::Events(
            id(1),
            (1..=20).map(|n| event(Log::System, n, n, 100)).collect(),
        ),
        History::Digests(id(1), (1..=50).map(|n| digest(n * 3)).collect()),
    ];
    pieces.extend((1..=50).map(|n| History::Metrics(id(1), Box::new(snapshot(n * 3)))));
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    let retention = Retention {
        events: 100,
        metrics: 7,
        digests: 50,
        ..Retention::default()
    };
    let first = store.prune(&lease, &retention).await.unwrap();
    assert_eq!((first.rows, first.more), (5_043, true));
    let second = store.prune(&lease, &retention).await.unwrap();
    assert_eq!((second.rows, second.more), (5_000, true));
    let third = store.prune(&lease, &retention).await.unwrap();
    assert_eq!((third.rows, third.more), (1_900, false));
    assert_eq!(store.prune(&lease, &retention).await.unwrap().rows, 0);
    let reader = bench.reader().await;
    let page = reader.log(id(1), Log::Sim, 0, 1).await.unwrap().unwrap();
    assert_eq!(page.items[0].seq, 11_901);
    assert_eq!(bench.count("events").await, 120);
    assert_eq!(bench.count("tick_digests").await, 50);
    assert_eq!(bench.count("metric_snapshots WHERE tick > 129").await, 7);
    assert_eq!(bench.count("metric_snapshots").await, 7);
}

pub(crate) async fn what_cannot_be_read_is_left_and_stops_no_other(bench: &Bench) {
    // Its tables are strict, and what it gives for a null can be read.
    if matches!(bench.kind, Kind::Sqlite) {
        return;
    }
    let (store, lease) = bench.owner().await;
    for n in 1..=2_u64 {
        commit_one(&store, &lease, n, create(n.into())).await;
        for cut in 1..=4 {
            let number = (n - 1) * 4 + cut;
            let batch = cut_batch(number, id(n.into()), cut * 100);
            store.append(&lease, &batch).await.unwrap();
        }
    }
    // A copy has no constraints.
    let one = id(1);
    bench
        .execute(&format!(
            "CREATE TABLE loose AS SELECT * FROM cuts; DROP TABLE cuts; ALTER TABLE loose RENAME TO cuts; \
             UPDATE cuts SET tick = NULL WHERE tick = 100 AND simulation_key = \
             (SELECT simulation_key FROM simulations WHERE id = '{one}')"
        ))
        .await;
    let retention = Retention {
        cuts: 2,
        ..Retention::default()
    };
    store.prune(&lease, &retention).await.unwrap();
    assert_eq!(bench.count("cuts").await, 6);
}

pub(crate) async fn cuts_are_thinned(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    for n in 1..=9 {
        store
            .append(&lease, &cut_batch(n, id(1), n * 100))
            .await
            .unwrap();
    }
    let retention = Retention {
        cuts: 5,
        ..Retention::default()
    };
    let pruned = store.prune(&lease, &retention).await.unwrap();
    assert_eq!(pruned.rows, 4 * 3, "a manifest and two checkpoints each");
    assert_eq!(
        bench
            .count("cuts WHERE tick IN (200, 400, 600, 800, 900)")
            .await,
        5
    );
    assert_eq!(bench.count("cuts").await, 5);
    assert_eq!(bench.count("checkpoints").await, 10);
}

pub(crate) async fn seqs_go_on_when_all_events_are_removed(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let events = (1..=4).map(|n| event(Log::Sim, n, n, 1)).collect();
    store
        .append(&lease, &batch(1, vec![History::Events(id(1), events)]))
        .await
        .unwrap();
    let retention = Retention {
        events: 0,
        ..Retention::default()
    };
    store.prune(&lease, &retention).await.unwrap();
    assert_eq!(bench.count("events").await, 0);
    assert_eq!(store.load().await.unwrap().simulations[0].last_sim_seq, 4);
}
