//! Sites and their coordinator: who works which land, stands on which slot, and has which way.
//!
//! The coordinator reads the requests of the tick before, in the order of machines, and answers with
//! grants. It never looks at rows: a machine and its site know of each other by messages only.
//!
//! Slots are given first come, first served, to those in the station's parking places before those
//! who wait elsewhere for one of these. Ways are given first come, first served too, but first to who
//! stands on a road at a user's word, then to who leaves a slot, then to who drives to one: the roads at
//! a station are what a farm can have too few of. Since a way is given whole or not at all (see
//! [`crate::roads`]), a long one might wait for ever while short ones take turns on its cells; so who
//! has waited for `PATIENCE_S` has first claim on all the cells it wants.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use rkyv::{Archive, Deserialize, Serialize};

use crate::aggregate::Counters;
use crate::digest;
use crate::farm::Farm;
use crate::layout::{Layout, NONE, Point, units};
use crate::mail::MailError;
use crate::message::{Bulletin, Grant, Request, goal, grant, request};
use crate::roads::{self, Hold, SOLE};
use crate::route::{Exit, Route};

/// How far from its home a machine is given work, in fields.
const FARTHEST_WORK: i32 = 5;
/// Wait after which nobody may be given what a machine waits for, by its urgency. [assumed]
const PATIENCE_S: [f32; 4] = [0.0, 5.0, 5.0, 60.0];

