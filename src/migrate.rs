//! `autofarm migrate`: shows how the database's schema compares with this build's, and mends it.

use std::process::ExitCode;

use store::StoreError;

use crate::database_args::DatabaseArgs;
use crate::failure::wrong_input;
use crate::standard_output::tell;

/// Flags of `autofarm migrate`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
    autofarm migrate --database-url postgres://farm@db/farm --apply\n\n\
    Without --apply it only shows. Exit code 0: nothing is pending; 1: something is, or it failed.\n\
    Stop every orchestrator of an older build first; gateways of an older build refuse the new schema.")]
pub(crate) struct Migrate {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Apply what is pending.
    #[arg(long)]
    apply: bool,
}

impl Migrate {
    /// Shows, and applies if it was asked to.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.carry_out())
    }

    async fn carry_out(&self) -> anyhow::Result<ExitCode> {
        let url = if self.apply {
            self.database.prepare()?
        } else {
            self.database.url()?.0
        };
        let before = store::schema_status(&url).await.map_err(of_database)?;
        for version in &before.applied {
            tell(format!("{version:04} applied\n"))?;
        }
        before.check_applied().map_err(of_database)?;
        for (version, what) in &before.pending {
            tell(format!("{version:04} pending: {what}\n"))?;
        }
        if before.pending.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if !self.apply {
            tell("run it with --apply to apply what is pending\n")?;
            return Ok(ExitCode::FAILURE);
        }
        store::migrate(&url).await.map_err(of_database)?;
        tell(format!("applied {}\n", before.pending.len()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// An error of the database as the command line tells it: what is wrong with the URL is wrong input.
pub(crate) fn of_database(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Url(error) => wrong_input(format!("database-url: {error}")),
        StoreError::NotWritable(_) | StoreError::Denied(_) => {
            wrong_input(format!("database-url: {error}"))
        }
        other => other.into(),
    }
}
