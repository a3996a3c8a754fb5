//! Commands on their way into a run: each is given a place, and enters only once that is kept.
//!
//! A place is a seq, which stays, and a tick. If the tick is dispatched before the place is kept, the
//! command is given a later one with twice the lead, and that is kept again. While a place of tick t is not kept, nobody
//! may rely on what happened in t or later: a crash would bring the command back there. The place that is kept
//! is the old one until the later one is: until then it is the old one that holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::context::Context;
use crate::control::{CommandRequest, CommandStamp, ControlError};
use crate::event::Event;
use crate::limits::{MAX_LEAD_TICKS, MAX_PENDING_COMMANDS, MAX_STAMPS};
use crate::simulation::Simulation;

/// Commands of one run whose place is not kept yet, by seq.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    by_seq: BTreeMap<u64, Placed>,
    /// What each holds from, and its seq.
    held: BTreeSet<(u64, u64)>,
    /// How many they are once each is made one a machine or partition.
    commands: usize,
}

/// A command with a place that is not kept yet.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) stamp: CommandStamp,
    pub(crate) request: CommandRequest,
    /// Tick at which a crash would bring it back: that of its place that was kept last, or of its first.
    held_from: u64,
    commands: usize,
    /// Ticks it was put off last.
    lead: u64,
    /// Places it was given.
    pub(crate) stamps: u32,
}

impl Placing {
    /// First tick that a command may still have been meant for.
    pub(crate) fn first_tick(&self) -> Option<u64> {
        self.held.first().map(|(tick, _)| *tick)
    }

    /// The place of a command that may still have been meant for a tick up to `tick`.
    pub(crate) fn up_to(&self, tick: u64) -> Option<CommandStamp> {
        let (first, seq) = self.held.first().copied()?;
        (first <= tick).then_some(CommandStamp { seq, tick: first })
    }

    /// A command that is to be placed.
    pub(crate) fn get(&self, seq: u64) -> Option<&Placed> {
        self.by_seq.get(&seq)
    }

    fn add(&mut self, placed: Placed) {
        self.commands += placed.commands;
        self.held.insert((placed.held_from, placed.stamp.seq));
        self.by_seq.insert(placed.stamp.seq, placed);
    }

    /// The place it has now is kept: it holds from there.
    pub(crate) fn kept(&mut self, seq: u64) {
        if let Some(mut placed) = self.remove(seq) {
            placed.held_from = placed.stamp.tick;
            self.add(placed);
        }
    }

    /// It has entered, or is taken back.
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Placed> {
        let placed = self.by_seq.remove(&seq)?;
        self.held.remove(&(placed.held_from, seq));
        self.commands -= placed.commands;
        Some(placed)
    }
}

impl Simulation {
    /// Gives a command its place where nothing is kept.
    pub(crate) fn command(
        &mut self,
        ctx: &mut Context<'_>,
        request: &CommandRequest,
    ) -> Result<CommandStamp, ControlError> {
        let last_seq = self.last_seq;
        let stamp = self.reserve(request, ctx.config.command_lead_ticks)?;
        let placed = self.enter(ctx, stamp.seq);
        if placed.is_err() {
            self.placing.remove(stamp.seq);
            self.last_seq = last_seq;
        }
        placed
    }

    /// Gives a command a place that is to be kept.
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with it.
    pub(crate) fn reserve(
        &mut self,
        request: &CommandRequest,
        lead: u64,
    ) -> Result<CommandStamp, ControlError> {
        if self.status.is_final() {
            return Err(self.invalid("command"));
        }
        let next = self.next_free_tick();
        // Where time stands there is nothing to be put off from.
        let lead = if self.stands() { 0 } else { lead };
        // What was asked later does not happen earlier, also where the lead has become shorter.
        let tick = (request.tick).unwrap_or_else(|| (next + lead).max(self.last_placed_tick));
        if tick < next {
            return Err(ControlError::TickPassed { tick, next });
        }
        if tick > self.last_tick() {
            let last = self.last_tick();
            return Err(ControlError::TickBeyondEnd { tick, last });
        }
        let commands = self.commands_for(&request.target)?;
        if self.pending_count + self.placing.commands + commands > MAX_PENDING_COMMANDS {
            let limit = MAX_PENDING_COMMANDS;
            return Err(ControlError::TooManyCommands { limit });
        }
        self.last_seq += 1;
        let stamp = CommandStamp {
            seq: self.last_seq,
            tick,
        };
        self.note_placed(request, tick);
        self.placing.add(Placed {
            stamp,
            request: request.clone(),
            held_from: tick,
            commands,
            lead,
            stamps: 1,
        });
        Ok(stamp)
    }

    /// A command's place is kept: it enters.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot enter there; then it is still to be placed.
    pub(crate) fn enter(
        &mut self,
        ctx: &mut Context<'_>,
        seq: u64,
    ) -> Result<CommandStamp, ControlError> {
        let placed = self
            .placing
            .by_seq
            .get(&seq)
            .expect("it was reserved")
            .clone();
        let (stamp, next) = (placed.stamp, self.next_free_tick());
        if self.status.is_final() {
            return Err(self.invalid("command"));
        }
        if stamp.tick < next {
            let tick = stamp.tick;
            return Err(ControlError::TickPassed { tick, next });
        }
        self.enqueue(stamp, &placed.request, MAX_PENDING_COMMANDS)?;
        self.placing.remove(seq);
        ctx.outbox.event(Event::CommandStamped {
            simulation: self.spec.id,
            stamp,
        });
        Ok(stamp)
    }

    /// Gives a command that came too late for its place a later one, which is to be kept; `None` where
    /// it named its tick, or was given [`MAX_STAMPS`] already, or none is left.
    pub(crate) fn place_again(&mut self, seq: u64, lead: u64) -> Option<&Placed> {
        if self.status.is_final() {
            return None;
        }
        let mut placed = self.placing.remove(seq).expect("it was reserved");
        let next = self.next_free_tick();
        let lead = (2 * placed.lead).max(lead).min(MAX_LEAD_TICKS);
        let again = placed.request.tick.is_none()
            && placed.stamps < MAX_STAMPS
            && next + lead <= self.last_tick();
        if again {
            placed.lead = lead;
            placed.stamps += 1;
            placed.stamp.tick = (next + lead).max(self.last_placed_tick);
            self.note_placed(&placed.request, placed.stamp.tick);
        }
        self.placing.add(placed);
        again.then(|| &self.placing.by_seq[&seq])
    }

    /// A command was given a place; those that name no tick come no earlier from now on.
    pub(crate) fn note_placed(&mut self, request: &CommandRequest, tick: u64) {
        if request.tick.is_none() {
            self.last_placed_tick = self.last_placed_tick.max(tick);
        }
    }

    /// First tick that was not sent out, and not published or promised before a replay either.
    fn next_free_tick(&self) -> u64 {
        self.present() + 1
    }
}
