//! Two orchestrators on one database: the second waits, takes over where the first is gone or stands still for
//! longer than its lease, and the first, woken, writes nothing more. Workers and gateways, given both
//! addresses, follow.

use rustix::process::Signal;

use crate::api::Api;
use crate::database::Database;
use crate::history::{Commander, begin, stop_and_compare, tick, tick_of};
use crate::processes::{Role, Service, wait_until};

#[test]
fn a_standby_takes_over_from_a_killed_owner_on_sqlite() {
    take_over_from_a_killed_owner(Database::sqlite());
}

#[test]
fn a_standby_takes_over_from_a_killed_owner_on_postgres() {
    take_over_from_a_killed_owner(Database::postgres());
}

fn take_over_from_a_killed_owner(database: Database) {
    let mut service = with_standby(database);
    let id = begin(&service, &1.into());
    let commands = Commander::start(service.api.clone(), &id);
    service.simulation_when(&id, "it goes on", |s| tick(s) > 60);
    let last = tick_of(&service, &id);
    service.kill(Role::Orchestrator);
    goes_on_at_the_standby(&service, &id, last);
    stop_and_compare(&service, &id, &commands.stop());
}

/// On PostgreSQL alone: a process that stands still in the middle of a transaction keeps the one write lock of a
/// SQLite file for as long, and nobody can take over from it.
#[test]
fn an_owner_that_stood_still_finds_its_lease_lost_and_writes_nothing() {
    let mut service = with_standby(Database::postgres());
    let id = begin(&service, &1.into());
    let commands = Commander::start(service.api.clone(), &id);
    service.simulation_when(&id, "it goes on", |s| tick(s) > 60);
    let last = tick_of(&service, &id);
    service.signal(Role::Orchestrator, Signal::STOP);
    goes_on_at_the_standby(&service, &id, last);
    let taken_over_at = tick_of(&service, &id);

    service.signal(Role::Orchestrator, Signal::CONT);
    assert_eq!(service.end_of(Role::Orchestrator), Some(1));
    let why = service.said(Role::Orchestrator, "error: ");
    assert!(why.contains("the lease of epoch 1 is lost"), "{why}");
    assert!(why.contains("has epoch 2"), "{why}");
    // Whoever follows the second one notices nothing of it.
    service.simulation_when(&id, "it goes on", |s| tick(s) > taken_over_at + 20);
    stop_and_compare(&service, &id, &commands.stop());
}

/// All roles, and another orchestrator, which waits and says for whom.
fn with_standby(database: Database) -> Service {
    let mut service = Service::start_for_standby(database);
    let owner = service.said(Role::Orchestrator, "the database is this orchestrator's");
    assert!(owner.contains("\"epoch\":1"), "{owner}");
    service.start_role(Role::Standby);
    let said = service.said(Role::Standby, "standing by: the database is another's");
    let port = service.port_of_first();
    assert!(
        said.contains(&format!(":{port} (")),
        "{said} names port {port}"
    );
    let api = Api::new(&service.standby_metrics);
    assert_eq!(api.get("/healthz").status, 200);
    let ready = api.get("/readyz").expect(503);
    let why = ready.as_str().expect("text");
    assert!(why.contains("stands by"), "{why}");
    assert!(
        why.contains(&format!(":{port} (")),
        "{why} names port {port}"
    );
    tells(&api, &["owner 0", "lease_epoch 1"]);
    service
}

/// It tells these metrics of itself.
#[track_caller]
fn tells(api: &Api, metrics: &[&str]) {
    let page = api.get("/metrics").expect(200);
    let page = page.as_str().expect("text");
    for metric in metrics {
        let line = format!("autofarm_orchestrator_{metric}");
        assert!(page.lines().any(|l| l == line), "{line} is not in {page}");
    }
}

fn goes_on_at_the_standby(service: &Service, id: &str, last: u64) {
    let owner = service.said(Role::Standby, "the database is this orchestrator's");
    assert!(owner.contains("\"epoch\":2"), "{owner}");
    let api = Api::new(&service.standby_metrics);
    wait_until("it is ready", || {
        (api.get("/readyz").status == 200).then_some(())
    });
    tells(&api, &["owner 1", "lease_epoch 2", "simulations 1"]);
    service.simulation_when(id, "it goes on", |s| {
        s["status"] == "running" && tick(s) > last + 20
    });
}
