//! The lines on a terminal: they are drawn over themselves, in colour unless that is not wanted, and nothing of them
//! stays, however it ends.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::fake::{Fake, Fault};

const COLUMNS: u16 = 72;

/// A run whose standard error is a terminal.
struct OnTerminal {
    child: Child,
    /// Kept open, so that what was written is not lost when the program ends.
    terminal: OwnedFd,
    drawn: JoinHandle<String>,
}

fn start(fake: &Fake, arguments: &[&str], no_color: bool) -> OnTerminal {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_perf"));
    command
        .args(["load", "--url", &fake.url, "--warm-up", "0"])
        .args(arguments)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(terminal.try_clone().unwrap());
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let child = command.spawn().unwrap();
    let drawn = thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), [0; 4_096]);
        let mut master = File::from(master);
        // An error is the end of the last one that has the terminal open.
        while let Ok(n @ 1..) = master.read(&mut part) {
            all.extend_from_slice(&part[..n]);
        }
        String::from_utf8(all).unwrap()
    });
    OnTerminal {
        child,
        terminal,
        drawn,
    }
}

impl OnTerminal {
    /// Everything drawn, once the program has ended, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let before = tcgetattr(&self.terminal).unwrap().local_modes;
        let status = self.child.wait().unwrap();
        let after = tcgetattr(&self.terminal).unwrap().local_modes;
        assert_eq!(before, after, "the terminal's mode is as it was");
        drop(self.terminal);
        (self.drawn.join().unwrap(), status.code())
    }
}

/// What a terminal shows after all this, by the few sequences that are used. A line that is full goes on in the next
/// one, as on a real one: that is how lines are ended here.
fn screen(drawn: &str) -> Vec<String> {
    let mut lines = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut rest = drawn;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                let number = rest[1..end].parse().unwrap_or(1);
                match &rest[end..=end] {
                    "A" => row -= number,
                    "B" => row += number,
                    "K" => lines[row].clear(),
                    "m" => {}
                    other => panic!("{other} moves the terminal in another way"),
                }
                rest = &rest[end + 1..];
            }
            c => {
                if column == usize::from(COLUMNS) {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    lines.into_iter().map(String::from_iter).collect()
}

#[test]
fn lines_are_drawn_over_themselves_and_nothing_stays() {
    let fake = Fake::start(Fault::None);
    let (drawn, code) = start(&fake, &["--duration", "4"], false).end();
    assert_eq!(code, Some(0), "{drawn}");
    for said in [
        "connecting",
        "measuring",
        "end to end  p50",
        "rest        p50",
        "0 violations",
        "processes   perf",
    ] {
        assert!(drawn.contains(said), "{said} is not in {drawn:?}");
    }
    assert!(
        drawn.contains("\u{1b}[36m"),
        "the bar has a colour: {drawn:?}"
    );
    let left = screen(&drawn);
    assert!(left.iter().all(|line| line.trim().is_empty()), "{left:?}");
    assert!(left.len() <= 6, "{left:?}");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let fake = Fake::start(Fault::OtherTotal);
    let (drawn, _) = start(&fake, &["--duration", "2"], true).end();
    assert!(drawn.contains("violations so far"), "{drawn:?}");
    for sequence in drawn.split('\u{1b}').skip(1) {
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        assert!(&sequence[end..=end] != "m", "{sequence:?}");
    }
}

#[test]
fn an_interrupt_leaves_an_empty_line_even_where_it_ends_at_once() {
    for times in [1, 2] {
        let fake = Fake::start(Fault::None);
        let run = start(&fake, &["--duration", "600"], false);
        fake.wait_for_ticks(400);
        let pid = Pid::from_child(&run.child);
        for _ in 0..times {
            // Two signals that wait together are one: the second is sent when the first was taken.
            kill_process(pid, Signal::INT).unwrap();
            thread::yield_now();
        }
        let (drawn, code) = run.end();
        let is_expected = match times {
            1 => code == Some(0),
            _ => [Some(0), Some(130)].contains(&code),
        };
        assert!(is_expected, "{code:?}: {drawn:?}");
        assert!(drawn.contains("measuring"), "{drawn:?}");
        let left = screen(&drawn);
        assert!(left.iter().all(|line| line.trim().is_empty()), "{left:?}");
    }
}
