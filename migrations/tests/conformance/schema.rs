//! Schemas that are not this build's.

use store::error::StoreError;
use store::{Reader, Store};

use crate::bench::{Bench, Kind};

pub(crate) async fn a_newer_schema_is_refused(bench: &Bench) {
    let status = store::schema_status(&bench.url).await.unwrap();
    assert_eq!(
        (status.applied, status.pending.len(), status.newer),
        (vec![1], 0, None)
    );
    bench
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 4711, 'from the future', success, checksum, execution_time FROM _sqlx_migrations",
        )
        .await;
    let status = store::schema_status(&bench.url).await.unwrap();
    assert_eq!(status.newer, Some(4711));
    for refused in [
        Store::connect(&bench.url).await.unwrap_err(),
        Reader::connect(&bench.url).await.unwrap_err(),
        store::migrate(&bench.url).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                refused,
                StoreError::SchemaNewer {
                    found: 4711,
                    known: 1
                }
            ),
            "{refused}"
        );
    }
}

/// It once passed as this build's, and failed at the first statement that found other tables.
pub(crate) async fn a_schema_of_another_text_is_refused(bench: &Bench) {
    let zeros = match bench.kind {
        Kind::Sqlite => "zeroblob(48)",
        Kind::Postgres => "decode(repeat('00', 48), 'hex')",
    };
    bench
        .execute(&format!("UPDATE _sqlx_migrations SET checksum = {zeros}"))
        .await;
    let status = store::schema_status(&bench.url).await.unwrap();
    assert_eq!(
        (&status.applied[..], status.pending.len(), status.altered),
        (&[1][..], 0, Some((1, "initial")))
    );
    for refused in [
        Store::connect(&bench.url).await.unwrap_err(),
        Reader::connect(&bench.url).await.unwrap_err(),
        store::migrate(&bench.url).await.unwrap_err(),
        status.check_applied().unwrap_err(),
    ] {
        assert!(
            matches!(refused, StoreError::SchemaAltered { version: 1, .. }),
            "{refused}"
        );
        assert!(!refused.is_worth_retrying());
        let told = refused.to_string();
        assert!(told.contains("migration 0001 (initial)"), "{told}");
        assert!(told.contains("start with an empty database"), "{told}");
    }
}

pub(crate) async fn an_older_schema_is_refused_until_migrated(bench: &Bench) {
    let empty = Bench::unmigrated(bench.kind).await;
    let status = store::schema_status(&empty.url).await.unwrap();
    assert_eq!(
        (status.applied.len(), status.pending),
        (0, vec![(1, "initial")])
    );
    let refused = Store::connect(&empty.url).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::SchemaOlder { pending: 1 }),
        "{refused}"
    );
    let before = store::migrate(&empty.url).await.unwrap();
    assert_eq!(before.pending.len(), 1);
    let again = store::migrate(&empty.url).await.unwrap();
    assert_eq!(again.pending.len(), 0);
    drop(Store::connect(&empty.url).await.unwrap());
    empty.remove().await;
}

pub(crate) async fn those_that_migrate_at_once_all_succeed(bench: &Bench) {
    for _ in 0..8 {
        let empty = Bench::unmigrated(bench.kind).await;
        // Each on a thread of its own, so that they meet.
        let all: Vec<_> = (0..4)
            .map(|_| {
                let url = empty.url.clone();
                tokio::spawn(async move { store::migrate(&url).await })
            })
            .collect();
        for one in all {
            one.await.unwrap().unwrap();
        }
        let status = store::schema_status(&empty.url).await.unwrap();
        assert_eq!((status.applied, status.pending.len()), (vec![1], 0));
        empty.remove().await;
    }
}
