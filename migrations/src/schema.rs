//! The schema: which migrations a database has, and applying those it lacks.

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _};

use crate::error::StoreError;
use crate::limits::{CONNECT_PATIENCE, SQLITE_NEW_FILE_PAUSE, SQLITE_WRITER_PATIENCE};
use crate::session::within;
use crate::url::{DatabaseUrl, SqliteFile};
use crate::{postgres, sqlite};

/// A migration: its version, what it does, and its statements for PostgreSQL and SQLite.
type Step = (i64, &'static str, &'static str, &'static str);

/// Every migration, in order. One that was released is never changed.
const STEPS: &[Step] = &[(
    1,
    "initial",
    include_str!("../postgres/0001_initial.sql"),
    include_str!("../sqlite/0001_initial.sql"),
)];

/// Where the drivers' migrator keeps what it has applied.
const TABLE: &str = "_sqlx_migrations";

/// How a database's schema compares with this build's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// Versions that are applied, ascending.
    pub applied: Vec<i64>,
    /// Versions that this build would apply, with what they do.
    pub pending: Vec<(i64, &'static str)>,
    /// A version that is applied and that this build does not know: it is of a newer one.
    pub newer: Option<i64>,
}

impl SchemaStatus {
    fn compare(applied: &[AppliedMigration]) -> SchemaStatus {
        let mut applied: Vec<i64> = applied.iter().map(|step| step.version).collect();
        applied.sort_unstable();
        let pending = STEPS
            .iter()
            .filter(|step| !applied.contains(&step.0))
            .map(|step| (step.0, step.1))
            .collect();
        let newer = applied
            .iter()
            .copied()
            .filter(|version| STEPS.iter().all(|step| step.0 != *version))
            .max();
        SchemaStatus {
            applied,
            pending,
            newer,
        }
    }

    /// Whether this build can work with it.
    ///
    /// # Errors
    /// [`StoreError::SchemaNewer`] and [`StoreError::SchemaOlder`].
    pub fn check(&self) -> Result<(), StoreError> {
        self.check_not_newer()?;
        match self.pending.len() {
            0 => Ok(()),
            pending => Err(StoreError::SchemaOlder { pending }),
        }
    }

    fn check_not_newer(&self) -> Result<(), StoreError> {
        match self.newer {
            None => Ok(()),
            Some(found) => Err(StoreError::SchemaNewer {
                found,
                known: STEPS.last().map_or(0, |step| step.0),
            }),
        }
    }
}

/// How the schema of the database at a URL compares with this build's. Changes nothing.
///
/// # Errors
/// [`StoreError`]; a SQLite file that is not there is no error and has nothing applied.
pub async fn schema_status(url: &str) -> Result<SchemaStatus, StoreError> {
    status_of(&DatabaseUrl::parse(url)?).await
}

pub(crate) async fn status_of(url: &DatabaseUrl) -> Result<SchemaStatus, StoreError> {
    match url {
        DatabaseUrl::Postgres(options) => {
            within(CONNECT_PATIENCE, async {
                let mut connection = postgres::quiet((**options).clone()).connect().await?;
                let tables = sqlx::query_scalar(POSTGRES_HAS_TABLE)
                    .fetch_one(&mut connection)
                    .await?;
                let status = status(&mut connection, tables).await;
                connection.close().await?;
                status
            })
            .await
        }
        DatabaseUrl::Sqlite(file) if !file.path.exists() => Ok(SchemaStatus::compare(&[])),
        DatabaseUrl::Sqlite(file) => {
            let mut connection = sqlite::reading(file).connect().await?;
            let tables = sqlx::query_scalar(SQLITE_HAS_TABLE)
                .fetch_one(&mut connection)
                .await?;
            let status = status(&mut connection, tables).await;
            connection.close().await?;
            status
        }
    }
}

const POSTGRES_HAS_TABLE: &str = "SELECT count(*) FROM pg_tables WHERE tablename = '_sqlx_migrations' AND schemaname = ANY (current_schemas(false))";
const SQLITE_HAS_TABLE: &str =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";

/// Compares, where the migrator's table is there.
async fn status(connection: &mut impl Migrate, tables: i64) -> Result<SchemaStatus, StoreError> {
    if tables == 0 {
        return Ok(SchemaStatus::compare(&[]));
    }
    let applied = connection.list_applied_migrations(TABLE).await;
    Ok(SchemaStatus::compare(&applied.map_err(migration_error)?))
}

/// Applies every migration that the database at a URL lacks; makes the file, if it is one and not there. Its directory must be
/// there. Two that do this at once do it after each other. What was applied before comes back.
///
/// # Errors
/// [`StoreError::SchemaNewer`] before anything is changed; [`StoreError`] otherwise.
pub async fn migrate(url: &str) -> Result<SchemaStatus, StoreError> {
    let url = DatabaseUrl::parse(url)?;
    let before = status_of(&url).await?;
    before.check_not_newer()?;
    if before.pending.is_empty() {
        return Ok(before);
    }
    match &url {
        DatabaseUrl::Postgres(options) => {
            within(CONNECT_PATIENCE * 12, async {
                let mut connection = postgres::quiet((**options).clone()).connect().await?;
                let migrated = migrator(|step| step.2)
                    .run_direct(None, &mut connection, false)
                    .await;
                connection.close().await?;
                migrated.map_err(migration_error)
            })
            .await?;
        }
        DatabaseUrl::Sqlite(file) => {
            within(SQLITE_WRITER_PATIENCE, async {
                let mut connection = new_file(file).await?;
                // The migrator itself keeps nobody away from a file.
                let mut alone = connection.begin_with("BEGIN IMMEDIATE").await?;
                migrator(|step| step.3)
                    .run_direct(None, &mut *alone, false)
                    .await
                    .map_err(migration_error)?;
                alone.commit().await?;
                connection.close().await?;
                Ok(())
            })
            .await?;
        }
    }
    Ok(before)
}

/// Opens a file to migrate it, and makes it if it is not there.
async fn new_file(file: &SqliteFile) -> Result<SqliteConnection, StoreError> {
    sqlite::make(file)?;
    let options = sqlite::options(file);
    loop {
        match options.connect().await {
            // While another makes a log of the same file for the first time, SQLite does not wait for it but says so at once.
            Err(sqlx::Error::Database(told)) if sqlite::is_busy(&*told) => {
                tokio::time::sleep(SQLITE_NEW_FILE_PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
}

fn migrator(sql: impl Fn(&Step) -> &'static str) -> Migrator {
    Migrator::with_migrations(
        STEPS
            .iter()
            .map(|step| {
                Migration::new(
                    step.0,
                    step.1.into(),
                    MigrationType::Simple,
                    sql(step).into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        error => StoreError::Migration(error),
    }
}
