//! Right of way on shared ground: headlands and aisles, divided into cells.
//!
//! A *way* is a whole trip from one berth to the next, or a turn. Before a machine sets off, its site
//! gives it every cell of the way at once or none of them, and the machine gives them back leg by
//! leg. Hence:
//!
//! - Nobody waits for a cell while holding one, so no circle of machines waits for each other. A
//!   machine that must wait does so in its berth, where it is in nobody's way.
//! - A cell is held in one of three modes. Any number hold it [`ALONG_X`], or any number
//!   [`ALONG_Y`]: they drive in one lane one behind the other, or cross it side by side on swaths of
//!   their own. [`SOLE`] is for one machine, that joins a lane, turns left at a junction or swings
//!   across in a turn.
//! - Of machines that share a cell, the one ahead holds all the rest of its way, so it drives on, and
//!   so does the next: every way that was given is driven to its end.
//!
//! Bodies in different cells are never nearer than [`crate::layout::ROOM`], as lanes, corners and
//! berths lie at least half of it from the edges of their cells.
//!
//! What a corner takes: who leaves a lane keeps its place in it until it is off it, and only crosses
//! the other lane; who turns right at a junction likewise. Who joins a lane, or turns left at a
//! junction, has that cell to itself until it drives along.

use bumpalo::collections::Vec as BumpVec;

use crate::layout::{Layout, Point, ROOM, YARD_WIDTH, units};
use crate::route::{Route, Zone, column_of, is_east_of_aisle, row_of};

/// Mode of a cell that is driven through east or west. The modes' bits make [`SOLE`] of two needs.
pub const ALONG_X: u32 = 1;
/// Mode of a cell that is driven through north or south.
pub const ALONG_Y: u32 = 2;
/// Mode of a cell that one machine has to itself.
pub const SOLE: u32 = 3;

/// Length of an aisle's cells: the pitch of places, so that each lies in the middle of one.
const AISLE_CELL: i32 = units(3.0);
/// Lanes of a headland or aisle, and lines of a junction in each direction.
const LANES: u32 = 2;

/// A cell and the mode it is held in.
pub type Hold = (u32, u32);

/// What a cell is part of: decides what corners in it take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HeadlandLane,
    AisleLane,
    /// Where a headland's lane and an aisle's lane cross.
    Crossing,
}

impl Kind {
    /// Whether driving in this mode is driving along the lane.
    fn is_along(self, mode: u32) -> bool {
        match self {
            Kind::HeadlandLane => mode == ALONG_X,
            Kind::AisleLane => mode == ALONG_Y,
            Kind::Crossing => false,
        }
    }
}

/// Cells of a site's roads.
#[must_use]
pub fn cells(layout: &Layout) -> u32 {
    aisle_base(layout) + layout.field_rows * layout.columns * aisle_cells(layout) * LANES
}

/// Cells in numbering order: headland lanes, turn strips, crossings, aisle lanes.
fn strip_base(layout: &Layout) -> u32 {
    (layout.field_rows + 1) * layout.columns * layout.segments_per_headland() * LANES
}

fn crossing_base(layout: &Layout) -> u32 {
    2 * strip_base(layout)
}

fn aisle_base(layout: &Layout) -> u32 {
    crossing_base(layout) + (layout.field_rows + 1) * layout.columns * LANES * LANES
}

fn aisle_cells(layout: &Layout) -> u32 {
    (layout.swath_length / AISLE_CELL) as u32 + 1
}

/// A lane of a headland's segment; lane 0 is the southern one. Turn strips are numbered alike.
fn segment(layout: &Layout, headland: u32, column: u32, segment: u32, lane: u32) -> u32 {
    let segments = layout.segments_per_headland();
    ((headland * layout.columns + column) * segments + segment) * LANES + lane
}

fn crossing(layout: &Layout, headland: u32, column: u32, east: u32, north: u32) -> u32 {
    let junction = headland * layout.columns + column;
    crossing_base(layout) + (junction * LANES + east) * LANES + north
}

fn aisle(layout: &Layout, row: u32, column: u32, cell: u32, east: u32) -> u32 {
    let yard = row * layout.columns + column;
    aisle_base(layout) + (yard * aisle_cells(layout) + cell) * LANES + east
}

