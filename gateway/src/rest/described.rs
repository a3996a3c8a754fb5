//! How problems stand in the OpenAPI document: each route names the kinds that it can answer with.

use std::collections::BTreeMap;

use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, Ref, RefOr, Response, ResponseBuilder, Type,
};

use crate::problem::{PROBLEM_JSON, Problem, ProblemKind};

/// Kinds that every route with an access check can answer with.
const COMMON: &[ProblemKind] = &[
    ProblemKind::Unauthorized,
    ProblemKind::Forbidden,
    ProblemKind::OriginNotAllowed,
    ProblemKind::WrongHost,
    ProblemKind::RateLimited,
    ProblemKind::Internal,
];

/// Kinds that every route that asks the orchestrator can answer with.
const ASKING: &[ProblemKind] = &[
    ProblemKind::OverCapacity,
    ProblemKind::OrchestratorUnavailable,
    ProblemKind::OrchestratorTimeout,
];

/// Kinds of a route that takes a body.
const BODY: &[ProblemKind] = &[
    ProblemKind::MalformedJson,
    ProblemKind::BodyTooSlow,
    ProblemKind::BodyTooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::Invalid,
    ProblemKind::KeyReused,
    ProblemKind::StoreUnavailable,
];

macro_rules! problem_sets {
    ($($(#[$doc:meta])* $name:ident = [$($group:ident),*] + [$($kind:ident),*];)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl utoipa::IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    describe(&[$($group,)* &[$(ProblemKind::$kind,)*]])
                }
            }
        )*
    };
}

/// Kinds of a route that anybody may ask.
const OPEN: &[ProblemKind] = &[ProblemKind::WrongHost, ProblemKind::Internal];

problem_sets! {
    /// Of a route that anybody may ask.
    OpenProblems = [OPEN] + [];
    /// Of the probe of readiness.
    ReadyProblems = [OPEN] + [OverCapacity, OrchestratorUnavailable];
    /// Of a route that only the gateway answers.
    PlainProblems = [COMMON] + [Invalid];
    /// Of a list of the orchestrator's.
    ListProblems = [COMMON, ASKING] + [Invalid, BadCursor];
    /// Of a read of one thing.
    ReadProblems = [COMMON, ASKING] + [Invalid, NotFound];
    /// Of a read of the orchestrator's or of history.
    LatencyProblems = [COMMON, ASKING] + [Invalid, NotFound, StoreUnavailable];
    /// Of a list that belongs to a simulation.
    PartProblems = [COMMON, ASKING] + [Invalid, BadCursor, NotFound, StoreUnavailable];
    /// Of a live stream.
    StreamProblems = [COMMON, ASKING] + [Invalid, BadTicket, NotFound, NotWebSocket, NotSupported];
    /// Of a list of machines.
    EntityProblems = [COMMON, ASKING] + [Invalid, BadCursor, NotFound, StateNotKept, NoView];
    /// Of a creation.
    CreateProblems = [COMMON, ASKING, BODY] + [NotSupported, Exists];
    /// Of a change.
    ChangeProblems = [COMMON, ASKING, BODY] + [NotFound, InvalidTransition];
    /// Of a deletion.
    DeleteProblems = [COMMON, ASKING] + [NotFound, Invalid, StoreUnavailable];
    /// Of a step in a simulation's life.
    LifeProblems = [COMMON, ASKING, BODY] + [NotFound, InvalidTransition];
    /// Of a command.
    CommandProblems = [COMMON, ASKING, BODY] + [NotFound, NotSupported, InvalidTransition, TickPassed];
    /// Of a fork.
    ForkProblems = [COMMON, ASKING, BODY] + [NotFound, NotSupported, TickNotKept, InvalidTransition];
    /// Of a new token or ticket.
    SecretProblems = [COMMON, ASKING, BODY] + [Exists];
}

/// Responses of some kinds, by status.
fn describe(groups: &[&[ProblemKind]]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<ProblemKind>> = BTreeMap::new();
    for kind in groups.iter().copied().flatten() {
        let kinds = by_status.entry(kind.status().as_u16()).or_default();
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    let responses = by_status.into_iter();
    responses
        .map(|(status, kinds)| (status.to_string(), response(status, &kinds).into()))
        .collect()
}

fn response(status: u16, kinds: &[ProblemKind]) -> Response {
    let lines: Vec<_> = kinds
        .iter()
        .map(|kind| format!("`{}`: {}.", kind.slug(), kind.title()))
        .collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    for kind in kinds {
        let problem = Problem::new(*kind, kind.title());
        let body = serde_json::from_slice(&problem.to_json(None)).expect("it was JSON");
        let example = ExampleBuilder::new()
            .value(Some::<serde_json::Value>(body))
            .build();
        content = content.examples_from_iter([(kind.slug(), example)]);
    }
    let mut response = ResponseBuilder::new()
        .description(lines.join(" "))
        .content(PROBLEM_JSON, content.build());
    if matches!(status, 429 | 503 | 504) {
        response = response.header("Retry-After", header(Type::Integer, "Seconds to wait."));
    }
    if status == 401 {
        let described = header(Type::String, "The scheme: Bearer.");
        response = response.header("WWW-Authenticate", described);
    }
    response.build()
}

/// A described header.
pub(crate) fn header(of: Type, description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(Object::with_type(of)))
        .description(Some(description))
        .build()
}
