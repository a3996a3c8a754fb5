//! Cuts: every partition at one tick, and the messages under way, to be kept by the store.
//!
//! A window that is due for one asks all its partitions for a checkpoint of its last tick. They come
//! behind the results, on streams of lower priority, and become the partitions' bases as any other
//! checkpoint does. The cut is whole once the last has come, the tick is complete, and no step up to it
//! is being verified. Nothing waits for it but the end of a run that was stopped: one that does not
//! become whole is given up, and another tick is tried soon.

use std::time::Duration;

use bytes::Bytes;
use kernel::config::KERNEL_VERSION;
use store::history::Cut;
use transport::frame::Frame;
use transport::header::SCHEMA_HASH;
use transport::message::Mail;

use crate::context::Context;
use crate::limits::{CUT_PATIENCE, CUT_RETRY};
use crate::simulation::Simulation;
use crate::wire;

/// A run's cuts.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// When the next one is due; `None` before the first tick is complete.
    due_at: Option<Duration>,
    /// One is wanted of the present tick, whenever the next would be due.
    wanted: bool,
    /// What was wanted and did not become whole is tried again from this time on.
    not_before: Duration,
    /// The run was stopped: what does not become whole is not tried again.
    last: bool,
    /// Tick of the newest that was handed out.
    newest: Option<u64>,
    under_way: Option<UnderWay>,
}

/// A cut that is not whole.
#[derive(Debug)]
struct UnderWay {
    tick: u64,
    give_up_at: Duration,
    /// Whether it was wanted for itself.
    wanted: bool,
    /// By partition.
    checkpoints: Vec<Option<Bytes>>,
    missing: usize,
    /// What was known when the tick was complete.
    complete: Option<Complete>,
}

#[derive(Debug)]
struct Complete {
    last_sim_seq: u64,
    mail: Vec<Mail>,
}

impl Cuts {
    /// When a window that ends with `tick` is to be a cut's, where cuts are made `every` so often;
    /// `None` where it is not.
    pub(crate) fn due_at(&self, tick: u64, every: Option<Duration>) -> Option<Duration> {
        every?;
        // Creation can be repeated from nothing.
        if tick == 0 || self.newest == Some(tick) {
            return None;
        }
        match &self.under_way {
            Some(cut) if cut.tick == tick || !self.wanted => Some(cut.give_up_at),
            _ if self.wanted => Some(self.not_before),
            _ => self.due_at,
        }
    }

    /// When a run that was stopped at `tick` may settle, as far as a cut that was wanted goes; `None`
    /// where it may at once.
    pub(crate) fn keeps_open_until(&self, tick: u64) -> Option<Duration> {
        let cut = self.under_way.as_ref()?;
        let is_wanted = cut.wanted || self.wanted;
        (is_wanted && cut.tick == tick).then_some(cut.give_up_at)
    }

    /// Whether a run that was stopped at `tick` is to be asked for it yet.
    pub(crate) fn is_owed(&self, tick: u64, every: Option<Duration>) -> bool {
        let asked = self.newest == Some(tick) || self.tick() == Some(tick);
        every.is_some() && self.wanted && tick > 0 && !asked
    }

    /// Tick of the one under way.
    pub(crate) fn tick(&self) -> Option<u64> {
        self.under_way.as_ref().map(|cut| cut.tick)
    }

    /// Begins with the window that ends with `tick`.
    fn begin(&mut self, now: Duration, tick: u64, partitions: usize, every: Duration) {
        self.due_at = Some(now + every);
        let before = self.under_way.take().is_some_and(|cut| cut.wanted);
        let wanted = std::mem::take(&mut self.wanted) || before;
        self.under_way = Some(UnderWay {
            tick,
            give_up_at: now + CUT_PATIENCE,
            wanted,
            checkpoints: vec![None; partitions],
            missing: partitions,
            complete: None,
        });
    }

    /// Gives up the one under way and tries again soon.
    pub(crate) fn give_up(&mut self, now: Duration) {
        let Some(cut) = self.under_way.take() else {
            return;
        };
        self.wanted |= cut.wanted && !self.last;
        self.not_before = now + CUT_RETRY;
        self.due_at = Some(self.not_before);
    }

    /// Takes a partition's checkpoint of the cut's tick in.
    fn fill(&mut self, p: usize, tick: u64, payload: &Bytes) {
        if let Some(cut) = self.under_way.as_mut().filter(|cut| cut.tick == tick)
            && let Some(place @ None) = cut.checkpoints.get_mut(p)
        {
            *place = Some(payload.clone());
            cut.missing -= 1;
        }
    }

