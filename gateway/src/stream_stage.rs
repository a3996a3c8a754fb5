//! A gateway on a real socket before an orchestrator that does as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use transport::control::{
    Access, Answer, Ask, EpochBegin, Log, LogEvent, Refusal, RefusalKind, Request, Response,
    SimulationId, SimulationInfo, Status, Token, Tokens, WorkerInfo,
};
use transport::frame::{self, Frame};
use transport::header::{Header, Kind};
use transport::link::{Class, Endpoint, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::memory::{self, MemoryHub};
use transport::message::Welcome;
use transport::pool::FramePool;

use crate::app::{App, Life};
use crate::client::client;
use crate::config::Config;
use crate::connector::Connector;
use crate::limits::WARN_EVERY;
use crate::listener::Serving;
use crate::metrics::Metrics;
use crate::past::{Past, PastEvents};
use crate::rate::Limiter;
use crate::rest::resource::SimulationResource;
use crate::sample::{self, SIMULATION, Sample};
use crate::sparing::Sparing;
use crate::stream_limits::StreamBounds;
use crate::stream_metrics::StreamMetrics;
use crate::streams::Streams;
use crate::{archive, drive, rest};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the orchestrator knows.
pub(crate) struct Known {
    pub(crate) sample: Sample,
    pub(crate) epoch: u32,
    pub(crate) tick: u64,
    /// Events that its database may not hold, by log.
    pub(crate) unflushed: Vec<LogEvent>,
    pub(crate) last_seqs: [u64; 2],
    /// Where the epochs began.
    pub(crate) epochs: Vec<EpochBegin>,
    /// What the simulation's status is.
    pub(crate) status: Status,
    /// Whether a worker is there.
    pub(crate) has_worker: bool,
    /// Rates that were asked for; 0 where somebody took leave.
    pub(crate) asked_hz: Vec<u32>,
    /// How often somebody took leave.
    pub(crate) leaves: usize,
    /// Whether it lets who subscribes wait for ever.
    pub(crate) withholds_subscriptions: bool,
    /// Secret of a ticket, and the token that it was issued to.
    pub(crate) ticket: Option<([u8; 32], u64)>,
    /// What gateways are told when they register.
    pub(crate) tokens: Vec<Token>,
    /// Gateways that are connected.
    peers: Vec<PeerId>,
}

/// An orchestrator that does as it is told.
pub(crate) struct Orchestrator {
    pub(crate) known: Arc<Mutex<Known>>,
    commands: mpsc::Sender<LinkCommand>,
    changed: watch::Receiver<u64>,
    hub: MemoryHub,
}

/// Events of a database, and the logs that were read, as often as they were.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) events: Arc<Mutex<Vec<LogEvent>>>,
    pub(crate) read: Arc<Mutex<Vec<Log>>>,
}

impl PastEvents for Kept {
    fn read(&self, _: SimulationId, log: Log, from_seq: u64, limit: usize) -> Past<'_> {
        self.read.lock().unwrap().push(log);
        let kept = self.events.lock().unwrap();
        let of_log = kept.iter().filter(|e| e.log == log && e.seq >= from_seq);
        let page: Vec<LogEvent> = of_log.take(limit).cloned().collect();
        Box::pin(async move { Ok(page) })
    }
}

