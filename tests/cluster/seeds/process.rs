//! A worker process: the real state machine and real jobs, on threads that take virtual time. It can
//! be slow, and it can be stopped as by SIGSTOP: time passes, and what comes waits.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bumpalo::Bump;
use fastrand::Rng;
use kernel::isa::Isa;
use transport::link::{LinkCommand, LinkEvent, PeerId};
use transport::pool::FramePool;
use worker::{Job, JobAnswer, JobDone, Worker, WorkerConfig};

use crate::manner::Behaviour;

/// Time a job takes whatever it does.
const JOB_NS: u64 = 20_000;
/// Time a row-step takes.
const ROW_STEP_NS: u64 = 1_500;

/// A worker process.
pub(crate) struct Process {
    pub(crate) worker: Worker,
    pub(crate) name: String,
    /// What the orchestrator calls its newest connection.
    pub(crate) peer: Option<PeerId>,
    /// When it connects, while it has no connection.
    pub(crate) connect_at: Option<Duration>,
    /// How many times longer than usual its jobs take.
    pub(crate) slowness: u64,
    /// Whether it is stopped.
    pub(crate) stopped: bool,
    /// Whether it was asked to drain.
    pub(crate) draining: bool,
    /// What becomes of what the worker says.
    pub(crate) behaviour: Behaviour,
    inbox: VecDeque<LinkEvent>,
    waiting: VecDeque<Job>,
    running: BTreeMap<(Duration, u64), JobDone>,
    /// Answers of jobs that go on, by the time they are handed over.
    early: BTreeMap<(Duration, u64), JobAnswer>,
    threads: usize,
    begun: u64,
    arena: Bump,
}

impl Process {
    /// A process that connects at once.
    pub(crate) fn new(now: Duration, name: String, pool: &FramePool, random: &mut Rng) -> Process {
        let sets: Vec<Isa> = Isa::available().collect();
        let threads = random.u32(1..=3);
        let config = WorkerConfig {
            name: name.clone(),
            threads,
            // One draw, however many this machine has.
            isa: sets[random.u8(..) as usize % sets.len()],
        };
        Process {
            worker: Worker::new(config, pool.clone()),
            name,
            peer: None,
            connect_at: Some(now),
            slowness: 1,
            stopped: false,
            draining: false,
            behaviour: Behaviour::default(),
            inbox: VecDeque::new(),
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            early: BTreeMap::new(),
            threads: threads as usize,
            begun: 0,
            arena: Bump::new(),
        }
    }

    /// When it has something to do by itself.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        if self.stopped {
            return None;
        }
        let finished = self.running.keys().next().map(|(at, _)| *at);
        let answered = self.early.keys().next().map(|(at, _)| *at);
        [
            answered,
            finished,
            self.worker.poll_timeout(),
            self.connect_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Something came from the link; a stopped process finds it when it wakes.
    pub(crate) fn deliver(&mut self, now: Duration, event: LinkEvent, random: &mut Rng) {
        if self.stopped {
            self.inbox.push_back(event);
            return;
        }
        if let LinkEvent::Frame { frame, .. } = &event {
            self.behaviour.hears(&frame.header);
        }
        let gone = matches!(event, LinkEvent::Disconnected { .. });
        self.worker.handle_link(now, event);
        if gone && self.worker.ended().is_none() {
            let pause = Duration::from_millis(random.u64(100..2_000));
            self.connect_at = Some(now + pause);
        }
    }

    /// Does one of the things that are due.
    pub(crate) fn act(&mut self, now: Duration) {
        // A job's answer is due before the job is done.
        if let Some(first) = self.early.first_entry()
            && first.key().0 <= now
        {
            self.worker.handle_answer(now, first.remove());
        } else if let Some(first) = self.running.first_entry()
            && first.key().0 <= now
        {
            self.worker.handle_done(now, first.remove());
        } else {
            self.worker.handle_timeout(now);
        }
    }

    /// Goes on after a stop, with all that came meanwhile.
    pub(crate) fn wake(&mut self, now: Duration, random: &mut Rng) {
        self.stopped = false;
        while let Some(event) = self.inbox.pop_front() {
            self.deliver(now, event, random);
        }
    }

    /// Begins jobs on idle threads.
    pub(crate) fn begin_jobs(&mut self, now: Duration, random: &mut Rng) {
        while let Some(job) = self.worker.poll_job() {
            self.waiting.push_back(job);
        }
        while !self.stopped && self.running.len() < self.threads {
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            let usual = JOB_NS + job.row_steps() * ROW_STEP_NS;
            let ns = usual * self.slowness * random.u64(50..150) / 100;
            let takes = Duration::from_nanos(ns);
            // The job reads its clock a few times; each reading is a little later.
            let reading = Cell::new(now);
            let clock = || reading.replace(reading.get() + takes / 3);
            let mut early = None;
            let done = job.run(&mut self.arena, clock, |answer| early = Some(answer));
            self.begun += 1;
            // Where a view or a checkpoint follows, the thread is busy for as long again.
            let follows = if early.is_some() {
                takes
            } else {
                Duration::ZERO
            };
            if let Some(answer) = early {
                self.early.insert((now + takes, self.begun), answer);
            }
            let done_at = now + takes + follows;
            self.running.insert((done_at, self.begun), done);
        }
    }

    /// What its worker gives to the link.
    pub(crate) fn poll_transmit(&mut self) -> Option<LinkCommand> {
        self.worker.poll_transmit()
    }
}
