//! `autofarm worker`: a worker process over QUIC.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use kernel::isa::Isa;
use transport::limits::MAX_NAME_BYTES;
use transport::link::Role;
use transport::pool::FramePool;
use worker::drive::DriveError;
use worker::{Ended, WorkerConfig};

use crate::failure::wrong_input;
use crate::metrics_page;
use crate::signals::Signals;
use crate::tls_args::TlsArgs;

/// Most threads that a worker steps on.
pub(crate) const MAX_THREADS: u32 = 256;

/// Flags of `autofarm worker`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
    autofarm worker --connect farm.example:7400 --network routed --certs certs\n\n\
    SIGTERM or Ctrl-C drains it: what it holds goes to other workers, then it ends. It may also be\n\
    killed at any time; the orchestrator then replays what it held.")]
pub(crate) struct WorkerRole {
    /// Address of the orchestrator, HOST:PORT; with commas, of each that may own the database.
    #[arg(
        long,
        env = "AUTOFARM_CONNECT",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    connect: Vec<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Name in logs and metrics [default: worker- and the process id].
    #[arg(long, env = "AUTOFARM_NAME")]
    name: Option<String>,
    /// Threads to step on [default: one a core].
    #[arg(long, env = "AUTOFARM_THREADS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_THREADS)))]
    threads: Option<u32>,
    /// Instruction set: scalar, sse2, avx2 or avx512; results are the same [default: the widest there is].
    #[arg(long, env = "AUTOFARM_ISA", value_parser = parse_isa)]
    isa: Option<Isa>,
    /// Address to serve /metrics and /healthz on.
    #[arg(long, env = "AUTOFARM_METRICS", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
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
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
            return Err(wrong_input(format!(
                "name: {} bytes are not in 1..={MAX_NAME_BYTES}",
                name.len()
            )));
        }
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
        let mut addresses = Vec::with_capacity(self.connect.len());
        for host in &self.connect {
            addresses.push(resolve(host).await?);
        }
        let identity = self.tls.identity(Role::Worker)?;
        // What holds between computers holds within one too, but not the other way round.
        let farthest = addresses.iter().find(|a| !a.ip().is_loopback());
        let farthest = farthest.or(addresses.first());
        let farthest = farthest.ok_or_else(|| wrong_input("connect: no address is given"))?;
        let network = self.tls.network(*farthest);
        let pool = FramePool::new();
        let link = transport::quic::connect_any(
            &addresses,
            &identity,
            Role::Orchestrator,
            network,
            &pool,
        )?;
        let (scrape, scraped) = worker::drive::scrape();
        if let Some(metrics) = self.metrics {
            let pool = pool.clone();
            let page = move || {
                let (scrape, pool) = (scrape.clone(), pool.clone());
                async move { Some(worker::metrics::text(&scrape.stats().await?, &pool)) }
            };
            metrics_page::serve(metrics, page).await?;
        }
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

/// Threads where none are asked for: one a core.
pub(crate) fn default_threads() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).map_or(MAX_THREADS, |n| n.min(MAX_THREADS))
}

/// Reads the name of an instruction set that this processor has.
pub(crate) fn parse_isa(name: &str) -> Result<Isa, String> {
    let isa: Isa = name
        .parse()
        .map_err(|e: kernel::isa::UnknownIsa| e.to_string())?;
    if isa.is_available() {
        return Ok(isa);
    }
    let there: Vec<_> = Isa::available().map(Isa::name).collect();
    Err(format!(
        "this processor has no {name}, but {}",
        there.join(", ")
    ))
}

async fn resolve(host: &str) -> anyhow::Result<SocketAddr> {
    let mut addresses = tokio::net::lookup_host(host)
        .await
        .map_err(|error| wrong_input(format!("connect: {host}: {error}; HOST:PORT is expected")))?;
    addresses
        .next()
        .ok_or_else(|| wrong_input(format!("connect: {host} has no address")))
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
