//! Ids and ticks of `autofarm.v1.bin`, little-endian, every part at a multiple of 8 bytes. What they hold is
//! said byte for byte in docs/stream.md; the records are the workers' own bytes.

use bytes::Bytes;
use kernel::aggregate::{Aggregate, CHARGE_BUCKETS, Counters, STATES};
use kernel::view::RECORD_BYTES;
use transport::control::SimulationId;

use crate::stream_json::sim_time_s;
use crate::view_index::ViewIndex;
use crate::view_setting::ViewSetting;
use crate::view_tick::ViewTick;

/// First byte of the message that says whose the records are.
pub const IDS: u8 = 1;
/// First byte of a tick.
pub const TICK: u8 = 2;
/// Second byte of both.
pub const VERSION: u8 = 1;

/// Bytes of [`IDS`] before its blocks.
pub const IDS_HEAD_BYTES: usize = 64;
/// Bytes of a block of [`IDS`].
pub const IDS_BLOCK_BYTES: usize = 32;
/// Sums of a tick, 8 bytes each.
pub const SUMS: usize = 3 + STATES + CHARGE_BUCKETS + COUNTERS;
/// Bytes of a tick before its blocks.
pub const TICK_HEAD_BYTES: usize = 56 + 8 * SUMS;
/// Bytes of a block of a tick.
pub const TICK_BLOCK_BYTES: usize = 24;

const COUNTERS: usize = 13;

const _: () = assert!(IDS_HEAD_BYTES.is_multiple_of(8) && IDS_BLOCK_BYTES.is_multiple_of(8));
const _: () = assert!(TICK_HEAD_BYTES.is_multiple_of(8) && TICK_BLOCK_BYTES.is_multiple_of(8));
const _: () = assert!(RECORD_BYTES == 8);

/// Whose the records of every later tick are.
#[must_use]
pub fn ids(simulation: SimulationId, index: &ViewIndex) -> Bytes {
    let blocks = &index.blocks;
    let len = IDS_HEAD_BYTES + blocks.len() * IDS_BLOCK_BYTES + index.entities.len() * 4;
    let mut out = Vec::with_capacity(len);
    put_head(&mut out, IDS, IDS_HEAD_BYTES, blocks.len());
    out.extend_from_slice(&simulation.0.to_be_bytes());
    put_u32(&mut out, index.entities.len());
    put_u32(&mut out, index.sites as usize);
    for edge in index.world_m {
        out.extend_from_slice(&edge.to_le_bytes());
    }
    debug_assert_eq!(out.len(), IDS_HEAD_BYTES);
    for block in blocks {
        put_u32(&mut out, block.site as usize);
        put_u32(&mut out, block.entities.len());
        put_u32(&mut out, block.entities.start);
        put_u32(&mut out, 0);
        for units in block.site_at {
            out.extend_from_slice(&(units as f64 / 65_536.0).to_le_bytes());
        }
    }
    for entity in &index.entities {
        out.extend_from_slice(&entity.to_le_bytes());
    }
    debug_assert_eq!(out.len(), len);
    out.into()
}

/// A tick for a setting: whole blocks that touch the bounds, or the first records of each.
#[must_use]
pub fn tick(tick: &ViewTick, setting: &ViewSetting, sent_at_us: u64) -> Bytes {
    let selected = tick.select(setting);
    let records: usize = selected.iter().map(|taken| taken.records).sum();
    let len = TICK_HEAD_BYTES + selected.len() * TICK_BLOCK_BYTES + records * RECORD_BYTES;
    let mut out = Vec::with_capacity(len);
    let info = &tick.info;
    put_head(&mut out, TICK, TICK_HEAD_BYTES, selected.len());
    out.extend_from_slice(&info.tick.to_le_bytes());
    out.extend_from_slice(&sim_time_s(info).to_le_bytes());
    out.extend_from_slice(&sent_at_us.to_le_bytes());
    out.extend_from_slice(&tick.started_at_us.to_le_bytes());
    put_u32(&mut out, tick.epoch as usize);
    put_u32(&mut out, info.spec.config.entities as usize);
    put_u32(&mut out, records);
    put_u32(&mut out, SUMS);
    put_sums(&mut out, &info.aggregate);
    debug_assert_eq!(out.len(), TICK_HEAD_BYTES);
    for taken in &selected {
        put_u32(&mut out, taken.block);
        put_u32(&mut out, taken.records);
        for edge in tick.boxes[taken.block] {
            out.extend_from_slice(&edge.to_le_bytes());
        }
    }
    for taken in &selected {
        out.extend_from_slice(tick.records(*taken));
    }
    debug_assert_eq!(out.len(), len);
    out.into()
}

/// Kind, version, bytes before the blocks, and number of blocks.
fn put_head(out: &mut Vec<u8>, kind: u8, head_bytes: usize, blocks: usize) {
    out.extend_from_slice(&[kind, VERSION]);
    out.extend_from_slice(&(head_bytes as u16).to_le_bytes());
    put_u32(out, blocks);
}

/// A number that the bounds of a simulation keep under 2^32.
fn put_u32(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u32).to_le_bytes());
}

