//! Runs that begin where a store left them.

use std::time::Duration;

use kernel::aggregate::Aggregate;
use kernel::command::Action;
use orchestrator::Config;
use orchestrator::control::{Cause, CommandRequest, CommandStamp, Spec, Speed, Status, Target};
use orchestrator::event::Event;
use orchestrator::limits::{MAX_GATEWAY_REQUESTS, MAX_PARTITION_COMMANDS};
use store::history::{Cut, Head};
use store::recovery::Recovered;
use store::write::State;
use transport::control::{Answer, Ask, EpochBegin, Log, RefusalKind, SimulationId};
use transport::link::{DisconnectReason, LinkEvent, PeerId};
use transport::message::TickDigest;

use crate::fake_worker::expected_digests;
use crate::shelf::Kept;
use crate::testbed::{MS, SIM, Testbed, cut, refusal, whole};

const SECOND: Duration = Duration::from_secs(1);
/// Commands as the store has them: tick, number, machine.
const COMMANDS: [(u64, u64, u32); 4] = [(30, 1, 5), (42, 3, 9), (42, 4, 7), (70, 2, 5)];

fn testbed() -> Testbed {
    Testbed::new(Config {
        verify_one_in: 0,
        rebalance: false,
        cut_every: Some(SECOND),
        ..Config::default()
    })
}

fn spec(spec: Spec) -> Spec {
    Spec {
        digest_every: 1,
        speed: Speed::REAL,
        ..spec
    }
}

/// What happened before the crash: a run up to tick 60, at which all is known, and a cut of tick 40.
fn before(spec: &Spec) -> Cut {
    let mut t = testbed();
    t.join();
    t.start(spec.clone());
    t.run_until(|t| t.tick() == 10);
    for (tick, _, entity) in COMMANDS {
        if tick < 40 {
            let request = hold(entity, tick);
            t.control(|core, now| core.command(now, SIM, &request))
                .unwrap();
        }
    }
    t.run_until(|t| t.tick() == 39);
    t.control(|core, now| core.ask_cut(now, SIM)).unwrap();
    t.run_until(|t| t.cuts.last().is_some_and(|cut| cut.tick == 40));
    t.cuts.pop().unwrap()
}

fn hold(entity: u32, tick: u64) -> CommandRequest {
    CommandRequest {
        target: Target::Entity(entity),
        action: Action::Hold,
        tick: Some(tick),
    }
}

/// What the store has of such a run whose head is tick 60.
fn recovered(spec: &Spec, status: Status, cut: Option<Cut>) -> Recovered {
    let digest = expected_digests(spec, 60, &COMMANDS)[&60];
    let place = |&(tick, seq, entity)| (seq, (CommandStamp { seq, tick }, hold(entity, tick)));
    let kept = Kept {
        state: Some(State {
            status,
            cause: Cause::Requested,
            name: "renamed".into(),
            speed: spec.speed,
            step_until: None,
            created_at_us: 1,
            started_at_us: Some(2),
            ended_at_us: None,
        }),
        commands: COMMANDS.iter().map(place).collect(),
        head: Some(Head {
            tick: 60,
            status: None,
            step_until: None,
            ended_at_us: None,
            digest: Some(TickDigest { tick: 60, digest }),
            aggregate: Aggregate::default(),
            late_ticks: 3,
            dilated_ms: 70,
        }),
        cut,
        ..Kept::default()
    };
    kept.recovered(spec)
}

/// Checks every digest that was published against the undisturbed run.
fn check_digests(t: &Testbed, spec: &Spec, last: u64) {
    let expected = expected_digests(spec, last, &COMMANDS);
    let published = t.digests();
    assert!(published.contains_key(&last));
    for (tick, digest) in published {
        assert_eq!(expected.get(&tick), Some(&digest), "tick {tick}");
    }
}

