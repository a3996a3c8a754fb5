//! What is asked of the core: what can be read is answered at once, what changes anything is queued
//! on the [`Desk`](crate::desk::Desk), kept, and then done.

use std::collections::VecDeque;
use std::time::Duration;

use store::write::{Change, Guard};
use transport::control::{Answer, Ask, MAX_IDEMPOTENCY_KEY_BYTES, Refusal, Request, Response};

use crate::answer;
use crate::chore::{Chore, ChoreDone, Outcome, Work};
use crate::control::ControlError;
use crate::core::Orchestrator;
use crate::course::Course;
use crate::desk::{self, Asker, Caller, Effect, Lane, Planned, Queued};
use crate::limits::{MAX_GATEWAY_REQUESTS, MAX_LANE, MAX_ROUTE_BYTES, MAX_WAITING_REQUESTS};
use crate::reading::simulation_answer;

impl Orchestrator {
    /// Something is asked. [`Orchestrator::poll_response`] gives one answer to it, perhaps later.
    pub fn handle_request(&mut self, now: Duration, from: Asker, request: Request) {
        self.begin(now);
        self.take_request(now, from, request, true);
    }

    /// Answers what can be read; takes in what is to wait, if whoever asks `may_wait`.
    pub(crate) fn take_request(
        &mut self,
        now: Duration,
        from: Asker,
        request: Request,
        may_wait: bool,
    ) {
        let caller = Caller {
            asker: from,
            id: request.id,
            token: request.token,
            idempotency: request.idempotency,
            name: desk::name(&request.ask),
            since: now,
        };
        if self.postpone(&caller, &request.ask) {
            return;
        }
        match self.read(now, &caller, &request.ask) {
            Some(answered) => self.answer(&caller, answered),
            None if !may_wait => {
                let limit = MAX_GATEWAY_REQUESTS;
                self.answer(&caller, refused(ControlError::TooManyRequests { limit }));
            }
            None => self.take_in(now, caller, request.ask),
        }
    }

    /// The next answer for this process itself; those for gateways are among what
    /// [`Orchestrator::poll_publication`] gives.
    pub fn poll_response(&mut self) -> Option<(Asker, Response)> {
        self.desk.responses.pop_front()
    }

    /// Work for another thread: see [`Chore::carry_out`].
    pub fn poll_chore(&mut self) -> Option<Chore> {
        self.desk.chores.pop_front()
    }

    /// A [`Chore`] is done.
    pub fn handle_chore(&mut self, now: Duration, done: ChoreDone) {
        self.begin(now);
        let plan = match done.outcome {
            Outcome::Described(simulation, rows) => return self.note_metadata(simulation, rows),
            Outcome::Cut(plan) => plan.map_err(ControlError::from),
            Outcome::Failed => Err(ControlError::Uncuttable),
        };
        let Some(mut planned) = self.desk.planned.remove(&done.id) else {
            return;
        };
        // Nobody waited for the store meanwhile.
        planned.caller.since = now;
        for queued in self.desk.lanes.entry(planned.lane).or_default() {
            queued.caller.since = now;
        }
        let course = plan.and_then(|plan| self.with_plan(now, planned.ask, plan));
        if !self.follow(now, planned.caller, Some(planned.lane), course) {
            self.go_on(now, planned.lane);
        }
    }

    /// Takes in what changes something.
    fn take_in(&mut self, now: Duration, caller: Caller, ask: Ask) {
        if let Err(error) = self.may_take_in(&caller) {
            return self.answer(&caller, refused(error));
        }
        let Some(lane) = lane(&ask) else {
            let course = self.course(now, caller.token, &ask);
            self.follow(now, caller, None, course);
            return;
        };
        if let Some(queue) = self.desk.lanes.get_mut(&lane) {
            if queue.len() >= MAX_LANE {
                let limit = MAX_LANE;
                return self.answer(&caller, refused(ControlError::TooManyRequests { limit }));
            }
            queue.push_back(Queued { caller, ask });
            self.desk.queued += 1;
            return;
        }
        self.desk.lanes.insert(lane, Default::default());
        if !self.begin_change(now, caller, lane, ask) {
            self.go_on(now, lane);
        }
    }

