//! The places that machines work in: sites in the world's frame, and what every site is made of in its own.

use axum::extract::State;
use kernel::farm::Farm;
use kernel::layout::{Layout, Point, TURN_LINE, UNITS_PER_M, YARD_WIDTH};
use kernel::world::World;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answered::Answered;
use super::described::PartProblems;
use super::extract::{Id, Query};
use super::page::{List, limit};
use super::simulations::info;
use crate::access::Viewer;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

/// Farthest that a bound may lie from the origin, m.
const MAX_BOUND_M: f64 = 1e9;

/// Which part of the world.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WorldQuery {
    /// Most sites of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Only what touches this box in the world: west, south, east and north edge in m, with commas between them.
    #[param(max_length = 200, example = "-500,-500,500,500")]
    bounds_m: Option<String>,
}

/// A page of the world.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorldPage {
    /// West, south, east and north edge of all sites together, m.
    #[schema(min_items = 4, max_items = 4)]
    bounds_m: [f64; 4],
    /// Sites of the simulation.
    sites: u32,
    /// Fields of all sites.
    fields: u64,
    /// What every site is made of, in its own frame; null behind a cursor, where it was told before.
    #[schema(required)]
    layout: Option<SiteLayout>,
    /// Sites of the page, by number.
    items: Vec<Site>,
    /// To be given as `cursor` for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A site.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Site {
    /// Its number, 0-based.
    site: u32,
    /// Where the origin of its frame lies in the world, east and north, m.
    #[schema(min_items = 2, max_items = 2)]
    origin_m: [f64; 2],
    /// Its edges in the world, m.
    #[schema(min_items = 4, max_items = 4)]
    bounds_m: [f64; 4],
    /// Its machines: the first id and the last.
    #[schema(min_items = 2, max_items = 2)]
    entities: [u32; 2],
}

/// What a site is made of, in its own frame, whose origin is its middle. In a world of one site only what
/// touches `bounds_m`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteLayout {
    /// Its edges, m.
    #[schema(min_items = 4, max_items = 4)]
    bounds_m: [f64; 4],
    /// Fields.
    fields: Vec<Field>,
    /// Headlands: machines turn and travel on them.
    headlands: Vec<Headland>,
    /// Charging stations.
    stations: Vec<Station>,
}

/// A field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Field {
    /// Its number in its site, 0-based.
    field: u32,
    /// Its edges without its yard, m.
    #[schema(min_items = 4, max_items = 4)]
    bounds_m: [f64; 4],
    /// The edges of its yard, where machines stand and charge, m.
    #[schema(min_items = 4, max_items = 4)]
    yard_m: [f64; 4],
    /// Its rows run from south to north, this many.
    rows: u32,
    /// Middle of the westernmost row, m.
    first_row_x_m: f64,
    /// Distance between rows, m.
    row_pitch_m: f64,
    /// Southern and northern end of every row, on the lines on which machines turn, m.
    #[schema(min_items = 2, max_items = 2)]
    row_ends_y_m: [f64; 2],
}

/// A headland.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Headland {
    /// Its number in its site from south to north, 0-based.
    headland: u32,
    /// Its edges, m.
    #[schema(min_items = 4, max_items = 4)]
    bounds_m: [f64; 4],
}

/// A charging station.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Station {
    /// Its number in its site, 0-based.
    station: u32,
    /// Field in whose yard it stands.
    field: u32,
    /// Its slots, east and north, m.
    slots_m: Vec<[f64; 2]>,
    /// Places where machines wait for a slot, m.
    parking_m: Vec<[f64; 2]>,
    /// Power of a slot, W.
    slot_power_w: f64,
}

/// Shows sites, fields, rows, headlands and stations. All sites of a simulation are made alike, so what they are made
/// of is told once.
#[utoipa::path(get, path = "/v1/simulations/{id}/world", operation_id = "read_world", tag = "farm",
    params(super::IdParam, WorldQuery),
    responses((status = 200, body = WorldPage, description = "A page."), PartProblems))]
