//! What happened in a step that someone may want to know.

use rkyv::{Archive, Deserialize, Serialize};

/// Codes of [`Event::kind`].
pub mod kind {
    /// A machine entered the state `detail`.
    pub const TRANSITION: u32 = 1;
    /// A command was carried out; `detail` is the low half of its seq.
    pub const COMMAND: u32 = 2;
    /// A command could not be carried out; `detail` is the low half of its seq, `reason` says why.
    pub const COMMAND_REJECTED: u32 = 3;
    /// A machine failed; `detail` is the tick of its repair.
    pub const FAULT: u32 = 4;
    /// A machine was repaired.
    pub const REPAIRED: u32 = 5;
    /// A machine stood before an obstacle for too long and makes way; `detail` is the other's id.
    pub const STAND_OFF: u32 = 6;
}

/// One event. Ordered by (tick, site, entity, ordinal), whatever the cut.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub tick: u64,
    /// Site it happened on, 0-based.
    pub site: u32,
    /// Machine, 1-based.
    pub entity: u32,
    /// Order among the events of one machine in one tick.
    pub ordinal: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// Meaning by kind.
    pub detail: u32,
    /// [`crate::command::Rejection`] code, else 0.
    pub reason: u32,
}