/// In the order of docs/stream.md; the two signed ones in two's complement.
fn put_sums(out: &mut Vec<u8>, sums: &Aggregate) {
    let c: &Counters = &sums.counters;
    let counters: [u64; COUNTERS] = [
        c.turns,
        c.swaths,
        c.charger_waits,
        c.charges,
        c.denied_grants,
        c.faults,
        c.repairs,
        c.commands,
        c.rejected_commands,
        c.stand_offs,
        c.separation_violations,
        c.ghosts,
        c.ghost_bytes,
    ];
    let totals = [
        sums.rows,
        sums.charge_sum.cast_unsigned(),
        sums.speed_sum_mm_per_s.cast_unsigned(),
    ];
    let all = (totals.iter())
        .chain(&sums.by_state)
        .chain(&sums.by_charge)
        .chain(&counters);
    for sum in all {
        out.extend_from_slice(&sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{SIMULATION, Sample};
    use crate::stream_limits as limits;

    /// By then both are at work.
    const EXAMPLE_TICK: u32 = 4_000;

    const DOCS: &str = include_str!("../../docs/stream.md");

    /// Sixteen bytes a line, with the offset of the first.
    fn dump(bytes: &[u8]) -> String {
        let line = |(n, bytes): (usize, &[u8])| {
            let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("{:04x}  {}\n", n * 16, hex.join(" "))
        };
        bytes.chunks(16).enumerate().map(line).collect()
    }

    #[test]
    fn the_worked_example_is_what_is_sent() {
        let mut sample = Sample::weeding(2, 8);
        let index = sample.index.clone();
        sample.step(EXAMPLE_TICK);
        let shown = sample.tick(EXAMPLE_TICK.into());
        let ids = dump(&ids(SIMULATION, &index));
        assert!(DOCS.contains(&ids), "docs/stream.md: ids\n{ids}");
        let tick = dump(&tick(
            &shown,
            &ViewSetting::default(),
            1_764_000_000_000_000,
        ));
        assert!(DOCS.contains(&tick), "docs/stream.md: tick\n{tick}");
    }

    #[test]
    fn every_bound_stands_on_the_page_with_its_value() {
        let seconds = |d: std::time::Duration| d.as_secs_f64().to_string();
        for (name, value) in [
            ("MAX_STREAMS", limits::MAX_STREAMS.to_string()),
            (
                "MAX_STREAMS_PER_SIMULATION",
                limits::MAX_STREAMS_PER_SIMULATION.to_string(),
            ),
            ("MAX_FEEDS", limits::MAX_FEEDS.to_string()),
            (
                "MAX_VIEWS_PER_SIMULATION",
                limits::MAX_VIEWS_PER_SIMULATION.to_string(),
            ),
            ("MAX_JSON_ENTITIES", limits::MAX_JSON_ENTITIES.to_string()),
            (
                "MAX_BINARY_ENTITIES",
                limits::MAX_BINARY_ENTITIES.to_string(),
            ),
            ("MAX_CLIENT_EVENTS", limits::MAX_CLIENT_EVENTS.to_string()),
            (
                "MAX_CLIENT_EVENT_BYTES",
                limits::MAX_CLIENT_EVENT_BYTES.to_string(),
            ),
            ("MAX_CLIENT_REPLIES", limits::MAX_CLIENT_REPLIES.to_string()),
            (
                "MAX_CLIENT_FRAME_BYTES",
                limits::MAX_CLIENT_FRAME_BYTES.to_string(),
            ),
            (
                "MAX_CLIENT_MESSAGE_BYTES",
                limits::MAX_CLIENT_MESSAGE_BYTES.to_string(),
            ),
            (
                "MAX_CLIENT_FRAGMENTS",
                limits::MAX_CLIENT_FRAGMENTS.to_string(),
            ),
            (
                "MAX_CLIENT_FRAMES_PER_S",
                limits::MAX_CLIENT_FRAMES_PER_S.to_string(),
            ),
            (
                "MAX_CLIENT_FRAME_BURST",
                limits::MAX_CLIENT_FRAME_BURST.to_string(),
            ),
            ("MAX_RING_EVENTS", limits::MAX_RING_EVENTS.to_string()),
            ("MAX_RING_BYTES", limits::MAX_RING_BYTES.to_string()),
            ("KEPT_EPOCHS", store::limits::KEPT_EPOCHS.to_string()),
            ("MIN_TILE_M", limits::MIN_TILE_M.to_string()),
            ("MAX_COORDINATE_M", limits::MAX_COORDINATE_M.to_string()),
            ("PAST_PATIENCE", seconds(limits::PAST_PATIENCE)),
            ("PING_EVERY", seconds(limits::PING_EVERY)),
            ("IDLE_PATIENCE", seconds(limits::IDLE_PATIENCE)),
            ("WRITE_PATIENCE", seconds(limits::WRITE_PATIENCE)),
            ("CLOSE_PATIENCE", seconds(limits::CLOSE_PATIENCE)),
            ("UPGRADE_PATIENCE", seconds(limits::UPGRADE_PATIENCE)),
            ("JOIN_PATIENCE", seconds(limits::JOIN_PATIENCE)),
            ("FEED_LINGER", seconds(limits::FEED_LINGER)),
        ] {
            let row = format!("| `{name}` | {value} |");
            assert!(DOCS.contains(&row), "docs/stream.md: {row}");
        }
    }
}
