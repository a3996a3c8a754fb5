//! What is kept before it is done, and what is written behind the ticks.

use std::time::Duration;

use kernel::command::Action;
use orchestrator::control::{
    CommandRequest, CommandStamp, LatePolicy, RefusalKind, SimulationId, Spec, Speed, Status,
    Target,
};
use orchestrator::desk::Asker;
use orchestrator::fault::StoreFault;
use orchestrator::limits::{COMMIT_PATIENCE, MAX_CHORES, MAX_STAMPS};
use store::recovery::Recovered;
use store::write::{Change, State};
use transport::control::{Answer, Ask, Cause, Idempotency, Log, LogEvent, Request};

use crate::fake_worker::expected_digests;
use crate::shelf::Kept;
use crate::testbed::{MS, SIM, Testbed, cut, refusal, whole};

fn at_real_time() -> Spec {
    Spec {
        speed: Speed::REAL,
        digest_every: 1,
        max_ticks: None,
        ..whole(2)
    }
}

fn started(spec: Spec) -> Testbed {
    let mut t = Testbed::durable();
    t.join();
    t.ask(Ask::Create(spec));
    t.ask(Ask::Start(SIM));
    t
}

fn hold(tick: Option<u64>) -> Ask {
    Ask::Command(
        SIM,
        CommandRequest {
            target: Target::Entity(1),
            action: Action::Hold,
            tick,
        },
    )
}

fn key(key: &str, body: u8) -> Option<Idempotency> {
    Some(Idempotency {
        key: key.to_owned(),
        route: "POST /x".to_owned(),
        body_hash: [body; 32],
    })
}

fn stamp(answer: &Answer) -> CommandStamp {
    match answer {
        Answer::Stamp(stamp) => *stamp,
        answer => panic!("{answer:?}"),
    }
}

fn kept(t: &Testbed) -> &Kept {
    &t.shelf.kept[&SIM]
}

/// Lets time pass, with heartbeats, until `done`.
fn pass_until(t: &mut Testbed, done: impl Fn(&Testbed) -> bool) {
    while !done(t) {
        t.run_for(20 * MS);
    }
}

#[test]
fn nothing_is_done_or_answered_before_it_is_kept() {
    let mut t = Testbed::durable();
    t.join();
    t.shelf.commit_takes = 300 * MS;
    let id = t.begin_ask(Ask::Create(at_real_time()), None);
    t.run_for(299 * MS);
    assert!(t.core.simulation(SIM).is_err() && !t.answers.contains_key(&id));
    t.run_for(MS);
    assert!(matches!(t.answers[&id], Answer::Simulation(_)));
    // One after the other, each as the one before it has left the run.
    let ids = [
        Ask::Start(SIM),
        Ask::Pause(SIM),
        Ask::Pause(SIM),
        Ask::Stop(SIM),
    ]
    .map(|ask| t.begin_ask(ask, None));
    t.run_for(299 * MS);
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Created);
    t.run_for(Duration::from_secs(2));
    assert_eq!(refusal(&t.answers[&ids[2]]), RefusalKind::InvalidTransition);
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Stopped);
    assert_eq!(kept(&t).state.as_ref().unwrap().status, Status::Stopped);
    assert!(kept(&t).state.as_ref().unwrap().ended_at_us.is_some());
}

#[test]
fn a_command_whose_commit_comes_too_late_gets_a_later_place_and_is_applied_there() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = 130 * MS;
    let first = stamp(&t.ask(hold(None)));
    let commands = t
        .shelf
        .writes
        .iter()
        .filter(|w| matches!(w, Change::Command { .. }));
    assert_eq!(commands.count(), 2, "the second lead is long enough");
    assert_eq!(kept(&t).commands[&first.seq].0, first);
    // The lead is known now.
    let before = t.shelf.writes.len();
    let second = stamp(&t.ask(hold(None)));
    assert_eq!(t.shelf.writes.len(), before + 1);
    assert!(second.seq == first.seq + 1 && second.tick > first.tick);
    let last = second.tick + 10;
    t.run_until(|t| t.tick() >= last);
    let applied = [(first.tick, first.seq, 1), (second.tick, second.seq, 1)];
    let expected = expected_digests(&at_real_time(), last, &applied);
    assert_eq!(t.digests()[&last], expected[&last]);
}