/// Cells that a turn takes from swath `from` of a land to the next: the strip of the segments it
/// touches, and for a machine with a turning radius both lanes that it swings across, with `reach` to
/// both sides.
pub fn turn_holds(
    layout: &Layout,
    land: u32,
    from: u32,
    reach: i32,
    holds: &mut BumpVec<'_, Hold>,
) {
    let field = layout.field_of_land(land);
    let (column, row) = (field % layout.columns, field / layout.columns);
    let north = layout.runs_north(land, from);
    let headland = row + u32::from(north);
    let spare = (reach / layout.swath_pitch) as u32;
    let low = from.saturating_sub(spare) / layout.swaths_per_segment;
    let high = (from + 1 + spare).min(layout.swaths_per_field - 1) / layout.swaths_per_segment;
    for s in low..=high {
        let strip = segment(layout, headland, column, s, u32::from(!north));
        holds.push((strip_base(layout) + strip, SOLE));
        if reach > 0 {
            holds.extend((0..LANES).map(|lane| (segment(layout, headland, column, s, lane), SOLE)));
        }
    }
}

/// Cells that the rest of a route takes from leg `first` on, of which `driven` position units lie
/// behind.
pub fn route_holds(
    layout: &Layout,
    route: &Route,
    first: u32,
    driven: i32,
    holds: &mut BumpVec<'_, Hold>,
) {
    for leg in first..route.legs() {
        let driven = if leg == first { driven } else { 0 };
        leg_holds(layout, route, leg, driven, holds);
    }
}

fn leg_holds(layout: &Layout, route: &Route, leg: u32, driven: i32, holds: &mut BumpVec<'_, Hold>) {
    let Some((a, b)) = route.leg(leg) else {
        return;
    };
    let mode = mode_of(a, b);
    let begins = leg.checked_sub(1).and_then(|leg| route.leg(leg));
    let ends = route.leg(leg + 1);
    let first = begins.and_then(|_| cell_at(layout, a));
    let last = ends.and_then(|_| cell_at(layout, b));
    for_each_cell(layout, toward(a, b, driven - ROOM / 2), b, |cell, kind| {
        if let (Some((corner, _)), Some((from, _))) = (first, begins)
            && corner == cell
            && keeps_lane(kind, mode_of(from, a), [from, a, b])
        {
            // Until it is off it; who leaves it for a swath's end is off it only there.
            holds.push((cell, mode_of(from, a)));
            return;
        }
        let needs = match (last, ends) {
            (Some((corner, _)), Some((_, to)))
                if corner == cell && !keeps_lane(kind, mode, [a, b, to]) =>
            {
                SOLE
            }
            _ => mode,
        };
        holds.push((cell, needs));
    });
}

/// The place `way` from `a` on a straight leg to `b`, at least `a` and at most `b`.
fn toward(a: Point, b: Point, way: i32) -> Point {
    let way = i64::from(way.max(0));
    let step = |a: i32, b: i32| {
        let (a, b) = (i64::from(a), i64::from(b));
        (a + (b - a).clamp(-way, way)) as i32
    };
    Point {
        x: step(a.x, b.x),
        y: step(a.y, b.y),
    }
}

/// Whether a corner takes no more of its cell than driving into it does.
fn keeps_lane(kind: Kind, coming: u32, [a, b, c]: [Point; 3]) -> bool {
    let across = |p: i32, q: i32| (i64::from(q) - i64::from(p)).signum();
    let turn = across(a.x, b.x) * across(b.y, c.y) - across(a.y, b.y) * across(b.x, c.x);
    match kind {
        Kind::Crossing => turn < 0,
        lane => lane.is_along(coming),
    }
}

fn mode_of(a: Point, b: Point) -> u32 {
    let (dx, dy) = (
        i64::from(b.x) - i64::from(a.x),
        i64::from(b.y) - i64::from(a.y),
    );
    if dx.abs() >= dy.abs() {
        ALONG_X
    } else {
        ALONG_Y
    }
}

/// Makes one entry a cell of all that is held in it.
pub fn merge(holds: &mut BumpVec<'_, Hold>) {
    holds.sort_unstable();
    holds.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 |= next.1;
        }
        same
    });
}

/// The cell that a place lies in.
fn cell_at(layout: &Layout, at: Point) -> Option<(u32, Kind)> {
    let mut found = None;
    for_each_cell(layout, at, at, |cell, kind| found = Some((cell, kind)));
    found
}

/// Calls `f` with the cells under a straight leg.
fn for_each_cell(layout: &Layout, a: Point, b: Point, f: impl FnMut(u32, Kind)) {
    if mode_of(a, b) == ALONG_X {
        cells_along_x(layout, [a.x.min(b.x), a.x.max(b.x)], a.y, f);
    } else {
        cells_along_y(layout, a.x, [a.y.min(b.y), a.y.max(b.y)], f);
    }
}

