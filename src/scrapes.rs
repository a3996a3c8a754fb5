//! What the workers of this process tell of themselves, on one metrics page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transport::pool::FramePool;
use worker::drive::Scrape;
use worker::metrics::Told;

/// Asks every worker of this process for its figures. Clones share the workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrapes(Arc<Mutex<Workers>>);

type Workers = BTreeMap<String, (Scrape, FramePool)>;

impl Scrapes {
    /// A worker has started.
    pub(crate) fn add(&self, name: String, scrape: Scrape, pool: FramePool) {
        self.workers().insert(name, (scrape, pool));
    }

    /// A worker has ended.
    pub(crate) fn remove(&self, name: &str) {
        self.workers().remove(name);
    }

    /// The page. A worker that does not answer, for it has just ended, is left out.
    pub(crate) async fn page(&self) -> String {
        let workers = self.workers().clone();
        let mut told = Vec::with_capacity(workers.len());
        for (name, (scrape, pool)) in workers {
            if let Some(stats) = scrape.stats().await {
                told.push(Told { name, stats, pool });
            }
        }
        worker::metrics::text(told)
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