#[test]
fn what_is_asked_later_never_happens_earlier_though_the_lead_has_become_shorter() {
    let mut t = started(Spec {
        speed: Speed::Milli(100_000),
        ..at_real_time()
    });
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = 100 * MS;
    t.ask(hold(None));
    let first = stamp(&t.ask(hold(None)));
    // At real time the same lead is a few ticks, and where time stands there is none.
    t.shelf.commit_takes = MS;
    t.ask(Ask::Change {
        simulation: SIM,
        speed: Some(Speed::REAL),
        name: None,
    });
    let named = stamp(&t.ask(hold(Some(first.tick - 1))));
    let second = stamp(&t.ask(hold(None)));
    t.ask(Ask::Pause(SIM));
    let third = stamp(&t.ask(hold(None)));
    assert_eq!(named.tick, first.tick - 1);
    assert_eq!((second.tick, third.tick), (first.tick, first.tick));
    assert!(first.seq < second.seq && second.seq < third.seq);
}

#[test]
fn a_command_repeated_while_it_is_given_another_place_is_answered_with_that() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    // Its place is kept only long after its tick; meanwhile whoever gave it gives it again.
    t.shelf.commit_takes = Duration::from_secs(2);
    let first = t.begin_ask(hold(None), key("a", 1));
    t.run_for(Duration::from_millis(1_900));
    let again = t.begin_ask(hold(None), key("a", 1));
    t.run_for(Duration::from_secs(10));
    let placed = stamp(&t.answers[&first]);
    assert!(placed.tick > 52, "{placed:?} is its first place");
    assert_eq!(stamp(&t.answers[&again]), placed);
    assert_eq!(kept(&t).commands[&placed.seq].0, placed);
    assert_eq!(kept(&t).commands.len(), 1);
}

#[test]
fn who_repeats_a_command_is_counted_while_it_waits_and_answered_when_all_ends() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = Duration::from_secs(2);
    let first = t.begin_ask(hold(None), key("a", 1));
    t.run_for(Duration::from_millis(1_900));
    // Its next place is kept too late as well.
    t.shelf.commit_takes = Duration::from_secs(20);
    let again = t.begin_ask(hold(None), key("a", 1));
    t.run_for(Duration::from_secs(24));
    assert!(!t.answers.contains_key(&first) && !t.answers.contains_key(&again));
    assert_eq!(t.core.snapshot(t.now).waiting_requests, 2);
    t.control(|core, now| core.handle_store_over(now, "another one owns it".to_owned()));
    for id in [first, again] {
        assert_eq!(refusal(&t.answers[&id]), RefusalKind::Ending);
    }
    assert_eq!(t.core.snapshot(t.now).waiting_requests, 0);
}

#[test]
fn no_history_of_a_tick_is_written_while_a_command_may_still_belong_to_it() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = Duration::from_secs(2);
    let id = t.begin_ask(hold(None), None);
    let meant_for = 52;
    t.run_for(Duration::from_millis(1_900));
    assert!(t.tick() > 80);
    let head = kept(&t).head.clone().unwrap();
    assert_eq!(head.tick, meant_for - 1);
    assert_eq!(kept(&t).digests.keys().max(), Some(&(meant_for - 1)));
    t.shelf.commit_takes = 2 * MS;
    t.run_until(|t| t.answers.contains_key(&id));
    let at = stamp(&t.answers[&id]).tick;
    assert!(at > 85);
    t.run_for(Duration::from_secs(10));
    assert!(kept(&t).head.as_ref().unwrap().tick > at);
    let digests = &kept(&t).digests;
    let last = *digests.keys().max().unwrap();
    assert!(
        digests.keys().copied().eq(0..=last),
        "each once, none missing"
    );
    let expected = expected_digests(&at_real_time(), last, &[(at, 1, 1)]);
    assert!(digests.values().all(|d| expected[&d.tick] == d.digest));
}

