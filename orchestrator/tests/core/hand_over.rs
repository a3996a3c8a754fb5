//! Lost, late and moved: partitions change their worker and nothing shows.

use std::time::Duration;

use kernel::command::Action;
use orchestrator::control::{CommandRequest, Spec, Speed, Status, Target};
use orchestrator::event::Event;
use orchestrator::limits::{
    FIRST_PENANCE, MAX_REPLAY_TICKS, MAX_RESTORING, MAX_WINDOW_TICKS, MIN_PATIENCE,
};
use orchestrator::{Config, Orchestrator};
use transport::header::{Header, Kind};
use transport::message::{base, want};

use crate::fake_worker::{checkpoint, expected_digests, header};
use crate::testbed::{MS, SIM, Testbed, cut, partitions_of, whole};

fn settled(t: &Testbed) -> bool {
    t.core.simulation(SIM).unwrap().settled
}

#[test]
fn a_killed_worker_changes_no_digest() {
    for spec in [whole(4), cut()] {
        for speed in [Speed::REAL, Speed::Max] {
            let spec = Spec {
                max_ticks: Some(300),
                speed,
                ..spec.clone()
            };
            let mut t = Testbed::plain();
            let first = t.join();
            t.join();
            t.create(spec.clone());
            let request = CommandRequest {
                target: Target::Entity(3),
                action: Action::Hold,
                tick: Some(70),
            };
            let stamp = t
                .control(|core, now| core.command(now, SIM, &request))
                .unwrap();
            t.control(|core, now| core.start(now, SIM)).unwrap();
            t.run_until(|t| t.tick() >= 90);
            t.kill(first);
            t.join();
            t.run_until(settled);
            let expected = expected_digests(&spec, 300, &[(70, stamp.seq, 3)]);
            assert_eq!(t.digests(), expected);
            assert!(t.totals().replays > 0);
            assert!(!t.core.snapshot(t.now).all_runs().1.histogram().is_empty());
        }
    }
}

#[test]
fn a_worker_killed_before_the_first_checkpoint_is_replayed_from_creation() {
    let spec = Spec {
        max_ticks: Some(30),
        ..cut()
    };
    let mut t = Testbed::plain();
    let first = t.join();
    let second = t.join();
    t.worker(first).no_checkpoints = true;
    t.worker(second).no_checkpoints = true;
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 10);
    t.kill(first);
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 30, &[]));
    let created = |d: &transport::message::Dispatch| {
        d.work.iter().any(|w| w.base == base::CREATE && w.ticks > 1)
    };
    assert!(t.worker(second).dispatches.iter().any(|(_, d)| created(d)));
}

#[test]
fn everyone_killed_and_replaced() {
    let spec = Spec {
        max_ticks: Some(200),
        ..cut()
    };
    let mut t = Testbed::plain();
    let (a, b) = (t.join(), t.join());
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 100);
    t.kill(a);
    t.kill(b);
    assert!(t.events.iter().any(|e| matches!(e, Event::NoWorker { .. })));
    t.now += Duration::from_secs(30);
    t.join();
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 200, &[]));
}

#[test]
fn a_run_without_checkpoints_stands_before_a_replay_is_longer_than_a_worker_takes() {
    const { assert!(MAX_REPLAY_TICKS <= worker::limits::MAX_WINDOW_TICKS) };
    let mut t = Testbed::plain();
    let first = t.join();
    t.worker(first).no_checkpoints = true;
    t.start(whole(1));
    let most = u64::from(MAX_REPLAY_TICKS);
    t.run_until(|t| t.tick() >= most - u64::from(MAX_WINDOW_TICKS));
    t.run_for(Duration::from_secs(10));
    assert!(t.tick() <= most, "it went on to {}", t.tick());
    let second = t.join();
    t.kill(first);
    // Its replay fits, and its checkpoint lets the run go on.
    t.run_until(|t| t.tick() > most);
    let longest = t
        .worker(second)
        .dispatches
        .iter()
        .map(|(_, d)| d.work[0].ticks)
        .max();
    assert!(
        longest.is_some_and(|ticks| ticks <= MAX_REPLAY_TICKS),
        "{longest:?}"
    );
}

#[test]
fn an_outage_between_windows_is_a_stall_of_its_whole_length() {
    for speed in [Speed::REAL, Speed::Max] {
        let mut t = Testbed::plain();
        let peer = t.join();
        t.start(Spec { speed, ..whole(2) });
        t.run_until(|t| t.tick() >= 5);
        t.control(|core, now| core.pause(now, SIM)).unwrap();
        t.run_for(Duration::from_secs(1));
        t.kill(peer);
        t.run_for(Duration::from_secs(20));
        // While it stood nothing was missed; from here on it waits.
        t.control(|core, now| core.resume(now, SIM)).unwrap();
        t.run_until(|t| t.events.iter().any(|e| matches!(e, Event::NoWorker { .. })));
        t.now += Duration::from_secs(10);
        t.join();
        let tick = t.tick();
        t.run_until(|t| t.tick() > tick);
        let snapshot = t.core.snapshot(t.now);
        let longest = snapshot.all_runs().1.histogram().max() / 1_000;
        assert!(
            (9_990..10_050).contains(&longest),
            "{speed:?}: {longest} ms"
        );
    }
}

