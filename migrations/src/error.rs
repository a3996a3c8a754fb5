//! What goes wrong with a database, told apart by what to do about it.

use std::time::Duration;

use sqlx::error::DatabaseError;
use transport::control::SimulationId;

/// Why something was not kept or not read. No text of it holds a password; each holds its cause, which is therefore
/// no source of it: who prints an error with its sources would print the cause again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or not now: trying again is right. A write that ended so may have
    /// been committed; written again as it is, it changes nothing more.
    #[error("the database does not answer: {0}")]
    Unavailable(Outage),
    /// It has no room: trying again is right once there is some.
    #[error("the database has no room: {0}")]
    DiskFull(sqlx::Error),
    /// Another orchestrator owns the database. Nothing was written.
    #[error("the lease of epoch {epoch} is lost: another orchestrator owns the database")]
    LeaseLost {
        /// Epoch of the lease that is no longer one.
        epoch: u32,
    },
    /// A newer build has changed the tables.
    #[error(
        "the database's schema is version {found}, and this build knows up to {known}: use the newer build"
    )]
    SchemaNewer {
        /// Newest version that is applied.
        found: i64,
        /// Newest version that this build knows.
        known: i64,
    },
    /// The tables are older than this build.
    #[error(
        "the database's schema lacks {pending} migration{}: run `autofarm migrate --apply` or start the orchestrator",
        if *pending == 1 { "" } else { "s" }
    )]
    SchemaOlder {
        /// How many are to be applied.
        pending: usize,
    },
    /// A migration was applied with other statements than this build has for it.
    #[error(
        "migration {version:04} ({what}) of the database differs from this build's: a build under development made it; start with an empty database, or use the build that made this one"
    )]
    SchemaAltered {
        /// Its version.
        version: i64,
        /// What it does in this build.
        what: &'static str,
    },
    /// A migration failed.
    #[error("migrating failed: {0}")]
    Migration(sqlx::migrate::MigrateError),
    /// A row that this build cannot make sense of.
    #[error("table {table}: row {key} cannot be read by this build")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The row's key.
        key: RowKey,
    },
    /// A simulation whose only way back is a replay, created by a kernel that computes otherwise.
    #[error(
        "simulation {simulation} was created by kernel version {found}, has no cut that this build can use, and this build's kernel is version {known}"
    )]
    OtherKernel {
        /// Which.
        simulation: SimulationId,
        /// Version that created it.
        found: u32,
        /// Version of this build.
        known: u32,
    },
    /// The file is damaged, or is no database.
    #[error("the database is damaged: {0}")]
    Damaged(sqlx::Error),
    /// The file or its directory cannot be opened or written, or the server takes no writes.
    #[error("the database cannot be written: {0}")]
    NotWritable(sqlx::Error),
    /// The server knows no such user, password or database.
    #[error("the database lets nobody in under this URL: {0}")]
    Denied(sqlx::Error),
    /// What was given is no URL of a database.
    #[error(transparent)]
    Url(#[from] crate::url::UrlError),
    /// The database refused a statement: a fault of this build.
    #[error("the database refused a statement: {0}")]
    Refused(sqlx::Error),
}

/// Why a database does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// The driver, or the database through it, says so.
    #[error(transparent)]
    Driver(sqlx::Error),
    /// It took too long.
    #[error("no answer in {} s", .0.as_secs())]
    TimedOut(Duration),
    /// There is no such file yet.
    #[error("its file is not there yet")]
    NoFile,
    /// The task that worked on it ended before its time.
    #[error("the task that worked on it was ended")]
    TaskEnded,
}

/// Key of a row, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// Whose row; `None` where it is nobody's, or the id itself is what cannot be read.
    pub simulation: Option<SimulationId>,
    /// Tick, seq, entity or number of the row in its table; 0 where the simulation is all there is.
    pub number: i64,
}

impl std::fmt::Display for RowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.simulation {
            Some(simulation) => write!(f, "{simulation}/{}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing the program.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::DiskFull(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(told) => match sort(told.as_ref()) {
                Sort::Unavailable => StoreError::Unavailable(Outage::Driver(error)),
                Sort::DiskFull => StoreError::DiskFull(error),
                Sort::Damaged => StoreError::Damaged(error),
                Sort::NotWritable => StoreError::NotWritable(error),
                Sort::Denied => StoreError::Denied(error),
                Sort::Refused => StoreError::Refused(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => StoreError::Unavailable(Outage::Driver(error)),
            _ => StoreError::Refused(error),
        }
    }
}

/// What a database's own error means to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Unavailable,
    DiskFull,
    Damaged,
    NotWritable,
    Denied,
    Refused,
}

fn sort(told: &dyn DatabaseError) -> Sort {
    let code = told.code().unwrap_or_default();
    // A SQLSTATE always has five characters; SQLite's extended codes have at most four digits.
    if code.len() == 5 {
        sort_sqlstate(&code)
    } else {
        sort_sqlite(code.parse().unwrap_or(0))
    }
}

fn sort_sqlstate(code: &str) -> Sort {
    match code {
        // disk_full
        "53100" => Sort::DiskFull,
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => Sort::Damaged,
        // read_only_sql_transaction: a server that stands by for another
        "25006" => Sort::NotWritable,
        // The user, its password, its rights, or the database's name.
        "3D000" | "42501" => Sort::Denied,
        // lock_not_available, query_canceled by a timeout, idle_in_transaction_session_timeout, io_error
        "55P03" | "57014" | "25P03" | "58030" => Sort::Unavailable,
        _ => match &code[..2] {
            "28" => Sort::Denied,
            // Connections, resources, the operator's intervention, serialisation.
            "08" | "53" | "57" | "40" => Sort::Unavailable,
            _ => Sort::Refused,
        },
    }
}

fn sort_sqlite(extended: i32) -> Sort {
    match extended & 0xff {
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_IOERR, SQLITE_PROTOCOL
        5 | 6 | 10 | 15 => Sort::Unavailable,
        // SQLITE_FULL
        13 => Sort::DiskFull,
        // SQLITE_CORRUPT, SQLITE_NOTADB
        11 | 26 => Sort::Damaged,
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN
        3 | 8 | 14 => Sort::NotWritable,
        // SQLITE_AUTH
        23 => Sort::Denied,
        _ => Sort::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        for (code, expected) in [
            ("53100", Sort::DiskFull),
            ("53300", Sort::Unavailable),
            ("57P01", Sort::Unavailable),
            ("57P03", Sort::Unavailable),
            ("28P01", Sort::Denied),
            ("3D000", Sort::Denied),
            ("25006", Sort::NotWritable),
            ("23505", Sort::Refused),
            ("XX001", Sort::Damaged),
        ] {
            assert_eq!(sort_sqlstate(code), expected, "{code}");
        }
        for (code, expected) in [
            (13, Sort::DiskFull),
            (517, Sort::Unavailable),
            (8, Sort::NotWritable),
            (776, Sort::NotWritable),
            (14, Sort::NotWritable),
            (11, Sort::Damaged),
            (26, Sort::Damaged),
            (1_555, Sort::Refused),
        ] {
            assert_eq!(sort_sqlite(code), expected, "{code}");
        }
    }
}
