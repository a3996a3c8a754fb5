//! What has happened, as the database holds it: sums and timings, events, digests. What is newer by less
//! than a second or two may not be written yet; the live stream has it at once.

use axum::extract::State;
use kernel::aggregate::Aggregate;
use kernel::config::MAX_TICK;
use kernel::event::kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::reader::{self, EventCursor, EventQuery, MetricQuery};
use transport::control::{Log, SimulationId, event_kind};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::answered::Answered;
use super::clock::rfc3339;
use super::described::PartProblems;
use super::document;
use super::extract::{Id, Query};
use super::latency::{Durations, StagePercentiles};
use super::page::{List, Page, limit};
use super::range::within;
use crate::access::Viewer;
use crate::app::App;
use crate::event_json;
use crate::problem::{Problem, ProblemKind};

/// Kinds of events that can be asked for.
const KINDS: [u32; 8] = [
    kind::TRANSITION,
    kind::COMMAND,
    kind::COMMAND_REJECTED,
    kind::FAULT,
    kind::REPAIRED,
    kind::STAND_OFF,
    event_kind::LIFECYCLE,
    event_kind::SYSTEM,
];

const _: () = assert!(KINDS.len() <= store::limits::MAX_KINDS);
const _: () = assert!(super::page::MAX_LIMIT <= store::limits::MAX_PAGE_ROWS);

/// Which snapshots.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetricsQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Of this tick or later.
    #[param(minimum = 0, maximum = 4_294_967_294_u64, default = 0)]
    from_tick: Option<u64>,
    /// Of this tick or earlier.
    #[param(minimum = 0, maximum = 4_294_967_294_u64)]
    to_tick: Option<u64>,
    /// The last one of each so many ticks.
    #[param(minimum = 1, maximum = 4_294_967_294_u64, default = 1)]
    every: Option<u64>,
}

/// Sums at a tick, and timings of the interval that ends with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Snapshot {
    /// The tick.
    tick: u64,
    /// When it was taken.
    #[schema(format = DateTime)]
    at: String,
    /// Sums over all machines.
    #[schema(value_type = AggregatesShape)]
    aggregates: Value,
    /// Late ticks since creation.
    late_ticks: u64,
    /// Simulated over real time in the interval.
    achieved_speed: f64,
    /// Where ticks' time went in the interval.
    stages: Vec<StagePercentiles>,
}

/// Sums over all machines, as the document shows them: made of what is written.
pub(crate) struct AggregatesShape;

impl PartialSchema for AggregatesShape {
    fn schema() -> RefOr<Schema> {
        let mut shape = shape_of(&store::aggregates::to_json(&Aggregate::default()));
        shape["description"] = "Sums over all machines: how many, by state, by tenth of charge (emptiest first), means, \
            the exact sums behind these (2^-30 of full, mm/s), and counters since creation.".into();
        document::schema(shape)
    }
}

impl ToSchema for AggregatesShape {
    fn name() -> std::borrow::Cow<'static, str> {
        "Aggregates".into()
    }
}

/// The schema of objects that have all fields of this one.
fn shape_of(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let properties: Map<String, Value> = (fields.iter())
                .map(|(name, value)| (name.clone(), shape_of(value)))
                .collect();
            let required: Vec<&String> = fields.keys().collect();
            json!({"type": "object", "properties": properties, "required": required})
        }
        Value::Array(items) => json!({
            "type": "array", "items": items.first().map(shape_of),
            "minItems": items.len(), "maxItems": items.len(),
        }),
        Value::Number(number) if number.is_f64() => json!({"type": "number"}),
        Value::Number(_) => json!({"type": "integer"}),
        _ => json!({}),
    }
}

/// Lists snapshots of sums and timings, by tick.
#[utoipa::path(get, path = "/v1/simulations/{id}/metrics", operation_id = "list_metrics", tag = "history",
    params(super::IdParam, MetricsQuery),
    responses((status = 200, body = Page<Snapshot>, description = "A page."), PartProblems))]
