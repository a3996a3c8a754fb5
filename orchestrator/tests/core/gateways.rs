//! Gateways: what they are told, and what becomes of one that does what a correct one does not.

use std::collections::BTreeSet;
use std::time::Duration;

use orchestrator::control::{Spec, Speed};
use orchestrator::limits::{MAX_GATEWAY_REQUESTS, MAX_VIEWS_UNDER_WAY, PUBLICATION_STREAMS};
use transport::control::{Access, Answer, Ask, Log, RefusalKind, Token};
use transport::frame::Frame;
use transport::header::{Header, Kind, SimulationId};
use transport::link::{Class, PeerId};

use crate::listener::registration;
use crate::testbed::{MS, SIM, Testbed, whole};

fn subscribe(view_hz: u32) -> Ask {
    Ask::Subscribe {
        simulation: SIM,
        view_hz,
    }
}

fn at_real_time() -> Spec {
    Spec {
        speed: Speed::REAL,
        max_ticks: None,
        ..whole(2)
    }
}

#[test]
fn a_gateway_is_let_in_told_the_tokens_and_told_again_when_they_change() {
    let mut t = Testbed::plain();
    let peer = t.listen();
    assert!(t.listener(peer).welcome);
    assert_eq!(t.listener(peer).tokens.len(), 1);
    let token = Token {
        id: 9,
        name: "night".to_owned(),
        access: Access::Viewer,
        secret_hash: [4; 32],
        created_at_us: 1,
    };
    let id = t.ask_from(peer, Ask::CreateToken(token.clone()), None);
    assert_eq!(t.listener(peer).answer(id), Some(&Answer::Done));
    assert_eq!(t.listener(peer).tokens[1].tokens, [token]);
    let mut other = registration();
    other.schema_hash ^= 1;
    let other = t.listen_as(&other);
    let reason = t.listener(other).refused.clone().unwrap();
    assert!(reason.contains("of the gateway"), "{reason}");
}

#[test]
fn a_ticket_names_its_token_and_opens_nothing_once_that_is_revoked() {
    let mut t = Testbed::plain();
    let peer = t.listen();
    // What gateways ask in this test is asked for token 3.
    let token = Token {
        id: 3,
        name: "night".to_owned(),
        access: Access::Viewer,
        secret_hash: [4; 32],
        created_at_us: 1,
    };
    assert_eq!(t.ask(Ask::CreateToken(token)), Answer::Done);
    for secret_hash in [[7; 32], [8; 32]] {
        let access = Access::Viewer;
        let issue = Ask::IssueTicket {
            secret_hash,
            access,
        };
        let id = t.ask_from(peer, issue, None);
        assert_eq!(t.listener(peer).answer(id), Some(&Answer::Done));
    }
    let redeem = |secret_hash| Ask::RedeemTicket { secret_hash };
    let allowed = Answer::Ticket {
        access: Access::Viewer,
        token: 3,
    };
    assert_eq!(t.ask(redeem([7; 32])), allowed);
    assert_eq!(t.ask(Ask::RevokeToken(3)), Answer::Done);
    let Answer::Refused(refusal) = t.ask(redeem([8; 32])) else {
        panic!("its token is revoked")
    };
    assert_eq!(refusal.kind, RefusalKind::BadTicket);
}

#[test]
fn what_is_published_is_encoded_once_and_told_in_order_to_all_who_listen() {
    let mut t = Testbed::plain();
    t.join();
    let gateways = [t.listen(), t.listen()];
    t.start(at_real_time());
    for peer in gateways {
        let id = t.ask_from(peer, subscribe(0), None);
        assert!(matches!(
            t.listener(peer).answer(id),
            Some(Answer::Subscribed(_))
        ));
    }
    t.run_for(Duration::from_secs(2));
    t.ask(Ask::Pause(SIM));
    t.run_for(Duration::from_secs(1));
    let [a, b] = gateways.map(|peer| t.listener(peer));
    let told = a.published.last().unwrap();
    assert_eq!(told.1.info.tick, t.tick());
    assert_eq!(told.0.tick, t.tick());
    let ticks: Vec<u64> = a.published.iter().map(|(h, _)| h.tick).collect();
    assert!(ticks.is_sorted() && ticks.len() >= 38, "{}", ticks.len());
    let seqs = a.seqs(Log::System);
    assert!(
        !seqs.is_empty() && seqs.windows(2).all(|w| w[0] + 1 == w[1]),
        "{seqs:?}"
    );
    // The same bytes, not equal ones.
    let bytes = |l: &crate::listener::Listener| -> Vec<*const u8> {
        let published = l.frames.iter().filter(|f| f.header.kind == Kind::Published);
        published.map(|f| f.payload().as_ptr()).collect()
    };
    let of_b = bytes(b);
    assert!(!of_b.is_empty() && bytes(a).ends_with(&of_b));
}

