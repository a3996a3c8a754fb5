//! The orchestrator's own settings. They change how a run is carried out, never what it computes.

use std::time::Duration;

/// Settings of the role.
#[derive(Clone, Debug)]
pub struct Config {
    /// Epoch of the lease on the database, in every frame; 1 while state is kept in memory.
    pub lease_epoch: u32,
    /// How often a worker says that it lives.
    pub heartbeat: Duration,
    /// A worker that has said nothing for this long is lost.
    pub heartbeat_timeout: Duration,
    /// A command applies this many ticks after the next one to be dispatched.
    pub command_lead_ticks: u64,
    /// One partition-tick in this many is computed a second time by another worker; 0 for none.
    pub verify_one_in: u64,
    /// How often all partitions are asked for a state of the same tick, which the store keeps; `None`
    /// without a store.
    pub cut_every: Option<Duration>,
    /// Most bytes of history that wait for the store, see [`MAX_BACKLOG_BYTES`](crate::limits::MAX_BACKLOG_BYTES).
    pub max_backlog_bytes: usize,
    /// Moves partitions while loads are uneven.
    pub rebalance: bool,
    /// Whether what is asked for is kept before it is done, and what happens is written down. Otherwise it is done
    /// at once and forgotten with this process.
    pub durable: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            lease_epoch: 1,
            heartbeat: Duration::from_secs(1),
            heartbeat_timeout: Duration::from_secs(5),
            command_lead_ticks: 1,
            verify_one_in: 1_000,
            cut_every: None,
            max_backlog_bytes: crate::limits::MAX_BACKLOG_BYTES,
            rebalance: true,
            durable: false,
        }
    }
}
