//! Cuts: when they are made, and that they are whole.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestrator::Config;
use orchestrator::control::{Spec, Speed};
use orchestrator::event::Event;
use orchestrator::limits::{CUT_PATIENCE, CUT_RETRY, VERIFICATION_PATIENCE};
use store::history::Cut;

use crate::fake_worker::expected_digests;
use crate::testbed::{MS, SIM, Testbed, cut, whole};

const SECOND: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(2);

fn testbed() -> Testbed {
    Testbed::new(Config {
        verify_one_in: 0,
        rebalance: false,
        cut_every: Some(EVERY),
        ..Config::default()
    })
}

fn each_tick(spec: Spec) -> Spec {
    Spec {
        digest_every: 1,
        speed: Speed::REAL,
        ..spec
    }
}

/// Checks that a cut is all of its tick: the made-up states add up to the digest, and each part's mail
/// says which tick and state it is of.
fn check(cut: &Cut, spec: &Spec) {
    let state = |bytes: &bytes::Bytes| u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let states: Vec<u64> = cut.checkpoints.iter().map(state).collect();
    let sum = states.iter().fold(0, |sum: u64, s| sum.wrapping_add(*s));
    let expected: BTreeMap<u64, u64> = expected_digests(spec, cut.tick, &[]);
    assert_eq!(Some(&sum), expected.get(&cut.tick), "tick {}", cut.tick);
    for mail in &cut.mail {
        assert_eq!(mail.tick, cut.tick + 1);
        let state = states[mail.from as usize] as u32;
        assert_eq!(mail.words, [mail.from, cut.tick as u32, state]);
    }
    assert!(
        cut.mail
            .is_sorted_by(|a, b| (a.from, a.to) < (b.from, b.to))
    );
}

#[test]
fn a_cut_is_every_partition_and_all_mail_of_one_tick() {
    for (spec, mails) in [(whole(3), 0), (cut(), 4 * 3)] {
        let mut t = testbed();
        t.join();
        t.join();
        let spec = each_tick(spec);
        t.start(spec.clone());
        t.run_for(10 * SECOND);
        assert!((4..=5).contains(&t.cuts.len()), "{}", t.cuts.len());
        for cut in &t.cuts {
            check(cut, &spec);
            assert_eq!(cut.mail.len(), mails);
        }
        assert_eq!(t.totals().late_ticks, 0);
        assert!(t.cuts.is_sorted_by(|a, b| a.tick < b.tick));
    }
}

#[test]
fn a_cut_of_a_lost_worker_is_given_up_and_made_soon_after() {
    let mut t = testbed();
    let lost = t.join();
    t.join();
    let spec = each_tick(cut());
    t.start(spec.clone());
    t.run_until(|t| !t.cuts.is_empty());
    t.worker(lost).no_checkpoints = true;
    t.run_for(EVERY + 500 * MS);
    assert_eq!(t.cuts.len(), 1);
    t.kill(lost);
    t.run_for(CUT_RETRY + 500 * MS);
    assert_eq!(t.cuts.len(), 2);
    check(&t.cuts[1], &spec);
}

#[test]
fn a_checkpoint_that_never_comes_delays_no_tick_and_another_cut_is_tried() {
    let mut t = testbed();
    let silent = t.join();
    t.join();
    let spec = each_tick(cut());
    t.start(spec.clone());
    t.run_until(|t| t.tick() > 0);
    t.worker(silent).no_checkpoints = true;
    t.run_for(EVERY + CUT_PATIENCE / 2);
    assert!(t.cuts.is_empty());
    t.worker(silent).no_checkpoints = false;
    t.run_for(CUT_PATIENCE / 2 + SECOND);
    assert_eq!(t.cuts.len(), 1);
    check(&t.cuts[0], &spec);
    assert_eq!(t.totals().late_ticks, 0);
}

#[test]
fn a_run_that_comes_to_stand_leaves_a_cut_once() {
    let mut t = testbed();
    t.join();
    let spec = each_tick(cut());
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 5);
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(10 * SECOND);
    assert_eq!(t.cuts.iter().map(|c| c.tick).collect::<Vec<_>>(), [5]);
    t.control(|core, now| core.ask_cut(now, SIM)).unwrap();
    t.run_for(10 * SECOND);
    assert_eq!(t.cuts.len(), 1, "it is there");
    t.control(|core, now| core.step(now, SIM, 2)).unwrap();
    t.control(|core, now| core.ask_cut(now, SIM)).unwrap();
    t.run_for(10 * SECOND);
    assert_eq!(t.cuts.last().unwrap().tick, 7);
    t.control(|core, now| core.step(now, SIM, 1)).unwrap();
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    t.run_until(|t| matches!(t.events.last(), Some(Event::Settled { .. })));
    assert_eq!(t.cuts.last().unwrap().tick, t.tick(), "before it settles");
    t.cuts.iter().for_each(|cut| check(cut, &spec));
}

#[test]
fn a_stopped_run_settles_though_its_cut_does_not_come() {
    let mut t = testbed();
    let silent = t.join();
    t.start(each_tick(whole(2)));
    t.run_until(|t| t.tick() == 5);
    t.worker(silent).no_checkpoints = true;
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    t.run_for(CUT_PATIENCE + SECOND);
    assert!(matches!(t.events.last(), Some(Event::Settled { .. })));
    assert!(t.cuts.is_empty());
}

#[test]
fn without_a_store_there_is_none() {
    let mut t = Testbed::plain();
    t.join();
    t.start(each_tick(whole(2)));
    t.run_for(30 * SECOND);
    t.control(|core, now| core.ask_cut(now, SIM)).unwrap();
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(5 * SECOND);
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    t.run_for(MS);
    assert!(matches!(t.events.last(), Some(Event::Settled { .. })));
    assert!(t.cuts.is_empty());
}

#[test]
fn a_cut_waits_until_no_step_of_it_is_in_doubt() {
    let mut t = Testbed::new(Config {
        verify_one_in: 1,
        rebalance: false,
        cut_every: Some(EVERY),
        ..Config::default()
    });
    let workers = [t.join(), t.join()];
    for peer in workers {
        t.worker(peer).no_computes = true;
    }
    let spec = each_tick(cut());
    t.start(spec.clone());
    t.run_for(EVERY + SECOND);
    assert!(t.cuts.is_empty(), "the first step is being verified yet");
    assert_eq!(t.totals().late_ticks, 0);
    for peer in workers {
        t.worker(peer).no_computes = false;
    }
    t.run_for(VERIFICATION_PATIENCE + CUT_PATIENCE);
    assert!(!t.cuts.is_empty());
    t.cuts.iter().for_each(|cut| check(cut, &spec));
}

#[test]
fn a_cut_of_a_wrong_state_is_never_handed_out() {
    let mut t = Testbed::new(Config {
        verify_one_in: 1,
        rebalance: false,
        cut_every: Some(EVERY),
        ..Config::default()
    });
    let wrong = t.join();
    t.join();
    let spec = each_tick(cut());
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 20);
    t.worker(wrong).digest_error = 1;
    t.control(|core, now| core.ask_cut(now, SIM)).unwrap();
    t.run_for(5 * SECOND);
    assert!(!t.arbitrations.is_empty(), "it was found");
    t.cuts
        .iter()
        .for_each(|cut| assert!(cut.tick <= 20, "{}", cut.tick));
}
