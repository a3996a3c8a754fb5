//! What a dashboard needs of a row, in 8 bytes.
//!
//! Rows are grouped in blocks of one site. A record's position is relative to its block's box, so
//! 16 bits are enough for 10 cm; records of a block stand in bit-reversed order of their row, so any
//! prefix of a block is a stable and even sample of it.

use rkyv::{Archive, Deserialize, Serialize};

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