/// A run whose command was kept for tick 52 too late, and whose later place the store does not keep yet.
fn between_two_places() -> Testbed {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = Duration::from_secs(2);
    let id = t.begin_ask(hold(None), None);
    t.run_until(|t| !kept(t).commands.is_empty());
    t.shelf.commit_takes = 2 * MS;
    t.run_for(Duration::from_millis(1_900));
    assert!(t.tick() > 120 && !t.answers.contains_key(&id));
    assert_eq!(kept(&t).commands[&1].0.tick, 52);
    t
}

#[test]
fn history_is_held_at_the_place_that_is_kept_until_the_later_one_is() {
    let mut t = between_two_places();
    assert_eq!(kept(&t).head.as_ref().unwrap().tick, 51);
    assert_eq!(kept(&t).digests.keys().max(), Some(&51));
    t.run_for(Duration::from_millis(300));
    let at = kept(&t).commands[&1].0.tick;
    assert!(at > 90, "{at}");
    assert!(kept(&t).head.as_ref().unwrap().tick > 52);
}

#[test]
fn a_crash_between_two_places_of_a_command_brings_it_back_where_it_was_kept() {
    let t = between_two_places();
    let recovered = kept(&t).recovered(&at_real_time());
    let mut t = Testbed::plain();
    t.recover(recovered).unwrap();
    t.join();
    t.run_for(Duration::from_secs(3));
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!(
        (info.status, info.cause),
        (Status::Running, Cause::Requested)
    );
    assert!(info.tick > 70);
    let expected = expected_digests(&at_real_time(), info.tick, &[(52, 1, 1)]);
    let digests = t.digests();
    assert!(digests.contains_key(&info.tick));
    assert!(digests.iter().all(|(tick, d)| expected[tick] == *d));
}

#[test]
fn a_command_that_never_gets_a_place_in_time_is_taken_back() {
    let spec = Spec {
        speed: Speed::Milli(1_000_000),
        ..at_real_time()
    };
    let mut t = started(spec);
    t.run_until(|t| t.tick() > 50);
    t.shelf.commit_takes = 100 * MS;
    let id = t.begin_ask(hold(None), None);
    while !t.answers.contains_key(&id) {
        // Each commit takes longer than the one before it let expect.
        let longest = Duration::from_secs(7);
        t.shelf.commit_takes = (t.shelf.commit_takes * 3).min(longest);
        let writes = t.shelf.writes.len();
        while t.shelf.writes.len() == writes {
            t.run_for(100 * MS);
        }
    }
    assert_eq!(refusal(&t.answers[&id]), RefusalKind::StoreUnavailable);
    let writes = &t.shelf.writes;
    let commands = writes
        .iter()
        .filter(|w| matches!(w, Change::Command { .. }));
    assert_eq!(commands.count(), MAX_STAMPS as usize);
    assert!(matches!(
        writes.last(),
        Some(Change::Withdraw { seq: 1, .. })
    ));
    assert!(kept(&t).commands.is_empty());
    // A tick that was named is not changed.
    t.shelf.commit_takes = 100 * MS;
    let next = t.tick() + 500;
    let answer = t.ask(hold(Some(next)));
    assert_eq!(refusal(&answer), RefusalKind::TickPassed);
    assert!(kept(&t).commands.is_empty());
}

#[test]
fn many_commands_are_under_way_at_once_and_apply_in_the_order_they_were_asked() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = 50 * MS;
    let far = Some(200);
    let ids: Vec<u64> = (0..100).map(|_| t.begin_ask(hold(far), None)).collect();
    t.run_until(|t| ids.iter().all(|id| t.answers.contains_key(id)));
    let groups = t.now;
    let seqs = ids.iter().map(|id| stamp(&t.answers[id]).seq);
    assert!(seqs.eq(1..=100));
    assert!(groups < Duration::from_secs(4), "committed together");
    t.run_until(|t| t.tick() == 201);
    let applied: Vec<_> = (1..=100).map(|seq| (200, seq, 1)).collect();
    let expected = expected_digests(&at_real_time(), 201, &applied);
    assert_eq!(t.digests()[&201], expected[&201]);
}

