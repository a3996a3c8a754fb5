//! Every bound of the store, by name.

use std::time::Duration;

/// Connections an orchestrator holds to PostgreSQL: commands, history, lease and retention, which do not wait for each other.
pub const WRITE_CONNECTIONS: u32 = 4;
/// Connections a gateway holds.
pub const READ_CONNECTIONS: u32 = 8;
/// Longest that opening a connection may take, its handshake and the first answer on it included.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Longest that who reads waits for a connection, and for what takes the database no time: somebody waits for the answer,
/// and would rather know that there is none now. A connection that takes longer is opened all the same, for who comes next.
pub const READ_CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Longest that PostgreSQL may work on one statement of a writer.
pub const WRITE_STATEMENT_PATIENCE: Duration = Duration::from_secs(60);
/// Longest that PostgreSQL may work on one statement of a reader.
pub const READ_STATEMENT_PATIENCE: Duration = Duration::from_secs(10);
/// Longest whole read. What takes longer has lost its connection without being told, amid a statement: nobody can tell
/// that from a long one sooner.
pub const READ_PATIENCE: Duration = Duration::from_secs(15);
/// Longest that PostgreSQL keeps a transaction whose client says nothing. A stopped owner's locks are in
/// the way of its successor for no longer than this.
pub const IDLE_TRANSACTION_PATIENCE: Duration = Duration::from_secs(2);
/// Longest whole transaction. What takes longer has lost its connection without being told.
pub const TRANSACTION_PATIENCE: Duration = Duration::from_secs(120);
/// A connection to PostgreSQL that was idle for longer is asked whether it lives before it is used.
pub const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// Longest wait for another process that writes to the same SQLite file.
pub const SQLITE_BUSY_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for this process's own writer of a SQLite file, which a large batch may hold.
pub const SQLITE_WRITER_PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts to open a SQLite file that another process is making at this moment.
pub const SQLITE_NEW_FILE_PAUSE: Duration = Duration::from_millis(10);

/// Most writes in one group.
pub const MAX_GROUP: usize = 4_096;
/// Most rows in one page.
pub const MAX_PAGE_ROWS: u32 = 1_000;
/// Newest events of the log `system` among which a recovery looks for the one that says a status: a look at each of a
/// million would be waited for.
pub const LIFECYCLE_WITHIN: u64 = 1_000;
/// Most kinds that a page of events may be filtered by.
pub const MAX_KINDS: usize = 8;

/// Most rows that one step of retention removes, so that nobody waits long for it.
pub const PRUNE_ROWS: u32 = 5_000;
/// The same of checkpoints, which are large.
pub const PRUNE_CHECKPOINTS: u32 = 64;
/// Values in one statement to SQLite, well below what it takes.
pub(crate) const SQLITE_VALUES: usize = 2_000;

/// Take-overs of a simulation that are told apart, the present one among them.
pub const KEPT_EPOCHS: u32 = 8;

/// How long an idempotency key is kept.
pub const IDEMPOTENCY_AGE: Duration = Duration::from_secs(24 * 60 * 60);

const _: () = assert!(READ_CONNECT_PATIENCE.as_millis() < CONNECT_PATIENCE.as_millis());
const _: () = assert!(
    READ_PATIENCE.as_millis()
        > 2 * READ_CONNECT_PATIENCE.as_millis() + READ_STATEMENT_PATIENCE.as_millis()
);
const _: () = assert!(TRANSACTION_PATIENCE.as_millis() > WRITE_STATEMENT_PATIENCE.as_millis());
const _: () = assert!(SQLITE_WRITER_PATIENCE.as_millis() > SQLITE_BUSY_PATIENCE.as_millis());
// The least SQLite was ever built to take is 999; this build takes 32,766.
const _: () = assert!(SQLITE_VALUES <= 32_766);
