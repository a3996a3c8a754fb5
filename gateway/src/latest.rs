//! What a handler may ask of the live stream's feed: the newest view of a simulation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use transport::control::SimulationId;

use crate::view_tick::ViewTick;

/// A source of newest views. The feed of the live stream is one; [`NoViews`] is another.
pub trait LatestView: Send + Sync {
    /// The newest view of a simulation; `None` where none can be had in time.
    fn latest(&self, simulation: SimulationId) -> Latest<'_>;
}

/// What [`LatestView::latest`] returns.
pub type Latest<'a> = Pin<Box<dyn Future<Output = Option<Arc<ViewTick>>> + Send + 'a>>;

/// A source that never has any: machines are then shown by their metadata alone.
#[derive(Clone, Copy, Debug)]
pub struct NoViews;

impl LatestView for NoViews {
    fn latest(&self, _: SimulationId) -> Latest<'_> {
        Box::pin(async { None })
    }
}