#[test]
fn a_repeated_key_answers_the_same_and_does_nothing_more() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 10);
    t.shelf.commit_takes = 130 * MS;
    let answer = |t: &mut Testbed, ask: Ask, key: Option<Idempotency>| {
        let id = t.begin_ask(ask, key);
        t.run_until(|t| t.answers.contains_key(&id));
        t.answers[&id].clone()
    };
    let first = answer(&mut t, hold(None), key("a", 1));
    let again = answer(&mut t, hold(None), key("a", 1));
    assert_eq!(first, again);
    assert_eq!(kept(&t).commands.len(), 1);
    let other = answer(&mut t, hold(None), key("a", 2));
    assert_eq!(refusal(&other), RefusalKind::KeyReused);
    let first = answer(&mut t, Ask::Pause(SIM), key("b", 1));
    assert!(matches!(&first, Answer::Simulation(info) if info.status == Status::Paused));
    answer(&mut t, Ask::Resume(SIM), None);
    t.run_for(Duration::from_secs(1));
    // A pause would be possible again, and is not done.
    let again = answer(&mut t, Ask::Pause(SIM), key("b", 1));
    assert_eq!(first, again);
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Running);
    let bad = answer(&mut t, Ask::Pause(SIM), key("", 1));
    assert_eq!(refusal(&bad), RefusalKind::Invalid);
}

#[test]
fn a_repeated_key_answers_the_same_where_it_is_possible_only_once() {
    let mut t = Testbed::durable();
    t.join();
    let answer = |t: &mut Testbed, ask: Ask, name: &str, body: u8| {
        let id = t.begin_ask(ask, key(name, body));
        t.run_until(|t| t.answers.contains_key(&id));
        t.answers[&id].clone()
    };
    let twice = |t: &mut Testbed, ask: Ask, name: &str| {
        let first = answer(t, ask.clone(), name, 1);
        t.run_for(Duration::from_secs(1));
        let writes = t.shelf.writes.len();
        assert_eq!(answer(t, ask.clone(), name, 1), first);
        let other = answer(t, ask.clone(), name, 2);
        assert_eq!(refusal(&other), RefusalKind::KeyReused);
        assert_eq!(t.shelf.writes.len(), writes);
        first
    };
    let spec = at_real_time();
    let created = twice(&mut t, Ask::Create(spec.clone()), "create");
    assert!(matches!(created, Answer::Simulation(_)));
    let again = answer(&mut t, Ask::Create(spec), "new", 1);
    assert_eq!(refusal(&again), RefusalKind::Exists);
    assert!(matches!(
        twice(&mut t, Ask::Start(SIM), "start"),
        Answer::Simulation(_)
    ));
    // The tick has passed by the time it is asked for again.
    let tick = t.tick() + 10;
    assert_eq!(stamp(&twice(&mut t, hold(Some(tick)), "at")).tick, tick);
    let resumed = answer(&mut t, Ask::Resume(SIM), "resume", 1);
    assert_eq!(refusal(&resumed), RefusalKind::InvalidTransition);
    t.ask(Ask::Pause(SIM));
    // What was refused has not used its key.
    let resumed = twice(&mut t, Ask::Resume(SIM), "resume");
    assert!(matches!(resumed, Answer::Simulation(_)));
    assert!(matches!(
        twice(&mut t, Ask::Stop(SIM), "stop"),
        Answer::Simulation(_)
    ));
    assert_eq!(twice(&mut t, Ask::Delete(SIM), "delete"), Answer::Done);
}

