//! Who keeps a run waiting for longer than can be expected.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::context::Context;
use crate::control::WorkerId;
use crate::event::Event;
use crate::latency::Durations;
use crate::limits::{
    CREATE_NS_PER_ROW, MAX_PATIENCE, MEASURED_RESULTS, MIN_PATIENCE, PATIENCE_FACTOR,
    SOLE_WORKER_FACTOR, UNMEASURED_NS_PER_ROW, UNMEASURED_PATIENCE,
};
use crate::simulation::{PartitionState, Simulation};
use crate::window::Slot;

/// How often the p99 is looked up again: that walks the whole histogram.
const LOOK_UP_EVERY: u64 = 64;

/// Times from a window's dispatch to its last result, where nothing was replayed.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips {
    durations: Durations,
    p99: Duration,
}

impl RoundTrips {
    /// Takes one in.
    pub(crate) fn record(&mut self, round_trip: Duration) {
        self.durations.record_n(round_trip, 1);
        let histogram = self.durations.histogram();
        let measured = histogram.len();
        if measured.is_multiple_of(LOOK_UP_EVERY) || measured == MEASURED_RESULTS {
            self.p99 = Duration::from_micros(histogram.value_at_quantile(0.99));
        }
    }

    /// Least patience that what was measured allows.
    pub(crate) fn patience(&self) -> Duration {
        if self.durations.histogram().len() < MEASURED_RESULTS {
            return UNMEASURED_PATIENCE;
        }
        (self.p99 * PATIENCE_FACTOR).max(MIN_PATIENCE)
    }
}

impl Simulation {
    /// Time that a step of partition `p` takes on one thread, ns: measured, or a guess.
    pub(crate) fn step_ns(&self, p: usize) -> u64 {
        let state = &self.partitions[p];
        let guess = UNMEASURED_NS_PER_ROW * state.rows as f64;
        state.step_ns.unwrap_or(guess) as u64
    }

    /// Time that partition `p` of the window in flight takes its owner on one thread, ns, a replay
    /// included.
    pub(crate) fn expected_ns(&self, p: usize) -> u64 {
        let window = self.window.as_ref().expect("in flight");
        let state = &self.partitions[p];
        let (base, create_rows) = match state.held {
            true => (window.first.saturating_sub(1), 0),
            false => (state.history.base_tick(), state.rows),
        };
        let steps = window.last.saturating_sub(base);
        self.step_ns(p)
            .saturating_mul(steps)
            .saturating_add(create_rows * CREATE_NS_PER_ROW)
    }

    /// How long a worker may take for these partitions of the window in flight, beside what it
    /// `owed_ns` before.
    pub(crate) fn expected(
        &self,
        ctx: &Context<'_>,
        owner: WorkerId,
        partitions: &[usize],
        owed_ns: u64,
    ) -> Duration {
        let window = self.window.as_ref().expect("in flight");
        let attempts = partitions.iter().map(|p| window.slots[*p].attempts).max();
        let attempts = attempts.unwrap_or(0);
        let all = ctx.registry.get(owner).map_or(1, |w| w.threads).max(1);
        // No more threads can be at work than there are partitions.
        let threads = all.min(u32::try_from(partitions.len()).unwrap_or(u32::MAX));
        let ns = partitions
            .iter()
            .fold(0, |ns: u64, p| ns.saturating_add(self.expected_ns(*p)));
        // What it owes already goes first, and is spread over all its threads.
        let before = owed_ns / u64::from(all);
        let work_ns = (ns / u64::from(threads.max(1))).saturating_add(before);
        let work = Duration::from_nanos(work_ns).saturating_mul(PATIENCE_FACTOR);
        // What failed before may be slower than all that is known of it.
        let factor = 1 << attempts.min(6);
        (self.round_trips.patience().max(work) * factor).min(MAX_PATIENCE)
    }

