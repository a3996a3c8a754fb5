//! Sites and their coordinator: who works which land, turns on which headland, stands on which slot.
//!
//! The coordinator reads the requests of the tick before, in the order of machines, and answers with
//! grants. It never looks at rows: a machine and its site know of each other by messages only.

use rkyv::{Archive, Deserialize, Serialize};

use crate::aggregate::Counters;
use crate::digest;
use crate::farm::Farm;
use crate::layout::{Layout, NONE};
use crate::mail::MailError;
use crate::message::{Bulletin, Grant, MAX_TURN_SEGMENTS, Request, grant, pack_segments, request};

/// Fields in which work is looked for, from a machine's home outward.
const MAX_FIELDS_SEARCHED: u32 = 64;

/// What a machine queues for: codes of [`Sites::wait`].
mod wait {
    pub(super) const NOTHING: u32 = 0;
    /// The `wait_b` headland segments from `wait_a` on.
    pub(super) const WAY: u32 = 1;
    /// A slot of station `wait_a`.
    pub(super) const CHARGER: u32 = 2;
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
    /// Lands of a field that are not finished in this pass.
    pub field_open: Vec<u32>,
    /// Passes over a field that are finished.
    pub field_passes: Vec<u32>,
    /// Machine that has a headland segment, or [`NONE`].
    pub segment_holder: Vec<u32>,
    /// Machine that has a charging slot, or [`NONE`].
    pub slot_holder: Vec<u32>,
    /// What a machine queues for.
    pub wait: Vec<u32>,
    /// Tick of the step in which it joined the queue.
    pub wait_since: Vec<u32>,
    /// First argument of its wait.
    pub wait_a: Vec<u32>,
    /// Second argument of its wait.
    pub wait_b: Vec<u32>,
    /// Number of the request that the grant answers.
    pub wait_ask: Vec<u32>,
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
            field_open: vec![layout.lands_per_field(); of(layout.fields)],
            field_passes: vec![0; of(layout.fields)],
            segment_holder: vec![NONE; of(layout.segments())],
            slot_holder: vec![NONE; of(layout.slots())],
            wait: vec![wait::NOTHING; machines],
            wait_since: vec![0; machines],
            wait_a: vec![0; machines],
            wait_b: vec![0; machines],
            wait_ask: vec![0; machines],
        }
    }

    /// Whether the columns have the lengths of `sites` sites of a farm.
    #[must_use]
    pub fn fits(&self, farm: &Farm, sites: u32) -> bool {
        let fresh = Sites::new(farm, sites);
        self.land_owner.len() == fresh.land_owner.len()
            && self.land_done.len() == fresh.land_done.len()
            && self.land_progress.len() == fresh.land_progress.len()
            && self.field_open.len() == fresh.field_open.len()
            && self.field_passes.len() == fresh.field_passes.len()
            && self.segment_holder.len() == fresh.segment_holder.len()
            && self.slot_holder.len() == fresh.slot_holder.len()
            && [
                &self.wait,
                &self.wait_since,
                &self.wait_a,
                &self.wait_b,
                &self.wait_ask,
            ]
            .iter()
            .all(|column| column.len() == fresh.wait.len())
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
        let fields = span(local, layout.fields);
        let machines = span(local, farm.machines_per_site);
        let words = (self.land_owner[lands.clone()].iter())
            .chain(&self.land_done[lands.clone()])
            .chain(&self.field_open[fields.clone()])
            .chain(&self.field_passes[fields])
            .chain(&self.segment_holder[span(local, layout.segments())])
            .chain(&self.slot_holder[span(local, layout.slots())])
            .chain(&self.wait[machines.clone()])
            .chain(&self.wait_since[machines.clone()])
            .chain(&self.wait_a[machines.clone()])
            .chain(&self.wait_b[machines.clone()])
            .chain(&self.wait_ask[machines])
            .map(|&w| u64::from(w));
        let progress = self.land_progress[lands].iter();
        digest::site(
            id,
            words.chain(progress.map(|p| u64::from(p.cast_unsigned()))),
        )
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
    match r.kind {
        request::SWATH_DONE | request::LEAVE_LAND => {
            check("land", r.a, layout.lands())?;
            let swath = if r.kind == request::SWATH_DONE {
                r.b
            } else {
                r.c
            };
            check("swath", swath, layout.swaths_per_field)
        }
        request::LEAVE_HEADLAND => {
            check("segments", r.b, MAX_TURN_SEGMENTS + 1)?;
            check("segment", r.a.saturating_add(r.b), layout.segments() + 1)
        }
        request::CHARGER => check("station", r.a, layout.stations),
        request::LEAVE_SLOT => check("slot", r.a, layout.slots()),
        kind => check("request kind", kind, request::LEAVE_QUEUE + 1),
    }
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
}

