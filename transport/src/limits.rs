//! Every bound that outside input can meet, by name.

use std::time::Duration;

use kernel::view::{ArchivedViewBlock, ViewRecord};

use crate::header::Kind;
use crate::view::ArchivedView;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 64;
/// Alignment of a payload in memory: a cache line, and more than any archive needs.
pub const PAYLOAD_ALIGN: usize = 64;
/// Longest name a peer may give itself.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest reason that is sent with a close; longer ones are cut.
pub const MAX_REASON_BYTES: usize = 256;

/// How long a connection that this side closes stays open for what was queued before.
pub const DISCONNECT_LINGER: Duration = Duration::from_secs(1);

/// How long a process that ends waits for its link, which has [`DISCONNECT_LINGER`] for what was queued.
pub const LINK_END_PATIENCE: Duration = Duration::from_secs(2);

/// Most connections one endpoint holds.
pub const MAX_PEERS: usize = 1_024;
/// Commands that may wait for a link.
pub const MAX_QUEUED_COMMANDS: usize = 8_192;
/// Events that may wait for a role's loop. A link that finds this full stops reading its peers.
pub const MAX_QUEUED_EVENTS: usize = 8_192;
/// Frames that may wait to be sent to one peer; at the bound the peer is dropped.
pub const MAX_QUEUED_FRAMES_PER_PEER: usize = 4_096;
/// Bytes that may wait to be sent to one peer, or for its acknowledgement; at the bound the peer is dropped.
pub const MAX_QUEUED_BYTES_PER_PEER: usize = 256 << 20;
/// Payload bytes of one peer's frames that may be under way to this side's role at once; streams beyond wait.
pub const MAX_RECEIVING_BYTES_PER_PEER: usize = 128 << 20;
/// Chunks of one payload that are held before they are copied together.
pub const MAX_HELD_CHUNKS: usize = 1_024;
/// Streams open at once in one direction of a connection.
pub const MAX_STREAMS_PER_PEER: u32 = 512;

/// The bounds of one endpoint. A test, or a small machine, may set lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most [`MAX_PEERS`].
    pub peers: usize,
    /// At most [`MAX_QUEUED_FRAMES_PER_PEER`].
    pub queued_frames_per_peer: usize,
    /// At most [`MAX_QUEUED_BYTES_PER_PEER`].
    pub queued_bytes_per_peer: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            peers: MAX_PEERS,
            queued_frames_per_peer: MAX_QUEUED_FRAMES_PER_PEER,
            queued_bytes_per_peer: MAX_QUEUED_BYTES_PER_PEER,
        }
    }
}

impl Bounds {
    /// The same bounds, none of them above its maximum.
    #[must_use]
    pub(crate) fn within_maxima(self) -> Bounds {
        let most = Bounds::default();
        Bounds {
            peers: self.peers.min(most.peers),
            queued_frames_per_peer: self.queued_frames_per_peer.min(most.queued_frames_per_peer),
            queued_bytes_per_peer: self.queued_bytes_per_peer.min(most.queued_bytes_per_peer),
        }
    }
}

/// Largest buffer a pool keeps; a larger one is given back to the allocator.
pub const MAX_POOLED_BUFFER_BYTES: usize = 32 << 20;
/// Bytes of free buffers a pool keeps.
pub const MAX_POOLED_BYTES: usize = 256 << 20;
/// Free buffers of one size that a pool keeps.
pub const MAX_POOLED_PER_SIZE: usize = 256;

/// Largest payload of any kind.
pub const MAX_PAYLOAD_BYTES: u32 = 32 << 20;

const SMALL: u32 = 64 << 10;

/// Largest payload of one kind of frame, checked before anything is allocated.
#[must_use]
pub const fn max_payload_bytes(kind: Kind) -> u32 {
    match kind {
        Kind::Register | Kind::Welcome | Kind::Refused | Kind::Heartbeat => 4 << 10,
        Kind::Open | Kind::Close | Kind::Computed | Kind::Unable | Kind::Release | Kind::Taken => {
            SMALL
        }
        Kind::View => 3 << 20,
        Kind::Request | Kind::Tokens => 1 << 20,
        Kind::Response | Kind::Published => 8 << 20,
        Kind::Dispatch | Kind::Result | Kind::Checkpoint | Kind::ComputeTick => MAX_PAYLOAD_BYTES,
    }
}

const _: () = assert!(MAX_PAYLOAD_BYTES as usize <= MAX_POOLED_BUFFER_BYTES);
const _: () = assert!(MAX_PAYLOAD_BYTES as usize <= MAX_QUEUED_BYTES_PER_PEER);
// One large frame never keeps all others waiting.
const _: () = assert!(2 * MAX_PAYLOAD_BYTES as usize <= MAX_RECEIVING_BYTES_PER_PEER);
const _: () = assert!(MAX_POOLED_BUFFER_BYTES <= MAX_POOLED_BYTES);
const _: () = assert!(LINK_END_PATIENCE.as_millis() > DISCONNECT_LINGER.as_millis());
const _: () = assert!(MAX_QUEUED_FRAMES_PER_PEER <= MAX_QUEUED_EVENTS);
const _: () = assert!(PAYLOAD_ALIGN == HEADER_BYTES);
// A view of the largest partition: a record a row, at most one block a row of a site of one machine, and
// the archive's root.
const _: () = assert!(
    kernel::config::MAX_PARTITION_ROWS as usize
        * (size_of::<ViewRecord>() + size_of::<ArchivedViewBlock>())
        + size_of::<ArchivedView>()
        <= max_payload_bytes(Kind::View) as usize
);
