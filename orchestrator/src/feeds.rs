//! What gateways are told of runs: of each run one feed, however many listen. Its frames are encoded once.
//!
//! A feed says what is new as soon as it is, but no more often than once in [`PUBLISH_EVERY`]; a tick
//! that a view belongs to is said at once, for the two are to be shown together. What waits is said
//! when the time is over, whether anything else happens or not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use transport::control::{LogEvent, SimulationId};
use transport::frame::Frame;
use transport::link::PeerId;

use crate::chronicle::event_bytes;
use crate::limits::{MAX_PUBLISHED_EVENT_BYTES, PUBLISH_EVERY};
use crate::view_flow::{Passage, ViewFlow};

/// What waits to be said of a run.
#[derive(Debug, Default)]
struct Feed {
    /// Views a second that each wants, 0 for none, and which of them go to it.
    listeners: BTreeMap<PeerId, (u32, ViewFlow)>,
    events: Vec<LogEvent>,
    /// When the newest tick was to begin.
    started_at: Duration,
    has_view: bool,
    sent_at: Option<Duration>,
    /// When it is to be said; `None` while nothing is new.
    due_at: Option<Duration>,
}

/// What is to be said now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Events, as many as go into one frame each; at least one part, perhaps of none.
    pub(crate) parts: Vec<Vec<LogEvent>>,
    pub(crate) started_at: Duration,
    pub(crate) has_view: bool,
}

/// All feeds that someone listens to.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    feeds: BTreeMap<SimulationId, Feed>,
    due: BTreeSet<(Duration, SimulationId)>,
}

impl Feeds {
    /// Whether someone listens.
    pub(crate) fn has(&self, id: SimulationId) -> bool {
        self.feeds.contains_key(&id)
    }

    /// Who listens.
    pub(crate) fn listeners(&self, id: SimulationId) -> impl Iterator<Item = PeerId> {
        let feed = self.feeds.get(&id);
        feed.into_iter().flat_map(|f| f.listeners.keys().copied())
    }

    /// Who listens to what, all in all.
    pub(crate) fn subscriptions(&self) -> usize {
        self.feeds.values().map(|feed| feed.listeners.len()).sum()
    }

    /// One listens from now on, or with another rate of views than before.
    pub(crate) fn listen(&mut self, id: SimulationId, peer: PeerId, view_hz: u32) {
        let feed = self.feeds.entry(id).or_default();
        feed.listeners.insert(peer, (view_hz, ViewFlow::default()));
    }

    /// One does not any more; answers whether it did.
    pub(crate) fn leave(&mut self, id: SimulationId, peer: PeerId) -> bool {
        let Some(feed) = self.feeds.get_mut(&id) else {
            return false;
        };
        let did = feed.listeners.remove(&peer).is_some();
        if feed.listeners.is_empty() {
            self.close(id);
        }
        did
    }

