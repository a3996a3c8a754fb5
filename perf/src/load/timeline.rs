//! What happened when: the time of measuring cut into slots of at least a second, each with what was read in it.
//!
//! Threads count by themselves and hand over a slot when it is over, so that counting takes no lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Slots of a run at most: a long one has longer slots.
const MAX_SLOTS: u32 = 240;
/// The shortest slot.
const MIN_SLOT: Duration = Duration::from_secs(1);
/// Longest time told apart, in us; longer ones count as this.
const MAX_US: u64 = 60_000_000;

/// A histogram of us with two digits, small enough to have many of them.
#[derive(Clone, Debug)]
pub(crate) struct Coarse(pub(crate) Histogram<u32>);

impl Default for Coarse {
    fn default() -> Coarse {
        Coarse(Histogram::new_with_max(MAX_US, 2).expect("two digits"))
    }
}

impl Coarse {
    /// Adds one.
    pub(crate) fn record(&mut self, time: Duration) {
        self.record_us(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds one, in us.
    pub(crate) fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    fn add(&mut self, other: &Coarse) {
        self.0.add(&other.0).expect("the same digits and reach");
    }
}

/// What was read in one slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    /// From a tick's deadline to its message being read.
    pub(crate) end_to_end: Coarse,
    /// How old what clients saw was, at each moment at which one was due a tick.
    pub(crate) staleness: Coarse,
    /// From when a request was due to its answer being read, of those that were answered with success.
    pub(crate) rest: Coarse,
    /// Requests that were answered with a refusal.
    pub(crate) refused: u64,
    /// Requests that ended without an answer.
    pub(crate) unanswered: u64,
    /// Streams that broke, and attempts to open one that failed.
    pub(crate) broken: u64,
    /// Messages of all types.
    pub(crate) messages: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
    /// Ticks that gave way to newer ones.
    pub(crate) skipped: u64,
}

impl Slot {
    /// Whether something went wrong in it.
    pub(crate) fn is_odd(&self) -> bool {
        self.skipped + self.refused + self.unanswered + self.broken > 0
    }

    fn add(&mut self, other: &Slot) {
        self.end_to_end.add(&other.end_to_end);
        self.staleness.add(&other.staleness);
        self.rest.add(&other.rest);
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.broken += other.broken;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.skipped += other.skipped;
    }
}

/// All slots of a run.
#[derive(Debug)]
pub(crate) struct Timeline {
    slot: Duration,
    start: OnceLock<Instant>,
    slots: Mutex<Vec<Slot>>,
}

impl Timeline {
    /// Of a run that will be measured for so long.
    pub(crate) fn new(duration: Duration) -> Timeline {
        let slot = duration / MAX_SLOTS;
        Timeline {
            slot: Duration::from_secs_f64(slot.as_secs_f64().ceil()).max(MIN_SLOT),
            start: OnceLock::new(),
            slots: Mutex::default(),
        }
    }

    /// What happens from now on counts. Only the first call says when.
    pub(crate) fn begin(&self, now: Instant) {
        self.start.get_or_init(|| now);
    }

    /// How long a slot is.
    pub(crate) fn slot(&self) -> Duration {
        self.slot
    }

    /// The slot of a moment; `None` before the begin.
    pub(crate) fn index(&self, now: Instant) -> Option<usize> {
        let since = now.checked_duration_since(*self.start.get()?)?;
        Some((since.as_nanos() / self.slot.as_nanos()) as usize)
    }

    /// A slot as far as it is there.
    pub(crate) fn get(&self, index: usize) -> Option<Slot> {
        let slots = self.slots.lock().expect("nobody panics with it");
        slots.get(index).cloned()
    }

    /// All slots that are over, or that were begun before so long after the start.
    pub(crate) fn until(&self, wall: Duration) -> Vec<Slot> {
        let mut slots = self.slots.lock().expect("nobody panics with it").clone();
        // An answer that came after the end is of a request before it.
        let last = wall.as_secs_f64() / self.slot.as_secs_f64();
        slots.resize(last.ceil().max(1.0) as usize, Slot::default());
        slots
    }

