//! What is kept before it is done: writes go out, and what they are for is done once they come back.
//!
//! A request whose write was not even given to the store after
//! [`COMMIT_PATIENCE`](crate::limits::COMMIT_PATIENCE) is refused at once: nothing was begun. One whose write was
//! given to it is answered when its fate is known, however long that takes, for whoever is told that it was not
//! done must never find that it was.

use std::time::Duration;

use store::recovery::Recovered;
use store::write::{Change, Committed, Guard, Write};
use transport::control::{Answer, Refusal, SimulationId};

use crate::answer;
use crate::control::ControlError;
use crate::core::Orchestrator;
use crate::desk::{Awaited, Caller, Effect, Lane};
use crate::event::Event;
use crate::fault::StoreFault;
use crate::limits::{EXPIRE_EVERY, MAX_SILENT_HALT, MAX_STAMPS};
use crate::request::refused;
use crate::simulation::Simulation;

/// A run's standing still until it is known whether that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halt {
    since: Duration,
    /// Whether the log has said so.
    is_said: bool,
}

impl Orchestrator {
    /// The next write. All that are given out before the store begins may be committed together, in
    /// order; no more are to be taken until their fate is known, so that what waits is known to have
    /// no effect. What says where a run stands waits for a batch that says so too, for of the two the later one holds;
    /// what is of other runs does not wait for that.
    pub fn poll_write(&mut self) -> Option<Write> {
        let (now, chronicle) = (self.now, &self.chronicle);
        // Whatever waits for a run's batch waits for the same one, so that nothing of a run overtakes the rest.
        let waits = |change: &Change| match change {
            Change::Delete(id) => chronicle.is_stating(*id),
            change => change.restates().is_some_and(|id| chronicle.is_stating(id)),
        };
        let id = self.desk.next_write(waits)?;
        self.renew(now, id);
        Some(self.desk.hand_out(now, id))
    }

    /// A write that is about to be given to the store says where its run stands now: since it was asked for the run may
    /// have failed, or been paused, and a batch may have said so, which nothing older may outlive. A move that has become
    /// impossible by that is refused, and nothing of it is kept.
    fn renew(&mut self, now: Duration, id: u64) {
        let awaited = &self.desk.awaited[&id];
        let (simulation, movement) = match (&awaited.effect, &awaited.write.change) {
            (
                Effect::Move {
                    simulation,
                    movement,
                    ..
                },
                _,
            ) => (*simulation, movement.clone()),
            (_, Change::TakeBack(Some(instead))) => {
                let run = instead.restates().and_then(|id| self.simulations.get(&id));
                let change = run.map(|run| Change::TakeBack(Some(Box::new(restated(run)))));
                let awaited = self.desk.awaited.get_mut(&id).expect("it is there");
                awaited.write.change = change.unwrap_or_else(|| awaited.write.change.clone());
                return;
            }
            _ => return,
        };
        let caller = awaited.caller.clone();
        let unix_us = self.wall.unix_us(now);
        let (change, effect) = match self.course_of_move(simulation, movement, unix_us) {
            Ok((change, effect)) => (change, effect),
            Err(error) => {
                // It has ended, or stands already.
                if let Some(run) = self.simulations.get_mut(&simulation) {
                    run.halting = None;
                }
                (Change::Nothing, Effect::Refuse(Refusal::from(error)))
            }
        };
        let (guard, foreseen) = self.guarded(now, &caller, &effect).unzip();
        let awaited = self.desk.awaited.get_mut(&id).expect("it is there");
        (awaited.effect, awaited.foreseen) = (effect, foreseen);
        (awaited.write.change, awaited.write.guard) = (change, guard);
    }

