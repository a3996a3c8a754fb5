//! The rows of a partition: one column a field, one row a machine.
//!
//! Rows stand by class, then site, then machine; in a site of more than
//! [`BLOCK_ROWS`](crate::view::BLOCK_ROWS) machines along a Hilbert curve over their homes. Every column is state: it is in checkpoints and in
//! the digest.

use rkyv::{Archive, Deserialize, Serialize};

/// What a machine is doing, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing to do.
    Idle = 0,
    /// On its way to work or to a place it was sent to.
    Travelling = 1,
    /// On a swath.
    Working = 2,
    /// At a headland, from one swath to the next.
    Turning = 3,
    /// On its way to a charger or a parking place.
    Returning = 4,
    /// Filling a tank. Not entered before depots are simulated.
    Refilling = 5,
    /// Waiting for a charger.
    Queueing = 6,
    /// On a charger.
    Charging = 7,
    /// Broken down.
    Faulted = 8,
    /// Told to wait: by a user or for a headland.
    Holding = 9,
}

impl State {
    /// All states, by code.
    pub const ALL: [State; crate::aggregate::STATES] = [
        State::Idle,
        State::Travelling,
        State::Working,
        State::Turning,
        State::Returning,
        State::Refilling,
        State::Queueing,
        State::Charging,
        State::Faulted,
        State::Holding,
    ];

    /// The name in results and views.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Travelling => "travelling",
            State::Working => "working",
            State::Turning => "turning",
            State::Returning => "returning",
            State::Refilling => "refilling",
            State::Queueing => "queueing",
            State::Charging => "charging",
            State::Faulted => "faulted",
            State::Holding => "holding",
        }
    }
}

/// How a machine moves: codes of [`Rows::mode`].
pub mod mode {
    /// It stands.
    pub const STILL: u32 = 0;
    /// It follows the line that ends in (`goal_x`, `goal_y`) with direction (`dir_x`, `dir_y`).
    pub const LINE: u32 = 1;
    /// It drives an arc of curvature `curvature` until `sweep` is used up.
    pub const ARC: u32 = 2;
    /// It turns on the spot, to the side of `curvature`'s sign, until `sweep` is used up.
    pub const SPIN: u32 = 3;
    /// Codes.
    pub const COUNT: u32 = 4;
}

/// What a machine is about: codes of [`Rows::task`]. A state says what users see; a task, what comes next.
pub mod task {
    /// Nothing; waiting for an answer or a timer.
    pub const NONE: u8 = 0;
    /// Driving to the start of its swath.
    pub const TO_SWATH: u8 = 1;
    /// Driving over the part of its swath that another has done.
    pub const OVER_DONE: u8 = 2;
    /// Working its swath.
    pub const SWATH: u8 = 3;
    /// At the end of a swath, waiting for the next one and for the turn.
    pub const AT_END: u8 = 4;
    /// Turning; `stage` counts the pieces.
    pub const TURN: u8 = 5;
    /// Waiting to hear of a charger.
    pub const WAIT_CHARGER: u8 = 6;
    /// Driving to a parking place, to queue for a charger.
    pub const TO_QUEUE: u8 = 7;
    /// Queueing for a charger: in a parking place, or where it stood when all were taken.
    pub const IN_QUEUE: u8 = 8;
    /// Driving to its slot.
    pub const TO_SLOT: u8 = 9;
    /// On its slot.
    pub const ON_SLOT: u8 = 10;
    /// Driving to its home, having no work.
    pub const TO_HOME: u8 = 11;
    /// Driving to where a user sent it.
    pub const GOTO: u8 = 12;
    /// Where a user sent it.
    pub const AT_GOTO: u8 = 13;
    /// Codes.
    pub const COUNT: u8 = 14;
}

/// Bits of [`Rows::flags`].
pub mod flag {
    /// Held by a user.
    pub const HELD: u32 = 1;
    /// Broken down.
    pub const FAULTED: u32 = 2;
    /// The battery is what broke: nothing is drawn from it.
    pub const NO_POWER: u32 = 4;
    /// Stands in its berth until it is given the way of its task.
    pub const WAITS: u32 = 8;
    /// Backs off to the last headland, to let another pass.
    pub const BACKS: u32 = 16;
    /// Has backed off on its present errand.
    pub const BACKED: u32 = 256;
    /// Stands where a user sent it, or has not yet left for the roads from there.
    pub const AT_TARGET: u32 = 512;
    /// Is to leave the field that it was sent into by the southern headland.
    pub const LEAVES_SOUTH: u32 = 1024;
    /// By the northern one.
    pub const LEAVES_NORTH: u32 = 2048;
    /// Is to go home, once it has backed off.
    pub const LEAVES: u32 = 4096;
    /// To go and charge once it is in a berth.
    pub const THEN_CHARGE: u32 = 32;
    /// To go to (`then_x`, `then_y`) once it is in a berth.
    pub const THEN_GOTO: u32 = 64;
    /// To look for work once it is in a berth: it was released on its way to where a user sent it.
    pub const THEN_WORK: u32 = 128;
    /// All that a user had it do next.
    pub const THEN: u32 = THEN_CHARGE | THEN_GOTO | THEN_WORK;
}

