//! The way through a site: straight legs along headlands and aisles from one place to another.
//!
//! Machines keep right: a headland has an eastbound lane in the south and a westbound one in the
//! north, an aisle a southbound lane in the west and a northbound one in the east. A route is a pure
//! function of its two ends, so a machine and its site find the same one and need not tell each other.

use crate::layout::{AISLE, LANE_OFFSET, Layout, Point, YARD_WIDTH, units};

/// Nearer than this is there.
pub const ARRIVED: i32 = units(0.1);
/// Most legs of a route: out of a yard (2), along a headland, an aisle, a headland, into a yard (2).
pub const MAX_LEGS: usize = 8;
/// What a corner costs, as way: a turn on the spot takes time too. [assumed]
const CORNER_COST: i64 = units(3.0) as i64;

/// Straight legs, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    corners: [Point; MAX_LEGS + 1],
    legs: u32,
}

/// Where a machine stands, in terms of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// On a headland.
    Headland(u32),
    /// In the yard of a column, north of a headland.
    Yard { column: u32, row: u32 },
    /// In the field of a column, north of a headland.
    Field { column: u32, row: u32 },
}

impl Zone {
    pub(crate) fn of(layout: &Layout, at: Point) -> Zone {
        let (column, in_column) = column_of(layout, at.x);
        let (row, above) = row_of(layout, at.y);
        if above <= layout.headland || row >= layout.field_rows {
            Zone::Headland(row)
        } else if in_column < YARD_WIDTH {
            Zone::Yard { column, row }
        } else {
            Zone::Field { column, row }
        }
    }

    /// The headlands that it touches: one, or the one to the south and the one to the north.
    fn headlands(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Zone::Headland(headland) => headland..=headland,
            Zone::Yard { row, .. } | Zone::Field { row, .. } => row..=row + 1,
        }
    }
}

/// Column of a place and how far east of the column's west edge it lies.
pub(crate) fn column_of(layout: &Layout, x: i32) -> (u32, i32) {
    let east = x - layout.origin().x;
    let column = (east / layout.column_pitch()).clamp(0, layout.columns as i32 - 1);
    (column as u32, east - column * layout.column_pitch())
}

/// Headland at or south of a place and how far north of the headland's south edge it lies.
pub(crate) fn row_of(layout: &Layout, y: i32) -> (u32, i32) {
    let north = y - layout.origin().y;
    let row = (north / layout.row_pitch()).clamp(0, layout.field_rows as i32);
    (row as u32, north - row * layout.row_pitch())
}

/// By which headland a field is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The nearer way.
    Any,
    /// The one to its south.
    South,
    /// The one to its north.
    North,
}

impl Exit {
    /// Its code in a way home, see [`crate::message::goal::HOME`].
    pub(crate) const ALL: [Exit; 3] = [Exit::Any, Exit::South, Exit::North];

    fn allows(self, from: Zone, headland: u32) -> bool {
        match (self, from) {
            (Exit::South, Zone::Field { row, .. }) => headland == row,
            (Exit::North, Zone::Field { row, .. }) => headland == row + 1,
            _ => true,
        }
    }
}

impl Route {
    /// The route between two places. Places outside the site count as at its edge.
    #[must_use]
    pub fn plan(layout: &Layout, from: Point, to: Point) -> Route {
        Route::plan_by(layout, from, to, Exit::Any)
    }

