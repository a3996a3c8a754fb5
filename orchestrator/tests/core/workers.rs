//! Who is let in, who is sent away.

use std::time::Duration;

use kernel::aggregate::Aggregate;
use kernel::config::KERNEL_VERSION;
use orchestrator::control::{ControlError, Spec, Speed, WorkerId};
use orchestrator::event::Event;
use transport::header::{Header, Kind, SCHEMA_HASH};
use transport::message::{Register, ResultExtras, ResultFixed};

use crate::fake_worker::{checkpoint, header, honest_sums, registration};
use crate::testbed::{SIM, Testbed, partitions_of, whole};

#[test]
fn a_worker_of_another_build_is_refused_and_told_what_differs() {
    let others = [
        Register {
            protocol_version: 9,
            ..registration()
        },
        Register {
            kernel_version: KERNEL_VERSION + 1,
            ..registration()
        },
        Register {
            schema_hash: SCHEMA_HASH ^ 1,
            ..registration()
        },
    ];
    for (register, names) in others.into_iter().zip(["protocol", "kernel", "schema"]) {
        let mut t = Testbed::plain();
        let peer = t.join_as(&register);
        let worker = t.worker(peer);
        assert_eq!(worker.id, None);
        let reason = worker.refused.clone().expect("told why");
        assert!(reason.contains(names), "{reason}");
        assert!(worker.disconnected.is_some());
        let refused = |e: &Event| matches!(e, Event::WorkerRefused { .. });
        assert!(t.events.iter().any(refused));
    }
}

#[test]
fn a_worker_that_falls_silent_is_lost() {
    let mut t = Testbed::plain();
    let peer = t.join();
    t.worker(peer).mute = true;
    t.run_until(|t| t.workers[&peer].disconnected.is_some());
    assert!(
        t.events
            .iter()
            .any(|e| matches!(e, Event::WorkerLost { .. }))
    );
    let unknown = t.control(|core, now| core.drain(now, WorkerId(1)));
    assert_eq!(
        unknown,
        Err(ControlError::UnknownWorker {
            worker: WorkerId(1)
        })
    );
}

#[test]
fn a_connection_that_never_registers_is_closed() {
    use transport::link::{LinkCommand, LinkEvent, PeerId, Role};
    let mut t = Testbed::plain();
    let peer = PeerId(77);
    let (role, name) = (Role::Worker, String::new());
    t.core
        .handle_link(t.now, LinkEvent::Connected { peer, role, name });
    let due = t.core.poll_timeout().unwrap();
    t.core.handle_timeout(due);
    let closed = t.core.poll_transmit();
    assert!(matches!(closed, Some(LinkCommand::Disconnect { peer: p, .. }) if p == peer));
}

#[test]
fn a_stranger_is_not_heard() {
    let mut t = Testbed::plain();
    t.join();
    t.start(whole(1));
    t.deliver(99, transport::frame::Frame::bare(header(Kind::Result)));
    assert_eq!(t.core.snapshot(t.now).unexpected_frames, 1);
}

#[test]
fn a_worker_that_sends_what_no_correct_one_does_is_sent_away() {
    let mut t = Testbed::plain();
    let first = t.join();
    let second = t.join();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(2)
    });
    t.run_until(|t| t.tick() == 5);
    // Both owe tick 6 now; the first claims to have stepped three ticks.
    t.worker(first).mute = true;
    t.run_until(|t| t.workers[&first].dispatches.len() == 7);
    let partition = t.worker(first).dispatches[6].1.work[0].partition;
    let fixed = ResultFixed {
        aggregate: honest_sums(12),
        stepped: 3,
        ..ResultFixed::default()
    };
    let address = Header {
        simulation: SIM,
        tick: 6,
        partition,
        placement_epoch: 1,
        ticks: 1,
        ..header(Kind::Result)
    };
    let frame =
        transport::result::write(&t.pool, address, &fixed, &ResultExtras::default()).unwrap();
    t.deliver(first, frame);
    let reason = t.worker(first).disconnected.clone().expect("sent away");
    assert!(reason.contains("stepped 3 ticks where 1"), "{reason}");
    t.run_until(|t| t.tick() == 6);
    assert_eq!(partitions_of(&t, second), 2);
}

#[test]
fn no_worker_at_all_is_said_once_and_waited_for() {
    let mut t = Testbed::plain();
    t.start(Spec {
        speed: Speed::REAL,
        ..whole(1)
    });
    t.control(|core, now| core.set_speed(now, SIM, Speed::Max))
        .unwrap();
    let said = t
        .events
        .iter()
        .filter(|e| matches!(e, Event::NoWorker { .. }));
    assert_eq!(said.count(), 1);
    t.now += Duration::from_secs(60);
    t.join();
    t.run_until(|t| t.tick() > 10);
}

#[test]
fn a_registration_that_no_worker_makes_is_refused() {
    let name = "w".repeat(65);
    for (register, names) in [
        (
            Register {
                threads: u32::MAX,
                ..registration()
            },
            "threads: 4294967295 is not from 1 to 1024",
        ),
        (
            Register {
                threads: 0,
                ..registration()
            },
            "threads: 0",
        ),
        (
            Register {
                name,
                ..registration()
            },
            "name: 65 bytes are more than 64",
        ),
    ] {
        let mut t = Testbed::plain();
        let peer = t.join_as(&register);
        let reason = t.worker(peer).refused.clone().expect("told why");
        assert!(reason.contains(names), "{reason}");
    }
}

#[test]
fn sums_that_are_not_those_of_the_rows_send_a_worker_away() {
    let honest = honest_sums(12);
    let lies: [fn(&mut Aggregate); 5] = [
        |s| s.rows += 1,
        |s| s.by_state[1] = u64::MAX,
        |s| s.by_charge[3] = 1,
        |s| s.charge_sum = i64::MAX,
        |s| s.counters.ghosts = u64::MAX,
    ];
    for lie in lies {
        let mut t = Testbed::plain();
        let (first, second) = (t.join(), t.join());
        let mut sums = honest;
        lie(&mut sums);
        t.worker(first).sums = Some(sums);
        t.start(whole(2));
        t.run_until(|t| t.tick() > 3);
        let reason = t.worker(first).disconnected.clone().expect("sent away");
        assert!(reason.contains("sums are not those of 12"), "{reason}");
        assert_eq!(partitions_of(&t, second), 2);
    }
}

#[test]
fn a_checkpoint_of_the_last_tick_there_is_is_nothing() {
    let mut t = Testbed::plain();
    let peer = t.join();
    t.start(whole(1));
    t.run_until(|t| t.tick() > 3);
    let address = Header {
        simulation: SIM,
        tick: u64::MAX,
        placement_epoch: 1,
        ..header(Kind::Checkpoint)
    };
    t.deliver(peer, checkpoint(address, 7));
    t.run_until(|t| t.tick() > 100);
}
