//! Requests and history both say where a run stands: of the two the later one holds, at every moment.

use std::time::Duration;

use kernel::command::Action;
use orchestrator::control::{CommandRequest, LatePolicy, SimulationId, Spec, Speed, Target};
use transport::control::{Answer, Ask, Cause, Idempotency, RefusalKind, Status};

use crate::testbed::{MS, SIM, Testbed, whole};

const SECOND: Duration = Duration::from_secs(1);
const OTHER: SimulationId = SimulationId(8);

fn endless(id: SimulationId, late: LatePolicy) -> Spec {
    Spec {
        id,
        late,
        speed: Speed::REAL,
        max_ticks: None,
        ..whole(2)
    }
}

/// A run that fails once it has no worker.
fn started() -> (Testbed, u64) {
    let mut t = Testbed::durable();
    let worker = t.join();
    t.ask(Ask::Create(endless(SIM, LatePolicy::Fail)));
    t.ask(Ask::Start(SIM));
    t.run_until(|t| t.tick() == 10);
    (t, worker)
}

/// It has no worker for so long that it fails.
fn fail(t: &mut Testbed, worker: u64) {
    t.kill(worker);
    t.run_for(2 * SECOND);
    t.join();
    assert_eq!(t.core.simulation(SIM).unwrap().status, Status::Failed);
}

fn change(speed: Option<Speed>) -> Ask {
    Ask::Change {
        simulation: SIM,
        speed,
        name: Some("new".to_owned()),
    }
}

fn kept_status(t: &Testbed) -> (Status, Cause) {
    let state = t.shelf.kept[&SIM].state.as_ref().unwrap();
    (state.status, state.cause)
}

/// Asks for a change of a run that fails, and of which that is written, while the commit before it is under way. What is
/// kept of it never changes after that. Answers what the change was answered.
fn asked_before_it_failed(ask: Ask, key: Option<&str>) -> (Testbed, Answer) {
    let (mut t, worker) = started();
    t.shelf.commit_takes = 5 * SECOND;
    t.begin_ask(Ask::Create(endless(OTHER, LatePolicy::Dilate)), None);
    let idempotency = key.map(|key| Idempotency {
        key: key.to_owned(),
        route: "PATCH /x".to_owned(),
        body_hash: [1; 32],
    });
    let id = t.begin_ask(ask, idempotency);
    fail(&mut t, worker);
    t.run_until(|t| kept_status(t) == (Status::Failed, Cause::Late));
    t.run_until(|t| {
        assert_eq!(kept_status(t), (Status::Failed, Cause::Late));
        t.answers.contains_key(&id)
    });
    t.run_for(10 * SECOND);
    assert_eq!(kept_status(&t), (Status::Failed, Cause::Late));
    let answer = t.answers[&id].clone();
    (t, answer)
}

#[test]
fn a_run_that_failed_stays_so_though_it_was_renamed_before_that() {
    for key in [None, Some("k")] {
        let (t, answer) = asked_before_it_failed(change(None), key);
        let Answer::Simulation(info) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((info.status, &*info.spec.name), (Status::Failed, "new"));
        let state = t.shelf.kept[&SIM].state.as_ref().unwrap();
        assert_eq!(state.name, "new");
        let shown = t.core.simulation(SIM).unwrap();
        assert_eq!(state.ended_at_us, shown.ended_at_us);
        assert_eq!(info.ended_at_us, shown.ended_at_us);
    }
}

#[test]
fn nothing_is_kept_of_a_change_that_became_impossible_before_it_was_given_to_the_store() {
    for key in [None, Some("k")] {
        let ask = change(Some(Speed::Milli(2_000)));
        let (t, answer) = asked_before_it_failed(ask, key);
        let Answer::Refused(refusal) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(refusal.kind, RefusalKind::InvalidTransition);
        let state = t.shelf.kept[&SIM].state.as_ref().unwrap();
        assert_eq!((&*state.name, state.speed), ("test", Speed::REAL));
    }
}

#[test]
fn what_is_asked_of_one_run_does_not_wait_for_the_history_of_another() {
    let (mut t, worker) = started();
    t.ask(Ask::Create(endless(OTHER, LatePolicy::Dilate)));
    t.shelf.append_takes = 5 * SECOND;
    fail(&mut t, worker);
    t.run_until(|t| t.shelf.is_stating());
    let renamed = t.begin_ask(change(None), None);
    let begun = t.now;
    let command = CommandRequest {
        target: Target::Entity(1),
        action: Action::Hold,
        tick: None,
    };
    let id = t.begin_ask(Ask::Command(OTHER, command), None);
    t.run_until(|t| t.answers.contains_key(&id));
    assert!(matches!(t.answers[&id], Answer::Stamp(_)));
    assert!(t.now - begun < 100 * MS);
    assert!(!t.answers.contains_key(&renamed), "it waits");
    t.run_until(|t| t.answers.contains_key(&renamed));
    assert!(matches!(t.answers[&renamed], Answer::Simulation(_)));
    assert_eq!(kept_status(&t), (Status::Failed, Cause::Late));
}
