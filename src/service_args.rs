//! How an orchestrator keeps its simulations: the database, what is kept for how long, and how often.

use std::time::Duration;

use orchestrator::Config;
use orchestrator::limits::CUT_EVERY;
use orchestrator::service::Owned;
use store::Store;
use store::lease::SameAddress;
use store::retention::Retention;

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
            ..Config::default()
        }
    }

    /// The database, migrated and connected, for an orchestrator that has bound `port` of this machine:
    /// an owner of the same name and port is gone.
    ///
    /// # Errors
    /// What is wrong with the directory or the database.
    pub(crate) async fn open(&self, url: &str, port: u16) -> anyhow::Result<Owned> {
        if !self.no_migrate {
            store::migrate(url).await.map_err(of_database)?;
        }
        let store = Store::connect(url).await.map_err(of_database)?;
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

/// This machine's name, as its system has it.
fn host_name() -> anyhow::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(|error| wrong_input(format!("this machine has no name: {error}")))?;
    Ok(name.trim().to_owned())
}
