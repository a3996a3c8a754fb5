//! The loop of one simulation's feed: frames and clients' requests in, messages into mailboxes out. It asks,
//! reads and lays out in tasks of their own, and never waits for a client.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kernel::config::ConfigError;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{debug, warn};
use transport::control::{
    Answer, Ask, EpochBegin, Log, LogEvent, RefusalKind, SimulationId, SimulationInfo, Subscribed,
};
use transport::frame::Frame;

use crate::access::LOCAL_TOKEN;
use crate::client::AskError;
use crate::creation::{Creation, CreationError};
use crate::event_log::CatchUp;
use crate::fanout::{ClientId, Fanout};
use crate::feed::{Feed, FeedOutput};
use crate::latest::NoView;
use crate::mailbox::{Close, Mailbox, Outgoing};
use crate::past::PastError;
use crate::stream_json::Begin;
use crate::stream_limits::{PAST_PAGE, PAST_RETRY, RATE_PAUSE, SUBSCRIBE_RETRY};
use crate::stream_request::Resume;
use crate::streams::{Connection, JoinError, Streams};
use crate::view_index::ViewIndex;
use crate::view_setting::{Subprotocol, Wish};
use crate::view_tick::ViewTick;
use crate::{stream_binary, stream_json};

/// Frames that are taken in one turn of the loop.
const MAX_BATCH: usize = 64;

/// What clients ask of a feed.
pub(crate) enum FeedRequest {
    /// A client comes.
    Join {
        /// Its name.
        id: ClientId,
        /// What will wait for it.
        mailbox: Arc<Mailbox>,
        /// How it reads.
        subprotocol: Subprotocol,
        /// What it wants to see.
        wish: Wish,
        /// Where the events begin that it wants.
        from: Resume,
        /// Told once it is in.
        reply: oneshot::Sender<Result<Joined, JoinError>>,
    },
    /// A client wants another view.
    Change(ClientId, Wish),
    /// A client that is behind has taken all that was there, and wants these next of the two logs.
    Attach {
        /// Which.
        id: ClientId,
        /// Seqs.
        next: [u64; 2],
        /// Told what comes next.
        reply: oneshot::Sender<Attach>,
    },
    /// A client goes.
    Leave(ClientId),
    /// The newest tick is wanted, once there is one.
    Latest {
        /// Told the tick, or why there is none.
        reply: oneshot::Sender<Result<Arc<ViewTick>, NoView>>,
    },
}

/// A client is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    /// Next events it wants, if those are not the ones that happen next.
    pub(crate) behind: Option<[u64; 2]>,
}

/// What a client that is behind gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// It is behind no longer: what happens now it is told.
    Live,
    /// Events were put into its mailbox; it wants these next.
    More([u64; 2]),
    /// Events of a log before this one are to be read from the database; it wants these next.
    Past(Log, u64, [u64; 2]),
    /// It is no client any more.
    Gone,
}

/// The logs, in the order of every pair of seqs.
const LOGS: [Log; 2] = [Log::Sim, Log::System];

/// What a task of the feed's has done.
enum Done {
    Subscribed(Connection, u32, Result<Box<Subscribed>, AskError>),
    Indexed(Result<ViewIndex, ConfigError>),
    Created(u32, Result<Creation, CreationError>),
    /// How many workers may be given work, if that is known.
    Workers(Option<usize>),
    Read(Log, u64, Result<Vec<LogEvent>, PastError>),
}

type Joining = (
    ClientId,
    Arc<Mailbox>,
    Subprotocol,
    Wish,
    Resume,
    oneshot::Sender<Result<Joined, JoinError>>,
);

struct FeedTask {
    streams: Streams,
    simulation: SimulationId,
    start: Instant,
    feed: Feed,
    fanout: Fanout,
    connection: watch::Receiver<Connection>,
    overrun: Arc<AtomicBool>,
    work: JoinSet<Done>,
    /// The connection and rate that the orchestrator has been asked for.
    subscribed: Option<(Connection, u32)>,
    is_asking: bool,
    is_indexing: bool,
    is_creating: bool,
    /// Not before then is a subscription tried again.
    ask_at: Duration,
    /// Not before then is another rate asked for.
    rate_at: Duration,
    reads: [Reads; 2],
    /// Clients that come before it is known where they begin.
    joining: Vec<Joining>,
    latest: Vec<oneshot::Sender<Result<Arc<ViewTick>, NoView>>>,
    /// For those of them it was looked whether a worker is there.
    has_looked: bool,
    ids: Option<Bytes>,
    /// Since when nobody is here.
    idle_since: Option<Duration>,
    is_over: bool,
}

