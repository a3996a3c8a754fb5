//! What stands around every route: the request's id, the checks that come before all others, headers that
//! keep browsers safe, the log, the metrics, and an answer where a handler panics.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Level, debug, error, info, warn};
use uuid::Uuid;

use crate::access::check_browser;
use crate::app::{App, Arrival};
use crate::problem::{Problem, ProblemKind};

/// Name of the header with a request's id.
const REQUEST_ID: &str = "x-request-id";
/// By it a page that is kept open sees that another server has taken this one's place.
const VERSION: &str = "autofarm-version";
/// Where readiness is probed.
const READY_ROUTE: &str = "/readyz";
/// What a page that the gateway serves may load: itself.
const CSP_PAGES: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What an answer that is no page may load.
const CSP_DATA: &str = "default-src 'none'; frame-ancestors 'none'";
/// A year.
const HSTS: &str = "max-age=31536000";

/// Names a request in the log and in problems; an extension of every request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Serves a request with everything around it.
pub(crate) async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = Uuid::now_v7().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>();
    let matched = matched.map(|path| path.as_str().to_owned());
    let route = matched.as_deref().unwrap_or("none");
    let arrival = request.extensions().get::<Arrival>().cloned();
    let checked = match &arrival {
        Some(arrival) => check_browser(&app.config, arrival, &method, request.headers()),
        None => Err(Problem::new(ProblemKind::Internal, "it came from nowhere")),
    };
    let mut response = match checked {
        Ok(()) => match Caught(Box::pin(next.run(request))).await {
            Ok(response) => response,
            Err(Panicked) => {
                error!(request_id = %id, http.request.method = %method, http.route = route, "a handler panicked");
                Problem::new(ProblemKind::Internal, "a handler panicked").into_response()
            }
        },
        Err(problem) => problem.into_response(),
    };
    let problem = name_problem(&mut response, &id);
    let is_tls = arrival.as_ref().is_some_and(|arrival| arrival.tls);
    keep_safe(response.headers_mut(), is_tls);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Ok(version) = HeaderValue::from_str(app.config.version) {
        response.headers_mut().insert(VERSION, version);
    }
    let (status, took) = (response.status(), start.elapsed());
    app.metrics.note_request(&method, route, status, took);
    Line {
        id: &id,
        method: &method,
        route: matched.as_deref(),
        scheme: if is_tls { "https" } else { "http" },
        local: arrival.as_ref().map(|arrival| arrival.local),
        status,
        error: problem.filter(|_| status.is_server_error()),
        took,
    }
    .log(&app);
    response
}

/// Writes the request's id into a problem, and answers its kind. Answers of axum itself that are no problems are made
/// ones.
fn name_problem(response: &mut Response, id: &str) -> Option<ProblemKind> {
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.or_else(|| of_library(response.status(), response.headers()));
    let problem = problem?;
    let body = problem.to_json(Some(id));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(crate::problem::PROBLEM_JSON),
    );
    *response.body_mut() = Body::from(body);
    Some(problem.kind)
}

/// The problem of an error that a library answered in plain text, as for a page of the documentation that is not there.
fn of_library(status: StatusCode, headers: &HeaderMap) -> Option<Problem> {
    let is_problem = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|of| of == crate::problem::PROBLEM_JSON);
    if is_problem {
        return None;
    }
    let kind = match status {
        StatusCode::NOT_FOUND => ProblemKind::NoSuchRoute,
        StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed,
        StatusCode::INTERNAL_SERVER_ERROR => ProblemKind::Internal,
        _ => return None,
    };
    Some(Problem::new(kind, kind.title()))
}

fn keep_safe(headers: &mut HeaderMap, is_tls: bool) {
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|of| of.as_bytes().starts_with(b"text/html"));
    let csp = if is_page { CSP_PAGES } else { CSP_DATA };
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, csp),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    let cache = HeaderValue::from_static("no-cache");
    headers.entry(header::CACHE_CONTROL).or_insert(cache);
    if is_tls {
        let hsts = HeaderValue::from_static(HSTS);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
}

/// A request as the log has it, under the names that OpenTelemetry has for it. Never the URL, the headers or the body:
/// they may hold secrets.
struct Line<'a> {
    id: &'a str,
    method: &'a Method,
    /// The pattern of its path, where it has one.
    route: Option<&'a str>,
    scheme: &'static str,
    /// Where it came in.
    local: Option<SocketAddr>,
    status: StatusCode,
    /// What failed, where it was the gateway.
    error: Option<ProblemKind>,
    took: Duration,
}

impl Line<'_> {
    fn log(&self, app: &App) {
        let level = level(self.route.unwrap_or_default(), self.status);
        // While the orchestrator is away this is every request: one says it for those that follow.
        let held_back = match level {
            Level::WARN => app.unavailable.admit(),
            _ => None,
        };
        // A macro for each level has to know the names of its fields when it is compiled.
        macro_rules! say {
            ($say:ident) => {
                $say!(
                    request_id = self.id,
                    http.request.method = %self.method,
                    http.route = self.route,
                    http.response.status_code = self.status.as_u16(),
                    url.scheme = self.scheme,
                    server.address = self.local.map(|local| display(local.ip())),
                    server.port = self.local.map(|local| local.port()),
                    error.type = self.error.map(ProblemKind::slug),
                    // A log in JSON has no number of 128 bits.
                    duration_us = self.took.as_micros() as u64,
                    held_back,
                    "request"
                )
            };
        }
        match level {
            Level::ERROR => say!(error),
            Level::WARN if held_back.is_some() => say!(warn),
            Level::INFO => say!(info),
            _ => say!(debug),
        }
    }
}

/// How much a request is worth in the log. A 503 is no failure of the gateway's, and the answer of a probe for
/// readiness no news: what it says is said once where it comes to be.
fn level(route: &str, status: StatusCode) -> Level {
    match (status.as_u16(), route) {
        (503, READY_ROUTE) => Level::DEBUG,
        (503, _) => Level::WARN,
        (500.., _) => Level::ERROR,
        (400.., _) => Level::INFO,
        _ => Level::DEBUG,
    }
}

/// A future whose panic is an error.
struct Caught<F>(Pin<Box<F>>);

/// It panicked.
struct Panicked;

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What a panic leaves behind is dropped with the request; locks that it held are taken over poisoned or not.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(response)) => Poll::Ready(Ok(response)),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_gateway_are_errors_in_the_log() {
        let of = |route, status| level(route, StatusCode::from_u16(status).unwrap());
        assert_eq!(of("/v1/workers", 500), Level::ERROR);
        assert_eq!(of("/v1/workers", 504), Level::ERROR);
        assert_eq!(of("/v1/workers", 503), Level::WARN);
        assert_eq!(of("/readyz", 503), Level::DEBUG);
        assert_eq!(of("/readyz", 500), Level::ERROR);
        assert_eq!(of("/v1/workers", 404), Level::INFO);
        assert_eq!(of("/v1/workers", 200), Level::DEBUG);
    }
}
