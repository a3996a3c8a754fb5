//! SQLite: a write-ahead log that is on the disk before a commit is told, and one writer.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Sqlite as Driver};

use crate::error::{Outage, StoreError};
use crate::limits::{
    READ_CONNECT_PATIENCE, READ_CONNECTIONS, SQLITE_BUSY_PATIENCE, SQLITE_VALUES,
    SQLITE_WRITER_PATIENCE,
};
use crate::session::{Column, Database, Insert, Row, Session, Value, Work, storable, uuid};
use crate::url::SqliteFile;

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite {
    pool: SqlitePool,
    begin: &'static str,
}

impl Sqlite {
    /// Opens a file as one who writes.
    pub(crate) async fn writer(file: &SqliteFile) -> Result<Sqlite, StoreError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(SQLITE_WRITER_PATIENCE)
            .acquire_slow_threshold(Duration::MAX)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options(file))
            .await?;
        // The write lock is taken when a transaction begins: one that began by reading could not get it later.
        let begin = "BEGIN IMMEDIATE";
        Ok(Sqlite { pool, begin })
    }

    /// Opens a file as one who cannot write.
    pub(crate) async fn reader(file: &SqliteFile) -> Result<Sqlite, StoreError> {
        if !file.path.exists() {
            return Err(StoreError::Unavailable(Outage::NoFile));
        }
        let pool = SqlitePoolOptions::new()
            .max_connections(READ_CONNECTIONS)
            .acquire_timeout(READ_CONNECT_PATIENCE)
            .acquire_slow_threshold(Duration::MAX)
            .test_before_acquire(false)
            .connect_with(reading(file))
            .await?;
        let begin = "BEGIN DEFERRED";
        Ok(Sqlite { pool, begin })
    }
}

fn base(file: &SqliteFile) -> SqliteConnectOptions {
    use sqlx::ConnectOptions as _;
    SqliteConnectOptions::new()
        .filename(&file.path)
        .busy_timeout(SQLITE_BUSY_PATIENCE)
        .foreign_keys(true)
        .disable_statement_logging()
}

/// How a file is opened to be read.
pub(crate) fn reading(file: &SqliteFile) -> SqliteConnectOptions {
    base(file).read_only(true).pragma("query_only", "on")
}

/// Makes the file, if it is not there, for its owner alone: tokens and whole farms are in it. What SQLite makes
/// beside it is as the file is.
///
/// # Errors
/// [`StoreError::NotWritable`].
pub(crate) fn make(file: &SqliteFile) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut made = std::fs::OpenOptions::new();
    made.append(true).create(true).mode(0o600);
    let made = made.open(&file.path);
    made.map_or_else(
        |error| Err(StoreError::NotWritable(error.into())),
        |_| Ok(()),
    )
}

/// How a file is opened to be written. The file itself is made by [`make`], for a migration.
pub(crate) fn options(file: &SqliteFile) -> SqliteConnectOptions {
    let options = base(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    match file.max_page_count {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}

/// Whether another connection is in the way just now (`SQLITE_BUSY` in any of its extended forms).
pub(crate) fn is_busy(told: &dyn DatabaseError) -> bool {
    let code = told.code().and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|extended| extended & 0xff == 5)
}

impl Database for Sqlite {
    fn begin(&self) -> Work<'_, Box<dyn Session>> {
        Box::pin(async move {
            let connection = self.pool.acquire().await?;
            let mut open = Open {
                connection: Some(connection),
                writes: self.begin == "BEGIN IMMEDIATE",
            };
            sqlx::raw_sql(self.begin).execute(open.get()).await?;
            Ok(Box::new(open) as Box<dyn Session>)
        })
    }

    fn close(&self) -> Work<'_, ()> {
        Box::pin(async move {
            self.pool.close().await;
            Ok(())
        })
    }
}

/// A transaction under way.
struct Open {
    connection: Option<sqlx::pool::PoolConnection<Driver>>,
    writes: bool,
}

