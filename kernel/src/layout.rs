//! The geometry of a site: fields in a grid, headlands between them, a yard beside each field.
//!
//! ```text
//!   ~~~~~~~~~~~~~~~~~ headland r+1 ~~~~~~~~~~~~~~~~~   two travel lanes, keep right
//!   | places | aisle | places |  swath swath swath ...
//!   |  yard of field (c, r)   |  field (c, r)            rows run north-south
//!   ~~~~~~~~~~~~~~~~~ headland r   ~~~~~~~~~~~~~~~~~
//! ```
//!
//! Fields stacked north to south share the headland between them. A headland is divided into
//! segments of some swaths; one machine at a time turns on a segment. Every length here is i32 in
//! units of 2^-16 m, in the site's own frame, whose origin is the centre of the grid.

/// Units of position in a metre.
pub const UNITS_PER_M: f32 = 65_536.0;
/// No index: no swath, slot, segment or machine.
pub const NONE: u32 = u32::MAX;

/// Metres as position units, for lengths that a layout is made of.
#[must_use]
pub const fn units(m: f32) -> i32 {
    (m * UNITS_PER_M) as i32
}

/// Distance of a travel lane from the middle of its headland or aisle.
pub const LANE_OFFSET: i32 = units(1.5);
/// Distance between a field's edge and the line on which machines turn.
pub const TURN_LINE: i32 = units(1.5);
/// Width of a yard: a column of places, an aisle of two lanes, a column of places.
pub const YARD_WIDTH: i32 = units(16.0);
/// Middle of the aisle, from the yard's west edge.
pub const AISLE: i32 = units(7.5);
/// The two columns of places, from the yard's west edge.
const PLACE_COLUMNS: [i32; 2] = [units(1.5), units(13.5)];
/// Distance between the places of a column.
const PLACE_PITCH: i32 = units(3.0);

/// A place in the site's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// East.
    pub x: i32,
    /// North.
    pub y: i32,
}

/// The geometry that every site of a scenario shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Fields west to east.
    pub columns: u32,
    /// Fields south to north.
    pub field_rows: u32,
    /// Fields, numbered west to east, then south to north; the last row may be short.
    pub fields: u32,
    /// Length of a swath.
    pub swath_length: i32,
    /// Distance between swaths.
    pub swath_pitch: i32,
    /// Swaths of a field.
    pub swaths_per_field: u32,
    /// Swaths of a land: what one machine is given at a time.
    pub swaths_per_land: u32,
    /// Swaths whose ends make one headland segment.
    pub swaths_per_segment: u32,
    /// Height of a headland.
    pub headland: i32,
    /// Machines whose home is one field's yard.
    pub homes_per_field: u32,
    /// Charging stations of the site.
    pub stations: u32,
    /// Slots of a station.
    pub slots_per_station: u32,
}

impl Layout {
    /// Lands of a field; the last may be short.
    #[must_use]
    pub fn lands_per_field(&self) -> u32 {
        self.swaths_per_field.div_ceil(self.swaths_per_land)
    }

    /// Lands of the site.
    #[must_use]
    pub fn lands(&self) -> u32 {
        self.fields * self.lands_per_field()
    }

