//! What waits for one client. Whoever has something for it never waits; the client's writer takes one
//! message at a time.
//!
//! A tick waits in a slot that a newer one takes over; how many were, the client is told. Everything else
//! waits in order, up to a named bound beyond which the client is closed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OnceCell};
use transport::control::{Log, SimulationId};

use crate::event_log::{EventMessage, Missing};
use crate::stream_limits::{MAX_CLIENT_EVENT_BYTES, MAX_CLIENT_REPLIES};
use crate::stream_metrics::StreamMetrics;
use crate::view_setting::{EventFilter, Subprotocol, ViewSetting};
use crate::view_tick::ViewTick;
use crate::{stream_binary, stream_json};

/// A tick for one setting and subprotocol, written by the first who sends it, for all.
#[derive(Debug)]
pub struct TickMessage {
    /// The tick.
    pub tick: Arc<ViewTick>,
    /// What of it.
    pub setting: ViewSetting,
    /// How.
    pub subprotocol: Subprotocol,
    bytes: OnceCell<Bytes>,
}

impl TickMessage {
    /// Not written yet.
    #[must_use]
    pub fn new(tick: Arc<ViewTick>, setting: ViewSetting, subprotocol: Subprotocol) -> Arc<Self> {
        Arc::new(TickMessage {
            tick,
            setting,
            subprotocol,
            bytes: OnceCell::new(),
        })
    }

    /// Its bytes; written now, and counted, if nobody has. `now_us` is asked for the UNIX time only then.
    pub async fn bytes(
        self: &Arc<Self>,
        metrics: &StreamMetrics,
        now_us: impl FnOnce() -> u64,
    ) -> Bytes {
        let write = || async {
            let started = std::time::Instant::now();
            let sent_at_us = now_us();
            let bytes = if self.is_large() {
                let message = self.clone();
                let written = tokio::task::spawn_blocking(move || message.write(sent_at_us));
                // It does not panic, and nobody aborts it.
                written.await.unwrap_or_default()
            } else {
                self.write(sent_at_us)
            };
            metrics.encoded(self.subprotocol, started.elapsed(), bytes.len());
            bytes
        };
        self.bytes.get_or_init(write).await.clone()
    }

    fn is_large(&self) -> bool {
        let all = self.tick.index.entities.len();
        all.min(self.setting.max_entities as usize) > crate::stream_limits::MAX_INLINE_ENTITIES
    }

    fn write(&self, sent_at_us: u64) -> Bytes {
        match self.subprotocol {
            Subprotocol::Json => stream_json::tick(&self.tick, &self.setting, sent_at_us),
            Subprotocol::Binary => stream_binary::tick(&self.tick, &self.setting, sent_at_us),
        }
    }

    /// Of which simulation.
    #[must_use]
    pub fn simulation(&self) -> SimulationId {
        self.tick.info.spec.id
    }
}

/// Why a stream is closed: WebSocket code and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The simulation was deleted.
    Deleted,
    /// The gateway is going away.
    GoingAway,
    /// The client closed it.
    Answered,
    /// A frame that is against the protocol.
    Protocol(&'static str),
    /// A binary message.
    NoBinary,
    /// A text that is no UTF-8.
    NoUtf8,
    /// A frame or message over its bound.
    TooBig(&'static str),
    /// More events wait than may.
    EventsBehind,
    /// More frames in a short time than may be.
    TooMany,
    /// The token that the stream was opened with, by itself or by a ticket, was revoked.
    TokenRevoked,
    /// Events that the client asked for cannot be read now.
    EventsUnavailable,
    /// The simulation cannot be followed any more.
    Failed,
}

impl Close {
    /// The code.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Close::Deleted | Close::Answered => 1000,
            Close::GoingAway => 1001,
            Close::Protocol(_) => 1002,
            Close::NoBinary => 1003,
            Close::NoUtf8 => 1007,
            Close::EventsBehind | Close::TooMany | Close::TokenRevoked => 1008,
            Close::TooBig(_) => 1009,
            Close::Failed => 1011,
            Close::EventsUnavailable => 1013,
        }
    }

    /// The reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Close::Deleted => "deleted",
            Close::Answered => "",
            Close::GoingAway => "going_away",
            Close::Protocol(what) | Close::TooBig(what) => what,
            Close::NoBinary => "no_binary",
            Close::NoUtf8 => "no_utf8",
            Close::EventsBehind => "events_behind",
            Close::TooMany => "too_many_messages",
            Close::TokenRevoked => "token_revoked",
            Close::Failed => "internal_error",
            Close::EventsUnavailable => "events_unavailable",
        }
    }
}

