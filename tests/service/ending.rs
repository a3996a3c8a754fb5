//! The end of `autofarm up` in order, and the next start.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::history::tick;
use crate::processes::wait_until;
use crate::socket::{Received, Socket};
use crate::up::Up;

#[test]
fn it_ends_in_order_and_goes_on_where_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["--data-dir", directory.path().to_str().expect("text")];
    let up = Up::start(&flags);
    let api = up.ready();
    let ids = ["runs", "rests"].map(|name| {
        let body =
            json!({"name": name, "scenario": "dense", "entities": 64, "tick_ms": 20, "speed": 1});
        let created = api.post("/v1/simulations", &body).expect(201);
        let id = created["id"].as_str().expect("an id").to_owned();
        api.post(&format!("/v1/simulations/{id}/start"), &json!({}))
            .expect(200);
        id
    });
    let paths = ids.each_ref().map(|id| format!("/v1/simulations/{id}"));
    let [runs, rests] = paths.each_ref();
    for path in [runs, rests] {
        wait_until("it goes on", || {
            (tick(&api.get(path).expect(200)) > 20).then_some(())
        });
    }
    let paused = api.post(&format!("{rests}/pause"), &json!({})).expect(200);
    assert_eq!(paused["status"], "paused");
    let mut socket = Socket::open(&up.address(), &format!("{runs}/stream"));
    socket.next_of("tick");

    up.signal(Signal::TERM);
    // Whoever sends clients here is told first, while those who are here are served yet.
    wait_until("readiness is turned off", || {
        (api.get("/readyz").status == 503).then_some(())
    });
    assert_eq!(api.get("/healthz").status, 200);
    assert_eq!(socket.until_the_end(), Received::Closed(1001));
    let (code, log) = up.end();
    assert_eq!(code, Some(0), "{log}");
    for left in ["gateway left", "disconnected; what was held is dropped"] {
        let line = log.lines().find(|line| line.contains(left));
        let line = line.unwrap_or_else(|| panic!("nothing says `{left}`: {log}"));
        assert!(line.contains("\"INFO\""), "leaving is no loss: {line}");
    }
    let last = last_tick_of(&socket);

    let up = Up::start(&flags);
    let api = up.ready();
    let paused_again = api.get(rests).expect(200);
    assert_eq!(paused_again["status"], "paused");
    assert_eq!(paused_again["tick"], paused["tick"]);
    let found = api.get(runs).expect(200);
    assert_eq!(found["status"], "running");
    // It may have gone on after the last tick that the client saw, but not have lost one.
    assert!(tick(&found) >= last, "{found} is before {last}");
    wait_until("it goes on", || {
        (tick(&api.get(runs).expect(200)) > tick(&found)).then_some(())
    });
}

fn last_tick_of(socket: &Socket) -> u64 {
    socket
        .last_of("tick")
        .map_or(0, |message: &Value| tick(message))
}

#[test]
fn a_second_signal_ends_at_once() {
    // It waits for a database that never comes, and is told to end while it does.
    let directory = tempfile::tempdir().expect("a directory");
    let up = Up::start(&["--data-dir", directory.path().to_str().expect("text")]);
    up.ready();
    up.signal(Signal::INT);
    up.said("another signal ends at once");
    up.signal(Signal::TERM);
    // 143 where it was ended at once; an end in order may have been as quick.
    let (code, log) = up.end();
    assert!(code == Some(143) || code == Some(0), "{code:?}: {log}");
}
