//! Where the API is served: addresses, HTTPS, and for how many at once. Whatever serves it takes these flags, and what looks
//! whether it could be.

use std::net::SocketAddr;
use std::path::PathBuf;

use gateway::config::{DEFAULT_LISTEN, DEFAULT_MAX_CONNECTIONS, TlsFiles};
use gateway::limits::MAX_CONNECTIONS;

use crate::failure::wrong_input;
use crate::value_parser::{parse_address, within};

/// Flags of where the API is served.
#[derive(clap::Args)]
#[command(next_help_heading = "API")]
pub(crate) struct ApiArgs {
    /// Address to serve the API on; several times, or with commas, for several (TCP). On an address that
    /// is not loopback, everyone needs a token.
    #[arg(
        long,
        env = "AUTOFARM_LISTEN",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_values_t = [DEFAULT_LISTEN],
        value_parser = parse_address
    )]
    pub(crate) listen: Vec<SocketAddr>,
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
    /// Connections at once, of the live stream too, 1 to 65536.
    #[arg(long, env = "AUTOFARM_MAX_CONNECTIONS", value_name = "N", default_value_t = DEFAULT_MAX_CONNECTIONS,
        value_parser = within::<usize>(1..=MAX_CONNECTIONS as u64))]
    pub(crate) max_connections: usize,
}

impl ApiArgs {
    /// The certificate of HTTPS with its key, or neither. That one wants the other is not seen by the reader of flags where a
    /// settings file gives it.
    ///
    /// # Errors
    /// One without the other.
    pub(crate) fn https(&self) -> anyhow::Result<Option<TlsFiles>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(wrong_input(
                "tls-key: there is none for the certificate of tls-cert; HTTPS needs both",
            )),
            (None, Some(_)) => Err(wrong_input(
                "tls-cert: there is none for the key of tls-key; HTTPS needs both",
            )),
        }
    }

    /// Whether it speaks HTTPS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls_cert.is_some()
    }
}
