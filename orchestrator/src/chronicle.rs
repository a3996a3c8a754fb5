//! History that is not written yet: what happened, by run, in order, until the database has it.
//!
//! It is handed out in batches, one at a time, and what was handed out is kept until it is known to
//! be written. Its bytes are bounded by what the core does: at half of the bound runs wait for a database that
//! writes; at all of it, with one that does not, they are paused, and those that are only brought to where they stand wait. Cuts are not counted in this: of each run
//! at most one waits and one is on its way. In the bytes of a batch they are, and one that is larger than a batch goes
//! alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use store::history::{Batch, Cut, EntityRow, Head, History, MetricSnapshot};
use transport::control::{Cause, LogEvent, SimulationId, Status};
use transport::message::TickDigest;

use crate::fault::StoreFault;
use crate::limits::{BATCH_EVERY, MAX_BATCH_BYTES, MAX_UNFLUSHED_BYTES};

/// One thing that is to be written.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    Events(Vec<LogEvent>),
    Digests(Vec<TickDigest>),
    Metrics(Box<MetricSnapshot>),
    Head(Box<Head>),
    Cut(Box<Cut>),
    Entities(Vec<EntityRow>),
}

impl Page {
    fn bytes(&self) -> usize {
        match self {
            Page::Events(events) => events.iter().map(event_bytes).sum(),
            Page::Digests(digests) => size_of_val(&digests[..]),
            Page::Metrics(snapshot) => {
                let stages = snapshot.stages.iter().map(|s| s.histogram.len());
                size_of::<MetricSnapshot>() + stages.sum::<usize>()
            }
            Page::Head(_) => size_of::<Head>(),
            Page::Cut(cut) => {
                let mail = cut.mail.iter().map(|m| size_of_val(&m.words[..]));
                let states = cut.checkpoints.iter().map(Bytes::len);
                mail.sum::<usize>() + states.sum::<usize>()
            }
            Page::Entities(rows) => rows
                .iter()
                .map(|r| size_of::<EntityRow>() + r.class.len())
                .sum(),
        }
    }
}

/// Bytes of an event, in memory and about as many in a frame.
pub(crate) fn event_bytes(event: &LogEvent) -> usize {
    size_of::<LogEvent>() + size_of_val(&event.entities[..]) + event.text.len()
}

/// A page, and of when it is.
#[derive(Debug)]
struct Note {
    tick: u64,
    at: Duration,
    /// What it takes of the bound of all that waits.
    bytes: usize,
    /// What it takes of a batch.
    batch_bytes: usize,
    page: Page,
}

/// What is not written of one run.
#[derive(Debug, Default)]
struct Run {
    notes: VecDeque<Note>,
    /// Notes at the front that are in the batch under way.
    taken: usize,
    /// Whether where the run stands has changed, and no batch has said so.
    unstated: bool,
    /// What the last page of a head said.
    head: Option<Head>,
}

/// The batch under way.
#[derive(Debug)]
struct UnderWay {
    id: u64,
    since: Duration,
    /// Runs of which it says where they stand.
    stating: BTreeSet<SimulationId>,
}

/// Where a run stands, as a batch says it where that has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) status: Status,
    pub(crate) cause: Cause,
    /// Tick at which it stands, or will.
    pub(crate) step_until: Option<u64>,
    /// UNIX time in us at which it ended.
    pub(crate) ended_at_us: Option<u64>,
}

/// All history that is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    runs: BTreeMap<SimulationId, Run>,
    bytes: usize,
    /// Most of them.
    max_bytes: usize,
    under_way: Option<UnderWay>,
    last_id: u64,
    /// Where the last batch ended: the next one begins with the run after it.
    last_run: SimulationId,
    /// A run of which the last batch had no room for even the first thing: the next one begins with it.
    refused: Option<SimulationId>,
    /// When the next batch is made, at the earliest.
    next_at: Option<Duration>,
    fault: Option<StoreFault>,
    /// Batches written.
    pub(crate) batches: u64,
    /// Times that the store could not write one.
    pub(crate) faults: u64,
}

