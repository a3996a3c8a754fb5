//! Where events are read that a gateway does not hold any more.

use std::future::Future;
use std::pin::Pin;

use tracing::warn;
use transport::control::{Log, LogEvent, SimulationId};

use crate::archive::Archive;

/// Why events cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// The gateway has no database.
    #[error("this gateway reads no database")]
    NoStore,
    /// It does not answer, or not in time.
    #[error("the database does not answer")]
    Unavailable,
}

/// What [`PastEvents::read`] returns: at most as many as were asked for, ascending, none of them older.
pub type Past<'a> = Pin<Box<dyn Future<Output = Result<Vec<LogEvent>, PastError>> + Send + 'a>>;

/// A source of older events. The database is one; [`NoPast`] is another.
pub trait PastEvents: Send + Sync {
    /// Events of a log of a simulation from `from_seq` on, at most `limit`.
    fn read(&self, simulation: SimulationId, log: Log, from_seq: u64, limit: usize) -> Past<'_>;
}

impl PastEvents for Archive {
    fn read(&self, simulation: SimulationId, log: Log, from_seq: u64, limit: usize) -> Past<'_> {
        Box::pin(async move {
            let Ok(reader) = self.reader() else {
                return Err(match self.is_configured() {
                    true => PastError::Unavailable,
                    false => PastError::NoStore,
                });
            };
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            match reader.log(simulation, log, from_seq, limit).await {
                // A simulation that is not there has no events.
                Ok(page) => Ok(page.map(|page| page.items).unwrap_or_default()),
                Err(error) => {
                    warn!(%simulation, %error, "events cannot be read");
                    Err(PastError::Unavailable)
                }
            }
        })
    }
}

/// A source that never has any: nothing is kept.
#[derive(Clone, Copy, Debug)]
pub struct NoPast;

impl PastEvents for NoPast {
    fn read(&self, _: SimulationId, _: Log, _: u64, _: usize) -> Past<'_> {
        Box::pin(async { Err(PastError::NoStore) })
    }
}
