//! Which runs are advanced when: those whose time has come, or all where what they share has changed. An input
//! costs no look at the runs that it does not concern.

use std::time::Duration;

use crate::control::SimulationId;
use crate::core::{Orchestrator, context};

impl Orchestrator {
    /// Advances the runs whose time has come, where nothing that others depend on has changed.
    pub(crate) fn advance_due(&mut self, now: Duration) {
        self.next_wake(now);
        let due: Vec<SimulationId> = self
            .wakes
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            self.advance(now, id);
        }
        self.say_drained();
    }

    pub(crate) fn advance_all(&mut self, now: Duration) {
        let ids: Vec<SimulationId> = self.simulations.keys().copied().collect();
        for id in ids {
            self.advance(now, id);
        }
        self.say_drained();
    }

    /// Lets a simulation dispatch what is due.
    pub(crate) fn advance(&mut self, now: Duration, id: SimulationId) {
        let Some(simulation) = self.simulations.get_mut(&id) else {
            return;
        };
        if self.ended.is_some() {
            return;
        }
        let idle = simulation.window.is_none();
        simulation.advance(&mut context!(self, now));
        if !std::mem::replace(&mut simulation.wake_stale, true) {
            self.stale.push(id);
        }
        if idle && simulation.window.as_ref().is_some_and(|w| w.ticks > 0) {
            self.touched.dispatched.push(id);
        }
        // Another run's replays may wait for the same worker.
        if self.registry.take_eased() {
            self.advance_all(now);
        }
    }

    /// When a run is to be advanced though no input is for it. Only runs that were advanced since the
    /// last call are looked at.
    pub(crate) fn next_wake(&mut self, now: Duration) -> Option<Duration> {
        for id in std::mem::take(&mut self.stale) {
            let Some(simulation) = self.simulations.get_mut(&id) else {
                continue;
            };
            simulation.wake_stale = false;
            let wake = simulation.next_wake(&context!(self, now));
            if wake != simulation.wake {
                let before = std::mem::replace(&mut simulation.wake, wake);
                before.map(|at| self.wakes.remove(&(at, id)));
                wake.map(|at| self.wakes.insert((at, id)));
            }
        }
        while let Some(&(at, id)) = self.wakes.first() {
            if self
                .simulations
                .get(&id)
                .is_some_and(|s| s.wake == Some(at))
            {
                return Some(at);
            }
            self.wakes.pop_first();
        }
        None
    }
}
