//! A link inside one process: the frames themselves are handed over, nothing is copied.
//!
//! One endpoint is the hub, the others are its spokes, as an orchestrator and its workers are. A spoke
//! whose hub is busy waits; a hub never waits for a spoke, it drops it, as over a network. All frames of
//! a connection arrive in the order they were sent: there is no wire that a class could wait for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::limits::{MAX_PEERS, MAX_QUEUED_EVENTS};
use crate::link::{
    DisconnectReason, Driver, ENDPOINT_DROPPED, Endpoint, LinkCommand, LinkEvent, PeerId, Role,
    endpoint,
};

/// The hub's peer as every spoke knows it.
pub const HUB: PeerId = PeerId(0);

/// Where spokes join. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryHub {
    role: Role,
    name: Arc<str>,
    next_peer: Arc<AtomicU64>,
    events: mpsc::Sender<LinkEvent>,
    spokes: Arc<Mutex<BTreeMap<PeerId, mpsc::Sender<LinkEvent>>>>,
}

/// The link was closed: the hub's endpoint is gone, its queue is full, or [`MAX_PEERS`] are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hub of the in-memory link takes no connection")]
pub struct HubClosed;

/// Opens a hub. Needs a tokio runtime around it.
#[must_use]
pub fn hub(role: Role, name: &str) -> (Endpoint, MemoryHub) {
    let (endpoint, driver) = endpoint();
    let hub = MemoryHub {
        role,
        name: name.into(),
        next_peer: Arc::new(AtomicU64::new(1)),
        events: driver.events,
        spokes: Arc::default(),
    };
    tokio::spawn(drive_hub(driver.commands, driver.end, hub.clone()));
    (endpoint, hub)
}

