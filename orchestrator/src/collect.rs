//! Taking results in: what is stale is dropped and counted, what is wrong is the worker's end, and
//! a window is complete with its last report.

use std::time::Duration;

use kernel::aggregate::{Aggregate, Counters};
use kernel::event::Event as FarmEvent;
use transport::frame::{Frame, FrameError};
use transport::message::Unable;

use crate::aggregate::{self, PartitionReport};
use crate::context::Context;
use crate::control::{Cause, Status, WorkerId};
use crate::event::{Event, TickPublished};
use crate::latency::Stage;
use crate::limits::{MAX_ATTEMPTS, MAX_REPORTED_COUNT};
use crate::numbering;
use crate::routing::MailFault;
use crate::simulation::{PartitionState, Simulation};
use crate::window::Window;
use crate::wire::{self, ResultFrame};

/// Weight of one new measurement in a moving average of cost or pace.
const MEASURE_WEIGHT: f64 = 0.1;

/// Why a result cannot be what a correct worker sends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResultFault {
    /// The frame cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The simulation has no such partition.
    #[error("partition {partition} of {partitions}")]
    Partition {
        /// What was named.
        partition: u32,
        /// How many there are.
        partitions: usize,
    },
    /// It stepped another number of ticks than asked.
    #[error("stepped {stepped} ticks where {asked} were asked for")]
    Stepped {
        /// What was done.
        stepped: u64,
        /// What was asked.
        asked: u64,
    },
    /// Its digests are not those that were due.
    #[error("digests are not those of the ticks asked for")]
    Digests,
    /// An event is of another tick, or they are out of order.
    #[error("events are not in order or not of the window's ticks")]
    Events,
    /// Its sums cannot be those of its rows.
    #[error("sums are not those of {rows} machines")]
    Sums {
        /// Rows of the partition.
        rows: u64,
    },
    /// Its mail is wrong.
    #[error(transparent)]
    Mail(#[from] MailFault),
}

impl Simulation {
    /// Whether a frame is of the present placement of its partition; if not it is counted.
    fn is_current(&mut self, worker: WorkerId, header: &wire::From) -> Result<bool, ResultFault> {
        let partitions = self.partitions.len();
        let state = usize::try_from(header.partition)
            .ok()
            .and_then(|p| self.partitions.get(p));
        let Some(state) = state else {
            let partition = header.partition;
            return Err(ResultFault::Partition {
                partition,
                partitions,
            });
        };
        let current = state.owner == Some(worker) && state.epoch == header.placement_epoch;
        // What comes after the last word was sent before it was heard.
        if !current && !self.settled {
            self.totals.stale_results += 1;
        }
        Ok(current)
    }

    /// Takes a result in.
    ///
    /// # Errors
    /// [`ResultFault`] where it cannot come from a correct worker.
    pub(crate) fn handle_result(
        &mut self,
        ctx: &mut Context<'_>,
        worker: WorkerId,
        frame: &Frame,
    ) -> Result<(), ResultFault> {
        let from = wire::from(frame);
        if !self.is_current(worker, &from)? {
            return Ok(());
        }
        let p = from.partition as usize;
        // A repeated answer about a tick is none to a question about the same tick.
        let awaited = self
            .window
            .as_ref()
            .is_some_and(|w| w.last == from.tick && w.slots[p].awaits(from.ticks));
        if !awaited {
            self.totals.duplicate_results += 1;
            return Ok(());
        }
        let result = wire::result(frame)?;
        let asked = self.window.as_ref().map_or(0, |w| w.slots[p].steps);
        if result.stepped != asked {
            let stepped = result.stepped;
            return Err(ResultFault::Stepped { stepped, asked });
        }
        let (queue, compute) = (result.queue, result.compute);
        let (report, sample) = self.check(from.partition, result)?;
        if let Some(digest) = sample {
            let key = (self.spec.id, from.partition, from.tick);
            ctx.verifier.owner_digest(key, from.placement_epoch, digest);
        }
        ctx.registry
            .pay(worker, std::mem::take(&mut self.partitions[p].debt));
        self.measure(ctx, worker, p, asked, compute);
        let window = self.window.as_mut().expect("awaited");
        window.slots[p].compute = compute;
        window.fill(from.partition, report);
        if window.missing == 0 {
            self.record_stages(ctx.now, p, queue);
            self.complete(ctx);
        }
        Ok(())
    }

