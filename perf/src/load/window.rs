//! When is measured: between a warm-up and an end that all threads learn of without asking anybody.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// The phases of a run of clients.
pub(crate) struct Window {
    phase: AtomicU8,
    over: watch::Sender<bool>,
}

impl Window {
    /// Warming up.
    pub(crate) fn new() -> Window {
        Window {
            phase: AtomicU8::new(WARMING),
            over: watch::Sender::new(false),
        }
    }

    /// What happens from now on counts.
    pub(crate) fn measure(&self) {
        self.phase.store(MEASURING, Ordering::Relaxed);
    }

    /// Nothing counts any more, and everybody ends.
    pub(crate) fn end(&self) {
        self.phase.store(OVER, Ordering::Relaxed);
        self.over.send_replace(true);
    }

    /// Whether what happens now counts.
    pub(crate) fn is_measuring(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == MEASURING
    }

    /// Whether everybody shall end.
    pub(crate) fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    /// Resolves once everybody shall end.
    pub(crate) async fn over(&self) {
        let mut over = self.over.subscribe();
        // An error is the sender's end, which this holds.
        let _ = over.wait_for(|over| *over).await;
    }
}
