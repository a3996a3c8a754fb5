//! A small server that says what AutoFarm's API says, of a farm that stands still, and can be told to say one
//! thing wrong.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kernel::aggregate::Aggregate;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::stream;

/// Machines of the farm.
pub(crate) const ENTITIES: u32 = 4;
pub(crate) const TICK_MS: u64 = 20;
const DIGEST_EVERY: u64 = 5;
/// Ticks of a connection before the fault.
pub(crate) const FAULT_AFTER: u64 = 12;

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
    /// For [`OUTAGE_MS`] nothing is sent, and then the newest tick.
    StreamStalls,
    /// For as long every connection is closed, and none is let in.
    Restarts,
    /// Ticks are sent only to streams of the simulation that was opened first; others get their hello.
    FirstFlows,
    /// Most requests are refused at once.
    Refuses,
    /// Most requests lose their connection at once.
    HangsUp,
    /// Half of the ticks that there should be are made, the resource praises the last moments, and latencies take long.
    HalfSpeed,
    /// There are many ticks from before.
    LongBefore,
    /// The same, and each next one is another orchestrator's, for which the last events are void.
    TakenOver,
}

/// When the stream stands still or is away, ms since the first one was opened.
pub(crate) const OUTAGE_MS: std::ops::Range<u64> = 500..1_700;
/// How long each answer about latencies takes in [`Fault::HalfSpeed`].
const LATENCY_TAKES: Duration = Duration::from_millis(250);
/// Ticks of [`Fault::LongBefore`] that the histograms have from before.
const BEFORE: u64 = 100_000;

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
    /// What it does wrong.
    pub(crate) fault: Fault,
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
    /// Ticks at which it was forked.
    pub(crate) forks: Mutex<Vec<u64>>,
    /// Simulations that somebody opened a stream of.
    pub(crate) streamed: Mutex<BTreeSet<String>>,
    /// Ticks that it was to be stepped.
    pub(crate) stepped: AtomicU64,
    /// Requests of a load that came, where some are refused.
    asked: AtomicU64,
    /// When the first stream was opened, where that counts.
    opened: OnceLock<Instant>,
    /// Epochs that streams were resumed from.
    pub(crate) resumed_from: Mutex<BTreeSet<u32>>,
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
            forks: Mutex::default(),
            streamed: Mutex::default(),
            stepped: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            opened: OnceLock::new(),
            resumed_from: Mutex::default(),
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
        .route(&of("/start"), post(read))
        .route(&of("/pause"), post(read))
        .route(&of("/resume"), post(read))
        .route(&of("/step"), post(step))
        .route(&of("/fork"), post(fork))
        .route("/metrics", get(page_of_metrics))
        .route(&of("/commands"), post(command))
        .route(&of("/digests"), get(digests))
        .route(&of("/latency"), get(latency))
        .route(&of("/entities"), get(empty_page))
        .route(&of("/entities/{entity}"), get(empty_page))
        .route(&of("/world"), get(empty_page))
        .route(&of("/metrics"), get(metrics))
        .route(&of("/events"), get(empty_page))
        .route("/v1/workers", get(empty_page))
        .route(&of("/stream"), get(stream::open))
        .layer(middleware::from_fn_with_state(Arc::clone(&farm), refuse))
        .with_state(farm)
}

/// Refuses what a load asks for, four times of five, and nothing else.
async fn refuse(State(farm): State<Arc<Farm>>, request: Request, next: Next) -> Response {
    let of_load = ["/world", "/entities", "/events"];
    let is_of_load = of_load
        .iter()
        .any(|end| request.uri().path().ends_with(end));
    let is_turn = || !farm.asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(5);
    match farm.fault {
        Fault::Refuses if is_of_load && is_turn() => StatusCode::TOO_MANY_REQUESTS.into_response(),
        // A body that fails ends the connection in the middle of the answer.
        Fault::HangsUp if is_of_load && is_turn() => {
            let cut =
                futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            Response::new(Body::from_stream(cut))
        }
        _ => next.run(request).await,
    }
}

pub(crate) fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64
}

fn digest_of(tick: u64) -> String {
    format!("{:016x}", tick.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Farm {
    pub(crate) fn tick(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 / TICK_MS + 1
    }

    /// Whether nothing comes out of the stream now.
    pub(crate) fn is_out(&self) -> bool {
        let opened = self.opened.get_or_init(Instant::now);
        OUTAGE_MS.contains(&(opened.elapsed().as_millis() as u64))
    }

    pub(crate) fn started_at_us(&self, tick: u64) -> u64 {
        self.began_us + (tick - 1) * TICK_MS * 1_000
    }

    pub(crate) fn resource(&self, id: &str) -> Value {
        let tick = self.tick();
        let digest_tick = tick / DIGEST_EVERY * DIGEST_EVERY;
        json!({
            "id": id, "scenario": "weeding", "speed": 1.0, "entities": ENTITIES, "tick_ms": TICK_MS, "status": "running",
            "tick": if self.fault == Fault::HalfSpeed { tick / 2 } else { tick },
            "late_ticks": 0, "dilated_ms": 0, "achieved_speed": 1.0,
            "digest": digest_of(digest_tick), "digest_tick": digest_tick,
        })
    }

    pub(crate) fn sums(&self, binary: bool) -> Aggregate {
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
    (StatusCode::CREATED, Json(farm.resource("s-1")))
}

async fn read(State(farm): State<Arc<Farm>>, Path(id): Path<String>) -> Json<Value> {
    farm.stall_once().await;
    Json(farm.resource(&id))
}

async fn step(
    State(farm): State<Arc<Farm>>,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let ticks = body["ticks"].as_u64().unwrap();
    farm.stepped.fetch_add(ticks, Ordering::SeqCst);
    Json(farm.resource(&id))
}

async fn fork(State(farm): State<Arc<Farm>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut forks = farm.forks.lock().unwrap();
    forks.push(body["tick"].as_u64().unwrap());
    let id = format!("fork-{}", forks.len());
    (StatusCode::CREATED, Json(farm.resource(&id)))
}

/// A thousand bytes sent with each millisecond.
async fn page_of_metrics(State(farm): State<Arc<Farm>>) -> String {
    let bytes = 1_000 * farm.began.elapsed().as_millis();
    format!("autofarm_gateway_stream_bytes_total{{subprotocol=\"json\"}} {bytes}\n# EOF\n")
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

/// Two durations more with each tick, of 1 and 2 ms.
async fn latency(State(farm): State<Arc<Farm>>, headers: HeaderMap) -> String {
    let ticks = farm.tick()
        + if farm.fault == Fault::LongBefore {
            BEFORE
        } else {
            0
        };
    if farm.fault == Fault::HalfSpeed {
        tokio::time::sleep(LATENCY_TAKES).await;
    }
    if headers[header::ACCEPT] == "application/vnd.hgrm" {
        let (half, all) = (ticks, 2 * ticks);
        return format!(
            "Value Percentile TotalCount\n\n 1.000 0.5 {half} 2.00\n 1.999 0.5 {half} 2.00\n 2.000 1.0 {all}\n#[end]\n"
        );
    }
    json!({"stages": [{"stage": "compute"}, {"stage": "tick_latency"}]}).to_string()
}
