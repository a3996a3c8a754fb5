//! The core's events as log lines. Ticks are not among them: they come too often.

use std::collections::BTreeMap;

use crate::control::{SimulationId, WorkerId};
use crate::event::Event;

/// The log's writer. Events of one input are written one by one, but partitions that move to the
/// same worker together: a hand-over may be of thousands.
#[derive(Debug, Default)]
pub(crate) struct Log {
    moved: BTreeMap<(SimulationId, WorkerId), Moved>,
}

/// Partitions of one run that moved to one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moved {
    partitions: u64,
    /// Ticks replayed for all of them.
    replayed: u64,
    /// Most ticks replayed for one.
    longest: u64,
}

impl Log {
    /// Writes an event, at the latest with [`Log::end`].
    pub(crate) fn write(&mut self, event: &Event) {
        let Event::Moved {
            simulation,
            to,
            replayed,
            ..
        } = event
        else {
            return write(event);
        };
        let moved = self.moved.entry((*simulation, *to)).or_default();
        moved.partitions += 1;
        moved.replayed += replayed;
        moved.longest = moved.longest.max(*replayed);
    }

    /// The events of an input have ended.
    pub(crate) fn end(&mut self) {
        for ((simulation, worker), moved) in std::mem::take(&mut self.moved) {
            let (partitions, replayed) = (moved.partitions, moved.replayed);
            let longest = moved.longest;
            tracing::info!(%simulation, worker = worker.0, partitions, replayed, longest, "partitions moved");
        }
    }
}

/// Writes one event.
fn write(event: &Event) {
    match event {
        Event::Tick(_) => {}
        Event::Lifecycle {
            simulation,
            status,
            cause,
            tick,
        } => {
            let (status, cause) = (status.name(), cause.name());
            tracing::info!(%simulation, tick, status, cause, "lifecycle");
        }
        Event::Settled {
            simulation,
            tick,
            digest,
            ..
        } => match digest {
            Some(digest) => {
                tracing::info!(%simulation, tick, digest = format!("{digest:016x}"), "settled");
            }
            None => tracing::info!(%simulation, tick, "settled without a digest"),
        },
        Event::Deleted { simulation, tick } => tracing::info!(%simulation, tick, "deleted"),
        Event::CommandStamped { simulation, stamp } => {
            tracing::debug!(%simulation, tick = stamp.tick, seq = stamp.seq, "command");
        }
        Event::NoWorker { simulation, tick } => {
            tracing::warn!(%simulation, tick, "no worker is there; the run waits for one");
        }
        Event::Halting { simulation, tick } => {
            tracing::warn!(%simulation, tick,
                "the run stands until the database says whether a pause or a stop is kept");
        }
        Event::Late {
            simulation,
            tick,
            ticks,
            latency,
        } => {
            let latency_us = latency.as_micros() as u64;
            tracing::debug!(%simulation, tick, ticks, latency_us, "late");
        }
        Event::Dilated {
            simulation,
            tick,
            by,
        } => {
            let by_us = by.as_micros() as u64;
            tracing::warn!(%simulation, tick, by_us, "deadlines shifted");
        }
        Event::DigestMismatch {
            simulation,
            partition,
            tick,
            owner,
            verifier,
            arbitrated,
        } => {
            tracing::error!(%simulation, partition, tick, ?owner, ?verifier, ?arbitrated,
                "digest mismatch");
        }
        worker => write_worker(worker),
    }
}

/// Writes an event of a worker.
fn write_worker(event: &Event) {
    match event {
        Event::WorkerJoined {
            worker,
            name,
            threads,
        } => tracing::info!(worker = worker.0, name, threads, "worker joined"),
        Event::WorkerRefused { name, reason } => {
            tracing::warn!(name, reason, "registration refused");
        }
        Event::WorkerLeft { worker } => tracing::info!(worker = worker.0, "worker left"),
        Event::WorkerLost { worker, reason } => {
            tracing::warn!(worker = worker.0, reason, "worker lost");
        }
        Event::WorkerSuspect {
            worker,
            simulation,
            tick,
            handed_over,
        } => {
            tracing::warn!(worker = worker.0, %simulation, tick, handed_over, "a worker's result is missing");
        }
        Event::GatewayJoined { gateway, name } => {
            tracing::info!(gateway, name, "gateway joined");
        }
        Event::GatewayLeft {
            gateway,
            name,
            reason,
        } => tracing::info!(gateway, name, reason, "gateway left"),
        Event::GatewayLost {
            gateway,
            name,
            reason,
        } => tracing::warn!(gateway, name, reason, "gateway lost"),
        Event::WorkerDraining { worker } => tracing::info!(worker = worker.0, "worker draining"),
        Event::WorkerDrained { worker } => tracing::info!(worker = worker.0, "worker drained"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_is_one_line_a_worker() {
        let mut log = Log::default();
        for partition in 0..1_000 {
            log.write(&Event::Moved {
                simulation: SimulationId(7),
                partition,
                to: WorkerId(1 + partition % 2),
                epoch: 2,
                replayed: u64::from(partition),
            });
        }
        assert_eq!(log.moved.len(), 2);
        let second = log.moved[&(SimulationId(7), WorkerId(2))];
        assert_eq!((second.partitions, second.longest), (500, 999));
        log.end();
        assert!(log.moved.is_empty());
    }
}
