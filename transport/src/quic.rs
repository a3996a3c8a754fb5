//! The link between machines: QUIC, mutual TLS, one uni-directional stream a (class, group).
//!
//! One task owns an endpoint's connections and turns commands into streams; a task a connection
//! accepts streams; nothing here looks into a payload. Liveness is the tick's own deadline;
//! the keep-alive behind it finds what carries no ticks.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn::{Connection, ConnectionError, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::frame::FrameError;
use crate::identity::{Identity, role_of};
use crate::limits::{Bounds, DISCONNECT_LINGER, MAX_PEERS, MAX_RECEIVING_BYTES_PER_PEER};
use crate::link::{
    DisconnectReason, Driver, ENDPOINT_DROPPED, Endpoint, LinkCommand, LinkEvent, PeerId, Role,
    endpoint,
};
use crate::pool::FramePool;
use crate::quic_config::{self, Network};
use crate::quic_dial::Dialer;
use crate::quic_reason::{cut, explain, reason_of};
use crate::quic_stream::{self, Outbound};

/// How long a peer's handshake may take; its place is free again then, however alive it seems.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
const CODE_CLOSED: VarInt = VarInt::from_u32(0);
const CODE_REFUSED: VarInt = VarInt::from_u32(1);
const CODE_BAD_FRAME: VarInt = VarInt::from_u32(2);

/// Why a QUIC endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The address is taken, or not this machine's.
    #[error("{address}: {source}; another process may hold the port")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("certificate or key: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS provider has no cipher that QUIC needs.
    #[error("the TLS provider lacks QUIC's initial cipher")]
    NoCipher,
}

/// Listens for peers whose certificates name one of `accept`. Needs a tokio runtime around it.
///
/// # Errors
/// [`QuicError`].
pub fn listen(
    address: SocketAddr,
    identity: &Identity,
    accept: &[Role],
    network: Network,
    pool: &FramePool,
) -> Result<(Endpoint, SocketAddr), QuicError> {
    listen_within(Bounds::default(), address, identity, accept, network, pool)
}

/// As [`listen`], within other bounds than the maxima.
///
/// # Errors
/// [`QuicError`].
pub fn listen_within(
    bounds: Bounds,
    address: SocketAddr,
    identity: &Identity,
    accept: &[Role],
    network: Network,
    pool: &FramePool,
) -> Result<(Endpoint, SocketAddr), QuicError> {
    let bounds = bounds.within_maxima();
    check_own(identity);
    let server = quic_config::server(identity, network)?;
    let quic = quic_config::bind(address, Some(server), network)?;
    let local = quic
        .local_addr()
        .map_err(|source| QuicError::Bind { address, source })?;
    let (endpoint, driver) = endpoint();
    let (arrivals, arrived) = mpsc::channel(MAX_PEERS);
    let accepting = accept_all(quic.clone(), accept.to_vec(), arrivals, bounds.peers);
    tokio::spawn(accepting);
    tokio::spawn(drive(quic, driver, arrived, pool.clone(), bounds));
    Ok((endpoint, local))
}

/// Keeps one connection to `address`, whose certificate must name `expected`, for ever: after a loss it
/// tries again with growing, jittered pauses. Needs a tokio runtime around it.
///
/// # Errors
/// [`QuicError`].
pub fn connect(
    address: SocketAddr,
    identity: &Identity,
    expected: Role,
    network: Network,
    pool: &FramePool,
) -> Result<Endpoint, QuicError> {
    connect_within(
        Bounds::default(),
        address,
        identity,
        expected,
        network,
        pool,
    )
}

/// As [`connect`], to whichever of several hosts (HOST:PORT) answers first. Their names are looked up anew each time.
/// They are tried in their order, each a moment after the one before; after a loss, a refusal or a failure from the
/// next one on, but for a peer that was started anew where it was. One that refuses takes no other's time: those that
/// were being tried are tried on. Where no `network` is given it is what
/// each address suggests.
///
/// # Errors
/// [`QuicError`].
///
/// # Panics
/// If there is no host.
pub fn connect_any(
    hosts: &[String],
    identity: &Identity,
    expected: Role,
    network: Option<Network>,
    pool: &FramePool,
) -> Result<Endpoint, QuicError> {
    let bounds = Bounds::default();
    dial_from(bounds, hosts, identity, expected, network, pool)
}