#[test]
fn a_running_run_replays_to_its_head_and_goes_on() {
    for farm in [whole(3), cut()] {
        let spec = spec(farm);
        for cut in [Some(before(&spec)), None] {
            let first = cut.as_ref().map_or(0, |c| c.tick + 1);
            let mut t = testbed();
            t.recover(recovered(&spec, Status::Running, cut)).unwrap();
            let info = t.core.simulation(SIM).unwrap();
            assert_eq!((info.tick, info.replaying_to), (60, Some(60)));
            assert_eq!(info.spec.name, "renamed");
            t.join();
            let begin = t.now;
            t.run_until(|t| {
                let info = t.core.simulation(SIM).unwrap();
                // What is done again is no speed of the run's own.
                assert_eq!(info.achieved_speed_milli, 0);
                info.replaying_to.is_none()
            });
            assert!(t.now - begin < SECOND, "as fast as it goes");
            let head_at = t.now;
            t.run_until(|t| t.tick() == 100);
            assert!(t.now - head_at >= 40 * 50 * MS, "at its speed from there");
            let speed = t.core.simulation(SIM).unwrap().achieved_speed_milli;
            assert!((900..=1_100).contains(&speed), "{speed}");
            check_digests(&t, &spec, 100);
            for window in t.published() {
                assert_eq!(window.replayed, window.tick <= 60, "tick {}", window.tick);
            }
            let (begin, _) = t.windows()[0];
            assert_eq!(begin.max(first), begin);
            let totals = t.totals();
            assert_eq!((totals.late_ticks, totals.ticks), (3, 40));
        }
    }
}

#[test]
fn a_paused_run_stays_and_a_command_never_changes_what_was_published() {
    let spec = spec(cut());
    let mut t = testbed();
    let cut = before(&spec);
    t.recover(recovered(&spec, Status::Paused, Some(cut)))
        .unwrap();
    let early = hold(3, 60);
    let refused = t.control(|core, now| core.command(now, SIM, &early));
    assert!(refused.is_err(), "it is replaying that tick");
    t.join();
    t.run_for(5 * SECOND);
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.tick), (Status::Paused, 60));
    t.control(|core, now| core.step(now, SIM, 12)).unwrap();
    t.run_for(SECOND);
    assert_eq!(t.tick(), 72);
    check_digests(&t, &spec, 72);
    let next = hold(3, 73);
    let stamp = t
        .control(|core, now| core.command(now, SIM, &next))
        .unwrap();
    assert_eq!(stamp.seq, 5, "after the newest that was kept");
}

#[test]
fn a_run_that_is_stopped_while_it_replays_ends_at_its_head() {
    let spec = spec(whole(2));
    let mut t = testbed();
    let cut = before(&spec);
    t.recover(recovered(&spec, Status::Running, Some(cut)))
        .unwrap();
    t.join();
    t.run_until(|t| t.published().next().is_some());
    assert!(t.published().all(|w| w.tick < 60), "it replays yet");
    t.control(|core, now| core.stop(now, SIM)).unwrap();
    t.run_until(|t| matches!(t.events.last(), Some(Event::Settled { .. })));
    let expected = expected_digests(&spec, 60, &COMMANDS)[&60];
    let Some(Event::Settled { tick, digest, .. }) = t.events.last() else {
        unreachable!("it was just seen");
    };
    assert_eq!((*tick, *digest), (60, Some(expected)));
}

#[test]
fn a_worker_that_is_lost_in_a_replay_changes_nothing() {
    let spec = spec(cut());
    let mut t = testbed();
    let cut = before(&spec);
    t.recover(recovered(&spec, Status::Running, Some(cut)))
        .unwrap();
    let first = t.join();
    t.join();
    t.run_until(|t| t.published().any(|w| w.tick == 50));
    t.kill(first);
    t.run_until(|t| t.tick() == 80);
    check_digests(&t, &spec, 80);
}

#[test]
fn a_fork_goes_on_from_its_parents_cut_under_its_own_name() {
    let parent = spec(cut());
    let cut = before(&parent);
    let fork = Spec {
        id: transport::header::SimulationId(99),
        parent: Some((SIM, 50)),
        ..parent.clone()
    };
    let mut kept = recovered(&fork, Status::Paused, Some(cut));
    kept.head_tick = 50;
    kept.digest = None;
    kept.state.step_until = Some(50);
    let mut t = testbed();
    t.recover(kept).unwrap();
    t.join();
    t.run_for(SECOND);
    let info = t.core.simulation(fork.id).unwrap();
    assert_eq!((info.status, info.tick), (Status::Paused, 50));
    check_digests(&t, &parent, 50);
}

#[test]
fn an_ended_run_is_only_read() {
    let spec = spec(whole(2));
    let mut kept = recovered(&spec, Status::Completed, None);
    kept.commands.clear();
    let digest = kept.digest;
    let mut t = testbed();
    t.control(|core, now| core.recover(now, kept, None))
        .unwrap();
    t.join();
    t.run_for(5 * SECOND);
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.settled), (Status::Completed, true));
    assert_eq!((info.tick, info.digest), (60, digest));
    assert!(t.control(|core, now| core.resume(now, SIM)).is_err());
    let request = hold(1, 70);
    assert!(
        t.control(|core, now| core.command(now, SIM, &request))
            .is_err()
    );
    t.control(|core, now| core.delete(now, SIM)).unwrap();
    assert!(t.published().next().is_none());
}

