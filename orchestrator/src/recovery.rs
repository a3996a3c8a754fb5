//! A run that begins where the store left it: at a cut, with the commands after it, replayed to the
//! last tick that was published before. A fork begins in the same way.

use kernel::config::KERNEL_VERSION;
use kernel::plan::Plan;
use store::history::Cut;
use store::recovery::Recovered;
use transport::control::{CommandRequest, CommandStamp};
use transport::frame::{Frame, FrameError};
use transport::header::{Header, Kind, SCHEMA_HASH};
use transport::message::TickDigest;

use crate::checkpoints::next_checkpoint;
use crate::context::Context;
use crate::control::{Cause, ControlError, Status};
use crate::history::History;
use crate::limits::{MAX_PARTITION_COMMANDS, MAX_RECOVERED_COMMANDS};
use crate::routing::MailFault;
use crate::schedule::Schedule;
use crate::simulation::Simulation;

/// A replay of what was published before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replay {
    /// The last tick that was, or was promised; at least 1.
    pub(crate) to: u64,
    /// The last tick that is written: what comes after it is published and written again.
    pub(crate) head: u64,
    /// A digest as it was published then.
    pub(crate) digest: Option<TickDigest>,
    /// Whether the store knows the newest entry of the log `sim` up to that tick. Of a fork that has
    /// written none of its own it does not.
    pub(crate) knows_seq: bool,
}

impl Replay {
    /// Whether a window that begins with this tick repeats what is written.
    pub(crate) fn repeats(&self, first: u64) -> bool {
        // Of creation it is not known where nothing else is.
        first.max(1) <= self.head
    }

    /// Last tick that a window may have which begins with this one: it is repeated as a whole, or new.
    pub(crate) fn end_of_window(&self, first: u64) -> u64 {
        if self.repeats(first) {
            self.head
        } else {
            self.to
        }
    }
}

/// Why what the store has of a run is nothing to go on from.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryFault {
    /// The cut was made by a kernel whose states may be others.
    #[error(
        "the cut of tick {tick} is of kernel version {found}, this build's is {KERNEL_VERSION}"
    )]
    Kernel {
        /// Its tick.
        tick: u64,
        /// Its version.
        found: u32,
    },
    /// The cut's states are laid out in another way.
    #[error("the cut of tick {tick} is of schema {found:016x}, this build's is {SCHEMA_HASH:016x}")]
    Schema {
        /// Its tick.
        tick: u64,
        /// Its schema.
        found: u64,
    },
    /// The cut does not hold a state of each partition.
    #[error("the cut of tick {tick} has {found} partitions where the farm has {expected}")]
    Partitions {
        /// Its tick.
        tick: u64,
        /// States in it.
        found: usize,
        /// Partitions of the plan.
        expected: usize,
    },
    /// A state is longer than a frame may be.
    #[error("partition {partition} of the cut of tick {tick}: {source}")]
    Checkpoint {
        /// The cut's tick.
        tick: u64,
        /// Which.
        partition: u32,
        /// What is wrong.
        source: FrameError,
    },
    /// The messages under way are not those of the cut's tick.
    #[error("messages of partition {partition} in the cut of tick {tick}: {source}")]
    Mail {
        /// The cut's tick.
        tick: u64,
        /// Who emitted them.
        partition: u32,
        /// What is wrong.
        source: MailFault,
    },
    /// A command is of a tick that the cut holds already, or they are out of order.
    #[error("command {seq} of tick {tick} is out of its place after a cut of tick {cut}")]
    Order {
        /// Its number.
        seq: u64,
        /// Its tick.
        tick: u64,
        /// The cut's.
        cut: u64,
    },
    /// A command means nothing on this farm.
    #[error("command {seq}: {source}")]
    Command {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        source: ControlError,
    },
    /// More commands than a run may have to replay.
    #[error("more than {limit} commands after the cut")]
    TooManyCommands {
        /// [`MAX_RECOVERED_COMMANDS`].
        limit: usize,
    },
}