    /// Checks a result against what was asked, and splits off the digest of a sample.
    fn check(
        &self,
        partition: u32,
        result: ResultFrame,
    ) -> Result<(PartitionReport, Option<u64>), ResultFault> {
        let window = self.window.as_ref().expect("awaited");
        let mut report = result.report;
        let sample = window
            .split_sample(partition, &mut report.digests)
            .ok_or(ResultFault::Digests)?;
        if !in_order(&report.events, window) {
            return Err(ResultFault::Events);
        }
        let rows = self.partitions[partition as usize].rows;
        if !can_be_sums_of(rows, &report.aggregate) {
            return Err(ResultFault::Sums { rows });
        }
        if window.emits_mail() {
            self.routing
                .check(partition, window.last + 1, &report.mail)?;
        } else {
            // A question about the present: its mail is known already.
            report.mail.clear();
        }
        Ok((report, sample))
    }

    /// Takes a checkpoint in.
    ///
    /// # Errors
    /// [`ResultFault`] where it cannot come from a correct worker.
    pub(crate) fn handle_checkpoint(
        &mut self,
        ctx: &mut Context<'_>,
        worker: WorkerId,
        frame: Frame,
    ) -> Result<(), ResultFault> {
        let from = wire::from(&frame);
        if !self.is_current(worker, &from)? {
            return Ok(());
        }
        // One of a tick that was never sent out is nothing to build on.
        if from.tick > self.last_dispatched() {
            return Ok(());
        }
        let key = (self.spec.id, from.partition, from.tick + 1);
        ctx.verifier.prior(key, from.placement_epoch, &frame);
        let state = &mut self.partitions[from.partition as usize];
        if state.history.is_full() {
            ctx.verifier.partition_is_full(self.spec.id, from.partition);
        }
        self.fill_cut(ctx, &frame);
        let state = &mut self.partitions[from.partition as usize];
        let completed = self.completed.unwrap_or(0);
        let trusted = (ctx.verifier).trusted(self.spec.id, from.partition, completed);
        state.history.offer(from.tick, frame, trusted);
        state.asked.take_if(|(tick, _)| *tick <= from.tick);
        Ok(())
    }

    /// A step of the partition's owner was wrong: what it sent since is no state to go on from.
    pub(crate) fn distrust(&mut self, partition: u32) {
        // A run that has settled has no partitions any more.
        if let Some(state) = self.partitions.get_mut(partition as usize) {
            state.history.drop_pending();
            state.checkpoint_at = 0;
        }
    }

    /// A worker cannot do what was asked: the partition is placed anew.
    ///
    /// # Errors
    /// [`ResultFault`] where it cannot come from a correct worker.
    pub(crate) fn handle_unable(
        &mut self,
        ctx: &mut Context<'_>,
        worker: WorkerId,
        frame: &Frame,
    ) -> Result<(), ResultFault> {
        let from = wire::from(frame);
        let unable: Unable = frame.decode()?;
        if !self.is_current(worker, &from)? {
            return Ok(());
        }
        let p = from.partition as usize;
        let slot = self.window.as_ref().map(|w| (w.last, &w.slots[p]));
        let Some(attempts) = slot
            .filter(|(last, slot)| *last == from.tick && slot.report.is_none())
            .map(|(_, slot)| slot.attempts)
        else {
            // It is about something sent twice; the first of it was done.
            self.totals.duplicate_results += 1;
            return Ok(());
        };
        tracing::warn!(
            simulation = %self.spec.id, partition = from.partition, tick = from.tick, worker = worker.0,
            reason = unable.reason, detail = unable.detail, "a worker cannot step a partition"
        );
        self.totals.unable += 1;
        if unable.reason == transport::message::unable::NOT_OPEN {
            self.opened.remove(&worker);
        }
        if attempts >= MAX_ATTEMPTS {
            self.fail(ctx, Cause::Unable);
        } else {
            self.release(ctx, p);
        }
        Ok(())
    }

    /// A worker is gone, or not to be relied on: what it has is placed anew.
    pub(crate) fn handle_worker_gone(&mut self, ctx: &mut Context<'_>, worker: WorkerId) {
        for p in 0..self.partitions.len() {
            if self.partitions[p].owner == Some(worker) {
                self.release(ctx, p);
            }
            self.partitions[p].moving.take_if(|(to, _)| *to == worker);
        }
        if ctx.registry.get(worker).is_none() {
            self.opened.remove(&worker);
        }
    }

