//! Where a run stands after a pause or a stop, and that a crash does not change it.

use std::time::Duration;

use kernel::command::Action;
use orchestrator::Config;
use orchestrator::control::{
    CommandRequest, RefusalKind, SimulationId, SimulationInfo, Spec, Speed, Target,
};
use orchestrator::event::Event;
use orchestrator::fault::StoreFault;
use orchestrator::limits::MAX_SILENT_HALT;
use store::recovery::Recovered;
use transport::control::{Answer, Ask, Cause, Idempotency, Status, event_kind};

use crate::fake_worker::expected_digests;
use crate::testbed::{MS, SIM, Testbed, cut, refusal, whole};

const SECOND: Duration = Duration::from_secs(1);
/// Bytes of history that an orchestrator may hold.
const LITTLE: usize = 4 << 10;

fn at(speed: Speed) -> Spec {
    Spec {
        speed,
        digest_every: 1,
        max_ticks: None,
        ..whole(2)
    }
}

/// A run that goes, of which no history is written any more.
fn unwritten(spec: Spec, tick: u64) -> Testbed {
    let mut t = Testbed::durable();
    t.join();
    t.ask(Ask::Create(spec));
    t.ask(Ask::Start(SIM));
    t.run_until(|t| t.tick() >= tick);
    t.shelf.append_takes = Duration::from_secs(4_000);
    t.shelf.commit_takes = 130 * MS;
    t.run_until(|t| t.tick() >= 2 * tick);
    t
}

fn asked(t: &mut Testbed, ask: Ask, key: Option<&str>) -> Answer {
    let idempotency = key.map(|key| Idempotency {
        key: key.to_owned(),
        route: "POST /x".to_owned(),
        body_hash: [1; 32],
    });
    let id = t.begin_ask(ask, idempotency);
    t.run_until(|t| t.answers.contains_key(&id));
    t.answers[&id].clone()
}

fn info(answer: Answer) -> SimulationInfo {
    match answer {
        Answer::Simulation(info) => *info,
        answer => panic!("{answer:?}"),
    }
}

/// What the next orchestrator finds of a run whose orchestrator dies now.
fn found(t: &Testbed, spec: &Spec) -> Recovered {
    t.shelf.kept[&SIM].recovered(spec)
}

/// The next orchestrator, with what is kept.
fn next(before: &Testbed, recovered: Recovered) -> Testbed {
    let mut t = Testbed::durable();
    t.shelf.kept = before.shelf.kept.clone();
    t.recover(recovered).unwrap();
    t
}

/// Checks that all history up to a tick is written, and right.
fn assert_written(t: &Testbed, spec: &Spec, last: u64) {
    let kept = &t.shelf.kept[&SIM];
    assert_eq!(kept.head.as_ref().unwrap().tick, last);
    let expected = expected_digests(spec, last, &[]);
    let digests = kept.digests.values().map(|d| (d.tick, d.digest));
    assert!(digests.eq(expected), "each tick's digest, once");
}

#[test]
fn a_run_stands_at_the_tick_that_its_pause_was_answered_with() {
    for speed in [Speed::REAL, Speed::Milli(20_000), Speed::Max] {
        for key in [None, Some("k")] {
            let mut t = unwritten(at(speed), 30);
            let answered = info(asked(&mut t, Ask::Pause(SIM), key));
            assert_eq!(answered.status, Status::Paused);
            t.run_for(SECOND);
            let stands = t.core.simulation(SIM).unwrap();
            assert_eq!(
                (stands.status, stands.tick),
                (Status::Paused, answered.tick)
            );
            // It stands at once, so that what is kept is known beforehand.
            let state = t.shelf.kept[&SIM].state.clone().unwrap();
            assert_eq!(state.step_until, Some(answered.tick));
        }
    }
}