/// As [`connect`], within other bounds than the maxima.
///
/// # Errors
/// [`QuicError`].
pub fn connect_within(
    bounds: Bounds,
    address: SocketAddr,
    identity: &Identity,
    expected: Role,
    network: Network,
    pool: &FramePool,
) -> Result<Endpoint, QuicError> {
    let host = [address.to_string()];
    dial_from(bounds, &host, identity, expected, Some(network), pool)
}

fn dial_from(
    bounds: Bounds,
    hosts: &[String],
    identity: &Identity,
    expected: Role,
    network: Option<Network>,
    pool: &FramePool,
) -> Result<Endpoint, QuicError> {
    let bounds = bounds.within_maxima();
    check_own(identity);
    let dialer = Dialer::new(hosts, identity, expected, network)?;
    let (endpoint, driver) = endpoint();
    let (arrivals, arrived) = mpsc::channel(1);
    tokio::spawn(drive(
        dialer.quic.clone(),
        driver,
        arrived,
        pool.clone(),
        bounds,
    ));
    tokio::spawn(dialer.run(arrivals));
    Ok(endpoint)
}

/// A certificate that every peer will refuse is told of where it can be mended, before any peer is met.
fn check_own(identity: &Identity) {
    if let Err(error) = identity.verify(SystemTime::now()) {
        warn!(reason = %error, "peers will refuse this process's own certificate");
    }
}

/// A connection that stands, and who is at its other end.
pub(crate) struct Arrival {
    pub(crate) connection: Connection,
    pub(crate) role: Role,
}

async fn accept_all(
    quic: quinn::Endpoint,
    accept: Vec<Role>,
    arrivals: mpsc::Sender<Arrival>,
    max_peers: usize,
) {
    while let Some(incoming) = quic.accept().await {
        let peer = incoming.remote_address();
        let open = quic.open_connections();
        if open >= max_peers / 2 && incoming.may_retry() {
            // Who gave an address that is not its own never answers this, and takes no place.
            let _ = incoming.retry();
            continue;
        }
        if open >= max_peers {
            warn!(network.peer.address = %peer.ip(), network.peer.port = peer.port(), "connection refused: {max_peers} peers are connected, which is the bound");
            incoming.refuse();
            continue;
        }
        // Here, not in the task: it counts from now on.
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => {
                warn!(network.peer.address = %peer.ip(), network.peer.port = peer.port(), reason = %explain(&error), "no connection to a peer");
                continue;
            }
        };
        let (accept, arrivals) = (accept.clone(), arrivals.clone());
        tokio::spawn(async move {
            match timeout(HANDSHAKE_PATIENCE, connecting).await {
                Ok(Ok(connection)) => admit(connection, &accept, &arrivals).await,
                Ok(Err(error)) => {
                    warn!(network.peer.address = %peer.ip(), network.peer.port = peer.port(), reason = %explain(&error), "no connection to a peer");
                }
                Err(_) => {
                    let reason = "its handshake took too long";
                    warn!(network.peer.address = %peer.ip(), network.peer.port = peer.port(), reason, "no connection to a peer");
                }
            }
        });
    }
}

async fn admit(connection: Connection, accept: &[Role], arrivals: &mpsc::Sender<Arrival>) {
    let peer = connection.remote_address();
    let found = peer_role(&connection);
    if let Some(role) = found.filter(|role| accept.contains(role)) {
        let _ = arrivals.send(Arrival { connection, role }).await;
        return;
    }
    let names = |roles: &[Role]| {
        roles
            .iter()
            .map(|r| r.name())
            .collect::<Vec<_>>()
            .join(" or ")
    };
    let found = found.map_or("no role of AutoFarm", Role::name);
    let reason = format!(
        "the certificate names {found}, {} is accepted here",
        names(accept)
    );
    warn!(network.peer.address = %peer.ip(), network.peer.port = peer.port(), %reason, "connection refused");
    connection.close(CODE_REFUSED, cut(&reason));
}

