//! Tokens and tickets: made with a secret that is told once, listed without, revoked.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::{HeaderName, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use transport::control::{Answer, Ask, MAX_LABEL_BYTES, Token};
use utoipa::{IntoParams, ToSchema};

use super::answered::Answered;
use super::bodies::{CreateToken, Nothing};
use super::clock::{now_us, rfc3339};
use super::described::{DeleteProblems, ListProblems, SecretProblems};
use super::extract::{Json, Keyed, OptionalJson, Query};
use super::page::{List, Page, limit};
use super::range::label;
use super::resource::AccessJson;
use super::simulations::unexpected;
use crate::access::{Admin, Caller, Viewer};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::token::{NoRandom, Secret, draw_id};

/// How long a ticket is good, s; the orchestrator's number.
const TICKET_S: u32 = 30;

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenResource {
    /// Its number, hex.
    #[schema(pattern = "^[0-9a-f]{16}$", example = "0f3a5c7e9b1d2f4a")]
    id: String,
    /// Its name, for people.
    name: String,
    /// What it may do.
    role: AccessJson,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A token with its secret, which is told this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewToken)]
pub(crate) struct NewToken {
    /// The token.
    #[serde(flatten)]
    #[schema(inline)]
    resource: TokenResource,
    /// What to send as `Authorization: Bearer`. It is kept nowhere: if it is lost, make another token.
    #[schema(example = "af_0f3a5c7e9b1d2f4a_...")]
    token: String,
}

/// A ticket for one connection to a live stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamTicket {
    /// To be given as `?ticket=` to a stream, once.
    ticket: String,
    /// How long it is good, s.
    #[schema(example = 30)]
    expires_in_s: u32,
}

/// Where a page begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<u64>,
    /// `next_cursor` of the page before.
    #[param(max_length = 64)]
    pub(crate) cursor: Option<String>,
}

impl From<&Token> for TokenResource {
    fn from(token: &Token) -> TokenResource {
        TokenResource {
            id: format!("{:016x}", token.id),
            name: token.name.clone(),
            role: token.access.into(),
            created_at: rfc3339(token.created_at_us),
        }
    }
}

type Created = (StatusCode, [(HeaderName, String); 2], Answered<NewToken>);

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", operation_id = "create_token", tag = "access",
    params(super::IdempotencyParam),
    request_body = CreateToken,
    responses(
        (status = 201, body = NewToken, description = "The token with its secret.",
            headers(("Location" = String, description = "Its path."))),
        SecretProblems))]
pub(crate) async fn create(
    Admin(caller): Admin,
    State(app): State<App>,
    body: Json<CreateToken>,
) -> Result<Created, Problem> {
    let CreateToken { name, role } = body.value;
    label("name", &name, MAX_LABEL_BYTES)?;
    let secret = Secret::draw().map_err(no_random)?;
    let token = Token {
        id: draw_id().map_err(no_random)?,
        name,
        access: role.into(),
        secret_hash: secret.hash(),
        created_at_us: now_us(),
    };
    let is_guarded = body.idempotency.is_some();
    let ask = Ask::CreateToken(token.clone());
    match app.client.ask(caller.token, body.idempotency, ask).await? {
        Answer::Done => {}
        other => return Err(unexpected(&other)),
    }
    // A repetition is answered as done, but it was another secret that was kept.
    if is_guarded && !tokens(&app, caller).await?.contains(&token) {
        return Err(Problem::new(
            ProblemKind::Exists,
            "a token was made with this Idempotency-Key already, and its secret is told only once",
        ));
    }
    let resource = TokenResource::from(&token);
    let headers = [
        (header::LOCATION, format!("/v1/tokens/{}", resource.id)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let token = secret.token_text(token.id);
    Ok((
        StatusCode::CREATED,
        headers,
        Answered(NewToken { resource, token }),
    ))
}

/// Lists tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "list_tokens", tag = "access",
    params(PageQuery),
    responses((status = 200, body = Page<TokenResource>, description = "A page."), ListProblems))]