    /// Slots of the site.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.stations * self.slots_per_station
    }

    /// Segments of one column's headland.
    #[must_use]
    pub fn segments_per_headland(&self) -> u32 {
        self.swaths_per_field.div_ceil(self.swaths_per_segment)
    }

    /// Segments of the site.
    #[must_use]
    pub fn segments(&self) -> u32 {
        (self.field_rows + 1) * self.columns * self.segments_per_headland()
    }

    /// Swaths of a land.
    #[must_use]
    pub fn swaths_of_land(&self, land: u32) -> u32 {
        let first = self.first_swath_of_land(land);
        self.swaths_per_land.min(self.swaths_per_field - first)
    }

    /// First swath of a land, counted in its field.
    #[must_use]
    pub fn first_swath_of_land(&self, land: u32) -> u32 {
        (land % self.lands_per_field()) * self.swaths_per_land
    }

    /// Field of a land.
    #[must_use]
    pub fn field_of_land(&self, land: u32) -> u32 {
        land / self.lands_per_field()
    }

    /// Distance between the west edges of two columns.
    #[must_use]
    pub fn column_pitch(&self) -> i32 {
        YARD_WIDTH + self.swath_pitch * self.swaths_per_field as i32
    }

    /// Distance between the south edges of two rows of fields.
    #[must_use]
    pub fn row_pitch(&self) -> i32 {
        self.swath_length + self.headland
    }

    /// West and south edge of the site.
    #[must_use]
    pub fn origin(&self) -> Point {
        Point {
            x: -(self.columns as i32 * self.column_pitch()) / 2,
            y: -(self.field_rows as i32 * self.row_pitch() + self.headland) / 2,
        }
    }

    /// East and north edge of the site.
    #[must_use]
    pub fn far_corner(&self) -> Point {
        let origin = self.origin();
        Point {
            x: origin.x + self.columns as i32 * self.column_pitch(),
            y: origin.y + self.field_rows as i32 * self.row_pitch() + self.headland,
        }
    }

    /// West edge of the yard and south edge of a field.
    #[must_use]
    pub fn field_corner(&self, field: u32) -> Point {
        let (column, row) = (field % self.columns, field / self.columns);
        let origin = self.origin();
        Point {
            x: origin.x + column as i32 * self.column_pitch(),
            y: origin.y + self.headland + row as i32 * self.row_pitch(),
        }
    }

    /// Middle of a headland; headland r lies south of field row r.
    #[must_use]
    pub fn headland_y(&self, headland: u32) -> i32 {
        self.origin().y + self.headland / 2 + headland as i32 * self.row_pitch()
    }

    /// Middle of a column's aisle.
    #[must_use]
    pub fn aisle_x(&self, column: u32) -> i32 {
        self.origin().x + column as i32 * self.column_pitch() + AISLE
    }

    /// Both ends of a swath of a field: on the southern and on the northern turn line.
    #[must_use]
    pub fn swath_ends(&self, field: u32, swath: u32) -> [Point; 2] {
        let corner = self.field_corner(field);
        let x = corner.x + YARD_WIDTH + self.swath_pitch * swath as i32 + self.swath_pitch / 2;
        [
            Point {
                x,
                y: corner.y - TURN_LINE,
            },
            Point {
                x,
                y: corner.y + self.swath_length + TURN_LINE,
            },
        ]
    }

    /// Where a swath of a land is begun and where it ends: machines go up the first and down the next.
    #[must_use]
    pub fn swath_run(&self, land: u32, swath: u32) -> (Point, Point) {
        let [south, north] = self.swath_ends(self.field_of_land(land), swath);
        if self.runs_north(land, swath) {
            (south, north)
        } else {
            (north, south)
        }
    }

    /// Whether a swath of a land is worked towards the north.
    #[must_use]
    pub fn runs_north(&self, land: u32, swath: u32) -> bool {
        (swath - self.first_swath_of_land(land)).is_multiple_of(2)
    }

    /// The place `place` in a field's yard: homes first, then slots.
    #[must_use]
    pub fn place(&self, field: u32, place: u32) -> Point {
        let corner = self.field_corner(field);
        Point {
            x: corner.x + PLACE_COLUMNS[(place % 2) as usize],
            y: corner.y + units(1.5) + PLACE_PITCH * (place / 2) as i32,
        }
    }

    /// Home place of a machine of the site, by its index in the site.
    #[must_use]
    pub fn home(&self, machine: u32) -> Point {
        self.place(self.home_field(machine), machine % self.homes_per_field)
    }

    /// Field whose yard is a machine's home.
    #[must_use]
    pub fn home_field(&self, machine: u32) -> u32 {
        (machine / self.homes_per_field).min(self.fields - 1)
    }

    /// Station that serves a field.
    #[must_use]
    pub fn station_of_field(&self, field: u32) -> u32 {
        (u64::from(field) * u64::from(self.stations) / u64::from(self.fields)) as u32
    }

    /// Field whose yard a station stands in: the first that it serves.
    #[must_use]
    pub fn field_of_station(&self, station: u32) -> u32 {
        (u64::from(station) * u64::from(self.fields)).div_ceil(u64::from(self.stations)) as u32
    }

    /// Place of a slot of the site.
    #[must_use]
    pub fn slot(&self, slot: u32) -> Point {
        let field = self.field_of_station(slot / self.slots_per_station);
        self.place(field, self.homes_per_field + slot % self.slots_per_station)
    }

    /// The segments on which a machine turns from swath `from` to the next one of its land, with room
    /// of `reach` to both sides: the first of them and how many.
    #[must_use]
    pub fn turn_segments(&self, land: u32, from: u32, reach: i32) -> (u32, u32) {
        let field = self.field_of_land(land);
        let (column, row) = (field % self.columns, field / self.columns);
        let headland = row + u32::from(self.runs_north(land, from));
        let spare = reach / self.swath_pitch;
        let low = from.saturating_sub(spare as u32);
        let high = (from + 1 + spare as u32).min(self.swaths_per_field - 1);
        let first = low / self.swaths_per_segment;
        let last = high / self.swaths_per_segment;
        let base = (headland * self.columns + column) * self.segments_per_headland();
        (base + first, last - first + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Layout {
        Layout {
            columns: 2,
            field_rows: 3,
            fields: 6,
            swath_length: units(33.0),
            swath_pitch: units(3.0),
            swaths_per_field: 7,
            swaths_per_land: 3,
            swaths_per_segment: 4,
            headland: units(16.0),
            homes_per_field: 5,
            stations: 3,
            slots_per_station: 1,
        }
    }

    #[test]
    fn a_land_alternates_direction_and_the_last_is_short() {
        let layout = small();
        assert_eq!(layout.lands_per_field(), 3);
        assert_eq!(layout.swaths_of_land(2), 1);
        let (start, end) = layout.swath_run(1, 3);
        assert!(start.y < end.y, "the first swath of a land runs north");
        let (start, end) = layout.swath_run(1, 4);
        assert!(start.y > end.y);
    }

    #[test]
    fn stations_serve_the_fields_around_them() {
        let layout = small();
        for station in 0..layout.stations {
            let field = layout.field_of_station(station);
            assert_eq!(layout.station_of_field(field), station);
        }
    }

    #[test]
    fn turns_of_two_stacked_fields_share_a_segment() {
        let layout = small();
        // Land 0 of field 0 turns north of swath 0, land 0 of field 2 (above it) south of swath 1.
        let (north_of_lower, _) = layout.turn_segments(0, 0, 0);
        let (south_of_upper, _) = layout.turn_segments(2 * layout.lands_per_field(), 1, 0);
        assert_eq!(north_of_lower, south_of_upper);
    }

    #[test]
    fn every_place_lies_inside_the_site() {
        let layout = small();
        let (low, high) = (layout.origin(), layout.far_corner());
        let places = (0..30)
            .map(|machine| layout.home(machine))
            .chain((0..layout.slots()).map(|slot| layout.slot(slot)));
        for p in places {
            assert!(low.x < p.x && p.x < high.x && low.y < p.y && p.y < high.y);
        }
    }
}
