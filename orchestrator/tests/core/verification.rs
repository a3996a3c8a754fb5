//! A step computed twice, and what follows when the two differ.

use std::time::Duration;

use orchestrator::Config;
use orchestrator::arbitrate::{Arbitrated, ArbitrationError};
use orchestrator::control::{Cause, Spec, Speed, Status};
use orchestrator::event::Event;
use orchestrator::limits::ARBITRATION_PATIENCE;
use orchestrator::registry::WorkerState;
use transport::message::{base, want};

use crate::fake_worker::{expected_digests, honest_digest};
use crate::testbed::{SIM, Testbed, cut, partitions_of, whole};

fn verifying() -> Testbed {
    Testbed::new(Config {
        verify_one_in: 20,
        rebalance: false,
        ..Config::default()
    })
}

#[test]
fn samples_agree_and_change_no_digest() {
    for spec in [whole(4), cut()] {
        let spec = Spec {
            max_ticks: Some(300),
            ..spec
        };
        let mut t = verifying();
        t.join();
        t.join();
        t.start(spec.clone());
        t.run_until(|t| t.core.simulation(SIM).unwrap().settled);
        assert_eq!(t.digests(), expected_digests(&spec, 300, &[]));
        let found = t.core.snapshot(t.now).verified;
        assert!(found.agreed >= 30, "{found:?}");
        assert_eq!((found.mismatches, t.arbitrations.len()), (0, 0));
    }
}

#[test]
fn a_lone_worker_is_not_asked_to_verify_itself() {
    let mut t = verifying();
    t.join();
    t.start(Spec {
        max_ticks: Some(100),
        ..whole(2)
    });
    t.run_until(|t| t.core.simulation(SIM).unwrap().settled);
    assert_eq!(t.core.snapshot(t.now).verified, Default::default());
}

/// Runs until the first worker's error is found, and answers the arbitration, rightly if it can.
fn disagree(digest_error: u64, compute_error: u64, can_tell: bool) -> (Testbed, [u64; 2]) {
    let mut t = verifying();
    let (wrong, other) = (t.join(), t.join());
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 10);
    t.worker(wrong).digest_error = digest_error;
    t.worker(wrong).compute_error = compute_error;
    t.run_until(|t| !t.arbitrations.is_empty());
    let arbitration = t.arbitrations.remove(0);
    let digest = match can_tell {
        true => Ok(honest_digest(&arbitration)),
        false => Err(ArbitrationError::Tick { tick: 0 }),
    };
    let arbitrated = Arbitrated {
        request: arbitration.request,
        digest,
    };
    t.control(|core, now| core.handle_arbitrated(now, &arbitrated));
    (t, [wrong, other])
}

fn check_paused(t: &Testbed) {
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!(
        (info.status, info.cause),
        (Status::Paused, Cause::DigestMismatch)
    );
    let mismatch = |e: &Event| matches!(e, Event::DigestMismatch { .. });
    assert!(t.events.iter().any(mismatch));
    assert_eq!(t.core.snapshot(t.now).verified.mismatches, 1);
}

fn is_draining(t: &Testbed, peer: u64) -> bool {
    let id = t.workers[&peer].id;
    let snapshot = t.core.snapshot(t.now);
    let worker = snapshot.workers.iter().find(|w| Some(w.id) == id).unwrap();
    worker.state == WorkerState::Draining
}

#[test]
fn an_owner_that_is_wrong_is_drained_and_the_run_pauses() {
    let (mut t, [wrong, other]) = disagree(1, 0, true);
    check_paused(&t);
    assert!(is_draining(&t, wrong) && !is_draining(&t, other));
    t.run_for(Duration::from_secs(2));
    assert_eq!(partitions_of(&t, wrong), 0);
}

#[test]
fn a_verifier_that_is_wrong_is_drained_too() {
    let (t, [wrong, other]) = disagree(0, 1, true);
    check_paused(&t);
    assert!(is_draining(&t, wrong) && !is_draining(&t, other));
}

#[test]
fn where_nobody_can_tell_the_run_pauses_and_nobody_is_blamed() {
    let (t, workers) = disagree(1, 0, false);
    check_paused(&t);
    assert!(workers.iter().all(|w| !is_draining(&t, *w)));
}

#[test]
fn after_a_verdict_a_partition_goes_on_from_the_state_before_the_wrong_step() {
    let mut t = verifying();
    let (wrong, other) = (t.join(), t.join());
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 10);
    t.worker(wrong).digest_error = 1;
    t.run_until(|t| !t.arbitrations.is_empty());
    let arbitration = t.arbitrations.remove(0);
    // While the orchestrator computes, checkpoints of the wrong worker come in.
    let tick = t.tick();
    t.run_until(|t| t.tick() >= tick + 200);
    let asked = t.worker(wrong).dispatches.iter().filter(|(at, d)| {
        let mut work = d.work.iter();
        *at > arbitration.tick
            && work.any(|w| w.partition == arbitration.partition && w.wants & want::CHECKPOINT != 0)
    });
    assert!(asked.count() > 0);
    let arbitrated = Arbitrated {
        request: arbitration.request,
        digest: Ok(honest_digest(&arbitration)),
    };
    // One that drains already is not left what it has either.
    let id = t.worker(wrong).id.unwrap();
    t.worker(wrong).mute = true;
    t.control(|core, now| core.drain(now, id)).unwrap();
    let before = t.worker(other).dispatches.len();
    t.control(|core, now| core.handle_arbitrated(now, &arbitrated));
    assert_eq!(partitions_of(&t, wrong), 0);
    check_paused(&t);
    t.run_for(Duration::from_secs(1));
    t.control(|core, now| core.resume(now, SIM)).unwrap();
    t.run_for(Duration::from_secs(1));
    let restored = t.worker(other).dispatches[before..]
        .iter()
        .flat_map(|(_, d)| &d.work)
        .find(|w| w.partition == arbitration.partition && w.base != base::HELD)
        .expect("it is handed over");
    assert!(restored.first_tick <= arbitration.tick);
}

#[test]
fn an_arbitration_that_never_comes_to_an_end_pauses_the_run() {
    let mut t = verifying();
    let (wrong, _) = (t.join(), t.join());
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 10);
    t.worker(wrong).digest_error = 1;
    t.run_until(|t| !t.arbitrations.is_empty());
    t.worker(wrong).digest_error = 0;
    t.run_for(ARBITRATION_PATIENCE + Duration::from_secs(1));
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!(
        (info.status, info.cause),
        (Status::Paused, Cause::DigestMismatch)
    );
}
