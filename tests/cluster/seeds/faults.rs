//! What the seed does to the cluster, until the last fault has been.

use std::collections::VecDeque;
use std::time::Duration;

use transport::sim::{Faults, NodeId};

use crate::agenda::{Act, Fault};
use crate::cluster::{Cluster, trace};
use crate::manner::Manner;

/// As the QUIC link closes a connection of which nothing is heard.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

impl Cluster {
    pub(crate) fn act(&mut self, act: Act) {
        trace!(self, "* {act:?}");
        match act {
            Act::Create(run) => self.create(run),
            Act::Operate(run) => self.operate(run),
            Act::Resume(run) => self.resume(run),
            Act::End(run) => self.end_run(run),
            Act::Fault => {
                let pause = self.fault_every.as_millis() as u64;
                let pause = self.random.u64(pause / 4..=pause * 2);
                if self.mended_at.is_none() {
                    self.plan(Duration::from_millis(pause), Act::Fault);
                    self.draw_fault();
                }
            }
            // Who is there at the end must do.
            Act::Join if self.mended_at.is_some() => {}
            Act::Join => self.join(Manner::Correct),
            Act::Siege => self.siege(),
            Act::Massacre(spared) => self.massacre(spared),
            Act::Delete(run) => self.delete(run),
            Act::Crash => self.crash(),
            Act::Fork => self.fork(),
            Act::Wake(node) => {
                if let Some(process) = self.processes.get_mut(&node) {
                    process.wake(self.now, &mut self.random);
                    self.drain_process(node);
                }
            }
            Act::Hurry(node) => {
                if let Some(process) = self.processes.get_mut(&node) {
                    process.slowness = 1;
                }
            }
            Act::Heal(node) => self.heal(node),
            Act::Unstall => self.unstall(),
            Act::Calm => self.net.faults = self.usual,
            Act::Mend => self.mend(),
        }
    }

    pub(crate) fn draw_fault(&mut self) {
        if self.faults.is_empty() {
            return;
        }
        let fault = self.faults[self.random.usize(..self.faults.len())];
        match fault {
            Fault::Join => {
                self.counts.joins += 1;
                return self.join(Manner::Correct);
            }
            Fault::Stall => {
                if self.stalled.is_none() {
                    self.counts.stalls += 1;
                    self.stalled = Some(VecDeque::new());
                    let time = self.some_time(5, 3_000);
                    trace!(self, "* the orchestrator stalls for {time:?}");
                    self.plan(time, Act::Unstall);
                }
                return;
            }
            Fault::Delay => {
                self.net.faults.max_delay = self.some_time(10, 300);
                let time = self.some_time(100, 5_000);
                return self.plan(time, Act::Calm);
            }
            _ => {}
        }
        if self.processes.is_empty() {
            return;
        }
        let which = self.random.usize(..self.processes.len());
        let node = *self.processes.keys().nth(which).expect("one of them");
        trace!(self, "* {fault:?} {}", self.processes[&node].name);
        self.strike(fault, node);
    }

    /// One process is struck.
    pub(crate) fn strike(&mut self, fault: Fault, node: NodeId) {
        let time = self.some_time(20, 8_000);
        let process = self.processes.get_mut(&node).expect("one of them");
        match fault {
            Fault::Kill => {
                self.counts.kills += 1;
                self.processes.remove(&node);
                self.parted.remove(&node);
                self.net.kill(self.now, node);
                self.replace();
            }
            Fault::Stop if !process.stopped => {
                self.counts.stops += 1;
                process.stopped = true;
                if time >= IDLE_TIMEOUT {
                    self.lose_connection(node, IDLE_TIMEOUT);
                }
                self.plan(time, Act::Wake(node));
            }
            Fault::Slow => {
                self.counts.slowed += 1;
                process.slowness = self.random.u64(10..3_000);
                self.plan(time, Act::Hurry(node));
            }
            Fault::Cut => {
                self.counts.cuts += 1;
                let notice = self.net.faults.loss_notice;
                self.lose_connection(node, notice);
            }
            Fault::Part if !self.parted.contains_key(&node) => {
                self.counts.parted += 1;
                self.parted.insert(node, Vec::new());
                if time >= IDLE_TIMEOUT {
                    self.lose_connection(node, IDLE_TIMEOUT);
                }
                self.plan(time, Act::Heal(node));
            }
            Fault::Drain if !process.draining && !process.stopped => {
                self.counts.drains += 1;
                process.draining = true;
                // Asked of the process, as by SIGTERM, or of the orchestrator.
                if self.random.bool() {
                    process.worker.drain(self.now);
                    self.drain_process(node);
                } else {
                    self.drain_by_core(node);
                }
                self.replace();
            }
            _ => {}
        }
    }

    /// An operator takes a worker out of service, and its process down once it is empty.
    pub(crate) fn drain_by_core(&mut self, node: NodeId) {
        let name = &self.processes[&node].name;
        let snapshot = self.core.snapshot(self.now);
        if let Some(worker) = snapshot.workers.iter().find(|w| w.name == *name) {
            let known = self.core.drain(self.now, worker.id);
            known.expect("the snapshot has it");
            self.drain_core();
        }
    }

    /// The only one that is left has been suspect, and is back once nobody else is there.
    pub(crate) fn siege(&mut self) {
        let staying = self.processes.iter_mut().find(|(_, p)| !p.draining);
        let Some((&node, process)) = staying else {
            return self.mend();
        };
        self.counts.stops += 1;
        process.stopped = true;
        self.plan(Duration::from_millis(1_500), Act::Massacre(node));
        self.plan(Duration::from_millis(3_500), Act::Wake(node));
        self.plan(Duration::from_millis(3_600), Act::Mend);
    }

    pub(crate) fn massacre(&mut self, spared: NodeId) {
        let others = self.processes.keys().filter(|node| **node != spared);
        // So soon that their loss is known before the one that is left wakes.
        self.net.faults.loss_notice = Duration::from_millis(100);
        for node in others.copied().collect::<Vec<_>>() {
            self.counts.kills += 1;
            self.processes.remove(&node);
            self.parted.remove(&node);
            self.net.kill(self.now, node);
        }
        self.net.faults.loss_notice = self.usual.loss_notice;
    }

    /// The last fault has been. From here on every run must reach its end in time.
    pub(crate) fn mend(&mut self) {
        self.mended_at = Some(self.now);
        self.usual = Faults::default();
        self.net.faults = self.usual;
        self.unstall();
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        for node in nodes {
            self.heal(node);
            let process = self.processes.get_mut(&node).expect("listed above");
            process.slowness = 1;
            if process.stopped {
                process.wake(self.now, &mut self.random);
                self.drain_process(node);
            }
        }
        // At times nobody new comes: those that are there must do.
        let least = self.random.usize(1..=2);
        let staying = self.processes.values().filter(|p| !p.draining).count();
        for _ in staying..least {
            self.join(Manner::Correct);
        }
        for run in 0..self.runs.len() {
            self.resume(run);
        }
    }

    /// A time between two bounds in ms; short ones are as likely as long ones.
    pub(crate) fn some_time(&mut self, least: u64, most: u64) -> Duration {
        let least_log = (least as f64).log2();
        let most_log = (most as f64).log2();
        let log = least_log + self.random.f64() * (most_log - least_log);
        Duration::from_micros((log.exp2() * 1_000.0) as u64)
    }
}
