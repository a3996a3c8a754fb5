//! What the log `system` of a run says: lifecycle, workers, lateness. Entries are JSON objects.
//!
//! | kind | fields |
//! |---|---|
//! | lifecycle | `status`, `cause`: as the API names them |
//! | `settled` | `status`; `digest`: hex of the last tick's, null where no worker was left to compute it |
//! | `worker_lost` | `worker`: its id; `reason` |
//! | `worker_suspect` | `worker`; `handed_over`: whether another one takes its partitions |
//! | `worker_draining` | `worker` |
//! | `moved` | `worker`: who has them now; `partitions`: how many; `replayed_ticks`: for all of them |
//! | `no_worker` | the run waits for one |
//! | `late` | `ticks`: since it was last said; `latency_us`: the longest of them |
//! | `dilated` | `by_us`: since it was last said |
//! | `digest_mismatch` | `partition`; `owner`, `verifier`: `worker` and `digest`; `arbitrated`: hex, or null |
//! | `unrecoverable` | `reason`: why what the database holds of it cannot be read |
//!
//! All but those of the kind lifecycle name themselves in `event`. An entry about a worker is in the log of each run
//! that it had a part of.

use serde_json::{Value, json};
use transport::control::event_kind::{LIFECYCLE, SYSTEM};

use crate::control::{Cause, Status};
use crate::event::Event;

/// An entry before it is numbered: its kind, and what it says.
pub(crate) type Entry = (u32, Value);

/// What a run's status has become, and why.
pub(crate) fn lifecycle(status: Status, cause: Cause) -> Entry {
    let says = json!({"status": status.name(), "cause": cause.name()});
    (LIFECYCLE, says)
}

/// What an event says in the log of the run it happened to, or of each run that it concerns; `None`
/// where it says nothing there, or is said together with others: see [`moved`] and [`late`].
pub(crate) fn entry(event: &Event) -> Option<Entry> {
    let value = match event {
        Event::Lifecycle { status, cause, .. } => return Some(lifecycle(*status, *cause)),
        Event::Settled { status, digest, .. } => {
            json!({"event": "settled", "status": status.name(), "digest": digest.map(hex)})
        }
        Event::WorkerLost { worker, reason } => {
            json!({"event": "worker_lost", "worker": worker.0, "reason": reason})
        }
        Event::WorkerSuspect {
            worker,
            handed_over,
            ..
        } => json!({"event": "worker_suspect", "worker": worker.0, "handed_over": handed_over}),
        Event::WorkerDraining { worker } => {
            json!({"event": "worker_draining", "worker": worker.0})
        }
        Event::NoWorker { .. } => json!({"event": "no_worker"}),
        Event::Dilated { by, .. } => json!({"event": "dilated", "by_us": by.as_micros() as u64}),
        Event::DigestMismatch {
            partition,
            owner,
            verifier,
            arbitrated,
            ..
        } => json!({
            "event": "digest_mismatch",
            "partition": partition,
            "owner": {"worker": owner.0.0, "digest": hex(owner.1)},
            "verifier": {"worker": verifier.0.0, "digest": hex(verifier.1)},
            "arbitrated": arbitrated.map(hex),
        }),
        _ => return None,
    };
    Some((SYSTEM, value))
}

/// Partitions that came to one worker in one input.
pub(crate) fn moved(worker: u32, partitions: u64, replayed_ticks: u64) -> Entry {
    let says = json!({
        "event": "moved",
        "worker": worker,
        "partitions": partitions,
        "replayed_ticks": replayed_ticks,
    });
    (SYSTEM, says)
}

/// What the database holds of a run is nothing to go on with.
pub(crate) fn unrecoverable(reason: &str) -> Entry {
    (SYSTEM, json!({"event": "unrecoverable", "reason": reason}))
}

/// Ticks that were late within a second or so, and the greatest latency of one.
pub(crate) fn late(ticks: u64, latency_us: u64) -> Entry {
    let says = json!({"event": "late", "ticks": ticks, "latency_us": latency_us});
    (SYSTEM, says)
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Cause, SimulationId, Status, WorkerId};

    #[test]
    fn an_entry_says_what_happened_in_words_that_stay() {
        let simulation = SimulationId(1);
        let (kind, says) = entry(&Event::Lifecycle {
            simulation,
            status: Status::Paused,
            cause: Cause::HistoryFull,
            tick: 4,
        })
        .unwrap();
        assert_eq!(kind, LIFECYCLE);
        assert_eq!(
            says.to_string(),
            r#"{"status":"paused","cause":"history_full"}"#
        );
        let worker = WorkerId(3);
        let (kind, says) = entry(&Event::DigestMismatch {
            simulation,
            partition: 2,
            tick: 9,
            owner: (worker, 1),
            verifier: (WorkerId(4), 2),
            arbitrated: None,
        })
        .unwrap();
        assert_eq!((kind, &says["arbitrated"]), (SYSTEM, &Value::Null));
        assert_eq!(
            says["owner"],
            json!({"worker": 3, "digest": "0000000000000001"})
        );
        assert_eq!(entry(&Event::WorkerLeft { worker }), None);
    }
}
