//! Gateways at the core: they register, ask, listen, and are told. One that sends what a correct one
//! does not, or takes nothing, is sent away; it comes again and begins where it was.

use std::time::Duration;

use transport::control::{
    Answer, Ask, MAX_VIEW_HZ, Published, Request, Response, SimulationId, Subscribed,
};
use transport::frame::{self, Frame, FrameError};
use transport::header::{Header, Kind};
use transport::link::{Class, LinkCommand, PeerId, Transmit};
use transport::message::{Heartbeat, Register};

use crate::control::{ControlError, WorkerId};
use crate::core::Orchestrator;
use crate::desk::{Asker, Caller};
use crate::event::Event;
use crate::feeds::News;
use crate::gateways::Gateway;
use crate::limits::{MAX_GATEWAY_REQUESTS, MAX_GATEWAYS, PUBLICATION_STREAMS};
use crate::request::refused;
use crate::wire;

/// A subscription that is answered once its run's replay has ended.
#[derive(Debug)]
pub(crate) struct Postponed {
    peer: PeerId,
    caller: Caller,
    simulation: SimulationId,
    view_hz: u32,
}

impl Orchestrator {
    /// What gateways are told next. To be polled after [`Orchestrator::poll_transmit`], so that no
    /// worker waits for it.
    pub fn poll_publication(&mut self) -> Option<LinkCommand> {
        self.note();
        let now = self.now;
        self.take_up_postponed(now);
        loop {
            if let Some(command) = self.publications.pop_front() {
                if let LinkCommand::Transmit(transmit) = &command {
                    self.traffic.sent(&transmit.frame);
                }
                return Some(command);
            }
            if std::mem::take(&mut self.tokens_changed) {
                let peers: Vec<PeerId> = self.gateways.peers().collect();
                self.tell_tokens(&peers);
            } else if let Some(view) = self.outbox.views.pop_front() {
                self.pass_on(&view);
            } else if let Some(id) = self.feeds.due(now) {
                self.publish(now, id, false);
            } else {
                return None;
            }
        }
    }

    /// Lets a gateway in, or not.
    pub(crate) fn register_gateway(&mut self, now: Duration, peer: PeerId, frame: &Frame) {
        let register = match frame.decode::<Register>() {
            Ok(register) => register,
            Err(fault) => return self.refuse(peer, String::new(), fault.to_string()),
        };
        let refusal = wire::gateway_fault(&register).or_else(|| {
            let full = self.gateways.len() >= MAX_GATEWAYS;
            full.then(|| format!("{MAX_GATEWAYS} gateways are registered; stop one first"))
        });
        if let Some(reason) = refusal {
            return self.refuse(peer, register.name, reason);
        }
        self.strangers.remove(&peer.0);
        let gateway = self.gateways.add(now, peer, register.name.clone());
        let welcome = wire::welcome(
            &self.outbox.pool,
            self.config.lease_epoch,
            WorkerId(gateway),
            self.config.heartbeat,
        );
        self.outbox.send(peer, Class::Control, 0, welcome, false);
        self.tell_tokens(&[peer]);
        let name = register.name;
        self.outbox.event(Event::GatewayJoined { gateway, name });
    }

    /// Something came from a gateway.
    pub(crate) fn handle_gateway(&mut self, now: Duration, peer: PeerId, frame: &Frame) {
        self.gateways.heard(now, peer);
        let taken = match frame.header.kind {
            Kind::Heartbeat => frame.decode::<Heartbeat>().map(drop),
            Kind::Request => frame
                .decode::<Request>()
                .map(|request| self.handle_gateway_request(now, peer, request)),
            Kind::Taken => {
                self.handle_taken(peer, &frame.header);
                Ok(())
            }
            found => {
                let expected = Kind::Request;
                Err(FrameError::Kind { expected, found })
            }
        };
        if let Err(fault) = taken {
            tracing::error!(%peer, %fault, "a gateway sent what a correct one does not");
            self.expel_gateway(now, peer, &fault.to_string());
        }
    }

    fn handle_gateway_request(&mut self, now: Duration, peer: PeerId, request: Request) {
        let may_wait = self.gateways.asks(peer);
        self.take_request(now, Asker::Gateway(peer), request, may_wait);
    }

    /// Sends a gateway away.
    pub(crate) fn expel_gateway(&mut self, now: Duration, peer: PeerId, reason: &str) {
        self.outbox.disconnect(peer, reason.to_owned());
        self.lose_gateway(now, peer, reason);
    }

    /// A gateway cannot be reached any more.
    pub(crate) fn lose_gateway(&mut self, now: Duration, peer: PeerId, reason: &str) {
        if let Some(gone) = self.remove_gateway(now, peer) {
            self.outbox.event(Event::GatewayLost {
                gateway: gone.id,
                name: gone.name,
                reason: reason.to_owned(),
            });
        }
    }