/// Bits of [`Sites::waits`].
mod wait {
    /// For its way.
    pub(super) const WAY: u32 = 1;
    /// For a slot of its station.
    pub(super) const CHARGER: u32 = 2;
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
    const AT_HOME: Client = Client {
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

    fn from(&self) -> Point {
        Point {
            x: self.from_x,
            y: self.from_y,
        }
    }

    fn to(&self) -> Point {
        Point {
            x: self.to_x,
            y: self.to_y,
        }
    }

    /// Who is given its way first: the lower.
    fn urgency(&self) -> u32 {
        match (goal::unpack(self.berth).0, goal::unpack(self.way).0) {
            (goal::TARGET, _) => 0,
            (goal::SLOT, _) => 1,
            (_, goal::SLOT) => 2,
            _ => 3,
        }
    }

    fn route(&self, layout: &Layout) -> Route {
        let exit = match goal::unpack(self.way) {
            (goal::HOME, exit) => Exit::ALL[exit as usize % Exit::ALL.len()],
            _ => Exit::Any,
        };
        Route::plan_by(layout, self.from(), self.to(), exit)
    }

    /// The cells that it holds, one entry a cell. Who is sent somewhere by a user may find its way
    /// blocked, so it holds the way home from the last corner too.
    fn holds(&self, layout: &Layout, machine: u32, reach: i32, holds: &mut BumpVec<'_, Hold>) {
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
    /// Machines that hold a cell of a road, and in the high two bits the mode.
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
        self.land_owner.len() == of(layout.lands())
            && self.land_done.len() == of(layout.lands())
            && self.land_progress.len() == of(layout.lands())
            && self.land_passes.len() == of(layout.lands())
            && self.cell.len() == of(roads::cells(layout))
            && self.slot_holder.len() == of(layout.slots())
            && self.park_holder.len() == of(layout.parks())
            && self.waits.len() == machines
            && self.clients.len() == machines
            && done
            && self.clients.iter().all(|client| client.fits(layout))
    }

    /// Columns.
    pub(crate) const COLUMNS: usize = 9;

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        let words = self.land_owner.len()
            + self.land_done.len()
            + self.land_progress.len()
            + self.land_passes.len()
            + self.cell.len()
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

    /// Hash of one site.
    #[must_use]
    pub fn digest(&self, farm: &Farm, local: u32, id: u32) -> u64 {
        let layout = &farm.layout;
        let lands = span(local, layout.lands());
        let machines = span(local, farm.machines_per_site);
        let words = (self.land_owner[lands.clone()].iter())
            .chain(&self.land_done[lands.clone()])
            .chain(&self.land_passes[lands.clone()])
            .chain(&self.cell[span(local, roads::cells(layout))])
            .chain(&self.slot_holder[span(local, layout.slots())])
            .chain(&self.park_holder[span(local, layout.parks())])
            .chain(&self.waits[machines.clone()])
            .copied();
        let progress = self.land_progress[lands].iter().map(|p| p.cast_unsigned());
        let clients = self.clients[machines].iter().flat_map(Client::words);
        digest::site(id, words.chain(progress).chain(clients).map(u64::from))
    }
}

/// The share of the `local`-th site of a column with `each` entries a site.
fn span(local: u32, each: u32) -> std::ops::Range<usize> {
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

/// One site's coordinator for one step.
pub(crate) struct Coordinator<'a> {
    pub(crate) farm: &'a Farm,
    pub(crate) sites: &'a mut Sites,
    /// Which of the partition's sites.
    pub(crate) local: u32,
    /// Its id.
    pub(crate) site: u32,
    pub(crate) tick: u32,
    pub(crate) counters: &'a mut Counters,
    pub(crate) grants: &'a mut Vec<Grant>,
    /// Of each machine of the partition's sites, a cell that kept it from its way when it last tried.
    pub(crate) blocked: &'a mut [Hold],
}

/// No cell: a way that was not tried yet.
pub(crate) const UNTRIED: Hold = (NONE, 0);

impl Coordinator<'_> {
    /// Serves the requests of one site, ordered by machine and emission, then its queues.
    pub(crate) fn serve(&mut self, requests: &[Request], scratch: &Bump) {
        for r in requests {
            match r.kind {
                request::WORK => self.give_land(r),
                request::SWATH_DONE => self.swath_done(r, scratch),
                request::LEAVE_LAND => self.leave_land(r),
                request::WAY => self.want_way(r, scratch),
                request::LEG => self.leg_done(r, scratch),
                request::STOP => self.stop(r.machine, scratch),
                request::ESCAPE => self.escape(r, scratch),
                request::CHARGER => self.give_slot(r),
                request::CANCEL => self.cancel(r.machine, scratch),
                request::TARGET => {
                    self.drop_way(r.machine, scratch);
                    let client = self.client(r.machine);
                    client.to_x = r.b.cast_signed();
                    client.to_y = r.c.cast_signed();
                }
                _ => {}
            }
        }
        self.serve_queues(scratch);
    }

    fn layout(&self) -> &Layout {
        &self.farm.layout
    }

    fn machine(&self, machine: u32) -> usize {
        (self.local * self.farm.machines_per_site + machine) as usize
    }

    fn client(&mut self, machine: u32) -> &mut Client {
        let m = self.machine(machine);
        &mut self.sites.clients[m]
    }

    fn land(&self, land: u32) -> usize {
        (self.local * self.layout().lands() + land) as usize
    }

    fn slot_holder(&mut self, slot: u32) -> &mut u32 {
        let at = (self.local * self.layout().slots() + slot) as usize;
        &mut self.sites.slot_holder[at]
    }

    fn park_holder(&mut self, park: u32) -> &mut u32 {
        let at = (self.local * self.layout().parks() + park) as usize;
        &mut self.sites.park_holder[at]
    }

    fn grant(&mut self, machine: u32, ask: u32, kind: u32, [a, b, c]: [u32; 3]) {
        self.grants.push(Grant {
            site: self.site,
            machine,
            kind,
            ask,
            a,
            b,
            c,
        });
    }

