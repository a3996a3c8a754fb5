//! `autofarm run`: an orchestrator and its workers for one simulation, from its creation to its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use kernel::config::{MAX_TICK, Scenario};
use kernel::isa::Isa;
use orchestrator::Config;
use orchestrator::clock::{self, Origin};
use orchestrator::control::{CommandRequest, RefusalKind, SimulationId, Speed, Status};
use orchestrator::drive;
use orchestrator::handle::Handle;
use orchestrator::limits::MAX_WORKERS;

use transport::pool::FramePool;

use crate::failure::wrong_input;
use crate::fleet::{Fleet, WorkerSettings};
use crate::script;
use crate::signals::Signals;
use crate::simulation_args::{SimulationArgs, parse_scenario, parse_speed};
use crate::summary::{Percentiles, Report, Summary};
use crate::value_parser::{parse_address, within};
use crate::watch::{Kills, Watch};
use crate::worker_role::{MAX_THREADS, default_threads, parse_isa};

/// How long the first workers may take to register.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// The idle timer is measured with this period, this many times: a second.
const JITTER_PERIOD: Duration = Duration::from_millis(5);
const JITTER_WAKES: u32 = 200;

/// Flags of `autofarm run`.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:\n  \
    autofarm run --scenario weeding --entities 10000 --workers 2 --link quic\n  \
    autofarm run --scenario dense --entities 640 --partition-rows 16 --workers 3 --kill-at 700\n  \
    autofarm run --entities 10000 --tick-ms 20 --speed 1 --link quic --workers 2 --kill-every 5\n\n\
    The digest depends on scenario, entities, tick, seed and commands alone: run it again with other\n\
    workers, partitions, links, speeds, instruction sets, or with kills, and compare."
)]
pub(crate) struct Run {
    /// Scenario: weeding or dense.
    #[arg(
        long,
        env = "AUTOFARM_SCENARIO",
        value_name = "NAME",
        default_value = "weeding",
        value_parser = parse_scenario
    )]
    scenario: Scenario,
    #[command(flatten)]
    simulation: SimulationArgs,
    /// Factor on real time, 0.1 to 1000, or `max`.
    #[arg(long, env = "AUTOFARM_SPEED", value_name = "FACTOR", value_parser = parse_speed, default_value = "max")]
    speed: Speed,
    /// Workers to start, 1 to 256.
    #[arg(long, env = "AUTOFARM_WORKERS", value_name = "N", default_value_t = 1,
        value_parser = within::<u32>(1..=MAX_WORKERS as u64))]
    workers: u32,
    /// Threads of each worker, 1 to 256 [default: the cores, shared among them].
    #[arg(long, env = "AUTOFARM_THREADS", value_name = "N", value_parser = within::<u32>(1..=MAX_THREADS.into()))]
    threads: Option<u32>,
    /// Instruction set: scalar, sse2, avx2 or avx512; results are the same [default: the widest there is].
    #[arg(long, env = "AUTOFARM_ISA", value_name = "SET", value_parser = parse_isa)]
    isa: Option<Isa>,
    /// How orchestrator and workers talk: inside this process, or as processes over QUIC.
    #[arg(long, env = "AUTOFARM_LINK", value_name = "LINK", value_enum, default_value_t = Link::Memory)]
    link: Link,
    /// Address to listen on for workers with --link quic; port 0 takes a free one.
    #[arg(
        long,
        env = "AUTOFARM_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        value_parser = parse_address
    )]
    listen: SocketAddr,
    /// Script of commands [default: none], a JSON object a line:
    /// {"tick":100,"entity":17,"command":"inject_fault","args":{"component":"drive","for_s":30}}
    #[arg(long, env = "AUTOFARM_COMMANDS", value_name = "FILE")]
    commands: Option<PathBuf>,
    /// One partition-tick in this many is computed by a second worker and compared; 0 for none.
    #[arg(long, env = "AUTOFARM_VERIFY_ONE_IN", value_name = "N", default_value_t = Config::default().verify_one_in,
        value_parser = within::<u64>(0..=u64::MAX))]
    verify_one_in: u64,
    /// Kill the busiest worker, and start another, when each of these ticks is complete
    /// [default: none].
    #[arg(
        long,
        env = "AUTOFARM_KILL_AT",
        value_name = "TICK",
        value_delimiter = ',',
        value_parser = within::<u64>(1..=MAX_TICK)
    )]
    kill_at: Vec<u64>,
    /// Kill the busiest worker, and start another, each time so many seconds have passed, 1 to 86400
    /// [default: never].
    #[arg(long, env = "AUTOFARM_KILL_EVERY", value_name = "SECONDS", value_parser = within::<u64>(1..=86_400))]
    kill_every: Option<u64>,
    /// File to write a `tick digest` line a digest to [default: none].
    #[arg(long, env = "AUTOFARM_DIGESTS", value_name = "FILE")]
    digests: Option<PathBuf>,
    /// Measure this machine's idle timer for a second first, for comparison.
    #[arg(long, env = "AUTOFARM_JITTER")]
    jitter: bool,
    #[command(flatten)]
    report: Report,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Link {
    Memory,
    Quic,
}

