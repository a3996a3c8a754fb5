//! Binary messages of `autofarm.v1.bin`, as docs/stream.md lays them out: little-endian, whose the records
//! are and ticks.

use bytes::Bytes;
use kernel::aggregate::{Aggregate, CHARGE_BUCKETS, Counters, STATES};

use crate::load::message::{Depth, Machine, Message, Tick};

const IDS: u8 = 1;
const TICK: u8 = 2;
const VERSION: u8 = 1;
/// Bytes before the blocks, at least: a later minor version may have more.
const MIN_IDS_HEAD_BYTES: usize = 64;
const IDS_BLOCK_BYTES: usize = 32;
/// Bytes of a tick before its sums.
const BEFORE_SUMS_BYTES: usize = 56;
const COUNTERS: usize = 13;
/// Sums of a tick that are read here.
const SUMS: usize = 3 + STATES + CHARGE_BUCKETS + COUNTERS;
const TICK_BLOCK_BYTES: usize = 24;
const RECORD_BYTES: usize = 8;
/// 2^-16 m in a metre.
const UNITS_PER_M: f64 = 65_536.0;

/// Whose the records of a connection's ticks are, read in place.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    message: Bytes,
    blocks_at: usize,
    entities_at: usize,
    blocks: usize,
    /// Machines.
    pub(crate) entities: usize,
}

/// A binary message.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// Whose the records of the next ticks are.
    Ids(Ids),
    /// Anything else.
    Message(Message),
}

/// Reads a binary message; machines need the ids that came before.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(message: &Bytes, depth: Depth, ids: Option<&Ids>) -> Result<Read, String> {
    match message.get(..2) {
        Some([IDS, VERSION]) => read_ids(message).map(Read::Ids),
        Some([TICK, VERSION]) => {
            let tick = read_tick(message, depth, ids)?;
            Ok(Read::Message(Message::Tick(Box::new(tick))))
        }
        Some([kind, version]) => Err(format!("no message of kind {kind}, version {version}")),
        _ => Err("it is too short".to_owned()),
    }
}

fn read_ids(message: &Bytes) -> Result<Ids, String> {
    let head = usize::from(u16_at(message, 2)?);
    let blocks = u32_at(message, 4)? as usize;
    let entities = u32_at(message, 24)? as usize;
    let entities_at = head + blocks * IDS_BLOCK_BYTES;
    let len = entities_at + entities * 4;
    if head < MIN_IDS_HEAD_BYTES || message.len() != len {
        return Err(format!("ids of {} bytes, not {len}", message.len()));
    }
    Ok(Ids {
        message: message.clone(),
        blocks_at: head,
        entities_at,
        blocks,
        entities,
    })
}

fn read_tick(message: &[u8], depth: Depth, ids: Option<&Ids>) -> Result<Tick, String> {
    let head = usize::from(u16_at(message, 2)?);
    let blocks = u32_at(message, 4)? as usize;
    let records = u32_at(message, 48)? as usize;
    let sums = u32_at(message, 52)? as usize;
    let records_at = head + blocks * TICK_BLOCK_BYTES;
    let len = records_at + records * RECORD_BYTES;
    if sums < SUMS || head < BEFORE_SUMS_BYTES + 8 * sums || message.len() != len {
        return Err(format!(
            "a tick of {} bytes with {blocks} blocks, {records} records and {sums} sums",
            message.len()
        ));
    }
    let machines = match depth {
        Depth::Head => None,
        Depth::All => {
            let ids = ids.ok_or("a tick came before the ids")?;
            Some(machines(message, head, blocks, records_at, ids)?)
        }
    };
    Ok(Tick {
        epoch: u64::from(u32_at(message, 40)?),
        tick: u64_at(message, 8)?,
        started_at_us: Some(u64_at(message, 32)?),
        sent_at_us: Some(u64_at(message, 24)?),
        entities_total: u64::from(u32_at(message, 44)?),
        shown: Some(records as u64),
        aggregate: Some(Box::new(read_sums(message)?)),
        machines,
    })
}

