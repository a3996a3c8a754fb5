//! One owner at a time.

use std::time::Duration;

use store::error::StoreError;
use store::history::History;
use store::lease::{Acquired, SameAddress};
use store::limits::KEPT_EPOCHS;
use store::write::{Change, Write};
use transport::control::{EpochBegin, Log};

use crate::bench::{Bench, commit_one, owned};
use crate::samples::{batch, command, create, event, head, id};

const LONG: Duration = Duration::from_secs(600);
/// Has run out at once.
const SHORT: Duration = Duration::ZERO;

pub(crate) async fn the_second_waits_until_the_lease_runs_out(bench: &Bench) {
    let one = bench.store().await;
    let two = bench.store().await;
    assert_eq!(one.owner().await.unwrap(), None);
    let lease = owned(one.acquire("one", LONG, SameAddress::Waits).await.unwrap());
    assert_eq!(lease.epoch, 1);
    let Acquired::Held(owner) = two
        .acquire("two", LONG, SameAddress::TakesOver)
        .await
        .unwrap()
    else {
        panic!("both have it");
    };
    assert_eq!((owner.epoch, owner.address.as_str()), (1, "one"));
    assert!(
        owner.remaining > LONG / 2 && owner.remaining <= LONG,
        "{owner:?}"
    );
    // Its own address: by default like any other's.
    let asked = one.acquire("one", LONG, SameAddress::Waits).await.unwrap();
    assert!(matches!(asked, Acquired::Held(_)));
    let lease = owned(
        one.acquire("one", SHORT, SameAddress::TakesOver)
            .await
            .unwrap(),
    );
    assert_eq!(lease.epoch, 2);
    let lease = owned(two.acquire("two", LONG, SameAddress::Waits).await.unwrap());
    assert_eq!(lease.epoch, 3);
    assert_eq!(one.owner().await.unwrap().unwrap().address, "two");
    assert_eq!(two.owner().await.unwrap().unwrap().epoch, 3);
}

pub(crate) async fn a_stale_owner_writes_nothing(bench: &Bench) {
    let one = bench.store().await;
    let two = bench.store().await;
    let old = owned(one.acquire("one", SHORT, SameAddress::Waits).await.unwrap());
    commit_one(&one, &old, 1, create(1)).await;
    // In SQLite every write renews; this lease has run out again all the same.
    let new = owned(two.acquire("two", LONG, SameAddress::Waits).await.unwrap());
    let write = Write {
        id: 2,
        guard: None,
        change: create(2),
    };
    let refused = one.commit(&old, &[write]).await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLost { epoch: 1 })),
        "{refused:?}"
    );
    let refused = one
        .append(&old, &batch(1, vec![History::Head(id(1), head(9))]))
        .await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLost { epoch: 1 })),
        "{refused:?}"
    );
    let refused = one.prune(&old, &mut Default::default()).await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLost { epoch: 1 })),
        "{refused:?}"
    );
    let refused = one.renew(&old_for_long(&old)).await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLost { epoch: 1 })),
        "{refused:?}"
    );
    one.release(&old).await.unwrap();
    assert_eq!(one.owner().await.unwrap().unwrap().epoch, new.epoch);
    let found = two.load().await.unwrap().simulations;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].head_tick, 0);
}

/// The same lease, with time enough to be told that it is lost.
fn old_for_long(lease: &store::lease::Lease) -> store::lease::Lease {
    store::lease::Lease {
        ttl: LONG,
        ..lease.clone()
    }
}

/// Where later owners took a simulation up, as one that starts finds it.
async fn epochs(bench: &Bench, simulation: u128) -> Vec<EpochBegin> {
    let found = bench.store().await.load().await.unwrap().simulations;
    let found = found.into_iter().find(|s| s.spec.id == id(simulation));
    found.unwrap().epochs
}

fn begun(epoch: u32, from_tick: u64, from_event: u64, from_system_event: u64) -> EpochBegin {
    EpochBegin {
        epoch,
        from_tick,
        from_event,
        from_system_event,
    }
}