#[test]
fn a_paused_run_stands_where_it_was_said_to_after_a_crash() {
    for spec in [
        at(Speed::REAL),
        at(Speed::Max),
        Spec {
            digest_every: 1,
            ..cut()
        },
    ] {
        let mut before = unwritten(spec.clone(), 30);
        let answered = info(asked(&mut before, Ask::Pause(SIM), None));
        let kept = found(&before, &spec);
        assert!(kept.head_tick < answered.tick, "its history lags");
        let mut t = next(&before, kept.clone());
        let shown = t.core.simulation(SIM).unwrap();
        assert_eq!((shown.status, shown.tick), (Status::Paused, answered.tick));
        assert_eq!(shown.replaying_to, Some(answered.tick));
        t.join();
        t.run_for(5 * SECOND);
        let stands = t.core.simulation(SIM).unwrap();
        assert_eq!(
            (stands.status, stands.tick),
            (Status::Paused, answered.tick)
        );
        assert_eq!(stands.replaying_to, None);
        let expected = expected_digests(&spec, answered.tick, &[]);
        let digest = stands.digest.unwrap();
        assert_eq!(digest.tick, answered.tick);
        assert_eq!(digest.digest, expected[&answered.tick]);
        assert_written(&t, &spec, answered.tick);
        for window in t.published() {
            let replayed = window.tick.max(1) <= kept.head_tick;
            assert_eq!(window.replayed, replayed, "tick {}", window.tick);
        }
        // It goes on from there.
        t.ask(Ask::Step(SIM, 5));
        t.run_for(SECOND);
        assert_eq!(t.tick(), answered.tick + 5);
    }
}

#[test]
fn no_command_enters_before_the_tick_at_which_a_run_was_said_to_stand() {
    let spec = at(Speed::REAL);
    let mut before = unwritten(spec.clone(), 30);
    let answered = info(asked(&mut before, Ask::Pause(SIM), None));
    let mut t = next(&before, found(&before, &spec));
    let command = |tick| {
        let (target, action) = (Target::Entity(1), Action::Hold);
        Ask::Command(
            SIM,
            CommandRequest {
                target,
                action,
                tick,
            },
        )
    };
    // Nobody is there yet who steps it.
    assert_eq!(
        refusal(&t.ask(command(Some(answered.tick)))),
        RefusalKind::TickPassed
    );
    let Answer::Stamp(stamp) = t.ask(command(None)) else {
        panic!("it is placed");
    };
    assert!(stamp.tick > answered.tick);
}

#[test]
fn a_stopped_run_has_its_history_to_its_last_tick_after_a_crash() {
    for steps in [false, true] {
        let spec = at(Speed::REAL);
        let mut before = unwritten(spec.clone(), 30);
        if steps {
            asked(&mut before, Ask::Pause(SIM), None);
            before.ask(Ask::Step(SIM, 1 << 30));
        }
        let answered = info(asked(&mut before, Ask::Stop(SIM), Some("k")));
        let kept = found(&before, &spec);
        assert!(kept.head_tick < answered.tick, "its history lags");
        let mut t = next(&before, kept);
        // As long as nobody is there who steps it, it waits.
        t.run_for(SECOND);
        assert!(!t.core.simulation(SIM).unwrap().settled);
        t.join();
        t.run_for(5 * SECOND);
        let ended = t.core.simulation(SIM).unwrap();
        assert!(ended.settled);
        assert_eq!((ended.status, ended.tick), (Status::Stopped, answered.tick));
        assert_eq!(ended.digest.unwrap().tick, answered.tick);
        assert_eq!(ended.ended_at_us, answered.ended_at_us);
        assert_written(&t, &spec, answered.tick);
        assert!(!found(&t, &spec).goes_on(), "nothing is left to be done");
    }
}

#[test]
fn a_stopped_run_of_which_only_the_last_digest_is_not_written_gets_it_after_a_crash() {
    let spec = Spec {
        digest_every: 10,
        ..at(Speed::REAL)
    };
    let mut before = Testbed::durable();
    before.join();
    before.ask(Ask::Create(spec.clone()));
    before.ask(Ask::Start(SIM));
    let written = |t: &Testbed| t.shelf.kept[&SIM].head.as_ref().map(|head| head.tick);
    before.run_until(|t| t.tick() > 30 && written(t) == Some(t.tick()));
    let answered = info(asked(&mut before, Ask::Stop(SIM), None));
    let kept = found(&before, &spec);
    assert_eq!(kept.head_tick, answered.tick);
    assert_eq!(kept.digest.unwrap().tick, 30);
    let mut t = next(&before, kept);
    t.run_for(SECOND);
    t.join();
    t.run_for(5 * SECOND);
    assert!(t.core.simulation(SIM).unwrap().settled);
    assert_written(&t, &spec, answered.tick);
    assert!(!found(&t, &spec).goes_on());
}

