//! A network in virtual time, from a seed: the same seed and calls give the same run.
//!
//! Within a connection it behaves as QUIC does: frames of a stream arrive once and in order, streams
//! overtake each other, a lost connection loses what was in flight, and coming back is a new peer.
//! [`Faults`] can also drop and repeat frames, which no QUIC does, to show that the state machines bear it.
//! It has no clock: `now` is passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limits::{MAX_NAME_BYTES, MAX_QUEUED_EVENTS};
use crate::link::{Class, DisconnectReason, LinkCommand, LinkEvent, PeerId, Role, Transmit};

/// A process on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// What goes wrong, and how long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Shortest way of a frame.
    pub min_delay: Duration,
    /// Longest way of a frame.
    pub max_delay: Duration,
    /// Of 1,000 frames, how many vanish. `Control` is spared, as a link that loses it is closed.
    pub drop_per_mille: u16,
    /// Of 1,000 frames, how many come twice.
    pub duplicate_per_mille: u16,
    /// How long until a side learns that its peer's connection is gone.
    pub loss_notice: Duration,
}

impl Default for Faults {
    /// A calm local network.
    fn default() -> Self {
        Faults {
            min_delay: Duration::from_micros(50),
            max_delay: Duration::from_millis(2),
            drop_per_mille: 0,
            duplicate_per_mille: 0,
            loss_notice: Duration::from_secs(3),
        }
    }
}

#[derive(Debug)]
struct Node {
    role: Role,
    name: String,
}

/// One direction of a connection, named by the receiver's peer id.
#[derive(Clone, Copy, Debug)]
struct Direction {
    to: NodeId,
    /// What the sender calls the receiver.
    back: PeerId,
}

/// The network.
#[derive(Debug)]
pub struct SimNet {
    /// May be changed at any time; holds for what is sent next.
    pub faults: Faults,
    random: SplitMix,
    nodes: BTreeMap<NodeId, Node>,
    /// (sender, the sender's peer id) to the receiver.
    directions: BTreeMap<(NodeId, PeerId), Direction>,
    silent: BTreeSet<NodeId>,
    /// When a stream delivers its next frame at the earliest, so that it keeps its order.
    streams: BTreeMap<(NodeId, PeerId, Class, u64), Duration>,
    in_flight: BTreeMap<(Duration, u64), (NodeId, LinkEvent)>,
    next_peer: u64,
    next_event: u64,
}

