//! The live stream's route, as the document shows it.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::described::StreamProblems;
use super::extract::Id;
use crate::app::App;

/// The first view of a stream, and where its events begin. [`crate::stream_request`] reads them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it stands for the parameters in the document")]
pub(crate) struct StreamParams {
    /// West, south, east and north edge in the world, m, with commas between them. Without it: the whole world.
    #[param(example = "-500,-500,500,500", max_length = 200)]
    bounds_m: Option<String>,
    /// Machines of a tick at most; in JSON up to 100,000.
    #[param(minimum = 0, maximum = 1_000_000, default = 2000)]
    max_entities: Option<u32>,
    /// Ticks a second of wall time at most.
    #[param(minimum = 1, maximum = 60, default = 10)]
    rate_hz: Option<u32>,
    /// Which events; `lifecycle` if left out.
    #[param(inline)]
    events: Option<WantedEvents>,
    /// First event of the log `sim` that is wanted.
    #[param(minimum = 1)]
    from_event: Option<u64>,
    /// First event of the log `system` that is wanted.
    #[param(minimum = 1)]
    from_system_event: Option<u64>,
    /// The newest epoch that the client has heard of: of `from_event` and `from_system_event`, what has become void since
    /// comes again.
    from_epoch: Option<u32>,
    /// A ticket, where no header can be set.
    #[param(max_length = 96)]
    ticket: Option<String>,
}

/// Which events a stream brings.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WantedEvents {
    /// None.
    None,
    /// Those of the kind `lifecycle`.
    Lifecycle,
    /// All of the log `system`.
    System,
    /// All of both logs.
    All,
}

/// Opens the live stream of a simulation: a WebSocket, as docs/stream.md says.
#[utoipa::path(get, path = "/v1/simulations/{id}/stream", operation_id = "open_stream", tag = "stream",
    params(super::IdParam, StreamParams),
    responses((status = 101, description = "It speaks WebSocket from here on."), StreamProblems))]
pub(crate) async fn stream(
    State(app): State<App>,
    Id(simulation): Id,
    request: Request,
) -> Response {
    crate::stream::open(&app, simulation, request).await
}
