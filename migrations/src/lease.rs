//! Who owns a database: one orchestrator at a time, known by its epoch.
//!
//! Why a stale owner commits nothing: every writing transaction first updates its row of `fences` where the
//! epoch is its own, and by that holds the row's lock until it ends. Whoever takes the database over
//! updates all these rows in the transaction that makes the new epoch. So a transaction of an older owner either ends before the
//! take-over commits, and the new owner reads what it wrote, or it waits, then finds another epoch, changes no
//! row, and is rolled back as [`StoreError::LeaseLost`]. In SQLite the one write lock does the same. Time plays no part in this; it
//! only says when one may try to take over.
//!
//! The lease's own row is another one, so that renewing waits for no transaction; and an owner's history,
//! requests and retention have a row each, so that they do not wait for each other. A stopped owner's open
//! transaction is ended by the server after [`crate::limits::IDLE_TRANSACTION_PATIENCE`].

use std::time::Duration;

use crate::error::StoreError;
use crate::limits::KEPT_EPOCHS;
use crate::session::{Row, Session, Unfit, Value, small, text};

/// Ownership of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Grows with every change of owner; never 0.
    pub epoch: u32,
    /// How long it holds without being renewed.
    pub ttl: Duration,
}

/// Who owns a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its epoch.
    pub epoch: u32,
    /// Where it is.
    pub address: String,
    /// For how long its lease holds from now; zero once it has run out.
    pub remaining: Duration,
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is the asker's.
    Owned(Lease),
    /// Somebody else has it.
    Held(Owner),
}

/// What an owner of the asker's own address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameAddress {
    /// A process like any other: its lease must run out first.
    Waits,
    /// One that is gone, for the asker has bound the address itself: there is no need to wait. Were it there
    /// after all, it would find its lease lost.
    TakesOver,
}

/// The transactions that exclude a take-over. Each is one row of `fences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// Groups of writes.
    Commit,
    /// Batches of history.
    Append,
    /// Retention.
    Prune,
}

impl Fence {
    fn name(self) -> &'static str {
        match self {
            Fence::Commit => "commit",
            Fence::Append => "append",
            Fence::Prune => "prune",
        }
    }
}

/// What was written last through a fence, under this epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Id of the last write or batch.
    pub(crate) last_id: Option<u64>,
    /// What became of the writes of that group.
    pub(crate) outcomes: Option<Vec<u8>>,
}

/// Locks a fence until the transaction ends.
pub(crate) async fn pass(
    session: &mut dyn Session,
    lease: &Lease,
    fence: Fence,
) -> Result<Passed, StoreError> {
    let rows = session
        .fetch(
            "UPDATE fences SET epoch = epoch WHERE name = $1 AND epoch = $2 RETURNING last_id, outcomes",
            &[text(fence.name()), small(lease.epoch)],
        )
        .await?;
    let row = rows
        .first()
        .ok_or(StoreError::LeaseLost { epoch: lease.epoch })?;
    let read = || -> Result<Passed, Unfit> {
        Ok(Passed {
            last_id: row.bits_or_null(0)?,
            outcomes: row.bytes_or_null(1)?,
        })
    };
    read().map_err(|unfit| unfit.at("fences", None, 0))
}

/// Says what was written through a fence, for a repetition to be known.
pub(crate) async fn mark(
    session: &mut dyn Session,
    fence: Fence,
    last_id: u64,
    outcomes: &[u8],
) -> Result<(), StoreError> {
    session
        .execute(
            "UPDATE fences SET last_id = $2, outcomes = $3 WHERE name = $1",
            &[
                text(fence.name()),
                Value::Int(last_id.cast_signed()),
                Value::Bytes(outcomes),
            ],
        )
        .await?;
    Ok(())
}

/// Where a long transaction keeps even the owner's own renewals waiting, it renews at its end: nobody can have
/// taken over meanwhile.
pub(crate) async fn renew_if_only_writer(
    session: &mut dyn Session,
    lease: &Lease,
) -> Result<(), StoreError> {
    if session.is_only_writer() {
        renew(session, lease).await?;
    }
    Ok(())
}

/// Sets the lease's end anew, if nobody else has it.
pub(crate) async fn renew(session: &mut dyn Session, lease: &Lease) -> Result<(), StoreError> {
    let until = end(session.now_us().await?, lease.ttl);
    let renewed = session
        .execute(
            "UPDATE leases SET expires_at_us = $2 WHERE name = 'orchestrator' AND epoch = $1",
            &[small(lease.epoch), Value::Int(until)],
        )
        .await?;
    if renewed == 0 {
        return Err(StoreError::LeaseLost { epoch: lease.epoch });
    }
    Ok(())
}

