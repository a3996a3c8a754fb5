//! A job: one partition, taken out of the worker, and what it shall do in a window of ticks. Pure
//! compute, run on any thread: no link, no lock, no clock but the one passed in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use kernel::Partition;
use kernel::config::SimulationConfig;
use kernel::isa::Isa;
use kernel::plan::Plan;
use transport::frame::{self, Frame, FrameError};
use transport::header::{Header, Kind, SimulationId};
use transport::message::{Computed, PartitionWork, Unable, unable};
use transport::pool::FramePool;
use transport::view::ViewWriter;

use crate::answers::DispatchId;
use crate::step;

/// A simulation as the jobs of all its partitions share it.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) id: SimulationId,
    pub(crate) config: SimulationConfig,
    pub(crate) digest_every: u32,
    pub(crate) plan: Plan,
    pub(crate) isa: Isa,
    pub(crate) pool: FramePool,
}

/// A partition and the layout of its frames.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) partition: Partition,
    pub(crate) view: Option<ViewWriter>,
}

impl Holding {
    pub(crate) fn new(mut partition: Partition, isa: Isa) -> Box<Holding> {
        partition.set_isa(isa);
        Box::new(Holding {
            partition,
            view: None,
        })
    }
}

/// What a job begins with.
#[derive(Debug)]
pub(crate) enum Base {
    /// The partition as it stands.
    Held(Box<Holding>),
    /// Nothing: it is created.
    Create,
    /// A checkpoint.
    Restore(Frame),
}

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JobError {
    #[error("the partition is not held here at the tick before: {0}")]
    NotHeld(&'static str),
    #[error(transparent)]
    BadCheckpoint(#[from] kernel::CheckpointError),
    #[error(transparent)]
    BadMail(#[from] kernel::MailError),
    #[error("input: {0}")]
    BadInput(&'static str),
    #[error("the simulation is not open here")]
    NotOpen,
    #[error("the step panicked: {0}")]
    Panicked(String),
    #[error("the answer cannot be sent: {0}")]
    Answer(String),
}

impl From<FrameError> for JobError {
    fn from(error: FrameError) -> JobError {
        JobError::Answer(error.to_string())
    }
}

impl JobError {
    /// The code of [`unable`] that says this.
    pub(crate) fn code(&self) -> u32 {
        match self {
            JobError::NotHeld(_) => unable::NOT_HELD,
            JobError::BadCheckpoint(_) => unable::BAD_CHECKPOINT,
            JobError::BadMail(_) | JobError::BadInput(_) | JobError::Answer(_) => unable::BAD_INPUT,
            JobError::NotOpen => unable::NOT_OPEN,
            JobError::Panicked(_) => unable::PANICKED,
        }
    }

    /// The frame that says this.
    pub(crate) fn frame(&self, pool: &FramePool, header: Header) -> Frame {
        let unable = Unable {
            reason: self.code(),
            detail: step::cut(self.to_string()),
        };
        frame::encode(pool, header, &unable).expect("a cut text fits its frame")
    }
}

/// Stepping one partition.
#[derive(Debug)]
pub(crate) struct StepJob {
    pub(crate) simulation: Arc<Simulation>,
    pub(crate) dispatch: DispatchId,
    pub(crate) lease_epoch: u32,
    pub(crate) received_at: Duration,
    pub(crate) work: PartitionWork,
    pub(crate) base: Base,
}

/// Repeating one step that another worker did; nothing of it stays here.
#[derive(Debug)]
pub(crate) struct ComputeJob {
    pub(crate) dispatch: DispatchId,
    pub(crate) header: Header,
    pub(crate) request: u64,
    pub(crate) config: SimulationConfig,
    pub(crate) work: PartitionWork,
    pub(crate) checkpoint: Frame,
    pub(crate) isa: Isa,
    pub(crate) pool: FramePool,
}

#[derive(Debug)]
enum Task {
    Step(Box<StepJob>),
    Compute(Box<ComputeJob>),
}

/// Work to be run once, by [`Job::run`], on any thread. Its [`JobDone`] goes back to the worker.
#[derive(Debug)]
pub struct Job(Task);

/// What became of a job.
#[derive(Debug)]
pub struct JobDone {
    pub(crate) dispatch: DispatchId,
    pub(crate) origin: Origin,
    pub(crate) answer: Frame,
    pub(crate) view: Option<Frame>,
    pub(crate) checkpoints: Vec<Frame>,
    pub(crate) queue: Duration,
    pub(crate) compute: Duration,
    pub(crate) rows: u32,
    pub(crate) ticks: u32,
    pub(crate) error: Option<JobError>,
}

/// Where a job's partition goes back to.
#[derive(Debug)]
pub(crate) enum Origin {
    Slot {
        simulation: Arc<Simulation>,
        partition: u32,
        placement_epoch: u32,
        holding: Option<Box<Holding>>,
    },
    Nowhere,
}

impl From<StepJob> for Job {
    fn from(job: StepJob) -> Job {
        Job(Task::Step(Box::new(job)))
    }
}

impl From<ComputeJob> for Job {
    fn from(job: ComputeJob) -> Job {
        Job(Task::Compute(Box::new(job)))
    }
}

impl Job {
    /// Rows times ticks to be stepped.
    #[must_use]
    pub fn row_steps(&self) -> u64 {
        match &self.0 {
            Task::Step(job) => u64::from(job.rows()) * u64::from(job.work.ticks),
            Task::Compute(_) => 0,
        }
    }

    /// Does the work. `arena` is scratch memory, reset before each tick; `clock` tells the time since
    /// the process's start. A panic in a step ends the job, not the thread: its partition is dropped.
    #[must_use]
    pub fn run(self, arena: &mut Bump, clock: impl Fn() -> Duration) -> JobDone {
        match self.0 {
            Task::Step(job) => job.run(arena, clock),
            Task::Compute(job) => job.run(arena, clock),
        }
    }
}

impl StepJob {
    fn rows(&self) -> u32 {
        self.simulation.plan.partitions[self.work.partition as usize].rows
    }

    /// What an answer to this work says it is about.
    fn header(&self) -> Header {
        answer_header(self.simulation.id, self.lease_epoch, &self.work)
    }

    fn run(self, arena: &mut Bump, clock: impl Fn() -> Duration) -> JobDone {
        let started = clock();
        let (header, rows) = (self.header(), self.rows());
        let queue = started.saturating_sub(self.received_at);
        let (simulation, work) = (self.simulation, self.work);
        let base = self.base;
        let stepped = guarded(|| {
            let mut holding = step::begin(&simulation, work.partition, base)?;
            let frames = step::window(
                &simulation,
                &work,
                header,
                &mut holding,
                arena,
                &clock,
                queue,
            )?;
            Ok((holding, frames))
        });
        let mut done = JobDone {
            dispatch: self.dispatch,
            origin: Origin::Nowhere,
            answer: Frame::bare(header),
            view: None,
            checkpoints: Vec::new(),
            queue,
            compute: clock().saturating_sub(started),
            rows,
            ticks: 0,
            error: None,
        };
        let mut kept = None;
        match stepped {
            Ok((holding, frames)) => {
                kept = Some(holding);
                done.ticks = work.ticks;
                done.answer = frames.result;
                done.view = frames.view;
                done.checkpoints = frames.checkpoints;
            }
            Err(error) => {
                done.answer = error.frame(&simulation.pool, header);
                done.error = Some(error);
            }
        }
        done.origin = Origin::Slot {
            partition: work.partition,
            placement_epoch: work.placement_epoch,
            holding: kept,
            simulation,
        };
        done
    }
}

impl ComputeJob {
    fn run(self, arena: &mut Bump, clock: impl Fn() -> Duration) -> JobDone {
        let started = clock();
        let digest = guarded(|| {
            let plan = Plan::new(&self.config).map_err(|_| JobError::BadInput("configuration"))?;
            step::check_inputs(&plan, &self.work)?;
            let bytes = self.checkpoint.payload();
            let mut partition = Partition::restore(&plan, self.work.partition, bytes)?;
            partition.set_isa(self.isa);
            step::tick(&mut partition, &self.work, self.work.first_tick, arena)?;
            Ok(partition.digest())
        });
        let computed = Computed {
            request: self.request,
            digest: *digest.as_ref().unwrap_or(&0),
            unable: digest.as_ref().err().map_or(0, JobError::code),
        };
        JobDone {
            dispatch: self.dispatch,
            origin: Origin::Nowhere,
            answer: frame::encode(&self.pool, self.header, &computed).expect("a few numbers fit"),
            view: None,
            checkpoints: Vec::new(),
            queue: Duration::ZERO,
            compute: clock().saturating_sub(started),
            rows: 0,
            ticks: 0,
            error: digest.err(),
        }
    }
}

/// The header of an answer to a partition's work.
pub(crate) fn answer_header(
    simulation: SimulationId,
    lease_epoch: u32,
    work: &PartitionWork,
) -> Header {
    Header {
        simulation,
        tick: (work.first_tick + u64::from(work.ticks)).saturating_sub(1),
        partition: work.partition,
        lease_epoch,
        placement_epoch: work.placement_epoch,
        ticks: work.ticks,
        ..Header::new(Kind::Result)
    }
}

/// Runs a step; a panic becomes an error. What the step worked on is dropped with it.
fn guarded<T>(step: impl FnOnce() -> Result<T, JobError>) -> Result<T, JobError> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(JobError::Panicked(text.unwrap_or_default()))
    })
}
