//! `autofarm doctor`: what it finds, what it advises, and its exit code.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use transport::certs::generate;

use crate::process::{Role, autofarm, certs, path};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Looks, with a free port and a data directory unless the flags name others.
fn look(flags: &[&str]) -> (Option<i32>, Value) {
    let directory = tempfile::tempdir().unwrap();
    let mut args = vec!["doctor", "--json"];
    if !flags.contains(&"--listen") {
        args.extend(["--listen", "127.0.0.1:0"]);
    }
    if !flags
        .iter()
        .any(|flag| ["--data-dir", "--database-url"].contains(flag))
    {
        args.extend(["--data-dir", path(directory.path())]);
    }
    args.extend(flags);
    let output = autofarm(&args);
    let told = serde_json::from_slice(&output.stdout);
    let told = told.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), told)
}

/// The one check of this name.
fn of<'a>(told: &'a Value, check: &str) -> &'a Value {
    let checks = told["checks"].as_array().expect("checks");
    let found = checks.iter().find(|found| found["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {told}"))
}

/// Looks, and finds a failure that says this and advises that.
#[track_caller]
fn fails(flags: &[&str], check: &str, says: &str, advises: &str) {
    let (code, told) = look(flags);
    let found = of(&told, check);
    assert_eq!(
        (code, &told["outcome"]),
        (Some(1), &Value::from("failure")),
        "{told}"
    );
    assert_eq!(found["outcome"], "failure", "{found}");
    assert!(found["found"].as_str().unwrap().contains(says), "{found}");
    assert!(
        found["advice"].as_str().unwrap().contains(advises),
        "{found}"
    );
}

#[test]
fn where_nothing_is_wrong_it_says_so_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("farm");
    let certs = certs();
    let tls = |file: &str| certs.path().join(file).to_str().unwrap().to_owned();
    let (code, told) = look(&[
        "--data-dir",
        path(&data),
        "--link",
        "127.0.0.1:0",
        "--certs",
        path(certs.path()),
        "--tls-cert",
        &tls("gateway.crt"),
        "--tls-key",
        &tls("gateway.key"),
    ]);
    assert_eq!(code, Some(0), "{told}");
    for check in [
        "port",
        "data directory",
        "database",
        "certificates",
        "https",
    ] {
        let found = of(&told, check);
        assert_ne!(found["outcome"], "failure", "{found}");
        assert!(
            found["outcome"] != "ok" || found["advice"].is_null(),
            "{found}"
        );
    }
    for check in ["open files", "disk space", "udp buffers", "timer", "time"] {
        of(&told, check);
    }
    let https = of(&told, "https")["found"].as_str().unwrap();
    assert!(
        https.contains("for gateway.autofarm.internal, until "),
        "{https}"
    );
    assert!(!data.exists(), "it has made the directory");
}

#[test]
fn a_port_that_another_has_is_a_failure_and_an_autofarm_that_runs_a_warning() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    fails(
        &["--listen", &taken],
        "port",
        "Address already in use",
        "ss -Hlnp",
    );
    fails(
        &["--listen", "192.0.2.1:8080"],
        "port",
        "cannot be listened on",
        "ip address",
    );

    let directory = tempfile::tempdir().unwrap();
    let data = ["--data-dir", path(directory.path())];
    let mut up = Role::start(
        &[
            &["up", "--listen", "127.0.0.1:0", "--demo", "none"],
            &data[..],
        ]
        .concat(),
    );
    let address = up.listening();
    up.said("registered");
    let (code, told) = look(&["--listen", &address, "--data-dir", path(directory.path())]);
    assert_eq!(code, Some(0), "{told}");
    let port = of(&told, "port");
    assert_eq!(port["outcome"], "warning", "{port}");
    assert!(
        port["found"]
            .as_str()
            .unwrap()
            .contains("an AutoFarm that runs"),
        "{port}"
    );
    let database = of(&told, "database")["found"].as_str().unwrap();
    assert!(
        database.contains("has it: another orchestrator would stand by"),
        "{database}"
    );
}