    /// Gives a machine the nearest land that is open and nobody else's.
    fn give_land(&mut self, r: &Request) {
        let found = around(self.layout(), self.layout().home_field(r.machine))
            .find_map(|field| self.free_land(field, r.machine));
        let Some(land) = found else {
            return self.grant(r.machine, r.ask, grant::NO_WORK, [0; 3]);
        };
        let at = self.land(land);
        self.sites.land_owner[at] = r.machine;
        self.client(r.machine).land = land;
        let swath = self.layout().first_swath_of_land(land) + self.sites.land_done[at];
        let progress = self.sites.land_progress[at].cast_unsigned();
        self.grant(r.machine, r.ask, grant::SWATH, [land, swath, progress]);
    }

    /// The land of a field that has had the fewest passes, of those that are nobody else's; of such,
    /// the nearest to the machine's own share of a field.
    fn free_land(&self, field: u32, machine: u32) -> Option<u32> {
        let layout = self.layout();
        let lands = layout.lands_per_field();
        let own = machine % layout.homes_per_field * lands / layout.homes_per_field;
        (field * lands..(field + 1) * lands)
            .filter(|&land| [NONE, machine].contains(&self.sites.land_owner[self.land(land)]))
            .min_by_key(|&land| {
                let passes = self.sites.land_passes[self.land(land)];
                (passes, (land % lands).abs_diff(own), land)
            })
    }

    fn swath_done(&mut self, r: &Request, scratch: &Bump) {
        let (land, swath) = (r.a, r.b);
        let at = self.land(land);
        if self.client(r.machine).land != land {
            return self.give_land(r);
        }
        self.counters.swaths += 1;
        self.sites.land_done[at] += 1;
        self.sites.land_progress[at] = 0;
        if self.sites.land_done[at] >= self.layout().swaths_of_land(land) {
            // Its machine keeps it until it has left the ground.
            self.sites.land_done[at] = 0;
            self.sites.land_passes[at] = self.sites.land_passes[at].saturating_add(1);
            self.client(r.machine).land = NONE;
            return self.give_land(r);
        }
        let next = (swath + 1).min(self.layout().swaths_per_field - 1);
        self.grant(r.machine, r.ask, grant::NEXT_SWATH, [land, next, 0]);
        self.drop_way(r.machine, scratch);
        let tick = self.tick;
        let client = self.client(r.machine);
        client.way = goal::pack(goal::TURN, land);
        client.from_x = swath.cast_signed();
        client.way_since = tick;
        client.way_ask = r.c;
        self.wait_for(r.machine, wait::WAY);
    }

    fn leave_land(&mut self, r: &Request) {
        let land = r.a;
        if self.client(r.machine).land != land {
            return;
        }
        self.client(r.machine).land = NONE;
        let at = self.land(land);
        let next = self.layout().first_swath_of_land(land) + self.sites.land_done[at];
        if next == r.c {
            let length = self.layout().swath_length;
            self.sites.land_progress[at] = r.b.cast_signed().clamp(0, length);
        }
        if self.client(r.machine).berth != goal::pack(goal::SWATH, land) {
            self.sites.land_owner[at] = NONE;
        }
    }

    fn wait_for(&mut self, machine: u32, what: u32) {
        let m = self.machine(machine);
        self.sites.waits[m] |= what;
        if what == wait::WAY {
            self.blocked[m] = UNTRIED;
        }
    }

    fn wait_no_longer(&mut self, machine: u32, what: u32) {
        let m = self.machine(machine);
        self.sites.waits[m] &= !what;
    }

    fn want_way(&mut self, r: &Request, scratch: &Bump) {
        self.drop_way(r.machine, scratch);
        let (kind, index) = goal::unpack(r.a);
        if kind != goal::PARK {
            self.give_up_park(r.machine);
        }
        let to = self.place_of(r.machine, kind, index);
        let tick = self.tick;
        let client = self.client(r.machine);
        client.way = r.a;
        client.legs = 0;
        client.driven = 0;
        client.from_x = r.b.cast_signed();
        client.from_y = r.c.cast_signed();
        if let Some(to) = to {
            client.to_x = to.x;
            client.to_y = to.y;
        }
        client.way_since = tick;
        client.way_ask = r.ask;
        self.wait_for(r.machine, wait::WAY);
    }

