//! What a run does while it goes: writes digests, moves a progress bar, kills workers on request.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use orchestrator::event::{Event, TickPublished};
use orchestrator::handle::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::fleet::Fleet;

/// How often the workers are looked after.
const CHECK_EVERY: Duration = Duration::from_millis(200);

/// When workers are killed: each time the one that has the most to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kills {
    /// One when each of these ticks is published.
    pub(crate) at_ticks: Vec<u64>,
    /// One each time this has passed.
    pub(crate) every: Option<Duration>,
}

/// Follows a run's events to its end.
pub(crate) struct Watch {
    handle: Handle,
    events: Receiver<Arc<Event>>,
    kill_at: VecDeque<u64>,
    kill_every: Option<Interval>,
    digests: Option<Digests>,
    progress: ProgressBar,
    /// Workers killed so far.
    pub(crate) killed: u64,
}

/// A file of `tick digest` lines.
struct Digests {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Watch {
    /// A watch that has seen nothing yet.
    ///
    /// # Errors
    /// Where the file of digests cannot be made, or the orchestrator has ended.
    pub(crate) fn new(
        handle: Handle,
        kills: &Kills,
        digests: Option<&Path>,
        last_tick: u64,
    ) -> anyhow::Result<Watch> {
        let mut at_ticks = kills.at_ticks.clone();
        at_ticks.sort_unstable();
        let progress = if std::io::stderr().is_terminal() {
            ProgressBar::new(last_tick).with_style(
                ProgressStyle::with_template("{bar:40} tick {pos}/{len} {per_sec} {eta} left")
                    .expect("a constant template"),
            )
        } else {
            ProgressBar::hidden()
        };
        Ok(Watch {
            events: handle.subscribe()?,
            handle,
            kill_at: at_ticks.into(),
            kill_every: kills.every.map(|every| {
                let mut kills = interval_at(Instant::now() + every, every);
                kills.set_missed_tick_behavior(MissedTickBehavior::Delay);
                kills
            }),
            digests: digests.map(Digests::create).transpose()?,
            progress,
            killed: 0,
        })
    }

    /// Waits until `workers` have registered.
    ///
    /// # Errors
    /// Where a worker process ends, or none registers within `patience`.
    pub(crate) async fn workers(
        &mut self,
        fleet: &mut Fleet,
        workers: u32,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        let mut joined = 0;
        while joined < workers {
            fleet.replace_ended().await?;
            let event = tokio::time::timeout(CHECK_EVERY, self.events.recv()).await;
            if let Ok(event) = event
                && let Event::WorkerJoined { .. } = &*event?
            {
                joined += 1;
            }
            anyhow::ensure!(
                Instant::now() < until,
                "{joined} of {workers} workers have registered after {} s; see their logs above",
                patience.as_secs()
            );
        }
        Ok(())
    }

    /// Follows the run until it has settled.
    ///
    /// # Errors
    /// Where digests cannot be written, or a worker cannot be killed or replaced.
    pub(crate) async fn follow(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let mut check = tokio::time::interval(CHECK_EVERY);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(event) => match &*event {
                        Event::Tick(tick) => self.tick(tick, fleet).await?,
                        Event::Settled { .. } => break,
                        _ => {}
                    },
                    Err(RecvError::Lagged(missed)) => self.lagged(missed)?,
                    Err(RecvError::Closed) => break,
                },
                _ = next(&mut self.kill_every) => self.replace_busiest(fleet).await?,
                _ = check.tick() => fleet.replace_ended().await?,
            }
        }
        self.progress.finish_and_clear();
        match &mut self.digests {
            Some(digests) => digests.flush(),
            None => Ok(()),
        }
    }

    async fn tick(&mut self, tick: &TickPublished, fleet: &mut Fleet) -> anyhow::Result<()> {
        self.progress.set_position(tick.tick);
        if let Some(digests) = &mut self.digests {
            digests.write(tick)?;
        }
        while self.kill_at.front().is_some_and(|at| *at <= tick.tick) {
            self.kill_at.pop_front();
            self.replace_busiest(fleet).await?;
        }
        Ok(())
    }

    async fn replace_busiest(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let snapshot = self.handle.snapshot().await?;
        if let Some(busiest) = snapshot.workers.iter().max_by_key(|w| w.rows) {
            fleet.kill(&busiest.name).await?;
            self.killed += 1;
        }
        fleet.start_one()
    }

    /// Ticks went by unseen. That matters only where each of them was to be written.
    fn lagged(&self, missed: u64) -> anyhow::Result<()> {
        let Some(digests) = &self.digests else {
            return Ok(());
        };
        anyhow::bail!(
            "{}: {missed} events were missed, the file is not whole; ask for fewer digests",
            digests.path.display()
        )
    }
}

impl Digests {
    fn create(path: &Path) -> anyhow::Result<Digests> {
        let file = File::create(path).with_context(|| format!("digests: {}", path.display()))?;
        Ok(Digests {
            path: path.to_path_buf(),
            file: BufWriter::new(file),
        })
    }

    fn write(&mut self, tick: &TickPublished) -> anyhow::Result<()> {
        for d in &tick.digests {
            writeln!(self.file, "{} {:016x}", d.tick, d.digest)
                .with_context(|| self.path.display().to_string())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = self.file.flush();
        flushed.with_context(|| self.path.display().to_string())
    }
}

async fn next(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
