//! What a run does while no worker fails: windows, deadlines, lifecycle, commands.

use std::time::Duration;

use kernel::command::Action;
use orchestrator::control::{
    CommandRequest, CommandStamp, ControlError, LatePolicy, Spec, Speed, Status, Target,
};
use orchestrator::event::Event;
use orchestrator::latency::Stage;
use transport::message::TickDigest;

use crate::fake_worker::expected_digests;
use crate::testbed::{MS, ROUND_TRIP, SIM, Testbed, cut, whole};

fn settled(t: &Testbed) -> bool {
    t.core.simulation(SIM).unwrap().settled
}

fn digest(tick: u64, digest: u64) -> TickDigest {
    TickDigest { tick, digest }
}

fn completed(spec: Spec, workers: usize) -> Testbed {
    let mut t = Testbed::plain();
    for _ in 0..workers {
        t.join();
    }
    t.start(spec);
    t.run_until(settled);
    t
}

#[test]
fn digests_are_those_of_one_piece_for_any_number_of_workers() {
    for spec in [whole(4), cut()] {
        let spec = Spec {
            max_ticks: Some(300),
            ..spec
        };
        let expected = expected_digests(&spec, 300, &[]);
        for workers in 1..=3 {
            let t = completed(spec.clone(), workers);
            assert_eq!(t.digests(), expected, "{workers} workers");
            let info = t.core.simulation(SIM).unwrap();
            assert_eq!((info.status, info.tick), (Status::Completed, 300));
            assert_eq!(info.digest, Some(digest(300, expected[&300])));
            assert_eq!(t.totals().replays, 0);
        }
    }
}

#[test]
fn every_tick_is_published_once_and_in_order() {
    for spec in [whole(4), cut()] {
        let max_ticks = Some(300);
        let t = completed(Spec { max_ticks, ..spec }, 2);
        let mut next = 1;
        for (first, last) in t.windows() {
            assert_eq!(first, next);
            next = last + 1;
        }
        assert_eq!(next, 301);
    }
}

#[test]
fn only_whole_sites_get_windows_and_they_grow() {
    let spec = |spec| Spec {
        max_ticks: Some(2_000),
        ..spec
    };
    let longest = |t: &Testbed| t.windows().iter().map(|(f, l)| l + 1 - f).max().unwrap();
    assert_eq!(longest(&completed(spec(cut()), 2)), 1);
    assert!(longest(&completed(spec(whole(2)), 2)) >= 16);
}

#[test]
fn a_mail_free_tick_is_one_frame_a_worker() {
    let mut t = Testbed::plain();
    let workers = [t.join(), t.join()];
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(6)
    });
    t.run_until(|t| t.tick() == 20);
    for peer in workers {
        let dispatches = &t.worker(peer).dispatches;
        assert_eq!(dispatches.len(), 21, "creation and 20 ticks");
        assert!(dispatches.iter().all(|(_, d)| d.work.len() == 3));
    }
}

#[test]
fn ticks_come_at_their_deadlines() {
    let mut t = Testbed::plain();
    t.join();
    t.start(Spec {
        speed: Speed::Milli(2_000),
        ..whole(1)
    });
    t.run_until(|t| t.tick() == 1);
    let begin = t.now;
    t.run_until(|t| t.tick() == 101);
    assert_eq!(t.now - begin, 100 * 25 * MS);
    assert_eq!(t.totals().late_ticks, 0);
    let snapshot = t.core.snapshot(t.now);
    let latency = snapshot.simulations[0].latencies.stage(Stage::TickLatency);
    assert_eq!(latency.len(), 101);
    assert!(latency.max() <= ROUND_TRIP.as_micros() as u64 + 10);
}

#[test]
fn the_time_to_step_is_that_of_the_slowest_not_of_the_last_to_arrive() {
    let mut t = Testbed::plain();
    let first = t.join();
    t.join();
    t.worker(first).slow_us = 1_500;
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 10);
    let snapshot = t.core.snapshot(t.now);
    let latencies = &snapshot.simulations[0].latencies;
    assert!(latencies.stage(Stage::Compute).min() >= 1_500);
}

#[test]
fn short_periods_are_dispatched_as_windows_due_at_their_last_tick() {
    let mut t = Testbed::plain();
    t.join();
    t.start(Spec {
        speed: Speed::Milli(50_000),
        ..whole(1)
    });
    t.run_until(|t| t.tick() == 50);
    let begin = t.now;
    t.run_until(|t| t.tick() == 1_050);
    assert_eq!(t.now - begin, 1_000 * MS, "a tick a ms");
    assert!(
        t.windows()
            .iter()
            .all(|(first, last)| last + 1 - first == 5)
    );
    assert_eq!(t.totals().late_ticks, 0);
}