/// One message for a client.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// A text message.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// An event.
    Event(Arc<EventMessage>),
    /// A tick, not necessarily written yet, and how many gave way to it, which the client is told first. Both go together:
    /// between them a newer one would take its place, and what was told would not be true any more.
    Tick {
        /// Those that were skipped.
        skipped: u64,
        /// The tick.
        message: Arc<TickMessage>,
    },
    /// Asks whether the client is there.
    Ping,
    /// Answers a ping.
    Pong(Bytes),
    /// The last one.
    Close(Close),
}

/// More waits than may: the client is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// What waits for one client.
#[derive(Debug)]
pub struct Mailbox {
    most_events: usize,
    waiting: Mutex<Waiting>,
    /// Something came.
    came: Notify,
    /// No event waits any more.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    filter: EventFilter,
    /// In order, never skipped.
    queue: VecDeque<Outgoing>,
    queued_events: usize,
    queued_bytes: usize,
    replies: VecDeque<Bytes>,
    pong: Option<Bytes>,
    slot: Option<Arc<TickMessage>>,
    skipped: u64,
    close: Option<Close>,
    /// The close was taken: nothing follows.
    is_over: bool,
}

impl Mailbox {
    /// An empty one that holds at most so many events.
    #[must_use]
    pub fn new(most_events: usize) -> Mailbox {
        Mailbox {
            most_events,
            waiting: Mutex::default(),
            came: Notify::new(),
            drained: Notify::new(),
        }
    }

    /// Which events are taken from now on.
    pub fn set_filter(&self, filter: EventFilter) {
        self.lock().filter = filter;
    }

    /// Whether any event of a log is taken.
    pub fn takes_of(&self, log: Log) -> bool {
        self.lock().filter.takes_of(log)
    }

    /// A message that is neither skipped nor counted: hello or ids.
    pub fn put(&self, message: Outgoing) {
        let mut waiting = self.lock();
        if waiting.close.is_none() {
            waiting.queue.push_back(message);
            drop(waiting);
            self.came.notify_one();
        }
    }

