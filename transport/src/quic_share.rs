//! The part of a connection that views and checkpoints may fill: views first, then each in its turn.
//!
//! QUIC's own priorities order only what it has taken, and it takes no more than its window. Were
//! that full of checkpoints, a result would wait for their acknowledgement. So they wait here instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::MAX_STREAMS_PER_PEER;
use crate::link::Class;
use crate::quic_config::BULK_IN_FLIGHT_BYTES;

/// What one frame counts for at least, so that a crowd of small ones does not take every stream.
const LEAST_BYTES: usize = 64 << 10;
const MOST_BYTES: usize = BULK_IN_FLIGHT_BYTES as usize;
const _: () = assert!(MOST_BYTES / LEAST_BYTES < MAX_STREAMS_PER_PEER as usize / 2);

/// Room that is given to frames in the order of their classes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct BulkShare(Arc<Mutex<State>>);

/// Bytes wanted, and who waits for them: one a stream, so never more than frames are queued.
type Waiting = VecDeque<(usize, oneshot::Sender<Taken>)>;

struct State {
    free: usize,
    views: Waiting,
    checkpoints: Waiting,
}

/// Room that a frame takes until this is dropped.
pub(crate) struct Taken {
    share: BulkShare,
    bytes: usize,
}

impl BulkShare {
    pub(crate) fn new() -> BulkShare {
        BulkShare(Arc::new(Mutex::new(State {
            free: MOST_BYTES,
            views: VecDeque::new(),
            checkpoints: VecDeque::new(),
        })))
    }

    /// Waits for room for a frame; a frame larger than the whole share takes all of it. `None` for the
    /// classes that never wait.
    pub(crate) async fn take(&self, class: Class, wire_len: usize) -> Option<Taken> {
        let bytes = wire_len.clamp(LEAST_BYTES, MOST_BYTES);
        let (given, taken) = oneshot::channel();
        match class {
            Class::Control | Class::Tick => return None,
            Class::View => self.lock().views.push_back((bytes, given)),
            Class::Checkpoint => self.lock().checkpoints.push_back((bytes, given)),
        }
        self.give();
        taken.await.ok()
    }

    fn give(&self) {
        // One at a time and outside the lock, which whoever is woken may take at once.
        while let Some((bytes, waits)) = self.next() {
            let share = self.clone();
            if let Err(mut unwanted) = waits.send(Taken { share, bytes }) {
                // It went away just now. The room goes back here: this loop gives it to the next.
                self.lock().free += std::mem::take(&mut unwanted.bytes);
            }
        }
    }

    /// The next that still waits, if there is room for it.
    fn next(&self) -> Option<(usize, oneshot::Sender<Taken>)> {
        let mut state = self.lock();
        let state = &mut *state;
        drop_gone(&mut state.views);
        drop_gone(&mut state.checkpoints);
        let first = if state.views.is_empty() {
            &mut state.checkpoints
        } else {
            &mut state.views
        };
        let bytes = first.front()?.0;
        state.free = state.free.checked_sub(bytes)?;
        first.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets those at the front that wait no more.
fn drop_gone(waiting: &mut Waiting) {
    while waiting.front().is_some_and(|(_, waits)| waits.is_closed()) {
        waiting.pop_front();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.share.lock().free += self.bytes;
        self.share.give();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn views_are_given_room_before_checkpoints_that_waited_longer() {
        let share = BulkShare::new();
        let mut first = pin!(share.take(Class::Checkpoint, 2 * MOST_BYTES));
        let Poll::Ready(all) = poll(first.as_mut()) else {
            panic!("it is alone")
        };
        let mut checkpoint = pin!(share.take(Class::Checkpoint, MOST_BYTES));
        let mut view = pin!(share.take(Class::View, MOST_BYTES));
        assert!(poll(checkpoint.as_mut()).is_pending());
        assert!(poll(view.as_mut()).is_pending());
        drop(all);
        assert!(poll(checkpoint.as_mut()).is_pending());
        let Poll::Ready(view) = poll(view.as_mut()) else {
            panic!("it is a view's turn")
        };
        drop(view);
        assert!(poll(checkpoint.as_mut()).is_ready());
    }

    #[test]
    fn results_never_wait_and_room_is_bounded_by_bytes_and_by_frames() {
        for (wire_len, fit) in [(MOST_BYTES / 2, 2), (1, MOST_BYTES / LEAST_BYTES)] {
            let share = BulkShare::new();
            let mut taken = Vec::new();
            while let Poll::Ready(room) = poll(pin!(share.take(Class::View, wire_len))) {
                taken.push(room);
            }
            assert_eq!(taken.len(), fit);
            for class in [Class::Control, Class::Tick] {
                assert!(poll(pin!(share.take(class, MOST_BYTES))).is_ready());
            }
        }
    }

    #[test]
    fn room_for_one_that_went_away_is_given_to_the_next() {
        let share = BulkShare::new();
        let Poll::Ready(all) = poll(pin!(share.take(Class::View, MOST_BYTES))) else {
            panic!("it is alone")
        };
        {
            let mut gone = pin!(share.take(Class::View, MOST_BYTES));
            assert!(poll(gone.as_mut()).is_pending());
        }
        let mut next = pin!(share.take(Class::Checkpoint, 1));
        assert!(poll(next.as_mut()).is_pending());
        drop(all);
        let room = poll(next.as_mut());
        assert!(matches!(room, Poll::Ready(Some(_))));
        assert_eq!(share.lock().free, MOST_BYTES - LEAST_BYTES);
        drop(room);
        assert_eq!(share.lock().free, MOST_BYTES);
    }

    /// Each that had gone once gave its room back from within the giving: a crowd overflowed the stack.
    #[test]
    fn a_crowd_that_went_away_is_passed_over_one_by_one() {
        const CROWD: usize = 200_000;
        let share = BulkShare::new();
        let Poll::Ready(all) = poll(pin!(share.take(Class::View, MOST_BYTES))) else {
            panic!("it is alone")
        };
        for _ in 0..CROWD {
            assert!(poll(pin!(share.take(Class::View, MOST_BYTES))).is_pending());
        }
        let mut next = pin!(share.take(Class::Checkpoint, 1));
        assert!(poll(next.as_mut()).is_pending());
        drop(all);
        assert!(matches!(poll(next.as_mut()), Poll::Ready(Some(_))));
    }
}
