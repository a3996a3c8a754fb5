//! What a store is for: an orchestrator that dies and the one that comes after it, and forks.

use orchestrator::Orchestrator;
use orchestrator::control::{SimulationId, Status};
use transport::link::Role;
use transport::pool::FramePool;

use crate::agenda::Act;
use crate::check::{Run, violated};
use crate::cluster::{Cluster, sum, trace};

impl Cluster {
    /// The orchestrator dies, and with it all that was not written. Another one begins with the rest.
    pub(crate) fn crash(&mut self) {
        if self.mended_at.is_some() {
            return;
        }
        let snapshot = self.look();
        let (totals, verified, lost_workers) = &mut self.before;
        totals.merge(&snapshot.totals);
        *verified = sum(*verified, snapshot.verified);
        *lost_workers += snapshot.lost_workers;
        let dead = self.core_node;
        self.net.kill(self.now, dead);
        for waiting in self.parted.values_mut() {
            waiting.retain(|(from, _)| *from != dead);
        }
        self.counts.crashes += 1;
        self.core_node = self.net.add_node(Role::Orchestrator, "orchestrator");
        self.config.lease_epoch += 1;
        self.core = Orchestrator::new(self.config.clone(), FramePool::new());
        self.stalled = None;
        self.wire.crashed();
        self.owners.clear();
        self.good.clear();
        for run in 0..self.runs.len() {
            self.recover(run);
        }
    }

    pub(crate) fn recover(&mut self, run: usize) {
        let Some(book) = &mut self.books[run] else {
            return;
        };
        let recovered = book.crash();
        let (id, state) = (recovered.spec.id.0, recovered.state.clone());
        let cut = recovered.cut.as_ref().map(|cut| cut.tick);
        trace!(
            self,
            "simulation {id} is {state:?} at {:?}, cut {cut:?}", book.head
        );
        let state_of = &mut self.runs[run];
        if state_of.published > book.head {
            self.counts.unwritten_windows += 1;
        }
        self.counts.begun_at_cuts += u64::from(cut.is_some());
        state_of.crashed(book.head, &book.commands);
        state_of.status = state.status;
        state_of.settled = book.is_final();
        if state.status == Status::Paused {
            state_of.stands_at = Some(recovered.head_tick.max(state.step_until.unwrap_or(0)));
        }
        let plan = (!book.is_final()).then(|| state_of.plan.clone());
        let begun = self.core.recover(self.now, recovered, plan);
        begun.unwrap_or_else(|fault| violated!("recovery", "of simulation {id}: {fault}"));
        self.drain_core();
    }

    /// A run is forked at some tick of its past.
    pub(crate) fn fork(&mut self) {
        if self.mended_at.is_some() {
            return;
        }
        let kept: Vec<usize> = (0..self.runs.len())
            .filter(|run| (self.books[*run].as_ref()).is_some_and(|b| b.head > Some(0)))
            .collect();
        if kept.is_empty() {
            return;
        }
        let parent = self.books[kept[self.random.usize(..kept.len())]].as_ref();
        let parent = parent.expect("it was chosen for that");
        let tick = self.random.u64(1..=parent.head.expect("it has one"));
        let id = SimulationId(100 + self.runs.len() as u128);
        let (recovered, book) = parent.fork(id, tick);
        trace!(
            self,
            "simulation {} is forked at {tick} as {}",
            recovered.spec.parent.expect("a fork").0.0,
            id.0
        );
        self.counts.forks += 1;
        self.counts.begun_at_cuts += u64::from(recovered.cut.is_some());
        let mut fork = Run::new(recovered.spec.clone());
        fork.crashed(Some(tick), &book.commands);
        fork.status = Status::Paused;
        fork.stands_at = Some(tick);
        let plan = fork.plan.clone();
        self.runs.push(fork);
        self.books.push(Some(book));
        let begun = self.core.recover(self.now, recovered, Some(plan));
        begun.unwrap_or_else(|fault| violated!("recovery", "of a fork: {fault}"));
        self.drain_core();
        let run = self.runs.len() - 1;
        let time = self.some_time(50, 4_000);
        self.plan(time, Act::Resume(run));
        self.plan(time * 2, Act::Operate(run));
    }
}
