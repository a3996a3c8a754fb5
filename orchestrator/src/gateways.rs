//! Gateways: who is connected, and what each has subscribed to.

use std::time::Duration;

use transport::control::{Answer, SimulationId};

use crate::control::ControlError;
use crate::core::Orchestrator;
use crate::desk::{Asker, Caller};

impl Orchestrator {
    pub(crate) fn subscribe(
        &mut self,
        _now: Duration,
        caller: &Caller,
        id: SimulationId,
        _view_hz: u32,
    ) -> Result<Answer, ControlError> {
        match caller.asker {
            Asker::Local => Err(ControlError::NeedsGateway),
            Asker::Gateway(_) => Err(ControlError::UnknownSimulation { id }),
        }
    }

    pub(crate) fn unsubscribe(
        &mut self,
        caller: &Caller,
        id: SimulationId,
    ) -> Result<Answer, ControlError> {
        self.subscribe(Duration::ZERO, caller, id, 0)
    }

    pub(crate) fn recover(
        &mut self,
        _now: Duration,
        recovered: store::recovery::Recovered,
        _plan: kernel::plan::Plan,
    ) -> Answer {
        let id = recovered.spec.id;
        crate::request::refused(ControlError::UnknownSimulation { id })
    }
}
