//! The simulations under load.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::load::api::Resource;
use crate::load::content::Agreement;
use crate::load::violation::Finding;

/// One simulation, and what all clients of it share.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its id.
    pub(crate) id: String,
    /// Its machines; their ids are 1 to this.
    pub(crate) entities: u64,
    /// Its scenario.
    pub(crate) scenario: String,
    /// Length of a tick, ms.
    pub(crate) tick_ms: u32,
    /// Factor on real time that it is to keep; `None` for as fast as it goes.
    pub(crate) speed: Option<f64>,
    newest_tick: AtomicU64,
    /// What clients are told of each tick.
    pub(crate) agreement: Mutex<Agreement>,
}

impl Target {
    /// A simulation of which nothing was seen.
    pub(crate) fn new(resource: &Resource) -> Target {
        Target {
            id: resource.id.clone(),
            entities: resource.entities,
            scenario: resource.scenario.clone(),
            tick_ms: resource.tick_ms,
            speed: resource.speed(),
            newest_tick: AtomicU64::new(0),
            agreement: Mutex::default(),
        }
    }

    /// A tick was seen.
    pub(crate) fn handle_tick(&self, tick: u64) {
        self.newest_tick.fetch_max(tick, Ordering::Relaxed);
    }

    /// A resource was read: its digest is compared with those of before.
    ///
    /// # Errors
    /// Where they differ.
    pub(crate) fn see(&self, resource: &Resource) -> Result<(), Finding> {
        self.handle_tick(resource.tick);
        match resource.digest()? {
            Some((tick, digest)) => {
                let mut agreement = self.agreement.lock().expect("nobody panics with it");
                agreement.handle_digest(tick, digest)
            }
            None => Ok(()),
        }
    }

    /// The newest tick that was seen.
    pub(crate) fn newest_tick(&self) -> u64 {
        self.newest_tick.load(Ordering::Relaxed)
    }
}
