//! Threads for what takes too long for the loop: no more of it goes on at once than there are places, so that a
//! thousand farms which are to be cut do not take all memory and every processor together.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use crate::limits::MAX_CHORES;

/// Places for such work, [`MAX_CHORES`] of them. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    places: Arc<Semaphore>,
}

impl Default for Threads {
    fn default() -> Threads {
        Threads {
            places: Arc::new(Semaphore::new(MAX_CHORES)),
        }
    }
}

impl Threads {
    /// Does some work on a thread, once there is a place for it; whoever came first has the first.
    ///
    /// # Errors
    /// [`JoinError`] where it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("it is never closed");
        spawn_blocking(move || {
            // Kept until the work is over, whether anybody still waits for it or not.
            let _place = place;
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    use tokio::task::JoinSet;

    use super::*;

    /// How many are at work, and how many were at most.
    #[derive(Default)]
    struct AtWork {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[tokio::test]
    async fn no_more_work_goes_on_at_once_than_there_are_places() {
        let threads = Threads::default();
        let at_work = Arc::new(AtWork::default());
        // Closed until as many are at work as may be, so that a bound which is too low would be seen too.
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let mut all = JoinSet::new();
        for _ in 0..4 * MAX_CHORES {
            let (threads, at_work, gate) = (threads.clone(), at_work.clone(), gate.clone());
            all.spawn(async move {
                let work = move || {
                    let now = at_work.now.fetch_add(1, Ordering::SeqCst) + 1;
                    at_work.most.fetch_max(now, Ordering::SeqCst);
                    let (is_open, opened) = &*gate;
                    let mut is_open = is_open.lock().unwrap();
                    *is_open |= now == MAX_CHORES;
                    opened.notify_all();
                    while !*is_open {
                        is_open = opened.wait(is_open).unwrap();
                    }
                    drop(is_open);
                    std::thread::yield_now();
                    at_work.now.fetch_sub(1, Ordering::SeqCst);
                };
                threads.run(work).await
            });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(at_work.most.load(Ordering::SeqCst), MAX_CHORES);
    }
}
