//! The named maxima of the orchestrator, and how they must relate.

use std::time::Duration;

/// Most simulations that exist at once, finished ones included.
pub const MAX_SIMULATIONS: usize = 1_024;
/// Most workers registered at once.
pub const MAX_WORKERS: usize = 256;
/// Most connections that have not registered yet.
pub const MAX_UNREGISTERED: usize = 256;

/// Most ticks in one window.
pub const MAX_WINDOW_TICKS: u32 = 8_192;
/// Most ticks that one dispatch tells a partition to step, a replay and the window after it. A run
/// whose checkpoints do not come stands before it would need more. A worker takes no longer ones: its
/// own `MAX_WINDOW_TICKS` is of a whole dispatch, and a test compares the two.
pub const MAX_REPLAY_TICKS: u32 = 1 << 20;
/// Work an unhurried window aims at: long enough that a frame costs nothing beside it, short enough
/// that a pause or a command is felt at once.
pub const WINDOW_TARGET: Duration = Duration::from_millis(20);
/// Periods below this are dispatched as windows of about this length.
pub const MIN_DISPATCH_PERIOD: Duration = Duration::from_millis(5);
/// A view that was asked for and has not come after this is waited for no longer.
pub const VIEW_PATIENCE: Duration = Duration::from_millis(500);
/// Most digests a window may report, so that a result has a bounded length.
pub const MAX_DIGESTS_PER_WINDOW: u32 = 1_024;

/// How far behind its deadlines a run may be before they are shifted.
pub const MAX_BEHIND: Duration = Duration::from_secs(1);

/// A replay after a loss should take no longer than this.
pub const REPLAY_BUDGET: Duration = Duration::from_millis(100);
/// Fewest ticks between two checkpoints of a partition.
pub const MIN_CHECKPOINT_TICKS: u64 = 16;
/// Most ticks between two checkpoints of a partition.
pub const MAX_CHECKPOINT_TICKS: u64 = 65_536;
/// Ticks between checkpoints while nothing has been measured.
pub const FIRST_CHECKPOINT_TICKS: u64 = 64;
/// A checkpoint that was asked for and has not come after this is asked for again.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(2);
/// How often a cut is made for the store, unless configured otherwise.
pub const CUT_EVERY: Duration = Duration::from_secs(10);
/// A cut of which a part has not come after this is given up.
pub const CUT_PATIENCE: Duration = Duration::from_secs(10);
/// Another one is tried so long after one was given up.
pub const CUT_RETRY: Duration = Duration::from_secs(1);
/// Inputs of a partition above which a checkpoint is asked for, whatever its interval.
pub const SOFT_HISTORY_BYTES: usize = 4 << 20;
/// Inputs of a partition at which the run waits for a checkpoint rather than keep more.
pub const MAX_HISTORY_BYTES: usize = 16 << 20;
/// Bytes of checkpoints and inputs that one worker is sent for replays before results come of them; a
/// single larger one goes alone.
pub const MAX_RESTORING_BYTES: usize = 64 << 20;
/// Partitions that one worker is sent for replays before results come of them.
pub const MAX_RESTORING: usize = 256;
/// Most that a partition may report of anything it counts.
pub const MAX_REPORTED_COUNT: u64 = 1 << 52;
/// Most partitions of one run.
pub const MAX_PARTITIONS: usize = 2_048;
/// Input bytes in one dispatch frame; more work goes into a further frame.
pub const MAX_DISPATCH_BYTES: usize = 4 << 20;

/// Commands of one simulation that wait for their tick: one a machine that is named, one a partition
/// where a site or all machines are.
pub const MAX_PENDING_COMMANDS: usize = 1 << 20;
/// Such commands that a recovered run may have to replay; it takes no new ones before there are
/// fewer than [`MAX_PENDING_COMMANDS`].
pub const MAX_RECOVERED_COMMANDS: usize = 4 * MAX_PENDING_COMMANDS;
/// Such commands of one tick for one partition: they travel in one frame.
pub const MAX_PARTITION_COMMANDS: usize = 1 << 17;
/// Entities that one command may list by id.
pub const MAX_COMMAND_ENTITIES: usize = transport::control::MAX_COMMAND_ENTITIES;