pub(crate) async fn metrics(
    _: Viewer,
    State(app): State<App>,
    Id(simulation): Id,
    Query(query): Query<MetricsQuery>,
) -> Result<Answered<Page<Snapshot>>, Problem> {
    let every: u64 = within("every", query.every.unwrap_or(1), 1, MAX_TICK)?;
    let mut from_tick = tick("from_tick", query.from_tick, 0)?;
    let to_tick = tick("to_tick", query.to_tick, MAX_TICK)?;
    let path = format!("/v1/simulations/{simulation}/metrics");
    let list = List::new(&path, &(from_tick, to_tick, every));
    if let Some(cursor) = &query.cursor {
        // From the next span of ticks on: one snapshot of each is shown.
        let last = list.place_u64(cursor)?.min(MAX_TICK);
        from_tick = (last / every + 1) * every;
    }
    let asked = MetricQuery {
        simulation,
        from_tick,
        to_tick,
        every,
        limit: limit(query.limit)?,
    };
    let page = found(app.archive.reader()?.metrics(&asked).await?, simulation)?;
    let last = page.items.last().filter(|_| page.more);
    let next_cursor = last.map(|snapshot| list.cursor(snapshot.tick.into()));
    let items = page.items.iter().map(|snapshot| {
        let stages = snapshot.stages.iter();
        let stages = stages.map(|stage| Ok(Durations::of(stage)?.percentiles()));
        let stages: Result<Vec<_>, Problem> = stages.collect();
        Ok(Snapshot {
            tick: snapshot.tick,
            at: rfc3339(snapshot.at_us),
            aggregates: store::aggregates::to_json(&snapshot.aggregate),
            late_ticks: snapshot.late_ticks,
            achieved_speed: snapshot.achieved_speed_milli as f64 / 1_000.0,
            stages: stages?,
        })
    });
    let items: Result<Vec<_>, Problem> = items.collect();
    Ok(Answered(Page {
        items: items?,
        next_cursor,
    }))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Only of these kinds, with commas between them: `transition`, `command`, `command_rejected`, `fault`,
    /// `repaired`, `stand_off`, `lifecycle`, `system`.
    #[param(max_length = 200, example = "fault,repaired")]
    kind: Option<String>,
    /// Only of this log.
    #[param(inline)]
    log: Option<LogName>,
    /// Of this tick or later.
    #[param(minimum = 0, maximum = 4_294_967_294_u64, default = 0)]
    from_tick: Option<u64>,
}

/// A log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogName {
    /// What happened on the farm.
    Sim,
    /// What happened to the simulation.
    System,
}

/// A kind of events.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it stands for the names in the document; a test holds them equal"
)]
pub(crate) enum EventKind {
    /// A machine entered a state.
    Transition,
    /// A command was carried out.
    Command,
    /// A command could not be carried out.
    CommandRejected,
    /// A machine broke down.
    Fault,
    /// A machine works again.
    Repaired,
    /// A machine stood in another's way.
    StandOff,
    /// The simulation's status changed.
    Lifecycle,
    /// Anything else of the system: workers, lateness, moves.
    System,
}

/// An event. Each log is numbered apart, from 1 on.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(
    dead_code,
    reason = "it stands for what `event_json` writes in the document"
)]
pub(crate) struct EventShape {
    /// In which log.
    log: LogName,
    /// Its number in its log.
    #[schema(minimum = 1)]
    seq: u64,
    /// When.
    tick: u64,
    /// What kind.
    kind: EventKind,
    /// Site it happened on; only in the log `sim`.
    #[schema(nullable = false)]
    site: Option<u32>,
    /// Machines it happened to, ascending; only in the log `sim`.
    #[schema(nullable = false)]
    entities: Option<Vec<u32>>,
    /// By kind: `state` of a transition, `command_seq` of a command, `reason` of a rejection, `repair_tick` of a
    /// fault, `other` of a stand-off, and of the system's what it says.
    #[schema(value_type = Object)]
    detail: Value,
}

/// A page of events.
#[derive(ToSchema)]
#[schema(as = EventPage)]
#[expect(dead_code, reason = "it stands for the page in the document")]
pub(crate) struct EventPageShape {
    /// Events, by tick, log and seq.
    items: Vec<EventShape>,
    /// To be given as `cursor` for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Lists events by tick, log and seq.
#[utoipa::path(get, path = "/v1/simulations/{id}/events", operation_id = "list_events", tag = "history",
    params(super::IdParam, EventsQuery),
    responses((status = 200, body = EventPageShape, description = "A page."), PartProblems))]
pub(crate) async fn events(
    _: Viewer,
    State(app): State<App>,
    Id(simulation): Id,
    Query(query): Query<EventsQuery>,
) -> Result<Answered<Page<Map<String, Value>>>, Problem> {
    let kinds = kinds(query.kind.as_deref())?;
    let from_tick = tick("from_tick", query.from_tick, 0)?;
    let path = format!("/v1/simulations/{simulation}/events");
    let list = List::new(&path, &(&kinds, query.log, from_tick));
    let after = query.cursor.as_deref().map(|cursor| list.place(cursor));
    let asked = EventQuery {
        simulation,
        log: query.log.map(|log| match log {
            LogName::Sim => Log::Sim,
            LogName::System => Log::System,
        }),
        kinds,
        from_tick,
        after: after.transpose()?.map(place_to_event),
        limit: limit(query.limit)?,
    };
    let page = found(app.archive.reader()?.events(&asked).await?, simulation)?;
    let last = page.items.last().filter(|_| page.more);
    Ok(Answered(Page {
        next_cursor: last.map(|event| list.cursor(event_to_place(EventCursor::of(event)))),
        items: page.items.iter().map(event_json::to_json).collect(),
    }))
}

