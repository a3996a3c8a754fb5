//! Whether the gateway lives and whether it is ready.

use axum::extract::State;

use crate::app::{App, Life};
use crate::problem::{Problem, ProblemKind};

/// It lives.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// It is connected to the orchestrator and is not about to leave.
pub(crate) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    if *app.life.borrow() != Life::Serving {
        let kind = ProblemKind::OverCapacity;
        return Err(Problem::new(kind, "the gateway is about to leave"));
    }
    let standing = app.client.standing();
    if !standing.ready {
        let kind = ProblemKind::OrchestratorUnavailable;
        let detail = format!("not connected to the orchestrator {}", standing.trouble);
        return Err(Problem::new(kind, detail.trim_end()));
    }
    Ok("ready\n")
}
