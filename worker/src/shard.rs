//! The partitions of one simulation that are here: which placement each belongs to, what waits for
//! it, and whether it is being stepped.
//!
//! Invariants: only the newest placement epoch heard of is kept; the base of an epoch is used once,
//! so a repeated dispatch is never stepped again; jobs of a partition are run one after the other,
//! in the order in which their dispatches came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use transport::frame::Frame;
use transport::message::{PartitionWork, base};

use crate::answers::DispatchId;
use crate::job::{Base, Holding, JobError, Simulation, StepJob};
use crate::limits::MAX_WAITING_PER_PARTITION;
use crate::step::check_inputs;

/// Work on its way to a partition.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) work: PartitionWork,
    /// Came before the dispatch, where the base is a checkpoint.
    pub(crate) checkpoint: Option<Frame>,
    pub(crate) dispatch: DispatchId,
    pub(crate) lease_epoch: u32,
    pub(crate) received_at: Duration,
}

/// Work that is not done, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) waiting: Waiting,
    pub(crate) error: JobError,
}

/// What an input gave rise to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// At most one: partitions are stepped one job at a time.
    pub(crate) job: Option<StepJob>,
    pub(crate) refusals: Vec<Refusal>,
}

/// The partitions of one simulation.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) simulation: Arc<Simulation>,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Newest placement heard of.
    newest: Option<u32>,
    /// Newest placement whose base was used, or that was released: it begins nothing any more.
    spent: Option<u32>,
    held: Option<(u32, Box<Holding>)>,
    stepping: bool,
    /// What is being stepped is dropped when it comes back.
    discard: bool,
    waiting: VecDeque<Waiting>,
}

impl Shard {
    /// A simulation of which nothing is here yet.
    pub(crate) fn new(simulation: Arc<Simulation>) -> Shard {
        let mut slots = Vec::new();
        slots.resize_with(simulation.plan.partitions.len(), Slot::default);
        Shard { simulation, slots }
    }

    /// Takes work in: it is begun, or waits for the partition to come back, or is refused.
    pub(crate) fn offer(&mut self, waiting: Waiting) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = check_inputs(&self.simulation.plan, &waiting.work) {
            outcome.refuse(waiting, error);
            return outcome;
        }
        let partition = waiting.work.partition;
        let slot = &mut self.slots[partition as usize];
        if let Err(error) = slot.admit(waiting.work.placement_epoch, &mut outcome) {
            outcome.refuse(waiting, error);
            return outcome;
        }
        slot.waiting.push_back(waiting);
        self.begin(partition, &mut outcome);
        outcome
    }

    /// A job of this shard is done: its partition is back, unless it was lost.
    pub(crate) fn give_back(
        &mut self,
        partition: u32,
        placement_epoch: u32,
        holding: Option<Box<Holding>>,
    ) -> Outcome {
        let slot = &mut self.slots[partition as usize];
        assert!(slot.stepping, "a job comes back once");
        slot.stepping = false;
        if !std::mem::take(&mut slot.discard) {
            slot.held = holding.map(|holding| (placement_epoch, holding));
        }
        let mut outcome = Outcome::default();
        self.begin(partition, &mut outcome);
        outcome
    }

    /// Drops a partition that is here under this placement or an older one.
    pub(crate) fn release(&mut self, partition: u32, placement_epoch: u32) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(slot) = self.slots.get_mut(partition as usize) else {
            return outcome;
        };
        if slot.newest.is_some_and(|newest| newest > placement_epoch) {
            return outcome;
        }
        slot.supersede(placement_epoch, &mut outcome);
        slot.spent = Some(placement_epoch);
        outcome
    }

    /// Partitions here and their rows, those being stepped included.
    pub(crate) fn held(&self) -> (u64, u64) {
        let plans = &self.simulation.plan.partitions;
        let here = |slot: &Slot| slot.held.is_some() || (slot.stepping && !slot.discard);
        (self.slots.iter().zip(plans))
            .filter(|(slot, _)| here(slot))
            .fold((0, 0), |(n, rows), (_, plan)| {
                (n + 1, rows + u64::from(plan.rows))
            })
    }

    /// Begins the next work of a partition that is not being stepped.
    fn begin(&mut self, partition: u32, outcome: &mut Outcome) {
        let slot = &mut self.slots[partition as usize];
        while !slot.stepping {
            let Some(mut waiting) = slot.waiting.pop_front() else {
                return;
            };
            match slot.base(&mut waiting) {
                Ok(base) => {
                    slot.stepping = true;
                    outcome.job = Some(StepJob {
                        simulation: self.simulation.clone(),
                        dispatch: waiting.dispatch,
                        lease_epoch: waiting.lease_epoch,
                        received_at: waiting.received_at,
                        work: waiting.work,
                        base,
                    });
                }
                Err(error) => outcome.refuse(waiting, error),
            }
        }
    }
}

impl Slot {
    /// Whether work of this placement may wait here. A newer one ends all that was before it.
    fn admit(&mut self, epoch: u32, outcome: &mut Outcome) -> Result<(), JobError> {
        match self.newest {
            Some(newest) if newest > epoch => {
                return Err(JobError::NotHeld("a newer placement was heard of"));
            }
            Some(newest) if newest == epoch => {}
            _ => self.supersede(epoch, outcome),
        }
        if self.waiting.len() >= MAX_WAITING_PER_PARTITION {
            return Err(JobError::NotHeld("too much waits for it"));
        }
        Ok(())
    }

    /// Drops what belongs to another placement than this one, which is the newest.
    fn supersede(&mut self, epoch: u32, outcome: &mut Outcome) {
        self.newest = Some(epoch);
        self.held = None;
        self.discard = self.stepping;
        for waiting in self.waiting.drain(..) {
            outcome.refuse(waiting, JobError::NotHeld("a newer placement was heard of"));
        }
    }

    /// What the work begins with.
    fn base(&mut self, waiting: &mut Waiting) -> Result<Base, JobError> {
        let work = &waiting.work;
        let epoch = work.placement_epoch;
        if work.base == base::HELD {
            let fits = |(held, holding): &mut (u32, Box<Holding>)| {
                *held == epoch && holding.partition.tick() + 1 == work.first_tick
            };
            let held = self.held.take_if(fits);
            return held
                .map(|(_, holding)| Base::Held(holding))
                .ok_or(JobError::NotHeld("no such state"));
        }
        if self.spent.is_some_and(|spent| spent >= epoch) {
            return Err(JobError::NotHeld("this placement was begun before"));
        }
        let base = match work.base {
            base::CREATE => Base::Create,
            _ => Base::Restore(
                waiting
                    .checkpoint
                    .take()
                    .ok_or(JobError::NotHeld("its checkpoint has not come"))?,
            ),
        };
        self.spent = Some(epoch);
        self.held = None;
        Ok(base)
    }
}

impl Outcome {
    fn refuse(&mut self, waiting: Waiting, error: JobError) {
        self.refusals.push(Refusal { waiting, error });
    }
}
