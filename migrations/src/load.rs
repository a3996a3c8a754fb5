//! What is found again: every simulation, with the newest cut that this build can use and the commands after it.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::aggregate::Aggregate;
use kernel::config::KERNEL_VERSION;
use transport::control::event_kind::LIFECYCLE;
use transport::control::{Access, CommandRequest, CommandStamp, EpochBegin, SimulationId, Token};
use transport::header::SCHEMA_HASH;
use transport::message::TickDigest;

use crate::aggregates;
use crate::columns::{self, SPEC_COLUMNS, STATE_COLUMNS, read_all, spec_columns, state_columns};
use crate::error::StoreError;
use crate::history::Cut;
use crate::limits::LIFECYCLE_WITHIN;
use crate::recovery::Recovered;
use crate::session::{Row, Session, Unfit, Value, bits, ordinal, small};

/// Everything that is found.
#[derive(Debug)]
pub struct Loaded {
    /// Simulations, by id.
    pub simulations: Vec<Recovered>,
    /// Those that cannot go on, by id.
    pub unreadable: Vec<Unreadable>,
}

/// A simulation that this build cannot go on with.
#[derive(Debug)]
pub struct Unreadable {
    /// Its key in the tables, and its id if that can be read.
    pub simulation_key: i64,
    /// Its id.
    pub simulation: Option<SimulationId>,
    /// Why.
    pub error: StoreError,
    /// What can be read of it, without cut and commands; `None` where it is not even that.
    pub known: Option<Box<Recovered>>,
}

/// What is known of a simulation without its cut and commands.
pub(crate) struct Found {
    /// Key of its rows.
    pub(crate) key: i64,
    /// [`KERNEL_VERSION`] of who created it.
    pub(crate) kernel_version: u32,
    /// All but cut and commands.
    pub(crate) recovered: Recovered,
}

macro_rules! found {
    ($which:literal) => {
        concat!(
            "SELECT s.simulation_key, s.kernel_version, h.tick, h.digest_tick, h.digest, h.aggregate, \
             h.late_ticks, h.dilated_ms, h.last_sim_seq, h.last_system_seq, h.entities_written, \
             (SELECT max(c.seq) FROM commands c WHERE c.simulation_key = s.simulation_key), \
             COALESCE((SELECT e.text FROM events e WHERE e.simulation_key = s.simulation_key AND e.log = 1 \
             AND e.seq > h.last_system_seq - 1000 AND e.kind = 100 ORDER BY e.seq DESC LIMIT 1), ''), ",
            spec_columns!(),
            ", ",
            state_columns!(),
            " FROM simulations s JOIN heads h ON h.simulation_key = s.simulation_key ",
            $which
        )
    };
}

/// Where the columns of a specification begin in it.
const SPEC_AT: usize = 13;

const _: () = assert!(
    LIFECYCLE == 100 && LIFECYCLE_WITHIN == 1_000,
    "as the query says"
);

