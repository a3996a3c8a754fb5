//! What a site is: its lands, slots and parking places, and what it knows of each machine.
//!
//! It never looks at rows: a machine and its site know of each other by messages only. Who is given
//! what is its coordinator's to decide (`coordinator.rs`).

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::digest;
use crate::farm::Farm;
use crate::layout::{Layout, NONE, Point, units};
use crate::mail::MailError;
use crate::message::{Bulletin, Request, goal, request};
use crate::roads::{self, Hold, SOLE};
use crate::route::{Exit, Route};

/// Bits of [`Sites::waits`].
pub(crate) mod wait {
    /// For its way.
    pub(crate) const WAY: u32 = 1;
    /// For a slot of its station.
    pub(crate) const CHARGER: u32 = 2;
}

/// What a site knows of a machine.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Land it has been given, or [`NONE`].
    pub land: u32,
    /// Slot it has been given, or [`NONE`].
    pub slot: u32,
    /// Parking place it has been given, or [`NONE`].
    pub park: u32,
    /// The berth it stands in, as a [`goal`]; nowhere while it is under way.
    pub berth: u32,
    /// The way it wants or has, as a [`goal`].
    pub way: u32,
    /// 1 where it has the way, 0 where it wants it.
    pub has_way: u32,
    /// Legs it has driven.
    pub legs: u32,
    /// How far it has driven on the next leg, 2^-16 m.
    pub driven: u32,
    /// Where the way begins; of a turn, the swath.
    pub from_x: i32,
    /// Where the way begins.
    pub from_y: i32,
    /// Where the way ends.
    pub to_x: i32,
    /// Where the way ends.
    pub to_y: i32,
    /// Tick of the step in which it asked for the way.
    pub way_since: u32,
    /// Number of the request that the way answers.
    pub way_ask: u32,
    /// Station it queues at.
    pub station: u32,
    /// Tick of the step in which it joined the station's queue.
    pub slot_since: u32,
    /// Number of the request that the slot answers.
    pub slot_ask: u32,
}

impl Client {
    /// At home, without anything.
    pub(crate) const AT_HOME: Client = Client {
        land: NONE,
        slot: NONE,
        park: NONE,
        berth: goal::HOME << 28,
        way: goal::NOWHERE,
        has_way: 0,
        legs: 0,
        driven: 0,
        from_x: 0,
        from_y: 0,
        to_x: 0,
        to_y: 0,
        way_since: 0,
        way_ask: 0,
        station: 0,
        slot_since: 0,
        slot_ask: 0,
    };

    fn words(&self) -> [u32; 17] {
        [
            self.land,
            self.slot,
            self.park,
            self.berth,
            self.way,
            self.has_way,
            self.legs,
            self.driven,
            self.from_x.cast_unsigned(),
            self.from_y.cast_unsigned(),
            self.to_x.cast_unsigned(),
            self.to_y.cast_unsigned(),
            self.way_since,
            self.way_ask,
            self.station,
            self.slot_since,
            self.slot_ask,
        ]
    }

    /// Whether every index is one that the layout has.
    fn fits(&self, layout: &Layout) -> bool {
        let index = |value: u32, limit: u32| value == NONE || value < limit;
        index(self.land, layout.lands())
            && index(self.slot, layout.slots())
            && index(self.park, layout.parks())
            && self.station < layout.stations()
            && goal_fits(layout, self.berth)
            && goal_fits(layout, self.way)
            && match goal::unpack(self.way) {
                (goal::TURN, land) => layout.has_swath(land, self.from_x.cast_unsigned()),
                _ => true,
            }
    }

    pub(crate) fn from(&self) -> Point {
        Point {
            x: self.from_x,
            y: self.from_y,
        }
    }

    pub(crate) fn to(&self) -> Point {
        Point {
            x: self.to_x,
            y: self.to_y,
        }
    }

    /// Who is given its way first: the lower.
    pub(crate) fn urgency(&self) -> u32 {
        match (goal::unpack(self.berth).0, goal::unpack(self.way).0) {
            (goal::TARGET, _) => 0,
            (goal::SLOT, _) => 1,
            (_, goal::SLOT) => 2,
            _ => 3,
        }
    }

    pub(crate) fn route(&self, layout: &Layout) -> Route {
        let exit = match goal::unpack(self.way) {
            (goal::HOME, exit) => Exit::ALL[exit as usize % Exit::ALL.len()],
            _ => Exit::Any,
        };
        Route::plan_by(layout, self.from(), self.to(), exit)
    }

