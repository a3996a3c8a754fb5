//! A store in memory and in virtual time: it takes as long as it is told to, and fails as it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::aggregate::Aggregate;
use orchestrator::control::{CommandRequest, CommandStamp, SimulationId, Spec};
use orchestrator::fault::StoreFault;
use store::history::{Batch, Cut, EntityRow, Head, History, MetricSnapshot};
use store::recovery::Recovered;
use store::write::{Change, Committed, Guard, State, Write};
use transport::control::{Log, LogEvent, event_kind};
use transport::message::TickDigest;

use crate::testbed::MS;

/// What the core is told by the store.
pub(crate) enum Told {
    Committed(Vec<(u64, Result<Committed, StoreFault>)>),
    Appended(u64, Result<(), StoreFault>),
}

/// What is kept of one simulation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) state: Option<State>,
    pub(crate) commands: BTreeMap<u64, (CommandStamp, CommandRequest)>,
    /// By (log, seq).
    pub(crate) events: BTreeMap<(Log, u64), LogEvent>,
    pub(crate) digests: BTreeMap<u64, TickDigest>,
    pub(crate) metrics: Vec<MetricSnapshot>,
    pub(crate) entities: BTreeMap<u32, EntityRow>,
    pub(crate) head: Option<Head>,
    pub(crate) cut: Option<Cut>,
}

impl Kept {
    /// What the next orchestrator finds of it.
    pub(crate) fn recovered(&self, spec: &Spec) -> Recovered {
        let head = self.head.as_ref();
        let cut = self.cut.clone();
        let from = cut.as_ref().map_or(0, |cut| cut.tick);
        let mut commands: Vec<_> = self.commands.values().cloned().collect();
        commands.retain(|(stamp, _)| stamp.tick > from);
        commands.sort_by_key(|(stamp, _)| (stamp.tick, stamp.seq));
        let last = |log| {
            let mut seqs = self.events.keys().filter(|(of, _)| *of == log);
            seqs.next_back().map_or(0, |(_, seq)| *seq)
        };
        Recovered {
            spec: spec.clone(),
            state: self.state.clone().expect("it was created"),
            head_tick: head.map_or(0, |head| head.tick),
            digest: head.and_then(|head| head.digest),
            aggregate: head.map_or_else(Aggregate::default, |head| head.aggregate),
            late_ticks: head.map_or(0, |head| head.late_ticks),
            dilated_ms: head.map_or(0, |head| head.dilated_ms),
            cut,
            commands,
            last_command_seq: self.commands.keys().next_back().copied().unwrap_or(0),
            last_sim_seq: last(Log::Sim),
            last_system_seq: last(Log::System),
            last_lifecycle: (self.events.values().rev())
                .find(|e| e.log == Log::System && e.kind == event_kind::LIFECYCLE)
                .map(|e| e.text.clone()),
            epochs: Vec::new(),
            has_entities: true,
        }
    }
}

/// The store.
pub(crate) struct Shelf {
    pub(crate) commit_takes: Duration,
    pub(crate) append_takes: Duration,
    /// Nothing is kept while set.
    pub(crate) fault: Option<StoreFault>,
    pub(crate) kept: BTreeMap<SimulationId, Kept>,
    /// Every write that was committed, in order.
    pub(crate) writes: Vec<Change>,
    pub(crate) batches: usize,
    keys: BTreeMap<(u64, String, String), Guard>,
    group: Option<(Duration, Vec<Write>)>,
    batch: Option<(Duration, Batch)>,
}

impl Default for Shelf {
    fn default() -> Self {
        Shelf {
            commit_takes: 2 * MS,
            append_takes: 2 * MS,
            fault: None,
            kept: BTreeMap::new(),
            writes: Vec::new(),
            batches: 0,
            keys: BTreeMap::new(),
            group: None,
            batch: None,
        }
    }
}

impl Shelf {
    pub(crate) fn takes_writes(&self) -> bool {
        self.group.is_none()
    }

    /// Whether a batch under way says where a run stands.
    pub(crate) fn is_stating(&self) -> bool {
        let states =
            |piece: &History| matches!(piece, History::Head(_, head) if head.status.is_some());
        (self.batch.as_ref()).is_some_and(|(_, batch)| batch.pieces.iter().any(states))
    }

    pub(crate) fn write(&mut self, now: Duration, group: Vec<Write>) {
        if !group.is_empty() {
            self.group = Some((now + self.commit_takes, group));
        }
    }

    pub(crate) fn append(&mut self, now: Duration, batch: Batch) {
        assert!(self.batch.is_none(), "one at a time");
        self.batch = Some((now + self.append_takes, batch));
    }

    pub(crate) fn next_at(&self) -> Option<Duration> {
        let group = self.group.as_ref().map(|(at, _)| *at);
        let batch = self.batch.as_ref().map(|(at, _)| *at);
        [group, batch].into_iter().flatten().min()
    }

