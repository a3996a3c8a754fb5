//! How QUIC is set up: TLS, windows, timers, and what a local network allows.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig,
    VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use socket2::{Domain, Protocol, Socket, Type};

use crate::identity::Identity;
use crate::limits::MAX_STREAMS_PER_PEER;
use crate::quic::QuicError;

/// A stream's window: larger ones were measured to be slower.
const STREAM_WINDOW_BYTES: u32 = 2_400_000;
/// Bytes that may be unacknowledged on a connection.
const SEND_WINDOW_BYTES: u64 = 32 << 20;
/// Bytes that may be unacknowledged of all views and checkpoints: two windows, one being sent while the
/// other is acknowledged.
pub(crate) const BULK_IN_FLIGHT_BYTES: u32 = 2 * STREAM_WINDOW_BYTES;
/// UDP payload on loopback and jumbo networks.
const LOCAL_MTU: u16 = 6_400;
/// Segments quinn hands to the kernel at once.
const GSO_SEGMENTS: u32 = 10;
/// Above `u32::MAX`, where quinn turns its pacer off.
const LOCAL_WINDOW_BYTES: u64 = 1 << 33;
/// What a socket of the link asks of the system, to receive and to send.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// What each side sends where nothing else is sent, so that silence means that the peer is gone.
const KEEP_ALIVE: Duration = Duration::from_millis(250);
const IDLE_TIMEOUT_MS: u32 = 4_000;
/// How long a peer may be silent, killed or stopped, until its connection is given up. QUIC does not
/// learn of a dead peer from the network; a role that waits for an answer knows sooner, by its deadline,
/// and whoever sends to a successor on the same address is told by it.
pub const IDLE_TIMEOUT: Duration = Duration::from_millis(IDLE_TIMEOUT_MS as u64);
/// The default of 25 ms would hold a window, and thus a tick, for as long.
const MAX_ACK_DELAY: Duration = Duration::from_millis(1);

// A larger batch is lost by the kernel without a word.
const _: () = assert!(LOCAL_MTU as u32 * GSO_SEGMENTS < 65_507);
const _: () = assert!(LOCAL_WINDOW_BYTES > u32::MAX as u64);
// One lost keep-alive is no dead peer.
const _: () = assert!(IDLE_TIMEOUT_MS as u128 > 2 * KEEP_ALIVE.as_millis());
const _: () = assert!(STREAM_WINDOW_BYTES <= 2_400_000);
// Views and checkpoints leave most of the connection to results and dispatches.
const _: () = assert!((BULK_IN_FLIGHT_BYTES as u64) < SEND_WINDOW_BYTES / 4);

/// The network between the roles. Both sides of a connection must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback, or jumbo frames all the way: large datagrams, a fixed window, no pacing.
    Local,
    /// Anything else: path MTU discovery and congestion control.
    Routed,
}

impl Network {
    /// Local where the address is a loopback address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Network {
        if address.ip().is_loopback() {
            Network::Local
        } else {
            Network::Routed
        }
    }
}

/// What a listening endpoint needs.
pub(crate) struct Server {
    config: ServerConfig,
    /// By these a successor on the same address, with the same certificate, tells the peers of the one
    /// before it that it knows nothing of their connections, so that they need not wait for silence.
    reset_key: hmac::Key,
    connection_id_key: u64,
}

pub(crate) fn server(identity: &Identity, network: Network) -> Result<Server, QuicError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(identity)?), provider.clone())
            .build()
            .map_err(|error| QuicError::Tls(rustls::Error::General(error.to_string())))?;
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| QuicError::NoCipher)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(network)));
    let derived = |label: &[u8]| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, identity.key.secret_der());
        hmac::sign(&secret, label)
    };
    let reset_key = derived(b"autofarm stateless reset");
    let connection_id_key = derived(b"autofarm connection id");
    let (first, _) = connection_id_key
        .as_ref()
        .split_first_chunk()
        .expect("a tag has 32 bytes");
    Ok(Server {
        config,
        reset_key: hmac::Key::new(hmac::HMAC_SHA256, reset_key.as_ref()),
        connection_id_key: u64::from_le_bytes(*first),
    })
}

pub(crate) fn client(identity: &Identity, network: Network) -> Result<ClientConfig, QuicError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(identity)?)
        .with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key())?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|_| QuicError::NoCipher)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(network)));
    Ok(config)
}

/// A bound socket with large buffers, and an endpoint on it.
pub(crate) fn bind(
    address: SocketAddr,
    server: Option<Server>,
    network: Network,
) -> Result<quinn::Endpoint, QuicError> {
    let failed = |source| QuicError::Bind { address, source };
    let socket = socket(address).map_err(failed)?;
    let mut config = EndpointConfig::default();
    if let Some(server) = &server {
        let key = server.connection_id_key;
        config
            .reset_key(Arc::new(server.reset_key.clone()))
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    }
    let server = server.map(|server| server.config);
    if network == Network::Local {
        config
            .max_udp_payload_size(LOCAL_MTU)
            .expect("within QUIC's range");
    }
    quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime)).map_err(failed)
}

fn socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system may grant less; that costs throughput under bursts, nothing else.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// How many bytes the system grants a socket of the link to receive and to send, of the [`SOCKET_BUFFER_BYTES`] that it
/// asks for each.
///
/// # Errors
/// Where no socket can be had.
pub fn granted_buffers() -> std::io::Result<(usize, usize)> {
    let socket = socket(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))?;
    let socket = socket2::SockRef::from(&socket);
    // Linux tells twice what was asked for: its own records of packets come out of the same room.
    let of = |told: usize| {
        if cfg!(target_os = "linux") {
            told / 2
        } else {
            told
        }
    };
    Ok((
        of(socket.recv_buffer_size()?),
        of(socket.send_buffer_size()?),
    ))
}

