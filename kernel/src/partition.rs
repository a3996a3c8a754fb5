//! A partition: the rows and sites that are stepped together, and what is kept of them.

use std::sync::Arc;

use rkyv::rancor::Failure;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::aggregate::{Aggregate, CHARGE_BUCKETS, Counters};
use crate::cells::CellGrid;
use crate::config::{KERNEL_VERSION, MAX_TICK, SimulationConfig};
use crate::coordinator::UNTRIED;
use crate::decide::Decide;
use crate::digest;
use crate::event::Event;
use crate::farm::Farm;
use crate::isa::Isa;
use crate::laws::battery::BatteryLaw;
use crate::laws::power::GroundLaw;
use crate::layout::{NONE, Point};
use crate::mail::MailError;
use crate::message::{Bulletin, Grant, Request};
use crate::plan::{CutPart, PartitionPlan, Plan, along_the_curve};
use crate::roads::Hold;
use crate::rows::{FULL_CHARGE, Rows, mode, task};
use crate::site::{Sites, check_request};
use crate::view::{BLOCK_ROWS, ViewBlock, ViewRecord};

/// Alignment at which a checkpoint is written and read in place.
pub const CHECKPOINT_ALIGN: usize = 16;
/// Most bytes that an archive leaves free before a column.
const COLUMN_GAP_BYTES: usize = 8;
/// Most bytes of a checkpoint beside its columns.
const FIXED_BYTES: usize =
    std::mem::size_of::<ArchivedState>() + COLUMN_GAP_BYTES * (Rows::COLUMNS + Sites::COLUMNS + 3);
/// Faster than any machine.
const MAX_M_PER_S: f32 = 1_000.0;
/// More than the greatest limit that a command can set.
const MAX_SPEED_LIMIT_M_PER_S: f32 = 1e7;
/// More than any charger has.
const MAX_SLOT_W: f32 = 1e9;
/// Requests, and events, that a machine may have in one tick without a buffer growing: a command in a
/// tick in which it arrives, breaks down or is low.
const MESSAGES_PER_ROW: usize = 6;
/// Grants that it may be given.
const GRANTS_PER_MACHINE: usize = 3;

/// Why a checkpoint cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no checkpoint, or not all of one.
    #[error("checkpoint: {bytes} bytes do not hold one")]
    Length {
        /// Bytes there are.
        bytes: usize,
    },
    /// It was written by another kernel.
    #[error("checkpoint: of kernel version {version}, not {KERNEL_VERSION}")]
    Version {
        /// The kernel's that wrote it.
        version: u32,
    },
    /// It is no archive of this kernel's state.
    #[error("checkpoint: not a valid archive")]
    Archive,
    /// It is of another partition or another configuration.
    #[error("checkpoint: {what} does not fit partition {partition} of this simulation")]
    Mismatch {
        /// Which part of it.
        what: &'static str,
        /// The partition it was to become.
        partition: u32,
    },
    /// A column holds a value that the kernel never writes.
    #[error("checkpoint: row {row} has {what} {value} out of range")]
    OutOfRange {
        /// The column.
        what: &'static str,
        /// The row.
        row: u32,
        /// The value.
        value: u32,
    },
    /// A message in flight names what the site does not have.
    #[error("checkpoint: {0}")]
    Message(MailError),
}

/// All that changes, exactly, and whose it is: what a checkpoint holds.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// The simulation it is of.
    pub(crate) config: SimulationConfig,
    /// The partition it is of.
    pub(crate) partition: u32,
    /// Ticks stepped since creation.
    pub(crate) tick: u32,
    pub(crate) rows: Rows,
    /// Sites held here; empty in all but the first part of a cut site.
    pub(crate) sites: Sites,
    /// Emitted in this tick by the rows, ordered by (site, machine).
    pub(crate) requests: Vec<Request>,
    /// Emitted in this tick by the sites, ordered by (site, machine).
    pub(crate) grants: Vec<Grant>,
    /// Emitted in this tick, one a site held here.
    pub(crate) bulletins: Vec<Bulletin>,
    pub(crate) counters: Counters,
}

/// What stands before a checkpoint's archive, so that another kernel's is told from a broken one: a word
/// that no other bytes begin with, the kernel's version, and the bytes of both; little-endian.
struct Head;

impl Head {
    const BYTES: usize = 16;
    const MAGIC: u32 = u32::from_le_bytes(*b"AFck");

