//! Ticks that come late: how many they are, and how that is said.

use std::time::Duration;

use orchestrator::control::{Spec, Speed, Status};
use orchestrator::event::Event;
use orchestrator::limits::LATE_EVERY;
use transport::control::{Ask, event_kind};

use crate::testbed::{MS, SIM, START_US, Testbed, whole};

/// A run at the pace of life, its only worker, and a gateway that listens.
fn listened(max_ticks: u64) -> (Testbed, u64, u64) {
    let mut t = Testbed::plain();
    // What is published says when.
    t.core.handle_wall(t.now, START_US);
    let worker = t.join();
    let gateway = t.listen();
    t.start(Spec {
        speed: Speed::REAL,
        max_ticks: Some(max_ticks),
        ..whole(2)
    });
    let subscribe = Ask::Subscribe {
        simulation: SIM,
        view_hz: 0,
    };
    t.ask_from(gateway, subscribe, None);
    (t, worker, gateway)
}

/// Lets time pass, in which all say that they are there.
fn pass_until(t: &mut Testbed, done: impl Fn(&Testbed) -> bool) {
    let limit = t.now + Duration::from_secs(60);
    while !done(t) {
        assert!(t.now < limit, "at tick {}: {:?}", t.tick(), t.events.last());
        t.run_for(20 * MS);
    }
}

/// The worker does not answer what it is sent after a tick, until that is sent to it once more.
fn hang(t: &mut Testbed, worker: u64, tick: u64) {
    pass_until(t, |t| t.tick() >= tick);
    t.worker(worker).mute = true;
    let sent = t.workers[&worker].dispatches.len();
    pass_until(t, |t| t.workers[&worker].dispatches.len() > sent);
    t.worker(worker).mute = false;
}

fn settle(t: &mut Testbed) {
    let is_settled = |event: &Event| matches!(event, Event::Settled { .. });
    pass_until(t, |t| t.events.iter().any(is_settled));
}

/// Windows with late ticks: how many were, and how late the last of them.
fn counted(t: &Testbed) -> Vec<(u64, Duration)> {
    let late = t.events.iter().filter_map(|event| match event {
        Event::Late { ticks, latency, .. } => Some((*ticks, *latency)),
        _ => None,
    });
    late.collect()
}

/// What a late event says: when, of how many ticks, and how late the worst of them was.
fn said(t: &Testbed, gateway: u64) -> Vec<(Duration, u64, Duration)> {
    let mut said = Vec::new();
    for (_, published) in &t.listener(gateway).published {
        for event in &published.events {
            let json = serde_json::from_str(&event.text).unwrap_or(serde_json::Value::Null);
            if event.kind == event_kind::SYSTEM && json["event"] == "late" {
                let number = |name: &str| json[name].as_u64().unwrap();
                said.push((
                    Duration::from_micros(published.published_at_us),
                    number("ticks"),
                    Duration::from_micros(number("latency_us")),
                ));
            }
        }
    }
    said
}

fn sum<T: std::iter::Sum>(all: impl IntoIterator<Item = T>) -> T {
    all.into_iter().sum()
}

/// Those of the last second were once never said, and of the others not the worst but the first.
#[test]
fn late_ticks_are_said_once_a_second_each_once_and_by_their_worst() {
    let (mut t, worker, gateway) = listened(400);
    for tick in [50, 150, 250, 390] {
        hang(&mut t, worker, tick);
    }
    settle(&mut t);
    let (counted, said) = (counted(&t), said(&t, gateway));
    let late = t.totals().late_ticks;
    assert!(late > 4, "{late}");
    assert_eq!(sum(counted.iter().map(|(ticks, _)| *ticks)), late);
    assert_eq!(sum(said.iter().map(|(_, ticks, _)| *ticks)), late);
    let mut counted = counted.into_iter();
    for (_, ticks, worst) in &said {
        let (mut of_it, mut found) = (0, Duration::ZERO);
        while of_it < *ticks {
            let (more, latency) = counted.next().unwrap();
            of_it += more;
            found = found.max(latency);
        }
        assert_eq!((of_it, found), (*ticks, *worst));
    }
    assert!(said.len() >= 3, "{said:?}");
    // But for the last ones, which the end of the run does not leave unsaid.
    for pair in said[..said.len() - 1].windows(2) {
        assert!(pair[1].0 - pair[0].0 >= LATE_EVERY, "{said:?}");
    }
}

#[test]
fn the_last_tick_of_a_run_is_late_like_every_other() {
    let (mut t, worker, gateway) = listened(20);
    hang(&mut t, worker, 19);
    settle(&mut t);
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.tick), (Status::Completed, 20));
    assert_eq!(t.totals().late_ticks, 1);
    let [(_, 1, latency)] = said(&t, gateway)[..] else {
        panic!("{:?}", said(&t, gateway))
    };
    assert!(latency > 50 * MS, "{latency:?}");
}
