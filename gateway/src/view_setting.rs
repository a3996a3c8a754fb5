//! What a client wants to see of a simulation, made so coarse that clients who want nearly the same share it.

use transport::control::{Log, MAX_VIEW_HZ};

use crate::stream_limits::{
    DEFAULT_VIEW_ENTITIES, DEFAULT_VIEW_HZ, MAX_COORDINATE_M, MIN_TILE_M, max_entities,
};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subprotocol {
    /// Every message is text.
    Json,
    /// Ids and ticks are binary, the rest is text.
    Binary,
}

impl Subprotocol {
    /// Both.
    pub const ALL: [Subprotocol; 2] = [Subprotocol::Json, Subprotocol::Binary];

    /// As `Sec-WebSocket-Protocol` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Subprotocol::Json => "autofarm.v1.json",
            Subprotocol::Binary => "autofarm.v1.bin",
        }
    }

    /// The one of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Subprotocol> {
        Subprotocol::ALL.into_iter().find(|s| s.name() == name)
    }

    /// As metrics spell it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Subprotocol::Json => "json",
            Subprotocol::Binary => "bin",
        }
    }
}

/// Which events a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventFilter {
    /// None.
    None,
    /// Changes of the simulation's status.
    #[default]
    Lifecycle,
    /// All of the log `system`: workers and lateness, too.
    System,
    /// All of both logs.
    All,
}

impl EventFilter {
    /// Every filter.
    pub const ALL: [EventFilter; 4] = [
        EventFilter::None,
        EventFilter::Lifecycle,
        EventFilter::System,
        EventFilter::All,
    ];

    /// As clients spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EventFilter::None => "none",
            EventFilter::Lifecycle => "lifecycle",
            EventFilter::System => "system",
            EventFilter::All => "all",
        }
    }

    /// The filter of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<EventFilter> {
        EventFilter::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Whether it lets any event of a log pass.
    #[must_use]
    pub fn takes_of(self, log: Log) -> bool {
        match self {
            EventFilter::None => false,
            EventFilter::Lifecycle | EventFilter::System => log == Log::System,
            EventFilter::All => true,
        }
    }
}

/// A square grid's cells from `west` to before `east` and `south` to before `north`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tiles {
    /// Side of a cell, m: a power of two.
    side_m: i64,
    west: i64,
    south: i64,
    east: i64,
    north: i64,
}

impl Tiles {
    /// The cells that cover bounds: of a quarter of their longer side or more, so that near bounds are equal ones.
    fn around(bounds_m: [f64; 4]) -> Tiles {
        let [west, south, east, north] = bounds_m;
        let longer = (east - west).max(north - south);
        // At most 2 * MAX_COORDINATE_M / 4.
        let side_m = ((longer / 4.0).ceil() as i64).max(MIN_TILE_M);
        let side_m = side_m.cast_unsigned().next_power_of_two().cast_signed();
        let cell = |m: f64| m / side_m as f64;
        Tiles {
            side_m,
            west: cell(west).floor() as i64,
            south: cell(south).floor() as i64,
            east: cell(east).ceil() as i64,
            north: cell(north).ceil() as i64,
        }
    }

    /// West, south, east and north edge, m.
    #[must_use]
    pub fn bounds_m(&self) -> [f64; 4] {
        [self.west, self.south, self.east, self.north].map(|cell| (cell * self.side_m) as f64)
    }

    /// The same in 2^-16 m.
    #[must_use]
    pub fn bounds_units(&self) -> [i64; 4] {
        [self.west, self.south, self.east, self.north].map(|cell| (cell * self.side_m) << 16)
    }
}

/// What of a tick is shown. Clients of equal settings and one subprotocol share every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewSetting {
    /// Where; `None` for the whole world.
    pub tiles: Option<Tiles>,
    /// How many machines at most.
    pub max_entities: u32,
}

impl Default for ViewSetting {
    fn default() -> ViewSetting {
        ViewSetting {
            tiles: None,
            max_entities: DEFAULT_VIEW_ENTITIES,
        }
    }
}

/// What a client asks for; what it leaves out has its default.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Wish {
    /// West, south, east and north edge in the world, m; `None` for all of it.
    pub bounds_m: Option<[f64; 4]>,
    /// Machines at most.
    pub max_entities: Option<u32>,
    /// Ticks a second of wall time at most.
    pub rate_hz: Option<u32>,
    /// Which events.
    pub events: EventFilter,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Of a tick.
    pub setting: ViewSetting,
    /// Ticks a second of wall time at most, 1..=[`MAX_VIEW_HZ`].
    pub rate_hz: u32,
    /// Which events.
    pub events: EventFilter,
}

impl Default for Grant {
    fn default() -> Grant {
        Grant {
            setting: ViewSetting::default(),
            rate_hz: DEFAULT_VIEW_HZ,
            events: EventFilter::default(),
        }
    }
}

/// Why a view cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// No rectangle.
    #[error(
        "bounds_m: four numbers west, south, east, north with west < east and south < north, none beyond 10,000 km"
    )]
    Bounds,
    /// Too many machines.
    #[error("max_entities: {asked} is not from 0 to {most}")]
    MaxEntities {
        /// What was asked for.
        asked: u32,
        /// Most that the subprotocol has.
        most: u32,
    },
    /// Too often or never.
    #[error("rate_hz: {asked} is not from 1 to {MAX_VIEW_HZ}")]
    Rate {
        /// What was asked for.
        asked: u32,
    },
    /// The clients of the simulation have as many distinct views as there may be.
    #[error(
        "the clients of this simulation have {most} distinct views already; the last view stays"
    )]
    TooManyViews {
        /// Most there may be.
        most: usize,
    },
}

