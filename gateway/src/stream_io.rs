//! One client's stream on its socket: a task that reads, one that writes, and where the client is behind on
//! events, one that fetches them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::debug;
use transport::control::{Log, LogEvent, SimulationId};

use crate::access::LOCAL_TOKEN;
use crate::event_log::{EventMessage, Missing};
use crate::fanout::ClientId;
use crate::feed_request::{Attach, FeedRequest};
use crate::mailbox::{Close, Mailbox, Outgoing};
use crate::past::PastError;
use crate::socket::{Fault, Incoming, SocketReader, SocketWriter, Upgrading, WriteFailed};
use crate::stream_json;
use crate::stream_limits::{CLOSE_PATIENCE, PAST_PAGE, PAST_RETRY, StreamBounds, UPGRADE_PATIENCE};
use crate::stream_metrics::StreamMetrics;
use crate::stream_request::ClientMessage;
use crate::streams::{Stream, Streams};
use crate::view_setting::Subprotocol;

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadEnd {
    /// The client closed, or answered a close.
    Closed,
    /// The connection is gone, or nothing was heard of it.
    Gone,
}

/// How writing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteEnd {
    /// With a close frame.
    Closed,
    /// The client took nothing more.
    Gone,
}

/// Runs a client's stream to its end, which comes when the token that opened it is revoked, if not before.
pub(crate) async fn run(stream: Stream, upgrading: Upgrading, token: u64) {
    let opened = timeout(UPGRADE_PATIENCE, upgrading.open()).await;
    let Ok(Some((reader, writer))) = opened else {
        debug!(simulation = %stream.simulation, "an upgrade did not happen");
        return;
    };
    let shared = stream.streams.shared();
    let (bounds, metrics) = (shared.bounds, shared.metrics.clone());
    let hearing = Hearing {
        reader,
        id: stream.id,
        mailbox: stream.mailbox.clone(),
        requests: stream.requests.clone(),
        metrics: metrics.clone(),
        bounds,
    };
    let speaking = Speaking {
        writer,
        subprotocol: stream.subprotocol,
        mailbox: stream.mailbox.clone(),
        metrics,
        bounds,
    };
    let behind = stream.behind.map(|next| Behind {
        streams: stream.streams.clone(),
        simulation: stream.simulation,
        id: stream.id,
        mailbox: stream.mailbox.clone(),
        requests: stream.requests.clone(),
        next,
    });
    // Who is on the machine needs no token, so there is none to be revoked.
    let guarding = (token != LOCAL_TOKEN).then(|| {
        let (client, mailbox) = (shared.client.clone(), stream.mailbox.clone());
        tokio::spawn(async move {
            client.token_gone(token).await;
            mailbox.close(Close::TokenRevoked);
        })
    });
    // A read must not be given up in the middle, so it has a task of its own.
    let mut reading = tokio::spawn(hearing.run());
    let mut writing = tokio::spawn(speaking.run());
    let fetching = behind.map(|behind| tokio::spawn(behind.run()));
    tokio::select! {
        end = &mut reading => {
            if matches!(end, Ok(ReadEnd::Closed)) {
                // It has a moment for the answer to its close.
                let _ = timeout(CLOSE_PATIENCE, &mut writing).await;
            }
        }
        end = &mut writing => {
            if matches!(end, Ok(WriteEnd::Closed)) {
                // And this side for the answer to its own.
                let _ = timeout(CLOSE_PATIENCE, &mut reading).await;
            }
        }
    }
    reading.abort();
    writing.abort();
    for task in [fetching, guarding].into_iter().flatten() {
        task.abort();
    }
    drop(stream);
}

/// Hears what a client says.
struct Hearing {
    reader: SocketReader,
    id: ClientId,
    mailbox: Arc<Mailbox>,
    requests: mpsc::Sender<FeedRequest>,
    metrics: StreamMetrics,
    bounds: StreamBounds,
}

impl Hearing {
    async fn run(mut self) -> ReadEnd {
        loop {
            let heard = timeout(self.bounds.idle_patience, self.reader.next()).await;
            match heard {
                Ok(Ok(Incoming::Text(text))) => self.message(&text).await,
                Ok(Ok(Incoming::Ping(payload))) => self.mailbox.put_pong(payload),
                Ok(Ok(Incoming::Pong)) => {}
                Ok(Ok(Incoming::Close)) => {
                    self.mailbox.close(Close::Answered);
                    return ReadEnd::Closed;
                }
                Ok(Err(Fault::Close(close))) => {
                    self.mailbox.close(close);
                    self.reader.drain().await;
                    return ReadEnd::Closed;
                }
                Ok(Err(Fault::Gone)) => return ReadEnd::Gone,
                Err(_) => {
                    self.metrics.idle_drop();
                    return ReadEnd::Gone;
                }
            }
        }
    }

    async fn message(&mut self, text: &str) {
        match ClientMessage::parse(text) {
            Ok(ClientMessage::Ping) => {
                // Where too many answers wait, the client is being closed.
                let _ = self.mailbox.put_reply(stream_json::pong());
            }
            Ok(ClientMessage::View(wish)) => {
                // A feed that has ended has closed its clients.
                let _ = self.requests.send(FeedRequest::Change(self.id, wish)).await;
            }
            Err(error) => {
                let message = stream_json::error("bad_message", &error.to_string());
                let _ = self.mailbox.put_reply(message);
            }
        }
    }
}

/// Says to a client what waits for it.
struct Speaking {
    writer: SocketWriter,
    subprotocol: Subprotocol,
    mailbox: Arc<Mailbox>,
    metrics: StreamMetrics,
    bounds: StreamBounds,
}

