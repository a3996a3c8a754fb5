//! The dashboard's answers, over a table of files made for them.

use super::*;
use axum::extract::Request;
use axum::http::Method;
use http_body_util::BodyExt;
use tower::ServiceExt;

static APP: [File; 4] = [
    File {
        path: "index.html",
        media_type: "text/html; charset=utf-8",
        content: "01",
        plain: b"<!doctype html>plain",
        gzip: Some(b"packed page"),
    },
    File {
        path: "assets/app-Bq3x.js",
        media_type: "text/javascript; charset=utf-8",
        content: "02",
        plain: b"plain script",
        gzip: Some(b"packed script"),
    },
    File {
        path: "assets/dot-Cx9y.png",
        media_type: "image/png",
        content: "03",
        plain: b"picture",
        gzip: None,
    },
    File {
        path: "favicon.svg",
        media_type: "image/svg+xml",
        content: "04",
        plain: b"<svg/>",
        gzip: None,
    },
];

fn without() -> String {
    "there is none".to_owned()
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn ask(router: Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

async fn get_with(path: &str, headers: &[(&str, &str)]) -> Reply {
    ask(routes_of(&APP, without), Method::GET, path, headers).await
}

#[tokio::test]
async fn the_page_is_asked_for_anew_and_may_load_only_what_is_here() {
    let page = get_with("/", &[]).await;
    assert_eq!(
        (page.status, page.body.as_str()),
        (200, "<!doctype html>plain")
    );
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("etag"), Some("\"01\""));
    let csp = page.header("content-security-policy").unwrap();
    for directive in [
        "script-src 'self'",
        "worker-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(
            csp.split("; ").any(|one| one == directive),
            "{directive} in {csp}"
        );
    }
    assert!(
        !csp.contains("unsafe") && !csp.contains("http") && !csp.contains('*'),
        "{csp}"
    );
}

#[tokio::test]
async fn files_of_hashed_names_are_kept_for_ever_and_others_are_not() {
    let script = get_with("/assets/app-Bq3x.js", &[]).await;
    assert_eq!((script.status, script.body.as_str()), (200, "plain script"));
    assert_eq!(
        script.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    let kept = Some("public, max-age=31536000, immutable");
    assert_eq!(script.header("cache-control"), kept);
    let icon = get_with("/favicon.svg", &[]).await;
    assert_eq!((icon.status, icon.body.as_str()), (200, "<svg/>"));
    assert_eq!(icon.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn the_form_is_the_one_that_the_browser_takes() {
    for (accepted, gzip) in [
        ("gzip, deflate, br, zstd", true),
        ("br;q=1.0, GZIP;q=0.5", true),
        ("*", true),
        ("identity, *;q=0.1", true),
        ("gzip;q=0, *", false),
        ("gzip; q=0.000", false),
        ("*;q=0", false),
        ("br", false),
        ("", false),
        ("gzipped", false),
    ] {
        let page = get_with("/", &[("accept-encoding", accepted)]).await;
        let expected = if gzip {
            "packed page"
        } else {
            "<!doctype html>plain"
        };
        assert_eq!(page.body, expected, "{accepted}");
        assert_eq!(
            page.header("content-encoding"),
            gzip.then_some("gzip"),
            "{accepted}"
        );
        assert_eq!(page.header("vary"), Some("accept-encoding"));
        let length = expected.len().to_string();
        assert_eq!(page.header("content-length"), Some(length.as_str()));
    }
    let picture = get_with("/assets/dot-Cx9y.png", &[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (picture.body.as_str(), picture.header("content-encoding")),
        ("picture", None)
    );
    assert_eq!(picture.header("vary"), None);
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let gzip = ("accept-encoding", "gzip");
    let tag = get_with("/", &[gzip])
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    assert_ne!(
        tag,
        get_with("/", &[]).await.header("etag").unwrap(),
        "another form"
    );
    for held in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        "*".to_owned(),
    ] {
        let again = get_with("/", &[gzip, ("if-none-match", &held)]).await;
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{held}");
        assert_eq!(again.header("etag"), Some(tag.as_str()));
        assert_eq!(again.header("cache-control"), Some("no-cache"));
        assert_eq!(again.header("content-encoding"), None);
    }
    let other = get_with("/", &[gzip, ("if-none-match", "\"00-gzip\"")]).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_head_has_no_body_and_no_other_path_is_a_file() {
    let router = || routes_of::<()>(&APP, without);
    let head = ask(router(), Method::HEAD, "/", &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some("20"));
    for path in [
        "/assets/none.js",
        "/assets/",
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/index",
    ] {
        assert_eq!(get_with(path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(ask(router(), Method::POST, "/", &[]).await.status, 405);
}

#[tokio::test]
async fn a_build_without_it_says_so() {
    let router = routes_of(&[], without);
    let page = ask(router, Method::GET, "/", &[]).await;
    assert_eq!((page.status, page.body.as_str()), (200, "there is none"));
}
