//! A tick's exchange of N entities over loopback, for every contestant in turn.
//!
//! The driver sends a tick's dispatch; the worker side, on a runtime and a thread of its own, answers
//! with the states of all entities. Contestants take turns in blocks of ticks, in an order that
//! rotates from round to round, so that a drift of the machine's speed touches all alike.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, ValueEnum, value_parser};
use hdrhistogram::Histogram;
use kernel::config::{
    DEFAULT_PARTITION_ROWS, MAX_ENTITIES, MAX_PARTITION_ROWS, MIN_PARTITION_ROWS,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use transport::certs::{self, CertBundle};

use crate::cpu;
use crate::fleet::Fleet;
use crate::jitter;
use crate::message_each::{self, MessageEach};
use crate::ours::{Listening, Ours};
use crate::packed::{self, Packed};
use crate::raw_tcp::{self, RawTcp};
use crate::report::{Contest, Report, Round};

/// Ticks before those that count, whenever a contestant's turn comes.
const WARM_UP_TICKS: u64 = 5;

/// What to measure.
#[derive(Args)]
#[command(after_help = "\
Every contestant carries the same fields of the same machines, and every answer is checked. Both sides
run in this process, each on a thread and a runtime of its own, over loopback.

Examples:
  cargo run --release -p perf -- exchange
  cargo run --release -p perf -- exchange --entities 100000 --contestants ours,packed-tls --json")]
pub(crate) struct ExchangeArgs {
    /// Fleet sizes, one contest each.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000,10000,100000",
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_ENTITIES))
    )]
    entities: Vec<u32>,
    /// Turns of every contestant.
    #[arg(long, default_value_t = 15, value_parser = value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Measured ticks of a turn.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=100_000))]
    ticks: u32,
    /// Rows of a partition: a frame, or a packed message, each.
    #[arg(
        long,
        default_value_t = DEFAULT_PARTITION_ROWS,
        value_parser = value_parser!(u32)
            .range(i64::from(MIN_PARTITION_ROWS)..=i64::from(MAX_PARTITION_ROWS))
    )]
    partition_rows: u32,
    /// Contestants, at least one; ratios are to the first.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Name::ALL)]
    contestants: Vec<Name>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Our frames over our QUIC link, with its mutual TLS.
    Ours,
    /// gRPC, a message an entity, with mutual TLS.
    MessageEachTls,
    /// gRPC, a message of packed columns a partition, with mutual TLS.
    PackedTls,
    /// gRPC, a message an entity, in plain text.
    MessageEach,
    /// gRPC, a message of packed columns a partition, in plain text.
    Packed,
    /// The bytes of our frames over plain TCP: the floor.
    RawTcp,
}

impl Name {
    const ALL: [Name; 6] = [
        Name::Ours,
        Name::MessageEachTls,
        Name::PackedTls,
        Name::MessageEach,
        Name::Packed,
        Name::RawTcp,
    ];

    /// The name in reports.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Name::Ours => "ours, QUIC, mTLS",
            Name::MessageEachTls => "gRPC message each, mTLS",
            Name::PackedTls => "gRPC packed, mTLS",
            Name::MessageEach => "gRPC message each, plain",
            Name::Packed => "gRPC packed, plain",
            Name::RawTcp => "raw TCP, plain",
        }
    }
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
    Ours(Ours),
    MessageEach(MessageEach),
    Packed(Packed),
    RawTcp(RawTcp),
}

impl Contestant {
    async fn exchange(&mut self, tick: u64) -> anyhow::Result<Arrival> {
        match self {
            Contestant::Ours(ours) => ours.exchange(tick).await,
            Contestant::MessageEach(each) => each.exchange(tick).await,
            Contestant::Packed(packed) => packed.exchange(tick).await,
            Contestant::RawTcp(raw) => raw.exchange(tick).await,
        }
    }
}