fn kinds(asked: Option<&str>) -> Result<Vec<u32>, Problem> {
    let Some(asked) = asked else {
        return Ok(Vec::new());
    };
    let mut kinds = Vec::new();
    for name in asked.split(',') {
        let code = KINDS
            .into_iter()
            .find(|code| event_json::kind_name(*code) == name);
        let code = code.ok_or_else(|| {
            let names = KINDS.map(event_json::kind_name);
            Problem::invalid("kind", "`kind` names no kind of event", names.join(", "))
        })?;
        if !kinds.contains(&code) {
            kinds.push(code);
        }
    }
    Ok(kinds)
}

/// Bit of a cursor's place that says that the event is of the log `system`.
const SYSTEM_BIT: u32 = 63;

/// The place of an event as one number: its tick, its log, its seq.
fn event_to_place(event: EventCursor) -> u128 {
    let log = u128::from(event.log == Log::System) << SYSTEM_BIT;
    u128::from(event.tick) << 64 | log | u128::from(event.seq)
}

fn place_to_event(place: u128) -> EventCursor {
    let (tick, low) = ((place >> 64) as u64, place as u64);
    let is_system = low >> SYSTEM_BIT == 1;
    EventCursor {
        tick,
        log: if is_system { Log::System } else { Log::Sim },
        seq: low & !(1 << SYSTEM_BIT),
    }
}

/// Which digests.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DigestsQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Of this tick or later.
    #[param(minimum = 0, maximum = 4_294_967_294_u64, default = 0)]
    from_tick: Option<u64>,
}

/// The digest of a tick: the same wherever and however often the simulation is run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Digest {
    /// The tick.
    tick: u64,
    /// Its digest, hex.
    #[schema(pattern = "^[0-9a-f]{16}$", example = "90f1c2d3a4b5c6d7")]
    digest: String,
}

/// Lists digests by tick.
#[utoipa::path(get, path = "/v1/simulations/{id}/digests", operation_id = "list_digests", tag = "history",
    params(super::IdParam, DigestsQuery),
    responses((status = 200, body = Page<Digest>, description = "A page."), PartProblems))]
pub(crate) async fn digests(
    _: Viewer,
    State(app): State<App>,
    Id(simulation): Id,
    Query(query): Query<DigestsQuery>,
) -> Result<Answered<Page<Digest>>, Problem> {
    let mut from_tick = tick("from_tick", query.from_tick, 0)?;
    let path = format!("/v1/simulations/{simulation}/digests");
    let list = List::new(&path, &from_tick);
    if let Some(cursor) = &query.cursor {
        from_tick = list.place_u64(cursor)?.saturating_add(1);
    }
    let limit = limit(query.limit)?;
    let reader = app.archive.reader()?;
    let page = found(
        reader.digests(simulation, from_tick, limit).await?,
        simulation,
    )?;
    let last = page.items.last().filter(|_| page.more);
    Ok(Answered(Page {
        next_cursor: last.map(|digest| list.cursor(digest.tick.into())),
        items: (page.items.iter())
            .map(|of| Digest {
                tick: of.tick,
                digest: format!("{:016x}", of.digest),
            })
            .collect(),
    }))
}

pub(crate) fn tick(field: &str, asked: Option<u64>, default: u64) -> Result<u64, Problem> {
    within(field, asked.unwrap_or(default), 0, MAX_TICK)
}

pub(crate) fn found<T>(
    page: Option<reader::Page<T>>,
    simulation: SimulationId,
) -> Result<reader::Page<T>, Problem> {
    let detail = || format!("simulation {simulation} does not exist");
    page.ok_or_else(|| Problem::new(ProblemKind::NotFound, detail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_knows_every_kind() {
        let schema = serde_json::to_value(EventKind::schema()).unwrap();
        let names = KINDS.map(event_json::kind_name);
        assert_eq!(schema["enum"], json!(names));
    }

    #[test]
    fn the_place_of_an_event_comes_back() {
        for (tick, log, seq) in [
            (0, Log::Sim, 1),
            (MAX_TICK, Log::System, (1 << 63) - 1),
            (7, Log::System, 0),
        ] {
            let event = EventCursor { tick, log, seq };
            assert_eq!(place_to_event(event_to_place(event)), event);
        }
    }

    #[test]
    fn kinds_are_read_by_name_and_unknown_ones_are_refused() {
        assert!(kinds(None).unwrap().is_empty());
        let two = kinds(Some("fault,lifecycle,fault")).unwrap();
        assert_eq!(two, [kind::FAULT, event_kind::LIFECYCLE]);
        for wrong in ["", "fault,", "Fault", "unknown"] {
            assert!(kinds(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
