//! What every link offers a role: commands in, events out, over bounded channels.
//!
//! A role's loop owns an [`Endpoint`], hands it [`LinkCommand`]s with `try_send`, and reads
//! [`LinkEvent`]s. The order of a peer's events is: `Connected`, frames, `Disconnected`, then nothing
//! of that [`PeerId`] ever again. Frames of one stream arrive in order; streams overtake each other.

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::frame::Frame;
use crate::limits::{LINK_END_PATIENCE, MAX_QUEUED_COMMANDS, MAX_QUEUED_EVENTS};

/// One connection. Never used again, not even for the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

impl std::fmt::Display for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peer-{}", self.0)
    }
}

/// What a peer is, as its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Owns ticks, placement and the database.
    Orchestrator,
    /// Steps partitions.
    Worker,
    /// Serves users.
    Gateway,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Orchestrator, Role::Worker, Role::Gateway];

    /// The role in certificates, file names and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Orchestrator => "orchestrator",
            Role::Worker => "worker",
            Role::Gateway => "gateway",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Sending priority, highest first: what waits behind what when a connection is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Registration, heartbeats, opening and closing: one long-lived stream a connection.
    Control,
    /// Dispatches and results.
    Tick,
    /// Views.
    View,
    /// Checkpoints.
    Checkpoint,
}

impl Class {
    /// Every class, highest priority first.
    pub const ALL: [Class; 4] = [Class::Control, Class::Tick, Class::View, Class::Checkpoint];

    /// The class's number for a scheduler that serves the greatest first.
    #[must_use]
    pub const fn priority(self) -> i32 {
        match self {
            Class::Control => 3,
            Class::Tick => 2,
            Class::View => 1,
            Class::Checkpoint => 0,
        }
    }
}

/// One frame of one stream. A stream is named by (peer, class, group); `last` finishes it.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// To whom.
    pub peer: PeerId,
    /// How urgent.
    pub class: Class,
    /// Which stream of the class; the sender chooses. `Control` has one stream, whatever the group.
    pub group: u64,
    /// What.
    pub frame: Frame,
    /// Nothing follows on this stream. Ignored for `Control`.
    pub last: bool,
}

/// What a role tells its link.
#[derive(Clone, Debug)]
pub enum LinkCommand {
    /// Send a frame. To a peer that is gone it does nothing.
    Transmit(Transmit),
    /// Close a connection, after what was queued before. The peer has
    /// [`DISCONNECT_LINGER`](crate::limits::DISCONNECT_LINGER) to take it; then it is lost.
    Disconnect {
        /// Whose.
        peer: PeerId,
        /// Why, for both logs.
        reason: String,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// This side closed it.
    #[error("closed by this side: {reason}")]
    Local {
        /// The reason given.
        reason: String,
    },
    /// The peer closed it.
    #[error("closed by the peer: {reason}")]
    Peer {
        /// The reason it gave.
        reason: String,
    },
    /// More waits for the peer than it takes.
    #[error("the peer takes frames too slowly: {frames} frames, {bytes} bytes wait for it")]
    Slow {
        /// Frames waiting.
        frames: usize,
        /// Bytes waiting.
        bytes: usize,
    },
    /// This side has more streams open to the peer than there may be.
    #[error("more than {limit} streams to the peer are open")]
    TooManyStreams {
        /// How many there may be.
        limit: u32,
    },
    /// The peer sent something that is no frame.
    #[error("the peer sent a bad frame: {error}")]
    BadFrame {
        /// The error, in words.
        error: String,
    },
    /// Nothing was heard of the peer for too long, or the network failed.
    #[error("connection lost: {error}")]
    Lost {
        /// What failed, in words.
        error: String,
    },
}

impl DisconnectReason {
    /// Whether one of the two ends meant it.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(
            self,
            DisconnectReason::Local { .. } | DisconnectReason::Peer { .. }
        )
    }
}

/// The reason that peers are given where an [`Endpoint`] is dropped.
pub const ENDPOINT_DROPPED: &str = "the process ends";

/// What a link tells its role.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// A connection stands and its certificate was accepted.
    Connected {
        /// Its name from now on.
        peer: PeerId,
        /// What the peer is.
        role: Role,
        /// Who it is, for logs.
        name: String,
    },
    /// A frame came in; header and checksum are right, the archive is not validated yet.
    Frame {
        /// From whom.
        peer: PeerId,
        /// What.
        frame: Frame,
    },
    /// The connection is gone; what was in flight may be lost.
    Disconnected {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: DisconnectReason,
    },
}

/// A role's end of a link. Dropping it closes every connection, as [`LinkCommand::Disconnect`] does.
#[derive(Debug)]
pub struct Endpoint {
    /// What the link shall do. Full means that the link is stuck: drop the peer, never wait.
    pub commands: mpsc::Sender<LinkCommand>,
    /// What happened.
    pub events: mpsc::Receiver<LinkEvent>,
    /// Tells when the link has ended.
    pub end: LinkEnd,
}

impl Endpoint {
    /// Drops it, and waits until its peers have what was queued for them, or have had their time.
    pub async fn close(self) {
        let end = self.end.clone();
        drop(self);
        end.reached().await;
    }
}

/// Tells when a link has ended. A link is a task of the runtime: a process that ends its runtime sooner
/// takes its own last words back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LinkEnd(watch::Receiver<()>);

impl LinkEnd {
    /// Waits until the endpoint was dropped and the link has ended, at most for [`LINK_END_PATIENCE`].
    pub async fn reached(mut self) {
        // Nothing is ever sent: it ends when the link drops its end.
        let ended = async { while self.0.changed().await.is_ok() {} };
        let _ = timeout(LINK_END_PATIENCE, ended).await;
    }
}

/// The link's own end of an [`Endpoint`].
pub(crate) struct Driver {
    pub(crate) commands: mpsc::Receiver<LinkCommand>,
    pub(crate) events: mpsc::Sender<LinkEvent>,
    /// Dropped with the last of the link's work: [`LinkEnd`] waits for that.
    pub(crate) end: watch::Sender<()>,
}

pub(crate) fn endpoint() -> (Endpoint, Driver) {
    let (to_link, commands) = mpsc::channel(MAX_QUEUED_COMMANDS);
    let (events, from_link) = mpsc::channel(MAX_QUEUED_EVENTS);
    let (end, ended) = watch::channel(());
    let endpoint = Endpoint {
        commands: to_link,
        events: from_link,
        end: LinkEnd(ended),
    };
    let driver = Driver {
        commands,
        events,
        end,
    };
    (endpoint, driver)
}