impl Speaking {
    async fn run(mut self) -> WriteEnd {
        let mut pings = pings(self.bounds.ping_every);
        loop {
            let message = tokio::select! {
                message = self.mailbox.next() => message,
                _ = pings.tick() => Outgoing::Ping,
            };
            let close = match &message {
                Outgoing::Close(close) => Some(*close),
                _ => None,
            };
            let patience = match close {
                Some(_) => CLOSE_PATIENCE,
                None => self.bounds.write_patience,
            };
            match timeout(patience, self.say(message)).await {
                Ok(Ok(())) if close.is_some() => return WriteEnd::Closed,
                Ok(Ok(())) => {}
                Ok(Err(WriteFailed)) => return WriteEnd::Gone,
                Err(_) => {
                    self.metrics.write_drop();
                    return WriteEnd::Gone;
                }
            }
        }
    }

    async fn say(&mut self, message: Outgoing) -> Result<(), WriteFailed> {
        let bytes = match message {
            Outgoing::Text(text) => self.text(&text).await?,
            Outgoing::Event(event) => self.text(&event.text()).await?,
            Outgoing::Binary(bytes) => {
                self.writer.binary(&bytes).await?;
                bytes.len()
            }
            Outgoing::Tick { skipped, message } => {
                if skipped > 0 {
                    let told = self.text(&stream_json::lagged(skipped)).await?;
                    self.metrics.sent(self.subprotocol, told);
                }
                let bytes = message.bytes(&self.metrics, now_us).await;
                let started_at_us = message.tick.started_at_us;
                // The views go back to their pool before the client takes its time.
                drop(message);
                let started = Instant::now();
                match self.subprotocol {
                    Subprotocol::Json => self.writer.text(&bytes).await?,
                    Subprotocol::Binary => self.writer.binary(&bytes).await?,
                }
                let end_to_end_us = now_us().saturating_sub(started_at_us);
                let took = started.elapsed();
                self.metrics
                    .sent_tick(self.subprotocol, took, end_to_end_us);
                bytes.len()
            }
            Outgoing::Ping => return self.writer.ping().await,
            Outgoing::Pong(payload) => return self.writer.pong(&payload).await,
            Outgoing::Close(close) => return self.writer.close(close).await,
        };
        self.metrics.sent(self.subprotocol, bytes);
        Ok(())
    }

    async fn text(&mut self, text: &[u8]) -> Result<usize, WriteFailed> {
        self.writer.text(text).await?;
        Ok(text.len())
    }
}

fn pings(every: Duration) -> Interval {
    let mut pings = interval_at(tokio::time::Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

/// UNIX time, us.
fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// Fetches the events that a client asks for which happened before it came.
struct Behind {
    streams: Streams,
    simulation: SimulationId,
    id: ClientId,
    mailbox: Arc<Mailbox>,
    requests: mpsc::Sender<FeedRequest>,
    next: [u64; 2],
}

impl Behind {
    async fn run(mut self) {
        // What was fetched is taken by the client before more is, so that nothing piles up.
        while self.mailbox.drained().await {
            let (reply, answered) = tokio::sync::oneshot::channel();
            let (id, next) = (self.id, self.next);
            let attach = FeedRequest::Attach { id, next, reply };
            if self.requests.send(attach).await.is_err() {
                return;
            }
            match answered.await {
                Ok(Attach::More(next)) => self.next = next,
                Ok(Attach::Past(log, before, next)) => {
                    self.next = next;
                    if !self.fetch(log, before).await {
                        return;
                    }
                }
                Ok(Attach::Live | Attach::Gone) | Err(_) => return,
            }
        }
    }

    /// One page of a log; says whether to go on.
    async fn fetch(&mut self, log: Log, before: u64) -> bool {
        let since = Instant::now();
        let patience = self.streams.shared().bounds.past_patience;
        let from = self.next[log as usize];
        loop {
            let past = &self.streams.shared().past;
            let error = match past.read(self.simulation, log, from, PAST_PAGE).await {
                Ok(events) if !events.is_empty() => return self.take(log, before, events),
                Ok(_) => None,
                Err(error) => Some(error),
            };
            let is_late = since.elapsed() >= patience;
            match error {
                Some(PastError::Unavailable) if is_late => {
                    self.mailbox.close(Close::EventsUnavailable);
                    return false;
                }
                // It has no more of them, or never had any.
                Some(PastError::NoStore) => return self.take(log, before, Vec::new()),
                None if is_late => return self.take(log, before, Vec::new()),
                _ => sleep(PAST_RETRY).await,
            }
        }
    }

    /// Puts the events of a page into the mailbox that come before `before`; what the page leaves out is missing.
    fn take(&mut self, log: Log, before: u64, events: Vec<LogEvent>) -> bool {
        let next = &mut self.next[log as usize];
        let from = *next;
        for event in events.into_iter().take_while(|event| event.seq < before) {
            if event.seq < *next {
                continue;
            }
            tell_missing(&self.mailbox, log, *next, event.seq);
            *next = event.seq + 1;
            if self.mailbox.put_event(&EventMessage::new(event)).is_err() {
                self.streams.shared().metrics.event_close();
                return false;
            }
        }
        if *next == from {
            tell_missing(&self.mailbox, log, from, before);
            *next = before;
        }
        true
    }
}

/// Tells a client that events from `from` to before `until` are missing, if there are any.
fn tell_missing(mailbox: &Mailbox, log: Log, from: u64, until: u64) {
    if from < until {
        let to = until - 1;
        mailbox.put_missing(Missing { log, from, to });
    }
}
