//! A site's coordinator: who works which land, stands on which slot, and has which way.
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

use crate::aggregate::Counters;
use crate::farm::Farm;
use crate::layout::{Layout, NONE, Point};
use crate::message::{Grant, Request, goal, grant, request};
use crate::roads::{self, Hold};
use crate::site::{Client, Sites, hold_cell, is_free, reach, release, span, wait};

/// How far from its home a machine is given work, in fields.
const FARTHEST_WORK: i32 = 5;
/// Wait after which nobody may be given what a machine waits for, by its urgency. [assumed]
const PATIENCE_S: [f32; 4] = [0.0, 5.0, 5.0, 60.0];

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

    fn reach(&self, machine: u32) -> i32 {
        reach(self.farm, machine)
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
    use crate::philox::{self, Purpose};

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
    fn who_asks_when_all_land_is_taken_hears_that_there_is_none() {
        let mut site = Site::new();
        let ask = (3, request::WORK, [0; 3]);
        site.sites.land_owner.fill(7);
        assert_eq!(site.serve(&[ask]), [(3, grant::NO_WORK)]);
        site.sites.land_owner[5] = NONE;
        assert_eq!(site.serve(&[ask]), [(3, grant::SWATH)]);
        assert_eq!(site.sites.clients[3].land, 5);
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

    /// What a closed queue of 10 robots at one station's slots came to.
    struct Queue {
        working_share: f64,
        mean_wait_h: f64,
    }

    /// Robots work for an exponential time of 4 h, then ask for a slot, wait for it and charge for one
    /// of 1 h. Ways take no time: a robot charges as soon as the slot is its own.
    fn closed_queue(slots: u32, sites: u32) -> Queue {
        const ROBOTS: u32 = 10;
        const WARM_UP_S: u32 = 100 * 3_600;
        const END_S: u32 = WARM_UP_S + 400 * 3_600;
        let (mut worked_s, mut waited_s, mut waits) = (0_u64, 0_u64, 0_u64);
        for s in 0..sites {
            let mut site = Site::new();
            site.farm.layout.slots_per_station = slots;
            site.sites = Sites::new(&site.farm, 1);
            let mut cycle = [0; ROBOTS as usize];
            let span = |robot: u32, purpose, cycle: u64, mean_s| {
                philox::exponential_ticks(16, s * ROBOTS + robot, purpose, cycle, mean_s, 1_000)
            };
            let work = |robot, cycle| span(robot, Purpose::Fault, cycle, 4 * 3_600);
            let charge = |robot, cycle| span(robot, Purpose::Repair, cycle, 3_600);
            // Of each robot the tick at which its work or charge ends, and whether it charges.
            let mut ends: [(u32, bool); ROBOTS as usize] =
                std::array::from_fn(|robot| (work(robot as u32, 0), false));
            let mut asked = [0; ROBOTS as usize];
            while let Some(tick) = ends.iter().map(|e| e.0).min().filter(|t| *t < END_S) {
                site.tick = tick - 1;
                let mut requests = Vec::new();
                for robot in 0..ROBOTS {
                    let i = robot as usize;
                    match ends[i] {
                        (end, _) if end != tick => {}
                        (_, true) => {
                            requests.push((robot, request::CANCEL, [0; 3]));
                            cycle[i] += 1;
                            ends[i] = (tick + work(robot, cycle[i]), false);
                        }
                        (_, false) => {
                            requests.push((robot, request::CHARGER, [0; 3]));
                            asked[i] = tick;
                            ends[i] = (u32::MAX, false);
                            let from = tick.saturating_sub(work(robot, cycle[i]));
                            worked_s += u64::from(tick.max(WARM_UP_S) - from.max(WARM_UP_S));
                        }
                    }
                }
                for (robot, kind) in site.serve(&requests) {
                    let i = robot as usize;
                    if kind == grant::SLOT {
                        ends[i] = (tick + charge(robot, cycle[i]), true);
                        if asked[i] >= WARM_UP_S {
                            waited_s += u64::from(tick - asked[i]);
                            waits += 1;
                        }
                    }
                }
            }
            for robot in 0..ROBOTS {
                let (end, charges) = ends[robot as usize];
                if !charges && end != u32::MAX {
                    let from = end - work(robot, cycle[robot as usize]);
                    worked_s += u64::from(END_S - from.clamp(WARM_UP_S, END_S));
                }
            }
        }
        let all_s = u64::from(sites * ROBOTS) * u64::from(END_S - WARM_UP_S);
        Queue {
            working_share: worked_s as f64 / all_s as f64,
            mean_wait_h: waited_s as f64 / waits as f64 / 3_600.0,
        }
    }

    /// Figure 16. The queue M/M/c//10 in closed form, at the site's own station: working 39.8 and
    /// 68.3 % of the time, and waiting for 5.05 and .853 h, with one slot and with two.
    #[test]
    fn robots_that_queue_for_slots_wait_as_long_as_the_theory_says() {
        for (slots, working_share, wait_h) in [(1, 0.398, 5.05), (2, 0.683, 0.853)] {
            let is = closed_queue(slots, 1_000);
            let near = |is: f64, expected: f64| (is / expected - 1.0).abs() < 0.02;
            assert!(
                near(is.working_share, working_share),
                "{}",
                is.working_share
            );
            assert!(near(is.mean_wait_h, wait_h), "{}", is.mean_wait_h);
        }
    }
}