impl Chronicle {
    /// An empty one, which holds so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Chronicle {
        Chronicle {
            max_bytes,
            ..Chronicle::default()
        }
    }

    /// Begins a run that is kept, with what is written of where it stands.
    pub(crate) fn open(&mut self, id: SimulationId, head: Option<Head>) {
        let run = Run {
            head,
            ..Run::default()
        };
        self.runs.insert(id, run);
    }

    /// Forgets a run.
    pub(crate) fn close(&mut self, id: SimulationId) {
        if let Some(run) = self.runs.remove(&id) {
            self.bytes -= run.notes.iter().map(|n| n.bytes).sum::<usize>();
        }
    }

    /// Notes what is to be written of a run that is open.
    pub(crate) fn add(&mut self, now: Duration, id: SimulationId, tick: u64, page: Page) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        if let Page::Cut(_) = page {
            // A newer one makes an older one that waits needless.
            let waiting = run.notes.iter().skip(run.taken);
            let old = waiting.clone().position(|n| matches!(n.page, Page::Cut(_)));
            if let Some(old) = old {
                run.notes.remove(run.taken + old);
            }
        }
        let batch_bytes = page.bytes();
        let is_cut = matches!(page, Page::Cut(_));
        let bytes = if is_cut { 0 } else { batch_bytes };
        self.bytes += bytes;
        run.notes.push_back(Note {
            tick,
            at: now,
            bytes,
            batch_bytes,
            page,
        });
        self.wake(now);
    }

    /// Where a run stands is to be said: the orchestrator itself has changed it. What was asked for is kept by the write
    /// for it.
    pub(crate) fn unstated(&mut self, now: Duration, id: SimulationId) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.unstated = true;
            self.wake(now);
        }
    }

    /// A batch may be possible that was not.
    pub(crate) fn wake(&mut self, now: Duration) {
        if self.under_way.is_none() {
            self.next_at.get_or_insert(now + BATCH_EVERY);
        }
    }

    /// When a batch is to be made.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.next_at.filter(|_| self.under_way.is_none())
    }

    /// Makes the next batch, if it is time. Of a run no page is in it that is of the tick `hold` or a
    /// later one, and none after such a one; `standing` says where it stands.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        hold: impl Fn(SimulationId) -> Option<u64>,
        standing: impl Fn(SimulationId) -> Option<Standing>,
    ) -> Option<Batch> {
        let due = self.next_at().is_some_and(|at| at <= now) || self.is_half_full();
        if self.under_way.is_some() || !due {
            return None;
        }
        self.next_at = None;
        let (mut pieces, mut bytes, mut stating) = (Vec::new(), 0, BTreeSet::new());
        for id in self.in_turn() {
            let run = self.runs.get_mut(&id).expect("listed above");
            let (before, hold) = (bytes, hold(id));
            if run.take(id, hold, &mut bytes, &mut pieces, || standing(id)) {
                stating.insert(id);
            }
            if bytes > before {
                self.last_run = id;
            } else if run.waits(hold) {
                self.refused = Some(id);
                break;
            }
            if bytes >= MAX_BATCH_BYTES {
                break;
            }
        }
        if pieces.is_empty() {
            return None;
        }
        self.last_id += 1;
        self.under_way = Some(UnderWay {
            id: self.last_id,
            since: now,
            stating,
        });
        Some(Batch {
            id: self.last_id,
            pieces,
        })
    }

    /// Every run, beginning with the one whose turn it is.
    fn in_turn(&mut self) -> Vec<SimulationId> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let (begin, end) = match self.refused.take() {
            Some(id) => (Included(id), Excluded(id)),
            None => (Excluded(self.last_run), Included(self.last_run)),
        };
        let after = self.runs.range((begin, Unbounded));
        let before = self.runs.range((Unbounded, end));
        after.chain(before).map(|(id, _)| *id).collect()
    }

    /// A batch is written; answers how long that took, and of which runs metadata are.
    pub(crate) fn written(
        &mut self,
        now: Duration,
        id: u64,
    ) -> Option<(Duration, Vec<SimulationId>)> {
        let under_way = self.under_way.take_if(|u| u.id == id)?;
        self.fault = None;
        self.batches += 1;
        let mut entities = Vec::new();
        for (id, run) in &mut self.runs {
            for note in run.notes.drain(..std::mem::take(&mut run.taken)) {
                self.bytes -= note.bytes;
                if let Page::Entities(_) = note.page {
                    entities.push(*id);
                }
            }
        }
        if self
            .runs
            .values()
            .any(|run| !run.notes.is_empty() || run.unstated)
        {
            self.wake(now);
        }
        Some((now.saturating_sub(under_way.since), entities))
    }

    /// Whether the batch under way says where a run stands.
    pub(crate) fn is_stating(&self, id: SimulationId) -> bool {
        (self.under_way.as_ref()).is_some_and(|batch| batch.stating.contains(&id))
    }

    /// The batch under way is not written yet, and why.
    pub(crate) fn not_written(&mut self, id: u64, fault: StoreFault) {
        if self.under_way.as_ref().is_some_and(|u| u.id == id) {
            self.fault = Some(fault);
            self.faults += 1;
        }
    }

    /// Whether runs wait for the database, be it one that writes, or one that does not, for which no more is held.
    pub(crate) fn holds_runs(&self) -> bool {
        match self.fault {
            None => self.is_half_full(),
            Some(_) => self.full_because().is_some(),
        }
    }

    /// Why runs are paused, where they are: the database does not write, and no more is held for it.
    pub(crate) fn full_because(&self) -> Option<Cause> {
        match &self.fault {
            Some(StoreFault::DiskFull) if self.bytes >= self.max_bytes => Some(Cause::DiskFull),
            Some(_) if self.bytes >= self.max_bytes => Some(Cause::HistoryFull),
            _ => None,
        }
    }

    fn is_half_full(&self) -> bool {
        self.bytes >= self.max_bytes / 2
    }

    /// Whether everything of all runs is written.
    pub(crate) fn is_empty(&self) -> bool {
        (self.runs.values()).all(|run| run.notes.is_empty() && !run.unstated)
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Ticks of a run from the oldest of which something waits to `tick`, its present one; 0 where all is written. Metadata
    /// are of no tick.
    pub(crate) fn lag_ticks(&self, id: SimulationId, tick: u64) -> u64 {
        let notes = self.runs.get(&id).into_iter().flat_map(|run| &run.notes);
        let mut of_ticks = notes.filter(|note| !matches!(note.page, Page::Entities(_)));
        let oldest = of_ticks.next();
        oldest.map_or(0, |note| (tick + 1).saturating_sub(note.tick.max(1)))
    }

    /// How long the oldest has waited.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        let oldest = self
            .runs
            .values()
            .filter_map(|r| r.notes.front())
            .map(|n| n.at);
        oldest
            .min()
            .map_or(Duration::ZERO, |at| now.saturating_sub(at))
    }

    /// Events that may not be written, by (log, seq).
    ///
    /// # Errors
    /// Their bytes where these are more than [`MAX_UNFLUSHED_BYTES`].
    pub(crate) fn unflushed(&self, id: SimulationId) -> Result<Vec<LogEvent>, usize> {
        let notes = || self.runs.get(&id).into_iter().flat_map(|r| &r.notes);
        let events = notes().filter_map(|n| match &n.page {
            Page::Events(events) => Some((n.bytes, events)),
            _ => None,
        });
        let bytes: usize = events.clone().map(|(bytes, _)| bytes).sum();
        if bytes > MAX_UNFLUSHED_BYTES {
            return Err(bytes);
        }
        let mut events: Vec<LogEvent> = events.flat_map(|(_, events)| events).cloned().collect();
        events.sort_by_key(|event| (event.log, event.seq));
        Ok(events)
    }
}