    /// A write was committed; or it was not yet, and why: after [`StoreFault::Unavailable`] it is to be
    /// tried again as it was, after [`StoreFault::DiskFull`] it is given out anew.
    pub fn handle_committed(
        &mut self,
        now: Duration,
        id: u64,
        result: Result<Committed, StoreFault>,
    ) {
        self.begin(now);
        match result {
            Ok(committed) => {
                let Some(awaited) = self.desk.awaited.remove(&id) else {
                    return;
                };
                let took = now.saturating_sub(awaited.handed_at.unwrap_or(now));
                self.desk.commits.note(took);
                let lane = awaited.lane;
                self.do_kept(now, awaited, committed);
                // History may have waited for this.
                self.chronicle.wake(now);
                if let Some(lane) = lane {
                    self.go_on(now, lane);
                }
            }
            Err(StoreFault::Unavailable) => {}
            Err(StoreFault::DiskFull) => {
                if self.desk.awaited.contains_key(&id) {
                    self.desk.queue.insert(id);
                    self.desk.expire_at = Some(now);
                    self.expire(now);
                }
            }
            Err(StoreFault::Over { reason }) => self.end(reason),
        }
    }

    /// Nothing more is ever written, and why: it is over.
    pub fn handle_store_over(&mut self, now: Duration, reason: String) {
        self.begin(now);
        self.end(reason);
    }

    /// Does what is kept, and answers whoever asked.
    fn do_kept(&mut self, now: Duration, awaited: Awaited, committed: Committed) {
        let caller = awaited.caller.clone();
        let command = awaited.effect.command();
        let answered = match committed {
            Committed::Done => match self.do_effect(now, awaited) {
                Some(answered) => answered,
                // It is written once more, and answered then.
                None => return,
            },
            Committed::Forked(recovered) => match self.begin_fork(now, *recovered, awaited) {
                Some(answered) => answered,
                None => return,
            },
            // What is not there is gone as it was to be.
            Committed::NotFound
                if matches!(awaited.effect, Effect::Withdraw { .. } | Effect::Delete(_)) =>
            {
                match self.do_effect(now, awaited) {
                    Some(answered) => answered,
                    None => return,
                }
            }
            not_done => {
                self.undo(now, &awaited.effect);
                if let Some(first) = self.repeats_unplaced(&awaited.effect, &not_done) {
                    self.desk.repeaters.entry(first).or_default().push(caller);
                    return;
                }
                not_kept(&awaited.effect, not_done)
            }
        };
        if let Some(command) = command {
            self.answer_repeaters(command, &answered);
        }
        self.answer(&caller, answered);
    }

    /// Answers those who have repeated a command what its first caller is answered.
    fn answer_repeaters(&mut self, command: (SimulationId, u64), answered: &Answer) {
        for repeater in self.desk.repeaters.remove(&command).unwrap_or_default() {
            self.answer(&repeater, answered.clone());
        }
    }

    /// The command that this one repeats, where it has a place that was kept too late and is being given another: what
    /// is kept under the key is not what will be.
    fn repeats_unplaced(
        &self,
        effect: &Effect,
        committed: &Committed,
    ) -> Option<(SimulationId, u64)> {
        let (Effect::Command { simulation, .. }, Committed::Repeated(bytes)) = (effect, committed)
        else {
            return None;
        };
        let Answer::Stamp(stamp) = answer::decode(bytes) else {
            return None;
        };
        let run = self.simulations.get(simulation)?;
        run.placing.get(stamp.seq)?;
        Some((*simulation, stamp.seq))
    }

    /// A fork is kept: it begins with what its parent left. Answers what was foreseen; `None` where it is taken back first.
    fn begin_fork(
        &mut self,
        now: Duration,
        recovered: Recovered,
        awaited: Awaited,
    ) -> Option<Answer> {
        let (id, tick) = (recovered.spec.id, recovered.head_tick);
        let Awaited {
            effect: Effect::Fork { plan, .. },
            caller,
            write,
            foreseen,
            ..
        } = awaited
        else {
            unreachable!("only a fork is answered with one");
        };
        if let Err(fault) = self.recover(now, recovered, Some(*plan)) {
            tracing::error!(simulation = %id, %fault, "what was kept of the parent is nothing to fork");
            let error = ControlError::TickNotKept { tick, last: tick };
            return self.take_back(caller, write.guard, Some(Change::Delete(id)), error);
        }
        let present =
            |run: &Simulation| Answer::Simulation(Box::new(run.info(now, &self.chronicle)));
        let answered = foreseen.or_else(|| self.simulations.get(&id).map(present));
        Some(answered.unwrap_or(Answer::Done))
    }

