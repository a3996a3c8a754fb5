//! What every handler may use.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::archive::Archive;
use crate::client::Client;
use crate::config::Config;
use crate::latest::LatestView;
use crate::metrics::Metrics;
use crate::rate::Limiter;
use crate::sparing::Sparing;
use crate::streams::Streams;

/// What every handler may use. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// What the gateway was started with.
    pub config: Arc<Config>,
    /// Asks the orchestrator.
    pub client: Client,
    /// What the database holds.
    pub archive: Archive,
    /// How often each token may ask.
    pub limiter: Arc<Limiter>,
    /// How often each address may show a ticket.
    pub ticket_limiter: Arc<Limiter>,
    /// How often the log says that requests are answered with 503.
    pub unavailable: Arc<Sparing>,
    /// Counted and served.
    pub metrics: Arc<Metrics>,
    /// Newest views.
    pub views: Arc<dyn LatestView>,
    /// Live streams.
    pub streams: Streams,
    /// Whether everybody needs a token at every listener.
    pub wants_tokens: bool,
    /// Metrics pages of other roles in this process, if there are any.
    pub others: Arc<OnceLock<OtherPages>>,
    /// Where the gateway is in its life.
    pub life: watch::Receiver<Life>,
}

/// Makes the metrics pages of other roles in this process, which the gateway serves behind its own. Their metrics
/// have other names.
pub type OtherPages =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<String>> + Send>> + Send + Sync>;

/// Where a gateway is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It serves.
    Serving,
    /// It says that it is not ready, so that nobody new comes, and serves.
    Leaving,
    /// Its listeners are closed; connections are to end, those of the live stream with 1001.
    Closing,
}

/// How a request came; an extension of every request.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The listener's address.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Whether over TLS.
    pub tls: bool,
    /// The connection's place among [`Config::max_connections`]: who takes a socket over keeps a clone.
    pub place: Arc<Place>,
}

/// A connection's place among [`Config::max_connections`]; counted while it is kept.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    counted: Gauge,
}

impl Place {
    pub(crate) fn new(permit: OwnedSemaphorePermit, counted: Gauge) -> Place {
        counted.inc();
        Place {
            _permit: permit,
            counted,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counted.dec();
    }
}