impl Run {
    /// Runs to the end and prints the summary.
    ///
    /// # Errors
    /// What of the input is wrong, or what kept the run from its end.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        self.report.prepare()?;
        let commands = self.commands.as_deref().map(script::read).transpose();
        let commands = commands.map_err(wrong_input)?.unwrap_or_default();
        let jitter = self
            .jitter
            .then(|| clock::timer_jitter(JITTER_PERIOD, JITTER_WAKES));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let (mut summary, code) = runtime.block_on(self.carry_out(commands))?;
        summary.timer_jitter = jitter.as_ref().map(Percentiles::of);
        self.report.tell(&summary)?;
        Ok(code)
    }

    async fn carry_out(
        &self,
        commands: Vec<CommandRequest>,
    ) -> anyhow::Result<(Summary, ExitCode)> {
        let spec = self.simulation.spec(self.scenario, self.speed)?;
        let settings = WorkerSettings {
            threads: self
                .threads
                .unwrap_or((default_threads() / self.workers).max(1)),
            isa: self.isa.unwrap_or_else(Isa::detect),
        };
        let signals = Signals::catch()?;
        let pool = FramePool::new();
        let (mut fleet, link) = match self.link {
            Link::Memory => Fleet::in_memory(settings),
            Link::Quic => Fleet::over_quic(settings, self.listen, &pool)?,
        };
        let config = Config {
            verify_one_in: self.verify_one_in,
            // Nothing is kept.
            cut_every: None,
            ..Config::default()
        };
        let end = link.end.clone();
        let (handle, driver) = drive::start(config, pool, link, Origin::now())?;
        let driver = tokio::spawn(driver);
        let kills = Kills {
            at_ticks: self.kill_at.clone(),
            every: self.kill_every.map(Duration::from_secs),
        };
        let last_tick = self.simulation.ticks;
        let id = handle.create(spec).await.map_err(wrong_input)?;
        for (line, command) in (1..).zip(commands) {
            let stamped = handle.command(id, command).await;
            stamped.map_err(|e| wrong_input(format!("commands: command {line}: {e}")))?;
        }
        // Only now: of a long script there would be more to hear than waits for whoever is slow.
        let mut watch = Watch::new(handle.clone(), &kills, self.digests.as_deref(), last_tick)?;
        for _ in 0..self.workers {
            fleet.start_one()?;
        }
        watch
            .workers(&mut fleet, self.workers, JOIN_PATIENCE)
            .await?;
        handle.start(id).await?;
        let stopped = tokio::select! {
            done = watch.follow(&mut fleet) => { done?; None }
            code = signals.first() => Some(code),
        };
        if stopped.is_some() {
            stop(&handle, id).await?;
        }
        let finished = finish(&handle, id, fleet, stopped).await;
        driver.abort();
        end.reached().await;
        finished.map(|(mut summary, code)| {
            summary.killed_workers = watch.killed;
            (summary, code)
        })
    }
}

/// Stops a simulation that may have ended meanwhile.
///
/// # Errors
/// Where the orchestrator has ended.
pub(crate) async fn stop(handle: &Handle, id: SimulationId) -> anyhow::Result<()> {
    match handle.stop(id).await {
        Err(refusal)
            if refusal.kind == RefusalKind::InvalidTransition
                && handle.simulation(id).await?.status.is_final() =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}

/// The exit code of a simulation that ended so, or that a signal stopped.
pub(crate) fn exit_code(stopped: Option<u8>, status: Status) -> ExitCode {
    match (stopped, status) {
        (Some(code), _) => ExitCode::from(code),
        (None, Status::Failed) => ExitCode::FAILURE,
        (None, _) => ExitCode::SUCCESS,
    }
}

/// Takes the last figures, and lets the workers go.
async fn finish(
    handle: &Handle,
    id: SimulationId,
    fleet: Fleet,
    stopped: Option<u8>,
) -> anyhow::Result<(Summary, ExitCode)> {
    let info = handle.settled(id).await?;
    let summary = Summary::new(&handle.snapshot().await?, id);
    fleet.stop().await;
    Ok((summary, exit_code(stopped, info.status)))
}
