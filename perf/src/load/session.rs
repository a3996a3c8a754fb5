//! One client of the live stream, over all its connections: connects, reads, counts and has everything
//! checked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::load::args::Bounds;
use crate::load::binary::{self, Ids, Read};
use crate::load::cadence::Cadence;
use crate::load::content::{self, Wanted};
use crate::load::gateway::{OPEN_PATIENCE, Wire};
use crate::load::message::{self, Depth, Log, Message, Tick};
use crate::load::sequence::Sequence;
use crate::load::staleness::Staleness;
use crate::load::stream::{Client, Kind, StreamPlan};
use crate::load::tally::{Received, StreamTally, unix_us};
use crate::load::target::Target;
use crate::load::timeline::{Recorder, Slot};
use crate::load::violation::{Check, Finding, finding};

/// Bytes read from a socket at a time: a thousand clients have one each.
const READ_BYTES: usize = 16 << 10;
/// Largest message: a million machines in binary are 8 MB, a hundred thousand in JSON 16.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Receive buffer of a client that reads nothing, so that it is full at once.
const STALLED_BUFFER_BYTES: u32 = 4 << 10;
/// Pause before a connection is opened again; it doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Longest such pause.
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How long a close is waited for, and what a stalled client finds in the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A client over all its connections.
pub(crate) struct Session {
    plan: Arc<StreamPlan>,
    client: Client,
    tally: Rc<RefCell<StreamTally>>,
    recorder: Rc<RefCell<Recorder>>,
    depth: Depth,
    sequence: Sequence,
    staleness: Staleness,
    has_joined: bool,
}

/// What one connection has told so far.
struct Told {
    ids: Option<Ids>,
    cadence: Cadence,
    has_hello: bool,
    ticks: u64,
}

impl Session {
    /// Not connected yet.
    pub(crate) fn new(
        plan: Arc<StreamPlan>,
        client: Client,
        tally: Rc<RefCell<StreamTally>>,
        recorder: Rc<RefCell<Recorder>>,
    ) -> Session {
        let depth = match client.number.is_multiple_of(plan.args.decode_one_in) {
            true => Depth::All,
            false => Depth::Head,
        };
        Session {
            sequence: Sequence::new(plan.args.events),
            staleness: Staleness::new(Instant::now(), unix_us(), plan.args.rate_hz, client.number),
            plan,
            client,
            tally,
            recorder,
            depth,
            has_joined: false,
        }
    }

    /// Connects when it is due, and again whenever a connection breaks, until the window is over.
    pub(crate) async fn run(mut self) {
        let waits_since = self.stay().await;
        self.look();
        if let Some(due) = waits_since.filter(|_| !self.has_joined) {
            // Whoever was never let in has waited at least so long.
            let mut tally = self.tally.borrow_mut();
            tally.connections.connect.record(due.elapsed());
            tally.connections.hello.record(due.elapsed());
        }
    }

    /// Answers since when a connection is due where there is none in the end.
    async fn stay(&mut self) -> Option<Instant> {
        let plan = Arc::clone(&self.plan);
        tokio::select! {
            () = sleep_until(self.client.due.into()) => {}
            () = plan.window.over() => return None,
        }
        self.staleness = Staleness::new(
            Instant::now(),
            unix_us(),
            plan.args.rate_hz,
            self.client.number,
        );
        let mut due = self.client.due;
        let mut retry = FIRST_RETRY;
        while !plan.window.is_over() {
            let was_let_in = match self.connect(due).await {
                Ok(socket) => self.serve(socket, due).await,
                Err(reason) => {
                    self.tally.borrow_mut().connections.failed += 1;
                    self.handle_break(reason);
                    false
                }
            };
            if was_let_in {
                retry = FIRST_RETRY;
            }
            tokio::select! {
                () = sleep(retry) => {}
                () = plan.window.over() => return (!was_let_in).then_some(due),
            }
            retry = (2 * retry).min(LAST_RETRY);
            // One that was not let in has been due since it first tried.
            if was_let_in {
                due = Instant::now();
            }
        }
        None
    }

