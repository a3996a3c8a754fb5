//! `autofarm config check`.

use std::process::Output;

use crate::process::{autofarm, command, path};

fn check(text: &str, flags: &[&str]) -> (Output, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let output = autofarm(&[&["config", "check", path(file.path())], flags].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

const GOOD: &str = r#"
certs = "/etc/autofarm/certs"
network = "routed"
log-format = "json"

[orchestrator]
listen = "0.0.0.0:7400"
cut_every = 10

[worker]
threads = 8

[gateway]
connect = ["a.example:7400", "b.example:7400"]
listen = ["0.0.0.0:8443"]
require-tokens = true

[token]
data-dir = "/var/lib/autofarm"
"#;

#[test]
fn a_file_without_a_fault_is_said_to_be_one() {
    let (output, said) = check(GOOD, &[]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("10 settings, each known and readable"),
        "{told}"
    );
    let (output, said) = check(GOOD, &["--role", "worker"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("4 settings"),
        "the table and what stands at the top: {told}"
    );
}

#[test]
fn every_fault_is_named_and_none_hides_another() {
    let text = GOOD
        .replace("cut_every = 10", "cut_every = 0\ncut-evry = 1")
        .replace("network = \"routed\"", "network = \"wide\"")
        .replace("threads = 8", "threads = [8, { many = true }]")
        .replace(
            "require-tokens = true",
            "require-tokens = \"perhaps\"\nname-d = 1",
        )
        .replace(
            "data-dir = \"/var",
            "role = \"admin\"\nconnect = \"nowhere\"\ndata-dir = \"/var",
        );
    let (output, said) = check(&text, &[]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for named in [
        "`cut-evry` is no setting of orchestrator; did you mean `cut-every`? Otherwise there are",
        "`cut_every` of orchestrator: invalid value '0'",
        "`network` of",
        "'wide' for '--network <NETWORK>': auto, local or routed is expected",
        "`threads`: a table is no value",
        "`require-tokens` of gateway: invalid value 'perhaps'",
        "`name-d` is no setting of gateway; did you mean `name`?",
        "`role` is no setting of token",
        "`connect` of token: invalid value 'nowhere'",
        "8 of 14 settings are wrong",
    ] {
        assert!(said.contains(named), "{named} in {said}");
    }
    let (output, said) = check(&text, &["--role", "gateway"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("`network` of gateway") && said.contains("`name-d`"),
        "{said}"
    );
    assert!(!said.contains("cut"), "of others nothing is said: {said}");
}

#[test]
fn one_setting_is_no_plural_and_a_key_like_no_other_is_taken_for_none() {
    let (output, said) = check("threads = 2\n", &[]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.ends_with(": 1 setting, each known and readable\n"),
        "{told} {said}"
    );
    let (_, said) = check("threads = 0\n", &[]);
    assert!(said.ends_with(": 1 of 1 setting is wrong\n"), "{said}");
    let (_, said) = check("[worker]\nthraeds = 2\n", &[]);
    assert!(said.contains("did you mean `threads`? "), "{said}");
    let (_, said) = check("[worker]\nxyz = 2\n", &[]);
    assert!(
        said.contains("`xyz` is no setting of worker; there are certs, "),
        "{said}"
    );
}

#[test]
fn a_number_too_many_for_one_value_is_named() {
    let threads = "threads = [1, 2]\n";
    for text in [format!("[worker]\n{threads}"), threads.to_owned()] {
        let (output, said) = check(&text, &[]);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("`threads`: 2 values, and"), "{said}");
    }
    // What takes several is for that role alone.
    let both = "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n";
    assert_eq!(check(both, &["--role", "gateway"]).0.status.code(), Some(0));
    assert_eq!(
        check(both, &["--role", "orchestrator"]).0.status.code(),
        Some(2)
    );
}

#[test]
fn what_is_no_settings_file_is_told_apart() {
    let (output, said) = check("listen =", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("config: ") && said.contains("TOML parse error"),
        "{said}"
    );
    let output = autofarm(&["config", "check", "not-there.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not-there.toml: No such file"), "{said}");
    let (output, said) = check("", &["--role", "baker"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("role: `baker` is no command; there are up"),
        "{said}"
    );
}

#[test]
fn what_a_role_would_refuse_when_it_starts_is_refused_here() {
    let text = r#"
log = "a=b=c"

[up]
demo = "nosuch"
burst = 0
database-url = "foo://farm:s3cret@db/farm"

[gateway]
requests-per-s = 1000001
max-connections = 0
max-body-bytes = 8388609
name = ""

[orchestrator]
scenario = "moon"
entities = 0
tick-ms = 4
partition-rows = 7
ticks = 0
digest-every = 0
"#;
    let (output, said) = check(text, &[]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for named in [
        "`log` of up: invalid value 'a=b=c'",
        "`demo` of up: invalid value 'nosuch' for '--demo <NAME>': weeding, dense or none is expected",
        "`burst` of up: invalid value '0' for '--burst <N>': a whole number from 1 to 1000000 is expected",
        "`database-url` of up: invalid value for '--database-url <URL>', which is not shown: the database's URL begins with neither",
        "`requests-per-s` of gateway: invalid value '1000001'",
        "`max-connections` of gateway: invalid value '0'",
        "a whole number from 1 to 8388608 is expected",
        "`name` of gateway: invalid value '' for '--name <NAME>': 1 to 64 bytes are expected",
        "`scenario` of orchestrator: invalid value 'moon'",
        "`entities` of orchestrator: invalid value '0'",
        "a whole number from 5 to 1000 is expected",
        "a whole number from 8 to 65536 is expected",
        "`ticks` of orchestrator: invalid value '0'",
        "`digest-every` of orchestrator: invalid value '0'",
        "14 of 14 settings are wrong",
    ] {
        assert!(said.contains(named), "{named} in {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn what_is_around_is_no_fault_of_the_file() {
    let bad = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bad.path(), "no-such-key = 1\n").unwrap();
    let good = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(good.path(), GOOD).unwrap();
    let file = path(good.path());
    for (name, value) in [
        ("AUTOFARM_CONFIG", path(bad.path())),
        ("AUTOFARM_LOG", "a=b=c"),
        ("AUTOFARM_LOG_FORMAT", "zz"),
    ] {
        for args in [
            &["config", "check", file][..],
            &["completions", "bash"],
            &["man"],
        ] {
            let output = command(args).env(name, value).output().unwrap();
            assert!(output.status.success(), "{name} {args:?}: {output:?}");
        }
    }
    // A role hears of it.
    let mut up = command(&["up", "--print-config"]);
    let output = up.env("AUTOFARM_CONFIG", bad.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Flags that want each other were once not missed where the file had one of them: it was plain HTTP then.
#[test]
fn https_of_a_file_needs_certificate_and_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = tempfile::tempdir().unwrap();
    for (given, missing) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")] {
        std::fs::write(file.path(), format!("[up]\n{given} = \"https.pem\"\n")).unwrap();
        let output = autofarm(&[
            "up",
            "--config",
            path(file.path()),
            "--data-dir",
            path(data.path()),
            "--listen",
            "127.0.0.1:0",
        ]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("{missing}: there is none")),
            "{said}"
        );
    }
}
