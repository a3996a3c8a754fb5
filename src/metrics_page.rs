//! `/metrics`, `/healthz` and `/readyz` of a role that has no gateway before it.

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use transport::metrics::join;

use crate::failure::of_address;
use crate::process_page;

/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Flag of a role that serves such pages.
#[derive(clap::Args)]
pub(crate) struct MetricsArgs {
    /// Address to serve /metrics, /healthz and /readyz on (TCP, plain HTTP) [default: none].
    #[arg(long, env = "AUTOFARM_METRICS", value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

impl MetricsArgs {
    /// Serves the page that `text` makes, `None` while there is nothing to tell, until the process ends; and whether
    /// the role is ready, as `ready` says it, or why not.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub(crate) async fn serve<T, R>(
        &self,
        text: impl Fn() -> T + Clone + Send + Sync + 'static,
        ready: impl Fn() -> R + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<()>
    where
        T: Future<Output = Option<String>> + Send + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let Some(address) = self.metrics else {
            return Ok(());
        };
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|error| of_address("metrics", address, &error))?;
        let metrics = move || {
            let text = text();
            async move {
                match text.await {
                    Some(page) => {
                        let page = join([page, process_page::text()]);
                        ([(header::CONTENT_TYPE, OPEN_METRICS)], page).into_response()
                    }
                    None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                }
            }
        };
        let readyz = move || {
            let ready = ready();
            async move {
                match ready.await {
                    Ok(()) => "ready\n".into_response(),
                    Err(why) => {
                        (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
                    }
                }
            }
        };
        let pages = Router::new()
            .route("/metrics", get(metrics))
            .route("/readyz", get(readyz))
            .route("/healthz", get(|| async { "ok\n" }));
        let local = listener.local_addr()?;
        tracing::info!(server.address = %local.ip(), server.port = local.port(), "metrics");
        tokio::spawn(async move { axum::serve(listener, pages).await });
        Ok(())
    }
}
