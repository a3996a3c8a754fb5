//! What a dashboard needs of a row, in 8 bytes.
//!
//! Rows are grouped in blocks of one site. A record's position is relative to its block's box, in 65,535ths
//! of its sides: to 10 cm while the box is under 6.5 km wide. Homes of a block's rows lie together, so it
//! is; but a machine that a user sends to the other end of a site of more than 6.5 km widens its block's box
//! while it is there, to a step of at most 50 cm in the widest site. Records of a block stand in bit-reversed order of their row, so any
//! prefix of a block is a stable and even sample of it.

use rkyv::{Archive, Deserialize, Serialize};

use crate::plan::Plan;
use crate::rows::{FULL_CHARGE, Rows};

/// Most rows in a block.
pub const BLOCK_ROWS: u32 = 256;
/// Bytes of a record: x u16, y u16, heading u8, speed u8, charge u8, state u8, little-endian.
pub const RECORD_BYTES: usize = 8;
/// Speed of one step of a record's speed byte, m/s.
pub const SPEED_STEP_M_PER_S: f32 = 0.1;

/// One row as a view shows it.
pub type ViewRecord = [u8; RECORD_BYTES];

/// A block of rows and the box its positions are relative to.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewBlock {
    /// Site, 0-based.
    pub site: u32,
    /// First row of the block in its partition.
    pub first_row: u32,
    /// Rows in the block.
    pub rows: u32,
    /// West edge of the box, 2^-16 m.
    pub x0: i32,
    /// South edge of the box, 2^-16 m.
    pub y0: i32,
    /// East edge of the box, 2^-16 m.
    pub x1: i32,
    /// North edge of the box, 2^-16 m.
    pub y1: i32,
}

/// What a partition's views never say, because it never changes: whose the records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewLayout {
    /// Site of each block, 0-based, and where its records stand among the partition's.
    pub blocks: Vec<(u32, std::ops::Range<usize>)>,
    /// Machine of each record, 1-based.
    pub entities: Vec<u32>,
}

impl ViewLayout {
    /// The layout of a partition's views: a pure function of the plan.
    ///
    /// # Panics
    /// Panics where the plan has no such partition.
    #[must_use]
    pub fn new(plan: &Plan, partition: u32) -> ViewLayout {
        let (sites, rows) = crate::partition::sites_and_entities(plan, partition);
        let mut entities = Vec::with_capacity(rows.len());
        let mut laid_out = Vec::new();
        for block in blocks(&sites) {
            entities.extend(bit_reversed(block.len()).map(|row| rows[block.start + row]));
            laid_out.push((sites[block.start], block));
        }
        ViewLayout {
            blocks: laid_out,
            entities,
        }
    }
}

/// Rows of each block, by the sites of all rows: consecutive, of one site, at most [`BLOCK_ROWS`].
pub(crate) fn blocks(sites: &[u32]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let of = *sites.get(start)?;
        let most = &sites[start..sites.len().min(start + BLOCK_ROWS as usize)];
        let rows = most.iter().take_while(|s| **s == of).count();
        start += rows;
        Some(start - rows..start)
    })
}

/// Writes the records of consecutive rows of one site, and says what box they are relative to.
pub(crate) fn write_block(
    rows: &Rows,
    site: u32,
    of: std::ops::Range<usize>,
    records: &mut [ViewRecord],
) -> ViewBlock {
    let (x, y) = (&rows.x[of.clone()], &rows.y[of.clone()]);
    let (x0, x1) = bounds(x);
    let (y0, y1) = bounds(y);
    for (place, row) in bit_reversed(of.len()).enumerate() {
        let i = of.start + row;
        let [x_low, x_high] = quantise(rows.x[i], x0, x1).to_le_bytes();
        let [y_low, y_high] = quantise(rows.y[i], y0, y1).to_le_bytes();
        let speed = (rows.speed[i] / SPEED_STEP_M_PER_S) as u8;
        let charge = (i64::from(rows.charge[i]) * 255 / i64::from(FULL_CHARGE)) as u8;
        let heading = (rows.heading[i] >> 24) as u8;
        records[place] = [
            x_low,
            x_high,
            y_low,
            y_high,
            heading,
            speed,
            charge,
            rows.state[i],
        ];
    }
    ViewBlock {
        site,
        first_row: of.start as u32,
        rows: of.len() as u32,
        x0,
        y0,
        x1,
        y1,
    }
}