    /// The cells that it holds, one entry a cell. Who is sent somewhere by a user may find its way
    /// blocked, so it holds the way home from the last corner too.
    pub(crate) fn holds(
        &self,
        layout: &Layout,
        machine: u32,
        reach: i32,
        holds: &mut BumpVec<'_, Hold>,
    ) {
        holds.clear();
        if self.has_way != 0 {
            let (kind, index) = goal::unpack(self.way);
            if kind == goal::TURN {
                roads::turn_holds(layout, index, self.from_x.cast_unsigned(), reach, holds);
            } else {
                let route = self.route(layout);
                let driven = i32::try_from(self.driven).unwrap_or(i32::MAX);
                roads::route_holds(layout, &route, self.legs, driven, holds);
                if kind == goal::TARGET {
                    let escape = Route::plan(layout, route.last_corner(), layout.home(machine));
                    roads::route_holds(layout, &escape, 0, 0, holds);
                }
            }
        }
        roads::merge(holds);
    }
}

fn goal_fits(layout: &Layout, word: u32) -> bool {
    let (kind, index) = goal::unpack(word);
    match kind {
        goal::SWATH | goal::TURN => index < layout.lands(),
        goal::SLOT => index < layout.slots(),
        goal::PARK => index < layout.parks(),
        goal::NOWHERE | goal::HOME | goal::TARGET => true,
        _ => false,
    }
}

/// State of the sites of a partition, as columns: all sites have one layout, so each takes an equal
/// share of every column.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Sites {
    /// Machine that has a land, by its index in the site, or [`NONE`].
    pub land_owner: Vec<u32>,
    /// Swaths of a land that are done in this pass; they are done in order.
    pub land_done: Vec<u32>,
    /// How far the land's next swath is done, 2^-16 m: where a machine left it half-way.
    pub land_progress: Vec<i32>,
    /// Passes over a land that are finished.
    pub land_passes: Vec<u32>,
    /// Machines that hold a cell of a road, and in the high two bits the mode. It follows from
    /// `clients`, so it is neither in checkpoints nor in the digest.
    #[rkyv(with = rkyv::with::Skip)]
    pub cell: Vec<u32>,
    /// Machine that has a charging slot, or [`NONE`].
    pub slot_holder: Vec<u32>,
    /// Machine that has a parking place, or [`NONE`].
    pub park_holder: Vec<u32>,
    /// What each machine waits for, as bits.
    pub waits: Vec<u32>,
    /// Each machine.
    pub clients: Vec<Client>,
}

impl Sites {
    /// `sites` fresh sites of a farm.
    #[must_use]
    pub fn new(farm: &Farm, sites: u32) -> Sites {
        let layout = &farm.layout;
        let of = |each: u32| (sites * each) as usize;
        let machines = of(farm.machines_per_site);
        Sites {
            land_owner: vec![NONE; of(layout.lands())],
            land_done: vec![0; of(layout.lands())],
            land_progress: vec![0; of(layout.lands())],
            land_passes: vec![0; of(layout.lands())],
            cell: vec![0; of(roads::cells(layout))],
            slot_holder: vec![NONE; of(layout.slots())],
            park_holder: vec![NONE; of(layout.parks())],
            waits: vec![0; machines],
            clients: vec![Client::AT_HOME; machines],
        }
    }

    /// Takes the cells that the machines of `sites` restored sites hold.
    pub(crate) fn hold_again(&mut self, farm: &Farm, sites: u32) {
        let layout = &farm.layout;
        let each = roads::cells(layout);
        self.cell = vec![0; (sites * each) as usize];
        let mut bump = Bump::new();
        for (place, client) in (0..).zip(&self.clients) {
            let (local, machine) = (
                place / farm.machines_per_site,
                place % farm.machines_per_site,
            );
            let mut holds = BumpVec::new_in(&bump);
            client.holds(layout, machine, reach(farm, machine), &mut holds);
            let cells = &mut self.cell[span(local, each)];
            holds.iter().for_each(|hold| hold_cell(cells, *hold));
            drop(holds);
            bump.reset();
        }
    }

    /// Whether the columns have the lengths of `sites` sites of a farm, and name what it has.
    #[must_use]
    pub fn fits(&self, farm: &Farm, sites: u32) -> bool {
        let layout = &farm.layout;
        let of = |each: u32| (sites * each) as usize;
        let machines = of(farm.machines_per_site);
        let done = self
            .land_done
            .iter()
            .all(|done| *done < layout.swaths_per_land);
        let progress = self
            .land_progress
            .iter()
            .all(|way| (0..=layout.swath_length).contains(way));
        self.land_owner.len() == of(layout.lands())
            && self.land_done.len() == of(layout.lands())
            && self.land_progress.len() == of(layout.lands())
            && self.land_passes.len() == of(layout.lands())
            && self.slot_holder.len() == of(layout.slots())
            && self.park_holder.len() == of(layout.parks())
            && self.waits.len() == machines
            && self.clients.len() == machines
            && done
            && progress
            && self.clients.iter().all(|client| client.fits(layout))
    }

    /// Columns.
    pub(crate) const COLUMNS: usize = 8;

