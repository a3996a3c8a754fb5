//! What an error looks like: RFC 9457 problems, one stable `type` each. docs/problems.md lists them all.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use transport::control::{Refusal, RefusalKind};

use crate::client::AskError;

/// Content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What every `type` begins with. Below it the gateway serves what is known of each.
pub const TYPE_PREFIX: &str = "/problems/";

macro_rules! problem_kinds {
    ($($(#[$doc:meta])* $kind:ident = $slug:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        /// The kind of a problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &[ProblemKind] = &[$(ProblemKind::$kind,)*];

            /// The last part of its `type`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(ProblemKind::$kind => $slug,)* }
            }

            /// Its status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(ProblemKind::$kind => StatusCode::$status,)* }
            }

            /// Its title.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(ProblemKind::$kind => $title,)* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(ProblemKind::$kind => $advice,)* }
            }
        }
    };
}

problem_kinds! {
    /// The body is no JSON.
    MalformedJson = "malformed-json", BAD_REQUEST, "The body is not JSON",
        "Correct the body; the detail names the line and the column.";
    /// Neither token nor ticket, or one that is not valid.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid token is needed",
        "Send `Authorization: Bearer af_...` with a token that `autofarm token` or POST /v1/tokens made and nobody has revoked.";
    /// A ticket that is unknown, used or too old.
    BadTicket = "bad-ticket", UNAUTHORIZED, "The ticket is not valid",
        "Get a new one from POST /v1/stream-tickets; each is good once, for 30 s.";
    /// A token whose role is not enough.
    Forbidden = "forbidden", FORBIDDEN, "The token's role is not enough",
        "Use a token of the role that `allowed` names.";
    /// A page of another origin asks.
    OriginNotAllowed = "origin-not-allowed", FORBIDDEN, "Pages of this origin may not do that",
        "Open the page from the gateway itself, or start the gateway with this origin allowed.";
    /// Nothing is served under that path.
    NoSuchRoute = "no-such-route", NOT_FOUND, "Nothing is served here",
        "See /openapi.json or /docs for what is.";
    /// What is named is not there.
    NotFound = "not-found", NOT_FOUND, "There is no such thing",
        "List what there is; it may have been deleted.";
    /// Another method is served under that path.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The path is served, but not with this method",
        "Use one of the methods in the header `Allow`.";
    /// The body did not come in time.
    BodyTooSlow = "body-too-slow", REQUEST_TIMEOUT, "The body did not arrive in time",
        "Send it faster, or in smaller parts.";
    /// Not possible in the present status.
    InvalidTransition = "invalid-transition", CONFLICT, "The simulation's status does not allow that",
        "The detail names the present status.";
    /// It is there already.
    Exists = "exists", CONFLICT, "It is there already",
        "Choose another name or id.";
    /// The tick has passed.
    TickPassed = "tick-passed", CONFLICT, "The tick has passed",
        "Name a later tick, or none for the earliest possible.";
    /// The tick is not kept.
    TickNotKept = "tick-not-kept", CONFLICT, "The tick is not kept",
        "Name a tick between the oldest that is kept and the last complete one.";
    /// What the machines did last is not kept.
    StateNotKept = "state-not-kept", CONFLICT, "What the machines did last is not kept",
        "Leave out the filter `state`; the simulation's events tell what its machines did.";
    /// The body is too large.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "Send at most `limit` bytes; split a command's list of machines.";
    /// The body is of another type than JSON.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body has to be JSON",
        "Send `Content-Type: application/json`.";
    /// The host is not the gateway's.
    WrongHost = "wrong-host", MISDIRECTED_REQUEST, "This host name is not the gateway's",
        "Call the gateway by localhost or its address, or start it with this name allowed.";
    /// A field is wrong.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "A field is wrong",
        "Correct `field`; `allowed` says what it may be.";
    /// A cursor that no page gave.
    BadCursor = "bad-cursor", UNPROCESSABLE_ENTITY, "The cursor is none that a page gave",
        "Use `next_cursor` of the page before with the same filters, or none for the first page.";
    /// This build does not do it.
    NotSupported = "not-supported", UNPROCESSABLE_ENTITY, "This version does not do that",
        "The detail says what is missing.";
    /// The idempotency key was used with another body.
    KeyReused = "key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for something else",
        "Use a new key for a new request.";
    /// A stream is asked for without an upgrade.
    NotWebSocket = "not-websocket", UPGRADE_REQUIRED, "This path speaks WebSocket only",
        "Open it with a WebSocket client of version 13; docs/stream.md says what is spoken.";
    /// Too many requests of one token, or with tickets of one address.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests",
        "Wait for `retry_after_s`.";
    /// A failure of the gateway itself.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The gateway failed",
        "Look for the request's id in the gateway's log, and report it.";
    /// A named maximum is reached.
    OverCapacity = "over-capacity", SERVICE_UNAVAILABLE, "A maximum is reached",
        "Wait for `retry_after_s`, or end what is not needed.";
    /// No view came in time.
    NoView = "no-view", SERVICE_UNAVAILABLE, "The machines' present state cannot be had",
        "Wait for `retry_after_s`: a worker has to show them; or leave out the filter `state`.";
    /// The database does not answer.
    StoreUnavailable = "store-unavailable", SERVICE_UNAVAILABLE, "The database does not answer; nothing was changed",
        "Wait for `retry_after_s`; see the orchestrator's log.";
    /// The orchestrator does not answer.
    OrchestratorUnavailable = "orchestrator-unavailable", SERVICE_UNAVAILABLE, "The orchestrator cannot be reached",
        "Wait for `retry_after_s`. What was asked may have been done: repeat it with the same Idempotency-Key.";
    /// The orchestrator took too long.
    OrchestratorTimeout = "orchestrator-timeout", GATEWAY_TIMEOUT, "The orchestrator did not answer in time",
        "What was asked may have been done: repeat it with the same Idempotency-Key.";
}