/// Least patience with a worker whose result is missing.
pub const MIN_PATIENCE: Duration = Duration::from_millis(100);
/// Least patience while too few results were measured to know a p99.
pub const UNMEASURED_PATIENCE: Duration = Duration::from_secs(1);
/// Results that make a p99 worth believing.
pub const MEASURED_RESULTS: u64 = 100;
/// How much longer than expected a window or replay may take.
pub const PATIENCE_FACTOR: u32 = 3;
/// Patience with the only worker there is, in multiples of the ordinary one.
pub const SOLE_WORKER_FACTOR: u32 = 8;
/// Longest patience of all.
pub const MAX_PATIENCE: Duration = Duration::from_secs(60);
/// Time a row needs to be created or restored, on the slow side, until measured.
pub const CREATE_NS_PER_ROW: u64 = 20_000;
/// Time a row-step takes, on the slow side, until measured.
pub const UNMEASURED_NS_PER_ROW: f64 = 1_000.0;
/// Hand-overs of one partition within one window before the run is failed.
pub const MAX_ATTEMPTS: u32 = 8;
/// A suspect worker gets nothing new for this long, doubled each time.
pub const FIRST_PENANCE: Duration = Duration::from_secs(1);
/// Longest a suspect worker that still answers is left without work.
pub const MAX_PENANCE: Duration = Duration::from_secs(64);

/// A suspect's next penance is halved again for every such time in which nothing of it was missing.
pub const PENANCE_HALVES_EVERY: Duration = Duration::from_secs(64);
/// From this on, the orchestrator's own lateness is a hiccup, which no worker is made to pay for.
pub const HICCUP: Duration = Duration::from_millis(5);

/// How often loads are compared for rebalancing.
pub const REBALANCE_EVERY: Duration = Duration::from_secs(5);
/// Moves planned at once.
pub const MAX_MOVES: usize = 64;

/// Verifications under way at once; further samples are passed over and counted.
pub const MAX_VERIFICATIONS: usize = 16;
/// A verification that has not come to an end after this is given up and counted.
pub const VERIFICATION_PATIENCE: Duration = Duration::from_secs(10);
/// The orchestrator's own computation of a step that has not come to an end after this never will.
pub const ARBITRATION_PATIENCE: Duration = Duration::from_secs(60);
/// Most threads a worker may say it has.
pub const MAX_WORKER_THREADS: u32 = 1_024;

/// Steps the orchestrator computes itself at once.
pub const MAX_ARBITRATIONS: usize = MAX_VERIFICATIONS;
/// How old the histograms may be that a snapshot shows of a run that goes on: once they were shown,
/// the next record copies them.
pub const HISTOGRAMS_EVERY: Duration = Duration::from_secs(1);
/// Shifted deadlines of one run are said no more often than this.
pub const DILATED_EVERY: Duration = Duration::from_secs(1);
/// Most gateways registered at once.
pub const MAX_GATEWAYS: usize = 64;
/// Streams on which a gateway is told of the runs it follows, and as many again for their views: each run has its place
/// on one of them, for as long as the connection stands.
pub const PUBLICATION_STREAMS: u64 = 64;
/// Requests of one gateway that have no answer yet.
pub const MAX_GATEWAY_REQUESTS: usize = 256;
/// Requests that wait for their turn, for their farm or for their commit, over all who ask.
pub const MAX_WAITING_REQUESTS: usize = 4_096;
/// Requests of one simulation that wait for the one before them.
pub const MAX_LANE: usize = 64;
/// Farms that are cut at once, off the loop.
pub const MAX_CHORES: usize = 16;
/// When it is worth trying again what was refused because too much is under way.
pub const RETRY_SOON: Duration = Duration::from_secs(1);
/// Longest route of an idempotency key, in bytes.
pub const MAX_ROUTE_BYTES: usize = 1_024;
/// Most tokens.
pub const MAX_TOKENS: usize = 2_048;
/// Most tickets that wait to be redeemed.
pub const MAX_TICKETS: usize = 16_384;
/// How long a ticket may be redeemed.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);