    /// An event, if the filter lets it pass.
    ///
    /// # Errors
    /// [`Overflow`] where as many wait as may; the client is then being closed.
    pub fn put_event(&self, message: &Arc<EventMessage>) -> Result<(), Overflow> {
        let mut waiting = self.lock();
        if waiting.close.is_some() || !message.passes(waiting.filter) {
            return Ok(());
        }
        let bytes = waiting.queued_bytes + message.weight();
        let is_first = waiting.queued_events == 0;
        if !is_first
            && (waiting.queued_events >= self.most_events || bytes > MAX_CLIENT_EVENT_BYTES)
        {
            drop(waiting);
            self.close(Close::EventsBehind);
            return Err(Overflow);
        }
        waiting.queued_events += 1;
        waiting.queued_bytes = bytes;
        waiting.queue.push_back(Outgoing::Event(message.clone()));
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    /// That events are missing, if the filter would have let some of them pass.
    pub fn put_missing(&self, missing: Missing) {
        if self.takes_of(missing.log) {
            let (log, Missing { from, to, .. }) = (missing.log.name(), missing);
            self.put(Outgoing::Text(stream_json::events_missing(log, from, to)));
        }
    }

    /// A hello of a new epoch, in place of a tick of an older one.
    pub fn put_hello(&self, hello: Bytes) {
        drop(self.lock().slot.take());
        self.put(Outgoing::Text(hello));
    }

    /// The newest tick; says whether it took the place of another.
    pub fn put_tick(&self, message: Arc<TickMessage>) -> bool {
        let mut waiting = self.lock();
        if waiting.close.is_some() {
            return false;
        }
        let older = waiting.slot.replace(message);
        let is_skip = older.is_some();
        waiting.skipped += u64::from(is_skip);
        drop(waiting);
        drop(older);
        self.came.notify_one();
        is_skip
    }

    /// An answer to a message of the client.
    ///
    /// # Errors
    /// [`Overflow`] where as many wait as may; the client is then being closed.
    pub fn put_reply(&self, message: Bytes) -> Result<(), Overflow> {
        let mut waiting = self.lock();
        if waiting.replies.len() == MAX_CLIENT_REPLIES {
            drop(waiting);
            self.close(Close::TooMany);
            return Err(Overflow);
        }
        waiting.replies.push_back(message);
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    /// The answer to a ping; only the newest is kept.
    pub fn put_pong(&self, payload: Bytes) {
        self.lock().pong = Some(payload);
        self.came.notify_one();
    }

    /// Closes the stream. Only that a simulation was deleted waits for what is queued; of several the first counts.
    pub fn close(&self, close: Close) {
        let mut waiting = self.lock();
        if waiting.close.is_none() {
            waiting.close = Some(close);
            if close != Close::Deleted {
                let queue = std::mem::take(&mut waiting.queue);
                let slot = waiting.slot.take();
                drop(waiting);
                drop((queue, slot));
            }
        }
        self.came.notify_one();
        self.drained.notify_waiters();
    }

    /// Whether the stream is being closed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.lock().close.is_some()
    }

    /// The next message for the client, if one waits.
    pub fn take(&self) -> Option<Outgoing> {
        let mut waiting = self.lock();
        let next = waiting.next();
        let is_drained = waiting.queue.is_empty();
        drop(waiting);
        if is_drained {
            self.drained.notify_waiters();
        }
        next
    }

    /// The next message for the client. Only its writer waits here.
    pub async fn next(&self) -> Outgoing {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.came.notified().await;
        }
    }

