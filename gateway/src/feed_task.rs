//! The loop of one simulation's feed: frames and clients' requests in, messages into mailboxes out. It asks,
//! reads and lays out in tasks of their own, and never waits for a client.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::warn;
use transport::control::{Ask, Log, SimulationId};
use transport::frame::Frame;

use crate::fanout::Fanout;
use crate::feed::{Feed, FeedOutput};
use crate::feed_clients::Joining;
use crate::feed_request::FeedRequest;
use crate::feed_work::{Done, Reads};
use crate::latest::NoView;
use crate::mailbox::Close;
use crate::streams::{Connection, JoinError, Streams};
use crate::view_tick::ViewTick;

/// The logs, in the order of every pair of seqs.
pub(crate) const LOGS: [Log; 2] = [Log::Sim, Log::System];

/// Frames that are taken in one turn of the loop.
const MAX_BATCH: usize = 64;

/// One simulation's feed, with whom it is for.
pub(crate) struct FeedTask {
    pub(crate) streams: Streams,
    pub(crate) simulation: SimulationId,
    start: Instant,
    pub(crate) feed: Feed,
    pub(crate) fanout: Fanout,
    pub(crate) connection: watch::Receiver<Connection>,
    overrun: Arc<AtomicBool>,
    pub(crate) work: JoinSet<Done>,
    /// The connection and rate that the orchestrator has been asked for.
    pub(crate) subscribed: Option<(Connection, u32)>,
    /// It has been asked at all; the answer may be on its way, or have come too late.
    pub(crate) has_asked: bool,
    pub(crate) is_asking: bool,
    pub(crate) is_indexing: bool,
    pub(crate) is_creating: bool,
    /// Not before then is a subscription tried again.
    pub(crate) ask_at: Duration,
    /// Not before then is another rate asked for.
    pub(crate) rate_at: Duration,
    pub(crate) reads: [Reads; 2],
    /// Clients that come before it is known where they begin.
    pub(crate) joining: Vec<Joining>,
    pub(crate) latest: Vec<oneshot::Sender<Result<Arc<ViewTick>, NoView>>>,
    /// For those of them it was looked whether a worker is there.
    pub(crate) has_looked: bool,
    pub(crate) ids: Option<Bytes>,
    /// Since when nobody is here.
    idle_since: Option<Duration>,
    pub(crate) is_over: bool,
}

/// Runs a feed until it has been without clients for a while, its simulation is deleted, or the gateway closes.
pub(crate) async fn run(
    streams: Streams,
    simulation: SimulationId,
    mut frames: mpsc::Receiver<Frame>,
    mut requests: mpsc::Receiver<FeedRequest>,
    overrun: Arc<AtomicBool>,
) {
    let mut closing = streams.shared().closing.subscribe();
    let mut task = FeedTask::new(streams, simulation, overrun);
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        task.begin_work();
        task.tell();
        if task.is_over {
            break;
        }
        let deadline = task.deadline().map(|at| task.start + at);
        let timeout = async move {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            taken = frames.recv_many(&mut batch, MAX_BATCH) => {
                if taken == 0 {
                    break;
                }
                for frame in batch.drain(..) {
                    task.handle_frame(frame);
                }
            }
            Some(request) = requests.recv() => task.handle_request(request),
            Some(done) = task.work.join_next() => {
                // A task of the feed's does not panic; if one did, the feed would begin anew.
                match done {
                    Ok(done) => task.handle_done(done),
                    Err(_) => task.is_over = true,
                }
            }
            _ = task.connection.changed() => task.handle_connection(),
            () = timeout => task.handle_timeout(requests.is_empty()),
            _ = closing.wait_for(|closing| *closing) => {
                task.fanout.close_all(Close::GoingAway);
                task.fail_joining(|| JoinError::Closing);
                return;
            }
        }
    }
    task.end(requests).await;
}

