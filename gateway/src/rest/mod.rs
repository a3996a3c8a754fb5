//! REST: every route, and what stands before and behind each.

mod probes;

use axum::Router;
use axum::routing::get;

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

/// Everything that the gateway serves.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .fallback(no_such_route)
        .with_state(app)
}

async fn no_such_route() -> Problem {
    Problem::new(
        ProblemKind::NoSuchRoute,
        "nothing is served under this path",
    )
}
