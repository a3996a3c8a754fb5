//! The live streams of a gateway: one feed a simulation that somebody watches, and who may open a stream.
//!
//! `Streams::route` hands what the orchestrator sends to the feeds and waits for none of them: a feed that
//! falls behind loses frames, subscribes anew, and fills the gap in its events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use transport::control::{SimulationId, SimulationInfo};
use transport::frame::Frame;

use crate::client::{AskError, Client};
use crate::exchange::FeedInput;
use crate::fanout::ClientId;
use crate::feed_request::{FeedRequest, Joined};
use crate::feed_task;
use crate::latest::{Latest, LatestView, NoView};
use crate::mailbox::Mailbox;
use crate::past::PastEvents;
use crate::stream_limits::{
    CLOSE_PATIENCE, JOIN_PATIENCE, LATEST_PATIENCE, MAX_FEED_INPUTS, MAX_FEED_REQUESTS, MAX_FEEDS,
    StreamBounds,
};
use crate::stream_metrics::StreamMetrics;
use crate::stream_request::StreamQuery;
use crate::view_setting::{Subprotocol, ViewError};

/// How long a stream that is asked for waits for a connection that is about to stand.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// How a simulation is shown to clients.
pub type ShowSimulation = fn(&SimulationInfo) -> Value;

/// The live streams of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Shared>);

/// What every feed and every stream may use.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) past: Arc<dyn PastEvents>,
    pub(crate) bounds: StreamBounds,
    pub(crate) metrics: StreamMetrics,
    pub(crate) show: ShowSimulation,
    /// Where the connection to the orchestrator stands.
    pub(crate) connection: watch::Sender<Connection>,
    /// Set once the gateway closes.
    pub(crate) closing: watch::Sender<bool>,
    feeds: Mutex<BTreeMap<SimulationId, FeedHandle>>,
    places: Arc<Semaphore>,
    next_client: AtomicU64,
}

/// Where the connection to the orchestrator stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Grows with each connection and each loss.
    pub(crate) generation: u64,
    /// Epoch of who is at the other end.
    pub(crate) epoch: u32,
    /// Whether it stands.
    pub(crate) is_up: bool,
}

/// How a feed is reached.
#[derive(Clone)]
struct FeedHandle {
    frames: mpsc::Sender<Frame>,
    requests: mpsc::Sender<FeedRequest>,
    overrun: Arc<AtomicBool>,
    /// Closed once the feed has ended and has been forgotten.
    ended: watch::Receiver<()>,
}

/// Why a stream is not opened.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The orchestrator cannot be asked, or refuses.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The view that the query names cannot be had.
    #[error(transparent)]
    View(#[from] ViewError),
    /// As many streams are open as may be, or as many simulations followed.
    #[error("{what}: as many as there may be ({most})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The gateway is going away.
    #[error("the gateway is about to leave")]
    Closing,
    /// It took too long.
    #[error("the simulation's feed did not begin in time")]
    Timeout,
    /// This build cannot lay the simulation's views out.
    #[error("the simulation's views cannot be laid out by this build")]
    Layout,
}

/// A stream that was joined: it is left when this is dropped.
pub struct Stream {
    pub(crate) streams: Streams,
    pub(crate) simulation: SimulationId,
    pub(crate) subprotocol: Subprotocol,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) id: ClientId,
    pub(crate) requests: mpsc::Sender<FeedRequest>,
    /// Next events it wants of each log, unless it is live.
    pub(crate) behind: Option<[u64; 2]>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.0.metrics.clients(self.subprotocol, -1);
        let (requests, id) = (self.requests.clone(), self.id);
        // A full queue is waited for elsewhere; outside a runtime everything is over anyway.
        if let Err(mpsc::error::TrySendError::Full(leave)) =
            requests.try_send(FeedRequest::Leave(id))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { requests.send(leave).await });
        }
    }
}

impl Streams {
    /// None yet. `show` is how REST shows a simulation.
    #[must_use]
    pub fn new(
        client: Client,
        past: Arc<dyn PastEvents>,
        bounds: StreamBounds,
        metrics: StreamMetrics,
        show: ShowSimulation,
    ) -> Streams {
        Streams(Arc::new(Shared {
            client,
            past,
            metrics,
            show,
            connection: watch::Sender::new(Connection::default()),
            closing: watch::Sender::new(false),
            feeds: Mutex::default(),
            places: Arc::new(Semaphore::new(bounds.streams)),
            next_client: AtomicU64::new(1),
            bounds,
        }))
    }

