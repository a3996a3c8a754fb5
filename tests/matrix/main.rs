//! The digest matrix: one farm, run by real processes in many ways that must not show.
//!
//! Workers, cut, threads, speed, link, instruction set and a killed worker are combined so that every
//! pair of values meets in some run; the digest of every tick is compared with that of one partition on
//! one thread. `cargo test --test matrix -- --full` runs every combination.

mod cases;
mod outcome;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use cases::{Case, Farm};
use outcome::Outcome;

/// Runs at once: most of them wait for their next tick most of the time.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // The test runner asks every test binary for its tests; this one is one test.
    if args.iter().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let full = args.iter().any(|a| a == "--full");
    let seed =
        std::env::var("MATRIX_SEED").map_or(1, |s| s.parse().expect("MATRIX_SEED: a number"));
    let cases = if full {
        cases::every()
    } else {
        cases::all_pairs()
    };
    println!(
        "{} runs of {} machines, kills drawn from MATRIX_SEED={seed}",
        cases.len(),
        Farm::SMALL.entities
    );
    let mut failed = check(Farm::SMALL, &cases, seed);
    println!("1 run of {} machines", Farm::LARGE.entities);
    failed += check(Farm::LARGE, &[Case::LARGE], seed);
    let passed = cases.len() + 1 - failed;
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the cases of one farm and compares each with the reference; answers how many failed.
fn check(farm: Farm, cases: &[Case], seed: u64) -> usize {
    let reference = outcome::run(farm, &Case::REFERENCE, seed);
    if let Err(fault) = reference
        .as_ref()
        .map_or_else(|e| Err(e.clone()), Outcome::check_meets_all)
    {
        println!("FAILED reference: {fault}");
        return cases.len();
    }
    let reference = reference.expect("checked above");
    let waiting: Mutex<VecDeque<&Case>> = Mutex::new(cases.iter().collect());
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = {
                    let mut w = waiting.lock().unwrap();
                    w.pop_front()
                } {
                    let begun = Instant::now();
                    let verdict = outcome::run(farm, case, seed)
                        .and_then(|outcome| outcome.check_against(&reference, farm, case));
                    let seconds = begun.elapsed().as_secs_f64();
                    match verdict {
                        Ok(said) => println!("ok     {case} {seconds:.1} s, {said}"),
                        Err(fault) => {
                            *failed.lock().unwrap() += 1;
                            println!(
                                "FAILED {case}: {fault}\n       {}",
                                case.command_line(farm, seed).join(" ")
                            );
                        }
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}