#[test]
fn in_an_outage_what_was_begun_is_answered_when_its_fate_is_known_and_the_rest_at_once() {
    let mut t = started(Spec {
        late: LatePolicy::Fail,
        ..at_real_time()
    });
    t.run_until(|t| t.tick() == 10);
    t.shelf.fault = Some(StoreFault::Unavailable);
    let begun = t.begin_ask(hold(None), None);
    let waits = [hold(None), Ask::Pause(SIM), Ask::Stop(SIM)].map(|ask| t.begin_ask(ask, None));
    t.run_for(COMMIT_PATIENCE - 10 * MS);
    assert!(waits.iter().all(|id| !t.answers.contains_key(id)));
    assert_eq!(t.tick(), 10, "it may be kept yet that it stands there");
    t.run_for(200 * MS);
    for id in waits {
        assert_eq!(refusal(&t.answers[&id]), RefusalKind::StoreUnavailable);
    }
    t.run_for(Duration::from_secs(2));
    let info = t.core.simulation(SIM).unwrap();
    assert!(info.tick > 40, "the run goes on");
    assert_eq!(info.late_ticks, 0, "nothing was due while it stood");
    assert!(!t.answers.contains_key(&begun));
    t.run_for(Duration::from_secs(60));
    t.shelf.fault = None;
    t.run_until(|t| t.answers.contains_key(&begun));
    let at = stamp(&t.answers[&begun]);
    assert_eq!((at.seq, t.shelf.kept[&SIM].commands.len()), (1, 1));
    t.run_for(Duration::from_secs(2));
    let digests = &kept(&t).digests;
    let last = *digests.keys().max().unwrap();
    assert!(
        digests.keys().copied().eq(0..=last),
        "nothing of the outage is lost"
    );
    let expected = expected_digests(&at_real_time(), last, &[(at.tick, 1, 1)]);
    assert_eq!(digests[&last].digest, expected[&last]);
}

#[test]
fn a_full_disk_refuses_at_once_what_it_is_known_not_to_have_kept() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 10);
    t.shelf.fault = Some(StoreFault::DiskFull);
    let asked = [hold(None), Ask::Pause(SIM)].map(|ask| t.begin_ask(ask, None));
    t.run_for(COMMIT_PATIENCE + 200 * MS);
    for id in asked {
        assert_eq!(refusal(&t.answers[&id]), RefusalKind::StoreUnavailable);
    }
    t.shelf.fault = None;
    let refused_at = t.tick();
    t.run_for(Duration::from_secs(2));
    assert!(kept(&t).commands.is_empty());
    assert!(
        kept(&t).head.as_ref().unwrap().tick > refused_at + 30,
        "nothing holds history back"
    );
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Running);
}

/// A run that completes while the store keeps a change of it, and what that is answered.
fn completed_during(speed: Option<Speed>) -> (Testbed, Answer) {
    let mut t = started(Spec {
        max_ticks: Some(60),
        ..at_real_time()
    });
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = Duration::from_secs(2);
    let id = t.begin_ask(
        Ask::Change {
            simulation: SIM,
            speed,
            name: Some("new".to_owned()),
        },
        None,
    );
    t.run_for(Duration::from_secs(1));
    let info = t.core.simulation(SIM).unwrap();
    assert!(info.status == Status::Completed && info.ended_at_us.is_some());
    t.run_until(|t| t.answers.contains_key(&id));
    t.run_for(Duration::from_secs(1));
    let answer = t.answers[&id].clone();
    (t, answer)
}

#[test]
fn a_run_that_ends_while_it_is_renamed_keeps_when_it_ended() {
    let (t, answer) = completed_during(None);
    assert!(matches!(answer, Answer::Simulation(_)), "{answer:?}");
    let info = t.core.simulation(SIM).unwrap();
    let state = kept(&t).state.as_ref().unwrap();
    assert_eq!((&*info.spec.name, &*state.name), ("new", "new"));
    assert_eq!(state.status, Status::Completed);
    assert!(info.ended_at_us.is_some());
    assert_eq!(state.ended_at_us, info.ended_at_us);
}

#[test]
fn nothing_stays_of_a_change_that_was_kept_and_became_impossible() {
    let (t, answer) = completed_during(Some(Speed::Milli(2_000)));
    assert_eq!(refusal(&answer), RefusalKind::InvalidTransition);
    let info = t.core.simulation(SIM).unwrap();
    let state = kept(&t).state.as_ref().unwrap();
    assert_eq!((&*info.spec.name, &*state.name), ("test", "test"));
    assert_eq!(state.speed, Speed::REAL);
    assert_eq!(state.status, Status::Completed);
    assert_eq!(state.ended_at_us, info.ended_at_us);
}

