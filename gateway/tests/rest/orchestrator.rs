//! An orchestrator that is played: it keeps simulations and tokens in memory, notes what it is asked, and
//! refuses, falls silent or goes away when it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use kernel::aggregate::Aggregate;
use tokio::task::JoinHandle;
use transport::control::{
    Access, Answer, Ask, Cause, CommandStamp, Refusal, RefusalKind, Request, Response,
    SimulationId, SimulationInfo, Spec, StageLatency, Status, Token, Tokens, WorkerInfo,
};
use transport::frame::{Frame, Message, encode};
use transport::header::{Header, Kind};
use transport::link::{Class, Endpoint, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::memory::{MemoryHub, hub};
use transport::message::{Refused, TickDigest, Welcome};
use transport::pool::FramePool;

/// What is played.
#[derive(Default)]
pub(crate) struct Play {
    pub(crate) simulations: BTreeMap<u128, SimulationInfo>,
    pub(crate) tokens: Vec<Token>,
    /// Everything that was asked.
    pub(crate) asked: Vec<Request>,
    /// Answers by idempotency key.
    pub(crate) kept: BTreeMap<String, Answer>,
    /// What is answered to the next question instead.
    pub(crate) refusal: Option<Refusal>,
    /// Questions are taken and not answered.
    pub(crate) is_silent: bool,
    /// Registrations are refused.
    pub(crate) refuses_gateways: bool,
    /// Epoch of the lease.
    pub(crate) epoch: u32,
    seq: u64,
}

/// The played orchestrator.
#[derive(Clone)]
pub(crate) struct Orchestrator {
    play: Arc<Mutex<Play>>,
    pub(crate) hub: MemoryHub,
    task: Arc<JoinHandle<()>>,
    tell: tokio::sync::mpsc::UnboundedSender<Tell>,
}

/// What the test has it do.
pub(crate) enum Tell {
    /// Send the tokens as they are now.
    Tokens,
    /// Send a frame to every gateway.
    Frame(Frame),
    /// Drop every gateway.
    Drop,
}

impl Orchestrator {
    pub(crate) fn start(tokens: Vec<Token>) -> Orchestrator {
        let (endpoint, hub) = hub(Role::Orchestrator, "played");
        let play = Play {
            tokens,
            epoch: 1,
            ..Play::default()
        };
        let play = Arc::new(Mutex::new(play));
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(drive(endpoint, play.clone(), told));
        Orchestrator {
            play,
            hub,
            task: Arc::new(task),
            tell,
        }
    }

    pub(crate) fn play(&self) -> MutexGuard<'_, Play> {
        self.play.lock().expect("the play goes on")
    }

    pub(crate) fn tell(&self, tell: Tell) {
        let _ = self.tell.send(tell);
    }

    /// It ends, and takes no connection any more.
    pub(crate) fn end(&self) {
        self.task.abort();
    }

    /// The last question that was asked.
    pub(crate) fn last(&self) -> Request {
        self.play()
            .asked
            .last()
            .expect("something was asked")
            .clone()
    }
}

async fn drive(
    mut endpoint: Endpoint,
    play: Arc<Mutex<Play>>,
    mut told: tokio::sync::mpsc::UnboundedReceiver<Tell>,
) {
    let pool = FramePool::new();
    let mut peers: Vec<PeerId> = Vec::new();
    loop {
        tokio::select! {
            event = endpoint.events.recv() => match event {
                Some(LinkEvent::Connected { peer, role, .. }) => {
                    assert_eq!(role, Role::Gateway);
                    peers.push(peer);
                }
                Some(LinkEvent::Disconnected { peer, .. }) => peers.retain(|p| *p != peer),
                Some(LinkEvent::Frame { peer, frame }) => {
                    let frames = play.lock().expect("the play goes on").answer(&pool, &frame);
                    for frame in frames {
                        send(&endpoint, peer, frame);
                    }
                }
                None => return,
            },
            Some(tell) = told.recv() => for peer in peers.clone() {
                match &tell {
                    Tell::Tokens => {
                        let frame = play.lock().expect("the play goes on").told_tokens(&pool);
                        send(&endpoint, peer, frame);
                    }
                    Tell::Frame(frame) => send(&endpoint, peer, frame.clone()),
                    Tell::Drop => {
                        let reason = "the play wants it".to_owned();
                        let _ = endpoint.commands.try_send(LinkCommand::Disconnect { peer, reason });
                    }
                }
            },
        }
    }
}

