//! What operators ask for.

use orchestrator::control::{ControlError, Speed, Status};

use crate::agenda::{self, Act};
use crate::check::violated;
use crate::cluster::{Cluster, trace};
use crate::kept::Book;

impl Cluster {
    pub(crate) fn create(&mut self, run: usize) {
        let spec = self.runs[run].spec.clone();
        let id = spec.id;
        self.books[run] = Some(Book::new(spec.clone()));
        self.core
            .create(self.now, spec)
            .expect("a valid specification");
        self.drain_core();
        self.core.start(self.now, id).expect("it was just created");
        self.drain_core();
        let time = self.some_time(20, 500);
        self.plan(time, Act::Operate(run));
        match self.random.u8(..16) {
            0 => self.plan(time * 16, Act::End(run)),
            1 => self.plan(time * 16, Act::Delete(run)),
            _ => {}
        }
    }

    pub(crate) fn operate(&mut self, run: usize) {
        if self.runs[run].settled {
            return;
        }
        let time = self.some_time(20, 2_000);
        self.plan(time, Act::Operate(run));
        match self.random.u8(..20) {
            0..2 if self.mended_at.is_none() => self.pause(run),
            2..4 if self.mended_at.is_none() => {
                let speed = match self.random.u8(..4) {
                    0 => Speed::Max,
                    _ => Speed::Milli(self.random.u32(300..30_000)),
                };
                self.set_speed(run, speed);
            }
            4..7 => self.step_run(run),
            7..10 => self.watch(run),
            _ => self.command(run),
        }
    }

    pub(crate) fn command(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        let farm = self.runs[run].plan.farm.clone();
        let next = self.runs[run].dispatched + 1;
        let request = agenda::command(&farm, next, &mut self.random);
        match self.core.command(self.now, id, &request) {
            Ok(stamp) => {
                trace!(self, "simulation {} takes {request:?} as {stamp:?}", id.0);
                let entities = agenda::entities_of(&request.target, &farm);
                self.runs[run].acknowledged(stamp, &entities, request.action);
                if let Some(book) = &mut self.books[run] {
                    book.command(stamp, request, entities);
                }
                self.counts.commands += 1;
            }
            Err(ControlError::TickBeyondEnd { .. } | ControlError::TickPassed { .. }) => {}
            Err(ControlError::InvalidTransition { status, .. }) if status.is_final() => {}
            Err(error) => violated!("commands", "{request:?} is refused: {error}"),
        }
        self.drain_core();
    }

    pub(crate) fn pause(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        if self.core.pause(self.now, id).is_ok() {
            self.counts.pauses += 1;
            self.drain_core();
            let run_state = &mut self.runs[run];
            run_state.stands_at = Some(run_state.dispatched);
            let time = self.some_time(50, 4_000);
            self.plan(time, Act::Resume(run));
        } else if !matches!(self.runs[run].status, Status::Paused) {
            let status = self.runs[run].status;
            if !status.is_final() {
                violated!("lifecycle", "a run that is {status:?} is not paused");
            }
        }
    }

    /// Someone watches a run, watches it no longer, or looks at it once.
    pub(crate) fn watch(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        let known = match self.random.u8(..4) {
            0 => self.core.ask_view(self.now, id),
            1 => self.core.set_view_hz(self.now, id, None),
            _ => {
                let hz = self.random.u32(1..=60);
                self.core.set_view_hz(self.now, id, Some(hz))
            }
        };
        known.expect("it is there");
        self.drain_core();
    }

    pub(crate) fn step_run(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        let ticks = self.random.u64(1..20);
        // Before the call, for the ticks go out within it.
        let before = self.runs[run].stands_at;
        self.runs[run].stands_at = before.map(|tick| tick + ticks);
        if self.core.step(self.now, id, ticks).is_ok() {
            self.counts.steps += 1;
            if let (Some(book), Some(until)) = (&mut self.books[run], self.runs[run].stands_at) {
                book.steps(until);
            }
        } else {
            self.runs[run].stands_at = before;
        }
        self.drain_core();
    }

    pub(crate) fn resume(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        if self.core.resume(self.now, id).is_ok() {
            self.runs[run].stands_at = None;
        }
        self.drain_core();
        if self.mended_at.is_some() {
            self.set_speed(run, Speed::Max);
        }
    }

    pub(crate) fn set_speed(&mut self, run: usize, speed: Speed) {
        let id = self.runs[run].spec.id;
        if self.core.set_speed(self.now, id, speed).is_ok() {
            trace!(self, "simulation {} goes at {speed:?}", id.0);
            if let Some(book) = &mut self.books[run] {
                book.speed(speed);
            }
            self.runs[run].waits = false;
            self.counts.speeds += 1;
        }
        self.drain_core();
    }

    pub(crate) fn delete(&mut self, run: usize) {
        if self.runs[run].settled {
            return;
        }
        let id = self.runs[run].spec.id;
        self.core.delete(self.now, id).expect("it is there");
        self.books[run] = None;
        self.counts.deletions += 1;
        // Nothing may be published of it any more.
        self.runs[run].settled = true;
        self.runs[run].waits = false;
        self.drain_core();
    }

    pub(crate) fn end_run(&mut self, run: usize) {
        let id = self.runs[run].spec.id;
        if self.core.stop(self.now, id).is_ok() {
            self.counts.ends += 1;
        }
        self.drain_core();
    }
}
