//! An orchestrator, workers and a gateway as processes, on ports of their own.

use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::Api;
use crate::database::Database;

/// Longest that anything here is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A role of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Orchestrator,
    Worker(u32),
    Gateway,
}

/// The service as four processes or more.
pub(crate) struct Service {
    pub(crate) database: Database,
    certs: tempfile::TempDir,
    link: String,
    http: String,
    running: std::collections::BTreeMap<Role, Child>,
    pub(crate) api: Api,
}

impl Service {
    /// Starts all of it, with two workers.
    pub(crate) fn start(database: Database) -> Service {
        let certs = tempfile::tempdir().expect("a directory");
        let made = autofarm()
            .args(["certs", "--force", "--out"])
            .arg(certs.path())
            .output()
            .expect("the binary starts");
        assert!(made.status.success(), "{made:?}");
        let http = free_tcp();
        let mut service = Service {
            database,
            certs,
            link: free_udp(),
            api: Api::new(&http),
            http,
            running: Default::default(),
        };
        for role in ROLES {
            service.start_role(role);
        }
        service.wait_ready();
        service
    }

    /// Starts one process.
    pub(crate) fn start_role(&mut self, role: Role) {
        let url = self.database.url();
        let mut command = autofarm();
        match role {
            // Kept often, so that a short run is taken up from a cut and not from its creation.
            Role::Orchestrator => command
                .args(["orchestrator", "--listen", &self.link, "--cut-every", "1"])
                .args(["--database-url", &url]),
            Role::Worker(number) => command
                .args(["worker", "--connect", &self.link, "--threads", "1"])
                .args(["--name", &format!("worker-{number}")]),
            Role::Gateway => command
                .args(["gateway", "--connect", &self.link, "--listen", &self.http])
                .args(["--database-url", &url]),
        };
        let child = command
            .arg("--certs")
            .arg(self.certs.path())
            .args(["--log", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let before = self.running.insert(role, child);
        assert!(before.is_none(), "{role:?} runs already");
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

fn free_tcp() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn free_udp() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").to_string()
}
