//! What the orchestrator of this process tells of itself, also before it serves.

use std::sync::{Arc, OnceLock};

use orchestrator::handle::Handle;
use orchestrator::standing::Standing;
use tokio::sync::watch;
use transport::metrics::join;
use transport::pool::FramePool;

/// Tells how an orchestrator stands, and once it serves, its figures. Clones share it.
#[derive(Clone)]
pub(crate) struct OrchestratorPage {
    standing: watch::Sender<Standing>,
    serving: Arc<OnceLock<Handle>>,
    pool: FramePool,
}

impl OrchestratorPage {
    /// Of one that has not begun, with this pool.
    pub(crate) fn new(pool: FramePool) -> OrchestratorPage {
        OrchestratorPage {
            standing: watch::Sender::default(),
            serving: Arc::default(),
            pool,
        }
    }

    /// Where the orchestrator says how it stands.
    pub(crate) fn standing(&self) -> watch::Sender<Standing> {
        self.standing.clone()
    }

    /// It serves.
    pub(crate) fn serves(&self, handle: &Handle) {
        self.serving.get_or_init(|| handle.clone());
    }

    /// Whether it is ready; why not, in words.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.standing.borrow().ready()
    }

    /// Its metrics; `None` once it has ended.
    pub(crate) async fn text(&self) -> Option<String> {
        let standing = self.standing.borrow().metrics();
        let Some(handle) = self.serving.get() else {
            return Some(standing);
        };
        let snapshot = handle.snapshot().await.ok()?;
        let figures = orchestrator::metrics::text(snapshot, &self.pool);
        Some(join([standing, figures]))
    }
}