pub(crate) async fn read(
    Viewer(caller): Viewer,
    State(app): State<App>,
    Id(id): Id,
    Query(query): Query<WorldQuery>,
) -> Result<Answered<WorldPage>, Problem> {
    let bounds = query.bounds_m.as_deref().map(bounds).transpose()?;
    let list = List::new(&format!("/v1/simulations/{id}/world"), &bounds);
    let after = query.cursor.as_deref().map(|cursor| list.place_u64(cursor));
    let after = after.transpose()?;
    let most = limit(query.limit)? as usize;
    let info = info(&app, caller, id).await?;
    let farm = Farm::new(&info.spec.config);
    let farm = farm.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
    Ok(Answered(page(&farm, bounds, after, most, list)))
}

fn page(
    farm: &Farm,
    bounds: Option<[f64; 4]>,
    after: Option<u64>,
    most: usize,
    list: List,
) -> WorldPage {
    let world = World::new(farm);
    let first = after.map_or(0, |after| u32::try_from(after + 1).unwrap_or(u32::MAX));
    let sites = (first..farm.sites).map(|site| site_of(farm, &world, site));
    let shown = sites.filter(|site| bounds.is_none_or(|bounds| touch(bounds, site.bounds_m)));
    let mut items: Vec<_> = shown.take(most + 1).collect();
    let more = items.len() > most;
    items.truncate(most);
    let last = items.last().filter(|_| more);
    WorldPage {
        bounds_m: world.bounds_m(),
        sites: farm.sites,
        fields: u64::from(farm.sites) * u64::from(farm.layout.fields),
        layout: after.is_none().then(|| {
            // The frame of the only site is the world's.
            layout_of(farm, bounds.filter(|_| farm.sites == 1))
        }),
        next_cursor: last.map(|site| list.cursor(site.site.into())),
        items,
    }
}

fn site_of(farm: &Farm, world: &World, site: u32) -> Site {
    let [x0, y0] = world.place_m(site, farm.layout.origin());
    let [x1, y1] = world.place_m(site, farm.layout.far_corner());
    let first = farm.first_entity(site);
    Site {
        site,
        origin_m: world.site_at_m(site),
        bounds_m: [x0, y0, x1, y1],
        entities: [first, first + farm.machines_of(site) - 1],
    }
}

fn layout_of(farm: &Farm, bounds: Option<[f64; 4]>) -> SiteLayout {
    let layout = &farm.layout;
    let (low, high) = (layout.origin(), layout.far_corner());
    let inside = |of: [f64; 4]| bounds.is_none_or(|bounds| touch(bounds, of));
    let fields = (0..layout.fields).map(|field| field_of(layout, field));
    let headlands = (0..=layout.field_rows).map(|headland| {
        let middle = layout.headland_y(headland);
        let [south, north] = [middle - layout.headland / 2, middle + layout.headland / 2];
        Headland {
            headland,
            bounds_m: [low.x, south, high.x, north].map(metres),
        }
    });
    let stations = (0..layout.stations()).map(|station| station_of(farm, station));
    SiteLayout {
        bounds_m: [low.x, low.y, high.x, high.y].map(metres),
        fields: fields
            .filter(|field| inside(field.bounds_m) || inside(field.yard_m))
            .collect(),
        headlands: headlands
            .filter(|headland| inside(headland.bounds_m))
            .collect(),
        stations: stations
            .filter(|station| {
                let mut places = station.slots_m.iter().chain(&station.parking_m);
                places.any(|[x, y]| inside([*x, *y, *x, *y]))
            })
            .collect(),
    }
}

fn field_of(layout: &Layout, field: u32) -> Field {
    let corner = layout.field_corner(field);
    let west = corner.x + YARD_WIDTH;
    let east = west + layout.swath_pitch * layout.swaths_per_field as i32;
    let north = corner.y + layout.swath_length;
    let [first, _] = layout.swath_ends(field, 0);
    Field {
        field,
        bounds_m: [west, corner.y, east, north].map(metres),
        yard_m: [corner.x, corner.y, west, north].map(metres),
        rows: layout.swaths_per_field,
        first_row_x_m: metres(first.x),
        row_pitch_m: metres(layout.swath_pitch),
        row_ends_y_m: [corner.y - TURN_LINE, north + TURN_LINE].map(metres),
    }
}

fn station_of(farm: &Farm, station: u32) -> Station {
    let layout = &farm.layout;
    let slots = station * layout.slots_per_station..(station + 1) * layout.slots_per_station;
    let parks = station * layout.parks_per_station..(station + 1) * layout.parks_per_station;
    let place = |at: Point| [metres(at.x), metres(at.y)];
    Station {
        station,
        field: layout.field_of_station(station),
        slots_m: slots.map(|slot| place(layout.slot(slot))).collect(),
        parking_m: parks.map(|park| place(layout.park(park))).collect(),
        slot_power_w: farm.slot_power_w.into(),
    }
}

