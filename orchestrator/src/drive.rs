//! The one async loop of the role: link, clock and control requests into the core, and out of it
//! what it wants done. `Instant::now` is read here and in `clock` only, the wall clock
//! here alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kernel::plan::Plan;
use store::recovery::Recovered;
use tokio::sync::{broadcast, mpsc, oneshot};
use transport::control::{Answer, Request, Token};
use transport::link::{Endpoint, LinkCommand, PeerId};
use transport::pool::FramePool;

use crate::arbitrate::{Arbitrated, arbitrate};
use crate::chore::{Chore, ChoreDone};
use crate::clock::{Clock, Origin};
use crate::config::Config;
use crate::control::{SimulationId, SimulationInfo};
use crate::core::{Drained, Orchestrator};
use crate::desk::Asker;
use crate::event::Event;
use crate::handle::{Call, Handle};
use crate::keeper::{Keeper, Told};
use crate::limits::{
    CONTROL_QUEUE, EVENT_QUEUE, HISTOGRAMS_EVERY, MAX_ARBITRATIONS, MAX_BATCH, MAX_CHORES,
    TELL_TIME_EVERY,
};
use crate::log::Log;
use crate::snapshot::Snapshot;
use crate::threads::Threads;

/// The core and everything that is asked of it, as the loop owns them.
pub(crate) struct Driver {
    pub(crate) core: Orchestrator,
    link: Endpoint,
    clock: Clock,
    origin: Origin,
    calls: mpsc::Receiver<Call>,
    /// Who waits for the answer of which request.
    asked: BTreeMap<u64, oneshot::Sender<Answer>>,
    last_request: u64,
    chores: mpsc::Sender<ChoreDone>,
    threads: Threads,
    done: mpsc::Receiver<ChoreDone>,
    /// When the core was last told what time it is.
    wall_at: Option<Duration>,
    events: broadcast::Sender<Arc<Event>>,
    pub(crate) settled: BTreeMap<SimulationId, Vec<oneshot::Sender<SimulationInfo>>>,
    arbitrated: mpsc::Receiver<Arbitrated>,
    arbitrations: mpsc::Sender<Arbitrated>,
    log: Log,
    /// The database's tasks; `None` where nothing is kept.
    keeper: Option<Keeper>,
    /// When it ends at the latest, once it was asked to.
    pub(crate) ends_at: Option<Duration>,
    /// Who is told at its end whether all that happened is written.
    pub(crate) rested: Option<oneshot::Sender<bool>>,
    /// When the histograms were last shown anew.
    shown_at: Option<Duration>,
    /// Connections to be closed, of which the link could not be told; at most as many as it has.
    unsaid: BTreeMap<PeerId, String>,
}

/// What the link did with a command.
enum Sent {
    /// It took it.
    Taken,
    /// Its queue is full.
    Full,
    /// It has ended.
    Ended,
}

/// Starts an orchestrator on a link, with the pool that the link receives in. The answer is a handle and the future that drives it, which
/// ends when the link has or the last handle is dropped.
///
/// # Errors
/// If the system gives no thread for the clock.
pub fn start(
    config: Config,
    pool: FramePool,
    link: Endpoint,
    origin: Origin,
) -> std::io::Result<(Handle, impl Future<Output = ()> + Send)> {
    let (handle, driver) = build(config, pool, link, origin)?;
    let run = async move {
        driver.run().await;
    };
    Ok((handle, run))
}

/// What a database holds, and its tasks.
pub(crate) struct Kept {
    pub(crate) keeper: Keeper,
    /// Simulations, with the farms of those that go on.
    pub(crate) recovered: Vec<(Recovered, Option<Plan>)>,
    /// Simulations that cannot go on, and why.
    pub(crate) lost: Vec<(Recovered, String)>,
    pub(crate) tokens: Vec<Token>,
}

/// Starts an orchestrator that goes on with what is kept. Its future answers why it has ended, where the
/// database was lost.
pub(crate) fn start_kept(
    config: Config,
    pool: FramePool,
    link: Endpoint,
    origin: Origin,
    kept: Kept,
) -> std::io::Result<(Handle, impl Future<Output = Option<String>> + Send)> {
    let (handle, mut driver) = build(config, pool, link, origin)?;
    driver.keeper = Some(kept.keeper);
    driver.tell_time();
    driver.core.load_tokens(kept.tokens);
    for (recovered, plan) in kept.recovered {
        let now = origin.elapsed();
        let known = Recovered {
            cut: None,
            commands: Vec::new(),
            ..recovered.clone()
        };
        let reason = if plan.is_none() && recovered.goes_on() {
            Some("its farm cannot be cut by this build".to_owned())
        } else {
            let recovery = driver.core.recover(now, recovered, plan);
            recovery.err().map(|fault| fault.to_string())
        };
        if let Some(reason) = reason {
            tracing::error!(simulation = %known.spec.id, reason, "a simulation cannot go on");
            driver.core.recover_as_failed(now, known, &reason);
        }
    }
    for (known, reason) in kept.lost {
        driver
            .core
            .recover_as_failed(origin.elapsed(), known, &reason);
    }
    Ok((handle, driver.run()))
}

