//! Which workers there are, whether they live, and how fast they were measured to be.

use std::collections::BTreeMap;
use std::time::Duration;

use transport::link::PeerId;
use transport::message::Heartbeat;

use crate::control::WorkerId;
use crate::limits::{
    FIRST_PENANCE, MAX_PENANCE, MAX_RESTORING, MAX_RESTORING_BYTES, MIN_PATIENCE,
    PENANCE_HALVES_EVERY, UNMEASURED_NS_PER_ROW,
};
use crate::placement::Capacity;
use crate::recent::Recent;

/// Weight of one new measurement in a moving average of throughput.
const MEASURE_WEIGHT: f64 = 0.05;

/// Whether a worker may be given partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// It may.
    Ready,
    /// A result of it was missing: not before `until`, and only if it was heard since.
    Suspect {
        /// When it was found out.
        since: Duration,
        /// End of its penance.
        until: Duration,
    },
    /// Never again: it was asked to stop, or it computed something wrong.
    Draining,
}

/// What a worker was sent to do and has not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Time it is expected to take on one thread, ns.
    pub ns: u64,
    /// Partitions restored or replayed for it.
    pub restoring: usize,
    /// Bytes of their checkpoints and inputs.
    pub bytes: usize,
}

/// A registered worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// Its connection.
    pub peer: PeerId,
    /// Name it gave.
    pub name: String,
    /// Threads it steps on.
    pub threads: u32,
    /// Whether it may be given partitions.
    pub state: WorkerState,
    /// When it was last heard.
    pub last_heard: Duration,
    /// What it last said of itself.
    pub heartbeat: Heartbeat,
    /// Time one of its threads takes for a row-step, a moving average; `None` until measured.
    pub ns_per_row: Option<f64>,
    /// What it was sent by all runs and has not answered.
    pub owed: Debt,
    /// Row-steps and busy us that it said, at points of the last seconds.
    said: Recent<2>,
    /// Whether something waits until it owes less.
    held_back: bool,
    /// Length of its next penance, before what good standing takes off it.
    penance: Duration,
    /// Since when nothing is held against it.
    ready_since: Duration,
    /// It does not count as silent before this, for this side did not listen.
    silent_from: Duration,
    /// Whether the log has said that it holds nothing any more.
    drained: bool,
}

impl Worker {
    /// When it counts as silent if nothing is heard of it.
    fn silent_at(&self, timeout: Duration) -> Duration {
        (self.last_heard + timeout).max(self.silent_from)
    }

    /// Over the last seconds: the share of its threads' time that it was busy, in thousandths, and row-steps
    /// a second.
    #[must_use]
    pub fn load(&self, now: Duration) -> (u32, u64) {
        let Some(growth) = self.said.growth(now) else {
            return (0, 0);
        };
        let us = growth.elapsed.as_micros().max(1);
        let [steps, busy_us] = growth.by.map(u128::from);
        let load = busy_us * 1_000 / (us * u128::from(self.threads));
        let per_s = steps * 1_000_000 / us;
        let most = u32::try_from(load).unwrap_or(u32::MAX);
        (most, u64::try_from(per_s).unwrap_or(u64::MAX))
    }

    /// When its penance ends; `None` where it is not suspect, or has not been heard since: then it
    /// ends with its next word.
    fn penance_end(&self, alone: bool) -> Option<Duration> {
        let WorkerState::Suspect { since, until } = self.state else {
            return None;
        };
        let end = if alone { since } else { until };
        (self.last_heard > since).then(|| end.max(self.last_heard))
    }
}

/// The workers, by id and by connection.
#[derive(Debug, Default)]
pub struct Registry {
    workers: BTreeMap<WorkerId, Worker>,
    by_peer: BTreeMap<u64, WorkerId>,
    last_id: u32,
    /// Whether a worker for which something waits owes less than before.
    eased: bool,
}