    /// A gateway has closed its connection.
    pub(crate) fn let_gateway_go(&mut self, now: Duration, peer: PeerId, reason: &str) {
        if let Some(gone) = self.remove_gateway(now, peer) {
            self.outbox.event(Event::GatewayLeft {
                gateway: gone.id,
                name: gone.name,
                reason: reason.to_owned(),
            });
        }
    }

    /// Forgets a gateway and what it wanted.
    fn remove_gateway(&mut self, now: Duration, peer: PeerId) -> Option<Gateway> {
        let gone = self.gateways.remove(peer)?;
        self.postponed.retain(|p| p.peer != peer);
        for id in self.feeds.of(peer) {
            self.feeds.leave(id, peer);
            self.set_views(now, id);
        }
        Some(gone)
    }

    /// Whether a request is answered later: one to listen to a fork whose log goes on from a number that
    /// only the end of its replay tells.
    pub(crate) fn postpone(&mut self, caller: &Caller, ask: &Ask) -> bool {
        let (
            Asker::Gateway(peer),
            &Ask::Subscribe {
                simulation,
                view_hz,
            },
        ) = (caller.asker, ask)
        else {
            return false;
        };
        let run = self.simulations.get(&simulation);
        let waits = run.is_some_and(|run| run.published_sim_seq().is_none());
        if waits {
            // Whoever asks again has given the first question up: one a gateway and run waits, however long it takes.
            let is_it = |p: &mut Postponed| p.peer == peer && p.simulation == simulation;
            let given_up: Vec<Postponed> = self.postponed.extract_if(.., is_it).collect();
            for p in given_up {
                let limit = MAX_GATEWAY_REQUESTS;
                self.answer(&p.caller, refused(ControlError::TooManyRequests { limit }));
            }
            self.postponed.push(Postponed {
                peer,
                caller: caller.clone(),
                simulation,
                view_hz,
            });
        }
        waits
    }

    /// Begins the subscriptions that waited for the end of a replay which has come.
    fn take_up_postponed(&mut self, now: Duration) {
        let runs = &self.simulations;
        let is_over = |p: &mut Postponed| {
            let run = runs.get(&p.simulation);
            run.is_none_or(|run| run.published_sim_seq().is_some())
        };
        let ready: Vec<Postponed> = self.postponed.extract_if(.., is_over).collect();
        self.begin_postponed(now, ready);
    }

    fn begin_postponed(&mut self, now: Duration, ready: Vec<Postponed>) {
        for p in ready {
            let begun = self.subscribe(now, &p.caller, p.simulation, p.view_hz);
            self.answer(&p.caller, begun.unwrap_or_else(refused));
        }
    }

    /// Publishes of a run to a gateway from now on.
    pub(crate) fn subscribe(
        &mut self,
        now: Duration,
        caller: &Caller,
        id: SimulationId,
        view_hz: u32,
    ) -> Result<Answer, ControlError> {
        let Asker::Gateway(peer) = caller.asker else {
            return Err(ControlError::NeedsGateway);
        };
        let max = MAX_VIEW_HZ;
        if view_hz > max {
            return Err(ControlError::ViewRateOutOfRange { view_hz, max });
        }
        self.simulation(id)?;
        // What others have not been told yet is no news to one that begins here.
        self.note();
        if self.feeds.waits(id) {
            self.publish(now, id, false);
        }
        let unflushed = self.chronicle.unflushed(id);
        let unflushed = unflushed.map_err(|bytes| ControlError::TooManyUnflushed { bytes })?;
        self.feeds.listen(id, peer, view_hz);
        if view_hz > 0
            && let Some(run) = self.simulations.get_mut(&id)
        {
            run.ask_view();
        }
        self.set_views(now, id);
        let run = &self.simulations[&id];
        Ok(Answer::Subscribed(Box::new(Subscribed {
            info: run.info(now, &self.chronicle),
            unflushed,
            last_sim_seq: run.published_sim_seq().unwrap_or(run.last_sim_seq),
            last_system_seq: run.record.last_system_seq,
            epochs: run.record.epochs.clone(),
        })))
    }

    /// Ends that.
    pub(crate) fn unsubscribe(
        &mut self,
        now: Duration,
        caller: &Caller,
        id: SimulationId,
    ) -> Result<Answer, ControlError> {
        let Asker::Gateway(peer) = caller.asker else {
            return Err(ControlError::NeedsGateway);
        };
        // One that has not begun begins and ends with this.
        let is_it = |p: &mut Postponed| p.peer == peer && p.simulation == id;
        let never: Vec<Postponed> = self.postponed.extract_if(.., is_it).collect();
        self.begin_postponed(now, never);
        if self.feeds.leave(id, peer) {
            self.set_views(now, id);
        }
        Ok(Answer::Done)
    }

