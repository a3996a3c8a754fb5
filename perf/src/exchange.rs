//! A tick's exchange of N entities over loopback, for every contestant in turn.
//!
//! The driver sends a tick's dispatch; the worker side, on a runtime and a thread of its own, answers
//! with the states of all entities. Contestants take turns in blocks of ticks, in an order that
//! rotates from round to round, so that a drift of the machine's speed touches all alike.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::cpu;
use crate::fleet::Fleet;
use crate::jitter;
use crate::message_each::{self, MessageEach};
use crate::packed::{self, Packed};
use crate::raw_tcp::{self, RawTcp};
use crate::report::{Contest, Report, Round};

/// Ticks before those that count, whenever a contestant's turn comes.
const WARM_UP_TICKS: u64 = 5;

/// What to measure.
#[derive(Args)]
#[command(after_help = "Example: cargo run --release -p perf -- exchange --entities 100000 --json")]
pub(crate) struct ExchangeArgs {
    /// Fleet sizes, one contest each.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    entities: Vec<u32>,
    /// Turns of every contestant.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Measured ticks of a turn.
    #[arg(long, default_value_t = 50)]
    ticks: u32,
    /// Rows of a partition: a frame, or a packed message, each.
    #[arg(long, default_value_t = 4096)]
    partition_rows: u32,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What one exchange gave.
pub(crate) struct Arrival {
    /// From sending the dispatch until every field of every entity can be loaded.
    pub(crate) readable: Duration,
    /// The same until every field of every entity was loaded once, for the checksum.
    pub(crate) read: Duration,
    /// Bytes of the answer before HTTP/2, TLS, QUIC or TCP add theirs.
    pub(crate) payload_bytes: u64,
    /// Checksum of what arrived.
    pub(crate) checksum: u64,
}

/// The driver's end of one contestant.
enum Contestant {
    MessageEach(MessageEach),
    Packed(Packed),
    RawTcp(RawTcp),
}

impl Contestant {
    fn name(&self) -> &'static str {
        match self {
            Contestant::MessageEach(_) => "grpc, message an entity",
            Contestant::Packed(_) => "grpc, packed columns",
            Contestant::RawTcp(_) => "raw tcp",
        }
    }

    async fn exchange(&mut self, tick: u64) -> anyhow::Result<Arrival> {
        match self {
            Contestant::MessageEach(each) => each.exchange(tick).await,
            Contestant::Packed(packed) => packed.exchange(tick).await,
            Contestant::RawTcp(raw) => raw.exchange(tick).await,
        }
    }
}

/// Measures and prints.
pub(crate) fn run(args: &ExchangeArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.rounds > 0 && args.ticks > 0,
        "rounds and ticks must be at least 1"
    );
    anyhow::ensure!(args.partition_rows > 0, "partition-rows must be at least 1");
    let jitter_ns = jitter::measure();
    let contests = args
        .entities
        .iter()
        .map(|&n| contest(args, n))
        .collect::<Result<_, _>>()?;
    let report = Report::new(&jitter_ns, contests);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn contest(args: &ExchangeArgs, entities: u32) -> anyhow::Result<Contest> {
    anyhow::ensure!(entities > 0, "entities must be at least 1");
    let fleet = Arc::new(Fleet::new(entities));
    let driver = runtime()?;
    let worker = WorkerSide::start()?;
    let rows = args.partition_rows as usize;
    driver.block_on(async {
        let mut contestants = enter(&worker.handle, &fleet, rows).await?;
        let mut rounds: Vec<Vec<Round>> = contestants.iter().map(|_| Vec::new()).collect();
        for round in 0..args.rounds as usize {
            for turn in 0..contestants.len() {
                let index = (round + turn) % contestants.len();
                let contestant = &mut contestants[index];
                let measured = take_turn(contestant, &fleet, args.ticks).await;
                rounds[index].push(measured.with_context(|| contestant.name())?);
            }
        }
        let names = contestants.iter().map(Contestant::name);
        Ok(Contest::new(entities, names.zip(rounds)))
    })
}

/// Starts every contestant's worker side and connects to it. Ours first: the others are compared to it.
async fn enter(
    worker: &Handle,
    fleet: &Arc<Fleet>,
    partition_rows: usize,
) -> anyhow::Result<Vec<Contestant>> {
    let f = fleet.clone();
    let raw = worker.spawn(raw_tcp::serve(f, partition_rows)).await??;
    let f = fleet.clone();
    let packed = worker
        .spawn(async move { packed::serve(&f, partition_rows) })
        .await??;
    let f = fleet.clone();
    let each = worker
        .spawn(async move { message_each::serve(f) })
        .await??;
    Ok(vec![
        Contestant::MessageEach(MessageEach::connect(each, fleet).await?),
        Contestant::Packed(Packed::connect(packed, fleet, partition_rows).await?),
        Contestant::RawTcp(RawTcp::connect(raw, fleet, partition_rows).await?),
    ])
}

async fn take_turn(
    contestant: &mut Contestant,
    fleet: &Fleet,
    ticks: u32,
) -> anyhow::Result<Round> {
    for tick in 0..WARM_UP_TICKS {
        contestant.exchange(tick).await?;
    }
    let mut round = Round::new();
    let (cpu, loopback) = (cpu::process_time(), cpu::loopback_bytes()?);
    for tick in WARM_UP_TICKS..WARM_UP_TICKS + u64::from(ticks) {
        let arrival = contestant.exchange(tick).await?;
        anyhow::ensure!(
            arrival.checksum == fleet.checksum(tick),
            "tick {tick}: what arrived is not what was sent"
        );
        round.record(&arrival);
    }
    round.cpu = (cpu::process_time() - cpu) / ticks;
    round.loopback_bytes = (cpu::loopback_bytes()? - loopback) / u64::from(ticks);
    Ok(round)
}

/// The worker side's runtime, on a thread of its own until dropped.
struct WorkerSide {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl WorkerSide {
    fn start() -> anyhow::Result<WorkerSide> {
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("worker-side".to_owned())
            .spawn(move || {
                // An error is the sender's drop, which ends it too.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(WorkerSide {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for WorkerSide {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the worker side never panics");
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// A latency histogram in ns, up to a minute, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    const MAX_NS: u64 = 60_000_000_000;
    Histogram::new_with_max(MAX_NS, 3).expect("three digits")
}
