//! A database that is lost for a while, slow, or not there at the start.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::api::Api;
use crate::database::Database;
use crate::history::{Acknowledged, begin, body_of, give, stop_and_compare, tick, tick_of};
use crate::processes::{ROLES, Role, Service, wait_until};
use crate::proxy::Proxy;

/// How long the database is away, where `AUTOFARM_OUTAGE_S` says nothing else.
const OUTAGE: Duration = Duration::from_secs(6);

/// Who reads history is told of it within a second and what a loaded machine adds.
const READ_SOON: Duration = Duration::from_secs(3);

#[test]
fn a_run_goes_on_while_its_database_is_away_and_nothing_is_lost_or_half_done() {
    let database = Database::postgres();
    let mut proxy = Proxy::to(&database.url());
    let url = proxy.url(&database.url());
    let service = Service::start_with(database, url, &[]);
    let id = begin(&service, &1.into());
    let commands = format!("/v1/simulations/{id}/commands");
    let before: Vec<Acknowledged> = (1..=8).map(|n| give(&service.api, &commands, n)).collect();
    service.simulation_when(&id, "it goes on", |s| tick(s) > 60);

    proxy.cut();
    let begun = Instant::now();
    // At once: who reads is told soon, and need not wait until others give up.
    let refused = std::thread::scope(|scope| {
        for read in ["digests", "events", "metrics"] {
            let path = format!("/v1/simulations/{id}/{read}");
            let api = &service.api;
            scope.spawn(move || {
                let asked = Instant::now();
                let body = api.get(&path).expect(503);
                let took = asked.elapsed();
                assert!(took < READ_SOON, "{read}: {took:?}");
                assert_eq!(body["type"], "/problems/store-unavailable", "{body}");
                assert!(body["retry_after_s"].is_u64(), "{body}");
            });
        }
        commands_without_a_database(&service.api, &commands)
    });
    let before_end = tick_of(&service, &id);
    wait_until("the outage is over", || {
        (begun.elapsed() >= outage()).then_some(())
    });
    let still = service.simulation_when(&id, "it goes on", |s| tick(s) > before_end + 50);
    assert_eq!(still["status"], "running");
    assert!(still["history_lag_ticks"].as_u64() > Some(50), "{still}");
    service.said(Role::Orchestrator, "the database is tried again");
    proxy.mend();

    // Given again under their keys, those whose fate was not known are done once; the others, which
    // were refused, are never heard of again.
    let again = refused.iter().filter(|r| r.again);
    let mut acknowledged: Vec<Acknowledged> = before;
    for refused in again {
        acknowledged.push(give(&service.api, &commands, refused.number));
    }
    acknowledged.push(give(&service.api, &commands, 1_000));
    wait_until("history is read again", || {
        let path = format!("/v1/simulations/{id}/digests");
        (service.api.get(&path).status == 200).then_some(())
    });
    service.simulation_when(&id, "its history is written", |s| {
        s["history_lag_ticks"].as_u64() < Some(50)
    });
    stop_and_compare(&service, &id, &acknowledged);
    let heard = heard(&service.api, &id);
    assert_eq!(
        heard.len(),
        acknowledged.len(),
        "commands that were refused were carried out: {heard:?}, of {acknowledged:?}"
    );
}

/// A command that was given while there was no database.
struct Refused {
    number: u32,
    /// Whether it is given again afterwards.
    again: bool,
}

/// Gives commands until one is refused for want of the database. Of those before it, which were on their way when
/// that was cut, the fate is not known.
fn commands_without_a_database(api: &Api, path: &str) -> Vec<Refused> {
    let mut given = Vec::new();
    for number in 100.. {
        let body = body_of(number);
        let key = format!("command-{number}");
        let answer = api
            .call(Method::POST, path, Some(&body), Some(&key))
            .expect("it answers");
        let is_unavailable = answer.status == 503;
        if is_unavailable {
            assert_eq!(
                answer.body["type"], "/problems/store-unavailable",
                "{}",
                answer.body
            );
        } else {
            assert_eq!(answer.status, 504, "{}", answer.body);
        }
        given.push(Refused {
            number,
            again: !is_unavailable,
        });
        if is_unavailable {
            return given;
        }
    }
    unreachable!("numbers do not end");
}

fn outage() -> Duration {
    let wanted = std::env::var("AUTOFARM_OUTAGE_S").ok();
    wanted.map_or(OUTAGE, |s| {
        Duration::from_secs(s.parse().expect("AUTOFARM_OUTAGE_S is a number"))
    })
}

/// Seqs of the commands that have left an event.
fn heard(api: &Api, id: &str) -> Vec<u64> {
    let kinds = "kind=command,command_rejected";
    let events = api.list(&format!("/v1/simulations/{id}/events?{kinds}"));
    let mut seqs: Vec<u64> = events
        .iter()
        .map(|e| e["detail"]["command_seq"].as_u64().expect("command_seq"))
        .collect();
    seqs.sort_unstable();
    seqs.dedup();
    seqs
}

#[test]
fn a_slow_database_makes_no_tick_late() {
    let database = Database::postgres();
    let proxy = Proxy::to(&database.url());
    let url = proxy.url(&database.url());
    let service = Service::start_with(database, url, &[]);
    // A tick that waited for the database even once would be late.
    let body =
        json!({"name": "slow", "scenario": "dense", "entities": 64, "tick_ms": 150, "speed": 1});
    let created = service.api.post("/v1/simulations", &body).expect(201);
    let id = created["id"].as_str().expect("an id").to_owned();
    let start = format!("/v1/simulations/{id}/start");
    service.api.post(&start, &json!({})).expect(200);
    proxy.delay(Duration::from_millis(200));
    let first = service.simulation_when(&id, "it goes on", |s| tick(s) > 5);
    let commands = format!("/v1/simulations/{id}/commands");
    let hold = json!({"entity": 1, "command": "hold"});
    let stamp = service.api.post(&commands, &hold).expect(202);
    let last = service.simulation_when(&id, "it goes on", |s| tick(s) > tick(&first) + 30);
    let (ticks, late) = (
        tick(&last) - tick(&first),
        count(&last, "late_ticks") - count(&first, "late_ticks"),
    );
    // Another process may have had the processor for as long now and then.
    assert!(4 * late < ticks, "{late} of {ticks} ticks were late");
    proxy.delay(Duration::ZERO);
    wait_until("the command's event is written", || {
        let events = format!("/v1/simulations/{id}/events?kind=command");
        let answer = service.api.get(&events);
        // Connections that were opened slowly may have been given up just now: a 503 says when to ask again.
        if answer.status == 503 {
            return None;
        }
        let page = answer.expect(200);
        assert_eq!(page["items"].get(0)?["tick"], stamp["tick"]);
        Some(())
    });
}

fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().expect("a count")
}

#[test]
fn a_database_that_is_not_there_at_the_start_is_waited_for() {
    let database = Database::postgres();
    let mut proxy = Proxy::to(&database.url());
    let url = proxy.url(&database.url());
    proxy.cut();
    let mut service = Service::prepare(database, url, &[]);
    for role in ROLES {
        service.start_role(role);
    }
    service.said(Role::Orchestrator, "waiting for the database");
    service.said(Role::Gateway, "no way to the database");
    let readiness = service.api.get("/readyz");
    assert_eq!(readiness.status, 503, "{}", readiness.body);
    assert_eq!(service.api.get("/healthz").status, 200);
    proxy.mend();
    service.wait_ready();
    let id = begin(&service, &1.into());
    service.simulation_when(&id, "it goes on", |s| tick(s) > 20);
}
