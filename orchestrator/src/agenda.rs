//! What a run does next: the choice of its next window, of how many ticks it is and when, or that it waits.

use std::time::Duration;

use crate::context::Context;
use crate::control::Status;
use crate::cost::visit;
use crate::limits::{MAX_DIGESTS_PER_WINDOW, MAX_WINDOW_TICKS, WINDOW_TARGET};
use crate::registry::WorkerState;
use crate::simulation::Simulation;
use crate::verify;

/// What a run does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing before an input comes.
    Wait,
    /// Nothing before this time.
    WaitUntil(Duration),
    /// A window of so many ticks, perhaps with the digest of its last.
    Window {
        /// Steps.
        ticks: u32,
        /// Whether the digest of the last tick is wanted.
        wants_digest: bool,
        /// Deadline it stands for.
        deadline: Option<Duration>,
    },
    /// It has ended and nothing is left to be asked.
    Settle,
}

impl Simulation {
    /// When it goes on by itself, or someone becomes suspect; `None` where an input must come first.
    pub(crate) fn next_wake(&mut self, ctx: &Context<'_>) -> Option<Duration> {
        if self.window.is_some() {
            return self.next_suspicion(ctx.now);
        }
        match self.next(ctx) {
            Next::Wait => None,
            Next::WaitUntil(at) => Some(at),
            // It fell due while an input of another run was handled. One that waits for a worker
            // goes on when one comes.
            Next::Window { .. } | Next::Settle => (!self.said_no_worker).then_some(ctx.now),
        }
    }

    /// What to do now, given that no window is in flight.
    pub(crate) fn next(&self, ctx: &Context<'_>) -> Next {
        debug_assert!(self.window.is_none());
        if self.settled || self.status == Status::Created {
            return Next::Wait;
        }
        let Some(completed) = self.completed else {
            return self.next_before_creation();
        };
        // It ends only after what was published of it.
        if self.replay.is_some() && !(self.status.is_final() && self.is_out_of_reach(ctx)) {
            return self.next_ticks(ctx, completed + 1);
        }
        match self.status {
            status if status.is_final() => self.next_of_the_end(ctx, completed),
            _ if self.stands() => self.next_of_the_present(ctx, completed),
            _ => self.next_ticks(ctx, completed + 1),
        }
    }

    /// What a run that has ended at `tick` is asked before it settles.
    fn next_of_the_end(&self, ctx: &Context<'_>, tick: u64) -> Next {
        if self.is_out_of_reach(ctx) {
            return Next::Settle;
        }
        let is_cut_owed = self.cuts.is_owed(tick, ctx.config.cut_every);
        if self.is_digest_unknown() || self.views.is_behind(tick) || is_cut_owed {
            return self.question();
        }
        match self.cuts.keeps_open_until(tick) {
            Some(until) if until > ctx.now => Next::WaitUntil(until),
            _ => Next::Settle,
        }
    }

    /// What a run that stands at `tick` is asked, if anything.
    fn next_of_the_present(&self, ctx: &Context<'_>, tick: u64) -> Next {
        if self.is_digest_unknown() {
            return self.question();
        }
        let cut_at = self.cuts.due_at(tick, ctx.config.cut_every);
        let due_at = [self.views.due_at(tick), cut_at]
            .into_iter()
            .flatten()
            .min();
        match due_at {
            None => Next::Wait,
            Some(at) if at > ctx.now => Next::WaitUntil(at),
            Some(_) => self.question(),
        }
    }

    /// A window of no ticks, that asks about the present one.
    fn question(&self) -> Next {
        Next::Window {
            ticks: 0,
            wants_digest: self.is_digest_unknown(),
            deadline: None,
        }
    }

    /// Whether the last complete tick's digest was not asked for.
    fn is_digest_unknown(&self) -> bool {
        self.digest.map(|(tick, _)| tick) != self.completed
    }

    /// Whether a partition is lost and nobody is there who could ever take it.
    pub(crate) fn is_out_of_reach(&self, ctx: &Context<'_>) -> bool {
        if self.lacks_end {
            return false;
        }
        self.partitions.iter().any(|p| p.owner.is_none())
            && ctx
                .registry
                .iter()
                .all(|w| w.state == WorkerState::Draining)
    }