/// Reading one log's gap from the database.
#[derive(Default)]
struct Reads {
    is_reading: bool,
    /// Not before then is it looked for again.
    at: Duration,
    /// Since when the same event is looked for, and which.
    since: Option<(Duration, u64)>,
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

    fn now(&self) -> Duration {
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

    fn subscribe(&mut self, now: Duration) {
        let connection = *self.connection.borrow();
        let wanted = (connection, self.fanout.highest_hz());
        if self.is_asking
            || !connection.is_up
            || self.subscribed == Some(wanted)
            || now < self.ask_due(connection)
        {
            return;
        }
        if self.is_rate_change(connection) {
            self.rate_at = now + RATE_PAUSE;
        }
        self.is_asking = true;
        let (client, simulation) = (self.streams.shared().client.clone(), self.simulation);
        self.work.spawn(async move {
            let view_hz = wanted.1;
            let ask = Ask::Subscribe {
                simulation,
                view_hz,
            };
            let answered = match client.ask(0, None, ask).await {
                Ok(Answer::Subscribed(subscribed)) => Ok(subscribed),
                // Any other answer is none to this question.
                Ok(_) => Err(AskError::Disconnected),
                Err(error) => Err(error),
            };
            Done::Subscribed(wanted.0, view_hz, answered)
        });
    }

    /// Lays out what is shown of a simulation that was not started.
    fn create(&mut self) {
        let Some(info) = self.feed.info().filter(|_| self.feed.is_ready()) else {
            return;
        };
        if self.is_creating || !self.feed.is_created() {
            return;
        }
        self.is_creating = true;
        let (simulation, config) = (self.simulation, info.spec.config.clone());
        let epoch = self.feed.begin().epoch;
        self.work.spawn_blocking(move || {
            Done::Created(epoch, Creation::new(simulation, epoch, &config))
        });
    }

    /// Where somebody waits for a tick that only a worker can show, asks whether there is one.
    fn look_for_workers(&mut self) {
        if self.latest.is_empty() || self.has_looked || !self.feed.is_ready() {
            return;
        }
        if self.feed.info().is_some_and(|info| info.settled) {
            self.fail_latest(NoView::Ended);
        } else if !self.feed.is_created() {
            self.has_looked = true;
            let client = self.streams.shared().client.clone();
            self.work.spawn(async move {
                let answered = client.ask(LOCAL_TOKEN, None, Ask::Workers).await;
                Done::Workers(match answered {
                    Ok(Answer::Workers(workers)) => {
                        Some(workers.iter().filter(|w| w.state != "draining").count())
                    }
                    _ => None,
                })
            });
        }
    }

    fn fail_latest(&mut self, why: NoView) {
        for reply in self.latest.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Err(why));
        }
    }

    /// Whether a subscription that is not asked for yet would only change the rate of one that stands.
    fn is_rate_change(&self, connection: Connection) -> bool {
        self.subscribed.is_some_and(|(with, _)| with == connection)
    }

    /// When a subscription that is not the wanted one may be asked for.
    fn ask_due(&self, connection: Connection) -> Duration {
        match self.is_rate_change(connection) {
            true => self.ask_at.max(self.rate_at),
            false => self.ask_at,
        }
    }

    fn read_gap(&mut self, log: Log, now: Duration) {
        let reads = &mut self.reads[log as usize];
        let Some((from, _)) = self.feed.log(log).wanted() else {
            reads.since = None;
            return;
        };
        if reads.is_reading || now < reads.at {
            return;
        }
        if reads.since.is_none_or(|(_, seq)| seq != from) {
            reads.since = Some((now, from));
        }
        reads.is_reading = true;
        let (streams, simulation) = (self.streams.clone(), self.simulation);
        self.work.spawn(async move {
            let past = &streams.shared().past;
            let read = past.read(simulation, log, from, PAST_PAGE).await;
            Done::Read(log, from, read)
        });
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

    fn handle_done(&mut self, done: Done) {
        match done {
            Done::Subscribed(connection, hz, answered) => {
                self.is_asking = false;
                self.handle_subscribed(connection, hz, answered);
            }
            Done::Indexed(Ok(index)) => {
                self.feed.handle_index(Arc::new(index));
                for joining in std::mem::take(&mut self.joining) {
                    self.join(joining);
                }
            }
            Done::Indexed(Err(error)) => {
                warn!(simulation = %self.simulation, %error, "no views can be shown");
                self.fanout.close_all(Close::Failed);
                self.fail_joining(|| JoinError::Layout);
                self.is_over = true;
            }
            Done::Created(epoch, Ok(creation)) => {
                self.is_creating = false;
                if let Err(error) = self.feed.handle_creation(epoch, creation) {
                    warn!(simulation = %self.simulation, %error, "its creation is not shown");
                }
            }
            Done::Created(_, Err(error)) => {
                warn!(simulation = %self.simulation, %error, "its creation is not shown");
            }
            Done::Workers(Some(0)) => self.fail_latest(NoView::NoWorker),
            Done::Workers(_) => {}
            Done::Read(log, from, read) => self.handle_read(log, from, read),
        }
    }

    fn handle_subscribed(
        &mut self,
        connection: Connection,
        hz: u32,
        answered: Result<Box<Subscribed>, AskError>,
    ) {
        let now = self.now();
        if connection != *self.connection.borrow() {
            // It is known of another one already, which is asked next.
            self.ask_at = now;
            return;
        }
        match answered {
            Ok(subscribed) => {
                self.subscribed = Some((connection, hz));
                let config = subscribed.info.spec.config.clone();
                self.feed.handle_subscribed(connection.epoch, *subscribed);
                if self.feed.index().is_none() && !self.is_indexing {
                    self.is_indexing = true;
                    self.work
                        .spawn_blocking(move || Done::Indexed(ViewIndex::new(&config)));
                }
            }
            Err(AskError::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => {
                self.fanout.close_all(Close::Deleted);
                self.fail_joining(|| AskError::Refused(refusal.clone()).into());
                self.is_over = true;
            }
            Err(error) if self.feed.info().is_none() => {
                self.fail_joining(|| error.clone().into());
                self.is_over = true;
            }
            Err(error) => {
                debug!(simulation = %self.simulation, %error, "a subscription is tried again");
                self.ask_at = now + SUBSCRIBE_RETRY;
            }
        }
    }

    fn handle_read(&mut self, log: Log, from: u64, read: Result<Vec<LogEvent>, PastError>) {
        let now = self.now();
        let patience = self.streams.shared().bounds.past_patience;
        let reads = &mut self.reads[log as usize];
        reads.is_reading = false;
        let known = self.feed.log_mut(log);
        if known.wanted().is_none_or(|(wanted, _)| wanted != from) {
            return;
        }
        match read {
            Ok(events) if !events.is_empty() => {
                known.handle_past(events);
                if known.next() == from {
                    // It brought nothing: the same read at once would bring nothing again.
                    reads.at = now + PAST_RETRY;
                }
            }
            // It may not have been written yet.
            Ok(_) => {
                reads.at = now + PAST_RETRY;
                if reads
                    .since
                    .is_some_and(|(since, _)| now >= since + patience)
                {
                    known.give_up();
                }
            }
            Err(PastError::NoStore) => known.give_up(),
            // What is held back meanwhile is bounded.
            Err(PastError::Unavailable) => reads.at = now + PAST_RETRY,
        }
    }

    fn handle_request(&mut self, request: FeedRequest) {
        match request {
            FeedRequest::Join {
                id,
                mailbox,
                subprotocol,
                wish,
                from,
                reply,
            } => {
                let joining = (id, mailbox, subprotocol, wish, from, reply);
                if self.feed.is_ready() {
                    // What was told before it came is not for it.
                    self.tell();
                    self.join(joining);
                } else {
                    self.joining.push(joining);
                }
            }
            FeedRequest::Change(id, wish) => self.change(id, wish),
            FeedRequest::Attach { id, next, reply } => {
                self.tell();
                let attached = self.attach(id, next);
                let _ = reply.send(attached);
            }
            FeedRequest::Leave(id) => {
                self.fanout.leave(id);
                self.joining.retain(|joining| joining.0 != id);
            }
            FeedRequest::Latest { reply } => match self.feed.newest() {
                Some(tick) => drop(reply.send(Ok(tick.clone()))),
                None => {
                    self.latest.push(reply);
                    self.has_looked = false;
                }
            },
        }
    }

    fn join(&mut self, joining: Joining) {
        let (id, mailbox, subprotocol, wish, from, reply) = joining;
        if reply.is_closed() {
            return;
        }
        let (Some(info), Some(index)) = (self.feed.info(), self.feed.index()) else {
            return;
        };
        let most = self.streams.shared().bounds.streams_per_simulation;
        if self.fanout.len() >= most {
            let what = "streams of this simulation";
            let _ = reply.send(Err(JoinError::TooMany { what, most }));
            return;
        }
        let grant = match wish.grant(subprotocol, index.world_m) {
            Ok(grant) => grant,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
        };
        mailbox.put(Outgoing::Text(self.hello(info, index, &self.feed.begin())));
        if subprotocol == Subprotocol::Binary {
            let simulation = self.simulation;
            let ids = self
                .ids
                .get_or_insert_with(|| stream_binary::ids(simulation, index));
            mailbox.put(Outgoing::Binary(ids.clone()));
        }
        let now = self.now();
        let joined = self
            .fanout
            .join(id, mailbox.clone(), subprotocol, grant, now);
        if let Err(error) = joined {
            // Its first answer: there is room.
            let _ = mailbox.put_reply(stream_json::error(error.code(), &error.to_string()));
        }
        let void = from.epoch.and_then(|seen| self.feed.void_after(seen));
        let void = void.map_or([u64::MAX; 2], |void| seqs(&void));
        let next = [0, 1].map(|log| {
            let next = self.feed.log(LOGS[log]).next();
            from.seqs[log].unwrap_or(next).min(next).min(void[log])
        });
        let is_live = from.seqs == [None, None];
        if is_live {
            self.fanout.go_live(id);
        }
        let behind = (!is_live).then_some(next);
        if reply.send(Ok(Joined { behind })).is_err() {
            self.fanout.leave(id);
        }
    }

    fn hello(&self, info: &SimulationInfo, index: &ViewIndex, begin: &Begin) -> Bytes {
        let world = json!({
            "bounds_m": index.world_m,
            "sites": index.sites,
            "fields": index.fields,
        });
        let simulation = (self.streams.shared().show)(info);
        stream_json::hello(&simulation, &world, begin)
    }

    fn change(&mut self, id: ClientId, wish: Wish) {
        let (Some(index), Some(mailbox)) = (self.feed.index(), self.fanout.mailbox(id)) else {
            return;
        };
        let mailbox = mailbox.clone();
        // Each client reads in one way only; the fan-out knows which.
        let Some(subprotocol) = self.fanout.subprotocol(id) else {
            return;
        };
        let now = self.now();
        let changed = wish
            .grant(subprotocol, index.world_m)
            .and_then(|grant| self.fanout.change(id, grant, now).map(|()| grant));
        let answer = match changed {
            Ok(grant) => stream_json::view(&grant),
            Err(error) => stream_json::error(error.code(), &error.to_string()),
        };
        if mailbox.put_reply(answer).is_err() {
            self.fanout.leave(id);
        }
    }

    fn attach(&mut self, id: ClientId, mut next: [u64; 2]) -> Attach {
        let Some(mailbox) = self.fanout.mailbox(id) else {
            return Attach::Gone;
        };
        let mailbox = mailbox.clone();
        if let Some(void) = self.fanout.take_void(id) {
            let void = seqs(&void);
            next = [0, 1].map(|log| next[log].min(void[log]));
        }
        for log in LOGS {
            let wanted = &mut next[log as usize];
            match self.feed.log(log).catch_up(*wanted, PAST_PAGE) {
                CatchUp::Live => {}
                CatchUp::Past { before } => return Attach::Past(log, before, next),
                CatchUp::Recent {
                    events,
                    next: later,
                } => {
                    *wanted = later;
                    if events.iter().any(|event| mailbox.put_event(event).is_err()) {
                        self.streams.shared().metrics.event_close();
                        self.fanout.leave(id);
                        return Attach::Gone;
                    }
                    return Attach::More(next);
                }
            }
        }
        self.fanout.go_live(id);
        Attach::Live
    }

    /// Tells the clients what the feed has for them.
    fn tell(&mut self) {
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

    fn fail_joining(&mut self, error: impl Fn() -> JoinError) {
        for (.., reply) in self.joining.drain(..) {
            let _ = reply.send(Err(error()));
        }
    }

    /// Takes nothing more, and tells the orchestrator before the next feed of the simulation can begin.
    async fn end(mut self, mut requests: mpsc::Receiver<FeedRequest>) {
        requests.close();
        self.fail_joining(|| JoinError::Timeout);
        // Who asked too late asks the next feed.
        while requests.try_recv().is_ok() {}
        self.work.abort_all();
        if self.subscribed.is_some() {
            let ask = Ask::Unsubscribe(self.simulation);
            // A connection that is gone has no subscriptions.
            let _ = self.streams.shared().client.ask(0, None, ask).await;
        }
    }
}

/// The first events of both logs that are void.
fn seqs(void: &EpochBegin) -> [u64; 2] {
    [void.from_event, void.from_system_event]
}

impl Drop for FeedTask {
    fn drop(&mut self) {
        self.fanout.close_all(Close::Failed);
        self.streams.shared().metrics.feeds(-1);
    }
}
