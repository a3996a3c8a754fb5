//! What is asked of the core: what can be read is answered at once, what changes anything is queued
//! on the [`Desk`](crate::desk::Desk), kept, and then done.

use std::collections::VecDeque;
use std::time::Duration;

use kernel::plan::Plan;
use store::write::{Change, Guard, State};
use transport::control::{
    Answer, Ask, Cause, CommandRequest, Idempotency, MAX_IDEMPOTENCY_KEY_BYTES, MAX_PAGE, Refusal,
    Request, Response, SimulationId, SimulationInfo, Spec, StageLatency, Status, WorkerInfo,
};

use crate::answer;
use crate::chore::{Chore, ChoreDone, Outcome, Work};
use crate::control::ControlError;
use crate::core::Orchestrator;
use crate::desk::{self, Asker, Caller, Effect, Lane, Planned, Queued};
use crate::latency::Stage;
use crate::lifecycle::{Move, validate_name};
use crate::limits::{
    MAX_CHORES, MAX_GATEWAY_REQUESTS, MAX_LANE, MAX_ROUTE_BYTES, MAX_TICKETS, MAX_WAITING_REQUESTS,
};
use crate::registry::WorkerState;
use crate::tickets::Holder;

/// What a change needs next.
enum Course {
    /// Its farm is to be cut first.
    Cut,
    /// It is to be kept, and then done.
    Keep(Box<Change>, Box<Effect>),
}

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

    /// Answers what changes nothing that is kept; `None` for what does.
    fn read(&mut self, now: Duration, caller: &Caller, ask: &Ask) -> Option<Answer> {
        let answered = match *ask {
            Ask::Simulation(id) => self.simulation(id).map(simulation_answer),
            Ask::Simulations {
                after,
                limit,
                status,
            } => self.page(now, after, limit, status),
            Ask::Latency(id) => self.latency(id),
            Ask::Workers => Ok(Answer::Workers(self.worker_infos(now))),
            Ask::Tokens => Ok(Answer::Tokens(self.tokens.frame().tokens)),
            Ask::IssueTicket {
                secret_hash,
                access,
            } => {
                let token = caller.token;
                match (self.tickets).issue(now, secret_hash, Holder { token, access }) {
                    true => Ok(Answer::Done),
                    false => Err(ControlError::TooManyTickets { limit: MAX_TICKETS }),
                }
            }
            Ask::RedeemTicket { secret_hash } => {
                let holder = self.tickets.redeem(now, &secret_hash);
                // A ticket opens nothing that its token would not open any more.
                let is_valid = |h: &Holder| h.token == 0 || self.tokens.contains(h.token);
                match holder.filter(is_valid) {
                    Some(Holder { token, access }) => Ok(Answer::Ticket { access, token }),
                    None => Err(ControlError::BadTicket),
                }
            }
            Ask::Subscribe {
                simulation,
                view_hz,
            } => self.subscribe(now, caller, simulation, view_hz),
            Ask::Unsubscribe(id) => self.unsubscribe(now, caller, id),
            _ => return None,
        };
        Some(answered.unwrap_or_else(refused))
    }

    fn page(
        &self,
        now: Duration,
        after: Option<SimulationId>,
        limit: u32,
        status: Option<Status>,
    ) -> Result<Answer, ControlError> {
        let max = MAX_PAGE;
        if !(1..=max).contains(&limit) {
            return Err(ControlError::PageOutOfRange { limit, max });
        }
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let mut rest = self
            .simulations
            .range((from, Unbounded))
            .map(|(_, simulation)| simulation)
            .filter(|s| status.is_none_or(|status| s.status == status));
        let items = rest.by_ref().take(limit as usize);
        let items = items.map(|s| s.info(now)).collect();
        let more = rest.next().is_some();
        Ok(Answer::Simulations { items, more })
    }

    fn latency(&self, id: SimulationId) -> Result<Answer, ControlError> {
        Ok(Answer::Latency(stages(&self.known(id)?.latencies)))
    }

    fn worker_infos(&self, now: Duration) -> Vec<WorkerInfo> {
        let held = self.held();
        let info = |w: &crate::registry::Worker| {
            let (partitions, rows) = held.get(&w.id).copied().unwrap_or_default();
            let (load_milli, row_steps_per_s) = w.load(now);
            WorkerInfo {
                id: w.id.0,
                name: w.name.clone(),
                state: match w.state {
                    WorkerState::Ready => "ready",
                    WorkerState::Suspect { .. } => "suspect",
                    WorkerState::Draining => "draining",
                }
                .to_owned(),
                threads: w.threads,
                partitions,
                rows,
                row_steps: w.heartbeat.row_steps,
                load_milli,
                row_steps_per_s,
            }
        };
        self.registry.iter().map(info).collect()
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
            let guarded = caller.idempotency.as_ref().map(|idempotency| {
                let foreseen = self.foresee(now, &effect);
                (
                    self.guard(now, caller.token, idempotency, &foreseen),
                    foreseen,
                )
            });
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

    /// What a change needs, if it is possible.
    fn course(&mut self, now: Duration, token: u64, ask: &Ask) -> Result<Course, ControlError> {
        let unix_us = self.wall.unix_us(now);
        match ask {
            Ask::Create(spec) => {
                self.check_spec(spec)?;
                if self.desk.planned.len() >= MAX_CHORES {
                    let limit = MAX_CHORES;
                    return Err(ControlError::TooManyRequests { limit });
                }
                Ok(Course::Cut)
            }
            Ask::Fork {
                simulation,
                name,
                tick,
                ..
            } => {
                self.check_fork(*simulation, name.as_deref(), *tick)?;
                Ok(Course::Cut)
            }
            Ask::Start(id) => self.course_of_move(*id, Move::Start, unix_us),
            Ask::Pause(id) => self.course_of_move(*id, Move::Pause, unix_us),
            Ask::Resume(id) => self.course_of_move(*id, Move::Resume, unix_us),
            Ask::Stop(id) => self.course_of_move(*id, Move::Stop, unix_us),
            Ask::Step(id, ticks) => self.course_of_move(*id, Move::Step(*ticks), unix_us),
            Ask::Change {
                simulation,
                speed,
                name,
            } => {
                let (speed, name) = (*speed, name.clone());
                self.course_of_move(*simulation, Move::Change { speed, name }, unix_us)
            }
            Ask::Delete(id) => {
                self.known(*id)?;
                Ok(keep(Change::Delete(*id), Effect::Delete(*id)))
            }
            Ask::Command(id, request) => self.course_of_command(unix_us, token, *id, request),
            Ask::CreateToken(token) => {
                self.tokens.check(token)?;
                let change = Change::CreateToken(token.clone());
                Ok(keep(change, Effect::CreateToken(token.clone())))
            }
            Ask::RevokeToken(id) => match self.tokens.contains(*id) {
                true => Ok(keep(Change::RevokeToken(*id), Effect::RevokeToken(*id))),
                false => Err(ControlError::UnknownToken { id: *id }),
            },
            _ => unreachable!("it was answered"),
        }
    }

    fn course_of_move(
        &self,
        simulation: SimulationId,
        movement: Move,
        unix_us: u64,
    ) -> Result<Course, ControlError> {
        let state = self.known(simulation)?.foresee(&movement, unix_us)?;
        let change = Change::State {
            simulation,
            state: state.clone(),
        };
        let effect = Effect::Move {
            simulation,
            movement,
            state,
        };
        Ok(keep(change, effect))
    }

    /// Keeps what was asked for with a farm that is cut.
    fn with_plan(&mut self, now: Duration, ask: Ask, plan: Plan) -> Result<Course, ControlError> {
        let unix_us = self.wall.unix_us(now);
        match ask {
            Ask::Create(spec) => {
                self.check_spec(&spec)?;
                check_partitions(&plan)?;
                let state = new_state(&spec, Status::Created, unix_us);
                let change = Change::Create {
                    spec: spec.clone(),
                    state: state.clone(),
                };
                let effect = Effect::Create {
                    spec: Box::new(spec),
                    plan: Box::new(plan),
                    state,
                };
                Ok(keep(change, effect))
            }
            Ask::Fork {
                simulation,
                child,
                name,
                tick,
            } => {
                let tick = self.check_fork(simulation, name.as_deref(), tick)?;
                self.check_room(child)?;
                let parent = self.known(simulation)?;
                let name = name.unwrap_or_else(|| fork_name(&parent.spec.name, tick));
                let spec = Spec {
                    id: child,
                    name,
                    parent: Some((simulation, tick)),
                    ..parent.spec.clone()
                };
                let state = State {
                    step_until: Some(tick),
                    ..new_state(&spec, Status::Paused, unix_us)
                };
                let change = Change::Fork {
                    parent: simulation,
                    tick,
                    spec: spec.clone(),
                    state: state.clone(),
                };
                let effect = Effect::Fork {
                    spec: Box::new(spec),
                    plan: Box::new(plan),
                    state,
                };
                Ok(keep(change, effect))
            }
            _ => unreachable!("nothing else needs a farm"),
        }
    }

    /// Whether a run can be forked at a tick, and which tick that is.
    fn check_fork(
        &self,
        parent: SimulationId,
        name: Option<&str>,
        tick: Option<u64>,
    ) -> Result<u64, ControlError> {
        if !self.config.durable {
            return Err(ControlError::NeedsStore);
        }
        if let Some(name) = name {
            validate_name(name)?;
        }
        let parent = self.known(parent)?;
        let last = parent.completed.unwrap_or(0);
        let tick = tick.unwrap_or(last);
        if tick > last {
            return Err(ControlError::TickNotKept { tick, last });
        }
        // What is kept of its place may lie before the fork, and where it will end up is not known.
        match parent.placing.up_to(tick) {
            Some(stamp) => Err(ControlError::CommandBeingPlaced { stamp }),
            None => Ok(tick),
        }
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
                let info = self.simulations[simulation].info(now);
                let info = answer::foreseen(info, state);
                simulation_answer(answer::moved(info, movement, state))
            }
            Effect::Command { stamp, .. } => Answer::Stamp(*stamp),
            Effect::Withdraw { refusal, .. }
            | Effect::TakeBack { refusal, .. }
            | Effect::Refuse(refusal) => Answer::Refused(refusal.clone()),
            Effect::Delete(_) | Effect::CreateToken(_) | Effect::RevokeToken(_) => Answer::Done,
        }
    }

    /// What is kept so that a repetition has no further effect.
    pub(crate) fn guard(
        &self,
        now: Duration,
        token: u64,
        idempotency: &Idempotency,
        answer: &Answer,
    ) -> Guard {
        Guard {
            token,
            route: idempotency.route.clone(),
            key: idempotency.key.clone(),
            body_hash: idempotency.body_hash,
            answer: answer::encode(answer),
            now_us: self.wall.unix_us(now),
        }
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
            | Effect::TakeBack { .. }
            | Effect::Refuse(_) => unreachable!("only a store does that"),
        }
    }

    fn course_of_command(
        &mut self,
        at_us: u64,
        token: u64,
        simulation: SimulationId,
        request: &CommandRequest,
    ) -> Result<Course, ControlError> {
        let lead = self.lead_ticks(simulation);
        let unknown = ControlError::UnknownSimulation { id: simulation };
        let run = self.simulations.get_mut(&simulation).ok_or(unknown)?;
        let stamp = run.reserve(request, lead)?;
        let change = Change::Command {
            simulation,
            stamp,
            request: request.clone(),
            token,
            at_us,
        };
        Ok(keep(change, Effect::Command { simulation, stamp }))
    }

    /// Ticks that a command of a run is put off, so that its place is kept before its tick comes.
    pub(crate) fn lead_ticks(&self, id: SimulationId) -> u64 {
        let tick = self.simulations.get(&id).map(|run| {
            let pace = Duration::from_nanos(run.pace_ns.unwrap_or(0.0) as u64);
            run.schedule.period().unwrap_or_default().max(pace)
        });
        let tick = tick.filter(|t| !t.is_zero()).unwrap_or(Duration::MAX);
        let least = self.config.command_lead_ticks;
        self.desk.commits.lead_ticks(tick, least)
    }

    fn config_of(&self, ask: &Ask) -> Option<kernel::config::SimulationConfig> {
        match ask {
            Ask::Create(spec) => Some(spec.config.clone()),
            Ask::Fork { simulation, .. } => {
                let parent = self.simulations.get(simulation)?;
                Some(parent.spec.config.clone())
            }
            _ => None,
        }
    }

    /// Checks everything of a specification but its farm, and whether there is room for it.
    pub(crate) fn check_spec(&self, spec: &Spec) -> Result<(), ControlError> {
        crate::control::validate_speed(spec.speed)?;
        validate_name(&spec.name)?;
        let max = kernel::config::MAX_TICK;
        if let Some(max_ticks) = spec.max_ticks.filter(|t| !(1..=max).contains(t)) {
            return Err(ControlError::MaxTicksOutOfRange { max_ticks, max });
        }
        if spec.digest_every == 0 {
            return Err(ControlError::DigestEveryZero);
        }
        if spec.parent.is_some() {
            return Err(ControlError::ParentGiven);
        }
        self.check_room(spec.id)
    }

    fn check_room(&self, id: SimulationId) -> Result<(), ControlError> {
        if self.simulations.contains_key(&id) {
            return Err(ControlError::Exists { id });
        }
        let limit = crate::limits::MAX_SIMULATIONS;
        if self.simulations.len() + self.desk.creations() >= limit {
            return Err(ControlError::TooManySimulations { limit });
        }
        Ok(())
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

/// Checks that a farm is cut into no more parts than a run may have.
pub(crate) fn check_partitions(plan: &Plan) -> Result<(), ControlError> {
    let (partitions, limit) = (plan.partitions.len(), crate::limits::MAX_PARTITIONS);
    if partitions > limit {
        return Err(ControlError::TooManyPartitions { partitions, limit });
    }
    Ok(())
}

/// The answer of a request that is refused.
pub(crate) fn refused(error: ControlError) -> Answer {
    Answer::Refused(Refusal::from(error))
}

fn simulation_answer(info: SimulationInfo) -> Answer {
    Answer::Simulation(Box::new(info))
}

fn keep(change: Change, effect: Effect) -> Course {
    Course::Keep(Box::new(change), Box::new(effect))
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

/// Where a new simulation stands.
fn new_state(spec: &Spec, status: Status, unix_us: u64) -> State {
    State {
        status,
        cause: Cause::Requested,
        name: spec.name.clone(),
        speed: spec.speed,
        step_until: None,
        created_at_us: unix_us,
        started_at_us: None,
        ended_at_us: None,
    }
}

/// A name for a copy: the parent's, cut where it leaves no room, and the tick.
fn fork_name(parent: &str, tick: u64) -> String {
    let suffix = format!(" at {tick}");
    let most = transport::control::MAX_LABEL_BYTES - suffix.len();
    let end = (0..=most.min(parent.len()))
        .rev()
        .find(|at| parent.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}{suffix}", &parent[..end])
}

/// Every stage's histogram, as gateways and the database read it.
pub(crate) fn stages(latencies: &crate::latency::Latencies) -> Vec<StageLatency> {
    Stage::ALL
        .into_iter()
        .map(|stage| StageLatency {
            stage: stage.name().to_owned(),
            histogram: crate::latency::encode_v2(latencies.stage(stage)),
        })
        .collect()
}