#[test]
fn at_full_speed_a_hundred_frames_a_second_say_every_tick_s_events() {
    let mut t = Testbed::plain();
    t.join();
    let peer = t.listen();
    let spec = Spec {
        speed: Speed::Max,
        max_ticks: Some(1 << 20),
        ..whole(2)
    };
    t.start(spec);
    t.ask_from(peer, subscribe(0), None);
    let before = t.now;
    t.run_until(|t| t.now >= before + Duration::from_secs(1));
    let frames = t.listener(peer).published.len();
    assert!((20..=101).contains(&frames), "{frames}");
    t.ask(Ask::Stop(SIM));
    t.run_for(Duration::from_secs(1));
    let last = &t.listener(peer).published.last().unwrap().1;
    assert!(last.info.settled && last.info.tick == t.tick());
}

#[test]
fn views_go_unchanged_to_those_who_want_them_as_often_as_the_most_eager_one_does() {
    let mut t = Testbed::plain();
    t.join();
    let [eager, content, blind] = [t.listen(), t.listen(), t.listen()];
    t.start(at_real_time());
    t.run_until(|t| t.tick() == 5);
    for (peer, hz) in [(eager, 20), (content, 5), (blind, 0)] {
        t.ask_from(peer, subscribe(hz), None);
    }
    t.run_for(Duration::from_secs(2));
    let views = |t: &Testbed, peer| t.listener(peer).views.len();
    let partitions = 2;
    let count = views(&t, eager) / partitions;
    assert!((35..=42).contains(&count), "{count}");
    assert_eq!(views(&t, content), views(&t, eager));
    assert_eq!(views(&t, blind), 0);
    let listener = t.listener(eager);
    let with_view = listener.published.iter().filter(|(_, p)| p.has_view == 1);
    let ticks: Vec<u64> = with_view.map(|(h, _)| h.tick).collect();
    let shown = listener.views.iter().map(|v| v.header.tick);
    assert!(shown.clone().count() > 0);
    assert!(shown.into_iter().all(|tick| ticks.contains(&tick)));
    t.ask_from(eager, Ask::Unsubscribe(SIM), None);
    let before = views(&t, content);
    t.run_for(Duration::from_secs(2));
    let count = (views(&t, content) - before) / partitions;
    assert!((8..=11).contains(&count), "{count}");
}

#[test]
fn for_one_that_takes_no_views_a_bounded_number_is_under_way_and_the_newest_waits() {
    let mut t = Testbed::plain();
    t.join();
    let [stuck, other] = [t.listen(), t.listen()];
    t.start(at_real_time());
    for peer in [stuck, other] {
        t.ask_from(peer, subscribe(10), None);
    }
    t.listeners.get_mut(&stuck).unwrap().takes_no_views = true;
    t.run_for(Duration::from_secs(3));
    let ticks = |t: &Testbed, peer| -> BTreeSet<u64> {
        let views = t.listener(peer).views.iter();
        views.map(|view| view.header.tick).collect()
    };
    let (few, all) = (ticks(&t, stuck), ticks(&t, other));
    assert_eq!(few.len(), MAX_VIEWS_UNDER_WAY);
    assert!(all.len() >= 28, "{}", all.len());
    let skipped = t.core.snapshot(t.now).skipped_views;
    let waits = 1;
    assert_eq!(skipped as usize, all.len() - few.len() - waits);
    // What is published misses nothing meanwhile.
    let published = |peer| t.listener(peer).published.iter().map(|(h, _)| h.tick);
    assert!(published(stuck).eq(published(other)));
    // Once it says what it has, the newest goes, whole.
    let taken = Header {
        simulation: SIM,
        tick: *few.last().unwrap(),
        ..Header::new(Kind::Taken)
    };
    t.deliver(stuck, Frame::bare(taken));
    let partitions = 2;
    let views = &t.listener(stuck).views[few.len() * partitions..];
    let newest = all.last().unwrap();
    assert_eq!(views.len(), partitions);
    assert!(views.iter().all(|view| view.header.tick == *newest));
}

#[test]
fn one_that_takes_nothing_or_sends_garbage_is_sent_away_and_disturbs_nobody() {
    let mut t = Testbed::plain();
    t.join();
    let [slow, garbage, good] = [t.listen(), t.listen(), t.listen()];
    t.start(at_real_time());
    for peer in [slow, garbage, good] {
        t.ask_from(peer, subscribe(10), None);
    }
    t.run_until(|t| t.tick() == 10);
    t.control(|core, now| core.handle_stuck(now, PeerId(slow)));
    let frame = Frame::from_bytes(Header::new(Kind::Request), vec![7; 100]).unwrap();
    t.deliver(garbage, frame);
    for peer in [slow, garbage] {
        assert!(t.listener(peer).disconnected.is_some());
    }
    let heard = [slow, garbage].map(|peer| t.listener(peer).frames.len());
    let (late, before) = (t.totals().late_ticks, t.listener(good).published.len());
    t.run_for(Duration::from_secs(1));
    assert_eq!(
        [slow, garbage].map(|peer| t.listener(peer).frames.len()),
        heard
    );
    assert_eq!(t.totals().late_ticks, late);
    assert!(t.listener(good).published.len() > before + 18);
    let frame = Frame::bare(Header::new(Kind::Dispatch));
    t.deliver(good, frame);
    let reason = t.listener(good).disconnected.clone().unwrap();
    assert!(reason.contains("Dispatch"), "{reason}");
    assert_eq!(t.core.snapshot(t.now).workers.len(), 1);
}

