//! Deleting a simulation.

use store::history::History;
use store::retention::Pruner;
use store::write::{Change, Committed};
use transport::control::Log;

use crate::bench::{Bench, commit_one};
use crate::samples::{batch, command, create, cut, digest, entity, event, head, id, snapshot};

const TABLES: [&str; 10] = [
    "simulations",
    "heads",
    "epochs",
    "entities",
    "commands",
    "events",
    "metric_snapshots",
    "tick_digests",
    "cuts",
    "checkpoints",
];

fn pieces() -> Vec<History> {
    vec![
        History::Entities(id(1), (1..=12_000).map(entity).collect()),
        History::Events(
            id(1),
            vec![event(Log::Sim, 1, 9, 1), event(Log::System, 1, 9, 100)],
        ),
        History::Digests(id(1), vec![digest(9)]),
        History::Metrics(id(1), Box::new(snapshot(9))),
        History::Head(id(1), head(9)),
        History::Cut(id(1), Box::new(cut(9))),
    ]
}

pub(crate) async fn a_deleted_simulation_is_gone_at_once_and_its_rows_later(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    commit_one(&store, &lease, 2, command(1, 1, 5)).await;
    store.append(&lease, &batch(1, pieces())).await.unwrap();
    let (store, lease) = bench.owner().await;
    assert_eq!(bench.count("epochs").await, 1);

    let deleted = commit_one(&store, &lease, 3, Change::Delete(id(1))).await;
    assert!(matches!(deleted, Committed::Done));
    let again = commit_one(&store, &lease, 4, Change::Delete(id(1))).await;
    assert!(matches!(again, Committed::NotFound));
    assert!(store.load().await.unwrap().simulations.is_empty());
    let reader = bench.reader().await;
    assert_eq!(reader.log(id(1), Log::Sim, 0, 1).await.unwrap(), None);
    let late = commit_one(&store, &lease, 5, command(1, 2, 6)).await;
    assert!(matches!(late, Committed::NotFound));
    // History that was on its way finds nothing to belong to.
    store.append(&lease, &batch(2, pieces())).await.unwrap();

    let mut pruner = Pruner::default();
    let mut steps = 1;
    while store.prune(&lease, &mut pruner).await.unwrap().more {
        steps += 1;
    }
    assert_eq!(steps, 3, "12,000 rows, 5,000 a step");
    for table in TABLES {
        assert_eq!(bench.count(table).await, 0, "{table}");
    }
}

pub(crate) async fn an_id_can_be_used_again_while_its_rows_are_removed(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    store.append(&lease, &batch(1, pieces())).await.unwrap();
    commit_one(&store, &lease, 2, Change::Delete(id(1))).await;
    let created = commit_one(&store, &lease, 3, create(1)).await;
    assert!(matches!(created, Committed::Done));
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!((found.head_tick, found.last_sim_seq), (0, 0));
    assert!(!found.has_entities);
    store.append(&lease, &batch(2, pieces())).await.unwrap();
    let mut pruner = Pruner::default();
    while store.prune(&lease, &mut pruner).await.unwrap().more {}
    assert_eq!(bench.count("entities").await, 12_000);
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.cut, Some(cut(9)));
}
