//! Idempotency keys: what makes a repeated request answer as the first one did.

use transport::control::SimulationId;

use crate::error::StoreError;
use crate::limits::IDEMPOTENCY_AGE;
use crate::session::{Row, Session, Unfit, Value, bits, bits_or_null, text};
use crate::write::{Change, Guard};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing, or that it guards this very command, which is being given another place.
    New,
    /// It was used, and this was answered.
    Repeated(Vec<u8>),
    /// It was used with another body.
    KeyReused,
}

/// The place of a command, by which one that is stamped again is known.
type Place = (SimulationId, u64);

fn place(change: &Change) -> Option<Place> {
    match change {
        Change::Command {
            simulation, stamp, ..
        } => Some((*simulation, stamp.seq)),
        Change::Withdraw { simulation, seq } => Some((*simulation, *seq)),
        _ => None,
    }
}

/// What a row says.
struct Kept {
    body_hash: [u8; 32],
    answer: Vec<u8>,
    at_us: u64,
    place: Option<Place>,
}

fn kept_of(row: &Row) -> Result<Kept, Unfit> {
    Ok(Kept {
        body_hash: row.hash(0)?,
        answer: row.bytes(1)?,
        at_us: row.bits(2)?,
        place: row.id_or_null(3)?.zip(row.bits_or_null(4)?),
    })
}

async fn fetch(session: &mut dyn Session, guard: &Guard) -> Result<Option<Kept>, StoreError> {
    let rows = session
        .fetch(
            "SELECT body_hash, answer, at_us, simulation, command_seq FROM idempotency_keys \
             WHERE token = $1 AND route = $2 AND key = $3",
            &[bits(guard.token), text(&guard.route), text(&guard.key)],
        )
        .await?;
    let kept = rows.first().map(kept_of).transpose();
    kept.map_err(|unfit| unfit.at("idempotency_keys", None, guard.token.cast_signed()))
}

/// What is known of a key whose change is about to be made.
pub(crate) async fn look_up(
    session: &mut dyn Session,
    guard: &Guard,
    change: &Change,
) -> Result<Known, StoreError> {
    let Some(kept) = fetch(session, guard).await? else {
        return Ok(Known::New);
    };
    let age_us = u128::from(guard.now_us.saturating_sub(kept.at_us));
    if age_us > IDEMPOTENCY_AGE.as_micros() {
        return Ok(Known::New);
    }
    if kept.body_hash != guard.body_hash {
        return Ok(Known::KeyReused);
    }
    if kept.place.is_some() && kept.place == place(change) {
        return Ok(Known::New);
    }
    Ok(Known::Repeated(kept.answer))
}

/// What was answered under a key.
pub(crate) async fn answer(
    session: &mut dyn Session,
    guard: &Guard,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(fetch(session, guard).await?.map(|kept| kept.answer))
}

/// Keeps a key with the change that was made under it.
pub(crate) async fn keep(
    session: &mut dyn Session,
    guard: &Guard,
    change: &Change,
) -> Result<(), StoreError> {
    let place = place(change);
    session
        .execute(
            "INSERT INTO idempotency_keys (token, route, key, body_hash, answer, at_us, simulation, command_seq) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (token, route, key) DO UPDATE SET \
             body_hash = excluded.body_hash, answer = excluded.answer, at_us = excluded.at_us, \
             simulation = excluded.simulation, command_seq = excluded.command_seq",
            &[
                bits(guard.token),
                text(&guard.route),
                text(&guard.key),
                Value::Bytes(&guard.body_hash),
                Value::Bytes(&guard.answer),
                bits(guard.now_us),
                Value::IdOrNull(place.map(|place| place.0)),
                bits_or_null(place.map(|place| place.1)),
            ],
        )
        .await?;
    Ok(())
}

/// Forgets a key whose change was kept and could not be done, so that it can be asked for again.
pub(crate) async fn take_back(session: &mut dyn Session, guard: &Guard) -> Result<(), StoreError> {
    session
        .execute(
            "DELETE FROM idempotency_keys WHERE token = $1 AND route = $2 AND key = $3 AND body_hash = $4",
            &[
                bits(guard.token),
                text(&guard.route),
                text(&guard.key),
                Value::Bytes(&guard.body_hash),
            ],
        )
        .await?;
    Ok(())
}

/// Forgets the key of a command that is taken back, so that it can be asked for again.
pub(crate) async fn forget(
    session: &mut dyn Session,
    simulation: SimulationId,
    seq: u64,
) -> Result<(), StoreError> {
    session
        .execute(
            "DELETE FROM idempotency_keys WHERE simulation = $1 AND command_seq = $2",
            &[Value::Id(simulation), bits(seq)],
        )
        .await?;
    Ok(())
}
