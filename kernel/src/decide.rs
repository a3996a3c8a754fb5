//! What machines decide: the rows whose leg, timer, battery, fault, answer or command is due.
//!
//! Most rows need no decision in most ticks; the laws find those that do, and this module takes them
//! one by one. Nothing here depends on the order of rows.

use crate::aggregate::Counters;
use crate::command::{Action, Command, Component, Rejection};
use crate::event::{self, Event};
use crate::farm::{Class, Farm};
use crate::laws::guidance::due;
use crate::laws::{battery, turn};
use crate::layout::{NONE, Point, units};
use crate::math;
use crate::message::{Bulletin, Grant, Request, grant, request, segments};
use crate::philox::{self, Purpose};
use crate::route::{self, Goal};
use crate::rows::{FULL_CHARGE, NEVER, NO_SPEED_LIMIT, Rows, State, flag, mode, task};

/// A leg that deviates from the heading by less is not worth a turn on the spot; about 1 degree.
const STRAIGHT_ENOUGH: u32 = 1 << 24;
/// How far a machine drives aside to make way, and then past the obstacle, m. [assumed]
const ASIDE_M: f32 = 3.2;
const PAST_M: f32 = 7.0;
/// Charge below which a machine without work uses a free charger, and what a rescue brings along.
const TOP_UP_BELOW: i32 = FULL_CHARGE / 10 * 6;
const RESCUE_CHARGE: i32 = FULL_CHARGE / 10;

/// What deciding reads and writes; one for a step of a partition.
pub(crate) struct Decide<'a> {
    pub(crate) farm: &'a Farm,
    pub(crate) rows: &'a mut Rows,
    pub(crate) tick: u32,
    pub(crate) counters: &'a mut Counters,
    pub(crate) events: &'a mut Vec<Event>,
    pub(crate) requests: &'a mut Vec<Request>,
}

