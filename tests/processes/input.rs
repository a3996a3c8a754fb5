//! Wrong input: what is said, and the exit code.

use std::net::{TcpListener, UdpSocket};

use rustix::process::Signal;

use crate::process::{Role, autofarm, certs, command, path};

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
        (["--scenario", "moon"], "weeding or dense"),
        (["--entities", "0"], "a whole number from 1 to 1000000"),
        (
            ["--entities", "1000001"],
            "a whole number from 1 to 1000000",
        ),
        (["--entities", "-1"], "a whole number from 1 to 1000000"),
        (["--tick-ms", "4"], "a whole number from 5 to 1000"),
        (["--tick-ms", "1001"], "a whole number from 5 to 1000"),
        (["--partition-rows", "7"], "a whole number from 8 to 65536"),
        (["--ticks", "0"], "a whole number from 1 to 4294967294"),
        (
            ["--seed", "x"],
            "a whole number from 0 to 18446744073709551615",
        ),
        (
            ["--digest-every", "0"],
            "a whole number from 1 to 4294967295",
        ),
        (
            ["--verify-one-in", "x"],
            "a whole number from 0 to 18446744073709551615",
        ),
        (["--kill-at", "x"], "a whole number from 1 to 4294967294"),
        (["--kill-every", "0"], "a whole number from 1 to 86400"),
        (["--late", "never"], "dilate or fail"),
        (["--speed", "0"], "a factor from 0.1 to 1000 or `max`"),
        (["--speed", "soon"], "a factor from 0.1 to 1000 or `max`"),
        (["--workers", "0"], "a whole number from 1 to 256"),
        (["--threads", "many"], "a whole number from 1 to 256"),
        (["--isa", "mmx"], "scalar, sse2, avx2 or avx512"),
        (["--link", "tcp"], "memory or quic"),
        (["--listen", "nonsense"], "IP:PORT"),
        (["--log-format", "xml"], "auto, json or pretty"),
    ] {
        let [flag, value] = flags;
        let output = autofarm(&["run", flag, value]);
        let said = String::from_utf8_lossy(&output.stderr);
        let begins = format!("error: invalid value '{value}' for '{flag} <");
        assert!(said.starts_with(&begins), "{said}");
        assert!(
            said.contains(&format!("{says} is expected\n"))
                || said.contains(&format!("{says} is expected, as ")),
            "{says}: {said}"
        );
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
    refused(
        &["run", "--log", "loud=="],
        "invalid value 'loud==' for '--log <FILTER>'",
    );
}

