//! Who is let in, who is sent away.

use std::time::Duration;

use kernel::config::KERNEL_VERSION;
use orchestrator::control::{ControlError, Spec, Speed, WorkerId};
use orchestrator::event::Event;
use transport::header::{Header, Kind, SCHEMA_HASH};
use transport::message::{Register, ResultExtras, ResultFixed};

use crate::testbed::{SIM, Testbed, header, partitions_of, registration, whole};

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
