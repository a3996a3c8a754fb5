//! The one loop of a worker process: link events and finished jobs in, jobs and frames out. The only
//! place here that reads the clock.

use std::cell::RefCell;
use std::future::Future;
use std::time::{Duration, Instant};

use bumpalo::Bump;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use transport::link::Endpoint;
use transport::pool::FramePool;

use crate::job::{Job, JobAnswer, JobDone};
use crate::limits::{MAX_BATCH, MAX_WAITING_DONE, MAX_WAITING_SCRAPES};
use crate::stats::Stats;
use crate::worker::{Ended, Worker, WorkerConfig};

thread_local! {
    /// Scratch memory of a stepping thread.
    static ARENA: RefCell<Bump> = RefCell::new(Bump::new());
}

/// Asks a running worker for its counters.
#[derive(Clone, Debug)]
pub struct Scrape(mpsc::Sender<oneshot::Sender<Stats>>);

/// The worker's end of [`Scrape`].
#[derive(Debug)]
pub struct Scraped(mpsc::Receiver<oneshot::Sender<Stats>>);

/// Why a worker process ends without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The threads to step on cannot be started.
    #[error("the threads to step on cannot be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The link ended.
    #[error("the link ended")]
    LinkEnded,
    /// The link takes nothing any more.
    #[error("the link is stuck: its queue is full")]
    LinkStuck,
    /// The worker ended, but not by being drained.
    #[error(transparent)]
    Ended(Ended),
}

/// A pair for [`run`]: what asks, and what answers.
#[must_use]
pub fn scrape() -> (Scrape, Scraped) {
    let (ask, asked) = mpsc::channel(MAX_WAITING_SCRAPES);
    (Scrape(ask), Scraped(asked))
}

impl Scrape {
    /// The counters as they are now; `None` once the worker has ended, or is asked too often.
    pub async fn stats(&self) -> Option<Stats> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).ok()?;
        answered.await.ok()
    }
}

/// Runs a worker until it has ended. `stop` asks it to drain.
///
/// # Errors
/// [`DriveError`] says why it ended where it was not drained.
pub async fn run(
    config: WorkerConfig,
    pool: FramePool,
    mut endpoint: Endpoint,
    stop: impl Future<Output = ()>,
    mut scraped: Scraped,
) -> Result<(), DriveError> {
    let threads = Threads::start(config.threads)?;
    let (done, mut finished) = mpsc::channel(MAX_WAITING_DONE);
    let mut worker = Worker::new(config, pool);
    let mut stop = std::pin::pin!(stop);
    let mut draining = false;
    loop {
        while let Some(job) = worker.poll_job() {
            threads.spawn(job, done.clone());
        }
        send(&mut worker, &endpoint)?;
        if let Some(ended) = worker.ended() {
            // The last frames are on their way, and this may be the end of the process.
            endpoint.close().await;
            return match ended {
                Ended::Drained => Ok(()),
                ended => Err(DriveError::Ended(ended.clone())),
            };
        }
        let due = worker.poll_timeout().map(|at| threads.start + at);
        tokio::select! {
            biased;
            Some(first) = finished.recv() => {
                handle_finished(&mut worker, threads.now(), first);
                take(&mut finished, |next| handle_finished(&mut worker, threads.now(), next));
            }
            event = endpoint.events.recv() => {
                worker.handle_link(threads.now(), event.ok_or(DriveError::LinkEnded)?);
                take(&mut endpoint.events, |event| worker.handle_link(threads.now(), event));
            }
            Some(answer) = scraped.0.recv() => {
                // Who asked may have gone.
                let _ = answer.send(worker.stats());
            }
            () = &mut stop, if !draining => {
                draining = true;
                worker.drain(threads.now());
            }
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                worker.handle_timeout(threads.now());
            }
        }
    }
}

/// What a stepping thread hands over.
enum Finished {
    Answer(JobAnswer),
    Job(Box<JobDone>),
}

fn handle_finished(worker: &mut Worker, now: Duration, finished: Finished) {
    match finished {
        Finished::Answer(answer) => worker.handle_answer(now, answer),
        Finished::Job(done) => worker.handle_done(now, *done),
    }
}

/// Takes what waits already, so that a burst is one turn of the loop.
fn take<T>(queue: &mut mpsc::Receiver<T>, mut handle: impl FnMut(T)) {
    for _ in 0..MAX_BATCH {
        match queue.try_recv() {
            Ok(item) => handle(item),
            Err(_) => return,
        }
    }
}

/// Hands everything to the link, which never makes the loop wait.
fn send(worker: &mut Worker, endpoint: &Endpoint) -> Result<(), DriveError> {
    while let Some(command) = worker.poll_transmit() {
        endpoint
            .commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => DriveError::LinkStuck,
                TrySendError::Closed(_) => DriveError::LinkEnded,
            })?;
    }
    Ok(())
}

/// The threads that jobs are run on, and their clock.
struct Threads {
    pool: rayon::ThreadPool,
    start: Instant,
}

impl Threads {
    fn start(threads: u32) -> Result<Threads, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads as usize)
            .thread_name(|n| format!("step-{n}"))
            .build()?;
        Ok(Threads {
            pool,
            start: Instant::now(),
        })
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn spawn(&self, job: Job, finished: mpsc::Sender<Finished>) {
        let start = self.start;
        self.pool.spawn(move || {
            // Sending fails only where the loop has ended, and then nobody wants it.
            let early = |answer| {
                let _ = finished.blocking_send(Finished::Answer(answer));
            };
            let done = ARENA.with_borrow_mut(|arena| job.run(arena, || start.elapsed(), early));
            let _ = finished.blocking_send(Finished::Job(Box::new(done)));
        });
    }
}
