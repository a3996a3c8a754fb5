//! Batches of history.

use std::borrow::Cow;

use transport::control::{Log, LogEvent, SimulationId};
use transport::message::TickDigest;

use crate::aggregates;
use crate::columns;
use crate::error::StoreError;
use crate::history::{Batch, Cut, EntityRow, Head, History, MetricSnapshot};
use crate::lease::{self, Fence, Lease};
use crate::session::{Column, Insert, Session, Value, bits, bits_or_null, key_of, small, text};

const ENTITIES: Insert = Insert {
    table: "entities",
    columns: &[
        ("entity", "bigint"),
        ("class", "text"),
        ("site", "bigint"),
        ("home_x_m", "double precision"),
        ("home_y_m", "double precision"),
    ],
};

const EVENTS: Insert = Insert {
    table: "events",
    columns: &[
        ("log", "bigint"),
        ("seq", "bigint"),
        ("tick", "bigint"),
        ("kind", "bigint"),
        ("site", "bigint"),
        ("detail", "bigint"),
        ("reason", "bigint"),
        ("entities", "bytea"),
        ("text", "text"),
    ],
};

const DIGESTS: Insert = Insert {
    table: "tick_digests",
    columns: &[("tick", "bigint"), ("digest", "bigint")],
};

/// Writes a batch, if it was not written before.
pub(crate) async fn batch(
    session: &mut dyn Session,
    lease: &Lease,
    batch: &Batch,
) -> Result<(), StoreError> {
    let passed = lease::pass(session, lease, Fence::Append).await?;
    if passed.last_id.is_some_and(|last| batch.id <= last) {
        return Ok(());
    }
    for piece in &batch.pieces {
        write(session, piece).await?;
    }
    lease::mark(session, Fence::Append, batch.id, &[]).await
}

async fn write(session: &mut dyn Session, piece: &History) -> Result<(), StoreError> {
    let simulation = simulation_of(piece);
    let Some(key) = key_of(session, simulation).await? else {
        return Ok(());
    };
    match piece {
        History::Entities(_, rows) => entities(session, key, rows).await,
        History::Events(_, rows) => events(session, key, rows).await,
        History::Digests(_, rows) => digests(session, key, rows).await,
        History::Metrics(_, snapshot) => metrics(session, key, snapshot).await,
        History::Head(_, at) => head(session, key, at).await,
        History::Cut(_, at) => cut(session, key, at).await,
    }
}

fn simulation_of(piece: &History) -> SimulationId {
    match piece {
        History::Entities(simulation, _)
        | History::Events(simulation, _)
        | History::Digests(simulation, _)
        | History::Metrics(simulation, _)
        | History::Head(simulation, _)
        | History::Cut(simulation, _) => *simulation,
    }
}

async fn entities(
    session: &mut dyn Session,
    key: i64,
    rows: &[EntityRow],
) -> Result<(), StoreError> {
    let columns = [
        ints(rows, |row| i64::from(row.entity)),
        Column::Texts(
            rows.iter()
                .map(|row| Cow::Borrowed(row.class.as_str()))
                .collect(),
        ),
        ints(rows, |row| i64::from(row.site)),
        Column::Reals(rows.iter().map(|row| row.home_x_m).collect()),
        Column::Reals(rows.iter().map(|row| row.home_y_m).collect()),
    ];
    let written = session.insert(&ENTITIES, key, &columns).await?;
    session
        .execute(
            "UPDATE heads SET entities_written = entities_written + $2 WHERE simulation_key = $1",
            &[Value::Int(key), bits(written)],
        )
        .await?;
    Ok(())
}

async fn events(session: &mut dyn Session, key: i64, rows: &[LogEvent]) -> Result<(), StoreError> {
    let columns = [
        ints(rows, |event| columns::log(event.log)),
        ints(rows, |event| event.seq.cast_signed()),
        ints(rows, |event| event.tick.cast_signed()),
        ints(rows, |event| i64::from(event.kind)),
        ints(rows, |event| i64::from(event.site)),
        ints(rows, |event| i64::from(event.detail)),
        ints(rows, |event| i64::from(event.reason)),
        Column::Blobs(
            rows.iter()
                .map(|event| Cow::Owned(columns::ids(&event.entities)))
                .collect(),
        ),
        Column::Texts(
            rows.iter()
                .map(|event| Cow::Borrowed(event.text.as_str()))
                .collect(),
        ),
    ];
    session.insert(&EVENTS, key, &columns).await?;
    // Kept beside the events, which retention may remove to the last one.
    let newest = |log| rows.iter().filter(|e| e.log == log).map(|e| e.seq).max();
    let values = [
        Value::Int(key),
        bits(newest(Log::Sim).unwrap_or(0)),
        bits(newest(Log::System).unwrap_or(0)),
    ];
    session
        .execute(
            "UPDATE heads SET \
             last_sim_seq = CASE WHEN last_sim_seq < $2 THEN $2 ELSE last_sim_seq END, \
             last_system_seq = CASE WHEN last_system_seq < $3 THEN $3 ELSE last_system_seq END \
             WHERE simulation_key = $1",
            &values,
        )
        .await?;
    Ok(())
}

