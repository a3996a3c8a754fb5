//! What passes between a gateway and its orchestrator, as a state machine without I/O.
//!
//! One [`Exchange`] is one connection. Call order: `handle_*` with what happened, then every `poll_*`
//! until it gives nothing; `poll_timeout` says when `handle_timeout` is due. Once [`Exchange::over`]
//! says why, the connection is to be dropped and another exchange begun.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kernel::config::KERNEL_VERSION;
use transport::control::{
    Answer, Ask, Idempotency, Refusal, RefusalKind, Request, Response, Tokens,
};
use transport::frame::{self, Frame, FrameError};
use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH};
use transport::link::{Class, DisconnectReason, LinkCommand, LinkEvent, PeerId, Transmit};
use transport::message::{Heartbeat, Refused, Register, Welcome};
use transport::pool::FramePool;

use crate::limits::{ASK_PATIENCE, MAX_HEARTBEAT, MAX_IN_FLIGHT, MIN_HEARTBEAT, REGISTER_PATIENCE};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The orchestrator refused it.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// There is no connection, or it was lost before the answer came: it may have been done.
    #[error("no connection to the orchestrator; what was asked may or may not have been done")]
    Disconnected,
    /// No answer came in time: it may have been done.
    #[error(
        "the orchestrator did not answer in time; what was asked may or may not have been done"
    )]
    Timeout,
    /// [`MAX_IN_FLIGHT`] questions wait for answers already.
    #[error("{MAX_IN_FLIGHT} requests wait for the orchestrator already")]
    TooMany,
}

/// What the feed of the live stream is told.
#[derive(Clone, Debug)]
pub enum FeedInput {
    /// A connection stands; every subscription is to be made anew.
    Connected {
        /// Epoch of the lease of who is at the other end.
        epoch: u32,
    },
    /// A [`transport::control::Published`], not decoded.
    Published(Frame),
    /// A [`transport::view::View`] of a worker, as it came.
    View(Frame),
    /// The connection is gone, and all subscriptions with it.
    Lost,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// The orchestrator does not take this gateway.
    #[error("the orchestrator refused this gateway: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The link says so.
    #[error("{0}")]
    Link(#[from] DisconnectReason),
    /// Nobody answered the registration.
    #[error("nobody answered within {} s", REGISTER_PATIENCE.as_secs())]
    Silent,
    /// It sent what it must not.
    #[error("the orchestrator sent what it must not: {error}")]
    Wrong {
        /// What, in words.
        error: String,
    },
    /// It has an older lease than one that was seen.
    #[error("an orchestrator with the lease of epoch {found}, after one of {newest} was seen")]
    OldEpoch {
        /// Its epoch.
        found: u32,
        /// The newest seen.
        newest: u32,
    },
    /// The link takes nothing any more.
    #[error("the link is stuck")]
    LinkStuck,
}

enum Phase {
    /// The link has not said that it stands.
    Connecting,
    /// A registration is on its way, or the tokens are.
    Registering {
        peer: PeerId,
        welcome: Option<Duration>,
    },
    /// Questions are taken.
    Ready {
        peer: PeerId,
        every: Duration,
    },
    Over(Over),
}

/// One connection.
pub struct Exchange {
    name: String,
    pool: FramePool,
    phase: Phase,
    /// Of the connection's phase: when its patience ends, or the next heartbeat is due.
    due: Duration,
    newest_epoch: u32,
    next_id: u64,
    /// Unanswered questions, and until when they wait. Ids and deadlines grow together.
    waiting: BTreeMap<u64, Duration>,
    out: VecDeque<LinkCommand>,
    answers: VecDeque<(u64, Result<Answer, AskError>)>,
    feed: VecDeque<FeedInput>,
    tokens: Option<Tokens>,
}

impl Exchange {
    /// A connection that the link begins now. `newest_epoch` is the newest of earlier connections.
    #[must_use]
    pub fn new(name: &str, pool: FramePool, newest_epoch: u32, now: Duration) -> Exchange {
        Exchange {
            name: name.to_owned(),
            pool,
            phase: Phase::Connecting,
            due: now + REGISTER_PATIENCE,
            newest_epoch,
            next_id: 1,
            waiting: BTreeMap::new(),
            out: VecDeque::new(),
            answers: VecDeque::new(),
            feed: VecDeque::new(),
            tokens: None,
        }
    }

