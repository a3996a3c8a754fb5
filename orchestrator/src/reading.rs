//! What is answered at once, for it changes nothing that is kept.

use std::time::Duration;

use transport::control::{
    Answer, Ask, MAX_PAGE, SimulationId, SimulationInfo, StageLatency, Status, WorkerInfo,
};

use crate::control::ControlError;
use crate::core::Orchestrator;
use crate::desk::Caller;
use crate::latency::Stage;
use crate::limits::MAX_TICKETS;
use crate::registry::WorkerState;
use crate::request::refused;
use crate::tickets::Holder;

impl Orchestrator {
    /// Answers what changes nothing that is kept; `None` for what does.
    pub(crate) fn read(&mut self, now: Duration, caller: &Caller, ask: &Ask) -> Option<Answer> {
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
        let items = items.map(|s| s.info(now, &self.chronicle)).collect();
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
}

pub(crate) fn simulation_answer(info: SimulationInfo) -> Answer {
    Answer::Simulation(Box::new(info))
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
