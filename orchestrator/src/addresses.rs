//! Whom a command is for: which machines of which partitions, and the queue in which it waits for its tick.

use std::collections::BTreeMap;
use std::ops::Range;

use kernel::command::Command;
use kernel::plan::Plan;

use crate::control::{CommandRequest, CommandStamp, ControlError, Target};
use crate::limits::{MAX_COMMAND_ENTITIES, MAX_PARTITION_COMMANDS};
use crate::simulation::Simulation;

impl Simulation {
    /// How many commands a target makes: one a machine that it names, or one a partition where it
    /// names a site or all.
    ///
    /// # Errors
    /// [`ControlError`] names what of it is not there.
    pub(crate) fn commands_for(&self, target: &Target) -> Result<usize, ControlError> {
        let plan = self.plan.as_ref().expect("a run that goes on has a plan");
        addresses(plan, target).map(|addresses| addresses.len())
    }

    /// Queues a command for whom it is for, where no more than `limit` wait then.
    ///
    /// # Errors
    /// [`ControlError`] where it cannot be; then nothing is changed.
    pub(crate) fn enqueue(
        &mut self,
        stamp: CommandStamp,
        request: &CommandRequest,
        limit: usize,
    ) -> Result<(), ControlError> {
        let plan = self.plan.as_ref().expect("a run that goes on has a plan");
        let addresses = addresses(plan, &request.target)?;
        if self.pending_count + addresses.len() > limit {
            return Err(ControlError::TooManyCommands { limit });
        }
        let count = addresses.len();
        let mut added: BTreeMap<u32, Vec<Command>> = BTreeMap::new();
        for (partition, machine) in addresses {
            let (seq, action) = (stamp.seq, request.action);
            let command = match (&request.target, machine) {
                (Target::Site(site), _) => Command::for_site(seq, *site, action),
                (_, Some(machine)) => Command::new(seq, machine, action),
                (_, None) => Command::for_all(seq, action),
            };
            added.entry(partition).or_default().push(command);
        }
        // Nothing is entered for what is refused: the next window would end at its tick.
        let queued = self.pending.get(&stamp.tick);
        for (partition, commands) in &added {
            let before = queued.and_then(|q| q.get(partition)).map_or(0, Vec::len);
            if before + commands.len() > MAX_PARTITION_COMMANDS {
                let limit = MAX_PARTITION_COMMANDS;
                return Err(ControlError::TooManyCommands { limit });
            }
        }
        let queued = self.pending.entry(stamp.tick).or_default();
        for (partition, commands) in added {
            let queued = queued.entry(partition).or_default();
            let in_order = queued.last().is_none_or(|last| last.seq < stamp.seq);
            queued.extend(commands);
            // One that was kept sooner may be of a greater seq.
            if !in_order {
                queued.sort_by_key(|command| command.seq);
            }
        }
        self.last_seq = self.last_seq.max(stamp.seq);
        self.note_placed(request, stamp.tick);
        self.pending_count += count;
        Ok(())
    }
}

/// A partition, and a machine of it; `None` for all of those that the target names.
type Address = (u32, Option<u32>);

/// Where a target is: a machine named twice is there once, and a site or all machines are addressed once
/// a partition, however many they are.
fn addresses(plan: &Plan, target: &Target) -> Result<Vec<Address>, ControlError> {
    let entities = plan.farm.config.entities;
    let known = |entity: u32| (1..=entities).contains(&entity);
    let unknown = |entity, at| ControlError::UnknownEntity {
        entity,
        entities,
        at,
    };
    let address = |entity: u32| (plan.partition_of(entity), Some(entity));
    let whole = |partitions: Range<u32>| partitions.map(|p| (p, None)).collect();
    match target {
        Target::Entity(entity) if !known(*entity) => Err(unknown(*entity, None)),
        Target::Entity(entity) => Ok(vec![address(*entity)]),
        Target::Entities(ids) if ids.is_empty() => Err(ControlError::NoEntities),
        Target::Entities(ids) if ids.len() > MAX_COMMAND_ENTITIES => {
            let limit = MAX_COMMAND_ENTITIES;
            Err(ControlError::TooManyEntities { limit })
        }
        Target::Entities(ids) => {
            if let Some(at) = ids.iter().position(|id| !known(*id)) {
                return Err(unknown(ids[at], Some(at)));
            }
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            Ok(ids.into_iter().map(address).collect())
        }
        Target::Site(site) if *site >= plan.farm.sites => {
            let last = plan.farm.sites - 1;
            Err(ControlError::UnknownSite { site: *site, last })
        }
        Target::Site(site) => Ok(whole(plan.partitions_of_site(*site))),
        Target::All => {
            let partitions = u32::try_from(plan.partitions.len());
            Ok(whole(0..partitions.expect("counted in 32 bits")))
        }
    }
}