#[test]
fn pause_asks_for_the_digest_of_the_present_and_resume_goes_on() {
    let mut t = Testbed::plain();
    t.join();
    let spec = Spec {
        speed: Speed::REAL,
        ..whole(2)
    };
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 13);
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(Duration::from_secs(5));
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.tick), (Status::Paused, 13));
    assert_eq!(
        info.digest,
        Some(digest(13, expected_digests(&spec, 13, &[])[&13]))
    );

    t.control(|core, now| core.resume(now, SIM)).unwrap();
    t.run_until(|t| t.tick() == 40);
    assert_eq!(t.totals().late_ticks, 0, "a pause makes nothing late");
    assert_eq!(t.totals().dilated, Duration::ZERO);
}

#[test]
fn steps_advance_a_paused_run_by_just_so_many_ticks() {
    let mut t = Testbed::plain();
    t.join();
    let spec = Spec {
        speed: Speed::REAL,
        ..cut()
    };
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 3);
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.control(|core, now| core.step(now, SIM, 5)).unwrap();
    t.control(|core, now| core.step(now, SIM, 2)).unwrap();
    t.run_for(Duration::from_secs(3));
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.tick), (Status::Paused, 10));
    assert_eq!(
        info.digest,
        Some(digest(10, expected_digests(&spec, 10, &[])[&10]))
    );
}

#[test]
fn stop_settles_with_a_digest_and_frees_the_workers() {
    let mut t = Testbed::plain();
    let peer = t.join();
    let spec = Spec {
        speed: Speed::REAL,
        ..whole(1)
    };
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 7);
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    t.run_until(settled);
    let expected = expected_digests(&spec, 7, &[])[&7];
    let last = t.events.last().unwrap();
    assert!(
        matches!(last, Event::Settled { digest: Some(d), tick: 7, .. } if *d == expected),
        "{last:?}"
    );
    assert_eq!(t.worker(peer).closed, 1);
}

#[test]
fn transitions_that_do_not_exist_are_refused_by_name() {
    let mut t = Testbed::plain();
    t.join();
    t.create(whole(1));
    let refused = t.control(|core, now| core.pause(now, SIM)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot pause a simulation that is created"
    );
    t.control(|core, now| core.start(now, SIM)).unwrap();
    assert!(t.control(|core, now| core.start(now, SIM)).is_err());
    assert!(t.control(|core, now| core.step(now, SIM, 1)).is_err());
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    for call in [
        orchestrator::Orchestrator::resume,
        orchestrator::Orchestrator::stop,
    ] {
        assert!(matches!(
            t.control(|core, now| call(core, now, SIM)),
            Err(ControlError::InvalidTransition { .. })
        ));
    }
}

#[test]
fn a_live_change_of_speed_takes_effect_and_changes_no_digest() {
    let mut t = Testbed::plain();
    t.join();
    let spec = Spec {
        speed: Speed::Milli(1_000),
        max_ticks: Some(4_000),
        ..whole(2)
    };
    t.start(spec.clone());
    for (tick, speed) in [
        (20, Speed::Max),
        (500, Speed::Milli(100_000)),
        (3_000, Speed::Milli(4_000)),
    ] {
        t.run_until(|t| t.tick() >= tick);
        t.control(|core, now| core.set_speed(now, SIM, speed))
            .unwrap();
    }
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 4_000, &[]));
}

#[test]
fn commands_apply_in_their_tick_by_seq() {
    for spec in [whole(4), cut()] {
        let mut t = Testbed::plain();
        t.join();
        t.join();
        let spec = Spec {
            max_ticks: Some(100),
            ..spec
        };
        t.create(spec.clone());
        let mut log = Vec::new();
        for (entity, tick) in [(5, 40), (30, 40), (5, 40), (1, 1), (48, 100)] {
            let stamp = command(&mut t, Target::Entity(entity), Some(tick)).unwrap();
            assert_eq!(stamp.tick, tick);
            log.push((tick, stamp.seq, entity));
        }
        t.control(|core, now| core.start(now, SIM)).unwrap();
        t.run_until(settled);
        assert_eq!(t.digests(), expected_digests(&spec, 100, &log));
        assert_eq!(t.totals().commands, 5);
    }
}

