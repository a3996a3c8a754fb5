//! `autofarm` processes, with their logs read as they write them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest that anything here is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `autofarm` to its end.
pub(crate) fn autofarm(args: &[&str]) -> Output {
    command(args).output().expect("the binary starts")
}

/// `autofarm` with these arguments, not started yet.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autofarm"));
    command.args(args).stdin(Stdio::null());
    // What a test does not put elsewhere must not go to the home of whoever runs it.
    command.env_remove("HOME").env_remove("XDG_DATA_HOME");
    command
}

/// Certificates for every role in a directory of their own.
pub(crate) fn certs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let made = autofarm(&["certs", "--out", path(directory.path()), "--force"]);
    assert!(made.status.success(), "{made:?}");
    directory
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

/// A process whose log is followed.
pub(crate) struct Role {
    child: Child,
    log: Receiver<Value>,
    seen: Vec<Value>,
}

impl Role {
    /// Starts a role that logs in JSON.
    pub(crate) fn start(args: &[&str]) -> Role {
        Role::of(command(args))
    }

    /// A process of a command that was not started yet.
    pub(crate) fn of(mut command: Command) -> Role {
        let mut child = command
            .args(["--log-format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = follow(child.stderr.take().expect("piped"));
        Role {
            child,
            log,
            seen: Vec::new(),
        }
    }

    /// The first log line with this message, already written or to come.
    pub(crate) fn said(&mut self, message: &str) -> Value {
        self.said_that(message, |line| line["message"] == message)
    }

    /// The first log line that `is_it`, which is called `what`.
    pub(crate) fn said_that(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(line) = self.seen.iter().find(|l| is_it(l)) {
            return line.clone();
        }
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self
            .log
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
        panic!("`{what}` was never said, but {:#?}", self.seen);
    }

    /// The address that a log line names.
    pub(crate) fn address(&mut self, message: &str) -> String {
        let line = self.said(message);
        let name = line["server.address"].as_str().expect("it has one");
        format!("{name}:{}", line["server.port"])
    }

    /// The address of the API, of a role that serves it.
    pub(crate) fn listening(&mut self) -> String {
        self.address("listening")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is there");
    }

    /// The processes that it has started.
    pub(crate) fn children(&self) -> Vec<Pid> {
        let pid = self.child.id();
        let file = format!("/proc/{pid}/task/{pid}/children");
        let pids = std::fs::read_to_string(file).unwrap_or_default();
        let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.filter_map(Pid::from_raw).collect()
    }

    /// Waits for the end; answers the exit code and what was printed.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_string(&mut text).expect("text");
        let status = self.child.wait().expect("a child is waited for");
        (status.code(), text)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stderr: ChildStderr) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A figure of a metrics page.
pub(crate) fn metric(address: &str, name: &str) -> f64 {
    let page = get(address, "/metrics");
    let line = page
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("`{name}` is not in\n{page}"));
    line.parse().expect("a number")
}

/// The page at a path, with its head.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the page is served");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Asks again and again until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
