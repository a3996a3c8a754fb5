//! Views on their way to one gateway: as many ticks as it takes, and of those that wait the newest.
//!
//! A gateway says of each tick of which the first partition's view has come that it has it. While
//! [`MAX_VIEWS_UNDER_WAY`] ticks are under way no other one is begun: the newest waits, whole, and gives way to a newer
//! one. So a gateway that is slow is shown less, never late, and what is held for one that has stopped is bounded.
//!
//! A state machine without I/O: [`ViewFlow::handle_view`] for each view, [`ViewFlow::handle_taken`] for each word of
//! the gateway's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use transport::frame::Frame;

use crate::limits::MAX_VIEWS_UNDER_WAY;

/// What becomes of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes now.
    Now,
    /// It waits.
    Waits,
    /// It waits, and an older tick that waited never goes.
    Displaces,
    /// It does not go: a newer tick does, or it went already.
    Never,
}

/// One gateway's views of one run.
#[derive(Debug, Default)]
pub(crate) struct ViewFlow {
    /// The newest tick of which something went.
    begun: Option<u64>,
    /// Partitions of it that went.
    gone: BTreeSet<u32>,
    /// Ticks of which the gateway has not said that it has them, oldest first.
    under_way: VecDeque<u64>,
    /// Tick of what waits.
    waiting_tick: u64,
    /// What waits, by partition.
    waiting: BTreeMap<u32, Frame>,
}

impl ViewFlow {
    /// A partition's view came from its worker.
    pub(crate) fn handle_view(&mut self, view: &Frame) -> Passage {
        let (tick, partition) = (view.header.tick, view.header.partition);
        match self.begun {
            Some(begun) if tick < begun => return Passage::Never,
            Some(begun) if tick == begun => return self.pass(tick, partition),
            _ => {}
        }
        if self.under_way.len() < MAX_VIEWS_UNDER_WAY {
            self.begin(tick);
            return self.pass(tick, partition);
        }
        let waits = !self.waiting.is_empty();
        if waits && tick < self.waiting_tick {
            return Passage::Never;
        }
        let displaces = waits && tick > self.waiting_tick;
        if displaces {
            self.waiting.clear();
        }
        self.waiting_tick = tick;
        self.waiting.insert(partition, view.clone());
        match displaces {
            true => Passage::Displaces,
            false => Passage::Waits,
        }
    }

    /// The gateway has a tick, and all that went before it; answers what goes now.
    pub(crate) fn handle_taken(&mut self, tick: u64) -> Vec<Frame> {
        self.under_way.retain(|under_way| *under_way > tick);
        if self.waiting.is_empty() || self.under_way.len() >= MAX_VIEWS_UNDER_WAY {
            return Vec::new();
        }
        let tick = self.waiting_tick;
        self.begin(tick);
        let waiting = std::mem::take(&mut self.waiting);
        for partition in waiting.keys() {
            self.pass(tick, *partition);
        }
        waiting.into_values().collect()
    }

    fn begin(&mut self, tick: u64) {
        self.begun = Some(tick);
        self.gone.clear();
    }

    fn pass(&mut self, tick: u64, partition: u32) -> Passage {
        if !self.gone.insert(partition) {
            return Passage::Never;
        }
        // It is this one that the gateway answers.
        if partition == 0 {
            self.under_way.push_back(tick);
        }
        Passage::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::header::{Header, Kind};

    const MOST: u64 = MAX_VIEWS_UNDER_WAY as u64;

    fn view(tick: u64, partition: u32) -> Frame {
        Frame::bare(Header {
            tick,
            partition,
            ..Header::new(Kind::View)
        })
    }

    /// Ticks and partitions of frames.
    fn names(frames: &[Frame]) -> Vec<(u64, u32)> {
        let name = |f: &Frame| (f.header.tick, f.header.partition);
        frames.iter().map(name).collect()
    }

    fn filled() -> ViewFlow {
        let mut flow = ViewFlow::default();
        for tick in 1..=MOST {
            assert_eq!(flow.handle_view(&view(tick, 0)), Passage::Now);
            assert_eq!(flow.handle_view(&view(tick, 1)), Passage::Now);
        }
        flow
    }

    #[test]
    fn a_gateway_that_takes_everything_gets_everything() {
        let mut flow = ViewFlow::default();
        for tick in 1..100 {
            for partition in [1, 0, 2] {
                assert_eq!(flow.handle_view(&view(tick, partition)), Passage::Now);
            }
            assert!(flow.handle_taken(tick).is_empty());
        }
    }

    #[test]
    fn of_what_waits_for_a_slow_one_the_newest_tick_goes_whole() {
        let mut flow = filled();
        assert_eq!(flow.handle_view(&view(MOST + 1, 0)), Passage::Waits);
        assert_eq!(flow.handle_view(&view(MOST + 2, 1)), Passage::Displaces);
        assert_eq!(flow.handle_view(&view(MOST + 1, 1)), Passage::Never);
        assert_eq!(flow.handle_view(&view(MOST + 2, 0)), Passage::Waits);
        assert_eq!(flow.waiting.len(), 2);
        let gone = flow.handle_taken(1);
        assert_eq!(names(&gone), [(MOST + 2, 0), (MOST + 2, 1)]);
        // The rest of it goes with it, what is older never.
        assert_eq!(flow.handle_view(&view(MOST + 2, 2)), Passage::Now);
        assert_eq!(flow.handle_view(&view(MOST + 1, 2)), Passage::Never);
        assert_eq!(flow.handle_view(&view(MOST + 3, 0)), Passage::Waits);
        assert_eq!(names(&flow.handle_taken(MOST)), [(MOST + 3, 0)]);
    }

    #[test]
    fn what_others_ask_for_again_goes_to_nobody_twice() {
        let mut flow = filled();
        assert_eq!(flow.handle_view(&view(MOST, 1)), Passage::Never);
        assert!(flow.handle_taken(MOST).is_empty());
        assert_eq!(flow.handle_view(&view(MOST, 0)), Passage::Never);
    }
}
