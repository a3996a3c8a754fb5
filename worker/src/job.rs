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
use crate::step::{self, Extras, Window};

/// A simulation as the jobs of all its partitions share it.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) id: SimulationId,
    pub(crate) config: SimulationConfig,
    pub(crate) digest_every: u32,
    pub(crate) plan: Arc<Plan>,
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
    #[error(transparent)]
    BadConfig(#[from] kernel::config::ConfigError),
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
            JobError::BadMail(_)
            | JobError::BadInput(_)
            | JobError::BadConfig(_)
            | JobError::Answer(_) => unable::BAD_INPUT,
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
    /// The configuration's plan, where the worker has it.
    pub(crate) plan: Option<Arc<Plan>>,
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

/// What a job answers, for [`Worker::handle_answer`](crate::Worker::handle_answer).
#[derive(Debug)]
pub struct JobAnswer {
    pub(crate) dispatch: DispatchId,
    pub(crate) frame: Frame,
    pub(crate) outcome: Result<Figures, JobError>,
}

/// What was done for an answer, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figures {
    Stepped {
        rows: u32,
        ticks: u32,
        queue: Duration,
        compute: Duration,
    },
    Computed {
        compute: Duration,
    },
}

/// What became of a job: its partition comes back, with what is sent behind the answer.
#[derive(Debug)]
pub struct JobDone {
    pub(crate) dispatch: DispatchId,
    pub(crate) origin: Origin,
    /// Unless it was handed over before.
    pub(crate) answer: Option<JobAnswer>,
    pub(crate) extras: Extras,
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
    Nowhere {
        /// The plan it had to make.
        plan: Option<Arc<Plan>>,
    },
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
    ///
    /// Where a view or a checkpoint is due, `early` takes the answer before they are written;
    /// otherwise it comes in the [`JobDone`].
    #[must_use]
    pub fn run(
        self,
        arena: &mut Bump,
        clock: impl Fn() -> Duration,
        early: impl FnOnce(JobAnswer),
    ) -> JobDone {
        match self.0 {
            Task::Step(job) => job.run(arena, clock, early),
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

    fn run(
        self,
        arena: &mut Bump,
        clock: impl Fn() -> Duration,
        early: impl FnOnce(JobAnswer),
    ) -> JobDone {
        let (header, rows) = (self.header(), self.rows());
        let (simulation, work, base) = (self.simulation, self.work, self.base);
        let window = Window {
            simulation: &simulation,
            work: &work,
            header,
            received_at: self.received_at,
            clock,
        };
        let mut extras = Extras::default();
        let stepped = guarded(|| {
            let mut holding = step::begin(&simulation, work.partition, base)?;
            let stepped = window.step(&mut holding, arena, &mut extras)?;
            Ok((holding, stepped))
        });
        let (mut holding, frame, outcome) = match stepped {
            Ok((holding, stepped)) => {
                let figures = Figures::Stepped {
                    rows,
                    ticks: work.ticks,
                    queue: stepped.queue,
                    compute: stepped.compute,
                };
                (Some(holding), stepped.result, Ok(figures))
            }
            Err(error) => (None, error.frame(&simulation.pool, header), Err(error)),
        };
        let answer = JobAnswer {
            dispatch: self.dispatch,
            frame,
            outcome,
        };
        let answer = match holding.as_mut().filter(|_| window.has_extras()) {
            Some(holding) => {
                early(answer);
                window.write_extras(holding, &mut extras);
                None
            }
            None => Some(answer),
        };
        JobDone {
            dispatch: self.dispatch,
            origin: Origin::Slot {
                partition: work.partition,
                placement_epoch: work.placement_epoch,
                holding,
                simulation,
            },
            answer,
            extras,
        }
    }
}

impl ComputeJob {
    fn run(self, arena: &mut Bump, clock: impl Fn() -> Duration) -> JobDone {
        let started = clock();
        let mut made = None;
        let digest = guarded(|| {
            let plan = match self.plan {
                Some(plan) => plan,
                None => made.insert(make_plan(&self.config)?).clone(),
            };
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
        let compute = clock().saturating_sub(started);
        let answer = JobAnswer {
            dispatch: self.dispatch,
            frame: frame::encode(&self.pool, self.header, &computed).expect("a few numbers fit"),
            outcome: digest.map(|_| Figures::Computed { compute }),
        };
        JobDone {
            dispatch: self.dispatch,
            origin: Origin::Nowhere { plan: made },
            answer: Some(answer),
            extras: Extras::default(),
        }
    }
}

/// Plans a simulation that a frame describes; what it says may be anything.
pub(crate) fn make_plan(config: &SimulationConfig) -> Result<Arc<Plan>, JobError> {
    let plan = guarded(|| Plan::new(config).map_err(JobError::BadConfig))?;
    Ok(Arc::new(plan))
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
pub(crate) fn guarded<T>(step: impl FnOnce() -> Result<T, JobError>) -> Result<T, JobError> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(JobError::Panicked(text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::Ordering::Relaxed;

    use kernel::config::Scenario;
    use transport::message::{base, want};

    use super::*;

    fn config() -> SimulationConfig {
        SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities: 40,
            tick_ms: 50,
            seed: 9,
            partition_rows: 4_096,
        }
    }

    fn simulation() -> Arc<Simulation> {
        Arc::new(Simulation {
            id: SimulationId(1),
            config: config(),
            digest_every: 1,
            plan: make_plan(&config()).unwrap(),
            isa: Isa::detect(),
            pool: FramePool::new(),
        })
    }

    fn step_job(simulation: &Arc<Simulation>, base: Base, first_tick: u64, wants: u32) -> Job {
        let work = PartitionWork {
            base: match &base {
                Base::Held(_) => base::HELD,
                Base::Create => base::CREATE,
                Base::Restore(_) => base::RESTORE,
            },
            first_tick,
            ticks: 1,
            wants,
            ..PartitionWork::default()
        };
        StepJob {
            simulation: simulation.clone(),
            dispatch: DispatchId(0),
            lease_epoch: 0,
            received_at: Duration::ZERO,
            work,
            base,
        }
        .into()
    }

    /// Runs a job whose every look at the clock is a millisecond later than the one before.
    fn run(job: Job, early: impl FnOnce(JobAnswer)) -> JobDone {
        let reading = Cell::new(Duration::ZERO);
        let clock = || reading.replace(reading.get() + Duration::from_millis(1));
        job.run(&mut Bump::new(), clock, early)
    }

    fn held(done: JobDone) -> Box<Holding> {
        match done.origin {
            Origin::Slot { holding, .. } => holding.expect("it was stepped"),
            Origin::Nowhere { .. } => panic!("it had a place"),
        }
    }

    /// It once waited for both, several ms of a large partition.
    #[test]
    fn a_result_is_handed_over_before_its_view_and_its_checkpoint_are_written() {
        let simulation = simulation();
        let copies = simulation.pool.copies();
        let wants = want::VIEW | want::CHECKPOINT;
        let mut early = None;
        let done = run(step_job(&simulation, Base::Create, 1, wants), |answer| {
            assert_eq!(copies.checkpoints.load(Relaxed), 0);
            early = Some(answer);
        });
        let early = early.expect("something follows");
        assert_eq!(early.frame.header.kind, Kind::Result);
        assert!(done.answer.is_none(), "it is not handed over twice");
        assert!(done.extras.view.is_some() && done.extras.checkpoints.len() == 1);
        assert!(done.extras.view_time.is_some() && done.extras.checkpoint_time.is_some());
        let Ok(Figures::Stepped { compute, .. }) = early.outcome else {
            panic!("{:?}", early.outcome)
        };
        assert_eq!(compute, Duration::from_millis(1), "steps alone");
    }

    #[test]
    fn a_result_that_nothing_follows_comes_with_its_partition() {
        let job = step_job(&simulation(), Base::Create, 1, 0);
        let done = run(job, |_| panic!("nothing follows"));
        assert!(done.answer.is_some_and(|answer| answer.outcome.is_ok()));
    }

    /// They were once serialised into memory of their own and copied into more of it.
    #[test]
    fn a_checkpoint_is_written_once_into_a_pooled_buffer_and_restored_where_it_stands() {
        let simulation = simulation();
        let copies = simulation.pool.copies();
        let job = step_job(&simulation, Base::Create, 1, want::CHECKPOINT);
        let mut done = run(job, drop);
        let frame = done.extras.checkpoints.pop().unwrap();
        let len = frame.payload().len();
        assert_eq!(copies.checkpoints.load(Relaxed), len as u64);
        let at = frame.payload().as_ptr();
        assert!(at.addr().is_multiple_of(kernel::CHECKPOINT_ALIGN));
        drop(frame);
        let allocated = copies.allocated.load(Relaxed);
        let held = Base::Held(held(done));
        let wants = want::CHECKPOINT | want::PRIOR_STATE;
        let mut done = run(step_job(&simulation, held, 2, wants), drop);
        let frames = std::mem::take(&mut done.extras.checkpoints);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].payload().as_ptr(), at, "it came back");
        let grew = copies.allocated.load(Relaxed) - allocated;
        assert_eq!(grew, len.next_power_of_two() as u64, "for the second one");
        let last = frames.into_iter().next_back().unwrap();
        let restored = run(step_job(&simulation, Base::Restore(last), 3, 0), drop);
        assert_eq!(held_tick(restored), 3);
    }

    fn held_tick(done: JobDone) -> u64 {
        held(done).partition.tick()
    }

    /// It once took the stepped partition and its result with it.
    #[test]
    fn a_view_that_fails_discards_neither_step_nor_result() {
        let simulation = simulation();
        let mut holding = held(run(step_job(&simulation, Base::Create, 1, 0), drop));
        // Laid out for another partition: the kernel refuses to write it.
        holding.view = Some(ViewWriter::new(&simulation.pool, 1, 1).unwrap());
        let wants = want::VIEW | want::CHECKPOINT;
        let mut early = None;
        let job = step_job(&simulation, Base::Held(holding), 2, wants);
        let done = run(job, |answer| early = Some(answer));
        assert!(early.is_some_and(|answer| answer.outcome.is_ok()));
        assert_eq!(done.extras.failures.len(), 1);
        assert!(done.extras.view.is_none());
        assert_eq!(done.extras.checkpoints.len(), 1, "the other goes out");
        let again = Base::Held(held(done));
        let done = run(step_job(&simulation, again, 3, want::VIEW), drop);
        assert!(done.extras.view.is_some() && done.extras.failures.is_empty());
        assert_eq!(held_tick(done), 3);
    }

    /// The plan was once made anew for each.
    #[test]
    fn a_stateless_step_makes_a_plan_only_where_none_is_there() {
        let simulation = simulation();
        let mut prior = Vec::new();
        let job = step_job(&simulation, Base::Create, 1, want::CHECKPOINT);
        prior.append(&mut run(job, drop).extras.checkpoints);
        let mut digests = Vec::new();
        let mut plan = None;
        for makes in [true, false] {
            let job = ComputeJob {
                dispatch: DispatchId(0),
                header: Header::new(Kind::Computed),
                request: 1,
                config: config(),
                plan: plan.clone(),
                work: PartitionWork {
                    base: base::RESTORE,
                    first_tick: 2,
                    ticks: 1,
                    ..PartitionWork::default()
                },
                checkpoint: prior[0].clone(),
                isa: Isa::detect(),
                pool: simulation.pool.clone(),
            };
            let done = run(job.into(), |_| panic!("nothing follows"));
            let Origin::Nowhere { plan: made } = done.origin else {
                panic!("it has no place")
            };
            assert_eq!(made.is_some(), makes);
            plan = plan.or(made);
            let computed: Computed = done.answer.unwrap().frame.decode().unwrap();
            assert_eq!(computed.unable, 0);
            digests.push(computed.digest);
        }
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn a_panic_and_a_bad_configuration_are_errors_with_a_reason() {
        let panicked = guarded::<()>(|| panic!("row {}", 7)).unwrap_err();
        assert_eq!(panicked, JobError::Panicked("row 7".to_owned()));
        let none = SimulationConfig {
            entities: 0,
            ..config()
        };
        let error = make_plan(&none).unwrap_err();
        assert_eq!(error.code(), unable::BAD_INPUT);
        assert!(error.to_string().starts_with("entities"), "{error}");
    }
}