    /// What was kept could not be done: something else is kept in its place, where anything is, and nothing under its key.
    /// Answers what is to be answered, if nothing is to be taken back first.
    fn take_back(
        &mut self,
        caller: Caller,
        guard: Option<Guard>,
        instead: Option<Change>,
        error: ControlError,
    ) -> Option<Answer> {
        let refusal = Refusal::from(error);
        let answer = Answer::Refused(refusal.clone());
        if guard.is_none() && instead.is_none() {
            return Some(answer);
        }
        let effect = Effect::TakeBack(refusal);
        let change = Change::TakeBack(instead.map(Box::new));
        let guarded = guard.map(|guard| (guard, answer));
        // It comes before the next one of its lane, which is queued after it.
        self.desk.write(caller, None, change, effect, guarded);
        None
    }

    fn do_effect(&mut self, now: Duration, awaited: Awaited) -> Option<Answer> {
        match awaited.effect {
            Effect::Command { simulation, stamp } => {
                if let Some(run) = self.simulations.get_mut(&simulation) {
                    run.placing.kept(stamp.seq);
                }
                let effect = Effect::Command { simulation, stamp };
                match self.apply(now, effect) {
                    Ok(answered) => Some(answered),
                    Err(error) => self.place_again(now, awaited, error),
                }
            }
            Effect::Withdraw {
                simulation,
                seq,
                refusal,
            } => {
                if let Some(run) = self.simulations.get_mut(&simulation) {
                    run.placing.remove(seq);
                }
                Some(Answer::Refused(refusal))
            }
            Effect::Move {
                simulation,
                movement,
                state,
            } => {
                let kept = state.clone();
                let effect = Effect::Move {
                    simulation,
                    movement,
                    state,
                };
                let error = match self.apply(now, effect) {
                    Ok(done) => return Some(awaited.foreseen.unwrap_or(done)),
                    Err(error) => error,
                };
                let run = self.simulations.get(&simulation);
                let instead = run.filter(|run| run.state() != kept).map(restated);
                self.take_back(awaited.caller, awaited.write.guard, instead, error)
            }
            Effect::TakeBack(refusal) => Some(Answer::Refused(refusal)),
            effect => match self.apply(now, effect) {
                // A repetition is answered with the same.
                Ok(done) => Some(awaited.foreseen.unwrap_or(done)),
                Err(error) => self.take_back(awaited.caller, awaited.write.guard, None, error),
            },
        }
    }

    /// A command's place was kept too late. Gives it another one, or takes it back; answers what is
    /// to be answered, if that is known already.
    fn place_again(
        &mut self,
        now: Duration,
        awaited: Awaited,
        error: ControlError,
    ) -> Option<Answer> {
        let Effect::Command { simulation, stamp } = awaited.effect else {
            unreachable!("only a command has a place");
        };
        let lead = self.lead_ticks(simulation);
        // Of a deleted run nothing is kept but what is under the key.
        let Some(run) = self.simulations.get_mut(&simulation) else {
            // By what takes the key back, nobody could tell any more which command they repeat.
            self.answer_repeaters((simulation, stamp.seq), &refused(error.clone()));
            return self.take_back(awaited.caller, awaited.write.guard, None, error);
        };
        let may = matches!(
            error,
            ControlError::TickPassed { .. } | ControlError::TooManyCommands { .. }
        );
        let again = run.place_again(stamp.seq, lead).filter(|_| may);
        let Some(placed) = again else {
            let refusal = Refusal::from(self.why_not_placed(simulation, stamp.seq, error));
            self.withdraw(awaited, refusal);
            return None;
        };
        let (stamp, request) = (placed.stamp, placed.request.clone());
        let Change::Command { token, at_us, .. } = awaited.write.change else {
            unreachable!("a command's write");
        };
        let change = Change::Command {
            simulation,
            stamp,
            request,
            token,
            at_us,
        };
        let caller = awaited.caller;
        let effect = Effect::Command { simulation, stamp };
        let guarded = self.guarded(now, &caller, &effect);
        self.desk.write(caller, None, change, effect, guarded);
        None
    }

