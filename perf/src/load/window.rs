//! When is measured: between a warm-up and an end that all threads learn of without asking anybody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use tokio::sync::watch;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// The phases of a run of clients.
pub(crate) struct Window {
    phase: AtomicU8,
    began: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    over: watch::Sender<bool>,
}

impl Window {
    /// Warming up.
    pub(crate) fn new() -> Window {
        Window {
            phase: AtomicU8::new(WARMING),
            began: OnceLock::new(),
            ended: OnceLock::new(),
            over: watch::Sender::new(false),
        }
    }

    /// What happens from now on counts.
    pub(crate) fn measure(&self) {
        self.began.get_or_init(Instant::now);
        self.phase.store(MEASURING, Ordering::Relaxed);
    }

    /// Nothing counts any more, and everybody ends.
    pub(crate) fn end(&self) {
        self.ended.get_or_init(Instant::now);
        self.phase.store(OVER, Ordering::Relaxed);
        self.over.send_replace(true);
    }

    /// Whether what happens now counts.
    pub(crate) fn is_measuring(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == MEASURING
    }

    /// The part of the time until now in which was measured; `None` before it begins.
    pub(crate) fn measured_until(&self, now: Instant) -> Option<(Instant, Instant)> {
        let end = self.ended.get().map_or(now, |ended| now.min(*ended));
        Some((*self.began.get()?, end)).filter(|(begin, end)| begin <= end)
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
