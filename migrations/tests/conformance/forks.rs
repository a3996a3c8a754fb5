//! Forks, and the cuts that they and a recovery begin with.

use store::Store;
use store::history::History;
use store::lease::Lease;
use store::recovery::Recovered;
use store::retention::Pruner;
use store::write::{Change, Committed};
use transport::control::{CommandStamp, Log, Status};

use crate::bench::{Bench, commit_one};
use crate::samples::{
    batch, command, create, cut, cut_batch, entity, event, head, id, request, spec, state,
};

/// A simulation with cuts at 100 and 200 and commands at 50, 150, 160 and 250.
async fn past(store: &Store, lease: &Lease) {
    commit_one(store, lease, 1, create(1)).await;
    for (seq, tick) in [(1, 50), (2, 160), (3, 150), (4, 250)] {
        commit_one(store, lease, 1 + seq, command(1, seq, tick)).await;
    }
    store
        .append(lease, &cut_batch(1, id(1), 100))
        .await
        .unwrap();
    store
        .append(lease, &cut_batch(2, id(1), 200))
        .await
        .unwrap();
    let pieces = vec![
        History::Events(id(1), vec![event(Log::Sim, 300, 300, 1)]),
        History::Entities(id(1), (1..=3).map(entity).collect()),
        History::Head(id(1), head(300)),
    ];
    store.append(lease, &batch(3, pieces)).await.unwrap();
}

fn fork(child: u128, tick: u64) -> Change {
    let mut spec = spec(child);
    spec.parent = Some((id(1), tick));
    Change::Fork {
        parent: id(1),
        tick,
        spec,
        state: state(Status::Paused),
    }
}

fn forked(committed: Committed) -> Recovered {
    match committed {
        Committed::Forked(child) => *child,
        other => panic!("{other:?}"),
    }
}

fn stamps(child: &Recovered) -> Vec<(u64, u64)> {
    child
        .commands
        .iter()
        .map(|(stamp, _)| (stamp.seq, stamp.tick))
        .collect()
}

pub(crate) async fn a_fork_begins_with_the_newest_cut_before_its_tick(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    let child = forked(commit_one(&store, &lease, 10, fork(2, 199)).await);
    assert_eq!(child.spec.id, id(2));
    assert_eq!(child.spec.parent, Some((id(1), 199)));
    assert_eq!(child.state, state(Status::Paused));
    assert_eq!(child.head_tick, 199);
    assert_eq!(child.cut, Some(cut(100)));
    let expected = [
        (CommandStamp { seq: 3, tick: 150 }, request(3)),
        (CommandStamp { seq: 2, tick: 160 }, request(2)),
    ];
    assert_eq!(child.commands, expected);
    assert_eq!(child.last_command_seq, 3);
    assert_eq!((child.last_sim_seq, child.last_system_seq), (50, 0));
    assert!(!child.has_entities && child.digest.is_none());

    // At a cut's own tick nothing is to be replayed.
    let child = forked(commit_one(&store, &lease, 11, fork(3, 200)).await);
    assert_eq!(child.cut, Some(cut(200)));
    assert!(child.commands.is_empty());
    // Beyond what is written, the commands lead there.
    let child = forked(commit_one(&store, &lease, 12, fork(4, 400)).await);
    assert_eq!((child.head_tick, stamps(&child)), (400, vec![(4, 250)]));
}

pub(crate) async fn a_command_placed_again_after_a_cut_is_not_in_it_whatever_its_seq(
    bench: &Bench,
) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    // Its commit came too late for tick 160: its seq stays, and the cut of 200 holds a greater one.
    commit_one(&store, &lease, 10, command(1, 2, 230)).await;
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.cut, Some(cut(200)));
    assert_eq!(stamps(&found), [(2, 230), (4, 250)]);
    assert_eq!(found.last_command_seq, 4);
    let child = forked(commit_one(&store, &lease, 11, fork(2, 240)).await);
    assert_eq!(
        (child.cut.as_ref(), stamps(&child)),
        (Some(&cut(200)), vec![(2, 230)])
    );
    // Before its place it is not there.
    let child = forked(commit_one(&store, &lease, 12, fork(3, 220)).await);
    assert!(child.commands.is_empty());
    let child = forked(commit_one(&store, &lease, 13, fork(4, 199)).await);
    assert_eq!(stamps(&child), [(3, 150)]);
}

pub(crate) async fn a_fork_before_any_cut_begins_with_creation(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    let child = forked(commit_one(&store, &lease, 10, fork(2, 99)).await);
    assert_eq!(child.cut, None);
    assert_eq!((child.head_tick, child.last_sim_seq), (99, 0));
    assert_eq!(stamps(&child), [(1, 50)]);
}