impl Registry {
    /// Adds a worker that was let in.
    pub fn add(&mut self, now: Duration, peer: PeerId, name: String, threads: u32) -> WorkerId {
        self.last_id += 1;
        let id = WorkerId(self.last_id);
        self.by_peer.insert(peer.0, id);
        let worker = Worker {
            id,
            peer,
            name,
            threads: threads.max(1),
            state: WorkerState::Ready,
            last_heard: now,
            heartbeat: Heartbeat {
                rows: 0,
                row_steps: 0,
                busy_us: 0,
                draining: 0,
            },
            ns_per_row: None,
            owed: Debt::default(),
            said: Recent::default(),
            held_back: false,
            penance: FIRST_PENANCE,
            ready_since: now,
            silent_from: Duration::ZERO,
            drained: false,
        };
        self.workers.insert(id, worker);
        id
    }

    /// Forgets a worker.
    pub fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        self.by_peer.remove(&worker.peer.0);
        Some(worker)
    }

    /// The worker of a connection.
    #[must_use]
    pub fn by_peer(&self, peer: PeerId) -> Option<WorkerId> {
        self.by_peer.get(&peer.0).copied()
    }

    /// A worker.
    #[must_use]
    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// All workers, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Whether a worker may be given partitions.
    #[must_use]
    pub fn is_ready(&self, id: WorkerId) -> bool {
        self.get(id).is_some_and(|w| w.state == WorkerState::Ready)
    }

    /// Workers that may be given partitions.
    pub fn ready(&self) -> impl Iterator<Item = &Worker> {
        self.iter().filter(|w| w.state == WorkerState::Ready)
    }

    /// A worker was heard.
    pub fn heard(&mut self, id: WorkerId, now: Duration) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.last_heard = now;
        }
    }

    /// This side was late by `late`: what the workers said meanwhile may still wait to be heard.
    pub fn excuse(&mut self, now: Duration, late: Duration, timeout: Duration) {
        for worker in self.workers.values_mut() {
            worker.silent_from = (worker.silent_at(timeout) + late).max(now + MIN_PATIENCE);
        }
    }

    /// A worker said that it lives. Answers whether it asks, for the first time, to be drained.
    pub fn heartbeat(&mut self, id: WorkerId, now: Duration, heartbeat: Heartbeat) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else {
            return false;
        };
        (worker.said).note(now, [heartbeat.row_steps, heartbeat.busy_us]);
        worker.heartbeat = heartbeat;
        heartbeat.draining != 0 && worker.state != WorkerState::Draining
    }

    /// Takes a result's timings into the worker's measured throughput.
    pub fn measure(&mut self, id: WorkerId, ns_per_row: f64) {
        if let Some(worker) = self.workers.get_mut(&id) {
            let old = worker.ns_per_row.unwrap_or(ns_per_row);
            worker.ns_per_row = Some(old + MEASURE_WEIGHT * (ns_per_row - old));
        }
    }

    /// Whether a worker may be sent a replay of so many bytes beside those that it owes; if not, it
    /// is noted that something waits.
    pub fn may_restore(&mut self, id: WorkerId, bytes: usize) -> bool {
        let Some(worker) = self.workers.get_mut(&id) else {
            return true;
        };
        let Debt {
            restoring,
            bytes: owed,
            ..
        } = worker.owed;
        let may = restoring == 0
            || (restoring < MAX_RESTORING && owed.saturating_add(bytes) <= MAX_RESTORING_BYTES);
        worker.held_back |= !may;
        may
    }

    /// A worker was sent something.
    pub fn owe(&mut self, id: WorkerId, debt: Debt) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.owed.ns = worker.owed.ns.saturating_add(debt.ns);
            worker.owed.restoring += debt.restoring;
            worker.owed.bytes += debt.bytes;
        }
    }

    /// A worker has answered what it was sent, or it was taken back.
    pub fn pay(&mut self, id: WorkerId, debt: Debt) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.owed.ns = worker.owed.ns.saturating_sub(debt.ns);
            worker.owed.restoring -= debt.restoring;
            worker.owed.bytes -= debt.bytes;
            self.eased |= debt.restoring > 0 && std::mem::take(&mut worker.held_back);
        }
    }

    /// Whether what waits may be sent now; answers so once.
    pub fn take_eased(&mut self) -> bool {
        std::mem::take(&mut self.eased)
    }

    /// A result is missing: the worker gets nothing new for a while, longer each time.
    pub fn suspect(&mut self, id: WorkerId, now: Duration) {
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.state == WorkerState::Ready
        {
            let good = now.saturating_sub(worker.ready_since).as_secs();
            for _ in 0..(good / PENANCE_HALVES_EVERY.as_secs()).min(u64::from(u64::BITS)) {
                worker.penance = (worker.penance / 2).max(FIRST_PENANCE);
            }
            worker.state = WorkerState::Suspect {
                since: now,
                until: now + worker.penance,
            };
            worker.penance = (worker.penance * 2).min(MAX_PENANCE);
        }
    }

    /// The worker gets nothing new ever again. Answers whether that is news.
    pub fn drain(&mut self, id: WorkerId) -> bool {
        match self.workers.get_mut(&id) {
            Some(worker) if worker.state != WorkerState::Draining => {
                worker.state = WorkerState::Draining;
                true
            }
            _ => false,
        }
    }

    /// Notes that a draining worker holds nothing. Answers whether that is news.
    pub fn mark_drained(&mut self, id: WorkerId) -> bool {
        self.workers
            .get_mut(&id)
            .is_some_and(|w| !std::mem::replace(&mut w.drained, true))
    }

    /// Ends the penance of suspects that were heard since, at once where nobody else is left;
    /// answers whether there was one.
    pub fn forgive(&mut self, now: Duration) -> bool {
        let alone = self.ready().next().is_none();
        let mut any = false;
        for worker in self.workers.values_mut() {
            if worker.penance_end(alone).is_some_and(|end| end <= now) {
                worker.state = WorkerState::Ready;
                worker.ready_since = now;
                any = true;
            }
        }
        any
    }

    /// Workers that were not heard for `timeout`.
    #[must_use]
    pub fn silent(&self, now: Duration, timeout: Duration) -> Vec<WorkerId> {
        self.iter()
            .filter(|w| w.silent_at(timeout) <= now)
            .map(|w| w.id)
            .collect()
    }

    /// When [`Registry::silent`] or [`Registry::forgive`] may answer something new.
    #[must_use]
    pub fn next_timeout(&self, timeout: Duration) -> Option<Duration> {
        let alone = self.ready().next().is_none();
        self.iter()
            .flat_map(|w| [Some(w.silent_at(timeout)), w.penance_end(alone)])
            .flatten()
            .min()
    }

    /// Row-steps a second of the workers that may be given partitions, with the rows they have.
    /// One that was not measured is taken to be as fast a thread as the others are on average.
    #[must_use]
    pub fn capacities(&self, rows: impl Fn(WorkerId) -> u64) -> Vec<Capacity> {
        let measured: Vec<f64> = self.ready().filter_map(|w| w.ns_per_row).collect();
        let typical = if measured.is_empty() {
            UNMEASURED_NS_PER_ROW
        } else {
            measured.iter().sum::<f64>() / measured.len() as f64
        };
        self.ready()
            .map(|w| Capacity {
                worker: w.id,
                weight: f64::from(w.threads) * 1e9 / w.ns_per_row.unwrap_or(typical).max(0.001),
                rows: rows(w.id),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn two() -> (Registry, WorkerId, WorkerId) {
        let mut registry = Registry::default();
        let a = registry.add(Duration::ZERO, PeerId(7), "a".into(), 2);
        let b = registry.add(Duration::ZERO, PeerId(8), "b".into(), 4);
        (registry, a, b)
    }

    #[test]
    fn ids_are_never_reused() {
        let (mut registry, a, b) = two();
        registry.remove(b);
        let c = registry.add(S, PeerId(9), "b".into(), 4);
        assert!(a < b && b < c);
        assert_eq!(registry.by_peer(PeerId(8)), None);
    }

    #[test]
    fn penance_ends_only_for_one_that_was_heard_and_doubles() {
        let (mut registry, a, _) = two();
        registry.suspect(a, S);
        assert!(!registry.is_ready(a));
        assert!(!registry.forgive(3 * S), "it was not heard");
        registry.heard(a, 2 * S);
        assert!(registry.forgive(3 * S));
        registry.suspect(a, 4 * S);
        registry.heard(a, 5 * S);
        assert!(!registry.forgive(5 * S), "the second penance is longer");
        assert!(registry.forgive(6 * S));
    }

    #[test]
    fn good_standing_takes_off_what_suspicions_added_to_a_penance() {
        let (mut registry, a, _) = two();
        let mut now = S;
        let mut penance = |registry: &mut Registry, good: Duration| {
            now += good;
            registry.suspect(a, now);
            let Some(Worker {
                state: WorkerState::Suspect { since, until },
                ..
            }) = registry.get(a)
            else {
                panic!("it is suspect");
            };
            let length = *until - *since;
            now = *until;
            registry.heard(a, now);
            assert!(registry.forgive(now));
            length
        };
        let lengths = [S, S, S].map(|good| penance(&mut registry, good));
        assert_eq!(lengths, [S, 2 * S, 4 * S]);
        assert_eq!(penance(&mut registry, PENANCE_HALVES_EVERY), 4 * S);
        assert_eq!(penance(&mut registry, 20 * PENANCE_HALVES_EVERY), S);
    }

    #[test]
    fn who_was_not_listened_to_is_not_silent() {
        let (mut registry, a, b) = two();
        registry.excuse(6 * S, S, 5 * S);
        assert!(registry.silent(6 * S, 5 * S).is_empty());
        assert_eq!(registry.silent(7 * S, 5 * S), vec![a, b]);
    }

    #[test]
    fn what_is_restored_at_once_is_bounded_by_bytes_and_number() {
        let (mut registry, a, b) = two();
        let debt = |bytes| Debt {
            ns: 1,
            restoring: 1,
            bytes,
        };
        assert!(registry.may_restore(a, 10 * MAX_RESTORING_BYTES), "alone");
        registry.owe(a, debt(MAX_RESTORING_BYTES));
        assert!(!registry.may_restore(a, 1) && registry.may_restore(b, 1));
        registry.pay(a, debt(MAX_RESTORING_BYTES));
        assert!(registry.take_eased() && !registry.take_eased());
        assert_eq!(registry.get(a).unwrap().owed, Debt::default());
        for _ in 0..MAX_RESTORING {
            assert!(registry.may_restore(b, 0));
            registry.owe(b, debt(0));
        }
        assert!(!registry.may_restore(b, 0));
    }

    #[test]
    fn the_last_one_left_is_forgiven_with_its_next_word() {
        let (mut registry, a, b) = two();
        registry.suspect(a, S);
        registry.remove(b);
        assert!(!registry.forgive(3 * S), "it was not heard");
        assert_eq!(registry.next_timeout(9 * S), Some(9 * S));
        registry.suspect(a, 3 * S);
        registry.heard(a, 4 * S);
        assert_eq!(registry.next_timeout(9 * S), Some(4 * S));
        assert!(registry.forgive(4 * S));
    }

    #[test]
    fn silence_is_found_out() {
        let (mut registry, a, b) = two();
        registry.heard(b, 4 * S);
        assert_eq!(registry.next_timeout(5 * S), Some(5 * S));
        assert_eq!(registry.silent(5 * S, 5 * S), vec![a]);
    }

    #[test]
    fn weights_follow_threads_until_measured() {
        let (mut registry, a, b) = two();
        let weights =
            |r: &Registry| -> Vec<f64> { r.capacities(|_| 0).iter().map(|c| c.weight).collect() };
        assert_eq!(weights(&registry), vec![2e6, 4e6]);
        registry.measure(a, 100.0);
        assert_eq!(weights(&registry), vec![2e7, 4e7]);
        registry.measure(b, 400.0);
        assert_eq!(weights(&registry), vec![2e7, 1e7]);
    }

    #[test]
    fn draining_is_for_good() {
        let (mut registry, a, _) = two();
        assert!(registry.drain(a));
        assert!(!registry.drain(a));
        registry.suspect(a, S);
        registry.heard(a, 9 * S);
        assert!(!registry.forgive(10 * S));
        assert!(!registry.is_ready(a));
    }
}