    /// Views of a run come as often as anyone wants them.
    fn set_views(&mut self, now: Duration, id: SimulationId) {
        let hz = self.feeds.view_hz(id);
        if let Some(run) = self.simulations.get_mut(&id) {
            run.set_view_hz(hz);
            self.advance(now, id);
        }
    }

    /// Sends an answer to a gateway, if it is still there.
    pub(crate) fn respond(&mut self, peer: PeerId, response: &Response) {
        if !self.gateways.answered(peer) {
            return;
        }
        let id = response.id;
        // It comes before all that is published, so it goes the same way.
        let (class, group) = match &response.answer {
            Answer::Subscribed(subscribed) => (Class::Tick, group_of(subscribed.info.spec.id)),
            _ => (Class::Control, 0),
        };
        let header = self.header(Kind::Response);
        let frame = frame::encode(&self.outbox.pool, header, response).unwrap_or_else(|fault| {
            tracing::error!(%peer, %fault, "an answer does not fit a frame");
            let limit = fault_limit(&fault);
            let answer = refused(ControlError::AnswerTooLong { limit });
            let short = Response { id, answer };
            frame::encode(&self.outbox.pool, header, &short).expect("a refusal fits a frame")
        });
        self.tell(peer, class, group, frame);
    }

    /// Says what is new of a run to all who listen.
    pub(crate) fn publish(&mut self, now: Duration, id: SimulationId, deleted: bool) {
        let Some(News {
            parts,
            started_at,
            has_view,
        }) = self.feeds.take(now, id)
        else {
            return;
        };
        let Some(run) = self.simulations.get(&id) else {
            return;
        };
        let info = run.info(now, &self.chronicle);
        let header = Header {
            simulation: id,
            tick: info.tick,
            ..self.header(Kind::Published)
        };
        let last = parts.len() - 1;
        for (n, events) in parts.into_iter().enumerate() {
            let published = Published {
                info: info.clone(),
                started_at_us: self.wall.unix_us(started_at),
                published_at_us: self.wall.unix_us(now),
                has_view: u8::from(has_view && n == last),
                events,
                deleted: u8::from(deleted && n == last),
            };
            let frame = frame::encode(&self.outbox.pool, header, &published);
            let frame = frame.expect("its events were cut to fit");
            self.published += 1;
            let listeners: Vec<PeerId> = self.feeds.listeners(id).collect();
            for peer in listeners {
                self.tell(peer, Class::Tick, group_of(id), frame.clone());
            }
        }
    }

    /// Passes a partition's view on, as it came, to all who want views of its run and take them.
    fn pass_on(&mut self, view: &Frame) {
        let (listeners, skips) = self.feeds.view(view);
        self.skipped_views += skips;
        for peer in listeners {
            let group = group_of(view.header.simulation);
            self.tell(peer, Class::View, group, view.clone());
        }
    }

    /// A gateway has a tick's views: what waits for it may go.
    fn handle_taken(&mut self, peer: PeerId, header: &Header) {
        let (simulation, tick) = (header.simulation, header.tick);
        for view in self.feeds.taken(simulation, peer, tick) {
            self.tell(peer, Class::View, group_of(simulation), view);
        }
    }

    fn tell_tokens(&mut self, peers: &[PeerId]) {
        let header = self.header(Kind::Tokens);
        let frame = frame::encode(&self.outbox.pool, header, &self.tokens.frame());
        let frame = frame.expect("so many tokens fit a frame");
        for peer in peers {
            self.tell(*peer, Class::Control, 0, frame.clone());
        }
    }

    fn tell(&mut self, peer: PeerId, class: Class, group: u64, frame: Frame) {
        self.publications.push_back(LinkCommand::Transmit(Transmit {
            peer,
            class,
            group,
            frame,
            last: false,
        }));
    }

    fn header(&self, kind: Kind) -> Header {
        Header {
            lease_epoch: self.config.lease_epoch,
            ..Header::new(kind)
        }
    }
}

/// The streams that a run has its place on. They are never finished: a stream a subscription would be one more for each
/// that ever was.
fn group_of(id: SimulationId) -> u64 {
    // The low half of an id is random.
    id.0 as u64 % PUBLICATION_STREAMS
}

/// Most bytes that a frame's kind holds.
fn fault_limit(fault: &FrameError) -> usize {
    match fault {
        FrameError::TooLong { max, .. } => *max as usize,
        _ => 0,
    }
}