async fn digests(
    session: &mut dyn Session,
    key: i64,
    rows: &[TickDigest],
) -> Result<(), StoreError> {
    let columns = [
        ints(rows, |row| row.tick.cast_signed()),
        ints(rows, |row| row.digest.cast_signed()),
    ];
    session.insert(&DIGESTS, key, &columns).await?;
    Ok(())
}

fn ints<T>(rows: &[T], value: impl Fn(&T) -> i64) -> Column<'static> {
    Column::Ints(rows.iter().map(value).collect())
}

async fn metrics(
    session: &mut dyn Session,
    key: i64,
    snapshot: &MetricSnapshot,
) -> Result<(), StoreError> {
    let sums = aggregates::to_json(&snapshot.aggregate);
    let stages = columns::stages(&snapshot.stages);
    session
        .execute(
            "INSERT INTO metric_snapshots \
             (simulation_key, tick, at_us, aggregate, late_ticks, achieved_speed_milli, stages) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            &[
                Value::Int(key),
                bits(snapshot.tick),
                bits(snapshot.at_us),
                Value::Json(&sums),
                bits(snapshot.late_ticks),
                bits(snapshot.achieved_speed_milli),
                Value::Bytes(&stages),
            ],
        )
        .await?;
    Ok(())
}

async fn head(session: &mut dyn Session, key: i64, head: &Head) -> Result<(), StoreError> {
    let sums = aggregates::to_json(&head.aggregate);
    session
        .execute(
            "UPDATE heads SET tick = $2, digest_tick = $3, digest = $4, aggregate = $5, late_ticks = $6, \
             dilated_ms = $7 WHERE simulation_key = $1",
            &[
                Value::Int(key),
                bits(head.tick),
                bits_or_null(head.digest.map(|digest| digest.tick)),
                bits_or_null(head.digest.map(|digest| digest.digest)),
                Value::Json(&sums),
                bits(head.late_ticks),
                bits(head.dilated_ms),
            ],
        )
        .await?;
    if let Some((status, cause)) = head.status {
        session
            .execute(
                "UPDATE simulations SET status = $2, cause = $3, step_until = $4 WHERE simulation_key = $1",
                &[
                    Value::Int(key),
                    text(status.name()),
                    text(cause.name()),
                    bits_or_null(head.step_until),
                ],
            )
            .await?;
    }
    if let Some(ended_at_us) = head.ended_at_us {
        session
            .execute(
                "UPDATE simulations SET ended_at_us = $2 WHERE simulation_key = $1",
                &[Value::Int(key), bits(ended_at_us)],
            )
            .await?;
    }
    Ok(())
}

/// The manifest comes last: a cut counts only with it.
async fn cut(session: &mut dyn Session, key: i64, cut: &Cut) -> Result<(), StoreError> {
    // One that was begun by an older owner and is not whole is in nobody's way.
    for sql in [
        "DELETE FROM cuts WHERE simulation_key = $1 AND tick = $2",
        "DELETE FROM checkpoints WHERE simulation_key = $1 AND tick = $2",
    ] {
        session
            .execute(sql, &[Value::Int(key), bits(cut.tick)])
            .await?;
    }
    // One statement each: together they may be longer than a database takes at once.
    for (partition, payload) in (0..).zip(&cut.checkpoints) {
        session
            .execute(
                "INSERT INTO checkpoints (simulation_key, tick, partition, payload) VALUES ($1, $2, $3, $4)",
                &[
                    Value::Int(key),
                    bits(cut.tick),
                    Value::Int(partition),
                    Value::Bytes(payload),
                ],
            )
            .await?;
    }
    let mail = columns::mail(&cut.mail);
    session
        .execute(
            "INSERT INTO cuts (simulation_key, tick, kernel_version, schema_hash, last_sim_seq, partitions, mail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                Value::Int(key),
                bits(cut.tick),
                small(cut.kernel_version),
                bits(cut.schema_hash),
                bits(cut.last_sim_seq),
                bits(cut.checkpoints.len() as u64),
                Value::Bytes(&mail),
            ],
        )
        .await?;
    Ok(())
}
