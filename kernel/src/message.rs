//! What machines and their site say to each other. A message emitted in one tick is read in the next,
//! wherever its reader is.

use rkyv::{Archive, Deserialize, Serialize};

/// Codes of [`Request::kind`].
pub mod request {
    /// Wants work. Answered by [`super::grant::SWATH`] or [`super::grant::NO_WORK`].
    pub const WORK: u32 = 1;
    /// Has done swath `b` of land `a`, wants the next; `c` is its reach in a turn, 2^-16 m.
    pub const SWATH_DONE: u32 = 2;
    /// Leaves land `a`; the first `b` (2^-16 m) of swath `c` are done.
    pub const LEAVE_LAND: u32 = 3;
    /// Has left the `b` headland segments from `a` on.
    pub const LEAVE_HEADLAND: u32 = 4;
    /// Wants a slot of station `a`. Answered by [`super::grant::SLOT`] or [`super::grant::QUEUE`].
    pub const CHARGER: u32 = 5;
    /// Has left slot `a`.
    pub const LEAVE_SLOT: u32 = 6;
    /// No longer waits for what it queued for.
    pub const LEAVE_QUEUE: u32 = 7;
}

/// Codes of [`Grant::kind`].
pub mod grant {
    /// Swath `b` of land `a` is the machine's; its first `c` (2^-16 m) are done.
    pub const SWATH: u32 = 1;
    /// As [`SWATH`], by a turn, and the headland is the machine's: `c` holds its segments, see [`super::segments`].
    pub const SWATH_AND_WAY: u32 = 2;
    /// As [`SWATH_AND_WAY`], but the headland is not free yet: wait.
    pub const SWATH_AND_HOLD: u32 = 3;
    /// The `b` headland segments from `a` on are the machine's.
    pub const WAY: u32 = 4;
    /// Slot `a` is the machine's.
    pub const SLOT: u32 = 5;
    /// No slot is free; the machine stands in the queue.
    pub const QUEUE: u32 = 6;
    /// There is no work.
    pub const NO_WORK: u32 = 7;
}

/// A machine asks its site for something, or tells it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Site, 0-based.
    pub site: u32,
    /// Machine, by its index in the site.
    pub machine: u32,
    /// One of [`request`].
    pub kind: u32,
    /// Number that the answer carries.
    pub ask: u32,
    /// Meaning by kind.
    pub a: u32,
    /// Meaning by kind.
    pub b: u32,
    /// Meaning by kind.
    pub c: u32,
}

/// A site answers a machine.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Site, 0-based.
    pub site: u32,
    /// Machine, by its index in the site.
    pub machine: u32,
    /// One of [`grant`].
    pub kind: u32,
    /// Number of the request it answers.
    pub ask: u32,
    /// Meaning by kind.
    pub a: u32,
    /// Meaning by kind.
    pub b: u32,
    /// Meaning by kind.
    pub c: u32,
}

/// What a site tells all its machines each tick.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Bulletin {
    /// Brixius number of the soil.
    pub soil_bn: f32,
    /// Charging slots that nobody has.
    pub free_slots: u32,
}

/// A machine as its neighbours see it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Body {
    /// Machine, 1-based.
    pub entity: u32,
    /// East of the site's origin, 2^-16 m.
    pub x: i32,
    /// North of the site's origin, 2^-16 m.
    pub y: i32,
    /// East, m/s.
    pub vx: f32,
    /// North, m/s.
    pub vy: f32,
    /// m.
    pub radius: f32,
    /// Who gives way: the lower; ties go to the lower id.
    pub priority: u32,
}

/// Segments packed into one word: the first and how many.
///
/// # Panics
/// Panics where there are more than [`MAX_TURN_SEGMENTS`] or their numbers exceed 2^28.
#[must_use]
pub fn pack_segments(first: u32, count: u32) -> u32 {
    assert!(count <= MAX_TURN_SEGMENTS && first < 1 << 28);
    first << 4 | count
}

/// The first segment and how many, from one word.
#[must_use]
pub fn segments(word: u32) -> (u32, u32) {
    (word >> 4, word & 15)
}

/// Most segments one turn needs.
pub const MAX_TURN_SEGMENTS: u32 = 15;