#[test]
fn a_run_that_is_resumed_on_its_way_to_where_it_was_said_to_stand_goes_on_as_it_runs() {
    let spec = at(Speed::REAL);
    let mut before = unwritten(spec.clone(), 30);
    asked(&mut before, Ask::Pause(SIM), None);
    // A step that takes long: nobody need wait until its end.
    before.ask(Ask::Step(SIM, 1 << 30));
    let kept = found(&before, &spec);
    let head = kept.head_tick;
    let mut t = next(&before, kept);
    t.ask(Ask::Resume(SIM));
    t.join();
    t.run_until(|t| t.tick() >= head + 60);
    let shown = t.core.simulation(SIM).unwrap();
    assert_eq!((shown.status, shown.replaying_to), (Status::Running, None));
    assert!(shown.tick < head + 100, "at its speed");
    t.ask(Ask::Pause(SIM));
    t.run_for(SECOND);
    let last = t.tick();
    assert_written(&t, &spec, last);
}

/// The next orchestrator, which holds little history, over a database that is full.
fn next_over_a_full_one(before: &Testbed, recovered: Recovered) -> Testbed {
    let mut t = Testbed::new(Config {
        verify_one_in: 0,
        rebalance: false,
        durable: true,
        cut_every: None,
        max_backlog_bytes: LITTLE,
        ..Config::default()
    });
    t.shelf.kept = before.shelf.kept.clone();
    t.recover(recovered).unwrap();
    t
}

fn backlog(t: &Testbed) -> u64 {
    t.core.snapshot(t.now).backlog_bytes
}

#[test]
fn a_run_on_its_way_to_where_it_was_said_to_stand_waits_for_a_full_database_and_then_goes_there() {
    let spec = Spec {
        digest_every: 1,
        ..cut()
    };
    let mut before = unwritten(spec.clone(), 30);
    let answered = info(asked(&mut before, Ask::Pause(SIM), None));
    for steps in [None, Some(1_000)] {
        let kept = found(&before, &spec);
        assert!(kept.head_tick + 10 < answered.tick);
        let mut t = next_over_a_full_one(&before, kept);
        // What is asked for since may be given up.
        if let Some(steps) = steps {
            t.ask(Ask::Step(SIM, steps));
        }
        t.shelf.fault = Some(StoreFault::DiskFull);
        t.join();
        t.run_for(5 * SECOND);
        let stands = t.core.simulation(SIM).unwrap();
        let cause = steps.map_or(Cause::Requested, |_| Cause::DiskFull);
        assert_eq!((stands.status, stands.cause), (Status::Paused, cause));
        assert_eq!(stands.replaying_to, Some(answered.tick), "it waits");
        t.shelf.fault = None;
        t.run_for(5 * SECOND);
        let stands = t.core.simulation(SIM).unwrap();
        assert_eq!((stands.tick, stands.replaying_to), (answered.tick, None));
        assert_written(&t, &spec, answered.tick);
        let state = t.shelf.kept[&SIM].state.clone().unwrap();
        assert_eq!(
            (state.cause, state.step_until),
            (cause, Some(answered.tick))
        );
    }
}

#[test]
fn a_step_on_which_a_crashed_run_is_waits_for_a_full_database() {
    let spec = at(Speed::Max);
    let mut before = unwritten(spec.clone(), 30);
    asked(&mut before, Ask::Pause(SIM), None);
    before.ask(Ask::Step(SIM, 1 << 30));
    let mut t = next_over_a_full_one(&before, found(&before, &spec));
    t.shelf.fault = Some(StoreFault::DiskFull);
    t.join();
    t.run_for(5 * SECOND);
    let held = backlog(&t);
    assert!(held >= LITTLE as u64, "{held}");
    t.run_for(5 * SECOND);
    assert_eq!(backlog(&t), held);
    assert_eq!(t.core.simulation(SIM).unwrap().cause, Cause::Requested);
    t.shelf.fault = None;
    let written = |t: &Testbed| t.shelf.kept[&SIM].head.as_ref().map_or(0, |head| head.tick);
    let head = written(&t);
    t.run_for(SECOND);
    assert!(written(&t) > head + 100, "it goes on");
}

#[test]
fn a_run_that_stands_for_long_before_it_is_known_whether_it_is_to_says_so_once() {
    let mut t = Testbed::durable();
    t.join();
    t.ask(Ask::Create(at(Speed::REAL)));
    t.ask(Ask::Start(SIM));
    t.run_until(|t| t.tick() == 10);
    let halting = |t: &Testbed| t.core.snapshot(t.now).halting;
    let said = |t: &Testbed| {
        let says = |e: &&Event| {
            matches!(
                e,
                Event::Halting {
                    simulation: SIM,
                    tick: 10
                }
            )
        };
        t.events.iter().filter(says).count()
    };
    assert_eq!(halting(&t), 0);
    t.shelf.fault = Some(StoreFault::Unavailable);
    let id = t.begin_ask(Ask::Pause(SIM), None);
    t.run_for(MAX_SILENT_HALT - 10 * MS);
    assert_eq!((halting(&t), said(&t)), (1, 0));
    t.run_for(200 * MS);
    assert_eq!((halting(&t), said(&t)), (1, 1));
    t.run_for(60 * SECOND);
    assert_eq!((halting(&t), said(&t), t.tick()), (1, 1, 10));
    t.shelf.fault = None;
    t.run_until(|t| t.answers.contains_key(&id));
    assert_eq!(info(t.answers[&id].clone()).tick, 10);
    assert_eq!(halting(&t), 0);
}

