//! Machines: who they are, which follows from the configuration, and what they are doing, from the newest view.

use std::collections::BinaryHeap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use kernel::config::MAX_ENTITIES;
use kernel::farm::Farm;
use kernel::rows::State as Doing;
use kernel::view::SPEED_STEP_M_PER_S;
use kernel::world::World;
use serde::{Deserialize, Serialize};
use transport::control::{SimulationId, SimulationInfo};
use utoipa::{IntoParams, ToSchema};

use super::answered::Answered;
use super::described::{EntityProblems, ReadProblems};
use super::extract::{Id, Query, simulation_id};
use super::page::{List, limit};
use super::range::{out_of, within};
use super::simulations::info;
use crate::access::Viewer;
use crate::app::App;
use crate::latest::NoView;
use crate::problem::{Problem, ProblemKind};
use crate::stream_json::{ShownRow, for_each_row};
use crate::view_setting::ViewSetting;
use crate::view_tick::ViewTick;

/// Which machines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntityQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Only those in this state, at the tick of the page.
    #[param(inline)]
    state: Option<MachineState>,
    /// Only those of this class.
    #[param(max_length = 64, example = "weeder")]
    class: Option<String>,
    /// Only those of this site, 0-based.
    #[param(minimum = 0, maximum = 999_999)]
    site: Option<u64>,
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MachineState {
    /// Nothing to do.
    Idle,
    /// On its way to work or to a place it was sent to.
    Travelling,
    /// On a swath.
    Working,
    /// At a headland, from one swath to the next.
    Turning,
    /// On its way to a charger or a parking place.
    Returning,
    /// Filling a tank.
    Refilling,
    /// Waiting for a charger.
    Queueing,
    /// On a charger.
    Charging,
    /// Broken down.
    Faulted,
    /// Told to wait.
    Holding,
}

impl MachineState {
    /// By code.
    const ALL: [MachineState; Doing::ALL.len()] = [
        MachineState::Idle,
        MachineState::Travelling,
        MachineState::Working,
        MachineState::Turning,
        MachineState::Returning,
        MachineState::Refilling,
        MachineState::Queueing,
        MachineState::Charging,
        MachineState::Faulted,
        MachineState::Holding,
    ];
}

/// A machine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Machine {
    /// Its id, 1-based.
    #[schema(minimum = 1, example = 17)]
    id: u32,
    /// Its class.
    #[schema(example = "weeder")]
    class: &'static str,
    /// Its site, 0-based.
    site: u32,
    /// Its home in the world, east and north, m.
    #[schema(min_items = 2, max_items = 2, example = json!([-690.5, 12.25]))]
    home_m: [f64; 2],
    /// What it is doing; null where no view of it could be had.
    #[schema(required)]
    now: Option<MachineNow>,
}

/// What a machine is doing, to the precision of a view: places to about 10 cm.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MachineNow {
    /// East in the world, m.
    x: f64,
    /// North in the world, m.
    y: f64,
    /// Radians from east, counter-clockwise.
    #[schema(minimum = 0, maximum = 6.3)]
    heading: f64,
    /// m/s.
    #[schema(minimum = 0)]
    speed: f64,
    /// Percent of full.
    #[schema(minimum = 0, maximum = 100)]
    battery: f64,
    /// What it is doing.
    state: MachineState,
}

/// A page of machines.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MachinePage {
    /// Tick at which `now` is true; null where no view could be had.
    #[schema(required)]
    tick: Option<u64>,
    /// Machines, by id.
    items: Vec<Machine>,
    /// To be given as `cursor` for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A machine with the tick at which it was seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MachineAt {
    /// Tick at which `now` is true; null where no view could be had.
    #[schema(required)]
    tick: Option<u64>,
    /// The machine.
    #[serde(flatten)]
    #[schema(inline)]
    machine: Machine,
}

/// Lists machines by id, with what each is doing at the newest tick that was shown.
#[utoipa::path(get, path = "/v1/simulations/{id}/entities", operation_id = "list_entities", tag = "farm",
    params(super::IdParam, EntityQuery),
    responses((status = 200, body = MachinePage, description = "A page."), EntityProblems))]