    /// The window's last report is in.
    fn complete(&mut self, ctx: &mut Context<'_>) {
        let mut window = self.window.take().expect("in flight");
        let slots = std::mem::take(&mut window.slots);
        let reports = slots.into_iter().map(|slot| slot.report.expect("complete"));
        let merged = aggregate::merge(reports);
        // While what was published is repeated, the run is shown as it was then.
        let is_news = !window.replayed || window.last >= self.published_tick();
        if is_news {
            self.aggregate = merged.aggregate;
        }
        if let Some(newest) = merged
            .digests
            .last()
            .filter(|d| is_news && d.tick == window.last)
        {
            self.digest = Some((newest.tick, newest.digest));
        }
        let events = numbering::number(&merged.events, &mut self.last_sim_seq);
        self.routing.post(merged.mail);
        // Complete is what is merged: how long that took is in the tick's latency too.
        let now = ctx.read_stopwatch();
        let late = self.count_late(now, &window);
        self.note_stall(now, &window);
        self.record_latency(now, &window);
        if self.completed != Some(window.last) {
            let handling = now.saturating_sub(ctx.now);
            self.latencies.record(Stage::Aggregate, handling);
        }
        self.completed = Some(window.last);
        self.completed_at = now;
        if !window.replayed {
            let (ticks, entities) = (u64::from(window.ticks), self.spec.config.entities);
            self.totals.ticks += ticks;
            self.totals.entity_steps += ticks * u64::from(entities);
        }
        for (p, state) in (0_u32..).zip(&mut self.partitions) {
            let trusted = ctx.verifier.trusted(self.spec.id, p, window.last);
            state.history.settle(trusted);
        }
        if window.creation {
            self.created_at = ctx.now;
            self.schedule.restart(ctx.now, 0);
        }
        self.measure_pace(ctx.now, &window);
        self.choose_checkpoint_ticks(ctx);
        self.end_replayed(ctx, window.last, &merged.digests);
        ctx.outbox.event(Event::Tick(Box::new(TickPublished {
            simulation: self.spec.id,
            tick: window.last,
            started_at: window.started_at(),
            ticks: window.ticks,
            replayed: window.replayed,
            has_view: window.wants_view,
            aggregate: merged.aggregate,
            digests: merged.digests,
            events,
        })));
        self.end_tick_of_cut(ctx, window.last);
        if let Some(event) = late {
            ctx.outbox.event(event);
        }
        if window.last >= self.last_tick() && !self.status.is_final() {
            self.change(ctx, Status::Completed, Cause::LastTick);
        }
    }

    /// Counts ticks that were late, and says so.
    fn count_late(&mut self, now: Duration, window: &Window) -> Option<Event> {
        let schedule = window.schedule.as_ref()?;
        let due = schedule.deadline(window.last)?;
        let ticks = schedule.late_ticks(window.first, window.last, now);
        self.totals.late_ticks += ticks;
        (ticks > 0).then(|| Event::Late {
            simulation: self.spec.id,
            tick: window.last,
            ticks,
            latency: now.saturating_sub(due),
        })
    }

    /// The gap that a hand-over left between two completions, beyond what lies there anyway.
    fn note_stall(&mut self, now: Duration, window: &Window) {
        if !window.handed_over || window.replayed || self.completed.is_none() {
            return;
        }
        let usual = match self.schedule.period() {
            Some(period) => period * window.ticks,
            None => {
                Duration::from_nanos((self.pace_ns.unwrap_or(0.0) * f64::from(window.ticks)) as u64)
            }
        };
        // Time in which nothing was due, a pause say, is no stall.
        let due = window.deadline.unwrap_or(window.dispatched_at);
        let idle_until = window.owed_since.map_or(due, |owed| owed.min(due));
        let begin = self.completed_at.max(idle_until.saturating_sub(usual));
        let gap = now.saturating_sub(begin).saturating_sub(usual);
        self.stalls.note(gap);
    }

