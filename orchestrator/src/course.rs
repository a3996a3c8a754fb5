//! What a change needs, if it is possible: that its farm is cut, or what of it is kept and then done.

use std::time::Duration;

use kernel::plan::Plan;
use store::write::{Change, State};
use transport::control::{Ask, Cause, CommandRequest, SimulationId, Spec, Status};

use crate::control::ControlError;
use crate::core::Orchestrator;
use crate::desk::Effect;
use crate::lifecycle::{Move, validate_name};
use crate::limits::MAX_CHORES;

/// What a change needs next.
pub(crate) enum Course {
    /// Its farm is to be cut first.
    Cut,
    /// It is to be kept, and then done.
    Keep(Box<Change>, Box<Effect>),
}

impl Orchestrator {
    /// What a change needs, if it is possible.
    pub(crate) fn course(
        &mut self,
        now: Duration,
        token: u64,
        ask: &Ask,
    ) -> Result<Course, ControlError> {
        let unix_us = self.wall.unix_us(now);
        let moved = |id, movement| {
            let (change, effect) = self.course_of_move(id, movement, unix_us)?;
            Ok(keep(change, effect))
        };
        match ask {
            Ask::Create(spec) => {
                self.check_spec(spec)?;
                self.cut()
            }
            Ask::Fork {
                simulation,
                name,
                tick,
                ..
            } => {
                self.check_fork(*simulation, name.as_deref(), *tick)?;
                self.cut()
            }
            Ask::Start(id) => moved(*id, Move::Start),
            Ask::Pause(id) => moved(*id, Move::Pause),
            Ask::Resume(id) => moved(*id, Move::Resume),
            Ask::Stop(id) => moved(*id, Move::Stop),
            Ask::Step(id, ticks) => moved(*id, Move::Step(*ticks)),
            Ask::Change {
                simulation,
                speed,
                name,
            } => {
                let (speed, name) = (*speed, name.clone());
                moved(*simulation, Move::Change { speed, name })
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

    /// Has a farm cut, if not too many are.
    fn cut(&self) -> Result<Course, ControlError> {
        if self.desk.planned.len() >= MAX_CHORES {
            let limit = MAX_CHORES;
            return Err(ControlError::TooManyRequests { limit });
        }
        Ok(Course::Cut)
    }

    /// What a move makes of where its run stands now.
    pub(crate) fn course_of_move(
        &self,
        simulation: SimulationId,
        movement: Move,
        unix_us: u64,
    ) -> Result<(Change, Effect), ControlError> {
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
        Ok((change, effect))
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

    /// Keeps what was asked for with a farm that is cut.
    pub(crate) fn with_plan(
        &mut self,
        now: Duration,
        ask: Ask,
        plan: Plan,
    ) -> Result<Course, ControlError> {
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
        // One that is being taken up shows the tick to which it is brought: it may be neither reached nor written yet.
        let last = parent.kept_tick();
        let tick = tick.unwrap_or(parent.published_tick());
        if tick > last {
            return Err(ControlError::TickNotKept { tick, last });
        }
        // What is kept of its place may lie before the fork, and where it will end up is not known.
        match parent.placing.up_to(tick) {
            Some(stamp) => Err(ControlError::CommandBeingPlaced { stamp }),
            None => Ok(tick),
        }
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

    pub(crate) fn config_of(&self, ask: &Ask) -> Option<kernel::config::SimulationConfig> {
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
}

/// Checks that a farm is cut into no more parts than a run may have.
pub(crate) fn check_partitions(plan: &Plan) -> Result<(), ControlError> {
    let (partitions, limit) = (plan.partitions.len(), crate::limits::MAX_PARTITIONS);
    if partitions > limit {
        return Err(ControlError::TooManyPartitions { partitions, limit });
    }
    Ok(())
}

fn keep(change: Change, effect: Effect) -> Course {
    Course::Keep(Box::new(change), Box::new(effect))
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
