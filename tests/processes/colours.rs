//! Colours: on a terminal, unless NO_COLOR says not.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What begins a colour or its end; moves of the cursor begin so too, but end with another letter.
fn colours(shown: &str) -> usize {
    let codes = shown.split("\u{1b}[").skip(1);
    let ends = codes.filter_map(|code| {
        code.find(|c: char| c.is_ascii_alphabetic())
            .map(|at| &code[at..])
    });
    ends.filter(|end| end.starts_with('m')).count()
}

/// What a terminal is shown on standard error by a run with its log and its progress.
fn shown(no_color: Option<&str>) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("a terminal");
    unlockpt(&terminal).expect("a terminal");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name");
    let end: OwnedFd =
        open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other end");
    let mut command = Command::new(env!("CARGO_BIN_EXE_autofarm"));
    command
        .args(["run", "--entities", "20", "--ticks", "200", "--log", "info"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(end));
    if let Some(value) = no_color {
        command.env("NO_COLOR", value);
    }
    let mut child = command.spawn().expect("the binary starts");
    // The other end must be nobody's but the child's, or this one is never at its end.
    drop(command);
    let mut bytes = Vec::new();
    // A terminal whose other end is closed answers with an error.
    let _ = File::from(terminal).read_to_end(&mut bytes);
    assert!(child.wait().expect("it is ours").success());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn no_color_is_heard_by_the_log_and_by_progress() {
    let coloured = shown(None);
    assert!(
        colours(&coloured) > 0,
        "a terminal is shown colours: {coloured:?}"
    );
    assert!(coloured.contains("registered"), "{coloured:?}");
    // By the convention, a value of nothing is as if it were not set.
    assert!(colours(&shown(Some(""))) > 0);
    let plain = shown(Some("1"));
    assert!(
        plain.contains("registered") && plain.contains("tick "),
        "log and progress: {plain:?}"
    );
    assert_eq!(colours(&plain), 0, "{plain:?}");
}