    /// The streams' figures.
    #[must_use]
    pub fn metrics(&self) -> &StreamMetrics {
        &self.0.metrics
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Serves until `closing` is ready; then every client is closed with 1001, and has a moment to hear of it.
    pub async fn close_after(self, closing: impl Future<Output = ()>) {
        closing.await;
        self.0.closing.send_replace(true);
        let all = u32::try_from(self.0.bounds.streams).unwrap_or(u32::MAX);
        // Every place is free once every stream has ended.
        let ended = self.0.places.acquire_many(all);
        let _ = timeout(2 * CLOSE_PATIENCE, ended).await;
    }

    /// Hands what the orchestrator sends to the feed of its simulation. Never waits.
    pub(crate) fn route(&self, input: FeedInput) {
        match input {
            FeedInput::Connected { epoch } => self.0.connection.send_modify(|connection| {
                connection.generation += 1;
                connection.epoch = epoch;
                connection.is_up = true;
            }),
            FeedInput::Lost => self.0.connection.send_modify(|connection| {
                connection.generation += 1;
                connection.is_up = false;
            }),
            FeedInput::Published(frame) | FeedInput::View(frame) => {
                let feeds = self.feeds();
                let Some(feed) = feeds.get(&frame.header.simulation) else {
                    // Those of a feed that has just ended; nothing else should be.
                    self.0.metrics.stray_frame();
                    return;
                };
                if let Err(mpsc::error::TrySendError::Full(_)) = feed.frames.try_send(frame) {
                    feed.overrun.store(true, Relaxed);
                }
            }
        }
    }

    /// Opens a stream of a simulation: what it is to send waits in its mailbox from now on.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(
        &self,
        simulation: SimulationId,
        subprotocol: Subprotocol,
        query: &StreamQuery,
    ) -> Result<Stream, JoinError> {
        let most = self.0.bounds.streams;
        let place = self.0.places.clone().try_acquire_owned();
        let place = place.map_err(|_| JoinError::TooMany {
            what: "open streams",
            most,
        })?;
        let mailbox = Arc::new(Mailbox::new(self.0.bounds.client_events));
        let id = ClientId(self.0.next_client.fetch_add(1, Relaxed));
        let joining = async {
            loop {
                let feed = self.feed(simulation).await?;
                let (reply, answered) = oneshot::channel();
                let request = FeedRequest::Join {
                    id,
                    mailbox: mailbox.clone(),
                    subprotocol,
                    wish: query.wish,
                    from: query.from,
                    reply,
                };
                if feed.requests.send(request).await.is_ok()
                    && let Ok(joined) = answered.await
                {
                    return joined.map(|joined| (joined, feed.requests));
                }
                feed.has_ended().await;
            }
        };
        let joined = timeout(JOIN_PATIENCE, joining).await;
        let (Joined { behind }, requests) = joined.unwrap_or(Err(JoinError::Timeout))?;
        self.0.metrics.clients(subprotocol, 1);
        Ok(Stream {
            streams: self.clone(),
            simulation,
            subprotocol,
            mailbox,
            id,
            requests,
            behind,
            _place: place,
        })
    }

    /// The feed of a simulation, begun if there is none.
    async fn feed(&self, simulation: SimulationId) -> Result<FeedHandle, JoinError> {
        if *self.0.closing.borrow() {
            return Err(JoinError::Closing);
        }
        if let Some(feed) = self.feeds().get(&simulation) {
            return Ok(feed.clone());
        }
        if !self.0.client.is_ready() {
            return Err(AskError::Disconnected.into());
        }
        let mut connection = self.0.connection.subscribe();
        let stands = connection.wait_for(|connection| connection.is_up);
        if !matches!(timeout(CONNECT_PATIENCE, stands).await, Ok(Ok(_))) {
            return Err(AskError::Disconnected.into());
        }
        let mut feeds = self.feeds();
        if let Some(feed) = feeds.get(&simulation) {
            return Ok(feed.clone());
        }
        if feeds.len() >= MAX_FEEDS {
            return Err(JoinError::TooMany {
                what: "simulations that are followed",
                most: MAX_FEEDS,
            });
        }
        let (frames, to_frames) = mpsc::channel(MAX_FEED_INPUTS);
        let (requests, to_requests) = mpsc::channel(MAX_FEED_REQUESTS);
        let (alive, ended) = watch::channel(());
        let overrun = Arc::new(AtomicBool::new(false));
        let feed = FeedHandle {
            frames,
            requests,
            overrun: overrun.clone(),
            ended,
        };
        feeds.insert(simulation, feed.clone());
        drop(feeds);
        let streams = self.clone();
        tokio::spawn(async move {
            let forgotten = Forgotten {
                streams: streams.clone(),
                simulation,
                _alive: alive,
            };
            feed_task::run(streams, simulation, to_frames, to_requests, overrun).await;
            drop(forgotten);
        });
        Ok(feed)
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<SimulationId, FeedHandle>> {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedHandle {
    async fn has_ended(mut self) {
        // Nothing is ever sent: it ends when the feed is forgotten.
        while self.ended.changed().await.is_ok() {}
    }
}

/// Takes a feed off the list when it ends, however it does.
struct Forgotten {
    streams: Streams,
    simulation: SimulationId,
    _alive: watch::Sender<()>,
}

impl Drop for Forgotten {
    fn drop(&mut self) {
        self.streams.feeds().remove(&self.simulation);
    }
}

impl LatestView for Streams {
    fn latest(&self, simulation: SimulationId) -> Latest<'_> {
        Box::pin(async move {
            let asked = async {
                let feed = self.feed(simulation).await.ok()?;
                let (reply, answered) = oneshot::channel();
                let request = FeedRequest::Latest { reply };
                feed.requests.send(request).await.ok()?;
                answered.await.ok()
            };
            let answer = timeout(LATEST_PATIENCE, asked).await.ok().flatten();
            answer.unwrap_or(Err(NoView::NotYet))
        })
    }
}