    /// Whether the one under way lacks the checkpoint of this partition.
    fn lacks(&self, p: usize) -> bool {
        let lacks = |cut: &UnderWay| cut.checkpoints.get(p).is_some_and(Option::is_none);
        self.under_way.as_ref().is_some_and(lacks)
    }

    /// Whether it waits for nothing but that its ticks are trusted.
    fn is_filled(&self) -> bool {
        let filled = |cut: &UnderWay| cut.missing == 0 && cut.complete.is_some();
        self.under_way.as_ref().is_some_and(filled)
    }

    /// Hands it out, whole.
    fn take(&mut self) -> Option<Cut> {
        let cut = self.under_way.take()?;
        let Complete { last_sim_seq, mail } = cut.complete?;
        self.newest = Some(cut.tick);
        Some(Cut {
            tick: cut.tick,
            kernel_version: KERNEL_VERSION,
            schema_hash: SCHEMA_HASH,
            last_sim_seq,
            checkpoints: cut.checkpoints.into_iter().flatten().collect(),
            mail,
        })
    }
}

impl Simulation {
    /// A cut of the present tick is wanted, or of the next window's if it goes on. A run that stands gives
    /// rise to a window of no ticks, unless there is such a cut; one that has settled needs none.
    pub(crate) fn ask_cut(&mut self) {
        let present = self.completed.filter(|_| self.window.is_none());
        let cuts = &mut self.cuts;
        if self.settled || (present.is_some() && cuts.newest == present) {
            return;
        }
        match cuts.under_way.as_mut().filter(|c| Some(c.tick) == present) {
            Some(cut) => cut.wanted = true,
            None => cuts.wanted = true,
        }
    }

    /// The run is stopped: a cut of its last tick is wanted, and tried once.
    pub(crate) fn ask_last_cut(&mut self) {
        self.ask_cut();
        self.cuts.last = true;
        self.cuts.not_before = Duration::ZERO;
    }

    /// Decides whether a window that ends with `tick` and is dispatched now is a cut's.
    pub(crate) fn begin_cut(&mut self, ctx: &Context<'_>, tick: u64) -> bool {
        let every = ctx.config.cut_every;
        let due_at = self.cuts.due_at(tick, every);
        let Some(every) = every.filter(|_| due_at.is_some_and(|at| at <= ctx.now)) else {
            return false;
        };
        self.cuts.begin(ctx.now, tick, self.partitions.len(), every);
        true
    }

    /// A tick is complete: of the cut's, what else belongs to it is taken down.
    pub(crate) fn end_tick_of_cut(&mut self, ctx: &mut Context<'_>, tick: u64) {
        if let Some(every) = ctx.config.cut_every {
            self.cuts.due_at.get_or_insert(ctx.now + every);
        }
        if self.cuts.tick() == Some(tick) {
            let complete = Complete {
                last_sim_seq: self.last_sim_seq,
                mail: self.routing.posted(),
            };
            if let Some(cut) = &mut self.cuts.under_way {
                cut.complete.get_or_insert(complete);
            }
        }
        self.hand_out_cut(ctx);
    }

    /// A checkpoint came, which may be of the cut's tick.
    pub(crate) fn fill_cut(&mut self, ctx: &mut Context<'_>, frame: &Frame) {
        let from = wire::from(frame);
        self.cuts
            .fill(from.partition as usize, from.tick, frame.payload());
        self.hand_out_cut(ctx);
    }

    /// The owner of partition `p` is not to be relied on: what he has not sent of the cut never comes,
    /// unless he has not answered the window and it is sent again.
    pub(crate) fn lose_checkpoint_of_cut(&mut self, now: Duration, p: usize) {
        let tick = self.cuts.tick();
        let again = self
            .window
            .as_ref()
            .is_some_and(|w| w.is_cut && Some(w.last) == tick && w.slots[p].report.is_none());
        if self.cuts.lacks(p) && !again {
            self.cuts.give_up(now);
        }
    }

    /// Hands the cut out if it is whole and nothing of it is in doubt.
    pub(crate) fn hand_out_cut(&mut self, ctx: &mut Context<'_>) {
        if !self.cuts.is_filled() {
            return;
        }
        let tick = self.cuts.tick().expect("filled");
        let id = self.spec.id;
        let trusted = (0..self.partition_count).all(|p| ctx.verifier.trusted(id, p, tick) >= tick);
        if trusted && let Some(cut) = self.cuts.take() {
            ctx.outbox.cut(id, cut);
        }
    }
}