/// A request whose write was not even given to the store after this is refused.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for such requests, while any wait.
pub const EXPIRE_EVERY: Duration = Duration::from_millis(100);
/// How long a run stands before the log says that nobody knows yet whether its pause or stop is kept.
pub const MAX_SILENT_HALT: Duration = Duration::from_secs(1);
/// Places a command is given, one after the other, before it is withdrawn: its lead is doubled each time.
pub const MAX_STAMPS: u32 = 8;
/// Commit times that a command's lead is chosen by.
pub const RECENT_COMMITS: usize = 256;
/// Most ticks that a command is put off because commits take long.
pub const MAX_LEAD_TICKS: u64 = 1 << 16;

/// Most bytes of history that wait for the database, over all runs, unless configured otherwise. At half of it runs wait for one that writes;
/// at all of it, with one that does not, they are paused.
pub const MAX_BACKLOG_BYTES: usize = 256 << 20;
/// Ticks whose views are under way to one gateway at once, of each run; one more waits. Enough for 60 a second where an
/// answer takes 60 ms.
pub const MAX_VIEWS_UNDER_WAY: usize = 4;
/// Bytes of history in one batch; a single larger piece goes alone.
pub const MAX_BATCH_BYTES: usize = 4 << 20;
/// History is gathered for so long before it is handed to the store.
pub const BATCH_EVERY: Duration = Duration::from_millis(100);
/// Sums and timings of a run are written so often while it goes.
pub const METRICS_EVERY: Duration = Duration::from_secs(1);
/// Rows of machines' metadata that are made and written at once.
pub const ROWS_PER_CHORE: u32 = 8_192;
/// Bytes of events not written yet that one answer holds.
pub const MAX_UNFLUSHED_BYTES: usize = 6 << 20;
/// Gateways are told of a run no more often than once in this time, but for ticks with a view.
pub const PUBLISH_EVERY: Duration = Duration::from_millis(10);
/// Bytes of events in one published frame; a single larger one goes alone.
pub const MAX_PUBLISHED_EVENT_BYTES: usize = 2 << 20;

/// How long a lease on the database holds without being renewed.
pub const LEASE_TTL: Duration = Duration::from_secs(2);
/// How often it is renewed.
pub const RENEW_EVERY: Duration = Duration::from_millis(500);
/// What the database does not take is tried again after this, then after ever longer times.
pub const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
/// Up to this.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(5);
/// How often what is beyond retention is removed.
pub const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Words of the database's tasks that wait for the loop.
pub const TOLD_QUEUE: usize = 64;
/// How long an orchestrator that is asked to end waits for its last cuts and its history.
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// Speeds and loads are measured over as long.
pub const RECENT: Duration = Duration::from_secs(5);
/// And between as many points of time.
pub const RECENT_POINTS: usize = 10;
/// How often the core is told what time it is.
pub const TELL_TIME_EVERY: Duration = Duration::from_secs(1);
/// Late ticks of one run are counted for so long before they are said.
pub const LATE_EVERY: Duration = Duration::from_secs(1);

/// Control requests that wait for the drive loop.
pub const CONTROL_QUEUE: usize = 256;
/// Events that wait for a subscriber before it loses the oldest.
pub const EVENT_QUEUE: usize = 4_096;
/// Inputs of the clock and the link that the drive loop handles before a waiting request is heard, and
/// link events before the clock, where it rings while they wait.
pub const MAX_BATCH: usize = 64;

