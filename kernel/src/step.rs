//! One tick of a partition, in the order in which things happen.
//!
//! Everything reads the state and the messages of the tick before: sites serve requests, rows look
//! at their neighbours, read grants and commands, move, use power, decide, and speak. Only then does
//! the tick have messages of its own.

use std::ops::Range;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::command::{Command, scope};
use crate::coordinator::Coordinator;
use crate::decide::Decide;
use crate::event::Event;
use crate::farm::{Farm, SENSING_RADIUS_M};
use crate::laws::battery::battery;
use crate::laws::guidance::{self, GuidanceParams, MotionParams, WatchParams, due};
use crate::laws::neighbours::{Mover, Neighbourhood};
use crate::laws::power::ground_power;
use crate::layout::{NONE, Point, UNITS_PER_M, units};
use crate::mail::{self, Letter, MailError};
use crate::math;
use crate::message::{Body, Bulletin, Grant, Request, grant};
use crate::partition::{Cut, Partition};
use crate::plan::Plan;
use crate::rows::{NO_SPEED_LIMIT, Rows, State, flag, mode};
use crate::site::{check_request, check_swath};

/// What a step is given from outside its partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepInputs<'a> {
    /// Commands of this tick for machines of the partition.
    pub commands: &'a [Command],
    /// Letters that the other parts of a cut site emitted in the tick before, in any order.
    pub mail: &'a [&'a [u32]],
}

/// What was said in the tick before, to this partition.
struct Inbox<'a> {
    requests: BumpVec<'a, Request>,
    grants: BumpVec<'a, Grant>,
    bulletins: BumpVec<'a, Bulletin>,
    ghosts: BumpVec<'a, Body>,
    /// Cells that each other part of the site occupies, by part; none in a whole one.
    cells: BumpVec<'a, BumpVec<'a, u32>>,
}

/// Columns that live for one tick.
struct Scratch<'a> {
    cos: BumpVec<'a, f32>,
    sin: BumpVec<'a, f32>,
    cap: BumpVec<'a, f32>,
    blocker: BumpVec<'a, u32>,
    accel: BumpVec<'a, f32>,
    turn: BumpVec<'a, i32>,
    soil_bn: BumpVec<'a, f32>,
    power_w: BumpVec<'a, f32>,
    slip: BumpVec<'a, f32>,
    speed_ratio: BumpVec<'a, f32>,
    current_a: BumpVec<'a, f32>,
    given: BumpVec<'a, f32>,
    due: BumpVec<'a, u32>,
}

impl<'a> Scratch<'a> {
    fn new(rows: usize, bump: &'a Bump) -> Scratch<'a> {
        Scratch {
            cos: column(rows, 0.0, bump),
            sin: column(rows, 0.0, bump),
            cap: column(rows, NO_SPEED_LIMIT, bump),
            blocker: column(rows, 0, bump),
            accel: column(rows, 0.0, bump),
            turn: column(rows, 0, bump),
            soil_bn: column(rows, 0.0, bump),
            power_w: column(rows, 0.0, bump),
            slip: column(rows, 0.0, bump),
            speed_ratio: column(rows, 1.0, bump),
            current_a: column(rows, 0.0, bump),
            given: column(rows, 1.0, bump),
            due: column(rows, 0, bump),
        }
    }
}

fn column<T: Clone>(rows: usize, value: T, bump: &Bump) -> BumpVec<'_, T> {
    let mut column = BumpVec::with_capacity_in(rows, bump);
    column.resize(rows, value);
    column
}

/// A stable sort that takes its memory from the arena; std's takes it from the heap.
fn sort_stably<T: Copy, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K, bump: &Bump) {
    if items.is_sorted_by_key(&key) {
        return;
    }
    let mut order = BumpVec::with_capacity_in(items.len(), bump);
    order.extend(
        (0..)
            .zip(items.iter())
            .map(|(place, item)| (key(item), place as u32)),
    );
    order.sort_unstable();
    let unsorted = bump.alloc_slice_copy(items);
    for (item, (_, place)) in items.iter_mut().zip(order) {
        *item = unsorted[place as usize];
    }
}

