//! How an orchestrator keeps its simulations: the database, what is kept for how long, and how often.

use std::time::Duration;

use orchestrator::Config;
use orchestrator::limits::{CUT_EVERY, FIRST_BACK_OFF, MAX_BACK_OFF, MAX_BACKLOG_BYTES};
use orchestrator::service::Owned;
use store::lease::SameAddress;
use store::retention::Retention;
use store::{Store, StoreError};

use crate::database_args::DatabaseArgs;
use crate::failure::wrong_input;
use crate::migrate::of_database;

/// Flags of whatever owns the database.
#[derive(clap::Args)]
#[command(next_help_heading = "State")]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Refuse a database whose schema is older than this build, in place of migrating it.
    #[arg(long, env = "AUTOFARM_NO_MIGRATE")]
    no_migrate: bool,
    /// Seconds between the states of a run that are kept, from which it is taken up again.
    #[arg(long, env = "AUTOFARM_CUT_EVERY", value_name = "SECONDS", default_value_t = CUT_EVERY.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    cut_every: u64,
    /// States of a run that are kept: the newest two, and older ones spread evenly over its past.
    #[arg(long, env = "AUTOFARM_KEEP_CUTS", value_name = "N", default_value_t = Retention::default().cuts as u64,
        value_parser = clap::value_parser!(u64).range(2..=10_000))]
    keep_cuts: u64,
    /// Events of each log of a run that are kept.
    #[arg(long, env = "AUTOFARM_KEEP_EVENTS", value_name = "N", default_value_t = Retention::default().events,
        value_parser = clap::value_parser!(u64).range(1..))]
    keep_events: u64,
    /// Metric snapshots of a run that are kept; there is one a second.
    #[arg(long, env = "AUTOFARM_KEEP_METRICS", value_name = "N", default_value_t = Retention::default().metrics,
        value_parser = clap::value_parser!(u64).range(1..))]
    keep_metrics: u64,
    /// Digests of a run that are kept.
    #[arg(long, env = "AUTOFARM_KEEP_DIGESTS", value_name = "N", default_value_t = Retention::default().digests,
        value_parser = clap::value_parser!(u64).range(1..))]
    keep_digests: u64,
    /// MiB of history that wait in memory for a database that does not write; then runs are paused.
    #[arg(long, env = "AUTOFARM_MAX_HISTORY_BACKLOG", value_name = "MIB", default_value_t = (MAX_BACKLOG_BYTES >> 20) as u64,
        value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_history_backlog: u64,
    /// One partition-tick in this many is computed by a second worker and compared; 0 for none.
    #[arg(long, env = "AUTOFARM_VERIFY_ONE_IN", value_name = "N", default_value_t = Config::default().verify_one_in)]
    verify_one_in: u64,
}

impl ServiceArgs {
    /// The orchestrator's settings.
    pub(crate) fn config(&self) -> Config {
        Config {
            verify_one_in: self.verify_one_in,
            cut_every: Some(Duration::from_secs(self.cut_every)),
            max_backlog_bytes: usize::try_from(self.max_history_backlog << 20)
                .unwrap_or(usize::MAX),
            ..Config::default()
        }
    }

    /// The database, migrated and connected, for an orchestrator that has bound `port` of this machine:
    /// an owner of the same name and port is gone. A database that does not answer is waited for.
    ///
    /// # Errors
    /// What is wrong with the directory or the database.
    pub(crate) async fn open(&self, url: &str, port: u16) -> anyhow::Result<Owned> {
        let store = self.connect(url).await?;
        Ok(Owned {
            store,
            address: format!("{}:{port}", host_name()?),
            same_address: SameAddress::TakesOver,
            retention: Retention {
                events: self.keep_events,
                metrics: self.keep_metrics,
                digests: self.keep_digests,
                cuts: usize::try_from(self.keep_cuts)?,
                ..Retention::default()
            },
        })
    }
}

impl ServiceArgs {
    async fn connect(&self, url: &str) -> anyhow::Result<Store> {
        let mut pause = FIRST_BACK_OFF;
        loop {
            match self.try_to_connect(url).await {
                Ok(store) => return Ok(store),
                Err(error) if error.is_worth_retrying() => {
                    tracing::warn!(%error, "waiting for the database");
                }
                Err(error) => return Err(of_database(error)),
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(MAX_BACK_OFF);
        }
    }

    async fn try_to_connect(&self, url: &str) -> Result<Store, StoreError> {
        if !self.no_migrate {
            store::migrate(url).await?;
        }
        Store::connect(url).await
    }
}

/// This machine's name, as its system has it.
fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(|error| wrong_input(format!("this machine has no name: {error}")))?;
    Ok(name.trim().to_owned())
}