fn send(endpoint: &Endpoint, peer: PeerId, frame: Frame) {
    let transmit = Transmit {
        peer,
        class: Class::Control,
        group: 0,
        frame,
        last: false,
    };
    let _ = endpoint.commands.try_send(LinkCommand::Transmit(transmit));
}

impl Play {
    fn header<M: Message>(&self) -> Header {
        Header {
            lease_epoch: self.epoch,
            ..Header::new(M::KIND)
        }
    }

    fn told_tokens(&self, pool: &FramePool) -> Frame {
        let tokens = Tokens {
            tokens: self.tokens.clone(),
        };
        encode(pool, self.header::<Tokens>(), &tokens).expect("it fits")
    }

    fn answer(&mut self, pool: &FramePool, frame: &Frame) -> Vec<Frame> {
        match frame.header.kind {
            Kind::Register if self.refuses_gateways => {
                let reason = "it is played so".to_owned();
                let header = self.header::<Refused>();
                vec![encode(pool, header, &Refused { reason }).expect("it fits")]
            }
            Kind::Register => {
                let welcome = Welcome {
                    worker: 1,
                    heartbeat_ms: 1_000,
                };
                let welcome = encode(pool, self.header::<Welcome>(), &welcome).expect("it fits");
                vec![welcome, self.told_tokens(pool)]
            }
            Kind::Request => {
                let request: Request = frame.decode().expect("gateways send what they should");
                self.asked.push(request.clone());
                if self.is_silent {
                    return Vec::new();
                }
                let id = request.id;
                let answer = self.guarded(request);
                let header = self.header::<Response>();
                vec![encode(pool, header, &Response { id, answer }).expect("it fits")]
            }
            _ => Vec::new(),
        }
    }

    fn guarded(&mut self, request: Request) -> Answer {
        if let Some(refusal) = self.refusal.take() {
            return Answer::Refused(refusal);
        }
        let key = request.idempotency.as_ref().map(|i| i.key.clone());
        if let Some(kept) = key.as_ref().and_then(|key| self.kept.get(key)) {
            return kept.clone();
        }
        let answer = self.ask(request.ask);
        if let Some(key) = key {
            self.kept.insert(key, answer.clone());
        }
        answer
    }

