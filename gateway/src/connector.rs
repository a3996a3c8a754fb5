//! Ways to an orchestrator.

use std::sync::Arc;

use transport::identity::Identity;
use transport::link::{Endpoint, Role};
use transport::memory::{HubClosed, MemoryHub};
use transport::pool::FramePool;
use transport::quic::QuicError;
use transport::quic_config::Network;

/// Makes one connection after the other to an orchestrator.
#[derive(Clone, Debug)]
pub enum Connector {
    /// Inside one process.
    Memory(MemoryHub),
    /// To the first of some machines that answers as the owner of the database.
    Quic(QuicConnector),
}

/// How machines are reached.
#[derive(Clone, Debug)]
pub struct QuicConnector {
    /// HOST:PORT of every orchestrator; names are looked up again for each connection.
    pub hosts: Vec<String>,
    /// What this gateway shows.
    pub identity: Arc<Identity>,
    /// The network between them; `None` for what the address suggests.
    pub network: Option<Network>,
    /// Where frames' buffers come from.
    pub pool: FramePool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The hub takes none.
    #[error(transparent)]
    Hub(#[from] HubClosed),
    /// No host is configured.
    #[error("no address of an orchestrator is configured")]
    NoHost,
    /// The name means nothing.
    #[error("{host}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// No QUIC endpoint can be opened.
    #[error(transparent)]
    Quic(#[from] QuicError),
}

impl Connector {
    /// The `attempt`th connection. A QUIC endpoint is there at once; whether anybody answers is seen later.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, name: &str, attempt: usize) -> Result<Endpoint, ConnectError> {
        match self {
            Connector::Memory(hub) => Ok(hub.connect(Role::Gateway, name)?),
            Connector::Quic(quic) => quic.connect(attempt).await,
        }
    }
}

impl QuicConnector {
    async fn connect(&self, attempt: usize) -> Result<Endpoint, ConnectError> {
        let turn = attempt.checked_rem(self.hosts.len());
        let host = &self.hosts[turn.ok_or(ConnectError::NoHost)?];
        let found = tokio::net::lookup_host(host).await;
        let mut addresses = found.map_err(|source| ConnectError::Lookup {
            host: host.clone(),
            source,
        })?;
        let address = addresses
            .next()
            .ok_or_else(|| ConnectError::NoAddress { host: host.clone() })?;
        let network = self.network.unwrap_or_else(|| Network::of(address));
        Ok(transport::quic::connect(
            address,
            &self.identity,
            Role::Orchestrator,
            network,
            &self.pool,
        )?)
    }
}
