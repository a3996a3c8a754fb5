//! The orchestrator at the hub of the cluster: what it is given, what it wants done, and what it keeps.

use std::sync::atomic::Ordering::Relaxed;

use orchestrator::arbitrate::arbitrate;
use orchestrator::control::SimulationId;
use orchestrator::limits::MAX_BATCH;
use orchestrator::snapshot::Snapshot;
use transport::frame::Frame;
use transport::header::Kind;
use transport::link::{LinkCommand, LinkEvent, PeerId};

use crate::check::{FRAME_BYTES_A_KEPT_BYTE, MAX_FRAME_BYTES, MAX_REPLAY_BYTES, Run, violated};
use crate::cluster::{Cluster, trace};
use crate::kept::Book;

/// Inputs of the orchestrator between two looks at what it keeps.
const LOOK_EVERY: u64 = 256;

impl Cluster {
    /// The orchestrator is given what came; an answer of a placement that has passed must be dropped.
    pub(crate) fn core_hears(&mut self, event: LinkEvent) {
        let late = match &event {
            LinkEvent::Frame { peer, frame } => {
                let header = &frame.header;
                self.note(header.tick << 8 | header.kind as u64);
                trace!(
                    self,
                    "{} {:?} of {}/{} tick {} epoch {} comes",
                    self.name(*peer),
                    header.kind,
                    header.simulation.0,
                    header.partition,
                    header.tick,
                    header.placement_epoch
                );
                let of = |run: &&Run| run.spec.id == header.simulation;
                let settled = self.runs.iter().find(of).is_none_or(|run| run.settled);
                !settled && self.wire.is_late(*peer, header)
            }
            LinkEvent::Disconnected { peer, reason } => {
                trace!(self, "{} is gone: {reason}", self.name(*peer));
                self.wire.gone(*peer);
                false
            }
            LinkEvent::Connected { peer, .. } => {
                trace!(self, "{} is connected", self.name(*peer));
                false
            }
        };
        let before = late.then(|| self.stale());
        self.core.handle_link(self.now, event);
        if let Some(before) = before {
            self.counts.late_answers += 1;
            if self.stale() != before + 1 {
                violated!("late answers", "one was taken in");
            }
        }
        self.drain_core();
    }

    /// The orchestrator goes on as its loop does: some of what waits, its clock, the rest.
    pub(crate) fn unstall(&mut self) {
        let Some(mut waiting) = self.stalled.take() else {
            return;
        };
        let rest = waiting.split_off(waiting.len().min(MAX_BATCH));
        for event in waiting {
            self.core_hears(event);
        }
        if self.core.poll_timeout().is_some_and(|at| at <= self.now) {
            self.core.handle_timeout(self.now);
            self.drain_core();
        }
        let mut waiting = rest;
        while let Some(event) = waiting.pop_front() {
            self.core_hears(event);
        }
    }

    /// Takes from the orchestrator what it wants done and says.
    pub(crate) fn drain_core(&mut self) {
        while let Some(command) = self.core.poll_transmit() {
            let peer = match &command {
                LinkCommand::Transmit(transmit) => {
                    self.core_sends(transmit.peer, &transmit.frame);
                    transmit.peer
                }
                LinkCommand::Disconnect { peer, reason } => {
                    trace!(self, "{} is sent away: {reason}", self.name(*peer));
                    self.wire.gone(*peer);
                    *peer
                }
            };
            let node = self.nodes[&peer];
            self.transmit(self.core_node, node, command);
        }
        while let Some(event) = self.core.poll_event() {
            self.hear(event);
        }
        while let Some((id, cut)) = self.core.poll_cut() {
            trace!(self, "simulation {} has a cut of tick {}", id.0, cut.tick);
            self.counts.durable_cuts += 1;
            self.run_of(id).cut(&cut);
            if let Some(book) = self.book_of(id) {
                book.cut(cut);
            }
        }
        while let Some(view) = self.core.poll_view() {
            self.wire.shown(&view);
            self.run_of(view.header.simulation).shown(&view);
        }
        if let Some(arbitration) = self.core.poll_arbitration() {
            let (partition, tick) = (arbitration.partition, arbitration.tick);
            let right = arbitrate(&arbitration).digest;
            violated!(
                "verification",
                "of partition {partition} at tick {tick}: {right:?} by itself"
            );
        }
        self.inputs += 1;
        if self.inputs.is_multiple_of(LOOK_EVERY) {
            self.look();
        }
    }

    pub(crate) fn core_sends(&mut self, peer: PeerId, frame: &Frame) {
        let header = &frame.header;
        trace!(
            self,
            "{} is sent {:?} of {}/{} tick {} ticks {} epoch {}",
            self.name(peer),
            header.kind,
            header.simulation.0,
            header.partition,
            header.tick,
            header.ticks,
            header.placement_epoch
        );
        self.wire.sent(peer, frame);
        if header.kind != Kind::Dispatch {
            return;
        }
        let run = self.run_of(header.simulation);
        run.waits = false;
        run.dispatched = run.dispatched.max(header.tick);
        if run.stands_at.is_some_and(|tick| header.tick > tick) {
            let (tick, stands_at) = (header.tick, run.stands_at);
            violated!(
                "lifecycle",
                "tick {tick} of a run that stands at {stands_at:?}"
            );
        }
    }

    pub(crate) fn book_of(&mut self, id: SimulationId) -> Option<&mut Book> {
        let index = self.runs.iter().position(|run| run.spec.id == id);
        self.books[index.expect("nobody else creates runs")].as_mut()
    }

    pub(crate) fn run_of(&mut self, id: SimulationId) -> &mut Run {
        let run = self.runs.iter_mut().find(|run| run.spec.id == id);
        run.expect("nobody else creates runs")
    }

    /// What is kept stays within its bounds.
    pub(crate) fn look(&mut self) -> Snapshot {
        let snapshot = self.core.snapshot(self.now);
        for simulation in &snapshot.simulations {
            let bytes = simulation.replay_bytes;
            let most = &mut self.counts.most_replay_bytes;
            *most = (*most).max(bytes);
            if bytes > MAX_REPLAY_BYTES {
                violated!("bounds", "{bytes} bytes of inputs are kept");
            }
        }
        let kept: u64 = (snapshot.simulations.iter())
            .map(|simulation| simulation.checkpoint_bytes)
            .sum();
        let most = &mut self.counts.most_checkpoint_bytes;
        *most = (*most).max(kept);
        let allocated = self.pool.copies().allocated.load(Relaxed);
        if allocated > MAX_FRAME_BYTES + FRAME_BYTES_A_KEPT_BYTE * *most {
            violated!(
                "bounds",
                "frames do not come back: {allocated} bytes of buffers"
            );
        }
        snapshot
    }

    pub(crate) fn stale(&self) -> u64 {
        self.core.snapshot(self.now).totals.stale_results
    }

    pub(crate) fn name(&self, peer: PeerId) -> &str {
        let process = self.nodes.get(&peer).and_then(|n| self.processes.get(n));
        process.map_or("a dead worker", |p| &p.name)
    }
}
