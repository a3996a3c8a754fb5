//! Processes killed under a stream of commands: nothing acknowledged is lost, the digests are those of
//! an undisturbed run, and the service is back soon.

use std::time::{Duration, Instant};

use crate::database::Database;
use crate::history::{Commander, ask, begin, compare_stopped, stop_and_compare, tick, tick_of};
use crate::processes::{ROLES, Role, Service};

/// Longest from the start of a killed orchestrator's successor to the next new tick.
const BACK_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn an_orchestrator_is_killed_on_sqlite() {
    kill_many(Database::sqlite(), &[Role::Orchestrator], kills(6));
}

#[test]
fn an_orchestrator_is_killed_on_postgres() {
    kill_many(Database::postgres(), &[Role::Orchestrator], kills(6));
}

#[test]
fn everything_is_killed_at_once_on_sqlite() {
    kill_many(Database::sqlite(), &ROLES, kills(2));
}

#[test]
fn everything_is_killed_at_once_on_postgres() {
    kill_many(Database::postgres(), &ROLES, kills(2));
}

#[test]
fn a_run_stands_after_a_kill_where_it_was_said_to_on_sqlite() {
    kill_standing(Database::sqlite(), kills(4));
}

#[test]
fn a_run_stands_after_a_kill_where_it_was_said_to_on_postgres() {
    kill_standing(Database::postgres(), kills(4));
}

/// Pauses a run under a stream of commands and kills its orchestrator at the answer, again and again, and at last stops it
/// and kills.
fn kill_standing(database: Database, kills: u32) {
    let mut service = Service::start(database);
    let id = begin(&service, &2.into());
    let commands = Commander::start(service.api.clone(), &id);
    for kill in 0..kills {
        let ticks = 20 + u64::from(kill) * 37 % 90;
        let before = tick_of(&service, &id);
        service.simulation_when(&id, "it goes on", |s| tick(s) >= before + ticks);
        let stands_at = ask(&service, &id, "pause");
        kill_orchestrator(&mut service);
        let back = service.simulation_when(&id, "it is back", |_| true);
        assert_eq!(
            (&back["status"], tick(&back)),
            (&"paused".into(), stands_at)
        );
        let stands = service.simulation_when(&id, "it stands", |s| {
            s["replaying_to"].is_null() && s["digest_tick"] == s["tick"]
        });
        assert_eq!(tick(&stands), stands_at);
        ask(&service, &id, "resume");
    }
    let acknowledged = commands.stop();
    let end = acknowledged.iter().map(|c| c.tick).max().unwrap_or(0);
    service.simulation_when(&id, "the last command's tick", |s| tick(s) > end + 20);
    let stopped_at = ask(&service, &id, "stop");
    kill_orchestrator(&mut service);
    compare_stopped(&service, &id, &acknowledged, stopped_at);
}

fn kill_orchestrator(service: &mut Service) {
    service.kill(Role::Orchestrator);
    service.start_role(Role::Orchestrator);
}

/// How often, where nothing else is said.
fn kills(usual: u32) -> u32 {
    let wanted = std::env::var("AUTOFARM_KILLS").ok();
    wanted.map_or(usual, |n| n.parse().expect("AUTOFARM_KILLS is a number"))
}

fn kill_many(database: Database, roles: &[Role], kills: u32) {
    let mut service = Service::start(database);
    let id = begin(&service, &1.into());
    let commands = Commander::start(service.api.clone(), &id);
    let mut longest = Duration::ZERO;
    for kill in 0..kills {
        // Further each time, so that kills fall at different places in a checkpoint's interval.
        let ticks = 20 + u64::from(kill) * 37 % 90;
        let before = tick_of(&service, &id);
        service.simulation_when(&id, "it goes on", |s| tick(s) >= before + ticks);
        let last = tick_of(&service, &id);
        if roles.len() == ROLES.len() {
            service.kill_all();
        } else {
            for role in roles {
                service.kill(*role);
            }
        }
        let begun = Instant::now();
        for role in roles {
            service.start_role(*role);
        }
        service.simulation_when(&id, "it is back", |s| {
            s["status"] == "running" && tick(s) > last
        });
        longest = longest.max(begun.elapsed());
    }
    let acknowledged = commands.stop();
    assert!(acknowledged.len() as u32 > kills, "commands went on");
    let kept = stop_and_compare(&service, &id, &acknowledged);
    println!(
        "{kills} kills of {roles:?}, {} commands acknowledged, {} ticks, {} digests equal, back after {longest:?} at most",
        acknowledged.len(),
        kept.ticks,
        kept.digests
    );
    assert!(longest <= BACK_WITHIN, "back only after {longest:?}");
}