    /// Whether questions are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// Newest epoch of a lease that was seen.
    #[must_use]
    pub fn newest_epoch(&self) -> u32 {
        self.newest_epoch
    }

    /// Why the connection is over, once it is.
    #[must_use]
    pub fn over(&self) -> Option<&Over> {
        match &self.phase {
            Phase::Over(over) => Some(over),
            _ => None,
        }
    }

    /// Something happened on the link.
    pub fn handle_link(&mut self, now: Duration, event: LinkEvent) {
        match (event, &self.phase) {
            (_, Phase::Over(_)) => {}
            (LinkEvent::Connected { peer, .. }, Phase::Connecting) => self.register(now, peer),
            // A link that makes its own connection anew.
            (LinkEvent::Connected { .. }, _) => {
                let error = "another connection on the same link".to_owned();
                self.end(Over::Wrong { error });
            }
            (LinkEvent::Frame { frame, .. }, _) => self.handle_frame(now, &frame),
            (LinkEvent::Disconnected { reason, .. }, _) => self.end(Over::Link(reason)),
        }
    }

    /// Asks. The answer comes from [`Exchange::poll_answer`] under the number that is returned.
    ///
    /// # Errors
    /// [`AskError`] where it cannot be asked now.
    pub fn handle_ask(
        &mut self,
        now: Duration,
        token: u64,
        idempotency: Option<Idempotency>,
        ask: Ask,
    ) -> Result<u64, AskError> {
        let Phase::Ready { peer, .. } = self.phase else {
            return Err(AskError::Disconnected);
        };
        if self.waiting.len() >= MAX_IN_FLIGHT {
            return Err(AskError::TooMany);
        }
        let id = self.next_id;
        let request = Request {
            id,
            token,
            idempotency,
            ask,
        };
        let frame = frame::encode(&self.pool, Header::new(Kind::Request), &request);
        let frame = frame.map_err(|error| AskError::Refused(too_long(&error)))?;
        self.transmit(peer, frame);
        self.next_id += 1;
        self.waiting.insert(id, now + ASK_PATIENCE);
        Ok(id)
    }

    /// [`Exchange::poll_timeout`] is reached.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(entry) = self.waiting.first_entry()
            && *entry.get() <= now
        {
            let id = *entry.key();
            entry.remove();
            self.answers.push_back((id, Err(AskError::Timeout)));
        }
        if now < self.due {
            return;
        }
        match self.phase {
            Phase::Connecting | Phase::Registering { .. } => self.end(Over::Silent),
            Phase::Ready { peer, every } => {
                self.due = now + every;
                let heartbeat = Heartbeat {
                    rows: 0,
                    row_steps: 0,
                    busy_us: 0,
                    draining: 0,
                };
                let frame = frame::encode(&self.pool, Header::new(Kind::Heartbeat), &heartbeat);
                self.transmit(peer, frame.expect("a few numbers"));
            }
            Phase::Over(_) => {}
        }
    }

    /// Ends the connection from this side.
    pub fn end(&mut self, over: Over) {
        if self.over().is_some() {
            return;
        }
        self.phase = Phase::Over(over);
        self.out.clear();
        for (id, _) in std::mem::take(&mut self.waiting) {
            self.answers.push_back((id, Err(AskError::Disconnected)));
        }
    }