    /// When [`Simulation::find_suspects`] may answer something.
    ///
    /// Results that came may have been the only ones due so early: that is found out when the time
    /// has come, not with each of them.
    pub(crate) fn next_suspicion(&mut self, now: Duration) -> Option<Duration> {
        let window = self.window.as_mut()?;
        if window.suspect_from <= now {
            let due_by = window
                .missing_slots()
                .filter(|(p, slot)| is_awaited(&self.partitions[*p as usize], slot))
                .map(|(_, slot)| slot.due_by)
                .min();
            window.suspect_from = due_by.unwrap_or(Duration::MAX);
        }
        (window.suspect_from < Duration::MAX).then_some(window.suspect_from)
    }

    /// This side was late by `late`: every worker has as much longer, and time for what it said
    /// meanwhile to be heard.
    pub(crate) fn excuse(&mut self, now: Duration, late: Duration) {
        let slots = self.window.iter_mut().flat_map(|w| &mut w.slots);
        for slot in slots.filter(|s| s.report.is_none() && s.sent_at.is_some()) {
            slot.due_by = (slot.due_by + late).max(now + MIN_PATIENCE);
        }
    }

    /// The workers whose results are missing for too long and whose partitions another can take.
    /// Where there is no other, the same one is given more time, and once that is over too, the
    /// same work again: what was sent may have been lost.
    pub(crate) fn find_suspects(&mut self, ctx: &mut Context<'_>) -> Vec<WorkerId> {
        let Some(window) = self.window.as_ref().filter(|w| w.suspect_from <= ctx.now) else {
            return Vec::new();
        };
        let late: BTreeSet<(WorkerId, u32)> = window
            .missing_slots()
            .filter(|(p, slot)| is_awaited(&self.partitions[*p as usize], slot))
            .filter(|(_, slot)| slot.due_by <= ctx.now)
            .filter_map(|(p, _)| Some((self.partitions[p as usize].owner?, p)))
            .collect();
        let workers: BTreeSet<WorkerId> = late.iter().map(|(worker, _)| *worker).collect();
        let mut suspects = Vec::new();
        for worker in workers {
            let handed_over = ctx.registry.ready().any(|w| w.id != worker);
            if handed_over {
                // At once, so that the last of several that are late is not suspected too.
                ctx.registry.suspect(worker, ctx.now);
                suspects.push(worker);
            }
            let own = late
                .iter()
                .filter(|(w, _)| *w == worker)
                .map(|(_, p)| *p as usize);
            let news = handed_over || self.be_patient(ctx, own.collect());
            if news {
                ctx.outbox.event(Event::WorkerSuspect {
                    worker,
                    simulation: self.spec.id,
                    tick: self.window.as_ref().map_or(0, |w| w.last),
                    handed_over,
                });
            }
        }
        suspects
    }

    /// Waits on for the only worker there is; answers whether that is news.
    fn be_patient(&mut self, ctx: &mut Context<'_>, partitions: Vec<usize>) -> bool {
        let mut news = false;
        for p in partitions {
            let window = self.window.as_mut().expect("in flight");
            let slot = &mut window.slots[p];
            let waited = slot.due_by.saturating_sub(slot.sent_at.unwrap_or(ctx.now));
            if std::mem::replace(&mut slot.extended, true) {
                slot.extended = false;
                // It is told, for another may be there to take the partition by then.
                self.release(ctx, p);
            } else {
                slot.due_by = ctx.now + (waited * SOLE_WORKER_FACTOR).min(MAX_PATIENCE);
                news = true;
            }
        }
        news
    }
}

/// Whether a partition was sent to its owner: one that waits to be sent is nobody's fault.
fn is_awaited(state: &PartitionState, slot: &Slot) -> bool {
    state.owner.is_some() && slot.sent_at.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_p99_and_never_falls_below_its_floor() {
        let mut trips = RoundTrips::default();
        assert_eq!(trips.patience(), UNMEASURED_PATIENCE);
        for _ in 0..MEASURED_RESULTS {
            trips.record(Duration::from_millis(2));
        }
        assert_eq!(trips.patience(), MIN_PATIENCE);
        for _ in 0..1_000 {
            trips.record(Duration::from_millis(80));
        }
        let patience = trips.patience().as_millis();
        assert!((238..=242).contains(&patience), "{patience}");
    }
}
