//! The orchestrator's own computation of a step on which two workers differ.

use kernel::config::ConfigError;
use kernel::plan::Plan;
use kernel::{CheckpointError, MailError, Partition, StepInputs};

use crate::verify::Arbitration;

/// The answer to an [`Arbitration`].
#[derive(Debug)]
pub struct Arbitrated {
    /// The request's name.
    pub request: u64,
    /// The digest after the step.
    pub digest: Result<u64, ArbitrationError>,
}

/// Why the orchestrator could not compute a step either.
#[derive(Debug, thiserror::Error)]
pub enum ArbitrationError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state before it cannot be restored.
    #[error("the state before the step: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The state before it is of another tick.
    #[error("the state is of tick {tick}, not of the one before")]
    Tick {
        /// Its tick.
        tick: u64,
    },
    /// The messages cannot be read.
    #[error("the messages of the step: {0}")]
    Mail(#[from] MailError),
}

/// Computes the step. It takes as long as a step does and belongs on a thread of its own.
#[must_use]
pub fn arbitrate(arbitration: &Arbitration) -> Arbitrated {
    Arbitrated {
        request: arbitration.request,
        digest: digest(arbitration),
    }
}

fn digest(arbitration: &Arbitration) -> Result<u64, ArbitrationError> {
    let plan = Plan::new(&arbitration.config)?;
    let mut partition = Partition::restore(
        &plan,
        arbitration.partition,
        arbitration.checkpoint.payload(),
    )?;
    let tick = partition.tick();
    if tick + 1 != arbitration.tick {
        return Err(ArbitrationError::Tick { tick });
    }
    let commands: Vec<_> = arbitration
        .inputs
        .commands
        .iter()
        .map(|c| c.command)
        .collect();
    let mail: Vec<&[u32]> = arbitration
        .inputs
        .mail
        .iter()
        .map(|m| &m.words[..])
        .collect();
    let inputs = StepInputs {
        commands: &commands,
        mail: &mail,
    };
    partition.step(&inputs, &bumpalo::Bump::new())?;
    Ok(partition.digest())
}