fn command(
    t: &mut Testbed,
    target: Target,
    tick: Option<u64>,
) -> Result<CommandStamp, ControlError> {
    let request = CommandRequest {
        target,
        action: Action::Hold,
        tick,
    };
    t.control(|core, now| core.command(now, SIM, &request))
}

#[test]
fn a_live_command_applies_a_lead_after_the_next_tick() {
    let mut t = Testbed::plain();
    t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 9);
    let stamp = command(&mut t, Target::All, None).unwrap();
    assert_eq!(stamp, CommandStamp { seq: 1, tick: 11 });
    let passed = command(&mut t, Target::Entity(1), Some(9)).unwrap_err();
    assert_eq!(passed, ControlError::TickPassed { tick: 9, next: 10 });
    let unknown = command(&mut t, Target::Entity(25), None).unwrap_err();
    assert_eq!(unknown.to_string(), "entity: 25 is not from 1 to 24");
    t.run_until(|t| t.tick() == 12);
    assert_eq!(t.totals().commands, 24);
}

#[test]
fn a_command_to_a_run_that_stands_is_for_its_next_tick() {
    let mut t = Testbed::plain();
    t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 9);
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(Duration::from_secs(1));
    let next = t.tick() + 1;
    let stamp = command(&mut t, Target::All, None).unwrap();
    assert_eq!(stamp, CommandStamp { seq: 1, tick: next });
    t.control(|core, now| core.step(now, SIM, 1)).unwrap();
    t.run_until(|t| t.tick() == next);
    assert_eq!(t.totals().commands, 24);
}

#[test]
fn behind_by_less_than_a_second_ticks_follow_back_to_back() {
    let mut t = Testbed::plain();
    let peer = t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..cut()
    });
    t.run_until(|t| t.tick() == 150);
    let due = t.now;
    // The only worker hangs: nobody can take over, so what it was sent is sent once more.
    t.worker(peer).mute = true;
    t.run_until(|t| t.workers[&peer].dispatches.len() == 152);
    t.worker(peer).mute = false;
    t.run_until(|t| t.tick() == 200);
    assert!(t.totals().late_ticks > 0);
    let on_time = due + 50 * 50 * MS;
    assert!(t.now <= on_time + 1_000 * MS, "{:?} after", t.now - on_time);
}

#[test]
fn further_behind_deadlines_are_shifted_and_counted() {
    let mut t = Testbed::plain();
    let peer = t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 5);
    t.kill(peer);
    t.run_until(|t| t.events.iter().any(|e| matches!(e, Event::NoWorker { .. })));
    t.now += Duration::from_secs(10);
    t.join();
    t.run_until(|t| t.tick() == 50);
    let dilated = t.totals().dilated;
    assert!(dilated > Duration::from_secs(8) && dilated < Duration::from_secs(10));
    assert!(t.events.iter().any(|e| matches!(e, Event::Dilated { .. })));
}

#[test]
fn an_overloaded_run_says_once_a_second_that_its_deadlines_are_shifted() {
    let mut t = Testbed::plain();
    t.join();
    t.start(Spec {
        // A tick is due every half ms, in windows of ten; an answer takes two.
        speed: Speed::Milli(100_000),
        max_ticks: Some(20_000),
        ..cut()
    });
    t.run_until(settled);
    let begin = Duration::from_secs(1);
    let said: Vec<_> = t
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Dilated { by, .. } => Some(*by),
            _ => None,
        })
        .collect();
    let seconds = (t.now - begin).as_secs() as usize;
    assert!(seconds > 20, "it was overloaded, for {seconds} s");
    assert!(said.len() <= seconds + 2, "said {} times", said.len());
    assert_eq!(said.iter().sum::<Duration>(), t.totals().dilated);
}

#[test]
fn a_run_that_must_not_be_late_fails_instead() {
    let mut t = Testbed::plain();
    let peer = t.join();
    t.start(Spec {
        speed: Speed::REAL,
        late: LatePolicy::Fail,
        parent: None,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 5);
    t.kill(peer);
    t.now += Duration::from_secs(10);
    t.join();
    t.run_until(settled);
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Failed);
}

#[test]
fn a_run_deleted_with_a_window_in_flight_is_not_dispatched_again() {
    for spec in [whole(2), cut()] {
        let mut t = Testbed::plain();
        let peers = [t.join(), t.join()];
        t.start(Spec {
            speed: Speed::REAL,
            ..spec
        });
        t.run_until(|t| t.tick() == 30);
        // The window of tick 31 is out.
        t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks == 1);
        let sent = |t: &Testbed| -> usize { t.workers.values().map(|w| w.dispatches.len()).sum() };
        let before = sent(&t);
        t.control(|core, now| core.delete(now, SIM)).unwrap();
        t.run_for(Duration::from_secs(3));
        assert_eq!(sent(&t), before);
        for peer in peers {
            assert!(t.worker(peer).closed > 0 && t.worker(peer).holds_nothing());
        }
    }
}

