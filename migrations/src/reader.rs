//! What gateways read: pages of what is kept, through connections that cannot write.

use std::sync::Arc;

use kernel::event::kind::TRANSITION;
use transport::control::{Log, LogEvent, SimulationId, StageLatency};
use transport::message::TickDigest;

use crate::aggregates;
use crate::columns::{self, event_columns, read_all};
use crate::error::StoreError;
use crate::history::MetricSnapshot;
use crate::limits::{MAX_KINDS, MAX_PAGE_ROWS, READ_CONNECT_PATIENCE, READ_PATIENCE};
use crate::postgres::Postgres;
use crate::schema;
use crate::session::{Database, Row, Unfit, Value, in_task, key_of, ordinal, small, within};
use crate::sqlite::Sqlite;
use crate::url::DatabaseUrl;

/// A database that can only be read. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Arc<dyn Database>,
}

/// A page of rows, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// Whether more follow the last.
    pub more: bool,
}

impl<T> Page<T> {
    /// A page of so many, from rows of which one more was asked for.
    fn of(mut items: Vec<T>, limit: u32) -> Page<T> {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Page { items, more }
    }
}

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Of which simulation.
    pub simulation: SimulationId,
    /// Of one log only.
    pub log: Option<Log>,
    /// Of these kinds only; empty for all. At most [`MAX_KINDS`].
    pub kinds: Vec<u32>,
    /// Of this tick or later.
    pub from_tick: u64,
    /// Those that follow this one.
    pub after: Option<EventCursor>,
    /// At most so many, 1..=[`MAX_PAGE_ROWS`].
    pub limit: u32,
}

/// Place of an event in the order of [`Reader::events`]: by tick, log and seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// Its tick.
    pub tick: u64,
    /// Its log.
    pub log: Log,
    /// Its seq.
    pub seq: u64,
}

impl EventCursor {
    /// The place of an event.
    #[must_use]
    pub fn of(event: &LogEvent) -> EventCursor {
        EventCursor {
            tick: event.tick,
            log: event.log,
            seq: event.seq,
        }
    }
}

/// Which metric snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricQuery {
    /// Of which simulation.
    pub simulation: SimulationId,
    /// Of this tick or later.
    pub from_tick: u64,
    /// Of this tick or earlier.
    pub to_tick: u64,
    /// The last one of each so many ticks, counted from tick 0; 1 for all of them.
    pub every: u64,
    /// At most so many, 1..=[`MAX_PAGE_ROWS`].
    pub limit: u32,
}

impl Reader {
    /// Connects to a database, whose schema must be this build's.
    ///
    /// # Errors
    /// [`StoreError`]; one that is worth retrying where the orchestrator has not made the file yet.
    pub async fn connect(url: &str) -> Result<Reader, StoreError> {
        let url = DatabaseUrl::parse(url)?;
        let database: Arc<dyn Database> = match &url {
            DatabaseUrl::Postgres(options) => {
                Arc::new(Postgres::reader((**options).clone()).await?)
            }
            DatabaseUrl::Sqlite(file) => Arc::new(Sqlite::reader(file).await?),
        };
        schema::status_of(&url).await?.check()?;
        Ok(Reader { database })
    }

    /// Ends its connections.
    pub async fn close(&self) {
        // Nothing is lost by a connection that ends otherwise.
        let _ = self.database.close().await;
    }