    fn of(bytes: usize) -> [u8; Head::BYTES] {
        let words = u128::from(Head::MAGIC)
            | u128::from(KERNEL_VERSION) << 32
            | u128::from(bytes as u64) << 64;
        words.to_le_bytes()
    }

    /// The archive behind the head.
    fn split(bytes: &[u8]) -> Result<&[u8], CheckpointError> {
        let wrong = CheckpointError::Length { bytes: bytes.len() };
        let Some((head, archive)) = bytes.split_first_chunk() else {
            return Err(wrong);
        };
        let head = u128::from_le_bytes(*head);
        let version = (head >> 32) as u32;
        if head as u32 != Head::MAGIC {
            return Err(wrong);
        }
        if version != KERNEL_VERSION {
            return Err(CheckpointError::Version { version });
        }
        if (head >> 64) as u64 != bytes.len() as u64 {
            return Err(wrong);
        }
        Ok(archive)
    }
}

const _: () = assert!(Head::BYTES.is_multiple_of(CHECKPOINT_ALIGN));

/// What follows from the plan: where rows are, and which laws hold for them.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Class of each row.
    pub(crate) class_of: Vec<u32>,
    /// Rows of each class: classes stand one after the other.
    pub(crate) classes: Vec<ClassRows>,
    /// Row of each machine of each site, or [`NONE`] where another part has it.
    pub(crate) row_of: Vec<u32>,
    /// Rows ordered by site; those of site s are `by_site[site_starts[s]..site_starts[s + 1]]`.
    pub(crate) by_site: Vec<u32>,
    pub(crate) site_starts: Vec<u32>,
    /// Charger that a row plans its way to.
    pub(crate) charger_x: Vec<i32>,
    pub(crate) charger_y: Vec<i32>,
    /// Set in a part of a cut site.
    pub(crate) cut: Option<Cut>,
}

/// Rows of one class and the class's laws at this length of tick.
#[derive(Clone, Debug)]
pub(crate) struct ClassRows {
    pub(crate) class: usize,
    pub(crate) rows: std::ops::Range<usize>,
    pub(crate) ground: GroundLaw,
    pub(crate) battery: BatteryLaw,
}

/// A part's view of its cut site.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) part: CutPart,
    pub(crate) grid: CellGrid,
    /// Part of each of the site's machines.
    pub(crate) part_of: Vec<u32>,
}

/// Letters emitted by a step, one to every other part of the site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) words: Vec<u32>,
    /// Partition and the end of its letter in `words`.
    pub(crate) letters: Vec<(u32, usize)>,
}

/// Rows and sites that are stepped together.
#[derive(Clone, Debug)]
pub struct Partition {
    pub(crate) plan: PartitionPlan,
    pub(crate) farm: Arc<Farm>,
    pub(crate) isa: Isa,
    pub(crate) index: Index,
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    pub(crate) outbox: Outbox,
    /// Buffers of the last tick's messages, kept for their capacity.
    pub(crate) spare: (Vec<Request>, Vec<Grant>, Vec<Bulletin>),
    /// What the coordinator need not find out again; it follows from the state and is no part of it.
    pub(crate) blocked: Vec<Hold>,
}

impl Partition {
    /// Creates a partition at tick 0. Creation is a step like any other: machines ask for work, and
    /// [`Partition::outbox`] holds letters.
    ///
    /// # Panics
    /// Panics where the plan has no partition of that index.
    #[must_use]
    pub fn create(plan: &Plan, index: u32) -> Partition {
        let mut partition = Partition::empty(plan, index);
        let farm = partition.farm.clone();
        let sites = partition.sites_held();
        partition.state.sites = Sites::new(&farm, sites);
        partition.state.rows = first_rows(&partition.plan, &farm, &partition.index);
        let mut decide = Decide {
            farm: &farm,
            rows: &mut partition.state.rows,
            tick: 0,
            counters: &mut partition.state.counters,
            events: &mut partition.events,
            requests: &mut partition.state.requests,
        };
        for i in 0..decide.rows.len() {
            decide.begin(i);
        }
        partition
            .state
            .requests
            .sort_by_key(|r| (r.site, r.machine));
        for local in 0..sites {
            let bulletin = partition.state.sites.bulletin(&farm, local);
            partition.state.bulletins.push(bulletin);
        }
        partition.emit_first_letters(plan);
        partition
    }

