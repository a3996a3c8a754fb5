//! Completions and manual pages.

use crate::process::{autofarm, command, path};

#[test]
fn every_shell_is_told_what_completes_the_commands() {
    for (shell, has) in [
        ("bash", "complete -F _autofarm"),
        ("zsh", "#compdef autofarm"),
        ("fish", "complete -c autofarm"),
        ("elvish", "edit:completion:arg-completer[autofarm]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let output = autofarm(&["completions", shell]);
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(script.contains(has), "{has} in {script}");
        assert!(
            script.contains("orchestrator") && script.contains("data-dir"),
            "{shell}"
        );
    }
    let output = autofarm(&["completions", "sh"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("zsh is expected"), "{said}");
}

#[test]
fn bash_completes_a_flag_of_a_command() {
    let script = String::from_utf8(autofarm(&["completions", "bash"]).stdout).expect("text");
    let ask = format!(
        "{script}\nCOMP_WORDS=(autofarm doctor --tls); COMP_CWORD=2\n_autofarm autofarm --tls doctor\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", &ask])
        .output();
    let output = output.expect("bash is on every machine that builds this");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("--tls-cert\n"), "{output:?}");
    assert!(!told.contains("--data-dir\n"), "{output:?}");
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let output = autofarm(&["man"]);
    assert!(output.status.success(), "{output:?}");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(
        page.contains(".TH autofarm 1") && page.contains("autofarm\\-doctor(1)"),
        "{page}"
    );

    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = autofarm(&["man", "--out", path(&pages)]);
    assert!(output.status.success(), "{output:?}");
    for (name, has) in [
        ("autofarm.1", "EXTRA"),
        ("autofarm-up.1", "AUTOFARM_DATA_DIR"),
        ("autofarm-token-create.1", "AUTOFARM_DATABASE_URL"),
        ("autofarm-config-check.1", "\\-\\-role"),
    ] {
        let page = std::fs::read_to_string(pages.join(name)).expect(name);
        assert!(page.contains(has), "{name}: {page}");
    }
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = autofarm(&["man", "--out", path(&file)]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("out: ") && said.contains("can be written"),
        "{said}"
    );
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "log = \"info\"\n").unwrap();
    for args in [
        &["completions", "bash"][..],
        &["man"],
        &["up", "--print-config"],
        &["config", "check", path(file.path())],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(args).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
    // That there is no room is one.
    for args in [&["completions", "bash"][..], &["man"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let output = command(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("standard output: No space left"), "{said}");
    }
}
