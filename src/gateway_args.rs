//! How a gateway serves: addresses, HTTPS, who may come, and how much of everything.

use std::net::SocketAddr;
use std::path::PathBuf;

use gateway::StartError;
use gateway::config::{
    Config, DEFAULT_BURST, DEFAULT_LISTEN, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_CONNECTIONS,
    DEFAULT_REQUESTS_PER_S, DatabaseLocation, TlsFiles,
};
use gateway::limits::{MAX_BODY_BYTES, MAX_CONNECTIONS};

use crate::failure::{of_address, wrong_input};
use crate::value_parser::within;

/// Most requests that a token may be allowed, a second and at once.
const MAX_REQUESTS: u64 = 1_000_000;

/// Flags of whatever serves the API.
#[derive(clap::Args)]
#[command(next_help_heading = "API")]
pub(crate) struct GatewayArgs {
    /// Address to serve the API on; several times, or with commas, for several (TCP). On an address that
    /// is not loopback, everyone needs a token.
    #[arg(
        long,
        env = "AUTOFARM_LISTEN",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_values_t = [DEFAULT_LISTEN]
    )]
    listen: Vec<SocketAddr>,
    /// PEM file with the certificate chain for HTTPS [default: none, plain HTTP].
    #[arg(
        long,
        env = "AUTOFARM_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// PEM file with its key [default: none].
    #[arg(
        long,
        env = "AUTOFARM_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Want tokens on loopback addresses too.
    #[arg(long, env = "AUTOFARM_REQUIRE_TOKENS")]
    require_tokens: bool,
    /// Origin whose pages may open the live stream (`https://farm.example` say) and make changes, beside this
    /// server's own; with commas, several [default: none].
    #[arg(
        long,
        env = "AUTOFARM_ALLOWED_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    allowed_origin: Vec<String>,
    /// Name under which a loopback address may be called, beside localhost; with commas, several [default:
    /// none].
    #[arg(
        long,
        env = "AUTOFARM_ALLOWED_HOSTS",
        value_name = "HOST",
        value_delimiter = ','
    )]
    allowed_host: Vec<String>,
    /// Requests a second of one token, in the long run, 1 to 1000000.
    #[arg(long, env = "AUTOFARM_REQUESTS_PER_S", value_name = "N", default_value_t = DEFAULT_REQUESTS_PER_S,
        value_parser = within::<u32>(1..=MAX_REQUESTS))]
    requests_per_s: u32,
    /// Requests of one token at once, 1 to 1000000.
    #[arg(long, env = "AUTOFARM_BURST", value_name = "N", default_value_t = DEFAULT_BURST,
        value_parser = within::<u32>(1..=MAX_REQUESTS))]
    burst: u32,
    /// Connections at once, of the live stream too, 1 to 65536.
    #[arg(long, env = "AUTOFARM_MAX_CONNECTIONS", value_name = "N", default_value_t = DEFAULT_MAX_CONNECTIONS,
        value_parser = within::<usize>(1..=MAX_CONNECTIONS as u64))]
    max_connections: usize,
    /// Largest body of a request, in bytes, 1 to 8388608.
    #[arg(long, env = "AUTOFARM_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = DEFAULT_MAX_BODY_BYTES,
        value_parser = within::<usize>(1..=MAX_BODY_BYTES as u64))]
    max_body_bytes: usize,
}

/// The certificate of HTTPS with its key, or neither. That one wants the other is not seen by the reader of flags where a
/// settings file gives it.
///
/// # Errors
/// One without the other.
pub(crate) fn of_https<'a>(
    certificate: Option<&'a PathBuf>,
    key: Option<&'a PathBuf>,
) -> anyhow::Result<Option<(&'a PathBuf, &'a PathBuf)>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong_input(
            "tls-key: there is none for the certificate of tls-cert; HTTPS needs both",
        )),
        (None, Some(_)) => Err(wrong_input(
            "tls-cert: there is none for the key of tls-key; HTTPS needs both",
        )),
    }
}

impl GatewayArgs {
    /// The settings of a gateway of this name, which reads history from this database.
    ///
    /// # Errors
    /// A certificate without its key, or a key without its certificate.
    pub(crate) fn config(&self, name: String, database_url: &str) -> anyhow::Result<Config> {
        let tls = of_https(self.tls_cert.as_ref(), self.tls_key.as_ref())?;
        Ok(Config {
            name,
            database: Some(DatabaseLocation(database_url.to_owned())),
            listen: self.listen.clone(),
            tls: tls.map(|(certificate, key)| TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            require_tokens: self.require_tokens,
            allowed_origins: self.allowed_origin.clone(),
            allowed_hosts: self.allowed_host.clone(),
            requests_per_s: self.requests_per_s,
            burst: self.burst,
            max_connections: self.max_connections,
            max_body_bytes: self.max_body_bytes,
            ..Config::default()
        })
    }

    /// Whether everybody needs a token wherever it listens.
    pub(crate) fn wants_tokens(&self, addresses: &[SocketAddr]) -> bool {
        let is_open = |address: &SocketAddr| address.ip().is_loopback();
        self.require_tokens || !addresses.iter().any(is_open)
    }

    /// Why that is so.
    pub(crate) fn why_tokens(&self, addresses: &[SocketAddr]) -> String {
        if self.require_tokens {
            return "require-tokens: everybody needs a token".to_owned();
        }
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        format!(
            "listen: {} is not of this machine alone, so everybody needs a token",
            addresses.join(", ")
        )
    }

    /// Whether it speaks HTTPS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls_cert.is_some()
    }
}

/// What keeps a gateway from starting is in its settings, but for a port that another process has.
pub(crate) fn start_error(error: StartError) -> anyhow::Error {
    match error {
        StartError::Bind { address, source } => of_address("listen", address, &source),
        other => wrong_input(other),
    }
}
