//! Groups of writes that someone waits for.

use kernel::config::KERNEL_VERSION;
use transport::control::{CommandRequest, CommandStamp, SimulationId, Spec, Token};

use crate::columns::{self, spec_columns, state_columns};
use crate::commands;
use crate::error::StoreError;
use crate::fork;
use crate::guard::{self, Known};
use crate::lease::{self, Fence, Lease};
use crate::limits::MAX_GROUP;
use crate::load;
use crate::session::{Session, Unfit, Value, bits, bits_or_null, small, text};
use crate::write::{Change, Committed, State, Write};

/// Writes a group.
pub(crate) async fn group(
    session: &mut dyn Session,
    lease: &Lease,
    writes: &[Write],
) -> Result<Vec<Committed>, StoreError> {
    assert!(
        writes.len() <= MAX_GROUP,
        "{} writes in a group",
        writes.len()
    );
    assert!(
        writes.is_sorted_by(|a, b| a.id < b.id),
        "ids grow from write to write"
    );
    let passed = lease::pass(session, lease, Fence::Commit).await?;
    let before = Outcomes::decode(passed.outcomes.as_deref().unwrap_or_default())
        .map_err(|unfit| unfit.at("fences", None, 0))?;
    let mut outcomes = Outcomes::default();
    let mut committed = Vec::with_capacity(writes.len());
    for write in writes {
        let outcome = match before.of(write.id) {
            Some(outcome) => again(session, write, outcome).await?,
            None => one(session, write).await?,
        };
        outcomes.0.push((write.id, Outcome::of(&outcome)));
        committed.push(outcome);
    }
    if let Some(last) = writes.last() {
        let last_id = passed.last_id.unwrap_or(0).max(last.id);
        lease::mark(session, Fence::Commit, last_id, &outcomes.encode()).await?;
    }
    Ok(committed)
}

/// Carries out one write.
async fn one(session: &mut dyn Session, write: &Write) -> Result<Committed, StoreError> {
    if let Change::TakeBack(instead) = &write.change {
        if let Some(guard) = &write.guard {
            guard::take_back(session, guard).await?;
        }
        return match instead {
            Some(instead) => change(session, instead).await,
            None => Ok(Committed::Done),
        };
    }
    if let Some(guard) = &write.guard {
        match guard::look_up(session, guard, &write.change).await? {
            Known::New => {}
            Known::Repeated(answer) => return Ok(Committed::Repeated(answer)),
            Known::KeyReused => return Ok(Committed::KeyReused),
        }
    }
    let outcome = change(session, &write.change).await?;
    let kept = matches!(outcome, Committed::Done | Committed::Forked(_));
    if let (true, Some(guard)) = (kept, &write.guard) {
        guard::keep(session, guard, &write.change).await?;
    }
    // A place that was kept before the simulation was deleted has kept its answer.
    if let (
        Committed::NotFound,
        Change::Command {
            simulation, stamp, ..
        },
    ) = (&outcome, &write.change)
    {
        guard::forget(session, *simulation, stamp.seq).await?;
    }
    Ok(outcome)
}

/// Tells the outcome of a write whose commit was in doubt, and was made.
async fn again(
    session: &mut dyn Session,
    write: &Write,
    outcome: Outcome,
) -> Result<Committed, StoreError> {
    Ok(match outcome {
        Outcome::Done => Committed::Done,
        Outcome::KeyReused => Committed::KeyReused,
        Outcome::NotFound => Committed::NotFound,
        Outcome::Conflict => Committed::Conflict,
        Outcome::Repeated => {
            let answer = match &write.guard {
                Some(guard) => guard::answer(session, guard).await?,
                None => None,
            };
            answer.map_or(Committed::NotFound, Committed::Repeated)
        }
        Outcome::Forked => match &write.change {
            Change::Fork { spec, .. } => fork::child(session, spec.id).await?,
            _ => Committed::Conflict,
        },
    })
}