// What a list of every token holds goes into one frame.
const _: () = assert!(
    MAX_TOKENS
        * (size_of::<transport::control::ArchivedToken>() + transport::control::MAX_LABEL_BYTES)
        < transport::limits::max_payload_bytes(transport::header::Kind::Tokens) as usize
);
const _: () = assert!(
    MAX_UNFLUSHED_BYTES + (64 << 10)
        < transport::limits::max_payload_bytes(transport::header::Kind::Response) as usize
);
// A frame holds a part, or the largest event there can be: of every machine of a run.
const _: () = assert!(
    MAX_PUBLISHED_EVENT_BYTES + 4 * kernel::config::MAX_ENTITIES as usize + (64 << 10)
        < transport::limits::max_payload_bytes(transport::header::Kind::Published) as usize
);
// Every stream of a gateway, `Control` included, may be open at once.
const _: () = assert!(2 * PUBLICATION_STREAMS < transport::limits::MAX_STREAMS_PER_PEER as u64);
const _: () = assert!(2 * MAX_BATCH_BYTES < MAX_BACKLOG_BYTES / 2);
const _: () = assert!(MAX_GATEWAYS * MAX_GATEWAY_REQUESTS >= MAX_WAITING_REQUESTS);
const _: () = assert!(RECENT_POINTS > 1);
const _: () = assert!(3 * RENEW_EVERY.as_millis() < LEASE_TTL.as_millis());
const _: () = assert!(FIRST_BACK_OFF.as_millis() < COMMIT_PATIENCE.as_millis());
const _: () = assert!(FIRST_BACK_OFF.as_millis() <= MAX_BACK_OFF.as_millis());
const _: () = assert!(MAX_PENDING_COMMANDS >= MAX_PARTITIONS);
const _: () = assert!(MAX_COMMAND_ENTITIES <= MAX_PENDING_COMMANDS);
// A recovery tells by the limit which of the two was reached.
const _: () = assert!(MAX_PARTITION_COMMANDS != MAX_RECOVERED_COMMANDS);
const _: () = assert!(MAX_PARTITION_COMMANDS >= kernel::config::MAX_PARTITION_ROWS as usize);
// What a full history and one more tick hold goes into one frame.
const _: () = assert!(
    MAX_HISTORY_BYTES + MAX_PARTITION_COMMANDS * size_of::<transport::message::StampedCommand>()
        < transport::limits::MAX_PAYLOAD_BYTES as usize
);
// A hand-over is no burst that the link takes for a peer that is too slow.
const _: () = assert!(2 * transport::limits::MAX_PAYLOAD_BYTES as usize <= MAX_RESTORING_BYTES);
const _: () = assert!(2 * MAX_RESTORING_BYTES <= transport::limits::MAX_QUEUED_BYTES_PER_PEER);
const _: () = assert!(4 * MAX_RESTORING <= transport::limits::MAX_QUEUED_FRAMES_PER_PEER);
// Nor is everything of a run that is taken from a worker at once.
const _: () =
    assert!(MAX_PARTITIONS + 4 * MAX_RESTORING <= transport::limits::MAX_QUEUED_FRAMES_PER_PEER);
// What a partition may report of itself, see `collect`, adds up over a run.
const _: () = assert!(MAX_REPORTED_COUNT <= u64::MAX / MAX_PARTITIONS as u64);
const _: () = assert!(MAX_WORKER_THREADS as u64 * (MAX_WORKERS as u64) < u32::MAX as u64);
const _: () = assert!(SOFT_HISTORY_BYTES < MAX_HISTORY_BYTES);
const _: () = assert!(MAX_CHECKPOINT_TICKS >= MAX_WINDOW_TICKS as u64);
// A checkpoint may be an interval late before that is so.
const _: () =
    assert!(MAX_REPLAY_TICKS as u64 > 2 * MAX_CHECKPOINT_TICKS + 2 * MAX_WINDOW_TICKS as u64);
const _: () = assert!(MIN_CHECKPOINT_TICKS <= FIRST_CHECKPOINT_TICKS);
const _: () = assert!(FIRST_CHECKPOINT_TICKS <= MAX_CHECKPOINT_TICKS);
const _: () = assert!(MAX_DIGESTS_PER_WINDOW <= MAX_WINDOW_TICKS);
const _: () = assert!(MIN_PATIENCE.as_nanos() <= UNMEASURED_PATIENCE.as_nanos());
const _: () = assert!(HICCUP.as_nanos() < MIN_PATIENCE.as_nanos());
const _: () = assert!(UNMEASURED_PATIENCE.as_nanos() <= MAX_PATIENCE.as_nanos());
const _: () = assert!(FIRST_PENANCE.as_nanos() <= MAX_PENANCE.as_nanos());
const _: () = assert!(MIN_DISPATCH_PERIOD.as_nanos() < MAX_BEHIND.as_nanos());
