//! How an orchestrator keeps its simulations: the database, what is kept for how long, and how often.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use orchestrator::Config;
use orchestrator::limits::{CUT_EVERY, FIRST_BACK_OFF, MAX_BACK_OFF, MAX_BACKLOG_BYTES};
use orchestrator::standing::Standing;
use orchestrator::tenure::Owned;
use store::lease::SameAddress;
use store::retention::Retention;
use store::{Store, StoreError};
use tokio::sync::watch;

use crate::database_args::DatabaseArgs;
use crate::migrate::of_database;
use crate::value_parser::within;

/// Flags of whatever owns the database.
#[derive(clap::Args)]
#[command(next_help_heading = "State")]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Seconds between the states of a run that are kept, from which it is taken up again, 1 to
    /// 86400.
    #[arg(long, env = "AUTOFARM_CUT_EVERY", value_name = "SECONDS", default_value_t = CUT_EVERY.as_secs(),
        value_parser = within::<u64>(1..=86_400))]
    cut_every: u64,
    /// States of a run that are kept: the newest two, and older ones spread evenly over its past, 2 to
    /// 10000.
    #[arg(long, env = "AUTOFARM_KEEP_CUTS", value_name = "N", default_value_t = Retention::default().cuts as u64,
        value_parser = within::<u64>(2..=10_000))]
    keep_cuts: u64,
    /// Events of each log of a run that are kept, the newest.
    #[arg(long, env = "AUTOFARM_KEEP_EVENTS", value_name = "N", default_value_t = Retention::default().events,
        value_parser = within::<u64>(1..=u64::MAX))]
    keep_events: u64,
    /// Metric snapshots of a run that are kept, the newest; there is one a second.
    #[arg(long, env = "AUTOFARM_KEEP_METRICS", value_name = "N", default_value_t = Retention::default().metrics,
        value_parser = within::<u64>(1..=u64::MAX))]
    keep_metrics: u64,
    /// Digests of a run that are kept, the newest.
    #[arg(long, env = "AUTOFARM_KEEP_DIGESTS", value_name = "N", default_value_t = Retention::default().digests,
        value_parser = within::<u64>(1..=u64::MAX))]
    keep_digests: u64,
    /// MiB of history that wait in memory for a database that does not write; then runs are paused. 1 to
    /// 65536.
    #[arg(long, env = "AUTOFARM_MAX_HISTORY_BACKLOG", value_name = "MIB", default_value_t = (MAX_BACKLOG_BYTES >> 20) as u64,
        value_parser = within::<u64>(1..=65_536))]
    max_history_backlog: u64,
    /// One partition-tick in this many is computed by a second worker and compared; 0 for none.
    #[arg(long, env = "AUTOFARM_VERIFY_ONE_IN", value_name = "N", default_value_t = Config::default().verify_one_in,
        value_parser = within::<u64>(0..=u64::MAX))]
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

    /// The database, connected, for an orchestrator whose link or API is at `bound`, and which says in
    /// `standing` how it stands. One that is new gets its
    /// tables, and so does a file of an older build; a server's are migrated by `autofarm migrate`, for another
    /// orchestrator may be at work on them. A database that does not answer is waited for.
    ///
    /// # Errors
    /// What is wrong with the database.
    pub(crate) async fn open(
        &self,
        url: &str,
        bound: Bound,
        standing: watch::Sender<Standing>,
    ) -> anyhow::Result<Owned> {
        let mut pause = FIRST_BACK_OFF;
        let store = loop {
            match connect(url).await {
                Ok(store) => break store,
                Err(error) if error.is_worth_retrying() => {
                    tracing::warn!(%error, "waiting for the database");
                }
                Err(error) => return Err(of_database(error)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_BACK_OFF);
        };
        Ok(Owned {
            store,
            address: bound.name()?,
            same_address: SameAddress::TakesOver,
            standing,
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

/// Makes the tables where there are none or in a file, and connects.
async fn connect(url: &str) -> Result<Store, StoreError> {
    let schema = store::schema_status(url).await?;
    if schema.applied.is_empty() || url.starts_with("sqlite:") {
        store::migrate(url).await?;
    }
    Store::connect(url).await
}

/// A socket that this process has bound, and no other can have while it lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Of the link.
    Udp(SocketAddr),
    /// Of the API.
    Tcp(SocketAddr),
}

impl Bound {
    /// Names this process to people and to the lease. An owner of the same name is gone: the name tells the
    /// socket, the network namespace and the boot of the machine that it was bound in.
    fn name(self) -> anyhow::Result<String> {
        let (protocol, address) = match self {
            Bound::Udp(address) => ("udp", address),
            Bound::Tcp(address) => ("tcp", address),
        };
        let read = |path: &str| {
            std::fs::read_to_string(path)
                .map(|text| text.trim().to_owned())
                .with_context(|| format!("{path} cannot be read"))
        };
        let host = read("/proc/sys/kernel/hostname")?;
        let boot = read("/proc/sys/kernel/random/boot_id")?;
        let namespace = std::fs::read_link("/proc/self/ns/net")
            .context("the network namespace is not known")?;
        let place = format!("{protocol} {address} {boot} {}", namespace.display());
        Ok(format!(
            "{host}:{} ({:08x})",
            address.port(),
            crc32c::crc32c(place.as_bytes())
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_socket() {
        let name = |bound: Bound| bound.name().unwrap();
        let at = |text: &str| text.parse().unwrap();
        let first = name(Bound::Udp(at("127.0.0.1:7400")));
        assert_eq!(first, name(Bound::Udp(at("127.0.0.1:7400"))));
        for other in [
            Bound::Tcp(at("127.0.0.1:7400")),
            Bound::Udp(at("127.0.0.2:7400")),
            Bound::Udp(at("0.0.0.0:7400")),
            Bound::Udp(at("127.0.0.1:7401")),
        ] {
            assert_ne!(first, name(other), "{other:?}");
        }
    }
}