async fn change(session: &mut dyn Session, change: &Change) -> Result<Committed, StoreError> {
    let changed = match change {
        Change::Create { spec, state } => {
            return create(session, spec, state, KERNEL_VERSION, Start::default()).await;
        }
        Change::Fork {
            parent,
            tick,
            spec,
            state,
        } => return fork::fork(session, *parent, *tick, spec, state).await,
        Change::CreateToken(token) => return create_token(session, token).await,
        Change::State { simulation, state } => set_state(session, *simulation, state).await?,
        Change::Command {
            simulation,
            stamp,
            request,
            token,
            at_us,
        } => command(session, *simulation, *stamp, request, [*token, *at_us]).await?,
        Change::Withdraw { simulation, seq } => withdraw(session, *simulation, *seq).await?,
        Change::Delete(simulation) => delete(session, *simulation).await?,
        // What is taken back is not itself a change that is.
        Change::Nothing | Change::TakeBack(_) => 0,
        Change::RevokeToken(id) => {
            session
                .execute("DELETE FROM tokens WHERE id = $1", &[bits(*id)])
                .await?
        }
    };
    Ok(if changed == 0 {
        Committed::NotFound
    } else {
        Committed::Done
    })
}

/// Where a simulation's history starts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    /// Tick to which a replay goes.
    pub(crate) tick: u64,
    /// Seq of the newest event of the log `sim`.
    pub(crate) last_sim_seq: u64,
}

/// Writes a simulation's rows.
pub(crate) async fn create(
    session: &mut dyn Session,
    spec: &Spec,
    state: &State,
    kernel_version: u32,
    start: Start,
) -> Result<Committed, StoreError> {
    let Some(asked) = columns::spec(spec) else {
        return Ok(Committed::Conflict);
    };
    let mut values = Vec::from(asked);
    values.extend(columns::state(state));
    values.push(small(kernel_version));
    let rows = session
        .fetch(
            concat!(
                "INSERT INTO simulations (",
                spec_columns!(),
                ", ",
                state_columns!(),
                ", kernel_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                 $17, $18, $19, $20, $21, $22) ON CONFLICT DO NOTHING RETURNING simulation_key"
            ),
            &values,
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Committed::Conflict);
    };
    let key = row
        .int(0)
        .map_err(|unfit| unfit.at("simulations", Some(spec.id), 0))?;
    let sums = load::no_sums();
    session
        .execute(
            "INSERT INTO heads (simulation_key, tick, aggregate, late_ticks, dilated_ms, last_sim_seq, \
             last_system_seq, entities_written) VALUES ($1, $2, $3, 0, 0, $4, 0, 0)",
            &[
                Value::Int(key),
                bits(start.tick),
                Value::Json(&sums),
                bits(start.last_sim_seq),
            ],
        )
        .await?;
    Ok(Committed::Done)
}

async fn set_state(
    session: &mut dyn Session,
    simulation: SimulationId,
    state: &State,
) -> Result<u64, StoreError> {
    let mut values = vec![Value::Id(simulation)];
    values.extend(columns::state(state));
    session
        .execute(
            "UPDATE simulations SET status = $2, cause = $3, name = $4, speed_milli = $5, step_until = $6, \
             created_at_us = $7, started_at_us = $8, ended_at_us = $9 WHERE id = $1",
            &values,
        )
        .await
}

async fn command(
    session: &mut dyn Session,
    simulation: SimulationId,
    stamp: CommandStamp,
    request: &CommandRequest,
    [token, at_us]: [u64; 2],
) -> Result<u64, StoreError> {
    let target = commands::target_to_json(&request.target);
    let (name, args) = commands::action_to_json(request.action);
    session
        .execute(
            "INSERT INTO commands (simulation_key, seq, tick, asked_tick, target, command, args, token, at_us) \
             SELECT simulation_key, $2, $3, $4, $5, $6, $7, $8, $9 FROM simulations WHERE id = $1 \
             ON CONFLICT (simulation_key, seq) DO UPDATE SET tick = excluded.tick, asked_tick = excluded.asked_tick, \
             target = excluded.target, command = excluded.command, args = excluded.args, \
             token = excluded.token, at_us = excluded.at_us",
            &[
                Value::Id(simulation),
                bits(stamp.seq),
                bits(stamp.tick),
                bits_or_null(request.tick),
                Value::Json(&target),
                text(name),
                Value::Json(&args),
                bits(token),
                bits(at_us),
            ],
        )
        .await
}