    /// What one listens to.
    pub(crate) fn of(&self, peer: PeerId) -> Vec<SimulationId> {
        let listens = |(_, feed): &(&SimulationId, &Feed)| feed.listeners.contains_key(&peer);
        self.feeds
            .iter()
            .filter(listens)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Nothing more is said of a run.
    pub(crate) fn close(&mut self, id: SimulationId) {
        if let Some(feed) = self.feeds.remove(&id)
            && let Some(at) = feed.due_at
        {
            self.due.remove(&(at, id));
        }
    }

    /// Most views a second that anyone wants; `None` for nobody.
    pub(crate) fn view_hz(&self, id: SimulationId) -> Option<u32> {
        let listeners = &self.feeds.get(&id)?.listeners;
        let most = listeners.values().map(|(view_hz, _)| *view_hz).max()?;
        (most > 0).then_some(most)
    }

    /// A partition's view came; answers to whom it goes now, and for how many another tick that waited never goes.
    pub(crate) fn view(&mut self, view: &Frame) -> (Vec<PeerId>, u64) {
        let (mut to, mut skips) = (Vec::new(), 0);
        let feed = self.feeds.get_mut(&view.header.simulation);
        let listeners = feed.into_iter().flat_map(|f| &mut f.listeners);
        for (peer, (_, flow)) in listeners.filter(|(_, (view_hz, _))| *view_hz > 0) {
            match flow.handle_view(view) {
                Passage::Now => to.push(*peer),
                Passage::Displaces => skips += 1,
                Passage::Waits | Passage::Never => {}
            }
        }
        (to, skips)
    }

    /// One has a tick's views; answers what goes to it now.
    pub(crate) fn taken(&mut self, id: SimulationId, peer: PeerId, tick: u64) -> Vec<Frame> {
        let feed = self.feeds.get_mut(&id);
        // Its word may come after it stopped listening.
        let flow = feed.and_then(|feed| feed.listeners.get_mut(&peer));
        flow.map_or_else(Vec::new, |(_, flow)| flow.handle_taken(tick))
    }

    /// A tick is complete.
    pub(crate) fn tick(
        &mut self,
        now: Duration,
        id: SimulationId,
        started_at: Duration,
        has_view: bool,
        events: &[LogEvent],
    ) {
        if let Some(feed) = self.feeds.get_mut(&id) {
            feed.started_at = started_at;
            feed.has_view = has_view;
            feed.events.extend_from_slice(events);
            self.news(now, id, has_view);
        }
    }

    /// An event of the system.
    pub(crate) fn event(&mut self, now: Duration, id: SimulationId, event: LogEvent) {
        if let Some(feed) = self.feeds.get_mut(&id) {
            feed.events.push(event);
            self.news(now, id, false);
        }
    }

    /// Something is new; it is said as soon as may be, `at_once` even before.
    pub(crate) fn news(&mut self, now: Duration, id: SimulationId, at_once: bool) {
        let Some(feed) = self.feeds.get_mut(&id) else {
            return;
        };
        let sent_at = feed.sent_at.filter(|_| !at_once);
        let at = sent_at.map_or(now, |at| (at + PUBLISH_EVERY).max(now));
        if feed.due_at.is_none_or(|due| due > at) {
            if let Some(before) = feed.due_at.replace(at) {
                self.due.remove(&(before, id));
            }
            self.due.insert((at, id));
        }
    }

    /// When something is to be said.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A run of which something is to be said now.
    pub(crate) fn due(&self, now: Duration) -> Option<SimulationId> {
        let (at, id) = self.due.first().copied()?;
        (at <= now).then_some(id)
    }

    /// What is to be said of a run; `None` where nobody listens.
    pub(crate) fn take(&mut self, now: Duration, id: SimulationId) -> Option<News> {
        let feed = self.feeds.get_mut(&id)?;
        if let Some(at) = feed.due_at.take() {
            self.due.remove(&(at, id));
        }
        feed.sent_at = Some(now);
        Some(News {
            parts: into_parts(std::mem::take(&mut feed.events)),
            started_at: feed.started_at,
            has_view: std::mem::take(&mut feed.has_view),
        })
    }

    /// Whether something of a run waits to be said.
    pub(crate) fn waits(&self, id: SimulationId) -> bool {
        self.feeds.get(&id).is_some_and(|f| f.due_at.is_some())
    }
}

/// Cuts events into parts that go into one frame each.
fn into_parts(events: Vec<LogEvent>) -> Vec<Vec<LogEvent>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for event in events {
        let more = event_bytes(&event);
        if bytes > 0 && bytes + more > MAX_PUBLISHED_EVENT_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        parts.last_mut().expect("one was pushed").push(event);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::control::Log;

    const MS: Duration = Duration::from_millis(1);
    const ID: SimulationId = SimulationId(7);

    fn event(seq: u64, entities: usize) -> LogEvent {
        LogEvent {
            seq,
            log: Log::Sim,
            tick: 1,
            kind: 1,
            site: 0,
            detail: 0,
            reason: 0,
            entities: vec![0; entities],
            text: String::new(),
        }
    }

    fn heard_by(peers: u64) -> Feeds {
        let mut feeds = Feeds::default();
        for peer in 0..peers {
            feeds.listen(ID, PeerId(peer), 10 * peer as u32);
        }
        feeds
    }

    #[test]
    fn ticks_are_said_together_a_hundred_times_a_second_and_the_last_one_too() {
        let mut feeds = heard_by(2);
        let (mut frames, mut seqs) = (0, Vec::new());
        let mut now = Duration::ZERO;
        for tick in 1..=1_000 {
            now = MS * tick;
            feeds.tick(now, ID, now, false, &[event(u64::from(tick), 1)]);
            while feeds.due(now).is_some() {
                frames += 1;
                let news = feeds.take(now, ID).unwrap();
                seqs.extend(news.parts.into_iter().flatten().map(|e| e.seq));
            }
        }
        assert!((99..=101).contains(&frames), "{frames}");
        let at = feeds.next_at().expect("the last ones wait");
        assert!(at <= now + PUBLISH_EVERY);
        let news = feeds.take(at, ID).unwrap();
        seqs.extend(news.parts.into_iter().flatten().map(|e| e.seq));
        assert!(seqs.iter().copied().eq(1..=1_000), "each once and in order");
        assert_eq!(feeds.next_at(), None);
    }

    #[test]
    fn a_tick_with_a_view_waits_for_nothing() {
        let mut feeds = heard_by(1);
        feeds.tick(MS, ID, MS, false, &[]);
        feeds.take(MS, ID).unwrap();
        feeds.tick(2 * MS, ID, 2 * MS, false, &[]);
        assert_eq!(feeds.due(2 * MS), None);
        feeds.tick(3 * MS, ID, 3 * MS, true, &[]);
        assert_eq!(feeds.due(3 * MS), Some(ID));
        assert!(feeds.take(3 * MS, ID).unwrap().has_view);
        feeds.tick(4 * MS, ID, 4 * MS, false, &[]);
        assert!(!feeds.take(14 * MS, ID).unwrap().has_view);
    }

    #[test]
    fn the_highest_rate_that_anyone_wants_counts_and_the_last_one_who_leaves_ends_it() {
        let mut feeds = heard_by(3);
        assert_eq!(feeds.view_hz(ID), Some(20));
        assert!(feeds.leave(ID, PeerId(2)));
        assert_eq!(feeds.view_hz(ID), Some(10));
        assert!(feeds.leave(ID, PeerId(1)));
        assert_eq!(feeds.view_hz(ID), None);
        feeds.event(MS, ID, event(1, 0));
        assert!(feeds.leave(ID, PeerId(0)) && !feeds.has(ID));
        assert_eq!(feeds.next_at(), None);
        assert!(!feeds.leave(ID, PeerId(0)));
    }

    #[test]
    fn no_part_is_larger_than_a_frame_holds() {
        let mut feeds = heard_by(1);
        let large = MAX_PUBLISHED_EVENT_BYTES / 4 / 2;
        let events: Vec<LogEvent> = (1..=5).map(|seq| event(seq, large)).collect();
        feeds.tick(MS, ID, MS, false, &events);
        let parts = feeds.take(MS, ID).unwrap().parts;
        assert_eq!(parts.len(), 5);
        assert!(parts.iter().flatten().map(|e| e.seq).eq(1..=5));
    }
}
