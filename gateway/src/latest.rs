//! What a handler may ask of the live stream's feed: the newest view of a simulation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use transport::control::SimulationId;

use crate::view_tick::ViewTick;

/// Why there is no view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoView {
    /// None came in time.
    NotYet,
    /// No worker is there that could show it.
    NoWorker,
    /// The simulation has ended, and nobody has kept what was shown of it.
    Ended,
}

/// A source of newest views. The feed of the live stream is one; [`NoViews`] is another.
pub trait LatestView: Send + Sync {
    /// The newest view of a simulation.
    ///
    /// # Errors
    /// [`NoView`] says why there is none. Where no worker is there that could show it, that is said at once.
    fn latest(&self, simulation: SimulationId) -> Latest<'_>;
}

/// What [`LatestView::latest`] returns.
pub type Latest<'a> = Pin<Box<dyn Future<Output = Result<Arc<ViewTick>, NoView>> + Send + 'a>>;

/// A source that never has any: machines are then shown by their metadata alone.
#[derive(Clone, Copy, Debug)]
pub struct NoViews;

impl LatestView for NoViews {
    fn latest(&self, _: SimulationId) -> Latest<'_> {
        Box::pin(async { Err(NoView::NotYet) })
    }
}
