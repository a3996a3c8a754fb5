//! What the two databases have in common: a transaction that takes statements, and rows that come of them.
//!
//! Statements are written once, with numbered placeholders, which both understand. What differs is how a
//! transaction begins, what time it is, and how many rows go in at once.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value as Json;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use transport::control::SimulationId;
use uuid::Uuid;

use crate::error::{Outage, RowKey, StoreError};

/// Work under way in a database.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// One of the two databases.
pub(crate) trait Database: Send + Sync + std::fmt::Debug {
    /// Begins a transaction that may write.
    fn begin(&self) -> Work<'_, Box<dyn Session>>;
    /// Ends every connection that is not in use, and those in use when they are given back.
    fn close(&self) -> Work<'_, ()>;
}

/// Waits for work in a task of its own, which goes on when the waiting is given up: a client that hangs up costs
/// no connection.
pub(crate) async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work)
        .await
        .unwrap_or(Err(StoreError::Unavailable(Outage::TaskEnded)))
}

/// Waits for work for so long. What is given up takes its connection with it.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(patience, work)
        .await
        .unwrap_or(Err(StoreError::Unavailable(Outage::TimedOut(patience))))
}

/// The key under which a simulation's rows are; `None` where there is no such simulation.
pub(crate) async fn key_of(
    session: &mut dyn Session,
    simulation: SimulationId,
) -> Result<Option<i64>, StoreError> {
    let rows = session
        .fetch(
            "SELECT simulation_key FROM simulations WHERE id = $1",
            &[Value::Id(simulation)],
        )
        .await?;
    let key = rows.first().map(|row| row.int(0)).transpose();
    key.map_err(|unfit| unfit.at("simulations", Some(simulation), 0))
}

/// A transaction. Dropped before [`Session::commit`], it has no effect and its connection is closed: whatever was
/// under way on it, nobody meets it again.
pub(crate) trait Session: Send {
    /// Runs one statement. Rows it changed.
    fn execute<'a>(&'a mut self, sql: &'static str, values: &'a [Value<'a>]) -> Work<'a, u64>;
    /// Runs one statement. Rows it gives.
    fn fetch<'a>(&'a mut self, sql: &'static str, values: &'a [Value<'a>]) -> Work<'a, Vec<Row>>;
    /// Inserts rows of one simulation; those whose key is there already are passed over. Rows inserted.
    fn insert<'a>(
        &'a mut self,
        into: &'a Insert,
        key: i64,
        columns: &'a [Column<'a>],
    ) -> Work<'a, u64>;
    /// UNIX time in us by the database's clock, now.
    fn now_us(&mut self) -> Work<'_, i64>;
    /// Whether everyone else who writes waits until this transaction ends.
    fn is_only_writer(&self) -> bool;
    /// Makes it last. Once this gives `Ok`, it outlives a crash.
    fn commit(self: Box<Self>) -> Work<'static, ()>;
}

/// What goes into a statement.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// BIGINT.
    Int(i64),
    /// The same, or null.
    IntOrNull(Option<i64>),
    /// TEXT.
    Text(Cow<'a, str>),
    /// BYTEA, BLOB.
    Bytes(&'a [u8]),
    /// A simulation's id.
    Id(SimulationId),
    /// The same, or null.
    IdOrNull(Option<SimulationId>),
    /// JSONB, or TEXT.
    Json(&'a Json),
}

/// A number whose bits are kept as they are.
pub(crate) fn bits(n: u64) -> Value<'static> {
    Value::Int(n.cast_signed())
}

/// The same, or null.
pub(crate) fn bits_or_null(n: Option<u64>) -> Value<'static> {
    Value::IntOrNull(n.map(u64::cast_signed))
}

/// A text.
pub(crate) fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

/// A tick or a seq to compare with: of what no row reaches, the highest that one could.
pub(crate) fn ordinal(n: u64) -> Value<'static> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A small number.
pub(crate) fn small(n: u32) -> Value<'static> {
    Value::Int(i64::from(n))
}

/// Rows that go in together, by column. Every column has as many values as there are rows.
#[derive(Clone, Debug)]
pub(crate) enum Column<'a> {
    /// BIGINT.
    Ints(Vec<i64>),
    /// DOUBLE PRECISION, REAL.
    Reals(Vec<f64>),
    /// TEXT.
    Texts(Vec<Cow<'a, str>>),
    /// BYTEA, BLOB.
    Blobs(Vec<Cow<'a, [u8]>>),
}

impl Column<'_> {
    /// Rows it has a value for.
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Ints(values) => values.len(),
            Column::Reals(values) => values.len(),
            Column::Texts(values) => values.len(),
            Column::Blobs(values) => values.len(),
        }
    }
}