    /// Bytes of one site.
    pub(crate) fn site_bytes(farm: &Farm) -> u64 {
        let (layout, machines) = (&farm.layout, u64::from(farm.machines_per_site));
        let words = 4 * u64::from(layout.lands())
            + u64::from(layout.slots())
            + u64::from(layout.parks())
            + machines;
        let word = std::mem::size_of::<u32>() as u64;
        word * words + machines * std::mem::size_of::<Client>() as u64
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        let words = self.land_owner.len()
            + self.land_done.len()
            + self.land_progress.len()
            + self.land_passes.len()
            + self.slot_holder.len()
            + self.park_holder.len()
            + self.waits.len();
        std::mem::size_of::<u32>() * words + std::mem::size_of_val(&self.clients[..])
    }

    /// What a site tells its machines.
    #[must_use]
    pub fn bulletin(&self, farm: &Farm, local: u32) -> Bulletin {
        let slots = span(local, farm.layout.slots());
        let free = self.slot_holder[slots].iter().filter(|h| **h == NONE);
        Bulletin {
            soil_bn: farm.soil_bn,
            free_slots: free.count() as u32,
        }
    }

    /// Sum of the hashes of one site's words.
    #[must_use]
    pub fn digest(&self, farm: &Farm, local: u32, id: u32) -> u64 {
        let layout = &farm.layout;
        let lands = span(local, layout.lands());
        let machines = span(local, farm.machines_per_site);
        let mut words = digest::Words::new(id);
        words.column(&self.land_owner[lands.clone()]);
        words.column(&self.land_done[lands.clone()]);
        words.column(&self.land_progress[lands.clone()]);
        words.column(&self.land_passes[lands]);
        words.column(&self.slot_holder[span(local, layout.slots())]);
        words.column(&self.park_holder[span(local, layout.parks())]);
        words.column(&self.waits[machines.clone()]);
        for client in &self.clients[machines] {
            words.column(&client.words());
        }
        words.sum()
    }
}

/// The share of the `local`-th site of a column with `each` entries a site.
pub(crate) fn span(local: u32, each: u32) -> std::ops::Range<usize> {
    (local * each) as usize..((local + 1) * each) as usize
}

/// Refuses a request that names what its site does not have.
///
/// # Errors
/// [`MailError::OutOfRange`].
pub fn check_request(farm: &Farm, r: &Request) -> Result<(), MailError> {
    let layout = &farm.layout;
    let check = |what, value, limit| match value < limit {
        true => Ok(()),
        false => Err(MailError::OutOfRange { what, value }),
    };
    check("machine", r.machine, farm.machines_per_site)?;
    check("request kind", r.kind, request::COUNT)?;
    match r.kind {
        request::SWATH_DONE => check_swath(layout, r.a, r.b),
        request::LEAVE_LAND => check_swath(layout, r.a, r.c),
        request::CHARGER => check("station", r.a, layout.stations()),
        request::WAY if !goal_fits(layout, r.a) || goal::unpack(r.a).0 == goal::TURN => {
            Err(MailError::OutOfRange {
                what: "goal",
                value: r.a,
            })
        }
        _ => Ok(()),
    }
}

/// Refuses a swath that its land does not have.
pub(crate) fn check_swath(layout: &Layout, land: u32, swath: u32) -> Result<(), MailError> {
    let (what, value) = if land >= layout.lands() {
        ("land", land)
    } else if !layout.has_swath(land, swath) {
        ("swath", swath)
    } else {
        return Ok(());
    };
    Err(MailError::OutOfRange { what, value })
}

/// Room that a machine's turn takes to either side.
pub(crate) fn reach(farm: &Farm, machine: u32) -> i32 {
    let class = &farm.classes[farm.class_of(machine) as usize];
    units(2.0 * class.turn_radius_m)
}

/// Where the mode stands in a cell's word; below it stands the number of holders.
const MODE_SHIFT: u32 = 30;
const HOLDERS: u32 = (1 << MODE_SHIFT) - 1;

pub(crate) fn is_free(cell: u32, mode: u32) -> bool {
    cell & HOLDERS == 0 || (mode != SOLE && cell >> MODE_SHIFT == mode)
}

pub(crate) fn hold_cell(cells: &mut [u32], (cell, mode): Hold) {
    let word = &mut cells[cell as usize];
    let holders = (*word & HOLDERS).saturating_add(1).min(HOLDERS);
    *word = mode << MODE_SHIFT | holders;
}

pub(crate) fn release(cells: &mut [u32], (cell, _): Hold) {
    let word = &mut cells[cell as usize];
    let holders = (*word & HOLDERS).saturating_sub(1);
    *word = if holders == 0 {
        0
    } else {
        *word >> MODE_SHIFT << MODE_SHIFT | holders
    };
}
