//! A window of ticks of one partition: from its base through every tick to the frames it answers
//! with. The kernel writes into those frames; nothing is copied behind it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use kernel::Partition;
use kernel::StepInputs;
use kernel::command::Command;
use kernel::config::MAX_TICK;
use kernel::plan::Plan;
use transport::frame::Frame;
use transport::header::{Header, Kind};
use transport::message::{Mail, PartitionWork, ResultExtras, ResultFixed, TickDigest, base, want};
use transport::pool::FramePool;
use transport::result;
use transport::view::ViewWriter;

use crate::job::{Base, Holding, JobError, Simulation, guarded};
use crate::limits::{MAX_REASON_BYTES, MAX_WINDOW_TICKS};

/// What is asked of a partition.
pub(crate) struct Window<'a, C> {
    pub(crate) simulation: &'a Simulation,
    pub(crate) work: &'a PartitionWork,
    /// Of the answer.
    pub(crate) header: Header,
    pub(crate) received_at: Duration,
    /// Tells the time since the process's start.
    pub(crate) clock: C,
}

/// What a window is answered with.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) result: Frame,
    /// From the dispatch's arrival to the start of the first step.
    pub(crate) queue: Duration,
    /// From there to the result being written.
    pub(crate) compute: Duration,
}

/// What follows a result, and what it cost.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) view: Option<Frame>,
    pub(crate) checkpoints: Vec<Frame>,
    /// Time it took to write the view.
    pub(crate) view_time: Option<Duration>,
    /// Time it took to write the checkpoints.
    pub(crate) checkpoint_time: Option<Duration>,
    /// Why one of them is missing. The step stands all the same.
    pub(crate) failures: Vec<JobError>,
}

/// Checks what a frame says of a partition's work, before anything is stepped.
pub(crate) fn check_inputs(plan: &Plan, work: &PartitionWork) -> Result<(), JobError> {
    let bad = |what| Err(JobError::BadInput(what));
    if work.partition as usize >= plan.partitions.len() {
        return bad("no such partition");
    }
    if work.base > base::RESTORE || (work.base == base::CREATE && work.first_tick != 1) {
        return bad("base");
    }
    if work.ticks > MAX_WINDOW_TICKS || !(1..=MAX_TICK).contains(&work.first_tick) {
        return bad("window");
    }
    let ticks = work.first_tick..work.first_tick + u64::from(work.ticks);
    if ticks.end > MAX_TICK + 1 {
        return bad("window");
    }
    let commands = &work.commands;
    let fits = |c: &Command| plan.machines_of(c, work.partition).is_some();
    if !commands
        .iter()
        .all(|c| ticks.contains(&c.tick) && fits(&c.command))
    {
        return bad("a command of another tick or partition");
    }
    if !commands.is_sorted_by_key(|c| (c.tick, c.command.seq)) {
        return bad("commands out of order");
    }
    if !(work.mail.iter()).all(|m| ticks.contains(&m.tick) && m.to == work.partition) {
        return bad("mail of another tick or partition");
    }
    if !work.mail.is_sorted_by_key(|m| m.tick) {
        return bad("mail out of order");
    }
    Ok(())
}

/// The partition as the window finds it.
pub(crate) fn begin(
    simulation: &Simulation,
    partition: u32,
    base: Base,
) -> Result<Box<Holding>, JobError> {
    let plan = &simulation.plan;
    let partition = match base {
        Base::Held(holding) => return Ok(holding),
        Base::Create => Partition::create(plan, partition),
        Base::Restore(checkpoint) => Partition::restore(plan, partition, checkpoint.payload())?,
    };
    Ok(Holding::new(partition, simulation.isa))
}

