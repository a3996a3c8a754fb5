//! Whether the gateway lives and whether it is ready, and its metrics.

use axum::extract::State;
use axum::http::{HeaderName, header};

use super::described::PlainProblems;
use crate::access::Viewer;
use crate::app::{App, Life};
use crate::gateway::NOBODY_CAN_COME_IN;
use crate::problem::{Problem, ProblemKind};
use transport::metrics::join;

/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the gateway lives. Needs no token.
#[utoipa::path(get, path = "/healthz", operation_id = "probe_life", tag = "system", security(()),
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain"), super::described::OpenProblems))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the gateway is connected to the orchestrator and not about to leave. Needs no token.
#[utoipa::path(get, path = "/readyz", operation_id = "probe_readiness", tag = "system", security(()),
    responses((status = 200, description = "It is ready.", body = String, content_type = "text/plain"), super::described::ReadyProblems))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<String, Problem> {
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
    if app.wants_tokens && app.client.has_no_token() {
        return Ok(format!("ready, but {NOBODY_CAN_COME_IN}\n"));
    }
    Ok("ready\n".to_owned())
}

/// Metrics of every role in this process for Prometheus, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", operation_id = "read_gateway_metrics", tag = "system",
    responses((status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text"), PlainProblems))]
pub(crate) async fn metrics(
    _: Viewer,
    State(app): State<App>,
) -> ([(HeaderName, &'static str); 1], String) {
    let own = app.metrics.text(&app.client.standing());
    let others = match app.others.get() {
        Some(others) => others().await,
        None => Vec::new(),
    };
    let page = join([own].into_iter().chain(others));
    ([(header::CONTENT_TYPE, OPEN_METRICS)], page)
}
