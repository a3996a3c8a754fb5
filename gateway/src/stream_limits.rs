//! Every bound of the live stream that clients or frames can meet, by name.

use std::time::Duration;

use kernel::config::MAX_ENTITIES;

use crate::view_setting::Subprotocol;

/// Streams that one gateway has open at most.
pub const MAX_STREAMS: usize = 8_192;
/// Streams of one simulation.
pub const MAX_STREAMS_PER_SIMULATION: usize = 4_096;
/// Simulations that a gateway follows at once.
pub const MAX_FEEDS: usize = 1_024;

/// Distinct views, beside the default one, that the clients of one simulation have at once.
pub const MAX_VIEWS_PER_SIMULATION: usize = 64;
/// Machines of a tick where a client names no number.
pub const DEFAULT_VIEW_ENTITIES: u32 = 2_000;
/// Most machines of a tick in JSON.
pub const MAX_JSON_ENTITIES: u32 = 100_000;
/// Most machines of a tick in binary.
pub const MAX_BINARY_ENTITIES: u32 = MAX_ENTITIES;
/// Ticks a second where a client names no number.
pub const DEFAULT_VIEW_HZ: u32 = 10;
/// Side of the smallest tile that bounds snap to, m.
pub const MIN_TILE_M: i64 = 16;
/// Farthest that bounds may lie from the world's origin, m.
pub const MAX_COORDINATE_M: f64 = 1e7;

/// Events that wait for one client; with one more it is closed.
pub const MAX_CLIENT_EVENTS: usize = 4_096;
/// Bytes of events that wait for one client; a single larger one is taken where none waits.
pub const MAX_CLIENT_EVENT_BYTES: usize = 16 << 20;
/// Answers to a client's own messages that wait for it; with one more it is closed.
pub const MAX_CLIENT_REPLIES: usize = 64;
/// Longest frame of a client, in bytes of payload.
pub const MAX_CLIENT_FRAME_BYTES: usize = 16 << 10;
/// Longest message of a client, all fragments together, in bytes.
pub const MAX_CLIENT_MESSAGE_BYTES: usize = 16 << 10;
/// Most frames that a client may cut a message into.
pub const MAX_CLIENT_FRAGMENTS: usize = 32;
/// Frames of any kind, control frames too, that a client may send in a second in the long run.
pub const MAX_CLIENT_FRAMES_PER_S: u32 = 50;
/// Frames that it may send at once.
pub const MAX_CLIENT_FRAME_BURST: u32 = 200;

/// Recent events of one log of one simulation that a gateway holds.
pub const MAX_RING_EVENTS: usize = 16_384;
/// Their bytes, as JSON.
pub const MAX_RING_BYTES: usize = 32 << 20;
/// Events of one log that are held back while older ones are read from the database.
pub const MAX_HELD_EVENTS: usize = 65_536;
/// Events read from the database at a time.
pub const PAST_PAGE: usize = 500;
/// How long events that the database does not hold yet are waited for; then they are told as missing.
pub const PAST_PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two looks at the database for them.
pub const PAST_RETRY: Duration = Duration::from_millis(250);

/// Ticks whose views are not complete that a feed holds; the oldest gives way.
pub const MAX_PARTIAL_TICKS: usize = 4;
/// Frames that may wait for one simulation's feed; with one more its subscription is made anew.
pub const MAX_FEED_INPUTS: usize = 4_096;
/// Frames that a feed holds back until it knows where its subscription begins; with one more it is made anew.
pub const MAX_HELD_FRAMES: usize = 4_096;
/// Joins, changes and ends of clients that may wait for one feed; further ones wait themselves.
pub const MAX_FEED_REQUESTS: usize = 1_024;
/// How long a feed without clients goes on.
pub const FEED_LINGER: Duration = Duration::from_secs(10);
/// Views a second that a feed without clients asks for, so that its newest one is no older.
pub const LINGER_HZ: u32 = 1;
/// Pause before a refused or lost subscription is tried again.
pub const SUBSCRIBE_RETRY: Duration = Duration::from_millis(500);
/// How long a client that comes to a running simulation waits for a fresh tick, where the newest is older than
/// [`FRESH_TICKS`] allow, as after a time without clients; then it gets that one.
pub const FRESH_PATIENCE: Duration = Duration::from_millis(250);
/// Ticks that a client might have been given since one that is called fresh, by the run's speed and the client's rate.
pub const FRESH_TICKS: u32 = 2;
/// Pause after a change of a subscription's rate before the next: a client that wants another rate all the time
/// costs the orchestrator no more. The last rate that is wanted then counts. Only a change up from [`LINGER_HZ`], the
/// rate of a feed without clients, does not wait.
pub const RATE_PAUSE: Duration = Duration::from_millis(500);
/// How long a client waits for its simulation's feed to begin.
pub const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// How long `GET entities` waits for a view.
pub const LATEST_PATIENCE: Duration = Duration::from_secs(2);

