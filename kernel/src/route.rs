//! The way through a site: which straight leg to drive next.
//!
//! Machines leave a place by the aisle, a field by its headland, and keep right on both. The next leg
//! is a function of where a machine is and where it wants to be, so a route needs no memory: after a
//! detour, a repair or a command it simply goes on from where the machine stands.

use crate::layout::{AISLE, LANE_OFFSET, Layout, Point, YARD_WIDTH, units};

/// Nearer than this is there.
pub const ARRIVED: i32 = units(0.1);
/// Within this of the aisle's middle a machine is in the aisle.
const AISLE_REACH: i32 = units(2.5);

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The end of a swath, on the turn line of a headland.
    SwathEnd {
        /// The place.
        at: Point,
        /// The headland it lies on.
        headland: u32,
    },
    /// A place in the yard of a field's column.
    Place {
        /// The place.
        at: Point,
        /// The column.
        column: u32,
    },
    /// Anywhere, by the straight way.
    Point(Point),
}

/// Where a machine stands, in terms of the layout.
struct Zone {
    column: u32,
    /// The headland it is on, or the one south of it.
    south: u32,
    on_headland: bool,
    in_yard: bool,
    in_aisle: bool,
}

fn zone(layout: &Layout, at: Point) -> Zone {
    let origin = layout.origin();
    let column = ((at.x - origin.x) / layout.column_pitch()).clamp(0, layout.columns as i32 - 1);
    let in_column = at.x - origin.x - column * layout.column_pitch();
    let south =
        ((at.y - origin.y).div_euclid(layout.row_pitch())).clamp(0, layout.field_rows as i32);
    let above = at.y - origin.y - south * layout.row_pitch();
    Zone {
        column: column as u32,
        south: south as u32,
        on_headland: above <= layout.headland,
        in_yard: in_column < YARD_WIDTH,
        in_aisle: (in_column - AISLE).abs() <= AISLE_REACH,
    }
}

fn near(a: i32, b: i32) -> bool {
    (a - b).abs() <= ARRIVED
}

/// The lane of a headland for driving towards `to_x`: eastbound south, westbound north of its middle.
fn headland_lane(layout: &Layout, headland: u32, from_x: i32, to_x: i32) -> i32 {
    let middle = layout.headland_y(headland);
    if to_x >= from_x {
        middle - LANE_OFFSET
    } else {
        middle + LANE_OFFSET
    }
}

/// The lane of an aisle for driving towards `to_y`: northbound east, southbound west of its middle.
fn aisle_lane(layout: &Layout, column: u32, from_y: i32, to_y: i32) -> i32 {
    let middle = layout.aisle_x(column);
    if to_y >= from_y {
        middle + LANE_OFFSET
    } else {
        middle - LANE_OFFSET
    }
}

/// The end of the next straight leg from `at` to `goal`; `None` once it is there.
#[must_use]
pub fn next_leg(layout: &Layout, at: Point, goal: Goal) -> Option<Point> {
    let there = match goal {
        Goal::SwathEnd { at, .. } | Goal::Place { at, .. } | Goal::Point(at) => at,
    };
    if near(at.x, there.x) && near(at.y, there.y) {
        return None;
    }
    Some(match goal {
        Goal::Point(there) => there,
        Goal::Place { at: there, column } => leg_to_place(layout, at, there, column),
        Goal::SwathEnd {
            at: there,
            headland,
        } => leg_to_swath(layout, at, there, headland),
    })
}

fn leg_to_place(layout: &Layout, at: Point, there: Point, column: u32) -> Point {
    let zone = zone(layout, at);
    if zone.column == column && zone.in_yard && (zone.in_aisle || !zone.on_headland) {
        if near(at.y, there.y) {
            return there;
        }
        if zone.in_aisle {
            return Point {
                x: at.x,
                y: there.y,
            };
        }
        return Point {
            x: aisle_lane(layout, column, at.y, there.y),
            y: at.y,
        };
    }
    if !zone.on_headland {
        return leave_field(layout, at, &zone, there.y, layout.aisle_x(column));
    }
    let aisle = aisle_lane(layout, column, at.y, there.y);
    along_headland(layout, at, zone.south, aisle)
}

