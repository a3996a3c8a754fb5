//! REST: every route, and what stands before and behind each.

mod answered;
mod bodies;
mod clock;
mod described;
mod document;
mod entities;
mod extract;
mod history;
mod latency;
mod layer;
mod live;
mod page;
mod pages;
mod probes;
mod range;
pub mod resource;
mod scenarios;
mod simulations;
mod tokens;
mod wording;
mod workers;
mod world;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa::IntoParams;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use layer::RequestId;

use crate::app::App;
use crate::dashboard;
use crate::problem::{Problem, ProblemKind};

/// The path parameter of everything that belongs to a simulation.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it stands for the parameter in the document")]
pub(crate) struct IdParam {
    /// The simulation's id.
    #[param(format = Uuid)]
    id: String,
}

/// The header of every change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it stands for the parameter in the document")]
pub(crate) struct IdempotencyParam {
    /// Makes a repetition answer as the first request did, for 24 h a token and route.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    key: Option<String>,
}

/// Everything that the gateway serves.
pub fn router(app: App) -> Router {
    let (routes, document) = documented();
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .merge(dashboard::routes(pages::without_dashboard))
        .route("/problems/{slug}", get(pages::problem))
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), layer::around))
        .with_state(app)
}

/// The OpenAPI document of every documented route.
#[must_use]
pub fn openapi() -> OpenApi {
    documented().1
}

fn documented() -> (Router<App>, OpenApi) {
    OpenApiRouter::with_openapi(document::base())
        .routes(routes!(simulations::create, simulations::list))
        .routes(routes!(
            simulations::read,
            simulations::change,
            simulations::delete
        ))
        .routes(routes!(simulations::start))
        .routes(routes!(simulations::pause))
        .routes(routes!(simulations::resume))
        .routes(routes!(simulations::step))
        .routes(routes!(simulations::stop))
        .routes(routes!(simulations::command))
        .routes(routes!(simulations::fork))
        .routes(routes!(entities::list))
        .routes(routes!(entities::read))
        .routes(routes!(world::read))
        .routes(routes!(history::metrics))
        .routes(routes!(history::events))
        .routes(routes!(history::digests))
        .routes(routes!(latency::read))
        .routes(routes!(workers::list))
        .routes(routes!(scenarios::list))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::ticket))
        .routes(routes!(live::stream))
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
        .split_for_parts()
}

async fn no_such_route() -> Problem {
    Problem::new(
        ProblemKind::NoSuchRoute,
        "nothing is served under this path",
    )
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        ProblemKind::MethodNotAllowed,
        "this path is not served with this method",
    )
}
