//! Who may do what: bearer tokens and roles, and which host names and pages are trusted.
//!
//! A listener on a loopback address is open to whoever is on the machine, as token 0 with every role, but
//! not to what a proxy there passes on for others: such a request needs a token.
//! What a browser there may be made to send by a page from elsewhere is refused: a request for another
//! host name (a name that was bound anew to 127.0.0.1), and a change that a page of another origin asks for.

use std::net::IpAddr;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, header, request::Parts};
use transport::control::Access;

use crate::app::{App, Arrival};
use crate::client::AskError;
use crate::config::Config;
use crate::problem::{Problem, ProblemKind};
use crate::token;

/// The number that stands for a local user without a token.
pub const LOCAL_TOKEN: u64 = 0;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its token; [`LOCAL_TOKEN`] for a local user without one.
    pub token: u64,
    /// What it may do.
    pub access: Access,
}

/// Someone who may read.
#[derive(Clone, Copy, Debug)]
pub struct Viewer(pub Caller);

/// Someone who may change simulations.
#[derive(Clone, Copy, Debug)]
pub struct Operator(pub Caller);

/// Someone who may do everything.
#[derive(Clone, Copy, Debug)]
pub struct Admin(pub Caller);

/// The role as the API spells it.
#[must_use]
pub fn access_name(access: Access) -> &'static str {
    match access {
        Access::Viewer => "viewer",
        Access::Operator => "operator",
        Access::Admin => "admin",
    }
}

/// Who asks, by the header `Authorization` or by having come to an open listener.
///
/// # Errors
/// [`ProblemKind::Unauthorized`]; [`ProblemKind::OrchestratorUnavailable`] for a token before any were told.
pub fn authenticate(app: &App, parts: &Parts) -> Result<Caller, Problem> {
    let Some(given) = parts.headers.get(header::AUTHORIZATION) else {
        if is_open(app, parts) {
            return Ok(Caller {
                token: LOCAL_TOKEN,
                access: Access::Admin,
            });
        }
        let detail = match is_passed_on(&parts.headers) {
            true => "no token was given, and what a proxy passes on needs one on every address",
            false => "no token was given",
        };
        return Err(unauthorized(detail));
    };
    let text = given.to_str().ok().and_then(|given| {
        let (scheme, text) = given.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(text.trim())
    });
    let text =
        text.ok_or_else(|| unauthorized("the header Authorization holds no bearer token"))?;
    // A gateway that never heard of any token cannot say that one is not valid.
    let tokens = app.client.tokens().ok_or(AskError::Disconnected)?;
    let token = token::find(&tokens, text);
    let token = token.ok_or_else(|| unauthorized("the token is unknown or revoked"))?;
    Ok(Caller {
        token: token.id,
        access: token.access,
    })
}

/// Who asks, if they may do what `needed` may, and not too often.
///
/// # Errors
/// What [`authenticate`] has, [`ProblemKind::Forbidden`] or [`ProblemKind::RateLimited`].
pub fn admit(app: &App, parts: &Parts, needed: Access) -> Result<Caller, Problem> {
    let caller = authenticate(app, parts)?;
    app.limiter.admit(caller.token)?;
    if caller.access < needed {
        let (has, needed) = (access_name(caller.access), access_name(needed));
        return Err(Problem {
            allowed: Some(needed.to_owned()),
            ..Problem::new(
                ProblemKind::Forbidden,
                format!("the role {needed} is needed; the token has the role {has}"),
            )
        });
    }
    Ok(caller)
}

fn is_open(app: &App, parts: &Parts) -> bool {
    let arrival = parts.extensions.get::<Arrival>();
    arrival.is_some_and(|arrival| !app.config.wants_tokens(arrival.local.ip()))
        && !is_passed_on(&parts.headers)
}

/// Whether a proxy says that it passes the request on. Whoever is at its other end may be anywhere, though
/// the proxy itself is on this machine.
fn is_passed_on(headers: &HeaderMap) -> bool {
    let mut names = headers.keys().map(HeaderName::as_str);
    names.any(|name| {
        name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "via" | "x-real-ip")
    })
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(ProblemKind::Unauthorized, detail)
}

macro_rules! extractors {
    ($($role:ident),*) => {
        $(impl FromRequestParts<App> for $role {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                admit(app, parts, Access::$role).map($role)
            }
        })*
    };
}

extractors!(Viewer, Operator, Admin);

/// Checks what stands before every route: the host name of a loopback listener, and the page that asks for a change.
///
/// # Errors
/// [`ProblemKind::WrongHost`] or [`ProblemKind::OriginNotAllowed`].
pub fn check_browser(
    config: &Config,
    arrival: &Arrival,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    if arrival.local.ip().is_loopback() {
        check_host(config, headers)?;
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    check_origin(config, headers)
}

/// Checks that a page, if one asks, is the gateway's own or an allowed one. The live stream asks for
/// this itself: its requests are GETs.
///
/// # Errors
/// [`ProblemKind::OriginNotAllowed`].
pub fn check_origin(config: &Config, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let is_own = origin.split_once("://").is_some_and(|(_, authority)| {
        host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
    });
    let is_allowed = |allowed: &String| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin);
    if is_own || config.allowed_origins.iter().any(is_allowed) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::OriginNotAllowed,
        "the page that asks is not the gateway's own, nor of an allowed origin",
    ))
}

fn check_host(config: &Config, headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    // A header Host has no user in it, though an authority may.
    let authority = given
        .filter(|host| !host.contains('@'))
        .and_then(|host| Authority::from_str(host).ok());
    let is_right = authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let mut names = config.allowed_hosts.iter().map(String::as_str);
        is_loopback
            || name.eq_ignore_ascii_case("localhost")
            || names.any(|allowed| allowed.eq_ignore_ascii_case(name))
    });
    if is_right {
        return Ok(());
    }
    Err(Problem {
        field: Some("Host".to_owned()),
        allowed: Some("localhost, 127.0.0.1 or [::1], with any port".to_owned()),
        ..Problem::new(
            ProblemKind::WrongHost,
            "the header Host names another host than this machine's loopback",
        )
    })
}