fn read_sums(message: &[u8]) -> Result<Aggregate, String> {
    let mut next = 0;
    let mut sum = || {
        next += 1;
        u64_at(message, BEFORE_SUMS_BYTES + 8 * (next - 1))
    };
    let (rows, charge, speed) = (sum()?, sum()?, sum()?);
    let mut aggregate = Aggregate {
        rows,
        charge_sum: charge.cast_signed(),
        speed_sum_mm_per_s: speed.cast_signed(),
        ..Aggregate::default()
    };
    for n in &mut aggregate.by_state {
        *n = sum()?;
    }
    for n in &mut aggregate.by_charge {
        *n = sum()?;
    }
    // Fields of a literal are evaluated as they stand.
    aggregate.counters = Counters {
        turns: sum()?,
        swaths: sum()?,
        charger_waits: sum()?,
        charges: sum()?,
        denied_grants: sum()?,
        faults: sum()?,
        repairs: sum()?,
        commands: sum()?,
        rejected_commands: sum()?,
        stand_offs: sum()?,
        separation_violations: sum()?,
        ghosts: sum()?,
        ghost_bytes: sum()?,
    };
    debug_assert_eq!(next, SUMS);
    Ok(aggregate)
}

fn machines(
    message: &[u8],
    head: usize,
    blocks: usize,
    records_at: usize,
    ids: &Ids,
) -> Result<Vec<Machine>, String> {
    let mut machines = Vec::with_capacity((message.len() - records_at) / RECORD_BYTES);
    let mut record = records_at;
    for block in 0..blocks {
        let at = head + block * TICK_BLOCK_BYTES;
        let (index, taken) = (
            u32_at(message, at)? as usize,
            u32_at(message, at + 4)? as usize,
        );
        let edge = |n: usize| Ok::<_, String>(f64::from(u32_at(message, at + n)?.cast_signed()));
        let (west, south, east, north) = (edge(8)?, edge(12)?, edge(16)?, edge(20)?);
        let of = ids.block(index)?;
        if taken > of.entities {
            return Err(format!(
                "block {index} has {} machines, not {taken}",
                of.entities
            ));
        }
        for place in 0..taken {
            let share =
                |n: usize| Ok::<_, String>(f64::from(u16_at(message, record + n)?) / 65_535.0);
            machines.push(Machine {
                id: ids.entity(of.first_entity + place)?,
                x: of.x_m + (west + share(0)? * (east - west)) / UNITS_PER_M,
                y: of.y_m + (south + share(2)? * (north - south)) / UNITS_PER_M,
            });
            record += RECORD_BYTES;
        }
    }
    if record != message.len() {
        return Err("its blocks do not account for its records".to_owned());
    }
    Ok(machines)
}

struct IdsBlock {
    entities: usize,
    first_entity: usize,
    x_m: f64,
    y_m: f64,
}

impl Ids {
    fn block(&self, index: usize) -> Result<IdsBlock, String> {
        if index >= self.blocks {
            return Err(format!("there is no block {index}"));
        }
        let at = self.blocks_at + index * IDS_BLOCK_BYTES;
        Ok(IdsBlock {
            entities: u32_at(&self.message, at + 4)? as usize,
            first_entity: u32_at(&self.message, at + 8)? as usize,
            x_m: f64::from_bits(u64_at(&self.message, at + 16)?),
            y_m: f64::from_bits(u64_at(&self.message, at + 24)?),
        })
    }