/// Where rows go in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insert {
    /// The table, whose first column is the simulation's key.
    pub(crate) table: &'static str,
    /// Its other columns, with their types in PostgreSQL, in the order in which they are given.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

impl Insert {
    /// `INSERT INTO table (simulation_key, …)`.
    pub(crate) fn head(&self) -> String {
        let mut head = format!("INSERT INTO {} (simulation_key", self.table);
        for (name, _) in self.columns {
            head.push_str(", ");
            head.push_str(name);
        }
        head.push_str(") ");
        head
    }
}

/// PostgreSQL keeps no NUL in a text, and both shall keep the same: it becomes U+FFFD.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The UUID of an id.
pub(crate) fn uuid(id: SimulationId) -> Uuid {
    Uuid::from_u128(id.0)
}

/// What a column holds is not what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

impl Unfit {
    /// Says which row it was.
    pub(crate) fn at(
        self,
        table: &'static str,
        simulation: Option<SimulationId>,
        number: i64,
    ) -> StoreError {
        StoreError::Unreadable {
            table,
            key: RowKey { simulation, number },
        }
    }
}

/// A row. Columns are named by their position.
#[derive(Debug)]
pub(crate) enum Row {
    /// Of PostgreSQL.
    Postgres(PgRow),
    /// Of SQLite.
    Sqlite(SqliteRow),
}

macro_rules! get {
    ($row:expr, $at:expr) => {
        match $row {
            Row::Postgres(row) => row.try_get($at).map_err(|_| Unfit),
            Row::Sqlite(row) => row.try_get($at).map_err(|_| Unfit),
        }
    };
}

impl Row {
    /// A BIGINT.
    pub(crate) fn int(&self, at: usize) -> Result<i64, Unfit> {
        get!(self, at)
    }

    /// The same, or null.
    pub(crate) fn int_or_null(&self, at: usize) -> Result<Option<i64>, Unfit> {
        get!(self, at)
    }

    /// A number whose bits were kept.
    pub(crate) fn bits(&self, at: usize) -> Result<u64, Unfit> {
        self.int(at).map(i64::cast_unsigned)
    }

    /// The same, or null.
    pub(crate) fn bits_or_null(&self, at: usize) -> Result<Option<u64>, Unfit> {
        Ok(self.int_or_null(at)?.map(i64::cast_unsigned))
    }

    /// A small number.
    pub(crate) fn small(&self, at: usize) -> Result<u32, Unfit> {
        self.int(at)?.try_into().map_err(|_| Unfit)
    }

    /// A TEXT.
    pub(crate) fn text(&self, at: usize) -> Result<String, Unfit> {
        get!(self, at)
    }

    /// A BYTEA.
    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, Unfit> {
        get!(self, at)
    }

    /// The same, or null.
    pub(crate) fn bytes_or_null(&self, at: usize) -> Result<Option<Vec<u8>>, Unfit> {
        get!(self, at)
    }

    /// A SHA-256.
    pub(crate) fn hash(&self, at: usize) -> Result<[u8; 32], Unfit> {
        self.bytes(at)?.try_into().map_err(|_| Unfit)
    }

    /// A JSONB.
    pub(crate) fn json(&self, at: usize) -> Result<Json, Unfit> {
        match self {
            Row::Postgres(row) => row
                .try_get::<sqlx::types::Json<Json>, _>(at)
                .map(|json| json.0)
                .map_err(|_| Unfit),
            Row::Sqlite(_) => serde_json::from_str(&self.text(at)?).map_err(|_| Unfit),
        }
    }

    /// A simulation's id, or null.
    pub(crate) fn id_or_null(&self, at: usize) -> Result<Option<SimulationId>, Unfit> {
        let uuid: Option<Uuid> = match self {
            Row::Postgres(row) => row.try_get(at).map_err(|_| Unfit)?,
            Row::Sqlite(row) => row
                .try_get::<Option<String>, _>(at)
                .map_err(|_| Unfit)?
                .map(|text| Uuid::try_parse(&text))
                .transpose()
                .map_err(|_| Unfit)?,
        };
        Ok(uuid.map(|uuid| SimulationId(uuid.as_u128())))
    }

    /// A simulation's id.
    pub(crate) fn id(&self, at: usize) -> Result<SimulationId, Unfit> {
        self.id_or_null(at)?.ok_or(Unfit)
    }
}