impl MemoryHub {
    /// Joins a spoke to the hub.
    ///
    /// # Errors
    /// [`HubClosed`] where the hub takes no connection.
    pub fn connect(&self, role: Role, name: &str) -> Result<Endpoint, HubClosed> {
        let peer = PeerId(self.next_peer.fetch_add(1, Relaxed));
        let (endpoint, driver) = endpoint();
        let connected = |peer, role, name: &str| LinkEvent::Connected {
            peer,
            role,
            name: name.to_owned(),
        };
        // First of all to the spoke: the hub may answer as soon as it knows of it.
        let told = driver
            .events
            .try_send(connected(HUB, self.role, &self.name));
        told.expect("the spoke's queue is new");
        {
            let mut spokes = self.lock();
            if spokes.len() >= MAX_PEERS {
                return Err(HubClosed);
            }
            spokes.insert(peer, driver.events.clone());
        }
        if self.events.try_send(connected(peer, role, name)).is_err() {
            self.detach(peer);
            return Err(HubClosed);
        }
        tokio::spawn(drive_spoke(peer, driver, self.clone()));
        Ok(endpoint)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, mpsc::Sender<LinkEvent>>> {
        self.spokes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a spoke off. `Some` for the one caller who did it, so that it is reported once.
    fn detach(&self, peer: PeerId) -> Option<mpsc::Sender<LinkEvent>> {
        self.lock().remove(&peer)
    }
}

async fn drive_hub(
    mut commands: mpsc::Receiver<LinkCommand>,
    _end: watch::Sender<()>,
    hub: MemoryHub,
) {
    while let Some(command) = commands.recv().await {
        match command {
            LinkCommand::Transmit(transmit) => {
                let Some(spoke) = hub.lock().get(&transmit.peer).cloned() else {
                    continue;
                };
                // The last place is kept for the event that says that it is over.
                if spoke.capacity() > 1 {
                    let event = LinkEvent::Frame {
                        peer: HUB,
                        frame: transmit.frame,
                    };
                    let _ = spoke.try_send(event);
                } else {
                    let reason = DisconnectReason::Slow {
                        frames: MAX_QUEUED_EVENTS - 1,
                        bytes: 0,
                    };
                    drop_spoke(&hub, transmit.peer, reason.clone(), reason).await;
                }
            }
            LinkCommand::Disconnect { peer, reason } => {
                let theirs = DisconnectReason::Peer {
                    reason: reason.clone(),
                };
                drop_spoke(&hub, peer, DisconnectReason::Local { reason }, theirs).await;
            }
        }
    }
    let spokes = std::mem::take(&mut *hub.lock());
    for spoke in spokes.into_values() {
        let reason = DisconnectReason::Peer {
            reason: ENDPOINT_DROPPED.to_owned(),
        };
        let _ = spoke.try_send(LinkEvent::Disconnected { peer: HUB, reason });
    }
}

async fn drop_spoke(
    hub: &MemoryHub,
    peer: PeerId,
    ours: DisconnectReason,
    theirs: DisconnectReason,
) {
    let Some(spoke) = hub.detach(peer) else {
        return;
    };
    let _ = spoke.try_send(LinkEvent::Disconnected {
        peer: HUB,
        reason: theirs,
    });
    let _ = hub
        .events
        .send(LinkEvent::Disconnected { peer, reason: ours })
        .await;
}

async fn drive_spoke(peer: PeerId, mut driver: Driver, hub: MemoryHub) {
    let mut ours = None;
    while let Some(command) = driver.commands.recv().await {
        match command {
            LinkCommand::Transmit(transmit) => {
                let Ok(place) = hub.events.reserve().await else {
                    break;
                };
                // Under the lock, so that nothing follows the event that says that it is over.
                let spokes = hub.lock();
                if !spokes.contains_key(&peer) {
                    return;
                }
                let frame = transmit.frame;
                place.send(LinkEvent::Frame { peer, frame });
            }
            LinkCommand::Disconnect { reason, .. } => {
                ours = Some(reason);
                break;
            }
        }
    }
    let Some(spoke) = hub.detach(peer) else {
        return;
    };
    let reason = DisconnectReason::Peer {
        reason: ours.clone().unwrap_or_else(|| ENDPOINT_DROPPED.to_owned()),
    };
    if let Some(reason) = ours {
        let reason = DisconnectReason::Local { reason };
        let _ = spoke.try_send(LinkEvent::Disconnected { peer: HUB, reason });
    }
    let _ = hub
        .events
        .send(LinkEvent::Disconnected { peer, reason })
        .await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::frame::Frame;
    use crate::header::{Header, Kind};
    use crate::link::{Class, Transmit};
    use crate::pool::FramePool;

    fn frame(tick: u64) -> Frame {
        let header = Header {
            tick,
            ..Header::new(Kind::Close)
        };
        Frame::bare(header)
    }

    fn transmit(peer: PeerId, class: Class, frame: Frame) -> LinkCommand {
        LinkCommand::Transmit(Transmit {
            peer,
            class,
            group: 0,
            frame,
            last: false,
        })
    }

    async fn next(endpoint: &mut Endpoint) -> LinkEvent {
        endpoint.events.recv().await.expect("the link lives")
    }

    async fn connected(endpoint: &mut Endpoint) -> PeerId {
        match next(endpoint).await {
            LinkEvent::Connected { peer, .. } => peer,
            other => panic!("{other:?} before the connection"),
        }
    }

    async fn ticks_until_gone(endpoint: &mut Endpoint) -> (Vec<u64>, DisconnectReason) {
        let mut ticks = Vec::new();
        loop {
            match next(endpoint).await {
                LinkEvent::Frame { frame, .. } => ticks.push(frame.header.tick),
                LinkEvent::Disconnected { reason, .. } => return (ticks, reason),
                LinkEvent::Connected { .. } => panic!("connected twice"),
            }
        }
    }

    async fn pair() -> (Endpoint, MemoryHub, PeerId, Endpoint) {
        let (mut orchestrator, hub) = hub(Role::Orchestrator, "hub");
        let mut worker = hub.connect(Role::Worker, "one").unwrap();
        let peer = connected(&mut orchestrator).await;
        assert_eq!(connected(&mut worker).await, HUB);
        (orchestrator, hub, peer, worker)
    }

    #[tokio::test]
    async fn a_payload_is_handed_over_and_never_copied_in_either_direction() {
        let (mut orchestrator, _hub, peer, mut worker) = pair().await;
        let pool = FramePool::new();
        let mut buffer = pool.take(1_000);
        buffer.bytes.resize(1_000, 7);
        let sent = Frame::from_buffer(Header::new(Kind::Checkpoint), buffer).unwrap();
        let at = sent.payload().as_ptr();
        let down = transmit(peer, Class::Checkpoint, sent.clone());
        orchestrator.commands.try_send(down).unwrap();
        let up = transmit(HUB, Class::Checkpoint, sent);
        worker.commands.try_send(up).unwrap();
        for endpoint in [&mut worker, &mut orchestrator] {
            let LinkEvent::Frame { frame, .. } = next(endpoint).await else {
                panic!("a frame was sent")
            };
            assert_eq!(frame.payload().as_ptr(), at);
        }
        let copies = pool.copies();
        let counted = [&copies.sent, &copies.received, &copies.encoded];
        assert_eq!(counted.map(|c| c.load(Relaxed)), [0; 3]);
        assert_eq!(copies.allocated.load(Relaxed), 1_024, "one buffer");
    }

    #[tokio::test]
    async fn frames_of_every_class_arrive_in_the_order_they_were_sent_and_then_the_end() {
        let (mut orchestrator, _hub, peer, mut worker) = pair().await;
        let reason = "this is all".to_owned();
        for tick in 0..400 {
            let class = Class::ALL[tick as usize % 4];
            let command = transmit(peer, class, frame(tick));
            orchestrator.commands.try_send(command).unwrap();
        }
        let end = LinkCommand::Disconnect {
            peer,
            reason: reason.clone(),
        };
        orchestrator.commands.try_send(end).unwrap();
        let (ticks, theirs) = ticks_until_gone(&mut worker).await;
        assert_eq!(ticks, (0..400).collect::<Vec<_>>());
        assert_eq!(
            theirs,
            DisconnectReason::Peer {
                reason: reason.clone()
            }
        );
        let (_, ours) = ticks_until_gone(&mut orchestrator).await;
        assert_eq!(ours, DisconnectReason::Local { reason });
    }

    #[tokio::test]
    async fn a_spokes_last_frames_arrive_before_its_end() {
        let (mut orchestrator, _hub, peer, mut worker) = pair().await;
        for tick in 0..100 {
            let command = transmit(HUB, Class::Tick, frame(tick));
            worker.commands.try_send(command).unwrap();
        }
        let reason = "drained".to_owned();
        let end = LinkCommand::Disconnect {
            peer: HUB,
            reason: reason.clone(),
        };
        worker.commands.try_send(end).unwrap();
        let (ticks, theirs) = ticks_until_gone(&mut orchestrator).await;
        assert_eq!(ticks.len(), 100);
        assert_eq!(
            theirs,
            DisconnectReason::Peer {
                reason: reason.clone()
            }
        );
        let (_, ours) = ticks_until_gone(&mut worker).await;
        assert_eq!(ours, DisconnectReason::Local { reason });
        let late = transmit(peer, Class::Tick, frame(1));
        orchestrator.commands.try_send(late).unwrap();
        assert!(
            worker.events.recv().await.is_none(),
            "nothing follows the end"
        );
    }

    #[tokio::test]
    async fn an_end_that_is_dropped_has_closed_for_the_other() {
        let (mut orchestrator, hub, _, worker) = pair().await;
        let dropped = DisconnectReason::Peer {
            reason: ENDPOINT_DROPPED.to_owned(),
        };
        drop(worker);
        let (_, reason) = ticks_until_gone(&mut orchestrator).await;
        assert_eq!(reason, dropped);

        let mut second = hub.connect(Role::Worker, "two").unwrap();
        assert_eq!(connected(&mut second).await, HUB);
        drop(orchestrator);
        let (_, reason) = ticks_until_gone(&mut second).await;
        assert_eq!(reason, dropped);
        let refused = hub.connect(Role::Worker, "three");
        assert_eq!(refused.map(|_| ()), Err(HubClosed));
    }

    #[tokio::test]
    async fn a_spoke_that_takes_nothing_is_dropped_at_the_bound_and_told_so() {
        let (mut orchestrator, _hub, peer, mut worker) = pair().await;
        let most = MAX_QUEUED_EVENTS - 1;
        let mut sent = 0;
        let ours = loop {
            let command = transmit(peer, Class::View, frame(sent));
            orchestrator.commands.send(command).await.unwrap();
            sent += 1;
            match orchestrator.events.try_recv() {
                Ok(LinkEvent::Disconnected { reason, .. }) => break reason,
                Ok(other) => panic!("{other:?}"),
                Err(_) => assert!(sent < 3 * MAX_QUEUED_EVENTS as u64, "never dropped"),
            }
        };
        assert!(
            matches!(ours, DisconnectReason::Slow { frames, .. } if frames == most),
            "{ours}"
        );
        let (ticks, theirs) = ticks_until_gone(&mut worker).await;
        assert_eq!((ticks.len(), theirs), (most, ours));
    }

    #[tokio::test]
    async fn no_more_spokes_join_than_the_bound() {
        let (_orchestrator, hub) = hub(Role::Orchestrator, "hub");
        let connect = |_| hub.connect(Role::Worker, "one");
        let mut joined = (0..MAX_PEERS)
            .map(connect)
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        assert_eq!(connect(0).map(|_| ()), Err(HubClosed));
        let reason = String::new();
        let mut last = joined.pop().unwrap();
        let end = LinkCommand::Disconnect { peer: HUB, reason };
        last.commands.try_send(end).unwrap();
        assert_eq!(connected(&mut last).await, HUB);
        ticks_until_gone(&mut last).await;
        assert!(connect(0).is_ok(), "a place is free again");
    }

    /// A hub that drops a spoke in the middle of its frames once saw one of them after the end.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_follows_the_end_of_a_spoke_that_is_sending() {
        let (mut orchestrator, hub) = hub(Role::Orchestrator, "hub");
        for _ in 0..200 {
            let worker = hub.connect(Role::Worker, "one").unwrap();
            let peer = connected(&mut orchestrator).await;
            for tick in 0..200 {
                let command = transmit(HUB, Class::Tick, frame(tick));
                worker.commands.try_send(command).unwrap();
            }
            let reason = String::new();
            let end = LinkCommand::Disconnect { peer, reason };
            orchestrator.commands.try_send(end).unwrap();
            ticks_until_gone(&mut orchestrator).await;
            let more = || worker.commands.send(transmit(HUB, Class::Tick, frame(0)));
            while more().await.is_ok() {}
            let after = orchestrator.events.try_recv();
            assert!(after.is_err(), "{after:?}");
        }
    }
}