    /// The same, leaving the field that it begins in by a given headland.
    #[must_use]
    pub fn plan_by(layout: &Layout, from: Point, to: Point, exit: Exit) -> Route {
        let (from, to) = (inside(layout, from), inside(layout, to));
        let ends = [from, to].map(|at| Zone::of(layout, at));
        let mut route = Route::at(from);
        if near(from.x, to.x) && near(from.y, to.y) {
            return route;
        }
        if ends[0] == ends[1] {
            match ends[0] {
                Zone::Yard { column, .. } => {
                    route.within_yard(layout, column, to);
                    return route;
                }
                Zone::Field { .. } if near(from.x, to.x) => {
                    route.to(to);
                    return route;
                }
                _ => {}
            }
        }
        let mut best: Option<(i64, Route)> = None;
        for first in ends[0].headlands().filter(|h| exit.allows(ends[0], *h)) {
            for last in ends[1].headlands() {
                let (near_column, far_column) = columns_between(layout, from.x, to.x);
                for column in near_column..=far_column {
                    let mut route = Route::at(from);
                    route.by_headlands(layout, ends, [first, last], column, to);
                    let cost = route.cost();
                    if best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, route));
                    }
                    if first == last {
                        break;
                    }
                }
            }
        }
        best.map_or(route, |(_, route)| route)
    }

    /// Number of legs.
    #[must_use]
    pub fn legs(&self) -> u32 {
        self.legs
    }

    /// Where its last leg begins: on a road, unless it has but one.
    #[must_use]
    pub fn last_corner(&self) -> Point {
        self.corners[self.legs.saturating_sub(1) as usize]
    }

    /// Both ends of a leg.
    #[must_use]
    pub fn leg(&self, leg: u32) -> Option<(Point, Point)> {
        let i = leg as usize;
        (leg < self.legs).then(|| (self.corners[i], self.corners[i + 1]))
    }

    fn at(from: Point) -> Route {
        Route {
            corners: [from; MAX_LEGS + 1],
            legs: 0,
        }
    }

    fn end(&self) -> Point {
        self.corners[self.legs as usize]
    }

    /// Adds a leg, or makes the last one longer where it goes on in the same direction.
    fn to(&mut self, to: Point) {
        let end = self.end();
        if end == to {
            return;
        }
        if let Some((before, _)) = self.legs.checked_sub(1).and_then(|leg| self.leg(leg)) {
            let goes_on = |a: i32, b: i32, c: i32| {
                (i64::from(b) - i64::from(a)).signum() == (i64::from(c) - i64::from(b)).signum()
            };
            if goes_on(before.x, end.x, to.x) && goes_on(before.y, end.y, to.y) {
                self.corners[self.legs as usize] = to;
                return;
            }
        }
        self.legs += 1;
        self.corners[self.legs as usize] = to;
    }

    /// From place to place of one yard by the lane that leads there, or straight across.
    fn within_yard(&mut self, layout: &Layout, column: u32, to: Point) {
        let from = self.end();
        if !near(from.y, to.y) {
            let x = lane_x(layout, column, to.y > from.y);
            self.to(Point { x, y: from.y });
            self.to(Point { x, y: to.y });
        }
        self.to(to);
    }

    /// Out to the first headland, by the aisle of `column` to the last one, and in.
    fn by_headlands(
        &mut self,
        layout: &Layout,
        ends: [Zone; 2],
        [first, last]: [u32; 2],
        column: u32,
        to: Point,
    ) {
        let from = self.end();
        if let Zone::Yard { column, row } = ends[0] {
            let x = lane_x(layout, column, first > row);
            self.to(Point { x, y: from.y });
        }
        if first != last {
            self.along(layout, first, lane_x(layout, column, last > first));
        }
        let x = match ends[1] {
            Zone::Yard { column, row } => lane_x(layout, column, last == row),
            _ => to.x,
        };
        self.along(layout, last, x);
        let x = self.end().x;
        self.to(Point { x, y: to.y });
        self.to(to);
    }

    /// Along a headland's right-hand lane.
    fn along(&mut self, layout: &Layout, headland: u32, to_x: i32) {
        let end = self.end();
        if near(end.x, to_x) {
            return;
        }
        let middle = layout.headland_y(headland);
        let y = if to_x > end.x {
            middle - LANE_OFFSET
        } else {
            middle + LANE_OFFSET
        };
        self.to(Point { x: end.x, y });
        self.to(Point { x: to_x, y });
    }

    fn cost(&self) -> i64 {
        let way = |leg| {
            let (a, b) = self.leg(leg).unwrap_or((self.end(), self.end()));
            (i64::from(a.x) - i64::from(b.x)).abs() + (i64::from(a.y) - i64::from(b.y)).abs()
        };
        (0..self.legs).map(|leg| way(leg) + CORNER_COST).sum()
    }
}

/// The columns whose aisles lie between two places, and the next one to either side.
fn columns_between(layout: &Layout, a: i32, b: i32) -> (u32, u32) {
    let (west, _) = column_of(layout, a.min(b));
    let (east, _) = column_of(layout, a.max(b));
    // One aisle between is as near as all of them; the first and the two outside are enough.
    let last = if east > west + 1 { west + 1 } else { east + 1 };
    (west, last.min(layout.columns - 1))
}