/// Gives a lease up, if it is still one.
pub(crate) async fn release(session: &mut dyn Session, lease: &Lease) -> Result<(), StoreError> {
    session
        .execute(
            "UPDATE leases SET expires_at_us = 0 WHERE name = 'orchestrator' AND epoch = $1",
            &[small(lease.epoch)],
        )
        .await?;
    Ok(())
}

/// Takes the database if nobody has it.
pub(crate) async fn acquire(
    session: &mut dyn Session,
    address: &str,
    ttl: Duration,
    same_address: SameAddress,
) -> Result<Acquired, StoreError> {
    // Locks the row, so that of two who ask one waits for the other.
    let rows = session
        .fetch(
            "UPDATE leases SET name = name WHERE name = 'orchestrator' RETURNING epoch, address, expires_at_us",
            &[],
        )
        .await?;
    let now = session.now_us().await?;
    let owner = owner_of(&rows, now)?;
    let gone = same_address == SameAddress::TakesOver && owner.address == address;
    if !owner.remaining.is_zero() && !gone {
        return Ok(Acquired::Held(owner));
    }
    let lease = Lease {
        epoch: owner.epoch + 1,
        ttl,
    };
    session
        .execute(
            "UPDATE leases SET epoch = $1, address = $2, expires_at_us = $3 WHERE name = 'orchestrator'",
            &[
                small(lease.epoch),
                text(address),
                Value::Int(end(now, ttl)),
            ],
        )
        .await?;
    session
        .execute(
            "UPDATE fences SET epoch = $1, last_id = NULL, outcomes = NULL",
            &[small(lease.epoch)],
        )
        .await?;
    begin_epoch(session, lease.epoch).await?;
    // Waiting for the last transactions of an older owner may have taken longer than the lease.
    renew(session, &lease).await?;
    Ok(Acquired::Owned(lease))
}

/// Notes where the new owner takes every simulation up: behind all that is written, which no older owner adds to any
/// more. Of older take-overs the newest [`KEPT_EPOCHS`] are told apart; the oldest of these then says that everything
/// is void, for whoever knows only what was before it.
async fn begin_epoch(session: &mut dyn Session, epoch: u32) -> Result<(), StoreError> {
    let oldest = (epoch + 1).saturating_sub(KEPT_EPOCHS);
    session
        .execute("DELETE FROM epochs WHERE epoch < $1", &[small(oldest)])
        .await?;
    session
        .execute(
            "UPDATE epochs SET from_tick = 0, from_event = 1, from_system_event = 1 WHERE epoch = $1",
            &[small(oldest)],
        )
        .await?;
    session
        .execute(
            "INSERT INTO epochs (simulation_key, epoch, from_tick, from_event, from_system_event) \
             SELECT h.simulation_key, $1, h.tick + 1, h.last_sim_seq + 1, h.last_system_seq + 1 \
             FROM heads h JOIN simulations s ON s.simulation_key = h.simulation_key \
             WHERE s.id IS NOT NULL",
            &[small(epoch)],
        )
        .await?;
    Ok(())
}

/// Who has the database; `None` where nobody ever had.
pub(crate) async fn owner(session: &mut dyn Session) -> Result<Option<Owner>, StoreError> {
    let rows = session
        .fetch(
            "SELECT epoch, address, expires_at_us FROM leases WHERE name = 'orchestrator'",
            &[],
        )
        .await?;
    let now = session.now_us().await?;
    Ok(Some(owner_of(&rows, now)?).filter(|owner| owner.epoch > 0))
}

fn owner_of(rows: &[Row], now_us: i64) -> Result<Owner, StoreError> {
    let read = || -> Result<Owner, Unfit> {
        let row = rows.first().ok_or(Unfit)?;
        let remaining_us = row.int(2)?.saturating_sub(now_us).max(0);
        Ok(Owner {
            epoch: row.small(0)?,
            address: row.text(1)?,
            remaining: Duration::from_micros(remaining_us.cast_unsigned()),
        })
    };
    read().map_err(|unfit| unfit.at("leases", None, 0))
}

fn end(now_us: i64, ttl: Duration) -> i64 {
    now_us.saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX))
}
