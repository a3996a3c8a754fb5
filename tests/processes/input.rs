//! Wrong input: what is said, and the exit code.

use std::net::{TcpListener, UdpSocket};

use rustix::process::Signal;

use crate::process::{Role, autofarm, certs, path};

/// Runs into an error that says this, with the exit code of wrong input.
fn refused(args: &[&str], says: &str) {
    ends(args, 2, says);
}

/// Runs into an error that says this, with this exit code.
fn ends(args: &[&str], code: i32, says: &str) {
    let output = autofarm(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(says), "{args:?} said {said}");
    assert_eq!(output.status.code(), Some(code), "{args:?} said {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
}

#[test]
fn what_is_wrong_with_a_simulation_is_named_with_what_is_allowed() {
    for (flags, says) in [
        (
            ["--scenario", "moon"],
            "scenario: `moon` is unknown; the built-in scenarios are weeding",
        ),
        (["--entities", "0"], "0 is not from 1 to 1000000"),
        (
            ["--entities", "1000001"],
            "1000001 is not from 1 to 1000000",
        ),
        (["--entities", "-1"], "--entities"),
        (["--tick-ms", "4"], "4 is not from 5 to 1000"),
        (["--tick-ms", "1001"], "1001 is not from 5 to 1000"),
        (["--partition-rows", "7"], "7 is not from 8 to 65536"),
        (["--ticks", "0"], "0 is not from 1 to "),
        (["--digest-every", "0"], "0 is not from 1 to "),
        (
            ["--speed", "0"],
            "speed: 0.000 is not from 0.1 to 1000, nor `max`",
        ),
        (
            ["--speed", "soon"],
            "a factor from 0.1 to 1000 or `max` is expected",
        ),
        (["--workers", "0"], "--workers"),
        (["--isa", "mmx"], "one of scalar, sse2, avx2, avx512"),
        (["--link", "tcp"], "[possible values: memory, quic]"),
        (
            ["--log", "loud=="],
            "invalid value 'loud==' for '--log <FILTER>'",
        ),
    ] {
        refused(&["run", flags[0], flags[1]], says);
    }
}

#[test]
fn a_tick_too_long_for_a_class_names_the_class_and_the_longest() {
    let output = autofarm(&[
        "run",
        "--scenario",
        "dense",
        "--tick-ms",
        "1000",
        "--ticks",
        "1",
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    let refused = said.contains("tick_ms: 1000 is too long for class");
    assert!(refused && said.contains("at most"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_script_is_refused_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = path(file.path());
    std::fs::write(
        file.path(),
        "{\"tick\":1,\"all\":true,\"command\":\"hold\"}\n{\"tick\":2}\n",
    )
    .unwrap();
    refused(
        &["run", "--commands", script],
        &format!("{script}:2: missing field `command`"),
    );
    std::fs::write(
        file.path(),
        "{\"tick\":1,\"entity\":99999,\"command\":\"hold\"}",
    )
    .unwrap();
    refused(
        &["run", "--commands", script],
        "entity: 99999 is not from 1 to 1000",
    );
    std::fs::write(
        file.path(),
        "{\"tick\":9999,\"entity\":1,\"command\":\"hold\"}",
    )
    .unwrap();
    refused(
        &["run", "--commands", script],
        "tick: 9999 lies beyond the last tick, 1000",
    );
    refused(
        &["run", "--commands", "not-there.jsonl"],
        "commands: not-there.jsonl: No such file",
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let says = format!("listen: {address}: Address already in use");
    // It may be free soon: that is no wrong input.
    ends(&["run", "--link", "quic", "--listen", &address], 1, &says);
    let certs = certs();
    let certs = path(certs.path());
    let orchestrator = ["orchestrator", "--listen", &address, "--certs", certs];
    let directory = tempfile::tempdir().unwrap();
    let kept = ["--data-dir", path(directory.path())];
    ends(&[&orchestrator[..], &kept].concat(), 1, &says);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let gateway = [
        "gateway",
        "--certs",
        certs,
        "--database-url",
        "sqlite:none.db",
    ];
    let says = format!("listen: {address}: Address already in use");
    ends(&[&gateway[..], &["--listen", &address]].concat(), 1, &says);
    let says = format!("metrics: {address}: Address already in use");
    let worker = ["worker", "--certs", certs, "--metrics", &address];
    ends(&worker, 1, &says);
    let any = ["--listen", "127.0.0.1:0", "--metrics", &address];
    let orchestrator = ["orchestrator", "--certs", certs];
    ends(&[&orchestrator[..], &any, &kept].concat(), 1, &says);
    let elsewhere = ["--listen", "192.0.2.1:7400"];
    let says = "listen: 192.0.2.1:7400: Cannot assign requested address";
    refused(&[&orchestrator[..], &elsewhere, &kept].concat(), says);
}

#[test]
fn a_directory_that_cannot_be_made_is_named_before_anything_has_run() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = file.path().join("hgrm");
    let inside = path(&inside);
    refused(
        &["run", "--hgrm", inside],
        &format!("hgrm: {inside}: Not a directory"),
    );
}

#[test]
fn certificates_that_cannot_be_read_are_named_with_what_to_do() {
    refused(&["worker", "--certs", "not-there"], "not-there/ca.crt");
    refused(
        &["worker", "--certs", "not-there"],
        "`autofarm certs` makes new ones",
    );
    let certs = certs();
    std::fs::write(certs.path().join("worker.key"), "no key").unwrap();
    refused(
        &["worker", "--certs", path(certs.path())],
        "worker.key: no private key",
    );
    refused(
        &["certs", "--out", path(certs.path())],
        "--force to replace it",
    );
}

#[test]
fn an_address_that_is_none_is_named() {
    let certs = certs();
    let certs = path(certs.path());
    refused(
        &["worker", "--connect", "nowhere", "--certs", certs],
        "'nowhere' for '--connect <HOST:PORT>': HOST:PORT is expected",
    );
    refused(
        &[
            "worker",
            "--connect",
            "127.0.0.1:1",
            "--certs",
            certs,
            "--name",
            "",
        ],
        "for '--name <NAME>': 0 bytes are not from 1 to 64",
    );
}

#[test]
fn a_host_that_is_not_there_yet_is_waited_for_and_keeps_nobody_from_another() {
    let certs = certs();
    let certs = path(certs.path());
    let nowhere = "not-there.invalid:7400";
    let mut worker = Role::start(&["worker", "--connect", nowhere, "--certs", certs]);
    for _ in 0..2 {
        let said = worker.said("no connection to the orchestrator; trying again");
        assert_eq!(said["server.address"], "not-there.invalid", "{said}");
        assert_eq!(said["server.port"], 7_400, "{said}");
        assert_eq!(said["service.name"], "autofarm-worker", "{said}");
        assert!(said["pause_ms"].is_u64(), "{said}");
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.end().0, Some(0));

    let directory = tempfile::tempdir().unwrap();
    let mut args = vec!["orchestrator", "--listen", "127.0.0.1:0", "--certs", certs];
    args.extend(["--data-dir", path(directory.path())]);
    let mut orchestrator = Role::start(&args);
    let both = format!(
        "{nowhere},{}",
        orchestrator.address("listening for workers")
    );
    let mut worker = Role::start(&["worker", "--connect", &both, "--certs", certs]);
    worker.said("registered");
}

#[test]
fn a_worker_with_foreign_certificates_never_registers_and_both_logs_say_why() {
    let (ours, theirs) = (certs(), certs());
    let any = "127.0.0.1:0";
    let directory = tempfile::tempdir().expect("a directory");
    let mut orchestrator = Role::start(&[
        "orchestrator",
        "--listen",
        any,
        "--certs",
        path(ours.path()),
        "--data-dir",
        path(directory.path()),
    ]);
    let listen = orchestrator.address("listening for workers");
    let theirs = path(theirs.path());
    let mut worker = Role::start(&["worker", "--connect", &listen, "--certs", theirs]);
    for said in [
        worker.said("no connection to the orchestrator; trying again"),
        orchestrator.said("no connection to a peer"),
    ] {
        let reason = said["reason"].as_str().expect("it has one");
        assert!(reason.contains("both sides must use the ca.crt"), "{said}");
    }
}

#[test]
fn without_arguments_it_says_how_to_begin() {
    let output = autofarm(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for begin in ["autofarm up ", "autofarm doctor ", "autofarm --help "] {
        assert!(said.contains(&format!("\n  {begin}")), "{said}");
    }
    assert!(said.lines().count() <= 6, "it is short: {said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn help_names_every_command() {
    let output = autofarm(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    for role in [
        "up",
        "run",
        "orchestrator",
        "gateway",
        "worker",
        "token",
        "migrate",
        "certs",
        "doctor",
        "config",
        "completions",
        "man",
    ] {
        assert!(said.contains(&format!("\n  {role}")), "{role} in {said}");
    }
}
