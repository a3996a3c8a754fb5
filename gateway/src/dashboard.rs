//! The dashboard, which is in the binary: which file answers a path, in which form, and how long it may be kept.
//!
//! The table of its files is written by `build.rs`; a build without npm has an empty one, and a page that says so
//! stands in its place.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::problem::{Problem, ProblemKind};

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// Path of the page itself in the table.
const PAGE: &str = "index.html";
/// Files whose names change with their content.
const HASHED: &str = "assets/";
/// How long those may be kept: a year, the longest that is heard of.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// All others are asked for each time, and sent where they are not what the browser has.
const ASKED_ANEW: &str = "no-cache";
/// What the page may load: what this gateway serves, and pictures that it has drawn itself. Its streams are covered:
/// `'self'` stands for the WebSocket of the same host too.
const CSP: &str = "default-src 'self'; script-src 'self'; worker-src 'self'; connect-src 'self'; style-src 'self'; \
    img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the app.
#[derive(Debug)]
struct File {
    /// Its path below `/`.
    path: &'static str,
    media_type: &'static str,
    /// Another one for other content.
    content: &'static str,
    plain: &'static [u8],
    /// `None` where it would save nothing.
    gzip: Option<&'static [u8]>,
}

/// Why this build has no dashboard; `None` where it has. For the log: it may name files of whoever built it.
#[must_use]
pub fn missing() -> Option<&'static str> {
    MISSING
}

/// The routes of the page and of what it loads. `without` makes the page of a build that has no dashboard.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(without: fn() -> String) -> Router<S> {
    routes_of(FILES, without)
}

fn routes_of<S: Clone + Send + Sync + 'static>(
    files: &'static [File],
    without: fn() -> String,
) -> Router<S> {
    let page = move |headers: HeaderMap| async move {
        match find(files, PAGE) {
            Some(page) => answer(page, &headers),
            None => Html(without()).into_response(),
        }
    };
    let asset = move |Path(path): Path<String>, headers: HeaderMap| async move {
        let file = find(files, &format!("{HASHED}{path}"));
        file.map_or_else(no_such_file, |file| answer(file, &headers))
    };
    let mut router = Router::new()
        .route("/", get(page))
        .route("/assets/{*path}", get(asset));
    // An icon, say. Each is a route of its own, so that no other path is taken for a file.
    let others = files.iter().filter(|file| file.path != PAGE);
    for file in others.filter(|file| !file.path.starts_with(HASHED)) {
        let other = move |headers: HeaderMap| async move { answer(file, &headers) };
        router = router.route(&format!("/{}", file.path), get(other));
    }
    router
}

fn find(files: &'static [File], path: &str) -> Option<&'static File> {
    files.iter().find(|file| file.path == path)
}

fn no_such_file() -> Response {
    let detail = "the dashboard has no such file; a page that was opened before an update loads its new ones once it \
        is loaded again";
    Problem::new(ProblemKind::NoSuchRoute, detail).into_response()
}

/// A file in the form that the browser takes, or word that it has it.
fn answer(file: &File, headers: &HeaderMap) -> Response {
    let packed = file.gzip.filter(|_| takes_gzip(headers));
    let form = if packed.is_some() { "-gzip" } else { "" };
    let etag = format!("\"{}{form}\"", file.content);
    let cache = match file.path.starts_with(HASHED) {
        true => FOR_EVER,
        false => ASKED_ANEW,
    };
    let mut response = match has(headers, &etag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(packed.unwrap_or(file.plain)).into_response(),
    };
    let is_there = response.status() == StatusCode::OK;
    let mut set = |name: HeaderName, value: &'static str| {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    };
    set(header::CACHE_CONTROL, cache);
    set(header::CONTENT_SECURITY_POLICY, CSP);
    if file.gzip.is_some() {
        set(header::VARY, "accept-encoding");
    }
    if is_there {
        set(header::CONTENT_TYPE, file.media_type);
        if packed.is_some() {
            set(header::CONTENT_ENCODING, "gzip");
        }
    }
    let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits");
    response.headers_mut().insert(header::ETAG, etag);
    response
}

/// Whether the client has the content of this name. Weak names count as well: RFC 9110, 13.1.2.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    items(headers, header::IF_NONE_MATCH)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == etag)
}

/// Whether the client takes gzip: RFC 9110, 12.5.3. What is said of gzip counts more than what is said of all.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut of_all = false;
    for item in items(headers, header::ACCEPT_ENCODING) {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let weight = parameters.trim().strip_prefix("q=");
        let is_wanted = weight.is_none_or(|q| q.trim().parse().is_ok_and(|q: f32| q > 0.0));
        match coding.trim() {
            "*" => of_all = is_wanted,
            name if name.eq_ignore_ascii_case("gzip") => return is_wanted,
            _ => {}
        }
    }
    of_all
}

/// What a header that may stand several times lists.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let texts = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

#[cfg(test)]
#[path = "dashboard_tests.rs"]
mod tests;