    /// Makes a partition from a checkpoint of it. Bytes that stand at a multiple of
    /// [`CHECKPOINT_ALIGN`] are read where they are, others are copied there first.
    ///
    /// # Errors
    /// [`CheckpointError`] where the bytes are no checkpoint of this partition.
    ///
    /// # Panics
    /// Panics where the plan has no partition of that index.
    pub fn restore(plan: &Plan, index: u32, bytes: &[u8]) -> Result<Partition, CheckpointError> {
        let mut copy = AlignedVec::<CHECKPOINT_ALIGN>::new();
        let aligned = if bytes.as_ptr().addr().is_multiple_of(CHECKPOINT_ALIGN) {
            bytes
        } else {
            copy.extend_from_slice(bytes);
            &copy
        };
        let archive = Head::split(aligned)?;
        let state =
            rkyv::from_bytes::<State, Failure>(archive).map_err(|_| CheckpointError::Archive)?;
        let mut partition = Partition::empty(plan, index);
        partition.state = state;
        partition.check()?;
        let sites = partition.sites_held();
        let farm = partition.farm.clone();
        partition.state.sites.hold_again(&farm, sites);
        Ok(partition)
    }

    /// Appends the exact state to `bytes`. What other parts emitted in this tick is not in it.
    /// Where the bytes are to be aligned, [`Partition::checkpoint_into`] saves a copy of them.
    ///
    /// # Panics
    /// Panics where memory is exhausted.
    pub fn checkpoint(&self, bytes: &mut Vec<u8>) {
        let mut archive = AlignedVec::<CHECKPOINT_ALIGN>::with_capacity(self.checkpoint_bytes());
        self.checkpoint_into(&mut archive);
        bytes.extend_from_slice(&archive);
    }

    /// The same, written once and straight into an aligned buffer, which never grows where it has
    /// room for [`Partition::checkpoint_bytes`].
    ///
    /// # Panics
    /// Panics where memory is exhausted, or `bytes` ends at no multiple of [`CHECKPOINT_ALIGN`].
    pub fn checkpoint_into<const ALIGN: usize>(&self, bytes: &mut AlignedVec<ALIGN>) {
        const { assert!(ALIGN >= CHECKPOINT_ALIGN) };
        assert!(bytes.len().is_multiple_of(CHECKPOINT_ALIGN));
        let start = bytes.len();
        bytes.extend_from_slice(&[0; Head::BYTES]);
        rkyv::api::high::to_bytes_in::<_, Failure>(&self.state, &mut *bytes)
            .expect("columns of plain numbers always have an archive");
        let head = Head::of(bytes.len() - start);
        bytes[start..start + Head::BYTES].copy_from_slice(&head);
    }

    /// At least the bytes of its checkpoint now, and hardly more.
    #[must_use]
    pub fn checkpoint_bytes(&self) -> usize {
        let state = &self.state;
        FIXED_BYTES
            + state.rows.bytes()
            + state.sites.bytes()
            + std::mem::size_of_val(&state.requests[..])
            + std::mem::size_of_val(&state.grants[..])
            + std::mem::size_of_val(&state.bulletins[..])
    }

    /// The configuration it belongs to.
    #[must_use]
    pub fn config(&self) -> &SimulationConfig {
        &self.farm.config
    }