    /// Records where the window's time went, as the report that came last tells it.
    fn record_stages(&mut self, now: Duration, p: usize, queue: Duration) {
        let window = self.window.as_ref().expect("in flight");
        let last = &window.slots[p];
        let away = now.saturating_sub(last.sent_at.unwrap_or(window.dispatched_at));
        let slowest = window.slots.iter().map(|s| s.compute).max();
        self.latencies.record(Stage::WorkerQueue, queue);
        self.latencies
            .record(Stage::Compute, slowest.unwrap_or_default());
        let network = away.saturating_sub(queue + last.compute);
        self.latencies.record(Stage::Network, network);
        if window.ticks == 0 {
            return;
        }
        let dispatched_at = window.dispatched_at;
        if let Some(due) = window.deadline {
            let lateness = dispatched_at.saturating_sub(due);
            self.latencies.record(Stage::DeadlineLateness, lateness);
        }
        if !window.handed_over {
            self.round_trips.record(now.saturating_sub(dispatched_at));
        }
    }

    /// Records the latency of each of the window's ticks.
    fn record_latency(&mut self, now: Duration, window: &Window) {
        if window.replayed {
            return;
        }
        let Some(schedule) = &window.schedule else {
            let latency = now.saturating_sub(window.dispatched_at);
            let ticks = u64::from(window.ticks);
            self.latencies.record_n(Stage::TickLatency, latency, ticks);
            return;
        };
        for tick in window.first..=window.last {
            let due = schedule.deadline(tick).unwrap_or(window.dispatched_at);
            let latency = now.saturating_sub(due);
            self.latencies.record(Stage::TickLatency, latency);
        }
    }

    /// Takes a result's timings into what is known of the partition's and the worker's speed.
    fn measure(
        &mut self,
        ctx: &mut Context<'_>,
        worker: WorkerId,
        p: usize,
        steps: u64,
        compute: Duration,
    ) {
        let state: &mut PartitionState = &mut self.partitions[p];
        if steps == 0 || state.rows == 0 {
            return;
        }
        // A clock of 1 us reads 0 for a short step; half of it is the better guess.
        let ns = compute.as_nanos().max(500) as f64 / steps as f64;
        let old = state.step_ns.unwrap_or(ns);
        state.step_ns = Some(old + MEASURE_WEIGHT * (ns - old));
        ctx.registry.measure(worker, ns / state.rows as f64);
    }

    /// Takes the window into the pace by which the next one's length is chosen.
    fn measure_pace(&mut self, now: Duration, window: &Window) {
        if window.ticks == 0 || window.handed_over {
            return;
        }
        self.last_ticks = window.ticks;
        let wall = now.saturating_sub(window.dispatched_at).as_nanos().max(1) as f64;
        let pace = wall / f64::from(window.ticks);
        let old = self.pace_ns.unwrap_or(pace);
        // A longer window tells more of a tick's own cost and less of the way out and back.
        let weight = if pace < old { 0.5 } else { MEASURE_WEIGHT };
        self.pace_ns = Some(old + weight * (pace - old));
    }
}

/// Whether these can be the sums of so many machines, and can be added up.
fn can_be_sums_of(rows: u64, sums: &Aggregate) -> bool {
    let Counters {
        turns,
        swaths,
        charger_waits,
        charges,
        denied_grants,
        faults,
        repairs,
        commands,
        rejected_commands,
        stand_offs,
        separation_violations,
        ghosts,
        ghost_bytes,
    } = sums.counters;
    let counts = [
        turns,
        swaths,
        charger_waits,
        charges,
        denied_grants,
        faults,
        repairs,
        commands,
        rejected_commands,
        stand_offs,
        separation_violations,
        ghosts,
        ghost_bytes,
    ];
    let all_of = |parts: &[u64]| {
        let sum = parts.iter().try_fold(0, |sum: u64, n| sum.checked_add(*n));
        sum == Some(rows)
    };
    sums.rows == rows
        && all_of(&sums.by_state)
        && all_of(&sums.by_charge)
        // Neither a charge nor a speed has more than 32 bits.
        && sums.charge_sum.unsigned_abs() <= rows << 32
        && sums.speed_sum_mm_per_s.unsigned_abs() <= rows << 32
        && counts.iter().all(|n| *n <= MAX_REPORTED_COUNT)
}