    fn why_not_placed(
        &self,
        simulation: SimulationId,
        seq: u64,
        error: ControlError,
    ) -> ControlError {
        let Some(placed) = self
            .simulations
            .get(&simulation)
            .and_then(|run| run.placing.get(seq))
        else {
            return error;
        };
        match error {
            ControlError::TickPassed { .. } | ControlError::TooManyCommands { .. }
                if placed.request.tick.is_none() && placed.stamps >= MAX_STAMPS =>
            {
                ControlError::NoPlace { stamps: MAX_STAMPS }
            }
            error => error,
        }
    }

    /// Takes a command back; it is refused once that is kept.
    fn withdraw(&mut self, awaited: Awaited, refusal: Refusal) {
        let Effect::Command { simulation, stamp } = awaited.effect else {
            unreachable!("only a command is withdrawn");
        };
        let seq = stamp.seq;
        let effect = Effect::Withdraw {
            simulation,
            seq,
            refusal,
        };
        let change = Change::Withdraw { simulation, seq };
        self.desk.write(awaited.caller, None, change, effect, None);
    }

    /// A run that is asked to stand goes no further until it is known whether that is kept, so that the tick which is kept
    /// with it is the one at which it stands. One that is not to stand after all goes on, and nothing of it is late.
    pub(crate) fn halt(&mut self, now: Duration, simulation: SimulationId, halting: bool) {
        if let Some(run) = self.simulations.get_mut(&simulation) {
            run.halting = halting.then_some(Halt {
                since: now,
                is_said: false,
            });
            self.advance(now, simulation);
        }
    }

    /// What was reserved for something that is not kept is given back.
    fn undo(&mut self, now: Duration, effect: &Effect) {
        if let Some(simulation) = effect.halts() {
            self.halt(now, simulation, false);
        }
        if let Effect::Command { simulation, stamp } = effect
            && let Some(run) = self.simulations.get_mut(simulation)
        {
            run.placing.remove(stamp.seq);
        }
    }

    /// Looks soon for requests that have waited too long.
    pub(crate) fn expire_later(&mut self, now: Duration) {
        self.desk.expire_at.get_or_insert(now + EXPIRE_EVERY);
    }

    /// Refuses what has waited too long and was never given to the store.
    pub(crate) fn expire(&mut self, now: Duration) {
        if self.desk.expire_at.is_none_or(|at| at > now) {
            return;
        }
        self.desk.expire_at = None;
        let overdue: Vec<u64> = (self.desk.queue.iter())
            .filter(|id| self.desk.awaited[id].caller.is_overdue(now))
            .copied()
            .collect();
        let mut lanes = Vec::new();
        for id in overdue {
            // These take back what is kept already.
            let effect = &self.desk.awaited[&id].effect;
            if matches!(effect, Effect::Withdraw { .. } | Effect::TakeBack(_)) {
                continue;
            }
            self.desk.queue.remove(&id);
            let awaited = self.desk.awaited.remove(&id).expect("it is queued");
            lanes.extend(awaited.lane);
            self.give_up(now, awaited);
        }
        self.expire_queued(now);
        for lane in lanes {
            self.go_on(now, lane);
        }
        let may_halt_long = self.say_halting(now);
        if !self.desk.queue.is_empty() || self.desk.queued > 0 || may_halt_long {
            self.expire_later(now);
        }
    }