impl Partition {
    /// Advances by one tick. `bump` is scratch memory that the caller resets between ticks.
    ///
    /// # Errors
    /// [`MailError`] where a letter cannot be read; the partition is then as before the call.
    ///
    /// # Panics
    /// Panics where a command is for another partition, or of no scope: see [`Plan::machines_of`].
    pub fn step(&mut self, inputs: &StepInputs<'_>, bump: &Bump) -> Result<(), MailError> {
        let mut inbox = self.read(inputs.mail, bump)?;
        self.state.tick += 1;
        self.events.clear();
        self.outbox.words.clear();
        self.outbox.letters.clear();
        self.renew_messages();

        let mut scratch = Scratch::new(self.state.rows.len(), bump);
        guidance::direction(
            self.isa,
            &(),
            &self.state.rows.heading,
            &mut scratch.cos,
            &mut scratch.sin,
        );
        self.look_around(&inbox, &mut scratch, bump);
        self.serve_sites(&inbox, bump);
        self.hear(&mut inbox, inputs.commands);
        self.run_laws(&inbox, &mut scratch);
        self.decide(&inbox, &scratch);
        self.publish(&inbox, bump);
        debug_assert_eq!(self.state.rows.no_number(), None);
        Ok(())
    }

    /// Collects what was said to this partition: by itself and, in a cut site, by the other parts.
    fn read<'b>(&self, mail: &[&[u32]], bump: &'b Bump) -> Result<Inbox<'b>, MailError> {
        let mut inbox = Inbox {
            requests: BumpVec::new_in(bump),
            grants: BumpVec::new_in(bump),
            bulletins: BumpVec::from_iter_in(self.state.bulletins.iter().copied(), bump),
            ghosts: BumpVec::new_in(bump),
            cells: BumpVec::new_in(bump),
        };
        if self.holds_sites() {
            inbox.requests.extend_from_slice(&self.state.requests);
        }
        let own = |g: &&Grant| self.row_of(g.site, g.machine).is_some();
        inbox.grants.extend(self.state.grants.iter().filter(own));
        let Some(cut) = &self.index.cut else {
            return match mail {
                [] => Ok(inbox),
                _ => Err(MailError::NotCut),
            };
        };
        let site = self.plan.first_site;
        for _ in 0..cut.part.parts {
            inbox.cells.push(BumpVec::new_in(bump));
        }
        for words in mail {
            let letter = Letter::read(words)?;
            let bitmap = self.bitmap_of(cut, &letter, &mut inbox.cells)?;
            bitmap.resize(cut.grid.words(), 0);
            for (word, bits) in letter.cells() {
                *bitmap.get_mut(word).ok_or(MailError::OutOfRange {
                    what: "cell word",
                    value: word as u32,
                })? |= bits;
            }
            for r in letter.requests(site) {
                check_request(&self.farm, &r)?;
                inbox.requests.push(r);
            }
            for g in letter.grants(site) {
                check_grant(&self.farm, &g)?;
                inbox.grants.push(g);
            }
            for ghost in letter.ghosts() {
                check_ghost(&self.farm, &ghost)?;
                inbox.ghosts.push(ghost);
            }
            if let Some(bulletin) = letter.bulletin() {
                check_bulletin(&bulletin)?;
                inbox.bulletins.push(bulletin);
            }
        }
        if mail.len() + 1 != cut.part.parts as usize || inbox.bulletins.len() != 1 {
            return Err(MailError::Senders {
                parts: cut.part.parts - 1,
            });
        }
        // A machine's messages come from one place, in order; a stable sort keeps that order.
        sort_stably(&mut inbox.requests, |r| (r.site, r.machine), bump);
        sort_stably(&mut inbox.grants, |g| (g.site, g.machine), bump);
        inbox.ghosts.sort_unstable_by_key(|b| b.entity);
        Ok(inbox)
    }

    /// Where a letter's cells go, once it is known to be the sender's first and of the right tick.
    fn bitmap_of<'a, 'b>(
        &self,
        cut: &Cut,
        letter: &Letter<'_>,
        cells: &'a mut [BumpVec<'b, u32>],
    ) -> Result<&'a mut BumpVec<'b, u32>, MailError> {
        if letter.tick != self.state.tick {
            return Err(MailError::Tick {
                sender: letter.sender,
                tick: letter.tick,
                expected: self.state.tick,
            });
        }
        let part = letter.sender.wrapping_sub(cut.part.first_partition);
        (cells.get_mut(part as usize))
            .filter(|bitmap| part != cut.part.part && bitmap.is_empty())
            .ok_or(MailError::Senders {
                parts: cut.part.parts - 1,
            })
    }

    /// Makes room for this tick's messages in the buffers of the last one's.
    fn renew_messages(&mut self) {
        let (requests, grants, bulletins) = &mut self.spare;
        std::mem::swap(&mut self.state.requests, requests);
        std::mem::swap(&mut self.state.grants, grants);
        std::mem::swap(&mut self.state.bulletins, bulletins);
        self.state.requests.clear();
        self.state.grants.clear();
        self.state.bulletins.clear();
    }

    fn row_of(&self, site: u32, machine: u32) -> Option<usize> {
        let place = (site - self.plan.first_site) * self.farm.machines_per_site + machine;
        let row = self.index.row_of[place as usize];
        (row != NONE).then_some(row as usize)
    }

    /// Finds what neighbours allow each row that wants to move.
    fn look_around(&mut self, inbox: &Inbox<'_>, scratch: &mut Scratch<'_>, bump: &Bump) {
        let rows = &self.state.rows;
        let mut bodies = BumpVec::new_in(bump);
        for range in self.index.site_starts.windows(2) {
            let of_site = &self.index.by_site[range[0] as usize..range[1] as usize];
            if of_site.len() + inbox.ghosts.len() < 2 {
                continue;
            }
            bodies.clear();
            bodies.extend(of_site.iter().map(|&row| {
                let i = row as usize;
                self.body(i, scratch.cos[i], scratch.sin[i])
            }));
            bodies.extend_from_slice(&inbox.ghosts);
            let neighbourhood = Neighbourhood::new(&bodies, bump);
            for (k, &row) in of_site.iter().enumerate() {
                let i = row as usize;
                let moves = rows.mode[i] == mode::LINE || rows.mode[i] == mode::ARC;
                if !moves || rows.go[i] == 0.0 {
                    continue;
                }
                let class = &self.farm.classes[self.index.class_of[i] as usize];
                let allowed = neighbourhood.allow(&Mover {
                    body: bodies[k],
                    cos: scratch.cos[i],
                    sin: scratch.sin[i],
                    accel_m_per_s2: class.accel_m_per_s2,
                    open_m: way_to_go_m(rows, i),
                });
                scratch.cap[i] = allowed.m_per_s();
                scratch.blocker[i] = allowed.blocker;
                self.state.counters.separation_violations += u64::from(allowed.overlaps);
            }
        }
    }

    /// A row as its neighbours see it.
    fn body(&self, i: usize, cos: f32, sin: f32) -> Body {
        let rows = &self.state.rows;
        let speed = rows.speed[i];
        Body {
            entity: rows.entity[i],
            x: rows.x[i],
            y: rows.y[i],
            vx: speed * cos,
            vy: speed * sin,
            radius: self.farm.classes[self.index.class_of[i] as usize].radius_m,
            priority: priority(rows, i),
        }
    }

    /// Lets every site answer its requests.
    fn serve_sites(&mut self, inbox: &Inbox<'_>, bump: &Bump) {
        if !self.holds_sites() {
            return;
        }
        for requests in inbox.requests.chunk_by(|a, b| a.site == b.site) {
            let site = requests[0].site;
            Coordinator {
                farm: &self.farm,
                sites: &mut self.state.sites,
                local: site - self.plan.first_site,
                site,
                tick: self.state.tick,
                counters: &mut self.state.counters,
                grants: &mut self.state.grants,
                blocked: &mut self.blocked,
            }
            .serve(requests, bump);
        }
        for local in 0..self.plan.sites {
            let bulletin = self.state.sites.bulletin(&self.farm, local);
            self.state.bulletins.push(bulletin);
        }
    }

    /// Rows read their grants and then their commands.
    fn hear(&mut self, inbox: &mut Inbox<'_>, commands: &[Command]) {
        for g in &inbox.grants {
            if let Some(i) = self.row_of(g.site, g.machine) {
                self.decider().granted(i, g);
            }
        }
        for command in commands {
            for place in self.places_of(command) {
                let row = self.index.row_of[place];
                if row != NONE {
                    self.decider().command(row as usize, command);
                }
            }
        }
    }

    /// Where the machines that a command is for stand among those of the partition's sites; by id, and
    /// with those of other parts between them.
    fn places_of(&self, command: &Command) -> Range<usize> {
        let each = self.farm.machines_per_site as usize;
        let of_site = |site: u32| (site - self.plan.first_site) as usize * each;
        match command.scope {
            scope::MACHINE => {
                let number = command.target.wrapping_sub(1);
                let machine = number % self.farm.machines_per_site;
                let place = of_site(number / self.farm.machines_per_site) + machine as usize;
                let row = self.index.row_of[place];
                assert!(row != NONE, "a command comes to who holds its machine");
                place..place + 1
            }
            scope::SITE => of_site(command.target)..of_site(command.target) + each,
            scope::ALL => 0..self.index.row_of.len(),
            unknown => panic!("a command of scope {unknown}"),
        }
    }

    pub(crate) fn decider(&mut self) -> Decide<'_> {
        Decide {
            farm: &self.farm,
            rows: &mut self.state.rows,
            tick: self.state.tick,
            counters: &mut self.state.counters,
            events: &mut self.events,
            requests: &mut self.state.requests,
        }
    }

    /// Runs the laws of motion, power and battery over the rows of each class.
    fn run_laws(&mut self, inbox: &Inbox<'_>, s: &mut Scratch<'_>) {
        let (isa, farm, tick) = (self.isa, &self.farm, self.state.tick);
        let rows = &mut self.state.rows;
        for (bn, site) in s.soil_bn.iter_mut().zip(&rows.site) {
            *bn = inbox.bulletins[(site - self.plan.first_site) as usize].soil_bn;
        }
        let stand_off = farm.ticks(farm.stand_off_s);
        let motion = MotionParams::new(farm);
        for of_class in &self.index.classes {
            let (class, r) = (&farm.classes[of_class.class], of_class.rows.clone());
            let guidance = GuidanceParams::new(class, farm.dt_s, stand_off, tick);
            guidance::steer(
                isa,
                &guidance,
                &rows.mode[r.clone()],
                &rows.go[r.clone()],
                &rows.x[r.clone()],
                &rows.y[r.clone()],
                &rows.goal_x[r.clone()],
                &rows.goal_y[r.clone()],
                &rows.dir_x[r.clone()],
                &rows.dir_y[r.clone()],
                &rows.curvature[r.clone()],
                &rows.cruise[r.clone()],
                &rows.speed_limit[r.clone()],
                &rows.drive_limit[r.clone()],
                &s.cap[r.clone()],
                &s.cos[r.clone()],
                &s.sin[r.clone()],
                &mut rows.speed[r.clone()],
                &mut s.accel[r.clone()],
                &mut s.turn[r.clone()],
                &mut rows.sweep[r.clone()],
                &mut rows.blocked[r.clone()],
                &mut s.due[r.clone()],
            );
            guidance::advance(
                isa,
                &motion,
                &rows.speed[r.clone()],
                &s.turn[r.clone()],
                &mut rows.x[r.clone()],
                &mut rows.y[r.clone()],
                &mut rows.x_rem[r.clone()],
                &mut rows.y_rem[r.clone()],
                &mut rows.heading[r.clone()],
            );
            ground_power(
                isa,
                &of_class.ground,
                &rows.speed[r.clone()],
                &s.accel[r.clone()],
                &rows.engaged[r.clone()],
                &s.soil_bn[r.clone()],
                &mut s.power_w[r.clone()],
                &mut s.slip[r.clone()],
                &mut s.speed_ratio[r.clone()],
            );
            guidance::cut_off(isa, &(), &rows.flags[r.clone()], &mut s.power_w[r.clone()]);
            battery(
                isa,
                &of_class.battery,
                &s.power_w[r.clone()],
                &rows.slot_power[r.clone()],
                &mut rows.charge[r.clone()],
                &mut rows.charge_rem[r.clone()],
                &mut s.current_a[r.clone()],
                &mut s.given[r.clone()],
                &mut s.due[r.clone()],
            );
            guidance::limit(
                isa,
                &(),
                &rows.speed[r.clone()],
                &s.speed_ratio[r.clone()],
                &s.given[r.clone()],
                &s.slip[r.clone()],
                &mut rows.drive_limit[r.clone()],
                &mut s.due[r.clone()],
            );
            let watch = WatchParams::new(class, tick);
            guidance::watch(
                isa,
                &watch,
                &rows.go[r.clone()],
                &rows.mode[r.clone()],
                &rows.timer[r.clone()],
                &rows.repair_at[r.clone()],
                &rows.next_fault[r.clone()],
                &rows.charge[r.clone()],
                &rows.x[r.clone()],
                &rows.y[r.clone()],
                &self.index.charger_x[r.clone()],
                &self.index.charger_y[r.clone()],
                &mut rows.operated[r.clone()],
                &mut s.due[r],
            );
        }
    }

    /// Rows for which something is due decide what comes next.
    fn decide(&mut self, inbox: &Inbox<'_>, scratch: &Scratch<'_>) {
        for (i, &bits) in scratch.due.iter().enumerate() {
            if bits & due::DECIDES != 0 {
                let local = self.state.rows.site[i] - self.plan.first_site;
                let bulletin = inbox.bulletins[local as usize];
                self.decider().dues(i, bits, scratch.blocker[i], &bulletin);
            }
        }
    }

    /// Puts this tick's messages and events in order, and writes letters to the other parts.
    fn publish(&mut self, inbox: &Inbox<'_>, bump: &Bump) {
        sort_stably(&mut self.state.requests, |r| (r.site, r.machine), bump);
        sort_stably(&mut self.state.grants, |g| (g.site, g.machine), bump);
        self.events
            .sort_unstable_by_key(|e| (e.site, e.entity, e.ordinal));
        number_events(&mut self.events);
        self.write_letters(&inbox.cells, bump);
    }

    /// Writes a letter to every other part, given the cells they occupy.
    fn write_letters(&mut self, cells: &[BumpVec<'_, u32>], bump: &Bump) {
        let Some(cut) = self.index.cut.take() else {
            return;
        };
        let reach =
            units(SENSING_RADIUS_M + 2.0 * self.farm.v_max_m_per_s() * self.farm.dt_s + 1.0);
        let (near, bodies, own_cells) = self.ghosts(&cut, cells, reach, bump);
        let bulletin = self.state.bulletins.first().copied();
        for part in (0..cut.part.parts).filter(|part| *part != cut.part.part) {
            let ghosts = near.iter().filter(|(to, _)| *to == part);
            let count = ghosts.clone().count() as u64;
            let to_site = if part == 0 {
                &self.state.requests[..]
            } else {
                &[]
            };
            let grants = self.state.grants.iter();
            let before = self.outbox.words.len();
            mail::write(
                &mut self.outbox.words,
                [self.state.tick, self.plan.index],
                to_site.iter(),
                grants.filter(|g| cut.part_of[g.machine as usize] == part),
                ghosts.map(|(_, i)| &bodies[*i as usize]),
                &own_cells,
                bulletin,
            );
            let after = self.outbox.words.len();
            self.outbox
                .letters
                .push((cut.part.first_partition + part, after));
            self.state.counters.ghosts += count;
            self.state.counters.ghost_bytes += 4 * (after - before) as u64;
        }
        self.index.cut = Some(cut);
    }

    /// Rows near cells of other parts, as (part, index into bodies), and the cells of this one.
    #[allow(clippy::type_complexity)]
    fn ghosts<'b>(
        &self,
        cut: &Cut,
        cells: &[BumpVec<'_, u32>],
        reach: i32,
        bump: &'b Bump,
    ) -> (BumpVec<'b, (u32, u32)>, BumpVec<'b, Body>, BumpVec<'b, u32>) {
        let mut own = column(cut.grid.words(), 0, bump);
        let mut others = column(cut.grid.words(), 0, bump);
        for bitmap in cells {
            for (all, bits) in others.iter_mut().zip(bitmap) {
                *all |= bits;
            }
        }
        let mut near = BumpVec::new_in(bump);
        let mut bodies = BumpVec::new_in(bump);
        for i in 0..self.state.rows.len() {
            let at = Point {
                x: self.state.rows.x[i],
                y: self.state.rows.y[i],
            };
            cut.grid.mark(&mut own, at);
            if !cut.grid.touches(&others, at, reach) {
                continue;
            }
            let (sin, cos) = math::sin_cos(self.state.rows.heading[i]);
            for (part, bitmap) in (0..).zip(cells) {
                if !bitmap.is_empty() && cut.grid.touches(bitmap, at, reach) {
                    near.push((part, bodies.len() as u32));
                }
            }
            bodies.push(self.body(i, cos, sin));
        }
        (near, bodies, own)
    }

    /// The letters of creation: every part knows where the others' machines begin.
    pub(crate) fn emit_first_letters(&mut self, plan: &Plan) {
        let Some(cut) = &self.index.cut else {
            return;
        };
        let bump = Bump::new();
        let mut cells = BumpVec::new_in(&bump);
        for part in 0..cut.part.parts {
            let words = if part == cut.part.part {
                0
            } else {
                cut.grid.words()
            };
            cells.push(column(words, 0, &bump));
        }
        for machine in 0..self.farm.machines_of(self.plan.first_site) {
            let part = plan.part_of(self.plan.first_site, machine);
            if part != cut.part.part {
                let home = self.farm.layout.home(machine);
                cut.grid.mark(&mut cells[part as usize], home);
            }
        }
        self.write_letters(&cells, &bump);
    }
}

