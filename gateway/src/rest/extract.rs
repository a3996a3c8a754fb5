//! What handlers take from a request: bounded, timed, and refused by the name of the field that is wrong.

use std::borrow::Cow;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::{HeaderMap, header, request::Parts};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, Error, Unexpected};
use tokio::time::timeout;
use transport::control::{Idempotency, MAX_IDEMPOTENCY_KEY_BYTES, SimulationId};
use uuid::Uuid;

use super::wording::{field_at, misread};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::token::sha256;

/// Name of the header that makes a repeated request answer as the first one did.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A JSON body, and what makes its request idempotent.
pub(crate) struct Json<T> {
    pub(crate) value: T,
    pub(crate) idempotency: Option<Idempotency>,
}

/// A JSON body that may be left out, or be `null`: then it is as `{}`.
pub(crate) struct OptionalJson<T> {
    pub(crate) value: T,
    pub(crate) idempotency: Option<Idempotency>,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let key = idempotency_key(&parts.headers)?;
        expect_json(&parts.headers)?;
        let bytes = read(app, body).await?;
        Ok(Json {
            value: parse(&bytes)?,
            idempotency: key.map(|key| guard(key, &parts, &bytes)),
        })
    }
}

impl<T: DeserializeOwned> FromRequest<App> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let key = idempotency_key(&parts.headers)?;
        let bytes = read(app, body).await?;
        let value = if is_left_out(&bytes) {
            parse(b"{}")?
        } else {
            expect_json(&parts.headers)?;
            parse(&bytes)?
        };
        Ok(OptionalJson {
            value,
            idempotency: key.map(|key| guard(key, &parts, &bytes)),
        })
    }
}

/// What makes a request without a body idempotent.
pub(crate) struct Keyed(pub(crate) Option<Idempotency>);

impl FromRequestParts<App> for Keyed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let key = idempotency_key(&parts.headers)?;
        Ok(Keyed(key.map(|key| guard(key, parts, b""))))
    }
}

/// The document says of an optional body that it may be `null`; one of nothing has no type either.
fn is_left_out(body: &[u8]) -> bool {
    body.is_empty() || body.trim_ascii() == b"null"
}

fn guard(key: String, parts: &Parts, body: &[u8]) -> Idempotency {
    Idempotency {
        key,
        route: format!("{} {}", parts.method, parts.uri.path()),
        body_hash: sha256(body),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let allowed =
        format!("one header of 1 to {MAX_IDEMPOTENCY_KEY_BYTES} printable ASCII characters");
    let wrong = |detail: &str| Problem::invalid("Idempotency-Key", detail, allowed.as_str());
    if given.next().is_some() {
        return Err(wrong("there is more than one Idempotency-Key"));
    }
    let key = key.to_str().ok().filter(|key| {
        (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len())
            && key.bytes().all(|b| b.is_ascii_graphic())
    });
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(wrong(
            "the Idempotency-Key is empty, too long or holds other characters",
        )),
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE);
    let essence = given.and_then(|given| given.to_str().ok());
    let essence = essence.map(|given| given.split(';').next().unwrap_or_default().trim());
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem {
        field: Some("Content-Type".to_owned()),
        allowed: Some("application/json".to_owned()),
        ..Problem::new(
            ProblemKind::UnsupportedMediaType,
            "the body's Content-Type is not application/json",
        )
    })
}

/// Reads a whole body within the configured bytes and time.
async fn read(app: &App, body: Body) -> Result<Bytes, Problem> {
    let limit = app.config.max_body_bytes;
    let too_large = || Problem {
        limit: Some(limit as u64),
        ..Problem::new(
            ProblemKind::BodyTooLarge,
            format!("the body has more than {limit} bytes"),
        )
    };
    // Announced lengths are refused before a byte is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let patience = app.config.body_patience;
    let mut body = std::pin::pin!(body);
    let collected = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let detail = format!("the body broke off: {error}");
                Problem::new(ProblemKind::MalformedJson, detail)
            })?;
            // Trailers mean nothing here.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    let slow = || {
        let detail = format!(
            "the body did not arrive within {} s",
            patience.as_secs_f64()
        );
        Problem::new(ProblemKind::BodyTooSlow, detail)
    };
    timeout(patience, collected).await.map_err(|_| slow())?
}

/// Reads a JSON object, naming the field that is wrong.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would take an array for the fields of a struct, in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let error = serde_json::Error::invalid_type(Unexpected::Seq, &"an object");
        return Err(of_json(".", &error));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        of_json(&path, error.inner())
    })?;
    json.end().map_err(|error| of_json(".", &error))?;
    Ok(value)
}

fn of_json(path: &str, error: &serde_json::Error) -> Problem {
    if error.classify() != serde_json::error::Category::Data {
        return Problem {
            field: field_at(path, None),
            ..Problem::new(ProblemKind::MalformedJson, error.to_string())
        };
    }
    misread(path, &error.to_string())
}

/// The query of a URL. Unknown and repeated names are refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = serde_urlencoded::from_str(query)
            .map_err(|error| Problem::new(ProblemKind::Invalid, format!("the query: {error}")))?;
        // What is given without a value is wrong, and not as if it were not given.
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.is_empty()) {
            let detail = format!("`{name}` has no value");
            return Err(Problem::invalid(
                name.clone(),
                detail,
                "a value, or to be left out",
            ));
        }
        let read = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(read)
            .map(Query)
            .map_err(|error| {
                let path = error.path().to_string();
                misread(&path, &error.inner().to_string())
            })
    }
}

/// The simulation that the path names.
pub(crate) struct Id(pub(crate) SimulationId);

impl FromRequestParts<App> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|error| Problem::new(ProblemKind::Invalid, error.to_string()))?;
        simulation_id("id", &text).map(Id)
    }
}

/// Reads a simulation's id: a UUID with hyphens.
///
/// # Errors
/// [`ProblemKind::Invalid`] of the field.
pub(crate) fn simulation_id(field: &str, text: &str) -> Result<SimulationId, Problem> {
    let wrong = || {
        let detail = format!("`{field}` is no id of a simulation");
        Problem::invalid(
            field,
            detail,
            "a UUID, as 01900000-0000-7000-8000-000000000001",
        )
    };
    // Other spellings of a UUID are not ids: a cache or a log would take them for others.
    let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    id.map(|id| SimulationId(id.as_u128())).ok_or_else(wrong)
}
