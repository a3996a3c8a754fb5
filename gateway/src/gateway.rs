//! Puts the parts of a gateway together and serves it from start to end.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use transport::pool::FramePool;

use crate::app::{App, Life};
use crate::archive::{self, Archive};
use crate::client::{Client, client};
use crate::config::{Config, TlsFiles};
use crate::connector::Connector;
use crate::limits::{MAX_BODY_BYTES, MAX_CONNECTIONS, WARN_EVERY};
use crate::listener::Serving;
use crate::metrics::Metrics;
use crate::rate::Limiter;
use crate::rest::resource::SimulationResource;
use crate::sparing::Sparing;
use crate::stream_metrics::StreamMetrics;
use crate::streams::Streams;
use crate::{dashboard, drive, rest};

/// What is wrong where everybody needs a token and there is none.
pub(crate) const NOBODY_CAN_COME_IN: &str = "nobody can come in: everybody needs a token here, and there is none; `autofarm \
    token create --name me --role admin` makes the first, with --connect ORCHESTRATOR:7400 --certs DIR where an \
    orchestrator runs";

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("listen: {address}: {source}; give a free address of this machine")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No address is given.
    #[error("listen: no address is given")]
    NoAddress,
    /// A certificate or key cannot be read.
    #[error("{setting}: {}: {source}", path.display())]
    Unreadable {
        /// Which of the two: `tls-cert` or `tls-key`.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PemError,
    },
    /// Certificate and key cannot be used.
    #[error("tls-cert: {}, with tls-key: {source}", path.display())]
    Tls {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A number outside its range.
    #[error("{field}: {value} is not from {min} to {max}")]
    OutOfRange {
        /// Name of the field.
        field: &'static str,
        /// What was given.
        value: usize,
        /// Least that is allowed.
        min: usize,
        /// Most that is allowed.
        max: usize,
    },
}

/// A gateway whose listeners are open.
pub struct Gateway {
    app: App,
    life: watch::Sender<Life>,
    serving: Serving,
    listeners: Vec<(TcpListener, SocketAddr)>,
    /// The loop to the orchestrator; told to end by dropping what stops it.
    driven: JoinSet<()>,
    stop_drive: oneshot::Sender<()>,
}

/// Starts a gateway and serves until `shutdown` is ready and all connections have ended.
///
/// # Errors
/// [`StartError`].
pub async fn run(
    config: Config,
    connector: Connector,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    Gateway::start(config, connector)
        .await?
        .serve(shutdown)
        .await;
    Ok(())
}