    /// Where a goal lies; `None` for the place a user named.
    fn place_of(&self, machine: u32, kind: u32, index: u32) -> Option<Point> {
        let layout = self.layout();
        match kind {
            goal::SWATH => {
                let done = self.sites.land_done[self.land(index)];
                let swath =
                    layout.first_swath_of_land(index) + done.min(layout.swaths_of_land(index) - 1);
                Some(layout.swath_run(index, swath).0)
            }
            goal::SLOT => Some(layout.slot(index)),
            goal::PARK => Some(layout.park(index)),
            goal::HOME => Some(layout.home(machine)),
            _ => None,
        }
    }

    /// Takes back the way that a machine wants or has.
    fn drop_way(&mut self, machine: u32, scratch: &Bump) {
        self.wait_no_longer(machine, wait::WAY);
        let mut without = *self.client(machine);
        without.way = goal::NOWHERE;
        without.has_way = 0;
        self.become_client(machine, without, None, scratch);
    }

    /// A machine has driven legs of its way: what they took is free, and behind the first of them its
    /// old berth; at the end of the last it is in its new one.
    fn leg_done(&mut self, r: &Request, scratch: &Bump) {
        let mut client = *self.client(r.machine);
        let (kind, _) = goal::unpack(client.way);
        if client.has_way == 0 {
            return;
        }
        if kind == goal::TURN {
            return self.drop_way(r.machine, scratch);
        }
        let route = client.route(self.layout());
        let leaves = client.legs == 0 && (r.a > 0 || route.legs() == 0);
        if leaves && client.berth != client.way {
            self.vacate(r.machine);
            client = *self.client(r.machine);
        }
        client.legs = r.a.min(route.legs());
        client.driven = r.b;
        if client.legs == route.legs() {
            client.berth = client.way;
            client.way = goal::NOWHERE;
            client.has_way = 0;
        }
        self.become_client(r.machine, client, None, scratch);
    }

    /// A machine ends its way where it stands: in a field.
    fn stop(&mut self, machine: u32, scratch: &Bump) {
        if self.client(machine).has_way == 0 {
            return;
        }
        self.vacate(machine);
        let mut client = *self.client(machine);
        client.berth = goal::pack(goal::TARGET, 0);
        client.way = goal::NOWHERE;
        client.has_way = 0;
        self.become_client(machine, client, None, scratch);
    }

    /// A machine that a user sent somewhere gives up at the last corner before, and drives home, which
    /// way it holds.
    fn escape(&mut self, r: &Request, scratch: &Bump) {
        let mut client = *self.client(r.machine);
        if client.has_way == 0 || goal::unpack(client.way).0 != goal::TARGET {
            return;
        }
        let (from, to) = (
            client.route(self.layout()).last_corner(),
            self.layout().home(r.machine),
        );
        (client.from_x, client.from_y) = (from.x, from.y);
        (client.to_x, client.to_y) = (to.x, to.y);
        client.way = goal::pack(goal::HOME, 0);
        client.legs = 0;
        client.driven = 0;
        self.become_client(r.machine, client, None, scratch);
    }

    /// Frees the berth a machine has left.
    fn vacate(&mut self, machine: u32) {
        let (kind, index) = goal::unpack(self.client(machine).berth);
        self.client(machine).berth = goal::NOWHERE;
        match kind {
            goal::SWATH if self.client(machine).land != index => {
                let at = self.land(index);
                free_if_held(&mut self.sites.land_owner[at], machine);
            }
            goal::SLOT => {
                free_if_held(self.slot_holder(index), machine);
                free_if_held(&mut self.client(machine).slot, index);
            }
            goal::PARK => {
                free_if_held(self.park_holder(index), machine);
                free_if_held(&mut self.client(machine).park, index);
            }
            _ => {}
        }
    }

