//! The core's events as log lines. Ticks are not among them: they come too often.

use crate::event::Event;

/// Writes one event.
pub(crate) fn write(event: &Event) {
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
        Event::Moved {
            simulation,
            partition,
            to,
            epoch,
            replayed,
        } => {
            tracing::info!(%simulation, partition, worker = %to, epoch, replayed, "partition moved");
        }
        Event::NoWorker { simulation, tick } => {
            tracing::warn!(%simulation, tick, "no worker is there; the run waits for one");
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
        } => tracing::info!(%worker, name, threads, "worker joined"),
        Event::WorkerRefused { name, reason } => {
            tracing::warn!(name, reason, "registration refused");
        }
        Event::WorkerLeft { worker } => tracing::info!(%worker, "worker left"),
        Event::WorkerLost { worker, reason } => {
            tracing::warn!(%worker, reason, "worker lost");
        }
        Event::WorkerSuspect {
            worker,
            simulation,
            tick,
            handed_over,
        } => {
            tracing::warn!(%worker, %simulation, tick, handed_over, "a worker's result is missing");
        }
        Event::WorkerDraining { worker } => tracing::info!(%worker, "worker draining"),
        Event::WorkerDrained { worker } => tracing::info!(%worker, "worker drained"),
        _ => {}
    }
}
