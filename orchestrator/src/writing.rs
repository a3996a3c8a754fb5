//! History on its way to the database: batches go out, runs wait or are paused where it does not keep
//! up, and machines' metadata follow a creation piece by piece.

use std::sync::Arc;
use std::time::Duration;

use kernel::farm::Farm;
use store::history::{Batch, Cut, EntityRow};
use transport::control::SimulationId;

use crate::chore::{Chore, Work};
use crate::chronicle::{Page, Standing};
use crate::core::{Orchestrator, context};
use crate::fault::StoreFault;
use crate::limits::ROWS_PER_CHORE;

/// Metadata of a run's machines that are not written yet.
#[derive(Debug)]
pub(crate) struct Metadata {
    farm: Arc<Farm>,
    /// First machine of which there are none.
    next: u32,
}

impl Orchestrator {
    /// The next batch of history. One at a time: no other is given out before it is known to be written.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        self.note();
        self.pause_if_full();
        while let Some((id, cut)) = self.poll_cut() {
            self.note_cut(id, cut);
        }
        if self.ended.is_some() || !self.config.durable {
            return None;
        }
        let (runs, desk) = (&self.simulations, &self.desk);
        let hold = |id| runs.get(&id).and_then(|run| run.placing.first_tick());
        let standing = |id| {
            // What was asked for is being kept: what batches say of it may neither overtake it nor be overtaken.
            let state = runs.get(&id).filter(|_| !desk.is_stating(id))?.state();
            Some(Standing {
                status: state.status,
                cause: state.cause,
                step_until: state.step_until,
                ended_at_us: state.ended_at_us,
            })
        };
        self.chronicle.take(self.now, hold, standing)
    }

    /// A batch is written; or it is not yet, and why: it is to be tried again.
    pub fn handle_appended(&mut self, now: Duration, id: u64, result: Result<(), StoreFault>) {
        self.begin(now);
        match result {
            Ok(()) => {
                let held = self.chronicle.holds_runs();
                let Some((took, entities)) = self.chronicle.written(now, id) else {
                    return;
                };
                self.appends.record_n(took, 1);
                for id in entities {
                    self.make_metadata(id);
                }
                if held && !self.chronicle.holds_runs() {
                    self.advance_all(now);
                }
            }
            Err(StoreFault::Over { reason }) => self.end(reason),
            Err(fault) => {
                self.chronicle.not_written(id, fault);
                self.pause_if_full();
                // They wait for a database that writes, not for one that does not.
                self.advance_all(now);
            }
        }
    }

    /// Pauses all runs that go where no more history is held for a database that does not write. One on its way to where it was
    /// said to stand only waits.
    pub(crate) fn pause_if_full(&mut self) {
        let Some(cause) = self.chronicle.full_because() else {
            return;
        };
        let now = self.now;
        for run in self.simulations.values_mut() {
            run.pause_because(&mut context!(self, now), cause);
        }
    }

    /// A cut is whole: it is written after everything of ticks up to its own.
    fn note_cut(&mut self, id: SimulationId, cut: Cut) {
        let (now, tick) = (self.now, cut.tick);
        self.chronicle.add(now, id, tick, Page::Cut(Box::new(cut)));
    }

    /// Begins to write what is known of a run's machines.
    pub(crate) fn begin_metadata(&mut self, id: SimulationId, farm: Arc<Farm>) {
        self.metadata.insert(id, Metadata { farm, next: 1 });
        self.make_metadata(id);
    }

    /// Asks for the next piece of it; the one before is written.
    fn make_metadata(&mut self, id: SimulationId) {
        let Some(metadata) = self.metadata.get_mut(&id) else {
            return;
        };
        let entities = metadata.farm.config.entities;
        if metadata.next > entities || !self.simulations.contains_key(&id) {
            self.metadata.remove(&id);
            return;
        }
        let first = metadata.next;
        let last = (first + ROWS_PER_CHORE - 1).min(entities);
        metadata.next = last + 1;
        let work = Work::Describe {
            simulation: id,
            farm: Arc::clone(&metadata.farm),
            entities: first..=last,
        };
        let id = self.desk.new_id();
        self.desk.chores.push_back(Chore { id, work });
    }

    pub(crate) fn note_metadata(&mut self, id: SimulationId, rows: Vec<EntityRow>) {
        let now = self.now;
        self.chronicle.add(now, id, 0, Page::Entities(rows));
    }
}
