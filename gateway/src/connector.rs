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
    /// The network between them; `None` for what each address suggests.
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
    /// No QUIC endpoint can be opened.
    #[error(transparent)]
    Quic(#[from] QuicError),
}

impl Connector {
    /// The `attempt`th connection. A QUIC endpoint is there at once; whether anybody answers is seen later.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(&self, name: &str, attempt: usize) -> Result<Endpoint, ConnectError> {
        match self {
            Connector::Memory(hub) => Ok(hub.connect(Role::Gateway, name)?),
            Connector::Quic(quic) => quic.connect(attempt),
        }
    }
}

impl QuicConnector {
    /// To the first that answers. Each attempt begins with another, for whoever answers first may not be
    /// the owner.
    fn connect(&self, attempt: usize) -> Result<Endpoint, ConnectError> {
        let turn = attempt.checked_rem(self.hosts.len());
        let mut hosts = self.hosts.clone();
        hosts.rotate_left(turn.ok_or(ConnectError::NoHost)?);
        Ok(transport::quic::connect_any(
            &hosts,
            &self.identity,
            Role::Orchestrator,
            self.network,
            &self.pool,
        )?)
    }
}
