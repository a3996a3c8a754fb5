//! `autofarm up`: every role in one process, over the in-memory link, with state in a SQLite file.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use gateway::Gateway;
use gateway::app::OtherPages;
use gateway::connector::Connector;
use orchestrator::clock::Origin;
use orchestrator::tenure;
use store::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use transport::pool::FramePool;

use crate::config_file::without_password;
use crate::demo::Demo;
use crate::failure::wrong_input;
use crate::fleet::{Fleet, WorkerSettings};
use crate::gateway_args::{self, GatewayArgs};
use crate::greeting::{self, Greeting};
use crate::migrate::of_database;
use crate::orchestrator_page::OrchestratorPage;
use crate::process_page;
use crate::service_args::{Bound, ServiceArgs};
use crate::signals::Signals;
use crate::value_parser::within;
use crate::worker_role::{MAX_THREADS, default_threads, parse_isa};

/// How often it is seen whether a worker has ended by itself.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Flags of `autofarm up`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm up\n  \
    autofarm up --data-dir /var/lib/autofarm --demo none --workers 4\n  \
    autofarm up --listen 0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key\n\n\
    Anybody on this machine may use the API on a loopback address. On any other address everybody\n\
    needs a token, and without any it does not start: make one before the first start there, with\n\
    `autofarm token create --name me --role admin` and the same --data-dir or --database-url.\n\n\
    SIGTERM or Ctrl-C ends it in order, and the next start goes on where it was; a second signal\n\
    ends it at once.")]
pub(crate) struct Up {
    #[command(flatten)]
    gateway: GatewayArgs,
    #[command(flatten)]
    service: ServiceArgs,
    /// Workers to start, 1 to 64.
    #[arg(long, help_heading = "Workers", env = "AUTOFARM_WORKERS", value_name = "N", default_value_t = 1,
        value_parser = within::<u32>(1..=64))]
    workers: u32,
    /// Threads of each worker, 1 to 256 [default: the cores, shared among them].
    #[arg(long, help_heading = "Workers", env = "AUTOFARM_THREADS", value_name = "N", value_parser = within::<u32>(1..=MAX_THREADS.into()))]
    threads: Option<u32>,
    /// Instruction set: scalar, sse2, avx2 or avx512; results are the same [default: the widest there is].
    #[arg(long, help_heading = "Workers", env = "AUTOFARM_ISA", value_name = "SET", value_parser = parse_isa)]
    isa: Option<kernel::isa::Isa>,
    /// Farm to begin with where the database holds no simulation: dense, a crowded site where much happens; weeding, wide and
    /// at the pace of real robots; or none.
    #[arg(
        long,
        help_heading = "Demo",
        env = "AUTOFARM_DEMO",
        value_name = "NAME",
        default_value = "dense",
        value_parser = Demo::parse
    )]
    demo: Demo,
}

