//! The workers of a run, started and killed by it: tasks on the in-memory link, or processes over QUIC.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use kernel::isa::Isa;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use transport::certs;
use transport::identity::Identity;
use transport::link::{Endpoint, Role};
use transport::memory::{self, MemoryHub};
use transport::pool::FramePool;
use transport::quic::{self, QuicError};
use transport::quic_config::Network;
use worker::WorkerConfig;
use worker::drive::DriveError;

use crate::failure::of_address;
use crate::scrapes::Scrapes;

/// How long workers get to leave before they are killed.
const FAREWELL: Duration = Duration::from_secs(3);
/// A worker that ends sooner after its start has something wrong with it.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// Validity of the certificates of one run.
const RUN_CERTS: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How much older than now they are made, for clocks that are set back meanwhile.
const CERTS_AGE: Duration = Duration::from_secs(24 * 3_600);

/// What every worker of a run is given.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    /// Threads of each.
    pub(crate) threads: u32,
    /// Instruction set of each.
    pub(crate) isa: Isa,
}

/// The workers, by name.
pub(crate) struct Fleet {
    place: Place,
    settings: WorkerSettings,
    workers: BTreeMap<String, Member>,
    started: u32,
    scrapes: Scrapes,
}

/// Where workers are started.
enum Place {
    Tasks(MemoryHub),
    Processes {
        address: SocketAddr,
        /// Deleted, with the keys in it, when the run ends.
        certs: tempfile::TempDir,
    },
}

struct Member {
    started: Instant,
    running: Running,
}

enum Running {
    Task {
        stop: oneshot::Sender<()>,
        done: JoinHandle<Result<(), DriveError>>,
    },
    /// The worker drains when its standard input ends, so that none outlives its run.
    Process(Child),
}

impl Fleet {
    /// Workers as tasks of this process, and the orchestrator's end of their link.
    pub(crate) fn in_memory(settings: WorkerSettings) -> (Fleet, Endpoint) {
        let (endpoint, hub) = memory::hub(Role::Orchestrator, "orchestrator");
        (Fleet::new(Place::Tasks(hub), settings), endpoint)
    }

    /// Workers as processes of their own, and the orchestrator's end of their link.
    ///
    /// # Errors
    /// Where certificates cannot be made or the port cannot be had.
    pub(crate) fn over_quic(
        settings: WorkerSettings,
        listen: SocketAddr,
        pool: &FramePool,
    ) -> anyhow::Result<(Fleet, Endpoint)> {
        let bundle = certs::generate(std::time::SystemTime::now() - CERTS_AGE, RUN_CERTS)?;
        let certs = tempfile::Builder::new().prefix("autofarm-run-").tempdir()?;
        bundle.write_to(certs.path())?;
        let identity = bundle.identity(Role::Orchestrator);
        let network = Network::of(listen);
        let roles = [Role::Worker];
        let (endpoint, address) = open_link(listen, &identity, &roles, network, pool)?;
        let place = Place::Processes { address, certs };
        Ok((Fleet::new(place, settings), endpoint))
    }

    fn new(place: Place, settings: WorkerSettings) -> Fleet {
        Fleet {
            place,
            settings,
            workers: BTreeMap::new(),
            started: 0,
            scrapes: Scrapes::default(),
        }
    }

    /// Where other roles join the in-memory link; `None` where workers are processes.
    pub(crate) fn hub(&self) -> Option<MemoryHub> {
        match &self.place {
            Place::Tasks(hub) => Some(hub.clone()),
            Place::Processes { .. } => None,
        }
    }

    /// Asks the workers that are tasks for their figures, now and later.
    pub(crate) fn scrapes(&self) -> Scrapes {
        self.scrapes.clone()
    }

    /// Starts one more worker.
    ///
    /// # Errors
    /// Where the system gives no process.
    pub(crate) fn start_one(&mut self) -> anyhow::Result<()> {
        self.started += 1;
        let name = format!("worker-{}", self.started);
        let running = match &self.place {
            Place::Tasks(hub) => start_task(hub, &self.settings, &name, &self.scrapes)?,
            Place::Processes { address, certs } => {
                start_process(&self.settings, *address, certs.path(), &name)
                    .context("a worker process cannot be started")?
            }
        };
        let started = Instant::now();
        self.workers.insert(name, Member { started, running });
        Ok(())
    }

