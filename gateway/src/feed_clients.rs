//! The clients of a feed: they join it, change what they want of it, catch up with its logs, and leave.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::oneshot;
use transport::control::{EpochBegin, SimulationInfo};

use crate::event_log::CatchUp;
use crate::fanout::ClientId;
use crate::feed_request::{Attach, FeedRequest, Joined};
use crate::feed_task::{FeedTask, LOGS};
use crate::latest::NoView;
use crate::mailbox::{Mailbox, Outgoing};
use crate::stream_binary;
use crate::stream_json::{self, Begin};
use crate::stream_limits::PAST_PAGE;
use crate::stream_request::Resume;
use crate::streams::JoinError;
use crate::view_index::ViewIndex;
use crate::view_setting::{Subprotocol, Wish};

/// A client that comes, with whom to tell of it.
pub(crate) type Joining = (
    ClientId,
    Arc<Mailbox>,
    Subprotocol,
    Wish,
    Resume,
    oneshot::Sender<Result<Joined, JoinError>>,
);

impl FeedTask {
    pub(crate) fn handle_request(&mut self, request: FeedRequest) {
        match request {
            FeedRequest::Join {
                id,
                mailbox,
                subprotocol,
                wish,
                from,
                reply,
            } => {
                let joining = (id, mailbox, subprotocol, wish, from, reply);
                if self.feed.is_ready() {
                    // What was told before it came is not for it.
                    self.tell();
                    self.join(joining);
                } else {
                    self.joining.push(joining);
                }
            }
            FeedRequest::Change(id, wish) => self.change(id, wish),
            FeedRequest::Attach { id, next, reply } => {
                self.tell();
                let attached = self.attach(id, next);
                let _ = reply.send(attached);
            }
            FeedRequest::Leave(id) => {
                self.fanout.leave(id);
                self.joining.retain(|joining| joining.0 != id);
            }
            FeedRequest::Latest { reply } => match self.feed.newest() {
                Some(tick) => drop(reply.send(Ok(tick.clone()))),
                None => {
                    self.latest.push(reply);
                    self.has_looked = false;
                }
            },
        }
    }

    pub(crate) fn join(&mut self, joining: Joining) {
        let (id, mailbox, subprotocol, wish, from, reply) = joining;
        if reply.is_closed() {
            return;
        }
        let (Some(info), Some(index)) = (self.feed.info(), self.feed.index()) else {
            return;
        };
        let most = self.streams.shared().bounds.streams_per_simulation;
        if self.fanout.len() >= most {
            let what = "streams of this simulation";
            let _ = reply.send(Err(JoinError::TooMany { what, most }));
            return;
        }
        let grant = match wish.grant(subprotocol, index.world_m) {
            Ok(grant) => grant,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
        };
        mailbox.put(Outgoing::Text(self.hello(info, index, &self.feed.begin())));
        if subprotocol == Subprotocol::Binary {
            let simulation = self.simulation;
            let ids = self
                .ids
                .get_or_insert_with(|| stream_binary::ids(simulation, index));
            mailbox.put(Outgoing::Binary(ids.clone()));
        }
        let now = self.now();
        let joined = self
            .fanout
            .join(id, mailbox.clone(), subprotocol, grant, now);
        if let Err(error) = joined {
            // Its first answer: there is room.
            let _ = mailbox.put_reply(stream_json::error(error.code(), &error.to_string()));
        }
        let void = from.epoch.and_then(|seen| self.feed.void_after(seen));
        let void = void.map_or([u64::MAX; 2], |void| seqs(&void));
        // Of a log of which its filter lets nothing pass, it has nothing to catch up with.
        let takes = [0, 1].map(|log| wish.events.takes_of(LOGS[log]));
        let next = [0, 1].map(|log| {
            let next = self.feed.log(LOGS[log]).next();
            let wanted = from.seqs[log].unwrap_or(next).min(next).min(void[log]);
            if takes[log] { wanted } else { next }
        });
        let is_live = !(0..2).any(|log| takes[log] && from.seqs[log].is_some());
        if is_live {
            self.fanout.go_live(id);
        }
        let behind = (!is_live).then_some(next);
        if reply.send(Ok(Joined { behind })).is_err() {
            self.fanout.leave(id);
        }
    }

    pub(crate) fn hello(&self, info: &SimulationInfo, index: &ViewIndex, begin: &Begin) -> Bytes {
        let world = json!({
            "bounds_m": index.world_m,
            "sites": index.sites,
            "fields": index.fields,
        });
        let simulation = (self.streams.shared().show)(info);
        stream_json::hello(&simulation, &world, begin)
    }

    fn change(&mut self, id: ClientId, wish: Wish) {
        let (Some(index), Some(mailbox)) = (self.feed.index(), self.fanout.mailbox(id)) else {
            return;
        };
        let mailbox = mailbox.clone();
        // Each client reads in one way only; the fan-out knows which.
        let Some(subprotocol) = self.fanout.subprotocol(id) else {
            return;
        };
        let now = self.now();
        let changed = wish
            .grant(subprotocol, index.world_m)
            .and_then(|grant| self.fanout.change(id, grant, now).map(|()| grant));
        let answer = match changed {
            Ok(grant) => stream_json::view(&grant),
            Err(error) => stream_json::error(error.code(), &error.to_string()),
        };
        if mailbox.put_reply(answer).is_err() {
            self.fanout.leave(id);
        }
    }

    fn attach(&mut self, id: ClientId, mut next: [u64; 2]) -> Attach {
        let Some(mailbox) = self.fanout.mailbox(id) else {
            return Attach::Gone;
        };
        let mailbox = mailbox.clone();
        if let Some(void) = self.fanout.take_void(id) {
            let void = seqs(&void);
            next = [0, 1].map(|log| next[log].min(void[log]));
        }
        // It may have come to want nothing of a log meanwhile.
        for log in LOGS.into_iter().filter(|log| mailbox.takes_of(*log)) {
            let wanted = &mut next[log as usize];
            match self.feed.log(log).catch_up(*wanted, PAST_PAGE) {
                CatchUp::Live => {}
                CatchUp::Past { before } => return Attach::Past(log, before, next),
                CatchUp::Recent {
                    events,
                    next: later,
                } => {
                    *wanted = later;
                    if events.iter().any(|event| mailbox.put_event(event).is_err()) {
                        self.streams.shared().metrics.event_close();
                        self.fanout.leave(id);
                        return Attach::Gone;
                    }
                    return Attach::More(next);
                }
            }
        }
        self.fanout.go_live(id);
        Attach::Live
    }

    pub(crate) fn fail_joining(&mut self, error: impl Fn() -> JoinError) {
        for (.., reply) in self.joining.drain(..) {
            let _ = reply.send(Err(error()));
        }
    }

    pub(crate) fn fail_latest(&mut self, why: NoView) {
        for reply in self.latest.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Err(why));
        }
    }
}

/// The first events of both logs that are void.
fn seqs(void: &EpochBegin) -> [u64; 2] {
    [void.from_event, void.from_system_event]
}