    /// Takes back a slot, unless the machine stands on it.
    fn give_up_slot(&mut self, machine: u32) {
        let client = self.client(machine);
        let slot = client.slot;
        if slot != NONE && client.berth != goal::pack(goal::SLOT, slot) {
            client.slot = NONE;
            *self.slot_holder(slot) = NONE;
        }
    }

    /// Takes back a parking place, unless the machine stands in it.
    fn give_up_park(&mut self, machine: u32) {
        let client = self.client(machine);
        let park = client.park;
        if park != NONE && client.berth != goal::pack(goal::PARK, park) {
            client.park = NONE;
            *self.park_holder(park) = NONE;
        }
    }

    fn cancel(&mut self, machine: u32, scratch: &Bump) {
        self.drop_way(machine, scratch);
        self.wait_no_longer(machine, wait::CHARGER);
        self.give_up_slot(machine);
        self.give_up_park(machine);
        let client = self.client(machine);
        let land = client.land;
        if land != NONE && client.berth != goal::pack(goal::SWATH, land) {
            client.land = NONE;
            let at = self.land(land);
            self.sites.land_owner[at] = NONE;
        }
    }

    fn give_slot(&mut self, r: &Request) {
        if let Some(slot) = self.take_slot(r.machine, r.a) {
            return self.grant(r.machine, r.ask, grant::SLOT, [slot, 0, 0]);
        }
        self.counters.charger_waits += 1;
        let tick = self.tick;
        let client = self.client(r.machine);
        client.station = r.a;
        client.slot_since = tick;
        client.slot_ask = r.ask;
        self.wait_for(r.machine, wait::CHARGER);
        let park = self.take_park(r.machine, r.a).unwrap_or(NONE);
        self.grant(r.machine, r.ask, grant::QUEUE, [park, 0, 0]);
    }

    fn take_slot(&mut self, machine: u32, station: u32) -> Option<u32> {
        self.give_up_slot(machine);
        let each = self.layout().slots_per_station;
        let own = self.client(machine).slot;
        if own != NONE && own / each == station {
            return Some(own);
        }
        let mut slots = station * each..(station + 1) * each;
        let slot = slots.find(|&slot| *self.slot_holder(slot) == NONE)?;
        *self.slot_holder(slot) = machine;
        self.client(machine).slot = slot;
        Some(slot)
    }

    fn take_park(&mut self, machine: u32, station: u32) -> Option<u32> {
        self.give_up_park(machine);
        let each = self.layout().parks_per_station;
        let own = self.client(machine).park;
        if own != NONE && own / each == station {
            return Some(own);
        }
        let mut parks = station * each..(station + 1) * each;
        let park = parks.find(|&park| *self.park_holder(park) == NONE)?;
        *self.park_holder(park) = machine;
        self.client(machine).park = park;
        Some(park)
    }

    /// Gives what is free to those who wait: first to who stands on a road, then first come first
    /// served, ties to the lower machine.
    fn serve_queues(&mut self, scratch: &Bump) {
        let waits = &self.sites.waits[span(self.local, self.farm.machines_per_site)];
        let mut queue = BumpVec::new_in(scratch);
        for (machine, &what) in (0..).zip(waits).filter(|(_, what)| **what != 0) {
            let client = &self.sites.clients[self.machine(machine)];
            if what & wait::CHARGER != 0 {
                // Who is there comes first: a slot should not stand empty while others are coming.
                let elsewhere = goal::unpack(client.berth).0 != goal::PARK;
                queue.push((
                    u32::from(elsewhere),
                    client.slot_since,
                    machine,
                    wait::CHARGER,
                ));
            }
            if what & wait::WAY != 0 {
                queue.push((client.urgency(), client.way_since, machine, wait::WAY));
            }
        }
        queue.sort_unstable();
        let mut claims = Claims::new(scratch);
        for &(urgency, since, machine, what) in &queue {
            if what == wait::CHARGER {
                self.serve_station(machine);
            } else {
                self.serve_way(machine, urgency, since, &mut claims, scratch);
            }
        }
    }

