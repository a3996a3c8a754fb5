//! One log of one simulation as a gateway knows it: recent events, in order, and which ones it lacks.
//!
//! A state machine without I/O. Events come by [`EventLog::push`] in order of their numbers; where one is
//! left out, those after it are held back, [`EventLog::wanted`] says which are to be read from the database,
//! and [`EventLog::handle_past`] takes them. What is told, by [`EventLog::poll`], has no gap that is not itself told.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use transport::control::{Log, LogEvent, event_kind};

use crate::stream_limits::{MAX_HELD_EVENTS, MAX_RING_BYTES};
use crate::view_setting::EventFilter;

/// An event, written once for all clients.
#[derive(Debug)]
pub struct EventMessage {
    /// The event.
    pub event: LogEvent,
    text: OnceLock<Bytes>,
}

impl EventMessage {
    /// Of an event.
    #[must_use]
    pub fn new(event: LogEvent) -> Arc<EventMessage> {
        let text = OnceLock::new();
        Arc::new(EventMessage { event, text })
    }

    /// As clients get it.
    pub fn text(&self) -> Bytes {
        let text = self
            .text
            .get_or_init(|| crate::stream_json::event(&self.event));
        text.clone()
    }

    /// About as many bytes as it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        256 + self.event.entities.len() * 8 + self.event.text.len()
    }

    /// Whether a client with such a filter gets it.
    #[must_use]
    pub fn passes(&self, filter: EventFilter) -> bool {
        match filter {
            EventFilter::None => false,
            EventFilter::Lifecycle => self.event.kind == event_kind::LIFECYCLE,
            EventFilter::System | EventFilter::All => filter.takes_of(self.event.log),
        }
    }
}

/// What is told next.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event.
    Event(Arc<EventMessage>),
    /// Events that can be had nowhere any more.
    Missing(Missing),
}

/// Events of a log that can be had nowhere any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The log.
    pub log: Log,
    /// Seq of the first.
    pub from: u64,
    /// Seq of the last.
    pub to: u64,
}

/// Where a reader of the log gets what it has not seen.
#[derive(Clone, Debug)]
pub enum CatchUp {
    /// It has seen all.
    Live,
    /// These are next, and then those from `next` on.
    Recent {
        /// In order.
        events: Vec<Arc<EventMessage>>,
        /// Seq after the last of them.
        next: u64,
    },
    /// Those before `before` are held no longer: the database has them, if anything has.
    Past {
        /// Seq of the oldest event held, or of the next one.
        before: u64,
    },
}

/// One log.
#[derive(Debug)]
pub struct EventLog {
    log: Log,
    most: usize,
    /// Consecutive events, the newest last: all from the first of them to before `next`.
    ring: VecDeque<Arc<EventMessage>>,
    ring_bytes: usize,
    /// Seq of the next event to be told.
    next: u64,
    /// Newest seq there is, as far as is known.
    last: u64,
    /// Later than `next`, ascending.
    held: VecDeque<LogEvent>,
    out: VecDeque<Told>,
}