    fn may_take_in(&self, caller: &Caller) -> Result<(), ControlError> {
        if self.ended.is_some() || self.is_closing {
            return Err(ControlError::Ended);
        }
        if let Some(idempotency) = &caller.idempotency {
            let limit = MAX_IDEMPOTENCY_KEY_BYTES;
            let key = (1..=limit).contains(&idempotency.key.len());
            if !key || idempotency.route.len() > MAX_ROUTE_BYTES {
                return Err(ControlError::BadIdempotencyKey { limit });
            }
        }
        if self.desk.waiting() >= MAX_WAITING_REQUESTS {
            let limit = MAX_WAITING_REQUESTS;
            return Err(ControlError::TooManyRequests { limit });
        }
        Ok(())
    }

    /// Begins a change in its lane; `false` where it has its answer already.
    fn begin_change(&mut self, now: Duration, caller: Caller, lane: Lane, ask: Ask) -> bool {
        match self.course(now, caller.token, &ask) {
            Ok(Course::Cut) => {
                let id = self.desk.new_id();
                let config = self.config_of(&ask).expect("it was found");
                let work = Work::Cut(config);
                self.desk.chores.push_back(Chore { id, work });
                self.desk.planned.insert(id, Planned { caller, lane, ask });
                true
            }
            course => self.follow(now, caller, Some(lane), course),
        }
    }

    /// The next ones of a lane, until one is under way.
    pub(crate) fn go_on(&mut self, now: Duration, lane: Lane) {
        loop {
            let queue = self.desk.lanes.get_mut(&lane);
            let Some(Queued { caller, ask }) = queue.and_then(VecDeque::pop_front) else {
                self.desk.lanes.remove(&lane);
                return;
            };
            self.desk.queued -= 1;
            if self.begin_change(now, caller, lane, ask) {
                return;
            }
        }
    }

    /// Keeps and does what is to be kept and done; `false` where it has its answer already.
    fn follow(
        &mut self,
        now: Duration,
        caller: Caller,
        lane: Option<Lane>,
        course: Result<Course, ControlError>,
    ) -> bool {
        let (change, effect) = match course {
            Ok(Course::Keep(change, effect)) => (*change, *effect),
            Ok(Course::Cut) => unreachable!("it was cut"),
            // Once it was done it may be possible no more: then a repetition is answered as it was.
            Err(error) if self.config.durable && caller.idempotency.is_some() => {
                let effect = Effect::Refuse(Refusal::from(error));
                (Change::Nothing, effect)
            }
            Err(error) => {
                self.answer(&caller, refused(error));
                return false;
            }
        };
        if self.config.durable {
            let guarded = self.guarded(now, &caller, &effect);
            let halts = effect.halts();
            self.desk.write(caller, lane, change, effect, guarded);
            self.expire_later(now);
            if let Some(simulation) = halts {
                self.halt(now, simulation, true);
            }
            return true;
        }
        let answered = self.apply(now, effect).unwrap_or_else(refused);
        self.answer(&caller, answered);
        false
    }

    /// What a change will be answered with, before it is done.
    fn foresee(&self, now: Duration, effect: &Effect) -> Answer {
        match effect {
            Effect::Create { spec, state, .. } | Effect::Fork { spec, state, .. } => {
                simulation_answer(answer::new_info(spec, state))
            }
            Effect::Move {
                simulation,
                movement,
                state,
            } => {
                let info = self.simulations[simulation].info(now, &self.chronicle);
                let info = answer::foreseen(info, state);
                simulation_answer(answer::moved(info, movement, state))
            }
            Effect::Command { stamp, .. } => Answer::Stamp(*stamp),
            Effect::Withdraw { refusal, .. }
            | Effect::TakeBack(refusal)
            | Effect::Refuse(refusal) => Answer::Refused(refusal.clone()),
            Effect::Delete(_) | Effect::CreateToken(_) | Effect::RevokeToken(_) => Answer::Done,
        }
    }