    /// A connection broke, or could not be opened.
    fn handle_break(&self, reason: String) {
        self.tally.borrow_mut().connections.count_reason(reason);
        self.record(|slot| slot.broken += 1);
    }

    /// Looks at how old what this client sees is, for all moments until now at which it was due a tick.
    fn look(&mut self) {
        let (now, now_us) = (Instant::now(), unix_us());
        let Some((from, to)) = self.plan.window.measured_until(now) else {
            return;
        };
        let to_us = now_us.saturating_sub((now - to).as_micros() as u64);
        let mut tally = self.tally.borrow_mut();
        let seen = match self.client.kind {
            Kind::Json => &mut tally.json.staleness,
            Kind::Binary => &mut tally.binary.staleness,
            Kind::Stalled => return,
        };
        let mut recorder = self.recorder.borrow_mut();
        for age in self.staleness.looks(from, to, to_us) {
            seen.record_us(age.us);
            recorder.record(age.at, |slot| slot.staleness.record_us(age.us));
        }
    }

    async fn connect(&self, due: Instant) -> Result<WebSocketStream<Wire>, String> {
        let target = &self.plan.targets[self.client.target];
        let path = format!("/v1/simulations/{}/stream?{}", target.id, self.query());
        let request = (self.plan.gateway).upgrade(&path, self.client.kind.subprotocol());
        let request = request.map_err(|error| error.to_string())?;
        let receive_buffer = match self.client.kind {
            Kind::Stalled => Some(STALLED_BUFFER_BYTES),
            Kind::Json | Kind::Binary => None,
        };
        let wire = self.plan.gateway.open(receive_buffer).await;
        let wire = wire.map_err(|error| format!("connect: {}", error.kind()))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let upgrading = client_async_with_config(request, wire, Some(config));
        let upgraded = timeout(OPEN_PATIENCE, upgrading).await;
        let (socket, _) = upgraded
            .map_err(|_| "upgrade: no answer in time".to_owned())?
            .map_err(|error| format!("upgrade: {}", reason_of(&error)))?;
        self.tally
            .borrow_mut()
            .connections
            .connect
            .record(due.elapsed());
        Ok(socket)
    }

    /// What is asked for, and after a reconnect from which events on, and what of them may have become void.
    fn query(&self) -> String {
        let args = &self.plan.args;
        let (max_entities, rate_hz) = (args.max_entities, args.rate_hz);
        let mut query = format!("max_entities={max_entities}&rate_hz={rate_hz}");
        query += &format!("&events={}", args.events.name());
        if let Some(Bounds([west, south, east, north])) = args.bounds_m {
            query += &format!("&bounds_m={west},{south},{east},{north}");
        }
        for (log, name) in [(Log::Sim, "from_event"), (Log::System, "from_system_event")] {
            if let Some(next) = self.sequence.resume_at(log) {
                query += &format!("&{name}={next}");
            }
        }
        if let Some(epoch) = self.sequence.resume_epoch() {
            query += &format!("&from_epoch={epoch}");
        }
        query
    }

    /// Reads until the connection ends, which is counted with its reason, or the window is over. Answers whether
    /// there was a hello.
    async fn serve(&mut self, mut socket: WebSocketStream<Wire>, due: Instant) -> bool {
        let mut told = Told {
            ids: None,
            cadence: Cadence::new(self.plan.args.rate_hz),
            has_hello: false,
            ticks: 0,
        };
        let plan = Arc::clone(&self.plan);
        let over = plan.window.over();
        tokio::pin!(over);
        loop {
            let message = tokio::select! {
                biased;
                message = socket.next() => message,
                () = &mut over => {
                    // Whoever is slow to answer it is not waited for.
                    let _ = timeout(CLOSE_PATIENCE, socket.close(None)).await;
                    return told.has_hello;
                }
            };
            let read = match message {
                None => Err("ended without a close".to_owned()),
                Some(Err(error)) => Err(reason_of(&error)),
                Some(Ok(WsMessage::Close(frame))) => Err(frame.map_or_else(
                    || "closed without a code".to_owned(),
                    |frame| format!("closed {}: {}", u16::from(frame.code), frame.reason),
                )),
                Some(Ok(WsMessage::Text(text))) => Ok(self.handle_text(&text, &mut told, due)),
                Some(Ok(WsMessage::Binary(bytes))) => Ok(self.handle_binary(&bytes, &mut told)),
                Some(Ok(_)) => Ok(false),
            };
            match read {
                Ok(is_hello) if is_hello && self.client.kind == Kind::Stalled => {
                    self.stall(socket).await;
                    return told.has_hello;
                }
                Ok(_) => {}
                Err(_) if plan.window.is_over() => return told.has_hello,
                Err(reason) => {
                    self.handle_break(reason);
                    return told.has_hello;
                }
            }
        }
    }

