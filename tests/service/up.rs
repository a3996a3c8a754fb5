//! `autofarm up`: all of it in one process, whose log is followed.

use std::fs;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::api::Api;
use crate::processes::{autofarm, wait_until};

/// A process that serves, or does not.
pub(crate) struct Up {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Up {
    /// Starts it on a free port of the loopback address, without a farm to look at.
    pub(crate) fn start(flags: &[&str]) -> Up {
        Up::start_on("127.0.0.1:0", flags)
    }

    /// The same on another address.
    pub(crate) fn start_on(listen: &str, flags: &[&str]) -> Up {
        let mut command = autofarm();
        command.args(["up", "--listen", listen]).args(flags);
        if !flags.contains(&"--demo") {
            command.args(["--demo", "none"]);
        }
        Up::spawn(&mut command)
    }

    /// Starts what has been put together.
    pub(crate) fn spawn(command: &mut Command) -> Up {
        let log = tempfile::NamedTempFile::new().expect("a log");
        let child = command
            .args(["--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("a log"))
            .spawn()
            .expect("the binary starts");
        Up { child, log }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log.path()).expect("a log")
    }

    /// The first line of its log that has this in it, written or to come.
    pub(crate) fn said(&self, what: &str) -> String {
        wait_until(&format!("it says `{what}`"), || {
            let log = self.log();
            log.lines()
                .find(|line| line.contains(what))
                .map(str::to_owned)
        })
    }

    /// A client, once it listens.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.address())
    }

    /// Where it listens, seen from this machine.
    pub(crate) fn address(&self) -> String {
        let line: Value = serde_json::from_str(&self.said("\"listening\"")).expect("JSON");
        let name = line["server.address"].as_str().expect("an address");
        let name = name.replace("0.0.0.0", "127.0.0.1");
        format!("{name}:{}", line["server.port"])
    }

    /// A client, once it is ready.
    pub(crate) fn ready(&self) -> Api {
        let api = self.api();
        wait_until("it is ready", || {
            (api.get("/readyz").status == 200).then_some(())
        });
        api
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    /// Waits for its end; answers its exit code and what it has said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = wait_until("it ends", || self.child.try_wait().expect("it is ours"));
        (status.code(), self.log())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- up\n{}", self.log());
        }
    }
}