#[test]
fn history_is_whole_numbered_and_says_where_the_run_stands() {
    let spec = Spec {
        max_ticks: Some(300),
        digest_every: 1,
        ..cut()
    };
    let mut t = started(spec.clone());
    t.run_until(|t| t.core.simulation(SIM).unwrap().settled);
    t.run_for(Duration::from_secs(1));
    let kept = kept(&t);
    let state = kept.state.as_ref().unwrap();
    assert_eq!(
        (state.status, state.cause),
        (Status::Completed, Cause::LastTick)
    );
    assert!(state.ended_at_us > state.started_at_us);
    assert_eq!(kept.head.as_ref().unwrap().tick, 300);
    let expected = expected_digests(&spec, 300, &[]);
    let found = kept.digests.values().map(|d| (d.tick, d.digest));
    assert!(found.eq(expected.into_iter()));
    let seqs: Vec<u64> = kept
        .events
        .keys()
        .filter(|k| k.0 == Log::System)
        .map(|k| k.1)
        .collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
    let texts: Vec<&str> = kept.events.values().map(|e| &*e.text).collect();
    assert_eq!(texts[0], r#"{"status":"created","cause":"requested"}"#);
    assert!(texts.iter().any(|t| t.contains("settled")));
    let entities = spec.config.entities;
    assert!(kept.entities.keys().copied().eq(1..=entities));
    let metrics = kept.metrics.last().unwrap();
    assert_eq!(metrics.tick, 300);
    assert!(metrics.stages.iter().any(|s| s.stage == "compute"));
}

#[test]
fn at_half_the_bound_a_run_waits_for_a_slow_store_and_at_the_bound_it_is_paused_by_a_failing_one() {
    let spec = Spec {
        speed: Speed::Max,
        max_ticks: None,
        digest_every: 1,
        ..whole(2)
    };
    // A digest a tick fills the backlog.
    let mut t = started(spec);
    t.shelf.append_takes = Duration::from_secs(400);
    let backlog = |t: &Testbed| t.core.snapshot(t.now).backlog_bytes;
    let half = orchestrator::limits::MAX_BACKLOG_BYTES as u64 / 2;
    pass_until(&mut t, |t| backlog(t) >= half);
    t.run_for(100 * MS);
    let stands_at = t.tick();
    t.run_for(Duration::from_secs(2));
    assert_eq!(t.tick(), stands_at);
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Running);
    t.shelf.append_takes = 2 * MS;
    pass_until(&mut t, |t| t.tick() > stands_at);
    t.shelf.fault = Some(StoreFault::DiskFull);
    pass_until(&mut t, |t| {
        t.core.simulation(SIM).unwrap().status == Status::Paused
    });
    assert_eq!(t.core.simulation(SIM).unwrap().cause, Cause::DiskFull);
    assert!(backlog(&t) >= 2 * half && backlog(&t) < 2 * half + (8 << 20));
    t.shelf.fault = None;
    pass_until(&mut t, |t| backlog(t) == 0);
    assert_eq!(kept(&t).state.as_ref().unwrap().cause, Cause::DiskFull);
    assert!(matches!(t.ask(Ask::Resume(SIM)), Answer::Simulation(_)));
    let at = t.tick();
    pass_until(&mut t, |t| t.tick() > at + 1_000);
    t.run_for(Duration::from_secs(1));
    assert_eq!(kept(&t).state.as_ref().unwrap().status, Status::Running);
}

#[test]
fn one_that_lost_the_database_does_nothing_more() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 10);
    let reason = "another one owns it".to_owned();
    t.shelf.fault = Some(StoreFault::Over { reason });
    let id = t.begin_ask(hold(None), None);
    t.run_for(Duration::from_secs(1));
    assert_eq!(t.core.ended(), Some("another one owns it"));
    let at = t.tick();
    t.run_for(Duration::from_secs(2));
    assert_eq!(t.tick(), at);
    assert_eq!(refusal(&t.answers[&id]), RefusalKind::Ending);
    assert_eq!(refusal(&t.ask(Ask::Pause(SIM))), RefusalKind::Ending);
    assert!(t.core.poll_write().is_none() && t.core.poll_batch().is_none());
}

