//! Forks: a simulation that begins with another's past.
//!
//! The child gets the parent's newest usable cut at or before the tick, and the parent's commands up to it, so it is as
//! complete as its parent and outlives it. It gets no history: its digests, metrics and log `system`
//! begin empty, and its log `sim` goes on from the cut's numbering, so that the first event it records
//! after the tick has the seq that it would have had in the parent. Machines' metadata are written anew behind it.

use kernel::config::KERNEL_VERSION;
use transport::control::{SimulationId, Spec};

use crate::commit::{self, Start};
use crate::error::StoreError;
use crate::load;
use crate::session::{Session, Value, bits, key_of, ordinal};
use crate::write::{Committed, State};

/// Writes a fork. [`Committed::Conflict`] where the tick can be reached neither from a cut nor from creation, because
/// the parent was created by another kernel, where this build cannot read what leads there, or where the
/// child is there already.
pub(crate) async fn fork(
    session: &mut dyn Session,
    parent: SimulationId,
    tick: u64,
    spec: &Spec,
    state: &State,
) -> Result<Committed, StoreError> {
    let (id, found) = (parent, load::find(session, parent).await);
    let parent = match found {
        Ok(Some(parent)) => parent,
        Ok(None) => return Ok(Committed::NotFound),
        Err(error) => return nothing_to_fork(error),
    };
    let cut = load::newest_cut(session, parent.key, tick).await?;
    if cut.is_none() && parent.kernel_version != KERNEL_VERSION {
        return Ok(Committed::Conflict);
    }
    // Whether the child can be read is tried before it is there: a group is written whole, so nothing would
    // take its rows away again.
    let after = cut.as_ref().map(|cut| cut.tick);
    if let Err(error) = load::commands(session, id, parent.key, after, tick).await {
        return nothing_to_fork(error);
    }
    let start = Start {
        tick,
        last_sim_seq: cut.as_ref().map_or(0, |cut| cut.last_sim_seq),
    };
    match commit::create(session, spec, state, parent.kernel_version, start).await? {
        Committed::Done => {}
        other => return Ok(other),
    }
    let Some(key) = key_of(session, spec.id).await? else {
        return Ok(Committed::NotFound);
    };
    let from_to = [Value::Int(parent.key), Value::Int(key), ordinal(tick)];
    session
        .execute(
            "INSERT INTO commands (simulation_key, seq, tick, asked_tick, target, command, args, token, at_us) \
             SELECT $2, seq, tick, asked_tick, target, command, args, token, at_us FROM commands \
             WHERE simulation_key = $1 AND tick <= $3",
            &from_to,
        )
        .await?;
    if let Some(cut) = &cut {
        copy_cut(session, [parent.key, key], cut.tick).await?;
    }
    child(session, spec.id).await
}

async fn copy_cut(
    session: &mut dyn Session,
    [parent, child]: [i64; 2],
    tick: u64,
) -> Result<(), StoreError> {
    let values = [Value::Int(parent), Value::Int(child), bits(tick)];
    session
        .execute(
            "INSERT INTO checkpoints (simulation_key, tick, partition, payload) \
             SELECT $2, tick, partition, payload FROM checkpoints WHERE simulation_key = $1 AND tick = $3",
            &values,
        )
        .await?;
    session
        .execute(
            "INSERT INTO cuts (simulation_key, tick, kernel_version, schema_hash, last_sim_seq, partitions, mail) \
             SELECT $2, tick, kernel_version, schema_hash, last_sim_seq, partitions, mail FROM cuts \
             WHERE simulation_key = $1 AND tick = $3",
            &values,
        )
        .await?;
    Ok(())
}

/// What a child begins with.
pub(crate) async fn child(
    session: &mut dyn Session,
    child: SimulationId,
) -> Result<Committed, StoreError> {
    let recovered = match load::find(session, child).await {
        Ok(Some(found)) => load::with_history(session, found).await,
        Ok(None) => return Ok(Committed::NotFound),
        Err(error) => Err(error),
    };
    match recovered {
        Ok(recovered) => Ok(Committed::Forked(Box::new(recovered))),
        Err(error) => nothing_to_fork(error),
    }
}

/// What this build cannot read, or go on from, is nothing to fork; that is no reason to write nothing else.
fn nothing_to_fork(error: StoreError) -> Result<Committed, StoreError> {
    match error {
        StoreError::Unreadable { .. } | StoreError::OtherKernel { .. } => {
            tracing::warn!(%error, "a simulation cannot be forked");
            Ok(Committed::Conflict)
        }
        error => Err(error),
    }
}
