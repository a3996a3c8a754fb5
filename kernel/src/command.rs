//! What a user tells a machine to do, at a tick.

#![allow(
    missing_docs,
    reason = "rkyv derives undocumented structs from enums with named fields"
)]

use rkyv::{Archive, Deserialize, Serialize};

/// A command as frames and logs carry it. Arguments are integers so that every layer agrees on them.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Position in the simulation's command log; commands of one tick apply in this order.
    pub seq: u64,
    /// Whom it is for, as [`scope`] says.
    pub target: u32,
    /// See [`Action::encode`].
    pub kind: u32,
    /// First argument, unit by kind.
    pub arg0: i32,
    /// Second argument.
    pub arg1: i32,
    /// Third argument.
    pub arg2: i32,
    /// One of [`scope`].
    pub scope: u32,
}

/// Codes of [`Command::scope`].
pub mod scope {
    /// The machine [`super::Command::target`], 1-based.
    pub const MACHINE: u32 = 0;
    /// Every machine of site `target`, 0-based, as if each were named, by ascending id. It is one
    /// command for each partition that holds some of them.
    pub const SITE: u32 = 1;
    /// Every machine there is, in the same way; `target` is 0.
    pub const ALL: u32 = 2;
}

/// Part of a machine that can be made to fail.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Component {
    /// The drive: the machine stands.
    Drive = 1,
    /// The battery: the machine stands and its charge is frozen.
    Battery = 2,
}

/// A command's meaning.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stand still until released.
    Hold,
    /// End a hold, or what `Goto` began.
    Release,
    /// Drive to a place in the site's frame and stand there until released. Millimetres.
    Goto {
        /// East.
        x_mm: i32,
        /// North.
        y_mm: i32,
    },
    /// Go and charge now.
    ReturnToCharger,
    /// Never drive faster than this, mm/s; 0 lifts the limit.
    SetSpeedLimit {
        /// The limit.
        mm_per_s: i32,
    },
    /// Fail for a time.
    InjectFault {
        /// What fails.
        component: Component,
        /// For how long, ms of simulated time.
        for_ms: i32,
    },
}

/// Why a command could not be carried out when its tick came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rejection {
    /// The machine is faulted and does not move.
    Faulted = 1,
    /// The target lies outside the site.
    OutsideSite = 2,
    /// Nothing to release.
    NotHeld = 3,
    /// The machine is on a charger or on its way to one already.
    AlreadyCharging = 4,
    /// The command's code or arguments mean nothing to this kernel.
    Malformed = 5,
}

impl Rejection {
    /// The reason as events and logs spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rejection::Faulted => "faulted",
            Rejection::OutsideSite => "outside_site",
            Rejection::NotHeld => "not_held",
            Rejection::AlreadyCharging => "already_charging",
            Rejection::Malformed => "malformed",
        }
    }
}

impl Action {
    /// The action's code and arguments, as [`Command`] carries them.
    #[must_use]
    pub fn encode(self) -> (u32, [i32; 3]) {
        match self {
            Action::Hold => (1, [0; 3]),
            Action::Release => (2, [0; 3]),
            Action::Goto { x_mm, y_mm } => (3, [x_mm, y_mm, 0]),
            Action::ReturnToCharger => (4, [0; 3]),
            Action::SetSpeedLimit { mm_per_s } => (5, [mm_per_s, 0, 0]),
            Action::InjectFault { component, for_ms } => (6, [component as i32, for_ms, 0]),
        }
    }

    /// Reads a command's code and arguments; `None` where they mean nothing.
    #[must_use]
    pub fn decode(kind: u32, args: [i32; 3]) -> Option<Action> {
        Some(match kind {
            1 => Action::Hold,
            2 => Action::Release,
            3 => Action::Goto {
                x_mm: args[0],
                y_mm: args[1],
            },
            4 => Action::ReturnToCharger,
            5 if args[0] >= 0 => Action::SetSpeedLimit { mm_per_s: args[0] },
            6 if args[1] > 0 => Action::InjectFault {
                component: match args[0] {
                    1 => Component::Drive,
                    2 => Component::Battery,
                    _ => return None,
                },
                for_ms: args[1],
            },
            _ => return None,
        })
    }
}

impl Command {
    /// A command for one machine.
    #[must_use]
    pub fn new(seq: u64, entity: u32, action: Action) -> Command {
        Command::of_scope(seq, scope::MACHINE, entity, action)
    }

    /// A command for every machine of a site.
    #[must_use]
    pub fn for_site(seq: u64, site: u32, action: Action) -> Command {
        Command::of_scope(seq, scope::SITE, site, action)
    }

    /// A command for every machine.
    #[must_use]
    pub fn for_all(seq: u64, action: Action) -> Command {
        Command::of_scope(seq, scope::ALL, 0, action)
    }

    fn of_scope(seq: u64, scope: u32, target: u32, action: Action) -> Command {
        let (kind, [arg0, arg1, arg2]) = action.encode();
        Command {
            seq,
            target,
            kind,
            arg0,
            arg1,
            arg2,
            scope,
        }
    }

    /// What it asks for, if it means anything.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        Action::decode(self.kind, [self.arg0, self.arg1, self.arg2])
    }
}
