//! Databases that do not do what they should.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use store::error::StoreError;
use store::history::History;
use store::lease::{Acquired, SameAddress};
use store::limits::READ_CONNECT_PATIENCE;
use store::write::{Committed, Write};
use store::{Reader, Store};

use crate::bench::{self, Bench, Kind, commit_one, owned, run_sql};
use crate::proxy::{Passes, Proxy};
use crate::samples::{batch, create, cut, head, id};

pub(crate) async fn tables_that_are_older_are_named(bench: &Bench) {
    let (store, _) = bench.owner().await;
    bench.execute("DROP TABLE heads").await;
    let refused = store.load().await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert!(!refused.is_worth_retrying());
    // As a command line prints it, with its sources.
    let told = format!("{:#}", anyhow::Error::from(refused));
    assert_eq!(told.matches("heads").count(), 1, "{told}");
}

#[test]
fn a_full_sqlite_file_says_so_and_goes_on_once_there_is_room() {
    bench::run(Kind::Sqlite, full_file);
}

async fn full_file(bench: &Bench) {
    let small = Store::connect(&format!("{}?max_page_count=120", bench.url))
        .await
        .unwrap();
    let lease = owned(
        small
            .acquire("here", Duration::from_secs(600), SameAddress::Waits)
            .await
            .unwrap(),
    );
    commit_one(&small, &lease, 1, create(1)).await;
    let mut large = cut(9);
    large.checkpoints = vec![vec![7; 1 << 20].into()];
    let pieces = vec![
        History::Head(id(1), head(9)),
        History::Cut(id(1), Box::new(large.clone())),
    ];
    let refused = small
        .append(&lease, &batch(1, pieces.clone()))
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::DiskFull(_)), "{refused}");
    assert!(refused.is_worth_retrying());
    assert_eq!(
        small.load().await.unwrap().simulations[0].head_tick,
        0,
        "all or nothing"
    );
    // What fits still goes in.
    commit_one(&small, &lease, 2, create(2)).await;
    small.close().await;
    let roomy = bench.store().await;
    roomy.append(&lease, &batch(1, pieces)).await.unwrap();
    assert_eq!(roomy.load().await.unwrap().simulations[0].cut, Some(large));
}

#[test]
fn a_killed_connection_is_unavailable_and_the_next_call_works() {
    bench::run(Kind::Postgres, killed);
}

async fn killed(bench: &'static Bench) {
    let (store, lease) = bench.owner().await;
    // Idle connections that die are nobody's business.
    commit_one(&store, &lease, 1, create(1)).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    bench.execute(others).await;
    commit_one(&store, &lease, 2, create(2)).await;

    // One that dies amid a transaction, which waits here for a lock.
    let mut blocker = PgConnection::connect(&bench.url).await.unwrap();
    run_sql(
        &mut blocker,
        "BEGIN; SELECT * FROM fences WHERE name = 'commit' FOR UPDATE".to_owned(),
    )
    .await;
    let write = Write {
        id: 3,
        guard: None,
        change: create(3),
    };
    let waiting = {
        let (store, lease, write) = (store.clone(), lease.clone(), write.clone());
        tokio::spawn(async move { store.commit(&lease, &[write]).await })
    };
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    loop {
        let killed: i64 = sqlx::query_scalar(kill)
            .fetch_one(&mut blocker)
            .await
            .unwrap();
        if killed == 1 {
            break;
        }
        // A transaction sees one state of that view unless told otherwise.
        run_sql(&mut blocker, "SELECT pg_stat_clear_snapshot()".to_owned()).await;
    }
    let refused = waiting.await.unwrap().unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    run_sql(&mut blocker, "ROLLBACK".to_owned()).await;
    let committed = store.commit(&lease, &[write]).await.unwrap();
    assert!(matches!(committed[..], [Committed::Done]), "{committed:?}");
    assert_eq!(store.load().await.unwrap().simulations.len(), 3);
}

#[test]
fn a_server_that_falls_silent_is_told_of_at_once_to_who_reads() {
    bench::run(Kind::Postgres, silent);
}