    /// Gives a machine in a station's queue a slot, or a parking place if it has none yet.
    fn serve_station(&mut self, machine: u32) {
        let client = *self.client(machine);
        let (station, ask) = (client.station, client.slot_ask);
        if let Some(slot) = self.take_slot(machine, station) {
            self.wait_no_longer(machine, wait::CHARGER);
            self.grant(machine, ask, grant::SLOT, [slot, 0, 0]);
        } else if client.park == NONE
            && let Some(park) = self.take_park(machine, station)
        {
            self.grant(machine, ask, grant::QUEUE, [park, 0, 0]);
        }
    }

    fn serve_way(
        &mut self,
        machine: u32,
        urgency: u32,
        since: u32,
        claims: &mut Claims<'_>,
        scratch: &Bump,
    ) {
        let mut with = *self.client(machine);
        with.has_way = 1;
        // What it wants does not change while it waits, so a cell that blocked it and is still taken
        // says as much as planning the way again.
        if self.is_still_blocked(machine) {
            debug_assert!(
                self.become_client(machine, with, Some(claims), scratch)
                    .is_some()
            );
        } else {
            let Some(blocked) = self.become_client(machine, with, Some(claims), scratch) else {
                self.wait_no_longer(machine, wait::WAY);
                return self.grant(machine, with.way_ask, grant::WAY, [0; 3]);
            };
            let m = self.machine(machine);
            self.blocked[m] = blocked;
        }
        if since == self.tick {
            self.counters.denied_grants += 1;
            self.grant(machine, with.way_ask, grant::HOLD, [0; 3]);
        }
        let patience_s = PATIENCE_S[urgency as usize];
        if self.tick.saturating_sub(since) >= self.farm.ticks(patience_s) {
            let mut wanted = BumpVec::new_in(scratch);
            with.holds(self.layout(), machine, self.reach(machine), &mut wanted);
            claims.add(roads::cells(self.layout()), &wanted);
        }
    }

    fn is_still_blocked(&self, machine: u32) -> bool {
        let (cell, mode) = self.blocked[self.machine(machine)];
        let cells = &self.sites.cell[span(self.local, roads::cells(self.layout()))];
        (cells.get(cell as usize)).is_some_and(|cell| !is_free(*cell, mode))
    }

    /// Changes a client and with it the cells that it holds. Where it needs more than it had, asks
    /// whether they are free and nobody's claim, and else changes nothing and returns the first that
    /// is not.
    fn become_client(
        &mut self,
        machine: u32,
        client: Client,
        claims: Option<&Claims<'_>>,
        scratch: &Bump,
    ) -> Option<Hold> {
        let m = self.machine(machine);
        let reach = self.reach(machine);
        let layout = &self.farm.layout;
        let cells = &mut self.sites.cell[span(self.local, roads::cells(layout))];
        let (mut had, mut wants) = (BumpVec::new_in(scratch), BumpVec::new_in(scratch));
        self.sites.clients[m].holds(layout, machine, reach, &mut had);
        client.holds(layout, machine, reach, &mut wants);
        had.iter().for_each(|hold| release(cells, *hold));
        let blocked = claims.and_then(|claims| {
            let is_blocked = |&(cell, mode): &Hold| {
                !is_free(cells[cell as usize], mode)
                    || (claims.has(cell) && had.iter().all(|had| had.0 != cell))
            };
            wants.iter().copied().find(is_blocked)
        });
        if blocked.is_some() {
            had.iter().for_each(|hold| hold_cell(cells, *hold));
        } else {
            wants.iter().for_each(|hold| hold_cell(cells, *hold));
            self.sites.clients[m] = client;
        }
        blocked
    }

