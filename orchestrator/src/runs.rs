//! Runs at the core: one is added or taken up from what is kept, is controlled, and is removed. A control call
//! is done at once; what is to be kept first comes as a request.

use std::time::Duration;

use kernel::plan::Plan;
use store::recovery::Recovered;

use crate::context::Context;
use crate::control::{
    Cause, CommandRequest, CommandStamp, ControlError, SimulationId, SimulationInfo, Spec, Speed,
    Status, validate_speed,
};
use crate::core::{Orchestrator, context};
use crate::course::check_partitions;
use crate::event::Event;
use crate::journal::{self, Entry};
use crate::recovery::RecoveryFault;
use crate::simulation::Simulation;
use crate::snapshot::totals;

impl Orchestrator {
    /// Adds a simulation; it begins with [`Orchestrator::start`]. Its farm is cut here, which takes the
    /// longer the larger it is: where nothing may wait for that, see [`Orchestrator::create_planned`].
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with the specification.
    pub fn create(&mut self, now: Duration, spec: Spec) -> Result<SimulationId, ControlError> {
        let plan = Plan::new(&spec.config)?;
        self.create_planned(now, spec, plan)
    }

    /// Adds a simulation whose farm was cut elsewhere.
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with the specification.
    ///
    /// # Panics
    /// If the plan is of another configuration than the specification's.
    pub fn create_planned(
        &mut self,
        now: Duration,
        spec: Spec,
        plan: Plan,
    ) -> Result<SimulationId, ControlError> {
        self.begin(now);
        self.check_spec(&spec)?;
        check_partitions(&plan)?;
        let created_at_us = self.wall.unix_us(now);
        Ok(self.insert(spec, plan, created_at_us))
    }

    /// Adds a simulation that was checked.
    pub(crate) fn insert(&mut self, spec: Spec, plan: Plan, created_at_us: u64) -> SimulationId {
        let id = spec.id;
        let mut simulation = Simulation::new(spec, plan);
        simulation.record.created_at_us = created_at_us;
        self.outbox.event(Event::Lifecycle {
            simulation: id,
            status: Status::Created,
            cause: Cause::Requested,
            tick: 0,
        });
        self.simulations.insert(id, simulation);
        id
    }

    /// Adds a simulation as the store has it, with a plan of its farm if it [goes on](Recovered::goes_on).
    /// It goes on from there, after a replay to its head, or to the later tick at which it was said to stand.
    ///
    /// # Errors
    /// [`RecoveryFault`] names what is wrong with what was kept.
    ///
    /// # Panics
    /// If a simulation of that id is there, or one that goes on has no plan or another run's.
    pub fn recover(
        &mut self,
        now: Duration,
        recovered: Recovered,
        plan: Option<Plan>,
    ) -> Result<(), RecoveryFault> {
        self.begin(now);
        let id = recovered.spec.id;
        assert!(!self.simulations.contains_key(&id), "recovered once");
        let has_entities = recovered.has_entities;
        let farm = plan.as_ref().map(|plan| plan.farm.clone());
        let head = kept_head(&recovered);
        let unsaid = unsaid(&recovered);
        let simulation = if recovered.goes_on() {
            let plan = plan.expect("one that goes on has a plan");
            Simulation::recovered(&mut context!(self, now), recovered, plan)?
        } else {
            Simulation::ended(&recovered)
        };
        self.simulations.insert(id, simulation);
        if self.config.durable {
            self.chronicle.open(id, Some(head));
            if let Some(farm) = farm.filter(|_| !has_entities) {
                self.begin_metadata(id, farm);
            }
        }
        if let Some(entry) = unsaid {
            self.log(id, || entry);
        }
        self.advance(now, id);
        Ok(())
    }

    /// Adds a simulation of which what the store has is nothing to go on with: it is shown as failed. The
    /// store is not told so, for it may be this build that cannot, and another that can.
    pub fn recover_as_failed(&mut self, now: Duration, mut recovered: Recovered, reason: &str) {
        self.begin(now);
        let id = recovered.spec.id;
        let mut kept_state = None;
        if !recovered.state.status.is_final() {
            kept_state = Some(recovered.state.clone());
            recovered.state.status = Status::Failed;
            recovered.state.cause = Cause::Unrecoverable;
            recovered.state.ended_at_us = Some(self.wall.unix_us(now));
        }
        let head = kept_head(&recovered);
        let mut simulation = Simulation::ended(&recovered);
        simulation.record.kept_state = kept_state;
        self.simulations.insert(id, simulation);
        self.chronicle.open(id, Some(head));
        self.log(id, || journal::unrecoverable(reason));
    }