    fn ask(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Create(spec) => {
                let info = created(spec);
                self.simulations.insert(info.spec.id.0, info.clone());
                Answer::Simulation(Box::new(info))
            }
            Ask::Simulation(id) => self.with(id, |_| None),
            Ask::Simulations {
                after,
                limit,
                status,
            } => {
                let after = after.map_or(0, |after| after.0 + 1);
                let all = self.simulations.range(after..).map(|(_, info)| info);
                let of = all.filter(|info| status.is_none_or(|status| info.status == status));
                let mut items: Vec<_> = of.take(limit as usize + 1).cloned().collect();
                let more = items.len() > limit as usize;
                items.truncate(limit as usize);
                Answer::Simulations { items, more }
            }
            Ask::Start(id) => self.step_in_life(id, &[Status::Created], Status::Running),
            Ask::Pause(id) => self.step_in_life(id, &[Status::Running], Status::Paused),
            Ask::Resume(id) => self.step_in_life(id, &[Status::Paused], Status::Running),
            Ask::Stop(id) => {
                self.step_in_life(id, &[Status::Running, Status::Paused], Status::Stopped)
            }
            Ask::Step(id, ticks) => {
                let stepped = self.step_in_life(id, &[Status::Paused], Status::Paused);
                if let (Answer::Simulation(_), Some(info)) =
                    (&stepped, self.simulations.get_mut(&id.0))
                {
                    info.tick += ticks;
                    return Answer::Simulation(Box::new(info.clone()));
                }
                stepped
            }
            Ask::Change {
                simulation,
                speed,
                name,
            } => self.with(simulation, |info| {
                info.spec.speed = speed.unwrap_or(info.spec.speed);
                info.spec.name = name.unwrap_or_else(|| info.spec.name.clone());
                None
            }),
            Ask::Delete(id) => match self.simulations.remove(&id.0) {
                Some(_) => Answer::Done,
                None => not_found(id),
            },
            Ask::Command(id, command) => {
                self.seq += 1;
                let stamp = CommandStamp {
                    seq: self.seq,
                    tick: command.tick.unwrap_or(3),
                };
                self.with(id, |_| Some(Answer::Stamp(stamp)))
            }
            Ask::Fork {
                simulation,
                child,
                name,
                tick,
            } => {
                let Some(parent) = self.simulations.get(&simulation.0) else {
                    return not_found(simulation);
                };
                let mut fork = parent.clone();
                let tick = tick.unwrap_or(parent.tick);
                fork.spec.id = child;
                fork.spec.parent = Some((simulation, tick));
                fork.spec.name = name.unwrap_or_else(|| "a fork".to_owned());
                fork.status = Status::Paused;
                self.simulations.insert(child.0, fork.clone());
                Answer::Simulation(Box::new(fork))
            }
            Ask::Latency(id) => self.with(id, |_| Some(Answer::Latency(stages()))),
            Ask::Workers => Answer::Workers((1..=3).map(worker).collect()),
            Ask::CreateToken(token) => {
                self.tokens.push(token);
                Answer::Done
            }
            Ask::RevokeToken(id) => {
                let before = self.tokens.len();
                self.tokens.retain(|token| token.id != id);
                match self.tokens.len() < before {
                    true => Answer::Done,
                    false => refused(RefusalKind::NotFound, "id", "no token has this id"),
                }
            }
            Ask::Tokens => Answer::Tokens(self.tokens.clone()),
            Ask::IssueTicket { .. } => Answer::Done,
            Ask::RedeemTicket { .. } => Answer::Ticket {
                access: Access::Viewer,
                token: 0,
            },
            Ask::Subscribe { simulation, .. } => not_found(simulation),
            Ask::Unsubscribe(_) => Answer::Done,
        }
    }

    fn with(
        &mut self,
        id: SimulationId,
        change: impl FnOnce(&mut SimulationInfo) -> Option<Answer>,
    ) -> Answer {
        let Some(info) = self.simulations.get_mut(&id.0) else {
            return not_found(id);
        };
        change(info).unwrap_or_else(|| Answer::Simulation(Box::new(info.clone())))
    }

    fn step_in_life(&mut self, id: SimulationId, from: &[Status], to: Status) -> Answer {
        self.with(id, |info| {
            if !from.contains(&info.status) {
                let detail = format!("the simulation is {}", info.status.name());
                return Some(refused(RefusalKind::InvalidTransition, "", &detail));
            }
            info.status = to;
            info.started_at_us = info.started_at_us.or(Some(1_700_000_000_000_000));
            None
        })
    }
}

fn not_found(id: SimulationId) -> Answer {
    let detail = format!("simulation {id} does not exist");
    refused(RefusalKind::NotFound, "id", &detail)
}

fn refused(kind: RefusalKind, field: &str, detail: &str) -> Answer {
    Answer::Refused(refusal(kind, field, detail))
}

pub(crate) fn refusal(kind: RefusalKind, field: &str, detail: &str) -> Refusal {
    Refusal {
        kind,
        field: field.to_owned(),
        allowed: String::new(),
        detail: detail.to_owned(),
        retry_after_ms: 0,
    }
}

fn created(spec: Spec) -> SimulationInfo {
    SimulationInfo {
        spec,
        status: Status::Created,
        cause: Cause::Requested,
        tick: 0,
        digest: Some(TickDigest {
            tick: 0,
            digest: 0x00ab_cdef,
        }),
        aggregate: Aggregate::default(),
        achieved_speed_milli: 0,
        late_ticks: 0,
        dilated_ms: 0,
        created_at_us: 1_700_000_000_000_000,
        started_at_us: None,
        ended_at_us: None,
        settled: false,
        replaying_to: None,
        history_lag_ticks: 0,
    }
}

/// 1,000 durations of 1 ms to 1 s in one stage, and none in another.
pub(crate) fn stages() -> Vec<StageLatency> {
    let mut h = Histogram::<u64>::new(3).expect("three digits");
    for ms in 1..=1_000 {
        h.record(ms * 1_000).expect("it grows");
    }
    let stage = |name: &str, h: &Histogram<u64>| {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(h, &mut bytes);
        written.expect("to memory");
        StageLatency {
            stage: name.to_owned(),
            histogram: bytes,
        }
    };
    let empty = Histogram::new(3).expect("three digits");
    vec![stage("compute", &empty), stage("tick_latency", &h)]
}

fn worker(id: u32) -> WorkerInfo {
    WorkerInfo {
        id,
        name: format!("worker-{id}"),
        state: "ready".to_owned(),
        threads: 2,
        partitions: 4,
        rows: 1_000,
        row_steps: 5_000,
        load_milli: 420,
        row_steps_per_s: 100,
    }
}
