//! How an orchestrator stands with its database, for whoever looks at it from outside: one that stands by lives, but is
//! not ready.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How an orchestrator stands with its database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It has not heard of its database yet.
    #[default]
    Waiting,
    /// The database is another orchestrator's.
    StandingBy {
        /// Where that one is.
        owner: String,
        /// The epoch of its lease.
        epoch: u32,
    },
    /// The database is its own, and what it holds is taken up.
    TakingUp {
        /// The epoch of its lease.
        epoch: u32,
    },
    /// The database is its own, and it serves.
    Owning {
        /// The epoch of its lease.
        epoch: u32,
    },
    /// It serves without a database.
    Alone,
}

impl Standing {
    /// Whether it serves.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Standing::Waiting => Err("it waits for the database".to_owned()),
            Standing::StandingBy { owner, epoch } => Err(format!(
                "it stands by: the orchestrator at {owner} owns the database, with epoch {epoch}"
            )),
            Standing::TakingUp { epoch } => Err(format!(
                "the database is its own, with epoch {epoch}; what that holds is taken up"
            )),
            Standing::Owning { .. } | Standing::Alone => Ok(()),
        }
    }

    /// The newest epoch of a lease that is known; 0 for none.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        match *self {
            Standing::Waiting | Standing::Alone => 0,
            Standing::StandingBy { epoch, .. }
            | Standing::TakingUp { epoch }
            | Standing::Owning { epoch } => epoch,
        }
    }

    /// Whether the database is its own.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(self, Standing::TakingUp { .. } | Standing::Owning { .. })
    }

    /// It as a metrics page, in the OpenMetrics text format.
    ///
    /// # Panics
    /// Never: writing to a string does not fail.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("autofarm_orchestrator");
        let of = |value: i64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            gauge
        };
        let help = "1 while the database is this orchestrator's, 0 while it stands by or waits";
        registry.register("owner", help, of(self.is_owner().into()));
        let help = "Newest epoch of a lease that is known, its own or another's";
        registry.register("lease_epoch", help, of(self.epoch().into()));
        let mut page = String::new();
        encode(&mut page, &registry).expect("writing to a string does not fail");
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stands_by_says_for_whom_and_is_not_ready() {
        let standing = Standing::StandingBy {
            owner: "farm:7400".to_owned(),
            epoch: 7,
        };
        let why = standing.ready().unwrap_err();
        assert!(
            why.contains("stands by") && why.contains("farm:7400"),
            "{why}"
        );
        let page = standing.metrics();
        assert!(page.contains("\nautofarm_orchestrator_owner 0\n"), "{page}");
        assert!(
            page.contains("\nautofarm_orchestrator_lease_epoch 7\n"),
            "{page}"
        );
        let owner = Standing::Owning { epoch: 8 };
        assert_eq!(owner.ready(), Ok(()));
        let page = owner.metrics();
        assert!(page.contains("\nautofarm_orchestrator_owner 1\n"), "{page}");
        assert!(
            page.contains("\nautofarm_orchestrator_lease_epoch 8\n"),
            "{page}"
        );
    }
}
