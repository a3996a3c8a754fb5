//! PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Postgres as Driver, SqlSafeStr as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::error::StoreError;
use crate::limits::{
    CONNECT_PATIENCE, IDLE_TRANSACTION_PATIENCE, READ_CONNECT_PATIENCE, READ_CONNECTIONS,
    READ_STATEMENT_PATIENCE, TRUSTED_IDLE, WRITE_CONNECTIONS, WRITE_STATEMENT_PATIENCE,
};
use crate::session::{
    Column, Database, Insert, Row, Session, Value, Work, in_task, storable, uuid, within,
};

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    pool: PgPool,
    connections: u32,
    /// Who fetches a connection for somebody, as many as there are connections.
    fetchers: Arc<Semaphore>,
    /// Longest wait for a connection that answers, and of those that were idle for the answer.
    patience: Duration,
}

impl Postgres {
    /// Connects as one who writes.
    pub(crate) async fn writer(options: PgConnectOptions) -> Result<Postgres, StoreError> {
        // A server that was told to acknowledge before it has written would lose what we acknowledge.
        let settings = format!(
            "SET synchronous_commit = on; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            WRITE_STATEMENT_PATIENCE.as_millis(),
            IDLE_TRANSACTION_PATIENCE.as_millis(),
        );
        let bounds = (WRITE_CONNECTIONS, CONNECT_PATIENCE);
        Postgres::connect(options, bounds, settings).await
    }

    /// Connects as one who cannot write.
    pub(crate) async fn reader(options: PgConnectOptions) -> Result<Postgres, StoreError> {
        let settings = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            READ_STATEMENT_PATIENCE.as_millis(),
            IDLE_TRANSACTION_PATIENCE.as_millis(),
        );
        let bounds = (READ_CONNECTIONS, READ_CONNECT_PATIENCE);
        Postgres::connect(options, bounds, settings).await
    }

    async fn connect(
        options: PgConnectOptions,
        (connections, patience): (u32, Duration),
        settings: String,
    ) -> Result<Postgres, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT_PATIENCE)
            .acquire_slow_threshold(Duration::MAX)
            .test_before_acquire(false)
            .before_acquire(move |connection, idle| {
                Box::pin(async move {
                    if idle.idle_for <= TRUSTED_IDLE {
                        return Ok(true);
                    }
                    // One that was lost without a word is not waited for as long as a new one may take.
                    let answered = timeout(patience, connection.ping()).await;
                    answered.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let settings = AssertSqlSafe(settings.clone()).into_sql_str();
                Box::pin(async move {
                    connection.execute(sqlx::raw_sql(settings)).await?;
                    Ok(())
                })
            })
            .connect_with(quiet(options))
            .await?;
        Ok(Postgres {
            pool,
            connections,
            fetchers: Arc::new(Semaphore::new(connections as usize)),
            patience,
        })
    }

    /// A connection, an idle one or a new one. It is opened even if nobody waits for it any more: where the way to the
    /// server is slow, whoever asks next has it, and not everyone begins anew and gives up. Of a server that says nothing no
    /// more are waited for than there can be, however many ask.
    async fn connection(&self) -> Result<PoolConnection<Driver>, StoreError> {
        let fetchers = Arc::clone(&self.fetchers).acquire_owned();
        let place = fetchers.await.expect("it is never closed");
        let pool = self.pool.clone();
        in_task(async move {
            let connection = pool.acquire().await?;
            drop(place);
            Ok(connection)
        })
        .await
    }
}

/// Slow statements are told by our own metrics; the driver's log would show what they hold.
pub(crate) fn quiet(options: PgConnectOptions) -> PgConnectOptions {
    use sqlx::ConnectOptions as _;
    options.disable_statement_logging()
}

impl Database for Postgres {
    fn begin(&self) -> Work<'_, Box<dyn Session>> {
        Box::pin(within(self.patience, async move {
            let mut tries = 0;
            loop {
                let connection = self.connection().await?;
                // From now on it goes back to the pool only by a commit that succeeded.
                let mut open = Open {
                    connection: Some(connection),
                };
                tries += 1;
                match sqlx::raw_sql("BEGIN").execute(open.get()).await {
                    Ok(_) => return Ok(Box::new(open) as Box<dyn Session>),
                    // Idle connections die together, when a server restarts; there are only so many.
                    Err(_) if tries <= self.connections => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }))
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
    connection: Option<PoolConnection<Driver>>,
}

impl Open {
    fn get(&mut self) -> &mut PgConnection {
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
            Ok(rows.into_iter().map(Row::Postgres).collect())
        })
    }

    fn insert<'a>(
        &'a mut self,
        into: &'a Insert,
        key: i64,
        columns: &'a [Column<'a>],
    ) -> Work<'a, u64> {
        Box::pin(async move {
            let sql = AssertSqlSafe(insert_sql(into));
            let mut query = sqlx::query(sql).bind(key);
            for column in columns {
                query = match column {
                    Column::Ints(values) => query.bind(values.as_slice()),
                    Column::Reals(values) => query.bind(values.as_slice()),
                    Column::Texts(values) => {
                        query.bind(values.iter().map(|text| storable(text)).collect::<Vec<_>>())
                    }
                    Column::Blobs(values) => {
                        query.bind(values.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>())
                    }
                };
            }
            Ok(query.execute(self.get()).await?.rows_affected())
        })
    }

    fn now_us(&mut self) -> Work<'_, i64> {
        Box::pin(async move {
            let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
            Ok(sqlx::query_scalar(sql).fetch_one(self.get()).await?)
        })
    }

    fn is_only_writer(&self) -> bool {
        false
    }

    fn commit(mut self: Box<Self>) -> Work<'static, ()> {
        Box::pin(async move {
            sqlx::raw_sql("COMMIT").execute(self.get()).await?;
            drop(self.connection.take());
            Ok(())
        })
    }
}

/// One statement for any number of rows: a column is one array.
fn insert_sql(into: &Insert) -> String {
    let mut sql = into.head();
    sql.push_str("SELECT $1, * FROM UNNEST(");
    for (at, (_, kind)) in into.columns.iter().enumerate() {
        if at > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&format!("${}::{kind}[]", at + 2));
    }
    sql.push_str(") ON CONFLICT DO NOTHING");
    sql
}

fn bound<'a>(
    mut query: Query<'a, Driver, PgArguments>,
    values: &'a [Value<'a>],
) -> Query<'a, Driver, PgArguments> {
    for value in values {
        query = match value {
            Value::Int(n) => query.bind(n),
            Value::IntOrNull(n) => query.bind(n),
            Value::Text(text) => query.bind(storable(text)),
            Value::Bytes(bytes) => query.bind(*bytes),
            Value::Id(id) => query.bind(uuid(*id)),
            Value::IdOrNull(id) => query.bind(id.map(uuid)),
            Value::Json(json) => query.bind(sqlx::types::Json(json)),
        };
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::DatabaseUrl;

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let url = std::env::var("AUTOFARM_TEST_POSTGRES_URL")
            .expect("AUTOFARM_TEST_POSTGRES_URL is not set: run `.ci/test`, which starts a server");
        let DatabaseUrl::Postgres(options) = DatabaseUrl::parse(&url).unwrap() else {
            panic!("no URL of PostgreSQL");
        };
        let reader = Postgres::reader(*options).await.unwrap();
        let mut session = reader.begin().await.unwrap();
        let written = session.execute("CREATE TABLE t (n bigint)", &[]).await;
        assert!(
            matches!(written, Err(StoreError::NotWritable(_))),
            "{written:?}"
        );
    }
}