#[test]
fn a_run_that_may_not_be_late_is_not_while_all_are_held_back_for_the_store() {
    let spec = Spec {
        speed: Speed::Max,
        late: LatePolicy::Fail,
        ..at_real_time()
    };
    let mut t = started(spec);
    t.shelf.append_takes = Duration::from_secs(400);
    let half = orchestrator::limits::MAX_BACKLOG_BYTES as u64 / 2;
    pass_until(&mut t, |t| t.core.snapshot(t.now).backlog_bytes >= half);
    t.ask(Ask::Change {
        simulation: SIM,
        speed: Some(Speed::REAL),
        name: None,
    });
    t.run_for(100 * MS);
    let stands_at = t.tick();
    t.run_for(Duration::from_secs(5));
    // A worker that comes makes every run look at what it is to do.
    t.join();
    assert_eq!(t.tick(), stands_at);
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Running);
    t.shelf.append_takes = 2 * MS;
    pass_until(&mut t, |t| t.tick() > stands_at);
    let goes_on = t.now;
    pass_until(&mut t, |t| t.tick() >= stands_at + 40);
    assert!(t.now - goes_on >= 38 * 50 * MS, "nothing is made up for");
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.late_ticks), (Status::Running, 0));
    assert_eq!(info.dilated_ms, 0);
}

#[test]
fn a_run_that_may_not_be_late_is_not_while_the_orchestrator_ends() {
    let mut t = started(Spec {
        late: LatePolicy::Fail,
        ..at_real_time()
    });
    t.run_until(|t| t.tick() == 20);
    t.control(orchestrator::Orchestrator::begin_shutdown);
    t.run_for(Duration::from_secs(5));
    t.join();
    t.run_for(Duration::from_secs(1));
    assert!(t.core.is_at_rest());
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Running);
    assert_eq!(kept(&t).state.as_ref().unwrap().status, Status::Running);
}

#[test]
fn what_a_batch_says_of_a_run_never_outlives_what_was_asked_of_it_since() {
    let spec = Spec {
        speed: Speed::Max,
        ..at_real_time()
    };
    let mut t = started(spec);
    t.shelf.fault = Some(StoreFault::Unavailable);
    pass_until(&mut t, |t| {
        t.core.simulation(SIM).unwrap().status == Status::Paused
    });
    t.shelf.fault = None;
    t.shelf.append_takes = 50 * MS;
    t.run_until(|t| t.shelf.is_stating());
    // The batch is written long after the commit would have been.
    let id = t.begin_ask(Ask::Resume(SIM), None);
    t.run_until(|t| t.answers.contains_key(&id));
    assert!(matches!(t.answers[&id], Answer::Simulation(_)));
    assert_eq!(kept(&t).state.as_ref().unwrap().status, Status::Running);
    t.run_for(Duration::from_secs(1));
    assert_eq!(kept(&t).state.as_ref().unwrap().status, Status::Running);
}

#[test]
fn a_pause_ends_a_step_at_the_present_tick() {
    let mut t = started(Spec {
        speed: Speed::Max,
        ..at_real_time()
    });
    t.ask(Ask::Pause(SIM));
    let from = t.tick();
    t.ask(Ask::Step(SIM, 1 << 30));
    pass_until(&mut t, |t| t.tick() > from + 100);
    t.shelf.commit_takes = 200 * MS;
    let Answer::Simulation(paused) = t.ask(Ask::Pause(SIM)) else {
        panic!("it is not paused");
    };
    assert_eq!(paused.status, Status::Paused);
    t.run_for(Duration::from_secs(1));
    assert_eq!(t.tick(), paused.tick, "it went no further");
    let state = kept(&t).state.as_ref().unwrap();
    assert_eq!(
        (state.status, state.cause),
        (Status::Paused, Cause::Requested)
    );
    assert_eq!(state.step_until, Some(paused.tick));
    // It stands, and there is nothing to pause any more.
    assert_eq!(
        refusal(&t.ask(Ask::Pause(SIM))),
        RefusalKind::InvalidTransition
    );
    // The next step begins there.
    t.ask(Ask::Step(SIM, 3));
    t.run_for(Duration::from_secs(1));
    assert_eq!(t.tick(), paused.tick + 3);
}

