//! What happened in an input is noted before anything of it is polled: for the run it happened to, for
//! those who listen, and for the database.

use std::collections::BTreeMap;
use std::time::Duration;

use store::history::{Head, MetricSnapshot};
use transport::control::{Cause, Log, LogEvent, SimulationId};

use crate::chronicle::Page;
use crate::control::WorkerId;
use crate::core::Orchestrator;
use crate::event::{Event, TickPublished};
use crate::journal::{self, Entry};
use crate::limits::{LATE_EVERY, METRICS_EVERY};
use crate::reading::stages;
use crate::record::Late;
use crate::simulation::Simulation;

/// Partitions that came to a worker, and ticks replayed for them.
type Moved = BTreeMap<(SimulationId, WorkerId), (u64, u64)>;

impl Orchestrator {
    /// Notes what has happened since the last call.
    pub(crate) fn note(&mut self) {
        if self.outbox.fresh.is_empty() {
            return;
        }
        let mut moved = Moved::new();
        while let Some(event) = self.outbox.fresh.pop_front() {
            self.note_event(&event, &mut moved);
            self.outbox.events.push_back(event);
        }
        for ((id, worker), (partitions, replayed)) in moved {
            self.log(id, || journal::moved(worker.0, partitions, replayed));
        }
        self.had.clear();
        self.pause_if_full();
    }

    fn note_event(&mut self, event: &Event, moved: &mut Moved) {
        let now = self.now;
        match event {
            Event::Tick(tick) => self.note_tick(tick),
            Event::Lifecycle {
                simulation,
                status,
                cause,
                ..
            } => {
                let unix_us = self.wall.unix_us(now);
                if let Some(run) = self.simulations.get_mut(simulation) {
                    run.record.status(*status, unix_us);
                }
                if *cause != Cause::Requested {
                    self.chronicle.unstated(now, *simulation);
                }
                self.log_event(*simulation, event);
            }
            Event::Settled { simulation, .. } => {
                self.say_late(*simulation, Duration::ZERO);
                self.log_event(*simulation, event);
                self.note_metrics(*simulation, METRICS_EVERY);
                if let Some(run) = self.simulations.get_mut(simulation) {
                    run.latencies.end_intervals();
                }
            }
            Event::NoWorker { simulation, .. }
            | Event::Dilated { simulation, .. }
            | Event::DigestMismatch { simulation, .. }
            | Event::WorkerSuspect { simulation, .. } => self.log_event(*simulation, event),
            Event::Late {
                simulation,
                ticks,
                latency,
                ..
            } => self.note_late(*simulation, *ticks, *latency),
            Event::WorkerLost { worker, .. } | Event::WorkerDraining { worker } => {
                for id in self.had.get(worker).cloned().unwrap_or_default() {
                    self.log_event(id, event);
                }
            }
            Event::Moved {
                simulation,
                to,
                replayed,
                ..
            } => {
                let (partitions, ticks) = moved.entry((*simulation, *to)).or_default();
                *partitions += 1;
                *ticks += replayed;
            }
            _ => {}
        }
    }

    fn note_tick(&mut self, tick: &TickPublished) {
        let (now, id) = (self.now, tick.simulation);
        self.say_late(id, LATE_EVERY);
        let Some(run) = self.simulations.get_mut(&id) else {
            return;
        };
        // What was published before a crash, or by the parent of a fork, is neither said nor written again, and how fast it is
        // done again is not how fast the run goes.
        if tick.replayed {
            return;
        }
        run.record.completed(now, tick.tick);
        let (started_at, has_view) = (tick.started_at, tick.has_view);
        self.feeds.tick(now, id, started_at, has_view, &tick.events);
        if !self.config.durable {
            return;
        }
        let head = head(run);
        if !tick.events.is_empty() {
            let page = Page::Events(tick.events.clone());
            self.chronicle.add(now, id, tick.tick, page);
        }
        if !tick.digests.is_empty() {
            let page = Page::Digests(tick.digests.clone());
            self.chronicle.add(now, id, tick.tick, page);
        }
        self.note_metrics(id, Duration::ZERO);
        let page = Page::Head(Box::new(head));
        self.chronicle.add(now, id, tick.tick, page);
    }

