//! A database of a test's own, in either form.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Which database the service keeps its state in.
pub(crate) enum Database {
    /// A file in the directory.
    Sqlite(tempfile::TempDir),
    /// A database of the server that `.ci/test` starts; dropped with this.
    Postgres { server: String, name: String },
}

impl Database {
    /// A new file.
    pub(crate) fn sqlite() -> Database {
        Database::Sqlite(tempfile::tempdir().expect("a directory"))
    }

    /// A new database on the server for tests.
    pub(crate) fn postgres() -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("AUTOFARM_TEST_POSTGRES_URL").expect(
            "AUTOFARM_TEST_POSTGRES_URL names a PostgreSQL for tests; .ci/test starts one and sets it",
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("service_{}_{number}", std::process::id());
        psql(&server, &format!("create database {name}"));
        Database::Postgres { server, name }
    }

    /// As `--database-url` takes it.
    pub(crate) fn url(&self) -> String {
        match self {
            Database::Sqlite(directory) => {
                format!("sqlite:{}", directory.path().join("autofarm.db").display())
            }
            Database::Postgres { server, name } => {
                let (before, _) = server.rsplit_once('/').expect("a URL with a database");
                format!("{before}/{name}")
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Database::Postgres { server, name } = self {
            psql(server, &format!("drop database {name} with (force)"));
        }
    }
}

/// Runs a statement.
pub(crate) fn psql(url: &str, statement: &str) -> String {
    let output = Command::new("psql")
        .args([
            "--no-psqlrc",
            "-qtA",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
            url,
        ])
        .output()
        .expect("psql starts; .ci/test installs it");
    assert!(
        output.status.success(),
        "{statement}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
