//! Which certificates a role shows, and over what kind of network it talks.

use std::path::PathBuf;

use clap::ValueEnum;
use transport::identity::Identity;
use transport::link::Role;
use transport::quic_config::Network;

use crate::failure::wrong_input;

/// Flags of a role's end of the QUIC link.
#[derive(clap::Args)]
pub(crate) struct TlsArgs {
    /// Directory with ca.crt and the role's .crt and .key, as `autofarm certs` writes it.
    #[arg(long, env = "AUTOFARM_CERTS", value_name = "DIR")]
    certs: PathBuf,
    /// Network between the roles; both sides must agree. `local` is loopback or jumbo frames all the
    /// way; `auto` is `local` for a loopback address.
    #[arg(long, env = "AUTOFARM_NETWORK", value_enum, default_value_t = NetworkArg::Auto)]
    network: NetworkArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum NetworkArg {
    Auto,
    Local,
    Routed,
}

impl TlsArgs {
    /// Reads the role's certificate and key.
    ///
    /// # Errors
    /// Where a file cannot be read, naming it.
    pub(crate) fn identity(&self, role: Role) -> anyhow::Result<Identity> {
        let file = |name: &str| self.certs.join(name);
        let (certificate, key) = (format!("{role}.crt"), format!("{role}.key"));
        Identity::load(&file("ca.crt"), &file(&certificate), &file(&key))
            .map_err(|error| wrong_input(format!("certs: {error}")))
    }

    /// The network towards `address`.
    pub(crate) fn network(&self, address: std::net::SocketAddr) -> Network {
        match self.network {
            NetworkArg::Auto => Network::of(address),
            NetworkArg::Local => Network::Local,
            NetworkArg::Routed => Network::Routed,
        }
    }
}
