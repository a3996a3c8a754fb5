//! The link between machines: QUIC, mutual TLS, one uni-directional stream a (class, group).
//!
//! One task owns an endpoint's connections and turns commands into streams; a task a connection
//! accepts streams; nothing here looks into a payload. Liveness is the tick's own deadline;
//! the keep-alive behind it finds what carries no ticks.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn::{Connection, ConnectionError, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::identity::{Identity, role_name, role_of};
use crate::limits::{MAX_PEERS, MAX_REASON_BYTES};
use crate::link::{
    DisconnectReason, Driver, Endpoint, LinkCommand, LinkEvent, PeerId, Role, endpoint,
};
use crate::pool::FramePool;
use crate::quic_config::{self, Network};
use crate::quic_stream::{self, Outbound};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// A connection that lived as long as this was good: the next retry starts from the first delay again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);
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
    let server = quic_config::server(identity, network)?;
    let quic = quic_config::bind(address, Some(server), network)?;
    let local = quic
        .local_addr()
        .map_err(|source| QuicError::Bind { address, source })?;
    let (endpoint, driver) = endpoint();
    let (arrivals, arrived) = mpsc::channel(MAX_PEERS);
    tokio::spawn(accept_all(quic.clone(), accept.to_vec(), arrivals));
    tokio::spawn(drive(quic, driver, arrived, pool.clone()));
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
    let client = quic_config::client(identity, network)?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let mut quic = quic_config::bind(any, None, network)?;
    quic.set_default_client_config(client);
    let (endpoint, driver) = endpoint();
    let (arrivals, arrived) = mpsc::channel(1);
    tokio::spawn(dial(quic.clone(), address, expected, arrivals));
    tokio::spawn(drive(quic, driver, arrived, pool.clone()));
    Ok(endpoint)
}

struct Arrival {
    connection: Connection,
    role: Role,
}

async fn accept_all(quic: quinn::Endpoint, accept: Vec<Role>, arrivals: mpsc::Sender<Arrival>) {
    while let Some(incoming) = quic.accept().await {
        let address = incoming.remote_address();
        if quic.open_connections() > MAX_PEERS {
            warn!(%address, "refused: {MAX_PEERS} peers are connected");
            incoming.refuse();
            continue;
        }
        let (accept, arrivals) = (accept.clone(), arrivals.clone());
        tokio::spawn(async move {
            match incoming.await {
                Ok(connection) => admit(connection, &accept, &arrivals).await,
                Err(error) => warn!(%address, reason = %error, "connection refused"),
            }
        });
    }
}

async fn admit(connection: Connection, accept: &[Role], arrivals: &mpsc::Sender<Arrival>) {
    let address = connection.remote_address();
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
    warn!(%address, %reason, "connection refused");
    connection.close(CODE_REFUSED, cut(&reason));
}

async fn dial(
    quic: quinn::Endpoint,
    address: SocketAddr,
    expected: Role,
    arrivals: mpsc::Sender<Arrival>,
) {
    let mut pause = FIRST_RETRY;
    while !arrivals.is_closed() {
        let started = Instant::now();
        let reason = dial_once(&quic, address, expected, &arrivals).await;
        warn!(%address, %reason, "no connection to the {expected}; trying again");
        if started.elapsed() >= GOOD_CONNECTION {
            pause = FIRST_RETRY;
        }
        let jittered = pause.mul_f64(0.5 + fastrand::f64());
        tokio::select! {
            () = tokio::time::sleep(jittered) => pause = (2 * pause).min(LAST_RETRY),
            () = arrivals.closed() => return,
        }
    }
}

/// Connects and stays until the connection ends. Says why it did.
async fn dial_once(
    quic: &quinn::Endpoint,
    address: SocketAddr,
    role: Role,
    arrivals: &mpsc::Sender<Arrival>,
) -> String {
    let connecting = match quic.connect(address, &role_name(role)) {
        Ok(connecting) => connecting,
        Err(error) => return error.to_string(),
    };
    match connecting.await {
        Ok(connection) => {
            let watched = connection.clone();
            let _ = arrivals.send(Arrival { connection, role }).await;
            watched.closed().await.to_string()
        }
        Err(error) => error.to_string(),
    }
}

