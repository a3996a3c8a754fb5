//! Views: how often they are asked for, and which are passed on.

use std::time::Duration;

use orchestrator::control::Speed;
use orchestrator::event::Event;
use transport::frame::Frame;
use transport::header::{Header, Kind};

use crate::fake_worker::header;
use crate::testbed::{MS, ROUND_TRIP, SIM, Testbed, whole};

const SECOND: Duration = Duration::from_secs(1);

/// A run of three partitions that goes on at this speed.
fn running(speed: Speed) -> Testbed {
    let mut t = Testbed::plain();
    t.join();
    t.start(orchestrator::control::Spec { speed, ..whole(3) });
    t.run_until(|t| t.tick() > 3);
    t
}

fn watch(t: &mut Testbed, hz: Option<u32>) {
    t.control(|core, now| core.set_view_hz(now, SIM, hz))
        .unwrap();
}

/// Ticks of the windows that were published as shown.
fn shown(t: &Testbed) -> Vec<u64> {
    let shown = t.published().filter(|w| w.has_view);
    shown.map(|w| w.tick).collect()
}

/// Ticks and partitions of the views that were passed on, in order.
fn views(t: &Testbed) -> Vec<(u64, u32)> {
    let mut views: Vec<_> = t
        .views
        .iter()
        .map(|v| (v.header.tick, v.header.partition))
        .collect();
    views.sort_unstable();
    views
}

fn of_all_partitions(ticks: &[u64]) -> Vec<(u64, u32)> {
    let of = |tick: &u64| (0..3).map(|p| (*tick, p)).collect::<Vec<_>>();
    ticks.iter().flat_map(of).collect()
}

#[test]
fn views_come_at_the_rate_that_is_wanted_of_every_partition() {
    let mut t = running(Speed::REAL);
    t.run_for(SECOND);
    assert!(shown(&t).is_empty(), "nobody watches");
    watch(&mut t, Some(10));
    t.run_for(10 * SECOND);
    watch(&mut t, None);
    t.run_for(SECOND);
    let shown = shown(&t);
    assert!((99..=102).contains(&shown.len()), "{}", shown.len());
    assert_eq!(views(&t), of_all_partitions(&shown));
}

#[test]
fn at_full_speed_most_windows_carry_no_view() {
    let mut t = running(Speed::Max);
    watch(&mut t, Some(20));
    let before = t.windows().len();
    t.run_for(2 * SECOND);
    let shown = shown(&t).len();
    assert!((39..=42).contains(&shown), "{shown}");
    assert!(t.windows().len() > before + 2 * shown);
}

#[test]
fn a_run_that_stands_is_shown_on_request_once() {
    let mut t = running(Speed::REAL);
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(SECOND);
    t.control(|core, now| core.ask_view(now, SIM)).unwrap();
    let tick = t.tick();
    t.run_for(5 * SECOND);
    assert_eq!(shown(&t), [tick]);
    assert_eq!(views(&t), of_all_partitions(&[tick]));
    let last = t.published().last().unwrap();
    assert_eq!((last.tick, last.ticks, t.tick()), (tick, 0, tick));
}

#[test]
fn a_run_that_comes_to_stand_shows_the_tick_at_which_it_does() {
    let mut t = running(Speed::REAL);
    watch(&mut t, Some(1));
    t.run_for(SECOND / 2);
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(5 * SECOND);
    let at_pause = t.tick();
    t.control(|core, now| core.step(now, SIM, 3)).unwrap();
    t.run_for(5 * SECOND);
    let ticks = shown(&t);
    assert!(ticks.contains(&at_pause), "{ticks:?}");
    assert_eq!(ticks.last(), Some(&(at_pause + 3)), "{ticks:?}");
    t.control(|core, now| core.step(now, SIM, 1)).unwrap();
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    t.run_for(SECOND);
    let ticks = shown(&t);
    let settled = |e: &Event| matches!(e, Event::Settled { .. });
    assert!(t.events.iter().any(settled));
    assert_eq!(ticks.last(), Some(&t.tick()), "the last tick of all");
    assert_eq!(views(&t), of_all_partitions(&ticks));
}

#[test]
fn a_view_that_was_lost_with_its_worker_is_asked_of_the_next() {
    let mut t = running(Speed::REAL);
    let first = *t.workers.keys().next().unwrap();
    t.control(|core, now| core.pause(now, SIM)).unwrap();
    t.run_for(SECOND);
    t.worker(first).no_views = true;
    t.control(|core, now| core.ask_view(now, SIM)).unwrap();
    t.run_for(2 * ROUND_TRIP);
    assert!(t.views.is_empty());
    t.join();
    t.kill(first);
    t.run_for(10 * MS);
    assert_eq!(views(&t), of_all_partitions(&[t.tick()]));
}

#[test]
fn a_window_that_is_sent_again_is_shown_by_who_steps_it() {
    let mut t = running(Speed::REAL);
    let first = *t.workers.keys().next().unwrap();
    watch(&mut t, Some(20));
    t.run_for(SECOND);
    t.join();
    t.worker(first).mute = true;
    let tick = t.tick();
    t.run_for(10 * SECOND);
    assert!(t.tick() > tick + 20, "it goes on");
    let late = views(&t).into_iter().filter(|(at, _)| *at > tick);
    let ticks: Vec<u64> = shown(&t).into_iter().filter(|at| *at > tick).collect();
    assert!(!ticks.is_empty());
    assert_eq!(late.collect::<Vec<_>>(), of_all_partitions(&ticks));
}

#[test]
fn a_view_that_nobody_asked_for_is_dropped_and_counted() {
    let mut t = running(Speed::REAL);
    let worker = *t.workers.keys().next().unwrap();
    let (tick, epoch) = (t.tick(), 1);
    let view = |tick, partition, placement_epoch| {
        let header = Header {
            simulation: SIM,
            tick,
            partition,
            placement_epoch,
            ..header(Kind::View)
        };
        Frame::bare(header)
    };
    for (n, frame) in [
        view(tick, 0, epoch),
        view(tick, 0, epoch + 1),
        view(tick, 9, epoch),
    ]
    .into_iter()
    .enumerate()
    {
        t.deliver(worker, frame);
        assert_eq!(t.totals().unasked_views, n as u64 + 1);
    }
    watch(&mut t, Some(20));
    t.run_for(SECOND);
    assert!(!t.views.is_empty());
    let passed_on = t.views.len();
    let again = t.views[0].clone();
    t.deliver(worker, again);
    assert_eq!(
        t.views.len(),
        passed_on,
        "one that came is not passed on again"
    );
    assert_eq!(t.totals().unasked_views, 4);
}
