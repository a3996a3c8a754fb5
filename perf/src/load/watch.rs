//! What the server says of itself while it is measured: bytes and ticks, once a slot. A task of its own, so that a slow
//! answer delays nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::load::api::Api;
use crate::load::catalogue::WAYS;
use crate::load::target::Target;
use crate::load::traffic::{self, Page, Traffic};

/// Longest wait for what the server says last.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// Simulations that are read; of more, the first.
const MAX_READ: usize = 8;

/// What the server said at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// When it was asked, s since the begin.
    pub(crate) at_s: f64,
    /// Bytes of the roles.
    pub(crate) traffic: Traffic,
    /// Ticks of the simulations so far.
    pub(crate) ticks: u64,
    /// Those that were late.
    pub(crate) late_ticks: u64,
}

/// All that it said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    /// In the order in which it was asked.
    pub(crate) said: Vec<Said>,
    /// Why there are no bytes of a page.
    pub(crate) unread: Option<String>,
}

impl Words {
    /// Bytes a second of each way that is known, from the first time that it was said to the last.
    pub(crate) fn bytes_per_s(&self) -> Vec<(&'static str, f64)> {
        let known = WAYS.iter().enumerate().filter_map(|(at, way)| {
            let mut said = (self.said.iter()).filter_map(|s| Some((s.at_s, s.traffic[at]?)));
            let (first, last) = (said.next()?, said.next_back()?);
            Some((*way, (last.1 - first.1).max(0.0) / (last.0 - first.0)))
        });
        known.collect()
    }
}

/// The task.
pub(crate) struct Watch {
    words: Arc<Mutex<Words>>,
    ended: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Asks now and then every so often.
    pub(crate) fn start(
        mut api: Api,
        mut pages: Vec<Page>,
        targets: Arc<[Target]>,
        every: Duration,
    ) -> Watch {
        let words = Arc::new(Mutex::new(Words::default()));
        let told = Arc::clone(&words);
        let ended = Arc::new(Notify::new());
        let end = Arc::clone(&ended);
        let start = Instant::now();
        let task = tokio::spawn(async move {
            let mut turns = interval(every);
            turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut is_last = false;
            while !is_last {
                tokio::select! {
                    _ = turns.tick() => {}
                    () = end.notified() => is_last = true,
                }
                ask(&mut api, &mut pages, &targets, start, &told).await;
            }
        });
        Watch { words, ended, task }
    }

    /// What was said last.
    pub(crate) fn last_two(&self) -> Option<(Said, Said)> {
        let words = self.words.lock().expect("nobody panics with it");
        let [.., before, last] = words.said.as_slice() else {
            return None;
        };
        Some((*before, *last))
    }

    /// Asks for the last time.
    pub(crate) async fn end(mut self) -> Words {
        self.ended.notify_one();
        if timeout(LAST_PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
        std::mem::take(&mut *self.words.lock().expect("nobody panics with it"))
    }
}

async fn ask(
    api: &mut Api,
    pages: &mut [Page],
    targets: &[Target],
    start: Instant,
    words: &Mutex<Words>,
) {
    let at_s = start.elapsed().as_secs_f64();
    let mut said = Said {
        at_s,
        traffic: Traffic::default(),
        ticks: 0,
        late_ticks: 0,
    };
    let mut unread = None;
    for page in pages {
        match page.read().await {
            Ok(more) => traffic::add(&mut said.traffic, &more),
            Err(error) => unread = Some(format!("{error:#}")),
        }
    }
    for target in targets.iter().take(MAX_READ) {
        // A server that does not answer says nothing of this moment; the requests of the load tell of it.
        let Ok(resource) = api.read(&target.id).await else {
            return;
        };
        said.ticks += resource.tick;
        said.late_ticks += resource.late_ticks;
    }
    let mut words = words.lock().expect("nobody panics with it");
    words.said.push(said);
    words.unread = words.unread.take().or(unread);
}