    /// Its place in the plan.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.plan.index
    }

    /// Ticks stepped since creation.
    #[must_use]
    pub fn tick(&self) -> u64 {
        u64::from(self.state.tick)
    }

    /// Rows held.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.plan.rows
    }

    /// Chooses the instruction set of the laws; results do not depend on it.
    pub fn set_isa(&mut self, isa: Isa) {
        self.isa = isa;
    }

    /// Its share of the digest of its tick; the simulation's is the wrapping sum over partitions.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut sum = digest::rows(&self.state.rows)
            .wrapping_add(digest::requests(&self.state.requests))
            .wrapping_add(digest::grants(&self.state.grants));
        for (local, bulletin) in (0..).zip(&self.state.bulletins) {
            let id = self.plan.first_site + local;
            sum = sum
                .wrapping_add(self.state.sites.digest(&self.farm, local, id))
                .wrapping_add(digest::bulletin(id, bulletin));
        }
        sum
    }

    /// Sums over its rows at its tick.
    #[must_use]
    pub fn aggregate(&self) -> Aggregate {
        let rows = &self.state.rows;
        let mut sums = Aggregate {
            rows: rows.len() as u64,
            counters: self.state.counters,
            ..Aggregate::default()
        };
        for &state in &rows.state {
            sums.by_state[usize::from(state)] += 1;
        }
        for &charge in &rows.charge {
            let bucket = i64::from(charge) * CHARGE_BUCKETS as i64 / i64::from(FULL_CHARGE);
            sums.by_charge[(bucket as usize).min(CHARGE_BUCKETS - 1)] += 1;
            sums.charge_sum += i64::from(charge);
        }
        for &speed in &rows.speed {
            sums.speed_sum_mm_per_s += (speed * 1000.0) as i64;
        }
        sums
    }

    /// Events of the last step, ordered by (site, entity, ordinal).
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Letters of the last step: partition and words.
    pub fn outbox(&self) -> impl Iterator<Item = (u32, &[u32])> {
        let mut start = 0;
        self.outbox.letters.iter().map(move |&(to, end)| {
            let words = &self.outbox.words[start..end];
            start = end;
            (to, words)
        })
    }

    /// Blocks of its view; the same in every tick.
    #[must_use]
    pub fn view_blocks(&self) -> u32 {
        self.blocks().count() as u32
    }

    /// Writes the view of its tick: a block's records stand where its rows do.
    ///
    /// # Panics
    /// Panics unless there are [`Partition::view_blocks`] blocks and [`Partition::rows`] records.
    pub fn write_view(&self, blocks: &mut [ViewBlock], records: &mut [ViewRecord]) {
        assert_eq!(records.len(), self.state.rows.len());
        let mut written = 0;
        for (block, rows) in blocks.iter_mut().zip(self.blocks()) {
            let site = self.state.rows.site[rows.start];
            let records = &mut records[rows.clone()];
            *block = crate::view::write_block(&self.state.rows, site, rows, records);
            written += 1;
        }
        assert_eq!(written, blocks.len());
    }

    /// Rows of each block of its view.
    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        crate::view::blocks(&self.state.rows.site)
    }

    /// Whether the state of its sites is here and not in another part.
    pub(crate) fn holds_sites(&self) -> bool {
        self.plan.cut.is_none_or(|cut| cut.part == 0)
    }

    /// Sites whose state is here.
    fn sites_held(&self) -> u32 {
        if self.holds_sites() {
            self.plan.sites
        } else {
            0
        }
    }

    fn empty(plan: &Plan, index: u32) -> Partition {
        let partition = plan.partitions[index as usize].clone();
        // Room for what a tick brings, so that none of them grows in a step.
        let rows = partition.rows as usize;
        let messages = || Vec::with_capacity(MESSAGES_PER_ROW * rows);
        let grants = match partition.cut {
            Some(_) => GRANTS_PER_MACHINE * plan.farm.machines_per_site as usize,
            None => GRANTS_PER_MACHINE * rows,
        };
        let sites = partition.sites as usize;
        let clients = match partition.cut {
            Some(cut) if cut.part > 0 => 0,
            _ => sites * plan.farm.machines_per_site as usize,
        };
        Partition {
            blocked: vec![UNTRIED; clients],
            index: Index::new(plan, &partition),
            farm: plan.farm.clone(),
            plan: partition,
            isa: Isa::detect(),
            state: State {
                config: plan.farm.config.clone(),
                partition: index,
                tick: 0,
                rows: Rows::default(),
                sites: Sites::default(),
                requests: messages(),
                grants: Vec::with_capacity(grants),
                bulletins: Vec::with_capacity(sites),
                counters: Counters::default(),
            },
            events: Vec::with_capacity(MESSAGES_PER_ROW * rows),
            outbox: Outbox::default(),
            spare: (
                messages(),
                Vec::with_capacity(grants),
                Vec::with_capacity(sites),
            ),
        }
    }

    /// Refuses a restored state that does not fit the plan or would index out of bounds.
    fn check(&self) -> Result<(), CheckpointError> {
        let (rows, farm) = (&self.state.rows, &self.farm);
        let fits = |what, holds: bool| match holds {
            true => Ok(()),
            false => Err(CheckpointError::Mismatch {
                what,
                partition: self.plan.index,
            }),
        };
        fits("configuration", self.state.config == farm.config)?;
        fits("partition", self.state.partition == self.plan.index)?;
        fits("rows", rows.has_len(self.plan.rows as usize))?;
        let sites = self.sites_held();
        fits("sites", self.state.sites.fits(farm, sites))?;
        fits("bulletins", self.state.bulletins.len() == sites as usize)?;
        let (first, last) = (self.plan.first_site, self.plan.first_site + self.plan.sites);
        for r in &self.state.requests {
            check_request(farm, r).map_err(CheckpointError::Message)?;
            fits("requests", (first..last).contains(&r.site))?;
        }
        for g in &self.state.grants {
            crate::step::check_grant(farm, g).map_err(CheckpointError::Message)?;
            fits("grants", (first..last).contains(&g.site))?;
        }
        for bulletin in &self.state.bulletins {
            crate::step::check_bulletin(bulletin).map_err(CheckpointError::Message)?;
        }
        fits("tick", u64::from(self.state.tick) <= MAX_TICK)?;
        fits("counters", self.state.counters.can_count())?;
        let expected = first_rows(&self.plan, farm, &self.index);
        fits(
            "entities",
            rows.entity == expected.entity && rows.site == expected.site,
        )?;
        self.check_columns()?;
        self.check_rows()
    }

    /// Refuses a row that is nowhere, or lacks what its task needs.
    fn check_rows(&self) -> Result<(), CheckpointError> {
        let (rows, layout) = (&self.state.rows, &self.farm.layout);
        let wrong = |what, i: usize, value| {
            Err(CheckpointError::OutOfRange {
                what,
                row: i as u32,
                value,
            })
        };
        if let Some((what, i)) = rows.no_number() {
            return wrong(what, i, 0);
        }
        // Wide enough for all that is ever written, and so narrow that no step makes them infinite.
        let remainder = -1.0..=1.0;
        let ranges = [
            ("x_rem", &rows.x_rem, remainder.clone()),
            ("y_rem", &rows.y_rem, remainder.clone()),
            ("charge_rem", &rows.charge_rem, remainder),
            ("dir_x", &rows.dir_x, -1.01..=1.01),
            ("dir_y", &rows.dir_y, -1.01..=1.01),
            ("curvature", &rows.curvature, -1e3..=1e3),
            ("go", &rows.go, 0.0..=1.0),
            ("engaged", &rows.engaged, 0.0..=1.0),
            ("speed", &rows.speed, 0.0..=MAX_M_PER_S),
            ("cruise", &rows.cruise, 0.0..=MAX_M_PER_S),
            ("drive_limit", &rows.drive_limit, 0.0..=MAX_M_PER_S),
            (
                "speed_limit",
                &rows.speed_limit,
                0.0..=MAX_SPEED_LIMIT_M_PER_S,
            ),
            ("slot_power", &rows.slot_power, 0.0..=MAX_SLOT_W),
        ];
        for (what, column, range) in ranges {
            if let Some(i) = column.iter().position(|value| !range.contains(value)) {
                return wrong(what, i, column[i].to_bits());
            }
        }
        let fence = layout.fence();
        for i in 0..rows.len() {
            let (land, task) = (rows.land[i], rows.task[i]);
            let (x, y) = (rows.x[i], rows.y[i]);
            if !fence.contains(Point { x, y }) {
                return wrong("place, x", i, x.cast_unsigned());
            }
            if land != NONE && !layout.has_swath(land, rows.swath[i]) {
                return wrong("swath", i, rows.swath[i]);
            }
            if !(0..=layout.swath_length).contains(&rows.done_before[i]) {
                return wrong("swath done before", i, rows.done_before[i].cast_unsigned());
            }
            let needs = match task {
                task::TO_SWATH..=task::TURN => land,
                task::TO_SLOT => rows.slot[i],
                task::TO_QUEUE => rows.park[i],
                _ => 0,
            };
            if needs == NONE {
                return wrong("task", i, u32::from(task));
            }
        }
        Ok(())
    }

    fn check_columns(&self) -> Result<(), CheckpointError> {
        let (rows, layout) = (&self.state.rows, &self.farm.layout);
        let below_or = |what,
                        column: &mut dyn Iterator<Item = u32>,
                        limit: u32,
                        may_be_none: bool| match column
            .enumerate()
            .find(|(_, v)| *v >= limit && (*v != NONE || !may_be_none))
        {
            None => Ok(()),
            Some((row, value)) => Err(CheckpointError::OutOfRange {
                what,
                row: row as u32,
                value,
            }),
        };
        let below = |what, column: &mut dyn Iterator<Item = u32>, limit| {
            below_or(what, column, limit, false)
        };
        let index =
            |what, column: &[u32], limit| below_or(what, &mut column.iter().copied(), limit, true);
        let states = crate::aggregate::STATES as u32;
        below(
            "state",
            &mut rows.state.iter().map(|s| u32::from(*s)),
            states,
        )?;
        below(
            "resume",
            &mut rows.resume.iter().map(|s| u32::from(*s)),
            states,
        )?;
        below(
            "task",
            &mut rows.task.iter().map(|t| u32::from(*t)),
            u32::from(task::COUNT),
        )?;
        below("mode", &mut rows.mode.iter().copied(), mode::COUNT)?;
        index("land", &rows.land, layout.lands())?;
        index("slot", &rows.slot, layout.slots())?;
        index("park", &rows.park, layout.parks())?;
        let charge = rows.charge.iter().map(|c| c.cast_unsigned());
        below(
            "charge",
            &mut charge.into_iter(),
            FULL_CHARGE.cast_unsigned() + 1,
        )
    }
}

