//! Simulations: made, listed, read, changed, deleted, and led through their lives.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use transport::control::{Answer, Ask, CommandStamp, SimulationId, SimulationInfo};
use utoipa::{IntoParams, ToSchema};

use super::answered::Answered;
use super::bodies::{
    ChangeSimulation, CreateSimulation, ForkSimulation, GiveCommand, Nothing, StepSimulation,
};
use super::described::{
    ChangeProblems, CommandProblems, CreateProblems, DeleteProblems, ForkProblems, LifeProblems,
    ListProblems, ReadProblems,
};
use super::extract::{Id, Json, Keyed, OptionalJson, Query};
use super::page::{List, Page, limit};
use super::resource::{SimulationResource, StatusJson, new_id};
use crate::access::{Caller, Operator, Viewer};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

type Created = (
    StatusCode,
    [(HeaderName, String); 1],
    Answered<SimulationResource>,
);

/// Where a page of simulations begins and what is on it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Only those of this status.
    #[param(inline)]
    status: Option<StatusJson>,
}

/// Creates a simulation, not started yet.
#[utoipa::path(post, path = "/v1/simulations", operation_id = "create_simulation", tag = "simulations",
    params(super::IdempotencyParam),
    request_body = CreateSimulation,
    responses(
        (status = 201, body = SimulationResource, description = "Created, and kept.",
            headers(("Location" = String, description = "Its path."))),
        CreateProblems))]
pub(crate) async fn create(
    Operator(caller): Operator,
    State(app): State<App>,
    body: Json<CreateSimulation>,
) -> Result<Created, Problem> {
    let ask = Ask::Create(body.value.spec()?);
    let answer = app.client.ask(caller.token, body.idempotency, ask).await?;
    created(answer)
}

/// Lists simulations, oldest first.
#[utoipa::path(get, path = "/v1/simulations", operation_id = "list_simulations", tag = "simulations",
    params(ListQuery),
    responses((status = 200, body = Page<SimulationResource>, description = "A page."), ListProblems))]
pub(crate) async fn list(
    Viewer(caller): Viewer,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Answered<Page<SimulationResource>>, Problem> {
    let list = List::new("/v1/simulations", &query.status);
    let after = query.cursor.as_deref().map(|cursor| list.place(cursor));
    let ask = Ask::Simulations {
        after: after.transpose()?.map(SimulationId),
        limit: limit(query.limit)?,
        status: query.status.map(Into::into),
    };
    match app.client.ask(caller.token, None, ask).await? {
        Answer::Simulations { items, more } => {
            let last = items.last().filter(|_| more);
            Ok(Answered(Page {
                next_cursor: last.map(|info| list.cursor(info.spec.id.0)),
                items: items.iter().map(SimulationResource::from).collect(),
            }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Reads a simulation.
#[utoipa::path(get, path = "/v1/simulations/{id}", operation_id = "read_simulation", tag = "simulations",
    params(super::IdParam),
    responses((status = 200, body = SimulationResource, description = "As it is now."), ReadProblems))]
pub(crate) async fn read(
    Viewer(caller): Viewer,
    State(app): State<App>,
    Id(id): Id,
) -> Result<Answered<SimulationResource>, Problem> {
    let info = info(&app, caller, id).await?;
    Ok(Answered((&info).into()))
}

/// Changes its speed, its name or both.
#[utoipa::path(patch, path = "/v1/simulations/{id}", operation_id = "change_simulation", tag = "simulations",
    params(super::IdParam, super::IdempotencyParam),
    request_body = ChangeSimulation,
    responses((status = 200, body = SimulationResource, description = "As it is now."), ChangeProblems))]
pub(crate) async fn change(
    Operator(caller): Operator,
    State(app): State<App>,
    Id(simulation): Id,
    body: Json<ChangeSimulation>,
) -> Result<Answered<SimulationResource>, Problem> {
    body.value.check()?;
    let ask = Ask::Change {
        simulation,
        speed: body.value.speed.map(|speed| speed.0),
        name: body.value.name,
    };
    simulation_of(app.client.ask(caller.token, body.idempotency, ask).await?)
}

/// Deletes a simulation and all that is kept of it.
#[utoipa::path(delete, path = "/v1/simulations/{id}", operation_id = "delete_simulation", tag = "simulations",
    params(super::IdParam, super::IdempotencyParam),
    responses((status = 204, description = "It is gone."), DeleteProblems))]
pub(crate) async fn delete(
    Operator(caller): Operator,
    State(app): State<App>,
    Id(id): Id,
    Keyed(idempotency): Keyed,
) -> Result<StatusCode, Problem> {
    let ask = Ask::Delete(id);
    match app.client.ask(caller.token, idempotency, ask).await? {
        Answer::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(unexpected(&other)),
    }
}