    /// Notes a run's sums and timings, if it is time, or would be so much later.
    fn note_metrics(&mut self, id: SimulationId, ahead: Duration) {
        let now = self.now;
        if !self.config.durable {
            return;
        }
        let Some(run) = self.simulations.get_mut(&id) else {
            return;
        };
        let since = *run.record.metrics_at.get_or_insert(now);
        if now + ahead < since + METRICS_EVERY {
            return;
        }
        run.record.metrics_at = Some(now);
        let tick = run.completed.unwrap_or(0);
        let tick_ms = run.spec.config.tick_ms;
        let snapshot = MetricSnapshot {
            tick,
            at_us: self.wall.unix_us(now),
            aggregate: run.aggregate,
            late_ticks: run.totals.late_ticks,
            achieved_speed_milli: run.record.achieved_speed_milli(now, tick_ms),
            stages: stages(&run.latencies.take_interval()),
        };
        self.chronicle
            .add(now, id, tick, Page::Metrics(Box::new(snapshot)));
    }

    /// Late windows are said together, for there may be one every tick.
    fn note_late(&mut self, id: SimulationId, ticks: u64, latency: Duration) {
        let since = self.now;
        let Some(run) = self.simulations.get_mut(&id) else {
            return;
        };
        let late = run.record.late.get_or_insert(Late {
            since,
            ticks: 0,
            worst: Duration::ZERO,
        });
        late.ticks += ticks;
        late.worst = late.worst.max(latency);
    }

    /// Says how many ticks of a run were late, if the first of them is as old as this.
    fn say_late(&mut self, id: SimulationId, age: Duration) {
        let now = self.now;
        let run = self.simulations.get_mut(&id);
        let late = run.and_then(|run| run.record.late.take_if(|late| late.since + age <= now));
        if let Some(Late { ticks, worst, .. }) = late {
            self.log(id, || journal::late(ticks, worst.as_micros() as u64));
        }
    }

    fn log_event(&mut self, id: SimulationId, event: &Event) {
        self.log(id, || journal::entry(event).expect("it has an entry"));
    }

    /// Numbers an entry of a run's log `system`, and writes it where anyone reads it.
    pub(crate) fn log(&mut self, id: SimulationId, entry: impl FnOnce() -> Entry) {
        let now = self.now;
        let Some(run) = self.simulations.get_mut(&id) else {
            return;
        };
        run.record.last_system_seq += 1;
        let (durable, heard) = (self.config.durable, self.feeds.has(id));
        if !durable && !heard {
            return;
        }
        let (kind, says) = entry();
        // Of one that is being taken up nothing comes before what it had reached.
        let tick = run.published_tick();
        let event = LogEvent {
            seq: run.record.last_system_seq,
            log: Log::System,
            tick,
            kind,
            site: 0,
            detail: 0,
            reason: 0,
            entities: Vec::new(),
            text: says.to_string(),
        };
        if heard {
            self.feeds.event(now, id, event.clone());
        }
        if durable {
            let page = Page::Events(vec![event]);
            self.chronicle.add(now, id, tick, page);
        }
    }

    /// Runs that a worker has a part of, to be named when it is said what becomes of it.
    pub(crate) fn note_runs_of(&mut self, worker: WorkerId) {
        let has = |run: &Simulation| run.partitions.iter().any(|p| p.owner == Some(worker));
        let runs = self.simulations.iter().filter(|(_, run)| has(run));
        let ids = runs.map(|(id, _)| *id).collect();
        self.had.insert(worker, ids);
    }
}

/// Where a run stands.
fn head(run: &Simulation) -> Head {
    Head {
        tick: run.completed.unwrap_or(0),
        status: None,
        step_until: None,
        ended_at_us: None,
        digest: run.newest_digest(),
        aggregate: run.aggregate,
        late_ticks: run.totals.late_ticks,
        dilated_ms: run.totals.dilated.as_millis() as u64,
    }
}