pub(crate) async fn list(
    Viewer(caller): Viewer,
    State(app): State<App>,
    Id(id): Id,
    Query(query): Query<EntityQuery>,
) -> Result<Answered<MachinePage>, Problem> {
    let filters = (&query.state, &query.class, query.site);
    let list = List::new(&format!("/v1/simulations/{id}/entities"), &filters);
    let after = query.cursor.as_deref().map(|cursor| list.place_u64(cursor));
    let after = after.transpose()?.unwrap_or(0);
    let most = limit(query.limit)? as usize;
    let info = info(&app, caller, id).await?;
    let machines = Machines::new(&info)?;
    let wanted = machines.wanted(&query, after)?;
    let view = match app.views.latest(id).await {
        Ok(view) => Some(view),
        Err(why) if query.state.is_some() => return Err(unseen(why)),
        Err(_) => None,
    };
    // A pass over a million records is no work for a thread that serves sockets.
    let page =
        tokio::task::spawn_blocking(move || machines.page(&wanted, view.as_ref(), most, list));
    let page = page.await;
    page.map(Answered).map_err(|_| failed())
}

/// Reads one machine.
#[utoipa::path(get, path = "/v1/simulations/{id}/entities/{entity}", operation_id = "read_entity", tag = "farm",
    params(super::IdParam, ("entity" = u32, Path, description = "The machine's id.", minimum = 1, maximum = 1_000_000)),
    responses((status = 200, body = MachineAt, description = "As it was seen last."), ReadProblems))]
pub(crate) async fn read(
    Viewer(caller): Viewer,
    State(app): State<App>,
    EntityPath(id, entity): EntityPath,
) -> Result<Answered<MachineAt>, Problem> {
    let info = info(&app, caller, id).await?;
    let machines = Machines::new(&info)?;
    if entity > machines.farm.config.entities {
        let detail = format!(
            "the simulation has no machine {entity}; its machines are 1 to {}",
            machines.farm.config.entities
        );
        return Err(Problem {
            field: Some("entity".to_owned()),
            ..Problem::new(ProblemKind::NotFound, detail)
        });
    }
    let view = app.views.latest(id).await.ok();
    let found = tokio::task::spawn_blocking(move || {
        let mut now = None;
        if let Some(view) = &view {
            for_each_row(view, &everything(), |row| {
                if row.entity == entity {
                    now = Some(row);
                }
            });
        }
        MachineAt {
            tick: view.as_ref().map(|view| view.info.tick),
            machine: machines.machine(entity, now.as_ref()),
        }
    });
    found.await.map(Answered).map_err(|_| failed())
}

/// A filter by state needs a view.
fn unseen(why: NoView) -> Problem {
    match why {
        NoView::NotYet => Problem::new(
            ProblemKind::NoView,
            "no worker has shown the machines' states yet",
        ),
        NoView::NoWorker => Problem::new(
            ProblemKind::NoView,
            "there is no worker that could show the machines' states",
        ),
        // It is not to be tried again: nobody will ever show it.
        NoView::Ended => Problem::new(
            ProblemKind::StateNotKept,
            "the simulation has ended; nobody shows what its machines do any more",
        ),
    }
}

fn failed() -> Problem {
    Problem::new(ProblemKind::Internal, "the view could not be read")
}

/// A setting that shows every machine.
fn everything() -> ViewSetting {
    ViewSetting {
        max_entities: u32::MAX,
        ..ViewSetting::default()
    }
}

/// The machines of a simulation.
struct Machines {
    farm: Farm,
    world: World,
}

/// Which machines a page may show.
struct Wanted {
    state: Option<u8>,
    /// Index of the class; `None` for all.
    class: Option<u32>,
    /// First and last id.
    ids: [u32; 2],
}

impl Machines {
    fn new(info: &SimulationInfo) -> Result<Machines, Problem> {
        let farm = Farm::new(&info.spec.config);
        let farm = farm.map_err(|error| Problem::new(ProblemKind::Internal, error.to_string()))?;
        let world = World::new(&farm);
        Ok(Machines { farm, world })
    }