impl Open {
    fn get(&mut self) -> &mut SqliteConnection {
        self.connection
            .as_mut()
            .expect("taken only by a commit, which consumes the session")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Session for Open {
    fn execute<'a>(&'a mut self, sql: &'static str, values: &'a [Value<'a>]) -> Work<'a, u64> {
        Box::pin(async move {
            let done = bound(sqlx::query(sql), values).execute(self.get()).await?;
            Ok(done.rows_affected())
        })
    }

    fn fetch<'a>(&'a mut self, sql: &'static str, values: &'a [Value<'a>]) -> Work<'a, Vec<Row>> {
        Box::pin(async move {
            let rows = bound(sqlx::query(sql), values)
                .fetch_all(self.get())
                .await?;
            Ok(rows.into_iter().map(Row::Sqlite).collect())
        })
    }

    fn insert<'a>(
        &'a mut self,
        into: &'a Insert,
        key: i64,
        columns: &'a [Column<'a>],
    ) -> Work<'a, u64> {
        Box::pin(async move {
            let rows = columns.first().map_or(0, Column::len);
            let most = (SQLITE_VALUES / columns.len().max(1)).max(1);
            let mut inserted = 0;
            let mut first = 0;
            while first < rows {
                let some = first..first + at_once(rows - first, most);
                first = some.end;
                let sql = AssertSqlSafe(insert_sql(into, some.len()));
                let mut query = sqlx::query(sql).bind(key);
                for row in some {
                    for column in columns {
                        query = match column {
                            Column::Ints(values) => query.bind(values[row]),
                            Column::Reals(values) => query.bind(values[row]),
                            Column::Texts(values) => query.bind(storable(&values[row])),
                            Column::Blobs(values) => query.bind(values[row].as_ref()),
                        };
                    }
                }
                inserted += query.execute(self.get()).await?.rows_affected();
            }
            Ok(inserted)
        })
    }

    fn now_us(&mut self) -> Work<'_, i64> {
        Box::pin(async move {
            let sql = "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
            Ok(sqlx::query_scalar(sql).fetch_one(self.get()).await?)
        })
    }

    fn is_only_writer(&self) -> bool {
        self.writes
    }

    fn commit(mut self: Box<Self>) -> Work<'static, ()> {
        Box::pin(async move {
            sqlx::raw_sql("COMMIT").execute(self.get()).await?;
            drop(self.connection.take());
            Ok(())
        })
    }
}

/// Rows for the next statement, of so many that are left, a power of two. Each number of rows is a statement of its own, which
/// the connection keeps compiled: with any number there would be hundreds of large ones, and those that every commit
/// needs would be compiled again each time.
fn at_once(left: usize, most: usize) -> usize {
    1 << left.min(most).ilog2()
}

/// One statement for so many rows. The first placeholder is the simulation's key, in every row.
fn insert_sql(into: &Insert, rows: usize) -> String {
    let mut sql = into.head();
    sql.push_str("VALUES ");
    let mut at = 2;
    for row in 0..rows {
        sql.push_str(if row > 0 { ", ($1" } else { "($1" });
        for _ in into.columns {
            sql.push_str(&format!(", ${at}"));
            at += 1;
        }
        sql.push(')');
    }
    sql.push_str(" ON CONFLICT DO NOTHING");
    sql
}

