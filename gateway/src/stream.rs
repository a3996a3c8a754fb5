//! `GET /v1/simulations/{id}/stream`: who may open a live stream, and the answer that makes a WebSocket of
//! the request.

use std::str::FromStr;

use axum::body::Body;
use axum::http::header::{HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use axum::http::uri::Uri;
use axum::http::{HeaderMap, Request, Response};
use axum::response::IntoResponse;
use transport::control::{Access, Answer, Ask, SimulationId};

use crate::access;
use crate::app::{App, Arrival};
use crate::client::AskError;
use crate::config::Config;
use crate::problem::{Problem, ProblemKind};
use crate::stream_request::{QueryError, StreamQuery};
use crate::streams::JoinError;
use crate::token::Secret;
use crate::view_setting::Subprotocol;
use crate::{socket, stream_io};

/// Opens a live stream.
pub(crate) async fn open(
    app: &App,
    simulation: SimulationId,
    request: Request<Body>,
) -> Response<Body> {
    match admit(app, simulation, request).await {
        Ok(response) => response,
        Err(problem) => answer(problem),
    }
}

async fn admit(
    app: &App,
    simulation: SimulationId,
    mut request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    if !socket::is_upgrade(&request) {
        let detail = "this is a WebSocket: ask for an upgrade";
        return Err(Problem::new(ProblemKind::NotWebSocket, detail));
    }
    check_origin(&app.config, &request)?;
    let query = StreamQuery::parse(request.uri().query().unwrap_or_default())?;
    let offered = negotiate(request.headers())?;
    let token = authorize(app, &query, &mut request).await?;
    let subprotocol = offered.unwrap_or(Subprotocol::Json);
    let place = request
        .extensions()
        .get::<Arrival>()
        .map(|a| a.place.clone());
    let upgraded = socket::upgrade(&mut request, offered.map(Subprotocol::name));
    let (response, upgrading) = upgraded.ok_or_else(|| {
        let detail = "Sec-WebSocket-Key is missing, or Sec-WebSocket-Version is not 13";
        Problem::new(ProblemKind::NotWebSocket, detail)
    })?;
    let stream = app.streams.join(simulation, subprotocol, &query).await?;
    tokio::spawn(async move {
        stream_io::run(stream, upgrading, token).await;
        // The connection is one of those that there may be for as long as it is a stream.
        drop(place);
    });
    Ok(response)
}

/// A problem as an answer; one that asks for an upgrade says to what.
fn answer(problem: Problem) -> Response<Body> {
    let is_no_upgrade = problem.kind == ProblemKind::NotWebSocket;
    let mut response = problem.into_response();
    if is_no_upgrade {
        let headers = response.headers_mut();
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// A page of this gateway, of a loopback address, or of an allowed origin may open streams; so may what is no page.
fn check_origin(config: &Config, request: &Request<Body>) -> Result<(), Problem> {
    let origin = request.headers().get(ORIGIN).and_then(|o| o.to_str().ok());
    if origin.is_some_and(is_loopback) {
        return Ok(());
    }
    access::check_origin(config, request.headers())
}

fn is_loopback(origin: &str) -> bool {
    let uri = Uri::from_str(origin).ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
}

/// A ticket allows to watch; without one, what every other request needs does. The token that allows it.
async fn authorize(
    app: &App,
    query: &StreamQuery,
    request: &mut Request<Body>,
) -> Result<u64, Problem> {
    let Some(ticket) = &query.ticket else {
        let (parts, body) = std::mem::take(request).into_parts();
        let admitted = access::admit(app, &parts, Access::Viewer);
        *request = Request::from_parts(parts, body);
        return admitted.map(|caller| caller.token);
    };
    let secret = Secret::of_ticket(ticket);
    let secret = secret.ok_or_else(|| {
        let detail = "the parameter ticket holds no ticket";
        Problem::new(ProblemKind::BadTicket, detail)
    })?;
    // Anybody may show one, and the orchestrator is asked for each.
    let arrival = request.extensions().get::<Arrival>();
    let arrival =
        arrival.ok_or_else(|| Problem::new(ProblemKind::Internal, "it came from nowhere"))?;
    app.ticket_limiter.admit_address(arrival.peer.ip())?;
    let secret_hash = secret.hash();
    let ask = Ask::RedeemTicket { secret_hash };
    match app.client.ask(access::LOCAL_TOKEN, None, ask).await? {
        // Whoever it was issued to may watch.
        Answer::Ticket { token, .. } => Ok(token),
        _ => Err(AskError::Disconnected.into()),
    }
}

/// The first subprotocol that is offered and spoken; `None` where none is offered.
fn negotiate(headers: &HeaderMap) -> Result<Option<Subprotocol>, Problem> {
    let mut is_offered = false;
    for offered in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for name in offered.to_str().unwrap_or("?").split(',') {
            is_offered = true;
            if let Some(subprotocol) = Subprotocol::from_name(name.trim()) {
                return Ok(Some(subprotocol));
            }
        }
    }
    if is_offered {
        let allowed = Subprotocol::ALL.map(Subprotocol::name).join(" or ");
        let detail = "none of the subprotocols that are offered is spoken here";
        return Err(Problem::invalid("Sec-WebSocket-Protocol", detail, allowed));
    }
    Ok(None)
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        let allowed = match &error {
            QueryError::Value { allowed, .. } => allowed,
            QueryError::Unknown { .. } => {
                "bounds_m, max_entities, rate_hz, events, from_event, from_system_event, from_epoch, ticket, each once"
            }
        };
        Problem::invalid(error.field(), error.to_string(), allowed)
    }
}

impl From<JoinError> for Problem {
    fn from(error: JoinError) -> Problem {
        let detail = error.to_string();
        match error {
            JoinError::Ask(error) => error.into(),
            JoinError::View(_) => {
                let field = detail.split(':').next().unwrap_or_default().to_owned();
                Problem {
                    field: Some(field),
                    ..Problem::new(ProblemKind::Invalid, detail)
                }
            }
            JoinError::TooMany { most, .. } => Problem {
                limit: Some(most as u64),
                ..Problem::new(ProblemKind::OverCapacity, detail)
            },
            JoinError::Closing => Problem::new(ProblemKind::OverCapacity, detail),
            JoinError::Timeout => Problem::new(ProblemKind::OrchestratorTimeout, detail),
            JoinError::Layout => Problem::new(ProblemKind::NotSupported, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(values: &[&'static str]) -> Result<Option<Subprotocol>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
        }
        negotiate(&headers)
    }

    #[test]
    fn the_first_subprotocol_that_is_spoken_is_taken() {
        assert_eq!(offer(&[]), Ok(None));
        assert_eq!(
            offer(&["x, autofarm.v1.bin,autofarm.v1.json"]),
            Ok(Some(Subprotocol::Binary))
        );
        assert_eq!(
            offer(&["x", "autofarm.v1.json"]),
            Ok(Some(Subprotocol::Json))
        );
        let refused = offer(&["graphql-ws", "autofarm.v2.json"]).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("Sec-WebSocket-Protocol"));
    }

    #[test]
    fn pages_of_loopback_addresses_are_told_from_others() {
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:8080",
        ] {
            assert!(is_loopback(origin), "{origin}");
        }
        for origin in [
            "null",
            "http://localhost.example",
            "http://10.0.0.1",
            "localhost",
            "",
        ] {
            assert!(!is_loopback(origin) || origin == "localhost", "{origin}");
        }
    }
}
