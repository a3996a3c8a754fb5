//! `/metrics`, `/healthz` and `/readyz` of a role that has no gateway before it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use transport::metrics::join;

use crate::failure::of_address;
use crate::process_page;
use crate::value_parser::parse_address;

/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections that are served at once; further ones are closed without a word. Whoever reaches the address may open
/// any number, and those that are served take files that the role's own work needs.
const MAX_METRICS_CONNECTIONS: usize = 64;
/// How long a connection has, from when it is accepted to when it has taken its one answer.
const METRICS_PATIENCE: Duration = Duration::from_secs(10);
/// How often an accept that failed, as it does without file descriptors, is tried again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Flag of a role that serves such pages.
#[derive(clap::Args)]
pub(crate) struct MetricsArgs {
    /// Address to serve /metrics, /healthz and /readyz on (TCP, plain HTTP) [default: none].
    #[arg(long, env = "AUTOFARM_METRICS", value_name = "ADDRESS", value_parser = parse_address)]
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
        tokio::spawn(accept(listener, pages, METRICS_PATIENCE));
        Ok(())
    }
}

/// Serves pages under the caps, for as long as it is polled.
async fn accept(listener: TcpListener, pages: Router, patience: Duration) {
    let places = Arc::new(Semaphore::new(MAX_METRICS_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    tokio::spawn(answer(socket, pages.clone(), patience, place));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to the metrics can be accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Answers one request. A connection that was kept for more would have to be told from one that says nothing.
async fn answer(
    socket: TcpStream,
    pages: Router,
    patience: Duration,
    _place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(pages));
    // Whoever asked is gone, or asks again.
    let _ = timeout(patience, connection).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What an address answers to a request, or to nothing.
    async fn told(address: SocketAddr, request: &str) -> (TcpStream, String) {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(60), socket.read_to_string(&mut answer)).await;
        // A socket that is closed with something unread is reset.
        let _ = read.expect("it is answered or closed");
        (socket, answer)
    }

    async fn served(patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Router::new().route("/healthz", get(|| async { "ok\n" }));
        tokio::spawn(accept(listener, pages, patience));
        address
    }

    const GET: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

    #[tokio::test]
    async fn no_more_connections_are_served_at_once_than_there_are_places() {
        let address = served(Duration::from_secs(600)).await;
        let mut silent = Vec::new();
        for _ in 0..MAX_METRICS_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(told(address, GET).await.1, "");
        // Each place that is given back is for the next one.
        silent.pop();
        while told(address, GET).await.1.is_empty() {}
        // Answered, it has given its place back too.
        let mut answered = 0;
        while answered < 2 * MAX_METRICS_CONNECTIONS {
            answered += usize::from(told(address, GET).await.1.ends_with("ok\n"));
        }
    }

    #[tokio::test]
    async fn who_does_not_finish_its_head_is_closed() {
        let address = served(Duration::from_millis(300)).await;
        for begun in ["", "GET /healthz HTT"] {
            assert_eq!(told(address, begun).await.1, "");
        }
        let (_, answer) = told(address, GET).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}