impl Orchestrator {
    fn start(sample: Sample) -> Orchestrator {
        let (endpoint, hub) = memory::hub(Role::Orchestrator, "orchestrator");
        let known = Arc::new(Mutex::new(Known {
            sample,
            epoch: 1,
            tick: 0,
            unflushed: Vec::new(),
            last_seqs: [0, 0],
            epochs: Vec::new(),
            status: Status::Running,
            has_worker: true,
            asked_hz: Vec::new(),
            leaves: 0,
            withholds_subscriptions: false,
            ticket: None,
            tokens: Vec::new(),
            peers: Vec::new(),
        }));
        let commands = endpoint.commands.clone();
        let (changes, changed) = watch::channel(0);
        tokio::spawn(orchestrate(endpoint, known.clone(), changes));
        Orchestrator {
            known,
            commands,
            changed,
            hub,
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something that it knows is as it should be.
    pub(crate) async fn until(&self, mut is_so: impl FnMut(&Known) -> bool) {
        let mut changed = self.changed.clone();
        let known = changed.wait_for(|_| is_so(&self.known()));
        let _ = timeout(PATIENCE, known)
            .await
            .expect("it never came to be")
            .unwrap();
    }

    /// Publishes a tick with its views and events.
    pub(crate) async fn publish(&self, tick: u64, events: &[LogEvent]) {
        let (frames, peers) = {
            let mut known = self.known();
            known.tick = tick;
            for event in events {
                known.last_seqs[event.log as usize] = event.seq;
                known.unflushed.push(event.clone());
            }
            let epoch = known.epoch;
            let mut frames = known.sample.views(epoch, tick);
            frames.push(sample::published(&known.sample.config, epoch, tick, events));
            (frames, known.peers.clone())
        };
        self.send(frames, peers).await;
    }

    /// Tells every gateway which tokens there are from now on.
    pub(crate) async fn tell_tokens(&self, tokens: Vec<Token>) {
        let (frame, peers) = {
            let mut known = self.known();
            known.tokens.clone_from(&tokens);
            let header = Header {
                lease_epoch: known.epoch,
                ..Header::new(Kind::Tokens)
            };
            let frame = frame::encode(&FramePool::new(), header, &Tokens { tokens });
            (frame.unwrap(), known.peers.clone())
        };
        self.send(vec![frame], peers).await;
    }

    /// Publishes that the simulation was deleted.
    pub(crate) async fn delete(&self) {
        let (frame, peers) = {
            let known = self.known();
            let frame = sample::deleted(&known.sample.config, known.epoch, known.tick, &[]);
            (frame, known.peers.clone())
        };
        self.send(vec![frame], peers).await;
    }

    async fn send(&self, frames: Vec<Frame>, peers: Vec<PeerId>) {
        for peer in peers {
            for frame in &frames {
                let class = match frame.header.kind {
                    Kind::View => Class::View,
                    Kind::Tokens => Class::Control,
                    _ => Class::Tick,
                };
                self.commands
                    .send(transmit(peer, class, frame.clone()))
                    .await
                    .unwrap();
            }
        }
    }

    /// Closes every connection.
    pub(crate) async fn drop_connections(&self) {
        let peers = std::mem::take(&mut self.known().peers);
        for peer in peers {
            let reason = "as told".to_owned();
            let command = LinkCommand::Disconnect { peer, reason };
            self.commands.send(command).await.unwrap();
        }
    }
}

fn transmit(peer: PeerId, class: Class, frame: Frame) -> LinkCommand {
    LinkCommand::Transmit(Transmit {
        peer,
        class,
        group: 0,
        frame,
        last: false,
    })
}

async fn orchestrate(
    mut endpoint: Endpoint,
    known: Arc<Mutex<Known>>,
    changes: watch::Sender<u64>,
) {
    let pool = FramePool::new();
    while let Some(event) = endpoint.events.recv().await {
        let LinkEvent::Frame { peer, frame } = event else {
            continue;
        };
        let mut answers = Vec::new();
        {
            let mut known = known.lock().unwrap();
            let head = |kind| Header {
                lease_epoch: known.epoch,
                ..Header::new(kind)
            };
            match frame.header.kind {
                Kind::Register => {
                    let welcome = Welcome {
                        worker: 1,
                        heartbeat_ms: 500,
                    };
                    answers.push(frame::encode(&pool, head(Kind::Welcome), &welcome));
                    let tokens = Tokens {
                        tokens: known.tokens.clone(),
                    };
                    answers.push(frame::encode(&pool, head(Kind::Tokens), &tokens));
                    known.peers.push(peer);
                }
                Kind::Request => {
                    let Request { id, ask, .. } = frame.decode::<Request>().unwrap();
                    let head = head(Kind::Response);
                    let is_withheld =
                        known.withholds_subscriptions && matches!(ask, Ask::Subscribe { .. });
                    let answer = known.answer(&ask);
                    if !is_withheld {
                        answers.push(frame::encode(&pool, head, &Response { id, answer }));
                    }
                }
                _ => {}
            }
        }
        for answer in answers {
            let command = transmit(peer, Class::Control, answer.unwrap());
            endpoint.commands.send(command).await.unwrap();
        }
        changes.send_modify(|n| *n += 1);
    }
}

fn worker() -> WorkerInfo {
    WorkerInfo {
        id: 1,
        name: "worker".to_owned(),
        state: "ready".to_owned(),
        threads: 1,
        partitions: 0,
        rows: 0,
        row_steps: 0,
        load_milli: 0,
        row_steps_per_s: 0,
    }
}

impl Known {
    fn info(&self) -> SimulationInfo {
        SimulationInfo {
            status: self.status,
            settled: self.status.is_final(),
            ..sample::info(&self.sample.config, self.tick)
        }
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        let refused = |kind| {
            Answer::Refused(Refusal {
                kind,
                field: String::new(),
                allowed: String::new(),
                detail: "as told".to_owned(),
                retry_after_ms: 0,
            })
        };
        match ask {
            Ask::Subscribe { simulation, .. } if *simulation != SIMULATION => {
                refused(RefusalKind::NotFound)
            }
            Ask::Subscribe { view_hz, .. } => {
                self.asked_hz.push(*view_hz);
                let config = &self.sample.config;
                let mut subscribed = sample::subscribed(config, self.tick, &self.unflushed);
                subscribed.last_sim_seq = self.last_seqs[0];
                subscribed.last_system_seq = self.last_seqs[1];
                subscribed.epochs.clone_from(&self.epochs);
                subscribed.info = self.info();
                Answer::Subscribed(Box::new(subscribed))
            }
            Ask::RedeemTicket { secret_hash } => {
                match self.ticket.take_if(|(hash, _)| hash == secret_hash) {
                    Some((_, token)) => Answer::Ticket {
                        access: Access::Viewer,
                        token,
                    },
                    None => refused(RefusalKind::BadTicket),
                }
            }
            Ask::Simulation(SIMULATION) => Answer::Simulation(Box::new(self.info())),
            Ask::Workers => Answer::Workers(self.has_worker.then(worker).into_iter().collect()),
            Ask::Unsubscribe(_) => {
                self.asked_hz.push(0);
                self.leaves += 1;
                Answer::Done
            }
            _ => refused(RefusalKind::NotSupported),
        }
    }
}

/// A gateway before such an orchestrator.
pub(crate) struct Stage {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: StreamMetrics,
    pub(crate) kept: Kept,
    pub(crate) life: watch::Sender<Life>,
    _stop_drive: oneshot::Sender<()>,
}

impl Stage {
    pub(crate) async fn new(sample: Sample, bounds: StreamBounds) -> Stage {
        Stage::with(sample, bounds, Config::default()).await
    }

    pub(crate) async fn with(sample: Sample, bounds: StreamBounds, config: Config) -> Stage {
        let config = Config {
            requests_per_s: 100_000,
            burst: 100_000,
            ..config
        };
        let orchestrator = Orchestrator::start(sample);
        let (client, asked) = client();
        let (life, lives) = watch::channel(Life::Serving);
        let (archive, _) = archive::archive(false);
        let (metrics, kept) = (StreamMetrics::default(), Kept::default());
        let past = Arc::new(kept.clone());
        let streams = Streams::new(client.clone(), past, bounds, metrics.clone(), |info| {
            serde_json::to_value(SimulationResource::from(info)).unwrap()
        });
        let app = App {
            config: Arc::new(config),
            archive,
            limiter: Arc::new(Limiter::new(100_000, 100_000)),
            ticket_limiter: Arc::new(Limiter::new(100_000, 100_000)),
            unavailable: Arc::new(Sparing::new(WARN_EVERY)),
            metrics: Arc::default(),
            views: Arc::new(streams.clone()),
            streams: streams.clone(),
            client: client.clone(),
            wants_tokens: false,
            others: Arc::default(),
            life: lives.clone(),
        };
        let connector = Connector::Memory(orchestrator.hub.clone());
        let (stop_drive, stopped) = oneshot::channel::<()>();
        let (name, pool) = ("gateway".to_owned(), FramePool::new());
        let fed = streams.clone();
        let feed = move |input| fed.route(input);
        tokio::spawn(drive::run(connector, name, pool, asked, feed, async {
            let _ = stopped.await;
        }));
        let mut closing = lives.clone();
        tokio::spawn(streams.close_after(async move {
            let _ = closing.wait_for(|life| *life == Life::Closing).await;
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (config, router) = (app.config.clone(), rest::router(app));
        let serving = Serving::new(config, router, None, lives, Arc::<Metrics>::default());
        tokio::spawn(serving.accept(listener, address));
        assert!(timeout(PATIENCE, client.wait_ready()).await.unwrap());
        Stage {
            orchestrator,
            address,
            metrics,
            kept,
            life,
            _stop_drive: stop_drive,
        }
    }

    /// A stream of the sample, by a client that shares no code with the gateway.
    pub(crate) async fn watch(&self, subprotocol: &str, query: &str) -> Watcher {
        self.try_watch(SIMULATION, subprotocol, query, None)
            .await
            .unwrap()
    }

    /// The same, or the status of the refusal.
    pub(crate) async fn try_watch(
        &self,
        simulation: SimulationId,
        subprotocol: &str,
        query: &str,
        origin: Option<&str>,
    ) -> Result<Watcher, u16> {
        let mut request = self.request(simulation, query);
        let headers = request.headers_mut();
        if !subprotocol.is_empty() {
            headers.insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        self.open(request).await
    }

    /// A stream of the sample for who has a token, or the status of the refusal.
    pub(crate) async fn watch_as(&self, token: &str, query: &str) -> Result<Watcher, u16> {
        let mut request = self.request(SIMULATION, query);
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        self.open(request).await
    }

    fn request(&self, simulation: SimulationId, query: &str) -> http::Request<()> {
        let path = format!("/v1/simulations/{simulation}/stream?{query}");
        let url = format!("ws://{}{path}", self.address);
        url.into_client_request().unwrap()
    }

    async fn open(&self, request: http::Request<()>) -> Result<Watcher, u16> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let config = WebSocketConfig::default()
            .max_frame_size(None)
            .max_message_size(None);
        let opening = client_async_with_config(request, socket, Some(config));
        match timeout(PATIENCE, opening).await.unwrap() {
            Ok((socket, _)) => Ok(Watcher { socket }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A connection on which a stream has been asked for by hand.
    pub(crate) async fn asking(&self) -> TcpStream {
        use tokio::io::AsyncWriteExt;
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /v1/simulations/{SIMULATION}/stream HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    /// The same, once it has been upgraded.
    pub(crate) async fn raw(&self) -> TcpStream {
        use tokio::io::AsyncReadExt;
        let mut socket = self.asking().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap());
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        socket
    }

    /// Waits until as many clients are there.
    pub(crate) async fn until_clients(&self, clients: i64) {
        let there = async {
            while self.metrics.clients_now() != clients {
                tokio::task::yield_now().await;
            }
        };
        let came = timeout(PATIENCE, there).await;
        assert!(
            came.is_ok(),
            "{} clients, not {clients}",
            self.metrics.clients_now()
        );
    }
}

/// A client.
pub(crate) struct Watcher {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Watcher {
    /// The next message, whatever it is, but no ping.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await;
            let message = message.expect("a message in time").expect("a message");
            match message.expect("a good message") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next message, which is JSON.
    pub(crate) async fn json(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next message of a type; what comes before it is passed over.
    pub(crate) async fn of_type(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if let Message::Text(text) = message {
                let json: Value = serde_json::from_str(&text).unwrap();
                if json["type"] == kind {
                    return json;
                }
            }
        }
    }

    /// The next binary message.
    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        loop {
            if let Message::Binary(bytes) = self.next().await {
                return bytes.to_vec();
            }
        }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Code and reason of its close; what comes before is passed over.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(close)) = self.next().await {
                return (close.code.into(), close.reason.to_string());
            }
        }
    }
}