#[test]
fn a_run_that_steps_is_paused_by_a_full_database_and_does_not_step_on() {
    let spec = Spec {
        speed: Speed::Max,
        ..at_real_time()
    };
    let mut t = started(spec);
    t.ask(Ask::Pause(SIM));
    t.ask(Ask::Step(SIM, 1 << 30));
    t.shelf.fault = Some(StoreFault::DiskFull);
    pass_until(&mut t, |t| {
        t.core.simulation(SIM).unwrap().cause == Cause::DiskFull
    });
    t.run_for(Duration::from_secs(1));
    let stands_at = t.tick();
    t.shelf.fault = None;
    pass_until(&mut t, |t| t.core.snapshot(t.now).backlog_bytes == 0);
    t.run_for(Duration::from_secs(1));
    assert_eq!(t.tick(), stands_at);
    let kept = kept(&t);
    let state = kept.state.as_ref().unwrap();
    assert_eq!(
        (state.status, state.cause),
        (Status::Paused, Cause::DiskFull)
    );
    assert_eq!(state.step_until, Some(stands_at));
    let said = |e: &LogEvent| e.text.contains("disk_full");
    assert_eq!(kept.events.values().filter(|e| said(e)).count(), 1);
}

#[test]
fn one_that_this_build_cannot_go_on_with_is_left_to_another_as_it_is() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 30);
    t.run_for(Duration::from_secs(1));
    let before = kept(&t).clone();
    let recovered = Recovered {
        cut: None,
        commands: Vec::new(),
        ..before.recovered(&at_real_time())
    };
    let mut t = Testbed::durable();
    t.shelf.kept.insert(SIM, before.clone());
    t.control(|core, now| core.recover_as_failed(now, recovered, "another kernel"));
    t.run_for(Duration::from_secs(1));
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!(
        (info.status, info.cause),
        (Status::Failed, Cause::Unrecoverable)
    );
    assert_eq!(kept(&t).state, before.state);
    let said = kept(&t).events.values().last().unwrap();
    assert!(said.text.contains("another kernel"), "{}", said.text);
    // Not even by what can be asked of one that has ended.
    t.ask(Ask::Change {
        simulation: SIM,
        speed: None,
        name: Some("other".to_owned()),
    });
    t.run_for(Duration::from_secs(1));
    let expected = State {
        name: "other".to_owned(),
        ..before.state.unwrap()
    };
    assert_eq!(kept(&t).state.as_ref(), Some(&expected));
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, &*info.spec.name), (Status::Failed, "other"));
    assert!(info.ended_at_us.is_some());
}

#[test]
fn no_more_farms_are_cut_at_once_for_forks_than_for_creations() {
    let mut t = started(at_real_time());
    t.run_until(|t| t.tick() == 50);
    t.run_for(Duration::from_secs(1));
    for n in 0..=MAX_CHORES as u64 {
        let ask = Ask::Fork {
            simulation: SIM,
            child: SimulationId(1_000 + u128::from(n)),
            name: None,
            tick: Some(10),
        };
        let request = Request {
            id: 1_000 + n,
            token: 0,
            idempotency: None,
            ask,
        };
        // Nobody carries the chores out meanwhile.
        t.core.handle_request(t.now, Asker::Local, request);
    }
    let (_, last) = t.core.poll_response().expect("one is too many");
    assert_eq!(last.id, 1_000 + MAX_CHORES as u64);
    assert_eq!(refusal(&last.answer), RefusalKind::OverCapacity);
    assert!(t.core.poll_response().is_none());
    assert_eq!(
        std::iter::from_fn(|| t.core.poll_chore()).count(),
        MAX_CHORES
    );
}
