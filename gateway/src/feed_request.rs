//! What clients ask of a simulation's feed, and what they are told.

use std::sync::Arc;

use tokio::sync::oneshot;
use transport::control::Log;

use crate::fanout::ClientId;
use crate::latest::NoView;
use crate::mailbox::Mailbox;
use crate::stream_request::Resume;
use crate::streams::JoinError;
use crate::view_setting::{Subprotocol, Wish};
use crate::view_tick::ViewTick;

/// What clients ask of a feed.
pub(crate) enum FeedRequest {
    /// A client comes.
    Join {
        /// Its name.
        id: ClientId,
        /// What will wait for it.
        mailbox: Arc<Mailbox>,
        /// How it reads.
        subprotocol: Subprotocol,
        /// What it wants to see.
        wish: Wish,
        /// Where the events begin that it wants.
        from: Resume,
        /// Told once it is in.
        reply: oneshot::Sender<Result<Joined, JoinError>>,
    },
    /// A client wants another view.
    Change(ClientId, Wish),
    /// A client that is behind has taken all that was there, and wants these next of the two logs.
    Attach {
        /// Which.
        id: ClientId,
        /// Seqs.
        next: [u64; 2],
        /// Told what comes next.
        reply: oneshot::Sender<Attach>,
    },
    /// A client goes.
    Leave(ClientId),
    /// The newest tick is wanted, once there is one.
    Latest {
        /// Told the tick, or why there is none.
        reply: oneshot::Sender<Result<Arc<ViewTick>, NoView>>,
    },
}

/// A client is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    /// Next events it wants, if those are not the ones that happen next.
    pub(crate) behind: Option<[u64; 2]>,
}

/// What a client that is behind gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// It is behind no longer: what happens now it is told.
    Live,
    /// Events were put into its mailbox; it wants these next.
    More([u64; 2]),
    /// Events of a log before this one are to be read from the database; it wants these next.
    Past(Log, u64, [u64; 2]),
    /// It is no client any more.
    Gone,
}
