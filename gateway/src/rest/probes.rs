//! Whether the gateway lives and whether it is ready, and its metrics.

use axum::extract::State;
use axum::http::{HeaderName, header};

use super::described::PlainProblems;
use crate::access::Viewer;
use crate::app::{App, Life};
use crate::problem::{Problem, ProblemKind};

/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the gateway lives. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "system", security(()),
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain"), super::described::OpenProblems))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the gateway is connected to the orchestrator and not about to leave. Needs no token.
#[utoipa::path(get, path = "/readyz", tag = "system", security(()),
    responses((status = 200, description = "It is ready.", body = String, content_type = "text/plain"), super::described::ReadyProblems))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    if *app.life.borrow() != Life::Serving {
        let kind = ProblemKind::OverCapacity;
        return Err(Problem::new(kind, "the gateway is about to leave"));
    }
    let standing = app.client.standing();
    if !standing.ready {
        let kind = ProblemKind::OrchestratorUnavailable;
        // Why is for the log: here anybody may ask.
        return Err(Problem::new(kind, "not connected to the orchestrator"));
    }
    Ok("ready\n")
}

/// Metrics for Prometheus, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text"), PlainProblems))]
pub(crate) async fn metrics(
    _: Viewer,
    State(app): State<App>,
) -> ([(HeaderName, &'static str); 1], String) {
    let text = app.metrics.text(&app.client.standing());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text)
}
