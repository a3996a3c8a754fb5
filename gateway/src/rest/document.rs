//! The OpenAPI document's own words: what no route says.

use serde_json::json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, RefOr, Schema,
    SecurityRequirement, Tag,
};

use crate::problem::{ProblemKind, TYPE_PREFIX};

/// Name of the scheme of access.
const BEARER: &str = "bearer";

/// A document without a route.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("AutoFarm")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Runs large fleets of simulated farm machines. Lists take `limit` and `cursor`; errors are problems \
            of RFC 9457 with a stable `type`. On a loopback address no token is needed unless the gateway was \
            started so; elsewhere send one as `Authorization: Bearer`.",
        ))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let tags = [
        (
            "simulations",
            "Made, listed, read, changed, forked, deleted.",
        ),
        (
            "lifecycle",
            "created, running, paused, and the final stopped, completed and failed.",
        ),
        ("commands", "What machines are told to do."),
        ("farm", "Machines and the places they work in."),
        ("history", "What has happened."),
        ("stream", "The live stream, as docs/stream.md says."),
        ("system", "Scenarios, workers, probes and metrics."),
        ("access", "Tokens and tickets."),
    ];
    let tag = |(name, description): (&str, &str)| {
        let mut tag = Tag::new(name);
        tag.description = Some(description.to_owned());
        tag
    };
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags.map(tag)))
        .components(Some(components()))
        .security(Some([
            SecurityRequirement::default(),
            SecurityRequirement::new(BEARER, Vec::<String>::new()),
        ]))
        .build()
}

fn components() -> Components {
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.bearer_format = Some("af_<id>_<secret>".to_owned());
    let types: Vec<_> = ProblemKind::ALL
        .iter()
        .map(|kind| format!("{TYPE_PREFIX}{}", kind.slug()))
        .collect();
    let problem = json!({
        "type": "object",
        "description": "What went wrong, by RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "enum": types, "description": "Stable; below it is told what to do."},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is wrong with this request."},
            "field": {"type": "string", "description": "The offending field of body, query, path or header."},
            "allowed": {"type": "string", "description": "What it may be."},
            "limit": {"type": "integer", "minimum": 0, "description": "The maximum that was passed."},
            "retry_after_s": {"type": "integer", "minimum": 1, "description": "When another try is worth it."},
            "request_id": {"type": "string", "description": "Names the request in the gateway's log."},
        },
        "example": {
            "type": "/problems/invalid", "title": ProblemKind::Invalid.title(), "status": 422,
            "detail": "`entities`: 0 is not from 1 to 1000000", "field": "entities", "allowed": "1 to 1000000",
        },
    });
    ComponentsBuilder::new()
        .security_scheme(BEARER, SecurityScheme::Http(http))
        .schema("Problem", schema(problem))
        .build()
}

/// A schema that no derive can say.
pub(crate) fn schema(json: serde_json::Value) -> RefOr<Schema> {
    let schema: Schema = serde_json::from_value(json).expect("a constant schema");
    RefOr::T(schema)
}
