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
use crate::message::{Bulletin, Grant, Request, goal, grant, request};
use crate::philox::{self, Purpose};
use crate::route::{Exit, Route, Zone};
use crate::rows::{FULL_CHARGE, NEVER, NO_SPEED_LIMIT, Rows, State, flag, mode, task};

/// A leg that deviates from the heading by less is not worth a turn on the spot; about 1 degree.
const STRAIGHT_ENOUGH: u32 = 1 << 24;
/// Charge below which a machine without work uses a free charger, and what a rescue brings along.
const TOP_UP_BELOW: i32 = FULL_CHARGE / 10 * 6;
const RESCUE_CHARGE: i32 = FULL_CHARGE / 10;

/// Flags of an errand, which end with it.
const OF_ERRAND: u32 =
    flag::BACKS | flag::BACKED | flag::LEAVES | flag::LEAVES_SOUTH | flag::LEAVES_NORTH;

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
            self.rows.faults[i] = self.rows.faults[i].wrapping_add(1);
            let mtbf_s = self.class(i).mtbf_s;
            let next = self.draw(i, Purpose::Fault, mtbf_s);
            self.rows.next_fault[i] = self.rows.operated[i].saturating_add(next);
            self.fault(i, ticks, 0);
        }
        // The battery law has seen the charge before a repair that brings some along.
        let is_empty = bits & battery::FLAG_EMPTY != 0 && bits & due::REPAIR == 0;
        if is_empty && self.rows.flags[i] & flag::FAULTED == 0 {
            let mttr_s = self.class(i).mttr_s;
            self.fault(i, self.farm.ticks(mttr_s as f32), flag::NO_POWER);
        }
        if bits & due::STUCK != 0 && self.rows.flags[i] & flag::FAULTED == 0 {
            // Until somebody has pulled it out.
            let mttr_s = self.class(i).mttr_s;
            self.fault(i, self.farm.ticks(mttr_s as f32), 0);
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
        // Not the bit: what was decided just now may have stopped the timer, or set it anew.
        if self.rows.timer[i] <= self.tick {
            self.rows.timer[i] = NEVER;
            if self.rows.flags[i] & flag::BACKS != 0 {
                self.rows.flags[i] &= !flag::BACKS;
                self.drive_leg(i);
            } else if self.is_under_way(i) {
                self.report(i);
            } else {
                self.look_for_work(i, bulletin);
            }
        }
        if bits & due::BLOCKED != 0 {
            self.make_way(i, blocker);
        }
        if bits & due::LOW != 0 && self.may_return(i) {
            self.return_to_charger(i);
        }
    }

    /// Reads an answer of the site. One to a question that is no longer of interest is dropped: the
    /// site has been told, by [`request::CANCEL`].
    pub(crate) fn granted(&mut self, i: usize, g: &Grant) {
        if matches!(g.kind, grant::WAY | grant::HOLD) {
            if g.ask == self.rows.way_ask[i] && self.rows.flags[i] & flag::WAITS != 0 {
                self.way_answered(i, g.kind == grant::WAY);
            }
            return;
        }
        if g.ask != self.rows.ask[i] {
            return;
        }
        match g.kind {
            grant::SWATH => {
                self.rows.land[i] = g.a;
                self.rows.swath[i] = g.b;
                self.rows.done_before[i] = g.c.cast_signed();
                self.set_off(i, task::TO_SWATH, State::Travelling);
            }
            grant::NEXT_SWATH if g.a == self.rows.land[i] => {
                self.rows.swath[i] = g.b;
                self.rows.done_before[i] = 0;
                self.rows.flags[i] |= flag::WAITS;
            }
            grant::SLOT => {
                self.rows.slot[i] = g.a;
                if self.rows.task[i] != task::TO_QUEUE || self.rows.flags[i] & flag::WAITS != 0 {
                    self.set_off(i, task::TO_SLOT, State::Returning);
                }
            }
            grant::QUEUE if g.a == NONE => {
                self.rows.task[i] = task::IN_QUEUE;
                self.enter(i, State::Queueing);
            }
            grant::QUEUE => {
                self.rows.park[i] = g.a;
                self.set_off(i, task::TO_QUEUE, State::Returning);
            }
            _ => {
                self.leave_land(i);
                self.set_off(i, task::TO_HOME, State::Returning);
            }
        }
    }

    fn way_answered(&mut self, i: usize, is_given: bool) {
        if !is_given {
            return self.enter(i, State::Holding);
        }
        self.rows.flags[i] &= !flag::WAITS;
        self.rows.stage[i] = 0;
        match self.rows.task[i] {
            task::AT_END => {
                self.rows.task[i] = task::TURN;
                self.enter(i, State::Turning);
                self.turn_on(i);
            }
            task::TO_SWATH | task::GOTO => {
                self.enter(i, State::Travelling);
                self.drive_leg(i);
            }
            _ => {
                self.enter(i, State::Returning);
                self.drive_leg(i);
            }
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
                } else if self.rows.flags[i] & flag::THEN_GOTO != 0
                    || matches!(self.rows.task[i], task::GOTO | task::AT_GOTO)
                {
                    self.then(i, flag::THEN_WORK);
                } else {
                    return Err(Rejection::NotHeld);
                }
            }
            Action::Goto { .. } | Action::ReturnToCharger if faulted => {
                return Err(Rejection::Faulted);
            }
            Action::Goto { x_mm, y_mm } => {
                let to = self.place_in_site(x_mm, y_mm)?;
                self.rows.then_x[i] = to.x;
                self.rows.then_y[i] = to.y;
                self.then(i, flag::THEN_GOTO);
            }
            Action::ReturnToCharger => {
                if (task::WAIT_CHARGER..=task::ON_SLOT).contains(&self.rows.task[i]) {
                    return Err(Rejection::AlreadyCharging);
                }
                self.then(i, flag::THEN_CHARGE);
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
        self.events.push(Event {
            tick: u64::from(self.tick),
            site: self.rows.site[i],
            entity: self.rows.entity[i],
            // The step numbers each machine's events apart once it has all of them.
            ordinal: self.events.len() as u32,
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

    /// Whether it is on shared ground, on a way that it has been given. Such a machine drives to the
    /// end of its way, whatever it is told meanwhile, so that others may rely on it.
    fn is_under_way(&self, i: usize) -> bool {
        let drives = matches!(
            self.rows.task[i],
            task::TO_SWATH
                | task::TURN
                | task::TO_QUEUE
                | task::TO_SLOT
                | task::TO_HOME
                | task::GOTO
        );
        drives && self.rows.flags[i] & flag::WAITS == 0
    }

    /// Lets a machine do what a user told it: now, or at the end of its way.
    fn then(&mut self, i: usize, what: u32) {
        self.rows.flags[i] &= !(flag::HELD | flag::THEN);
        self.rows.flags[i] |= what;
        self.refresh(i);
        if !self.is_under_way(i) {
            self.in_berth(i);
        }
    }

    /// In a berth, does what a user told it before.
    fn in_berth(&mut self, i: usize) {
        let told = self.rows.flags[i] & flag::THEN;
        self.rows.flags[i] &= !flag::THEN;
        match told {
            flag::THEN_CHARGE => self.return_to_charger(i),
            flag::THEN_WORK => {
                self.abandon(i);
                self.want_work(i);
            }
            flag::THEN_GOTO => {
                self.abandon(i);
                self.rows.sent_x[i] = self.rows.then_x[i];
                self.rows.sent_y[i] = self.rows.then_y[i];
                let to = [self.rows.sent_x[i], self.rows.sent_y[i]].map(i32::cast_unsigned);
                self.tell(i, request::TARGET, 0, to[0], to[1]);
                self.set_off(i, task::GOTO, State::Travelling);
            }
            _ => {}
        }
    }

    /// Drops everything a machine has or waits for, and stands, in its berth.
    fn abandon(&mut self, i: usize) {
        self.tell(i, request::CANCEL, 0, 0, 0);
        self.leave_land(i);
        self.rows.ask[i] = self.rows.ask[i].wrapping_add(1);
        self.rows.way_ask[i] = self.rows.way_ask[i].wrapping_add(1);
        self.rows.slot[i] = NONE;
        self.rows.park[i] = NONE;
        self.rows.flags[i] &= !(flag::WAITS | OF_ERRAND);
        self.rows.timer[i] = NEVER;
        self.rows.mode[i] = mode::STILL;
        self.rows.task[i] = task::NONE;
    }

    /// Works no longer on its land, if it has one.
    fn leave_land(&mut self, i: usize) {
        if self.rows.land[i] != NONE {
            let (land, swath) = (self.rows.land[i], self.rows.swath[i]);
            let progress = self.progress(i).cast_unsigned();
            self.tell(i, request::LEAVE_LAND, land, progress, swath);
        }
        self.rows.land[i] = NONE;
        self.rows.engaged[i] = 0.0;
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
        ) && !self.is_under_way(i)
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

    /// Takes up a task that begins with a way: asks for it, and stands until it is given.
    fn set_off(&mut self, i: usize, task: u8, state: State) {
        let index = match task {
            task::TO_SWATH => goal::pack(goal::SWATH, self.rows.land[i]),
            task::TO_SLOT => goal::pack(goal::SLOT, self.rows.slot[i]),
            task::TO_QUEUE => goal::pack(goal::PARK, self.rows.park[i]),
            task::TO_HOME => goal::pack(goal::HOME, self.exit(i) as u32),
            _ => goal::pack(goal::TARGET, 0),
        };
        let at = self.at(i);
        self.rows.task[i] = task;
        self.rows.mode[i] = mode::STILL;
        self.rows.flags[i] |= flag::WAITS;
        self.rows.from_x[i] = at.x;
        self.rows.from_y[i] = at.y;
        self.rows.way_ask[i] = self.rows.way_ask[i].wrapping_add(1);
        self.requests.push(Request {
            site: self.rows.site[i],
            machine: self.machine(i),
            kind: request::WAY,
            ask: self.rows.way_ask[i],
            a: index,
            b: at.x.cast_unsigned(),
            c: at.y.cast_unsigned(),
        });
        self.enter(i, state);
    }

    fn leg_ended(&mut self, i: usize) {
        if self.rows.mode[i] == mode::SPIN {
            self.rows.mode[i] = mode::LINE;
            return;
        }
        self.rows.mode[i] = mode::STILL;
        match self.rows.task[i] {
            task::OVER_DONE => self.work(i),
            task::SWATH => self.swath_ended(i),
            task::TURN => self.turn_on(i),
            task::GOTO if self.rows.flags[i] & flag::BACKS != 0 => {
                self.backed_off(i);
            }
            _ if self.is_under_way(i) => {
                self.rows.stage[i] = self.rows.stage[i].saturating_add(1);
                let legs = u32::from(self.rows.stage[i]);
                self.tell(i, request::LEG, legs, 0, 0);
                self.rows.flags[i] &= !flag::AT_TARGET;
                self.drive_leg(i);
            }
            _ => {}
        }
    }

    /// The way that a row has been given.
    fn route(&self, i: usize) -> Route {
        let from = Point {
            x: self.rows.from_x[i],
            y: self.rows.from_y[i],
        };
        Route::plan_by(&self.farm.layout, from, self.destination(i), self.exit(i))
    }

    fn destination(&self, i: usize) -> Point {
        let layout = &self.farm.layout;
        match self.rows.task[i] {
            task::TO_SWATH => layout.swath_run(self.rows.land[i], self.rows.swath[i]).0,
            task::TO_QUEUE => layout.park(self.rows.park[i]),
            task::TO_SLOT => layout.slot(self.rows.slot[i]),
            task::TO_HOME => layout.home(self.machine(i)),
            _ => Point {
                x: self.rows.sent_x[i],
                y: self.rows.sent_y[i],
            },
        }
    }

    /// The next leg of its way, or what follows the last.
    fn drive_leg(&mut self, i: usize) {
        let route = self.route(i);
        let leg = u32::from(self.rows.stage[i]);
        if let Some((_, to)) = route.leg(leg) {
            self.rows.timer[i] = self
                .tick
                .saturating_add(self.farm.ticks(self.farm.report_s));
            return self.start_leg(i, to, self.class(i).travel_m_per_s);
        }
        self.rows.timer[i] = NEVER;
        if leg == 0 {
            self.tell(i, request::LEG, 0, 0, 0);
        }
        self.arrived(i);
    }

    /// Tells the site how far it is, so that what lies behind it is free before its leg ends.
    fn report(&mut self, i: usize) {
        let legs = u32::from(self.rows.stage[i]);
        if let Some((start, _)) = self.route(i).leg(legs) {
            let at = self.at(i);
            let driven = (at.x - start.x).abs().max((at.y - start.y).abs());
            self.tell(i, request::LEG, legs, driven.cast_unsigned(), 0);
            self.rows.timer[i] = self
                .tick
                .saturating_add(self.farm.ticks(self.farm.report_s));
        }
    }

    fn arrived(&mut self, i: usize) {
        self.rows.flags[i] &= !OF_ERRAND;
        match self.rows.task[i] {
            task::TO_SWATH if self.rows.done_before[i] > 0 => self.drive_over_done(i),
            task::TO_SWATH => self.work(i),
            task::TO_QUEUE if self.rows.slot[i] != NONE => {
                self.set_off(i, task::TO_SLOT, State::Returning);
            }
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
                self.rows.timer[i] = self.tick.saturating_add(self.farm.ticks(self.farm.retry_s));
                self.enter(i, State::Idle);
            }
            _ => {
                self.rows.task[i] = task::AT_GOTO;
                self.rows.flags[i] |= flag::AT_TARGET;
                self.enter(i, State::Holding);
            }
        }
        self.in_berth(i);
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
        let (land, swath) = (self.rows.land[i], self.rows.swath[i]);
        self.rows.way_ask[i] = self.rows.way_ask[i].wrapping_add(1);
        self.ask(i, request::SWATH_DONE, land, swath, self.rows.way_ask[i]);
    }

    /// The next piece of a turn: arcs for a machine that needs them, else straight to the next swath.
    fn turn_on(&mut self, i: usize) {
        let stage = self.rows.stage[i];
        self.rows.stage[i] = self.rows.stage[i].saturating_add(1);
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
        self.tell(i, request::LEG, 1, 0, 0);
        self.work(i);
        self.in_berth(i);
    }

    /// A stand-off. Who is off the roads on a user's word, or on its way back to them, is not at work
    /// there and gives way to who is; who is at work, or on the roads behind somebody who stands,
    /// waits. All of it is reported.
    fn make_way(&mut self, i: usize, blocker: u32) {
        self.counters.stand_offs += 1;
        self.rows.blocked[i] = 0;
        self.event(i, event::kind::STAND_OFF, blocker, 0);
        let (flags, stage) = (self.rows.flags[i], u32::from(self.rows.stage[i]));
        if !self.is_under_way(i) || flags & flag::BACKS != 0 {
            return;
        }
        if flags & flag::AT_TARGET != 0 && stage == 0 {
            return self.leave_by_the_other_headland(i);
        }
        let route = self.route(i);
        if self.rows.task[i] == task::GOTO && stage > 0 && stage + 1 == route.legs() {
            self.back_off(i, &route);
        }
    }

    /// Backs off to the last headland; from there it tries once more, and then drives home.
    fn back_off(&mut self, i: usize, route: &Route) {
        let again = self.rows.flags[i] & flag::BACKED != 0;
        self.rows.flags[i] |= if again {
            flag::BACKS | flag::LEAVES
        } else {
            flag::BACKS | flag::BACKED
        };
        self.rows.timer[i] = NEVER;
        self.start_leg(i, route.last_corner(), self.class(i).turn_m_per_s);
    }

    /// Is back at the last headland.
    fn backed_off(&mut self, i: usize) {
        if self.rows.flags[i] & flag::LEAVES == 0 {
            self.rows.timer[i] = self.tick.saturating_add(self.farm.ticks(self.farm.retry_s));
            return;
        }
        let from = self.route(i).last_corner();
        self.tell(i, request::ESCAPE, 0, 0, 0);
        self.rows.flags[i] &= !OF_ERRAND;
        self.rows.task[i] = task::TO_HOME;
        self.rows.stage[i] = 0;
        (self.rows.from_x[i], self.rows.from_y[i]) = (from.x, from.y);
        self.enter(i, State::Returning);
        self.drive_leg(i);
    }

    /// Turns around in a field that it was sent into, and goes home by its other headland.
    fn leave_by_the_other_headland(&mut self, i: usize) {
        if !matches!(Zone::of(&self.farm.layout, self.at(i)), Zone::Field { .. }) {
            return;
        }
        let exit = if self.rows.dir_y[i] > 0.0 {
            flag::LEAVES_SOUTH
        } else {
            flag::LEAVES_NORTH
        };
        self.tell(i, request::STOP, 0, 0, 0);
        self.abandon(i);
        self.rows.flags[i] |= exit;
        self.set_off(i, task::TO_HOME, State::Returning);
    }

    /// The headland by which it is to leave a field.
    fn exit(&self, i: usize) -> Exit {
        match self.rows.flags[i] & (flag::LEAVES_SOUTH | flag::LEAVES_NORTH) {
            flag::LEAVES_SOUTH => Exit::South,
            flag::LEAVES_NORTH => Exit::North,
            _ => Exit::Any,
        }
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
        match (position(x_mm), position(y_mm)) {
            (Some(x), Some(y)) if self.farm.layout.contains(Point { x, y }) => {
                Ok(self.farm.layout.off_road(Point { x, y }))
            }
            _ => Err(Rejection::OutsideSite),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Partition;
    use crate::config::{Scenario, SimulationConfig};
    use crate::plan::Plan;

    const QUIET: Bulletin = Bulletin {
        soil_bn: 55.0,
        free_slots: 0,
    };

    fn farm() -> Partition {
        let plan = Plan::new(&SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities: 20,
            tick_ms: 50,
            seed: 1,
            partition_rows: 4096,
        })
        .expect("valid");
        let mut farm = Partition::create(&plan, 0);
        farm.state.tick = 1_000;
        farm
    }

    /// Puts row 0 at the end of the way of `task`, from where it stands, with a report due now.
    fn at_the_end_of_its_way(task: u8) -> Partition {
        let mut farm = farm();
        let (at, tick) = (farm.decider().at(0), farm.state.tick);
        let rows = &mut farm.state.rows;
        rows.task[0] = task;
        (rows.from_x[0], rows.from_y[0]) = (at.x, at.y);
        (rows.sent_x[0], rows.sent_y[0]) = (at.x, at.y);
        (rows.land[0], rows.slot[0], rows.park[0]) = (0, NONE, 0);
        rows.mode[0] = mode::LINE;
        rows.stage[0] = 100;
        rows.timer[0] = tick;
        farm
    }

    #[test]
    fn a_report_due_in_the_tick_of_arrival_does_not_undo_it() {
        for (way, arrived, state) in [
            (task::GOTO, task::AT_GOTO, State::Holding),
            (task::TO_QUEUE, task::IN_QUEUE, State::Queueing),
            (task::TO_SLOT, task::ON_SLOT, State::Charging),
            (task::TO_SWATH, task::SWATH, State::Working),
        ] {
            let mut farm = at_the_end_of_its_way(way);
            if way == task::TO_SLOT {
                farm.state.rows.slot[0] = 0;
            }
            farm.decider().dues(0, due::LEG_END | due::TIMER, 0, &QUIET);
            let rows = &farm.state.rows;
            assert_eq!((rows.task[0], rows.state[0]), (arrived, state as u8));
            assert_eq!(rows.timer[0], NEVER);
        }
    }

    #[test]
    fn an_empty_battery_breaks_down_once_and_not_again_as_it_is_repaired() {
        let mut farm = farm();
        farm.state.rows.charge[0] = 0;
        farm.decider().dues(0, battery::FLAG_EMPTY, 0, &QUIET);
        let rows = &mut farm.state.rows;
        assert_ne!(rows.flags[0] & flag::NO_POWER, 0);
        farm.state.tick = rows.repair_at[0];
        let bits = battery::FLAG_EMPTY | due::REPAIR;
        farm.decider().dues(0, bits, 0, &QUIET);
        let rows = &farm.state.rows;
        assert_eq!(rows.flags[0] & (flag::FAULTED | flag::NO_POWER), 0);
        assert_eq!((rows.charge[0], rows.repair_at[0]), (RESCUE_CHARGE, NEVER));
        let c = farm.state.counters;
        assert_eq!((c.faults, c.repairs), (1, 1));
    }

    /// Steps a farm of weeders and tractors on their ways, changed before by `change`.
    fn drive(ticks: u32, change: &dyn Fn(&mut Partition)) -> Partition {
        let mut farm = farm();
        change(&mut farm);
        let mut bump = bumpalo::Bump::new();
        for _ in 0..ticks {
            bump.reset();
            let inputs = crate::StepInputs::default();
            farm.step(&inputs, &bump).expect("no mail");
        }
        farm
    }

    #[test]
    fn who_is_stuck_stands_until_it_is_pulled_out() {
        let soften = |farm: &mut Partition| {
            std::sync::Arc::make_mut(&mut farm.farm).soil_bn = 3.0;
        };
        let stuck = drive(40, &soften);
        // All that have been given a way.
        assert_eq!(stuck.state.counters.faults, 4);
        let later = drive(60, &soften);
        for i in 0..stuck.state.rows.len() {
            if stuck.state.rows.flags[i] & flag::FAULTED != 0 {
                let x = [&stuck, &later].map(|farm| farm.state.rows.x[i]);
                let y = [&stuck, &later].map(|farm| farm.state.rows.y[i]);
                assert!(x[0] == x[1] && y[0] == y[1], "it drives on");
            }
        }
    }

    #[test]
    fn who_gets_less_power_than_it_asks_for_drives_more_slowly() {
        // A weeder far from all others, and a pack that at a tenth of its charge gives less than half of
        // what speeding up takes.
        let speed = |share: f32| {
            let start = move |farm: &mut Partition| {
                let layout = &farm.farm.layout;
                let at = layout.swath_ends(3, 20)[0];
                let east = layout.far_corner().x;
                let rows = &mut farm.state.rows;
                (rows.x[0], rows.y[0]) = (at.x, at.y + units(15.0));
                (rows.goal_x[0], rows.goal_y[0]) = (east, rows.y[0]);
                (rows.mode[0], rows.task[0], rows.cruise[0]) = (mode::LINE, task::GOTO, 3.0);
                // What it was told at creation is of no interest.
                rows.ask[0] += 1;
                rows.charge[0] = (share * FULL_CHARGE as f32) as i32;
                let mut params = farm.farm.classes[0].battery;
                params.r_ohm = 0.04;
                farm.index.classes[0].battery = battery::BatteryLaw::new(&params, 50);
            };
            drive(50, &start).state.rows.speed[0]
        };
        assert_eq!(speed(0.9), 3.0);
        let low = speed(0.1);
        assert!((0.5..2.5).contains(&low), "{low}");
    }
}
