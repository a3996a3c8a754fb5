//! The worker as a state machine: it owns every partition that is not being stepped, and decides
//! what is stepped next. It does no I/O, reads no clock and starts no thread.
//!
//! Call order: after any `handle_*` or [`Worker::drain`], take [`Worker::poll_job`] and
//! [`Worker::poll_transmit`] until they are empty, run the jobs anywhere, and hand each one's early
//! [`JobAnswer`], where there is one, and then its [`JobDone`] back. Call [`Worker::handle_timeout`] when [`Worker::poll_timeout`] says so, and stop
//! once [`Worker::ended`] answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kernel::config::{KERNEL_VERSION, SimulationConfig};
use kernel::isa::Isa;
use kernel::plan::Plan;
use transport::frame::{self, Frame, FrameError};
use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH, SimulationId};
use transport::link::{Class, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::message::{
    ComputeTick, Computed, Dispatch, Heartbeat, Open, PartitionWork, Refused, Register, Welcome,
};
use transport::pool::FramePool;

use crate::answers::{Answers, DispatchId};
use crate::inbox::{Checkpoints, Early, StateKey};
use crate::job::{
    ComputeJob, Job, JobAnswer, JobDone, JobError, Origin, Simulation, answer_header, make_plan,
};
use crate::limits::{DRAIN_QUIET, MAX_COMPUTES, MAX_DRAIN, MAX_SIMULATIONS};
use crate::shard::{Outcome, Shard, Waiting};
use crate::stats::Stats;
use crate::step::Extras;

/// A worker's settings.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Name in logs, at most [`transport::limits::MAX_NAME_BYTES`].
    pub name: String,
    /// Threads that jobs are run on.
    pub threads: u32,
    /// Instruction set of the laws; results do not depend on it.
    pub isa: Isa,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was asked to stop and holds nothing any more.
    #[error("drained")]
    Drained,
    /// It was asked to stop, and what it holds was not taken in time.
    #[error("still held {partitions} partitions {} s after it was asked to stop", MAX_DRAIN.as_secs())]
    DrainTimedOut {
        /// Partitions held.
        partitions: u64,
    },
    /// The orchestrator does not want it.
    #[error("the orchestrator refused this worker: {reason}")]
    Refused {
        /// As it was told.
        reason: String,
    },
}

#[derive(Debug)]
struct Session {
    peer: PeerId,
    /// Set once welcome: interval, and when the next heartbeat is due.
    heartbeat: Option<(Duration, Duration)>,
}

#[derive(Debug)]
struct Drain {
    deadline: Duration,
    /// Since when nothing is held.
    quiet_since: Option<Duration>,
}

/// The state machine. See the module for the order of calls.
#[derive(Debug)]
pub struct Worker {
    config: WorkerConfig,
    pool: FramePool,
    session: Option<Session>,
    /// Newest lease heard of; frames of an older one are dropped.
    lease_epoch: u32,
    shards: BTreeMap<SimulationId, Shard>,
    checkpoints: Checkpoints,
    early: Early,
    answers: Answers,
    computes: usize,
    /// Made for a step of a simulation that is not open here.
    last_plan: Option<Arc<Plan>>,
    drain: Option<Drain>,
    ended: Option<Ended>,
    stats: Stats,
    jobs: VecDeque<Job>,
    transmits: VecDeque<LinkCommand>,
}

impl Worker {
    /// A worker that is not connected.
    #[must_use]
    pub fn new(config: WorkerConfig, pool: FramePool) -> Worker {
        Worker {
            config,
            pool,
            session: None,
            lease_epoch: 0,
            shards: BTreeMap::new(),
            checkpoints: Checkpoints::default(),
            early: Early::default(),
            answers: Answers::default(),
            computes: 0,
            last_plan: None,
            drain: None,
            ended: None,
            stats: Stats::default(),
            jobs: VecDeque::new(),
            transmits: VecDeque::new(),
        }
    }