    /// Room that a machine's turn takes to either side.
    fn reach(&self, machine: u32) -> i32 {
        let class = &self.farm.classes[self.farm.class_of(machine) as usize];
        units(2.0 * class.turn_radius_m)
    }
}

fn free_if_held(holder: &mut u32, by: u32) {
    if *holder == by {
        *holder = NONE;
    }
}

/// Cells that those want who have lost patience, as a bitmap; empty while there are none.
struct Claims<'a> {
    words: BumpVec<'a, u32>,
}

impl<'a> Claims<'a> {
    fn new(scratch: &'a Bump) -> Claims<'a> {
        Claims {
            words: BumpVec::new_in(scratch),
        }
    }

    fn add(&mut self, cells: u32, holds: &[Hold]) {
        self.words.resize(cells.div_ceil(32) as usize, 0);
        for &(cell, _) in holds {
            self.words[cell as usize / 32] |= 1 << (cell % 32);
        }
    }

    fn has(&self, cell: u32) -> bool {
        (self.words.get(cell as usize / 32)).is_some_and(|word| word & 1 << (cell % 32) != 0)
    }
}

/// Where the mode stands in a cell's word; below it stands the number of holders.
const MODE_SHIFT: u32 = 30;
const HOLDERS: u32 = (1 << MODE_SHIFT) - 1;

fn is_free(cell: u32, mode: u32) -> bool {
    cell & HOLDERS == 0 || (mode != SOLE && cell >> MODE_SHIFT == mode)
}

fn hold_cell(cells: &mut [u32], (cell, mode): Hold) {
    let word = &mut cells[cell as usize];
    let holders = (*word & HOLDERS).saturating_add(1).min(HOLDERS);
    *word = mode << MODE_SHIFT | holders;
}

fn release(cells: &mut [u32], (cell, _): Hold) {
    let word = &mut cells[cell as usize];
    let holders = (*word & HOLDERS).saturating_sub(1);
    *word = if holders == 0 {
        0
    } else {
        *word >> MODE_SHIFT << MODE_SHIFT | holders
    };
}

/// The fields around `home`, the nearest first.
fn around(layout: &Layout, home: u32) -> impl Iterator<Item = u32> + use<> {
    let (columns, rows, fields) = (
        layout.columns as i32,
        layout.field_rows as i32,
        layout.fields,
    );
    let (column, row) = (
        (home % layout.columns) as i32,
        (home / layout.columns) as i32,
    );
    (0..=FARTHEST_WORK)
        .flat_map(|distance| (-distance..=distance).map(move |north| (distance, north)))
        .flat_map(|(distance, north)| {
            let east = distance - north.abs();
            let both = if east == 0 { 1 } else { 2 };
            [(east, north), (-east, north)].into_iter().take(both)
        })
        .map(move |(east, north)| (column + east, row + north))
        .filter(move |(c, r)| (0..columns).contains(c) && (0..rows).contains(r))
        .map(move |(c, r)| (r * columns + c).cast_unsigned())
        .filter(move |field| *field < fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Scenario, SimulationConfig};

    /// A dense site of 20 machines and the time.
    struct Site {
        farm: Farm,
        sites: Sites,
        blocked: Vec<Hold>,
        tick: u32,
    }

    impl Site {
        fn new() -> Site {
            let farm = Farm::new(&SimulationConfig {
                scenario: Scenario::Dense.code(),
                entities: 20,
                tick_ms: 50,
                seed: 1,
                partition_rows: 4096,
            })
            .expect("valid");
            let sites = Sites::new(&farm, 1);
            Site {
                farm,
                sites,
                blocked: vec![UNTRIED; 20],
                tick: 0,
            }
        }

        /// Serves requests (machine, kind, a, b, c) and returns the answers (machine, kind).
        fn serve(&mut self, requests: &[(u32, u32, [u32; 3])]) -> Vec<(u32, u32)> {
            self.tick += 1;
            let requests: Vec<_> = (requests.iter())
                .map(|&(machine, kind, [a, b, c])| Request {
                    machine,
                    kind,
                    a,
                    b,
                    c,
                    ..Request::default()
                })
                .collect();
            let mut grants = Vec::new();
            Coordinator {
                farm: &self.farm,
                sites: &mut self.sites,
                local: 0,
                site: 0,
                tick: self.tick,
                counters: &mut Counters::default(),
                grants: &mut grants,
                blocked: &mut self.blocked,
            }
            .serve(&requests, &Bump::new());
            grants.iter().map(|g| (g.machine, g.kind)).collect()
        }

        /// A wish for the way from the south end of a swath of the first field.
        fn way(&self, machine: u32, swath: u32, to: u32) -> (u32, u32, [u32; 3]) {
            let [south, _] = self.farm.layout.swath_ends(0, swath);
            let from = [south.x, south.y].map(i32::cast_unsigned);
            (machine, request::WAY, [to, from[0], from[1]])
        }
    }

    const HOME: u32 = goal::HOME << 28;

    #[test]
    fn a_way_is_given_whole_and_waits_for_the_one_that_is_crossed() {
        let mut site = Site::new();
        let [near, far] = [site.way(0, 1, HOME), site.way(1, 25, HOME)];
        assert_eq!(site.serve(&[near]), [(0, grant::WAY)]);
        // The far one would drive through the cell in which the near one joins the lane.
        assert_eq!(site.serve(&[far]), [(1, grant::HOLD)]);
        let held = site.sites.cell.iter().filter(|cell| **cell != 0).count();
        assert_eq!(site.serve(&[]), []);
        // It holds nothing while it waits, and drives once the near one is on the lane.
        assert_eq!(
            site.serve(&[(0, request::LEG, [1, 0, 0])]),
            [(1, grant::WAY)]
        );
        assert!(site.sites.cell.iter().filter(|cell| **cell != 0).count() > held);
    }

    #[test]
    fn who_has_lost_patience_has_first_claim() {
        for (waited_s, answer) in [(1.0, grant::WAY), (61.0, grant::HOLD)] {
            let mut site = Site::new();
            let [near, far] = [site.way(0, 1, HOME), site.way(1, 25, HOME)];
            site.serve(&[near]);
            site.serve(&[far, (2, request::WORK, [0; 3])]);
            let land = site.sites.clients[2].land;
            assert!(site.farm.layout.first_swath_of_land(land) >= 12);
            site.tick += site.farm.ticks(waited_s);
            // It would share only free cells with the far one.
            let across = site.way(2, 30, goal::pack(goal::SWATH, land));
            assert_eq!(site.serve(&[across]), [(2, answer)]);
        }
    }

    #[test]
    fn all_is_free_once_all_have_arrived_or_given_up() {
        let mut site = Site::new();
        site.serve(&[site.way(0, 1, HOME), site.way(1, 25, HOME)]);
        site.serve(&[(0, request::LEG, [1, 0, 0])]);
        site.serve(&[(0, request::LEG, [9, 0, 0]), (1, request::CANCEL, [0; 3])]);
        assert!(site.sites.cell.iter().all(|cell| *cell == 0));
        assert_eq!(site.sites.clients[0].berth, HOME);
    }

    #[test]
    fn a_slot_is_one_machines_and_the_next_has_a_parking_place() {
        let mut site = Site::new();
        let station = site.farm.layout.station_of_field(0);
        let ask = |machine| (machine, request::CHARGER, [station, 0, 0]);
        let answers = site.serve(&[ask(0), ask(1)]);
        assert_eq!(answers, [(0, grant::SLOT), (1, grant::QUEUE)]);
        assert_ne!(site.sites.clients[1].park, NONE);
        let answers = site.serve(&[(0, request::CANCEL, [0; 3])]);
        assert_eq!(answers, [(1, grant::SLOT)]);
    }
}
