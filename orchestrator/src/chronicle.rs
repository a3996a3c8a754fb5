//! History that is not written yet: what happened, by run, in order, until the database has it.
//!
//! It is handed out in batches, one at a time, and what was handed out is kept until it is known to
//! be written. Its bytes are bounded by what the core does: at half of the bound runs wait for a database that
//! writes; at all of it, with one that does not, they are paused. Cuts are not counted: of each run
//! at most one waits and one is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use store::history::{Batch, Cut, EntityRow, Head, History, MetricSnapshot};
use transport::control::{Cause, Log, LogEvent, SimulationId, Status};
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
            Page::Cut(_) => 0,
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
    bytes: usize,
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
    flushed_sim_seq: u64,
    flushed_system_seq: u64,
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

    /// Begins a run that is kept, of which this is written already.
    pub(crate) fn open(
        &mut self,
        id: SimulationId,
        sim_seq: u64,
        system_seq: u64,
        head: Option<Head>,
    ) {
        let run = Run {
            head,
            flushed_sim_seq: sim_seq,
            flushed_system_seq: system_seq,
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
        let bytes = page.bytes();
        self.bytes += bytes;
        run.notes.push_back(Note {
            tick,
            at: now,
            bytes,
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
        let after = self.runs.range((
            std::ops::Bound::Excluded(self.last_run),
            std::ops::Bound::Unbounded,
        ));
        let before = self.runs.range(..=self.last_run);
        let ids: Vec<SimulationId> = after.chain(before).map(|(id, _)| *id).collect();
        for id in ids {
            let run = self.runs.get_mut(&id).expect("listed above");
            let before = bytes;
            if run.take(id, hold(id), &mut bytes, &mut pieces, || standing(id)) {
                stating.insert(id);
            }
            if bytes > before {
                self.last_run = id;
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
                match note.page {
                    Page::Events(events) => {
                        for event in events {
                            let seq = match event.log {
                                Log::Sim => &mut run.flushed_sim_seq,
                                Log::System => &mut run.flushed_system_seq,
                            };
                            *seq = (*seq).max(event.seq);
                        }
                    }
                    Page::Entities(_) => entities.push(*id),
                    _ => {}
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

    /// Whether runs wait for the database, which writes.
    pub(crate) fn holds_runs(&self) -> bool {
        self.fault.is_none() && self.is_half_full()
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

    /// Seqs of the newest events of both logs that are written: `sim`, `system`.
    pub(crate) fn flushed(&self, id: SimulationId) -> (u64, u64) {
        let run = self.runs.get(&id);
        run.map_or((0, 0), |r| (r.flushed_sim_seq, r.flushed_system_seq))
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
            if held || (*bytes > 0 && *bytes + note.bytes > MAX_BATCH_BYTES) {
                break;
            }
            *bytes += note.bytes.max(1);
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
