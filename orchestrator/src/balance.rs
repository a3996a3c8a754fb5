//! How partitions are spread over workers: when they move, which, and who has how much. Who would take what is
//! computed in [`placement`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::WorkerId;
use crate::core::Orchestrator;
use crate::cost;
use crate::limits::{MAX_MOVES, REBALANCE_EVERY};
use crate::placement::{self, Load};
use crate::registry::WorkerState;

/// How much busier than the average the busiest worker may be before partitions move.
pub(crate) const IMBALANCE: f64 = 0.25;
/// The same when a worker has just joined.
pub(crate) const JOIN_IMBALANCE: f64 = 0.02;
/// Least share by which a move makes the busiest worker less busy.
const MOVE_GAIN: f64 = 0.01;

impl Orchestrator {
    /// Plans moves if the busiest worker is busier than the average by more than `tolerated`.
    pub(crate) fn rebalance(&mut self, now: Duration, tolerated: f64) {
        let many = self.registry.ready().nth(1).is_some();
        self.rebalance_at = (self.config.rebalance && many).then(|| now + REBALANCE_EVERY);
        let mut capacities = self
            .registry
            .capacities(|worker| self.rows_after_moves(worker));
        self.leave_draining(&capacities);
        if !self.config.rebalance || !placement::is_uneven(&capacities, tolerated) {
            return;
        }
        capacities = self
            .registry
            .capacities(|worker| self.rows_after_moves(worker));
        let mut loads = Vec::new();
        for (id, simulation) in &self.simulations {
            for (p, state) in simulation.partitions.iter().enumerate() {
                if let (Some(owner), None) = (state.owner, state.moving) {
                    let (key, rows) = ((*id, p), state.rows);
                    loads.push(Load { key, rows, owner });
                }
            }
        }
        for ((id, p), to) in placement::rebalance(&loads, &capacities, MOVE_GAIN, MAX_MOVES) {
            let simulation = self.simulations.get_mut(&id).expect("listed above");
            simulation.partitions[p].moving = Some((to, None));
        }
    }

    /// Plans to move everything that draining workers have, if there is anyone to take it.
    fn leave_draining(&mut self, capacities: &[placement::Capacity]) {
        let mut leaving = Vec::new();
        for (id, simulation) in &self.simulations {
            for (p, state) in simulation.partitions.iter().enumerate() {
                let draining =
                    |w| self.registry.get(w).map(|w| w.state) == Some(WorkerState::Draining);
                if state.moving.is_none() && state.owner.is_some_and(draining) {
                    leaving.push((*id, p, state.rows));
                }
            }
        }
        let rows: Vec<u64> = leaving.iter().map(|(_, _, rows)| *rows).collect();
        let Some(owners) = placement::assign(&rows, capacities) else {
            return;
        };
        for ((id, p, _), to) in leaving.into_iter().zip(owners) {
            let simulation = self.simulations.get_mut(&id).expect("listed above");
            simulation.partitions[p].moving = Some((to, None));
        }
    }

    pub(crate) fn rows(&self, worker: WorkerId) -> u64 {
        self.simulations.values().map(|s| s.rows_of(worker)).sum()
    }

    /// Rows a worker has once the moves under way are done.
    fn rows_after_moves(&self, worker: WorkerId) -> u64 {
        self.simulations
            .values()
            .flat_map(|s| &s.partitions)
            .filter(|p| p.moving.map(|(to, _)| to).or(p.owner) == Some(worker))
            .map(|p| p.rows)
            .sum()
    }

    /// Partitions and rows of each worker that has any.
    pub(crate) fn held(&self) -> BTreeMap<WorkerId, (u64, u64)> {
        let mut held: BTreeMap<WorkerId, (u64, u64)> = BTreeMap::new();
        for p in self.simulations.values().flat_map(|s| &s.partitions) {
            cost::visit();
            if let Some(owner) = p.owner {
                let (partitions, rows) = held.entry(owner).or_default();
                *partitions += 1;
                *rows += p.rows;
            }
        }
        held
    }
}