fn build(
    config: Config,
    pool: FramePool,
    link: Endpoint,
    origin: Origin,
) -> std::io::Result<(Handle, Driver)> {
    let (call_sender, calls) = mpsc::channel(CONTROL_QUEUE);
    let (chores, done) = mpsc::channel(MAX_CHORES);
    let (events, _) = broadcast::channel(EVENT_QUEUE);
    let (arbitrations, arbitrated) = mpsc::channel(MAX_ARBITRATIONS);
    let handle = Handle {
        calls: call_sender,
        events: events.downgrade(),
    };
    let driver = Driver {
        core: Orchestrator::new(config, pool).with_stopwatch(move || origin.elapsed()),
        link,
        clock: Clock::start(origin)?,
        origin,
        calls,
        asked: BTreeMap::new(),
        last_request: 0,
        chores,
        threads: Threads::default(),
        done,
        wall_at: None,
        events,
        settled: BTreeMap::new(),
        arbitrated,
        arbitrations,
        log: Log::default(),
        keeper: None,
        ends_at: None,
        rested: None,
        shown_at: None,
        unsaid: BTreeMap::new(),
    };
    Ok((handle, driver))
}

impl Driver {
    /// Runs to the end; answers why that is, where the database was lost.
    async fn run(mut self) -> Option<String> {
        self.run_to_the_end().await;
        if let Some(asker) = self.rested.take() {
            // It may have gone.
            let _ = asker.send(self.core.is_at_rest());
        }
        self.core.ended().map(str::to_owned)
    }

    async fn run_to_the_end(&mut self) {
        let mut turns = 0;
        if !self.drain() {
            return;
        }
        loop {
            self.tell_time();
            turns += 1;
            if turns % MAX_BATCH == 0 && !self.hear_the_last() {
                return;
            }
            // The clock first: a deadline is the one thing that must not wait for the rest.
            tokio::select! {
                biased;
                () = self.clock.wake() => {
                    if !self.handle_waiting() {
                        return;
                    }
                    self.core.handle_timeout(self.origin.elapsed());
                }
                event = self.link.events.recv() => {
                    let Some(event) = event else { return };
                    self.core.handle_link(self.origin.elapsed(), event);
                }
                Some(arbitrated) = self.arbitrated.recv() => {
                    self.core.handle_arbitrated(self.origin.elapsed(), &arbitrated);
                }
                Some(done) = self.done.recv() => {
                    self.core.handle_chore(self.origin.elapsed(), done);
                }
                told = told(&mut self.keeper) => {
                    self.handle_told(told);
                }
                call = self.calls.recv() => {
                    let Some(call) = call else { return };
                    self.handle_call(call);
                }
            }
            if !self.drain() || self.is_over() {
                return;
            }
        }
    }

    /// Handles one of each of what the loop hears last, so that it waits for no more than
    /// [`MAX_BATCH`] of the rest; `false` if the link has ended.
    fn hear_the_last(&mut self) -> bool {
        if let Ok(arbitrated) = self.arbitrated.try_recv() {
            let now = self.origin.elapsed();
            self.core.handle_arbitrated(now, &arbitrated);
            if !self.drain() {
                return false;
            }
        }
        if let Ok(done) = self.done.try_recv() {
            self.core.handle_chore(self.origin.elapsed(), done);
            if !self.drain() {
                return false;
            }
        }
        if let Some(told) = self.keeper.as_mut().and_then(|k| k.told.try_recv().ok()) {
            self.handle_told(told);
            if !self.drain() {
                return false;
            }
        }
        let Ok(call) = self.calls.try_recv() else {
            return true;
        };
        self.handle_call(call);
        self.drain()
    }

