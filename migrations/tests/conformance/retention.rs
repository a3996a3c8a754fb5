//! How long history is kept.

use store::history::History;
use store::retention::{Pruner, Retention};
use store::write::Change;
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
    let mut pruner = Pruner::new(retention);
    let first = store.prune(&lease, &mut pruner).await.unwrap();
    assert_eq!((first.rows, first.more), (5_043, true));
    let second = store.prune(&lease, &mut pruner).await.unwrap();
    assert_eq!((second.rows, second.more), (5_000, true));
    let third = store.prune(&lease, &mut pruner).await.unwrap();
    assert_eq!((third.rows, third.more), (1_900, false));
    assert_eq!(store.prune(&lease, &mut pruner).await.unwrap().rows, 0);
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
    let mut pruner = Pruner::new(retention);
    store.prune(&lease, &mut pruner).await.unwrap();
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
    let mut pruner = Pruner::new(retention);
    let pruned = store.prune(&lease, &mut pruner).await.unwrap();
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
    let mut pruner = Pruner::new(retention);
    store.prune(&lease, &mut pruner).await.unwrap();
    assert_eq!(bench.count("events").await, 0);
    assert_eq!(store.load().await.unwrap().simulations[0].last_sim_seq, 4);
}

/// Transactions that retention may write in, counted behind the store's back.
async fn count_transactions(bench: &Bench) {
    let sql = match bench.kind {
        Kind::Sqlite => {
            "CREATE TABLE passes (fence TEXT); CREATE TRIGGER passing AFTER UPDATE ON fences \
             BEGIN INSERT INTO passes VALUES (new.name); END"
        }
        Kind::Postgres => {
            "CREATE TABLE passes (fence text); \
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN INSERT INTO passes VALUES (NEW.name); RETURN NULL; END'; \
             CREATE TRIGGER passing AFTER UPDATE ON fences FOR EACH ROW EXECUTE FUNCTION note()"
        }
    };
    bench.execute(sql).await;
}

pub(crate) async fn only_what_has_something_to_remove_is_touched(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let many = |of, n| History::Events(id(of), (1..=n).map(|n| event(Log::Sim, n, n, 1)).collect());
    for of in 1..=5 {
        commit_one(&store, &lease, of, create(of.into())).await;
    }
    let pieces = vec![many(2, 12_000), many(3, 7_000), many(4, 50)];
    store.append(&lease, &batch(1, pieces)).await.unwrap();
    commit_one(&store, &lease, 6, Change::Delete(id(3))).await;
    count_transactions(bench).await;
    let mut pruner = Pruner::new(Retention {
        events: 100,
        ..Retention::default()
    });
    let mut passes = Vec::new();
    let mut before = 0;
    for _ in 0..5 {
        let more = store.prune(&lease, &mut pruner).await.unwrap().more;
        let now = bench.count("passes").await;
        passes.push((now - before, more));
        before = now;
    }
    // All five and the keys, then the two that had more, then the one that still has; nothing was written since.
    let expected = [(6, true), (2, true), (1, false), (1, false), (1, false)];
    assert_eq!(passes, expected);
    assert_eq!(bench.count("events").await, 150);
    assert_eq!(bench.count("simulations").await, 4);

    // What is written of one is seen, and of no other.
    let more = (12_001..=12_010)
        .map(|n| event(Log::Sim, n, n, 1))
        .collect();
    let pieces = vec![History::Events(id(2), more)];
    store.append(&lease, &batch(2, pieces)).await.unwrap();
    let before = bench.count("passes").await;
    let pruned = store.prune(&lease, &mut pruner).await.unwrap();
    assert_eq!((pruned.rows, pruned.more), (10, false));
    assert_eq!(bench.count("passes").await - before, 2);
    for (n, piece) in [
        History::Digests(id(1), vec![digest(9)]),
        History::Metrics(id(1), Box::new(snapshot(9))),
    ]
    .into_iter()
    .enumerate()
    {
        let batch = batch(3 + n as u64, vec![piece]);
        store.append(&lease, &batch).await.unwrap();
        let before = bench.count("passes").await;
        store.prune(&lease, &mut pruner).await.unwrap();
        assert_eq!(bench.count("passes").await - before, 2);
    }
    let cut = cut_batch(5, id(1), 9);
    store.append(&lease, &cut).await.unwrap();
    let before = bench.count("passes").await;
    store.prune(&lease, &mut pruner).await.unwrap();
    assert_eq!(bench.count("passes").await - before, 2);

    // One that was clean is removed once it is deleted.
    commit_one(&store, &lease, 7, Change::Delete(id(4))).await;
    while store.prune(&lease, &mut pruner).await.unwrap().more {}
    assert_eq!(bench.count("events").await, 100);
    assert_eq!(bench.count("simulations").await, 3);
}
