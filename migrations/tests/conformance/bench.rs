//! A database for one test, and who works with it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use store::history::EntityRow;
use store::lease::{Acquired, Lease, SameAddress};
use store::write::{Change, Committed, Write};
use store::{Reader, Store};
use tempfile::TempDir;
use transport::control::SimulationId;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A lease that outlives any test.
const LONG: Duration = Duration::from_secs(600);

/// A database of its own, empty and migrated.
pub(crate) struct Bench {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    dir: Option<TempDir>,
}

/// Runs a test on a database of its own, which is removed afterwards, passed or failed.
pub(crate) fn run<F, T>(kind: Kind, test: T)
where
    T: FnOnce(&'static Bench) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let bench: &'static Bench = Box::leak(Box::new(runtime.block_on(Bench::new(kind))));
    let outcome = runtime.block_on(async { tokio::spawn(test(bench)).await });
    runtime.block_on(bench.remove());
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// The server of the tests.
pub(crate) fn server_url() -> String {
    std::env::var("AUTOFARM_TEST_POSTGRES_URL")
        .expect("AUTOFARM_TEST_POSTGRES_URL is not set: run `.ci/test`, which starts a server")
}

impl Bench {
    async fn new(kind: Kind) -> Bench {
        let bench = Bench::unmigrated(kind).await;
        store::migrate(&bench.url).await.unwrap();
        bench
    }

    /// One without tables.
    pub(crate) async fn unmigrated(kind: Kind) -> Bench {
        match kind {
            Kind::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", dir.path().join("farm.db").display());
                Bench {
                    kind,
                    url,
                    dir: Some(dir),
                }
            }
            Kind::Postgres => {
                let server = server_url();
                let name = format!("test_{}", uuid::Uuid::now_v7().simple());
                let mut admin = PgConnection::connect(&server).await.unwrap();
                run_sql(&mut admin, format!("CREATE DATABASE {name}")).await;
                let (base, _) = server
                    .rsplit_once('/')
                    .expect("a URL that names a database");
                Bench {
                    kind,
                    url: format!("{base}/{name}"),
                    dir: None,
                }
            }
        }
    }

    /// Removes the database.
    pub(crate) async fn remove(&self) {
        match &self.dir {
            // A leaked directory is not removed by itself.
            Some(dir) => drop(std::fs::remove_dir_all(dir.path())),
            None => {
                let (_, name) = self.url.rsplit_once('/').unwrap();
                let mut admin = PgConnection::connect(&server_url()).await.unwrap();
                run_sql(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
            }
        }
    }

    pub(crate) async fn store(&self) -> Store {
        Store::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn reader(&self) -> Reader {
        Reader::connect(&self.url).await.unwrap()
    }

    /// A store, and the lease of its owner.
    pub(crate) async fn owner(&self) -> (Store, Lease) {
        let store = self.store().await;
        let lease = owned(
            store
                .acquire("here", LONG, SameAddress::TakesOver)
                .await
                .unwrap(),
        );
        (store, lease)
    }

    /// Runs a statement behind the store's back.
    pub(crate) async fn execute(&self, sql: &str) {
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                run_sql(&mut connection, sql.to_owned()).await;
            }
            Kind::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// The machines of a simulation, as who asks the database itself finds them: no role reads them.
    pub(crate) async fn machines(&self, simulation: SimulationId) -> Vec<EntityRow> {
        let sql = "SELECT e.entity, e.class, e.site, e.home_x_m, e.home_y_m FROM entities e \
                   JOIN simulations s ON s.simulation_key = e.simulation_key \
                   WHERE CAST(s.id AS TEXT) = $1 ORDER BY e.entity";
        let id = simulation.to_string();
        let rows: Vec<(i64, String, i64, f64, f64)> = match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                let query = sqlx::query_as(sql).bind(id);
                query.fetch_all(&mut connection).await.unwrap()
            }
            Kind::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
                let query = sqlx::query_as(sql).bind(id);
                query.fetch_all(&mut connection).await.unwrap()
            }
        };
        let rows = rows.into_iter();
        rows.map(|(entity, class, site, home_x_m, home_y_m)| EntityRow {
            entity: entity.try_into().unwrap(),
            class,
            site: site.try_into().unwrap(),
            home_x_m,
            home_y_m,
        })
        .collect()
    }

    /// Rows of a table, of all simulations.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(sql)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
            Kind::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(sql)
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
        }
    }
}

pub(crate) async fn run_sql(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap();
}

/// The lease, or a failed test.
pub(crate) fn owned(acquired: Acquired) -> Lease {
    match acquired {
        Acquired::Owned(lease) => lease,
        Acquired::Held(owner) => panic!("{owner:?} has the database"),
    }
}

/// Commits one write.
pub(crate) async fn commit_one(store: &Store, lease: &Lease, id: u64, change: Change) -> Committed {
    let write = Write {
        id,
        guard: None,
        change,
    };
    store.commit(lease, &[write]).await.unwrap().remove(0)
}