#[test]
fn a_replay_is_short_once_its_cost_is_known() {
    let mut t = Testbed::plain();
    let first = t.join();
    t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..cut()
    });
    t.run_until(|t| t.tick() == 5_000);
    let before = t.totals();
    t.kill(first);
    t.run_until(|t| t.tick() == 5_001);
    let totals = t.totals();
    let replays = totals.replays - before.replays;
    let ticks = totals.replayed_ticks - before.replayed_ticks;
    // 50 us a step, two of the four parts lost, two threads left: 2,000 ticks in 100 ms.
    assert_eq!(replays, 2);
    assert!(ticks > 0 && ticks <= 2 * 2_000, "{ticks}");
}

#[test]
fn a_silent_worker_is_suspect_and_its_partitions_go_to_others() {
    let spec = Spec {
        speed: Speed::REAL,
        max_ticks: Some(400),
        ..cut()
    };
    let mut t = Testbed::plain();
    let first = t.join();
    t.join();
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 200);
    t.worker(first).mute = true;
    let begin = t.now;
    t.run_until(|t| t.tick() == 201);
    let stall = t.now - begin;
    assert!(
        stall >= MIN_PATIENCE && stall < MIN_PATIENCE + 100 * MS,
        "{stall:?}"
    );
    assert_eq!(partitions_of(&t, first), 0);
    let suspect = |e: &Event| {
        matches!(
            e,
            Event::WorkerSuspect {
                handed_over: true,
                ..
            }
        )
    };
    assert_eq!(t.events.iter().filter(|e| suspect(e)).count(), 1);
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 400, &[]));
}

#[test]
fn late_answers_of_an_old_epoch_are_dropped_and_counted() {
    let mut t = Testbed::plain();
    let first = t.join();
    t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 200);
    t.worker(first).mute = true;
    t.run_until(|t| t.tick() == 201);
    // It wakes and says what it had to say: a result of the epoch it lost.
    let frame = checkpoint(
        Header {
            simulation: SIM,
            tick: 201,
            placement_epoch: 1,
            ..header(Kind::Checkpoint)
        },
        99,
    );
    let before = t.totals().stale_results;
    let lost: Vec<u32> = t.worker(first).dispatches[0]
        .1
        .work
        .iter()
        .map(|w| w.partition)
        .collect();
    for partition in lost {
        let header = Header {
            partition,
            ..frame.header
        };
        t.deliver(first, frame.with_header(header));
    }
    assert_eq!(t.totals().stale_results, before + 2);
}

#[test]
fn a_suspect_that_answers_again_is_given_work_after_its_penance() {
    let mut t = Testbed::new(Config {
        verify_one_in: 0,
        ..Config::default()
    });
    let first = t.join();
    t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 200);
    t.worker(first).mute = true;
    t.run_until(|t| t.tick() == 201);
    t.worker(first).mute = false;
    t.run_for(FIRST_PENANCE + Duration::from_secs(2));
    assert_eq!(partitions_of(&t, first), 2);
}

#[test]
fn a_suspect_that_is_the_last_one_left_goes_on_as_soon_as_it_is_heard() {
    let mut t = Testbed::plain();
    let (first, second) = (t.join(), t.join());
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 200);
    t.worker(first).mute = true;
    t.run_until(|t| t.tick() == 201);
    t.kill(second);
    // Its penance passes while it is silent; nothing else falls due when it is heard again.
    t.run_for(FIRST_PENANCE + Duration::from_secs(1));
    assert_eq!(t.tick(), 201);
    t.worker(first).mute = false;
    t.run_for(Duration::from_millis(500));
    assert!(t.tick() > 201, "it was heard and nothing went on");
}

#[test]
fn a_change_of_speed_while_a_window_of_several_ticks_is_in_flight() {
    for resumed in [false, true] {
        let mut t = Testbed::plain();
        t.join();
        t.start(Spec {
            speed: Speed::Milli(100_000),
            ..whole(2)
        });
        t.run_until(|t| t.tick() >= 200);
        let windows = t.windows().len();
        t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks > 1);
        if resumed {
            t.control(|core, now| core.pause(now, SIM)).unwrap();
            t.control(|core, now| core.resume(now, SIM)).unwrap();
        } else {
            t.control(|core, now| core.set_speed(now, SIM, Speed::REAL))
                .unwrap();
        }
        t.run_until(|t| t.windows().len() > windows + 2);
    }
}