#[test]
fn what_does_not_fit_is_named() {
    let spec = spec(cut());
    let cut = before(&spec);
    let refused = |change: &dyn Fn(&mut Recovered)| {
        let mut kept = recovered(&spec, Status::Running, Some(cut.clone()));
        change(&mut kept);
        let fault = testbed().recover(kept).unwrap_err();
        fault.to_string()
    };
    fn cut_of(kept: &mut Recovered) -> &mut Cut {
        kept.cut.as_mut().unwrap()
    }
    let said = refused(&|k| cut_of(k).kernel_version += 1);
    assert!(said.contains("kernel version 2"), "{said}");
    let said = refused(&|k| cut_of(k).schema_hash = 0);
    assert!(said.contains("schema 0000000000000000"), "{said}");
    let said = refused(&|k| drop(cut_of(k).checkpoints.pop()));
    assert!(said.contains("3 partitions where the farm has 4"), "{said}");
    let said = refused(&|k| drop(cut_of(k).mail.pop()));
    assert!(
        said.contains("partition 3") && said.contains("mail for 2 of 3"),
        "{said}"
    );
    let said = refused(&|k| cut_of(k).mail[0].tick += 1);
    assert!(said.contains("mail for tick 42"), "{said}");
    let said = refused(&|k| k.commands[0].0.tick = 40);
    assert!(said.contains("command 3 of tick 40"), "{said}");
    let said = refused(&|k| k.commands[0].1.target = Target::Entity(65));
    assert!(said.contains("command 3: entity: 65"), "{said}");
}

#[test]
fn a_command_that_found_its_tick_full_before_the_crash_keeps_no_run_from_coming_back() {
    let spec = spec(whole(2));
    let mut kept = recovered(&spec, Status::Running, Some(before(&spec)));
    kept.commands.clear();
    let full = MAX_PARTITION_COMMANDS as u64;
    let tick = 62;
    let places = (1..=full + 1).map(|seq| (CommandStamp { seq, tick }, hold(1, tick)));
    kept.commands.extend(places);
    kept.last_command_seq = full + 1;
    kept.digest = None;
    let mut t = testbed();
    t.recover(kept).unwrap();
    t.join();
    t.run_until(|t| t.tick() == 64);
    let applied: Vec<_> = std::iter::once(COMMANDS[0])
        .chain((1..=full).map(|seq| (tick, seq, 1)))
        .collect();
    let expected = expected_digests(&spec, 64, &applied);
    assert_eq!(t.digests()[&64], expected[&64]);
    let next = hold(1, 70);
    let stamp = t
        .control(|core, now| core.command(now, SIM, &next))
        .unwrap();
    assert_eq!(stamp.seq, full + 2, "its number is not used again");
}

#[test]
fn a_replay_that_comes_to_another_digest_makes_the_run_stand() {
    let spec = spec(whole(2));
    let mut kept = recovered(&spec, Status::Running, Some(before(&spec)));
    let wrong = TickDigest {
        tick: 55,
        digest: 1,
    };
    kept.digest = Some(wrong);
    let mut t = testbed();
    t.recover(kept).unwrap();
    t.join();
    t.run_for(5 * SECOND);
    let info = t.core.simulation(SIM).unwrap();
    assert_eq!((info.status, info.tick), (Status::Paused, 60));
    assert_eq!(info.cause, Cause::DigestMismatch);
}

#[test]
fn who_listens_to_a_run_that_replays_begins_after_all_that_was_told() {
    let spec = spec(whole(2));
    let mut kept = recovered(&spec, Status::Running, Some(before(&spec)));
    kept.cut.as_mut().unwrap().last_sim_seq = 7;
    kept.last_sim_seq = 19;
    let mut t = testbed();
    t.recover(kept).unwrap();
    let gateway = t.listen();
    let id = t.ask_from(gateway, subscribe(SIM), None);
    assert_eq!(last_sim_seq(&t, gateway, id), Some(19));
}

#[test]
fn who_listens_is_told_where_each_owner_took_the_run_up() {
    let spec = spec(whole(2));
    let mut kept = recovered(&spec, Status::Running, Some(before(&spec)));
    kept.epochs = [2, 3].map(begun).into();
    let mut t = testbed();
    t.recover(kept).unwrap();
    let gateway = t.listen();
    let id = t.ask_from(gateway, subscribe(SIM), None);
    let Some(Answer::Subscribed(subscribed)) = t.listener(gateway).answer(id) else {
        panic!("it listens")
    };
    assert_eq!(subscribed.epochs, [2, 3].map(begun));
}

