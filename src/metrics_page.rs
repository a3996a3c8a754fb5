//! `/metrics` and `/healthz` of a role that has no gateway before it.

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::failure::wrong_input;

/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the page that `text` makes, `None` while there is nothing to tell, until the process ends.
///
/// # Errors
/// Where the address cannot be had.
pub(crate) async fn serve<F>(
    address: SocketAddr,
    text: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = Option<String>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.map_err(|error| {
        wrong_input(format!(
            "metrics: {address}: {error}; give a free address of this machine"
        ))
    })?;
    let metrics = move || {
        let text = text();
        async move {
            match text.await {
                Some(page) => ([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response(),
                None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            }
        }
    };
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }));
    tracing::info!(address = %listener.local_addr()?, "metrics");
    tokio::spawn(async move { axum::serve(listener, pages).await });
    Ok(())
}
