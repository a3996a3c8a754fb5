//! Values of the contract as columns of tables, and back.

use kernel::config::{Scenario, SimulationConfig};
use transport::control::{
    Cause, CommandRequest, CommandStamp, LatePolicy, Log, LogEvent, SimulationId, Spec, Speed,
    StageLatency, Status,
};
use transport::message::Mail;

use crate::commands;
use crate::session::{Row, Unfit, Value, bits, bits_or_null, small, text};
use crate::write::State;

/// A speed; null is as fast as it goes.
pub(crate) fn speed(speed: Speed) -> Value<'static> {
    Value::IntOrNull(match speed {
        Speed::Milli(milli) => Some(i64::from(milli)),
        Speed::Max => None,
    })
}

fn speed_of(column: Option<i64>) -> Result<Speed, Unfit> {
    Ok(match column {
        Some(milli) => Speed::Milli(milli.try_into().map_err(|_| Unfit)?),
        None => Speed::Max,
    })
}

fn late_policy(policy: LatePolicy) -> &'static str {
    match policy {
        LatePolicy::Dilate => "dilate",
        LatePolicy::Fail => "fail",
    }
}

fn late_policy_of(name: &str) -> Result<LatePolicy, Unfit> {
    [LatePolicy::Dilate, LatePolicy::Fail]
        .into_iter()
        .find(|policy| late_policy(*policy) == name)
        .ok_or(Unfit)
}

/// Column names of a [`Spec`], id first, in the order of [`spec`] and [`spec_of`].
macro_rules! spec_columns {
    () => {
        "id, asked_name, asked_speed_milli, scenario, entities, tick_ms, seed, partition_rows, max_ticks, digest_every, late_policy, parent, parent_tick"
    };
}
pub(crate) use spec_columns;

/// Column names of a [`State`], in the order of [`state`] and [`state_of`].
macro_rules! state_columns {
    () => {
        "status, cause, name, speed_milli, step_until, created_at_us, started_at_us, ended_at_us"
    };
}
pub(crate) use state_columns;

/// How many columns a [`Spec`] has.
pub(crate) const SPEC_COLUMNS: usize = 13;
/// How many columns a [`State`] has.
pub(crate) const STATE_COLUMNS: usize = 8;

/// A specification as [`spec_columns`]. `None` where its scenario is none of this build's.
pub(crate) fn spec(spec: &Spec) -> Option<[Value<'_>; SPEC_COLUMNS]> {
    let config = &spec.config;
    Some([
        Value::Id(spec.id),
        text(&spec.name),
        speed(spec.speed),
        text(Scenario::from_code(config.scenario)?.name()),
        small(config.entities),
        small(config.tick_ms),
        bits(config.seed),
        small(config.partition_rows),
        bits_or_null(spec.max_ticks),
        small(spec.digest_every),
        text(late_policy(spec.late)),
        Value::IdOrNull(spec.parent.map(|parent| parent.0)),
        bits_or_null(spec.parent.map(|parent| parent.1)),
    ])
}

/// The specification in the columns from `at` on.
pub(crate) fn spec_of(row: &Row, at: usize) -> Result<Spec, Unfit> {
    let scenario: Scenario = row.text(at + 3)?.parse().map_err(|_| Unfit)?;
    Ok(Spec {
        id: row.id(at)?,
        name: row.text(at + 1)?,
        speed: speed_of(row.int_or_null(at + 2)?)?,
        config: SimulationConfig {
            scenario: scenario.code(),
            entities: row.small(at + 4)?,
            tick_ms: row.small(at + 5)?,
            seed: row.bits(at + 6)?,
            partition_rows: row.small(at + 7)?,
        },
        max_ticks: row.bits_or_null(at + 8)?,
        digest_every: row.small(at + 9)?,
        late: late_policy_of(&row.text(at + 10)?)?,
        parent: match (row.id_or_null(at + 11)?, row.bits_or_null(at + 12)?) {
            (Some(id), Some(tick)) => Some((id, tick)),
            (None, None) => None,
            _ => return Err(Unfit),
        },
    })
}

/// A state as [`state_columns`].
pub(crate) fn state(state: &State) -> [Value<'_>; STATE_COLUMNS] {
    [
        text(state.status.name()),
        text(state.cause.name()),
        text(&state.name),
        speed(state.speed),
        bits_or_null(state.step_until),
        bits(state.created_at_us),
        bits_or_null(state.started_at_us),
        bits_or_null(state.ended_at_us),
    ]
}

/// The state in the columns from `at` on.
pub(crate) fn state_of(row: &Row, at: usize) -> Result<State, Unfit> {
    Ok(State {
        status: Status::from_name(&row.text(at)?).ok_or(Unfit)?,
        cause: Cause::from_name(&row.text(at + 1)?).ok_or(Unfit)?,
        name: row.text(at + 2)?,
        speed: speed_of(row.int_or_null(at + 3)?)?,
        step_until: row.bits_or_null(at + 4)?,
        created_at_us: row.bits(at + 5)?,
        started_at_us: row.bits_or_null(at + 6)?,
        ended_at_us: row.bits_or_null(at + 7)?,
    })
}

