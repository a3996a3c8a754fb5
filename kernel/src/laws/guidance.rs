//! Guidance and motion: pure pursuit along lines, arcs, turns on the spot.
//!
//! A machine follows a line by steering at a point of it that lies a look-ahead before its own
//! projection (curvature 2 y / d^2, with y the point's lateral offset and d its distance; look-ahead
//! growing with speed as in AgOpenGPS). Its position advances along the heading at the middle of the
//! tick, as integers with the remainder carried.

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
    /// All that make a row decide.
    pub const DECIDES: u32 = LEG_END
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

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn advance_row(
    dt_s: &f32,
    speed: f32,
    turn: i32,
    x: &mut i32,
    y: &mut i32,
    x_rem: &mut f32,
    y_rem: &mut f32,
    heading: &mut u32,
) {
    let (sin, cos) = math::sin_cos(heading.wrapping_add((turn >> 1) as u32));
    let way = speed * *dt_s * crate::layout::UNITS_PER_M;
    let (east, north) = (way * cos + *x_rem, way * sin + *y_rem);
    let (dx, dy) = (math::round_to_i32(east), math::round_to_i32(north));
    *x = x.wrapping_add(dx);
    *y = y.wrapping_add(dy);
    *x_rem = east - dx as f32;
    *y_rem = north - dy as f32;
    *heading = heading.wrapping_add(turn as u32);
}

vector_law! {
    /// Moves each row by its speed along the heading at the middle of the tick.
    pub fn advance(
        dt_s: &f32, speed: &[f32], turn: &[i32];
        x: &mut [i32], y: &mut [i32], x_rem: &mut [f32], y_rem: &mut [f32], heading: &mut [u32],
    ) = advance_row;
}

#[inline(always)]
fn limit_row(_: &(), speed: f32, ratio: f32, flags: u32, power_w: &mut f32, drive_limit: &mut f32) {
    *drive_limit = if ratio < 1.0 {
        speed * ratio
    } else {
        NO_SPEED_LIMIT
    };
    *power_w = if flags & flag::NO_POWER != 0 {
        0.0
    } else {
        *power_w
    };
}

vector_law! {
    /// Slows a row whose drive lacks power, and takes nothing from a broken battery.
    pub fn limit(
        none: &(), speed: &[f32], ratio: &[f32], flags: &[u32];
        power_w: &mut [f32], drive_limit: &mut [f32],
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