    /// Something happened on the link.
    pub fn handle_link(&mut self, now: Duration, event: LinkEvent) {
        match event {
            LinkEvent::Connected { peer, role, name } => self.handle_connected(peer, role, &name),
            LinkEvent::Frame { peer, frame } => {
                self.stats.traffic.received(&frame);
                let header = &frame.header;
                let stale = header.lease_epoch < self.lease_epoch;
                if stale || self.session.as_ref().is_none_or(|s| s.peer != peer) {
                    self.stats.stale_frames += 1;
                    return;
                }
                self.lease_epoch = header.lease_epoch;
                if let Err(error) = self.handle_frame(now, frame) {
                    tracing::warn!(%peer, %error, "a bad frame ends the connection");
                    let reason = error.to_string();
                    self.transmits
                        .push_back(LinkCommand::Disconnect { peer, reason });
                }
            }
            LinkEvent::Disconnected { peer, reason } => {
                if self.session.as_ref().is_some_and(|s| s.peer == peer) {
                    if reason.is_orderly() {
                        tracing::info!(%peer, %reason, "disconnected; what was held is dropped");
                    } else {
                        tracing::warn!(%peer, %reason, "disconnected; what was held is dropped");
                    }
                    self.forget();
                }
            }
        }
        self.look_at_drain(now);
    }

    /// A job has its answer, and goes on with what follows it.
    pub fn handle_answer(&mut self, now: Duration, answer: JobAnswer) {
        self.record(&answer);
        self.answer(answer.dispatch, answer.frame, true);
        self.look_at_drain(now);
    }

    /// A job that was polled is done.
    pub fn handle_done(&mut self, now: Duration, done: JobDone) {
        if let Some(answer) = done.answer {
            self.record(&answer);
            self.answer(answer.dispatch, answer.frame, false);
        } else {
            self.follow(done.dispatch, done.extras);
        }
        match done.origin {
            Origin::Nowhere { plan } => {
                self.computes -= 1;
                self.last_plan = plan.or(self.last_plan.take());
            }
            Origin::Slot {
                simulation,
                partition,
                placement_epoch,
                holding,
            } => {
                let shard = self.shards.get_mut(&simulation.id);
                // The simulation may have been closed, or another connection have begun.
                if let Some(shard) = shard.filter(|s| Arc::ptr_eq(&s.simulation, &simulation)) {
                    let outcome = shard.give_back(partition, placement_epoch, holding);
                    self.take_up(simulation.id, outcome);
                }
            }
        }
        self.look_at_drain(now);
    }

