//! A link inside one process: the frames themselves are handed over, nothing is copied.
//!
//! One endpoint is the hub, the others are its spokes, as an orchestrator and its workers are. A spoke
//! whose hub is busy waits; a hub never waits for a spoke, it drops it, as over a network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::limits::MAX_QUEUED_EVENTS;
use crate::link::{
    DisconnectReason, Driver, Endpoint, LinkCommand, LinkEvent, PeerId, Role, endpoint,
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

/// The link was closed: the hub's endpoint is gone, or its queue is full.
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
    tokio::spawn(drive_hub(driver.commands, hub.clone()));
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
        self.lock().insert(peer, driver.events.clone());
        let welcomed = self.events.try_send(connected(peer, role, name));
        if welcomed.is_err()
            || driver
                .events
                .try_send(connected(HUB, self.role, &self.name))
                .is_err()
        {
            self.lock().remove(&peer);
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

async fn drive_hub(mut commands: mpsc::Receiver<LinkCommand>, hub: MemoryHub) {
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
        let reason = DisconnectReason::Lost {
            error: "the hub is gone".to_owned(),
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
                if !hub.lock().contains_key(&peer) {
                    return;
                }
                let event = LinkEvent::Frame {
                    peer,
                    frame: transmit.frame,
                };
                if hub.events.send(event).await.is_err() {
                    break;
                }
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
    let reason = ours.clone().map_or_else(
        || DisconnectReason::Lost {
            error: "the spoke is gone".to_owned(),
        },
        |reason| DisconnectReason::Peer { reason },
    );
    if let Some(reason) = ours {
        let reason = DisconnectReason::Local { reason };
        let _ = spoke.try_send(LinkEvent::Disconnected { peer: HUB, reason });
    }
    let _ = hub
        .events
        .send(LinkEvent::Disconnected { peer, reason })
        .await;
}
