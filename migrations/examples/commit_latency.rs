//! How long a commit takes: `cargo run --release -p store --example commit_latency -- URL`.
//!
//! The database must be empty and lasts as long as whoever made it wishes. Two lines come of it: commands committed one by one,
//! and in groups of a hundred. A command's lead must cover twice the first one's p99.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use kernel::command::Action;
use kernel::config::{Scenario, SimulationConfig};
use store::Store;
use store::lease::{Acquired, Lease, SameAddress};
use store::write::{Change, State, Write};
use transport::control::{
    Cause, CommandRequest, CommandStamp, LatePolicy, SimulationId, Spec, Speed, Status, Target,
};

const SIMULATION: SimulationId = SimulationId(1);
/// Commits a line.
const COMMITS: u64 = 1_000;
/// Writes of a large group.
const GROUP: u64 = 100;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .context("usage: commit_latency URL")?;
    store::migrate(&url).await?;
    let store = Store::connect(&url).await?;
    let minute = Duration::from_secs(60);
    let Acquired::Owned(lease) = store
        .acquire("here", minute, SameAddress::TakesOver)
        .await?
    else {
        anyhow::bail!("somebody else owns the database");
    };
    let mut id = 1;
    store
        .commit(
            &lease,
            &[Write {
                id,
                guard: None,
                change: create(),
            }],
        )
        .await?;
    for group in [1, GROUP] {
        let latency_us = measure(&store, &lease, group, &mut id).await?;
        println!(
            "{group:>3} commands a commit: p50 {} us, p99 {} us, max {} us",
            latency_us.value_at_quantile(0.5),
            latency_us.value_at_quantile(0.99),
            latency_us.max(),
        );
    }
    store.release(&lease).await?;
    Ok(())
}

async fn measure(
    store: &Store,
    lease: &Lease,
    group: u64,
    id: &mut u64,
) -> anyhow::Result<Histogram<u64>> {
    let mut latency_us = Histogram::new(3)?;
    for _ in 0..COMMITS {
        let writes: Vec<Write> = (0..group)
            .map(|_| {
                *id += 1;
                Write {
                    id: *id,
                    guard: None,
                    change: command(*id),
                }
            })
            .collect();
        let began = Instant::now();
        store.commit(lease, &writes).await?;
        latency_us.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    Ok(latency_us)
}

fn create() -> Change {
    Change::Create {
        spec: Spec {
            id: SIMULATION,
            name: "latency".to_owned(),
            config: SimulationConfig {
                scenario: Scenario::Weeding.code(),
                entities: 1,
                tick_ms: 20,
                seed: 1,
                partition_rows: 8,
            },
            speed: Speed::REAL,
            max_ticks: None,
            digest_every: 50,
            late: LatePolicy::Dilate,
            parent: None,
        },
        state: State {
            status: Status::Running,
            cause: Cause::Requested,
            name: "latency".to_owned(),
            speed: Speed::REAL,
            step_until: None,
            created_at_us: 0,
            started_at_us: None,
            ended_at_us: None,
        },
    }
}

fn command(seq: u64) -> Change {
    Change::Command {
        simulation: SIMULATION,
        stamp: CommandStamp { seq, tick: seq },
        request: CommandRequest {
            target: Target::Entity(1),
            action: Action::Goto {
                x_mm: 1_500,
                y_mm: -2_000,
            },
            tick: None,
        },
        token: 0,
        at_us: 0,
    }
}
