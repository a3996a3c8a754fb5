//! What is asked and answered where nothing is kept.

use orchestrator::control::{RefusalKind, SimulationId, Spec, Speed, Status};
use transport::control::{Access, Answer, Ask, Token};

use crate::testbed::{SIM, Testbed, whole};

fn refused(answer: &Answer) -> (RefusalKind, &str) {
    match answer {
        Answer::Refused(refusal) => (refusal.kind, &refusal.field),
        answer => panic!("it was done: {answer:?}"),
    }
}

fn status(answer: &Answer) -> Status {
    match answer {
        Answer::Simulation(info) => info.status,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn a_run_is_led_through_its_life_by_requests() {
    let mut t = Testbed::plain();
    t.join();
    let spec = Spec {
        speed: Speed::REAL,
        ..whole(1)
    };
    assert_eq!(status(&t.ask(Ask::Create(spec.clone()))), Status::Created);
    assert_eq!(
        refused(&t.ask(Ask::Create(spec))),
        (RefusalKind::Exists, "")
    );
    let refusal = t.ask(Ask::Pause(SIM));
    assert_eq!(refused(&refusal), (RefusalKind::InvalidTransition, ""));
    assert_eq!(status(&t.ask(Ask::Start(SIM))), Status::Running);
    t.run_until(|t| t.tick() == 20);
    assert_eq!(status(&t.ask(Ask::Pause(SIM))), Status::Paused);
    t.run_for(std::time::Duration::from_secs(1));
    let at = t.tick();
    assert_eq!(status(&t.ask(Ask::Step(SIM, 3))), Status::Paused);
    t.run_until(|t| t.tick() == at + 3);
    let changed = t.ask(Ask::Change {
        simulation: SIM,
        speed: Some(Speed::Milli(2_000)),
        name: Some("north".to_owned()),
    });
    let Answer::Simulation(info) = changed else {
        panic!("{changed:?}");
    };
    assert_eq!(
        (info.spec.speed, &*info.spec.name),
        (Speed::Milli(2_000), "north")
    );
    assert_eq!(info.achieved_speed_milli, 0, "it stands");
    let refusal = t.ask(Ask::Change {
        simulation: SIM,
        speed: Some(Speed::Milli(1)),
        name: None,
    });
    assert_eq!(refused(&refusal), (RefusalKind::Invalid, "speed"));
    assert_eq!(status(&t.ask(Ask::Resume(SIM))), Status::Running);
    t.run_for(std::time::Duration::from_secs(3));
    let Answer::Simulation(info) = t.ask(Ask::Simulation(SIM)) else {
        panic!("it is there");
    };
    let speed = info.achieved_speed_milli;
    assert!((1_950..=2_050).contains(&speed), "{speed}");
    assert_eq!(status(&t.ask(Ask::Stop(SIM))), Status::Stopped);
    assert_eq!(t.ask(Ask::Delete(SIM)), Answer::Done);
    assert_eq!(
        refused(&t.ask(Ask::Start(SIM))),
        (RefusalKind::NotFound, "")
    );
}

#[test]
fn lists_come_in_pages_by_id_and_by_status() {
    let mut t = Testbed::plain();
    t.join();
    for id in 1..=5 {
        let spec = Spec {
            id: SimulationId(id),
            ..whole(1)
        };
        t.ask(Ask::Create(spec));
    }
    t.ask(Ask::Start(SimulationId(4)));
    let mut page = |after, limit, status| match t.ask(Ask::Simulations {
        after,
        limit,
        status,
    }) {
        Answer::Simulations { items, more } => {
            let ids = items.iter().map(|i| i.spec.id.0).collect::<Vec<_>>();
            (ids, more)
        }
        answer => (vec![refused(&answer).0 as u128], false),
    };
    assert_eq!(page(None, 2, None), (vec![1, 2], true));
    assert_eq!(page(Some(SimulationId(2)), 3, None), (vec![3, 4, 5], false));
    let created = Some(Status::Created);
    assert_eq!(page(Some(SimulationId(2)), 1, created), (vec![3], true));
    assert_eq!(page(Some(SimulationId(3)), 1, created), (vec![5], false));
    let invalid = vec![RefusalKind::Invalid as u128];
    assert_eq!(page(None, 0, None), (invalid.clone(), false));
    assert_eq!(page(None, 1_001, None), (invalid, false));
}

#[test]
fn tokens_tickets_latency_and_workers_are_answered() {
    let mut t = Testbed::plain();
    t.join();
    let token = Token {
        id: 9,
        name: "night".to_owned(),
        access: Access::Viewer,
        secret_hash: [4; 32],
        created_at_us: 1,
    };
    assert_eq!(t.ask(Ask::CreateToken(token.clone())), Answer::Done);
    assert_eq!(t.ask(Ask::Tokens), Answer::Tokens(vec![token.clone()]));
    let again = t.ask(Ask::CreateToken(token));
    assert_eq!(refused(&again), (RefusalKind::Exists, ""));
    assert_eq!(t.ask(Ask::RevokeToken(9)), Answer::Done);
    assert_eq!(
        refused(&t.ask(Ask::RevokeToken(9))),
        (RefusalKind::NotFound, "")
    );

    let secret_hash = [7; 32];
    let access = Access::Operator;
    assert_eq!(
        t.ask(Ask::IssueTicket {
            secret_hash,
            access
        }),
        Answer::Done
    );
    let redeem = || Ask::RedeemTicket { secret_hash };
    assert_eq!(t.ask(redeem()), Answer::Ticket { access, token: 0 });
    assert_eq!(
        refused(&t.ask(redeem())),
        (RefusalKind::BadTicket, "ticket")
    );

    t.ask(Ask::Create(whole(1)));
    t.ask(Ask::Start(SIM));
    t.run_until(|t| t.tick() >= 50);
    let Answer::Latency(stages) = t.ask(Ask::Latency(SIM)) else {
        panic!("it is there");
    };
    assert!(
        stages
            .iter()
            .any(|s| s.stage == "tick_latency" && s.histogram.len() > 40)
    );
    let Answer::Workers(workers) = t.ask(Ask::Workers) else {
        panic!("there is one");
    };
    assert_eq!(workers.len(), 1);
    assert!(workers[0].rows > 0 && workers[0].state == "ready");
    let subscribe = Ask::Subscribe {
        simulation: SIM,
        view_hz: 0,
    };
    assert_eq!(refused(&t.ask(subscribe)).0, RefusalKind::NotSupported);
}