/// Most bytes that the checkpoint of a farm's partition may have where partitions have at most
/// `partition_rows`, with as many messages a machine as there is room for without a buffer growing.
pub(crate) fn max_checkpoint_bytes(farm: &Farm, partition_rows: u32) -> u64 {
    let each = farm.machines_per_site;
    // Of a cut site the first part holds all of its state.
    let (rows, sites, machines) = if each > partition_rows {
        (each.div_ceil(each.div_ceil(partition_rows)), 1, each)
    } else {
        let sites = (partition_rows / each).min(farm.sites);
        (sites * each, sites, sites * each)
    };
    let size = |count: u32, bytes: usize| u64::from(count) * bytes as u64;
    let row_bytes = Rows::ROW_BYTES + MESSAGES_PER_ROW * std::mem::size_of::<Request>();
    FIXED_BYTES as u64
        + size(rows, row_bytes)
        + u64::from(sites) * Sites::site_bytes(farm)
        + size(machines, GRANTS_PER_MACHINE * std::mem::size_of::<Grant>())
        + size(sites, std::mem::size_of::<Bulletin>())
}

impl Index {
    fn new(plan: &Plan, partition: &PartitionPlan) -> Index {
        let farm = &plan.farm;
        let machines = machines(plan, partition);
        let mut classes = Vec::new();
        for (class, parameters) in farm.classes.iter().enumerate() {
            let first = machines.partition_point(|m| (m.class as usize) < class);
            let end = machines.partition_point(|m| m.class as usize <= class);
            if first < end {
                classes.push(ClassRows {
                    class,
                    rows: first..end,
                    ground: GroundLaw::new(&parameters.ground),
                    battery: BatteryLaw::new(&parameters.battery, farm.config.tick_ms),
                });
            }
        }
        let mut row_of = vec![NONE; (partition.sites * farm.machines_per_site) as usize];
        let (mut charger_x, mut charger_y) = (Vec::new(), Vec::new());
        for (row, m) in machines.iter().enumerate() {
            row_of[(m.local * farm.machines_per_site + m.machine) as usize] = row as u32;
            let station = farm
                .layout
                .station_of_field(farm.layout.home_field(m.machine));
            let charger = farm.layout.slot(station * farm.layout.slots_per_station);
            charger_x.push(charger.x);
            charger_y.push(charger.y);
        }
        let mut by_site: Vec<u32> = (0..machines.len() as u32).collect();
        by_site.sort_by_key(|&row| machines[row as usize].local);
        let site_starts = (0..=partition.sites)
            .map(|s| by_site.partition_point(|&row| machines[row as usize].local < s) as u32)
            .collect();
        let cut = partition.cut.map(|part| Cut {
            part,
            grid: CellGrid::new(&farm.layout),
            part_of: (0..farm.machines_of(partition.first_site))
                .map(|machine| plan.part_of(partition.first_site, machine))
                .collect(),
        });
        Index {
            class_of: machines.iter().map(|m| m.class).collect(),
            classes,
            row_of,
            by_site,
            site_starts,
            charger_x,
            charger_y,
            cut,
        }
    }
}