/// How far a row wants to drive straight on; an arc leads anywhere.
fn way_to_go_m(rows: &Rows, i: usize) -> f32 {
    if rows.mode[i] != mode::LINE {
        return SENSING_RADIUS_M;
    }
    let dx = rows.goal_x[i].wrapping_sub(rows.x[i]) as f32;
    let dy = rows.goal_y[i].wrapping_sub(rows.y[i]) as f32;
    (dx * rows.dir_x[i] + dy * rows.dir_y[i]) * (1.0 / UNITS_PER_M)
}

/// Numbers the events of each machine, which stand together in the order in which they happened.
fn number_events(events: &mut [Event]) {
    for of_machine in events.chunk_by_mut(|a, b| a.entity == b.entity) {
        for (ordinal, event) in (0..).zip(of_machine) {
            event.ordinal = ordinal;
        }
    }
}

/// Who gives way to whom: the lower number. What cannot move comes first.
fn priority(rows: &Rows, i: usize) -> u32 {
    const CANNOT_MOVE: u32 = 6;
    const AT_WORK: u32 = 4;
    const ON_ITS_WAY: u32 = 2;
    const IDLE: u32 = 1;
    if rows.flags[i] & (flag::FAULTED | flag::HELD) != 0 || rows.state[i] == State::Charging as u8 {
        return CANNOT_MOVE;
    }
    const WORKING: u8 = State::Working as u8;
    const TURNING: u8 = State::Turning as u8;
    const HOLDING: u8 = State::Holding as u8;
    const TRAVELLING: u8 = State::Travelling as u8;
    const RETURNING: u8 = State::Returning as u8;
    match rows.state[i] {
        WORKING | TURNING | HOLDING => AT_WORK,
        TRAVELLING | RETURNING => ON_ITS_WAY,
        _ => IDLE,
    }
}