/// What was used within the last moment is not asked whether it lives; its silence once cost a reader 15 s.
async fn silent(bench: &'static Bench) {
    const SOON: Duration = Duration::from_secs(4);
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let proxy = Proxy::to(&bench.url).await;
    let reader = Reader::connect(&proxy.url).await.unwrap();
    for passes in [Passes::Nothing, Passes::Begin] {
        proxy.let_pass(Passes::All);
        assert!(reader.digests(id(1), 0, 1).await.unwrap().is_some());
        proxy.let_pass(passes);
        let begun = Instant::now();
        let refused = reader.digests(id(1), 0, 1).await.unwrap_err();
        let took = begun.elapsed();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        assert!(took < SOON, "{passes:?}: {took:?}");
    }
    proxy.let_pass(Passes::All);
    assert!(reader.digests(id(1), 0, 1).await.unwrap().is_some());
}

#[test]
fn a_slow_way_to_the_server_opens_connections_for_who_comes_next() {
    bench::run(Kind::Postgres, slow);
}

/// Opening a connection takes more trips than a reader waits for, while each read takes few.
async fn slow(bench: &'static Bench) {
    // More than the connections it has at first, which is one.
    const AT_ONCE: usize = 3;
    let (store, lease) = bench.owner().await;
    commit_one(&store, &lease, 1, create(1)).await;
    let proxy = Proxy::to(&bench.url).await;
    proxy.let_pass(Passes::Late(READ_CONNECT_PATIENCE / 4));
    let reader = Reader::connect(&proxy.url).await.unwrap();
    let mut refused = 0;
    loop {
        let asked: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let reader = reader.clone();
                tokio::spawn(async move { reader.digests(id(1), 0, 1).await })
            })
            .collect();
        let mut answered = 0;
        for asked in asked {
            match asked.await.unwrap() {
                Ok(page) => answered += usize::from(page.is_some()),
                Err(error) => {
                    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                    refused += 1;
                }
            }
        }
        if answered == AT_ONCE {
            return;
        }
        assert!(refused < 10 * AT_ONCE, "nobody ever has a connection");
    }
}

#[test]
fn a_stopped_owners_transaction_does_not_keep_the_next_one_waiting() {
    bench::run(Kind::Postgres, stopped);
}

/// The stopped owner is played by a connection with a writer's settings that says nothing any more.
async fn stopped(bench: &Bench) {
    let store = bench.store().await;
    let mut stopped = PgConnection::connect(&bench.url).await.unwrap();
    let patience = store::limits::IDLE_TRANSACTION_PATIENCE.as_millis();
    run_sql(
        &mut stopped,
        format!("SET idle_in_transaction_session_timeout = {patience}; BEGIN; UPDATE fences SET epoch = epoch"),
    )
    .await;
    let lease = store
        .acquire("next", Duration::from_secs(9), SameAddress::Waits)
        .await
        .unwrap();
    assert!(matches!(lease, Acquired::Owned(_)), "{lease:?}");
    // The wait has cost the new lease nothing.
    assert!(store.owner().await.unwrap().unwrap().remaining > Duration::from_secs(8));
}

#[test]
fn a_wrong_password_is_denied_and_never_shown() {
    bench::run(Kind::Postgres, denied);
}

async fn denied(bench: &Bench) {
    let (scheme, rest) = bench.url.split_once("://").unwrap();
    let (_, place) = rest.split_once('@').unwrap();
    let user = rest.split_once(':').unwrap().0;
    let url = format!("{scheme}://{user}:s3cret-not-it@{place}");
    for refused in [
        Store::connect(&url).await.unwrap_err(),
        Reader::connect(&url).await.unwrap_err(),
        store::migrate(&url).await.unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Denied(_)), "{refused}");
        assert!(
            !format!("{refused} {refused:?}").contains("s3cret"),
            "{refused:?}"
        );
    }
    let missing = format!("{}_not", bench.url);
    let refused = Store::connect(&missing).await.unwrap_err();
    assert!(matches!(refused, StoreError::Denied(_)), "{refused}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // Bound and not listening: nobody else can have the port, and nobody answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://farm:s3cret@127.0.0.1:{port}/farm");
    let refused = Store::connect(&url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(
        !format!("{refused} {refused:?}").contains("s3cret"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_made_or_is_none_is_named() {
    let refused = store::migrate("sqlite:/proc/autofarm.db")
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::NotWritable(_)), "{refused}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("farm.db");
    let url = format!("sqlite:{}", path.display());
    let refused = Reader::connect(&url).await.unwrap_err();
    assert!(refused.is_worth_retrying(), "{refused}");
    std::fs::write(&path, "This is a letter, and no database. ".repeat(100)).unwrap();
    let refused = store::migrate(&url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}