    /// Time has come to what [`Worker::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(frame) = self.early.overdue(now) {
            self.refuse_unopened(&frame);
        }
        if let Some(session) = &mut self.session
            && let Some((every, due)) = &mut session.heartbeat
            && *due <= now
        {
            *due = now + *every;
            self.send_heartbeat();
        }
        self.look_at_drain(now);
    }

    /// Asks the worker to stop: it says so, and goes on until everything was taken from it.
    pub fn drain(&mut self, now: Duration) {
        if self.drain.is_none() {
            tracing::info!("draining");
            self.drain = Some(Drain {
                deadline: now + MAX_DRAIN,
                quiet_since: None,
            });
            self.send_heartbeat();
        }
        self.look_at_drain(now);
    }

    /// A job to be run, anywhere, at once.
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// Something for the link.
    pub fn poll_transmit(&mut self) -> Option<LinkCommand> {
        let command = self.transmits.pop_front()?;
        if let LinkCommand::Transmit(transmit) = &command {
            self.stats.traffic.sent(&transmit.frame);
        }
        Some(command)
    }

    /// When [`Worker::handle_timeout`] is to be called, unless something else comes first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let heartbeat = (self.session.as_ref())
            .and_then(|s| s.heartbeat)
            .map(|(_, due)| due);
        let drain = self.drain.as_ref().map(|drain| {
            let quiet = drain.quiet_since.map(|since| since + DRAIN_QUIET);
            quiet.map_or(drain.deadline, |at| at.min(drain.deadline))
        });
        [heartbeat, drain, self.early.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Why it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Its counters, with the gauges as they are now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (partitions, rows) = self.held();
        Stats {
            registered: (self.session.as_ref()).is_some_and(|s| s.heartbeat.is_some()),
            draining: self.drain.is_some(),
            simulations: self.shards.len() as u64,
            partitions,
            rows,
            waiting_checkpoint_bytes: self.checkpoints.bytes() as u64,
            ..self.stats.clone()
        }
    }

    fn handle_connected(&mut self, peer: PeerId, role: Role, name: &str) {
        if role != Role::Orchestrator {
            let reason = format!("a worker talks to an orchestrator, not to a {role}");
            self.transmits
                .push_back(LinkCommand::Disconnect { peer, reason });
            return;
        }
        tracing::info!(%peer, name, "connected");
        self.forget();
        self.stats.connections += 1;
        self.session = Some(Session {
            peer,
            heartbeat: None,
        });
        let register = Register {
            protocol_version: u32::from(PROTOCOL_VERSION),
            kernel_version: KERNEL_VERSION,
            schema_hash: SCHEMA_HASH,
            threads: self.config.threads,
            name: self.config.name.clone(),
        };
        let frame = frame::encode(&self.pool, Header::new(Kind::Register), &register)
            .expect("a name of bounded length fits");
        self.send_control(frame);
    }

    fn handle_frame(&mut self, now: Duration, frame: Frame) -> Result<(), FrameError> {
        let header = frame.header;
        match header.kind {
            Kind::Welcome => {
                let welcome: Welcome = frame.decode()?;
                tracing::info!(worker = welcome.worker, "registered");
                let every = Duration::from_millis(u64::from(welcome.heartbeat_ms.max(1)));
                if let Some(session) = &mut self.session {
                    session.heartbeat = Some((every, now + every));
                }
                self.send_heartbeat();
            }
            Kind::Refused => {
                let Refused { reason } = frame.decode()?;
                self.ended.get_or_insert(Ended::Refused { reason });
            }
            Kind::Open => self.open(header.simulation, frame.decode()?)?,
            Kind::Close => self.close(header.simulation),
            Kind::Release => {
                if let Some(shard) = self.shards.get_mut(&header.simulation) {
                    let outcome = shard.release(header.partition, header.placement_epoch);
                    self.take_up(header.simulation, outcome);
                }
            }
            Kind::Checkpoint => self.checkpoints.put(frame),
            Kind::Dispatch if self.shards.contains_key(&header.simulation) => {
                self.dispatch(now, &frame)?;
            }
            Kind::Dispatch => {
                if let Some(frame) = self.early.put(now, frame) {
                    self.refuse_unopened(&frame);
                }
            }
            Kind::ComputeTick => self.compute(header, frame.decode()?),
            found => {
                let expected = Kind::Dispatch;
                return Err(FrameError::Kind { expected, found });
            }
        }
        Ok(())
    }

    fn open(&mut self, id: SimulationId, open: Open) -> Result<(), FrameError> {
        let known = self.shards.get(&id).map(|s| &s.simulation);
        if known.is_some_and(|s| s.config == open.config && s.digest_every == open.digest_every) {
            return Ok(());
        }
        if known.is_none() && self.shards.len() >= MAX_SIMULATIONS {
            tracing::warn!(simulation = %id, "not opened: too many simulations are");
            return Ok(());
        }
        let plan = match self.plan(id, &open.config) {
            Some(plan) => Ok(plan),
            None => make_plan(&open.config),
        };
        match plan {
            Ok(plan) => {
                let simulation = Simulation {
                    id,
                    config: open.config,
                    digest_every: open.digest_every.max(1),
                    plan,
                    isa: self.config.isa,
                    pool: self.pool.clone(),
                };
                self.shards.insert(id, Shard::new(Arc::new(simulation)));
            }
            Err(error) => tracing::warn!(simulation = %id, %error, "not opened"),
        }
        for (received_at, frame) in self.early.opened(id) {
            self.dispatch(received_at, &frame)?;
        }
        Ok(())
    }

    /// The plan of a configuration, where it was made before.
    fn plan(&self, id: SimulationId, config: &SimulationConfig) -> Option<Arc<Plan>> {
        let open = self.shards.get(&id).map(|shard| &shard.simulation.plan);
        let known = [open, self.last_plan.as_ref()];
        let mut known = known.into_iter().flatten();
        known.find(|plan| plan.farm.config == *config).cloned()
    }

    fn close(&mut self, id: SimulationId) {
        self.shards.remove(&id);
        self.checkpoints.close(id);
        for (_, frame) in self.early.opened(id) {
            self.refuse_unopened(&frame);
        }
    }

    fn dispatch(&mut self, received_at: Duration, frame: &Frame) -> Result<(), FrameError> {
        let Dispatch { work } = frame.decode()?;
        let (simulation, lease_epoch) = (frame.header.simulation, frame.header.lease_epoch);
        let Some(dispatch) = self.begin_answers(work.len()) else {
            return Ok(());
        };
        for work in work {
            let waiting = Waiting {
                checkpoint: self.checkpoints.take(&state_before(simulation, &work)),
                work,
                dispatch,
                lease_epoch,
                received_at,
            };
            match self.shards.get_mut(&simulation) {
                Some(shard) => {
                    let outcome = shard.offer(waiting);
                    self.take_up(simulation, outcome);
                }
                None => self.refuse(simulation, &waiting, &JobError::NotOpen),
            }
        }
        Ok(())
    }

    /// Answers a dispatch whose simulation was never opened here.
    fn refuse_unopened(&mut self, frame: &Frame) {
        if let Err(error) = self.dispatch(Duration::ZERO, frame) {
            tracing::warn!(%error, "a dispatch cannot be read");
        }
    }

    /// Repeats one step for a verification; nothing of it is kept.
    fn compute(&mut self, header: Header, compute: ComputeTick) {
        let checkpoint = self
            .checkpoints
            .take(&state_before(header.simulation, &compute.work));
        let Some(dispatch) = self.begin_answers(1) else {
            return;
        };
        let header = Header {
            kind: Kind::Computed,
            ..header
        };
        let missing = JobError::NotHeld("its checkpoint has not come");
        match checkpoint.filter(|_| self.computes < MAX_COMPUTES) {
            Some(checkpoint) => {
                self.computes += 1;
                let job = ComputeJob {
                    dispatch,
                    header,
                    request: compute.request,
                    plan: self.plan(header.simulation, &compute.config),
                    config: compute.config,
                    work: compute.work,
                    checkpoint,
                    isa: self.config.isa,
                    pool: self.pool.clone(),
                };
                self.jobs.push_back(job.into());
            }
            None => {
                self.stats.record_unable(missing.code());
                let computed = Computed {
                    request: compute.request,
                    digest: 0,
                    unable: missing.code(),
                };
                let frame = frame::encode(&self.pool, header, &computed).expect("numbers fit");
                self.answer(dispatch, frame, false);
            }
        }
    }

    fn begin_answers(&mut self, answers: usize) -> Option<DispatchId> {
        let peer = self.session.as_ref()?.peer;
        (answers > 0).then(|| self.answers.begin(peer, answers))
    }

    fn take_up(&mut self, simulation: SimulationId, outcome: Outcome) {
        for refusal in outcome.refusals {
            self.refuse(simulation, &refusal.waiting, &refusal.error);
        }
        self.jobs.extend(outcome.job.map(Job::from));
    }

    fn refuse(&mut self, simulation: SimulationId, waiting: &Waiting, error: &JobError) {
        self.stats.record_unable(error.code());
        let header = answer_header(simulation, waiting.lease_epoch, &waiting.work);
        tracing::debug!(%simulation, partition = header.partition, tick = header.tick, %error, "refused");
        let frame = error.frame(&self.pool, header);
        self.answer(waiting.dispatch, frame, false);
    }

    fn answer(&mut self, dispatch: DispatchId, frame: Frame, is_followed: bool) {
        let send = &mut |command| self.transmits.push_back(command);
        self.answers.answer(dispatch, frame, is_followed, send);
    }

    /// What follows an answer goes out; what could not be written is only told of. The orchestrator
    /// asks again for what does not come.
    fn follow(&mut self, dispatch: DispatchId, extras: Extras) {
        for error in &extras.failures {
            tracing::warn!(%error, "a view or a checkpoint could not be written; the step stands");
        }
        self.stats.record_extras(&extras);
        let send = &mut |command| self.transmits.push_back(command);
        let Extras {
            view, checkpoints, ..
        } = extras;
        self.answers.follow(dispatch, view, checkpoints, send);
    }

    fn record(&mut self, answer: &JobAnswer) {
        match &answer.outcome {
            Ok(figures) => self.stats.record_job(*figures),
            Err(error) => {
                self.stats.record_unable(error.code());
                let header = &answer.frame.header;
                tracing::warn!(
                    simulation = %header.simulation, partition = header.partition, tick = header.tick,
                    %error, "a job has no result"
                );
            }
        }
    }

    fn send_control(&mut self, frame: Frame) {
        if let Some(session) = &self.session {
            self.transmits.push_back(LinkCommand::Transmit(Transmit {
                peer: session.peer,
                class: Class::Control,
                group: 0,
                frame,
                last: false,
            }));
        }
    }

    fn send_heartbeat(&mut self) {
        let (_, rows) = self.held();
        let heartbeat = Heartbeat {
            rows,
            row_steps: self.stats.row_steps,
            busy_us: u64::try_from(self.stats.busy.as_micros()).unwrap_or(u64::MAX),
            draining: u32::from(self.drain.is_some()),
        };
        let header = Header {
            lease_epoch: self.lease_epoch,
            ..Header::new(Kind::Heartbeat)
        };
        let frame = frame::encode(&self.pool, header, &heartbeat).expect("a few numbers fit");
        self.send_control(frame);
    }

    /// Partitions and rows held.
    fn held(&self) -> (u64, u64) {
        (self.shards.values().map(Shard::held)).fold((0, 0), |(a, b), (n, rows)| (a + n, b + rows))
    }

    /// Drops everything that belongs to the connection; what is being stepped is dropped when it
    /// comes back.
    fn forget(&mut self) {
        self.session = None;
        self.shards.clear();
        self.checkpoints = Checkpoints::default();
        self.early = Early::default();
        self.last_plan = None;
        self.answers.clear();
    }

    /// Ends a drain whose time has come.
    fn look_at_drain(&mut self, now: Duration) {
        let (partitions, _) = self.held();
        let idle = partitions == 0 && self.answers.is_empty();
        let Some(drain) = &mut self.drain else {
            return;
        };
        drain.quiet_since = idle.then(|| drain.quiet_since.unwrap_or(now));
        let quiet = drain
            .quiet_since
            .is_some_and(|since| since + DRAIN_QUIET <= now || self.session.is_none());
        let ended = match quiet {
            true => Ended::Drained,
            false if drain.deadline <= now => Ended::DrainTimedOut { partitions },
            false => return,
        };
        if let Some(session) = self.session.take() {
            let (peer, reason) = (session.peer, "drained".to_owned());
            self.transmits
                .push_back(LinkCommand::Disconnect { peer, reason });
        }
        self.ended.get_or_insert(ended);
    }
}

