//! The few pages for people beside the dashboard: the one in its place, and what is known of a kind of problem.

use axum::extract::Path;
use axum::response::Html;

use crate::problem::{Problem, ProblemKind, TYPE_PREFIX};

/// The page that stands in the dashboard's place where a build has none.
pub(crate) fn without_dashboard() -> String {
    page(
        "AutoFarm",
        "<p>This is the gateway of a running AutoFarm. This build has no dashboard: npm was not there, or failed, when \
        it was built.</p>\
        <p>To get it, install Node.js 20.19 or newer (of version 22 at least 22.12) with npm, run <code>touch gateway/build.rs</code> in the sources, and \
        build again; if it fails, cargo shows why as a warning. The program and its API are whole without it:</p>\
        <ul><li><a href=\"/docs\">Documentation of the API, to try out</a></li>\
        <li><a href=\"/openapi.json\">OpenAPI document</a></li>\
        <li><a href=\"/v1/simulations\">Simulations</a></li>\
        <li><a href=\"/v1/scenarios\">Scenarios</a></li>\
        <li><a href=\"/metrics\">Metrics</a></li></ul>",
    )
}

/// What is known of a kind of problem, under its `type`.
pub(crate) async fn problem(Path(slug): Path<String>) -> Result<Html<String>, Problem> {
    let mut kinds = ProblemKind::ALL.iter();
    let Some(kind) = kinds.find(|kind| kind.slug() == slug) else {
        let detail = "no problem has this type";
        return Err(Problem::new(ProblemKind::NoSuchRoute, detail));
    };
    let body = format!(
        "<p>{TYPE_PREFIX}{}, status {}</p><p>{}.</p><p>{}</p>",
        kind.slug(),
        kind.status().as_u16(),
        kind.title(),
        kind.advice().replace('<', "&lt;"),
    );
    Ok(Html(page(kind.title(), &body)))
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
        <meta name=\"viewport\" content=\"width=device-width\">\
        <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}}</style>\
        <h1>{title}</h1>{body}</html>\n"
    )
}
