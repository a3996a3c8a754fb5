//! Where sites lie in the world: side by side on a square grid, by number.
//!
//! A site's positions are relative to its own middle. In the world's frame the middle of site 0 is the
//! origin, and the others follow east, then north. Sites never interact, so this is for maps only: no
//! step reads it, and it is no part of a state.

use crate::farm::Farm;
use crate::layout::Point;

/// Room between two sites, 2^-16 m: 100 m.
const MARGIN: i64 = 100 << 16;
/// Units of position in a metre.
const UNITS_PER_M: f64 = 65_536.0;

/// The places of a farm's sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Sites of the farm.
    pub sites: u32,
    /// Sites of a row of the grid, west to east; the last row may be short.
    pub columns: u32,
    /// Distance between the middles of neighbours, east and north, 2^-16 m.
    pitch: [i64; 2],
    /// South-western corner of a site, in its own frame.
    low: Point,
    /// North-eastern corner of a site, in its own frame.
    high: Point,
}

impl World {
    /// The places of a farm's sites: a pure function of it.
    #[must_use]
    pub fn new(farm: &Farm) -> World {
        let (low, high) = (farm.layout.origin(), farm.layout.far_corner());
        let pitch = |low: i32, high: i32| i64::from(high) - i64::from(low) + MARGIN;
        let root = farm.sites.isqrt();
        World {
            sites: farm.sites,
            columns: root + u32::from(root * root < farm.sites),
            pitch: [pitch(low.x, high.x), pitch(low.y, high.y)],
            low,
            high,
        }
    }

    /// Middle of a site, which is the origin of its frame, in the world's: east and north, 2^-16 m.
    #[must_use]
    pub fn site_at(&self, site: u32) -> [i64; 2] {
        let (column, row) = (site % self.columns, site / self.columns);
        [
            i64::from(column) * self.pitch[0],
            i64::from(row) * self.pitch[1],
        ]
    }

    /// The same in m, exactly.
    #[must_use]
    pub fn site_at_m(&self, site: u32) -> [f64; 2] {
        self.site_at(site).map(metres)
    }

    /// A place in a site's frame, 2^-16 m, as one of the world's, m.
    #[must_use]
    pub fn place_m(&self, site: u32, at: Point) -> [f64; 2] {
        let [x, y] = self.site_at(site);
        [metres(x + i64::from(at.x)), metres(y + i64::from(at.y))]
    }

    /// West, south, east and north edge of all sites together, m.
    #[must_use]
    pub fn bounds_m(&self) -> [f64; 4] {
        let [west, south] = self.place_m(0, self.low);
        let rows = self.sites.div_ceil(self.columns);
        let [east, _] = self.place_m(self.columns - 1, self.high);
        let [_, north] = self.place_m((rows - 1) * self.columns, self.high);
        [west, south, east, north]
    }
}

/// Units of position as metres. A world is under 2^53 units wide, so it is exact.
fn metres(units: i64) -> f64 {
    units as f64 / UNITS_PER_M
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MAX_ENTITIES, Scenario, SimulationConfig};

    fn world(scenario: Scenario, entities: u32) -> World {
        let farm = Farm::new(&SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms: 50,
            seed: 1,
            partition_rows: 4_096,
        });
        World::new(&farm.expect("valid"))
    }

    #[test]
    fn a_farm_of_one_site_has_the_world_of_its_site() {
        let world = world(Scenario::Dense, 40);
        assert_eq!((world.sites, world.site_at_m(0)), (1, [0.0, 0.0]));
        let [west, south, east, north] = world.bounds_m();
        assert!(west < 0.0 && south < 0.0 && east > 0.0 && north > 0.0);
    }

    #[test]
    fn sites_lie_apart_on_a_square_and_inside_the_bounds() {
        let mut columns = Vec::new();
        for sites in [1, 2, 4, 5, 9, 10, MAX_ENTITIES / 12] {
            let world = world(Scenario::Weeding, sites * 12);
            columns.push(world.columns);
            assert_eq!(world.sites, sites);
            let [west, south, east, north] = world.bounds_m();
            let (mut last_east, mut last_north) = (f64::MIN, f64::MIN);
            for site in 0..sites {
                let [x0, y0] = world.place_m(site, world.low);
                let [x1, y1] = world.place_m(site, world.high);
                assert!(x0 >= west && x1 <= east && y0 >= south && y1 <= north);
                if site % world.columns == 0 {
                    assert!(y0 >= last_north + 100.0);
                    last_north = y1;
                } else {
                    assert!(x0 >= last_east + 100.0);
                }
                last_east = x1;
            }
        }
        assert_eq!(columns, [1, 2, 2, 3, 3, 4, 289]);
    }
}
