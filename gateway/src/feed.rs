//! What is newest of one simulation, put together from what its orchestrator and workers send.
//!
//! A state machine without I/O. Call order: [`Feed::handle_subscribed`] where a subscription begins, with
//! [`Feed::handle_index`] once the index is made; then [`Feed::handle_frame`] for each frame, and
//! [`Feed::handle_lost`] where the connection is; after each of them [`Feed::poll`] until it gives nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use transport::control::{
    EpochBegin, Log, LogEvent, Published, SimulationInfo, Status, Subscribed,
};
use transport::frame::{Frame, FrameError};
use transport::header::Kind;

use crate::creation::Creation;
use crate::event_log::{EventLog, EventMessage, Missing, Told};
use crate::stream_json::Begin;
use crate::stream_limits::{MAX_HELD_FRAMES, MAX_PARTIAL_TICKS};
use crate::view_index::ViewIndex;
use crate::view_tick::{ViewTick, ViewTickError};

/// Published ticks whose views are not complete that are held; the oldest gives way. They are small.
const MAX_UNSEEN_TICKS: usize = 256;

/// Epoch and tick: what says which of two ticks is newer.
type Age = (u32, u64);

/// What the clients are to be told.
#[derive(Clone, Debug)]
pub enum FeedOutput {
    /// The newest tick, whole.
    Tick(Arc<ViewTick>),
    /// An event.
    Event(Arc<EventMessage>),
    /// Events that can be had nowhere any more.
    Missing(Missing),
    /// Another orchestrator, or the same started anew, has taken over.
    NewEpoch {
        /// Where what follows begins.
        begin: Begin,
        /// What of the older one's is void, if anything.
        void: Option<EpochBegin>,
    },
    /// It was deleted; nothing follows.
    Deleted,
    /// More came than can be held before it is known where the subscription begins.
    Overrun,
}

/// Why a frame has no effect.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// It is no valid frame of its kind.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It is no view of this simulation.
    #[error(transparent)]
    View(#[from] ViewTickError),
    /// It is of no partition that the simulation has.
    #[error("a view of partition {partition}, which the simulation does not have")]
    Partition {
        /// What it says.
        partition: u32,
    },
}

/// One simulation.
#[derive(Debug)]
pub struct Feed {
    index: Option<Arc<ViewIndex>>,
    /// Epoch of the newest subscription.
    epoch: u32,
    /// Where the newest epochs began.
    epochs: Vec<EpochBegin>,
    info: Option<SimulationInfo>,
    newest: Option<Arc<ViewTick>>,
    is_subscribed: bool,
    /// Published frames that came before it is known where the subscription begins.
    held: VecDeque<Frame>,
    /// Published ticks that have views.
    unseen: BTreeMap<Age, (SimulationInfo, u64)>,
    /// Views by partition.
    partial: BTreeMap<Age, BTreeMap<u32, Frame>>,
    sim: EventLog,
    system: EventLog,
    out: VecDeque<FeedOutput>,
}

impl Feed {
    /// Nothing is known; `most_events` of each log will be kept.
    #[must_use]
    pub fn new(most_events: usize) -> Feed {
        Feed {
            index: None,
            epoch: 0,
            epochs: Vec::new(),
            info: None,
            newest: None,
            is_subscribed: false,
            held: VecDeque::new(),
            unseen: BTreeMap::new(),
            partial: BTreeMap::new(),
            sim: EventLog::new(Log::Sim, most_events),
            system: EventLog::new(Log::System, most_events),
            out: VecDeque::new(),
        }
    }

    /// The simulation as it was told last.
    #[must_use]
    pub fn info(&self) -> Option<&SimulationInfo> {
        self.info.as_ref()
    }

    /// Whose the records are, once that is made.
    #[must_use]
    pub fn index(&self) -> Option<&Arc<ViewIndex>> {
        self.index.as_ref()
    }

