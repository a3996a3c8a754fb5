//! Machines to view records and back, as the kernel lays them out: blocks of rows in bit-reversed
//! order, positions relative to the block's box.

use kernel::view::{BLOCK_ROWS, RECORD_BYTES, ViewBlock, ViewRecord};

use crate::fleet::{Fleet, Machine, PHASES};

/// 2^-16 m in a decimetre.
const UNITS_PER_DM: f32 = 6_553.6;
/// Steps of a record's position over its box.
const STEPS: f32 = 65_535.0;

/// Blocks of a partition of `rows` rows.
pub(crate) fn blocks_of(rows: usize) -> usize {
    rows.div_ceil(BLOCK_ROWS as usize)
}

/// The view of one partition, ready to be copied into a frame.
pub(crate) struct Written {
    /// Boxes.
    pub(crate) blocks: Vec<ViewBlock>,
    /// A record a row.
    pub(crate) records: Vec<ViewRecord>,
}

/// The views of all partitions, by phase.
pub(crate) fn write_all(fleet: &Fleet, partition_rows: usize) -> Vec<Vec<Written>> {
    (0..PHASES)
        .map(|tick| {
            let partitions = fleet.at(tick).chunks(partition_rows);
            partitions.map(Written::new).collect()
        })
        .collect()
}

impl Written {
    fn new(machines: &[Machine]) -> Written {
        let mut blocks = vec![ViewBlock::default(); blocks_of(machines.len())];
        let mut records = vec![[0; RECORD_BYTES]; machines.len()];
        write(machines, &mut blocks, &mut records);
        Written { blocks, records }
    }
}

/// Writes the states of a partition.
fn write(machines: &[Machine], blocks: &mut [ViewBlock], records: &mut [ViewRecord]) {
    let chunks = machines.chunks(BLOCK_ROWS as usize);
    let out = records.chunks_mut(BLOCK_ROWS as usize);
    for (index, ((machines, block), records)) in chunks.zip(blocks).zip(out).enumerate() {
        *block = box_of(machines);
        block.first_row = u32::try_from(index).expect("few blocks") * BLOCK_ROWS;
        write_block(machines, block, records);
    }
}

fn box_of(machines: &[Machine]) -> ViewBlock {
    let first = &machines[0];
    let (mut x0, mut y0, mut x1, mut y1) = (first.x_dm, first.y_dm, first.x_dm, first.y_dm);
    for m in machines {
        x0 = x0.min(m.x_dm);
        y0 = y0.min(m.y_dm);
        x1 = x1.max(m.x_dm);
        y1 = y1.max(m.y_dm);
    }
    ViewBlock {
        site: 0,
        first_row: 0,
        rows: u32::try_from(machines.len()).expect("a block is small"),
        x0: to_units(x0),
        y0: to_units(y0),
        x1: to_units(x1),
        y1: to_units(y1),
    }
}

fn write_block(machines: &[Machine], block: &ViewBlock, records: &mut [ViewRecord]) {
    let scale = |low: i32, high: i32| STEPS / ((high - low).max(1) as f32);
    let (scale_x, scale_y) = (scale(block.x0, block.x1), scale(block.y0, block.y1));
    let order = BitReversed::new(machines.len());
    for (row, record) in order.zip(records) {
        let m = &machines[row];
        let x = ((to_units(m.x_dm) - block.x0) as f32 * scale_x + 0.5) as u16;
        let y = ((to_units(m.y_dm) - block.y0) as f32 * scale_y + 0.5) as u16;
        let ([x0, x1], [y0, y1]) = (x.to_le_bytes(), y.to_le_bytes());
        *record = [x0, x1, y0, y1, m.heading, m.speed, m.charge, m.state];
    }
}

/// The machines of one block, as a reader of the frame sees them.
pub(crate) fn read_block(
    first_id: u32,
    block: ViewBlock,
    records: &[ViewRecord],
) -> impl Iterator<Item = Machine> {
    let scale = |low: i32, high: i32| (high - low) as f32 / STEPS / UNITS_PER_DM;
    let (scale_x, scale_y) = (scale(block.x0, block.x1), scale(block.y0, block.y1));
    let origin = |units: i32| (units as f32 / UNITS_PER_DM).round() as i32;
    let (x0_dm, y0_dm) = (origin(block.x0), origin(block.y0));
    let order = BitReversed::new(records.len());
    order.zip(records).map(move |(row, r)| Machine {
        id: first_id + u32::try_from(row).expect("a block is small"),
        x_dm: x0_dm + (f32::from(u16::from_le_bytes([r[0], r[1]])) * scale_x + 0.5) as i32,
        y_dm: y0_dm + (f32::from(u16::from_le_bytes([r[2], r[3]])) * scale_y + 0.5) as i32,
        heading: r[4],
        speed: r[5],
        charge: r[6],
        state: r[7],
    })
}

fn to_units(dm: i32) -> i32 {
    (f64::from(dm) * f64::from(UNITS_PER_DM)).round() as i32
}

/// The numbers below `len` in bit-reversed order.
struct BitReversed {
    next: u32,
    bits: u32,
    len: u32,
}

impl BitReversed {
    fn new(len: usize) -> BitReversed {
        let len = u32::try_from(len).expect("a block is small");
        let bits = len.next_power_of_two().trailing_zeros();
        BitReversed { next: 0, bits, len }
    }
}

impl Iterator for BitReversed {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.next < 1 << self.bits {
            let row = self
                .next
                .reverse_bits()
                .checked_shr(32 - self.bits)
                .unwrap_or(0);
            self.next += 1;
            if row < self.len {
                return Some(row as usize);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Fleet, checksum};

    #[test]
    fn records_give_back_what_was_written() {
        for rows in [1, 2, 255, 256, 257, 1_000] {
            let fleet = Fleet::new(rows);
            let machines = fleet.at(2);
            let written = Written::new(machines);
            let read = (written.blocks.iter())
                .zip(written.records.chunks(256))
                .flat_map(|(block, records)| read_block(1 + block.first_row, *block, records));
            assert_eq!(checksum(read), fleet.checksum(2), "{rows} rows");
        }
    }

    #[test]
    fn bit_reversal_visits_every_row_once() {
        let mut rows: Vec<usize> = BitReversed::new(5).collect();
        assert_eq!(rows, [0, 4, 2, 1, 3]);
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 2, 3, 4]);
    }
}