    /// Waits until nothing is queued, or the stream is being closed; says whether it is not.
    pub async fn drained(&self) -> bool {
        loop {
            // Made before the look, so that what happens after the look wakes it.
            let drained = self.drained.notified();
            {
                let waiting = self.lock();
                if waiting.close.is_some() {
                    return false;
                }
                if waiting.queue.is_empty() {
                    return true;
                }
            }
            drained.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Outgoing> {
        if self.is_over {
            return None;
        }
        if let Some(close) = self.close
            && self.queue.is_empty()
            && self.slot.is_none()
        {
            self.is_over = true;
            return Some(Outgoing::Close(close));
        }
        if let Some(payload) = self.pong.take() {
            return Some(Outgoing::Pong(payload));
        }
        if let Some(message) = self.queue.pop_front() {
            if let Outgoing::Event(event) = &message {
                self.queued_events -= 1;
                self.queued_bytes -= event.weight();
            }
            return Some(message);
        }
        if let Some(reply) = self.replies.pop_front() {
            return Some(Outgoing::Text(reply));
        }
        let message = self.slot.take()?;
        let skipped = std::mem::take(&mut self.skipped);
        Some(Outgoing::Tick { skipped, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, event};
    use transport::control::event_kind;

    fn text(message: Option<Outgoing>) -> String {
        match message {
            Some(Outgoing::Text(bytes) | Outgoing::Binary(bytes)) => {
                String::from_utf8(bytes.to_vec()).unwrap()
            }
            Some(Outgoing::Event(event)) => format!("event {}", event.event.seq),
            Some(Outgoing::Tick { skipped, message }) => {
                format!("tick {}, {skipped} skipped", message.tick.info.tick)
            }
            Some(Outgoing::Close(close)) => format!("{} {}", close.code(), close.reason()),
            Some(Outgoing::Ping) => "ping".to_owned(),
            Some(Outgoing::Pong(_)) => "pong".to_owned(),
            None => "nothing".to_owned(),
        }
    }

    fn tick(sample: &mut Sample, n: u64) -> Arc<TickMessage> {
        TickMessage::new(sample.tick(n), ViewSetting::default(), Subprotocol::Json)
    }

    #[test]
    fn a_tick_that_waits_gives_way_to_a_newer_one_and_the_client_is_told() {
        let mut sample = Sample::weeding(24, 24);
        let mailbox = Mailbox::new(4);
        assert!(!mailbox.put_tick(tick(&mut sample, 1)));
        assert_eq!(text(mailbox.take()), "tick 1, 0 skipped");
        assert!(!mailbox.put_tick(tick(&mut sample, 2)));
        assert!(mailbox.put_tick(tick(&mut sample, 3)));
        assert!(mailbox.put_tick(tick(&mut sample, 4)));
        assert_eq!(text(mailbox.take()), "tick 4, 2 skipped");
        assert_eq!(text(mailbox.take()), "nothing");
    }

    #[test]
    fn events_come_before_a_tick_and_beyond_the_bound_the_client_is_closed() {
        let mut sample = Sample::weeding(24, 24);
        let mailbox = Mailbox::new(2);
        mailbox.set_filter(EventFilter::All);
        mailbox.put_tick(tick(&mut sample, 1));
        for seq in 1..=2 {
            let message = EventMessage::new(event(Log::Sim, seq));
            assert_eq!(mailbox.put_event(&message), Ok(()));
        }
        assert_eq!(text(mailbox.take()), "event 1");
        let put = |seq| mailbox.put_event(&EventMessage::new(event(Log::Sim, seq)));
        assert_eq!((put(3), put(4)), (Ok(()), Err(Overflow)));
        assert_eq!(text(mailbox.take()), "1008 events_behind");
        assert_eq!(text(mailbox.take()), "nothing");
        assert_eq!(put(5), Ok(()));
        assert_eq!(text(mailbox.take()), "nothing");
    }

    #[test]
    fn a_filter_lets_pass_what_it_names() {
        let mailbox = Mailbox::new(9);
        let lifecycle = EventMessage::new(event(Log::System, 1));
        let mut late = event(Log::System, 2);
        late.kind = event_kind::SYSTEM;
        let late = EventMessage::new(late);
        let transition = EventMessage::new(event(Log::Sim, 1));
        for (filter, wanted) in [
            (EventFilter::None, 0),
            (EventFilter::Lifecycle, 1),
            (EventFilter::System, 2),
            (EventFilter::All, 3),
        ] {
            mailbox.set_filter(filter);
            mailbox.put_event(&lifecycle).unwrap();
            mailbox.put_event(&late).unwrap();
            mailbox.put_event(&transition).unwrap();
            let taken = std::iter::from_fn(|| mailbox.take()).count();
            assert_eq!(taken, wanted);
        }
    }

    #[test]
    fn a_deleted_simulations_last_words_come_before_its_end() {
        let mut sample = Sample::weeding(24, 24);
        let mailbox = Mailbox::new(9);
        mailbox
            .put_event(&EventMessage::new(event(Log::System, 1)))
            .unwrap();
        mailbox.put_tick(tick(&mut sample, 1));
        mailbox.close(Close::Deleted);
        mailbox.close(Close::GoingAway);
        assert_eq!(text(mailbox.take()), "event 1");
        assert_eq!(text(mailbox.take()), "tick 1, 0 skipped");
        assert_eq!(text(mailbox.take()), "1000 deleted");
        let going = Mailbox::new(9);
        going.put_tick(tick(&mut sample, 1));
        going.close(Close::GoingAway);
        assert_eq!(text(going.take()), "1001 going_away");
    }

    #[test]
    fn answers_to_a_client_that_takes_none_are_bounded() {
        let mailbox = Mailbox::new(9);
        for _ in 0..MAX_CLIENT_REPLIES {
            assert_eq!(mailbox.put_reply(stream_json::pong()), Ok(()));
        }
        assert_eq!(mailbox.put_reply(stream_json::pong()), Err(Overflow));
        assert_eq!(text(mailbox.take()), "1008 too_many_messages");
    }
}