    /// Starts a created simulation.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn start(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::start)
    }

    /// Pauses a running simulation after the window in flight.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn pause(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::pause)
    }

    /// Resumes a paused simulation.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn resume(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::resume)
    }

    /// Advances a paused simulation by `ticks`.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist, is not paused, or `ticks` is 0.
    pub fn step(
        &mut self,
        now: Duration,
        id: SimulationId,
        ticks: u64,
    ) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| simulation.step(ticks))
    }

    /// Stops a simulation; [`Event::Settled`] follows once its last digest is known.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist or is not in that state.
    pub fn stop(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, Simulation::stop)
    }

    /// Changes the speed of a simulation.
    ///
    /// # Errors
    /// [`ControlError`] if it does not exist, has ended, or the speed is out of range.
    pub fn set_speed(
        &mut self,
        now: Duration,
        id: SimulationId,
        speed: Speed,
    ) -> Result<(), ControlError> {
        validate_speed(speed)?;
        self.control(now, id, |simulation, ctx| {
            simulation.set_speed(ctx.now, speed)
        })
    }

    /// Gives a command its place in the simulation's log.
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with it.
    pub fn command(
        &mut self,
        now: Duration,
        id: SimulationId,
        request: &CommandRequest,
    ) -> Result<CommandStamp, ControlError> {
        self.control(now, id, |simulation, ctx| simulation.command(ctx, request))
    }

    /// From now on views of a simulation come at most so many times a second of wall time, of the
    /// highest rate that anyone wants; `None` for nobody.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn set_view_hz(
        &mut self,
        now: Duration,
        id: SimulationId,
        hz: Option<u32>,
    ) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| {
            simulation.set_view_hz(hz);
            Ok(())
        })
    }

    /// Asks for a view of a simulation's present tick, or of the next window's if it goes on.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn ask_view(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| {
            simulation.ask_view();
            Ok(())
        })
    }

    /// Asks for a cut of a simulation's present tick, or of the next window's if it goes on.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn ask_cut(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.control(now, id, |simulation, _| {
            simulation.ask_cut();
            Ok(())
        })
    }

    /// Removes a simulation in any state; [`Event::Deleted`] is the last that is said of it.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn delete(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        self.begin(now);
        self.remove(now, id)
    }

    pub(crate) fn remove(&mut self, now: Duration, id: SimulationId) -> Result<(), ControlError> {
        // Who listens hears the last of it.
        self.note();
        self.publish(now, id, true);
        self.feeds.close(id);
        // Out of the map first: what is closed must never be advanced again.
        let removed = self.simulations.remove(&id);
        let mut simulation = removed.ok_or(ControlError::UnknownSimulation { id })?;
        self.chronicle.close(id);
        self.metadata.remove(&id);
        simulation.close(&mut context!(self, now));
        self.verifier.simulation_gone(id);
        self.retired.0.merge(&totals(&simulation));
        self.retired.1.merge(&simulation.latencies);
        self.retired.2.merge(&simulation.stalls);
        self.outbox.event(Event::Deleted {
            simulation: id,
            tick: simulation.completed.unwrap_or(0),
        });
        // What waited for its replays goes on.
        self.advance_all(now);
        Ok(())
    }

    /// What can be read of a simulation.
    ///
    /// # Errors
    /// [`ControlError::UnknownSimulation`].
    pub fn simulation(&self, id: SimulationId) -> Result<SimulationInfo, ControlError> {
        Ok(self.known(id)?.info(self.now, &self.chronicle))
    }

    /// A simulation that is there.
    pub(crate) fn known(&self, id: SimulationId) -> Result<&Simulation, ControlError> {
        let simulation = self.simulations.get(&id);
        simulation.ok_or(ControlError::UnknownSimulation { id })
    }

    /// A control call to one simulation.
    fn control<T>(
        &mut self,
        now: Duration,
        id: SimulationId,
        call: impl FnOnce(&mut Simulation, &mut Context<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        self.begin(now);
        self.act(now, id, call)
    }

    /// A call to one simulation, in an input that has begun.
    pub(crate) fn act<T>(
        &mut self,
        now: Duration,
        id: SimulationId,
        call: impl FnOnce(&mut Simulation, &mut Context<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let simulation = self
            .simulations
            .get_mut(&id)
            .ok_or(ControlError::UnknownSimulation { id })?;
        let answer = call(simulation, &mut context!(self, now))?;
        self.advance(now, id);
        Ok(answer)
    }
}

/// What the log `system` is to say of where a run stands, where that was kept and what was said of it was not: it was
/// acknowledged, and comes again.
fn unsaid(recovered: &Recovered) -> Option<Entry> {
    // A fork's log begins with what becomes of it.
    if recovered.spec.parent.is_some() && recovered.last_system_seq == 0 {
        return None;
    }
    let (status, cause) = (recovered.state.status, recovered.state.cause);
    let entry = journal::lifecycle(status, cause);
    (recovered.last_lifecycle.as_deref() != Some(&*entry.1.to_string())).then_some(entry)
}

/// Where a run stands, as it is kept.
fn kept_head(recovered: &Recovered) -> store::history::Head {
    store::history::Head {
        tick: recovered.head_tick,
        status: None,
        step_until: None,
        ended_at_us: None,
        digest: recovered.digest,
        aggregate: recovered.aggregate,
        late_ticks: recovered.late_ticks,
        dilated_ms: recovered.dilated_ms,
    }
}