fn metres(units: i32) -> f64 {
    f64::from(units) / f64::from(UNITS_PER_M)
}

/// Whether two boxes have a point in common.
fn touch(a: [f64; 4], b: [f64; 4]) -> bool {
    a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3]
}

fn bounds(text: &str) -> Result<[f64; 4], Problem> {
    let numbers: Option<Vec<f64>> = (text.split(','))
        .map(|number| number.trim().parse().ok())
        .collect();
    let bounds: Option<[f64; 4]> = numbers.and_then(|numbers| numbers.try_into().ok());
    let is_box = |[x0, y0, x1, y1]: &[f64; 4]| {
        let all = [x0, y0, x1, y1];
        all.iter().all(|n| n.is_finite() && n.abs() <= MAX_BOUND_M) && x0 <= x1 && y0 <= y1
    };
    bounds.filter(is_box).ok_or_else(|| {
        Problem::invalid(
            "bounds_m",
            "`bounds_m` is no box",
            "west,south,east,north in m, west <= east and south <= north",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::config::{Scenario, SimulationConfig};

    fn farm(scenario: Scenario, entities: u32) -> Farm {
        Farm::new(&SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms: 50,
            seed: 1,
            partition_rows: 4_096,
        })
        .expect("valid")
    }

    #[test]
    fn pages_hold_every_site_once_and_the_layout_comes_first() {
        let farm = farm(Scenario::Weeding, 12 * 25 + 1);
        let list = List::new("x", &());
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = page(&farm, None, after, 10, list);
            assert_eq!(page.layout.is_some(), after.is_none());
            seen.extend(page.items.iter().map(|site| site.site));
            let Some(cursor) = page.next_cursor else {
                assert_eq!(page.items.last().unwrap().entities, [301, 301]);
                break;
            };
            after = Some(list.place_u64(&cursor).unwrap());
        }
        assert_eq!(seen, (0..26).collect::<Vec<_>>());
    }

    #[test]
    fn bounds_leave_out_what_they_do_not_touch() {
        let farm = farm(Scenario::Weeding, 12 * 25);
        let list = List::new("x", &());
        let middle = World::new(&farm).site_at_m(7);
        let around = [
            middle[0] - 1.0,
            middle[1] - 1.0,
            middle[0] + 1.0,
            middle[1] + 1.0,
        ];
        let page = page(&farm, Some(around), None, 100, list);
        let sites: Vec<_> = page.items.iter().map(|site| site.site).collect();
        assert_eq!((sites, page.next_cursor), (vec![7], None));
        assert_eq!(page.layout.unwrap().fields.len(), 12);
    }

    #[test]
    fn of_one_crowded_site_only_what_is_in_the_bounds_is_told() {
        let farm = farm(Scenario::Dense, 640);
        let all = layout_of(&farm, None);
        assert_eq!(all.fields.len(), farm.layout.fields as usize);
        assert!(
            all.stations
                .iter()
                .all(|station| !station.slots_m.is_empty())
        );
        for field in &all.fields {
            let [x0, y0, x1, y1] = field.bounds_m;
            assert!(x0 < field.first_row_x_m && field.first_row_x_m < x1);
            assert!(field.row_ends_y_m[0] < y0 && field.row_ends_y_m[1] > y1);
        }
        let [x0, y0, ..] = all.fields[0].bounds_m;
        let part = layout_of(&farm, Some([x0 + 1.0, y0 + 1.0, x0 + 2.0, y0 + 2.0]));
        assert_eq!(part.fields.len(), 1);
        assert_eq!((part.headlands.len(), part.stations.len()), (0, 0));
    }

    #[test]
    fn bounds_that_are_no_box_are_refused() {
        assert_eq!(bounds("-1,-2,3.5,4").unwrap(), [-1.0, -2.0, 3.5, 4.0]);
        for wrong in [
            "",
            "1,2,3",
            "1,2,3,4,5",
            "a,b,c,d",
            "2,0,1,1",
            "0,0,nan,1",
            "0,0,inf,1",
            "0,0,1e10,1",
        ] {
            assert!(bounds(wrong).is_err(), "{wrong}");
        }
    }
}
