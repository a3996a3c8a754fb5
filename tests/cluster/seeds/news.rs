//! What the orchestrator says of runs and workers, held against what is known of them.

use orchestrator::control::Status;
use orchestrator::event::Event;

use crate::check::violated;
use crate::cluster::{Cluster, trace};
use crate::manner::Manner;
use crate::process::Process;

impl Cluster {
    /// The orchestrator said something.
    pub(crate) fn hear(&mut self, event: Event) {
        if !matches!(event, Event::Tick(_)) {
            trace!(self, "{event:?}");
        }
        match event {
            Event::Tick(window) => {
                trace!(
                    self,
                    "simulation {} tick {} of {} ticks is published",
                    window.simulation.0,
                    window.tick,
                    window.ticks
                );
                self.counts.windows += u64::from(window.ticks > 1);
                self.note(window.digests.last().map_or(0, |d| d.digest));
                self.run_of(window.simulation).published(&window);
                self.counts.replayed_windows += u64::from(window.replayed);
                // History is written in batches, some time later.
                let flushes = self.random.u8(..4) == 0;
                if let Some(book) = self.book_of(window.simulation)
                    && !window.replayed
                {
                    book.published(&window);
                    if flushes {
                        book.flush();
                    }
                }
            }
            Event::Lifecycle {
                simulation,
                status,
                cause,
                ..
            } => {
                if status == Status::Failed {
                    violated!("lifecycle", "simulation {} failed: {cause:?}", simulation.0);
                }
                if let Some(book) = self.book_of(simulation) {
                    book.status(status, cause);
                }
                let run = self.run_of(simulation);
                run.status = status;
                // It may stand now, or be due only later.
                run.waits = false;
            }
            Event::Settled {
                simulation,
                tick,
                digest,
                ..
            } => {
                let created = self.run_of(simulation).published.is_some();
                if digest.is_none() && created && self.wire.anyone_is_there() {
                    violated!(
                        "lifecycle",
                        "simulation {} has no last digest",
                        simulation.0
                    );
                }
                let aggregate = {
                    let run = self.run_of(simulation);
                    run.settled(tick, digest);
                    run.aggregate
                };
                self.counts.farm.merge(&aggregate.counters);
                if let Some(since) = self.mended_at {
                    let ms = (self.now - since).as_millis() as u64;
                    let longest = &mut self.counts.longest_recovery_ms;
                    *longest = (*longest).max(ms);
                }
            }
            Event::Moved {
                simulation,
                partition,
                to,
                ..
            } => {
                let from = self.owners.insert((simulation, partition), to);
                let rebalanced = from.is_some_and(|from| self.good.contains(&from));
                self.counts.rebalances += u64::from(rebalanced);
            }
            Event::DigestMismatch { .. } => violated!("verification", "{event:?}"),
            event => self.hear_of_worker(&event),
        }
    }

    pub(crate) fn hear_of_worker(&mut self, event: &Event) {
        match event {
            Event::WorkerJoined { worker, .. } => {
                self.good.insert(*worker);
                // What it was given at once has been sent by now.
                if let Some(run) = self.runs.iter().find(|run| run.waits) {
                    let id = run.spec.id.0;
                    violated!("liveness", "a worker came and simulation {id} waits on");
                }
            }
            Event::WorkerDraining { worker } | Event::WorkerLeft { worker } => {
                self.good.remove(worker);
            }
            Event::WorkerLost { worker, reason } => {
                self.good.remove(worker);
                self.reasons.push(reason.clone());
            }
            Event::WorkerRefused { reason, .. } => {
                let foreign = |p: &Process| p.behaviour.manner == Manner::Foreign;
                if !self.processes.values().any(foreign) {
                    violated!("registry", "a worker was refused: {reason}");
                }
                self.reasons.push(reason.clone());
            }
            Event::WorkerSuspect { worker, .. } => {
                self.good.remove(worker);
                self.counts.suspicions += 1;
            }
            Event::WorkerDrained { .. } => self.counts.drained += 1,
            Event::NoWorker { simulation, .. } => {
                self.run_of(*simulation).waits = true;
                self.counts.no_worker += 1;
            }
            _ => {}
        }
    }
}