    /// What is kept so that a repetition has no further effect, and what both are answered; `None` where no key is given.
    pub(crate) fn guarded(
        &self,
        now: Duration,
        caller: &Caller,
        effect: &Effect,
    ) -> Option<(Guard, Answer)> {
        let idempotency = caller.idempotency.as_ref()?;
        let foreseen = self.foresee(now, effect);
        let guard = Guard {
            token: caller.token,
            route: idempotency.route.clone(),
            key: idempotency.key.clone(),
            body_hash: idempotency.body_hash,
            answer: answer::encode(&foreseen),
            now_us: self.wall.unix_us(now),
        };
        Some((guard, foreseen))
    }

    /// Does what is kept.
    pub(crate) fn apply(&mut self, now: Duration, effect: Effect) -> Result<Answer, ControlError> {
        match effect {
            Effect::Create { spec, plan, state } => {
                let farm = plan.farm.clone();
                let id = self.insert(*spec, *plan, state.created_at_us);
                if self.config.durable {
                    self.chronicle.open(id, None);
                    self.begin_metadata(id, farm);
                }
                self.simulation(id).map(simulation_answer)
            }
            Effect::Move {
                simulation,
                movement,
                state,
            } => {
                let moved = self.act(now, simulation, |s, ctx| {
                    s.carry_out(ctx, &movement, &state)
                });
                self.feeds.news(now, simulation, false);
                moved?;
                let info = self.simulation(simulation)?;
                Ok(simulation_answer(answer::moved(info, &movement, &state)))
            }
            Effect::Delete(id) => self.remove(now, id).map(|()| Answer::Done),
            Effect::Command {
                simulation, stamp, ..
            } => {
                let placed = self.act(now, simulation, |s, ctx| s.enter(ctx, stamp.seq));
                if placed.is_err()
                    && let Some(s) = self.simulations.get_mut(&simulation)
                    && !self.config.durable
                {
                    s.placing.remove(stamp.seq);
                }
                placed.map(Answer::Stamp)
            }
            Effect::CreateToken(token) => {
                self.tokens.insert(token);
                self.tokens_changed = true;
                Ok(Answer::Done)
            }
            Effect::RevokeToken(id) => match self.tokens.remove(id) {
                true => {
                    self.tokens_changed = true;
                    Ok(Answer::Done)
                }
                false => Err(ControlError::UnknownToken { id }),
            },
            Effect::Fork { .. }
            | Effect::Withdraw { .. }
            | Effect::TakeBack(_)
            | Effect::Refuse(_) => unreachable!("only a store does that"),
        }
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, caller: &Caller, answer: Answer) {
        self.desk.count(caller.name, &answer);
        let response = Response {
            id: caller.id,
            answer,
        };
        match caller.asker {
            Asker::Local => self.desk.responses.push_back((caller.asker, response)),
            Asker::Gateway(peer) => self.respond(peer, &response),
        }
    }
}

/// The answer of a request that is refused.
pub(crate) fn refused(error: ControlError) -> Answer {
    Answer::Refused(Refusal::from(error))
}

/// What a change is done in order with; `None` where order does not matter.
fn lane(ask: &Ask) -> Option<Lane> {
    match ask {
        Ask::Create(spec) => Some(Lane::Simulation(spec.id)),
        Ask::Fork { child, .. } => Some(Lane::Simulation(*child)),
        Ask::Start(id) | Ask::Pause(id) | Ask::Resume(id) | Ask::Stop(id) => {
            Some(Lane::Simulation(*id))
        }
        Ask::Step(id, _) | Ask::Delete(id) => Some(Lane::Simulation(*id)),
        Ask::Change { simulation, .. } => Some(Lane::Simulation(*simulation)),
        Ask::CreateToken(_) | Ask::RevokeToken(_) => Some(Lane::Tokens),
        _ => None,
    }
}