impl Run {
    /// Whether something that may be written is in no batch.
    fn waits(&self, hold: Option<u64>) -> bool {
        let next = self.notes.get(self.taken);
        next.is_some_and(|note| hold.is_none_or(|hold| note.tick < hold))
    }

    /// Puts what may be written into a batch; answers whether that says where the run stands.
    fn take(
        &mut self,
        id: SimulationId,
        hold: Option<u64>,
        bytes: &mut usize,
        pieces: &mut Vec<History>,
        standing: impl Fn() -> Option<Standing>,
    ) -> bool {
        let mut head = None;
        let mut last: Option<usize> = None;
        for note in &self.notes {
            let held = hold.is_some_and(|hold| note.tick >= hold);
            if held || (*bytes > 0 && *bytes + note.batch_bytes > MAX_BATCH_BYTES) {
                break;
            }
            *bytes += note.batch_bytes.max(1);
            self.taken += 1;
            match (&note.page, last.map(|at| &mut pieces[at])) {
                (Page::Head(new), _) => head = Some((**new).clone()),
                (Page::Events(more), Some(History::Events(_, events))) => {
                    events.extend_from_slice(more);
                }
                (Page::Digests(more), Some(History::Digests(_, digests))) => {
                    digests.extend_from_slice(more);
                }
                (page, _) => {
                    last = Some(pieces.len());
                    pieces.push(piece(id, page));
                }
            }
        }
        // Where it stands is where it stands at its last tick: not before that is written.
        let complete = self.taken == self.notes.len();
        let standing = (complete && self.unstated).then(standing).flatten();
        if head.is_none() && standing.is_none() {
            return false;
        }
        let mut head = head
            .or_else(|| self.head.clone())
            .unwrap_or_else(empty_head);
        self.head = Some(head.clone());
        let states = standing.is_some();
        if let Some(standing) = standing {
            self.unstated = false;
            head.status = Some((standing.status, standing.cause));
            head.step_until = standing.step_until;
            head.ended_at_us = standing.ended_at_us;
            *bytes += 1;
        }
        pieces.push(History::Head(id, head));
        states
    }
}