/// A machine of a partition.
struct Machine {
    class: u32,
    /// Site, counted from the partition's first.
    local: u32,
    /// Index in the site.
    machine: u32,
}

/// Site and id of each machine of a partition, in the order of its rows.
pub(crate) fn sites_and_entities(plan: &Plan, index: u32) -> (Vec<u32>, Vec<u32>) {
    let partition = &plan.partitions[index as usize];
    let of = |m: Machine| {
        let site = partition.first_site + m.local;
        (site, plan.farm.first_entity(site) + m.machine)
    };
    machines(plan, partition).into_iter().map(of).unzip()
}

/// The machines of a partition in the order of their rows.
fn machines(plan: &Plan, partition: &PartitionPlan) -> Vec<Machine> {
    let farm = &plan.farm;
    let mut machines = Vec::with_capacity(partition.rows as usize);
    for local in 0..partition.sites {
        let site = partition.first_site + local;
        let part = partition.cut.map_or(0, |cut| cut.part);
        machines.extend(
            (0..farm.machines_of(site))
                .filter(|&m| plan.part_of(site, m) == part)
                .map(|machine| Machine {
                    class: farm.class_of(machine),
                    local,
                    machine,
                }),
        );
    }
    // In a site of many, homes of consecutive rows lie together, and so do the machines of a view's
    // block; every other class runs back along the curve, so those of a block of two classes do too.
    let is_large = farm.machines_per_site > BLOCK_ROWS;
    machines.sort_by_cached_key(|m| match is_large {
        true if m.class % 2 == 1 => (m.class, m.local, !along_the_curve(farm, m.machine)),
        true => (m.class, m.local, along_the_curve(farm, m.machine)),
        false => (m.class, m.local, 0),
    });
    machines
}

