//! What a store would have kept of the runs: an orchestrator that dies leaves nothing else.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::aggregate::Aggregate;
use orchestrator::control::{
    Cause, CommandRequest, CommandStamp, SimulationId, Spec, Speed, Status,
};
use orchestrator::event::TickPublished;
use store::history::Cut;
use store::recovery::Recovered;
use store::write::State;
use transport::message::TickDigest;

/// A command that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) stamp: CommandStamp,
    pub(crate) request: CommandRequest,
    /// The machines that it is for.
    pub(crate) entities: Vec<u32>,
}

/// What is kept of one run.
pub(crate) struct Book {
    spec: Spec,
    state: State,
    /// Last tick whose history is written; `None` where not even creation's is.
    pub(crate) head: Option<u64>,
    digest: Option<TickDigest>,
    aggregate: Aggregate,
    pub(crate) commands: Vec<Kept>,
    cuts: BTreeMap<u64, Cut>,
    /// Published and not written: of each window the tick, its last digest and sums.
    unwritten: Vec<(u64, Option<TickDigest>, Aggregate)>,
    /// Cuts that wait for that.
    waiting: Vec<Cut>,
    /// It was completed, which is written with its last tick.
    completed: bool,
}

impl Book {
    pub(crate) fn new(spec: Spec) -> Book {
        Book {
            state: State {
                status: Status::Created,
                cause: Cause::Requested,
                name: spec.name.clone(),
                speed: spec.speed,
                step_until: None,
                created_at_us: 1,
                started_at_us: None,
                ended_at_us: None,
            },
            spec,
            head: None,
            digest: None,
            aggregate: Aggregate::default(),
            commands: Vec::new(),
            cuts: BTreeMap::new(),
            unwritten: Vec::new(),
            waiting: Vec::new(),
            completed: false,
        }
    }

    /// A request was granted: that is kept before it is done.
    pub(crate) fn status(&mut self, status: Status, cause: Cause) {
        if cause == Cause::LastTick {
            self.completed = true;
        } else {
            self.state.status = status;
            self.state.cause = cause;
            self.state.step_until = None;
        }
    }

    pub(crate) fn steps(&mut self, until: u64) {
        self.state.step_until = Some(until);
    }

    pub(crate) fn speed(&mut self, speed: Speed) {
        self.state.speed = speed;
    }

    pub(crate) fn command(
        &mut self,
        stamp: CommandStamp,
        request: CommandRequest,
        entities: Vec<u32>,
    ) {
        self.commands.push(Kept {
            stamp,
            request,
            entities,
        });
    }

    /// A window was published, whose history is to be written.
    pub(crate) fn published(&mut self, window: &TickPublished) {
        let digest = window.digests.last().copied();
        self.unwritten.push((window.tick, digest, window.aggregate));
    }

    /// A cut was handed out, to be written behind its tick. Its bytes are copied, as a database does.
    pub(crate) fn cut(&mut self, mut cut: Cut) {
        for bytes in &mut cut.checkpoints {
            *bytes = Bytes::copy_from_slice(bytes);
        }
        self.waiting.push(cut);
    }

    /// All history is written.
    pub(crate) fn flush(&mut self) {
        for (tick, digest, aggregate) in self.unwritten.drain(..) {
            self.head = self.head.max(Some(tick));
            self.digest = digest.or(self.digest);
            self.aggregate = aggregate;
        }
        for cut in self.waiting.drain(..) {
            assert!(Some(cut.tick) <= self.head, "behind its tick");
            self.cuts.insert(cut.tick, cut);
        }
        if self.completed {
            self.state.status = Status::Completed;
            self.state.cause = Cause::LastTick;
        }
    }

    /// The orchestrator died: what was not written is lost.
    pub(crate) fn crash(&mut self) -> Recovered {
        self.unwritten.clear();
        self.waiting.clear();
        self.completed = false;
        let head = self.head.unwrap_or(0);
        self.recovered(self.spec.clone(), self.state.clone(), head, u64::MAX)
    }

    /// Whether the run is in a final status for good.
    pub(crate) fn is_final(&self) -> bool {
        self.state.status.is_final()
    }

    /// A copy of the run at a tick, under another id, and its own book.
    pub(crate) fn fork(&self, id: SimulationId, tick: u64) -> (Recovered, Book) {
        let spec = Spec {
            id,
            name: format!("{}-fork", self.spec.name),
            parent: Some((self.spec.id, tick)),
            ..self.spec.clone()
        };
        let state = State {
            status: Status::Paused,
            cause: Cause::Requested,
            step_until: Some(tick),
            ..self.state.clone()
        };
        let recovered = self.recovered(spec.clone(), state.clone(), tick, tick);
        let before = |kept: &&Kept| kept.stamp.tick <= tick;
        let book = Book {
            state,
            head: Some(tick),
            commands: self.commands.iter().filter(before).cloned().collect(),
            cuts: self
                .cuts
                .range(..=tick)
                .map(|(t, c)| (*t, c.clone()))
                .collect(),
            digest: None,
            ..Book::new(spec)
        };
        (recovered, book)
    }

    /// What is loaded: the newest cut up to `head` and the commands behind it, up to `last`.
    fn recovered(&self, spec: Spec, state: State, head: u64, last: u64) -> Recovered {
        let is_final = state.status.is_final();
        let newest = self.cuts.range(..=head).next_back();
        let cut = newest.map(|(_, cut)| cut.clone()).filter(|_| !is_final);
        let from = cut.as_ref().map_or(0, |cut| cut.tick);
        let behind = |kept: &&Kept| (from + 1..=last).contains(&kept.stamp.tick) && !is_final;
        let mut commands: Vec<_> = (self.commands.iter().filter(behind))
            .map(|kept| (kept.stamp, kept.request.clone()))
            .collect();
        commands.sort_by_key(|(stamp, _)| (stamp.tick, stamp.seq));
        let kept = self.commands.iter().filter(|kept| kept.stamp.tick <= last);
        Recovered {
            spec,
            state,
            head_tick: head,
            digest: self.digest.filter(|d| d.tick <= head),
            aggregate: self.aggregate,
            late_ticks: 0,
            dilated_ms: 0,
            cut,
            commands,
            last_command_seq: kept.map(|kept| kept.stamp.seq).max().unwrap_or(0),
            last_sim_seq: 0,
            last_system_seq: 0,
            last_lifecycle: None,
            epochs: Vec::new(),
            has_entities: true,
        }
    }
}