    /// What comes of what is due.
    pub(crate) fn tell(&mut self, now: Duration) -> Option<Told> {
        if let Some((_, group)) = self.group.take_if(|(at, _)| *at <= now) {
            let Some(fault) = self.fault.clone() else {
                let told = group.into_iter().map(|w| (w.id, Ok(self.commit(w))));
                return Some(Told::Committed(told.collect()));
            };
            let told = group.iter().map(|w| (w.id, Err(fault.clone()))).collect();
            if fault == StoreFault::Unavailable {
                self.group = Some((now + 50 * MS, group));
            }
            return Some(Told::Committed(told));
        }
        let (_, batch) = self.batch.take_if(|(at, _)| *at <= now)?;
        let id = batch.id;
        match self.fault.clone() {
            None => {
                self.batches += 1;
                batch.pieces.into_iter().for_each(|p| self.keep(p));
                Some(Told::Appended(id, Ok(())))
            }
            Some(fault) => {
                self.batch = Some((now + 50 * MS, batch));
                Some(Told::Appended(id, Err(fault)))
            }
        }
    }

    fn commit(&mut self, mut write: Write) -> Committed {
        if let Change::TakeBack(instead) = write.change {
            if let Some(guard) = write.guard.take() {
                self.keys.remove(&(guard.token, guard.route, guard.key));
            }
            match instead {
                Some(instead) => write.change = *instead,
                None => return Committed::Done,
            }
        }
        if let Some(guard) = &write.guard {
            let key = (guard.token, guard.route.clone(), guard.key.clone());
            // A command that is written again is no repetition.
            let again = matches!(&write.change, Change::Command { simulation, stamp, .. }
                if self.kept[simulation].commands.contains_key(&stamp.seq));
            match self.keys.get(&key).filter(|_| !again) {
                Some(old) if old.body_hash != guard.body_hash => return Committed::KeyReused,
                Some(old) => return Committed::Repeated(old.answer.clone()),
                None if matches!(write.change, Change::Nothing) => return Committed::NotFound,
                None => _ = self.keys.insert(key, guard.clone()),
            }
        }
        let kept = &mut self.kept;
        match &write.change {
            Change::Create { spec, state } => {
                let state = Some(state.clone());
                kept.insert(
                    spec.id,
                    Kept {
                        state,
                        ..Kept::default()
                    },
                );
            }
            Change::State { simulation, state } => match kept.get_mut(simulation) {
                Some(kept) => kept.state = Some(state.clone()),
                None => return Committed::NotFound,
            },
            Change::Command {
                simulation,
                stamp,
                request,
                ..
            } => match kept.get_mut(simulation) {
                Some(kept) => _ = kept.commands.insert(stamp.seq, (*stamp, request.clone())),
                None => return Committed::NotFound,
            },
            Change::Withdraw { simulation, seq } => {
                kept.get_mut(simulation).map(|k| k.commands.remove(seq));
            }
            Change::Delete(id) => _ = kept.remove(id),
            // Nothing is forked here: it is as if the parent were gone.
            Change::Fork { .. } => return Committed::NotFound,
            Change::TakeBack(_) => panic!("nothing that takes back is taken back"),
            // What was to be kept became impossible before it was given out.
            Change::Nothing => return Committed::NotFound,
            Change::CreateToken(_) | Change::RevokeToken(_) => {}
        }
        self.writes.push(write.change);
        Committed::Done
    }

    fn of(&mut self, id: SimulationId) -> &mut Kept {
        self.kept.entry(id).or_default()
    }

    fn keep(&mut self, piece: History) {
        match piece {
            History::Entities(id, rows) => {
                self.of(id)
                    .entities
                    .extend(rows.into_iter().map(|r| (r.entity, r)));
            }
            History::Events(id, events) => {
                let kept = self.of(id);
                for event in events {
                    let before = kept.events.insert((event.log, event.seq), event);
                    assert!(before.is_none(), "an event is written once");
                }
            }
            History::Digests(id, digests) => {
                self.of(id)
                    .digests
                    .extend(digests.into_iter().map(|d| (d.tick, d)));
            }
            History::Metrics(id, snapshot) => self.of(id).metrics.push(*snapshot),
            History::Head(id, head) => {
                let kept = self.of(id);
                if let (Some(state), Some((status, cause))) = (&mut kept.state, head.status) {
                    (state.status, state.cause) = (status, cause);
                    state.step_until = head.step_until;
                    state.ended_at_us = head.ended_at_us;
                }
                let before = kept.head.as_ref().map_or(0, |h| h.tick);
                assert!(head.tick >= before, "a head goes forward");
                kept.head = Some(head);
            }
            History::Cut(id, cut) => self.of(id).cut = Some(*cut),
        }
    }
}