#[test]
fn one_that_says_nothing_is_gone_and_another_may_take_its_place() {
    let mut t = Testbed::plain();
    let peer = t.listen();
    let silent_at = t.now + Duration::from_secs(5);
    t.run_until(|t| t.now >= silent_at);
    assert!(t.listener(peer).disconnected.is_some());
    let peer = t.listen();
    t.run_for(Duration::from_secs(20));
    assert!(t.listener(peer).disconnected.is_none(), "it is heard");
}

#[test]
fn a_gateway_has_so_many_requests_under_way_and_is_told_when_to_try_again() {
    let mut t = Testbed::durable();
    t.shelf.commit_takes = 500 * MS;
    let peer = t.listen();
    t.ask(Ask::Create(whole(1)));
    let command = || {
        let request = transport::control::CommandRequest {
            target: transport::control::Target::Entity(1),
            action: kernel::command::Action::Hold,
            tick: None,
        };
        Ask::Command(SIM, request)
    };
    let ids: Vec<u64> = (0..=MAX_GATEWAY_REQUESTS)
        .map(|_| t.ask_from(peer, command(), None))
        .collect();
    let (over, rest) = ids.split_last().unwrap();
    let Some(Answer::Refused(refusal)) = t.listener(peer).answer(*over) else {
        panic!("one too many");
    };
    assert_eq!(refusal.kind, RefusalKind::OverCapacity);
    assert!(refusal.retry_after_ms > 0);
    // What nobody waits for is answered all the same.
    for ask in [Ask::Simulation(SIM), subscribe(0)] {
        let read = t.ask_from(peer, ask, None);
        let answer = t.listener(peer).answer(read);
        assert!(
            matches!(answer, Some(Answer::Simulation(_) | Answer::Subscribed(_))),
            "{answer:?}"
        );
    }
    t.run_for(Duration::from_secs(3));
    let listener = t.listener(peer);
    assert!(
        rest.iter()
            .all(|id| matches!(listener.answer(*id), Some(Answer::Stamp(_))))
    );
    let id = t.ask_from(peer, command(), None);
    t.run_for(Duration::from_secs(1));
    assert!(matches!(
        t.listener(peer).answer(id),
        Some(Answer::Stamp(_))
    ));
}

#[test]
fn a_deletion_is_the_last_word_of_a_feed() {
    let mut t = Testbed::plain();
    t.join();
    let peer = t.listen();
    t.start(at_real_time());
    t.ask_from(peer, subscribe(0), None);
    t.run_until(|t| t.tick() == 10);
    let id = t.ask_from(peer, Ask::Delete(SIM), None);
    assert_eq!(t.listener(peer).answer(id), Some(&Answer::Done));
    let deleted: Vec<u8> = t
        .listener(peer)
        .published
        .iter()
        .map(|(_, p)| p.deleted)
        .collect();
    assert_eq!(
        deleted.iter().position(|d| *d == 1),
        Some(deleted.len() - 1)
    );
    t.run_for(Duration::from_secs(1));
    assert_eq!(t.listener(peer).published.len(), deleted.len());
}

#[test]
fn its_streams_are_few_however_many_runs_it_has_followed() {
    let mut t = Testbed::plain();
    t.join();
    let peer = t.listen();
    for n in 1..=400 {
        let id = SimulationId(n);
        t.start(Spec {
            id,
            ..at_real_time()
        });
        let subscribe = Ask::Subscribe {
            simulation: id,
            view_hz: 60,
        };
        let asked = t.ask_from(peer, subscribe, None);
        t.run_for(100 * MS);
        assert!(matches!(
            t.listener(peer).answer(asked),
            Some(Answer::Subscribed(_))
        ));
        // Half of them are left, the others deleted while it listens.
        if n % 2 == 0 {
            t.ask_from(peer, Ask::Unsubscribe(id), None);
        }
        t.control(|core, now| core.delete(now, id)).unwrap();
        t.run_for(10 * MS);
    }
    assert_eq!(t.core.snapshot(t.now).subscriptions, 0);
    let streams = &t.listener(peer).streams;
    for wanted in [Class::Tick, Class::View] {
        let of_it = streams.iter().filter(|(class, _)| *class == wanted);
        let many = of_it.count() as u64;
        assert!(
            (2..=PUBLICATION_STREAMS).contains(&many),
            "{wanted:?}: {many}"
        );
    }
}