fn peer_role(connection: &Connection) -> Option<Role> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    role_of(chain.first()?)
}

struct Peer {
    connection: Connection,
    /// `None` once this side closes.
    outbound: Option<Outbound>,
    /// Set where this side closes: QUIC itself would only say that it was closed locally.
    reason: Option<DisconnectReason>,
}

/// Owns the connections of an endpoint until its role drops it.
async fn drive(
    quic: quinn::Endpoint,
    mut driver: Driver,
    mut arrived: mpsc::Receiver<Arrival>,
    pool: FramePool,
    bounds: Bounds,
) {
    let mut peers: BTreeMap<PeerId, Peer> = BTreeMap::new();
    let mut closing = JoinSet::new();
    let mut next_peer = 1;
    let (gone, mut ended) = mpsc::channel(MAX_PEERS);
    loop {
        tokio::select! {
            command = driver.commands.recv() => match command {
                Some(command) => carry_out(&mut peers, &mut closing, command),
                None => break,
            },
            Some(Arrival { connection, role }) = arrived.recv() => {
                let peer = PeerId(next_peer);
                next_peer += 1;
                let at = connection.remote_address();
                let at = SocketAddr::new(at.ip().to_canonical(), at.port());
                let name = at.to_string();
                info!(%peer, %role, network.peer.address = %at.ip(), network.peer.port = at.port(), "connected");
                let event = LinkEvent::Connected { peer, role, name };
                if driver.events.send(event).await.is_err() {
                    break;
                }
                let (watched, events) = (connection.clone(), driver.events.clone());
                let (pool, gone) = (pool.clone(), gone.clone());
                tokio::spawn(async move {
                    let reason = receive(peer, &watched, &events, &pool).await;
                    let _ = gone.send((peer, reason)).await;
                });
                let outbound = Some(Outbound::new(connection.clone(), &bounds));
                peers.insert(peer, Peer { connection, outbound, reason: None });
            }
            Some((peer, reason)) = ended.recv() => {
                let known = peers.remove(&peer).and_then(|p| p.reason);
                let reason = known.unwrap_or(reason);
                if reason.is_orderly() {
                    info!(%peer, %reason, "disconnected");
                } else {
                    warn!(%peer, %reason, "disconnected");
                }
                let _ = driver.events.send(LinkEvent::Disconnected { peer, reason }).await;
            }
            Some(_) = closing.join_next() => {}
        }
    }
    // Nobody dials or is let in any more.
    drop(arrived);
    for outbound in peers.into_values().filter_map(|peer| peer.outbound) {
        closing.spawn(outbound.drain());
    }
    let _ = timeout(DISCONNECT_LINGER, closing.join_all()).await;
    quic.close(CODE_CLOSED, ENDPOINT_DROPPED.as_bytes());
    quic.wait_idle().await;
}

fn carry_out(peers: &mut BTreeMap<PeerId, Peer>, closing: &mut JoinSet<()>, command: LinkCommand) {
    match command {
        LinkCommand::Transmit(transmit) => {
            let Some(peer) = peers.get_mut(&transmit.peer) else {
                return;
            };
            let Some(outbound) = &mut peer.outbound else {
                return;
            };
            if let Err(slow) = outbound.send(transmit) {
                peer.outbound = None;
                peer.connection.close(CODE_CLOSED, cut(&slow.to_string()));
                peer.reason.get_or_insert(slow);
            }
        }
        LinkCommand::Disconnect { peer, reason } => {
            if let Some(peer) = peers.get_mut(&peer) {
                close(peer, closing, reason);
            }
        }
    }
}

/// Closes a connection when the peer has what was queued for it, or has had its time for that.
fn close(peer: &mut Peer, closing: &mut JoinSet<()>, reason: String) {
    let Some(outbound) = peer.outbound.take() else {
        return;
    };
    let connection = peer.connection.clone();
    peer.reason = Some(DisconnectReason::Local {
        reason: reason.clone(),
    });
    closing.spawn(async move {
        let _ = timeout(DISCONNECT_LINGER, outbound.drain()).await;
        connection.close(CODE_CLOSED, cut(&reason));
    });
}