    /// Kills a worker, without a word to it or to the orchestrator. One that is not there is passed
    /// over.
    ///
    /// # Errors
    /// Where the system refuses the signal.
    pub(crate) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.scrapes.remove(name);
        match self.workers.remove(name).map(|m| m.running) {
            Some(Running::Task { done, .. }) => done.abort(),
            // SIGKILL on Unix.
            Some(Running::Process(mut child)) => child.kill().await?,
            None => {}
        }
        Ok(())
    }

    /// Takes out the workers that have ended by themselves, and starts others in their place.
    ///
    /// # Errors
    /// Where one ended so soon after its start that another would do the same, or none can be started.
    pub(crate) async fn replace_ended(&mut self) -> anyhow::Result<()> {
        let mut ended = Vec::new();
        for (name, member) in &mut self.workers {
            if let Some(how) = member.how_ended()? {
                ended.push((name.clone(), how));
            }
        }
        for (name, how) in ended {
            self.scrapes.remove(&name);
            let lived = self.workers.remove(&name).map(|m| m.started.elapsed());
            anyhow::ensure!(
                lived.is_none_or(|lived| lived >= SHORTEST_LIFE),
                "{name} has ended by itself: {how}; see its log above"
            );
            tracing::warn!(
                name,
                how,
                "a worker has ended by itself; another is started"
            );
            self.start_one()?;
        }
        Ok(())
    }

    /// Lets every worker drain and waits for all of them, not for long.
    pub(crate) async fn stop(self) {
        let mut leaving = tokio::task::JoinSet::new();
        for member in self.workers.into_values() {
            leaving.spawn(member.stop());
        }
        leaving.join_all().await;
    }
}

impl Member {
    /// How it has ended, if it has.
    ///
    /// # Errors
    /// Where the system does not tell.
    fn how_ended(&mut self) -> anyhow::Result<Option<String>> {
        Ok(match &mut self.running {
            Running::Task { done, .. } => done.is_finished().then(|| "its task is over".to_owned()),
            Running::Process(child) => child.try_wait()?.map(|status| status.to_string()),
        })
    }

    async fn stop(self) {
        match self.running {
            Running::Task { stop, mut done } => {
                // It may have ended by itself.
                let _ = stop.send(());
                if timeout(FAREWELL, &mut done).await.is_err() {
                    done.abort();
                }
            }
            Running::Process(mut child) => {
                drop(child.stdin.take());
                if timeout(FAREWELL, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
            }
        }
    }
}

/// Opens the orchestrator's side of the QUIC link.
///
/// # Errors
/// Where the port cannot be had, naming it.
pub(crate) fn open_link(
    listen: SocketAddr,
    identity: &Identity,
    roles: &[Role],
    network: Network,
    pool: &FramePool,
) -> anyhow::Result<(Endpoint, SocketAddr)> {
    let opened = quic::listen(listen, identity, roles, network, pool);
    opened.map_err(|error| match error {
        QuicError::Bind { address, source } => of_address("listen", address, &source),
        other => other.into(),
    })
}

fn start_task(
    hub: &MemoryHub,
    settings: &WorkerSettings,
    name: &str,
    scrapes: &Scrapes,
) -> anyhow::Result<Running> {
    let endpoint = hub.connect(Role::Worker, name)?;
    let config = WorkerConfig {
        name: name.to_owned(),
        threads: settings.threads,
        isa: settings.isa,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (scrape, scraped) = worker::drive::scrape();
    let pool = FramePool::new();
    scrapes.add(name.to_owned(), scrape, pool.clone());
    let stopped = async {
        let _ = stopped.await;
    };
    let run = worker::drive::run(config, pool, endpoint, stopped, scraped);
    let done = tokio::spawn(run);
    Ok(Running::Task { stop, done })
}

fn start_process(
    settings: &WorkerSettings,
    address: SocketAddr,
    certs: &std::path::Path,
    name: &str,
) -> anyhow::Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    // What the environment says is said to the run, not to its workers.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("AUTOFARM_") {
            command.env_remove(variable);
        }
    }
    let child = command
        .arg("worker")
        .args(["--connect", &address.to_string()])
        .arg("--certs")
        .arg(certs)
        .args(["--name", name])
        .args(["--threads", &settings.threads.to_string()])
        .args(["--isa", settings.isa.name()])
        .args(["--log", "warn", "--until-stdin-ends"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        // Ctrl-C is the run's; it tells its workers itself.
        .process_group(0)
        .spawn()?;
    Ok(Running::Process(child))
}