impl Coordinator<'_> {
    /// Serves the requests of one site, ordered by machine and emission, then its queues.
    pub(crate) fn serve(&mut self, requests: &[Request], scratch: &bumpalo::Bump) {
        let mut freed = false;
        for r in requests {
            match r.kind {
                request::WORK => self.give_land(r),
                request::SWATH_DONE => self.swath_done(r),
                request::LEAVE_LAND => self.leave_land(r),
                request::LEAVE_HEADLAND => freed |= self.leave_headland(r),
                request::CHARGER => self.give_slot(r),
                request::LEAVE_SLOT => freed |= self.leave_slot(r),
                request::LEAVE_QUEUE => {
                    let m = self.machine(r.machine);
                    self.sites.wait[m] = wait::NOTHING;
                }
                _ => {}
            }
        }
        if freed {
            self.serve_queues(scratch);
        }
    }

    fn layout(&self) -> &Layout {
        &self.farm.layout
    }

    fn machine(&self, machine: u32) -> usize {
        (self.local * self.farm.machines_per_site + machine) as usize
    }

    fn land(&self, land: u32) -> usize {
        (self.local * self.layout().lands() + land) as usize
    }

    fn grant(&mut self, r: &Request, kind: u32, a: u32, b: u32, c: u32) {
        self.grants.push(Grant {
            site: self.site,
            machine: r.machine,
            kind,
            ask: r.ask,
            a,
            b,
            c,
        });
    }

    /// Gives a machine the nearest land that is open and nobody's.
    fn give_land(&mut self, r: &Request) {
        let layout = self.layout();
        let home = layout.home_field(r.machine);
        let found = (0..layout.fields.min(MAX_FIELDS_SEARCHED))
            .map(|i| outward(home, i, layout.fields))
            .find_map(|field| self.free_land(field));
        let Some(land) = found else {
            return self.grant(r, grant::NO_WORK, 0, 0, 0);
        };
        let at = self.land(land);
        self.sites.land_owner[at] = r.machine;
        let swath = self.layout().first_swath_of_land(land) + self.sites.land_done[at];
        let progress = self.sites.land_progress[at].cast_unsigned();
        self.grant(r, grant::SWATH, land, swath, progress);
    }

    fn free_land(&self, field: u32) -> Option<u32> {
        let layout = self.layout();
        let lands = layout.lands_per_field();
        (field * lands..(field + 1) * lands).find(|&land| {
            let at = self.land(land);
            self.sites.land_owner[at] == NONE
                && self.sites.land_done[at] < layout.swaths_of_land(land)
        })
    }

    fn swath_done(&mut self, r: &Request) {
        let (land, swath, reach) = (r.a, r.b, r.c.cast_signed());
        let at = self.land(land);
        if self.sites.land_owner[at] != r.machine {
            return self.give_land(r);
        }
        self.counters.swaths += 1;
        self.sites.land_done[at] += 1;
        self.sites.land_progress[at] = 0;
        if self.sites.land_done[at] >= self.layout().swaths_of_land(land) {
            self.finish_land(land);
            return self.give_land(r);
        }
        let (first, count) = self.layout().turn_segments(land, swath, reach);
        let way = pack_segments(first, count);
        if self.take_way(r.machine, first, count) {
            return self.grant(r, grant::SWATH_AND_WAY, land, swath + 1, way);
        }
        self.counters.denied_grants += 1;
        self.enqueue(r, wait::WAY, first, count);
        self.grant(r, grant::SWATH_AND_HOLD, land, swath + 1, way);
    }

    /// Closes a land, and opens its field's next pass with the last of them.
    fn finish_land(&mut self, land: u32) {
        let at = self.land(land);
        self.sites.land_owner[at] = NONE;
        let (lands, fields) = (self.layout().lands_per_field(), self.layout().fields);
        let field = self.layout().field_of_land(land);
        let of_field = (self.local * fields + field) as usize;
        self.sites.field_open[of_field] -= 1;
        if self.sites.field_open[of_field] == 0 {
            self.sites.field_open[of_field] = lands;
            self.sites.field_passes[of_field] += 1;
            let first = self.land(field * lands);
            self.sites.land_done[first..first + lands as usize].fill(0);
        }
    }

    fn leave_land(&mut self, r: &Request) {
        let at = self.land(r.a);
        if self.sites.land_owner[at] != r.machine {
            return;
        }
        self.sites.land_owner[at] = NONE;
        let next = self.layout().first_swath_of_land(r.a) + self.sites.land_done[at];
        if next == r.c {
            let length = self.layout().swath_length;
            self.sites.land_progress[at] = r.b.cast_signed().clamp(0, length);
        }
    }

    fn segments(&mut self, first: u32, count: u32) -> &mut [u32] {
        let base = (self.local * self.layout().segments() + first) as usize;
        &mut self.sites.segment_holder[base..base + count as usize]
    }

    /// Takes all the segments or none, so that nobody waits while holding.
    fn take_way(&mut self, machine: u32, first: u32, count: u32) -> bool {
        let segments = self.segments(first, count);
        let free = segments.iter().all(|holder| *holder == NONE);
        if free {
            segments.fill(machine);
        }
        free
    }

    fn leave_headland(&mut self, r: &Request) -> bool {
        let mut freed = false;
        for holder in self.segments(r.a, r.b) {
            if *holder == r.machine {
                *holder = NONE;
                freed = true;
            }
        }
        freed
    }

    fn take_slot(&mut self, machine: u32, station: u32) -> Option<u32> {
        let each = self.layout().slots_per_station;
        let first = station * each;
        let base = self.local * self.layout().slots();
        let slot = (first..first + each)
            .find(|slot| self.sites.slot_holder[(base + slot) as usize] == NONE)?;
        self.sites.slot_holder[(base + slot) as usize] = machine;
        Some(slot)
    }

    fn give_slot(&mut self, r: &Request) {
        if let Some(slot) = self.take_slot(r.machine, r.a) {
            return self.grant(r, grant::SLOT, slot, 0, 0);
        }
        self.counters.charger_waits += 1;
        self.enqueue(r, wait::CHARGER, r.a, 0);
        self.grant(r, grant::QUEUE, 0, 0, 0);
    }

    fn leave_slot(&mut self, r: &Request) -> bool {
        let at = (self.local * self.layout().slots() + r.a) as usize;
        let held = self.sites.slot_holder[at] == r.machine;
        if held {
            self.sites.slot_holder[at] = NONE;
        }
        held
    }

    fn enqueue(&mut self, r: &Request, what: u32, a: u32, b: u32) {
        let m = self.machine(r.machine);
        self.sites.wait[m] = what;
        self.sites.wait_since[m] = self.tick;
        self.sites.wait_a[m] = a;
        self.sites.wait_b[m] = b;
        self.sites.wait_ask[m] = r.ask;
    }

    /// Gives what is free to those who wait, first come first served, ties to the lower machine.
    fn serve_queues(&mut self, scratch: &bumpalo::Bump) {
        let first = self.machine(0);
        let all = first..first + self.farm.machines_per_site as usize;
        let waiting = (self.sites.wait[all].iter().enumerate())
            .filter(|(_, what)| **what != wait::NOTHING)
            .map(|(m, _)| (self.sites.wait_since[first + m], m as u32));
        let mut queue = bumpalo::collections::Vec::new_in(scratch);
        queue.extend(waiting);
        queue.sort_unstable();
        for &(_, machine) in &queue {
            let m = first + machine as usize;
            let (a, b) = (self.sites.wait_a[m], self.sites.wait_b[m]);
            let answer = match self.sites.wait[m] {
                wait::WAY => self.take_way(machine, a, b).then_some((grant::WAY, a, b)),
                _ => self
                    .take_slot(machine, a)
                    .map(|slot| (grant::SLOT, slot, 0)),
            };
            if let Some((kind, a, b)) = answer {
                self.sites.wait[m] = wait::NOTHING;
                let asked = Request {
                    machine,
                    ask: self.sites.wait_ask[m],
                    ..Request::default()
                };
                self.grant(&asked, kind, a, b, 0);
            }
        }
    }
}

/// The `i`-th field from `home` outward: itself, the next, the one before, and so on around.
fn outward(home: u32, i: u32, fields: u32) -> u32 {
    let step = i.div_ceil(2) % fields;
    if i % 2 == 1 {
        (home + step) % fields
    } else {
        (home + fields - step) % fields
    }
}