/// Takes in streams until the connection ends. Returns only when no frame of it can follow.
async fn receive(
    peer: PeerId,
    connection: &Connection,
    events: &mpsc::Sender<LinkEvent>,
    pool: &FramePool,
) -> DisconnectReason {
    let room = Arc::new(Semaphore::new(MAX_RECEIVING_BYTES_PER_PEER));
    let mut streams = JoinSet::new();
    let mut bad_frame = None;
    let ended = loop {
        tokio::select! {
            accepted = connection.accept_uni() => match accepted {
                Ok(stream) => {
                    let (events, pool, room) = (events.clone(), pool.clone(), room.clone());
                    streams.spawn(async move {
                        quic_stream::receive_stream(peer, stream, &events, &pool, &room).await
                    });
                }
                Err(error) => break error,
            },
            Some(joined) = streams.join_next() => {
                if let Some(error) = failure(joined) {
                    connection.close(CODE_BAD_FRAME, cut(&error));
                    bad_frame.get_or_insert(DisconnectReason::BadFrame { error });
                }
            }
        }
    };
    if matches!(ended, ConnectionError::LocallyClosed) {
        streams.shutdown().await;
    } else {
        // What the peer sent before it closed is here already; it is its last word, and is handed on.
        while streams.join_next().await.is_some() {}
    }
    bad_frame.unwrap_or_else(|| reason_of(&ended))
}