/// The state that this work begins with.
fn state_before(simulation: SimulationId, work: &PartitionWork) -> StateKey {
    StateKey {
        simulation,
        partition: work.partition,
        tick: work.first_tick.saturating_sub(1),
        placement_epoch: work.placement_epoch,
    }
}

#[cfg(test)]
mod tests {
    use kernel::config::Scenario;

    use super::*;
    use crate::step::Extras;

    fn config(seed: u64) -> SimulationConfig {
        SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities: 40,
            tick_ms: 50,
            seed,
            partition_rows: 4_096,
        }
    }

    fn worker() -> Worker {
        let config = WorkerConfig {
            name: "one".to_owned(),
            threads: 1,
            isa: Isa::detect(),
        };
        Worker::new(config, FramePool::new())
    }

    #[test]
    fn a_verification_uses_the_open_simulations_plan_or_the_last_that_was_made() {
        const OPEN: SimulationId = SimulationId(1);
        const OTHER: SimulationId = SimulationId(2);
        let mut worker = worker();
        let open = Open {
            config: config(1),
            digest_every: 1,
        };
        worker.open(OPEN, open).unwrap();
        let plan = worker.plan(OPEN, &config(1)).expect("it is open");
        assert!(Arc::ptr_eq(&plan, &worker.shards[&OPEN].simulation.plan));
        assert!(worker.plan(OPEN, &config(2)).is_none());
        let made = make_plan(&config(2)).unwrap();
        worker.computes = 1;
        worker.handle_done(
            Duration::ZERO,
            JobDone {
                dispatch: DispatchId(0),
                origin: Origin::Nowhere {
                    plan: Some(made.clone()),
                },
                answer: None,
                extras: Extras::default(),
            },
        );
        let found = worker.plan(OTHER, &config(2)).expect("it was made");
        assert!(Arc::ptr_eq(&found, &made));
        assert!(worker.plan(OTHER, &config(3)).is_none());
    }
}
