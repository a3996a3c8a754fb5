//! The named maxima of a worker, and how they must relate.

use std::time::Duration;

use kernel::config::{MAX_ENTITIES, MIN_PARTITION_ROWS};

/// Most simulations open at once.
pub const MAX_SIMULATIONS: usize = 1_024;
/// Most partitions a plan can have, and so the most slots of a simulation.
pub const MAX_PARTITIONS: usize = 2 * (MAX_ENTITIES / MIN_PARTITION_ROWS) as usize;
/// Most ticks in one window.
pub const MAX_WINDOW_TICKS: u32 = 1 << 20;
/// Most work that waits for one partition to be stepped; an orchestrator that keeps to the protocol
/// has one dispatch and a few questions about the present tick under way.
pub const MAX_WAITING_PER_PARTITION: usize = 8;
/// Most dispatches that wait for their simulation to be opened: the two come on different streams.
pub const MAX_EARLY_DISPATCHES: usize = 64;
/// How long a dispatch waits for its simulation to be opened.
pub const EARLY_PATIENCE: Duration = Duration::from_secs(1);
/// Most checkpoint frames that wait for the dispatch they belong to.
pub const MAX_WAITING_CHECKPOINTS: usize = MAX_PARTITIONS;
/// Bytes of such frames above which the oldest are forgotten; their dispatches are then answered
/// with `NOT_HELD`.
pub const MAX_WAITING_CHECKPOINT_BYTES: usize = 1 << 30;
/// Stateless steps under way at once; further ones are answered as not held.
pub const MAX_COMPUTES: usize = 64;
/// A draining worker ends once it has held nothing for this long: a dispatch may have crossed its
/// word that it drains.
pub const DRAIN_QUIET: Duration = Duration::from_millis(500);
/// A draining worker ends after this, whatever it still holds.
pub const MAX_DRAIN: Duration = Duration::from_secs(25);
/// Longest text of a refusal that is kept.
pub const MAX_REASON_BYTES: usize = 512;
/// Events taken from the link before jobs are started.
pub const MAX_BATCH: usize = 64;
/// Finished jobs that wait for the drive loop; a stepping thread waits when it is full.
pub const MAX_WAITING_DONE: usize = 1_024;
/// Requests for the counters that wait; further ones are not answered.
pub const MAX_WAITING_SCRAPES: usize = 16;

const _: () = assert!(MAX_WAITING_PER_PARTITION >= 2);
const _: () = assert!(DRAIN_QUIET.as_nanos() < MAX_DRAIN.as_nanos());
const _: () = assert!(MAX_BATCH <= MAX_WAITING_DONE);