/// What was wrong with a stream that ended.
fn failure(joined: Result<Result<(), FrameError>, JoinError>) -> Option<String> {
    match joined {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::Poll;
    use std::time::Instant;

    use super::*;
    use crate::certs::generate;
    use crate::frame::Frame;
    use crate::header::{Header, Kind, PayloadSeal};
    use crate::identity::role_name;
    use crate::limits::{HEADER_BYTES, MAX_QUEUED_EVENTS, MAX_STREAMS_PER_PEER};
    use crate::link::{Class, Transmit};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn any() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    fn identities() -> (Identity, Identity) {
        let day = Duration::from_secs(24 * 3_600);
        let certs = generate(SystemTime::now() - day, 2 * day).unwrap();
        let identity = |role| certs.identity(role);
        (identity(Role::Orchestrator), identity(Role::Worker))
    }

    async fn next(endpoint: &mut Endpoint) -> LinkEvent {
        let event = timeout(PATIENCE, endpoint.events.recv()).await;
        event.expect("in time").expect("the link lives")
    }

    async fn connected(endpoint: &mut Endpoint) -> PeerId {
        match next(endpoint).await {
            LinkEvent::Connected { peer, .. } => peer,
            other => panic!("{other:?} before the connection"),
        }
    }

    async fn disconnected(endpoint: &mut Endpoint) -> DisconnectReason {
        match next(endpoint).await {
            LinkEvent::Disconnected { reason, .. } => reason,
            other => panic!("{other:?} where the end was awaited"),
        }
    }

    /// A worker of ours, and an orchestrator that takes its connection and reads no stream of it.
    async fn stalled(bounds: Bounds) -> (Endpoint, PeerId, quinn::Endpoint, Connection) {
        let (orchestrator, worker) = identities();
        let network = Network::Local;
        let server = quic_config::server(&orchestrator, network).unwrap();
        let quic = quic_config::bind(any(), Some(server), network).unwrap();
        let at = quic.local_addr().unwrap();
        let (pool, role) = (FramePool::new(), Role::Orchestrator);
        let mut ours = connect_within(bounds, at, &worker, role, network, &pool).unwrap();
        let theirs = quic.accept().await.unwrap().await.unwrap();
        let peer = connected(&mut ours).await;
        (ours, peer, quic, theirs)
    }

    fn result(peer: PeerId, payload: impl Into<bytes::Bytes>) -> LinkCommand {
        let frame = Frame::from_bytes(Header::new(Kind::Result), payload).unwrap();
        LinkCommand::Transmit(Transmit {
            peer,
            class: Class::Tick,
            group: 1,
            frame,
            last: false,
        })
    }

    fn closed_with(error: &ConnectionError) -> (VarInt, String) {
        let ConnectionError::ApplicationClosed(close) = error else {
            panic!("{error}")
        };
        let reason = String::from_utf8(close.reason.to_vec()).unwrap();
        (close.error_code, reason)
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_dropped_at_the_bound_and_told_so() {
        const FRAME: usize = 1_000_000;
        let queued_bytes_per_peer = 8 * (FRAME + HEADER_BYTES);
        let bounds = Bounds {
            queued_bytes_per_peer,
            ..Bounds::default()
        };
        let (mut ours, peer, _quic, theirs) = stalled(bounds).await;
        // What fills the peer's window is acknowledged, and waits no more.
        for _ in 0..8 + 3 {
            ours.commands
                .try_send(result(peer, vec![0; FRAME]))
                .unwrap();
        }
        let reason = disconnected(&mut ours).await;
        let DisconnectReason::Slow { frames, bytes } = reason else {
            panic!("{reason}")
        };
        assert_eq!((frames, bytes), (9, 9 * (FRAME + HEADER_BYTES)));
        let (code, told) = closed_with(&theirs.closed().await);
        assert_eq!(code, CODE_CLOSED);
        assert!(
            told.starts_with("the peer takes frames too slowly: 9 frames"),
            "{told}"
        );
    }

    /// A frame on a stream of its own, which may be its last.
    fn alone(peer: PeerId, group: u32, last: bool) -> LinkCommand {
        let frame = Frame::from_bytes(Header::new(Kind::Result), vec![0; 64]).unwrap();
        LinkCommand::Transmit(Transmit {
            peer,
            class: Class::Tick,
            group: group.into(),
            frame,
            last,
        })
    }

    #[tokio::test]
    async fn more_streams_than_there_may_be_end_the_connection_and_the_reason_says_so() {
        let (mut ours, peer, _quic, theirs) = stalled(Bounds::default()).await;
        let limit = MAX_STREAMS_PER_PEER;
        let mut open = Vec::new();
        for group in 0..limit {
            ours.commands.try_send(alone(peer, group, false)).unwrap();
            let stream = timeout(PATIENCE, theirs.accept_uni()).await;
            open.push(stream.expect("it is one of those that there may be"));
        }
        ours.commands.try_send(alone(peer, limit, false)).unwrap();
        let reason = disconnected(&mut ours).await;
        assert_eq!(reason, DisconnectReason::TooManyStreams { limit });
        let (code, told) = closed_with(&theirs.closed().await);
        assert_eq!((code, told), (CODE_CLOSED, reason.to_string()));
    }

    #[tokio::test]
    async fn streams_that_have_ended_make_room_for_others() {
        let (ours, peer, _quic, theirs) = stalled(Bounds::default()).await;
        for group in 0..3 * MAX_STREAMS_PER_PEER {
            ours.commands.send(alone(peer, group, true)).await.unwrap();
            let stream = timeout(PATIENCE, theirs.accept_uni()).await;
            let mut stream = stream.expect("the connection lives").unwrap();
            let read = timeout(PATIENCE, stream.read_to_end(HEADER_BYTES + 64)).await;
            let read = read.expect("it has ended").unwrap();
            assert_eq!(read.len(), HEADER_BYTES + 64);
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_has_its_time_for_the_last_words_and_no_more() {
        let (mut ours, peer, _quic, theirs) = stalled(Bounds::default()).await;
        ours.commands
            .try_send(result(peer, vec![0; 8_000_000]))
            .unwrap();
        let reason = "enough".to_owned();
        let end = LinkCommand::Disconnect { peer, reason };
        let started = Instant::now();
        ours.commands.try_send(end).unwrap();
        let closed = timeout(PATIENCE, theirs.closed()).await;
        let (_, told) = closed_with(&closed.expect("in time"));
        let took = started.elapsed();
        assert_eq!(told, "enough");
        assert!(
            took >= DISCONNECT_LINGER && took < 3 * DISCONNECT_LINGER,
            "{took:?}"
        );
        let reason = disconnected(&mut ours).await;
        assert!(matches!(reason, DisconnectReason::Local { .. }), "{reason}");
    }

    /// Last words were once cut off by the end of the endpoint, and by that of the process.
    #[test]
    fn an_endpoint_that_is_closed_and_its_runtime_with_it_has_said_its_last_words() {
        const LEN: usize = 8_000_000;
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).enable_all().build().unwrap()
        };
        let (ours_runs, theirs_runs) = (runtime(), runtime());
        let (orchestrator, worker) = identities();
        let (network, pool) = (Network::Local, FramePool::new());
        let (quic, at) = theirs_runs.block_on(async {
            let server = quic_config::server(&orchestrator, network).unwrap();
            let quic = quic_config::bind(any(), Some(server), network).unwrap();
            let at = quic.local_addr().unwrap();
            (quic, at)
        });
        let theirs = theirs_runs.spawn(async move {
            let theirs = quic.accept().await.unwrap().await.unwrap();
            let mut stream = theirs.accept_uni().await.unwrap();
            let mut all = vec![0; HEADER_BYTES + LEN];
            let read = stream.read_exact(&mut all).await;
            (read, theirs.closed().await)
        });
        ours_runs.block_on(async {
            let role = Role::Orchestrator;
            let mut ours = connect(at, &worker, role, network, &pool).unwrap();
            let peer = connected(&mut ours).await;
            let commands = ours.commands.clone();
            commands.try_send(result(peer, vec![0; LEN])).unwrap();
            let reason = "drained".to_owned();
            let end = LinkCommand::Disconnect { peer, reason };
            commands.try_send(end).unwrap();
            drop(commands);
            ours.close().await;
        });
        ours_runs.shutdown_background();
        let (read, closed) = theirs_runs.block_on(theirs).unwrap();
        assert_eq!(read, Ok(()));
        assert_eq!(closed_with(&closed), (CODE_CLOSED, "drained".to_owned()));
    }

    #[tokio::test]
    async fn quic_serves_each_stream_in_the_order_of_its_class() {
        let (_ours, _peer, _quic, theirs) = stalled(Bounds::default()).await;
        let mut priorities = Vec::new();
        for class in Class::ALL {
            let stream = quic_stream::open_stream(&theirs, class).await.unwrap();
            priorities.push(stream.priority().unwrap());
        }
        assert_eq!(priorities, [3, 2, 1, 0]);
    }

    /// Memory that tells whether anyone still holds it.
    struct Held {
        bytes: Vec<u8>,
        _holder: Arc<()>,
    }

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }

    /// A copy made on the way out would let the original go as soon as it was queued in QUIC.
    #[tokio::test]
    async fn a_payload_that_is_being_sent_is_the_senders_own_memory() {
        let (ours, peer, _quic, theirs) = stalled(Bounds::default()).await;
        let holders = Arc::new(());
        let payload = bytes::Bytes::from_owner(Held {
            bytes: vec![0; 8_000_000],
            _holder: holders.clone(),
        });
        ours.commands.try_send(result(peer, payload)).unwrap();
        let mut stream = theirs.accept_uni().await.unwrap();
        let mut head = [0; HEADER_BYTES + 1];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(Arc::strong_count(&holders), 2, "it is on its way");
        let mut rest = vec![0; 8_000_000 - 1];
        stream.read_exact(&mut rest).await.unwrap();
        timeout(PATIENCE, async {
            while Arc::strong_count(&holders) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it is let go once it is acknowledged");
    }

    /// The frames that waited for room held the connection, whose buffers held the room.
    #[tokio::test]
    async fn what_waits_for_room_at_a_loss_is_let_go() {
        const FRAME: usize = 3_000_000;
        let (mut ours, peer, _quic, theirs) = stalled(Bounds::default()).await;
        let holders = Arc::new(());
        for group in 0..6 {
            let payload = bytes::Bytes::from_owner(Held {
                bytes: vec![0; FRAME],
                _holder: holders.clone(),
            });
            let frame = Frame::from_bytes(Header::new(Kind::Checkpoint), payload).unwrap();
            let transmit = Transmit {
                peer,
                class: Class::Checkpoint,
                group,
                frame,
                last: true,
            };
            let command = LinkCommand::Transmit(transmit);
            ours.commands.try_send(command).unwrap();
        }
        // One of them has its room and is on its way, the others wait.
        let _stream = theirs.accept_uni().await.unwrap();
        theirs.close(CODE_CLOSED, b"gone");
        disconnected(&mut ours).await;
        timeout(PATIENCE, async {
            while Arc::strong_count(&holders) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("nothing of a connection that is gone is held");
    }

    /// First datagrams of as many connections, none of which goes any further.
    async fn first_datagrams(quic: &quinn::Endpoint, count: usize) -> Vec<Vec<u8>> {
        let sink = tokio::net::UdpSocket::bind(any()).await.unwrap();
        let to = sink.local_addr().unwrap();
        let name = role_name(Role::Orchestrator);
        let mut datagrams = Vec::new();
        for _ in 0..count {
            let connecting = quic.connect(to, &name).unwrap();
            let mut datagram = vec![0; 1 << 16];
            let len = sink.recv(&mut datagram).await.unwrap();
            datagram.truncate(len);
            datagrams.push(datagram);
            drop(connecting);
            // What ends it comes before the next one's first.
            let _ = sink.recv(&mut [0; 1 << 16]).await.unwrap();
        }
        datagrams
    }

    /// Handshakes that strangers began from addresses that were not theirs once took every place.
    #[tokio::test]
    async fn strangers_at_false_addresses_do_not_take_every_place() {
        const PEERS: usize = 4;
        let (orchestrator, worker) = identities();
        let (network, pool) = (Network::Local, FramePool::new());
        let bounds = Bounds {
            peers: PEERS,
            ..Bounds::default()
        };
        let roles = [Role::Worker];
        let listening = listen_within(bounds, any(), &orchestrator, &roles, network, &pool);
        let (mut ours, at) = listening.unwrap();
        let mut quic = quic_config::bind(any(), None, network).unwrap();
        quic.set_default_client_config(quic_config::client(&worker, network).unwrap());
        let deaf = tokio::net::UdpSocket::bind(any()).await.unwrap();
        for datagram in first_datagrams(&quic, 3 * PEERS).await {
            deaf.send_to(&datagram, at).await.unwrap();
            // An answer tells that it was taken up: a handshake's, or that a retry is asked for.
            let _ = deaf.recv(&mut [0; 1 << 16]).await.unwrap();
        }
        let name = role_name(Role::Orchestrator);
        let theirs = quic.connect(at, &name).unwrap().await;
        assert!(theirs.is_ok(), "{theirs:?}");
        connected(&mut ours).await;
    }

    /// An orchestrator of ours, its pool, and a worker that may send it anything.
    async fn stranger() -> (Endpoint, FramePool, quinn::Endpoint, Connection) {
        let (orchestrator, worker) = identities();
        let (network, pool) = (Network::Local, FramePool::new());
        let (mut ours, at) = listen(any(), &orchestrator, &[Role::Worker], network, &pool).unwrap();
        let mut quic = quic_config::bind(any(), None, network).unwrap();
        quic.set_default_client_config(quic_config::client(&worker, network).unwrap());
        let name = role_name(Role::Orchestrator);
        let theirs = quic.connect(at, &name).unwrap().await.unwrap();
        connected(&mut ours).await;
        (ours, pool, quic, theirs)
    }

    fn head(len: u32) -> [u8; HEADER_BYTES] {
        Header::new(Kind::Result).encode(PayloadSeal { len, crc: 0 })
    }

    #[tokio::test]
    async fn a_bad_frame_ends_the_connection_and_is_named_on_both_sides() {
        let version = {
            let mut bytes = head(0);
            bytes[4] = 9;
            bytes
        };
        let truncated = [&head(100)[..], &[0; 40]].concat();
        let cases: [(&[u8], &str); 6] = [
            (
                b"GET / HTTP/1.1 and more of the same, to fill up a header's bytes",
                "magic",
            ),
            (b"AFRM", "header: 4 bytes of 64"),
            (&version, "version: the peer speaks protocol 9"),
            (
                &head(u32::MAX),
                "payload length: 4294967295 bytes announced",
            ),
            (&truncated, "Result frame: 40 bytes of a payload of 100"),
            (&head(0), "checksum"),
        ];
        for (bytes, expected) in cases {
            let (mut ours, pool, _quic, theirs) = stranger().await;
            let mut stream = theirs.open_uni().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream.finish().unwrap();
            let reason = disconnected(&mut ours).await;
            let DisconnectReason::BadFrame { error } = &reason else {
                panic!("{expected}: {reason}")
            };
            assert!(error.contains(expected), "{error}");
            let (code, told) = closed_with(&theirs.closed().await);
            assert_eq!((code, &told), (CODE_BAD_FRAME, error));
            let allocated = pool.copies().allocated.load(Relaxed);
            assert!(allocated <= 1 << 10, "{expected}: {allocated} bytes");
        }
    }

    #[tokio::test]
    async fn a_peer_that_opens_more_streams_waits_for_others_to_end_and_the_connection_lives() {
        let (mut ours, _pool, _quic, theirs) = stranger().await;
        let mut streams = Vec::new();
        for _ in 0..MAX_STREAMS_PER_PEER {
            streams.push(theirs.open_uni().await.unwrap());
        }
        let mut over = Box::pin(theirs.open_uni());
        let waits = poll_fn(|context| Poll::Ready(over.as_mut().poll(context).is_pending()));
        assert!(waits.await, "there are as many as there may be");
        let frame = Frame::bare(Header::new(Kind::Close)).wire_header();
        for mut stream in streams {
            stream.write_all(&frame).await.unwrap();
            stream.finish().unwrap();
            let event = next(&mut ours).await;
            assert!(matches!(event, LinkEvent::Frame { .. }), "{event:?}");
        }
        let over = timeout(PATIENCE, over).await.expect("there is room");
        over.unwrap().write_all(&frame).await.unwrap();
        let event = next(&mut ours).await;
        assert!(matches!(event, LinkEvent::Frame { .. }), "{event:?}");
    }

    /// A role that was busy once lost what its link had not read when the peer said good-bye.
    #[tokio::test]
    async fn what_came_before_the_end_is_handed_on_to_a_role_that_was_busy() {
        const FRAMES: usize = MAX_QUEUED_EVENTS + 100;
        let (mut ours, _pool, _quic, theirs) = stranger().await;
        let mut stream = theirs.open_uni().await.unwrap();
        let frame = Frame::bare(Header::new(Kind::Close)).wire_header();
        stream.write_all(&frame.repeat(FRAMES)).await.unwrap();
        stream.finish().unwrap();
        stream.stopped().await.unwrap();
        theirs.close(CODE_CLOSED, b"good-bye");
        let mut frames = 0;
        let reason = loop {
            match next(&mut ours).await {
                LinkEvent::Frame { .. } => frames += 1,
                LinkEvent::Disconnected { reason, .. } => break reason,
                other @ LinkEvent::Connected { .. } => panic!("{other:?}"),
            }
        };
        let expected = "good-bye".to_owned();
        assert_eq!(reason, DisconnectReason::Peer { reason: expected });
        assert_eq!(frames, FRAMES);
    }

    /// It was once noticed only when the peer opened another stream.
    #[tokio::test]
    async fn a_bad_frame_is_noticed_after_another_stream_has_ended() {
        let (mut ours, _pool, _quic, theirs) = stranger().await;
        let mut bad = theirs.open_uni().await.unwrap();
        bad.write_all(b"AFRM").await.unwrap();
        let mut good = theirs.open_uni().await.unwrap();
        let frame = Frame::bare(Header::new(Kind::Close));
        good.write_all(&frame.wire_header()).await.unwrap();
        good.finish().unwrap();
        good.stopped().await.unwrap();
        let event = next(&mut ours).await;
        assert!(matches!(event, LinkEvent::Frame { .. }), "{event:?}");
        bad.finish().unwrap();
        let reason = disconnected(&mut ours).await;
        assert!(
            matches!(reason, DisconnectReason::BadFrame { .. }),
            "{reason}"
        );
    }
}