pub(crate) async fn a_fork_outlives_its_parent(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    let child = forked(commit_one(&store, &lease, 10, fork(2, 170)).await);
    commit_one(&store, &lease, 11, Change::Delete(id(1))).await;
    let mut pruner = Pruner::default();
    while store.prune(&lease, &mut pruner).await.unwrap().more {}
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.spec, child.spec);
    assert_eq!(found.cut, Some(cut(100)));
    assert_eq!(found.commands, child.commands);
    // A child has all that leads to its own past too.
    let mut spec = spec(3);
    spec.parent = Some((id(2), 60));
    let change = Change::Fork {
        parent: id(2),
        tick: 60,
        spec,
        state: state(Status::Paused),
    };
    let grandchild = forked(commit_one(&store, &lease, 12, change).await);
    assert_eq!(
        (grandchild.cut.is_none(), stamps(&grandchild)),
        (true, vec![(1, 50)])
    );
}

pub(crate) async fn a_fork_that_cannot_be_is_a_conflict(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    let there = commit_one(&store, &lease, 10, fork(1, 150)).await;
    assert!(matches!(there, Committed::Conflict), "{there:?}");
    let change = Change::Fork {
        parent: id(8),
        tick: 1,
        spec: spec(9),
        state: state(Status::Paused),
    };
    let nobody = commit_one(&store, &lease, 11, change).await;
    assert!(matches!(nobody, Committed::NotFound), "{nobody:?}");
    bench
        .execute("UPDATE simulations SET kernel_version = 4711")
        .await;
    let other = commit_one(&store, &lease, 12, fork(2, 99)).await;
    assert!(matches!(other, Committed::Conflict), "{other:?}");
    assert_eq!(bench.count("simulations").await, 1);
    forked(commit_one(&store, &lease, 13, fork(2, 100)).await);
}

pub(crate) async fn what_cannot_be_read_is_not_forked_and_stops_no_other(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    bench
        .execute("UPDATE commands SET command = 'fly' WHERE seq = 2")
        .await;
    let writes = |ids: [u64; 2], child, tick| {
        let other = create(u128::from(ids[1]));
        [(ids[0], fork(child, tick)), (ids[1], other)].map(|(id, change)| store::write::Write {
            id,
            guard: None,
            change,
        })
    };
    let group = writes([10, 11], 2, 170);
    let told = store.commit(&lease, &group).await.unwrap();
    assert!(
        matches!(told[..], [Committed::Conflict, Committed::Done]),
        "{told:?}"
    );
    assert_eq!(bench.count("simulations").await, 2, "no child is left");
    // What leads to another tick can be read.
    let child = forked(commit_one(&store, &lease, 12, fork(3, 155)).await);
    assert_eq!(stamps(&child), [(3, 150)]);
    let one = id(1);
    bench
        .execute(&format!(
            "UPDATE simulations SET scenario = 'moon' WHERE id = '{one}'"
        ))
        .await;
    let told = store.commit(&lease, &writes([13, 14], 2, 99)).await;
    let told = told.unwrap();
    assert!(
        matches!(told[..], [Committed::Conflict, Committed::Done]),
        "{told:?}"
    );
}

pub(crate) async fn a_cut_that_is_not_whole_is_passed_over(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    let newest = async || store.load().await.unwrap().simulations[0].cut.clone();
    assert_eq!(newest().await, Some(cut(200)));
    let key = "(SELECT min(simulation_key) FROM simulations)";
    // A crash before the manifest.
    bench
        .execute(&format!(
            "INSERT INTO checkpoints SELECT {key}, 290, partition, payload FROM checkpoints WHERE tick = 200"
        ))
        .await;
    assert_eq!(newest().await, Some(cut(200)));
    // The next owner's cut of the same tick takes its place.
    store
        .append(&lease, &cut_batch(4, id(1), 290))
        .await
        .unwrap();
    assert_eq!(newest().await, Some(cut(290)));
    bench
        .execute("DELETE FROM checkpoints WHERE tick = 290 AND partition = 1")
        .await;
    assert_eq!(newest().await, Some(cut(200)));
    bench
        .execute("UPDATE cuts SET mail = substr(mail, 2) WHERE tick = 200")
        .await;
    assert_eq!(newest().await, Some(cut(100)));
    bench.execute("DELETE FROM cuts").await;
    assert_eq!(newest().await, None);
}

pub(crate) async fn a_cut_of_another_kernel_or_build_is_passed_over(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    past(&store, &lease).await;
    bench
        .execute("UPDATE cuts SET schema_hash = 1 WHERE tick = 200")
        .await;
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.cut, Some(cut(100)));
    assert_eq!(stamps(&found), [(3, 150), (2, 160), (4, 250)]);
    bench
        .execute("UPDATE cuts SET kernel_version = 4711 WHERE tick = 100")
        .await;
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.cut, None);
    assert_eq!(stamps(&found), [(1, 50), (3, 150), (2, 160), (4, 250)]);
}
