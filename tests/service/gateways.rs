//! A gateway that is killed and started again costs its clients a reconnect, and nothing else.

use serde_json::Value;

use crate::database::Database;
use crate::history::{begin, tick};
use crate::processes::{Role, Service, wait_until};
use crate::socket::{Received, Socket};

/// How often it is killed.
const KILLS: usize = 2;
/// Events that come between two kills, at least.
const EVENTS: u64 = 50;

#[test]
fn clients_of_a_killed_gateway_miss_no_event() {
    let mut service = Service::start(Database::sqlite());
    let id = begin(&service, &4.into());
    let mut seqs: Vec<u64> = Vec::new();
    for kill in 0..=KILLS {
        let from = seqs.last().map_or(1, |last| last + 1);
        let mut socket = open(&service, &id, from);
        let enough = from + EVENTS;
        while seqs.last().is_none_or(|last| *last < enough) {
            match socket.next() {
                Received::Message(message) => seqs.extend(sim_seq(&message)),
                end => panic!("{end:?}"),
            }
        }
        if kill < KILLS {
            let before = tick(socket.last_of("tick").expect("ticks come between events"));
            service.kill(Role::Gateway);
            // What came before the end was sent, and counts.
            loop {
                match socket.next() {
                    Received::Message(message) => seqs.extend(sim_seq(&message)),
                    end => {
                        assert_eq!(end, Received::Lost);
                        break;
                    }
                }
            }
            service.start_role(Role::Gateway);
            // The run notices nothing of it.
            service.simulation_when(&id, "it goes on", |s| {
                s["status"] == "running" && tick(s) > before
            });
        }
    }
    let due: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, due, "each once, in order");
}

fn open(service: &Service, id: &str, from: u64) -> Socket {
    let path = format!("/v1/simulations/{id}/stream?events=all&from_event={from}");
    wait_until("a stream is opened", || {
        Socket::try_open(&service.http, &path)
    })
}

fn sim_seq(message: &Value) -> Option<u64> {
    assert_ne!(message["type"], "events_missing", "{message}");
    (message["type"] == "event" && message["log"] == "sim")
        .then(|| message["seq"].as_u64().expect("a seq"))
}