/// Rows at home, before their first words.
fn first_rows(partition: &PartitionPlan, farm: &Farm, index: &Index) -> Rows {
    let mut rows = Rows::new(partition.rows as usize);
    for (place, &row) in index.row_of.iter().enumerate() {
        if row == NONE {
            continue;
        }
        let i = row as usize;
        let local = place as u32 / farm.machines_per_site;
        let machine = place as u32 % farm.machines_per_site;
        let home = farm.layout.home(machine);
        rows.site[i] = partition.first_site + local;
        rows.entity[i] = farm.first_entity(rows.site[i]) + machine;
        rows.x[i] = home.x;
        rows.y[i] = home.y;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scenario;
    use bumpalo::Bump;

    /// A partition that has messages in flight.
    fn at_work(plan: &Plan) -> Partition {
        let mut partition = Partition::create(plan, 0);
        let mut bump = Bump::new();
        for _ in 0..300 {
            bump.reset();
            let inputs = crate::StepInputs::default();
            partition.step(&inputs, &bump).expect("no mail");
        }
        partition
    }

    fn plan(scenario: Scenario, entities: u32) -> Plan {
        Plan::new(&SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms: 50,
            seed: 9,
            partition_rows: 4096,
        })
        .expect("valid")
    }

    #[test]
    fn a_checkpoint_goes_straight_into_a_buffer_of_the_size_that_is_told_before() {
        for scenario in Scenario::ALL {
            let plan = plan(scenario, 120);
            let partition = at_work(&plan);
            let told = partition.checkpoint_bytes();
            let mut buffer = AlignedVec::<64>::with_capacity(told);
            let at = buffer.as_ptr();
            partition.checkpoint_into(&mut buffer);
            assert_eq!(buffer.as_ptr(), at, "the buffer grew");
            assert!(buffer.len() <= told && told < buffer.len() + 512);
            let mut appended = vec![7];
            partition.checkpoint(&mut appended);
            assert_eq!(appended[1..], buffer[..]);
        }
    }

    #[test]
    fn a_checkpoint_whose_swath_is_done_beyond_its_end_is_refused() {
        let plan = plan(Scenario::Dense, 40);
        let partition = at_work(&plan);
        let length = plan.farm.layout.swath_length;
        let restored = |change: &dyn Fn(&mut State, i32), done| {
            let mut changed = partition.clone();
            change(&mut changed.state, done);
            let mut bytes = Vec::new();
            changed.checkpoint(&mut bytes);
            Partition::restore(&plan, 0, &bytes).is_ok()
        };
        let of_row = |state: &mut State, done| state.rows.done_before[3] = done;
        let of_land = |state: &mut State, done| state.sites.land_progress[3] = done;
        for (done, is_read) in [(length, true), (length + 1, false), (-1, false)] {
            assert_eq!(restored(&of_row, done), is_read, "{done}");
            assert_eq!(restored(&of_land, done), is_read, "{done}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_kernel_simulation_or_partition_is_refused_by_name() {
        let config = SimulationConfig {
            scenario: Scenario::Weeding.code(),
            entities: 48,
            tick_ms: 50,
            seed: 9,
            partition_rows: 24,
        };
        let plan = Plan::new(&config).expect("valid");
        let mut bytes = Vec::new();
        Partition::create(&plan, 0).checkpoint(&mut bytes);
        // Each of them has as many rows, and the same machines.
        let others = [
            SimulationConfig {
                tick_ms: 100,
                ..config.clone()
            },
            SimulationConfig {
                seed: 10,
                ..config.clone()
            },
            SimulationConfig {
                entities: 36,
                ..config.clone()
            },
            SimulationConfig {
                partition_rows: 25,
                ..config
            },
        ];
        for other in others {
            let plan = Plan::new(&other).expect("valid");
            let refused = Partition::restore(&plan, 0, &bytes).map(|_| ());
            let what = "configuration";
            let partition = 0;
            assert_eq!(refused, Err(CheckpointError::Mismatch { what, partition }));
        }
        let refused = Partition::restore(&plan, 1, &bytes).map(|_| ());
        let (what, partition) = ("partition", 1);
        assert_eq!(refused, Err(CheckpointError::Mismatch { what, partition }));
        bytes[4] += 1;
        let refused = Partition::restore(&plan, 0, &bytes).map(|_| ());
        let version = KERNEL_VERSION + 1;
        assert_eq!(refused, Err(CheckpointError::Version { version }));
    }

    #[test]
    fn a_block_of_a_large_sites_view_spans_little_ground() {
        let plan = Plan::new(&SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities: 20_000,
            tick_ms: 50,
            seed: 9,
            partition_rows: 20_000,
        })
        .expect("valid");
        let partition = Partition::create(&plan, 0);
        let mut blocks = vec![ViewBlock::default(); partition.view_blocks() as usize];
        let mut records = vec![ViewRecord::default(); partition.rows() as usize];
        partition.write_view(&mut blocks, &mut records);
        let (low, high) = (plan.farm.layout.origin(), plan.farm.layout.far_corner());
        for block in &blocks {
            let (east, north) = (block.x1 - block.x0, block.y1 - block.y0);
            let site = (high.x - low.x).max(high.y - low.y);
            assert!(east.max(north) < site / 2, "{block:?}");
        }
    }

    #[test]
    fn the_cells_that_a_checkpoint_leaves_out_are_taken_again() {
        use crate::command::{Action, Command};
        let plan = plan(Scenario::Dense, 160);
        let mut partition = Partition::create(&plan, 0);
        let (mut bump, mut held) = (Bump::new(), 0);
        for tick in 0..1_200_u32 {
            bump.reset();
            let x_mm = (tick % 97) as i32 * 1_000 - 48_000;
            let goto = Action::Goto { x_mm, y_mm: 0 };
            let action = match tick % 40 {
                0 => goto,
                20 => Action::Release,
                _ => Action::SetSpeedLimit { mm_per_s: 0 },
            };
            let commands = [Command::new(0, 1 + tick / 40 * 37 % 160, action)];
            let inputs = crate::StepInputs {
                commands: &commands,
                mail: &[],
            };
            partition.step(&inputs, &bump).expect("no mail");
            if tick % 7 == 0 {
                let mut bytes = Vec::new();
                partition.checkpoint(&mut bytes);
                let restored = Partition::restore(&plan, 0, &bytes).expect("just written");
                assert!(restored.state == partition.state, "tick {tick}");
                held += partition
                    .state
                    .sites
                    .cell
                    .iter()
                    .filter(|c| **c > 0)
                    .count();
            }
        }
        assert!(held > 10_000, "{held}");
    }

    #[test]
    fn a_checkpoint_is_restored_from_where_it_stands_at_any_alignment() {
        let plan = plan(Scenario::Dense, 40);
        let partition = at_work(&plan);
        let mut buffer = AlignedVec::<64>::new();
        buffer.resize(CHECKPOINT_ALIGN, 0);
        partition.checkpoint_into(&mut buffer);
        for shift in 0..=CHECKPOINT_ALIGN {
            let mut moved = AlignedVec::<64>::new();
            moved.resize(shift, 0);
            moved.extend_from_slice(&buffer[CHECKPOINT_ALIGN..]);
            let restored = Partition::restore(&plan, 0, &moved[shift..]).expect("just written");
            assert_eq!(restored.state, partition.state);
        }
    }
}