/// Refuses a grant that names what the site does not have.
///
/// # Errors
/// [`MailError::OutOfRange`].
pub(crate) fn check_grant(farm: &Farm, g: &Grant) -> Result<(), MailError> {
    let layout = &farm.layout;
    let check = |what, value, limit| match value < limit {
        true => Ok(()),
        false => Err(MailError::OutOfRange { what, value }),
    };
    check("machine", g.machine, farm.machines_per_site)?;
    check("grant kind", g.kind, grant::COUNT)?;
    match g.kind {
        grant::SWATH | grant::NEXT_SWATH => {
            check_swath(layout, g.a, g.b)?;
            let length = layout.swath_length.cast_unsigned();
            check("swath done before", g.c, length + 1)
        }
        grant::SLOT => check("slot", g.a, layout.slots()),
        grant::QUEUE if g.a != NONE => check("parking place", g.a, layout.parks()),
        _ => Ok(()),
    }
}

/// Refuses a ghost that is where no machine comes, or moves like none.
fn check_ghost(farm: &Farm, b: &Body) -> Result<(), MailError> {
    let is_number = |value: f32, most: f32| value.is_finite() && value.abs() <= most;
    let wrong = if !farm.layout.fence().contains(Point { x: b.x, y: b.y }) {
        ("ghost's place, x", b.x.cast_unsigned())
    } else if !is_number(b.vx, MAX_GHOST_M_PER_S) || !is_number(b.vy, MAX_GHOST_M_PER_S) {
        ("ghost's velocity", b.vx.to_bits())
    } else if !is_number(b.radius, SENSING_RADIUS_M) {
        ("ghost's radius", b.radius.to_bits())
    } else {
        return Ok(());
    };
    Err(MailError::OutOfRange {
        what: wrong.0,
        value: wrong.1,
    })
}

/// Faster than any ghost that is believed.
const MAX_GHOST_M_PER_S: f32 = 1_000.0;

/// Refuses a bulletin of a soil that is none.
///
/// # Errors
/// [`MailError::OutOfRange`].
pub(crate) fn check_bulletin(bulletin: &Bulletin) -> Result<(), MailError> {
    let bn = bulletin.soil_bn;
    match bn.is_finite() && bn >= 1.0 {
        true => Ok(()),
        false => Err(MailError::OutOfRange {
            what: "Brixius number",
            value: bn.to_bits(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Scenario, SimulationConfig};

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "speed_limit")]
    fn a_value_that_is_no_number_does_not_pass_a_step() {
        let plan = Plan::new(&SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities: 20,
            tick_ms: 50,
            seed: 1,
            partition_rows: 4096,
        });
        let mut partition = Partition::create(&plan.expect("valid"), 0);
        partition.state.rows.speed_limit[7] = f32::NAN;
        let _ = partition.step(&StepInputs::default(), &Bump::new());
    }
}