macro_rules! life {
    ($($(#[$doc:meta])* $name:ident $path:literal $operation:literal $ask:ident)*) => {
        $(
            $(#[$doc])*
            #[utoipa::path(post, path = $path, operation_id = $operation, tag = "lifecycle",
                params(super::IdParam, super::IdempotencyParam),
                request_body(content = Option<Nothing>, description = "Nothing, or an empty object."),
                responses((status = 200, body = SimulationResource, description = "As it is after that."), LifeProblems))]
            pub(crate) async fn $name(
                Operator(caller): Operator,
                State(app): State<App>,
                Id(id): Id,
                body: OptionalJson<Nothing>,
            ) -> Result<Answered<SimulationResource>, Problem> {
                simulation_of(app.client.ask(caller.token, body.idempotency, Ask::$ask(id)).await?)
            }
        )*
    };
}

life! {
    /// Starts a created simulation.
    start "/v1/simulations/{id}/start" "start_simulation" Start
    /// Pauses a running simulation at the end of the tick that is under way; of a paused one that steps, ends the step there.
    pause "/v1/simulations/{id}/pause" "pause_simulation" Pause
    /// Lets a paused simulation go on.
    resume "/v1/simulations/{id}/resume" "resume_simulation" Resume
    /// Ends a running or paused simulation for good.
    stop "/v1/simulations/{id}/stop" "stop_simulation" Stop
}

/// Advances a paused simulation some ticks, one if nothing else is said. A pause ends that early.
#[utoipa::path(post, path = "/v1/simulations/{id}/step", operation_id = "step_simulation", tag = "lifecycle",
    params(super::IdParam, super::IdempotencyParam),
    request_body = Option<StepSimulation>,
    responses((status = 200, body = SimulationResource, description = "As it is once the step is accepted; its ticks may follow."), LifeProblems))]
pub(crate) async fn step(
    Operator(caller): Operator,
    State(app): State<App>,
    Id(id): Id,
    body: OptionalJson<StepSimulation>,
) -> Result<Answered<SimulationResource>, Problem> {
    let ask = Ask::Step(id, body.value.ticks()?);
    simulation_of(app.client.ask(caller.token, body.idempotency, ask).await?)
}

/// Makes a paused copy at a tick of its past or its present.
#[utoipa::path(post, path = "/v1/simulations/{id}/fork", operation_id = "fork_simulation", tag = "simulations",
    params(super::IdParam, super::IdempotencyParam),
    request_body = Option<ForkSimulation>,
    responses(
        (status = 201, body = SimulationResource, description = "The copy, paused.",
            headers(("Location" = String, description = "Its path."))),
        ForkProblems))]
pub(crate) async fn fork(
    Operator(caller): Operator,
    State(app): State<App>,
    Id(simulation): Id,
    body: OptionalJson<ForkSimulation>,
) -> Result<Created, Problem> {
    let ask = Ask::Fork {
        simulation,
        child: new_id(),
        tick: body.value.tick()?,
        name: body.value.name,
    };
    created(app.client.ask(caller.token, body.idempotency, ask).await?)
}

/// The place a command was given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CommandPlace {
    /// Position in the command log; commands of one tick apply in this order.
    seq: u64,
    /// Tick it applies in.
    tick: u64,
}

/// Gives a command; answered once it is kept. One that cannot be carried out when its tick comes is a
/// `command_rejected` event.
#[utoipa::path(post, path = "/v1/simulations/{id}/commands", operation_id = "give_command", tag = "commands",
    params(super::IdParam, super::IdempotencyParam),
    request_body = GiveCommand,
    responses((status = 202, body = CommandPlace, description = "Kept, with its place."), CommandProblems))]
pub(crate) async fn command(
    Operator(caller): Operator,
    State(app): State<App>,
    Id(id): Id,
    body: Json<GiveCommand>,
) -> Result<(StatusCode, Answered<CommandPlace>), Problem> {
    let ask = Ask::Command(id, body.value.request()?);
    match app.client.ask(caller.token, body.idempotency, ask).await? {
        Answer::Stamp(CommandStamp { seq, tick }) => {
            Ok((StatusCode::ACCEPTED, Answered(CommandPlace { seq, tick })))
        }
        other => Err(unexpected(&other)),
    }
}

/// What can be read of a simulation now.
///
/// # Errors
/// The problem of the refusal, or of having no answer.
pub(crate) async fn info(
    app: &App,
    caller: Caller,
    id: SimulationId,
) -> Result<SimulationInfo, Problem> {
    match app
        .client
        .ask(caller.token, None, Ask::Simulation(id))
        .await?
    {
        Answer::Simulation(info) => Ok(*info),
        other => Err(unexpected(&other)),
    }
}

fn simulation_of(answer: Answer) -> Result<Answered<SimulationResource>, Problem> {
    match answer {
        Answer::Simulation(info) => Ok(Answered((&*info).into())),
        other => Err(unexpected(&other)),
    }
}

fn created(answer: Answer) -> Result<Created, Problem> {
    let Answered(resource) = simulation_of(answer)?;
    let path = format!("/v1/simulations/{}", resource.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, path)],
        Answered(resource),
    ))
}

/// The problem of an answer to another question than was asked.
pub(crate) fn unexpected(answer: &Answer) -> Problem {
    tracing::error!(?answer, "the orchestrator answered another question");
    Problem::new(
        ProblemKind::Internal,
        "the orchestrator answered another question",
    )
}
