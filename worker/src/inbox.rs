//! What came before its time: streams overtake each other, so a checkpoint waits here for its
//! dispatch, and a dispatch for its simulation to be opened.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use transport::frame::Frame;
use transport::header::SimulationId;

use crate::limits::{
    EARLY_PATIENCE, MAX_EARLY_DISPATCHES, MAX_WAITING_CHECKPOINT_BYTES, MAX_WAITING_CHECKPOINTS,
};

/// The state that a checkpoint is of, and the placement it was sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StateKey {
    pub(crate) simulation: SimulationId,
    pub(crate) partition: u32,
    pub(crate) tick: u64,
    pub(crate) placement_epoch: u32,
}

/// Checkpoint frames whose dispatch has not come. The oldest go first when there are too many.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    frames: BTreeMap<StateKey, (u64, Frame)>,
    by_age: BTreeMap<u64, StateKey>,
    next_age: u64,
    bytes: usize,
}

impl Checkpoints {
    /// Keeps a frame until it is taken.
    pub(crate) fn put(&mut self, frame: Frame) {
        let header = &frame.header;
        let key = StateKey {
            simulation: header.simulation,
            partition: header.partition,
            tick: header.tick,
            placement_epoch: header.placement_epoch,
        };
        self.take(&key);
        self.bytes += frame.payload().len();
        self.frames.insert(key, (self.next_age, frame));
        self.by_age.insert(self.next_age, key);
        self.next_age += 1;
        while self.bytes > MAX_WAITING_CHECKPOINT_BYTES
            || self.frames.len() > MAX_WAITING_CHECKPOINTS
        {
            let (_, oldest) = self
                .by_age
                .first_key_value()
                .expect("over a bound, so not empty");
            let oldest = *oldest;
            self.take(&oldest);
        }
    }

    /// Hands out the frame of a state.
    pub(crate) fn take(&mut self, key: &StateKey) -> Option<Frame> {
        let (age, frame) = self.frames.remove(key)?;
        self.by_age.remove(&age);
        self.bytes -= frame.payload().len();
        Some(frame)
    }

    /// Forgets what waits for a simulation that is closed.
    pub(crate) fn close(&mut self, simulation: SimulationId) {
        let gone: Vec<StateKey> = (self.frames.keys())
            .filter(|key| key.simulation == simulation)
            .copied()
            .collect();
        for key in gone {
            self.take(&key);
        }
    }

    /// Bytes of payload that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Dispatches whose simulation is not open yet, by arrival.
#[derive(Debug, Default)]
pub(crate) struct Early {
    dispatches: VecDeque<(Duration, Frame)>,
}

impl Early {
    /// Keeps a dispatch; answers the one that had to give way.
    #[must_use]
    pub(crate) fn put(&mut self, now: Duration, frame: Frame) -> Option<Frame> {
        self.dispatches.push_back((now, frame));
        let over = self.dispatches.len() > MAX_EARLY_DISPATCHES;
        over.then(|| self.dispatches.pop_front().map(|(_, frame)| frame))
            .flatten()
    }

    /// Hands out what waited for this simulation, by arrival.
    pub(crate) fn opened(&mut self, simulation: SimulationId) -> Vec<(Duration, Frame)> {
        let all = std::mem::take(&mut self.dispatches);
        let (ready, rest): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, frame)| frame.header.simulation == simulation);
        self.dispatches = rest.into();
        ready
    }

    /// Hands out one that waited for too long.
    pub(crate) fn overdue(&mut self, now: Duration) -> Option<Frame> {
        let (received_at, _) = self.dispatches.front()?;
        (*received_at + EARLY_PATIENCE <= now)
            .then(|| self.dispatches.pop_front().map(|(_, frame)| frame))
            .flatten()
    }

    /// When [`Early::overdue`] has something to hand out.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.dispatches.front().map(|(at, _)| *at + EARLY_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::header::{Header, Kind};

    fn frame(kind: Kind, simulation: u128, tick: u64, bytes: usize) -> Frame {
        let header = Header {
            simulation: SimulationId(simulation),
            tick,
            ..Header::new(kind)
        };
        Frame::from_bytes(header, vec![0; bytes]).unwrap()
    }

    fn key(simulation: u128, tick: u64) -> StateKey {
        StateKey {
            simulation: SimulationId(simulation),
            partition: 0,
            tick,
            placement_epoch: 0,
        }
    }

    #[test]
    fn a_checkpoint_is_handed_out_once_to_the_dispatch_of_its_state() {
        let mut waiting = Checkpoints::default();
        waiting.put(frame(Kind::Checkpoint, 1, 7, 100));
        waiting.put(frame(Kind::Checkpoint, 1, 7, 120));
        waiting.put(frame(Kind::Checkpoint, 2, 7, 50));
        assert_eq!(
            waiting.bytes(),
            170,
            "a repeated one takes the place of the first"
        );
        assert!(waiting.take(&key(1, 8)).is_none());
        assert!(
            waiting
                .take(&key(1, 7))
                .is_some_and(|f| f.payload().len() == 120)
        );
        assert!(waiting.take(&key(1, 7)).is_none());
        waiting.close(SimulationId(2));
        assert_eq!(waiting.bytes(), 0);
    }

    #[test]
    fn checkpoints_beyond_the_bound_push_out_the_oldest() {
        let mut waiting = Checkpoints::default();
        let shared = frame(Kind::Checkpoint, 1, 0, 32 << 20);
        let most = MAX_WAITING_CHECKPOINT_BYTES / shared.payload().len();
        for tick in 0..=most as u64 {
            waiting.put(shared.with_header(Header {
                tick,
                ..shared.header
            }));
        }
        assert!(waiting.bytes() <= MAX_WAITING_CHECKPOINT_BYTES);
        assert!(waiting.take(&key(1, 0)).is_none(), "the oldest is gone");
        assert!(waiting.take(&key(1, most as u64)).is_some());
    }

    #[test]
    fn an_early_dispatch_waits_for_its_simulation_but_not_for_ever() {
        let mut early = Early::default();
        let at = Duration::from_secs(5);
        for simulation in [1, 2, 1] {
            assert!(
                early
                    .put(at, frame(Kind::Dispatch, simulation, 0, 0))
                    .is_none()
            );
        }
        assert_eq!(early.opened(SimulationId(1)).len(), 2);
        assert!(early.overdue(at).is_none());
        assert_eq!(early.next_timeout(), Some(at + EARLY_PATIENCE));
        assert!(early.overdue(at + EARLY_PATIENCE).is_some());
        assert_eq!(early.next_timeout(), None);
    }

    #[test]
    fn too_many_early_dispatches_push_out_the_first() {
        let mut early = Early::default();
        let pushed = (0..=MAX_EARLY_DISPATCHES as u64)
            .filter_map(|tick| early.put(Duration::ZERO, frame(Kind::Dispatch, 1, tick, 0)))
            .collect::<Vec<_>>();
        assert_eq!(pushed.len(), 1);
        assert_eq!(pushed[0].header.tick, 0);
    }
}