/// Measures and prints.
pub(crate) fn run(args: &ExchangeArgs) -> anyhow::Result<()> {
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
    let fleet = Arc::new(Fleet::new(entities));
    let driver = runtime()?;
    let worker = WorkerSide::start()?;
    let side = Side {
        worker: &worker.handle,
        fleet: &fleet,
        partition_rows: args.partition_rows as usize,
    };
    driver.block_on(async {
        let mut contestants = Vec::new();
        for &name in &args.contestants {
            let entered = side.enter(name).await;
            contestants.push(entered.with_context(|| name.title())?);
        }
        let mut rounds: Vec<Vec<Round>> = contestants.iter().map(|_| Vec::new()).collect();
        for round in 0..args.rounds as usize {
            for turn in 0..contestants.len() {
                let index = (round + turn) % contestants.len();
                let contestant = &mut contestants[index];
                let measured = take_turn(contestant, &fleet, args.ticks).await;
                let name = args.contestants[index];
                rounds[index].push(measured.with_context(|| name.title())?);
            }
        }
        let names = args.contestants.iter().map(|name| name.title());
        Ok(Contest::new(entities, names.zip(rounds)))
    })
}

/// What a contestant's worker side is started with.
struct Side<'a> {
    worker: &'a Handle,
    fleet: &'a Arc<Fleet>,
    partition_rows: usize,
}

impl Side<'_> {
    /// Starts a contestant's worker side and connects to it.
    async fn enter(&self, name: Name) -> anyhow::Result<Contestant> {
        Ok(match name {
            Name::Ours => self.ours().await?,
            Name::MessageEachTls => self.message_each(Some(certificates()?)).await?,
            Name::PackedTls => self.packed(Some(certificates()?)).await?,
            Name::MessageEach => self.message_each(None).await?,
            Name::Packed => self.packed(None).await?,
            Name::RawTcp => self.raw_tcp().await?,
        })
    }

    async fn ours(&self) -> anyhow::Result<Contestant> {
        let listening = Listening::open(certificates()?)?;
        let worker = listening.worker(self.fleet.clone(), self.partition_rows);
        self.worker.spawn(async move { worker.start() }).await??;
        let ours = Ours::accept(listening, self.fleet, self.partition_rows);
        Ok(Contestant::Ours(ours.await?))
    }

    async fn message_each(&self, tls: Option<CertBundle>) -> anyhow::Result<Contestant> {
        let (fleet, certificates) = (self.fleet.clone(), tls.clone());
        let serving = async move { message_each::serve(fleet, certificates.as_ref()) };
        let address = self.worker.spawn(serving).await??;
        let each = MessageEach::connect(address, tls.as_ref(), self.fleet);
        Ok(Contestant::MessageEach(each.await?))
    }

    async fn packed(&self, tls: Option<CertBundle>) -> anyhow::Result<Contestant> {
        let (fleet, certificates) = (self.fleet.clone(), tls.clone());
        let rows = self.partition_rows;
        let serving = async move { packed::serve(&fleet, rows, certificates.as_ref()) };
        let address = self.worker.spawn(serving).await??;
        let packed = Packed::connect(address, tls.as_ref(), self.fleet, rows);
        Ok(Contestant::Packed(packed.await?))
    }

    async fn raw_tcp(&self) -> anyhow::Result<Contestant> {
        let (fleet, rows) = (self.fleet.clone(), self.partition_rows);
        let address = self.worker.spawn(raw_tcp::serve(fleet, rows)).await??;
        Ok(Contestant::RawTcp(
            RawTcp::connect(address, self.fleet, rows).await?,
        ))
    }
}

/// An authority and its certificates, for one contestant in one run.
fn certificates() -> anyhow::Result<CertBundle> {
    const VALIDITY: Duration = Duration::from_secs(24 * 3600);
    Ok(certs::generate(SystemTime::now() - VALIDITY, 2 * VALIDITY)?)
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