#[test]
fn a_wrong_value_is_refused_in_the_same_words_wherever_it_is_from() {
    let says = |of: &str, from: &str| {
        format!(
            "error: invalid value 'x' for '--threads <N>'{from}: a whole number from 1 to 256 is expected\n{of}"
        )
    };
    let heard = |mut command: std::process::Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let help = "\nFor more information, try '--help'.\n";
    let said = heard(command(&["run", "--threads=x"]));
    assert_eq!(said, says(help, ""));

    let mut by_variable = command(&["run"]);
    by_variable.env("AUTOFARM_THREADS", "x");
    assert_eq!(heard(by_variable), says(help, " from AUTOFARM_THREADS"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[run]\nthreads = \"x\"\n").unwrap();
    let from = format!(" from `threads` in {}", path(file.path()));
    let said = heard(command(&["run", "--config", path(file.path())]));
    assert_eq!(said, says(help, &from));

    let mut of_a_switch = command(&["run"]);
    of_a_switch.env("AUTOFARM_JSON", "perhaps");
    let wanted = "error: invalid value 'perhaps' for '--json' from AUTOFARM_JSON: true or false is expected\n";
    let said = heard(of_a_switch);
    assert!(said.starts_with(wanted), "{said}");

    // It may hold a password.
    let mut of_a_database = command(&["migrate"]);
    of_a_database.env("AUTOFARM_DATABASE_URL", "mysql://farm:s3cret@db/farm");
    let said = heard(of_a_database);
    let wanted = "error: invalid value for '--database-url <URL>' from AUTOFARM_DATABASE_URL, which is not shown: ";
    assert!(said.starts_with(wanted), "{said}");
    assert!(
        said.contains("examples: sqlite:") && !said.contains("s3cret"),
        "{said}"
    );
}

#[test]
fn flags_of_every_command_are_refused_in_the_same_form() {
    for (args, says) in [
        (
            &["up", "--listen", "localhost:80"][..],
            "'localhost:80' for '--listen <ADDRESS>': IP:PORT is expected, as ",
        ),
        (
            &["up", "--cut-every", "0"],
            "'0' for '--cut-every <SECONDS>': a whole number from 1 to 86400 is expected",
        ),
        (
            &["up", "--keep-cuts", "1"],
            "'1' for '--keep-cuts <N>': a whole number from 2 to 10000 is expected",
        ),
        (
            &["up", "--keep-events", "0"],
            "'0' for '--keep-events <N>': a whole number from 1 to 18446744073709551615 is expected",
        ),
        (
            &["up", "--workers", "65"],
            "'65' for '--workers <N>': a whole number from 1 to 64 is expected",
        ),
        (
            &["up", "--demo", "moon"],
            "'moon' for '--demo <NAME>': weeding, dense or none is expected",
        ),
        (
            &["up", "--allowed-origin", "farm.example"],
            "'farm.example' for '--allowed-origin <ORIGIN>': SCHEME://HOST or ",
        ),
        (
            &["up", "--allowed-host", "farm.example:80"],
            "'farm.example:80' for '--allowed-host <HOST>': a host without ",
        ),
        (
            &["orchestrator", "--certs", ".", "--metrics", "9464"],
            "'9464' for '--metrics <ADDRESS>': IP:PORT is expected, as ",
        ),
        (
            &["worker", "--certs", ".", "--network", "wide"],
            "'wide' for '--network <NETWORK>': auto, local or routed is expected",
        ),
        (
            &["certs", "--days", "0"],
            "'0' for '--days <DAYS>': a whole number from 1 to 3650 is expected",
        ),
        (
            &["doctor", "--link", "x"],
            "'x' for '--link <ADDRESS>': IP:PORT is expected, as ",
        ),
        (
            &["token", "create", "--name", "me", "--role", "king"],
            "'king' for '--role <ROLE>': viewer, operator or admin is expected",
        ),
    ] {
        refused(args, &format!("error: invalid value {says}"));
    }
}

#[test]
fn what_is_missing_is_named_with_its_variable_and_an_example() {
    refused(
        &["gateway", "--certs", "."],
        "\n  --database-url <URL>, or AUTOFARM_DATABASE_URL in the environment: Database that history is read from, the \
         orchestrator's: postgres://USER:PASSWORD@HOST/NAME, as postgres://reader:secret@127.0.0.1/farm, or sqlite:FILE",
    );
    refused(
        &["worker"],
        "\n  --certs <DIR>, or AUTOFARM_CERTS in the environment: Directory with ca.crt",
    );
}

#[test]
fn an_orchestrator_that_is_told_of_no_database_says_which_it_has_and_how_to_name_one() {
    let certs = certs();
    let home = tempfile::tempdir().unwrap();
    let mut begins = command(&[
        "orchestrator",
        "--listen",
        "127.0.0.1:0",
        "--certs",
        path(certs.path()),
    ]);
    begins.env("XDG_DATA_HOME", home.path());
    let mut orchestrator = Role::of(begins);
    let said = orchestrator.said("no database is named: state is kept in a file");
    assert!(
        said["advice"]
            .as_str()
            .unwrap()
            .contains("AUTOFARM_DATABASE_URL"),
        "{said}"
    );
    assert_eq!(
        said["database"],
        format!("sqlite:{}/autofarm/autofarm.db", path(home.path()))
    );
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
    let says = format!(
        "listen: {address}: Address already in use (os error 98); another process has the port: end it, or give another \
         one with --listen"
    );
    ends(&[&gateway[..], &["--listen", &address]].concat(), 1, &says);
    ends(
        &[&["up", "--listen", &address], &kept[..]].concat(),
        1,
        &says,
    );
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
        "for '--name <NAME>': 1 to 64 bytes are expected",
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
