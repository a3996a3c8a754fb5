//! Requests that wait: for the one before them, for their farm to be cut, for their commit.
//!
//! What changes one simulation's standing is done one after the other; commands overtake each other.
//! A change is first kept and then done. Where nothing is kept, it is done at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kernel::plan::Plan;
use store::write::{Change, Guard, State, Write};
use transport::control::{
    Answer, Ask, CommandStamp, Idempotency, Refusal, Response, SimulationId, Spec, Token,
};
use transport::link::PeerId;

use crate::chore::Chore;
use crate::commits::Commits;
use crate::lifecycle::Move;
use crate::limits::COMMIT_PATIENCE;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// This process itself.
    Local,
    /// A gateway, for one of its users.
    Gateway(PeerId),
}

/// Whose request it is, and how its answer finds the way.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) asker: Asker,
    /// The request's id.
    pub(crate) id: u64,
    pub(crate) token: u64,
    pub(crate) idempotency: Option<Idempotency>,
    /// What was asked, as metrics name it.
    pub(crate) name: &'static str,
    /// When.
    pub(crate) since: Duration,
}

impl Caller {
    /// Whether it has waited so long that it is told so, if nothing was begun.
    pub(crate) fn is_overdue(&self, now: Duration) -> bool {
        self.since + COMMIT_PATIENCE <= now
    }
}

/// What is done one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    Simulation(SimulationId),
    Tokens,
}

/// What is done once it is kept.
#[derive(Debug)]
pub(crate) enum Effect {
    Create {
        spec: Box<Spec>,
        plan: Box<Plan>,
        state: State,
    },
    Move {
        simulation: SimulationId,
        movement: Move,
        state: State,
    },
    Delete(SimulationId),
    Fork {
        spec: Box<Spec>,
        plan: Box<Plan>,
        state: State,
    },
    Command {
        simulation: SimulationId,
        stamp: CommandStamp,
    },
    /// A command is taken back, and why.
    Withdraw {
        simulation: SimulationId,
        seq: u64,
        refusal: Refusal,
    },
    CreateToken(Token),
    RevokeToken(u64),
    /// What was kept became impossible, and is taken back. Why it is refused.
    TakeBack(Refusal),
    /// It is refused, unless its key was used before.
    Refuse(Refusal),
}

impl Effect {
    /// The run that it makes stand.
    pub(crate) fn halts(&self) -> Option<SimulationId> {
        match self {
            Effect::Move {
                simulation,
                movement,
                ..
            } if movement.halts() => Some(*simulation),
            _ => None,
        }
    }

    /// The command it places or takes back, by its simulation and seq.
    pub(crate) fn command(&self) -> Option<(SimulationId, u64)> {
        match self {
            Effect::Command { simulation, stamp } => Some((*simulation, stamp.seq)),
            Effect::Withdraw {
                simulation, seq, ..
            } => Some((*simulation, *seq)),
            _ => None,
        }
    }
}

/// A write that is not committed yet.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) caller: Caller,
    pub(crate) lane: Option<Lane>,
    pub(crate) write: Write,
    pub(crate) effect: Effect,
    /// What it will be answered with, where that is kept.
    pub(crate) foreseen: Option<Answer>,
    /// When it was first given to the store.
    pub(crate) handed_at: Option<Duration>,
}

/// A request that waits until the store knows its farm.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) caller: Caller,
    pub(crate) lane: Lane,
    pub(crate) ask: Ask,
}

/// A request that waits for those before it in its lane.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) caller: Caller,
    pub(crate) ask: Ask,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Who has repeated a command under its key while that had no place yet: they are told what its first caller is.
    pub(crate) repeaters: BTreeMap<(SimulationId, u64), Vec<Caller>>,
    pub(crate) responses: VecDeque<(Asker, Response)>,
    pub(crate) chores: VecDeque<Chore>,
    /// Lanes in which something is under way, and who waits behind it.
    pub(crate) lanes: BTreeMap<Lane, VecDeque<Queued>>,
    /// By chore.
    pub(crate) planned: BTreeMap<u64, Planned>,
    /// By write.
    pub(crate) awaited: BTreeMap<u64, Awaited>,
    /// Writes that are not with the store, in order.
    pub(crate) queue: BTreeSet<u64>,
    pub(crate) commits: Commits,
    /// Requests in [`Desk::lanes`].
    pub(crate) queued: usize,
    /// When it is looked for requests that have waited too long.
    pub(crate) expire_at: Option<Duration>,
    /// Answers, by what was asked and how it ended.
    pub(crate) answered: BTreeMap<(&'static str, &'static str), u64>,
    last_id: u64,
}

