//! What every part of the core works with while an input is handled.

use std::collections::VecDeque;
use std::time::Duration;

use transport::frame::Frame;
use transport::link::{Class, LinkCommand, PeerId, Transmit};
use transport::pool::FramePool;

use crate::config::Config;
use crate::control::WorkerId;
use crate::event::Event;
use crate::registry::Registry;
use crate::verify::{Arbitration, Verifier};

/// The parts of the core that a simulation shares with the others, for one input.
pub(crate) struct Context<'a> {
    /// When the input began: what is decided is decided for this time.
    pub(crate) now: Duration,
    /// Tells how far the handling has come, for what is measured; none in virtual time.
    pub(crate) stopwatch: Option<&'a Stopwatch>,
    pub(crate) config: &'a Config,
    pub(crate) registry: &'a mut Registry,
    pub(crate) verifier: &'a mut Verifier,
    pub(crate) outbox: &'a mut Outbox,
}

impl Context<'_> {
    /// The time by now. Nothing may be decided by it, or a run could not be repeated in virtual time.
    pub(crate) fn read_stopwatch(&self) -> Duration {
        self.stopwatch
            .map_or(self.now, |stopwatch| (stopwatch.0)().max(self.now))
    }

    /// Time that everything a worker was sent and has not answered takes on one thread, ns: work of
    /// all runs, and steps it repeats for verifications.
    pub(crate) fn owed_ns(&self, worker: WorkerId) -> u64 {
        let owed = self.registry.get(worker).map_or(0, |w| w.owed.ns);
        owed.saturating_add(self.verifier.owed_ns(worker))
    }
}

/// Reads a clock of the same origin as `now`.
pub(crate) struct Stopwatch(pub(crate) Box<dyn Fn() -> Duration + Send>);

impl std::fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stopwatch")
    }
}

/// What waits to be polled. It holds what one input gave rise to, for it is drained after each.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) transmits: VecDeque<LinkCommand>,
    /// What happened and was not noted yet.
    pub(crate) fresh: VecDeque<Event>,
    /// What was noted.
    pub(crate) events: VecDeque<Event>,
    pub(crate) arbitrations: VecDeque<Arbitration>,
    /// Views that were asked for, as they came.
    pub(crate) views: VecDeque<Frame>,
    /// Buffers of the frames made here.
    pub(crate) pool: FramePool,
    last_group: u64,
}

impl Outbox {
    /// Nothing waits.
    pub(crate) fn new(pool: FramePool) -> Outbox {
        Outbox {
            transmits: VecDeque::new(),
            fresh: VecDeque::new(),
            events: VecDeque::new(),
            arbitrations: VecDeque::new(),
            views: VecDeque::new(),
            pool,
            last_group: 0,
        }
    }

    /// A group that no stream had before.
    pub(crate) fn new_group(&mut self) -> u64 {
        self.last_group += 1;
        self.last_group
    }

    /// Queues a frame.
    pub(crate) fn send(
        &mut self,
        peer: PeerId,
        class: Class,
        group: u64,
        frame: Frame,
        last: bool,
    ) {
        self.transmits.push_back(LinkCommand::Transmit(Transmit {
            peer,
            class,
            group,
            frame,
            last,
        }));
    }

    /// Queues the end of a connection.
    pub(crate) fn disconnect(&mut self, peer: PeerId, reason: String) {
        self.transmits
            .push_back(LinkCommand::Disconnect { peer, reason });
    }

    /// Queues an event.
    pub(crate) fn event(&mut self, event: Event) {
        self.fresh.push_back(event);
    }
}
