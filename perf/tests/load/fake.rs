//! A small server that says what AutoFarm's API says, of a farm that stands still, and can be told to say one
//! thing wrong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use kernel::aggregate::Aggregate;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::wire;

/// Machines of the farm.
pub(crate) const ENTITIES: u32 = 4;
const TICK_MS: u64 = 20;
const DIGEST_EVERY: u64 = 5;
/// Ticks of a connection before the fault.
const FAULT_AFTER: u64 = 12;

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// One tick is sent twice.
    TickTwice,
    /// One tick is older than the one before.
    TickBack,
    /// One tick is left out.
    TickMissing,
    /// One is left out, and `lagged` says so.
    TickSkippedAsTold,
    /// A tick of an epoch before.
    OldEpoch,
    /// One event is left out.
    EventGap,
    /// A tick lists a machine less.
    MachineLess,
    /// A tick lists one machine in the place of another.
    MachineTwice,
    /// A tick says that the simulation has more machines.
    OtherTotal,
    /// The sums leave a machine out.
    SumsOfFewer,
    /// Binary clients are told other sums than those of JSON.
    OtherSumsInBinary,
    /// The database has another digest than the resource.
    OtherDigest,
    /// A binary tick is a byte short.
    ShortBinary,
    /// One kind of answer is 500.
    ServerError,
    /// Every command gets the same place.
    SamePlace,
    /// A repetition of a command gets a place of its own.
    RepeatedAnew,
    /// All requests stand still once, for [`STALL`].
    RestStalls,
    /// Every connection is closed after some ticks.
    Closes,
}

/// How long [`Fault::RestStalls`] stands still.
pub(crate) const STALL: Duration = Duration::from_millis(500);

/// The server, until dropped.
pub(crate) struct Fake {
    /// Where it listens.
    pub(crate) url: String,
    /// What happens in it.
    pub(crate) farm: Arc<Farm>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// What the server knows.
pub(crate) struct Farm {
    fault: Fault,
    began: Instant,
    began_us: u64,
    stalled: AtomicBool,
    commands: Mutex<Commands>,
    /// Ticks sent to all clients.
    pub(crate) ticks: AtomicU64,
    /// Some were sent.
    pub(crate) came: Notify,
    /// Simulations that were deleted.
    pub(crate) deleted: AtomicU64,
}

#[derive(Default)]
struct Commands {
    last_seq: u64,
    by_key: HashMap<String, u64>,
}

impl Fake {
    /// Serves on a port of the system's choice.
    pub(crate) fn start(fault: Fault) -> Fake {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let farm = Arc::new(Farm {
            fault,
            began: Instant::now(),
            began_us: unix_us(),
            stalled: AtomicBool::new(false),
            commands: Mutex::default(),
            ticks: AtomicU64::new(0),
            came: Notify::new(),
            deleted: AtomicU64::new(0),
        });
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(loopback)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router(Arc::clone(&farm));
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake {
            url,
            farm,
            runtime: Some(runtime),
        }
    }

