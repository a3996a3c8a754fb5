//! `autofarm orchestrator`: the orchestrator process over QUIC, with the simulation its flags name.

use std::net::SocketAddr;
use std::process::ExitCode;

use orchestrator::Config;
use orchestrator::clock::Origin;
use orchestrator::control::{Spec, Speed};
use orchestrator::drive::{self, Handle};
use tokio::task::JoinHandle;
use transport::link::Role;
use transport::pool::FramePool;

use crate::failure::wrong_input;
use crate::signals::Signals;
use crate::simulation_args::{SimulationArgs, parse_speed};
use crate::summary::{Report, Summary};
use crate::tls_args::TlsArgs;
use crate::{fleet, metrics_page, run};

/// Flags of `autofarm orchestrator`.
#[derive(clap::Args)]
#[command(
    after_help = "Example, the second line on every computer that works:\n  \
    autofarm orchestrator --listen 0.0.0.0:7400 --certs certs --scenario weeding --entities 100000 --speed 1\n  \
    autofarm worker --connect farm.example:7400 --certs certs --network routed\n\n\
    It waits for workers, runs the simulation named by --scenario and ends with it, printing its\n\
    summary. Without --scenario it only keeps its workers registered."
)]
pub(crate) struct OrchestratorRole {
    /// Address to listen on for workers.
    #[arg(
        long,
        env = "AUTOFARM_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7400"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Address to serve /metrics and /healthz on.
    #[arg(long, env = "AUTOFARM_METRICS", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// One partition-tick in this many is computed by a second worker and compared; 0 for none.
    #[arg(long, env = "AUTOFARM_VERIFY_ONE_IN", default_value_t = Config::default().verify_one_in)]
    verify_one_in: u64,
    /// Scenario to run: weeding or dense.
    #[arg(long, env = "AUTOFARM_SCENARIO")]
    scenario: Option<String>,
    #[command(flatten)]
    simulation: SimulationArgs,
    /// Factor on real time, 0.1 to 1000, or `max`.
    #[arg(long, env = "AUTOFARM_SPEED", value_parser = parse_speed, default_value = "1")]
    speed: Speed,
    #[command(flatten)]
    report: Report,
}

impl OrchestratorRole {
    /// Runs until its simulation has ended, or until it is told to stop.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<ExitCode> {
        let scenario = self.scenario.as_deref();
        let spec = scenario.map(|name| self.simulation.spec(name, self.speed));
        let spec = spec.transpose()?;
        self.report.prepare()?;
        let signals = Signals::catch()?;
        let identity = self.tls.identity(Role::Orchestrator)?;
        let network = self.tls.network(self.listen);
        let pool = FramePool::new();
        let (link, address) = fleet::listen_for_workers(self.listen, &identity, network, &pool)?;
        tracing::info!(%address, "listening for workers");
        let config = Config {
            verify_one_in: self.verify_one_in,
            ..Config::default()
        };
        let end = link.end.clone();
        let (handle, driver) = drive::start(config, pool.clone(), link, Origin::now())?;
        let mut driver = tokio::spawn(driver);
        let code = self.follow(&handle, &mut driver, spec, pool, signals).await;
        // The workers are told before the process ends.
        driver.abort();
        end.reached().await;
        code
    }

    /// Runs the simulation to its end, or until this process is told to stop.
    async fn follow(
        &self,
        handle: &Handle,
        driver: &mut JoinHandle<()>,
        spec: Option<Spec>,
        pool: FramePool,
        signals: Signals,
    ) -> anyhow::Result<ExitCode> {
        if let Some(metrics) = self.metrics {
            let handle = handle.clone();
            let page = move || {
                let (handle, pool) = (handle.clone(), pool.clone());
                async move {
                    let snapshot = handle.snapshot().await.ok()?;
                    Some(orchestrator::metrics::text(snapshot, &pool))
                }
            };
            metrics_page::serve(metrics, page).await?;
        }
        let Some(spec) = spec else {
            tokio::select! {
                _ = signals.first() => return Ok(ExitCode::SUCCESS),
                _ = driver => anyhow::bail!("the link has ended"),
            }
        };
        let id = handle.create(spec).await.map_err(wrong_input)?;
        handle.start(id).await?;
        let (info, stopped) = tokio::select! {
            settled = handle.settled(id) => (settled?, None),
            code = signals.first() => {
                run::stop(handle, id).await?;
                (handle.settled(id).await?, Some(code))
            }
        };
        self.report
            .tell(&Summary::new(&handle.snapshot().await?, id))?;
        Ok(run::exit_code(stopped, info.status))
    }
}