fn cells_along_x(layout: &Layout, [west, east]: [i32; 2], y: i32, mut f: impl FnMut(u32, Kind)) {
    let zone = Zone::of(layout, Point { x: west, y });
    let (row, above) = row_of(layout, y);
    let ((first, from), (last, to)) = (column_of(layout, west), column_of(layout, east));
    if let Zone::Headland(headland) = zone {
        let lane = u32::from(above >= layout.headland / 2);
        for column in first..=last {
            let from = if column == first { from } else { 0 };
            let to = if column == last {
                to
            } else {
                layout.column_pitch() - 1
            };
            for side in sides_of_aisle(from, to) {
                f(
                    crossing(layout, headland, column, side, lane),
                    Kind::Crossing,
                );
            }
            for s in segments_between(layout, from, to) {
                f(
                    segment(layout, headland, column, s, lane),
                    Kind::HeadlandLane,
                );
            }
        }
    } else if from < YARD_WIDTH {
        let cell = ((above - layout.headland) / AISLE_CELL) as u32;
        for side in sides_of_aisle(from, to) {
            f(aisle(layout, row, first, cell, side), Kind::AisleLane);
        }
    }
}

fn cells_along_y(layout: &Layout, x: i32, [south, north]: [i32; 2], mut f: impl FnMut(u32, Kind)) {
    let (column, in_column) = column_of(layout, x);
    let side = u32::from(is_east_of_aisle(in_column));
    let ((first, from), (last, to)) = (row_of(layout, south), row_of(layout, north));
    for row in first..=last {
        let from = if row == first { from } else { 0 };
        let to = if row == last {
            to
        } else {
            layout.row_pitch() - 1
        };
        for lane in lanes_between(layout, from, to) {
            if in_column < YARD_WIDTH {
                f(crossing(layout, row, column, side, lane), Kind::Crossing);
            } else {
                for s in segments_between(layout, in_column, in_column) {
                    f(segment(layout, row, column, s, lane), Kind::HeadlandLane);
                }
            }
        }
        if in_column < YARD_WIDTH && to > layout.headland && row < layout.field_rows {
            let low = (from - layout.headland).max(0) / AISLE_CELL;
            let high = (to - layout.headland) / AISLE_CELL;
            for cell in low as u32..=(high as u32).min(aisle_cells(layout) - 1) {
                f(aisle(layout, row, column, cell, side), Kind::AisleLane);
            }
        }
    }
}

/// West and east side of an aisle between two distances from its column's west edge.
fn sides_of_aisle(from: i32, to: i32) -> impl Iterator<Item = u32> {
    let in_yard = from < YARD_WIDTH;
    let west = in_yard && !is_east_of_aisle(from);
    let east = in_yard && is_east_of_aisle(to);
    [(west, 0), (east, 1)]
        .into_iter()
        .filter_map(|(is, side)| is.then_some(side))
}

/// Southern and northern lane of a headland between two distances from its south edge.
fn lanes_between(layout: &Layout, from: i32, to: i32) -> impl Iterator<Item = u32> + use<> {
    let middle = layout.headland / 2;
    let on_headland = from <= layout.headland;
    let south = on_headland && from < middle;
    let north = on_headland && to >= middle;
    [(south, 0), (north, 1)]
        .into_iter()
        .filter_map(|(is, lane)| is.then_some(lane))
}

