//! The worker processes on the network: they come, are driven, and are parted from it.

use std::time::Duration;

use transport::link::{LinkCommand, PeerId, Role};
use transport::sim::NodeId;

use crate::agenda::Act;
use crate::check::{MAX_WAITING_CHECKPOINT_BYTES, violated};
use crate::cluster::{Cluster, trace};
use crate::manner::Manner;
use crate::process::Process;

/// Most worker processes at once.
const MAX_PROCESSES: usize = 6;

impl Cluster {
    pub(crate) fn join(&mut self, manner: Manner) {
        if self.processes.len() >= MAX_PROCESSES {
            return;
        }
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let node = self.net.add_node(Role::Worker, &name);
        let mut process = Process::new(self.now, name, &self.pool, &mut self.random);
        process.behaviour.manner = manner;
        self.processes.insert(node, process);
    }

    /// Another process comes for one that goes, mostly.
    pub(crate) fn replace(&mut self) {
        let after = self.some_time(50, 6_000);
        if self.random.u8(..3) > 0 {
            self.plan(after, Act::Join);
        }
    }

    pub(crate) fn act_process(&mut self, node: NodeId) {
        let process = self.processes.get_mut(&node).expect("it is due");
        match process.connect_at {
            Some(at) if at <= self.now => {
                if self.parted.contains_key(&node) {
                    process.connect_at = Some(self.now + Duration::from_secs(1));
                    return;
                }
                process.connect_at = None;
                let (peer, _) = self.net.connect(self.now, self.core_node, node);
                process.peer = Some(peer);
                self.nodes.insert(peer, node);
            }
            _ => process.act(self.now),
        }
        self.drain_process(node);
    }

    /// Takes from a process what it wants done, and the process where it has ended.
    pub(crate) fn drain_process(&mut self, node: NodeId) {
        let process = self.processes.get_mut(&node).expect("it is there");
        process.begin_jobs(self.now, &mut self.random);
        let mut commands = Vec::new();
        while let Some(command) = process.poll_transmit() {
            commands.push(command);
        }
        let waiting = process.worker.stats().waiting_checkpoint_bytes;
        if waiting > MAX_WAITING_CHECKPOINT_BYTES {
            violated!("bounds", "{waiting} bytes of checkpoints wait in a worker");
        }
        let ended = process.worker.ended().cloned();
        for command in commands {
            if let LinkCommand::Transmit(transmit) = &command {
                self.wire.answered(&transmit.frame);
            }
            let process = self.processes.get_mut(&node).expect("it is there");
            for command in process.behaviour.says(command) {
                self.transmit(node, node, command);
            }
        }
        if let Some(ended) = ended {
            trace!(self, "{} ended: {ended}", self.processes[&node].name);
            self.processes.remove(&node);
            self.parted.remove(&node);
        }
    }

    /// Gives a command to the network, or keeps it while the process at the other end of the
    /// connection, or at this one, is parted from it.
    pub(crate) fn transmit(&mut self, from: NodeId, process: NodeId, command: LinkCommand) {
        match self.parted.get_mut(&process) {
            Some(waiting) => waiting.push((from, command)),
            None => self.net.command(self.now, from, command),
        }
    }

    pub(crate) fn heal(&mut self, node: NodeId) {
        for (from, command) in self.parted.remove(&node).unwrap_or_default() {
            self.net.command(self.now, from, command);
        }
    }

    /// A process's connection breaks; both sides learn of it later.
    pub(crate) fn lose_connection(&mut self, node: NodeId, notice: Duration) {
        let open: Vec<PeerId> = self.net.peers(node).collect();
        self.net.faults.loss_notice = notice;
        for peer in open {
            self.net.cut(self.now, node, peer);
        }
        self.net.faults.loss_notice = self.usual.loss_notice;
        if let Some(waiting) = self.parted.get_mut(&node) {
            waiting.clear();
        }
    }
}
