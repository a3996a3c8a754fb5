//! Which certificates a role shows, and over what kind of network it talks.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use transport::identity::Identity;
use transport::link::Role;
use transport::quic_config::Network;

use crate::failure::wrong_input;

/// Flags of a role's end of the QUIC link.
#[derive(clap::Args)]
pub(crate) struct TlsArgs {
    /// Directory with ca.crt and the role's .crt and .key, as `autofarm certs` writes it
    /// [default: none, it has to be given].
    #[arg(long, env = "AUTOFARM_CERTS", value_name = "DIR")]
    certs: PathBuf,
    /// Network between the roles; both sides must agree. `local` is loopback or jumbo frames all the
    /// way; `auto` is `local` for a loopback address.
    #[arg(long, env = "AUTOFARM_NETWORK", value_name = "NETWORK", value_enum, default_value_t = NetworkArg::Auto)]
    network: NetworkArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum NetworkArg {
    Auto,
    Local,
    Routed,
}

/// The same flags where the link is needed in some cases only.
#[derive(clap::Args)]
pub(crate) struct OptionalTlsArgs {
    /// Directory with ca.crt, gateway.crt and gateway.key, as `autofarm certs` writes it [default:
    /// none; --connect needs it].
    #[arg(long, env = "AUTOFARM_CERTS", value_name = "DIR")]
    certs: Option<PathBuf>,
    /// Network between the roles; both sides must agree.
    #[arg(long, env = "AUTOFARM_NETWORK", value_name = "NETWORK", value_enum, default_value_t = NetworkArg::Auto)]
    network: NetworkArg,
}

impl OptionalTlsArgs {
    /// Reads the role's certificate and key.
    ///
    /// # Errors
    /// Where no directory is given, or a file cannot be read, naming it.
    pub(crate) fn identity(&self, role: Role) -> anyhow::Result<Identity> {
        let directory = self.certs.as_deref();
        load(
            directory.ok_or_else(|| wrong_input("certs: no directory is given"))?,
            role,
        )
    }

    /// The network, where it does not follow from the address.
    pub(crate) fn network(&self) -> Option<Network> {
        self.network.fixed()
    }
}

impl TlsArgs {
    /// Reads the role's certificate and key.
    ///
    /// # Errors
    /// Where a file cannot be read, naming it.
    pub(crate) fn identity(&self, role: Role) -> anyhow::Result<Identity> {
        load(&self.certs, role)
    }

    /// The network, where it does not follow from the address.
    pub(crate) fn fixed_network(&self) -> Option<Network> {
        self.network.fixed()
    }

    /// The network towards `address`.
    pub(crate) fn network(&self, address: std::net::SocketAddr) -> Network {
        self.fixed_network().unwrap_or_else(|| Network::of(address))
    }
}

impl NetworkArg {
    fn fixed(self) -> Option<Network> {
        match self {
            NetworkArg::Auto => None,
            NetworkArg::Local => Some(Network::Local),
            NetworkArg::Routed => Some(Network::Routed),
        }
    }
}

fn load(directory: &Path, role: Role) -> anyhow::Result<Identity> {
    let file = |name: &str| directory.join(name);
    let (certificate, key) = (format!("{role}.crt"), format!("{role}.key"));
    Identity::load(&file("ca.crt"), &file(&certificate), &file(&key))
        .map_err(|error| wrong_input(format!("certs: {error}")))
}