#[test]
fn a_run_that_is_being_taken_up_is_forked_at_what_is_kept_or_not_at_all() {
    let spec = at(Speed::REAL);
    let mut before = unwritten(spec.clone(), 30);
    let answered = info(asked(&mut before, Ask::Stop(SIM), None));
    let kept = found(&before, &spec);
    let head = kept.head_tick;
    assert!(0 < head && head < answered.tick);
    let mut t = next(&before, kept);
    let mut fork = |tick| {
        let fork = Ask::Fork {
            simulation: SIM,
            child: SimulationId(8),
            name: None,
            tick,
        };
        refusal(&asked(&mut t, fork, None))
    };
    // It shows a tick that nobody has come to yet.
    assert_eq!(fork(None), RefusalKind::TickNotKept);
    assert_eq!(fork(Some(head + 1)), RefusalKind::TickNotKept);
    assert_eq!(
        fork(Some(head)),
        RefusalKind::NotFound,
        "the store is asked"
    );
}

#[test]
fn what_was_kept_of_a_status_and_not_yet_said_in_the_log_is_said_after_a_crash_and_once() {
    let spec = at(Speed::REAL);
    for ask in [Ask::Pause(SIM), Ask::Stop(SIM)] {
        let mut before = unwritten(spec.clone(), 30);
        let answered = info(asked(&mut before, ask, None));
        let said = |t: &Testbed| {
            let events = t.shelf.kept[&SIM].events.values();
            let lifecycle = events.filter(|e| e.kind == event_kind::LIFECYCLE);
            let says = lifecycle.filter(|e| e.text.contains(answered.status.name()));
            says.map(|e| e.tick).collect::<Vec<_>>()
        };
        assert!(said(&before).is_empty(), "it was not written");
        let mut t = next(&before, found(&before, &spec));
        t.join();
        t.run_for(5 * SECOND);
        assert_eq!(said(&t), [answered.tick]);
        // As soon as it is written it is not said again.
        let mut t = next(&t, found(&t, &spec));
        t.join();
        t.run_for(5 * SECOND);
        assert_eq!(said(&t), [answered.tick]);
    }
}

/// A run that completes while the store keeps a change of its speed, and what that was answered under a key.
fn refused_when_done() -> (Testbed, Ask) {
    let spec = Spec {
        max_ticks: Some(60),
        ..at(Speed::REAL)
    };
    let mut t = Testbed::durable();
    t.join();
    t.ask(Ask::Create(spec));
    t.ask(Ask::Start(SIM));
    t.run_until(|t| t.tick() == 50);
    t.shelf.commit_takes = 2 * SECOND;
    let ask = Ask::Change {
        simulation: SIM,
        speed: Some(Speed::Milli(2_000)),
        name: None,
    };
    let answered = asked(&mut t, ask.clone(), Some("k"));
    assert_eq!(refusal(&answered), RefusalKind::InvalidTransition);
    (t, ask)
}

#[test]
fn what_was_refused_when_it_was_to_be_done_is_refused_again_under_its_key() {
    let (mut t, ask) = refused_when_done();
    let again = asked(&mut t, ask, Some("k"));
    assert_eq!(refusal(&again), RefusalKind::InvalidTransition);
}

#[test]
fn a_run_that_completed_is_completed_after_a_crash_though_it_was_renamed_before_that_was_written() {
    let spec = Spec {
        max_ticks: Some(90),
        ..at(Speed::REAL)
    };
    let mut before = unwritten(spec.clone(), 30);
    before.run_until(|t| t.core.simulation(SIM).unwrap().settled);
    let rename = Ask::Change {
        simulation: SIM,
        speed: None,
        name: Some("new".to_owned()),
    };
    asked(&mut before, rename, None);
    let kept = found(&before, &spec);
    assert_eq!(kept.state.status, Status::Completed);
    assert!(kept.head_tick < 90);
    let mut t = next(&before, kept);
    t.join();
    t.run_for(5 * SECOND);
    assert_written(&t, &spec, 90);
}
