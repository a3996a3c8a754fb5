//! The dashboard of this very build, over a socket, or the page in its place.

use crate::bench::Bench;
use crate::http::send;

#[tokio::test]
async fn the_page_loads_what_the_gateway_serves_and_nothing_else() {
    let bench = Bench::start().await;
    let page = bench.get("/").await;
    assert_eq!(page.status, 200);
    let kind = page.header("content-type").expect("it has one");
    assert!(kind.starts_with("text/html"), "{kind}");
    let html = page.text();
    if gateway::dashboard::missing().is_some() {
        // How to get it, and where to go on.
        assert!(
            html.contains("npm") && html.contains("href=\"/docs\""),
            "{html}"
        );
        return;
    }
    let csp = page.header("content-security-policy").expect("a policy");
    assert!(
        csp.contains("script-src 'self';") && !csp.contains("unsafe"),
        "{csp}"
    );
    assert!(!html.contains("://"), "loaded from elsewhere: {html}");
    // What a page links to for people is not loaded.
    let loading = html
        .split('<')
        .filter(|tag| tag.starts_with("script ") || tag.starts_with("link "));
    let loaded: Vec<&str> = loading
        .filter_map(|tag| {
            tag.split(" src=\"")
                .nth(1)
                .or_else(|| tag.split(" href=\"").nth(1))
        })
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(!loaded.is_empty(), "a page that loads nothing: {html}");
    for path in loaded {
        let path = path.trim_start_matches('.');
        let file = send("GET", path)
            .header("Accept-Encoding", "gzip")
            .to(bench.address)
            .await;
        assert_eq!(file.status, 200, "{path}");
        let cache = file.header("cache-control").expect("it says how long");
        assert_eq!(
            cache.contains("immutable"),
            path.starts_with("/assets/"),
            "{path}: {cache}"
        );
        if path.ends_with(".js") {
            assert_eq!(file.header("content-encoding"), Some("gzip"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_problem_with_advice() {
    let bench = Bench::start().await;
    let problem = bench
        .get("/assets/gone-12345678.js")
        .await
        .problem(404, "no-such-route");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("is loaded again"), "{detail}");
}
