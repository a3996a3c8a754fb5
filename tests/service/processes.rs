//! An orchestrator, workers and a gateway as processes, on ports of their own.

use std::fs::{self, OpenOptions};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::api::Api;
use crate::database::Database;

/// Longest that anything here is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A role of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Orchestrator,
    /// Another orchestrator on the same database.
    Standby,
    Worker(u32),
    Gateway,
}

/// The service as four processes or more.
pub(crate) struct Service {
    /// Dropped with it.
    _database: Database,
    /// Certificates and logs.
    files: tempfile::TempDir,
    /// The database's, as the processes are given it.
    url: String,
    /// Further flags of an orchestrator.
    flags: Vec<String>,
    /// Where the orchestrator is, and where the standby.
    links: [String; 2],
    /// Where the standby tells of itself.
    pub(crate) standby_metrics: String,
    /// Whether workers and gateways know of the standby.
    has_standby: bool,
    pub(crate) http: String,
    running: std::collections::BTreeMap<Role, Child>,
    pub(crate) api: Api,
}

impl Service {
    /// Starts all of it, with two workers.
    pub(crate) fn start(database: Database) -> Service {
        let url = database.url();
        Service::start_with(database, url, &[])
    }

    /// The same with a URL by which the processes reach the database, and further flags of the orchestrator.
    pub(crate) fn start_with(database: Database, url: String, flags: &[&str]) -> Service {
        let mut service = Service::prepare(database, url, flags);
        for role in ROLES {
            service.start_role(role);
        }
        service.wait_ready();
        service
    }

    /// The same, with the address of a standby known to all; it is not started yet.
    pub(crate) fn start_for_standby(database: Database) -> Service {
        let url = database.url();
        let mut service = Service::prepare(database, url, &[]);
        service.has_standby = true;
        for role in ROLES {
            service.start_role(role);
        }
        service.wait_ready();
        service
    }

    /// The same, with nothing started yet.
    pub(crate) fn prepare(database: Database, url: String, flags: &[&str]) -> Service {
        let files = tempfile::tempdir().expect("a directory");
        let made = autofarm()
            .args(["certs", "--force", "--out"])
            .arg(files.path())
            .output()
            .expect("the binary starts");
        assert!(made.status.success(), "{made:?}");
        let http = free_address();
        Service {
            _database: database,
            files,
            url,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            links: [free_address(), free_address()],
            standby_metrics: free_address(),
            has_standby: false,
            api: Api::new(&http),
            http,
            running: Default::default(),
        }
    }

