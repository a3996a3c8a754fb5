//! `autofarm orchestrator`: the orchestrator process over QUIC. With a database it serves whatever
//! gateways ask; with `--scenario` it runs that one farm, keeps nothing, and ends with it.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use kernel::config::Scenario;
use orchestrator::Config;
use orchestrator::clock::Origin;
use orchestrator::control::{Spec, Speed};
use orchestrator::drive;
use orchestrator::handle::Handle;
use orchestrator::standing::Standing;
use orchestrator::tenure;
use transport::link::{Endpoint, Role};
use transport::pool::FramePool;

use crate::failure::wrong_input;
use crate::metrics_page::MetricsArgs;
use crate::orchestrator_page::OrchestratorPage;
use crate::service_args::{Bound, ServiceArgs};
use crate::signals::Signals;
use crate::simulation_args::{SimulationArgs, parse_scenario, parse_speed};
use crate::summary::{Report, Summary};
use crate::tls_args::TlsArgs;
use crate::value_parser::parse_address;
use crate::{fleet, run};

/// Flags of `autofarm orchestrator`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm orchestrator --listen 0.0.0.0:7400 --certs certs --database-url postgres://farm@db/farm\n  \
    autofarm orchestrator --listen 0.0.0.0:7400 --certs certs --scenario weeding --entities 100000\n\n\
    The first serves gateways, and keeps its simulations in the database: killed and started again, it\n\
    goes on. Another one on the same database waits, and takes over when the first is gone. The second\n\
    runs the one simulation that its flags name, keeps nothing, and ends with it, printing a summary.")]
pub(crate) struct OrchestratorRole {
    /// Address to listen on for workers and gateways (UDP).
    #[arg(
        long,
        env = "AUTOFARM_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7400",
        value_parser = parse_address
    )]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    alone: Alone,
    #[command(flatten)]
    report: Report,
}

/// Flags of the one simulation that is run without a database.
#[derive(clap::Args)]
#[command(next_help_heading = "One simulation, without a database")]
struct Alone {
    /// Scenario to run: weeding or dense [default: none, gateways are served from a database].
    #[arg(long, env = "AUTOFARM_SCENARIO", value_name = "NAME", value_parser = parse_scenario)]
    scenario: Option<Scenario>,
    #[command(flatten)]
    simulation: SimulationArgs,
    /// Factor on real time, 0.1 to 1000, or `max`.
    #[arg(long, env = "AUTOFARM_SPEED", value_name = "FACTOR", value_parser = parse_speed, default_value = "1")]
    speed: Speed,
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
        runtime.block_on(self.begin())
    }

    async fn begin(&self) -> anyhow::Result<ExitCode> {
        let alone = &self.alone;
        let spec = alone
            .scenario
            .map(|scenario| alone.simulation.spec(scenario, alone.speed));
        let spec = spec.transpose()?;
        if spec.is_some() && self.service.database.is_given() {
            return Err(wrong_input(
                "scenario: give it or a database, not both; a simulation that is kept is created by POST \
                 /v1/simulations",
            ));
        }
        self.report.prepare()?;
        let signals = Signals::catch()?;
        let pool = FramePool::new();
        match spec {
            Some(spec) => {
                let (link, _) = self.open_link(&[Role::Worker], &pool)?;
                self.run_one(spec, link, pool, signals).await
            }
            None => self.serve(pool, signals).await,
        }
    }

    fn open_link(
        &self,
        roles: &[Role],
        pool: &FramePool,
    ) -> anyhow::Result<(Endpoint, SocketAddr)> {
        let identity = self.tls.identity(Role::Orchestrator)?;
        let network = self.tls.network(self.listen);
        let (link, address) = fleet::open_link(self.listen, &identity, roles, network, pool)?;
        tracing::info!(server.address = %address.ip(), server.port = address.port(), "listening for workers");
        Ok((link, address))
    }

    /// Serves gateways from a database until it is told to stop.
    async fn serve(&self, pool: FramePool, signals: Signals) -> anyhow::Result<ExitCode> {
        let url = self.service.database.prepare()?;
        if !self.service.database.is_given() {
            // Gateways must be told the same, and a file is only for those of this machine.
            tracing::info!(
                database = url,
                advice = "name one with --database-url or AUTOFARM_DATABASE_URL, as postgres://USER:PASSWORD@HOST/NAME",
                "no database is named: state is kept in a file"
            );
        }
        let (link, address) = self.open_link(&[Role::Worker, Role::Gateway], &pool)?;
        let page = OrchestratorPage::new(pool.clone());
        self.serve_metrics(&page).await?;
        let end = link.end.clone();
        let first = signals.first();
        tokio::pin!(first);
        let owned = tokio::select! {
            owned = self.service.open(&url, Bound::Udp(address), page.standing()) => owned?,
            _ = &mut first => return Ok(ExitCode::SUCCESS),
        };
        let store = owned.store.clone();
        let begin = tenure::start(self.service.config(), owned, pool, link, Origin::now());
        let (handle, driven) = tokio::select! {
            begun = begin => begun?,
            _ = &mut first => return Ok(ExitCode::SUCCESS),
        };
        page.serves(&handle);
        let mut driven = tokio::spawn(driven);
        let ended = tokio::select! {
            ended = &mut driven => ended,
            _ = &mut first => {
                // It may have ended meanwhile; how is seen next.
                let _ = handle.shutdown().await;
                driven.await
            }
        };
        // The workers are told before the process ends.
        end.reached().await;
        store.close().await;
        ended.context("the orchestrator has panicked")??;
        Ok(ExitCode::SUCCESS)
    }

    /// Runs one simulation to its end, or until this process is told to stop.
    async fn run_one(
        &self,
        spec: Spec,
        link: Endpoint,
        pool: FramePool,
        signals: Signals,
    ) -> anyhow::Result<ExitCode> {
        let end = link.end.clone();
        let config = Config {
            cut_every: None,
            ..self.service.config()
        };
        let (handle, driver) = drive::start(config, pool.clone(), link, Origin::now())?;
        let driver = tokio::spawn(driver);
        let code = self.follow(&handle, spec, pool, signals).await;
        // The workers are told before the process ends.
        driver.abort();
        end.reached().await;
        code
    }

    async fn follow(
        &self,
        handle: &Handle,
        spec: Spec,
        pool: FramePool,
        signals: Signals,
    ) -> anyhow::Result<ExitCode> {
        let page = OrchestratorPage::new(pool);
        page.standing().send_replace(Standing::Alone);
        page.serves(handle);
        self.serve_metrics(&page).await?;
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

    async fn serve_metrics(&self, page: &OrchestratorPage) -> anyhow::Result<()> {
        let (told, asked) = (page.clone(), page.clone());
        let text = move || {
            let page = told.clone();
            async move { page.text().await }
        };
        let ready = move || {
            let ready = asked.ready();
            async move { ready }
        };
        self.metrics.serve(text, ready).await
    }
}