fn peer_role(connection: &Connection) -> Option<Role> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    role_of(chain.first()?)
}

struct Peer {
    connection: Connection,
    outbound: Outbound,
    /// Set where this side closes: QUIC itself would only say that it was closed locally.
    reason: Option<DisconnectReason>,
}

/// Owns the connections of an endpoint until its role drops it.
async fn drive(
    quic: quinn::Endpoint,
    mut driver: Driver,
    mut arrived: mpsc::Receiver<Arrival>,
    pool: FramePool,
) {
    let mut peers: BTreeMap<PeerId, Peer> = BTreeMap::new();
    let mut next_peer = 1;
    let (gone, mut ended) = mpsc::channel(MAX_PEERS);
    loop {
        tokio::select! {
            command = driver.commands.recv() => match command {
                Some(command) => carry_out(&mut peers, command),
                None => break,
            },
            Some(Arrival { connection, role }) = arrived.recv() => {
                let peer = PeerId(next_peer);
                next_peer += 1;
                let name = connection.remote_address().to_string();
                info!(%peer, %role, address = %name, "connected");
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
                let outbound = Outbound::new(connection.clone());
                peers.insert(peer, Peer { connection, outbound, reason: None });
            }
            Some((peer, reason)) = ended.recv() => {
                let known = peers.remove(&peer).and_then(|p| p.reason);
                let reason = known.unwrap_or(reason);
                warn!(%peer, %reason, "disconnected");
                let _ = driver.events.send(LinkEvent::Disconnected { peer, reason }).await;
            }
        }
    }
    quic.close(CODE_CLOSED, b"the process ends");
    quic.wait_idle().await;
}

fn carry_out(peers: &mut BTreeMap<PeerId, Peer>, command: LinkCommand) {
    match command {
        LinkCommand::Transmit(transmit) => {
            let Some(peer) = peers.get_mut(&transmit.peer) else {
                return;
            };
            if let Err(slow) = peer.outbound.send(transmit) {
                close(peer, slow);
            }
        }
        LinkCommand::Disconnect { peer, reason } => {
            let Some(peer) = peers.get_mut(&peer) else {
                return;
            };
            close(peer, DisconnectReason::Local { reason });
        }
    }
}

fn close(peer: &mut Peer, reason: DisconnectReason) {
    let text = match &reason {
        DisconnectReason::Local { reason } => reason.clone(),
        other => other.to_string(),
    };
    peer.connection.close(CODE_CLOSED, cut(&text));
    peer.reason.get_or_insert(reason);
}

/// Takes in streams until the connection ends. Returns only when no frame of it can follow.
async fn receive(
    peer: PeerId,
    connection: &Connection,
    events: &mpsc::Sender<LinkEvent>,
    pool: &FramePool,
) -> DisconnectReason {
    let mut streams = tokio::task::JoinSet::new();
    let mut bad_frame = None;
    let ended = loop {
        tokio::select! {
            accepted = connection.accept_uni() => match accepted {
                Ok(stream) => {
                    let (events, pool) = (events.clone(), pool.clone());
                    streams.spawn(async move {
                        quic_stream::receive_stream(peer, stream, &events, &pool).await
                    });
                }
                Err(error) => break error,
            },
            Some(Ok(Err(error))) = streams.join_next(), if !streams.is_empty() => {
                let error = error.to_string();
                connection.close(CODE_BAD_FRAME, cut(&error));
                bad_frame.get_or_insert(DisconnectReason::BadFrame { error });
            }
        }
    };
    streams.shutdown().await;
    bad_frame.unwrap_or_else(|| reason_of(&ended))
}

fn reason_of(error: &ConnectionError) -> DisconnectReason {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            DisconnectReason::Peer { reason }
        }
        other => DisconnectReason::Lost {
            error: other.to_string(),
        },
    }
}

fn cut(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON_BYTES)]
}