fn begun(epoch: u32) -> EpochBegin {
    EpochBegin {
        epoch,
        from_tick: 61,
        from_event: 20,
        from_system_event: 4,
    }
}

#[test]
fn who_listens_to_a_fork_begins_where_its_replay_has_come_to() {
    let mut t = testbed();
    let fork = take_up_fork(&mut t, 99);
    let gateways = [t.listen(), t.listen(), t.listen()];
    let ids = gateways.map(|peer| t.ask_from(peer, subscribe(fork), None));
    let [patient, hasty, gone] = gateways;
    t.run_for(SECOND);
    assert_eq!(last_sim_seq(&t, patient, ids[0]), None, "nobody knows yet");
    // Whoever does not want it any more is answered, too.
    let ended = t.ask_from(hasty, Ask::Unsubscribe(fork), None);
    assert!(last_sim_seq(&t, hasty, ids[1]).is_some());
    assert_eq!(t.listener(hasty).answer(ended), Some(&Answer::Done));
    t.control(|core, now| {
        let (peer, error) = (PeerId(gone), "gone".to_owned());
        let reason = DisconnectReason::Lost { error };
        core.handle_link(now, LinkEvent::Disconnected { peer, reason });
    });
    let worker = t.join();
    t.worker(worker).event_every = Some(10);
    t.run_for(SECOND);
    assert_eq!(
        last_sim_seq(&t, patient, ids[0]),
        Some(9),
        "of ticks 50, 60"
    );
    assert_eq!(t.listener(gone).answer(ids[2]), None);
    t.control(|core, now| core.step(now, fork, 10)).unwrap();
    t.run_for(SECOND);
    assert_eq!(t.listener(patient).seqs(Log::Sim), [10]);
    assert!(t.listener(hasty).published.is_empty());
}

/// They were once all kept, for as long as no worker came that could have ended the replay.
#[test]
fn who_asks_again_to_listen_to_a_fork_that_replays_has_given_the_first_question_up() {
    let mut t = testbed();
    let forks = [98, 99].map(|id| take_up_fork(&mut t, id));
    let gateways = [t.listen(), t.listen()];
    let mut last = Vec::new();
    for peer in gateways {
        for fork in forks {
            let ids: Vec<u64> = (0..MAX_GATEWAY_REQUESTS * 2)
                .map(|_| t.ask_from(peer, subscribe(fork), None))
                .collect();
            let (newest, given_up) = ids.split_last().unwrap();
            for id in given_up {
                let answer = t
                    .listener(peer)
                    .answer(*id)
                    .expect("it is answered at once");
                assert_eq!(refusal(answer), RefusalKind::OverCapacity);
            }
            last.push((peer, fork, *newest));
        }
    }
    // Neither those of the other gateway nor those of the other run are given up by it.
    for (peer, _, id) in &last {
        assert_eq!(t.listener(*peer).answer(*id), None);
    }
    let worker = t.join();
    t.worker(worker).event_every = Some(10);
    t.run_for(SECOND);
    for (peer, fork, id) in &last {
        assert_eq!(last_sim_seq(&t, *peer, *id), Some(9), "{fork}");
    }
    for peer in gateways {
        let begun = t.listener(peer).responses.iter();
        let begun = begun.filter(|r| matches!(r.answer, Answer::Subscribed(_)));
        assert_eq!(begun.count(), forks.len());
    }
    assert_eq!(t.core.snapshot(t.now).subscriptions, 4);
}

/// A fork of a run at tick 60, of whose log it has what came up to tick 40, and which replays once a worker comes.
fn take_up_fork(t: &mut Testbed, id: u128) -> SimulationId {
    let parent = spec(whole(2));
    let id = SimulationId(id);
    let fork = Spec {
        id,
        parent: Some((SIM, 60)),
        ..parent.clone()
    };
    let mut kept = recovered(&fork, Status::Paused, Some(before(&parent)));
    (kept.cut.as_mut().unwrap().last_sim_seq, kept.last_sim_seq) = (7, 7);
    t.recover(kept).unwrap();
    id
}

fn subscribe(simulation: SimulationId) -> Ask {
    Ask::Subscribe {
        simulation,
        view_hz: 0,
    }
}

fn last_sim_seq(t: &Testbed, gateway: u64, id: u64) -> Option<u64> {
    match t.listener(gateway).answer(id)? {
        Answer::Subscribed(subscribed) => Some(subscribed.last_sim_seq),
        answer => panic!("{answer:?}"),
    }
}