impl Decide<'_> {
    /// A machine's first words, at creation.
    pub(crate) fn begin(&mut self, i: usize) {
        let class = self.class(i);
        let mtbf_s = class.mtbf_s;
        self.rows.next_fault[i] = self.draw(i, Purpose::Fault, mtbf_s);
        let word = philox::draw(
            self.farm.config.seed,
            self.rows.entity[i],
            Purpose::InitialCharge,
            0,
        )[0];
        let least = self.farm.least_first_charge;
        let share = least + (1.0 - least) * philox::uniform(word);
        self.rows.charge[i] = (share * FULL_CHARGE as f32) as i32;
        self.ask(i, request::WORK, 0, 0, 0);
    }

    /// Takes the decisions that the laws found due.
    pub(crate) fn dues(&mut self, i: usize, bits: u32, blocker: u32, bulletin: &Bulletin) {
        if bits & due::REPAIR != 0 {
            self.repaired(i);
        }
        if bits & due::FAULT != 0 {
            let mttr_s = self.class(i).mttr_s;
            let ticks = self.draw(i, Purpose::Repair, mttr_s);
            self.rows.faults[i] += 1;
            let mtbf_s = self.class(i).mtbf_s;
            let next = self.draw(i, Purpose::Fault, mtbf_s);
            self.rows.next_fault[i] = self.rows.operated[i].saturating_add(next);
            self.fault(i, ticks, 0);
        }
        if bits & battery::FLAG_EMPTY != 0 && self.rows.flags[i] & flag::FAULTED == 0 {
            let mttr_s = self.class(i).mttr_s;
            self.fault(i, self.farm.ticks(mttr_s as f32), flag::NO_POWER);
        }
        if self.rows.flags[i] & (flag::FAULTED | flag::HELD) != 0 {
            return;
        }
        if bits & due::LEG_END != 0 {
            self.leg_ended(i);
        }
        if bits & battery::FLAG_FULL != 0 && self.rows.task[i] == task::ON_SLOT {
            self.charged(i);
        }
        if bits & due::TIMER != 0 {
            self.rows.timer[i] = NEVER;
            self.look_for_work(i, bulletin);
        }
        if bits & due::BLOCKED != 0 {
            self.make_way(i, blocker);
        }
        if bits & due::LOW != 0 && self.may_return(i) {
            self.return_to_charger(i);
        }
    }

    /// Reads an answer of the site.
    pub(crate) fn granted(&mut self, i: usize, g: &Grant) {
        if g.ask != self.rows.ask[i] {
            return self.give_back(i, g);
        }
        match g.kind {
            grant::SWATH => {
                self.rows.land[i] = g.a;
                self.rows.swath[i] = g.b;
                self.rows.done_before[i] = g.c.cast_signed();
                self.set_off(i, task::TO_SWATH, State::Travelling);
            }
            grant::SWATH_AND_WAY => {
                self.rows.swath[i] = g.b;
                let (first, count) = segments(g.c);
                self.begin_turn(i, first, count);
            }
            grant::SWATH_AND_HOLD => {
                self.rows.swath[i] = g.b;
                self.rows.flags[i] |= flag::QUEUED;
                self.rows.task[i] = task::WAIT_WAY;
                self.enter(i, State::Holding);
            }
            grant::WAY => {
                self.rows.flags[i] &= !flag::QUEUED;
                self.begin_turn(i, g.a, g.b);
            }
            grant::SLOT => {
                self.rows.flags[i] &= !flag::QUEUED;
                self.rows.slot[i] = g.a;
                self.set_off(i, task::TO_SLOT, State::Returning);
            }
            grant::QUEUE => {
                self.rows.flags[i] |= flag::QUEUED;
                self.set_off(i, task::TO_QUEUE, State::Returning);
            }
            _ => self.set_off(i, task::TO_HOME, State::Returning),
        }
    }

    /// Carries out a command, or says why not.
    pub(crate) fn command(&mut self, i: usize, command: &Command) {
        let outcome = match command.action() {
            Some(action) => self.act(i, action),
            None => Err(Rejection::Malformed),
        };
        let (kind, reason) = match outcome {
            Ok(()) => {
                self.counters.commands += 1;
                (event::kind::COMMAND, 0)
            }
            Err(rejection) => {
                self.counters.rejected_commands += 1;
                (event::kind::COMMAND_REJECTED, rejection as u32)
            }
        };
        self.event(i, kind, command.seq as u32, reason);
    }

    fn act(&mut self, i: usize, action: Action) -> Result<(), Rejection> {
        let faulted = self.rows.flags[i] & flag::FAULTED != 0;
        match action {
            Action::Hold => {
                self.rows.flags[i] |= flag::HELD;
                self.refresh(i);
            }
            Action::Release => {
                if self.rows.flags[i] & flag::HELD != 0 {
                    self.rows.flags[i] &= !flag::HELD;
                    self.refresh(i);
                } else if matches!(self.rows.task[i], task::GOTO | task::AT_GOTO) {
                    self.abandon(i);
                    self.want_work(i);
                } else {
                    return Err(Rejection::NotHeld);
                }
            }
            Action::Goto { .. } | Action::ReturnToCharger if faulted => {
                return Err(Rejection::Faulted);
            }
            Action::Goto { x_mm, y_mm } => {
                let to = self.place_in_site(x_mm, y_mm)?;
                self.rows.flags[i] &= !flag::HELD;
                self.abandon(i);
                self.rows.sent_x[i] = to.x;
                self.rows.sent_y[i] = to.y;
                self.set_off(i, task::GOTO, State::Travelling);
            }
            Action::ReturnToCharger => {
                if (task::WAIT_CHARGER..=task::ON_SLOT).contains(&self.rows.task[i]) {
                    return Err(Rejection::AlreadyCharging);
                }
                self.rows.flags[i] &= !flag::HELD;
                self.return_to_charger(i);
            }
            Action::SetSpeedLimit { mm_per_s } => {
                self.rows.speed_limit[i] = match mm_per_s {
                    0 => NO_SPEED_LIMIT,
                    limit => limit as f32 / 1000.0,
                };
            }
            Action::InjectFault { component, for_ms } => {
                if faulted {
                    return Err(Rejection::Faulted);
                }
                let ticks = for_ms.cast_unsigned().div_ceil(self.farm.config.tick_ms);
                let power = match component {
                    Component::Drive => 0,
                    Component::Battery => flag::NO_POWER,
                };
                self.fault(i, ticks.max(1), power);
            }
        }
        Ok(())
    }

    fn class(&self, i: usize) -> &Class {
        &self.farm.classes[self.farm.class_of(self.machine(i)) as usize]
    }

    /// A row's index in its site.
    fn machine(&self, i: usize) -> u32 {
        (self.rows.entity[i] - 1) % self.farm.machines_per_site
    }

    fn at(&self, i: usize) -> Point {
        Point {
            x: self.rows.x[i],
            y: self.rows.y[i],
        }
    }

    fn draw(&self, i: usize, purpose: Purpose, mean_s: u32) -> u32 {
        let (seed, tick_ms) = (self.farm.config.seed, self.farm.config.tick_ms);
        let (entity, index) = (self.rows.entity[i], u64::from(self.rows.faults[i]));
        philox::exponential_ticks(seed, entity, purpose, index, mean_s, tick_ms)
    }

    fn event(&mut self, i: usize, kind: u32, detail: u32, reason: u32) {
        let entity = self.rows.entity[i];
        let ordinal = (self.events.iter().rev())
            .filter(|e| e.entity == entity)
            .count() as u32;
        self.events.push(Event {
            tick: u64::from(self.tick),
            site: self.rows.site[i],
            entity,
            ordinal,
            kind,
            detail,
            reason,
        });
    }

    /// Enters a state, behind a hold or a fault that lasts.
    fn enter(&mut self, i: usize, state: State) {
        self.rows.resume[i] = state as u8;
        self.refresh(i);
    }

    /// Makes the visible state and the leave to move follow from flags and what lies behind them.
    fn refresh(&mut self, i: usize) {
        let flags = self.rows.flags[i];
        let state = if flags & flag::FAULTED != 0 {
            State::Faulted as u8
        } else if flags & flag::HELD != 0 {
            State::Holding as u8
        } else {
            self.rows.resume[i]
        };
        let stands = flags & (flag::FAULTED | flag::HELD) != 0;
        self.rows.go[i] = if stands { 0.0 } else { 1.0 };
        let charges = self.rows.task[i] == task::ON_SLOT && flags & flag::FAULTED == 0;
        self.rows.slot_power[i] = if charges { self.farm.slot_power_w } else { 0.0 };
        if state != self.rows.state[i] {
            self.rows.state[i] = state;
            self.event(i, event::kind::TRANSITION, u32::from(state), 0);
        }
    }

    /// Tells the site something.
    fn tell(&mut self, i: usize, kind: u32, a: u32, b: u32, c: u32) {
        self.requests.push(Request {
            site: self.rows.site[i],
            machine: self.machine(i),
            kind,
            ask: self.rows.ask[i],
            a,
            b,
            c,
        });
    }

    /// Asks the site for something; only the answer to the last question counts.
    fn ask(&mut self, i: usize, kind: u32, a: u32, b: u32, c: u32) {
        self.rows.ask[i] = self.rows.ask[i].wrapping_add(1);
        self.tell(i, kind, a, b, c);
    }

    /// Returns what was granted to a question that is no longer of interest.
    fn give_back(&mut self, i: usize, g: &Grant) {
        match g.kind {
            grant::SWATH => self.tell(i, request::LEAVE_LAND, g.a, g.c, g.b),
            grant::SWATH_AND_WAY => {
                let (first, count) = segments(g.c);
                self.tell(i, request::LEAVE_LAND, g.a, 0, g.b);
                self.tell(i, request::LEAVE_HEADLAND, first, count, 0);
            }
            grant::SWATH_AND_HOLD => self.tell(i, request::LEAVE_LAND, g.a, 0, g.b),
            grant::WAY => self.tell(i, request::LEAVE_HEADLAND, g.a, g.b, 0),
            grant::SLOT => self.tell(i, request::LEAVE_SLOT, g.a, 0, 0),
            _ => {}
        }
    }

    /// Drops everything a machine has or waits for, and stands.
    fn abandon(&mut self, i: usize) {
        let waits = matches!(self.rows.task[i], task::AT_END | task::WAIT_CHARGER);
        if waits || self.rows.flags[i] & flag::QUEUED != 0 {
            self.tell(i, request::LEAVE_QUEUE, 0, 0, 0);
        }
        if self.rows.land[i] != NONE {
            let progress = self.progress(i).cast_unsigned();
            self.tell(
                i,
                request::LEAVE_LAND,
                self.rows.land[i],
                progress,
                self.rows.swath[i],
            );
        }
        if self.rows.segment[i] != NONE {
            let (first, count) = (self.rows.segment[i], self.rows.segments[i]);
            self.tell(i, request::LEAVE_HEADLAND, first, count, 0);
        }
        if self.rows.slot[i] != NONE {
            self.tell(i, request::LEAVE_SLOT, self.rows.slot[i], 0, 0);
        }
        self.rows.ask[i] = self.rows.ask[i].wrapping_add(1);
        self.rows.land[i] = NONE;
        self.rows.segment[i] = NONE;
        self.rows.slot[i] = NONE;
        self.rows.flags[i] &= !(flag::QUEUED | flag::ASIDE | flag::PAST);
        self.rows.engaged[i] = 0.0;
        self.rows.timer[i] = NEVER;
        self.rows.mode[i] = mode::STILL;
        self.rows.task[i] = task::NONE;
    }

    /// How far a row's swath is done, from its start.
    fn progress(&self, i: usize) -> i32 {
        match self.rows.task[i] {
            task::SWATH => {
                let (start, _) = self
                    .farm
                    .layout
                    .swath_run(self.rows.land[i], self.rows.swath[i]);
                let driven = (self.rows.y[i] - start.y).abs();
                driven.max(self.rows.done_before[i])
            }
            task::TO_SWATH | task::OVER_DONE => self.rows.done_before[i],
            _ => 0,
        }
    }

    fn want_work(&mut self, i: usize) {
        self.ask(i, request::WORK, 0, 0, 0);
        self.rows.task[i] = task::NONE;
        self.enter(i, State::Idle);
    }

    fn look_for_work(&mut self, i: usize, bulletin: &Bulletin) {
        if self.rows.charge[i] < TOP_UP_BELOW && bulletin.free_slots > 0 {
            self.return_to_charger(i);
        } else {
            self.want_work(i);
        }
    }

    fn may_return(&self, i: usize) -> bool {
        matches!(
            self.rows.task[i],
            task::NONE | task::TO_SWATH | task::OVER_DONE | task::SWATH | task::TO_HOME
        )
    }

    fn return_to_charger(&mut self, i: usize) {
        self.abandon(i);
        let layout = &self.farm.layout;
        let station = layout.station_of_field(layout.home_field(self.machine(i)));
        self.ask(i, request::CHARGER, station, 0, 0);
        self.rows.task[i] = task::WAIT_CHARGER;
        self.enter(i, State::Returning);
    }

    fn charged(&mut self, i: usize) {
        self.counters.charges += 1;
        self.abandon(i);
        self.want_work(i);
    }

    fn fault(&mut self, i: usize, ticks: u32, power: u32) {
        self.counters.faults += 1;
        self.rows.flags[i] |= flag::FAULTED | power;
        self.rows.repair_at[i] = self.tick.saturating_add(ticks);
        self.event(i, event::kind::FAULT, self.rows.repair_at[i], 0);
        self.refresh(i);
    }

    fn repaired(&mut self, i: usize) {
        self.counters.repairs += 1;
        self.rows.flags[i] &= !(flag::FAULTED | flag::NO_POWER);
        self.rows.repair_at[i] = NEVER;
        if self.rows.charge[i] < RESCUE_CHARGE {
            self.rows.charge[i] = RESCUE_CHARGE;
        }
        self.event(i, event::kind::REPAIRED, 0, 0);
        self.refresh(i);
    }

    /// Takes up a task that begins with a way.
    fn set_off(&mut self, i: usize, task: u8, state: State) {
        self.rows.task[i] = task;
        self.rows.stage[i] = 0;
        self.enter(i, state);
        self.go_on(i);
    }

    fn leg_ended(&mut self, i: usize) {
        if self.rows.mode[i] == mode::SPIN {
            self.rows.mode[i] = mode::LINE;
            return;
        }
        self.rows.mode[i] = mode::STILL;
        if self.rows.flags[i] & flag::ASIDE != 0 {
            self.rows.flags[i] ^= flag::ASIDE | flag::PAST;
            let back = if self.aside_is_right(i) { 1 } else { -1 };
            return self.start_relative_leg(i, back, PAST_M);
        }
        self.rows.flags[i] &= !flag::PAST;
        self.go_on(i);
    }

    /// The next thing of a row's task, once it stands where the last one led.
    fn go_on(&mut self, i: usize) {
        if let Some(goal) = self.goal(i)
            && let Some(to) = route::next_leg(&self.farm.layout, self.at(i), goal)
        {
            return self.start_leg(i, to, self.class(i).travel_m_per_s);
        }
        match self.rows.task[i] {
            task::TO_SWATH if self.rows.done_before[i] > 0 => self.drive_over_done(i),
            task::TO_SWATH | task::OVER_DONE => self.work(i),
            task::SWATH => self.swath_ended(i),
            task::TURN => self.turn_on(i),
            task::TO_QUEUE => {
                self.rows.task[i] = task::IN_QUEUE;
                self.enter(i, State::Queueing);
            }
            task::TO_SLOT => {
                self.rows.task[i] = task::ON_SLOT;
                self.enter(i, State::Charging);
            }
            task::TO_HOME => {
                self.rows.task[i] = task::NONE;
                self.rows.timer[i] = self.tick + self.farm.ticks(self.farm.retry_s);
                self.enter(i, State::Idle);
            }
            task::GOTO => {
                self.rows.task[i] = task::AT_GOTO;
                self.enter(i, State::Holding);
            }
            _ => {}
        }
    }

    /// Where a row's task leads by road.
    fn goal(&self, i: usize) -> Option<Goal> {
        let layout = &self.farm.layout;
        match self.rows.task[i] {
            task::TO_SWATH => {
                let (land, swath) = (self.rows.land[i], self.rows.swath[i]);
                let (at, _) = layout.swath_run(land, swath);
                let row = layout.field_of_land(land) / layout.columns;
                let headland = row + u32::from(!layout.runs_north(land, swath));
                Some(Goal::SwathEnd { at, headland })
            }
            task::TO_QUEUE | task::TO_HOME => {
                let machine = self.machine(i);
                Some(Goal::Place {
                    at: layout.home(machine),
                    column: layout.home_field(machine) % layout.columns,
                })
            }
            task::TO_SLOT => {
                let slot = self.rows.slot[i];
                let field = layout.field_of_station(slot / layout.slots_per_station);
                Some(Goal::Place {
                    at: layout.slot(slot),
                    column: field % layout.columns,
                })
            }
            task::GOTO => Some(Goal::Point(Point {
                x: self.rows.sent_x[i],
                y: self.rows.sent_y[i],
            })),
            _ => None,
        }
    }

    fn drive_over_done(&mut self, i: usize) {
        let (start, end) = (self.farm.layout).swath_run(self.rows.land[i], self.rows.swath[i]);
        let done = self.rows.done_before[i];
        let y = if end.y > start.y {
            start.y + done
        } else {
            start.y - done
        };
        self.rows.task[i] = task::OVER_DONE;
        self.start_leg(i, Point { x: start.x, y }, self.class(i).travel_m_per_s);
    }

    fn work(&mut self, i: usize) {
        let (_, end) = (self.farm.layout).swath_run(self.rows.land[i], self.rows.swath[i]);
        self.rows.task[i] = task::SWATH;
        self.rows.engaged[i] = 1.0;
        self.enter(i, State::Working);
        self.start_leg(i, end, self.class(i).work_m_per_s);
    }

    fn swath_ended(&mut self, i: usize) {
        self.rows.engaged[i] = 0.0;
        self.rows.task[i] = task::AT_END;
        let reach = units(2.0 * self.class(i).turn_radius_m);
        let (land, swath) = (self.rows.land[i], self.rows.swath[i]);
        self.ask(i, request::SWATH_DONE, land, swath, reach.cast_unsigned());
    }

    fn begin_turn(&mut self, i: usize, first: u32, count: u32) {
        self.rows.segment[i] = first;
        self.rows.segments[i] = count;
        self.rows.done_before[i] = 0;
        self.set_off(i, task::TURN, State::Turning);
    }

    /// The next piece of a turn: arcs for a machine that needs them, else straight to the next swath.
    fn turn_on(&mut self, i: usize) {
        let stage = self.rows.stage[i];
        self.rows.stage[i] += 1;
        let (radius, speed) = (self.class(i).turn_radius_m, self.class(i).turn_m_per_s);
        let (start, _) = (self.farm.layout).swath_run(self.rows.land[i], self.rows.swath[i]);
        if radius == 0.0 {
            return match stage {
                0 => self.start_leg(i, start, speed),
                _ => self.turned(i),
            };
        }
        let pitch_m = self.farm.layout.swath_pitch as f32 / crate::layout::UNITS_PER_M;
        let Some(arc) = turn::arcs(radius, pitch_m).get(usize::from(stage)).copied() else {
            return self.turned(i);
        };
        // The next swath lies east: to the right for a machine that has come north.
        let (land, swath) = (self.rows.land[i], self.rows.swath[i]);
        let from_south = !self.farm.layout.runs_north(land, swath);
        let right = from_south == (arc.sweep > 0);
        if arc.sweep == 0 {
            let to = self.ahead(i, 0, arc.length_m);
            return self.start_leg(i, to, speed);
        }
        self.rows.cruise[i] = speed;
        self.rows.mode[i] = mode::ARC;
        self.rows.sweep[i] = arc.sweep.unsigned_abs() as u32;
        self.rows.curvature[i] = if right { -1.0 / radius } else { 1.0 / radius };
    }

    fn turned(&mut self, i: usize) {
        self.counters.turns += 1;
        let (first, count) = (self.rows.segment[i], self.rows.segments[i]);
        self.tell(i, request::LEAVE_HEADLAND, first, count, 0);
        self.rows.segment[i] = NONE;
        self.rows.segments[i] = 0;
        self.work(i);
    }

    /// Ends a stand-off: a machine on its way drives around; one at work is only reported.
    fn make_way(&mut self, i: usize, blocker: u32) {
        self.counters.stand_offs += 1;
        self.rows.blocked[i] = 0;
        self.event(i, event::kind::STAND_OFF, blocker, 0);
        let on_its_way = matches!(
            self.rows.task[i],
            task::TO_SWATH | task::TO_QUEUE | task::TO_SLOT | task::TO_HOME | task::GOTO
        );
        if on_its_way {
            self.rows.flags[i] = self.rows.flags[i] & !flag::PAST | flag::ASIDE;
            self.rows.stage[i] = self.rows.stage[i].wrapping_add(1);
            let side = if self.aside_is_right(i) { -1 } else { 1 };
            self.start_relative_leg(i, side, ASIDE_M);
        }
    }

    /// The first time a machine makes way it does so to the right, then to the left, and so on.
    fn aside_is_right(&self, i: usize) -> bool {
        self.rows.stage[i] % 2 == 1
    }

    /// The point `m` ahead after `quarters` quarter turns to the left, kept inside the site.
    fn ahead(&self, i: usize, quarters: i32, m: f32) -> Point {
        let turned = quarters.cast_unsigned().wrapping_mul(math::QUARTER_TURN);
        let (sin, cos) = math::sin_cos(self.rows.heading[i].wrapping_add(turned));
        let (low, high) = (self.farm.layout.origin(), self.farm.layout.far_corner());
        Point {
            x: (self.rows.x[i] + units(m * cos)).clamp(low.x, high.x),
            y: (self.rows.y[i] + units(m * sin)).clamp(low.y, high.y),
        }
    }

    fn start_relative_leg(&mut self, i: usize, quarters: i32, m: f32) {
        let to = self.ahead(i, quarters, m);
        self.start_leg(i, to, self.class(i).turn_m_per_s);
    }

    /// Begins a straight leg, with a turn on the spot where the heading is off.
    fn start_leg(&mut self, i: usize, to: Point, cruise: f32) {
        let dx = (to.x - self.rows.x[i]) as f32;
        let dy = (to.y - self.rows.y[i]) as f32;
        let length = (dx * dx + dy * dy).sqrt();
        let bearing = if length > 0.0 {
            self.rows.dir_x[i] = dx / length;
            self.rows.dir_y[i] = dy / length;
            math::angle_of(dx, dy)
        } else {
            self.rows.heading[i]
        };
        let off = bearing.wrapping_sub(self.rows.heading[i]).cast_signed();
        self.rows.goal_x[i] = to.x;
        self.rows.goal_y[i] = to.y;
        self.rows.cruise[i] = cruise;
        self.rows.mode[i] = if off.unsigned_abs() < STRAIGHT_ENOUGH {
            mode::LINE
        } else {
            self.rows.curvature[i] = if off < 0 { -1.0 } else { 1.0 };
            self.rows.sweep[i] = off.unsigned_abs();
            mode::SPIN
        };
    }

    fn place_in_site(&self, x_mm: i32, y_mm: i32) -> Result<Point, Rejection> {
        let position = |mm: i32| i32::try_from(i64::from(mm) * 65_536 / 1000).ok();
        let (low, high) = (self.farm.layout.origin(), self.farm.layout.far_corner());
        match (position(x_mm), position(y_mm)) {
            (Some(x), Some(y))
                if (low.x..=high.x).contains(&x) && (low.y..=high.y).contains(&y) =>
            {
                Ok(Point { x, y })
            }
            _ => Err(Rejection::OutsideSite),
        }
    }
}
