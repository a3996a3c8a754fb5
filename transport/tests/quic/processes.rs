//! Processes that die or hang without a word: what the other one notices, and by when.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use transport::identity::Identity;
use transport::link::{DisconnectReason, Endpoint, LinkEvent, Role};
use transport::pool::FramePool;
use transport::quic_config::IDLE_TIMEOUT;

use crate::loopback::{PATIENCE, any, bundle, connected, dial, disconnected, serve};

/// What a loaded machine may add to a timer.
const SLACK: Duration = Duration::from_secs(2);
const CERTS: &str = "TRANSPORT_TEST_CERTS";
const DIAL: &str = "TRANSPORT_TEST_DIAL";
const SERVE: &str = "TRANSPORT_TEST_SERVE";
const SAYS: &str = "child: ";

/// The other process: a worker that dials, or an orchestrator that listens, and says what happens. As a
/// test of its own it does nothing.
#[tokio::test]
async fn child() {
    let Ok(certs) = std::env::var(CERTS) else {
        return;
    };
    let load = |role: Role| {
        let file = |name: String| Path::new(&certs).join(name);
        let (certificate, key) = (file(format!("{role}.crt")), file(format!("{role}.key")));
        Identity::load(&file("ca.crt".to_owned()), &certificate, &key).unwrap()
    };
    let address = |name: &str| std::env::var(name).ok().map(|a| a.parse().unwrap());
    let pool = FramePool::new();
    let mut endpoint = if let Some(at) = address(DIAL) {
        dial(at, &load(Role::Worker), &pool)
    } else {
        let at = address(SERVE).expect("one of the two");
        let (endpoint, at) = serve(at, &load(Role::Orchestrator), &pool);
        println!("{SAYS}listens {at}");
        endpoint
    };
    while let Some(event) = endpoint.events.recv().await {
        match event {
            LinkEvent::Connected { role, .. } => println!("{SAYS}connected {role}"),
            LinkEvent::Disconnected { reason, .. } => println!("{SAYS}disconnected {reason}"),
            LinkEvent::Frame { .. } => {}
        }
    }
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(certs: &Path, variable: &str, address: SocketAddr) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture"])
            .env(CERTS, certs)
            .env(variable, address.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    /// The rest of the next line that begins with a word.
    async fn says(&mut self, word: &str) -> String {
        timeout(PATIENCE, async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.expect("the child lives");
                let said = line.split_once(SAYS).map(|(_, said)| said);
                if let Some(rest) = said.and_then(|said| said.strip_prefix(word)) {
                    return rest.trim().to_owned();
                }
            }
        })
        .await
        .expect("the child says it in time")
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let status = std::process::Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &pid])
            .status();
        assert!(status.unwrap().success(), "kill -{name} {pid}");
    }
}

async fn expect_lost(endpoint: &mut Endpoint, since: Instant) {
    let reason = disconnected(endpoint).await;
    let DisconnectReason::Lost { error } = &reason else {
        panic!("{reason}")
    };
    assert!(error.contains("nothing was heard of the peer"), "{error}");
    let took = since.elapsed();
    assert!(took <= IDLE_TIMEOUT + SLACK, "{took:?}");
}

#[tokio::test]
async fn a_worker_that_is_killed_or_stopped_is_noticed_by_the_idle_timeout() {
    let (certs, directory) = (bundle(), tempfile::tempdir().unwrap());
    certs.write_to(directory.path()).unwrap();
    let identity = certs.identity(Role::Orchestrator);
    let (mut server, at) = serve(any(), &identity, &FramePool::new());
    for signal in ["KILL", "STOP"] {
        let mut worker = Process::start(directory.path(), DIAL, at);
        let (first, _) = connected(&mut server).await;
        worker.says("connected").await;
        worker.signal(signal);
        expect_lost(&mut server, Instant::now()).await;
        if signal == "STOP" {
            // Woken, it finds that it was given up, and comes back as another peer.
            worker.signal("CONT");
            worker.says("disconnected").await;
            worker.says("connected").await;
            assert_ne!(connected(&mut server).await.0, first);
        }
    }
}

#[tokio::test]
async fn an_orchestrator_that_is_killed_or_stopped_is_noticed_and_its_successor_found() {
    let (certs, directory) = (bundle(), tempfile::tempdir().unwrap());
    certs.write_to(directory.path()).unwrap();
    let mut orchestrator = Process::start(directory.path(), SERVE, any());
    let at: SocketAddr = orchestrator.says("listens").await.parse().unwrap();
    let mut client = dial(at, &certs.identity(Role::Worker), &FramePool::new());
    connected(&mut client).await;
    orchestrator.signal("STOP");
    expect_lost(&mut client, Instant::now()).await;

    orchestrator.child.kill().await.unwrap();
    let mut successor = Process::start(directory.path(), SERVE, at);
    successor.says("listens").await;
    connected(&mut client).await;
    assert_eq!(successor.says("connected").await, "worker");
    successor.signal("KILL");
    expect_lost(&mut client, Instant::now()).await;
}

#[tokio::test]
async fn the_successor_of_a_killed_orchestrator_tells_its_peers_before_they_would_notice() {
    let (certs, directory) = (bundle(), tempfile::tempdir().unwrap());
    certs.write_to(directory.path()).unwrap();
    let mut orchestrator = Process::start(directory.path(), SERVE, any());
    let at: SocketAddr = orchestrator.says("listens").await.parse().unwrap();
    let mut client = dial(at, &certs.identity(Role::Worker), &FramePool::new());
    connected(&mut client).await;
    orchestrator.child.kill().await.unwrap();
    let mut successor = Process::start(directory.path(), SERVE, at);
    successor.says("listens").await;
    let DisconnectReason::Lost { error } = disconnected(&mut client).await else {
        panic!("it is lost");
    };
    // Not by its silence.
    assert!(error.contains("started anew"), "{error}");
    connected(&mut client).await;
}
