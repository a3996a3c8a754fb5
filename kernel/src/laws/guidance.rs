//! Guidance and motion: pure pursuit along lines, arcs, turns on the spot.
//!
//! A machine follows a line by steering at a point of it that lies a look-ahead before its own
//! projection (curvature 2 y / d^2, with y the point's lateral offset and d its distance; look-ahead
//! growing with speed as in AgOpenGPS). Its position advances along the heading at the middle of the
//! tick, as integers with the remainder carried. A fence around the site stops whoever comes to it.

use crate::laws::power::STUCK_SLIP;
use crate::layout::Fence;
use crate::math::{self, RADIANS_PER_UNIT};
use crate::rows::{NO_SPEED_LIMIT, flag, mode};
use crate::vector_law;

/// Bits that laws set for a row that needs a decision. They share a word with the flags of
/// [`super::battery`], which has the low eight bits.
pub mod due {
    /// Its line, arc or spin has ended.
    pub const LEG_END: u32 = 1 << 8;
    /// Its timer fires.
    pub const TIMER: u32 = 1 << 9;
    /// It breaks down.
    pub const FAULT: u32 = 1 << 10;
    /// It is repaired.
    pub const REPAIR: u32 = 1 << 11;
    /// It has stood before an obstacle for too long.
    pub const BLOCKED: u32 = 1 << 12;
    /// Its charge is needed for the way to the charger.
    pub const LOW: u32 = 1 << 13;
    /// Its wheels slip so much that it makes no way.
    pub const STUCK: u32 = 1 << 14;
    /// All that make a row decide.
    pub const DECIDES: u32 = LEG_END
        | STUCK
        | TIMER
        | FAULT
        | REPAIR
        | BLOCKED
        | LOW
        | super::super::battery::FLAG_FULL
        | super::super::battery::FLAG_EMPTY;
}

/// A machine is at the end of its line within this, m.
const LINE_END_M: f32 = 0.01;
/// Growth of the look-ahead per m/s (AgOpenGPS: 5 % per km/h).
const LOOK_AHEAD_PER_M_PER_S: f32 = 0.05 * 3.6;
/// Least look-ahead, m.
const MIN_LOOK_AHEAD_M: f32 = 1.0;
/// Sharpest curvature of the pursuit for a machine that can turn on the spot, 1/m.
const MAX_CURVATURE_PER_M: f32 = 2.0;
/// A neighbour that allows less than this stands in the way, m/s.
const BLOCKED_M_PER_S: f32 = 0.02;
/// Metres of a position unit.
const M_PER_UNIT: f32 = 1.0 / crate::layout::UNITS_PER_M;

/// What the law needs of a class and a tick.
#[derive(Clone, Copy, Debug)]
pub struct GuidanceParams {
    /// Length of the tick, s.
    pub dt_s: f32,
    /// Greatest acceleration, also planned for braking, m/s^2.
    pub accel_m_per_s2: f32,
    /// Binary angle turned on the spot in a tick.
    pub spin_per_tick: u32,
    /// Look-ahead at rest, m.
    pub look_ahead_m: f32,
    /// Ticks before an obstacle that are too many.
    pub stand_off_ticks: u32,
    /// This tick.
    pub tick: u32,
}

