//! The QUIC link over real sockets on loopback.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use transport::certs::{CertBundle, generate};
use transport::frame::Frame;
use transport::header::{Header, Kind};
use transport::identity::{Identity, IdentityError};
use transport::link::{
    Class, DisconnectReason, Endpoint, LinkCommand, LinkEvent, PeerId, Role, Transmit,
};
use transport::pool::FramePool;
use transport::quic::{QuicError, connect, listen};
use transport::quic_config::Network;

const DAY: Duration = Duration::from_secs(24 * 3600);
const PATIENCE: Duration = Duration::from_secs(20);

fn bundle() -> CertBundle {
    generate(SystemTime::now() - DAY, 2 * DAY).unwrap()
}

fn serve(at: SocketAddr, identity: &Identity, pool: &FramePool) -> (Endpoint, SocketAddr) {
    listen(at, identity, &[Role::Worker], Network::Local, pool).unwrap()
}

fn dial(to: SocketAddr, identity: &Identity, pool: &FramePool) -> Endpoint {
    connect(to, identity, Role::Orchestrator, Network::Local, pool).unwrap()
}

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn next(endpoint: &mut Endpoint) -> LinkEvent {
    timeout(PATIENCE, endpoint.events.recv())
        .await
        .expect("in time")
        .expect("link lives")
}

async fn connected(endpoint: &mut Endpoint) -> (PeerId, Role) {
    loop {
        if let LinkEvent::Connected { peer, role, .. } = next(endpoint).await {
            return (peer, role);
        }
    }
}

async fn disconnected(endpoint: &mut Endpoint) -> DisconnectReason {
    loop {
        if let LinkEvent::Disconnected { reason, .. } = next(endpoint).await {
            return reason;
        }
    }
}

#[tokio::test]
async fn a_frame_is_copied_never_on_sending_and_once_on_receiving() {
    let certs = bundle();
    let (ours, theirs) = (FramePool::new(), FramePool::new());
    let (mut server, at) = serve(any(), &certs.identity(Role::Orchestrator), &ours);
    let mut client = dial(at, &certs.identity(Role::Worker), &theirs);
    assert_eq!(connected(&mut server).await.1, Role::Worker);
    let (peer, role) = connected(&mut client).await;
    assert_eq!(role, Role::Orchestrator);

    let payload: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let frame = Frame::from_bytes(Header::new(Kind::Checkpoint), payload.clone()).unwrap();
    let transmit = Transmit {
        peer,
        class: Class::Checkpoint,
        group: 1,
        frame,
        last: true,
    };
    client
        .commands
        .try_send(LinkCommand::Transmit(transmit))
        .unwrap();
    let LinkEvent::Frame { frame, .. } = next(&mut server).await else {
        panic!("a frame was sent")
    };
    assert_eq!(frame.payload(), &payload);
    assert_eq!(frame.payload().as_ptr() as usize % 64, 0);
    assert_eq!(theirs.copies().sent.load(Relaxed), 0);
    assert_eq!(theirs.copies().encoded.load(Relaxed), 0);
    assert_eq!(ours.copies().received.load(Relaxed), 1_000_000);
}

#[tokio::test]
async fn a_client_comes_back_to_a_restarted_server_as_a_new_peer() {
    let certs = bundle();
    let pool = FramePool::new();
    let (mut server, at) = serve(any(), &certs.identity(Role::Orchestrator), &pool);
    let mut client = dial(at, &certs.identity(Role::Worker), &pool);
    connected(&mut server).await;
    let (first, _) = connected(&mut client).await;
    drop(server);
    let reason = disconnected(&mut client).await;
    assert!(matches!(reason, DisconnectReason::Peer { .. }), "{reason}");
    let (mut server, _) = timeout(PATIENCE, async {
        loop {
            // The old endpoint holds the port until its last packets are out.
            match listen(
                at,
                &certs.identity(Role::Orchestrator),
                &[Role::Worker],
                Network::Local,
                &pool,
            ) {
                Ok(open) => return open,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap();
    connected(&mut server).await;
    assert_ne!(connected(&mut client).await.0, first);
}

#[tokio::test]
async fn a_swapped_role_is_refused_with_a_reason_the_refused_side_reads() {
    let certs = bundle();
    let pool = FramePool::new();
    let (_server, at) = serve(any(), &certs.identity(Role::Orchestrator), &pool);
    let mut client = dial(at, &certs.identity(Role::Gateway), &pool);
    let reason = disconnected(&mut client).await.to_string();
    assert!(
        reason.contains("names gateway, worker is accepted here"),
        "{reason}"
    );
}

#[tokio::test]
async fn strangers_and_expired_certificates_never_connect() {
    let ours = bundle();
    let expired = generate(SystemTime::now() - 3 * DAY, DAY).unwrap();
    let pool = FramePool::new();
    for (server, client) in [(&ours, &bundle()), (&expired, &expired)] {
        let (mut listening, at) = serve(any(), &server.identity(Role::Orchestrator), &pool);
        let _client = dial(at, &client.identity(Role::Worker), &pool);
        let quiet = timeout(Duration::from_millis(500), listening.events.recv()).await;
        assert!(quiet.is_err(), "no peer was let in");
    }
}

#[tokio::test]
async fn a_taken_port_and_an_unreadable_file_are_named() {
    let certs = bundle();
    let pool = FramePool::new();
    let orchestrator = certs.identity(Role::Orchestrator);
    let (_held, at) = serve(any(), &orchestrator, &pool);
    let error = listen(at, &orchestrator, &[Role::Worker], Network::Local, &pool).unwrap_err();
    assert!(
        matches!(error, QuicError::Bind { address, .. } if address == at),
        "{error}"
    );

    let directory = tempfile::tempdir().unwrap();
    certs.write_to(directory.path()).unwrap();
    let file = |name: &str| directory.path().join(name);
    Identity::load(&file("ca.crt"), &file("worker.crt"), &file("worker.key")).unwrap();
    let error =
        Identity::load(&file("ca.crt"), &file("none.crt"), &file("worker.key")).unwrap_err();
    let IdentityError::Unreadable { path, .. } = &error;
    assert_eq!(path, &file("none.crt"));
}