    fn add(&self, index: usize, slot: &Slot) {
        let mut slots = self.slots.lock().expect("nobody panics with it");
        if slots.len() <= index {
            slots.resize(index + 1, Slot::default());
        }
        slots[index].add(slot);
    }
}

/// One thread's part of a timeline; what it holds is handed over when it is dropped.
pub(crate) struct Recorder {
    timeline: Arc<Timeline>,
    newest: usize,
    /// Those that are not handed over yet: the newest, and earlier ones of which something became known since.
    slots: BTreeMap<usize, Slot>,
}

impl Recorder {
    /// Of nothing so far.
    pub(crate) fn new(timeline: Arc<Timeline>) -> Recorder {
        Recorder {
            timeline,
            newest: 0,
            slots: BTreeMap::new(),
        }
    }

    /// Counts something that happens now, or of which is known only now that it happened; nothing before the begin.
    pub(crate) fn record(&mut self, at: Instant, with: impl FnOnce(&mut Slot)) {
        let Some(index) = self.timeline.index(at) else {
            return;
        };
        if index > self.newest {
            self.hand_over();
            self.newest = index;
        }
        with(self.slots.entry(index).or_default());
    }

    fn hand_over(&mut self) {
        for (index, slot) in std::mem::take(&mut self.slots) {
            self.timeline.add(index, &slot);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_longer_slots_and_not_more() {
        for (seconds, slot_s) in [(0.5, 1), (60.0, 1), (240.0, 1), (241.0, 2), (3_600.0, 15)] {
            let timeline = Timeline::new(Duration::from_secs_f64(seconds));
            assert_eq!(timeline.slot(), Duration::from_secs(slot_s), "{seconds}");
        }
    }

    #[test]
    fn what_two_threads_read_in_a_slot_is_added_up_once_it_is_over() {
        let timeline = Arc::new(Timeline::new(Duration::from_secs(3)));
        let start = Instant::now();
        let mut recorders = [(); 2].map(|()| Recorder::new(Arc::clone(&timeline)));
        recorders[0].record(start, |slot| slot.messages += 1_000);
        timeline.begin(start);
        for recorder in &mut recorders {
            for ms in [0, 999, 1_000, 2_100] {
                recorder.record(start + Duration::from_millis(ms), |slot| {
                    slot.messages += 1;
                    slot.rest.record_us(ms);
                });
            }
        }
        assert_eq!(timeline.get(0).unwrap().messages, 4);
        assert!(timeline.get(2).is_none(), "it is not over");
        drop(recorders);
        let slots = timeline.until(Duration::from_secs_f64(2.2));
        let messages: Vec<_> = slots.iter().map(|slot| slot.messages).collect();
        assert_eq!(messages, [4, 2, 2]);
        assert_eq!(slots[1].rest.0.max() / 10, 100);
    }

    #[test]
    fn what_becomes_known_later_counts_where_it_happened() {
        let timeline = Arc::new(Timeline::new(Duration::from_secs(9)));
        let start = Instant::now();
        timeline.begin(start);
        let mut recorder = Recorder::new(Arc::clone(&timeline));
        for ms in [3_500, 500, 1_500, 3_600, 2_500, 4_100] {
            recorder.record(start + Duration::from_millis(ms), |slot| slot.broken += 1);
        }
        assert_eq!(timeline.get(0).map(|slot| slot.broken), Some(1));
        drop(recorder);
        let slots = timeline.until(Duration::from_secs(5));
        let broken: Vec<_> = slots.iter().map(|slot| slot.broken).collect();
        assert_eq!(broken, [1, 1, 1, 2, 1]);
    }

    #[test]
    fn slots_without_anything_are_there_and_those_after_the_end_are_not() {
        let timeline = Arc::new(Timeline::new(Duration::from_secs(9)));
        let start = Instant::now();
        timeline.begin(start);
        let mut recorder = Recorder::new(Arc::clone(&timeline));
        recorder.record(start + Duration::from_secs(7), |slot| slot.messages += 1);
        drop(recorder);
        assert_eq!(timeline.until(Duration::from_secs(3)).len(), 3);
        assert_eq!(timeline.until(Duration::from_secs(9)).len(), 9);
    }
}
