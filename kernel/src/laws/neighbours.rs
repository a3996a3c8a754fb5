//! Neighbours: how fast a machine may drive given who is around it.
//!
//! Who may be where on shared ground is settled before, by ways ([`crate::roads`]). This law keeps
//! machines apart that share a lane, and those that meet off the roads: in a field that a user sent
//! somebody into. Room is both radii and the margin. For each other machine within sensing radius:
//!
//! - Whoever stands or drives in a machine's own corridor, ahead of it and nearer than room to its line,
//!   is not run into: the machine drives no faster than lets it stop `STAND_OFF_M` before it,
//!   `sqrt(2 a gap)`. Whoever is met only beyond the end of its leg is not in its way.
//! - Whoever is not in it yet but will be met within the horizon (closest approach of the relative
//!   motion `t* = clamp(-(r.w)/(w.w), 0, horizon)`, `d* = |r + w t*| < room`) has the right of way if
//!   its priority is higher: the machine stops before the other's corridor and not within it.
//!
//! The model speaks of one rule: at `d* < room` the lower priority caps its speed at `sqrt(2 a gap)`.
//! Taken alone it lets the one that yields stop where both would meet, in the other's way, and lets a
//! higher priority run into what stands. Hence the split: right of way decides who enters a crossing,
//! and nothing gives leave to run into a body. Invariants:
//!
//! - No cap lets a machine come nearer than room to a body in its corridor that does not come nearer
//!   itself, whatever the priorities.
//! - Of two whose lines cross, one at most yields, so they never both wait for the other to pass.
//! - A machine that follows stands so far behind that the one ahead can turn on the spot and leave to a
//!   side without having it in its corridor.
//! - Two that face each other in one corridor both stand. That is a stand-off; it cannot happen on the
//!   roads, and in a field who is not at work there gives way, see the stand-offs of `decide`.
//!
//! A cap is the least over all neighbours, as an integer, so their order does not matter.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::farm::{HORIZON_S, MARGIN_M, SENSING_RADIUS_M};
use crate::layout::{UNITS_PER_M, units};
use crate::math;
use crate::message::Body;

/// Speed units of a cap in a m/s.
const CAPS_PER_M_PER_S: f32 = 65_536.0;
/// No neighbour limits the speed.
pub const NO_CAP: i32 = i32::MAX;
/// How much farther than room a machine stays behind another in its corridor, m: so that the other can
/// turn out of it without being in the way itself. [assumed]
const STAND_OFF_M: f32 = 1.0;
/// Slower than this stands still, m/s.
const STANDS_M_PER_S: f32 = 0.05;
/// Sine of the angle below which two lines count as parallel.
const LEAST_CROSSING: f32 = 0.1;
/// Speed with which a machine that wants to move is tested, m/s.
const INTENT_M_PER_S: f32 = 0.2;
/// Sites with no more bodies than this are tested pair by pair, without a grid.
const PAIRWISE_BODIES: usize = 48;
/// Sensing radius in position units.
const SENSING: i32 = units(SENSING_RADIUS_M);
/// Most cells of a grid along one side; a wider site has larger cells.
const MAX_GRID_SIDE: i32 = 1024;

/// A machine that asks how fast it may drive.
#[derive(Clone, Copy, Debug)]
pub struct Mover {
    /// Itself.
    pub body: Body,
    /// Direction of its heading, east.
    pub cos: f32,
    /// Direction of its heading, north.
    pub sin: f32,
    /// Deceleration that it plans with, m/s^2.
    pub accel_m_per_s2: f32,
    /// How far it wants to drive before it turns or stands, m.
    pub open_m: f32,
}

/// What neighbours allow, and whether bodies touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Greatest speed, in 2^-16 m/s, or [`NO_CAP`].
    pub cap: i32,
    /// Bodies that overlap with the mover's.
    pub overlaps: u32,
    /// The lowest id of those that make it stand, or 0.
    pub blocker: u32,
}

impl Allowed {
    const ALL: Allowed = Allowed {
        cap: NO_CAP,
        overlaps: 0,
        blocker: 0,
    };

    /// The cap in m/s.
    #[must_use]
    pub fn m_per_s(self) -> f32 {
        if self.cap == NO_CAP {
            crate::rows::NO_SPEED_LIMIT
        } else {
            self.cap as f32 * (1.0 / CAPS_PER_M_PER_S)
        }
    }
}

