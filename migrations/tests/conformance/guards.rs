//! Idempotency keys.

use store::Store;
use store::lease::Lease;
use store::write::{Change, Committed, Write};
use transport::control::Status;

use crate::bench::{Bench, commit_one};
use crate::samples::{command, create, guard, guarded, id, state, token};

async fn commit(store: &Store, lease: &Lease, write: Write) -> Committed {
    store.commit(lease, &[write]).await.unwrap().remove(0)
}

fn repeated(committed: &Committed) -> &str {
    match committed {
        Committed::Repeated(answer) => std::str::from_utf8(answer).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_repeated_request_is_answered_as_before(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let first = commit(&store, &lease, guarded(1, guard("k", 1, "a"), create(1))).await;
    assert!(matches!(first, Committed::Done));
    // Another write of the same key, even in the same group as others.
    let group = [
        guarded(2, guard("k", 1, "b"), create(2)),
        guarded(3, guard("l", 1, "c"), create(3)),
        guarded(4, guard("l", 1, "d"), create(4)),
    ];
    let committed = store.commit(&lease, &group).await.unwrap();
    assert_eq!(repeated(&committed[0]), "a");
    assert!(matches!(committed[1], Committed::Done));
    assert_eq!(repeated(&committed[2]), "c");
    // Another token's or route's key is another key.
    let mut other = guard("k", 1, "e");
    other.token = 8;
    let committed = commit(&store, &lease, guarded(5, other, create(5))).await;
    assert!(matches!(committed, Committed::Done));
    let mut other = guard("k", 1, "f");
    other.route = "POST /v1/elsewhere".to_owned();
    let committed = commit(&store, &lease, guarded(6, other, create(6))).await;
    assert!(matches!(committed, Committed::Done));
    let names: Vec<_> = store.load().await.unwrap().simulations;
    let ids: Vec<_> = names.iter().map(|found| found.spec.id).collect();
    assert_eq!(ids, [id(1), id(3), id(5), id(6)]);
    // What changed nothing keeps no key.
    let missing = guarded(7, guard("m", 1, "g"), Change::Delete(id(99)));
    assert!(matches!(
        commit(&store, &lease, missing).await,
        Committed::NotFound
    ));
    let used = guarded(8, guard("m", 2, "h"), Change::Delete(id(1)));
    assert!(matches!(
        commit(&store, &lease, used).await,
        Committed::Done
    ));
}

pub(crate) async fn a_key_is_looked_up_without_being_kept(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit(&store, &lease, guarded(1, guard("k", 1, "a"), create(1))).await;
    let look_up = |n, guard| guarded(n, guard, Change::Nothing);
    let known = commit(&store, &lease, look_up(2, guard("k", 1, "b"))).await;
    assert_eq!(repeated(&known), "a");
    let other = commit(&store, &lease, look_up(3, guard("k", 2, "c"))).await;
    assert!(matches!(other, Committed::KeyReused));
    let new = commit(&store, &lease, look_up(4, guard("l", 1, "d"))).await;
    assert!(matches!(new, Committed::NotFound));
    assert_eq!(bench.count("idempotency_keys").await, 1);
    let used = commit(&store, &lease, guarded(5, guard("l", 2, "e"), create(2))).await;
    assert!(matches!(used, Committed::Done));
}

pub(crate) async fn a_key_with_another_body_is_refused(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit(&store, &lease, guarded(1, guard("k", 1, "a"), create(1))).await;
    let other = commit(&store, &lease, guarded(2, guard("k", 2, "b"), create(2))).await;
    assert!(matches!(other, Committed::KeyReused));
    assert_eq!(bench.count("simulations").await, 1);
}

pub(crate) async fn a_command_stamped_again_replaces_its_row_and_answer(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let first = guarded(2, guard("k", 1, "tick 5"), command(1, 1, 5));
    assert!(matches!(
        commit(&store, &lease, first).await,
        Committed::Done
    ));
    let second = guarded(3, guard("k", 1, "tick 9"), command(1, 1, 9));
    assert!(matches!(
        commit(&store, &lease, second).await,
        Committed::Done
    ));
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.commands.len(), 1);
    assert_eq!((found.commands[0].0.seq, found.commands[0].0.tick), (1, 9));
    // A repetition of the request would be stamped with the next seq.
    let again = commit(
        &store,
        &lease,
        guarded(4, guard("k", 1, "tick 12"), command(1, 2, 12)),
    )
    .await;
    assert_eq!(repeated(&again), "tick 9");
    assert_eq!(bench.count("commands").await, 1);
}

pub(crate) async fn a_withdrawn_command_frees_its_key(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    commit(
        &store,
        &lease,
        guarded(2, guard("k", 1, "a"), command(1, 1, 5)),
    )
    .await;
    let change = Change::Withdraw {
        simulation: id(1),
        seq: 1,
    };
    assert!(matches!(
        commit_one(&store, &lease, 3, change).await,
        Committed::Done
    ));
    assert_eq!(bench.count("commands").await, 0);
    let again = commit(
        &store,
        &lease,
        guarded(4, guard("k", 1, "b"), command(1, 2, 7)),
    )
    .await;
    assert!(matches!(again, Committed::Done));
}

pub(crate) async fn what_is_taken_back_frees_its_key(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let moved = Change::State {
        simulation: id(1),
        state: state(Status::Stopped),
    };
    commit(
        &store,
        &lease,
        guarded(2, guard("k", 1, "a"), moved.clone()),
    )
    .await;
    commit(
        &store,
        &lease,
        guarded(3, guard("l", 1, "b"), Change::CreateToken(token(1))),
    )
    .await;
    // Something else is kept in its place.
    let instead = Change::State {
        simulation: id(1),
        state: state(Status::Paused),
    };
    let take_back = |instead: Option<Change>| Change::TakeBack(instead.map(Box::new));
    let taken = guarded(4, guard("k", 1, "c"), take_back(Some(instead)));
    assert!(matches!(
        commit(&store, &lease, taken).await,
        Committed::Done
    ));
    let found = store.load().await.unwrap().simulations.remove(0);
    assert_eq!(found.state, state(Status::Paused));
    assert_eq!(bench.count("idempotency_keys").await, 1);
    // Nothing is, and another body's key is another's.
    for (n, body, left) in [(5, 2, 1), (6, 1, 0)] {
        let taken = guarded(n, guard("l", body, "d"), take_back(None));
        assert!(matches!(
            commit(&store, &lease, taken).await,
            Committed::Done
        ));
        assert_eq!(bench.count("idempotency_keys").await, left);
    }
    let again = guarded(7, guard("k", 1, "e"), moved);
    assert!(matches!(
        commit(&store, &lease, again).await,
        Committed::Done
    ));
}

pub(crate) async fn a_command_placed_again_after_its_simulation_was_deleted_frees_its_key(
    bench: &Bench,
) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let first = guarded(2, guard("k", 1, "tick 5"), command(1, 1, 5));
    commit(&store, &lease, first).await;
    // Another one was acknowledged: that stays true.
    let other = guarded(3, guard("l", 1, "tick 6"), command(1, 2, 6));
    commit(&store, &lease, other).await;
    commit_one(&store, &lease, 4, Change::Delete(id(1))).await;
    let second = guarded(5, guard("k", 1, "tick 9"), command(1, 1, 9));
    assert!(matches!(
        commit(&store, &lease, second).await,
        Committed::NotFound
    ));
    let look_up = |n, key| guarded(n, guard(key, 1, ""), Change::Nothing);
    assert!(matches!(
        commit(&store, &lease, look_up(6, "k")).await,
        Committed::NotFound
    ));
    let known = commit(&store, &lease, look_up(7, "l")).await;
    assert_eq!(repeated(&known), "tick 6");
}

pub(crate) async fn a_key_is_forgotten_after_a_day(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let change = |n| Change::CreateToken(token(n));
    commit(&store, &lease, guarded(1, guard("k", 1, "a"), change(1))).await;
    let mut later = guard("k", 2, "b");
    later.now_us += 24 * 3_600_000_000;
    let committed = commit(&store, &lease, guarded(2, later.clone(), change(2))).await;
    assert!(matches!(committed, Committed::KeyReused));
    later.now_us += 1;
    let committed = commit(&store, &lease, guarded(3, later, change(2))).await;
    assert!(matches!(committed, Committed::Done));
    assert_eq!(bench.count("idempotency_keys").await, 1);
    // By the database's clock all of these are long past.
    assert_eq!(
        store
            .prune(&lease, &mut Default::default())
            .await
            .unwrap()
            .rows,
        1
    );
    assert_eq!(bench.count("idempotency_keys").await, 0);
}