async fn withdraw(
    session: &mut dyn Session,
    simulation: SimulationId,
    seq: u64,
) -> Result<u64, StoreError> {
    guard::forget(session, simulation, seq).await?;
    session
        .execute(
            "DELETE FROM commands WHERE seq = $2 AND simulation_key = \
             (SELECT simulation_key FROM simulations WHERE id = $1)",
            &[Value::Id(simulation), bits(seq)],
        )
        .await
}

/// Takes a simulation's id away. Its rows are removed in the background.
async fn delete(session: &mut dyn Session, simulation: SimulationId) -> Result<u64, StoreError> {
    session
        .execute(
            "UPDATE simulations SET id = NULL WHERE id = $1",
            &[Value::Id(simulation)],
        )
        .await
}

async fn create_token(session: &mut dyn Session, token: &Token) -> Result<Committed, StoreError> {
    let created = session
        .execute(
            "INSERT INTO tokens (id, name, access, secret_hash, created_at_us) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
            &[
                bits(token.id),
                text(&token.name),
                text(token.access.name()),
                Value::Bytes(&token.secret_hash),
                bits(token.created_at_us),
            ],
        )
        .await?;
    Ok(if created == 0 {
        Committed::Conflict
    } else {
        Committed::Done
    })
}

/// What became of a write, without what came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Done = 1,
    Forked = 2,
    Repeated = 3,
    KeyReused = 4,
    NotFound = 5,
    Conflict = 6,
}

impl Outcome {
    const ALL: [Outcome; 6] = [
        Outcome::Done,
        Outcome::Forked,
        Outcome::Repeated,
        Outcome::KeyReused,
        Outcome::NotFound,
        Outcome::Conflict,
    ];

    fn of(committed: &Committed) -> Outcome {
        match committed {
            Committed::Done => Outcome::Done,
            Committed::Forked(_) => Outcome::Forked,
            Committed::Repeated(_) => Outcome::Repeated,
            Committed::KeyReused => Outcome::KeyReused,
            Committed::NotFound => Outcome::NotFound,
            Committed::Conflict => Outcome::Conflict,
        }
    }
}

/// What became of a group, by id. It is kept with the group, so that it can be told again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcomes(Vec<(u64, Outcome)>);

impl Outcomes {
    /// Nine bytes a write: its id, little-endian, and what became of it.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 9);
        for (id, outcome) in &self.0 {
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.push(*outcome as u8);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Outcomes, Unfit> {
        let (writes, rest) = bytes.as_chunks::<9>();
        if !rest.is_empty() {
            return Err(Unfit);
        }
        writes
            .iter()
            .map(|[id @ .., outcome]| {
                let outcome = Outcome::ALL
                    .into_iter()
                    .find(|known| *known as u8 == *outcome)
                    .ok_or(Unfit)?;
                Ok((u64::from_le_bytes(*id), outcome))
            })
            .collect::<Result<_, _>>()
            .map(Outcomes)
    }

    fn of(&self, id: u64) -> Option<Outcome> {
        self.0
            .binary_search_by_key(&id, |(id, _)| *id)
            .ok()
            .map(|at| self.0[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_back_as_they_were() {
        let outcomes = Outcomes((1..).zip(Outcome::ALL).collect());
        let bytes = outcomes.encode();
        assert_eq!(Outcomes::decode(&bytes), Ok(outcomes.clone()));
        assert_eq!(outcomes.of(3), Some(Outcome::Repeated));
        assert_eq!(outcomes.of(7), None);
        assert_eq!(Outcomes::decode(&bytes[1..]), Err(Unfit));
        assert_eq!(Outcomes::decode(&[0; 9]), Err(Unfit));
    }
}
