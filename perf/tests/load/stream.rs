//! The stream of the small server: what a connection is told, in order, and what is wrong with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::fake::{ENTITIES, FAULT_AFTER, Farm, Fault, TICK_MS, unix_us};
use crate::wire;

/// Answers the upgrade, and tells the client from then on.
pub(crate) async fn open(
    State(farm): State<Arc<Farm>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    if farm.fault == Fault::Restarts && farm.is_out() {
        let refused = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        return refused.body(Body::empty()).unwrap();
    }
    let of = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    let (key, subprotocol) = (of("sec-websocket-key"), of("sec-websocket-protocol"));
    let accept = derive_accept_key(key.as_bytes());
    let binary = subprotocol == "autofarm.v1.bin";
    farm.streamed.lock().unwrap().insert(id.clone());
    let begin = Begin::new(&farm, id, &query);
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        // An error is the client's end.
        let _ = tell(&farm, socket, binary, &begin).await;
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

/// Where a connection begins.
struct Begin {
    simulation: String,
    epoch: u32,
    epochs: Value,
    first_event: u64,
    /// It is of a simulation that is not the first that was opened.
    is_mute: bool,
}

impl Begin {
    /// Events begin where was asked for; what has become void, before that, for whoever said what it had seen.
    fn new(farm: &Farm, simulation: String, query: &HashMap<String, String>) -> Begin {
        let number = |name: &str| query.get(name).map(|seq| seq.parse::<u64>().unwrap());
        let from_event = number("from_event");
        let from_epoch = number("from_epoch").map(|epoch| epoch as u32);
        farm.resumed_from.lock().unwrap().extend(from_epoch);
        let mut begin = Begin {
            simulation,
            epoch: 3,
            epochs: json!([]),
            first_event: from_event.unwrap_or(1),
            is_mute: farm.streamed.lock().unwrap().len() > 1,
        };
        if let (Fault::TakenOver, Some(from_event)) = (farm.fault, from_event) {
            let void_from = from_event - 3;
            begin.epoch = from_epoch.unwrap_or(3) + 1;
            begin.epochs = json!([{"epoch": begin.epoch, "from_tick": 1, "from_event": void_from,
                "from_system_event": 1}]);
            begin.first_event = from_epoch.map_or(from_event, |_| void_from);
        }
        begin
    }
}

async fn tell(farm: &Farm, mut socket: Socket, binary: bool, begin: &Begin) -> Result<(), WsError> {
    let first = begin.first_event;
    let hello = json!({
        "type": "hello", "epoch": begin.epoch, "epochs": begin.epochs,
        "simulation": farm.resource(&begin.simulation), "world": {},
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
        if tick == last || (farm.fault == Fault::StreamStalls && farm.is_out()) {
            continue;
        }
        if farm.fault == Fault::Restarts && farm.is_out() {
            return socket.close(None).await;
        }
        if farm.fault == Fault::FirstFlows && begin.is_mute {
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
            Fault::TickTwice => send(farm, &mut socket, binary, begin.epoch, tick, fault).await?,
            Fault::TickBack => {
                send(farm, &mut socket, binary, begin.epoch, tick - 3, fault).await?;
            }
            Fault::EventGap => event += 1,
            Fault::Closes | Fault::TakenOver => return socket.close(None).await,
            _ => {}
        }
        send(farm, &mut socket, binary, begin.epoch, tick, fault).await?;
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
    epoch: u32,
    tick: u64,
    fault: Fault,
) -> Result<(), WsError> {
    let mut told = wire::Told {
        epoch: if fault == Fault::OldEpoch { 2 } else { epoch },
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
