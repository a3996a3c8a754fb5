//! The way through a site: which straight leg to drive next.
//!
//! Machines keep right on headlands, and an aisle is two one-way lanes: the western column of places
//! is left and entered by the southbound lane beside it, the eastern one by the northbound, so in a
//! yard nobody crosses anybody's way. The next leg is a function of where a machine is and where it wants to be, so a route needs no memory: after a
//! detour, a repair or a command it simply goes on from where the machine stands.

use crate::layout::{AISLE, LANE_OFFSET, Layout, Point, YARD_WIDTH, units};

/// Nearer than this is there.
pub const ARRIVED: i32 = units(0.1);

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
    /// The lane on its side of the aisle's middle.
    lane: Lane,
}

/// A lane of an aisle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Southbound,
    Northbound,
}

impl Lane {
    fn x(self, layout: &Layout, column: u32) -> i32 {
        match self {
            Lane::Southbound => layout.aisle_x(column) - LANE_OFFSET,
            Lane::Northbound => layout.aisle_x(column) + LANE_OFFSET,
        }
    }

    /// The lane that leads from one headland to another.
    fn between(from: u32, to: u32) -> Lane {
        if to > from {
            Lane::Northbound
        } else {
            Lane::Southbound
        }
    }

    /// The headland a machine leaves it on: the wanted one where it lies ahead, else the first.
    fn exit(self, south: u32, wanted: u32) -> u32 {
        match self {
            Lane::Southbound => wanted.min(south),
            Lane::Northbound => wanted.max(south + 1),
        }
    }
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
        lane: if in_column < AISLE {
            Lane::Southbound
        } else {
            Lane::Northbound
        },
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
    let here = zone(layout, at);
    let place = zone(layout, there);
    let lane_x = place.lane.x(layout, column);
    // The western places are entered from the north, the eastern from the south.
    let entry = match place.lane {
        Lane::Southbound => place.south + 1,
        Lane::Northbound => place.south,
    };
    if !here.on_headland {
        let before = match place.lane {
            Lane::Southbound => at.y >= there.y - ARRIVED,
            Lane::Northbound => at.y <= there.y + ARRIVED,
        };
        let same_row = here.in_yard && here.column == column && here.south == place.south;
        if same_row && near(at.x, lane_x) && before {
            return if near(at.y, there.y) {
                there
            } else {
                Point {
                    x: at.x,
                    y: there.y,
                }
            };
        }
        return leave(layout, at, &here, entry, lane_x);
    }
    if here.south == entry {
        if near(at.x, lane_x) {
            return Point {
                x: at.x,
                y: there.y,
            };
        }
        return along_headland(layout, at, entry, lane_x);
    }
    to_headland(layout, at, here.south, column, entry, lane_x)
}

fn leg_to_swath(layout: &Layout, at: Point, there: Point, headland: u32) -> Point {
    let here = zone(layout, at);
    if !here.on_headland {
        return leave(layout, at, &here, headland, there.x);
    }
    if here.south == headland {
        if near(at.x, there.x) {
            return there;
        }
        return along_headland(layout, at, headland, there.x);
    }
    let column = (there.x - layout.origin().x) / layout.column_pitch();
    to_headland(layout, at, here.south, column as u32, headland, there.x)
}

/// From one headland to another by the aisle of a column.
fn to_headland(
    layout: &Layout,
    at: Point,
    from: u32,
    column: u32,
    headland: u32,
    then_x: i32,
) -> Point {
    let lane_x = Lane::between(from, headland).x(layout, column);
    if near(at.x, lane_x) {
        let y = headland_lane(layout, headland, at.x, then_x);
        return Point { x: at.x, y };
    }
    along_headland(layout, at, from, lane_x)
}

/// From a place into its lane, along a lane to a headland, or from within a field along its swath.
fn leave(layout: &Layout, at: Point, here: &Zone, headland: u32, then_x: i32) -> Point {
    if here.in_yard {
        let lane_x = here.lane.x(layout, here.column);
        if !near(at.x, lane_x) {
            return Point { x: lane_x, y: at.y };
        }
        let exit = here.lane.exit(here.south, headland);
        let y = headland_lane(layout, exit, at.x, then_x);
        return Point { x: at.x, y };
    }
    let exit = if headland > here.south {
        here.south + 1
    } else {
        here.south
    };
    Point {
        x: at.x,
        y: headland_lane(layout, exit, at.x, then_x),
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
            assert!(legs.len() < 14, "a route goes in circles: {legs:?}");
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
                assert!(legs.len() <= 9, "{start:?} to {goal:?}: {legs:?}");
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