    fn entity(&self, place: usize) -> Result<u32, String> {
        if place >= self.entities {
            return Err(format!("there is no machine at place {place}"));
        }
        u32_at(&self.message, self.entities_at + 4 * place)
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or_else(|| "it is too short".to_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    Ok(u16::from_le_bytes(array_at(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    Ok(u32::from_le_bytes(array_at(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, String> {
    Ok(u64::from_le_bytes(array_at(bytes, at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_u32(out: &mut Vec<u8>, n: u32) {
        out.extend_from_slice(&n.to_le_bytes());
    }

    /// Two blocks of sites 100 m apart, of two machines and one.
    fn ids() -> Vec<u8> {
        let mut out = vec![IDS, VERSION, 64, 0];
        put_u32(&mut out, 2);
        out.extend_from_slice(&[7; 16]);
        put_u32(&mut out, 3);
        put_u32(&mut out, 2);
        out.extend_from_slice(&[0; 32]);
        for (site, entities, first, x_m) in [(0, 2, 0, 0.0_f64), (1, 1, 2, 100.0)] {
            for n in [site, entities, first, 0] {
                put_u32(&mut out, n);
            }
            out.extend_from_slice(&x_m.to_le_bytes());
            out.extend_from_slice(&0_f64.to_le_bytes());
        }
        for id in [11, 12, 13] {
            put_u32(&mut out, id);
        }
        out
    }

    fn tick() -> Vec<u8> {
        let mut out = vec![TICK, VERSION];
        let head = BEFORE_SUMS_BYTES + 8 * SUMS;
        out.extend_from_slice(&(head as u16).to_le_bytes());
        put_u32(&mut out, 2);
        for n in [148, 7.4_f64.to_bits(), 2_000, 1_000] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in [5, 3, 3, SUMS as u32] {
            put_u32(&mut out, n);
        }
        for n in 0..SUMS as u64 {
            out.extend_from_slice(&(100 + n).to_le_bytes());
        }
        for (block, records, east) in [(0_u32, 2_u32, 10_i32), (1, 1, 20)] {
            put_u32(&mut out, block);
            put_u32(&mut out, records);
            for edge in [0, 0, east << 16, 1 << 16] {
                out.extend_from_slice(&i32::to_le_bytes(edge));
            }
        }
        for x in [0, u16::MAX, u16::MAX] {
            out.extend_from_slice(&u16::to_le_bytes(x));
            out.extend_from_slice(&[0; 6]);
        }
        out
    }

    fn read_all(tick: Vec<u8>) -> Result<Tick, String> {
        let Read::Ids(ids) = read(&ids().into(), Depth::All, None)? else {
            panic!("no ids");
        };
        match read(&tick.into(), Depth::All, Some(&ids))? {
            Read::Message(Message::Tick(tick)) => Ok(*tick),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tick_is_read_to_its_last_machine() {
        let tick = read_all(tick()).unwrap();
        assert_eq!((tick.tick, tick.epoch, tick.entities_total), (148, 5, 3));
        assert_eq!(
            (tick.started_at_us, tick.sent_at_us),
            (Some(1_000), Some(2_000))
        );
        let sums = tick.aggregate.unwrap();
        assert_eq!(
            (sums.rows, sums.by_state[0], sums.by_charge[0]),
            (100, 103, 113)
        );
        assert_eq!((sums.counters.turns, sums.counters.ghost_bytes), (123, 135));
        let machines: Vec<_> = tick.machines.unwrap().iter().map(|m| (m.id, m.x)).collect();
        assert_eq!(machines, [(11, 0.0), (12, 10.0), (13, 120.0)]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused_and_never_read_beyond() {
        for len in 0..tick().len() {
            let mut short = tick();
            short.truncate(len);
            assert!(read_all(short).is_err(), "{len} bytes");
        }
        for len in 0..ids().len() {
            let mut short = ids();
            short.truncate(len);
            assert!(
                read(&short.into(), Depth::All, None).is_err(),
                "{len} bytes"
            );
        }
        let block_at = BEFORE_SUMS_BYTES + 8 * SUMS;
        let mut other_block = tick();
        other_block[block_at] = 9;
        assert!(read_all(other_block).unwrap_err().contains("no block 9"));
        let mut too_many = tick();
        too_many[block_at + TICK_BLOCK_BYTES + 4] = 2;
        assert!(read_all(too_many).unwrap_err().contains("not 2"));
    }

    #[test]
    fn machines_without_ids_are_refused_and_a_head_needs_none() {
        let message = Bytes::from(tick());
        assert!(read(&message, Depth::All, None).is_err());
        assert!(read(&message, Depth::Head, None).is_ok());
    }
}