#[test]
fn a_worker_that_was_late_twice_is_told_what_another_takes() {
    let mut t = Testbed::plain();
    let first = t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 200);
    t.worker(first).mute = true;
    // The only one there is gets more time once, and then the same work again.
    t.run_until(|t| t.totals().replays > 0);
    assert_eq!(t.worker(first).released, 4);
}

#[test]
fn a_worker_that_answers_twice_is_counted_once() {
    for spec in [whole(2), cut()] {
        let spec = Spec {
            max_ticks: Some(100),
            ..spec
        };
        let mut t = Testbed::plain();
        let peer = t.join();
        t.worker(peer).twice = true;
        t.start(spec.clone());
        t.run_until(settled);
        assert_eq!(t.digests(), expected_digests(&spec, 100, &[]));
        assert_eq!(t.totals().ticks, 100);
        assert!(t.totals().duplicate_results > 0);
    }
}

#[test]
fn a_partition_the_worker_lost_is_restored_there() {
    let spec = Spec {
        max_ticks: Some(200),
        ..whole(2)
    };
    let mut t = Testbed::plain();
    let peer = t.join();
    t.start(spec.clone());
    t.run_until(|t| t.tick() >= 50);
    t.worker(peer).forget();
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 200, &[]));
    assert!(t.totals().unable > 0);
}

#[test]
fn a_newcomer_takes_its_share_without_a_gap() {
    let spec = Spec {
        speed: Speed::REAL,
        max_ticks: Some(300),
        ..cut()
    };
    let mut t = Testbed::new(Config {
        verify_one_in: 0,
        ..Config::default()
    });
    t.join();
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 100);
    let second = t.join();
    t.run_until(|t| partitions_of(t, second) == 2);
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 300, &[]));
    let totals = t.totals();
    assert_eq!((totals.moves, totals.late_ticks), (2, 0));
    assert!(totals.replayed_ticks <= 2, "moved with a fresh checkpoint");
}

#[test]
fn a_draining_worker_is_emptied_and_told_so() {
    for pause in [false, true] {
        let mut t = Testbed::plain();
        let first = t.join();
        t.join();
        t.start(Spec {
            speed: Speed::REAL,
            ..whole(4)
        });
        t.run_until(|t| t.tick() == 100);
        if pause {
            t.control(|core, now| core.pause(now, SIM)).unwrap();
            t.run_for(Duration::from_secs(1));
        }
        t.worker(first).draining = true;
        t.run_for(Duration::from_secs(3));
        assert_eq!(partitions_of(&t, first), 0);
        assert_eq!(t.worker(first).released, 2);
        let drained = |e: &&Event| matches!(e, Event::WorkerDrained { .. });
        assert_eq!(t.events.iter().filter(drained).count(), 1);
        assert_eq!(t.totals().late_ticks, 0);
        let status = t.core.simulation(SIM).unwrap().status;
        assert_eq!(status == Status::Paused, pause);
    }
}

#[test]
fn the_last_worker_keeps_what_it_has_while_it_drains() {
    let mut t = Testbed::plain();
    let first = t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 10);
    t.worker(first).draining = true;
    t.run_for(Duration::from_secs(2));
    assert_eq!(partitions_of(&t, first), 2);
    let second = t.join();
    t.run_for(Duration::from_secs(2));
    assert_eq!(partitions_of(&t, second), 2);
}

#[test]
fn two_simulations_share_the_workers_and_do_not_mix() {
    let mut t = Testbed::plain();
    let first = t.join();
    t.join();
    let one = Spec {
        max_ticks: Some(200),
        ..cut()
    };
    let other = Spec {
        id: transport::header::SimulationId(8),
        speed: Speed::REAL,
        max_ticks: Some(100),
        ..whole(3)
    };
    t.start(one.clone());
    t.create(other.clone());
    t.control(|core: &mut Orchestrator, now| core.start(now, other.id))
        .unwrap();
    t.run_until(|t| t.tick() == 100);
    t.kill(first);
    t.run_until(|t| settled(t) && t.core.simulation(other.id).unwrap().settled);
    let last = |id| {
        let digest = t.core.simulation(id).unwrap().digest.unwrap();
        (digest.tick, digest.digest)
    };
    assert_eq!(last(SIM), (200, expected_digests(&one, 200, &[])[&200]));
    assert_eq!(
        last(other.id),
        (100, expected_digests(&other, 100, &[])[&100])
    );
}

