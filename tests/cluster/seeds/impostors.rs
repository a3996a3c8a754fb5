//! One process in the cluster is no correct worker, or there is none at all: each shows by name, and
//! changes nothing of what is published.

use std::time::Duration;

use fastrand::Rng;
use transport::sim::Faults;

use crate::agenda::{self, Fault, Nature};
use crate::cluster::{self, Outcome};
use crate::manner::Manner;

/// Seeds of each case.
const SEEDS: std::ops::Range<u64> = 0..4;

fn nature(seed: u64, workers: u32, faults: &[Fault]) -> Nature {
    let drawn = agenda::nature(&mut Rng::with_seed(seed));
    Nature {
        network: Faults::default(),
        workers,
        faults: faults.to_vec(),
        fault_every: Duration::from_millis(300),
        ..drawn
    }
}

/// Two workers and one of this manner.
fn with_one(manner: Manner, faults: &[Fault]) -> Vec<Outcome> {
    SEEDS
        .map(|seed| cluster::run_nature(seed, nature(seed, 2, faults), Some(manner), false))
        .collect()
}

fn total(outcomes: &[Outcome], count: impl Fn(&Outcome) -> u64) -> u64 {
    outcomes.iter().map(count).sum()
}

#[test]
fn a_worker_that_answers_twice_is_counted_once() {
    let outcomes = with_one(Manner::Repeats, &[]);
    for outcome in &outcomes {
        assert!(outcome.counts.totals.duplicate_results > 0);
        assert_eq!(outcome.counts.lost_workers, 0, "{:?}", outcome.reasons);
    }
}

#[test]
fn a_worker_that_answers_for_what_it_lost_is_not_heard() {
    let outcomes = with_one(Manner::Clings, &[Fault::Stop, Fault::Slow, Fault::Join]);
    assert!(total(&outcomes, |o| o.counts.late_answers) > 100);
}

#[test]
fn a_result_that_lies_about_its_length_ends_its_worker() {
    let outcomes = with_one(Manner::Lies, &[]);
    for outcome in &outcomes {
        let named = |reason: &String| reason.contains("Result frame: section");
        assert!(outcome.reasons.iter().any(named), "{:?}", outcome.reasons);
    }
    assert!(total(&outcomes, |o| o.counts.totals.replays) > 0);
}

#[test]
fn a_worker_of_another_protocol_is_refused_by_name() {
    for outcome in with_one(Manner::Foreign, &[]) {
        let [reason] = &outcome.reasons[..] else {
            panic!("{:?}", outcome.reasons);
        };
        assert!(reason.contains("protocol version"), "{reason}");
        assert!(reason.contains("run the same release"), "{reason}");
    }
}

#[test]
fn without_a_worker_a_run_waits_and_says_so_once() {
    for seed in SEEDS {
        let outcome = cluster::run_nature(seed, nature(seed, 0, &[]), None, false);
        assert_eq!(outcome.counts.no_worker, outcome.counts.simulations);
    }
}