/// The bodies of one site, ready to be asked.
pub struct Neighbourhood<'a> {
    bodies: &'a [Body],
    grid: Option<Grid<'a>>,
}

/// Bodies by cell: those of cell c are `order[starts[c]..starts[c + 1]]`.
struct Grid<'a> {
    x0: i32,
    y0: i32,
    cell: i32,
    columns: i32,
    rows: i32,
    starts: BumpVec<'a, u32>,
    order: BumpVec<'a, u32>,
}

impl<'a> Neighbourhood<'a> {
    /// Prepares the bodies of a site: its machines at the tick before, ghosts included.
    #[must_use]
    pub fn new(bodies: &'a [Body], scratch: &'a Bump) -> Neighbourhood<'a> {
        let grid = (bodies.len() > PAIRWISE_BODIES).then(|| Grid::new(bodies, scratch));
        Neighbourhood { bodies, grid }
    }

    /// What its neighbours allow a machine that wants to move.
    #[must_use]
    pub fn allow(&self, mover: &Mover) -> Allowed {
        let mut allowed = Allowed::ALL;
        let at = &mover.body;
        match &self.grid {
            None => {
                for other in self.bodies {
                    allowed.consider(mover, other);
                }
            }
            Some(grid) => {
                let (columns, rows) = (grid.around_x(at.x), grid.around_y(at.y));
                for row in rows {
                    let first = (row * grid.columns + columns.start()) as usize;
                    let last = (row * grid.columns + columns.end()) as usize;
                    let range = grid.starts[first] as usize..grid.starts[last + 1] as usize;
                    for &i in &grid.order[range] {
                        allowed.consider(mover, &self.bodies[i as usize]);
                    }
                }
            }
        }
        allowed
    }
}

impl Allowed {
    /// Takes one body into account. Nearly all are out of reach.
    #[inline(always)]
    fn consider(&mut self, mover: &Mover, other: &Body) {
        let at = &mover.body;
        let (dx, dy) = (other.x.wrapping_sub(at.x), other.y.wrapping_sub(at.y));
        if dx.wrapping_abs() > SENSING || dy.wrapping_abs() > SENSING || other.entity == at.entity {
            return;
        }
        let square = i64::from(dx) * i64::from(dx) + i64::from(dy) * i64::from(dy);
        if square <= i64::from(SENSING) * i64::from(SENSING) {
            self.consider_near(mover, other, dx, dy);
        }
    }

    #[inline(never)]
    fn consider_near(&mut self, mover: &Mover, other: &Body, dx: i32, dy: i32) {
        let at = &mover.body;
        let rx = dx as f32 * (1.0 / UNITS_PER_M);
        let ry = dy as f32 * (1.0 / UNITS_PER_M);
        let square = rx * rx + ry * ry;
        let bodies = at.radius + other.radius;
        let moves = speed_square(other) > STANDS_M_PER_S * STANDS_M_PER_S;
        // Of two that move, the lower id counts the pair.
        if square < bodies * bodies && (!moves || at.entity < other.entity) {
            self.overlaps += 1;
        }
        let ahead = rx * mover.cos + ry * mover.sin;
        if ahead <= 0.0 {
            return;
        }
        let room = bodies + MARGIN_M;
        let aside = math::abs(rx * mover.sin - ry * mover.cos);
        let gap = if aside < room {
            let contact = ahead - (room * room - aside * aside).sqrt();
            (contact < mover.open_m).then_some(contact - STAND_OFF_M)
        } else if moves && yields(at, other) {
            mover.gap_to_corridor(other, [rx, ry], room)
        } else {
            None
        };
        if let Some(gap_m) = gap {
            self.limit(mover, other, gap_m);
        }
    }

    /// Allows no more than lets the mover stop within a gap.
    fn limit(&mut self, mover: &Mover, other: &Body, gap_m: f32) {
        let speed = (2.0 * mover.accel_m_per_s2 * math::max(gap_m, 0.0)).sqrt();
        let cap = (speed * CAPS_PER_M_PER_S) as i32;
        if cap < (STANDS_M_PER_S * CAPS_PER_M_PER_S) as i32
            && (self.blocker == 0 || other.entity < self.blocker)
        {
            self.blocker = other.entity;
        }
        if cap < self.cap {
            self.cap = cap;
        }
    }
}

/// Whether the first gives way to the second: to a higher priority, or to the lower id.
fn yields(at: &Body, other: &Body) -> bool {
    (other.priority, at.entity) > (at.priority, other.entity)
}