impl SimNet {
    /// A network without nodes.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> SimNet {
        SimNet {
            faults,
            random: SplitMix(seed),
            nodes: BTreeMap::new(),
            directions: BTreeMap::new(),
            silent: BTreeSet::new(),
            streams: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_peer: 1,
            next_event: 0,
        }
    }

    /// Adds a process.
    ///
    /// # Panics
    /// Where a name is longer than the limit.
    pub fn add_node(&mut self, role: Role, name: &str) -> NodeId {
        assert!(name.len() <= MAX_NAME_BYTES, "name too long");
        let node = NodeId(u32::try_from(self.nodes.len()).expect("few nodes"));
        self.nodes.insert(
            node,
            Node {
                role,
                name: name.to_owned(),
            },
        );
        node
    }

    /// Joins two processes by a new connection; both learn of it. Returns what each calls the other.
    ///
    /// # Panics
    /// Where a node is unknown.
    pub fn connect(&mut self, now: Duration, a: NodeId, b: NodeId) -> (PeerId, PeerId) {
        let (b_at_a, a_at_b) = (PeerId(self.next_peer), PeerId(self.next_peer + 1));
        self.next_peer += 2;
        self.directions.insert(
            (a, b_at_a),
            Direction {
                to: b,
                back: a_at_b,
            },
        );
        self.directions.insert(
            (b, a_at_b),
            Direction {
                to: a,
                back: b_at_a,
            },
        );
        for (at, peer, other) in [(a, b_at_a, b), (b, a_at_b, a)] {
            let Node { role, name } = &self.nodes[&other];
            let event = LinkEvent::Connected {
                peer,
                role: *role,
                name: name.clone(),
            };
            self.schedule(now, at, event);
        }
        (b_at_a, a_at_b)
    }

    /// Carries out what a node told its link.
    pub fn command(&mut self, now: Duration, from: NodeId, command: LinkCommand) {
        match command {
            LinkCommand::Transmit(transmit) => self.send(now, from, transmit),
            LinkCommand::Disconnect { peer, reason } => {
                let Some(direction) = self.close(from, peer) else {
                    return;
                };
                let theirs = DisconnectReason::Peer {
                    reason: reason.clone(),
                };
                let arrival = now + self.delay();
                self.schedule_gone(now, from, peer, DisconnectReason::Local { reason });
                self.schedule_gone(arrival, direction.to, direction.back, theirs);
            }
        }
    }

    /// Sends a frame. To a peer that is gone it does nothing.
    pub fn send(&mut self, now: Duration, from: NodeId, transmit: Transmit) {
        let Transmit {
            peer,
            class,
            group,
            frame,
            last,
        } = transmit;
        let Some(&Direction { to, back }) = self.directions.get(&(from, peer)) else {
            return;
        };
        let group = if class == Class::Control { 0 } else { group };
        let stream = (from, peer, class, group);
        let spared = class == Class::Control;
        if self.silent.contains(&from) || self.silent.contains(&to) {
            return;
        }
        if !spared && self.random.hits(self.faults.drop_per_mille) {
            return;
        }
        let earliest = self.streams.get(&stream).copied().unwrap_or_default();
        let arrival = (now + self.delay()).max(earliest);
        if last && !spared {
            self.streams.remove(&stream);
        } else {
            self.streams.insert(stream, arrival);
        }
        let event = LinkEvent::Frame { peer: back, frame };
        if !spared && self.random.hits(self.faults.duplicate_per_mille) {
            let again = arrival + self.delay();
            self.schedule(again, to, event.clone());
        }
        self.schedule(arrival, to, event);
    }

    /// The next event that is due, and for whom.
    pub fn poll(&mut self, now: Duration) -> Option<(NodeId, LinkEvent)> {
        let entry = self.in_flight.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When the next event is due.
    #[must_use]
    pub fn next_time(&self) -> Option<Duration> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    /// Breaks a connection: what is in flight on it is lost, both sides learn of it after the notice.
    pub fn cut(&mut self, now: Duration, node: NodeId, peer: PeerId) {
        let Some(direction) = self.close(node, peer) else {
            return;
        };
        let at = now + self.faults.loss_notice;
        let lost = || DisconnectReason::Lost {
            error: "timed out".to_owned(),
        };
        self.schedule_gone(at, node, peer, lost());
        self.schedule_gone(at, direction.to, direction.back, lost());
    }

    /// Kills a process: its connections break, what was for it is lost, it hears nothing any more.
    pub fn kill(&mut self, now: Duration, node: NodeId) {
        let peers: Vec<PeerId> = self.peers(node).collect();
        for peer in peers {
            self.cut(now, node, peer);
        }
        self.in_flight.retain(|_, (to, _)| *to != node);
    }

    /// Parts a process from the network, or joins it again: frames to and from it vanish, and nobody is told.
    pub fn partition(&mut self, node: NodeId, parted: bool) {
        if parted {
            self.silent.insert(node);
        } else {
            self.silent.remove(&node);
        }
    }

    /// A node's open connections.
    pub fn peers(&self, node: NodeId) -> impl Iterator<Item = PeerId> + '_ {
        let range = (node, PeerId(0))..=(node, PeerId(u64::MAX));
        self.directions.range(range).map(|((_, peer), _)| *peer)
    }

    fn close(&mut self, node: NodeId, peer: PeerId) -> Option<Direction> {
        let direction = self.directions.remove(&(node, peer))?;
        self.directions.remove(&(direction.to, direction.back));
        let ends = [(node, peer), (direction.to, direction.back)];
        self.streams
            .retain(|(from, to, ..), _| !ends.contains(&(*from, *to)));
        self.in_flight.retain(|_, (to, event)| match event {
            LinkEvent::Frame { peer, .. } => !ends.contains(&(*to, *peer)),
            _ => true,
        });
        Some(direction)
    }

    fn schedule_gone(
        &mut self,
        at: Duration,
        node: NodeId,
        peer: PeerId,
        reason: DisconnectReason,
    ) {
        self.schedule(at, node, LinkEvent::Disconnected { peer, reason });
    }

    fn schedule(&mut self, at: Duration, node: NodeId, event: LinkEvent) {
        let most = MAX_QUEUED_EVENTS * self.nodes.len();
        assert!(self.in_flight.len() < most, "the run floods its network");
        self.in_flight.insert((at, self.next_event), (node, event));
        self.next_event += 1;
    }

    fn delay(&mut self) -> Duration {
        let Faults {
            min_delay,
            max_delay,
            ..
        } = self.faults;
        let spread =
            u64::try_from(max_delay.saturating_sub(min_delay).as_nanos()).unwrap_or(u64::MAX - 1);
        min_delay + Duration::from_nanos(self.random.next() % (spread + 1))
    }
}

/// Steele, Lea and Flood's generator: one add and three mixing steps a number.
#[derive(Clone, Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn hits(&mut self, per_mille: u16) -> bool {
        self.next() % 1_000 < u64::from(per_mille)
    }
}