    /// Creation comes first; a run that ended before has nothing to settle.
    fn next_before_creation(&self) -> Next {
        if self.status.is_final() && self.replay.is_none() {
            return Next::Settle;
        }
        Next::Window {
            ticks: 0,
            wants_digest: true,
            deadline: None,
        }
    }

    /// The window that begins with tick `first`, if it is due.
    fn next_ticks(&self, ctx: &Context<'_>, first: u64) -> Next {
        if ctx.holds_runs || (self.halting.is_some() && self.replay.is_none()) {
            return match self.replay {
                None => self.next_of_the_present(ctx, first - 1),
                Some(_) => Next::Wait,
            };
        }
        match self.full_until() {
            Some(until) if until > ctx.now => return Next::WaitUntil(until),
            Some(_) => {
                return Next::Window {
                    ticks: 0,
                    wants_digest: false,
                    deadline: None,
                };
            }
            None => {}
        }
        let replay = self.replay.map(|replay| replay.end_of_window(first));
        let end = replay.or(self.step_until).unwrap_or(u64::MAX);
        let end = end.min(self.last_tick());
        // What a replay finds is not written: the last digest is asked for after it.
        let lacks_digest = self.lacks_end && self.replay.is_some_and(|r| r.repeats(first));
        let left = u32::try_from((end + 1).saturating_sub(first)).unwrap_or(u32::MAX);
        let most = self.most_ticks(ctx, first).min(left);
        let stepping = replay.is_some() || self.status == Status::Paused;
        let nominal = self.schedule.nominal_ticks().min(most).max(1);
        let last_nominal = first + u64::from(nominal) - 1;
        let deadline = self.schedule.deadline(last_nominal).filter(|_| !stepping);
        if let Some(deadline) = deadline.filter(|d| *d > ctx.now) {
            return Next::WaitUntil(deadline);
        }
        let ticks = match deadline {
            None => most,
            Some(_) => self.schedule.due_ticks(first, ctx.now, most).max(nominal),
        };
        Next::Window {
            ticks,
            wants_digest: first + u64::from(ticks) - 1 == end && !lacks_digest,
            deadline,
        }
    }

    /// Most ticks that a window from `first` on may have, at least 1.
    fn most_ticks(&self, ctx: &Context<'_>, first: u64) -> u32 {
        if self.cut {
            return 1;
        }
        let target_ns = WINDOW_TARGET.as_nanos() as f64;
        let aimed = self.pace_ns.map_or(1.0, |pace| target_ns / pace.max(1.0));
        // No more than twice the last one, so that one lucky measurement does no harm.
        let aimed = (aimed as u32).min(self.last_ticks.saturating_mul(2));
        let digests = self
            .spec
            .digest_every
            .saturating_mul(MAX_DIGESTS_PER_WINDOW);
        let most = aimed
            .max(self.schedule.nominal_ticks())
            .min(digests)
            .min(u32::try_from(self.checkpoint_ticks).unwrap_or(u32::MAX))
            .clamp(1, MAX_WINDOW_TICKS);
        // It ends where a command is due, so that what came of it is soon known.
        let most = match self.pending.range(first..).next() {
            Some((tick, _)) => (tick - first + 1).min(u64::from(most)) as u32,
            None => most,
        };
        self.ticks_to_sample(ctx, first, most)
    }

    /// A sampled tick is a window of its own: its prior state is a state between windows.
    fn ticks_to_sample(&self, ctx: &Context<'_>, first: u64, most: u32) -> u32 {
        if !verify::is_possible(ctx) {
            return most;
        }
        let partitions = self.partitions.len() as u32;
        for ticks in 0..most {
            let tick = first + u64::from(ticks);
            let one_in = ctx.config.verify_one_in;
            if verify::any_sampled(self.spec.config.seed, partitions, tick, one_in) {
                return ticks.max(1);
            }
        }
        most
    }

    /// Set while a partition's inputs, or the ticks since its checkpoint, are at their bound: the run stands, and this is when the
    /// checkpoint that frees it is asked for again, by a window of no ticks.
    fn full_until(&self) -> Option<Duration> {
        self.partitions
            .iter()
            .inspect(|_| visit())
            .filter(|p| p.history.is_full() || p.is_far(self.completed.unwrap_or(0)))
            .map(|p| p.asked.map_or(Duration::ZERO, |(_, until)| until))
            .max()
    }
}