/// The command in the columns `seq, tick, asked_tick, target, command, args`.
pub(crate) fn command_of(row: &Row) -> Result<(CommandStamp, CommandRequest), Unfit> {
    let stamp = CommandStamp {
        seq: row.bits(0)?,
        tick: row.bits(1)?,
    };
    let request = CommandRequest {
        tick: row.bits_or_null(2)?,
        target: commands::target_from_json(&row.json(3)?).ok_or(Unfit)?,
        action: commands::action_from_json(&row.text(4)?, &row.json(5)?).ok_or(Unfit)?,
    };
    Ok((stamp, request))
}

/// A log's number in keys.
pub(crate) fn log(log: Log) -> i64 {
    match log {
        Log::Sim => 0,
        Log::System => 1,
    }
}

/// Columns of an event that [`event_of`] reads.
macro_rules! event_columns {
    () => {
        "e.log, e.seq, e.tick, e.kind, e.site, e.detail, e.reason, e.entities, e.text"
    };
}
pub(crate) use event_columns;

/// The event of a row.
pub(crate) fn event_of(row: &Row) -> Result<LogEvent, Unfit> {
    Ok(LogEvent {
        log: match row.int(0)? {
            0 => Log::Sim,
            1 => Log::System,
            _ => return Err(Unfit),
        },
        seq: row.bits(1)?,
        tick: row.bits(2)?,
        kind: row.small(3)?,
        site: row.small(4)?,
        detail: row.small(5)?,
        reason: row.small(6)?,
        entities: ids_of(&row.bytes(7)?)?,
        text: row.text(8)?,
    })
}

/// Ids, 4 bytes each, little-endian.
pub(crate) fn ids(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn ids_of(bytes: &[u8]) -> Result<Vec<u32>, Unfit> {
    let (words, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
    } else {
        Err(Unfit)
    }
}

/// Histograms by stage: length and name, length and histogram, and so on; lengths of 4 bytes, little-endian.
pub(crate) fn stages(stages: &[StageLatency]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for stage in stages {
        for part in [stage.stage.as_bytes(), &stage.histogram] {
            let length = u32::try_from(part.len()).expect("a histogram is of some kilobytes");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// The histograms of such bytes.
pub(crate) fn stages_of(mut bytes: &[u8]) -> Result<Vec<StageLatency>, Unfit> {
    let mut stages = Vec::new();
    while !bytes.is_empty() {
        let name = take_part(&mut bytes)?;
        let histogram = take_part(&mut bytes)?.to_vec();
        let stage = std::str::from_utf8(name).map_err(|_| Unfit)?.to_owned();
        stages.push(StageLatency { stage, histogram });
    }
    Ok(stages)
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Unfit> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Unfit)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (part, rest) = rest.split_at_checked(length).ok_or(Unfit)?;
    *bytes = rest;
    Ok(part)
}

/// Messages under way, as an archive: a cut is read only by a build of the same archives.
pub(crate) fn mail(mail: &Vec<Mail>) -> Vec<u8> {
    rkyv::to_bytes::<rkyv::rancor::Error>(mail)
        .expect("an archive of integers in memory")
        .to_vec()
}

/// The messages of such bytes.
pub(crate) fn mail_of(bytes: &[u8]) -> Result<Vec<Mail>, Unfit> {
    let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<Vec<Mail>, rkyv::rancor::Error>(&aligned).map_err(|_| Unfit)
}

/// Reads each row, and says which one it was that could not be read.
pub(crate) fn read_all<T>(
    rows: &[Row],
    table: &'static str,
    simulation: SimulationId,
    number_at: usize,
    read: impl Fn(&Row) -> Result<T, Unfit>,
) -> Result<Vec<T>, crate::error::StoreError> {
    rows.iter()
        .map(|row| {
            read(row).map_err(|unfit| {
                unfit.at(table, Some(simulation), row.int(number_at).unwrap_or(-1))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_are_cut_off_are_unfit() {
        let whole = stages(&[StageLatency {
            stage: "compute".to_owned(),
            histogram: vec![1, 2, 3],
        }]);
        assert_eq!(stages_of(&whole).unwrap()[0].histogram, [1, 2, 3]);
        for length in 1..whole.len() {
            assert_eq!(stages_of(&whole[..length]), Err(Unfit), "{length}");
        }
    }

    #[test]
    fn mail_that_is_cut_off_is_unfit() {
        let sent = vec![Mail {
            tick: 7,
            from: 1,
            to: 2,
            words: vec![1, 2, 3],
        }];
        let whole = mail(&sent);
        assert_eq!(mail_of(&whole), Ok(sent));
        assert_eq!(mail_of(&whole[..whole.len() - 1]), Err(Unfit));
        assert_eq!(mail_of(&[]), Err(Unfit));
    }
}
