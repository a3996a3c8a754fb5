//! `autofarm worker`: a worker process over QUIC.

use std::process::ExitCode;

use anyhow::Context;
use kernel::isa::Isa;
use transport::link::Role;
use transport::pool::FramePool;
use worker::drive::{DriveError, Scrape};
use worker::metrics::Told;
use worker::{Ended, WorkerConfig};

use crate::connect_args::ConnectArgs;
use crate::failure::wrong_input;
use crate::metrics_page::MetricsArgs;
use crate::signals::Signals;
use crate::tls_args::TlsArgs;
use crate::value_parser::{parse_name, within};
use crate::wording::one_of;

/// Most threads that a worker steps on.
pub(crate) const MAX_THREADS: u32 = 256;

/// Flags of `autofarm worker`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
    autofarm worker --connect farm.example:7400 --network routed --certs certs\n\n\
    SIGTERM or Ctrl-C drains it: what it holds goes to other workers, then it ends. It may also be\n\
    killed at any time; the orchestrator then replays what it held.")]
pub(crate) struct WorkerRole {
    #[command(flatten)]
    orchestrator: ConnectArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Name in logs and metrics, 1 to 64 bytes [default: worker- and the process id].
    #[arg(long, env = "AUTOFARM_NAME", value_parser = parse_name)]
    name: Option<String>,
    /// Threads to step on, 1 to 256 [default: one a core].
    #[arg(long, env = "AUTOFARM_THREADS", value_name = "N", value_parser = within::<u32>(1..=MAX_THREADS.into()))]
    threads: Option<u32>,
    /// Instruction set: scalar, sse2, avx2 or avx512; results are the same [default: the widest there is].
    #[arg(long, env = "AUTOFARM_ISA", value_name = "SET", value_parser = parse_isa)]
    isa: Option<Isa>,
    #[command(flatten)]
    metrics: MetricsArgs,
    /// Drain when standard input ends, as it does when the process that started this one dies.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

impl WorkerRole {
    /// Runs until drained.
    ///
    /// # Errors
    /// What keeps it from starting, or ended it.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let name = self.name.clone();
        let name = name.unwrap_or_else(|| format!("worker-{}", std::process::id()));
        let config = WorkerConfig {
            name,
            threads: self.threads.unwrap_or_else(default_threads),
            isa: self.isa.unwrap_or_else(Isa::detect),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve(config))
    }

    async fn serve(&self, config: WorkerConfig) -> anyhow::Result<ExitCode> {
        let signals = Signals::catch()?;
        let identity = self.tls.identity(Role::Worker)?;
        let pool = FramePool::new();
        let link = transport::quic::connect_any(
            &self.orchestrator.connect,
            &identity,
            Role::Orchestrator,
            self.tls.fixed_network(),
            &pool,
        )?;
        let (scrape, scraped) = worker::drive::scrape();
        self.serve_metrics(config.name.clone(), scrape, pool.clone())
            .await?;
        let until_stdin_ends = self.until_stdin_ends;
        let stop = async move {
            tokio::select! {
                _ = signals.first() => {}
                () = stdin_ended(), if until_stdin_ends => {}
            }
        };
        match worker::drive::run(config, pool, link, stop, scraped).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(DriveError::Ended(ended @ Ended::Refused { .. })) => Err(wrong_input(ended)),
            Err(other) => Err(other).context("the worker ended"),
        }
    }
}

impl WorkerRole {
    async fn serve_metrics(
        &self,
        name: String,
        scrape: Scrape,
        pool: FramePool,
    ) -> anyhow::Result<()> {
        let asked = scrape.clone();
        let page = move || {
            let (scrape, name, pool) = (scrape.clone(), name.clone(), pool.clone());
            async move {
                let stats = scrape.stats().await?;
                Some(worker::metrics::text(vec![Told { name, stats, pool }]))
            }
        };
        let ready = move || {
            let asked = asked.clone();
            async move {
                let stats = asked.stats().await.ok_or("it has ended")?;
                match (stats.registered, stats.draining) {
                    (_, true) => Err("it is leaving".to_owned()),
                    (false, _) => Err("no orchestrator has accepted it".to_owned()),
                    (true, false) => Ok(()),
                }
            }
        };
        self.metrics.serve(page, ready).await
    }
}

/// Threads where none are asked for: one a core.
pub(crate) fn default_threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).map_or(MAX_THREADS, |n| n.min(MAX_THREADS))
}

/// Reads the name of an instruction set that this processor has.
pub(crate) fn parse_isa(name: &str) -> Result<Isa, String> {
    let unknown = |_| format!("{} is expected", one_of(&Isa::ALL.map(Isa::name)));
    let isa: Isa = name.parse().map_err(unknown)?;
    if isa.is_available() {
        return Ok(isa);
    }
    let there: Vec<_> = Isa::available().map(Isa::name).collect();
    Err(format!(
        "this processor has no {name}, but {}",
        there.join(", ")
    ))
}

/// A thread of its own reads, for nothing can take back a read of standard input once it waits.
async fn stdin_ended() {
    let (ended, until) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error ends it as well as an end does.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = until.await;
}
