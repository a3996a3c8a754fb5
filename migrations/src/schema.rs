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

/// A migration's statements for one of the two databases.
type Text = fn(&Step) -> &'static str;

const POSTGRES_TEXT: Text = |step| step.2;
const SQLITE_TEXT: Text = |step| step.3;

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
    /// The first version that is applied with other statements than this build's, with what it does here: a build
    /// under development made it.
    pub altered: Option<(i64, &'static str)>,
}

impl SchemaStatus {
    fn compare(found: &[AppliedMigration], text: Text) -> SchemaStatus {
        let mut applied: Vec<i64> = found.iter().map(|step| step.version).collect();
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
        let is_altered = |step: &&Step| {
            let known = migration(step, text);
            let same_version = found.iter().find(|found| found.version == step.0);
            same_version.is_some_and(|found| found.checksum != known.checksum)
        };
        let altered = STEPS.iter().find(is_altered);
        SchemaStatus {
            applied,
            pending,
            newer,
            altered: altered.map(|step| (step.0, step.1)),
        }
    }

    /// Whether this build can work with it.
    ///
    /// # Errors
    /// [`StoreError::SchemaNewer`], [`StoreError::SchemaAltered`] and [`StoreError::SchemaOlder`].
    pub fn check(&self) -> Result<(), StoreError> {
        self.check_applied()?;
        match self.pending.len() {
            0 => Ok(()),
            pending => Err(StoreError::SchemaOlder { pending }),
        }
    }

    /// Whether all that is applied is this build's, so that it can apply what is pending.
    ///
    /// # Errors
    /// [`StoreError::SchemaNewer`] and [`StoreError::SchemaAltered`].
    pub fn check_applied(&self) -> Result<(), StoreError> {
        if let Some(found) = self.newer {
            let known = STEPS.last().map_or(0, |step| step.0);
            return Err(StoreError::SchemaNewer { found, known });
        }
        match self.altered {
            None => Ok(()),
            Some((version, what)) => Err(StoreError::SchemaAltered { version, what }),
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
                let status = status(&mut connection, tables, POSTGRES_TEXT).await;
                connection.close().await?;
                status
            })
            .await
        }
        DatabaseUrl::Sqlite(file) if !file.path.exists() => {
            Ok(SchemaStatus::compare(&[], SQLITE_TEXT))
        }
        DatabaseUrl::Sqlite(file) => {
            let mut connection = sqlite::reading(file).connect().await?;
            let tables = sqlx::query_scalar(SQLITE_HAS_TABLE)
                .fetch_one(&mut connection)
                .await?;
            let status = status(&mut connection, tables, SQLITE_TEXT).await;
            connection.close().await?;
            status
        }
    }
}

const POSTGRES_HAS_TABLE: &str = "SELECT count(*) FROM pg_tables WHERE tablename = '_sqlx_migrations' AND schemaname = ANY (current_schemas(false))";
const SQLITE_HAS_TABLE: &str =
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";

/// Compares, where the migrator's table is there.
async fn status(
    connection: &mut impl Migrate,
    tables: i64,
    text: Text,
) -> Result<SchemaStatus, StoreError> {
    if tables == 0 {
        return Ok(SchemaStatus::compare(&[], text));
    }
    let applied = connection.list_applied_migrations(TABLE).await;
    let applied = applied.map_err(migration_error)?;
    Ok(SchemaStatus::compare(&applied, text))
}

/// Applies every migration that the database at a URL lacks; makes the file, if it is one and not there. Its directory must be
/// there. Two that do this at once do it after each other. What was applied before comes back.
///
/// # Errors
/// [`StoreError::SchemaNewer`] and [`StoreError::SchemaAltered`] before anything is changed; [`StoreError`]
/// otherwise.
pub async fn migrate(url: &str) -> Result<SchemaStatus, StoreError> {
    let url = DatabaseUrl::parse(url)?;
    let before = status_of(&url).await?;
    before.check_applied()?;
    if before.pending.is_empty() {
        return Ok(before);
    }
    match &url {
        DatabaseUrl::Postgres(options) => {
            within(CONNECT_PATIENCE * 12, async {
                let mut connection = postgres::quiet((**options).clone()).connect().await?;
                let migrated = migrator(POSTGRES_TEXT)
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
                migrator(SQLITE_TEXT)
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

fn migrator(text: Text) -> Migrator {
    let all = STEPS.iter().map(|step| migration(step, text));
    Migrator::with_migrations(all.collect())
}

fn migration(step: &Step, text: Text) -> Migration {
    let sql = text(step).into_sql_str();
    Migration::new(step.0, step.1.into(), MigrationType::Simple, sql, false)
}

fn migration_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        error => StoreError::Migration(error),
    }
}