    /// Starts one process.
    pub(crate) fn start_role(&mut self, role: Role) {
        let [first, second] = &self.links;
        let both = match self.has_standby {
            true => self.links.join(","),
            false => first.clone(),
        };
        let mut command = autofarm();
        match role {
            // Kept often, so that a short run is taken up from a cut and not from its creation.
            Role::Orchestrator | Role::Standby => command
                .args(["orchestrator", "--cut-every", "1", "--listen"])
                .arg(if role == Role::Standby { second } else { first })
                .args(["--database-url", &self.url])
                .args(&self.flags),
            Role::Worker(number) => command
                .args(["worker", "--connect", &both, "--threads", "1"])
                .args(["--name", &format!("worker-{number}")]),
            Role::Gateway => command
                .args(["gateway", "--connect", &both, "--listen", &self.http])
                .args(["--database-url", &self.url])
                // Tests ask again and again until something has happened.
                .args(["--requests-per-s", "100000", "--burst", "100000"]),
        };
        if role == Role::Standby {
            command.args(["--metrics", &self.standby_metrics]);
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_of(role))
            .expect("a log");
        let child = command
            .arg("--certs")
            .arg(self.files.path())
            .args(["--log", "info", "--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let before = self.running.insert(role, child);
        assert!(before.is_none(), "{role:?} runs already");
    }

    /// The port of the orchestrator that is started first.
    pub(crate) fn port_of_first(&self) -> &str {
        self.links[0].rsplit_once(':').expect("an address").1
    }

    fn log_of(&self, role: Role) -> PathBuf {
        self.files.path().join(format!("{role:?}.log"))
    }

    /// The first line of a process's log that has this in it, written or to come.
    pub(crate) fn said(&self, role: Role, what: &str) -> String {
        wait_until(&format!("{role:?} says `{what}`"), || {
            let log = fs::read_to_string(self.log_of(role)).expect("a log");
            log.lines()
                .find(|line| line.contains(what))
                .map(str::to_owned)
        })
    }

    /// Sends a signal to one process.
    pub(crate) fn signal(&self, role: Role, signal: Signal) {
        kill_process(Pid::from_child(&self.running[&role]), signal).expect("it is ours");
    }

    /// Waits for a process to end by itself; answers its exit code.
    pub(crate) fn end_of(&mut self, role: Role) -> Option<i32> {
        let mut child = self.running.remove(&role).expect("it runs");
        wait_until(&format!("{role:?} ends"), || {
            child.try_wait().expect("it is ours")
        })
        .code()
    }

    /// Kills one process with SIGKILL.
    pub(crate) fn kill(&mut self, role: Role) {
        let mut child = self.running.remove(&role).expect("it runs");
        child.kill().expect("it is ours");
        child.wait().expect("it has ended");
    }

    /// Kills them all, and then waits for their ends.
    pub(crate) fn kill_all(&mut self) {
        for child in self.running.values_mut() {
            child.kill().expect("it is ours");
        }
        for (_, mut child) in std::mem::take(&mut self.running) {
            child.wait().expect("it has ended");
        }
    }

    /// Waits until the gateway serves.
    pub(crate) fn wait_ready(&mut self) {
        let running = &mut self.running;
        let api = &self.api;
        wait_until("the gateway is ready", || {
            for (role, child) in &mut *running {
                let ended = child.try_wait().expect("it is ours");
                assert!(ended.is_none(), "{role:?} has ended: {ended:?}");
            }
            let answer = api.call(ureq::http::Method::GET, "/readyz", None, None);
            answer.is_ok_and(|a| a.status == 200).then_some(())
        });
    }

    /// The simulation, once it is `done`.
    pub(crate) fn simulation_when(
        &self,
        id: &str,
        what: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        wait_until(what, || {
            let path = format!("/v1/simulations/{id}");
            let answer = self.api.call(ureq::http::Method::GET, &path, None, None);
            let body = answer.ok().filter(|a| a.status == 200)?.body;
            done(&body).then_some(body)
        })
    }
}

/// All roles, in the order in which they are started.
pub(crate) const ROLES: [Role; 4] = [
    Role::Orchestrator,
    Role::Worker(1),
    Role::Worker(2),
    Role::Gateway,
];

impl Drop for Service {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            for entry in fs::read_dir(self.files.path())
                .into_iter()
                .flatten()
                .flatten()
            {
                if entry.path().extension().is_some_and(|e| e == "log") {
                    let log = fs::read_to_string(entry.path()).unwrap_or_default();
                    let tail = log.len().saturating_sub(4_000);
                    let tail = log.get(tail..).unwrap_or(&log);
                    eprintln!("--- {}\n{tail}", entry.path().display());
                }
            }
        }
    }
}

/// The binary, without what the environment says of it.
pub(crate) fn autofarm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autofarm"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("AUTOFARM_") {
            command.env_remove(variable);
        }
    }
    command
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        // Between two questions, not for something to have happened.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A loopback address whose port is free for TCP and for UDP, another one each time. It lies below those that the system
/// gives to whoever asks for any: a role that is killed finds it free when it is started again.
pub(crate) fn free_address() -> String {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    for _ in PORTS {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (std::process::id() * 61 + given) % PORTS.len() as u32;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() && UdpSocket::bind(&address).is_ok() {
            return address;
        }
    }
    panic!("no port of {PORTS:?} is free");
}
