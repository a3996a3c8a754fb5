//! What the database holds, once there is a way to it: an orchestrator may still have to make it.

use std::time::Duration;

use store::error::{Outage, StoreError};
use store::reader::Reader;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::config::DatabaseLocation;
use crate::limits::{FIRST_RETRY, LAST_RETRY, NEW_DATABASE_PATIENCE};
use crate::problem::{Problem, ProblemKind};

/// Reads what the database holds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    is_configured: bool,
    reader: watch::Receiver<Option<Reader>>,
}

/// Makes the connection of an [`Archive`].
#[derive(Debug)]
pub(crate) struct Archived(watch::Sender<Option<Reader>>);

pub(crate) fn archive(is_configured: bool) -> (Archive, Archived) {
    let (found, reader) = watch::channel(None);
    let archive = Archive {
        is_configured,
        reader,
    };
    (archive, Archived(found))
}

impl Archive {
    /// What reads.
    ///
    /// # Errors
    /// [`ProblemKind::StoreUnavailable`] while there is no way to the database, or none is configured.
    pub fn reader(&self) -> Result<Reader, Problem> {
        let reader = self.reader.borrow().clone();
        let detail = if self.is_configured {
            "there is no way to the database yet"
        } else {
            "this gateway was started without a database, so it serves no history"
        };
        reader.ok_or_else(|| Problem::new(ProblemKind::StoreUnavailable, detail))
    }

    /// Whether there is a database at all, reached or not.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Waits for a way to the database; `None` where there never will be one.
    pub async fn wait(&self) -> Option<Reader> {
        let mut reader = self.reader.clone();
        let found = reader.wait_for(Option::is_some).await;
        found.ok().and_then(|reader| reader.clone())
    }
}

impl Archived {
    /// Tries until it is connected. The connections in the reader are made anew by themselves afterwards.
    pub(crate) async fn connect(self, location: DatabaseLocation) {
        let begun = Instant::now();
        let mut pause = FIRST_RETRY;
        loop {
            match Reader::connect(&location.0).await {
                Ok(reader) => {
                    info!("connected to the database");
                    self.0.send_replace(Some(reader));
                    return;
                }
                Err(error) if is_being_made(&error) && begun.elapsed() < NEW_DATABASE_PATIENCE => {
                    debug!(%error, "the database is not made yet");
                }
                Err(error) => warn!(%error, "no way to the database"),
            }
            sleep(pause + Duration::from_millis(fastrand::u64(..50))).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }
}

/// Whether it looks as a new database does before the orchestrator has made its tables.
fn is_being_made(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(Outage::NoFile) | StoreError::SchemaOlder { .. }
    )
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Unreadable { .. } | StoreError::Refused(_) => {
                error!(%error, "what the database holds cannot be read");
                Problem::new(
                    ProblemKind::Internal,
                    "what the database holds cannot be read by this build",
                )
            }
            error => {
                warn!(%error, "the database cannot be read");
                let detail = "the database cannot be read now";
                Problem::new(ProblemKind::StoreUnavailable, detail)
            }
        }
    }
}
