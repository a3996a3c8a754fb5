//! What machines and their site say to each other. A message emitted in one tick is read in the next,
//! wherever its reader is.

use rkyv::{Archive, Deserialize, Serialize};

/// Codes of [`Request::kind`].
pub mod request {
    /// Wants work. Answered by [`super::grant::SWATH`] or [`super::grant::NO_WORK`].
    pub const WORK: u32 = 1;
    /// Has done swath `b` of land `a`, wants the next. Answered by [`super::grant::NEXT_SWATH`], and for
    /// the turn like [`WAY`] with the number `c`; or, where the land is done, like [`WORK`].
    pub const SWATH_DONE: u32 = 2;
    /// Works no longer on land `a`; the first `b` (2^-16 m) of swath `c` are done.
    pub const LEAVE_LAND: u32 = 3;
    /// Wants the way from (`b`, `c`), where it stands, to the [`super::goal`] `a`. Answered by
    /// [`super::grant::WAY`], or by [`super::grant::HOLD`] first.
    pub const WAY: u32 = 4;
    /// Has driven the first `a` legs of its way and `b` (2^-16 m) of the next.
    pub const LEG: u32 = 5;
    /// Wants a slot of station `a`. Answered by [`super::grant::SLOT`], or by [`super::grant::QUEUE`] first.
    pub const CHARGER: u32 = 6;
    /// No longer wants what it waits for or has been given and has not driven to.
    pub const CANCEL: u32 = 7;
    /// A user sends it to (`b`, `c`): the place of [`super::goal::TARGET`].
    pub const TARGET: u32 = 8;
    /// Ends its way where it stands, in a field.
    pub const STOP: u32 = 9;
    /// Gives up its way to such a place at the last corner, and drives home from there.
    pub const ESCAPE: u32 = 10;
    /// Codes.
    pub const COUNT: u32 = 11;
}

/// Codes of [`Grant::kind`].
pub mod grant {
    /// Swath `b` of land `a` is the machine's; its first `c` (2^-16 m) are done.
    pub const SWATH: u32 = 1;
    /// Swath `b` of land `a` follows, by a turn.
    pub const NEXT_SWATH: u32 = 2;
    /// The way asked for is the machine's.
    pub const WAY: u32 = 3;
    /// The way asked for is not free yet: wait.
    pub const HOLD: u32 = 4;
    /// Slot `a` is the machine's.
    pub const SLOT: u32 = 5;
    /// No slot is free; the machine stands in the queue, and parking place `a`, if any, is its own.
    pub const QUEUE: u32 = 6;
    /// There is no work.
    pub const NO_WORK: u32 = 7;
    /// Codes.
    pub const COUNT: u32 = 8;
}

/// Where a way leads, and where a machine stands: a kind and an index in one word.
pub mod goal {
    /// Nowhere.
    pub const NOWHERE: u32 = 0;
    /// The next swath of a land.
    pub const SWATH: u32 = 1;
    /// A slot.
    pub const SLOT: u32 = 2;
    /// A parking place.
    pub const PARK: u32 = 3;
    /// The machine's home; with index 1 leaving a field by its southern headland, 2 by its northern.
    pub const HOME: u32 = 4;
    /// Where a user sent it.
    pub const TARGET: u32 = 5;
    /// By a turn into the next swath of a land.
    pub const TURN: u32 = 6;

    /// A kind and an index below 2^28.
    #[must_use]
    pub fn pack(kind: u32, index: u32) -> u32 {
        kind << 28 | index & 0x0fff_ffff
    }

    /// The kind and the index.
    #[must_use]
    pub fn unpack(word: u32) -> (u32, u32) {
        (word >> 28, word & 0x0fff_ffff)
    }
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