impl GuidanceParams {
    /// The parameters of a class at a tick.
    #[must_use]
    pub fn new(class: &crate::farm::Class, dt_s: f32, stand_off_ticks: u32, tick: u32) -> Self {
        GuidanceParams {
            dt_s,
            accel_m_per_s2: class.accel_m_per_s2,
            spin_per_tick: (class.spin_rad_per_s * dt_s / RADIANS_PER_UNIT) as u32,
            look_ahead_m: class.look_ahead_m,
            stand_off_ticks,
            tick,
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn steer_row(
    p: &GuidanceParams,
    mode: u32,
    go: f32,
    x: i32,
    y: i32,
    goal_x: i32,
    goal_y: i32,
    dir_x: f32,
    dir_y: f32,
    curvature: f32,
    cruise: f32,
    speed_limit: f32,
    drive_limit: f32,
    cap: f32,
    cos: f32,
    sin: f32,
    speed: &mut f32,
    accel: &mut f32,
    turn: &mut i32,
    sweep: &mut u32,
    blocked: &mut u32,
    due: &mut u32,
) {
    let on_line = mode == mode::LINE;
    let on_arc = mode == mode::ARC;
    let spins = mode == mode::SPIN;

    // Where the line's end lies: along it, and how far left of it the machine is.
    let dx = goal_x.wrapping_sub(x) as f32 * M_PER_UNIT;
    let dy = goal_y.wrapping_sub(y) as f32 * M_PER_UNIT;
    let along = dx * dir_x + dy * dir_y;
    let left = dx * dir_y - dy * dir_x;

    // Speed: what is wanted, allowed, and what still stops at the end of the line.
    let open = math::max(along, 0.0);
    let stop = math::min((2.0 * p.accel_m_per_s2 * open).sqrt(), open / p.dt_s);
    let wanted = math::min(math::min(cruise, speed_limit), drive_limit) * go;
    let wanted = if on_line {
        math::min(wanted, stop)
    } else {
        wanted
    };
    let wanted = if on_line || on_arc { wanted } else { 0.0 };
    let allowed = math::min(wanted, cap);
    let faster = math::min(allowed, *speed + p.accel_m_per_s2 * p.dt_s);
    let v = if allowed > *speed { faster } else { allowed };
    let change = (v - *speed) / p.dt_s;
    *accel = math::max(change, -p.accel_m_per_s2);
    *speed = v;

    // Steering: pursuit on a line, the arc's own curvature, a constant rate on the spot.
    let reach = math::max(
        p.look_ahead_m * (1.0 + LOOK_AHEAD_PER_M_PER_S * v),
        MIN_LOOK_AHEAD_M,
    );
    let ahead_x = dir_x * reach + dir_y * left;
    let ahead_y = dir_y * reach - dir_x * left;
    let lateral = ahead_y * cos - ahead_x * sin;
    let pursuit = 2.0 * lateral / (reach * reach + left * left);
    let pursuit = math::clamp(pursuit, -MAX_CURVATURE_PER_M, MAX_CURVATURE_PER_M);
    let pursued = (pursuit * v * p.dt_s / RADIANS_PER_UNIT) as i32;

    let arc = (math::abs(curvature) * v * p.dt_s / RADIANS_PER_UNIT) as i32 as u32;
    let spin = if go > 0.0 { p.spin_per_tick } else { 0 };
    let rate = if on_arc { arc } else { spin };
    let swept = if rate < *sweep { rate } else { *sweep };
    let turning = on_arc || spins;
    let swept = if turning { swept } else { 0 };
    *sweep = sweep.wrapping_sub(swept);
    let signed = if curvature < 0.0 {
        (swept as i32).wrapping_neg()
    } else {
        swept as i32
    };
    *turn = if on_line { pursued } else { signed };

    let ended = (on_line && along <= LINE_END_M) || (turning && *sweep == 0);
    *due |= if ended { due::LEG_END } else { 0 };
    let stands = wanted > BLOCKED_M_PER_S && cap < BLOCKED_M_PER_S;
    *blocked = if stands { blocked.wrapping_add(1) } else { 0 };
    *due |= if *blocked >= p.stand_off_ticks {
        due::BLOCKED
    } else {
        0
    };
}

#[inline(always)]
fn direction_row(_: &(), heading: u32, cos: &mut f32, sin: &mut f32) {
    (*sin, *cos) = math::sin_cos(heading);
}

vector_law! {
    /// The unit vector of each heading.
    pub fn direction(none: &(), heading: &[u32]; cos: &mut [f32], sin: &mut [f32]) = direction_row;
}

vector_law! {
    /// Chooses speed and steering of each row for this tick. `cap` is what neighbours allow, m/s;
    /// `accel` and `turn` (binary angle) are outputs for the laws that follow.
    pub fn steer(
        p: &GuidanceParams, mode: &[u32], go: &[f32], x: &[i32], y: &[i32], goal_x: &[i32],
        goal_y: &[i32], dir_x: &[f32], dir_y: &[f32], curvature: &[f32], cruise: &[f32],
        speed_limit: &[f32], drive_limit: &[f32], cap: &[f32], cos: &[f32], sin: &[f32];
        speed: &mut [f32], accel: &mut [f32], turn: &mut [i32], sweep: &mut [u32],
        blocked: &mut [u32], due: &mut [u32],
    ) = steer_row;
}

/// What motion needs of a farm.
#[derive(Clone, Copy, Debug)]
pub struct MotionParams {
    /// Length of the tick, s.
    pub dt_s: f32,
    /// What stops every machine.
    pub fence: Fence,
}

impl MotionParams {
    /// The parameters of a farm.
    #[must_use]
    pub fn new(farm: &crate::farm::Farm) -> MotionParams {
        MotionParams {
            dt_s: farm.dt_s,
            fence: farm.layout.fence(),
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn advance_row(
    p: &MotionParams,
    speed: f32,
    turn: i32,
    x: &mut i32,
    y: &mut i32,
    x_rem: &mut f32,
    y_rem: &mut f32,
    heading: &mut u32,
) {
    let (sin, cos) = math::sin_cos(heading.wrapping_add((turn >> 1) as u32));
    let way = speed * p.dt_s * crate::layout::UNITS_PER_M;
    let (east, north) = (way * cos + *x_rem, way * sin + *y_rem);
    let (dx, dy) = (math::round_to_i32(east), math::round_to_i32(north));
    // No way leads to the fence. It is what makes it certain that all places can be read back.
    let (low, high) = (p.fence.low, p.fence.high);
    *x = x.wrapping_add(dx).max(low.x).min(high.x);
    *y = y.wrapping_add(dy).max(low.y).min(high.y);
    *x_rem = east - dx as f32;
    *y_rem = north - dy as f32;
    *heading = heading.wrapping_add(turn as u32);
}

vector_law! {
    /// Moves each row by its speed along the heading at the middle of the tick, and not over the fence.
    pub fn advance(
        p: &MotionParams, speed: &[f32], turn: &[i32];
        x: &mut [i32], y: &mut [i32], x_rem: &mut [f32], y_rem: &mut [f32], heading: &mut [u32],
    ) = advance_row;
}

#[inline(always)]
fn cut_off_row(_: &(), flags: u32, power_w: &mut f32) {
    *power_w = if flags & flag::NO_POWER != 0 {
        0.0
    } else {
        *power_w
    };
}

vector_law! {
    /// Takes nothing from a broken battery.
    pub fn cut_off(none: &(), flags: &[u32]; power_w: &mut [f32]) = cut_off_row;
}

#[inline(always)]
fn limit_row(
    _: &(),
    speed: f32,
    ratio: f32,
    given: f32,
    slip: f32,
    drive_limit: &mut f32,
    due: &mut u32,
) {
    let share = ratio * given;
    *drive_limit = if share < 1.0 {
        speed * share
    } else {
        NO_SPEED_LIMIT
    };
    let is_stuck = (speed > 0.0) & (slip > STUCK_SLIP);
    *due |= if is_stuck { due::STUCK } else { 0 };
}

vector_law! {
    /// Slows a row whose drive or battery lacks power, to the share of its speed that there was power
    /// for, and finds those that are stuck.
    pub fn limit(
        none: &(), speed: &[f32], ratio: &[f32], given: &[f32], slip: &[f32];
        drive_limit: &mut [f32], due: &mut [u32],
    ) = limit_row;
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn watch_row(
    p: &WatchParams,
    go: f32,
    mode: u32,
    timer: u32,
    repair_at: u32,
    next_fault: u32,
    charge: i32,
    x: i32,
    y: i32,
    charger_x: i32,
    charger_y: i32,
    operated: &mut u32,
    due: &mut u32,
) {
    let works = go > 0.0 && mode != mode::STILL;
    *operated = operated.wrapping_add(if works { 1 } else { 0 });
    let mut bits = 0;
    bits |= if timer <= p.tick { due::TIMER } else { 0 };
    bits |= if repair_at == p.tick { due::REPAIR } else { 0 };
    bits |= if works && *operated >= next_fault {
        due::FAULT
    } else {
        0
    };
    // Roads run at right angles, so the way is the sum of both distances.
    let dx = math::abs(charger_x.wrapping_sub(x) as f32);
    let dy = math::abs(charger_y.wrapping_sub(y) as f32);
    let needed = p.reserve + (dx + dy) * p.charge_per_unit;
    bits |= if (charge as f32) < needed {
        due::LOW
    } else {
        0
    };
    *due |= bits;
}

/// What the watch needs of a class and a tick.
#[derive(Clone, Copy, Debug)]
pub struct WatchParams {
    /// This tick.
    pub tick: u32,
    /// Charge that is never planned with, 2^-30 of full.
    pub reserve: f32,
    /// Charge planned for a position unit of way to the charger, 2^-30 of full, safety included.
    pub charge_per_unit: f32,
}

/// Safety on the energy for the way to the charger.
const WAY_SAFETY: f32 = 1.2;

impl WatchParams {
    /// The parameters of a class at a tick.
    #[must_use]
    pub fn new(class: &crate::farm::Class, tick: u32) -> WatchParams {
        let full = crate::rows::FULL_CHARGE as f32;
        WatchParams {
            tick,
            reserve: class.reserve * full,
            charge_per_unit: WAY_SAFETY * class.charge_per_m * M_PER_UNIT * full,
        }
    }
}

vector_law! {
    /// Counts operation and finds the rows whose timer, fault, repair or low charge is due.
    pub fn watch(
        p: &WatchParams, go: &[f32], mode: &[u32], timer: &[u32], repair_at: &[u32],
        next_fault: &[u32], charge: &[i32], x: &[i32], y: &[i32], charger_x: &[i32],
        charger_y: &[i32];
        operated: &mut [u32], due: &mut [u32],
    ) = watch_row;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::layout::{Point, UNITS_PER_M, units};
    use crate::math::QUARTER_TURN;

    const PARAMS: GuidanceParams = GuidanceParams {
        dt_s: 0.05,
        accel_m_per_s2: 0.5,
        spin_per_tick: 1 << 26,
        look_ahead_m: 2.0,
        stand_off_ticks: 3,
        tick: 0,
    };

    /// 100 m away on every side.
    const FENCE: Fence = Fence {
        low: Point {
            x: -units(100.0),
            y: -units(100.0),
        },
        high: Point {
            x: units(100.0),
            y: units(100.0),
        },
    };

    /// One machine at rest at the origin, heading east along a line that ends 20 m away.
    struct Row {
        mode: u32,
        go: f32,
        at: (i32, i32),
        rem: (f32, f32),
        goal: (i32, i32),
        curvature: f32,
        cruise: f32,
        limits: [f32; 3],
        heading: u32,
        speed: f32,
        accel: f32,
        turn: i32,
        sweep: u32,
        blocked: u32,
    }

    impl Row {
        fn new(mode: u32) -> Row {
            Row {
                mode,
                go: 1.0,
                at: (0, 0),
                rem: (0.0, 0.0),
                goal: (units(20.0), 0),
                curvature: 0.0,
                cruise: 1.5,
                limits: [NO_SPEED_LIMIT; 3],
                heading: 0,
                speed: 0.0,
                accel: 0.0,
                turn: 0,
                sweep: 0,
                blocked: 0,
            }
        }

        fn at_m(&self) -> (f32, f32) {
            let m = |units: i32| units as f32 / UNITS_PER_M;
            (m(self.at.0), m(self.at.1))
        }

        /// Steers, and says what became due.
        fn steer(&mut self) -> u32 {
            let (sin, cos) = math::sin_cos(self.heading);
            let [user, drive, cap] = self.limits;
            let mut due = [0];
            let (mut speed, mut accel, mut turn) = ([self.speed], [0.0], [0]);
            let (mut sweep, mut blocked) = ([self.sweep], [self.blocked]);
            steer(
                Isa::Scalar,
                &PARAMS,
                &[self.mode],
                &[self.go],
                &[self.at.0],
                &[self.at.1],
                &[self.goal.0],
                &[self.goal.1],
                &[1.0],
                &[0.0],
                &[self.curvature],
                &[self.cruise],
                &[user],
                &[drive],
                &[cap],
                &[cos],
                &[sin],
                &mut speed,
                &mut accel,
                &mut turn,
                &mut sweep,
                &mut blocked,
                &mut due,
            );
            [self.speed, self.accel] = [speed[0], accel[0]];
            (self.turn, self.sweep, self.blocked) = (turn[0], sweep[0], blocked[0]);
            due[0]
        }

        fn advance(&mut self) {
            let (mut x, mut y, mut heading) = ([self.at.0], [self.at.1], [self.heading]);
            let (mut x_rem, mut y_rem) = ([self.rem.0], [self.rem.1]);
            advance(
                Isa::Scalar,
                &MotionParams {
                    dt_s: PARAMS.dt_s,
                    fence: FENCE,
                },
                &[self.speed],
                &[self.turn],
                &mut x,
                &mut y,
                &mut x_rem,
                &mut y_rem,
                &mut heading,
            );
            self.at = (x[0], y[0]);
            (self.rem, self.heading) = ((x_rem[0], y_rem[0]), heading[0]);
        }

        /// Drives until its leg ends; the ticks it took.
        fn drive(&mut self) -> u32 {
            for tick in 1..10_000 {
                let due = self.steer();
                self.advance();
                if due & due::LEG_END != 0 {
                    return tick;
                }
            }
            panic!("its leg has no end: {:?}", self.at_m());
        }
    }

    #[test]
    fn a_line_is_driven_to_its_end_and_not_beyond() {
        let mut row = Row::new(mode::LINE);
        let mut fastest = 0.0;
        loop {
            let due = row.steer();
            assert!(
                row.accel <= 0.5 * 1.000_1 && row.accel >= -0.5,
                "{}",
                row.accel
            );
            fastest = math::max(fastest, row.speed);
            row.advance();
            if due & due::LEG_END != 0 {
                break;
            }
        }
        let (x, y) = row.at_m();
        assert!((19.98..20.0).contains(&x) && y.abs() < 1e-3, "{x} {y}");
        assert_eq!(fastest, 1.5);
    }

    #[test]
    fn the_lowest_of_the_limits_holds() {
        for which in 0..3 {
            let mut row = Row::new(mode::LINE);
            row.limits[which] = 0.5;
            for _ in 0..100 {
                row.steer();
                row.advance();
            }
            assert_eq!(row.speed, 0.5);
        }
    }

    /// Curvature 2 y / d^2 at a point a look-ahead of 2 m * (1 + .18 v) before the projection.
    #[test]
    fn pursuit_has_the_curvature_of_its_formula_and_closes_in() {
        let mut row = Row::new(mode::LINE);
        row.at.1 = units(1.0);
        row.steer();
        let v = f64::from(row.speed);
        let reach = 2.0 * (1.0 + 0.18 * v);
        let radians = -2.0 / (reach * reach + 1.0) * v * 0.05;
        let is = f64::from(row.turn) * f64::from(RADIANS_PER_UNIT);
        assert!((is / radians - 1.0).abs() < 1e-3, "{is} for {radians}");
        row.drive();
        let (x, y) = row.at_m();
        assert!(x > 19.98 && y.abs() < 0.02, "{x} {y}");
    }

    #[test]
    fn an_arc_of_a_quarter_ends_a_radius_ahead_and_a_radius_aside() {
        for side in [1.0, -1.0] {
            let mut row = Row::new(mode::ARC);
            row.curvature = side / 3.8;
            row.sweep = QUARTER_TURN;
            row.drive();
            let (x, y) = row.at_m();
            assert_eq!(row.sweep, 0);
            assert_eq!(
                row.heading,
                if side > 0.0 {
                    QUARTER_TURN
                } else {
                    3 * QUARTER_TURN
                }
            );
            assert!(
                (x - 3.8).abs() < 0.08 && (y - 3.8 * side).abs() < 0.08,
                "{x} {y}"
            );
        }
    }

    #[test]
    fn a_turn_on_the_spot_takes_its_time_and_no_way() {
        let mut row = Row::new(mode::SPIN);
        row.curvature = -1.0;
        row.sweep = QUARTER_TURN;
        assert_eq!(row.drive(), QUARTER_TURN / PARAMS.spin_per_tick);
        assert_eq!((row.heading, row.at), (3 * QUARTER_TURN, (0, 0)));
    }

    #[test]
    fn who_may_not_go_neither_drives_nor_turns() {
        let mut row = Row::new(mode::SPIN);
        (row.go, row.sweep) = (0.0, QUARTER_TURN);
        assert_eq!((row.steer(), row.turn, row.sweep), (0, 0, QUARTER_TURN));
        let mut row = Row::new(mode::LINE);
        (row.go, row.speed) = (0.0, 1.0);
        assert_eq!((row.steer(), row.speed, row.accel), (0, 0.0, -0.5));
    }

    #[test]
    fn who_stands_before_another_for_too_long_is_due() {
        let mut row = Row::new(mode::LINE);
        row.limits[2] = 0.01;
        let due: Vec<_> = (0..4).map(|_| row.steer()).collect();
        assert_eq!(due, [0, 0, due::BLOCKED, due::BLOCKED]);
        row.limits[2] = 1.0;
        assert_eq!((row.steer(), row.blocked), (0, 0));
    }

    #[test]
    fn a_half_circle_ends_right_abeam_and_a_full_one_where_it_began() {
        let mut row = Row::new(mode::STILL);
        row.speed = 2.0;
        row.turn = 1 << 22;
        let radius = 2.0 * PARAMS.dt_s / (row.turn as f32 * RADIANS_PER_UNIT);
        for (heading, north) in [(1 << 31, 2.0 * radius), (0, 0.0)] {
            for _ in 0..1 << 9 {
                row.advance();
            }
            let (x, y) = row.at_m();
            assert_eq!(row.heading, heading);
            assert!(x.abs() < 1e-3 && (y - north).abs() < 1e-3, "{x} {y}");
        }
    }

    /// Rows on their way in all directions, from the south-western corner and at the north-eastern.
    #[test]
    fn the_fence_stops_every_machine_and_in_every_form_alike() {
        const ROWS: usize = 70;
        let headings: Vec<u32> = (0..ROWS as u32).map(|i| i.wrapping_mul(61 << 23)).collect();
        let speeds: Vec<f32> = (0..ROWS).map(|i| i as f32 * 0.05).collect();
        let drive = |isa, fence: Fence| {
            let p = MotionParams { dt_s: 0.05, fence };
            let place = |i: usize, at: Point| if i.is_multiple_of(2) { at } else { FENCE.high };
            let mut x: Vec<_> = (0..ROWS).map(|i| place(i, FENCE.low).x).collect();
            let mut y: Vec<_> = (0..ROWS).map(|i| place(i, FENCE.low).y).collect();
            let (mut x_rem, mut y_rem) = ([0.0; ROWS], [0.0; ROWS]);
            let mut heading = headings.clone();
            for _ in 0..1_200 {
                advance(
                    isa,
                    &p,
                    &speeds,
                    &[1 << 10; ROWS],
                    &mut x,
                    &mut y,
                    &mut x_rem,
                    &mut y_rem,
                    &mut heading,
                );
            }
            let places: Vec<_> = x.into_iter().zip(y).map(|(x, y)| Point { x, y }).collect();
            (places, x_rem.map(f32::to_bits), y_rem.map(f32::to_bits))
        };
        let nowhere = Fence {
            low: Point {
                x: i32::MIN,
                y: i32::MIN,
            },
            high: Point {
                x: i32::MAX,
                y: i32::MAX,
            },
        };
        let (scalar, free) = (drive(Isa::Scalar, FENCE), drive(Isa::Scalar, nowhere));
        let mut strays = 0;
        for (at, without) in scalar.0.iter().zip(&free.0) {
            assert!(FENCE.contains(*at), "{at:?}");
            strays += usize::from(!FENCE.contains(*without));
        }
        assert!(strays > ROWS / 4, "{strays}");
        for isa in Isa::available() {
            assert_eq!(drive(isa, FENCE), scalar, "{isa}");
        }
    }

    #[test]
    fn who_lacks_power_is_slowed_and_who_slips_too_much_is_stuck() {
        let (mut limit_m_per_s, mut due) = ([0.0; 5], [0; 5]);
        limit(
            Isa::Scalar,
            &(),
            &[2.0, 2.0, 2.0, 2.0, 0.0],
            &[1.0, 0.5, 1.0, 0.5, 1.0],
            &[1.0, 1.0, 0.25, 0.5, 1.0],
            &[0.1, 0.3, 0.31, 0.0, 0.31],
            &mut limit_m_per_s,
            &mut due,
        );
        let free = NO_SPEED_LIMIT;
        assert_eq!(limit_m_per_s, [free, 1.0, 0.5, 0.5, free]);
        assert_eq!(due, [0, 0, due::STUCK, 0, 0]);
    }

    #[test]
    fn nothing_is_taken_from_a_broken_battery() {
        let mut power = [900.0; 2];
        cut_off(
            Isa::Scalar,
            &(),
            &[flag::FAULTED, flag::NO_POWER],
            &mut power,
        );
        assert_eq!(power, [900.0, 0.0]);
    }

    #[test]
    fn what_is_due_is_found_in_its_tick() {
        const P: WatchParams = WatchParams {
            tick: 10,
            reserve: 1_000.0,
            charge_per_unit: 1.0,
        };
        const STILL: u32 = mode::STILL;
        const LINE: u32 = mode::LINE;
        // go, mode, timer, repair, next fault, charge; ticks operated after it, and what is due.
        let cases = [
            ((1.0, LINE, 11, 9, 9, 3_000), (8, 0)),
            ((1.0, LINE, 10, 9, 9, 3_000), (8, due::TIMER)),
            ((0.0, LINE, 99, 10, 9, 3_000), (7, due::REPAIR)),
            ((1.0, LINE, 99, 99, 8, 3_000), (8, due::FAULT)),
            ((1.0, STILL, 99, 99, 8, 3_000), (7, 0)),
            ((1.0, STILL, 99, 99, 9, 2_999), (7, due::LOW)),
        ];
        for ((go, mode, timer, repair_at, next_fault, charge), expected) in cases {
            let (mut operated, mut due) = ([7], [0]);
            // 1,500 east and 500 south of its charger.
            watch(
                Isa::Scalar,
                &P,
                &[go],
                &[mode],
                &[timer],
                &[repair_at],
                &[next_fault],
                &[charge],
                &[2_500],
                &[500],
                &[1_000],
                &[1_000],
                &mut operated,
                &mut due,
            );
            assert_eq!(
                (operated[0], due[0]),
                expected,
                "{timer} {repair_at} {charge}"
            );
        }
    }
}