/// Whether events are in their order and of the window's ticks.
fn in_order(events: &[FarmEvent], window: &Window) -> bool {
    let ticks = window.first..=window.last;
    events.iter().all(|e| ticks.contains(&e.tick)) && events.is_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::context::{Outbox, Stopwatch};
    use crate::control::{LatePolicy, SimulationId, Spec, Speed};
    use crate::registry::Registry;
    use crate::schedule::Schedule;
    use crate::verify::Verifier;
    use kernel::config::SimulationConfig;
    use kernel::plan::Plan;
    use transport::message::Mail;
    use transport::pool::FramePool;

    const MS: Duration = Duration::from_millis(1);

    /// A run of two partitions.
    fn simulation() -> Simulation {
        let config = SimulationConfig {
            scenario: 1,
            entities: 16,
            tick_ms: 20,
            seed: 1,
            partition_rows: 8,
        };
        let plan = Plan::new(&config).unwrap();
        let spec = Spec {
            id: SimulationId(7),
            name: String::new(),
            config,
            speed: Speed::Max,
            max_ticks: None,
            digest_every: 10,
            late: LatePolicy::Dilate,
            parent: None,
        };
        Simulation::new(spec, plan)
    }

    #[test]
    fn a_complete_window_moves_its_reports_and_copies_none() {
        let mut simulation = simulation();
        let count = simulation.partitions.len();
        assert!(count > 1, "there is something to merge");
        let mut window = Window::new(1, 1, count, Duration::ZERO);
        let mut words = Vec::new();
        for from in 0..count as u32 {
            let mail = Mail {
                tick: 2,
                from,
                to: 0,
                words: vec![from; 100],
            };
            words.push(mail.words.as_ptr());
            let report = PartitionReport {
                mail: vec![mail],
                ..PartitionReport::default()
            };
            window.fill(from, report);
        }
        simulation.window = Some(window);
        complete(&mut simulation, 50 * MS, 50 * MS);
        let posted = simulation.routing.collect(0);
        let moved: Vec<_> = posted.iter().map(|m| m.words.as_ptr()).collect();
        assert_eq!(moved, words);
    }

    /// A run whose ticks are due every 20 ms from 0 on, with the full window `first ..= last`
    /// dispatched at `now`.
    fn with_window(first: u64, last: u64, now: Duration) -> Simulation {
        let mut simulation = simulation();
        let count = simulation.partitions.len();
        let mut window = Window::new(first, (last + 1 - first) as u32, count, now);
        let schedule = Schedule::new(20, Speed::REAL, Duration::ZERO, 0);
        window.deadline = schedule.deadline(first);
        window.schedule = Some(schedule);
        for p in 0..count as u32 {
            window.fill(p, PartitionReport::default());
        }
        simulation.completed = Some(first - 1);
        simulation.window = Some(window);
        simulation
    }

    #[test]
    fn a_tick_is_complete_only_once_it_is_merged() {
        let mut simulation = with_window(1, 1, 25 * MS);
        // Its last report came in time; decoding and merging took 40 ms.
        complete(&mut simulation, 30 * MS, 70 * MS);
        let latencies = &simulation.latencies;
        assert_eq!(latencies.stage(Stage::TickLatency).max(), 50_015, "us");
        assert_eq!(latencies.stage(Stage::Aggregate).max(), 40_031, "us");
        assert_eq!(simulation.totals.late_ticks, 1);
    }

    #[test]
    fn each_tick_of_a_catch_up_window_has_its_own_latency() {
        let mut simulation = with_window(1, 5, 500 * MS);
        let events = complete(&mut simulation, 1_000 * MS, 1_000 * MS);
        let latency = simulation.latencies.stage(Stage::TickLatency);
        assert_eq!(latency.len(), 5);
        assert_eq!(latency.min() / 1_000, 899, "of tick 5, within a thousandth");
        assert_eq!(latency.max() / 1_000, 980, "of tick 1");
        let late = events.iter().find_map(|e| match e {
            Event::Late { tick, latency, .. } => Some((*tick, *latency)),
            _ => None,
        });
        assert_eq!(late, Some((5, 900 * MS)), "of the tick that it names");
    }

    /// Completes the window by an input that comes at `now` and is merged at `merged`.
    fn complete(simulation: &mut Simulation, now: Duration, merged: Duration) -> Vec<Event> {
        let mut outbox = Outbox::new(FramePool::new());
        simulation.complete(&mut Context {
            now,
            stopwatch: Some(&Stopwatch(Box::new(move || merged))),
            config: &Config::default(),
            holds_runs: false,
            registry: &mut Registry::default(),
            verifier: &mut Verifier::default(),
            outbox: &mut outbox,
        });
        outbox.fresh.into()
    }
}