    /// The database's tasks say something.
    fn handle_told(&mut self, told: Told) {
        let now = self.origin.elapsed();
        match told {
            Told::Committed(outcomes) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.came_back();
                }
                for (id, result) in outcomes {
                    self.core.handle_committed(now, id, result);
                }
            }
            Told::Appended(id, result) => self.core.handle_appended(now, id, result),
            Told::Over(reason) => self.core.handle_store_over(now, reason),
        }
    }

    /// Whether it is to end now.
    fn is_over(&self) -> bool {
        let now = self.origin.elapsed();
        let ends = |at: Duration| at <= now || self.core.is_at_rest();
        self.core.ended().is_some() || self.ends_at.is_some_and(ends)
    }

    fn handle_call(&mut self, call: Call) {
        let now = self.origin.elapsed();
        match call {
            Call::Ask(ask, answer) => {
                self.last_request += 1;
                let id = self.last_request;
                self.asked.insert(id, answer);
                let request = Request {
                    id,
                    token: 0,
                    idempotency: None,
                    ask: *ask,
                };
                self.core.handle_request(now, Asker::Local, request);
            }
            Call::Look(look) => look(self, now),
        }
    }

    /// Tells the core what time it is, about once a second.
    fn tell_time(&mut self) {
        let now = self.origin.elapsed();
        if self.wall_at.is_none_or(|at| at + TELL_TIME_EVERY <= now) {
            self.wall_at = Some(now);
            let unix = SystemTime::now().duration_since(UNIX_EPOCH);
            let unix_us = unix.map_or(0, |unix| unix.as_micros() as u64);
            self.core.handle_wall(now, unix_us);
        }
    }

    /// Handles what waits already: a worker is not late whose result is here. `false` if the link has
    /// ended.
    fn handle_waiting(&mut self) -> bool {
        for _ in 0..MAX_BATCH {
            match self.link.events.try_recv() {
                Ok(event) => self.core.handle_link(self.origin.elapsed(), event),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
            if !self.drain() {
                return false;
            }
        }
        true
    }

    /// Drains the polls; `false` if the link has ended.
    fn drain(&mut self) -> bool {
        if !self.transmit_all(Orchestrator::poll_transmit) {
            return false;
        }
        let transmitted = self.origin.elapsed();
        if !self.transmit_all(Orchestrator::poll_publication) {
            return false;
        }
        while let Some(event) = self.core.poll_event() {
            self.publish(event);
        }
        self.log.end();
        while let Some(arbitration) = self.core.poll_arbitration() {
            let answers = self.arbitrations.clone();
            tokio::task::spawn_blocking(move || {
                // The loop has ended if nobody hears it.
                let _ = answers.blocking_send(arbitrate(&arbitration));
            });
        }
        while let Some(chore) = self.core.poll_chore() {
            self.begin_chore(chore);
        }
        while let Some((_, response)) = self.core.poll_response() {
            if let Some(waiter) = self.asked.remove(&response.id) {
                // Whoever asked may have stopped waiting.
                let _ = waiter.send(response.answer);
            }
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.write(|| self.core.poll_write());
            if let Some(batch) = self.core.poll_batch() {
                keeper.append(batch);
            }
        }
        let published = self.origin.elapsed();
        self.core.handle_drained(Drained {
            transmitted,
            published,
        });
        let timeout = self.core.poll_timeout();
        self.clock
            .arm([timeout, self.ends_at].into_iter().flatten().min());
        true
    }
}

impl Driver {
    /// Carries out a chore on a thread, once there is a place for it.
    fn begin_chore(&self, chore: Chore) {
        let (chores, threads) = (self.chores.clone(), self.threads.clone());
        tokio::spawn(async move {
            let id = chore.id;
            let done = threads.run(move || chore.carry_out()).await;
            let done = done.unwrap_or_else(|error| {
                tracing::error!(%error, "a thread that worked for the core has panicked");
                Chore::failed(id)
            });
            // The loop has ended if nobody hears it.
            let _ = chores.send(done).await;
        });
    }

    pub(crate) fn snapshot(&mut self, now: Duration) -> Snapshot {
        if self.shown_at.is_none_or(|at| at + HISTOGRAMS_EVERY <= now) {
            self.shown_at = Some(now);
            self.core.show_histograms();
        }
        self.core.snapshot(now)
    }

    /// Gives the link all that waits for it; `false` if the link has ended. It never waits: of a link
    /// whose queue is full, whoever misses a frame by that is sent away, and what he had goes to others.
    fn transmit_all(&mut self, next: impl Fn(&mut Orchestrator) -> Option<LinkCommand>) -> bool {
        while let Some((peer, reason)) = self.unsaid.pop_first() {
            match self.transmit(LinkCommand::Disconnect { peer, reason }) {
                Sent::Taken => {}
                Sent::Full => break,
                Sent::Ended => return false,
            }
        }
        loop {
            let mut missed = BTreeSet::new();
            while let Some(command) = next(&mut self.core) {
                let peer = match &command {
                    LinkCommand::Transmit(transmit) => transmit.peer,
                    LinkCommand::Disconnect { peer, .. } => *peer,
                };
                let is_frame = matches!(command, LinkCommand::Transmit(_));
                // Nothing follows what was missed.
                if is_frame && (missed.contains(&peer) || self.unsaid.contains_key(&peer)) {
                    continue;
                }
                match self.transmit(command) {
                    Sent::Taken => {}
                    Sent::Full if is_frame => _ = missed.insert(peer),
                    Sent::Full => {}
                    Sent::Ended => return false,
                }
            }
            if missed.is_empty() {
                return true;
            }
            for peer in missed {
                tracing::error!(%peer, "the link takes nothing more for it");
                self.core.handle_stuck(self.origin.elapsed(), peer);
            }
        }
    }