#[test]
fn what_comes_of_a_run_that_is_gone_is_answered_with_a_close() {
    let mut t = Testbed::plain();
    let peer = t.join();
    t.start(whole(1));
    t.run_until(|t| t.tick() > 3);
    t.worker(peer).hears_no_close = true;
    t.control(|core, now| core.delete(now, SIM)).unwrap();
    // Its control stream was faster than the one the dispatch came with.
    t.worker(peer).hears_no_close = false;
    t.run_for(Duration::from_secs(1));
    assert!(t.worker(peer).holds_nothing());
}

#[test]
fn a_run_stopped_with_a_window_in_flight_settles_without_any_worker() {
    for created in [false, true] {
        let mut t = Testbed::plain();
        let peer = t.join();
        t.start(Spec {
            speed: Speed::REAL,
            ..whole(2)
        });
        if created {
            t.run_until(|t| t.tick() == 5);
            t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks == 1);
        }
        t.kill(peer);
        t.control(|core, now| core.stop(now, SIM)).unwrap();
        let last = t.events.last().unwrap();
        assert!(
            matches!(last, Event::Settled { digest: None, .. }),
            "{last:?}"
        );
        let tick = t.core.simulation(SIM).unwrap().tick;
        assert_eq!(tick, if created { 5 } else { 0 });
    }
}

#[test]
fn a_run_stopped_while_those_left_only_drain_settles() {
    let mut t = Testbed::plain();
    let (first, second) = (t.join(), t.join());
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 5);
    t.worker(first).mute = true;
    t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks == 1);
    // What the second has goes to the first, which never answers; then the first is gone.
    t.worker(second).draining = true;
    t.heartbeats();
    t.kill(first);
    t.run_for(Duration::from_secs(1));
    assert!(!settled(&t), "nobody may take what the first had");
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    assert!(settled(&t));
}

#[test]
fn a_deletion_is_published() {
    let mut t = Testbed::plain();
    t.create(whole(1));
    t.control(|core, now| core.delete(now, SIM)).unwrap();
    let last = t.events.last().unwrap();
    assert!(matches!(last, Event::Deleted { simulation, .. } if *simulation == SIM));
}

#[test]
fn a_command_for_nobody_is_refused_by_name() {
    let mut t = Testbed::plain();
    t.join();
    t.create(whole(1));
    let refused = command(&mut t, Target::Entities(Vec::new()), None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "entities: must name at least one machine"
    );
    let stamp = command(&mut t, Target::Entity(1), None).unwrap();
    assert_eq!(stamp.seq, 1, "the refused one took no number");
}

#[test]
fn a_farm_cut_into_too_many_parts_is_refused_by_name() {
    let mut t = Testbed::plain();
    let mut spec = whole(2);
    spec.config.entities = 50_000;
    let refused = t.control(|core, now| core.create(now, spec)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "partition_rows: makes 4167 partitions, more than 2048; use larger ones"
    );
}

#[test]
fn a_command_to_many_is_one_for_each_partition_that_holds_some_of_them() {
    use kernel::command::scope;
    let mut t = Testbed::plain();
    let worker = t.join();
    t.start(whole(6));
    t.run_until(|t| t.tick() >= 5);
    let mut sent = |target| {
        let tick = t.tick() + 1_000;
        let request = CommandRequest {
            target,
            action: Action::Hold,
            tick: Some(tick),
        };
        t.control(|core, now| core.command(now, SIM, &request))
            .unwrap();
        t.run_until(|t| t.tick() >= tick);
        let work = t
            .worker(worker)
            .dispatches
            .iter()
            .flat_map(|(_, d)| &d.work);
        let commands = work.flat_map(|w| w.commands.iter().map(move |c| (w.partition, c)));
        commands
            .filter(|(_, c)| c.tick == tick)
            .map(|(p, c)| (p, c.command.scope, c.command.target))
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..6).map(|p| (p, scope::ALL, 0)).collect();
    assert_eq!(sent(Target::All), all);
    assert_eq!(sent(Target::Site(4)), [(4, scope::SITE, 4)]);
    assert_eq!(t.totals().commands, 72 + 12, "by machine");
}