impl EventLog {
    /// A log of which nothing is known, that keeps at most `most` events.
    #[must_use]
    pub fn new(log: Log, most: usize) -> EventLog {
        EventLog {
            log,
            most,
            ring: VecDeque::new(),
            ring_bytes: 0,
            next: 1,
            last: 0,
            held: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Seq of the next event to be told.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// A first subscription begins: what is older than it is nobody's who reads live.
    pub fn begin(&mut self, unflushed: Vec<LogEvent>, last: u64) {
        self.last = last;
        self.next = unflushed.first().map_or(last + 1, |event| event.seq);
        self.extend(unflushed);
        // Nobody has heard of anything yet: what is told now is only kept.
        self.out.clear();
    }

    /// A later subscription begins, up to event `last`.
    pub fn resume(&mut self, unflushed: Vec<LogEvent>, last: u64) {
        self.last = self.last.max(last);
        self.extend(unflushed);
    }

    /// Events from this one on are void: they are told again as they come to be.
    pub fn void(&mut self, from: u64) {
        while (self.ring.back()).is_some_and(|message| message.event.seq >= from) {
            let dropped = self.ring.pop_back();
            self.ring_bytes -= dropped.map_or(0, |message| message.weight());
        }
        self.next = self.next.min(from);
        self.held.retain(|event| event.seq < from);
        self.last = self.last.min(from - 1);
    }

    /// Events come, in order.
    pub fn extend(&mut self, events: Vec<LogEvent>) {
        for event in events {
            self.push(event);
        }
    }

    /// An event comes. One that was told already is nothing new.
    pub fn push(&mut self, event: LogEvent) {
        let newest = self.held.back().map_or(self.next - 1, |held| held.seq);
        if event.seq <= newest {
            return;
        }
        self.last = self.last.max(event.seq);
        if event.seq == self.next {
            self.tell(event);
            return;
        }
        if self.held.len() == MAX_HELD_EVENTS {
            self.give_up();
        }
        self.held.push_back(event);
        self.tell_held();
    }

    /// First and last seq of what has to be read from the database before anything else can be told.
    #[must_use]
    pub fn wanted(&self) -> Option<(u64, u64)> {
        let before = self.held.front().map_or(self.last + 1, |held| held.seq);
        (self.next < before).then_some((self.next, before - 1))
    }

    /// Events read from the database from the first wanted one on. Those that it left out it has no more.
    pub fn handle_past(&mut self, events: Vec<LogEvent>) {
        for event in events {
            let Some((from, to)) = self.wanted() else {
                break;
            };
            if event.seq < from {
                continue;
            }
            if event.seq > to {
                // It belongs to what is held. What is older than it and was not read will never be.
                self.miss_until(to + 1);
                break;
            }
            self.miss_until(event.seq);
            self.tell(event);
        }
        self.tell_held();
    }

    /// The database does not have what is wanted, nor will it.
    pub fn give_up(&mut self) {
        if let Some((_, to)) = self.wanted() {
            self.miss_until(to + 1);
            self.tell_held();
        }
    }

    /// What is told next.
    pub fn poll(&mut self) -> Option<Told> {
        self.out.pop_front()
    }

    /// What a reader gets next that wants all from seq `from` on, at most `most` at a time.
    #[must_use]
    pub fn catch_up(&self, from: u64, most: usize) -> CatchUp {
        if from >= self.next {
            return CatchUp::Live;
        }
        let oldest = self.next - self.ring.len() as u64;
        if from < oldest {
            return CatchUp::Past { before: oldest };
        }
        let skipped = (from - oldest) as usize;
        let events: Vec<_> = self.ring.iter().skip(skipped).take(most).cloned().collect();
        let next = from + events.len() as u64;
        CatchUp::Recent { events, next }
    }

    fn tell(&mut self, event: LogEvent) {
        debug_assert_eq!(event.seq, self.next);
        self.next += 1;
        let message = EventMessage::new(event);
        self.ring_bytes += message.weight();
        self.ring.push_back(message.clone());
        while self.ring.len() > self.most || self.ring_bytes > MAX_RING_BYTES {
            let Some(oldest) = self.ring.pop_front() else {
                break;
            };
            self.ring_bytes -= oldest.weight();
        }
        self.out.push_back(Told::Event(message));
    }

    fn tell_held(&mut self) {
        while (self.held.front()).is_some_and(|held| held.seq <= self.next) {
            let Some(event) = self.held.pop_front() else {
                return;
            };
            if event.seq == self.next {
                self.tell(event);
            }
        }
    }

    /// Whatever is before `seq` and was not told is missing.
    fn miss_until(&mut self, seq: u64) {
        if self.next < seq {
            self.out.push_back(Told::Missing(Missing {
                log: self.log,
                from: self.next,
                to: seq - 1,
            }));
            self.next = seq;
            // The ring holds consecutive events only.
            self.ring.clear();
            self.ring_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::event;

    fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<LogEvent> {
        seqs.into_iter().map(|seq| event(Log::Sim, seq)).collect()
    }

    /// Numbers of what is told; what is missing as the negative of its first and last.
    fn told(log: &mut EventLog) -> Vec<i64> {
        let mut all = Vec::new();
        while let Some(told) = log.poll() {
            match told {
                Told::Event(message) => all.push(message.event.seq.cast_signed()),
                Told::Missing(m) => all.extend([-m.from.cast_signed(), -m.to.cast_signed()]),
            }
        }
        all
    }

    fn begun(last: u64) -> EventLog {
        let mut log = EventLog::new(Log::Sim, 8);
        log.begin(Vec::new(), last);
        log
    }

    #[test]
    fn events_are_told_once_and_in_order() {
        let mut log = begun(4);
        log.extend(events([5, 6]));
        log.extend(events([6, 7]));
        assert_eq!(told(&mut log), [5, 6, 7]);
        assert_eq!(log.wanted(), None);
    }

    #[test]
    fn what_was_not_flushed_when_it_began_is_kept_for_those_who_resume() {
        let mut log = EventLog::new(Log::Sim, 8);
        log.begin(events([3, 4]), 4);
        assert_eq!((told(&mut log), log.next()), (vec![], 5));
        let CatchUp::Recent { events, next } = log.catch_up(3, 1) else {
            panic!("it is held")
        };
        assert_eq!((events[0].event.seq, next), (3, 4));
        assert!(matches!(log.catch_up(2, 9), CatchUp::Past { before: 3 }));
        assert!(matches!(log.catch_up(5, 9), CatchUp::Live));
    }

    #[test]
    fn a_gap_is_read_from_the_database_while_what_follows_is_held_back() {
        let mut log = begun(4);
        log.resume(events([8]), 9);
        assert_eq!((told(&mut log), log.wanted()), (vec![], Some((5, 7))));
        log.push(event(Log::Sim, 10));
        log.handle_past(events([5, 6]));
        assert_eq!((told(&mut log), log.wanted()), (vec![5, 6], Some((7, 7))));
        log.handle_past(events([7, 8, 9, 10]));
        assert_eq!((told(&mut log), log.wanted()), (vec![7, 8], Some((9, 9))));
        log.handle_past(events([9]));
        assert_eq!((told(&mut log), log.wanted()), (vec![9, 10], None));
    }

    #[test]
    fn what_the_database_has_no_more_is_told_as_missing() {
        let mut log = begun(4);
        log.resume(Vec::new(), 9);
        log.handle_past(events([7, 8]));
        assert_eq!(told(&mut log), [-5, -6, 7, 8]);
        log.give_up();
        assert_eq!(told(&mut log), [-9, -9]);
        log.push(event(Log::Sim, 10));
        assert_eq!(told(&mut log), [10]);
        assert!(matches!(log.catch_up(9, 9), CatchUp::Past { before: 10 }));
    }

    #[test]
    fn a_gap_that_the_database_lacks_is_missing_though_it_reads_what_is_held() {
        let mut log = begun(4);
        log.resume(events([8]), 8);
        assert_eq!(log.wanted(), Some((5, 7)));
        log.handle_past(events([8]));
        assert_eq!((told(&mut log), log.wanted()), (vec![-5, -7, 8], None));
        // A part of the gap is there: only the rest is missing.
        log.resume(events([12]), 12);
        log.handle_past(events([10, 12]));
        assert_eq!(told(&mut log), [-9, -9, 10, -11, -11, 12]);
    }

    #[test]
    fn what_is_void_is_told_again_and_nothing_else_is() {
        let mut log = begun(4);
        log.extend(events([5, 6, 7, 8]));
        log.extend(events([10]));
        assert_eq!(
            (told(&mut log), log.wanted()),
            (vec![5, 6, 7, 8], Some((9, 9)))
        );
        log.void(7);
        assert_eq!((log.next(), log.wanted()), (7, None));
        log.resume(events([7]), 7);
        assert_eq!((told(&mut log), log.next()), (vec![7], 8));
        log.push(event(Log::Sim, 8));
        assert_eq!(told(&mut log), [8]);
        // What it has not come to is no concern of its.
        log.void(20);
        log.resume(events([7, 8]), 8);
        assert_eq!((told(&mut log), log.wanted()), (vec![], None));
    }

    #[test]
    fn the_ring_is_bounded_and_says_what_it_lacks() {
        let mut log = begun(0);
        log.extend(events(1..=100));
        assert!(matches!(log.catch_up(92, 9), CatchUp::Past { before: 93 }));
        let CatchUp::Recent { events, next } = log.catch_up(93, 100) else {
            panic!("it is held")
        };
        assert_eq!((events.len(), next), (8, 101));
    }
}
