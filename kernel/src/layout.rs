//! The geometry of a site: fields in a grid, headlands between them, a yard beside each field.
//!
//! ```text
//!   ~~~~~~~~~~~~~~~~~ headland r+1 ~~~~~~~~~~~~~~~~~   turn line, two travel lanes, turn line
//!   | places | aisle | places |  swath swath swath ...
//!   |  yard of field (c, r)   |  field (c, r)            rows run north-south
//!   ~~~~~~~~~~~~~~~~~ headland r   ~~~~~~~~~~~~~~~~~
//! ```
//!
//! Fields stacked north to south share the headland between them. A headland is divided into
//! segments of some swaths; one machine at a time turns on a segment. Who drives where on headlands
//! and aisles is the matter of [`crate::roads`].
//!
//! Homes, slots, parking places, swaths and their ends on the turn line are *berths*: nobody who keeps
//! to the roads comes nearer to a machine there than [`ROOM`]. A machine waits nowhere else.
//!
//! Every length here is i32 in units of 2^-16 m, in the site's own frame, whose origin is the centre
//! of the grid.

/// Units of position in a metre.
pub const UNITS_PER_M: f32 = 65_536.0;
/// No index: no swath, slot, segment or machine.
pub const NONE: u32 = u32::MAX;

/// Metres as position units, for lengths that a layout is made of.
#[must_use]
pub const fn units(m: f32) -> i32 {
    (m * UNITS_PER_M) as i32
}

/// Least distance between the centres of two machines that keep to lanes and berths: all that is here
/// lies 3 m apart, and bodies with their margin take 2.8 m.
pub const ROOM: i32 = units(3.0);
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
/// Ground around a site that a machine may come to: a turn at the end of a field's last swath swings out
/// over the site's edge, by no more than the room that turns take to a side.
pub const VERGE: i32 = units(8.0);
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

/// What no machine crosses: around a site and its verge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// South-western corner.
    pub low: Point,
    /// North-eastern corner.
    pub high: Point,
}