    /// When [`Exchange::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let oldest = self.waiting.first_key_value().map(|(_, until)| *until);
        match self.phase {
            Phase::Over(_) => None,
            _ => Some(oldest.map_or(self.due, |until| until.min(self.due))),
        }
    }

    /// The next thing to hand to the link.
    pub fn poll_transmit(&mut self) -> Option<LinkCommand> {
        self.out.pop_front()
    }

    /// The next question that is settled.
    pub fn poll_answer(&mut self) -> Option<(u64, Result<Answer, AskError>)> {
        self.answers.pop_front()
    }

    /// The next thing to hand to the feed.
    pub fn poll_feed(&mut self) -> Option<FeedInput> {
        self.feed.pop_front()
    }

    /// The tokens, if they were told anew.
    pub fn poll_tokens(&mut self) -> Option<Tokens> {
        // Before it is ready they would be taken for those of a connection that stands.
        if self.is_ready() {
            self.tokens.take()
        } else {
            None
        }
    }

    fn register(&mut self, now: Duration, peer: PeerId) {
        let welcome = None;
        self.phase = Phase::Registering { peer, welcome };
        self.due = now + REGISTER_PATIENCE;
        let register = Register {
            protocol_version: PROTOCOL_VERSION.into(),
            kernel_version: KERNEL_VERSION,
            schema_hash: SCHEMA_HASH,
            threads: 0,
            name: self.name.clone(),
        };
        let frame = frame::encode(&self.pool, Header::new(Kind::Register), &register);
        self.transmit(peer, frame.expect("the name is bounded"));
    }

    fn handle_frame(&mut self, now: Duration, frame: &Frame) {
        let (kind, epoch) = (frame.header.kind, frame.header.lease_epoch);
        if epoch < self.newest_epoch && kind != Kind::Refused {
            // A view may still be under way from a worker when its orchestrator is another already.
            if kind != Kind::View {
                let (found, newest) = (epoch, self.newest_epoch);
                self.end(Over::OldEpoch { found, newest });
            }
            return;
        }
        let taken = match kind {
            Kind::Welcome => self.handle_welcome(frame),
            Kind::Refused => frame.decode::<Refused>().map(|refused| {
                let reason = refused.reason;
                self.end(Over::Refused { reason });
            }),
            Kind::Tokens => self.handle_tokens(now, frame),
            Kind::Response => self.handle_response(frame),
            Kind::Published => {
                self.newest_epoch = epoch;
                self.feed.push_back(FeedInput::Published(frame.clone()));
                Ok(())
            }
            Kind::View => {
                self.take_view(frame);
                Ok(())
            }
            found => Err(FrameError::Kind {
                expected: Kind::Response,
                found,
            }),
        };
        if let Err(error) = taken {
            let error = error.to_string();
            self.end(Over::Wrong { error });
        }
    }

    /// Hands a view on. Of each tick, the orchestrator is told once that it is here, so that it sends no more than are
    /// taken.
    fn take_view(&mut self, frame: &Frame) {
        self.feed.push_back(FeedInput::View(frame.clone()));
        if frame.header.partition == 0
            && let Phase::Ready { peer, .. } = self.phase
        {
            let taken = Header {
                simulation: frame.header.simulation,
                tick: frame.header.tick,
                lease_epoch: frame.header.lease_epoch,
                ..Header::new(Kind::Taken)
            };
            self.transmit(peer, Frame::bare(taken));
        }
    }

    fn handle_welcome(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let welcome: Welcome = frame.decode()?;
        self.newest_epoch = frame.header.lease_epoch;
        let every = Duration::from_millis(welcome.heartbeat_ms.into());
        if let Phase::Registering { welcome, .. } = &mut self.phase {
            *welcome = Some(every.clamp(MIN_HEARTBEAT, MAX_HEARTBEAT));
        }
        Ok(())
    }

    fn handle_tokens(&mut self, now: Duration, frame: &Frame) -> Result<(), FrameError> {
        self.tokens = Some(frame.decode()?);
        let epoch = frame.header.lease_epoch;
        self.newest_epoch = epoch;
        if let Phase::Registering { peer, welcome } = self.phase
            && let Some(every) = welcome
        {
            self.phase = Phase::Ready { peer, every };
            self.due = now + every;
            self.feed.push_back(FeedInput::Connected { epoch });
        }
        Ok(())
    }

    fn handle_response(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let Response { id, answer } = frame.decode()?;
        self.newest_epoch = frame.header.lease_epoch;
        // One that has timed out is answered too, for nobody.
        if self.waiting.remove(&id).is_some() {
            let answer = match answer {
                Answer::Refused(refusal) => Err(AskError::Refused(refusal)),
                answer => Ok(answer),
            };
            self.answers.push_back((id, answer));
        }
        Ok(())
    }

    fn transmit(&mut self, peer: PeerId, frame: Frame) {
        self.out.push_back(LinkCommand::Transmit(Transmit {
            peer,
            class: Class::Control,
            group: 0,
            frame,
            last: false,
        }));
    }
}