/// A page as the store takes it.
fn piece(id: SimulationId, page: &Page) -> History {
    match page {
        Page::Events(events) => History::Events(id, events.clone()),
        Page::Digests(digests) => History::Digests(id, digests.clone()),
        Page::Metrics(snapshot) => History::Metrics(id, snapshot.clone()),
        Page::Head(head) => History::Head(id, (**head).clone()),
        Page::Cut(cut) => History::Cut(id, cut.clone()),
        Page::Entities(rows) => History::Entities(id, rows.clone()),
    }
}

/// Where a run stands of which nothing has happened.
fn empty_head() -> Head {
    Head {
        tick: 0,
        status: None,
        step_until: None,
        ended_at_us: None,
        digest: None,
        aggregate: kernel::aggregate::Aggregate::default(),
        late_ticks: 0,
        dilated_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::config::KERNEL_VERSION;
    use transport::header::SCHEMA_HASH;

    const RUNS: [SimulationId; 3] = [SimulationId(1), SimulationId(2), SimulationId(3)];

    fn cut(tick: u64, bytes: usize) -> Page {
        Page::Cut(Box::new(Cut {
            tick,
            kernel_version: KERNEL_VERSION,
            schema_hash: SCHEMA_HASH,
            last_sim_seq: 0,
            checkpoints: vec![Bytes::from(vec![0; bytes])],
            mail: Vec::new(),
        }))
    }

    fn digests(tick: u64) -> Page {
        Page::Digests(vec![TickDigest { tick, digest: 0 }])
    }

    /// The next batch, written: for each of its pieces its run, and the bytes of the cut that it is.
    fn next(chronicle: &mut Chronicle) -> Vec<(u128, usize)> {
        let now = chronicle.next_at().unwrap_or_default();
        let Some(batch) = chronicle.take(now, |_| None, |_| None) else {
            return Vec::new();
        };
        chronicle.written(now, batch.id).unwrap();
        let of = |piece: &History| match piece {
            History::Cut(id, cut) => (id.0, cut.checkpoints[0].len()),
            History::Digests(id, _) => (id.0, 0),
            other => panic!("nothing else was noted: {other:?}"),
        };
        batch.pieces.iter().map(of).collect()
    }

    #[test]
    fn the_lag_of_a_run_is_from_its_oldest_tick_that_waits() {
        let now = Duration::ZERO;
        let mut chronicle = Chronicle::new(usize::MAX);
        chronicle.open(RUNS[0], None);
        assert_eq!(chronicle.lag_ticks(RUNS[0], 30), 0, "all is written");
        chronicle.add(now, RUNS[0], 0, Page::Entities(Vec::new()));
        assert_eq!(
            chronicle.lag_ticks(RUNS[0], 30),
            0,
            "metadata are of no tick"
        );
        for tick in 11..=30 {
            chronicle.add(now, RUNS[0], tick, digests(tick));
        }
        assert_eq!(chronicle.lag_ticks(RUNS[0], 30), 20);
        assert_eq!(chronicle.lag_ticks(RUNS[1], 30), 0, "another run");
        let at = chronicle.next_at().unwrap();
        let batch = chronicle.take(at, |_| Some(16), |_| None).unwrap();
        assert_eq!(
            chronicle.lag_ticks(RUNS[0], 31),
            21,
            "it is not written yet"
        );
        chronicle.written(at, batch.id).unwrap();
        assert_eq!(chronicle.lag_ticks(RUNS[0], 31), 16);
    }

    #[test]
    fn cuts_count_in_a_batch_and_one_that_is_larger_than_it_goes_alone() {
        let now = Duration::ZERO;
        let mut chronicle = Chronicle::new(usize::MAX);
        let half = MAX_BATCH_BYTES / 2;
        for (run, bytes) in RUNS.into_iter().zip([half, half, 3 * MAX_BATCH_BYTES]) {
            chronicle.open(run, None);
            chronicle.add(now, run, 9, cut(9, bytes));
        }
        assert_eq!(next(&mut chronicle), [(1, half), (2, half)]);
        // However much others have to say in every batch, its turn comes.
        for tick in 10..12 {
            chronicle.add(now, RUNS[0], tick, digests(tick));
            chronicle.add(now, RUNS[2], tick, digests(tick));
        }
        assert_eq!(next(&mut chronicle), [(3, 3 * MAX_BATCH_BYTES)]);
        assert_eq!(next(&mut chronicle), [(1, 0), (3, 0)]);
        chronicle.add(now, RUNS[2], 12, cut(12, 2 * MAX_BATCH_BYTES));
        chronicle.add(now, RUNS[0], 12, digests(12));
        assert_eq!(next(&mut chronicle), [(1, 0)]);
        chronicle.add(now, RUNS[0], 13, digests(13));
        assert_eq!(next(&mut chronicle), [(3, 2 * MAX_BATCH_BYTES)]);
        assert_eq!(next(&mut chronicle), [(1, 0)]);
        assert!(chronicle.is_empty());
    }
}