    fn wanted(&self, query: &EntityQuery, after: u64) -> Result<Wanted, Problem> {
        let class = query.class.as_ref().map(|name| {
            let place = self
                .farm
                .classes
                .iter()
                .position(|class| class.name == name);
            place.map(|place| place as u32).ok_or_else(|| {
                let names: Vec<_> = self.farm.classes.iter().map(|class| class.name).collect();
                Problem::invalid(
                    "class",
                    "the scenario has no class of this name",
                    names.join(", "),
                )
            })
        });
        let mut ids = [1, self.farm.config.entities];
        if let Some(site) = query.site {
            let site = within("site", site, 0, u64::from(self.farm.sites) - 1)?;
            let first = self.farm.first_entity(site);
            ids = [first, first + self.farm.machines_of(site) - 1];
        }
        let after = u32::try_from(after).unwrap_or(u32::MAX);
        ids[0] = ids[0].max(after.saturating_add(1));
        Ok(Wanted {
            state: query.state.map(|state| state as u8),
            class: class.transpose()?,
            ids,
        })
    }

    fn page(
        &self,
        wanted: &Wanted,
        view: Option<&Arc<ViewTick>>,
        most: usize,
        list: List,
    ) -> MachinePage {
        let shown = match (view, wanted.state) {
            (Some(view), Some(state)) => self.in_state(wanted, state, view, most + 1),
            (view, _) => {
                let ids = wanted.ids[0]..=wanted.ids[1];
                let ids = ids
                    .filter(|id| self.is_of_class(*id, wanted.class))
                    .take(most + 1);
                let mut shown: Vec<_> = ids.map(|id| (id, None)).collect();
                if let Some(view) = view {
                    fill(&mut shown, view);
                }
                shown
            }
        };
        let more = shown.len() > most;
        let items: Vec<_> = (shown.iter().take(most))
            .map(|(id, row)| self.machine(*id, row.as_ref()))
            .collect();
        let last = items.last().filter(|_| more);
        MachinePage {
            tick: view.map(|view| view.info.tick),
            next_cursor: last.map(|machine| list.cursor(machine.id.into())),
            items,
        }
    }

    /// The first so many machines in a state, by id.
    fn in_state(
        &self,
        wanted: &Wanted,
        state: u8,
        view: &ViewTick,
        most: usize,
    ) -> Vec<(u32, Option<ShownRow>)> {
        // The greatest id is on top, and goes when one too many is in.
        let mut least = BinaryHeap::with_capacity(most + 1);
        for_each_row(view, &everything(), |row| {
            if row.state == state
                && (wanted.ids[0]..=wanted.ids[1]).contains(&row.entity)
                && self.is_of_class(row.entity, wanted.class)
            {
                least.push(row.entity);
                if least.len() > most {
                    least.pop();
                }
            }
        });
        let ids = least.into_sorted_vec();
        let mut shown: Vec<_> = ids.into_iter().map(|id| (id, None)).collect();
        fill(&mut shown, view);
        shown
    }

    fn is_of_class(&self, entity: u32, class: Option<u32>) -> bool {
        class.is_none_or(|class| self.farm.class_of(self.place_of(entity).1) == class)
    }

    /// Site of a machine, and its index there.
    fn place_of(&self, entity: u32) -> (u32, u32) {
        let per_site = self.farm.machines_per_site;
        ((entity - 1) / per_site, (entity - 1) % per_site)
    }

    fn machine(&self, entity: u32, row: Option<&ShownRow>) -> Machine {
        let (site, machine) = self.place_of(entity);
        let class = self.farm.class_of(machine) as usize;
        Machine {
            id: entity,
            class: self.farm.classes[class].name,
            site,
            home_m: self.world.place_m(site, self.farm.layout.home(machine)),
            now: row.map(now),
        }
    }
}

/// Puts the rows of some machines, by id, beside them.
fn fill(shown: &mut [(u32, Option<ShownRow>)], view: &ViewTick) {
    let (Some((first, _)), Some((last, _))) = (shown.first(), shown.last()) else {
        return;
    };
    let range = *first..=*last;
    for_each_row(view, &everything(), |row| {
        if range.contains(&row.entity)
            && let Ok(place) = shown.binary_search_by_key(&row.entity, |(id, _)| *id)
        {
            shown[place].1 = Some(row);
        }
    });
}