impl Gateway {
    /// Opens the listeners and begins to connect to the orchestrator.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config, connector: Connector) -> Result<Gateway, StartError> {
        check(&config)?;
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let mut listeners = Vec::with_capacity(config.listen.len());
        for &address in &config.listen {
            let bound = TcpListener::bind(address).await;
            let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (local, listener) = bound.map_err(|source| StartError::Bind { address, source })?;
            info!(server.address = %local.ip(), server.port = local.port(), tls = tls.is_some(), "listening");
            listeners.push((listener, local));
        }
        if let Some(why) = dashboard::missing() {
            info!(why, "this build has no dashboard");
        }
        let config = Arc::new(config);
        let (client, asked) = client();
        let (life, lives) = watch::channel(Life::Serving);
        let (archive, archived) = archive::archive(config.database.is_some());
        let metrics = Arc::new(Metrics::default());
        let streams = streams(&config, &client, &archive, &metrics);
        let app = App {
            config: config.clone(),
            client,
            archive,
            limiter: Arc::new(Limiter::new(config.requests_per_s, config.burst)),
            ticket_limiter: Arc::new(Limiter::new(config.requests_per_s, config.burst)),
            unavailable: Arc::new(Sparing::new(WARN_EVERY)),
            metrics: metrics.clone(),
            views: Arc::new(streams.clone()),
            streams: streams.clone(),
            wants_tokens: listeners
                .iter()
                .all(|(_, local)| config.wants_tokens(local.ip())),
            others: Arc::default(),
            life: lives.clone(),
        };
        let (stop_drive, stopped) = oneshot::channel::<()>();
        let mut driven = JoinSet::new();
        let (name, pool) = (config.name.clone(), FramePool::new());
        let fed = streams.clone();
        let feed = move |input| fed.route(input);
        driven.spawn(drive::run(connector, name, pool, asked, feed, async {
            // It is dropped, never sent.
            let _ = stopped.await;
        }));
        let mut life_of_streams = lives.clone();
        driven.spawn(streams.close_after(async move {
            // An error is the end of the gateway too.
            let closing = life_of_streams.wait_for(|life| *life == Life::Closing);
            let _ = closing.await;
        }));
        if app.wants_tokens {
            driven.spawn(say_that_nobody_can_come_in(app.client.clone()));
        }
        if let Some(location) = config.database.clone() {
            let mut life_of_archive = lives.clone();
            driven.spawn(async move {
                tokio::select! {
                    () = archived.connect(location) => {}
                    // An error is the end of the gateway too.
                    _ = life_of_archive.wait_for(|life| *life == Life::Closing) => {}
                }
            });
        }
        let router = rest::router(app.clone());
        let serving = Serving::new(config, router, tls, lives, metrics);
        Ok(Gateway {
            app,
            life,
            serving,
            listeners,
            driven,
            stop_drive,
        })
    }

    /// The addresses that are listened on, in the order of [`Config::listen`].
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, local)| *local).collect()
    }

    /// What its handlers use.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Serves until `shutdown` is ready; then says for a while that it is leaving, closes its
    /// listeners, and waits for its connections.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let mut accepting = JoinSet::new();
        for (listener, local) in self.listeners {
            accepting.spawn(self.serving.clone().accept(listener, local));
        }
        shutdown.await;
        info!("leaving");
        self.life.send_replace(Life::Leaving);
        sleep(self.app.config.leave_notice).await;
        self.life.send_replace(Life::Closing);
        while accepting.join_next().await.is_some() {}
        drop(self.stop_drive);
        let mut driven = self.driven;
        while driven.join_next().await.is_some() {}
        info!("left");
    }
}

/// Says it in the log whenever it turns out.
async fn say_that_nobody_can_come_in(client: Client) {
    while client.wait_tokens(false).await {
        warn!("{NOBODY_CAN_COME_IN}");
        if !client.wait_tokens(true).await {
            return;
        }
    }
}

fn streams(config: &Config, client: &Client, archive: &Archive, metrics: &Metrics) -> Streams {
    let figures = StreamMetrics::default();
    metrics.register(|registry| registry.register_collector(Box::new(figures.clone())));
    let past = Arc::new(archive.clone());
    Streams::new(client.clone(), past, config.stream, figures, |info| {
        let shown = serde_json::to_value(SimulationResource::from(info));
        shown.expect("plain values have a JSON form")
    })
}

fn check(config: &Config) -> Result<(), StartError> {
    if config.listen.is_empty() {
        return Err(StartError::NoAddress);
    }
    let ranges = [
        (
            "max_connections",
            config.max_connections,
            1,
            MAX_CONNECTIONS,
        ),
        ("max_body_bytes", config.max_body_bytes, 1, MAX_BODY_BYTES),
        (
            "name",
            config.name.len(),
            1,
            transport::limits::MAX_NAME_BYTES,
        ),
        (
            "requests_per_s",
            config.requests_per_s as usize,
            1,
            1_000_000,
        ),
        ("burst", config.burst as usize, 1, 1_000_000),
    ];
    for (field, value, min, max) in ranges {
        if !(min..=max).contains(&value) {
            return Err(StartError::OutOfRange {
                field,
                value,
                min,
                max,
            });
        }
    }
    Ok(())
}

/// Checks that a gateway could serve HTTPS with these files.
///
/// # Errors
/// [`StartError`] names the file.
pub fn check_tls(files: &TlsFiles) -> Result<(), StartError> {
    acceptor(files).map(|_| ())
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, StartError> {
    let unreadable = |setting, path: &PathBuf| {
        let path = path.clone();
        move |source| StartError::Unreadable {
            setting,
            path,
            source,
        }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable("tls-cert", &files.certificate))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable("tls-key", &files.key))?;
    let unusable = |source| StartError::Tls {
        path: files.certificate.clone(),
        source,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}
