//! Workers at the core: they register, drain, are lost, are late, or are found to be wrong, and what they had
//! goes to others.

use std::time::Duration;

use transport::frame::Frame;
use transport::link::{Class, PeerId};
use transport::message::{Heartbeat, Register};

use crate::balance::JOIN_IMBALANCE;
use crate::control::{Cause, ControlError, Status, WorkerId};
use crate::core::{Orchestrator, context};
use crate::event::Event;
use crate::limits::MAX_WORKERS;
use crate::registry::WorkerState;
use crate::verify::Verdict;
use crate::wire;

impl Orchestrator {
    /// Gives a worker nothing more and moves what it has.
    ///
    /// # Errors
    /// [`ControlError::UnknownWorker`].
    pub fn drain(&mut self, now: Duration, worker: WorkerId) -> Result<(), ControlError> {
        self.begin(now);
        if self.registry.get(worker).is_none() {
            return Err(ControlError::UnknownWorker { worker });
        }
        self.begin_drain(now, worker);
        self.advance_all(now);
        Ok(())
    }

    pub(crate) fn register(&mut self, now: Duration, peer: PeerId, frame: &Frame) {
        let register = match frame.decode::<Register>() {
            Ok(register) => register,
            Err(fault) => return self.refuse(peer, String::new(), fault.to_string()),
        };
        let refusal = wire::registration_fault(&register).or_else(|| {
            let full = self.registry.len() >= MAX_WORKERS;
            full.then(|| format!("{MAX_WORKERS} workers are registered; stop one first"))
        });
        if let Some(reason) = refusal {
            return self.refuse(peer, register.name, reason);
        }
        self.strangers.remove(&peer.0);
        let (name, threads) = (register.name, register.threads);
        let worker = self.registry.add(now, peer, name.clone(), threads);
        let welcome = wire::welcome(
            &self.outbox.pool,
            self.config.lease_epoch,
            worker,
            self.config.heartbeat,
        );
        self.outbox.send(peer, Class::Control, 0, welcome, false);
        self.outbox.event(Event::WorkerJoined {
            worker,
            name,
            threads,
        });
        self.rebalance(now, JOIN_IMBALANCE);
        // One that was late alone may have another to hand over to now.
        self.find_suspects(now);
        self.advance_all(now);
    }

    pub(crate) fn handle_heartbeat(
        &mut self,
        now: Duration,
        worker: WorkerId,
        heartbeat: Heartbeat,
    ) {
        if self.registry.heartbeat(worker, now, heartbeat) {
            self.begin_drain(now, worker);
            self.advance_all(now);
        }
        self.say_drained();
    }

    /// A worker gets nothing more; what it has is moved, at once where nothing goes on.
    fn begin_drain(&mut self, now: Duration, worker: WorkerId) {
        if !self.registry.drain(worker) {
            return;
        }
        self.note_runs_of(worker);
        self.outbox.event(Event::WorkerDraining { worker });
        for simulation in self.simulations.values_mut() {
            let goes = simulation.status == Status::Running || simulation.window.is_some();
            if !goes {
                simulation.handle_worker_gone(&mut context!(self, now), worker);
            }
        }
        self.rebalance(now, 0.0);
    }

    /// A worker cannot be relied on: it is sent away.
    pub(crate) fn expel(&mut self, now: Duration, worker: WorkerId, reason: &str) {
        if let Some(peer) = self.registry.get(worker).map(|w| w.peer) {
            self.outbox.disconnect(peer, reason.to_owned());
        }
        self.lose(now, worker, reason);
    }

    /// A worker is gone: what it had is placed anew.
    pub(crate) fn lose(&mut self, now: Duration, worker: WorkerId, reason: &str) {
        let Some(gone) = self.registry.remove(worker) else {
            return;
        };
        self.note_runs_of(worker);
        if gone.state == WorkerState::Draining && self.rows(worker) == 0 {
            self.outbox.event(Event::WorkerLeft { worker });
        } else {
            self.lost_workers += 1;
            self.outbox.event(Event::WorkerLost {
                worker,
                reason: reason.to_owned(),
            });
        }
        self.take_all_from(now, worker);
        self.advance_all(now);
    }

    /// Takes every partition from a worker without asking it for anything.
    fn take_all_from(&mut self, now: Duration, worker: WorkerId) {
        self.verifier.worker_gone(worker);
        for simulation in self.simulations.values_mut() {
            simulation.handle_worker_gone(&mut context!(self, now), worker);
        }
    }

    /// Takes what late workers have from them; answers whether there was one.
    pub(crate) fn find_suspects(&mut self, now: Duration) -> bool {
        let mut suspects = Vec::new();
        for simulation in self.simulations.values_mut() {
            suspects.extend(simulation.find_suspects(&mut context!(self, now)));
        }
        for worker in &suspects {
            self.take_all_from(now, *worker);
        }
        !suspects.is_empty()
    }

    /// Two workers differ: the one that is wrong is trusted with nothing more, the run stands.
    pub(crate) fn judge(&mut self, now: Duration, verdict: &Verdict, arbitrated: Option<u64>) {
        let sample = &verdict.sample;
        let owner = (sample.owner, verdict.owner_digest);
        self.outbox.event(Event::DigestMismatch {
            simulation: sample.simulation,
            partition: sample.partition,
            tick: sample.tick,
            owner,
            verifier: verdict.verifier,
            arbitrated,
        });
        if let Some(simulation) = self.simulations.get_mut(&sample.simulation) {
            simulation.pause_because(&mut context!(self, now), Cause::DigestMismatch);
        }
        for (worker, digest) in [owner, verdict.verifier] {
            // Where the orchestrator could not compute it either, nobody is known to be wrong.
            if arbitrated.is_none_or(|right| right == digest) {
                continue;
            }
            if worker == sample.owner
                && let Some(simulation) = self.simulations.get_mut(&sample.simulation)
            {
                simulation.distrust(sample.partition);
            }
            self.note_runs_of(worker);
            // One that drains already is not asked for what it has either.
            if self.registry.drain(worker) {
                self.outbox.event(Event::WorkerDraining { worker });
            }
            self.take_all_from(now, worker);
        }
    }

    /// Says once of each draining worker that it holds nothing any more.
    pub(crate) fn say_drained(&mut self) {
        let empty: Vec<WorkerId> = self
            .registry
            .iter()
            .filter(|w| w.state == WorkerState::Draining && self.rows(w.id) == 0)
            .map(|w| w.id)
            .collect();
        for worker in empty {
            if self.registry.mark_drained(worker) {
                self.outbox.event(Event::WorkerDrained { worker });
            }
        }
    }
}