#[test]
fn a_hiccup_of_the_orchestrator_makes_nobody_suspect() {
    let mut t = Testbed::plain();
    t.join();
    t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 200);
    t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks == 1);
    for pause in [150, 900, 6_000] {
        // Its clock is heard first, though all results wait.
        t.core.poll_timeout();
        t.now += pause * MS;
        t.control(Orchestrator::handle_timeout);
        let blamed =
            |e: &Event| matches!(e, Event::WorkerSuspect { .. } | Event::WorkerLost { .. });
        assert!(!t.events.iter().any(blamed), "{pause} ms");
        t.run_for(Duration::from_secs(1));
        t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks == 1);
    }
    // One that is silent in truth is found out all the same.
    t.worker(1).mute = true;
    t.run_until(|t| {
        t.events
            .iter()
            .any(|e| matches!(e, Event::WorkerSuspect { .. }))
    });
}

#[test]
fn a_hand_over_of_many_partitions_is_no_burst() {
    let spec = Spec {
        speed: Speed::REAL,
        max_ticks: Some(150),
        ..whole(2 * MAX_RESTORING as u32 + 100)
    };
    let mut t = Testbed::plain();
    let (first, second) = (t.join(), t.join());
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 120);
    t.run_until(|t| t.core.snapshot(t.now).simulations[0].window_ticks == 1);
    let before = t.worker(second).dispatches.len();
    t.kill(first);
    let restored = |t: &Testbed| -> usize {
        let dispatches = t.workers[&second].dispatches[before..].iter();
        let work = dispatches.flat_map(|(_, d)| &d.work);
        work.filter(|w| w.base != base::HELD).count()
    };
    assert_eq!(restored(&t), MAX_RESTORING, "at once");
    t.run_until(|t| t.tick() == 121);
    assert_eq!(restored(&t), MAX_RESTORING + 50);
    t.run_until(settled);
    assert_eq!(t.digests(), expected_digests(&spec, 150, &[]));
    let suspect = |e: &Event| matches!(e, Event::WorkerSuspect { .. });
    assert!(!t.events.iter().any(suspect));
}

#[test]
fn a_run_waits_for_replays_of_another_run_and_goes_on_after_them() {
    let other = Spec {
        id: transport::header::SimulationId(3),
        speed: Speed::REAL,
        ..whole(2 * MAX_RESTORING as u32)
    };
    for deleted in [false, true] {
        let mut t = Testbed::plain();
        let (first, second) = (t.join(), t.join());
        t.create(other.clone());
        t.control(|core: &mut Orchestrator, now| core.start(now, other.id))
            .unwrap();
        t.start(Spec {
            speed: Speed::REAL,
            ..whole(4)
        });
        t.run_until(|t| t.tick() == 20);
        t.run_until(|t| {
            let s = t.core.snapshot(t.now);
            s.simulations.iter().all(|s| s.window_ticks == 1)
        });
        t.control(|core: &mut Orchestrator, now| core.pause(now, other.id))
            .unwrap();
        // All replays that the second may have at once are of one of them.
        t.kill(first);
        if deleted {
            t.control(|core: &mut Orchestrator, now| core.delete(now, other.id))
                .unwrap();
        }
        t.run_until(|t| t.tick() == 40);
        assert_eq!(partitions_of(&t, second), if deleted { 4 } else { 516 });
    }
}

#[test]
fn patience_with_a_worker_knows_what_other_runs_make_it_do() {
    let mut t = Testbed::plain();
    let peers = [t.join(), t.join()];
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(4)
    });
    t.run_until(|t| t.tick() == 200);
    for peer in peers {
        t.worker(peer).mute = true;
    }
    // To be created: 100,000 rows of 20 us, by two workers of two threads.
    let mut large = Spec {
        id: transport::header::SimulationId(8),
        ..whole(2)
    };
    large.config.entities = 100_000;
    large.config.partition_rows = 1_000;
    t.create(large.clone());
    t.control(|core: &mut Orchestrator, now| core.start(now, large.id))
        .unwrap();
    t.run_for(Duration::from_millis(900));
    let suspect = |e: &Event| matches!(e, Event::WorkerSuspect { .. });
    assert!(!t.events.iter().any(suspect));
    t.run_until(|t| t.events.iter().any(suspect));
}

#[test]
fn a_checkpoint_lost_with_its_worker_is_asked_for_at_once() {
    let mut t = Testbed::plain();
    let (first, second) = (t.join(), t.join());
    t.worker(first).no_checkpoints = true;
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(1)
    });
    let asked = |t: &Testbed, peer: u64| {
        let work = t.workers[&peer]
            .dispatches
            .iter()
            .flat_map(|(_, d)| &d.work);
        work.filter(|w| w.wants & want::CHECKPOINT != 0).count()
    };
    t.run_until(|t| asked(t, first) == 1);
    t.kill(first);
    let tick = t.tick();
    t.run_until(|t| asked(t, second) == 1);
    assert!(t.tick() <= tick + 1, "{} after {tick}", t.tick());
}