pub(crate) async fn list(
    Admin(caller): Admin,
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Answered<Page<TokenResource>>, Problem> {
    let list = List::new("/v1/tokens", &());
    let after = query.cursor.as_deref().map(|cursor| list.place_u64(cursor));
    let (after, most) = (after.transpose()?, limit(query.limit)? as usize);
    let mut tokens = tokens(&app, caller).await?;
    tokens.sort_unstable_by_key(|token| token.id);
    tokens.retain(|token| after.is_none_or(|after| token.id > after));
    let more = tokens.len() > most;
    tokens.truncate(most);
    let last = tokens.last().filter(|_| more);
    Ok(Answered(Page {
        next_cursor: last.map(|token| list.cursor(token.id.into())),
        items: tokens.iter().map(TokenResource::from).collect(),
    }))
}

/// Revokes a token: from now on it opens nothing.
#[utoipa::path(delete, path = "/v1/tokens/{id}", operation_id = "revoke_token", tag = "access",
    params(
        ("id" = String, Path, description = "The token's number, hex.", pattern = "^[0-9a-f]{16}$"),
        super::IdempotencyParam),
    responses((status = 204, description = "It is revoked."), DeleteProblems))]
pub(crate) async fn revoke(
    Admin(caller): Admin,
    State(app): State<App>,
    TokenId(id): TokenId,
    Keyed(idempotency): Keyed,
) -> Result<StatusCode, Problem> {
    let ask = Ask::RevokeToken(id);
    match app.client.ask(caller.token, idempotency, ask).await? {
        Answer::Done => Ok(StatusCode::NO_CONTENT),
        other => Err(unexpected(&other)),
    }
}

/// Makes a ticket for one connection to a live stream, with the caller's role. Browsers cannot send a token
/// with a WebSocket. A repetition with the same Idempotency-Key makes another ticket: one that is not used ends by itself.
#[utoipa::path(post, path = "/v1/stream-tickets", operation_id = "create_stream_ticket", tag = "access",
    params(super::IdempotencyParam),
    request_body(content = Option<Nothing>, description = "Nothing, or an empty object."),
    responses((status = 201, body = StreamTicket, description = "The ticket."), SecretProblems))]
pub(crate) async fn ticket(
    Viewer(caller): Viewer,
    State(app): State<App>,
    _body: OptionalJson<Nothing>,
) -> Result<
    (
        StatusCode,
        [(HeaderName, &'static str); 1],
        Answered<StreamTicket>,
    ),
    Problem,
> {
    let secret = Secret::draw().map_err(no_random)?;
    let ask = Ask::IssueTicket {
        secret_hash: secret.hash(),
        access: caller.access,
    };
    match app.client.ask(caller.token, None, ask).await? {
        Answer::Done => {}
        other => return Err(unexpected(&other)),
    }
    let ticket = StreamTicket {
        ticket: secret.ticket_text(),
        expires_in_s: TICKET_S,
    };
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Answered(ticket)))
}

async fn tokens(app: &App, caller: Caller) -> Result<Vec<Token>, Problem> {
    match app.client.ask(caller.token, None, Ask::Tokens).await? {
        Answer::Tokens(tokens) => Ok(tokens),
        other => Err(unexpected(&other)),
    }
}

fn no_random(error: NoRandom) -> Problem {
    Problem::new(ProblemKind::Internal, error.to_string())
}

/// The token that the path names.
pub(crate) struct TokenId(u64);

impl FromRequestParts<App> for TokenId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let wrong = || {
            Problem::invalid(
                "id",
                "`id` is no number of a token",
                "16 digits of hex, lower case",
            )
        };
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(text) = path.map_err(|_| wrong())?;
        let is_hex = text.len() == 16
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let id = is_hex
            .then(|| u64::from_str_radix(&text, 16).ok())
            .flatten();
        id.map(TokenId).ok_or_else(wrong)
    }
}