fn bound<'a>(
    mut query: Query<'a, Driver, SqliteArguments>,
    values: &'a [Value<'a>],
) -> Query<'a, Driver, SqliteArguments> {
    for value in values {
        query = match value {
            Value::Int(n) => query.bind(n),
            Value::IntOrNull(n) => query.bind(n),
            Value::Text(text) => query.bind(storable(text)),
            Value::Bytes(bytes) => query.bind(*bytes),
            Value::Id(id) => query.bind(uuid(*id).hyphenated()),
            Value::IdOrNull(id) => query.bind(id.map(|id| uuid(id).hyphenated())),
            Value::Json(json) => query.bind(json.to_string()),
        };
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn setting(session: &mut dyn Session, pragma: &'static str) -> i64 {
        session.fetch(pragma, &[]).await.unwrap()[0].int(0).unwrap()
    }

    #[tokio::test]
    async fn a_writer_is_safe_and_a_reader_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let file = SqliteFile {
            path: dir.path().join("farm.db"),
            max_page_count: None,
        };
        std::fs::File::create(&file.path).unwrap();
        let writer = Sqlite::writer(&file).await.unwrap();
        let mut session = writer.begin().await.unwrap();
        session
            .execute("CREATE TABLE t (n INTEGER)", &[])
            .await
            .unwrap();
        let session = {
            let open = session.as_mut();
            assert_eq!(setting(open, "PRAGMA synchronous").await, 2, "FULL");
            assert_eq!(setting(open, "PRAGMA foreign_keys").await, 1);
            assert_eq!(setting(open, "PRAGMA busy_timeout").await, 5_000);
            let mode = open.fetch("PRAGMA journal_mode", &[]).await.unwrap();
            assert_eq!(mode[0].text(0).unwrap(), "wal");
            session
        };
        session.commit().await.unwrap();

        let reader = Sqlite::reader(&file).await.unwrap();
        let mut session = reader.begin().await.unwrap();
        let written = session.execute("INSERT INTO t VALUES (1)", &[]).await;
        assert!(
            matches!(written, Err(StoreError::NotWritable(_))),
            "{written:?}"
        );
    }

    #[tokio::test]
    async fn any_number_of_rows_goes_in_by_few_statements() {
        use sqlx::Connection as _;
        let dir = tempfile::tempdir().unwrap();
        let file = SqliteFile {
            path: dir.path().join("farm.db"),
            max_page_count: None,
        };
        std::fs::File::create(&file.path).unwrap();
        let writer = Sqlite::writer(&file).await.unwrap();
        let into = Insert {
            table: "t",
            columns: &[("n", "bigint"), ("x", "double precision")],
        };
        let mut session = writer.begin().await.unwrap();
        let table = "CREATE TABLE t (simulation_key INTEGER, n INTEGER, x REAL)";
        session.execute(table, &[]).await.unwrap();
        let counts = (0..=200).chain([999, 1_000, 1_001, 2_500]);
        let mut inserted = 0;
        for count in counts.clone() {
            let columns = [
                Column::Ints((inserted..inserted + count).collect()),
                Column::Reals(vec![0.5; count as usize]),
            ];
            let done = session.insert(&into, 7, &columns).await.unwrap();
            assert_eq!(done, count as u64);
            inserted += count;
        }
        let rows = session
            .fetch(
                "SELECT count(DISTINCT n), max(n), min(simulation_key) FROM t WHERE x = 0.5",
                &[],
            )
            .await
            .unwrap();
        let found = [0, 1, 2].map(|at| rows[0].int(at).unwrap());
        assert_eq!(found, [inserted, inserted - 1, 7]);
        session.commit().await.unwrap();
        let connection = writer.pool.acquire().await.unwrap();
        let kept = connection.cached_statements_size();
        // A power of two each up to 512 rows, and the two others.
        assert!(kept <= 12, "{kept} statements");
    }

    #[tokio::test]
    async fn a_file_that_is_made_and_those_beside_it_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("farm.db");
        let url = format!("sqlite:{}", path.display());
        crate::migrate(&url).await.unwrap();
        let store = crate::Store::connect(&url).await.unwrap();
        store.tokens().await.unwrap();
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), mode)
            })
            .collect();
        files.sort();
        let names = ["farm.db", "farm.db-shm", "farm.db-wal"];
        let expected = names.map(|name| (name.to_owned(), 0o600));
        assert_eq!(files, expected);
    }

    #[tokio::test]
    async fn the_bundled_sqlite_has_no_known_fault_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let file = SqliteFile {
            path: dir.path().join("farm.db"),
            max_page_count: None,
        };
        std::fs::File::create(&file.path).unwrap();
        let mut session = Sqlite::writer(&file).await.unwrap().begin().await.unwrap();
        let rows = session.fetch("SELECT sqlite_version()", &[]).await.unwrap();
        let version = rows[0].text(0).unwrap();
        let parts: Vec<u32> = version
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        // Before, a checkpoint of the write-ahead log could meet a writer that resets it.
        assert!(parts >= vec![3, 51, 3], "{version}");
    }
}