/// Segments of a headland between two distances from a column's west edge.
fn segments_between(layout: &Layout, from: i32, to: i32) -> std::ops::Range<u32> {
    if to < YARD_WIDTH {
        return 0..0;
    }
    let width = layout.swath_pitch * layout.swaths_per_segment as i32;
    let last = layout.segments_per_headland() - 1;
    let of = |x: i32| (((x - YARD_WIDTH).max(0) / width) as u32).min(last);
    of(from)..of(to) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;

    fn layout() -> Layout {
        Layout {
            columns: 3,
            field_rows: 3,
            fields: 9,
            swath_length: units(33.0),
            swath_pitch: units(3.0),
            swaths_per_field: 18,
            swaths_per_land: 3,
            swaths_per_segment: 3,
            headland: units(16.0),
            homes_per_field: 5,
            rows_per_station: 1,
            slots_per_station: 1,
            parks_per_station: 4,
        }
    }

    fn holds_of<'a>(layout: &Layout, from: Point, to: Point, bump: &'a Bump) -> BumpVec<'a, Hold> {
        let mut holds = BumpVec::new_in(bump);
        let route = Route::plan(layout, from, to);
        route_holds(layout, &route, 0, 0, &mut holds);
        merge(&mut holds);
        holds
    }

    fn mode_in(holds: &[Hold], cell: u32) -> u32 {
        holds.iter().find(|h| h.0 == cell).map_or(0, |h| h.1)
    }

    #[test]
    fn every_cell_of_every_kind_has_a_number_of_its_own() {
        let layout = layout();
        let mut seen = vec![false; cells(&layout) as usize];
        let mut mark = |cell: u32| {
            assert!(
                !std::mem::replace(&mut seen[cell as usize], true),
                "{cell} twice"
            );
        };
        for headland in 0..=layout.field_rows {
            for column in 0..layout.columns {
                for lane in 0..LANES {
                    for s in 0..layout.segments_per_headland() {
                        mark(segment(&layout, headland, column, s, lane));
                        mark(strip_base(&layout) + segment(&layout, headland, column, s, lane));
                    }
                    for east in 0..LANES {
                        mark(crossing(&layout, headland, column, east, lane));
                    }
                    for cell in (0..aisle_cells(&layout)).filter(|_| headland < layout.field_rows) {
                        mark(aisle(&layout, headland, column, cell, lane));
                    }
                }
            }
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn who_joins_a_lane_has_its_cell_alone_and_who_leaves_it_only_drives_along() {
        let (layout, bump) = (layout(), Bump::new());
        // From the field south of headland 1 eastward, and back into the same field.
        let ([_, from], [_, to]) = (layout.swath_ends(1, 1), layout.swath_ends(1, 13));
        let holds = holds_of(&layout, from, to, &bump);
        let lane = |s| mode_in(&holds, segment(&layout, 1, 1, s, 0));
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(lane),
            [SOLE, ALONG_X, ALONG_X, ALONG_X, ALONG_X, 0]
        );
        assert_eq!(holds.len(), 5);
    }

    #[test]
    fn who_drives_west_from_the_south_side_crosses_the_eastbound_lane_twice() {
        let (layout, bump) = (layout(), Bump::new());
        let ([_, from], [_, to]) = (layout.swath_ends(1, 13), layout.swath_ends(1, 1));
        let holds = holds_of(&layout, from, to, &bump);
        let cell = |s, lane| mode_in(&holds, segment(&layout, 1, 1, s, lane));
        assert_eq!([0, 1, 4].map(|s| cell(s, 0)), [ALONG_Y, 0, ALONG_Y]);
        assert_eq!([0, 1, 4].map(|s| cell(s, 1)), [ALONG_X, ALONG_X, SOLE]);
    }

    #[test]
    fn a_left_turn_at_a_junction_is_sole_and_a_right_turn_is_not() {
        let (layout, bump) = (layout(), Bump::new());
        // Eastward on headland 1 into the northbound lane of column 1: crosses its southbound lane.
        let [_, from] = layout.swath_ends(0, 9);
        let holds = holds_of(&layout, from, layout.place(4, 1), &bump);
        let at = |east, north| mode_in(&holds, crossing(&layout, 1, 1, east, north));
        assert_eq!([at(0, 0), at(1, 0), at(1, 1)], [ALONG_X, SOLE, ALONG_Y]);
        // Into the southbound lane: to the right, at once.
        let holds = holds_of(&layout, from, layout.place(1, 0), &bump);
        let at = |east, north| mode_in(&holds, crossing(&layout, 1, 1, east, north));
        assert_eq!([at(0, 0), at(1, 0)], [ALONG_X, 0]);
    }

    #[test]
    fn what_is_held_only_shrinks_on_the_way() {
        let (layout, bump) = (layout(), Bump::new());
        let places: Vec<Point> = (0..9)
            .flat_map(|field| [layout.place(field, 0), layout.place(field, 3)])
            .chain((0..9).flat_map(|field| layout.swath_ends(field, 4 + field)))
            .collect();
        for &from in &places {
            for &to in &places {
                let route = Route::plan(&layout, from, to);
                let mut before = holds_of(&layout, from, to, &bump);
                for (leg, driven) in (0..route.legs()).flat_map(|leg| [(leg, 20.0), (leg + 1, 0.0)])
                {
                    let mut after = BumpVec::new_in(&bump);
                    route_holds(&layout, &route, leg, units(driven), &mut after);
                    merge(&mut after);
                    for &(cell, mode) in &after {
                        let had = mode_in(&before, cell);
                        assert!(
                            had == mode || had == SOLE,
                            "{route:?} leg {leg} cell {cell}"
                        );
                    }
                    before = after;
                }
                assert!(before.is_empty());
            }
        }
    }

    #[test]
    fn a_wide_turn_takes_both_lanes_and_a_turn_on_the_spot_only_its_strip() {
        let (layout, bump) = (layout(), Bump::new());
        let turn = |reach| {
            let mut holds = BumpVec::new_in(&bump);
            turn_holds(&layout, 2, 6, reach, &mut holds);
            holds
        };
        assert_eq!(
            turn(0)[..],
            [(strip_base(&layout) + segment(&layout, 1, 0, 2, 0), SOLE)]
        );
        // Swaths 4 to 9: segments 1 to 3, strip and two lanes each.
        assert_eq!(turn(units(7.6)).len(), 9);
    }
}
