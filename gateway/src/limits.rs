//! Every bound of the gateway that outside input can meet, by name.

use std::time::Duration;

/// Requests that the orchestrator has not answered yet; further ones are refused.
pub const MAX_IN_FLIGHT: usize = 1_024;
/// Requests that wait for the loop to take them.
pub const MAX_WAITING_ASKS: usize = 256;
/// How long a request waits for its response.
pub const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// Link events or asks that are taken in one turn of the loop.
pub const MAX_BATCH: usize = 256;
/// How long the orchestrator has to answer a registration with a welcome and the tokens.
pub const REGISTER_PATIENCE: Duration = Duration::from_secs(5);
/// Pause before the first new connection, before it is jittered.
pub const FIRST_RETRY: Duration = Duration::from_millis(50);
/// Longest pause between connections, before it is jittered.
pub const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long an orchestrator has to make the tables of a new database before the log says that they are not there.
pub const NEW_DATABASE_PATIENCE: Duration = Duration::from_secs(5);
/// Shortest interval of heartbeats that a welcome may ask for.
pub const MIN_HEARTBEAT: Duration = Duration::from_millis(10);
/// Longest interval likewise.
pub const MAX_HEARTBEAT: Duration = Duration::from_secs(60);

/// Sockets that one gateway has open at most, whatever a configuration says.
pub const MAX_CONNECTIONS: usize = 65_536;
/// Connections over the cap that are told so; further ones are closed without a word.
pub const MAX_TURNED_AWAY: usize = 64;
/// How long a connection over the cap has to take its answer.
pub const TURN_AWAY_PATIENCE: Duration = Duration::from_secs(1);
/// Longest request head: request line and headers, in bytes.
pub const MAX_HEAD_BYTES: usize = 32 << 10;
/// Most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// Largest body that a configuration may allow.
pub const MAX_BODY_BYTES: usize = 8 << 20;
/// Bytes of a body that are still read once its request is answered, so that the client gets to the answer: those of
/// any body that some configuration would allow, and as much again.
pub const MAX_LEFTOVER_BYTES: usize = 2 * MAX_BODY_BYTES;
/// How long they have to arrive.
pub const LEFTOVER_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that wait unsent in the kernel for a client, about: what it has not room for itself. A frame that waits there cannot give way
/// to a newer one, and a client that does not read would cost the work of sending for as long as there is room.
pub const MAX_UNSENT_BYTES: u32 = 64 << 10;
/// Snapshots over which percentiles are taken at most: a quarter of an hour, for a run has about one a second.
pub const MAX_LATENCY_SNAPSHOTS: u32 = store::limits::MAX_PAGE_ROWS;
/// How often an accept that failed, as it does without file descriptors, is tried again.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How often the log says that requests are answered with 503, which are all of them while the orchestrator is away.
pub const WARN_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(MAX_WAITING_ASKS <= MAX_IN_FLIGHT);
// A loop that is told of a whole batch of requests has room for it.
const _: () = assert!(MAX_BATCH <= MAX_IN_FLIGHT);
const _: () = assert!(FIRST_RETRY.as_millis() < LAST_RETRY.as_millis());