    /// The newest whole tick.
    #[must_use]
    pub fn newest(&self) -> Option<&Arc<ViewTick>> {
        self.newest.as_ref()
    }

    /// Whether a client can be told where it begins.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.info.is_some() && self.index.is_some()
    }

    /// One of the logs.
    #[must_use]
    pub fn log(&self, log: Log) -> &EventLog {
        match log {
            Log::Sim => &self.sim,
            Log::System => &self.system,
        }
    }

    /// The same, to be told what the database has.
    pub fn log_mut(&mut self, log: Log) -> &mut EventLog {
        match log {
            Log::Sim => &mut self.sim,
            Log::System => &mut self.system,
        }
    }

    /// Where the events that follow begin.
    #[must_use]
    pub fn begin(&self) -> Begin {
        Begin {
            epoch: self.epoch,
            epochs: self.epochs.clone(),
            next_event: self.sim.next(),
            next_system_event: self.system.next(),
        }
    }

    /// What is void for whoever heard of epoch `seen` last; `None` for nothing.
    #[must_use]
    pub fn void_after(&self, seen: u32) -> Option<EpochBegin> {
        EpochBegin::void_after(&self.epochs, seen)
    }

    /// A subscription begins on a connection to an orchestrator of an epoch.
    pub fn handle_subscribed(&mut self, epoch: u32, subscribed: Subscribed) {
        let is_first = self.info.is_none();
        let is_new_epoch = !is_first && epoch > self.epoch;
        self.epochs = subscribed.epochs;
        if is_new_epoch {
            self.begin_epoch(epoch);
        }
        let (sim, system) = by_log(subscribed.unflushed);
        let (last_sim, last_system) = (subscribed.last_sim_seq, subscribed.last_system_seq);
        if is_first {
            self.sim.begin(sim, last_sim);
            self.system.begin(system, last_system);
        } else {
            self.sim.resume(sim, last_sim);
            self.system.resume(system, last_system);
        }
        self.epoch = self.epoch.max(epoch);
        let is_newer = |info: &SimulationInfo| is_new_epoch || subscribed.info.tick >= info.tick;
        if self.info.as_ref().is_none_or(is_newer) {
            self.info = Some(subscribed.info);
        }
        self.is_subscribed = true;
        for frame in std::mem::take(&mut self.held) {
            // It was validated before it was held.
            let _ = self.handle_frame(frame);
        }
    }

    /// Forgets what of an older epoch's is void.
    fn begin_epoch(&mut self, epoch: u32) {
        self.queue_events();
        let void = self.void_after(self.epoch);
        self.epoch = epoch;
        let from_tick = void.map_or(u64::MAX, |void| void.from_tick);
        if let Some(void) = void {
            self.sim.void(void.from_event);
            self.system.void(void.from_system_event);
        }
        let begin = self.begin();
        self.out.push_back(FeedOutput::NewEpoch { begin, void });
        let newest = self.newest.take();
        if let Some(stands) = newest.filter(|tick| tick.info.tick < from_tick) {
            // The newer epoch's too: nobody will show it again.
            let mut stands = ViewTick::clone(&stands);
            stands.epoch = epoch;
            self.show(stands);
        }
    }

    /// The records' machines are known.
    pub fn handle_index(&mut self, index: Arc<ViewIndex>) {
        self.index = Some(index);
        let ages: Vec<Age> = self.partial.keys().copied().collect();
        for age in ages {
            // A view that came before is refused like one that comes after.
            let _ = self.complete(age);
        }
    }

    /// Whether it was not started: then [`Feed::handle_creation`] shows it.
    #[must_use]
    pub fn is_created(&self) -> bool {
        let info = self.info.as_ref();
        info.is_some_and(|info| info.status == Status::Created) && self.newest.is_none()
    }

    /// How a simulation that was not started is created: that is its tick 0, unless it was shown since.
    ///
    /// # Errors
    /// [`FeedError`] where it has no effect.
    pub fn handle_creation(&mut self, epoch: u32, creation: Creation) -> Result<(), FeedError> {
        let (Some(index), Some(info)) = (self.index.clone(), &self.info) else {
            return Ok(());
        };
        if !self.is_news((epoch, 0)) {
            return Ok(());
        }
        let info = SimulationInfo {
            tick: 0,
            aggregate: creation.aggregate,
            ..info.clone()
        };
        let due_at = info.created_at_us;
        self.show(ViewTick::new(epoch, info, due_at, index, creation.frames)?);
        Ok(())
    }

    /// The connection is gone: what it would have told is told by the next.
    pub fn handle_lost(&mut self) {
        self.is_subscribed = false;
        self.held.clear();
        self.unseen.clear();
        self.partial.clear();
    }

    /// A frame came for this simulation.
    ///
    /// # Errors
    /// [`FeedError`] where it has no effect.
    pub fn handle_frame(&mut self, frame: Frame) -> Result<(), FeedError> {
        match frame.header.kind {
            Kind::View => self.handle_view(frame),
            _ if !self.is_subscribed => {
                frame.access::<Published>()?;
                if self.held.len() == MAX_HELD_FRAMES {
                    self.held.clear();
                    self.out.push_back(FeedOutput::Overrun);
                }
                self.held.push_back(frame);
                Ok(())
            }
            _ => self.handle_published(&frame),
        }
    }

    /// What the clients are to be told next.
    pub fn poll(&mut self) -> Option<FeedOutput> {
        // A new epoch is told before the events that come again with it.
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        let told = self.sim.poll().or_else(|| self.system.poll())?;
        Some(match told {
            Told::Event(message) => FeedOutput::Event(message),
            Told::Missing(missing) => FeedOutput::Missing(missing),
        })
    }

    fn handle_published(&mut self, frame: &Frame) -> Result<(), FeedError> {
        let epoch = frame.header.lease_epoch;
        let published: Published = frame.decode()?;
        if epoch < self.epoch {
            return Ok(());
        }
        let (sim, system) = by_log(published.events);
        self.sim.extend(sim);
        self.system.extend(system);
        let age = (epoch, published.info.tick);
        // One of an earlier connection may come after a later one began.
        let is_older =
            |info: &SimulationInfo| epoch == self.epoch && published.info.tick < info.tick;
        if !self.info.as_ref().is_some_and(is_older) {
            self.info = Some(published.info.clone());
        }
        if published.deleted != 0 {
            self.out_after_events(FeedOutput::Deleted);
        } else if published.has_view != 0 && self.is_news(age) {
            self.unseen
                .insert(age, (published.info, published.started_at_us));
            if self.unseen.len() > MAX_UNSEEN_TICKS {
                self.unseen.pop_first();
            }
            self.complete(age)?;
        }
        Ok(())
    }

    fn handle_view(&mut self, frame: Frame) -> Result<(), FeedError> {
        let age = (frame.header.lease_epoch, frame.header.tick);
        let partition = frame.header.partition;
        let partitions = self.index.as_ref().map(|index| index.partitions());
        if partitions.is_some_and(|partitions| partition as usize >= partitions) {
            return Err(FeedError::Partition { partition });
        }
        if !self.is_news(age) {
            return Ok(());
        }
        self.partial
            .entry(age)
            .or_default()
            .insert(partition, frame);
        if self.partial.len() > MAX_PARTIAL_TICKS {
            self.partial.pop_first();
        }
        self.complete(age)
    }

    fn is_news(&self, age: Age) -> bool {
        let newest = self.newest.as_ref();
        newest.is_none_or(|newest| age > (newest.epoch, newest.info.tick))
    }

    /// Puts a tick together if all of it is there.
    fn complete(&mut self, age: Age) -> Result<(), FeedError> {
        let (Some(index), Some(frames)) = (&self.index, self.partial.get(&age)) else {
            return Ok(());
        };
        if frames.len() < index.partitions() || !self.unseen.contains_key(&age) {
            return Ok(());
        }
        let index = index.clone();
        let later = self.partial.split_off(&(age.0, age.1 + 1));
        let frames = std::mem::replace(&mut self.partial, later).remove(&age);
        let later = self.unseen.split_off(&(age.0, age.1 + 1));
        let said = std::mem::replace(&mut self.unseen, later).remove(&age);
        let (Some(frames), Some((info, started_at_us))) = (frames, said) else {
            return Ok(());
        };
        let frames = frames.into_values().collect();
        self.show(ViewTick::new(age.0, info, started_at_us, index, frames)?);
        Ok(())
    }

    fn show(&mut self, tick: ViewTick) {
        let tick = Arc::new(tick);
        self.newest = Some(tick.clone());
        self.out_after_events(FeedOutput::Tick(tick));
    }

    /// Queues an output behind the events that were told before it.
    fn out_after_events(&mut self, output: FeedOutput) {
        self.queue_events();
        self.out.push_back(output);
    }

    /// Queues the events that were told.
    fn queue_events(&mut self) {
        while let Some(told) = self.sim.poll().or_else(|| self.system.poll()) {
            self.out.push_back(match told {
                Told::Event(message) => FeedOutput::Event(message),
                Told::Missing(missing) => FeedOutput::Missing(missing),
            });
        }
    }
}

