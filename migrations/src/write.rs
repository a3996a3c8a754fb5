//! Writes that someone waits for: each is acknowledged only once it is committed.

use transport::control::{Cause, CommandRequest, CommandStamp, SimulationId, Spec, Status, Token};

use crate::recovery::Recovered;

/// A write, with the number by which its outcome is told.
#[derive(Clone, Debug)]
pub struct Write {
    /// Grows from write to write.
    pub id: u64,
    /// Set where a repetition shall have no further effect.
    pub guard: Option<Guard>,
    /// What shall be kept.
    pub change: Change,
}

/// An idempotency key and what is answered to whoever uses it again, committed with the change it guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Token of who asked; 0 for a local user.
    pub token: u64,
    /// Method and path.
    pub route: String,
    /// The caller's key.
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: [u8; 32],
    /// The answer, in the asker's encoding.
    pub answer: Vec<u8>,
    /// UNIX time in us; keys are kept for 24 h.
    pub now_us: u64,
}

/// What shall be kept.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new simulation; its machines' metadata follow as [`crate::history::History::Entities`].
    Create {
        /// What was asked for.
        spec: Spec,
        /// Where it stands.
        state: State,
    },
    /// Where a simulation stands.
    State {
        /// Which.
        simulation: SimulationId,
        /// From now on.
        state: State,
    },
    /// A command, in the place it was given; a second one of the same seq replaces the first.
    Command {
        /// Of which simulation.
        simulation: SimulationId,
        /// Its place.
        stamp: CommandStamp,
        /// What was asked for.
        request: CommandRequest,
        /// Who asked; 0 for a local user.
        token: u64,
        /// UNIX time in us.
        at_us: u64,
    },
    /// Takes back a command that could not be given a place in time.
    Withdraw {
        /// Of which simulation.
        simulation: SimulationId,
        /// Which.
        seq: u64,
    },
    /// A change that was kept could not be done after all: this is kept in its place, where anything is, and the key of the
    /// guard is forgotten, for what was foreseen under it was never answered.
    TakeBack(Option<Box<Change>>),
    /// A paused copy of a run: its durable checkpoint at or before `tick`, and its commands up to it.
    Fork {
        /// Of which.
        parent: SimulationId,
        /// At which tick.
        tick: u64,
        /// The copy.
        spec: Spec,
        /// Where the copy stands.
        state: State,
    },
    /// Removes a simulation and all that is kept of it.
    Delete(SimulationId),
    /// Adds a token.
    CreateToken(Token),
    /// Revokes one.
    RevokeToken(u64),
    /// Changes nothing and keeps no key: only what its guard's key was used for is looked up. Where that
    /// is nothing, it is [`Committed::NotFound`].
    Nothing,
}

impl Change {
    /// The simulation of which it says where it stands.
    #[must_use]
    pub fn restates(&self) -> Option<SimulationId> {
        match self {
            Change::State { simulation, .. } => Some(*simulation),
            Change::TakeBack(instead) => instead.as_ref()?.restates(),
            _ => None,
        }
    }
}

/// Where a simulation stands, as far as a request can change it. Times are UNIX time in us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its status.
    pub status: Status,
    /// Why.
    pub cause: Cause,
    /// Its name, and its speed, as they are now; these of the `Spec` are what they were.
    pub name: String,
    /// Its speed.
    pub speed: transport::control::Speed,
    /// Tick at which it stands, or to which it goes on before it does: that of a pause, a stop or the last tick, of the
    /// end of a step, of a fork. `None` while it runs.
    pub step_until: Option<u64>,
    /// When it was created.
    pub created_at_us: u64,
    /// When it was first started.
    pub started_at_us: Option<u64>,
    /// When it ended.
    pub ended_at_us: Option<u64>,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub enum Committed {
    /// It is kept.
    Done,
    /// A fork is kept, and this is what it begins with.
    Forked(Box<Recovered>),
    /// The key was used before with the same body: nothing was changed, and this was answered then.
    Repeated(Vec<u8>),
    /// The key was used before with another body: nothing was changed.
    KeyReused,
    /// What it is about is not there: nothing was changed.
    NotFound,
    /// It is there already, or a fork's tick is not kept: nothing was changed.
    Conflict,
}