impl ViewError {
    /// The code in error messages.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            ViewError::Bounds | ViewError::MaxEntities { .. } | ViewError::Rate { .. } => {
                "bad_view"
            }
            ViewError::TooManyViews { .. } => "too_many_views",
        }
    }
}

impl Wish {
    /// What a client gets who asks for this in a world of such bounds.
    ///
    /// # Errors
    /// [`ViewError`] but for [`ViewError::TooManyViews`], which depends on others.
    pub fn grant(&self, subprotocol: Subprotocol, world_m: [f64; 4]) -> Result<Grant, ViewError> {
        let most = max_entities(subprotocol);
        let max_entities = self.max_entities.unwrap_or(DEFAULT_VIEW_ENTITIES);
        if max_entities > most {
            let asked = max_entities;
            return Err(ViewError::MaxEntities { asked, most });
        }
        let rate_hz = self.rate_hz.unwrap_or(DEFAULT_VIEW_HZ);
        if !(1..=MAX_VIEW_HZ).contains(&rate_hz) {
            return Err(ViewError::Rate { asked: rate_hz });
        }
        let tiles = match self.bounds_m {
            Some(bounds_m) => tiles_within(bounds_m, world_m)?,
            None => None,
        };
        let setting = ViewSetting {
            tiles,
            max_entities,
        };
        Ok(Grant {
            setting,
            rate_hz,
            events: self.events,
        })
    }
}

/// Snaps bounds outward; `None` where they then hold the world.
fn tiles_within(bounds_m: [f64; 4], world_m: [f64; 4]) -> Result<Option<Tiles>, ViewError> {
    let [west, south, east, north] = bounds_m;
    // Written so that what is no number is refused.
    let is_near = |m: f64| m.abs() <= MAX_COORDINATE_M;
    if !(bounds_m.into_iter().all(is_near) && west < east && south < north) {
        return Err(ViewError::Bounds);
    }
    let tiles = Tiles::around(bounds_m);
    let [w, s, e, n] = tiles.bounds_m();
    let has_world = w <= world_m[0] && s <= world_m[1] && e >= world_m[2] && n >= world_m[3];
    Ok((!has_world).then_some(tiles))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: [f64; 4] = [-500.0, -400.0, 5_000.0, 4_000.0];

    fn grant(wish: Wish) -> Result<Grant, ViewError> {
        wish.grant(Subprotocol::Json, WORLD)
    }

    fn of(bounds_m: [f64; 4]) -> Result<Option<[f64; 4]>, ViewError> {
        let wish = Wish {
            bounds_m: Some(bounds_m),
            ..Wish::default()
        };
        let tiles = grant(wish)?.setting.tiles;
        Ok(tiles.map(|tiles| tiles.bounds_m()))
    }

    #[test]
    fn bounds_snap_outward_so_that_near_ones_are_shared() {
        let snapped = of([10.0, 20.0, 110.0, 90.0]);
        assert_eq!(snapped, Ok(Some([0.0, 0.0, 128.0, 96.0])));
        assert_eq!(of([13.0, 25.5, 120.0, 95.0]), snapped);
        // A pan by less than a tile, then one by more.
        assert_eq!(
            of([-1.0, 20.0, 99.0, 90.0]),
            Ok(Some([-32.0, 0.0, 128.0, 96.0]))
        );
        assert_eq!(of([0.0, 0.0, 1.0, 1.0]), Ok(Some([0.0, 0.0, 16.0, 16.0])));
        let far = of([9e6, 9e6, 1e7, 1e7]).unwrap().unwrap();
        assert!(far[0] <= 9e6 && far[2] >= 1e7 && far[2] < 1.1e7);
    }

    #[test]
    fn bounds_around_the_world_are_the_world() {
        assert_eq!(of([-1e4, -1e4, 1e4, 1e4]), Ok(None));
        assert_eq!(of(WORLD), Ok(None));
        assert_eq!(grant(Wish::default()), Ok(Grant::default()));
    }

    #[test]
    fn what_is_no_view_is_refused_by_the_field() {
        for bounds in [
            [f64::NAN, 0.0, 1.0, 1.0],
            [0.0, 0.0, f64::INFINITY, 1.0],
            [0.0, 0.0, 0.0, 1.0],
            [0.0, 2.0, 1.0, 1.0],
            [0.0, 0.0, 1.1e7, 1.0],
        ] {
            assert_eq!(of(bounds), Err(ViewError::Bounds));
        }
        let asked = 100_001;
        let many = Wish {
            max_entities: Some(asked),
            ..Wish::default()
        };
        let most = 100_000;
        assert_eq!(grant(many), Err(ViewError::MaxEntities { asked, most }));
        assert!(many.grant(Subprotocol::Binary, WORLD).is_ok());
        for asked in [0, 61] {
            let often = Wish {
                rate_hz: Some(asked),
                ..Wish::default()
            };
            assert_eq!(grant(often), Err(ViewError::Rate { asked }));
        }
    }
}