    /// A page of events of one log by seq, from a seq on. `None` where there is no such simulation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn log(
        &self,
        simulation: SimulationId,
        log: Log,
        from_seq: u64,
        limit: u32,
    ) -> Result<Option<Page<LogEvent>>, StoreError> {
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e WHERE e.simulation_key = $1 AND e.log = $2 AND e.seq >= $3 ORDER BY e.seq LIMIT $4"
        );
        let values = vec![Value::Int(columns::log(log)), ordinal(from_seq)];
        self.page(
            simulation,
            sql,
            values,
            limit,
            ("events", 1),
            columns::event_of,
        )
        .await
    }

    /// A page of events by tick, log and seq. `None` where there is no such simulation.
    ///
    /// The log `sim` has its seqs in the order of its ticks. Of the log `system` an event that is
    /// written after a restart may have an earlier tick than one that was written before; who must miss none reads by
    /// [`Reader::log`].
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Panics
    /// If more than [`MAX_KINDS`] kinds are given.
    pub async fn events(&self, query: &EventQuery) -> Result<Option<Page<LogEvent>>, StoreError> {
        assert!(query.kinds.len() <= MAX_KINDS, "at most {MAX_KINDS} kinds");
        let (sql, kinds) = event_sql(&query.kinds);
        let after = query.after.filter(|after| after.tick >= query.from_tick);
        let (tick, log, seq) = after.map_or((query.from_tick, -1, 0), |after| {
            (after.tick, columns::log(after.log), after.seq)
        });
        let only = query.log.map_or(-1, columns::log);
        let mut values = vec![
            ordinal(tick),
            Value::Int(log),
            ordinal(seq),
            Value::Int(only),
        ];
        values.extend(kinds);
        self.page(
            query.simulation,
            sql,
            values,
            query.limit,
            ("events", 1),
            columns::event_of,
        )
        .await
    }

    /// A page of metric snapshots by tick. `None` where there is no such simulation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn metrics(
        &self,
        query: &MetricQuery,
    ) -> Result<Option<Page<MetricSnapshot>>, StoreError> {
        let sql = "SELECT m.tick, m.at_us, m.aggregate, m.late_ticks, m.achieved_speed_milli, m.stages \
             FROM metric_snapshots m WHERE m.simulation_key = $1 AND m.tick IN ( \
                 SELECT max(tick) FROM metric_snapshots \
                 WHERE simulation_key = $1 AND tick BETWEEN $2 AND $3 \
                 GROUP BY tick / $4 ORDER BY 1 LIMIT $5 \
             ) ORDER BY m.tick";
        let values = vec![
            ordinal(query.from_tick),
            ordinal(query.to_tick),
            ordinal(query.every.max(1)),
        ];
        let table = ("metric_snapshots", 0);
        self.page(
            query.simulation,
            sql,
            values,
            query.limit,
            table,
            snapshot_of,
        )
        .await
    }

    /// The histograms alone of a page of metric snapshots, with their ticks. `None` where there is no such simulation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stages(
        &self,
        query: &MetricQuery,
    ) -> Result<Option<Page<(u64, Vec<StageLatency>)>>, StoreError> {
        let sql = "SELECT tick, stages FROM metric_snapshots \
             WHERE simulation_key = $1 AND tick BETWEEN $2 AND $3 ORDER BY tick LIMIT $4";
        let values = vec![ordinal(query.from_tick), ordinal(query.to_tick)];
        let read = |row: &Row| Ok((row.bits(0)?, columns::stages_of(&row.bytes(1)?)?));
        let table = ("metric_snapshots", 0);
        self.page(query.simulation, sql, values, query.limit, table, read)
            .await
    }

    /// A page of digests by tick, from a tick on. `None` where there is no such simulation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn digests(
        &self,
        simulation: SimulationId,
        from_tick: u64,
        limit: u32,
    ) -> Result<Option<Page<TickDigest>>, StoreError> {
        let sql = "SELECT tick, digest FROM tick_digests \
             WHERE simulation_key = $1 AND tick >= $2 ORDER BY tick LIMIT $3";
        let read = |row: &Row| {
            Ok(TickDigest {
                tick: row.bits(0)?,
                digest: row.bits(1)?,
            })
        };
        let values = vec![ordinal(from_tick)];
        self.page(simulation, sql, values, limit, ("tick_digests", 0), read)
            .await
    }

    /// Runs a statement whose first value is the simulation's key and whose last is a limit.
    async fn page<T: Send + 'static>(
        &self,
        simulation: SimulationId,
        sql: &'static str,
        values: Vec<Value<'static>>,
        limit: u32,
        (table, number_at): (&'static str, usize),
        read: impl Fn(&Row) -> Result<T, Unfit> + Send + 'static,
    ) -> Result<Option<Page<T>>, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE_ROWS);
        let database = Arc::clone(&self.database);
        in_task(within(READ_PATIENCE, async move {
            let mut session = database.begin().await?;
            let key = within(READ_CONNECT_PATIENCE, key_of(session.as_mut(), simulation));
            let Some(key) = key.await? else {
                session.commit().await?;
                return Ok(None);
            };
            let mut all = vec![Value::Int(key)];
            all.extend(values);
            all.push(small(limit + 1));
            let rows = session.fetch(sql, &all).await?;
            session.commit().await?;
            let items = read_all(&rows, table, simulation, number_at, read)?;
            Ok(Some(Page::of(items, limit)))
        }))
        .await
    }
}

/// The statement for kinds, and them as its values. All but transitions have an index of their own, for which the
/// statement must say that it wants none of these.
fn event_sql(kinds: &[u32]) -> (&'static str, Vec<Value<'static>>) {
    macro_rules! select {
        ($more:literal) => {
            concat!(
                "SELECT ",
                event_columns!(),
                " FROM events e WHERE e.simulation_key = $1 AND (e.tick, e.log, e.seq) > ($2, $3, $4) \
                 AND ($5 = -1 OR e.log = $5) \
                 AND ($6 = -1 OR e.kind IN ($6, $7, $8, $9, $10, $11, $12, $13)) ",
                $more,
                " ORDER BY e.tick, e.log, e.seq LIMIT $14"
            )
        };
    }
    let rare = !kinds.is_empty() && !kinds.contains(&TRANSITION);
    let sql = if rare {
        select!("AND e.kind <> 1")
    } else {
        select!("")
    };
    let first = kinds.first().map_or(-1, |kind| i64::from(*kind));
    let mut values: Vec<_> = kinds.iter().map(|kind| small(*kind)).collect();
    values.resize(MAX_KINDS, Value::Int(first));
    (sql, values)
}

// As the statement and the migration spell it.
const _: () = assert!(TRANSITION == 1);

fn snapshot_of(row: &Row) -> Result<MetricSnapshot, Unfit> {
    Ok(MetricSnapshot {
        tick: row.bits(0)?,
        at_us: row.bits(1)?,
        aggregate: aggregates::from_json(&row.json(2)?).ok_or(Unfit)?,
        late_ticks: row.bits(3)?,
        achieved_speed_milli: row.bits(4)?,
        stages: columns::stages_of(&row.bytes(5)?)?,
    })
}