impl FeedTask {
    fn new(streams: Streams, simulation: SimulationId, overrun: Arc<AtomicBool>) -> FeedTask {
        let shared = streams.shared();
        shared.metrics.feeds(1);
        FeedTask {
            feed: Feed::new(shared.bounds.ring_events),
            fanout: Fanout::new(shared.bounds.views_per_simulation, shared.metrics.clone()),
            connection: shared.connection.subscribe(),
            simulation,
            start: Instant::now(),
            overrun,
            work: JoinSet::new(),
            subscribed: None,
            has_asked: false,
            is_asking: false,
            is_indexing: false,
            ask_at: Duration::ZERO,
            rate_at: Duration::ZERO,
            reads: Default::default(),
            joining: Vec::new(),
            latest: Vec::new(),
            has_looked: false,
            is_creating: false,
            ids: None,
            idle_since: Some(Duration::ZERO),
            is_over: false,
            streams,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Begins what is due and does not go on already.
    fn begin_work(&mut self) {
        let now = self.now();
        if self.overrun.swap(false, Relaxed) {
            self.subscribed = None;
        }
        self.joining.retain(|joining| !joining.5.is_closed());
        self.latest.retain(|reply| !reply.is_closed());
        self.subscribe(now);
        self.create();
        self.look_for_workers();
        for log in LOGS {
            self.read_gap(log, now);
        }
        let is_idle = self.fanout.is_empty() && self.joining.is_empty() && self.latest.is_empty();
        self.idle_since = match (is_idle, self.idle_since) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, since) => since,
        };
    }

    /// When something is due without anything else happening.
    fn deadline(&self) -> Option<Duration> {
        let linger = self.streams.shared().bounds.feed_linger;
        let idle = self.idle_since.map(|since| since + linger);
        let wants = |log: &Log| {
            let reads = &self.reads[*log as usize];
            self.feed.log(*log).wanted().is_some() && !reads.is_reading
        };
        let reads = LOGS.iter().filter(|log| wants(log));
        let reads = reads.map(|log| self.reads[*log as usize].at);
        let connection = *self.connection.borrow();
        let is_subscribed = self.subscribed == Some((connection, self.fanout.highest_hz()));
        let asks = !self.is_asking && connection.is_up && !is_subscribed;
        let again = asks.then(|| self.ask_due(connection));
        (reads
            .chain(self.fanout.poll_timeout())
            .chain(idle)
            .chain(again))
        .min()
    }

    fn handle_timeout(&mut self, is_unasked: bool) {
        let now = self.now();
        self.fanout.handle_timeout(now);
        let linger = self.streams.shared().bounds.feed_linger;
        let is_due = self.idle_since.is_some_and(|since| now >= since + linger);
        // What asks for something now is served.
        self.is_over |= is_due && is_unasked;
    }

    fn handle_connection(&mut self) {
        self.connection.borrow_and_update();
        self.feed.handle_lost();
        self.subscribed = None;
        self.ask_at = Duration::ZERO;
    }

    fn handle_frame(&mut self, frame: Frame) {
        if let Err(error) = self.feed.handle_frame(frame) {
            self.streams.shared().metrics.bad_frame();
            warn!(simulation = %self.simulation, %error, "a frame has no effect");
        }
    }

    /// Tells the clients what the feed has for them.
    pub(crate) fn tell(&mut self) {
        while let Some(output) = self.feed.poll() {
            match output {
                FeedOutput::Tick(tick) => {
                    for reply in self.latest.drain(..) {
                        let _ = reply.send(Ok(tick.clone()));
                    }
                    let now = self.now();
                    self.fanout.handle_tick(tick, now);
                }
                FeedOutput::Event(message) => self.fanout.handle_event(&message),
                FeedOutput::Missing(missing) => self.fanout.handle_missing(missing),
                FeedOutput::NewEpoch { begin, void } => {
                    if let (Some(info), Some(index)) = (self.feed.info(), self.feed.index()) {
                        let hello = self.hello(info, index, &begin);
                        self.fanout.begin_epoch(&hello, void);
                    }
                }
                FeedOutput::Overrun => self.subscribed = None,
                FeedOutput::Deleted => {
                    self.fanout.close_all(Close::Deleted);
                    self.is_over = true;
                }
            }
        }
    }

    /// Takes nothing more, and tells the orchestrator before the next feed of the simulation can begin.
    async fn end(mut self, mut requests: mpsc::Receiver<FeedRequest>) {
        requests.close();
        self.fail_joining(|| JoinError::Timeout);
        // Who asked too late asks the next feed.
        while requests.try_recv().is_ok() {}
        self.work.abort_all();
        if self.has_asked {
            let ask = Ask::Unsubscribe(self.simulation);
            // A connection that is gone has no subscriptions.
            let _ = self.streams.shared().client.ask(0, None, ask).await;
        }
    }
}

impl Drop for FeedTask {
    fn drop(&mut self) {
        self.fanout.close_all(Close::Failed);
        self.streams.shared().metrics.feeds(-1);
    }
}
