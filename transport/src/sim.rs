//! A network in virtual time, from a seed: the same seed and calls give the same run.
//!
//! Within a connection it behaves as QUIC does: frames of a stream arrive once and in order, streams
//! overtake each other, a connection that is closed delivers what was sent before, one that is lost loses
//! what was in flight, and coming back is a new peer.
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
            LinkCommand::Disconnect { peer, reason } => self.disconnect(now, from, peer, reason),
        }
    }

    /// What was sent before still arrives, and the end after it; a peer that cannot be reached learns of
    /// the end by the silence.
    fn disconnect(&mut self, now: Duration, from: NodeId, peer: PeerId, reason: String) {
        let Some(&Direction { to, back }) = self.directions.get(&(from, peer)) else {
            return;
        };
        let parted = self.silent.contains(&from) || self.silent.contains(&to);
        let ours = DisconnectReason::Local {
            reason: reason.clone(),
        };
        if parted {
            let unheard = now + self.faults.loss_notice;
            self.close(from, peer);
            self.schedule_gone(unheard, to, back, lost());
        } else {
            let underway: Vec<_> = self.frames_to(to, back).collect();
            let last = underway.last().map_or(now, |((time, _), _)| *time);
            let arrival = (now + self.delay()).max(last);
            self.close(from, peer);
            self.in_flight.extend(underway);
            self.schedule_gone(arrival, to, back, DisconnectReason::Peer { reason });
        }
        self.schedule_gone(now, from, peer, ours);
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

    /// The frames under way to a peer, in the order of their arrival.
    fn frames_to(&self, to: NodeId, at: PeerId) -> impl Iterator<Item = Scheduled> + '_ {
        let of_peer = move |event: &LinkEvent| match event {
            LinkEvent::Frame { peer, .. } => *peer == at,
            _ => false,
        };
        let underway = self.in_flight.iter();
        underway
            .filter(move |(_, (node, event))| *node == to && of_peer(event))
            .map(|(key, value)| (*key, value.clone()))
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

type Scheduled = ((Duration, u64), (NodeId, LinkEvent));

fn lost() -> DisconnectReason {
    DisconnectReason::Lost {
        error: "timed out".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::header::{Header, Kind};

    const MS: Duration = Duration::from_millis(1);
    const END: Duration = Duration::from_secs(3_600);

    struct Pair {
        net: SimNet,
        a: NodeId,
        b: NodeId,
        b_at_a: PeerId,
        a_at_b: PeerId,
    }

    /// Two nodes joined at time 0, both of which have learned of it.
    fn pair(seed: u64, faults: Faults) -> Pair {
        let mut net = SimNet::new(seed, faults);
        let a = net.add_node(Role::Orchestrator, "a");
        let b = net.add_node(Role::Worker, "b");
        let (b_at_a, a_at_b) = net.connect(Duration::ZERO, a, b);
        let joined = log(&mut net, Duration::ZERO);
        assert_eq!(joined.len(), 2, "{joined:?}");
        Pair {
            net,
            a,
            b,
            b_at_a,
            a_at_b,
        }
    }

    impl Pair {
        fn send(&mut self, now: Duration, class: Class, group: u64, tick: u64) {
            let header = Header {
                tick,
                ..Header::new(Kind::Close)
            };
            let transmit = Transmit {
                peer: self.b_at_a,
                class,
                group,
                frame: Frame::bare(header),
                last: false,
            };
            self.net.send(now, self.a, transmit);
        }

        fn disconnect(&mut self, now: Duration) {
            let (peer, reason) = (self.b_at_a, "done".to_owned());
            let command = LinkCommand::Disconnect { peer, reason };
            self.net.command(now, self.a, command);
        }
    }

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Seen {
        Connected,
        Frame(u64),
        Gone(DisconnectReason),
    }

    /// Everything that is due until a time: when, at which node, and what.
    fn log(net: &mut SimNet, until: Duration) -> Vec<(Duration, NodeId, Seen)> {
        let mut seen = Vec::new();
        while let Some(at) = net.next_time().filter(|at| *at <= until) {
            let (node, event) = net.poll(at).expect("it is due");
            let event = match event {
                LinkEvent::Connected { .. } => Seen::Connected,
                LinkEvent::Frame { frame, .. } => Seen::Frame(frame.header.tick),
                LinkEvent::Disconnected { reason, .. } => Seen::Gone(reason),
            };
            seen.push((at, node, event));
        }
        seen
    }

    fn ticks(seen: &[(Duration, NodeId, Seen)]) -> Vec<u64> {
        let frames = seen.iter().filter_map(|(_, _, seen)| match seen {
            Seen::Frame(tick) => Some(*tick),
            _ => None,
        });
        frames.collect()
    }

    fn faulty() -> Faults {
        Faults {
            drop_per_mille: 100,
            duplicate_per_mille: 100,
            ..Faults::default()
        }
    }

    /// 1,000 frames, 100 us apart, on 10 streams.
    fn traffic(seed: u64, faults: Faults) -> Vec<(Duration, NodeId, Seen)> {
        let mut pair = pair(seed, faults);
        for tick in 0..1_000 {
            pair.send(MS / 10 * tick as u32, Class::Tick, tick % 10, tick);
        }
        log(&mut pair.net, END)
    }

    #[test]
    fn a_seed_gives_the_same_run_again_and_another_seed_another() {
        assert_eq!(traffic(7, faulty()), traffic(7, faulty()));
        assert_ne!(traffic(7, faulty()), traffic(8, faulty()));
    }

    #[test]
    fn frames_are_lost_and_repeated_as_often_as_asked() {
        let mut arrived = ticks(&traffic(1, faulty()));
        let all = arrived.len();
        arrived.sort_unstable();
        arrived.dedup();
        let (lost, repeated) = (1_000 - arrived.len(), all - arrived.len());
        assert!((50..200).contains(&lost), "{lost}");
        assert!((50..200).contains(&repeated), "{repeated}");
        assert_eq!(ticks(&traffic(1, Faults::default())).len(), 1_000);
    }

    #[test]
    fn control_is_never_lost_or_repeated() {
        let all = Faults {
            drop_per_mille: 1_000,
            duplicate_per_mille: 1_000,
            ..Faults::default()
        };
        let mut pair = pair(1, all);
        for tick in 0..100 {
            pair.send(Duration::ZERO, Class::Control, tick, tick);
            pair.send(Duration::ZERO, Class::View, tick, tick + 1_000);
        }
        let arrived = ticks(&log(&mut pair.net, END));
        assert_eq!(
            arrived,
            (0..100).collect::<Vec<_>>(),
            "one stream, whatever the group"
        );
    }

    #[test]
    fn every_frame_takes_between_the_shortest_and_the_longest_way() {
        let faults = Faults {
            min_delay: 3 * MS,
            max_delay: 9 * MS,
            ..Faults::default()
        };
        let mut pair = pair(1, faults);
        for group in 0..1_000 {
            pair.send(MS, Class::Tick, group, group);
        }
        let seen = log(&mut pair.net, END);
        let ways: Vec<_> = seen.iter().map(|(at, ..)| *at - MS).collect();
        assert!(ways.iter().all(|way| (3 * MS..=9 * MS).contains(way)));
        assert!(ways[0] < 4 * MS && ways[999] > 8 * MS, "the range is used");
    }

    #[test]
    fn a_stream_keeps_its_order_and_streams_overtake_each_other() {
        let arrived = ticks(&traffic(1, Faults::default()));
        for stream in 0..10 {
            let of_stream = arrived.iter().filter(|tick| *tick % 10 == stream);
            assert!(of_stream.is_sorted(), "stream {stream}");
        }
        assert!(!arrived.is_sorted());
    }

    #[test]
    fn a_disconnect_delivers_what_was_sent_before_and_nothing_after() {
        for seed in 0..50 {
            let mut pair = pair(seed, Faults::default());
            for tick in 0..20 {
                pair.send(MS, Class::ALL[tick as usize % 4], tick, tick);
            }
            pair.disconnect(MS);
            pair.send(MS, Class::Tick, 0, 99);
            let seen = log(&mut pair.net, END);
            let reason = "done".to_owned();
            let local = DisconnectReason::Local {
                reason: reason.clone(),
            };
            assert_eq!(seen[0], (MS, pair.a, Seen::Gone(local)));
            let last = seen.last().unwrap();
            assert_eq!(
                (last.1, &last.2),
                (pair.b, &Seen::Gone(DisconnectReason::Peer { reason }))
            );
            let mut arrived = ticks(&seen);
            arrived.sort_unstable();
            assert_eq!(arrived, (0..20).collect::<Vec<_>>());
            assert_eq!(
                pair.net.peers(pair.a).count() + pair.net.peers(pair.b).count(),
                0
            );
        }
    }

    #[test]
    fn a_cut_loses_what_was_under_way_and_both_learn_of_it_after_the_notice() {
        let mut pair = pair(1, Faults::default());
        pair.send(MS, Class::Control, 0, 1);
        pair.net.cut(MS, pair.b, pair.a_at_b);
        let at = MS + pair.net.faults.loss_notice;
        let expected = [
            (at, pair.b, Seen::Gone(lost())),
            (at, pair.a, Seen::Gone(lost())),
        ];
        assert_eq!(log(&mut pair.net, END), expected);
        let again = pair.net.connect(END, pair.a, pair.b);
        assert!(again.0 > pair.b_at_a && again.1 > pair.a_at_b, "a new peer");
    }

    #[test]
    fn the_dead_hear_nothing_and_the_living_learn_of_it() {
        let mut pair = pair(1, Faults::default());
        pair.send(MS, Class::Tick, 0, 1);
        pair.net.kill(MS, pair.b);
        let at = MS + pair.net.faults.loss_notice;
        assert_eq!(log(&mut pair.net, END), [(at, pair.a, Seen::Gone(lost()))]);
    }

    /// A peer behind a broken network once heard at once, with the reason, that it was let go.
    #[test]
    fn a_parted_node_hears_nothing_until_it_is_joined_again() {
        let mut pair = pair(1, Faults::default());
        pair.net.partition(pair.b, true);
        pair.send(MS, Class::Control, 0, 1);
        assert_eq!(log(&mut pair.net, END), []);
        pair.net.partition(pair.b, false);
        pair.send(MS, Class::Control, 0, 2);
        assert_eq!(ticks(&log(&mut pair.net, END)), [2]);

        pair.net.partition(pair.b, true);
        pair.disconnect(END);
        let seen = log(&mut pair.net, 2 * END);
        let at = END + pair.net.faults.loss_notice;
        assert_eq!(seen[1..], [(at, pair.b, Seen::Gone(lost()))]);
    }

    #[test]
    #[should_panic(expected = "floods its network")]
    fn more_under_way_than_the_bound_stops_the_run() {
        let mut pair = pair(1, Faults::default());
        for tick in 0..=2 * MAX_QUEUED_EVENTS as u64 {
            pair.send(MS, Class::Tick, tick, tick);
        }
    }
}
