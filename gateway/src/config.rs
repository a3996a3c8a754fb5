//! What a gateway is started with.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::stream_limits::StreamBounds;

/// What a gateway is started with. [`Config::default`] serves a loopback address without credentials.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the orchestrator's log, 1..=64 bytes.
    pub name: String,
    /// What it was built from, as every answer says in `Autofarm-Version`.
    pub version: &'static str,
    /// Where it listens. On a loopback address no credentials are needed unless
    /// [`Config::require_tokens`]; on any other one a bearer token is, and on every one for what a proxy passes on
    /// (a request with `Forwarded`, `Via`, `X-Real-IP` or any `X-Forwarded-` header). A proxy that adds none of
    /// these cannot be told from a local user: behind one, require tokens.
    pub listen: Vec<SocketAddr>,
    /// HTTPS on every address, if given.
    pub tls: Option<TlsFiles>,
    /// Wants tokens on loopback addresses too.
    pub require_tokens: bool,
    /// Origins whose pages may open the live stream, as `https://farm.example`, beside the gateway's own.
    pub allowed_origins: Vec<String>,
    /// Names under which a loopback listener may be called, beside `localhost` and its addresses.
    pub allowed_hosts: Vec<String>,
    /// The database that the orchestrator writes to. Without one, history is not served.
    pub database: Option<DatabaseLocation>,
    /// Requests a second that one token may make in the long run.
    pub requests_per_s: u32,
    /// Requests that one token may make at once.
    pub burst: u32,
    /// Bounds of the live streams.
    pub stream: StreamBounds,
    /// Most connections, of the live stream too.
    pub max_connections: usize,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// How long a connection may take to send the head of a request, or say nothing.
    pub head_patience: Duration,
    /// How long a TLS handshake may take.
    pub handshake_patience: Duration,
    /// How long a body may take to arrive.
    pub body_patience: Duration,
    /// How long a client may take no byte of what is written to it.
    pub write_patience: Duration,
    /// How long `/readyz` says that the gateway is leaving before its listeners close.
    pub leave_notice: Duration,
    /// How long connections have to end once the listeners are closed.
    pub leave_patience: Duration,
}

impl Config {
    /// Whether everybody needs a token at this listener, for it is not of this machine alone or that was asked for.
    #[must_use]
    pub fn wants_tokens(&self, local: IpAddr) -> bool {
        self.require_tokens || !local.is_loopback()
    }
}

/// A certificate chain and its key, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The URL of a database. It may hold a password, so it has no form to be printed in.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseLocation(pub String);

impl std::fmt::Debug for DatabaseLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseLocation(hidden)")
    }
}

/// Where a gateway listens if it is not told.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8_080);
/// Requests a second of one token if nothing else is set.
pub const DEFAULT_REQUESTS_PER_S: u32 = 200;
/// Requests at once of one token if nothing else is set.
pub const DEFAULT_BURST: u32 = 400;
/// Connections if nothing else is set.
pub const DEFAULT_MAX_CONNECTIONS: usize = 4_096;
/// Bytes of a body if nothing else is set: 100,000 ids of seven digits and their commas fit.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

impl Default for Config {
    fn default() -> Config {
        Config {
            version: env!("CARGO_PKG_VERSION"),
            name: "gateway".to_owned(),
            listen: vec![DEFAULT_LISTEN],
            tls: None,
            require_tokens: false,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            database: None,
            requests_per_s: DEFAULT_REQUESTS_PER_S,
            burst: DEFAULT_BURST,
            stream: StreamBounds::default(),
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            head_patience: Duration::from_secs(10),
            handshake_patience: Duration::from_secs(10),
            body_patience: Duration::from_secs(10),
            write_patience: Duration::from_secs(30),
            leave_notice: Duration::from_millis(500),
            leave_patience: Duration::from_secs(5),
        }
    }
}