fn leg_to_swath(layout: &Layout, at: Point, there: Point, headland: u32) -> Point {
    let zone = zone(layout, at);
    if zone.on_headland && zone.south == headland {
        if near(at.x, there.x) {
            return there;
        }
        return along_headland(layout, at, headland, there.x);
    }
    if zone.in_yard && zone.in_aisle {
        // North or south along the aisle, straight to the lane that leads to the swath.
        return Point {
            x: at.x,
            y: headland_lane(layout, headland, at.x, there.x),
        };
    }
    if !zone.on_headland {
        return leave_field(layout, at, &zone, there.y, there.x);
    }
    // On another headland: to the nearest aisle of the swath's column.
    let column = (there.x - layout.origin().x) / layout.column_pitch();
    let aisle = aisle_lane(layout, column as u32, at.y, there.y);
    along_headland(layout, at, zone.south, aisle)
}

/// From a place into the aisle, or from within a field along its swath to a headland.
fn leave_field(layout: &Layout, at: Point, zone: &Zone, to_y: i32, to_x: i32) -> Point {
    if zone.in_yard && !zone.in_aisle {
        return Point {
            x: aisle_lane(layout, zone.column, at.y, to_y),
            y: at.y,
        };
    }
    let south_y = layout.headland_y(zone.south);
    let north_y = south_y + layout.row_pitch();
    let nearer_north = (north_y - to_y).abs() < (south_y - to_y).abs();
    let headland = zone.south + u32::from(nearer_north);
    Point {
        x: at.x,
        y: headland_lane(layout, headland, at.x, to_x),
    }
}

fn along_headland(layout: &Layout, at: Point, headland: u32, to_x: i32) -> Point {
    let lane = headland_lane(layout, headland, at.x, to_x);
    if near(at.y, lane) || near(at.x, to_x) {
        Point { x: to_x, y: at.y }
    } else {
        Point { x: at.x, y: lane }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            columns: 3,
            field_rows: 4,
            fields: 12,
            swath_length: units(33.0),
            swath_pitch: units(3.0),
            swaths_per_field: 21,
            swaths_per_land: 3,
            swaths_per_segment: 4,
            headland: units(16.0),
            homes_per_field: 20,
            stations: 12,
            slots_per_station: 1,
        }
    }

    /// Drives a route leg by leg and returns its legs' ends.
    fn drive(layout: &Layout, mut at: Point, goal: Goal) -> Vec<Point> {
        let mut legs = Vec::new();
        while let Some(next) = next_leg(layout, at, goal) {
            assert!(legs.len() < 12, "a route goes in circles: {legs:?}");
            legs.push(next);
            at = next;
        }
        legs
    }

    #[test]
    fn every_route_between_places_and_swaths_ends() {
        let layout = layout();
        let mut starts = Vec::new();
        let mut goals = Vec::new();
        for field in 0..layout.fields {
            let (column, row) = (field % layout.columns, field / layout.columns);
            for place in [0, 1, 7, 20] {
                let at = layout.place(field, place);
                starts.push(at);
                goals.push(Goal::Place { at, column });
            }
            for swath in [0, 10, 20] {
                let [south, north] = layout.swath_ends(field, swath);
                starts.extend([
                    south,
                    north,
                    Point {
                        x: south.x,
                        y: (south.y + north.y) / 2,
                    },
                ]);
                goals.push(Goal::SwathEnd {
                    at: south,
                    headland: row,
                });
                goals.push(Goal::SwathEnd {
                    at: north,
                    headland: row + 1,
                });
            }
        }
        for &start in &starts {
            for &goal in &goals {
                let legs = drive(&layout, start, goal);
                assert!(legs.len() <= 7, "{start:?} to {goal:?}: {legs:?}");
            }
        }
    }

    #[test]
    fn machines_that_meet_on_a_headland_keep_right() {
        let layout = layout();
        let east = headland_lane(&layout, 1, 0, 100);
        let west = headland_lane(&layout, 1, 100, 0);
        assert_eq!(west - east, 2 * LANE_OFFSET);
    }

    #[test]
    fn a_route_ends_from_anywhere() {
        let layout = layout();
        let goal = Goal::Place {
            at: layout.place(4, 3),
            column: 1,
        };
        let (low, high) = (layout.origin(), layout.far_corner());
        for i in 0..40 {
            for j in 0..40 {
                let at = Point {
                    x: low.x + (high.x - low.x) / 40 * i,
                    y: low.y + (high.y - low.y) / 40 * j,
                };
                drive(&layout, at, goal);
            }
        }
    }
}