    /// Reads nothing until the window is over, then looks whether the gateway is still there.
    async fn stall(&self, mut socket: WebSocketStream<Wire>) {
        self.tally.borrow_mut().connections.stalled_opened += 1;
        self.plan.window.over().await;
        let reading = async {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() {
                    break;
                }
            }
        };
        if timeout(CLOSE_PATIENCE, reading).await.is_ok() {
            self.tally.borrow_mut().connections.stalled_closed += 1;
        }
    }

    /// Answers whether it was a hello.
    fn handle_text(&mut self, text: &str, told: &mut Told, due: Instant) -> bool {
        let received_at_us = unix_us();
        self.count_message(text.len() as u64);
        let message = match message::read_text(text, self.depth) {
            Ok(message) => message,
            Err(what) => {
                told.cadence.handle_unread();
                self.judge(Err(finding(
                    Check::Malformed,
                    format!("{what}: {}", quoted(text)),
                )));
                return false;
            }
        };
        let is_hello = matches!(message, Message::Hello(_));
        if is_hello && !told.has_hello {
            told.has_hello = true;
            let mut tally = self.tally.borrow_mut();
            tally.connections.hello.record(due.elapsed());
            tally.connections.reconnects += u64::from(self.has_joined);
        }
        self.handle(message, told, received_at_us);
        is_hello
    }

    fn handle_binary(&mut self, bytes: &Bytes, told: &mut Told) -> bool {
        let received_at_us = unix_us();
        self.count_message(bytes.len() as u64);
        match binary::read(bytes, self.depth, told.ids.as_ref()) {
            Ok(Read::Ids(ids)) => {
                let (found, wanted) = (ids.entities as u64, self.target().entities);
                if found != wanted {
                    let what = format!("ids of {found} machines, not {wanted}");
                    self.judge(Err(finding(Check::EntitiesTotal, what)));
                }
                told.ids = (self.depth == Depth::All).then_some(ids);
            }
            Ok(Read::Message(message)) => self.handle(message, told, received_at_us),
            Err(what) => {
                told.cadence.handle_unread();
                let what = format!("{what} (binary, {} bytes)", bytes.len());
                self.judge(Err(finding(Check::Malformed, what)));
            }
        }
        false
    }

    fn handle(&mut self, message: Message, told: &mut Told, received_at_us: u64) {
        match message {
            Message::Hello(hello) => {
                if !self.has_joined {
                    self.has_joined = true;
                    self.plan.joined.fetch_add(1, Ordering::Relaxed);
                }
                let checked = self.sequence.handle_hello(&hello);
                self.judge(checked);
                let seen = self.target().see(&hello.simulation);
                self.judge(seen);
            }
            Message::Tick(tick) => self.handle_tick(&tick, told, received_at_us),
            Message::Event { log, seq } => {
                self.count(|received| received.events += 1);
                let checked = self.sequence.handle_event(log, seq);
                self.judge(checked);
            }
            Message::EventsMissing { log, to_seq } => {
                self.count(|received| received.events_missing += 1);
                self.sequence.handle_events_missing(log, to_seq);
            }
            Message::Lagged { skipped } => {
                told.cadence.handle_lagged();
                self.count(|received| {
                    received.lagged += 1;
                    received.skipped += skipped;
                });
                self.record(|slot| slot.skipped += skipped);
            }
            Message::Refused { code } => {
                let reason = format!("refused: {code}");
                self.tally.borrow_mut().connections.count_reason(reason);
            }
            Message::Other => {}
        }
    }

    fn handle_tick(&mut self, tick: &Tick, told: &mut Told, received_at_us: u64) {
        self.target().handle_tick(tick.tick);
        let order = self.sequence.handle_tick(tick);
        self.judge(order);
        self.check_content(tick);
        if tick.machines.is_some() {
            let agreement = &self.target().agreement;
            let agreed = agreement
                .lock()
                .expect("nobody panics with it")
                .handle_tick(tick);
            self.judge(agreed);
        }
        if let Some(started_at_us) = tick.started_at_us {
            self.look();
            self.staleness.handle_tick(started_at_us);
        }
        told.ticks += 1;
        // The first one shows where the run stands; it may have started long ago.
        if told.ticks == 1 {
            return;
        }
        let beat = told.cadence.handle_tick(tick, received_at_us);
        self.judge(beat.missing.map_or(Ok(()), Err));
        self.count(|received| {
            received.ticks += 1;
            received.decoded += u64::from(tick.machines.is_some());
            if let Some(started_at_us) = tick.started_at_us {
                received.end_to_end.record(started_at_us, received_at_us);
            }
            if let Some(sent_at_us) = tick.sent_at_us {
                received.sent_to_received.record(sent_at_us, received_at_us);
            }
            if let Some(jitter) = beat.jitter {
                received.jitter.record(jitter);
            }
        });
        if let Some(started_at_us) = tick.started_at_us {
            let us = received_at_us.saturating_sub(started_at_us);
            self.record(|slot| slot.end_to_end.record_us(us));
        }
    }

    fn check_content(&self, tick: &Tick) {
        let args = &self.plan.args;
        let wanted = Wanted {
            entities: self.target().entities,
            max_entities: u64::from(args.max_entities),
            bounds_m: args.bounds_m.map(|bounds| bounds.0),
            exact: self.client.kind == Kind::Json,
        };
        for finding in content::check(tick, &wanted) {
            self.judge(Err(finding));
        }
    }

    fn target(&self) -> &Target {
        &self.plan.targets[self.client.target]
    }

    /// Counts what arrives while it is measured.
    fn count(&self, with: impl FnOnce(&mut Received)) {
        if !self.plan.window.is_measuring() {
            return;
        }
        let mut tally = self.tally.borrow_mut();
        match self.client.kind {
            Kind::Json => with(&mut tally.json),
            Kind::Binary => with(&mut tally.binary),
            // It reads its hello only.
            Kind::Stalled => {}
        }
    }

    fn count_message(&self, bytes: u64) {
        self.count(|received| {
            received.messages += 1;
            received.bytes += bytes;
        });
        self.record(|slot| {
            slot.messages += 1;
            slot.bytes += bytes;
        });
    }

    /// Notes what happens now beside what happens when.
    fn record(&self, with: impl FnOnce(&mut Slot)) {
        if self.plan.window.is_measuring() && self.client.kind != Kind::Stalled {
            self.recorder.borrow_mut().record(Instant::now(), with);
        }
    }

    fn judge(&self, checked: Result<(), Finding>) {
        if let Err(found) = checked {
            let (client, id) = (&self.client, &self.target().id);
            let place = || format!("{} client {} of {id}", client.kind.name(), client.number);
            self.plan.violations.add(place, found);
        }
    }
}

/// Without what differs from one connection to the next, so that equal ones are counted together.
fn reason_of(error: &WsError) -> String {
    match error {
        WsError::Http(response) => format!("answered {}", response.status().as_u16()),
        WsError::Io(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    const MAX_QUOTED_CHARS: usize = 200;
    text.chars().take(MAX_QUOTED_CHARS).collect()
}
