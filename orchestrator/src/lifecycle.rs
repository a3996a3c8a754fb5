//! What a request makes of a run's standing, before it is done: what is kept of it first.

use store::write::State;
use transport::control::{MAX_LABEL_BYTES, Speed, Status};

use crate::context::Context;
use crate::control::{ControlError, validate_speed};
use crate::simulation::Simulation;

/// A change of a run's standing that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Start,
    Pause,
    Resume,
    Stop,
    Step(u64),
    Change {
        speed: Option<Speed>,
        name: Option<String>,
    },
}

impl Move {
    /// Whether it makes a run stand: what comes of it is a tick, which is kept with it.
    pub(crate) fn halts(&self) -> bool {
        matches!(self, Move::Pause | Move::Stop)
    }
}

impl Simulation {
    /// Where it stands for the store.
    pub(crate) fn state(&self) -> State {
        if let Some(kept) = &self.record.kept_state {
            let name = self.spec.name.clone();
            return State {
                name,
                ..kept.clone()
            };
        }
        State {
            status: self.status,
            cause: self.cause,
            name: self.spec.name.clone(),
            speed: self.spec.speed,
            step_until: self.step_until,
            created_at_us: self.record.created_at_us,
            started_at_us: self.record.started_at_us,
            ended_at_us: self.record.ended_at_us,
        }
    }

    /// Where it will stand after a move.
    ///
    /// # Errors
    /// [`ControlError`] where the move is not possible.
    pub(crate) fn foresee(&self, movement: &Move, unix_us: u64) -> Result<State, ControlError> {
        let mut state = self.state();
        if *movement == Move::Pause && self.steps() {
            // It is paused, and stays so for the reason it was.
            state.step_until = Some(self.present());
            return Ok(state);
        }
        let (request, from, to) = match movement {
            Move::Start => ("start", &[Status::Created][..], Some(Status::Running)),
            Move::Pause => ("pause", &[Status::Running][..], Some(Status::Paused)),
            Move::Resume => ("resume", &[Status::Paused][..], Some(Status::Running)),
            Move::Stop => {
                let from = &[Status::Running, Status::Paused][..];
                ("stop", from, Some(Status::Stopped))
            }
            Move::Step(_) => ("step", &[Status::Paused][..], None),
            Move::Change { speed: Some(_), .. } => {
                let from = &[Status::Created, Status::Running, Status::Paused][..];
                ("change the speed of", from, None)
            }
            Move::Change { .. } => ("rename", &Status::ALL[..], None),
        };
        if !from.contains(&self.status) {
            let status = self.status;
            return Err(ControlError::InvalidTransition { request, status });
        }
        if let Some(to) = to {
            state.status = to;
            state.cause = crate::control::Cause::Requested;
        }
        match movement {
            Move::Start => state.started_at_us = state.started_at_us.or(Some(unix_us)),
            Move::Resume => {
                state.started_at_us = state.started_at_us.or(Some(unix_us));
                state.step_until = None;
            }
            Move::Pause => state.step_until = Some(self.present()),
            Move::Stop => {
                state.step_until = Some(self.present());
                state.ended_at_us = Some(unix_us);
            }
            Move::Step(ticks) => state.step_until = Some(self.step_end(*ticks)?),
            Move::Change { speed, name } => {
                if let Some(speed) = speed {
                    state.speed = validate_speed(*speed)?;
                }
                if let Some(name) = name {
                    state.name = validate_name(name)?.to_owned();
                }
            }
        }
        Ok(state)
    }

    /// Carries out a move that was foreseen to lead to `state`.
    ///
    /// # Errors
    /// [`ControlError`] where it has become impossible meanwhile.
    pub(crate) fn carry_out(
        &mut self,
        ctx: &mut Context<'_>,
        movement: &Move,
        state: &State,
    ) -> Result<(), ControlError> {
        // Whatever comes of it, that is known now.
        self.halting = None;
        match movement {
            Move::Start => self.start(ctx)?,
            Move::Pause => self.pause(ctx)?,
            Move::Resume => self.resume(ctx)?,
            Move::Stop => self.stop(ctx)?,
            Move::Step(ticks) => self.step(*ticks)?,
            Move::Change { speed, name } => {
                if let Some(speed) = speed {
                    self.set_speed(ctx.now, *speed)?;
                }
                if let Some(name) = name {
                    self.spec.name.clone_from(name);
                }
            }
        }
        // It may have ended since the move was foreseen.
        if self.record.kept_state.is_none() {
            self.record.started_at_us = self.record.started_at_us.or(state.started_at_us);
            self.record.ended_at_us = self.record.ended_at_us.or(state.ended_at_us);
        }
        Ok(())
    }
}

/// Checks the length of a name.
///
/// # Errors
/// [`ControlError::NameTooLong`].
pub(crate) fn validate_name(name: &str) -> Result<&str, ControlError> {
    let (bytes, limit) = (name.len(), MAX_LABEL_BYTES);
    if bytes > limit {
        return Err(ControlError::NameTooLong { bytes, limit });
    }
    Ok(name)
}