    /// Gives a command to the link. The end of a connection that it does not take is kept.
    fn transmit(&mut self, command: LinkCommand) -> Sent {
        match self.link.commands.try_send(command) {
            Ok(()) => Sent::Taken,
            Err(mpsc::error::TrySendError::Closed(_)) => Sent::Ended,
            Err(mpsc::error::TrySendError::Full(command)) => {
                if let LinkCommand::Disconnect { peer, reason } = command {
                    self.unsaid.insert(peer, reason);
                }
                Sent::Full
            }
        }
    }

    /// Gives an event to the log and to whoever listens.
    fn publish(&mut self, event: Event) {
        self.log.write(&event);
        if let Event::Settled { simulation, .. } = &event
            && let Ok(info) = self.core.simulation(*simulation)
        {
            for waiter in self.settled.remove(simulation).unwrap_or_default() {
                // Whoever asked may have stopped waiting.
                let _ = waiter.send(info.clone());
            }
        }
        if let Event::Deleted { simulation, .. } = &event {
            // It will never settle: whoever waits for that learns it as `Ended`.
            self.settled.remove(simulation);
        }
        // Nobody need be listening.
        let _ = self.events.send(Arc::new(event));
    }
}

/// The next word of the database's tasks; never where there are none.
async fn told(keeper: &mut Option<Keeper>) -> Told {
    let told = match keeper {
        Some(keeper) => keeper.told.recv().await,
        None => None,
    };
    match told {
        Some(told) => told,
        // Tasks that have ended have said why.
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{RefusalKind, Spec, Speed};
    use transport::frame::Frame;
    use transport::header::{Header, Kind};
    use transport::link::{LinkEvent, PeerId, Role};
    use transport::memory;

    #[tokio::test]
    async fn a_request_is_heard_while_frames_never_cease() {
        let (frames, events) = mpsc::channel(4 * MAX_BATCH);
        let (mut link, _hub) = memory::hub(Role::Orchestrator, "test");
        link.events = events;
        let pool = FramePool::new();
        let (handle, driver) = start(Config::default(), pool, link, Origin::now()).unwrap();
        // Fewer than what a task may receive before it has to yield: only the loop's order counts.
        let waiting = MAX_BATCH + MAX_BATCH / 2;
        for _ in 0..waiting {
            let frame = Frame::bare(Header::new(Kind::Result));
            let peer = PeerId(1);
            frames.try_send(LinkEvent::Frame { peer, frame }).unwrap();
        }
        let asked = handle.snapshot();
        let snapshot = tokio::select! {
            biased;
            snapshot = asked => snapshot.unwrap(),
            () = driver => panic!("the loop has ended"),
        };
        let handled = snapshot.unexpected_frames as usize;
        assert!(handled <= MAX_BATCH, "{handled} of {waiting} came first");
    }

    #[tokio::test]
    async fn a_farm_is_cut_off_the_loop_and_what_is_wrong_with_it_is_answered() {
        let (link, _hub) = memory::hub(Role::Orchestrator, "test");
        let pool = FramePool::new();
        let (handle, driver) = start(Config::default(), pool, link, Origin::now()).unwrap();
        let driver = tokio::spawn(driver);
        let wrong = Spec {
            id: SimulationId(1),
            name: String::new(),
            config: kernel::config::SimulationConfig {
                scenario: 1,
                entities: 0,
                tick_ms: 20,
                seed: 1,
                partition_rows: 8,
            },
            speed: Speed::Max,
            max_ticks: None,
            digest_every: 1,
            late: crate::control::LatePolicy::Dilate,
            parent: None,
        };
        let refusal = handle.create(wrong).await.unwrap_err();
        assert_eq!(
            (refusal.kind, &*refusal.field),
            (RefusalKind::Invalid, "entities")
        );
        // What is asked next is not kept waiting by it.
        let refusal = handle.start(SimulationId(1)).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::NotFound);
        drop(handle);
        driver.await.unwrap();
    }
}
