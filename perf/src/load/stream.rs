//! Clients of the live stream: who there are, and the threads that they are spread over. Those of one thread
//! share a runtime and what they count.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::load::args::LoadArgs;
use crate::load::gateway::Gateway;
use crate::load::schedule::Schedule;
use crate::load::session::Session;
use crate::load::tally::StreamTally;
use crate::load::target::Target;
use crate::load::timeline::{Recorder, Timeline};
use crate::load::violation::Violations;
use crate::load::window::Window;

/// What a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads text.
    Json,
    /// It reads binary ticks.
    Binary,
    /// It asks for binary ticks and reads none.
    Stalled,
}

impl Kind {
    /// As reports spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Json => "json",
            Kind::Binary => "binary",
            Kind::Stalled => "stalled",
        }
    }

    /// What it asks for.
    pub(crate) fn subprotocol(self) -> &'static str {
        match self {
            Kind::Json => "autofarm.v1.json",
            Kind::Binary | Kind::Stalled => "autofarm.v1.bin",
        }
    }
}

/// One client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its number among those of its kind.
    pub(crate) number: u32,
    /// Index of its simulation.
    pub(crate) target: usize,
    /// When it is due to connect.
    pub(crate) due: Instant,
}

/// What the clients of all threads share.
pub(crate) struct StreamPlan {
    /// What was asked for.
    pub(crate) args: LoadArgs,
    /// Where to.
    pub(crate) gateway: Arc<Gateway>,
    /// Simulations.
    pub(crate) targets: Arc<[Target]>,
    /// When is measured.
    pub(crate) window: Arc<Window>,
    /// What is found.
    pub(crate) violations: Arc<Violations>,
    /// Clients that have read their first hello.
    pub(crate) joined: AtomicU64,
    /// What is read when.
    pub(crate) timeline: Arc<Timeline>,
}

/// Clients of one kind, due one after the other from a start and spread over the simulations.
pub(crate) fn clients(
    kind: Kind,
    count: u32,
    targets: usize,
    schedule: &Schedule,
    first: u64,
) -> impl Iterator<Item = Client> {
    (0..count).map(move |number| Client {
        kind,
        number,
        target: number as usize % targets,
        due: schedule.due(first + u64::from(number)),
    })
}

/// Drives clients until the window is over. Blocks the thread.
///
/// # Errors
/// Where the system gives no runtime.
pub(crate) fn drive(plan: &Arc<StreamPlan>, clients: &[Client]) -> anyhow::Result<StreamTally> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tally = Rc::new(RefCell::new(StreamTally::default()));
    let recorder = Recorder::new(Arc::clone(&plan.timeline));
    let recorder = Rc::new(RefCell::new(recorder));
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for client in clients {
            let (plan, tally) = (Arc::clone(plan), Rc::clone(&tally));
            let session = Session::new(plan, *client, tally, Rc::clone(&recorder));
            tasks.spawn_local(session.run());
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a client never panics");
        }
    });
    Ok(tally.take())
}