#[test]
fn an_autofarm_that_speaks_https_is_known_as_one() {
    let (directory, certs) = (tempfile::tempdir().unwrap(), certs());
    let file = |name: &str| certs.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("gateway.crt"), file("gateway.key"));
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let mut args = vec!["up", "--listen", "127.0.0.1:0", "--demo", "none"];
    args.extend(["--data-dir", path(directory.path())]);
    args.extend(tls);
    let mut up = Role::start(&args);
    let address = up.listening();
    up.said("registered");
    let (code, told) = look(&[&["--listen", &address], &tls[..]].concat());
    let port = of(&told, "port");
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(port["outcome"], "warning", "{port}");
    // Whoever asks in plain gets no answer that tells who it is.
    let taken = "Address already in use";
    fails(&["--listen", &address], "port", taken, "ss -Hlnp");
}

#[test]
fn a_place_where_nothing_can_be_kept_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "no database").unwrap();
    let below = file.join("farm");
    fails(
        &["--data-dir", path(&below)],
        "data directory",
        "is no directory",
        "--data-dir",
    );
    let url = format!("sqlite:{}", path(&file));
    fails(
        &["--database-url", &url],
        "database",
        "database",
        "--data-dir",
    );
    // Nobody may write there, whoever asks.
    fails(
        &["--data-dir", "/proc/farm"],
        "data directory",
        "/proc cannot be written",
        "permission",
    );
}

#[test]
fn a_database_that_does_not_answer_is_named_without_its_password() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("postgres://farm:s3cret@{free}/farm");
    fails(
        &["--database-url", &url],
        "database",
        "does not answer",
        "pg_isready",
    );
    let output = autofarm(&["doctor", "--listen", "127.0.0.1:0", "--database-url", &url]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        !told.contains("s3cret") && told.contains("failure  database"),
        "{told}"
    );
    let output = autofarm(&["doctor", "--database-url", "mysql://farm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'--database-url <URL>'"));
}

#[test]
fn certificates_are_judged_by_date_key_and_authority() {
    let now = SystemTime::now();
    let of_days = |from: SystemTime, days: u32| {
        let directory = tempfile::tempdir().unwrap();
        let bundle = generate(from, DAY * days).unwrap();
        bundle.write_to(directory.path()).unwrap();
        directory
    };
    let fails_with = |directory: &Path, says: &str, advises: &str| {
        fails(&["--certs", path(directory)], "certificates", says, advises);
    };
    let expired = of_days(now - DAY * 9, 3);
    fails_with(expired.path(), "expired", "autofarm certs --force");
    let early = of_days(now + DAY * 2, 9);
    fails_with(early.path(), "is valid only in", "clock");
    let empty = tempfile::tempdir().unwrap();
    fails_with(
        empty.path(),
        "holds no certificate of a role",
        "autofarm certs --out",
    );

    let (mixed, other) = (of_days(now - DAY, 90), of_days(now - DAY, 90));
    std::fs::copy(other.path().join("ca.crt"), mixed.path().join("ca.crt")).unwrap();
    fails_with(
        mixed.path(),
        "the authority did not sign it",
        "autofarm certs --force",
    );
    std::fs::copy(
        other.path().join("worker.key"),
        mixed.path().join("worker.key"),
    )
    .unwrap();
    let (_, told) = look(&["--certs", path(mixed.path())]);
    assert!(told.to_string().contains("is not the key of"), "{told}");

    let soon = of_days(now - DAY, 11);
    let (code, told) = look(&["--certs", path(soon.path())]);
    assert_eq!(code, Some(0), "{told}");
    let found = of(&told, "certificates");
    assert_eq!(found["outcome"], "warning", "{found}");
    assert!(
        found["found"].as_str().unwrap().contains("9 days from now"),
        "{found}"
    );

    let file = |directory: &Path, name: &str| directory.join(name).to_str().unwrap().to_owned();
    let tls = |certificate: String, key: String, says: &str| {
        fails(
            &["--tls-cert", &certificate, "--tls-key", &key],
            "https",
            says,
            "",
        );
    };
    let gone = file(expired.path(), "gateway.crt");
    tls(gone, file(expired.path(), "gateway.key"), "expired on");
    tls(
        file(soon.path(), "gateway.crt"),
        file(other.path(), "gateway.key"),
        "tls-cert: ",
    );
    tls(
        file(soon.path(), "gateway.key"),
        file(soon.path(), "gateway.key"),
        "tls-cert: ",
    );
}