    /// Says which runs have been standing for long without anybody knowing whether they are to; answers whether it is to be
    /// looked again.
    fn say_halting(&mut self, now: Duration) -> bool {
        let mut may_halt_long = false;
        for id in self.desk.awaited.values().filter_map(|a| a.effect.halts()) {
            let Some(run) = self.simulations.get_mut(&id) else {
                continue;
            };
            let tick = run.last_dispatched();
            let Some(halt) = run.halting.as_mut().filter(|halt| !halt.is_said) else {
                continue;
            };
            halt.is_said = halt.since + MAX_SILENT_HALT <= now;
            may_halt_long |= !halt.is_said;
            if halt.is_said {
                let simulation = id;
                self.outbox.event(Event::Halting { simulation, tick });
            }
        }
        may_halt_long
    }

    /// A write is not given to the store any more.
    fn give_up(&mut self, now: Duration, awaited: Awaited) {
        if let Effect::Command { simulation, stamp } = awaited.effect
            && let Some(run) = self.simulations.get_mut(&simulation)
        {
            // An earlier place of it is kept: that is to be taken back first.
            if run.placing.get(stamp.seq).is_some_and(|p| p.stamps > 1) {
                let refusal = Refusal::from(ControlError::StoreUnavailable);
                return self.withdraw(awaited, refusal);
            }
        }
        self.undo(now, &awaited.effect);
        self.answer(&awaited.caller, refused(ControlError::StoreUnavailable));
    }

    /// Refuses requests that wait behind one that the store does not answer.
    fn expire_queued(&mut self, now: Duration) {
        let cut: Vec<Lane> = self.desk.planned.values().map(|p| p.lane).collect();
        let mut overdue = Vec::new();
        for (lane, queue) in &mut self.desk.lanes {
            // Where a farm is cut first, nobody waits for the store.
            if cut.contains(lane) {
                continue;
            }
            let queued = std::mem::take(queue);
            let (late, kept): (Vec<_>, Vec<_>) =
                queued.into_iter().partition(|q| q.caller.is_overdue(now));
            overdue.extend(late);
            queue.extend(kept);
        }
        self.desk.queued -= overdue.len();
        for queued in overdue {
            self.answer(&queued.caller, refused(ControlError::StoreUnavailable));
        }
    }
}

/// That a run stands where it does.
fn restated(run: &Simulation) -> Change {
    let (simulation, state) = (run.spec.id, run.state());
    Change::State { simulation, state }
}

/// What is answered where nothing was changed.
fn not_kept(effect: &Effect, committed: Committed) -> Answer {
    let error = match committed {
        Committed::Repeated(bytes) => return answer::decode(&bytes),
        Committed::KeyReused => ControlError::KeyReused,
        Committed::Conflict => match effect {
            Effect::Create { spec, .. } => ControlError::Exists { id: spec.id },
            Effect::Fork { spec, .. } => {
                let tick = spec.parent.map_or(0, |(_, tick)| tick);
                ControlError::TickNotKept { tick, last: tick }
            }
            Effect::CreateToken(token) => ControlError::TokenExists { id: token.id },
            _ => ControlError::StoreUnavailable,
        },
        Committed::NotFound => match effect {
            Effect::RevokeToken(id) => ControlError::UnknownToken { id: *id },
            Effect::Fork { spec, .. } => {
                let id = spec.parent.map_or(spec.id, |(id, _)| id);
                ControlError::UnknownSimulation { id }
            }
            Effect::Create { spec, .. } => ControlError::UnknownSimulation { id: spec.id },
            Effect::Move { simulation, .. }
            | Effect::Command { simulation, .. }
            | Effect::Withdraw { simulation, .. } => {
                ControlError::UnknownSimulation { id: *simulation }
            }
            Effect::Delete(id) => ControlError::UnknownSimulation { id: *id },
            Effect::TakeBack(refusal) => return Answer::Refused(refusal.clone()),
            Effect::CreateToken(token) => ControlError::UnknownToken { id: token.id },
            // Its key is new, if it has one.
            Effect::Refuse(refusal) => return Answer::Refused(refusal.clone()),
        },
        Committed::Done | Committed::Forked(_) => unreachable!("it is kept"),
    };
    refused(error)
}
