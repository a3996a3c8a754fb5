//! Sockets: accepted under a cap, with TLS or without, and each bounded in the time it may say nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::EXPECT;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::app::{Arrival, Life, Place};
use crate::config::Config;
use crate::leftover::Leftover;
use crate::limits::{
    ACCEPT_RETRY, MAX_HEAD_BYTES, MAX_HEADERS, MAX_TURNED_AWAY, MAX_UNSENT_BYTES,
    TURN_AWAY_PATIENCE,
};
use crate::metrics::Metrics;
use crate::patient_io::PatientIo;
use crate::problem::{Problem, ProblemKind};

/// What every connection is served with.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) config: Arc<Config>,
    pub(crate) router: Router,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Places for connections.
    pub(crate) places: Arc<Semaphore>,
    /// Places for those that are told that there is no place.
    pub(crate) turned_away: Arc<Semaphore>,
    pub(crate) life: watch::Receiver<Life>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Serving {
    pub(crate) fn new(
        config: Arc<Config>,
        router: Router,
        tls: Option<TlsAcceptor>,
        life: watch::Receiver<Life>,
        metrics: Arc<Metrics>,
    ) -> Serving {
        Serving {
            places: Arc::new(Semaphore::new(config.max_connections)),
            turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
            config,
            router,
            tls,
            life,
            metrics,
        }
    }

    /// Accepts until the gateway closes, then waits for the connections to end.
    pub(crate) async fn accept(self, listener: TcpListener, local: SocketAddr) {
        let mut connections = JoinSet::new();
        let mut life = self.life.clone();
        let mut closing = std::pin::pin!(closing(&mut life));
        loop {
            // Those that have ended are forgotten, or the set would grow for ever.
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut closing => break,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(&mut connections, socket, local, peer),
                Err(error) => {
                    warn!(%error, "no connection can be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.config.leave_patience, ended).await.is_err() {
            warn!("connections that did not end in time are cut off");
        }
    }

    fn admit(
        &self,
        connections: &mut JoinSet<()>,
        socket: TcpStream,
        local: SocketAddr,
        peer: SocketAddr,
    ) {
        // These fail only on a socket that is gone.
        let _ = socket.set_nodelay(true);
        let _ = SockRef::from(&socket).set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
        match self.places.clone().try_acquire_owned() {
            Ok(place) => {
                let serving = self.clone();
                connections.spawn(async move {
                    serving.connection(socket, local, peer, place).await;
                });
            }
            Err(_) => {
                self.metrics.turned_away.inc();
                let place = self.turned_away.clone().try_acquire_owned();
                if let (Ok(place), None) = (place, &self.tls) {
                    connections.spawn(turn_away(socket, place));
                }
            }
        }
    }

    async fn connection(
        self,
        socket: TcpStream,
        local: SocketAddr,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
    ) {
        let socket = PatientIo::new(socket, self.config.write_patience);
        let arrival = Arrival {
            local,
            peer,
            tls: self.tls.is_some(),
            place: Arc::new(Place::new(place, self.metrics.connections.clone())),
        };
        match self.tls.clone() {
            None => self.serve(socket, arrival).await,
            Some(tls) => {
                let shaken = timeout(self.config.handshake_patience, tls.accept(socket)).await;
                match shaken {
                    Ok(Ok(socket)) => self.serve(socket, arrival).await,
                    Ok(Err(error)) => debug!(%peer, %error, "no TLS handshake"),
                    Err(_) => debug!(%peer, "a TLS handshake took too long"),
                }
            }
        }
    }

    async fn serve<S>(self, socket: S, arrival: Arrival)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = arrival.peer;
        let router = self.router;
        let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
            // Who waits to be told to go on sends no body where it is refused.
            let asks_first = request.headers().contains_key(EXPECT);
            let mut request = request.map(|body| match asks_first {
                true => Body::new(body),
                false => Body::new(Leftover::new(body)),
            });
            request.extensions_mut().insert(arrival.clone());
            router.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.head_patience)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .half_close(false)
            .serve_connection(TokioIo::new(socket), answer)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let mut life = self.life;
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closing(&mut life) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "a connection ended early");
        }
    }
}

/// Ready once the gateway closes.
async fn closing(life: &mut watch::Receiver<Life>) {
    // An error is the end of the gateway too.
    let _ = life.wait_for(|life| *life == Life::Closing).await;
}

/// Tells a connection over the cap that it is one.
async fn turn_away(mut socket: TcpStream, _place: OwnedSemaphorePermit) {
    let problem = Problem::new(
        ProblemKind::OverCapacity,
        "the gateway has as many connections as it may have",
    );
    let body = problem.to_json(None);
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
        retry-after: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let told = async {
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(&body).await?;
        socket.shutdown().await
    };
    // It is turned away either way.
    let _ = timeout(TURN_AWAY_PATIENCE, told).await;
}