/// The gateway as a task.
struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Up {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What keeps it from starting, or ended it.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<ExitCode> {
        let signals = Signals::catch()?;
        let url = self.service.database.prepare()?;
        let (mut fleet, link) = Fleet::in_memory(self.workers_settings());
        let hub = fleet.hub().context("workers are tasks")?;
        let config = self.gateway.config("gateway".to_owned(), &url)?;
        let gateway = Gateway::start(config, Connector::Memory(hub))
            .await
            .map_err(gateway_args::start_error)?;
        let addresses = gateway.addresses();
        let bound = addresses.first().copied().context("it listens somewhere")?;
        let pool = FramePool::new();
        let page = OrchestratorPage::new(pool.clone());
        show_all(&gateway, &page, &fleet);
        let serving = serve_gateway(gateway);
        let first = signals.first();
        tokio::pin!(first);
        let begin = async {
            let owned = self
                .service
                .open(&url, Bound::Tcp(bound), page.standing())
                .await?;
            let store = owned.store.clone();
            self.check_tokens(&store, &addresses).await?;
            let config = self.service.config();
            let begun = tenure::start(config, owned, pool, link, Origin::now()).await?;
            anyhow::Ok((store, begun))
        };
        let begun = tokio::select! {
            begun = begin => begun.map(Some),
            _ = &mut first => Ok(None),
        };
        let (store, (handle, driven)) = match begun {
            Ok(Some(begun)) => begun,
            Ok(None) => {
                serving.end().await;
                // It has not begun, so there is nothing to write.
                greeting::farewell(true);
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => {
                serving.end().await;
                return Err(error);
            }
        };
        page.serves(&handle);
        let mut driven = tokio::spawn(driven);
        let work = async {
            for _ in 0..self.workers {
                fleet.start_one()?;
            }
            self.greeting(&addresses, &url).say();
            tokio::try_join!(self.demo.begin(&handle), watch(&mut fleet)).map(drop)
        };
        let (ended, worked) = tokio::select! {
            ended = &mut driven => (Some(ended), Ok(())),
            worked = work => (None, worked),
            _ = &mut first => (None, Ok(())),
        };
        // Whatever it ends by, it ends in order.
        serving.end().await;
        let mut is_written = false;
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // It may have ended meanwhile; how is seen next.
                is_written = handle.shutdown().await.unwrap_or(false);
                driven.await
            }
        };
        fleet.stop().await;
        store.close().await;
        ended.context("the orchestrator has panicked")??;
        worked?;
        greeting::farewell(is_written);
        Ok(ExitCode::SUCCESS)
    }

    fn workers_settings(&self) -> WorkerSettings {
        let shared = (default_threads() / self.workers).max(1);
        WorkerSettings {
            threads: self.threads.unwrap_or(shared),
            isa: self.isa.unwrap_or_else(kernel::isa::Isa::detect),
        }
    }

    /// Where nobody could come in for want of a token, it does not start.
    async fn check_tokens(&self, store: &Store, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        if !self.gateway.wants_tokens(addresses) {
            return Ok(());
        }
        match store.tokens().await {
            Ok(tokens) if tokens.is_empty() => Err(wrong_input(format!(
                "{}, and there is none; make the first one with `autofarm token create --name me --role admin{}`, \
                 and start again",
                self.gateway.why_tokens(addresses),
                self.service.database.as_flags()
            ))),
            Ok(_) => Ok(()),
            // Whether there are any is seen later; the gateway says it then.
            Err(error) if error.is_worth_retrying() => {
                tracing::warn!(%error, "it is not known whether there are tokens");
                Ok(())
            }
            Err(error) => Err(of_database(error)),
        }
    }

    /// What is said once it serves.
    fn greeting(&self, addresses: &[SocketAddr], url: &str) -> Greeting {
        Greeting {
            addresses: addresses.to_vec(),
            is_tls: self.gateway.is_tls(),
            wants_tokens: self.gateway.wants_tokens(addresses),
            has_dashboard: gateway::dashboard::missing().is_none(),
            state: without_password(url.strip_prefix("sqlite:").unwrap_or(url)),
        }
    }
}

impl Serving {
    /// Ends the gateway in order.
    async fn end(self) {
        // It may have ended already.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the gateway did not end in order");
        }
    }
}

/// Has the gateway serve the metrics of all roles.
fn show_all(gateway: &Gateway, page: &OrchestratorPage, fleet: &Fleet) {
    let (page, workers) = (page.clone(), fleet.scrapes());
    let pages: OtherPages = Box::new(move || {
        let (page, workers) = (page.clone(), workers.clone());
        Box::pin(async move {
            let orchestrator = page.text().await;
            let workers = workers.page().await;
            orchestrator
                .into_iter()
                .chain([workers, process_page::text()])
                .collect()
        })
    });
    // This is the only one who sets it.
    let _ = gateway.app().others.set(pages);
}

fn serve_gateway(gateway: Gateway) -> Serving {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(gateway.serve(async {
        // Dropped or sent, it is over.
        let _ = stopped.await;
    }));
    Serving { stop, task }
}

/// Replaces workers that end by themselves, for ever.
async fn watch(fleet: &mut Fleet) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(WATCH_EVERY);
    loop {
        every.tick().await;
        fleet.replace_ended().await?;
    }
}