fn bounds(values: &[i32]) -> (i32, i32) {
    (values.iter()).fold((i32::MAX, i32::MIN), |(low, high), &v| {
        (low.min(v), high.max(v))
    })
}

/// A position in 65,535ths of its box's side.
fn quantise(value: i32, low: i32, high: i32) -> u16 {
    let side = (i64::from(high) - i64::from(low)).max(1);
    ((i64::from(value) - i64::from(low)) * i64::from(u16::MAX) / side) as u16
}

/// 0..n with the bits of each number reversed: any prefix is spread evenly.
fn bit_reversed(n: usize) -> impl Iterator<Item = usize> {
    let bits = n.next_power_of_two().trailing_zeros();
    (0..n.next_power_of_two())
        .map(move |i| {
            if bits == 0 {
                0
            } else {
                i.reverse_bits() >> (usize::BITS - bits)
            }
        })
        .filter(move |i| *i < n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_a_block_is_shown_once_and_any_prefix_is_spread() {
        for n in [1, 2, 3, 12, 255, 256] {
            let mut order: Vec<_> = bit_reversed(n).collect();
            if n == 256 {
                assert_eq!(order[..4], [0, 128, 64, 192]);
            }
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_layout_names_the_machine_of_every_record_of_every_partition() {
        use crate::config::{Scenario, SimulationConfig};
        for (scenario, entities, partition_rows) in [
            (Scenario::Weeding, 100, 30),
            (Scenario::Dense, 300, 4_096),
            (Scenario::Dense, 700, 97),
        ] {
            let plan = Plan::new(&SimulationConfig {
                scenario: scenario.code(),
                entities,
                tick_ms: 50,
                seed: 9,
                partition_rows,
            })
            .expect("valid");
            let mut seen = Vec::new();
            for index in 0..plan.partitions.len() as u32 {
                let layout = ViewLayout::new(&plan, index);
                let partition = crate::Partition::create(&plan, index);
                let mut blocks = vec![ViewBlock::default(); partition.view_blocks() as usize];
                let mut records = vec![ViewRecord::default(); partition.rows() as usize];
                partition.write_view(&mut blocks, &mut records);
                assert_eq!(blocks.len(), layout.blocks.len());
                for (block, (site, of)) in blocks.iter().zip(&layout.blocks) {
                    assert_eq!((block.site, block.rows as usize), (*site, of.len()));
                    for place in of.clone() {
                        let entity = layout.entities[place];
                        assert_eq!(plan.partition_of(entity), index);
                        // At creation every machine is at its home.
                        let home = plan
                            .farm
                            .layout
                            .home(entity - plan.farm.first_entity(*site));
                        let [x_low, x_high, y_low, y_high, ..] = records[place];
                        let x = quantise(home.x, block.x0, block.x1);
                        let y = quantise(home.y, block.y0, block.y1);
                        assert_eq!(x, u16::from_le_bytes([x_low, x_high]));
                        assert_eq!(y, u16::from_le_bytes([y_low, y_high]));
                    }
                }
                seen.extend(layout.entities);
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..=entities).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_position_is_shown_to_ten_centimetres() {
        let (low, high) = (-(3_000 << 16), 3_000 << 16);
        let shown = i64::from(quantise(1_234_567, low, high));
        let back = i64::from(low) + shown * (i64::from(high) - i64::from(low)) / 65_535;
        assert!((back - 1_234_567).abs() <= 6_554);
    }
}
