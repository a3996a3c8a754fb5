//! Neighbours and right of way: how fast a machine may drive given who is around it.
//!
//! For two machines within sensing radius, with relative position r and velocity w, the closest
//! approach within the horizon is d* = |r + w t*|, t* = clamp(-(r.w)/(w.w), 0, horizon). Where d* is
//! less than both radii and the margin, the one of lower priority drives no faster than lets it stop
//! in the gap, sqrt(2 a gap); the other one gives way only to what stands still. A cap is the least
//! over all neighbours, as an integer, so their order does not matter.

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
/// Slower than this stands still, m/s.
const STANDS_M_PER_S: f32 = 0.05;
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
    /// Takes one body into account.
    #[inline]
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
        let yields = (other.priority, at.entity) > (at.priority, other.entity);
        if moves && !yields {
            return;
        }
        let own = math::max(at.vx * mover.cos + at.vy * mover.sin, INTENT_M_PER_S);
        let wx = other.vx - own * mover.cos;
        let wy = other.vy - own * mover.sin;
        let closing = -(rx * wx + ry * wy);
        if closing <= 0.0 {
            return;
        }
        // Who is not before the mover cannot be avoided by its slowing down.
        if rx * mover.cos + ry * mover.sin <= 0.0 {
            return;
        }
        let t = math::min(closing / (wx * wx + wy * wy), HORIZON_S);
        let (cx, cy) = (rx + wx * t, ry + wy * t);
        let room = bodies + MARGIN_M;
        if cx * cx + cy * cy >= room * room {
            return;
        }
        let gap = math::max(square.sqrt() - room, 0.0);
        let speed = (2.0 * mover.accel_m_per_s2 * gap).sqrt();
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
        }
    }

    fn allow(bodies: &[Body], mover: &Mover) -> Allowed {
        Neighbourhood::new(bodies, &Bump::new()).allow(mover)
    }

    #[test]
    fn the_lower_priority_stops_in_the_gap_and_the_higher_drives_on() {
        let low = body(1, 0.0, 0.0, 1.0, 2);
        let high = body(2, 6.3, 0.0, -1.0, 4);
        let both = [low, high];
        // Gap 6.3 - 2.3 = 4 m: sqrt(2 * 0.5 * 4) = 2 m/s.
        let allowed = allow(&both, &mover(low));
        assert!((allowed.m_per_s() - 2.0).abs() < 1e-3, "{allowed:?}");
        let west = Mover {
            cos: -1.0,
            ..mover(high)
        };
        assert_eq!(allow(&both, &west), Allowed::ALL);
    }

    #[test]
    fn whoever_stands_is_no_thoroughfare_for_anyone() {
        let high = body(1, 0.0, 0.0, 1.0, 4);
        let standing = body(2, 2.31, 0.0, 0.0, 1);
        let allowed = allow(&[high, standing], &mover(high));
        assert!(allowed.m_per_s() < 0.2);
    }

    #[test]
    fn who_passes_at_a_distance_or_drives_away_is_no_neighbour() {
        let me = body(1, 0.0, 0.0, 1.0, 2);
        let beside = body(2, 3.0, 2.4, -1.0, 4);
        let behind = body(3, -3.0, 0.0, 0.0, 6);
        let ahead_and_faster = body(4, 4.0, 0.0, 2.0, 6);
        let all = [me, beside, behind, ahead_and_faster];
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