pub(crate) async fn where_each_owner_takes_a_simulation_up_is_kept(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let written = vec![
        History::Events(
            id(1),
            vec![event(Log::Sim, 1, 9, 1), event(Log::System, 1, 9, 100)],
        ),
        History::Head(id(1), head(9)),
        // Of a tick that is not whole: it comes again as it is.
        History::Events(id(1), vec![event(Log::Sim, 2, 10, 1)]),
    ];
    store.append(&lease, &batch(1, written)).await.unwrap();
    assert!(
        epochs(bench, 1).await.is_empty(),
        "nobody has taken it over"
    );
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(2)).await;
    let written = vec![
        History::Events(id(1), vec![event(Log::Sim, 3, 12, 1)]),
        History::Head(id(1), head(12)),
    ];
    store.append(&lease, &batch(1, written)).await.unwrap();
    let (store, lease) = bench.owner().await;
    let expected = [begun(2, 10, 3, 2), begun(3, 13, 4, 2)];
    assert_eq!(epochs(bench, 1).await, expected);
    assert_eq!(epochs(bench, 2).await, [begun(3, 1, 1, 1)]);
    // Of many the newest are told apart; who knows only what was before these knows nothing for sure.
    for _ in 0..KEPT_EPOCHS {
        bench.owner().await;
    }
    let last = lease.epoch + KEPT_EPOCHS;
    let mut expected: Vec<_> = (last + 1 - KEPT_EPOCHS..=last)
        .map(|epoch| begun(epoch, 13, 4, 2))
        .collect();
    expected[0] = begun(last + 1 - KEPT_EPOCHS, 0, 1, 1);
    assert_eq!(epochs(bench, 1).await, expected);
    drop(store);
}

pub(crate) async fn an_expired_lease_that_nobody_took_is_renewed(bench: &Bench) {
    let one = bench.store().await;
    let short = owned(one.acquire("one", SHORT, SameAddress::Waits).await.unwrap());
    assert!(one.owner().await.unwrap().unwrap().remaining.is_zero());
    one.renew(&old_for_long(&short)).await.unwrap();
    let two = bench.store().await;
    let asked = two.acquire("two", LONG, SameAddress::Waits).await.unwrap();
    assert!(matches!(asked, Acquired::Held(_)), "{asked:?}");
    commit_one(&one, &short, 1, create(1)).await;
}

pub(crate) async fn a_released_lease_is_free_at_once(bench: &Bench) {
    let (one, lease) = bench.owner().await;
    one.release(&lease).await.unwrap();
    let two = bench.store().await;
    let next = owned(two.acquire("two", LONG, SameAddress::Waits).await.unwrap());
    assert_eq!(next.epoch, lease.epoch + 1);
}

pub(crate) async fn of_many_who_ask_one_gets_it(bench: &'static Bench) {
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..8 {
        asking.spawn(async move {
            let store = bench.store().await;
            let address = format!("number {n}");
            store
                .acquire(&address, LONG, SameAddress::Waits)
                .await
                .unwrap()
        });
    }
    let answers = asking.join_all().await;
    let got = answers
        .iter()
        .filter(|answer| matches!(answer, Acquired::Owned(_)));
    assert_eq!(got.count(), 1, "{answers:?}");
}

/// While one commits without a pause, another takes over: what the first was told is kept is there when the
/// second looks, and nothing comes after.
pub(crate) async fn nothing_is_committed_behind_a_take_over(bench: &'static Bench) {
    let (first, mut lease) = bench.owner().await;
    commit_one(&first, &lease, 1, create(1)).await;
    let mut seq = 0;
    for round in 0..10 {
        let store = bench.store().await;
        let next = bench.store().await;
        let (started, begun) = tokio::sync::oneshot::channel();
        let committing = tokio::spawn(async move {
            let mut started = Some(started);
            let mut kept = seq;
            loop {
                assert!(kept < seq + 10_000, "the lease is never lost");
                let write = Write {
                    id: kept + 10,
                    guard: None,
                    change: command(1, kept + 1, 5),
                };
                match store.commit(&lease, &[write]).await {
                    Ok(_) => kept += 1,
                    Err(StoreError::LeaseLost { .. }) => return kept,
                    Err(error) => panic!("{error}"),
                }
                started.take().map(|started| started.send(()));
            }
        });
        begun.await.unwrap();
        let taken = next
            .acquire("here", LONG, SameAddress::TakesOver)
            .await
            .unwrap();
        let seen = next.load().await.unwrap().simulations[0].last_command_seq;
        let kept = committing.await.unwrap();
        assert_eq!(kept, seen, "round {round}");
        let after = next.load().await.unwrap().simulations[0].last_command_seq;
        assert_eq!(after, seen, "round {round}");
        seq = seen;
        lease = owned(taken);
    }
    let change = Change::Delete(id(1));
    commit_one(&first, &lease, 1, change).await;
}
