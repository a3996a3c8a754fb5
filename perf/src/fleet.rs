//! The states that every contestant carries, and the checksum that says they arrived.
//!
//! A machine has the fields of a view record at a view record's precision. The states of a few ticks
//! are made beforehand, so that a measured exchange holds no simulation.

use kernel::config::MAX_ENTITIES;

/// Ticks whose states differ; tick `t` has the states of `t % PHASES`.
pub(crate) const PHASES: u64 = 4;

/// Positions of a block of 256 rows lie within this many decimetres of its corner.
const BLOCK_SPAN_DM: u32 = 4_000;
/// Blocks from the west edge to the east edge.
const BLOCKS_ACROSS: u32 = 64;
/// How far south and west of the middle the first block lies.
const ORIGIN_DM: i32 = 128_000;

// All of it is within the coordinates of a site.
const _: () = assert!(
    MAX_ENTITIES.div_ceil(kernel::view::BLOCK_ROWS) <= BLOCKS_ACROSS * BLOCKS_ACROSS
        && BLOCKS_ACROSS * BLOCK_SPAN_DM <= 2 * ORIGIN_DM.cast_unsigned()
        && ORIGIN_DM < 320_000
);

/// One machine. Positions in decimetres, the precision that a view promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// 1-based.
    pub(crate) id: u32,
    /// East, dm.
    pub(crate) x_dm: i32,
    /// North, dm.
    pub(crate) y_dm: i32,
    /// 256ths of a turn.
    pub(crate) heading: u8,
    /// Steps of [`kernel::view::SPEED_STEP_M_PER_S`].
    pub(crate) speed: u8,
    /// 255ths of full.
    pub(crate) charge: u8,
    /// State code.
    pub(crate) state: u8,
}

/// The states of all machines over [`PHASES`] ticks.
pub(crate) struct Fleet {
    phases: Vec<Vec<Machine>>,
    checksums: Vec<u64>,
}

impl Fleet {
    /// Makes the states of `entities` machines.
    pub(crate) fn new(entities: u32) -> Fleet {
        let phases: Vec<Vec<Machine>> = (0..PHASES)
            .map(|phase| (0..entities).map(|row| machine(row, phase)).collect())
            .collect();
        let checksums = phases.iter().map(|p| checksum(p.iter().copied())).collect();
        Fleet { phases, checksums }
    }

    /// The states of a tick, by row; row `r` is machine `r + 1`.
    pub(crate) fn at(&self, tick: u64) -> &[Machine] {
        &self.phases[phase_of(tick)]
    }

    /// What [`checksum`] of a tick's states must give.
    pub(crate) fn checksum(&self, tick: u64) -> u64 {
        self.checksums[phase_of(tick)]
    }
}

/// Index of a tick's states.
pub(crate) fn phase_of(tick: u64) -> usize {
    usize::try_from(tick % PHASES).expect("PHASES is small")
}

/// A sum of hashes, so that machines may arrive in any order.
pub(crate) fn checksum(machines: impl Iterator<Item = Machine>) -> u64 {
    machines.fold(0, |sum, m| sum.wrapping_add(hash(&m)))
}

fn hash(m: &Machine) -> u64 {
    let place = u64::from(m.x_dm.cast_unsigned()) << 32 | u64::from(m.y_dm.cast_unsigned());
    let rest = u64::from(u32::from_le_bytes([m.heading, m.speed, m.charge, m.state]));
    let low = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let high = (rest << 32 | u64::from(m.id)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (low ^ high.rotate_left(29)).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

fn machine(row: u32, phase: u64) -> Machine {
    let block = row / kernel::view::BLOCK_ROWS;
    let mut draw = u64::from(row) << 8 | phase;
    let mut next = |bound: u32| {
        draw = draw
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        u32::try_from((draw >> 40) % u64::from(bound)).expect("below a u32")
    };
    let (north, along) = (block / BLOCKS_ACROSS, block % BLOCKS_ACROSS);
    // To and fro, so that a block of rows that are not aligned lies in cells that touch.
    let east = if north.is_multiple_of(2) {
        along
    } else {
        BLOCKS_ACROSS - 1 - along
    };
    let mut place = |n: u32| (n * BLOCK_SPAN_DM + next(BLOCK_SPAN_DM)).cast_signed() - ORIGIN_DM;
    let (x_dm, y_dm) = (place(east), place(north));
    let mut byte = |bound: u32| u8::try_from(next(bound)).expect("a bound of at most 256");
    Machine {
        id: row + 1,
        x_dm,
        y_dm,
        heading: byte(256),
        speed: byte(30),
        charge: byte(256),
        state: byte(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_sees_every_field_and_no_order() {
        let fleet = Fleet::new(300);
        let states = fleet.at(1);
        assert_eq!(checksum(states.iter().rev().copied()), fleet.checksum(1));
        let changes: [fn(&mut Machine); 7] = [
            |m| m.id += 1,
            |m| m.x_dm += 1,
            |m| m.y_dm += 1,
            |m| m.heading ^= 1,
            |m| m.speed ^= 1,
            |m| m.charge ^= 1,
            |m| m.state ^= 1,
        ];
        for change in changes {
            let mut other = states.to_vec();
            change(&mut other[299]);
            assert_ne!(checksum(other.into_iter()), fleet.checksum(1));
        }
    }

    #[test]
    fn ticks_differ_until_the_phases_repeat() {
        let fleet = Fleet::new(10);
        assert_ne!(fleet.checksum(0), fleet.checksum(1));
        assert_eq!(fleet.checksum(3), fleet.checksum(3 + PHASES));
    }
}
