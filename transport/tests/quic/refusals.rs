//! Who is refused, and that both sides log why and what to check.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use tokio::sync::oneshot;
use transport::certs::{CertBundle, generate};
use transport::identity::Identity;
use transport::link::Role;
use transport::pool::FramePool;

use crate::logs::Log;
use crate::loopback::{DAY, any, bundle, dial, disconnected, serve};

/// Something that runs on a thread of its own, so that its log is its own, until it is dropped.
struct Side {
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Side {
    fn run<T>(start: impl FnOnce() -> T + Send + 'static) -> Side {
        let log = Log::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let captured = log.clone();
        let thread = thread::spawn(move || {
            let _guard = captured.capture();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let _running = start();
                let _ = stopped.await;
            });
        });
        Side {
            log,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn server(identity: Identity) -> (Side, SocketAddr) {
    let (tell, told) = std::sync::mpsc::channel();
    let side = Side::run(move || {
        let (endpoint, at) = serve(any(), &identity, &FramePool::new());
        tell.send(at).unwrap();
        endpoint
    });
    (side, told.recv().unwrap())
}

/// Lets them meet, and waits for a line with the words in each one's log.
fn refused(at_server: Identity, at_client: Identity, server_log: &[&str], client_log: &[&str]) {
    let (server, at) = server(at_server);
    let client = Side::run(move || dial(at, &at_client, &FramePool::new()));
    client.log.wait_for(client_log);
    server.log.wait_for(server_log);
}

fn orchestrator(certs: &CertBundle) -> Identity {
    certs.identity(Role::Orchestrator)
}

fn worker(certs: &CertBundle) -> Identity {
    certs.identity(Role::Worker)
}

/// Shows one bundle's certificate and trusts another's authority.
fn trusting(shown: Identity, trusted: &CertBundle) -> Identity {
    Identity {
        ca: worker(trusted).ca,
        ..shown
    }
}

const OURS: &str = "this side refuses the peer: invalid peer certificate: ";
const THEIRS: &str = "the peer refuses this side: invalid peer certificate: ";
const ONE_RUN: &str = "both sides must use the ca.crt and certificates of one run";
const CLOCKS: &str = "compare both clocks with the certificate's dates";
const WHICH: &str = "check which role's .crt and .key each side was started with";

#[test]
fn a_server_of_another_authority() {
    let (ours, other) = (bundle(), bundle());
    refused(
        orchestrator(&ours),
        worker(&other),
        &[THEIRS, ONE_RUN],
        &[OURS, ONE_RUN],
    );
}

#[test]
fn a_client_of_another_authority() {
    let (ours, other) = (bundle(), bundle());
    refused(
        orchestrator(&ours),
        trusting(worker(&other), &ours),
        &[OURS, ONE_RUN],
        &[THEIRS, ONE_RUN],
    );
}

fn expired() -> CertBundle {
    generate(SystemTime::now() - 3 * DAY, DAY).unwrap()
}

fn not_yet_valid() -> CertBundle {
    generate(SystemTime::now() + DAY, DAY).unwrap()
}

#[test]
fn a_server_whose_certificate_is_out_of_its_time() {
    for (bad, what) in [(expired(), "expired"), (not_yet_valid(), "not valid yet")] {
        let good = bundle();
        refused(
            trusting(orchestrator(&bad), &good),
            trusting(worker(&good), &bad),
            &[THEIRS, what, CLOCKS],
            &[OURS, what, CLOCKS],
        );
    }
}

#[test]
fn a_client_whose_certificate_is_out_of_its_time() {
    for (bad, what) in [(expired(), "expired"), (not_yet_valid(), "not valid yet")] {
        let good = bundle();
        refused(
            trusting(orchestrator(&good), &bad),
            trusting(worker(&bad), &good),
            &[OURS, what, CLOCKS],
            &[THEIRS, what, CLOCKS],
        );
    }
}

#[test]
fn a_certificate_out_of_its_time_is_warned_of_where_it_is_used() {
    for (bad, what) in [
        (expired(), "it expired"),
        (not_yet_valid(), "it is valid only in"),
    ] {
        let (side, _) = server(orchestrator(&bad));
        side.log
            .wait_for(&["peers will refuse this process's own certificate", what]);
    }
}

#[test]
fn a_worker_that_poses_as_the_orchestrator() {
    let certs = bundle();
    let name = "orchestrator.autofarm.internal";
    refused(
        worker(&certs),
        worker(&certs),
        &[THEIRS, name, WHICH],
        &[OURS, name, WHICH],
    );
}

#[test]
fn an_orchestrator_that_poses_as_a_worker() {
    let certs = bundle();
    let words = "the certificate names orchestrator, worker is accepted here";
    refused(
        orchestrator(&certs),
        orchestrator(&certs),
        &[words],
        &[words],
    );
}

#[tokio::test]
async fn the_role_of_a_swapped_certificate_learns_why() {
    let certs = bundle();
    let pool = FramePool::new();
    let (_server, at) = serve(any(), &orchestrator(&certs), &pool);
    let mut client = dial(at, &certs.identity(Role::Gateway), &pool);
    let reason = disconnected(&mut client).await.to_string();
    assert!(
        reason.contains("names gateway, worker is accepted here"),
        "{reason}"
    );
}

/// No build of ours does this: a plain QUIC client without a certificate.
#[test]
fn a_client_without_a_certificate() {
    let certs = bundle();
    let (server, at) = server(orchestrator(&certs));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(worker(&certs).ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let closed = runtime.enable_all().build().unwrap().block_on(async {
        let quic = quinn::Endpoint::client(any()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let name = "orchestrator.autofarm.internal";
        match quic.connect_with(config, at, name).unwrap().await {
            Ok(connection) => connection.closed().await.to_string(),
            Err(error) => error.to_string(),
        }
    });
    assert!(closed.contains("peer sent no certificates"), "{closed}");
    server.log.wait_for(&[
        "this side refuses the peer: peer sent no certificates",
        "start it with the certificate and key of its role",
    ]);
}