fn too_long(error: &FrameError) -> Refusal {
    Refusal {
        kind: RefusalKind::Invalid,
        field: String::new(),
        allowed: String::new(),
        detail: format!("the request is too long to be passed on: {error}"),
        retry_after_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::link::Role;
    use transport::memory::HUB;

    const MS: Duration = Duration::from_millis(1);

    fn frame<M>(
        epoch: u32,
        encode: impl FnOnce(&FramePool, Header) -> Result<Frame, FrameError>,
    ) -> LinkEvent
    where
        M: frame::Message,
    {
        let header = Header {
            lease_epoch: epoch,
            ..Header::new(M::KIND)
        };
        let frame = encode(&FramePool::new(), header).expect("it fits");
        LinkEvent::Frame { peer: HUB, frame }
    }

    fn welcome(epoch: u32) -> LinkEvent {
        let welcome = Welcome {
            worker: 3,
            heartbeat_ms: 100,
        };
        frame::<Welcome>(epoch, |pool, header| frame::encode(pool, header, &welcome))
    }

    fn tokens(epoch: u32) -> LinkEvent {
        let tokens = Tokens { tokens: Vec::new() };
        frame::<Tokens>(epoch, |pool, header| frame::encode(pool, header, &tokens))
    }

    fn response(epoch: u32, id: u64, answer: Answer) -> LinkEvent {
        let response = Response { id, answer };
        frame::<Response>(epoch, |pool, header| frame::encode(pool, header, &response))
    }

    fn connected() -> LinkEvent {
        LinkEvent::Connected {
            peer: HUB,
            role: Role::Orchestrator,
            name: "orchestrator".to_owned(),
        }
    }

    fn kinds(exchange: &mut Exchange) -> Vec<Kind> {
        let commands = std::iter::from_fn(|| exchange.poll_transmit());
        commands
            .map(|command| match command {
                LinkCommand::Transmit(transmit) => transmit.frame.header.kind,
                LinkCommand::Disconnect { .. } => panic!("it only drops its endpoint"),
            })
            .collect()
    }

    /// One that is ready at 1 ms, with nothing left to hand out.
    fn ready(newest_epoch: u32, epoch: u32) -> Exchange {
        let mut exchange = Exchange::new("gateway", FramePool::new(), newest_epoch, Duration::ZERO);
        for event in [connected(), welcome(epoch), tokens(epoch)] {
            exchange.handle_link(MS, event);
        }
        assert_eq!(kinds(&mut exchange), [Kind::Register]);
        let connected = exchange.poll_feed();
        assert!(matches!(connected, Some(FeedInput::Connected { epoch: e }) if e == epoch));
        assert!(exchange.poll_tokens().is_some());
        assert!(exchange.is_ready());
        exchange
    }

    #[test]
    fn it_is_ready_only_with_a_welcome_and_the_tokens() {
        let mut exchange = Exchange::new("gateway", FramePool::new(), 0, Duration::ZERO);
        let ask = |exchange: &mut Exchange| exchange.handle_ask(MS, 0, None, Ask::Workers);
        assert_eq!(ask(&mut exchange), Err(AskError::Disconnected));
        exchange.handle_link(MS, connected());
        exchange.handle_link(MS, welcome(1));
        assert!(!exchange.is_ready() && exchange.poll_tokens().is_none());
        assert_eq!(ask(&mut exchange), Err(AskError::Disconnected));
        exchange.handle_link(MS, tokens(1));
        assert_eq!(ask(&mut exchange), Ok(1));
    }

    #[test]
    fn an_orchestrator_that_says_nothing_is_given_up() {
        let mut exchange = Exchange::new("gateway", FramePool::new(), 0, Duration::ZERO);
        exchange.handle_link(MS, connected());
        exchange.handle_link(MS, welcome(1));
        let due = exchange.poll_timeout().expect("it waits");
        exchange.handle_timeout(due - MS);
        assert_eq!(exchange.over(), None);
        exchange.handle_timeout(due);
        assert_eq!(exchange.over(), Some(&Over::Silent));
        assert_eq!(exchange.poll_timeout(), None);
    }

    #[test]
    fn answers_find_their_questions_in_any_order_and_late_ones_find_none() {
        let mut exchange = ready(0, 1);
        for id in 1..=3 {
            assert_eq!(exchange.handle_ask(MS, 0, None, Ask::Workers), Ok(id));
        }
        exchange.handle_link(2 * MS, response(1, 3, Answer::Done));
        let refusal = Refusal {
            kind: RefusalKind::NotFound,
            field: String::new(),
            allowed: String::new(),
            detail: "none".to_owned(),
            retry_after_ms: 0,
        };
        exchange.handle_link(2 * MS, response(1, 1, Answer::Refused(refusal.clone())));
        assert_eq!(exchange.poll_answer(), Some((3, Ok(Answer::Done))));
        assert_eq!(
            exchange.poll_answer(),
            Some((1, Err(AskError::Refused(refusal))))
        );
        exchange.handle_timeout(MS + ASK_PATIENCE);
        assert_eq!(exchange.poll_answer(), Some((2, Err(AskError::Timeout))));
        exchange.handle_link(MS + ASK_PATIENCE, response(1, 2, Answer::Done));
        assert_eq!(exchange.poll_answer(), None);
        assert_eq!(exchange.over(), None);
    }

    #[test]
    fn questions_that_wait_are_bounded_and_end_with_the_connection() {
        let mut exchange = ready(0, 1);
        for _ in 0..MAX_IN_FLIGHT {
            assert!(exchange.handle_ask(MS, 0, None, Ask::Workers).is_ok());
        }
        let one_more = exchange.handle_ask(MS, 0, None, Ask::Workers);
        assert_eq!(one_more, Err(AskError::TooMany));
        let error = "gone".to_owned();
        exchange.handle_link(
            MS,
            LinkEvent::Disconnected {
                peer: HUB,
                reason: DisconnectReason::Lost { error },
            },
        );
        let ended = std::iter::from_fn(|| exchange.poll_answer());
        assert_eq!(
            ended
                .filter(|(_, answer)| *answer == Err(AskError::Disconnected))
                .count(),
            MAX_IN_FLIGHT
        );
        assert!(kinds(&mut exchange).is_empty());
    }

    #[test]
    fn it_says_that_it_lives_as_often_as_it_is_told_to() {
        let mut exchange = ready(0, 1);
        for n in 1..=3 {
            let due = exchange.poll_timeout().expect("a heartbeat");
            assert_eq!(due, MS + 100 * n * MS);
            exchange.handle_timeout(due);
            assert_eq!(kinds(&mut exchange), [Kind::Heartbeat]);
        }
    }

    #[test]
    fn what_an_older_lease_says_ends_the_connection_but_for_views() {
        let old_view =
            |epoch| frame::<transport::view::View>(epoch, |_, header| Ok(Frame::bare(header)));
        let mut exchange = ready(4, 5);
        exchange.handle_link(MS, old_view(4));
        assert!(exchange.poll_feed().is_none() && exchange.over().is_none());
        exchange.handle_link(MS, old_view(5));
        assert!(matches!(exchange.poll_feed(), Some(FeedInput::View(_))));
        assert_eq!(kinds(&mut exchange), [Kind::Taken], "of its tick");
        assert_eq!(exchange.handle_ask(MS, 0, None, Ask::Workers), Ok(1));
        exchange.handle_link(MS, response(4, 1, Answer::Done));
        let over = Over::OldEpoch {
            found: 4,
            newest: 5,
        };
        assert_eq!(exchange.over(), Some(&over));
        assert_eq!(
            exchange.poll_answer(),
            Some((1, Err(AskError::Disconnected)))
        );
        // A later connection knows it too.
        let mut later = Exchange::new(
            "gateway",
            FramePool::new(),
            exchange.newest_epoch(),
            Duration::ZERO,
        );
        later.handle_link(MS, connected());
        later.handle_link(MS, welcome(4));
        assert_eq!(later.over(), Some(&over));
    }

    #[test]
    fn a_frame_that_is_not_for_gateways_ends_the_connection() {
        let mut exchange = ready(0, 1);
        let dispatch =
            frame::<transport::message::Dispatch>(1, |_, header| Ok(Frame::bare(header)));
        exchange.handle_link(MS, dispatch);
        assert!(matches!(exchange.over(), Some(Over::Wrong { .. })));
    }
}