impl Mover {
    /// How far it may drive without entering the corridor of another that it would meet. `None` where
    /// it meets nobody, or is in that corridor already and had better leave it.
    fn gap_to_corridor(&self, other: &Body, [rx, ry]: [f32; 2], room: f32) -> Option<f32> {
        let at = &self.body;
        let own = math::max(at.vx * self.cos + at.vy * self.sin, INTENT_M_PER_S);
        let (wx, wy) = (other.vx - own * self.cos, other.vy - own * self.sin);
        let closing = -(rx * wx + ry * wy);
        if closing <= 0.0 {
            return None;
        }
        let t = math::min(closing / (wx * wx + wy * wy), HORIZON_S);
        let (cx, cy) = (rx + wx * t, ry + wy * t);
        if cx * cx + cy * cy >= room * room {
            return None;
        }
        let speed = speed_square(other).sqrt();
        let (ux, uy) = (other.vx / speed, other.vy / speed);
        let off_line = math::abs(rx * uy - ry * ux);
        let crossing = math::abs(self.cos * uy - self.sin * ux);
        (off_line > room && crossing > LEAST_CROSSING).then(|| (off_line - room) / crossing)
    }
}

fn speed_square(body: &Body) -> f32 {
    body.vx * body.vx + body.vy * body.vy
}