/// From a `101` to the first byte on the upgraded connection.
pub const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);
/// How often a client is pinged.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// A client of which no frame was read for so long is dropped.
pub const IDLE_PATIENCE: Duration = Duration::from_secs(60);
/// A client that has not taken one message in so long is dropped.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client has to take its close frame and answer it.
pub const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Ticks with more machines are encoded on a thread that may block.
pub const MAX_INLINE_ENTITIES: usize = 20_000;

/// Most machines of a tick, by how it is written.
#[must_use]
pub fn max_entities(subprotocol: Subprotocol) -> u32 {
    match subprotocol {
        Subprotocol::Json => MAX_JSON_ENTITIES,
        Subprotocol::Binary => MAX_BINARY_ENTITIES,
    }
}

/// The bounds of one gateway's streams that a test, or a small machine, may set lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBounds {
    /// At most [`MAX_STREAMS`].
    pub streams: usize,
    /// At most [`MAX_STREAMS_PER_SIMULATION`].
    pub streams_per_simulation: usize,
    /// At most [`MAX_VIEWS_PER_SIMULATION`].
    pub views_per_simulation: usize,
    /// At most [`MAX_CLIENT_EVENTS`].
    pub client_events: usize,
    /// At most [`MAX_RING_EVENTS`].
    pub ring_events: usize,
    /// [`PING_EVERY`], or as a test needs.
    pub ping_every: Duration,
    /// [`IDLE_PATIENCE`], or as a test needs.
    pub idle_patience: Duration,
    /// [`WRITE_PATIENCE`], or as a test needs.
    pub write_patience: Duration,
    /// [`PAST_PATIENCE`], or as a test needs.
    pub past_patience: Duration,
    /// [`FEED_LINGER`], or as a test needs.
    pub feed_linger: Duration,
}

impl Default for StreamBounds {
    fn default() -> StreamBounds {
        StreamBounds {
            streams: MAX_STREAMS,
            streams_per_simulation: MAX_STREAMS_PER_SIMULATION,
            views_per_simulation: MAX_VIEWS_PER_SIMULATION,
            client_events: MAX_CLIENT_EVENTS,
            ring_events: MAX_RING_EVENTS,
            ping_every: PING_EVERY,
            idle_patience: IDLE_PATIENCE,
            write_patience: WRITE_PATIENCE,
            past_patience: PAST_PATIENCE,
            feed_linger: FEED_LINGER,
        }
    }
}

const _: () = assert!(MAX_STREAMS_PER_SIMULATION <= MAX_STREAMS);
const _: () = assert!(MAX_CLIENT_FRAME_BYTES <= MAX_CLIENT_MESSAGE_BYTES);
// A client that answers pings is never idle, even if one is lost to a pause of its own.
const _: () = assert!(2 * PING_EVERY.as_millis() < IDLE_PATIENCE.as_millis());
// What one page of the past brings finds room in a client's queue.
const _: () = assert!(2 * PAST_PAGE <= MAX_CLIENT_EVENTS);
const _: () = assert!(MAX_CLIENT_EVENT_BYTES <= MAX_RING_BYTES);
const _: () = assert!(DEFAULT_VIEW_HZ <= transport::control::MAX_VIEW_HZ);
const _: () = assert!(DEFAULT_VIEW_ENTITIES <= MAX_JSON_ENTITIES);
const _: () = assert!(LINGER_HZ >= 1 && LINGER_HZ <= transport::control::MAX_VIEW_HZ);