/// Every simulation that is not deleted.
pub(crate) async fn all(session: &mut dyn Session) -> Result<Loaded, StoreError> {
    let rows = session
        .fetch(found!("WHERE s.id IS NOT NULL ORDER BY s.id"), &[])
        .await?;
    let mut epochs = epochs(session).await?;
    let mut loaded = Loaded {
        simulations: Vec::new(),
        unreadable: Vec::new(),
    };
    for row in rows {
        let simulation = row.id(SPEC_AT).ok();
        let simulation_key = row.int(0).unwrap_or(-1);
        let unreadable = |error, known| Unreadable {
            simulation_key,
            simulation,
            error,
            known,
        };
        match found_of(&row) {
            Err(unfit) => {
                let error = unfit.at("simulations", simulation, simulation_key);
                loaded.unreadable.push(unreadable(error, None));
            }
            Ok(mut found) => {
                found.recovered.epochs = epochs.remove(&found.key).unwrap_or_default();
                let known = Box::new(found.recovered.clone());
                match with_history(session, found).await {
                    Ok(recovered) => loaded.simulations.push(recovered),
                    Err(
                        error @ (StoreError::Unreadable { .. } | StoreError::OtherKernel { .. }),
                    ) => {
                        loaded.unreadable.push(unreadable(error, Some(known)));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(loaded)
}

/// Where the orchestrators that took over began, by simulation and epoch.
async fn epochs(session: &mut dyn Session) -> Result<BTreeMap<i64, Vec<EpochBegin>>, StoreError> {
    let rows = session
        .fetch(
            "SELECT simulation_key, epoch, from_tick, from_event, from_system_event FROM epochs \
             ORDER BY simulation_key, epoch",
            &[],
        )
        .await?;
    let read = |row: &Row| -> Result<(i64, EpochBegin), Unfit> {
        let begin = EpochBegin {
            epoch: row.small(1)?,
            from_tick: row.bits(2)?,
            from_event: row.bits(3)?,
            from_system_event: row.bits(4)?,
        };
        Ok((row.int(0)?, begin))
    };
    let mut epochs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let (key, begin) =
            read(&row).map_err(|unfit| unfit.at("epochs", None, row.int(0).unwrap_or(-1)))?;
        epochs.entry(key).or_default().push(begin);
    }
    Ok(epochs)
}

/// One simulation; `None` where it is not there.
pub(crate) async fn find(
    session: &mut dyn Session,
    simulation: SimulationId,
) -> Result<Option<Found>, StoreError> {
    let rows = session
        .fetch(found!("WHERE s.id = $1"), &[Value::Id(simulation)])
        .await?;
    let found = rows.first().map(found_of).transpose();
    found.map_err(|unfit| unfit.at("simulations", Some(simulation), 0))
}

fn found_of(row: &Row) -> Result<Found, Unfit> {
    let spec = columns::spec_of(row, SPEC_AT)?;
    let state = columns::state_of(row, SPEC_AT + SPEC_COLUMNS)?;
    let entities = i64::from(spec.config.entities);
    Ok(Found {
        key: row.int(0)?,
        kernel_version: row.small(1)?,
        recovered: Recovered {
            head_tick: row.bits(2)?,
            digest: match (row.bits_or_null(3)?, row.bits_or_null(4)?) {
                (Some(tick), Some(digest)) => Some(TickDigest { tick, digest }),
                (None, None) => None,
                _ => return Err(Unfit),
            },
            aggregate: aggregates::from_json(&row.json(5)?).ok_or(Unfit)?,
            late_ticks: row.bits(6)?,
            dilated_ms: row.bits(7)?,
            last_sim_seq: row.bits(8)?,
            last_system_seq: row.bits(9)?,
            has_entities: row.int(10)? >= entities,
            last_command_seq: row.bits_or_null(11)?.unwrap_or(0),
            last_lifecycle: Some(row.text(12)?).filter(|says| !says.is_empty()),
            epochs: Vec::new(),
            cut: None,
            commands: Vec::new(),
            spec,
            state,
        },
    })
}

const _: () = assert!(SPEC_COLUMNS + STATE_COLUMNS == 21);

/// Adds what a simulation goes on with, if it does.
pub(crate) async fn with_history(
    session: &mut dyn Session,
    found: Found,
) -> Result<Recovered, StoreError> {
    let Found {
        key,
        kernel_version,
        mut recovered,
    } = found;
    if !recovered.goes_on() {
        return Ok(recovered);
    }
    let simulation = recovered.spec.id;
    recovered.cut = newest_cut(session, key, recovered.head_tick).await?;
    if recovered.cut.is_none() && kernel_version != KERNEL_VERSION {
        return Err(StoreError::OtherKernel {
            simulation,
            found: kernel_version,
            known: KERNEL_VERSION,
        });
    }
    let after = recovered.cut.as_ref().map(|cut| cut.tick);
    recovered.commands = commands(session, simulation, key, after, u64::MAX).await?;
    Ok(recovered)
}

/// The newest cut at or before a tick that is whole, and was made by a kernel and with archives as this build's. One that is
/// not, or cannot be read, is passed over: an older one, or creation, leads to the same state.
pub(crate) async fn newest_cut(
    session: &mut dyn Session,
    key: i64,
    tick: u64,
) -> Result<Option<Cut>, StoreError> {
    let rows = session
        .fetch(
            "SELECT tick, last_sim_seq, partitions FROM cuts \
             WHERE simulation_key = $1 AND tick <= $2 AND kernel_version = $3 AND schema_hash = $4 \
             ORDER BY tick DESC",
            &[
                Value::Int(key),
                ordinal(tick),
                small(KERNEL_VERSION),
                bits(SCHEMA_HASH),
            ],
        )
        .await?;
    for row in rows {
        if let Some(cut) = cut(session, key, &row).await? {
            return Ok(Some(cut));
        }
    }
    Ok(None)
}

/// The cut of a manifest; `None` where it is not whole.
async fn cut(
    session: &mut dyn Session,
    key: i64,
    manifest: &Row,
) -> Result<Option<Cut>, StoreError> {
    let (Ok(tick), Ok(last_sim_seq), Ok(partitions)) =
        (manifest.bits(0), manifest.bits(1), manifest.bits(2))
    else {
        return Ok(None);
    };
    let place = [Value::Int(key), bits(tick)];
    let mail = session
        .fetch(
            "SELECT mail FROM cuts WHERE simulation_key = $1 AND tick = $2",
            &place,
        )
        .await?;
    let Some(Ok(mail)) = mail
        .first()
        .map(|row| row.bytes(0).and_then(|bytes| columns::mail_of(&bytes)))
    else {
        return Ok(None);
    };
    let rows = session
        .fetch(
            "SELECT partition, payload FROM checkpoints WHERE simulation_key = $1 AND tick = $2 ORDER BY partition",
            &place,
        )
        .await?;
    let mut checkpoints = Vec::with_capacity(rows.len());
    for (partition, row) in (0..).zip(rows) {
        match (row.int(0), row.bytes(1)) {
            (Ok(number), Ok(payload)) if number == partition => {
                checkpoints.push(Bytes::from(payload));
            }
            _ => return Ok(None),
        }
    }
    if checkpoints.len() as u64 != partitions {
        return Ok(None);
    }
    Ok(Some(Cut {
        tick,
        kernel_version: KERNEL_VERSION,
        schema_hash: SCHEMA_HASH,
        last_sim_seq,
        checkpoints,
        mail,
    }))
}

/// Commands of ticks after one, or of all from the first on, up to another, by (tick, seq).
pub(crate) async fn commands(
    session: &mut dyn Session,
    simulation: SimulationId,
    key: i64,
    after: Option<u64>,
    up_to: u64,
) -> Result<Vec<(CommandStamp, CommandRequest)>, StoreError> {
    let rows = session
        .fetch(
            "SELECT seq, tick, asked_tick, target, command, args FROM commands \
             WHERE simulation_key = $1 AND tick > $2 AND tick <= $3 ORDER BY tick, seq",
            &[
                Value::Int(key),
                Value::Int(after.map_or(-1, u64::cast_signed)),
                ordinal(up_to),
            ],
        )
        .await?;
    read_all(&rows, "commands", simulation, 0, columns::command_of)
}

/// Every token, by id.
pub(crate) async fn tokens(session: &mut dyn Session) -> Result<Vec<Token>, StoreError> {
    let rows = session
        .fetch(
            "SELECT id, name, access, secret_hash, created_at_us FROM tokens",
            &[],
        )
        .await?;
    let read = |row: &Row| -> Result<Token, Unfit> {
        Ok(Token {
            id: row.bits(0)?,
            name: row.text(1)?,
            access: Access::from_name(&row.text(2)?).ok_or(Unfit)?,
            secret_hash: row.hash(3)?,
            created_at_us: row.bits(4)?,
        })
    };
    let mut tokens = rows
        .iter()
        .map(|row| read(row).map_err(|unfit| unfit.at("tokens", None, row.int(0).unwrap_or(-1))))
        .collect::<Result<Vec<_>, _>>()?;
    // Ids are unsigned here and signed there.
    tokens.sort_by_key(|token| token.id);
    Ok(tokens)
}

/// Sums of a simulation of which nothing is written.
pub(crate) fn no_sums() -> serde_json::Value {
    aggregates::to_json(&Aggregate::default())
}