impl Desk {
    /// Names a write or a chore.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        let repeaters: usize = self.repeaters.values().map(Vec::len).sum();
        self.queued + self.planned.len() + self.awaited.len() + repeaters
    }

    /// Simulations that are about to be created.
    pub(crate) fn creations(&self) -> usize {
        let creates = |e: &Awaited| matches!(e.effect, Effect::Create { .. } | Effect::Fork { .. });
        self.planned.len() + self.awaited.values().filter(|a| creates(a)).count()
    }

    /// Queues a write.
    pub(crate) fn write(
        &mut self,
        caller: Caller,
        lane: Option<Lane>,
        change: Change,
        effect: Effect,
        guarded: Option<(Guard, Answer)>,
    ) {
        let id = self.new_id();
        let (guard, foreseen) = guarded.unzip();
        self.queue.insert(id);
        let write = Write { id, guard, change };
        let awaited = Awaited {
            caller,
            lane,
            write,
            effect,
            foreseen,
            handed_at: None,
        };
        self.awaited.insert(id, awaited);
    }

    /// The next write for the store: the first one that does not wait.
    pub(crate) fn next_write(&self, waits: impl Fn(&Change) -> bool) -> Option<u64> {
        let mut queue = self.queue.iter().copied();
        queue.find(|id| !waits(&self.awaited[id].write.change))
    }

    /// A write goes to the store.
    pub(crate) fn hand_out(&mut self, now: Duration, id: u64) -> Write {
        self.queue.remove(&id);
        let awaited = self.awaited.get_mut(&id).expect("it is queued");
        awaited.handed_at.get_or_insert(now);
        awaited.write.clone()
    }

    /// Whether the store has a write that says where a run stands.
    pub(crate) fn is_stating(&self, id: SimulationId) -> bool {
        let with_store = |a: &&Awaited| !self.queue.contains(&a.write.id);
        let mut writes = self.awaited.values().filter(with_store);
        writes.any(|a| a.write.change.restates() == Some(id))
    }

    /// Nothing waits any more; answers who did.
    pub(crate) fn clear(&mut self) -> Vec<Caller> {
        self.queue.clear();
        self.queued = 0;
        self.expire_at = None;
        let planned = std::mem::take(&mut self.planned).into_values();
        let awaited = std::mem::take(&mut self.awaited).into_values();
        let queued = std::mem::take(&mut self.lanes).into_values().flatten();
        let repeaters = std::mem::take(&mut self.repeaters).into_values().flatten();
        (planned.map(|p| p.caller))
            .chain(awaited.map(|a| a.caller))
            .chain(queued.map(|q| q.caller))
            .chain(repeaters)
            .collect()
    }

    /// The request of an answer is counted.
    pub(crate) fn count(&mut self, name: &'static str, answer: &Answer) {
        let outcome = match answer {
            Answer::Refused(refusal) => outcome(refusal),
            _ => "done",
        };
        *self.answered.entry((name, outcome)).or_default() += 1;
    }
}

/// A refusal as metrics name it.
fn outcome(refusal: &Refusal) -> &'static str {
    use transport::control::RefusalKind as Kind;
    match refusal.kind {
        Kind::NotFound => "not_found",
        Kind::Exists => "exists",
        Kind::Invalid => "invalid",
        Kind::InvalidTransition => "invalid_transition",
        Kind::TickPassed => "tick_passed",
        Kind::TickNotKept => "tick_not_kept",
        Kind::OverCapacity => "over_capacity",
        Kind::StoreUnavailable => "store_unavailable",
        Kind::KeyReused => "key_reused",
        Kind::BadTicket => "bad_ticket",
        Kind::NotSupported => "not_supported",
        Kind::Ending => "ending",
    }
}

/// What was asked, as metrics name it.
pub(crate) fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Create(_) => "create",
        Ask::Simulation(_) => "simulation",
        Ask::Simulations { .. } => "simulations",
        Ask::Start(_) => "start",
        Ask::Pause(_) => "pause",
        Ask::Resume(_) => "resume",
        Ask::Stop(_) => "stop",
        Ask::Step(..) => "step",
        Ask::Change { .. } => "change",
        Ask::Delete(_) => "delete",
        Ask::Command(..) => "command",
        Ask::Fork { .. } => "fork",
        Ask::Latency(_) => "latency",
        Ask::Workers => "workers",
        Ask::CreateToken(_) => "create_token",
        Ask::RevokeToken(_) => "revoke_token",
        Ask::Tokens => "tokens",
        Ask::IssueTicket { .. } => "issue_ticket",
        Ask::RedeemTicket { .. } => "redeem_ticket",
        Ask::Subscribe { .. } => "subscribe",
        Ask::Unsubscribe(_) => "unsubscribe",
    }
}