fn now(row: &ShownRow) -> MachineNow {
    let metres = |units: i64| round(units as f64 / 65_536.0, 100.0);
    MachineNow {
        x: metres(row.x),
        y: metres(row.y),
        heading: round(
            f64::from(row.heading) / 256.0 * std::f64::consts::TAU,
            1_000.0,
        ),
        speed: round(f64::from(row.speed) * f64::from(SPEED_STEP_M_PER_S), 10.0),
        battery: round(f64::from(row.charge) / 255.0 * 100.0, 10.0),
        state: MachineState::ALL[(row.state as usize).min(MachineState::ALL.len() - 1)],
    }
}

/// Rounded to one of so many parts of 1: no more digits than the view has.
fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// The simulation and the machine that the path names.
pub(crate) struct EntityPath(SimulationId, u32);

impl FromRequestParts<App> for EntityPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, app).await;
        let Path((id, entity)) =
            path.map_err(|error| Problem::new(ProblemKind::Invalid, error.to_string()))?;
        let id = simulation_id("id", &id)?;
        let number = entity.parse::<u32>().ok();
        let number = number.filter(|number| (1..=MAX_ENTITIES).contains(number));
        let wrong = || out_of("entity", "what the path names", 1, MAX_ENTITIES);
        number
            .map(|number| EntityPath(id, number))
            .ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn query() -> EntityQuery {
        EntityQuery {
            limit: None,
            cursor: None,
            state: None,
            class: None,
            site: None,
        }
    }

    /// It was once told to name another tick, which this call does not take.
    #[test]
    fn an_ended_simulation_has_a_problem_whose_advice_can_be_followed_here() {
        let problem = unseen(NoView::Ended);
        assert_eq!(problem.kind.slug(), "state-not-kept");
        assert!(problem.kind.advice().contains("Leave out the filter"));
        assert!(problem.retry_after_s.is_none());
    }

    #[test]
    fn states_have_the_kernels_codes_and_names() {
        for (state, doing) in MachineState::ALL.into_iter().zip(Doing::ALL) {
            assert_eq!(state as u8, doing as u8);
            let name = serde_json::to_value(state).unwrap();
            assert_eq!(name, doing.name());
        }
    }

    #[test]
    fn pages_by_state_hold_every_machine_in_it_once_and_no_other() {
        let mut sample = Sample::dense(300, 4_096);
        sample.step(40);
        let view = sample.tick(40);
        let machines = Machines::new(&view.info).unwrap();
        let list = List::new("x", &());
        let mut seen = 0;
        for state in MachineState::ALL {
            let query = EntityQuery {
                state: Some(state),
                ..query()
            };
            let mut after = 0;
            loop {
                let wanted = machines.wanted(&query, after).unwrap();
                let page = machines.page(&wanted, Some(&view), 7, list);
                for machine in &page.items {
                    assert!(u64::from(machine.id) > after);
                    after = machine.id.into();
                    assert_eq!(machine.now.as_ref().unwrap().state, state);
                    seen += 1;
                }
                if page.next_cursor.is_none() {
                    break;
                }
                assert_eq!(page.items.len(), 7);
            }
        }
        assert_eq!(seen, 300);
    }

    #[test]
    fn a_machine_at_creation_is_at_its_home() {
        let view = Sample::weeding(30, 4_096).tick(0);
        let machines = Machines::new(&view.info).unwrap();
        let of_site = EntityQuery {
            site: Some(2),
            ..query()
        };
        let wanted = machines.wanted(&of_site, 0).unwrap();
        let page = machines.page(&wanted, Some(&view), 100, List::new("x", &()));
        let ids: Vec<_> = page.items.iter().map(|machine| machine.id).collect();
        assert_eq!(ids, (25..=30).collect::<Vec<_>>());
        for machine in &page.items {
            let now = machine.now.as_ref().unwrap();
            assert!((now.x - machine.home_m[0]).abs() < 0.2, "{machine:?}");
            assert!((now.y - machine.home_m[1]).abs() < 0.2, "{machine:?}");
        }
        let beyond = EntityQuery {
            site: Some(3),
            ..query()
        };
        assert!(machines.wanted(&beyond, 0).is_err());
    }
}