/// A timer that never fires.
pub const NEVER: u32 = u32::MAX;
/// No limit of a user's on the speed, m/s.
pub const NO_SPEED_LIMIT: f32 = 1_000.0;
pub use crate::laws::battery::FULL_CHARGE;

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $init:expr,)*) => {
        /// State of the machines of a partition.
        #[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Rows {
            $($(#[$doc])* pub $name: Vec<$type>,)*
        }

        impl Rows {
            /// `n` rows at rest with a full battery, in no place yet.
            #[must_use]
            pub fn new(n: usize) -> Rows {
                Rows { $($name: vec![$init; n],)* }
            }

            /// Columns.
            pub(crate) const COLUMNS: usize = [$(stringify!($name)),*].len();
            /// Bytes of a row in all of them.
            pub(crate) const ROW_BYTES: usize = 0 $(+ std::mem::size_of::<$type>())*;

            /// Bytes of all of them.
            pub(crate) fn bytes(&self) -> usize {
                Self::ROW_BYTES * self.len()
            }

            /// Whether every column has `n` rows.
            #[must_use]
            pub fn has_len(&self, n: usize) -> bool {
                true $(&& self.$name.len() == n)*
            }

            /// A column and a row of it that hold no number, if there are.
            pub(crate) fn no_number(&self) -> Option<(&'static str, usize)> {
                $(if let Some(row) = crate::digest::no_number(&self.$name) {
                    return Some((stringify!($name), row));
                })*
                None
            }

            /// Folds every column of consecutive rows into their hashes, one a row.
            pub(crate) fn hash_into(&self, rows: std::ops::Range<usize>, hashes: &mut [u64]) {
                $(crate::digest::fold_column(&self.$name[rows.clone()], hashes);)*
            }
        }
    };
}

columns! {
    /// Machine, 1-based.
    entity: u32 = 0,
    /// Site, 0-based.
    site: u32 = 0,
    /// East of the site's origin, 2^-16 m.
    x: i32 = 0,
    /// North of the site's origin, 2^-16 m.
    y: i32 = 0,
    /// What `x` is short of, in its units.
    x_rem: f32 = 0.0,
    /// What `y` is short of, in its units.
    y_rem: f32 = 0.0,
    /// Binary angle from east, counter-clockwise; 2^32 is a full turn.
    heading: u32 = 0,
    /// m/s.
    speed: f32 = 0.0,
    /// 2^-30 of full.
    charge: i32 = FULL_CHARGE,
    /// What `charge` is short of, in its units.
    charge_rem: f32 = 0.0,
    /// [`State`].
    state: u8 = State::Idle as u8,
    /// State to go back to after a fault or a hold.
    resume: u8 = State::Idle as u8,
    /// [`task`].
    task: u8 = task::NONE,
    /// Leg of a way, or piece of a turn.
    stage: u8 = 0,
    /// [`flag`].
    flags: u32 = 0,
    /// [`mode`].
    mode: u32 = mode::STILL,
    /// 1 where it may move, 0 where it is held or broken down.
    go: f32 = 1.0,
    /// End of the line, 2^-16 m.
    goal_x: i32 = 0,
    /// End of the line, 2^-16 m.
    goal_y: i32 = 0,
    /// Direction of the line.
    dir_x: f32 = 1.0,
    /// Direction of the line.
    dir_y: f32 = 0.0,
    /// Of an arc, 1/m; its sign is the side of an arc or spin, left positive.
    curvature: f32 = 0.0,
    /// Angle left to turn.
    sweep: u32 = 0,
    /// Speed it wants, m/s.
    cruise: f32 = 0.0,
    /// 1 with the implement in the soil.
    engaged: f32 = 0.0,
    /// Power of the slot it is on, W.
    slot_power: f32 = 0.0,
    /// Speed that the drive has power for, m/s.
    drive_limit: f32 = NO_SPEED_LIMIT,
    /// Limit set by a user, m/s.
    speed_limit: f32 = NO_SPEED_LIMIT,
    /// Tick at which its timer fires.
    timer: u32 = NEVER,
    /// Ticks in operation.
    operated: u32 = 0,
    /// Its next fault, in ticks of operation.
    next_fault: u32 = NEVER,
    /// Faults drawn.
    faults: u32 = 0,
    /// Repair tick of the present fault.
    repair_at: u32 = NEVER,
    /// Ticks it has stood before an obstacle.
    blocked: u32 = 0,
    /// Answers to questions about work and chargers that it no longer waits for carry another number.
    ask: u32 = 0,
    /// The same for ways.
    way_ask: u32 = 0,
    /// Where its way begins, 2^-16 m.
    from_x: i32 = 0,
    /// Where its way begins, 2^-16 m.
    from_y: i32 = 0,
    /// Land it has been given.
    land: u32 = crate::layout::NONE,
    /// Swath of its field it has been given.
    swath: u32 = 0,
    /// How far its swath was done before, 2^-16 m from its start.
    done_before: i32 = 0,
    /// Slot it has been given.
    slot: u32 = crate::layout::NONE,
    /// Parking place it has been given.
    park: u32 = crate::layout::NONE,
    /// Where a user sent it, 2^-16 m.
    sent_x: i32 = 0,
    /// Where a user sent it, 2^-16 m.
    sent_y: i32 = 0,
    /// Where a user will have it go next, 2^-16 m.
    then_x: i32 = 0,
    /// Where a user will have it go next, 2^-16 m.
    then_y: i32 = 0,
}

impl Rows {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entity.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty()
    }
}