impl Simulation {
    /// A run as it was kept, cut as `plan` says. It replays to the last tick that was published, or at which it was said to
    /// stand, as fast as it goes, and goes on from there as its status says: a fresh schedule begins then.
    /// A run that has ended, and whose history is whole, is [`Simulation::ended`] instead.
    ///
    /// # Errors
    /// [`RecoveryFault`] names what is wrong with what was kept. A state that only the kernel can tell
    /// to be damaged fails the run when it is restored.
    ///
    /// # Panics
    /// If the plan is of another configuration, or it does not go on.
    pub(crate) fn recovered(
        ctx: &mut Context<'_>,
        mut recovered: Recovered,
        plan: Plan,
    ) -> Result<Simulation, RecoveryFault> {
        assert!(recovered.goes_on(), "there is nothing to go on with");
        let cut = recovered.cut.take();
        let commands = std::mem::take(&mut recovered.commands);
        let mut simulation = Simulation::new(spec_of(&recovered), plan);
        simulation.take_state(&recovered);
        if let Some(cut) = cut {
            simulation.begin_at(ctx, cut)?;
        }
        simulation.take_commands(commands)?;
        let tick = simulation.completed.unwrap_or(0);
        simulation.completed_at = ctx.now;
        simulation.created_at = ctx.now;
        let (tick_ms, speed) = (simulation.spec.config.tick_ms, simulation.spec.speed);
        simulation.schedule = Schedule::new(tick_ms, speed, ctx.now, tick);
        let (to, head, digest) = (recovered.goes_to(), recovered.head_tick, recovered.digest);
        let kept = recovered.last_sim_seq;
        let knows_seq = recovered.spec.parent.is_none() || kept > simulation.last_sim_seq;
        simulation.kept_sim_seq = kept;
        simulation.replay = (to > tick).then_some(Replay {
            to,
            head,
            digest,
            knows_seq,
        });
        if simulation.status.is_final() {
            simulation.lacks_end = true;
            simulation.ask_last_cut();
        } else if tick >= simulation.last_tick() {
            simulation.change(ctx, Status::Completed, Cause::LastTick);
        }
        Ok(simulation)
    }

    /// A run that has ended, as it was kept: it can be read and deleted, and has neither a plan nor
    /// partitions.
    pub(crate) fn ended(recovered: &Recovered) -> Simulation {
        let mut simulation = Simulation::without_plan(spec_of(recovered));
        simulation.take_state(recovered);
        simulation.completed = Some(recovered.head_tick);
        simulation.last_sim_seq = recovered.last_sim_seq;
        simulation.settled = true;
        simulation
    }

    /// Takes over what was counted and known of the run at its head.
    fn take_state(&mut self, recovered: &Recovered) {
        self.status = recovered.state.status;
        self.cause = recovered.state.cause;
        self.step_until = recovered
            .state
            .step_until
            .filter(|_| self.status != Status::Running);
        self.aggregate = recovered.aggregate;
        self.digest = recovered.digest.map(|d| (d.tick, d.digest));
        self.totals.late_ticks = recovered.late_ticks;
        self.totals.dilated = std::time::Duration::from_millis(recovered.dilated_ms);
        self.last_seq = recovered.last_command_seq;
        self.record.created_at_us = recovered.state.created_at_us;
        self.record.started_at_us = recovered.state.started_at_us;
        self.record.ended_at_us = recovered.state.ended_at_us;
        self.record.last_system_seq = recovered.last_system_seq;
        self.record.epochs.clone_from(&recovered.epochs);
    }

    /// Makes a cut the base of every partition, with the messages that were under way.
    fn begin_at(&mut self, ctx: &Context<'_>, cut: Cut) -> Result<(), RecoveryFault> {
        let tick = cut.tick;
        if cut.kernel_version != KERNEL_VERSION {
            let found = cut.kernel_version;
            return Err(RecoveryFault::Kernel { tick, found });
        }
        if cut.schema_hash != SCHEMA_HASH {
            let found = cut.schema_hash;
            return Err(RecoveryFault::Schema { tick, found });
        }
        let (found, expected) = (cut.checkpoints.len(), self.partitions.len());
        if found != expected {
            return Err(RecoveryFault::Partitions {
                tick,
                found,
                expected,
            });
        }
        let mut mail = cut.mail;
        mail.sort_by_key(|m| (m.from, m.to));
        for partition in 0..u32::try_from(expected).expect("counted in 32 bits") {
            let begin = mail.partition_point(|m| m.from < partition);
            let end = mail.partition_point(|m| m.from <= partition);
            self.routing
                .check(partition, tick + 1, &mail[begin..end])
                .map_err(|source| RecoveryFault::Mail {
                    tick,
                    partition,
                    source,
                })?;
        }
        if let Some(stray) = mail.last().filter(|m| m.from as usize >= expected) {
            let (partition, source) = (stray.from, MailFault::From { from: stray.from });
            return Err(RecoveryFault::Mail {
                tick,
                partition,
                source,
            });
        }
        self.routing.post(mail);
        for ((partition, state), payload) in
            (0_u32..).zip(&mut self.partitions).zip(cut.checkpoints)
        {
            // Of this run, whichever run it was taken from: a worker looks for it by that, and the
            // kernel by the configuration, which a fork shares with its parent.
            let header = Header {
                simulation: self.spec.id,
                tick,
                partition,
                lease_epoch: ctx.config.lease_epoch,
                ..Header::new(Kind::Checkpoint)
            };
            let frame = Frame::from_bytes(header, payload);
            let frame = frame.map_err(|source| RecoveryFault::Checkpoint {
                tick,
                partition,
                source,
            })?;
            state.history = History::based(tick, frame);
            let (interval, count) = (self.checkpoint_ticks, expected as u64);
            state.checkpoint_at = next_checkpoint(tick, interval, partition.into(), count);
        }
        self.last_sim_seq = cut.last_sim_seq;
        self.completed = Some(tick);
        Ok(())
    }