/// A lane of a column's aisle.
fn lane_x(layout: &Layout, column: u32, northbound: bool) -> i32 {
    let middle = layout.aisle_x(column);
    if northbound {
        middle + LANE_OFFSET
    } else {
        middle - LANE_OFFSET
    }
}

/// Whether a place in a column lies on the side of the aisle's northbound lane.
pub(crate) fn is_east_of_aisle(in_column: i32) -> bool {
    in_column >= AISLE
}

fn inside(layout: &Layout, at: Point) -> Point {
    let (low, high) = (layout.origin(), layout.far_corner());
    Point {
        x: at.x.clamp(low.x, high.x),
        y: at.y.clamp(low.y, high.y),
    }
}

fn near(a: i32, b: i32) -> bool {
    (a - b).abs() <= ARRIVED
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn layout() -> Layout {
        Layout {
            columns: 3,
            field_rows: 4,
            fields: 12,
            swath_length: units(33.0),
            swath_pitch: units(3.0),
            swaths_per_field: 21,
            swaths_per_land: 3,
            swaths_per_segment: 3,
            headland: units(16.0),
            homes_per_field: 8,
            rows_per_station: 1,
            slots_per_station: 1,
            parks_per_station: 3,
        }
    }

    /// Places of every kind: homes, slots, swath ends, and half-way along a swath.
    fn places(layout: &Layout) -> Vec<Point> {
        let mut places = Vec::new();
        for field in 0..layout.fields {
            places.extend([0, 1, 7, 8].map(|place| layout.place(field, place)));
            for swath in [0, 10, 20] {
                let [south, north] = layout.swath_ends(field, swath);
                let y = (south.y + north.y) / 2;
                places.extend([south, north, Point { x: south.x, y }]);
            }
        }
        places
    }

    #[test]
    fn every_route_leads_there_in_right_angles() {
        let layout = layout();
        let places = places(&layout);
        for &from in &places {
            for &to in &places {
                let route = Route::plan(&layout, from, to);
                assert!((route.legs() as usize) < MAX_LEGS);
                assert_eq!(route.end(), to);
                for leg in 0..route.legs() {
                    let (a, b) = route.leg(leg).expect("a leg");
                    assert!((a.x == b.x) != (a.y == b.y), "{route:?}");
                }
            }
        }
    }

    #[test]
    fn machines_that_meet_on_a_headland_keep_right() {
        let layout = layout();
        let [_, a] = layout.swath_ends(0, 2);
        let [_, b] = layout.swath_ends(0, 12);
        let y = |from, to| Route::plan(&layout, from, to).leg(1).map(|leg| leg.0.y);
        assert_eq!(y(a, b), Some(layout.headland_y(1) - LANE_OFFSET));
        assert_eq!(y(b, a), Some(layout.headland_y(1) + LANE_OFFSET));
    }

    #[test]
    fn a_route_is_no_longer_than_the_ring_around_a_field_where_the_ends_share_one() {
        let layout = layout();
        let ring = 2 * i64::from(layout.column_pitch() + layout.row_pitch());
        for place in 0..12 {
            for swath in 0..21 {
                for end in layout.swath_ends(4, swath) {
                    let route = Route::plan(&layout, layout.place(4, place), end);
                    assert!(route.cost() <= ring / 2 + 6 * CORNER_COST, "{route:?}");
                }
            }
        }
    }

    #[test]
    fn a_route_ends_from_anywhere() {
        let layout = layout();
        for i in 0..40_i32 {
            for j in 0..40 {
                let at = |i: i32, j: i32| Point {
                    x: (i32::MAX / 20).wrapping_mul(i - 20),
                    y: (i32::MAX / 20).wrapping_mul(j - 20),
                };
                let route = Route::plan(&layout, at(i, j), at(j, 39 - i));
                assert_eq!(route.end(), inside(&layout, at(j, 39 - i)));
            }
        }
    }

    #[test]
    fn a_field_is_left_by_the_headland_that_is_asked_for() {
        let layout = layout();
        let [south, north] = layout.swath_ends(4, 9);
        let from = Point {
            x: south.x,
            y: (south.y + north.y) / 2,
        };
        for (exit, sign) in [(Exit::South, -1), (Exit::North, 1)] {
            let route = Route::plan_by(&layout, from, layout.place(4, 0), exit);
            let (a, b) = route.leg(0).expect("a way home");
            assert_eq!((b.y - a.y).signum(), sign, "{exit:?}");
            assert_eq!(route.end(), layout.place(4, 0));
        }
    }
}