impl Fence {
    /// Whether a place lies within it, or on it.
    #[must_use]
    pub fn contains(&self, at: Point) -> bool {
        (self.low.x..=self.high.x).contains(&at.x) && (self.low.y..=self.high.y).contains(&at.y)
    }
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
    /// Rows of fields that share a charging station; each column has its own.
    pub rows_per_station: u32,
    /// Slots of a station.
    pub slots_per_station: u32,
    /// Parking places of a station, for those who queue for a slot.
    pub parks_per_station: u32,
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
        self.stations() * self.slots_per_station
    }

    /// Parking places of the site.
    #[must_use]
    pub fn parks(&self) -> u32 {
        self.stations() * self.parks_per_station
    }

    /// Segments of one column's headland.
    #[must_use]
    pub fn segments_per_headland(&self) -> u32 {
        self.swaths_per_field.div_ceil(self.swaths_per_segment)
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

    /// Whether a swath of a land's field is one of the land.
    #[must_use]
    pub fn has_swath(&self, land: u32, swath: u32) -> bool {
        let first = self.first_swath_of_land(land);
        (first..first + self.swaths_of_land(land)).contains(&swath)
    }

    /// Whether a place lies in the site.
    #[must_use]
    pub fn contains(&self, at: Point) -> bool {
        self.fence_at(0).contains(at)
    }

    /// The fence around the site and its verge.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence_at(VERGE)
    }

    fn fence_at(&self, verge: i32) -> Fence {
        let (low, high) = (self.origin(), self.far_corner());
        Fence {
            low: Point {
                x: low.x - verge,
                y: low.y - verge,
            },
            high: Point {
                x: high.x + verge,
                y: high.y + verge,
            },
        }
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

    /// Whether the site with its verge is no wider and no higher than a difference of positions can be.
    #[must_use]
    pub fn fits_positions(&self) -> bool {
        let fits = |fields: u32, pitch: i32, rest: i32| {
            let site = i64::from(fields) * i64::from(pitch) + i64::from(rest);
            site + 2 * i64::from(VERGE) <= i64::from(i32::MAX)
        };
        fits(self.columns, self.column_pitch(), 0)
            && fits(self.field_rows, self.row_pitch(), self.headland)
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
        self.turn_lines(field / self.columns)
            .map(|y| Point { x, y })
    }

    /// The turn lines south and north of a row of fields.
    #[must_use]
    pub fn turn_lines(&self, row: u32) -> [i32; 2] {
        let south = self.field_corner(row * self.columns).y;
        [south - TURN_LINE, south + self.swath_length + TURN_LINE]
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

    /// The nearest place in a field, well inside it. Nobody is sent to stand on a road or in a yard.
    #[must_use]
    pub fn off_road(&self, at: Point) -> Point {
        let origin = self.origin();
        let column = ((at.x - origin.x) / self.column_pitch()).clamp(0, self.columns as i32 - 1);
        // The row whose field is the nearer one of those beside a headland.
        let row = (at.y - origin.y - self.headland / 2) / self.row_pitch();
        let row = row.clamp(0, self.field_rows as i32 - 1);
        let corner = self.field_corner((row * self.columns as i32 + column).cast_unsigned());
        let west = corner.x + YARD_WIDTH;
        let width = self.swath_pitch * self.swaths_per_field as i32;
        Point {
            x: at.x.clamp(west + ROOM, west + width - ROOM),
            y: at
                .y
                .clamp(corner.y + ROOM, corner.y + self.swath_length - ROOM),
        }
    }

    /// Whether a swath of a land is worked towards the north.
    #[must_use]
    pub fn runs_north(&self, land: u32, swath: u32) -> bool {
        (swath - self.first_swath_of_land(land)).is_multiple_of(2)
    }

    /// The place `place` in a field's yard: homes first, then slots, then parking places.
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

    /// Stations of a column.
    fn stations_per_column(&self) -> u32 {
        self.field_rows.div_ceil(self.rows_per_station)
    }

    /// Charging stations of the site.
    #[must_use]
    pub fn stations(&self) -> u32 {
        self.columns * self.stations_per_column()
    }

    /// Station that serves a field.
    #[must_use]
    pub fn station_of_field(&self, field: u32) -> u32 {
        let (column, row) = (field % self.columns, field / self.columns);
        column * self.stations_per_column() + row / self.rows_per_station
    }

    /// Field whose yard a station stands in: the middle one of those that it serves, which lie in one
    /// column, so that the aisle leads straight there. A short last row has yards without a field.
    #[must_use]
    pub fn field_of_station(&self, station: u32) -> u32 {
        let (column, group) = (
            station / self.stations_per_column(),
            station % self.stations_per_column(),
        );
        let first = group * self.rows_per_station;
        let rows = self.rows_per_station.min(self.field_rows - first);
        (first + (rows - 1) / 2) * self.columns + column
    }

    /// Field whose yard a slot is in.
    #[must_use]
    pub fn field_of_slot(&self, slot: u32) -> u32 {
        self.field_of_station(slot / self.slots_per_station)
    }

    /// Place of a slot of the site.
    #[must_use]
    pub fn slot(&self, slot: u32) -> Point {
        let place = self.homes_per_field + slot % self.slots_per_station;
        self.place(self.field_of_slot(slot), place)
    }

    /// Field whose yard a parking place is in.
    #[must_use]
    pub fn field_of_park(&self, park: u32) -> u32 {
        self.field_of_station(park / self.parks_per_station)
    }

    /// Parking place of the site.
    #[must_use]
    pub fn park(&self, park: u32) -> Point {
        let before = self.homes_per_field + self.slots_per_station;
        let place = before + park % self.parks_per_station;
        self.place(self.field_of_park(park), place)
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
            rows_per_station: 2,
            slots_per_station: 1,
            parks_per_station: 2,
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
        for station in 0..layout.stations() {
            let field = layout.field_of_station(station);
            assert_eq!(layout.station_of_field(field), station);
        }
    }

    #[test]
    fn every_place_lies_inside_the_site() {
        let layout = small();
        let (low, high) = (layout.origin(), layout.far_corner());
        let places = (0..30)
            .map(|machine| layout.home(machine))
            .chain((0..layout.slots()).map(|slot| layout.slot(slot)))
            .chain((0..layout.parks()).map(|park| layout.park(park)));
        for p in places {
            assert!(low.x < p.x && p.x < high.x && low.y < p.y && p.y < high.y);
        }
    }

    #[test]
    fn no_two_places_are_nearer_than_room() {
        let layout = small();
        let places: Vec<_> = (0..30)
            .map(|machine| layout.home(machine))
            .chain((0..layout.slots()).map(|slot| layout.slot(slot)))
            .chain((0..layout.parks()).map(|park| layout.park(park)))
            .collect();
        for (i, a) in places.iter().enumerate() {
            for b in &places[..i] {
                let apart = (a.x - b.x).abs().max((a.y - b.y).abs());
                assert!(apart >= ROOM, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_place_on_a_road_or_in_a_yard_is_moved_into_a_field() {
        let layout = small();
        let (low, high) = (layout.origin(), layout.far_corner());
        for i in 0..=60 {
            for j in 0..=60 {
                let at = layout.off_road(Point {
                    x: low.x + (high.x - low.x) / 60 * i,
                    y: low.y + (high.y - low.y) / 60 * j,
                });
                let east = (at.x - low.x) % layout.column_pitch();
                let north = (at.y - low.y) % layout.row_pitch();
                assert!(east >= YARD_WIDTH + ROOM && east <= layout.column_pitch() - ROOM);
                assert!(north >= layout.headland + ROOM && north <= layout.row_pitch() - ROOM);
            }
        }
        // Well inside a field it stays.
        let [south, north] = layout.swath_ends(3, 2);
        let inside = Point {
            x: south.x,
            y: (south.y + north.y) / 2,
        };
        assert_eq!(layout.off_road(inside), inside);
    }
}