impl<'a> Grid<'a> {
    /// Sorts bodies into cells no smaller than the sensing radius, by counting.
    fn new(bodies: &[Body], scratch: &'a Bump) -> Grid<'a> {
        let (mut x0, mut y0) = (i32::MAX, i32::MAX);
        let (mut x1, mut y1) = (i32::MIN, i32::MIN);
        for b in bodies {
            (x0, y0) = (x0.min(b.x), y0.min(b.y));
            (x1, y1) = (x1.max(b.x), y1.max(b.y));
        }
        let side = x1.wrapping_sub(x0).max(y1.wrapping_sub(y0)).max(0);
        let cell = SENSING.max(side / MAX_GRID_SIDE + 1);
        let mut grid = Grid {
            x0,
            y0,
            cell,
            columns: x1.wrapping_sub(x0) / cell + 1,
            rows: y1.wrapping_sub(y0) / cell + 1,
            starts: BumpVec::new_in(scratch),
            order: BumpVec::new_in(scratch),
        };
        let cells = (grid.columns * grid.rows) as usize;
        grid.starts.resize(cells + 1, 0);
        let mut cell_of = BumpVec::with_capacity_in(bodies.len(), scratch);
        for b in bodies {
            let c = (grid.row(b.y) * grid.columns + grid.column(b.x)) as u32;
            cell_of.push(c);
            grid.starts[c as usize + 1] += 1;
        }
        for c in 0..cells {
            grid.starts[c + 1] += grid.starts[c];
        }
        grid.order.resize(bodies.len(), 0);
        // Filling from the back moves each start to its cell's first body.
        let mut next = BumpVec::from_iter_in(grid.starts.iter().copied(), scratch);
        for (i, &c) in cell_of.iter().enumerate() {
            grid.order[next[c as usize] as usize] = i as u32;
            next[c as usize] += 1;
        }
        grid
    }

    fn column(&self, x: i32) -> i32 {
        (x.wrapping_sub(self.x0) / self.cell).clamp(0, self.columns - 1)
    }

    fn row(&self, y: i32) -> i32 {
        (y.wrapping_sub(self.y0) / self.cell).clamp(0, self.rows - 1)
    }

    fn around_x(&self, x: i32) -> std::ops::RangeInclusive<i32> {
        self.column(x - SENSING)..=self.column(x + SENSING)
    }

    fn around_y(&self, y: i32) -> std::ops::RangeInclusive<i32> {
        self.row(y - SENSING)..=self.row(y + SENSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(entity: u32, x_m: f32, y_m: f32, vx: f32, priority: u32) -> Body {
        Body {
            entity,
            x: units(x_m),
            y: units(y_m),
            vx,
            vy: 0.0,
            radius: 1.0,
            priority,
        }
    }

    /// Drives east.
    fn mover(body: Body) -> Mover {
        Mover {
            body,
            cos: 1.0,
            sin: 0.0,
            accel_m_per_s2: 0.5,
            open_m: 100.0,
        }
    }

    fn allow(bodies: &[Body], mover: &Mover) -> Allowed {
        Neighbourhood::new(bodies, &Bump::new()).allow(mover)
    }

    #[test]
    fn nobody_runs_into_what_is_in_the_way() {
        let me = body(1, 0.0, 0.0, 1.0, 4);
        for (vx, priority) in [(0.0, 1), (0.0, 6), (-1.0, 2)] {
            let other = body(2, 7.3, 0.0, vx, priority);
            // Gap 7.3 - 2.3 - 1 = 4 m: sqrt(2 * 0.5 * 4) = 2 m/s.
            let allowed = allow(&[me, other], &mover(me));
            assert!((allowed.m_per_s() - 2.0).abs() < 1e-3, "{allowed:?}");
        }
        let touching = body(2, 2.31, 0.0, 0.0, 1);
        let allowed = allow(&[me, touching], &mover(me));
        assert!(allowed.m_per_s() < 0.2);
    }

    #[test]
    fn what_stands_beyond_the_end_of_a_leg_is_not_in_the_way() {
        let me = body(1, 0.0, 0.0, 1.0, 4);
        let other = body(2, 5.5, 0.0, 0.0, 6);
        // Contact after 5.5 - 2.3 = 3.2 m.
        for (open_m, is_free) in [(3.1, true), (3.3, false)] {
            let mover = Mover {
                open_m,
                ..mover(me)
            };
            assert_eq!(allow(&[me, other], &mover) == Allowed::ALL, is_free);
        }
    }

    #[test]
    fn who_follows_leaves_the_one_ahead_room_to_turn_out() {
        let leader = body(1, 0.0, 0.0, 0.0, 2);
        // Where the follower comes to stand: room and the stand-off behind.
        let follower = body(2, -(2.3 + STAND_OFF_M), 0.0, 0.0, 2);
        assert!(allow(&[leader, follower], &mover(follower)).m_per_s() < 0.01);
        let turned = Mover {
            cos: -0.01,
            sin: 1.0,
            ..mover(leader)
        };
        assert_eq!(allow(&[leader, follower], &turned), Allowed::ALL);
    }

    #[test]
    fn at_a_crossing_the_lower_priority_stops_before_the_other_ones_way() {
        // One drives east, the other north; they would meet at (4, 0).
        let east = body(1, 0.0, 0.0, 1.0, 2);
        let north = Body {
            vx: 0.0,
            vy: 1.0,
            ..body(2, 4.0, -4.0, 0.0, 4)
        };
        let both = [east, north];
        // The other's corridor begins at x = 4 - 2.3: sqrt(2 * 0.5 * 1.7) m/s.
        let allowed = allow(&both, &mover(east));
        assert!(
            (allowed.m_per_s() - 1.7_f32.sqrt()).abs() < 1e-3,
            "{allowed:?}"
        );
        let northward = Mover {
            cos: 0.0,
            sin: 1.0,
            ..mover(north)
        };
        assert_eq!(allow(&both, &northward), Allowed::ALL);
    }

    #[test]
    fn who_passes_at_a_distance_or_drives_away_is_no_neighbour() {
        let me = body(1, 0.0, 0.0, 1.0, 2);
        let beside = body(2, 3.0, 2.4, -1.0, 4);
        let behind = body(3, -3.0, 0.0, 0.0, 6);
        let all = [me, beside, behind];
        assert_eq!(allow(&all, &mover(me)), Allowed::ALL);
    }

    #[test]
    fn the_grid_finds_what_the_pairs_find() {
        let at = |i: u32| {
            let [a, b, c, d] = crate::philox::philox4x32([i, 0, 0, 0], [7, 0]);
            Body {
                entity: i + 1,
                x: (a % 4_000_000) as i32 - 2_000_000,
                y: (b % 4_000_000) as i32 - 2_000_000,
                vx: (c % 3) as f32 - 1.0,
                vy: 0.0,
                radius: 1.25,
                priority: d % 5,
            }
        };
        let bodies: Vec<Body> = (0..400).map(at).collect();
        let scratch = Bump::new();
        let grid = Neighbourhood::new(&bodies, &scratch);
        let pairs = Neighbourhood {
            bodies: &bodies,
            grid: None,
        };
        let mut capped = 0;
        for &b in &bodies {
            let found = grid.allow(&mover(b));
            assert_eq!(found, pairs.allow(&mover(b)));
            capped += u32::from(found.cap != NO_CAP);
        }
        assert!(capped > 20, "the test must meet neighbours, met {capped}");
    }
}