fn roots(identity: &Identity) -> Result<RootCertStore, QuicError> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.ca.clone())?;
    Ok(roots)
}

fn transport(network: Network) -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.max_ack_delay(Some(MAX_ACK_DELAY));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS_PER_PEER))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .send_fairness(false)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .ack_frequency_config(Some(acks));
    if network == Network::Local {
        config
            .initial_mtu(LOCAL_MTU)
            .mtu_discovery_config(None)
            .congestion_controller_factory(Arc::new(FixedWindow));
    }
    config
}

/// A window that nothing changes, for networks whose only queue is the receiver's socket.
#[derive(Clone, Copy, Debug)]
struct FixedWindow;

impl ControllerFactory for FixedWindow {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(FixedWindow)
    }
}

impl Controller for FixedWindow {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}

    fn on_mtu_update(&mut self, _mtu: u16) {}

    fn window(&self) -> u64 {
        LOCAL_WINDOW_BYTES
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }

    fn initial_window(&self) -> u64 {
        LOCAL_WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::certs::generate;
    use crate::identity::role_name;
    use crate::link::Role;

    #[test]
    fn both_networks_keep_the_timers_and_windows_that_were_measured() {
        for network in [Network::Local, Network::Routed] {
            let set = format!("{:?}", transport(network));
            for expected in [
                "keep_alive_interval: Some(250ms)",
                "max_idle_timeout: Some(4000)",
                "stream_receive_window: 2400000",
                "send_window: 33554432",
                "send_fairness: false",
                "max_concurrent_bidi_streams: 0",
                "max_concurrent_uni_streams: 512",
                "max_ack_delay: Some(1ms)",
                "enable_segmentation_offload: true",
            ] {
                assert!(set.contains(expected), "{expected} is not in {set}");
            }
        }
    }

    #[test]
    fn a_socket_has_the_buffers_that_the_system_grants() {
        let socket = socket(([127, 0, 0, 1], 0).into()).unwrap();
        let socket = socket2::SockRef::from(&socket);
        let granted = |file: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let most = text.trim().parse().unwrap_or(0usize);
            SOCKET_BUFFER_BYTES.min(most)
        };
        let received = socket.recv_buffer_size().unwrap();
        assert!(
            received >= granted("/proc/sys/net/core/rmem_max"),
            "{received}"
        );
        let sent = socket.send_buffer_size().unwrap();
        assert!(sent >= granted("/proc/sys/net/core/wmem_max"), "{sent}");
    }

    /// Two ends, and 1 MB from one to the other.
    async fn exchange(server: Network, client: Network) -> [quinn::Connection; 2] {
        let day = Duration::from_secs(24 * 3_600);
        let certs = generate(SystemTime::now() - day, 2 * day).unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let config = super::server(&certs.identity(Role::Orchestrator), server).unwrap();
        let listening = bind(any, Some(config), server).unwrap();
        let at = listening.local_addr().unwrap();
        let mut dialling = bind(any, None, client).unwrap();
        let config = super::client(&certs.identity(Role::Worker), client).unwrap();
        dialling.set_default_client_config(config);
        let dialled = dialling
            .connect(at, &role_name(Role::Orchestrator))
            .unwrap();
        let accepted = async { listening.accept().await.unwrap().await };
        let (dialled, accepted) = tokio::join!(dialled, accepted);
        let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
        let mut stream = dialled.open_uni().await.unwrap();
        let sending = async {
            stream.write_all(&[7; 1_000_000]).await.unwrap();
            stream.finish().unwrap();
        };
        let receiving = async {
            let mut stream = accepted.accept_uni().await.unwrap();
            stream.read_to_end(1_000_000).await.unwrap().len()
        };
        let ((), received) = tokio::join!(sending, receiving);
        assert_eq!(received, 1_000_000);
        [dialled, accepted]
    }

    #[tokio::test]
    async fn a_local_connection_has_large_datagrams_a_fixed_window_and_quick_acknowledgements() {
        for connection in exchange(Network::Local, Network::Local).await {
            let stats = connection.stats();
            assert_eq!(stats.path.current_mtu, LOCAL_MTU);
            assert_eq!(stats.path.cwnd, LOCAL_WINDOW_BYTES);
            assert!(
                stats.frame_tx.ack_frequency > 0,
                "the peer is told to be quick"
            );
        }
    }

    #[tokio::test]
    async fn a_routed_connection_begins_with_small_datagrams_and_a_window_that_grows() {
        for connection in exchange(Network::Routed, Network::Routed).await {
            let stats = connection.stats();
            assert!(
                stats.path.current_mtu <= 1_472,
                "{}",
                stats.path.current_mtu
            );
            assert!(stats.path.cwnd < LOCAL_WINDOW_BYTES);
            assert!(
                stats.frame_tx.ack_frequency > 0,
                "the peer is told to be quick"
            );
        }
    }

    /// An orchestrator on all addresses is routed, a worker on the same machine is local.
    #[tokio::test]
    async fn ends_that_disagree_on_the_network_still_talk_in_the_smaller_datagrams() {
        for (server, client) in [
            (Network::Routed, Network::Local),
            (Network::Local, Network::Routed),
        ] {
            for connection in exchange(server, client).await {
                let mtu = connection.stats().path.current_mtu;
                assert!(mtu <= 1_472, "{server:?}, {client:?}: {mtu}");
            }
        }
    }
}