impl<C: Fn() -> Duration> Window<'_, C> {
    /// Steps the window's ticks and writes the result. Of what follows it, only the state that the
    /// steps go out from is written here.
    pub(crate) fn step(
        &self,
        holding: &mut Holding,
        arena: &mut Bump,
        prior: &mut Extras,
    ) -> Result<Stepped, JobError> {
        let (simulation, work) = (self.simulation, self.work);
        if holding.partition.tick() + 1 != work.first_tick {
            return Err(JobError::NotHeld("the checkpoint is of another tick"));
        }
        if self.wants(want::PRIOR_STATE) {
            self.write_checkpoint(&holding.partition, prior);
        }
        let partition = &mut holding.partition;
        let started = (self.clock)();
        let mut extras = ResultExtras::default();
        let mut due = None;
        if work.base == base::CREATE {
            due = report(simulation, work, partition, &mut extras);
        }
        for tick in work.first_tick..work.first_tick + u64::from(work.ticks) {
            extras.digests.extend(due.take());
            self::tick(partition, work, tick, arena)?;
            due = report(simulation, work, partition, &mut extras);
        }
        if self.wants(want::DIGEST) && due.is_none() {
            due = Some(digest(partition));
        }
        if work.ticks > 0 || work.base == base::CREATE {
            extras.mail = mail(partition);
        }
        let queue = started.saturating_sub(self.received_at);
        let compute = (self.clock)().saturating_sub(started);
        let fixed = ResultFixed {
            aggregate: partition.aggregate(),
            digest: due.map_or(0, |d| d.digest),
            has_digest: u32::from(due.is_some()),
            stepped: work.ticks,
            queue_us: micros(queue),
            compute_us: micros(compute),
        };
        let result = result::write(&simulation.pool, self.header, &fixed, &extras)?;
        Ok(Stepped {
            result,
            queue,
            compute,
        })
    }

    /// Whether something follows the result.
    pub(crate) fn has_extras(&self) -> bool {
        self.wants(want::VIEW | want::CHECKPOINT | want::PRIOR_STATE)
    }

    /// Writes what follows the result. What fails is left out: the step and its result stand, and who
    /// waits for it asks again.
    pub(crate) fn write_extras(&self, holding: &mut Holding, extras: &mut Extras) {
        if self.wants(want::VIEW) {
            let started = (self.clock)();
            match guarded(|| view(self.simulation, holding, self.header)) {
                Ok(frame) => extras.view = Some(frame),
                Err(error) => extras.failures.push(error),
            }
            extras.view_time = Some((self.clock)().saturating_sub(started));
        }
        if self.wants(want::CHECKPOINT) {
            self.write_checkpoint(&holding.partition, extras);
        }
    }

    fn write_checkpoint(&self, partition: &Partition, extras: &mut Extras) {
        let started = (self.clock)();
        match guarded(|| checkpoint(&self.simulation.pool, partition, self.header)) {
            Ok(frame) => extras.checkpoints.push(frame),
            Err(error) => extras.failures.push(error),
        }
        let took = (self.clock)().saturating_sub(started);
        *extras.checkpoint_time.get_or_insert_default() += took;
    }

    fn wants(&self, bits: u32) -> bool {
        self.work.wants & bits != 0
    }
}

/// One tick: the commands and the mail of it, and scratch memory that begins empty.
pub(crate) fn tick(
    partition: &mut Partition,
    work: &PartitionWork,
    tick: u64,
    arena: &mut Bump,
) -> Result<(), JobError> {
    arena.reset();
    let commands = of_tick(&work.commands, tick, |c| c.tick);
    let mail = of_tick(&work.mail, tick, |m| m.tick);
    let commands = BumpVec::from_iter_in(commands.iter().map(|c| c.command), arena);
    let mail = BumpVec::from_iter_in(mail.iter().map(|m| m.words.as_slice()), arena);
    let inputs = StepInputs {
        commands: &commands,
        mail: &mail,
    };
    partition.step(&inputs, arena)?;
    debug_assert_eq!(partition.tick(), tick);
    Ok(())
}

/// Takes up what is reported of the tick that was reached; answers its digest if it is due.
fn report(
    simulation: &Simulation,
    work: &PartitionWork,
    partition: &Partition,
    extras: &mut ResultExtras,
) -> Option<TickDigest> {
    let tick = partition.tick();
    if tick < work.report_from {
        return None;
    }
    extras.events.extend_from_slice(partition.events());
    let is_due = tick.is_multiple_of(u64::from(simulation.digest_every));
    is_due.then(|| digest(partition))
}

fn digest(partition: &Partition) -> TickDigest {
    TickDigest {
        tick: partition.tick(),
        digest: partition.digest(),
    }
}

/// The letters of the last step, for the next.
fn mail(partition: &Partition) -> Vec<Mail> {
    let (tick, from) = (partition.tick() + 1, partition.index());
    let letters = partition.outbox();
    letters
        .map(|(to, words)| Mail {
            tick,
            from,
            to,
            words: words.to_vec(),
        })
        .collect()
}

/// The exact state, written once, straight into the frame's own buffer.
fn checkpoint(pool: &FramePool, partition: &Partition, header: Header) -> Result<Frame, JobError> {
    let mut buffer = pool.take(partition.checkpoint_bytes());
    partition.checkpoint_into(&mut buffer.bytes);
    let written = buffer.bytes.len() as u64;
    pool.copies().checkpoints.fetch_add(written, Relaxed);
    let header = Header {
        kind: Kind::Checkpoint,
        tick: partition.tick(),
        ticks: 0,
        ..header
    };
    Ok(Frame::from_buffer(header, buffer)?)
}

fn view(simulation: &Simulation, holding: &mut Holding, header: Header) -> Result<Frame, JobError> {
    let Holding { partition, view } = holding;
    let mut writer = match view.take() {
        Some(writer) => writer,
        None => ViewWriter::new(&simulation.pool, partition.view_blocks(), partition.rows())?,
    };
    let frame = writer.write(header, |blocks, records| {
        partition.write_view(blocks, records);
    });
    *view = Some(writer);
    Ok(frame?)
}

/// The run of a sorted slice that belongs to one tick.
fn of_tick<T>(sorted: &[T], tick: u64, tick_of: impl Fn(&T) -> u64) -> &[T] {
    let first = sorted.partition_point(|item| tick_of(item) < tick);
    let end = sorted.partition_point(|item| tick_of(item) <= tick);
    &sorted[first..end]
}

/// A text of at most [`MAX_REASON_BYTES`].
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_REASON_BYTES {
        text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    }
    text
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