    /// Waits until so many ticks were sent.
    pub(crate) fn wait_for_ticks(&self, ticks: u64) {
        self.runtime.as_ref().unwrap().block_on(async {
            while self.farm.ticks.load(Ordering::SeqCst) < ticks {
                self.farm.came.notified().await;
            }
        });
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn router(farm: Arc<Farm>) -> Router {
    let of = |route: &str| format!("/v1/simulations/{{id}}{route}");
    Router::new()
        .route("/v1/simulations", post(create).get(empty_page))
        .route(&of(""), get(read).delete(delete))
        .route(&of("/start"), post(start))
        .route(&of("/commands"), post(command))
        .route(&of("/digests"), get(digests))
        .route(&of("/latency"), get(latency))
        .route(&of("/entities"), get(empty_page))
        .route(&of("/entities/{entity}"), get(empty_page))
        .route(&of("/world"), get(empty_page))
        .route(&of("/metrics"), get(metrics))
        .route(&of("/events"), get(empty_page))
        .route("/v1/workers", get(empty_page))
        .route(&of("/stream"), get(stream))
        .with_state(farm)
}

fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64
}

fn digest_of(tick: u64) -> String {
    format!("{:016x}", tick.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Farm {
    fn tick(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 / TICK_MS + 1
    }

    fn started_at_us(&self, tick: u64) -> u64 {
        self.began_us + (tick - 1) * TICK_MS * 1_000
    }

    fn resource(&self) -> Value {
        let tick = self.tick();
        let digest_tick = tick / DIGEST_EVERY * DIGEST_EVERY;
        json!({
            "id": "s-1", "entities": ENTITIES, "tick_ms": TICK_MS, "status": "running", "tick": tick,
            "late_ticks": 0, "dilated_ms": 0, "achieved_speed": 1.0,
            "digest": digest_of(digest_tick), "digest_tick": digest_tick,
        })
    }

    fn sums(&self, binary: bool) -> Aggregate {
        let machines = match self.fault {
            Fault::SumsOfFewer => u64::from(ENTITIES) - 1,
            _ => u64::from(ENTITIES),
        };
        let mut sums = Aggregate {
            rows: machines,
            charge_sum: i64::from(binary && self.fault == Fault::OtherSumsInBinary),
            ..Aggregate::default()
        };
        sums.by_state[2] = machines;
        sums.by_charge[9] = machines;
        sums
    }

    async fn stall_once(&self) {
        let stalls = self.fault == Fault::RestStalls && self.tick() > 80;
        if stalls && !self.stalled.swap(true, Ordering::SeqCst) {
            // The stall itself, not a wait for something.
            tokio::time::sleep(STALL).await;
        }
    }
}

async fn create(State(farm): State<Arc<Farm>>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(farm.resource()))
}

async fn start(State(farm): State<Arc<Farm>>) -> Json<Value> {
    Json(farm.resource())
}

async fn read(State(farm): State<Arc<Farm>>) -> Json<Value> {
    farm.stall_once().await;
    Json(farm.resource())
}

async fn delete(State(farm): State<Arc<Farm>>) -> StatusCode {
    farm.deleted.fetch_add(1, Ordering::SeqCst);
    StatusCode::NO_CONTENT
}

async fn empty_page() -> Json<Value> {
    Json(json!({"items": [], "next_cursor": null}))
}

async fn metrics(State(farm): State<Arc<Farm>>) -> Response {
    match farm.fault {
        Fault::ServerError => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => empty_page().await.into_response(),
    }
}

async fn command(State(farm): State<Arc<Farm>>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let mut commands = farm.commands.lock().unwrap();
    let known = commands.by_key.get(&key).copied();
    let seq = match (farm.fault, known) {
        (Fault::SamePlace, _) => 1,
        (Fault::RepeatedAnew, _) | (_, None) => commands.last_seq + 1,
        (_, Some(seq)) => seq,
    };
    commands.last_seq = commands.last_seq.max(seq);
    commands.by_key.insert(key, seq);
    (
        StatusCode::ACCEPTED,
        Json(json!({"seq": seq, "tick": 1_000 + seq})),
    )
}

async fn digests(
    State(farm): State<Arc<Farm>>,
    Query(query): Query<HashMap<String, u64>>,
) -> Json<Value> {
    assert!(
        query
            .keys()
            .all(|name| name == "from_tick" || name == "limit")
    );
    let (from, to) = (query["from_tick"], farm.tick());
    let ticks = (from.next_multiple_of(DIGEST_EVERY)..=to).step_by(5);
    let wrong = u64::from(farm.fault == Fault::OtherDigest);
    let rows = ticks.map(|tick| json!({"tick": tick, "digest": digest_of(tick + wrong)}));
    Json(json!({"items": rows.collect::<Vec<_>>(), "next_cursor": null}))
}

async fn latency(headers: HeaderMap) -> String {
    if headers[header::ACCEPT] == "application/vnd.hgrm" {
        return "Value Percentile TotalCount\n\n 1.000 0.5 10 2.00\n 2.000 1.0 20\n#[end]\n"
            .to_owned();
    }
    json!({"stages": [{"stage": "tick_latency", "count": 20}]}).to_string()
}

async fn stream(
    State(farm): State<Arc<Farm>>,
    Path(_): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let of = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    let (key, subprotocol) = (of("sec-websocket-key"), of("sec-websocket-protocol"));
    let accept = derive_accept_key(key.as_bytes());
    let binary = subprotocol == "autofarm.v1.bin";
    let next_event = query
        .get("from_event")
        .map_or(1, |seq| seq.parse().unwrap());
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        // An error is the client's end.
        let _ = tell(&farm, socket, binary, next_event).await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-accept", accept)
        .header("sec-websocket-protocol", subprotocol)
        .body(Body::empty())
        .unwrap()
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;
type WsError = tokio_tungstenite::tungstenite::Error;

async fn tell(farm: &Farm, mut socket: Socket, binary: bool, first: u64) -> Result<(), WsError> {
    let hello = json!({
        "type": "hello", "epoch": 3, "simulation": farm.resource(), "world": {},
        "next_event": first, "next_system_event": 1,
    });
    socket.send(Message::text(hello.to_string())).await?;
    if binary {
        socket.send(Message::binary(wire::ids())).await?;
    }
    let mut ticks = interval(Duration::from_millis(TICK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut event, mut last, mut sent, mut explains) = (first, 0, 0, true);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => panic!("{text}"),
                // Its end, in order or not.
                _ => return Ok(()),
            },
        }
        let tick = farm.tick();
        if tick == last {
            continue;
        }
        sent += 1;
        let fault = match sent {
            FAULT_AFTER => farm.fault,
            _ => Fault::None,
        };
        match fault {
            Fault::TickMissing => {
                explains = false;
                continue;
            }
            Fault::TickSkippedAsTold => {
                let lagged = r#"{"type":"lagged","skipped":1}"#;
                socket.send(Message::text(lagged)).await?;
                continue;
            }
            Fault::TickTwice => send(farm, &mut socket, binary, tick, fault).await?,
            Fault::TickBack => send(farm, &mut socket, binary, tick - 3, fault).await?,
            Fault::EventGap => event += 1,
            Fault::Closes => return socket.close(None).await,
            _ => {}
        }
        send(farm, &mut socket, binary, tick, fault).await?;
        // A pause of this process is no fault of its: what it leaves out, it tells.
        if last > 0 && tick > last + 1 && explains {
            let lagged = json!({"type": "lagged", "skipped": tick - last - 1});
            socket.send(Message::text(lagged.to_string())).await?;
        }
        (last, explains) = (tick, true);
        let told = json!({"type": "event", "log": "sim", "seq": event, "tick": tick, "kind": "fault",
            "site": 0, "entities": [1, 2], "detail": {}});
        socket.send(Message::text(told.to_string())).await?;
        event += 1;
        farm.ticks.fetch_add(1, Ordering::SeqCst);
        farm.came.notify_one();
    }
}

async fn send(
    farm: &Farm,
    socket: &mut Socket,
    binary: bool,
    tick: u64,
    fault: Fault,
) -> Result<(), WsError> {
    let mut told = wire::Told {
        epoch: if fault == Fault::OldEpoch { 2 } else { 3 },
        tick,
        started_at_us: farm.started_at_us(tick),
        sent_at_us: unix_us(),
        entities_total: ENTITIES + u32::from(fault == Fault::OtherTotal),
        sums: farm.sums(binary),
        ids: (1..=ENTITIES).collect(),
    };
    match fault {
        Fault::MachineLess => drop(told.ids.pop()),
        Fault::MachineTwice => told.ids[0] = 2,
        _ => {}
    }
    let message = if binary {
        let mut bytes = told.binary();
        if fault == Fault::ShortBinary {
            bytes.pop();
        }
        Message::binary(bytes)
    } else {
        Message::text(told.json())
    };
    socket.send(message).await
}