    /// Queues the commands after the cut. One for which its tick has no room never entered there: it
    /// was kept but not acknowledged, and is passed over.
    fn take_commands(
        &mut self,
        commands: Vec<(CommandStamp, CommandRequest)>,
    ) -> Result<(), RecoveryFault> {
        let (newest, cut) = (self.last_seq, self.completed.unwrap_or(0));
        let mut before = (cut, u64::MAX);
        for (stamp, request) in commands {
            let CommandStamp { seq, tick } = stamp;
            if (tick, seq) <= before {
                return Err(RecoveryFault::Order { seq, tick, cut });
            }
            before = (tick, seq);
            match self.enqueue(stamp, &request, MAX_RECOVERED_COMMANDS) {
                Ok(()) => {}
                Err(ControlError::TooManyCommands { limit }) if limit == MAX_PARTITION_COMMANDS => {
                    tracing::warn!(simulation = %self.spec.id, seq, tick,
                        "a command that never entered, for its tick was full, is passed over");
                }
                Err(ControlError::TooManyCommands { limit }) => {
                    return Err(RecoveryFault::TooManyCommands { limit });
                }
                Err(source) => return Err(RecoveryFault::Command { seq, source }),
            }
        }
        self.last_seq = newest.max(self.last_seq);
        Ok(())
    }

    /// The tick to which it replays, while it does.
    pub(crate) fn replaying_to(&self) -> Option<u64> {
        self.replay.map(|replay| replay.to)
    }

    /// Number of the newest entry of the log `sim` that was published or is kept; 0 for none. `None`
    /// while only the end of a replay can tell.
    pub(crate) fn published_sim_seq(&self) -> Option<u64> {
        let is_known = self
            .replay
            .is_none_or(|replay| replay.knows_seq || self.completed >= Some(replay.head));
        is_known.then(|| self.last_sim_seq.max(self.kept_sim_seq))
    }

    /// Last tick that is complete or is known to have been published; what was only promised is not.
    pub(crate) fn known_tick(&self) -> u64 {
        self.last_dispatched().max(self.kept_tick())
    }

    /// Last tick that is complete or written: what leads there is kept.
    pub(crate) fn kept_tick(&self) -> u64 {
        let head = self.replay.map_or(0, |replay| replay.head);
        self.completed.unwrap_or(0).max(head)
    }

    /// A replay goes no further than what is known to have been published: from there on it goes on as it stands.
    pub(crate) fn end_replay_at_head(&mut self) {
        let known = self.known_tick();
        if let Some(replay) = &mut self.replay {
            replay.to = replay.to.min(known);
        }
        self.replay.take_if(|r| self.completed >= Some(r.to));
    }

    /// Last tick that was published, by whomever, or at which it was said to stand.
    pub(crate) fn published_tick(&self) -> u64 {
        let completed = self.completed.unwrap_or(0);
        self.replaying_to()
            .map_or(completed, |to| to.max(completed))
    }

    /// A window of a replay is complete: where a digest is not what it was, the run stands once it has
    /// come to its head, for what was published is not what it is.
    pub(crate) fn end_replayed(
        &mut self,
        ctx: &mut Context<'_>,
        last: u64,
        digests: &[TickDigest],
    ) {
        let Some(replay) = self.replay else {
            return;
        };
        let kept = replay.digest;
        let again = digests
            .iter()
            .find(|d| kept.is_some_and(|k| k.tick == d.tick));
        if let (Some(kept), Some(again)) = (kept, again)
            && kept.digest != again.digest
        {
            tracing::error!(simulation = %self.spec.id, tick = kept.tick,
                kept = %format_args!("{:016x}", kept.digest),
                replayed = %format_args!("{:016x}", again.digest),
                "a replay came to another digest than the one that was published");
            self.pause_because(ctx, Cause::DigestMismatch);
        }
        if last >= replay.to {
            self.replay = None;
            self.schedule.restart(ctx.now, last);
        }
    }
}

/// The specification with its name and speed as they are now.
fn spec_of(recovered: &Recovered) -> crate::control::Spec {
    crate::control::Spec {
        name: recovered.state.name.clone(),
        speed: recovered.state.speed,
        ..recovered.spec.clone()
    }
}
