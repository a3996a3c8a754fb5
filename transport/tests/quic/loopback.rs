//! Two ends on loopback, and what they say.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use transport::certs::{CertBundle, generate};
use transport::frame::Frame;
use transport::identity::Identity;
use transport::link::{
    Class, DisconnectReason, Endpoint, LinkCommand, LinkEvent, PeerId, Role, Transmit,
};
use transport::pool::FramePool;
use transport::quic::{connect, listen};
use transport::quic_config::Network;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longer than anything here takes; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn bundle() -> CertBundle {
    generate(SystemTime::now() - DAY, 2 * DAY).unwrap()
}

pub(crate) fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) fn serve(
    at: SocketAddr,
    identity: &Identity,
    pool: &FramePool,
) -> (Endpoint, SocketAddr) {
    listen(at, identity, &[Role::Worker], Network::Local, pool).unwrap()
}

pub(crate) fn dial(to: SocketAddr, identity: &Identity, pool: &FramePool) -> Endpoint {
    connect(to, identity, Role::Orchestrator, Network::Local, pool).unwrap()
}

/// An orchestrator and a worker that are connected, and what each calls the other.
pub(crate) struct Pair {
    pub(crate) server: Endpoint,
    pub(crate) worker: PeerId,
    pub(crate) client: Endpoint,
    pub(crate) orchestrator: PeerId,
    pub(crate) server_pool: FramePool,
    pub(crate) client_pool: FramePool,
}

pub(crate) async fn pair() -> Pair {
    let certs = bundle();
    let (server_pool, client_pool) = (FramePool::new(), FramePool::new());
    let (mut server, at) = serve(any(), &certs.identity(Role::Orchestrator), &server_pool);
    let mut client = dial(at, &certs.identity(Role::Worker), &client_pool);
    let (worker, role) = connected(&mut server).await;
    assert_eq!(role, Role::Worker);
    let (orchestrator, role) = connected(&mut client).await;
    assert_eq!(role, Role::Orchestrator);
    Pair {
        server,
        worker,
        client,
        orchestrator,
        server_pool,
        client_pool,
    }
}

/// A frame alone on its stream.
pub(crate) fn transmit(peer: PeerId, class: Class, group: u64, frame: Frame) -> LinkCommand {
    LinkCommand::Transmit(Transmit {
        peer,
        class,
        group,
        frame,
        last: true,
    })
}

pub(crate) async fn next(endpoint: &mut Endpoint) -> LinkEvent {
    timeout(PATIENCE, endpoint.events.recv())
        .await
        .expect("in time")
        .expect("link lives")
}

pub(crate) async fn next_frame(endpoint: &mut Endpoint) -> Frame {
    match next(endpoint).await {
        LinkEvent::Frame { frame, .. } => frame,
        other => panic!("{other:?} where a frame was sent"),
    }
}

pub(crate) async fn connected(endpoint: &mut Endpoint) -> (PeerId, Role) {
    loop {
        if let LinkEvent::Connected { peer, role, .. } = next(endpoint).await {
            return (peer, role);
        }
    }
}

pub(crate) async fn disconnected(endpoint: &mut Endpoint) -> DisconnectReason {
    loop {
        if let LinkEvent::Disconnected { reason, .. } = next(endpoint).await {
            return reason;
        }
    }
}
