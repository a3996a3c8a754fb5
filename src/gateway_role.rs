//! `autofarm gateway`: a gateway process, which serves the API for an orchestrator elsewhere.

use std::process::ExitCode;
use std::sync::Arc;

use gateway::Gateway;
use gateway::app::OtherPages;
use gateway::connector::{Connector, QuicConnector};
use transport::link::Role;
use transport::pool::FramePool;

use crate::connect_args::ConnectArgs;
use crate::gateway_args::{self, GatewayArgs};
use crate::process_page;
use crate::signals::Signals;
use crate::tls_args::TlsArgs;
use crate::value_parser::{UrlParser, parse_name};

/// Flags of `autofarm gateway`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
    autofarm gateway --connect farm.example:7400 --certs certs --listen 0.0.0.0:8443 \\\n      \
    --tls-cert tls.crt --tls-key tls.key --database-url postgres://reader@db/farm\n\n\
    It keeps nothing: start as many as there are clients for, and stop any at any time. SIGTERM or\n\
    Ctrl-C turns /readyz off, closes live streams with 1001, and ends it. On an address that is not\n\
    loopback everybody needs a token: `autofarm token create` makes the first one.")]
pub(crate) struct GatewayRole {
    #[command(flatten)]
    orchestrator: ConnectArgs,
    #[command(flatten)]
    link: TlsArgs,
    /// Database that history is read from, the orchestrator's: postgres://USER:PASSWORD@HOST/NAME, as
    /// postgres://reader:secret@127.0.0.1/farm, or sqlite:FILE; a user that can only read will do
    /// [default: none, it has to be given].
    #[arg(
        long,
        env = "AUTOFARM_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        value_parser = UrlParser
    )]
    database_url: String,
    /// Name in logs and metrics, 1 to 64 bytes [default: gateway- and the process id].
    #[arg(long, env = "AUTOFARM_NAME", value_parser = parse_name)]
    name: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl GatewayRole {
    /// Serves until it is told to stop.
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
        let name = self.name.clone();
        let name = name.unwrap_or_else(|| format!("gateway-{}", std::process::id()));
        let signals = Signals::catch()?;
        let connector = Connector::Quic(QuicConnector {
            hosts: self.orchestrator.connect.clone(),
            identity: Arc::new(self.link.identity(Role::Gateway)?),
            network: self.link.fixed_network(),
            pool: FramePool::new(),
        });
        let config = self.gateway.config(name, &self.database_url)?;
        let gateway = Gateway::start(config, connector)
            .await
            .map_err(gateway_args::start_error)?;
        let own: OtherPages = Box::new(|| Box::pin(async { vec![process_page::text()] }));
        // This is the only one who sets it.
        let _ = gateway.app().others.set(own);
        gateway
            .serve(async {
                signals.first().await;
            })
            .await;
        Ok(ExitCode::SUCCESS)
    }
}
