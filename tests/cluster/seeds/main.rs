//! Seeds: each is a cluster with its farms, faults and operators, and every invariant is checked on
//! every event of it.
//!
//! `CLUSTER_SEED=7` replays one with a trace, `CLUSTER_SEEDS=200..1000` runs others than CI does.

mod agenda;
mod check;
mod cluster;
mod counts;
mod faults;
mod hub;
mod impostors;
mod kept;
mod log;
mod manner;
mod news;
mod operators;
mod process;
mod recovery;
mod reference;
mod workers;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cluster::Outcome;
use crate::counts::Counts;

/// What CI runs.
const SEEDS: Range<u64> = 0..200;

#[test]
fn every_invariant_holds_in_every_seed() {
    if let Some(seed) = from_environment("CLUSTER_SEED", |text| text.parse().ok()) {
        let outcome = cluster::run(seed, true);
        println!("{:#?}", outcome.counts);
        return;
    }
    let others = from_environment("CLUSTER_SEEDS", range);
    let (counts, failures) = run_all(others.clone().unwrap_or(SEEDS));
    println!("{counts:#?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    if others.is_none() {
        counts.assert_all_happened();
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [1, 2, 3] {
        let once = run_guarded(seed).map(|o| o.fingerprint);
        assert_eq!(
            once,
            run_guarded(seed).map(|o| o.fingerprint),
            "seed {seed}"
        );
    }
}

/// Runs seeds on a few threads; answers what happened and what failed.
fn run_all(seeds: Range<u64>) -> (Counts, Vec<String>) {
    let next = AtomicU64::new(seeds.start);
    let sum = Mutex::new((Counts::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run_guarded(seed);
            let mut sum = sum.lock().expect("nothing panics while it is held");
            match outcome {
                Ok(outcome) => sum.0.merge(&outcome.counts),
                Err(failure) => sum.1.push(failure),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    sum.into_inner().expect("nothing panics while it is held")
}

/// Runs a seed; a violation becomes the line that says which, and how to see it again.
fn run_guarded(seed: u64) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| cluster::run(seed, false))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        format!(
            "seed {seed}: {}\n  CLUSTER_SEED={seed} cargo test -p cluster --profile ci -- \
             every_invariant --nocapture",
            text.unwrap_or_default()
        )
    })
}

fn from_environment<T>(name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let value = read(&text);
    assert!(value.is_some(), "{name}: `{text}` is not understood");
    value
}

fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}