fn by_log(events: Vec<LogEvent>) -> (Vec<LogEvent>, Vec<LogEvent>) {
    events.into_iter().partition(|event| event.log == Log::Sim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Sample, event, published, subscribed};

    fn begun(sample: &Sample) -> Feed {
        let mut feed = Feed::new(100);
        feed.handle_subscribed(1, subscribed(&sample.config, 0, &[]));
        feed.handle_index(sample.index.clone());
        feed
    }

    /// Ticks as numbers, events as negative ones, the rest by name.
    fn told(feed: &mut Feed) -> Vec<String> {
        std::iter::from_fn(|| feed.poll())
            .map(|output| match output {
                FeedOutput::Tick(tick) => format!("tick {}/{}", tick.epoch, tick.info.tick),
                FeedOutput::Event(m) => format!("{} {}", m.event.log.name(), m.event.seq),
                FeedOutput::Missing(m) => format!("missing {}..={}", m.from, m.to),
                FeedOutput::NewEpoch { begin, void } => {
                    let from = void.map(|v| [v.from_tick, v.from_event, v.from_system_event]);
                    let next = [begin.next_event, begin.next_system_event];
                    format!("epoch {}, void {from:?}, next {next:?}", begin.epoch)
                }
                FeedOutput::Deleted => "deleted".to_owned(),
                FeedOutput::Overrun => "overrun".to_owned(),
            })
            .collect()
    }

    fn give(feed: &mut Feed, frames: impl IntoIterator<Item = Frame>) {
        for frame in frames {
            feed.handle_frame(frame).unwrap();
        }
    }

    #[test]
    fn a_tick_is_whole_with_every_view_and_what_was_published_in_any_order() {
        let mut sample = Sample::dense(640, 97);
        let mut feed = begun(&sample);
        let views = sample.views(1, 5);
        give(&mut feed, views[1..].to_vec());
        give(&mut feed, [published(&sample.config, 1, 5, &[])]);
        assert_eq!(told(&mut feed), [""; 0]);
        give(&mut feed, views[..1].to_vec());
        assert_eq!(told(&mut feed), ["tick 1/5"]);
        give(&mut feed, [published(&sample.config, 1, 6, &[])]);
        give(&mut feed, sample.views(1, 6));
        assert_eq!(told(&mut feed), ["tick 1/6"]);
        // What is older, or the same, is nothing new.
        give(&mut feed, sample.views(1, 5));
        give(&mut feed, [published(&sample.config, 1, 5, &[])]);
        assert_eq!(
            (told(&mut feed).len(), feed.partial.len(), feed.unseen.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_tick_that_lacks_a_view_gives_way_to_a_newer_one() {
        let mut sample = Sample::dense(640, 97);
        let mut feed = begun(&sample);
        for tick in 1..20 {
            give(&mut feed, [published(&sample.config, 1, tick, &[])]);
            give(&mut feed, sample.views(1, tick).split_off(1));
        }
        assert!(told(&mut feed).is_empty());
        assert_eq!(feed.partial.len(), MAX_PARTIAL_TICKS);
        let first = sample.views(1, 19).swap_remove(0);
        give(&mut feed, [first]);
        assert_eq!(told(&mut feed), ["tick 1/19"]);
        assert_eq!((feed.partial.len(), feed.unseen.len()), (0, 0));
    }

    /// A subscription to an orchestrator of epoch 4: the one before it took over at tick 9 and events 2 and 3, it itself
    /// at tick 12 and events 5 and 3.
    fn taken_over(sample: &Sample) -> Subscribed {
        let begun = |epoch, from_tick, from_event| EpochBegin {
            epoch,
            from_tick,
            from_event,
            from_system_event: 3,
        };
        Subscribed {
            epochs: vec![begun(3, 9, 2), begun(4, 12, 5)],
            last_sim_seq: 4,
            last_system_seq: 3,
            ..subscribed(&sample.config, 11, &[event(Log::System, 3)])
        }
    }

    fn seen(tick: u64) -> (Sample, Feed) {
        let mut sample = Sample::weeding(24, 24);
        let mut feed = begun(&sample);
        let events = [1, 2, 3].map(|seq| event(Log::Sim, seq));
        give(&mut feed, [published(&sample.config, 1, tick, &events)]);
        let events = [1, 2].map(|seq| event(Log::System, seq));
        give(&mut feed, [published(&sample.config, 1, tick, &events)]);
        give(&mut feed, sample.views(1, tick));
        assert_eq!(told(&mut feed).len(), 6);
        feed.handle_lost();
        (sample, feed)
    }

    #[test]
    fn a_newer_epoch_voids_what_an_older_one_said_where_the_next_one_began_and_nothing_else() {
        let (mut sample, mut feed) = seen(10);
        feed.handle_subscribed(4, taken_over(&sample));
        assert!(feed.newest().is_none(), "tick 10 is void");
        let begun = "epoch 4, void Some([9, 2, 3]), next [2, 3]";
        assert_eq!(told(&mut feed), [begun, "system 3"]);
        // What comes again of the log `sim` is written: the database has it.
        assert_eq!(feed.log(Log::Sim).wanted(), Some((2, 4)));
        feed.log_mut(Log::Sim)
            .handle_past([2, 3, 4].map(|seq| event(Log::Sim, seq)).into());
        assert_eq!(told(&mut feed), ["sim 2", "sim 3", "sim 4"]);
        // One of the older epoch comes late.
        let late = [event(Log::Sim, 5)];
        give(&mut feed, [published(&sample.config, 1, 13, &late)]);
        assert_eq!(told(&mut feed), [""; 0]);
        give(&mut feed, [published(&sample.config, 4, 12, &late)]);
        give(&mut feed, sample.views(4, 12));
        assert_eq!(told(&mut feed), ["sim 5", "tick 4/12"]);
        assert_eq!(feed.void_after(3).map(|void| void.from_event), Some(5));
        assert_eq!(feed.void_after(4), None);
    }

    #[test]
    fn one_that_was_not_started_is_shown_as_it_is_created() {
        let mut sample = Sample::weeding(24, 24);
        let mut feed = Feed::new(100);
        let mut created = subscribed(&sample.config, 0, &[]);
        created.info.status = Status::Created;
        feed.handle_subscribed(1, created);
        feed.handle_index(sample.index.clone());
        assert!(feed.is_created());
        let creation = || Creation::new(sample::SIMULATION, 1, &sample.config).unwrap();
        feed.handle_creation(1, creation()).unwrap();
        assert_eq!(told(&mut feed), ["tick 1/0"]);
        assert_eq!(feed.newest().unwrap().info.aggregate.rows, 24);
        assert!(!feed.is_created());
        // Once it runs it goes on from there, and what comes too late is nothing new.
        let (late, published) = (creation(), published(&sample.config, 1, 1, &[]));
        give(&mut feed, [published]);
        give(&mut feed, sample.views(1, 1));
        feed.handle_creation(1, late).unwrap();
        assert_eq!(told(&mut feed), ["tick 1/1"]);
    }

    #[test]
    fn a_tick_before_the_newer_epoch_is_of_that_too() {
        let (sample, mut feed) = seen(8);
        feed.handle_subscribed(4, taken_over(&sample));
        let begun = "epoch 4, void Some([9, 2, 3]), next [2, 3]";
        assert_eq!(told(&mut feed), [begun, "tick 4/8", "system 3"]);
    }

    #[test]
    fn what_comes_before_the_subscription_is_known_to_begin_is_held() {
        let mut sample = Sample::weeding(24, 24);
        let mut feed = Feed::new(100);
        give(
            &mut feed,
            [published(&sample.config, 1, 4, &[event(Log::Sim, 8)])],
        );
        give(&mut feed, sample.views(1, 4));
        assert_eq!(told(&mut feed), [""; 0]);
        feed.handle_subscribed(1, subscribed(&sample.config, 3, &[event(Log::Sim, 7)]));
        assert_eq!(told(&mut feed), ["sim 8"]);
        assert_eq!(feed.begin().next_event, 9);
        feed.handle_index(sample.index.clone());
        assert_eq!(told(&mut feed), ["tick 1/4"]);
    }

    #[test]
    fn what_an_orchestrator_floods_before_it_answers_is_bounded() {
        let sample = Sample::weeding(24, 24);
        let mut feed = Feed::new(100);
        let frame = published(&sample.config, 1, 4, &[]);
        give(&mut feed, vec![frame; MAX_HELD_FRAMES + 1]);
        assert_eq!(
            (told(&mut feed), feed.held.len()),
            (vec!["overrun".to_owned()], 1)
        );
    }

    #[test]
    fn a_frame_that_is_none_of_the_simulation_has_no_effect() {
        let mut sample = Sample::weeding(24, 24);
        let mut feed = begun(&sample);
        let mut view = sample.views(1, 4).swap_remove(0);
        view.header.partition = 1;
        let refused = feed.handle_frame(view);
        assert!(matches!(
            refused,
            Err(FeedError::Partition { partition: 1 })
        ));
        let other = Sample::dense(24, 24).views(1, 4);
        give(&mut feed, [published(&sample.config, 1, 4, &[])]);
        let refused = feed.handle_frame(other[0].clone());
        assert!(matches!(
            refused,
            Err(FeedError::View(ViewTickError::Layout { .. }))
        ));
        let garbage = published(&sample.config, 1, 4, &[]);
        let cut = garbage.payload().slice(..garbage.payload().len() / 2);
        let refused = feed.handle_frame(Frame::from_bytes(garbage.header, cut).unwrap());
        assert!(matches!(
            refused,
            Err(FeedError::Frame(FrameError::Archive { .. }))
        ));
        assert!(told(&mut feed).is_empty());
    }

    #[test]
    fn a_deleted_simulations_last_events_come_before_its_end() {
        let sample = Sample::weeding(24, 24);
        let mut feed = begun(&sample);
        let last = sample::deleted(&sample.config, 1, 4, &[event(Log::System, 1)]);
        give(&mut feed, [last]);
        assert_eq!(told(&mut feed), ["system 1", "deleted"]);
    }
}
