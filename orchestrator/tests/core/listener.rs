//! A gateway that notes what it is told.

use std::collections::BTreeSet;

use transport::control::{Answer, Ask, Idempotency, Published, Request, Response, Tokens};
use transport::frame::{self, Frame};
use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH};
use transport::link::{Class, LinkEvent, PeerId, Role};
use transport::message::Register;

use crate::testbed::Testbed;

/// A gateway.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) welcome: bool,
    pub(crate) refused: Option<String>,
    pub(crate) disconnected: Option<String>,
    pub(crate) responses: Vec<Response>,
    pub(crate) published: Vec<(Header, Published)>,
    pub(crate) tokens: Vec<Tokens>,
    /// Views, and where the frame's bytes are.
    pub(crate) views: Vec<Frame>,
    /// It says of no view that it has it.
    pub(crate) takes_no_views: bool,
    /// Kinds in the order they came, and where their bytes are.
    pub(crate) frames: Vec<Frame>,
    /// Streams that frames came on.
    pub(crate) streams: BTreeSet<(Class, u64)>,
}

impl Listener {
    /// Notes a frame; answers what it says to it.
    pub(crate) fn handle(&mut self, frame: &Frame) -> Option<Frame> {
        self.frames.push(frame.clone());
        match frame.header.kind {
            Kind::Welcome => self.welcome = true,
            Kind::Refused => {
                let refused = frame.decode::<transport::message::Refused>().unwrap();
                self.refused = Some(refused.reason);
            }
            Kind::Response => self.responses.push(frame.decode().unwrap()),
            Kind::Published => self.published.push((frame.header, frame.decode().unwrap())),
            Kind::Tokens => self.tokens.push(frame.decode().unwrap()),
            Kind::View => self.views.push(frame.clone()),
            kind => panic!("{kind:?} to a gateway"),
        }
        let is_first = frame.header.kind == Kind::View && frame.header.partition == 0;
        let taken = Header {
            kind: Kind::Taken,
            ..frame.header
        };
        (is_first && !self.takes_no_views).then(|| Frame::bare(taken))
    }

    pub(crate) fn answer(&self, id: u64) -> Option<&Answer> {
        let response = self.responses.iter().find(|r| r.id == id)?;
        Some(&response.answer)
    }

    /// Seqs of the events it was told, of one log.
    pub(crate) fn seqs(&self, log: transport::control::Log) -> Vec<u64> {
        let events = self.published.iter().flat_map(|(_, p)| &p.events);
        events.filter(|e| e.log == log).map(|e| e.seq).collect()
    }
}

pub(crate) fn registration() -> Register {
    Register {
        protocol_version: u32::from(PROTOCOL_VERSION),
        kernel_version: kernel::config::KERNEL_VERSION,
        schema_hash: SCHEMA_HASH,
        threads: 0,
        name: "gateway".into(),
    }
}

impl Testbed {
    /// A gateway that registers.
    pub(crate) fn listen(&mut self) -> u64 {
        self.listen_as(&registration())
    }

    pub(crate) fn listen_as(&mut self, register: &Register) -> u64 {
        self.last_peer += 1;
        let peer = PeerId(self.last_peer);
        self.listeners.insert(peer.0, Listener::default());
        let (role, name) = (Role::Gateway, register.name.clone());
        let connected = LinkEvent::Connected { peer, role, name };
        self.control(|core, now| core.handle_link(now, connected));
        let frame = frame::encode(&self.pool, Header::new(Kind::Register), register).unwrap();
        self.deliver(peer.0, frame);
        peer.0
    }

    /// A request of a gateway; answers its id.
    pub(crate) fn ask_from(&mut self, peer: u64, ask: Ask, key: Option<&str>) -> u64 {
        self.last_request += 1;
        let id = self.last_request;
        let idempotency = key.map(|key| Idempotency {
            key: key.to_owned(),
            route: "POST".to_owned(),
            body_hash: [1; 32],
        });
        let request = Request {
            id,
            token: 3,
            idempotency,
            ask,
        };
        let frame = frame::encode(&self.pool, Header::new(Kind::Request), &request).unwrap();
        self.deliver(peer, frame);
        id
    }

    pub(crate) fn listener(&self, peer: u64) -> &Listener {
        &self.listeners[&peer]
    }

    /// A local request and its answer, which time passes for.
    pub(crate) fn ask(&mut self, ask: Ask) -> Answer {
        let id = self.begin_ask(ask, None);
        self.run_until(|t| t.answers.contains_key(&id));
        self.answers[&id].clone()
    }

    /// A local request; answers its id.
    pub(crate) fn begin_ask(&mut self, ask: Ask, idempotency: Option<Idempotency>) -> u64 {
        self.last_request += 1;
        let id = self.last_request;
        let request = Request {
            id,
            token: 0,
            idempotency,
            ask,
        };
        let asker = orchestrator::desk::Asker::Local;
        self.control(|core, now| core.handle_request(now, asker, request));
        id
    }
}