/// One problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// For people: what is wrong here.
    pub detail: String,
    /// The offending field of the body, query or path.
    pub field: Option<String>,
    /// What would be allowed.
    pub allowed: Option<String>,
    /// The maximum that was passed.
    pub limit: Option<u64>,
    /// When it is worth trying again.
    pub retry_after_s: Option<u64>,
}

/// What goes over the wire.
#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// Seconds until another try is worth it where nobody said.
const DEFAULT_RETRY_S: u64 = 1;

impl Problem {
    /// A problem with nothing but a detail. Those of status 503 and 504 say when to try again.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Problem {
        let again = matches!(
            kind.status(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        Problem {
            kind,
            detail: detail.into(),
            field: None,
            allowed: None,
            limit: None,
            retry_after_s: again.then_some(DEFAULT_RETRY_S),
        }
    }

    /// [`ProblemKind::Invalid`] of a field.
    #[must_use]
    pub fn invalid(
        field: impl Into<String>,
        detail: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Problem {
        Problem {
            field: Some(field.into()),
            allowed: Some(allowed.into()),
            ..Problem::new(ProblemKind::Invalid, detail)
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self, request_id: Option<&str>) -> Vec<u8> {
        let wire = Wire {
            r#type: format!("{TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            allowed: self.allowed.as_deref(),
            limit: self.limit,
            retry_after_s: self.retry_after_s,
            request_id,
        };
        let mut json = serde_json::to_vec(&wire).expect("plain values have a JSON form");
        json.push(b'\n');
        json
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), self.to_json(None)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"autofarm\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        // The layer that knows the request's id writes it into the body.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Problem {
        let detail = error.to_string();
        match error {
            AskError::Refused(refusal) => refusal.into(),
            AskError::Disconnected => Problem::new(ProblemKind::OrchestratorUnavailable, detail),
            AskError::Timeout => Problem::new(ProblemKind::OrchestratorTimeout, detail),
            AskError::TooMany => Problem::new(ProblemKind::OverCapacity, detail),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let kind = match refusal.kind {
            RefusalKind::NotFound => ProblemKind::NotFound,
            RefusalKind::Exists => ProblemKind::Exists,
            RefusalKind::Invalid => ProblemKind::Invalid,
            RefusalKind::InvalidTransition => ProblemKind::InvalidTransition,
            RefusalKind::TickPassed => ProblemKind::TickPassed,
            RefusalKind::TickNotKept => ProblemKind::TickNotKept,
            RefusalKind::OverCapacity => ProblemKind::OverCapacity,
            RefusalKind::StoreUnavailable => ProblemKind::StoreUnavailable,
            RefusalKind::KeyReused => ProblemKind::KeyReused,
            RefusalKind::BadTicket => ProblemKind::BadTicket,
            RefusalKind::NotSupported => ProblemKind::NotSupported,
            RefusalKind::Ending => ProblemKind::OrchestratorUnavailable,
        };
        let mut problem = Problem::new(kind, refusal.detail);
        problem.field = Some(refusal.field).filter(|field| !field.is_empty());
        problem.allowed = Some(refusal.allowed).filter(|allowed| !allowed.is_empty());
        if refusal.retry_after_ms > 0 {
            let seconds = u64::from(refusal.retry_after_ms.div_ceil(1_000));
            problem.retry_after_s = Some(seconds);
        }
        problem
    }
}
