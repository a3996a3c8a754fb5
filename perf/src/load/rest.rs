//! Requests at a fixed rate, open loop: each is sent when it is due, on whichever connection is free, and its
//! latency counts from when it was due.
//!
//! A thread of its own keeps the time, because a runtime's timer is a millisecond coarse; another one
//! sends and reads, so that requests wait for no message of the stream.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use crate::load::gateway::{Connection, Gateway, Reply};
use crate::load::mix::{Mix, Planned, Requests, Route};
use crate::load::schedule::Schedule;
use crate::load::tally::Durations;
use crate::load::target::Target;
use crate::load::timeline::{Recorder, Timeline};
use crate::load::violation::{Check, Finding, Violations, finding};
use crate::load::window::Window;

/// Requests that wait or are under way; further ones are not sent and counted.
const MAX_UNDER_WAY: usize = 20_000;
/// How long answers are waited for after the last request.
const LAST_ANSWERS_PATIENCE: Duration = Duration::from_secs(10);
/// Least status of an answer that is a refusal.
const FIRST_REFUSAL: u16 = 400;
/// Longest part of an answer that a violation quotes.
const MAX_QUOTED_BYTES: usize = 300;

/// What all requests came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestTally {
    /// By route.
    pub(crate) routes: BTreeMap<&'static str, RouteTally>,
    /// From when a request was due until it was given to a connection: waiting for a free one, and this
    /// program's own lateness.
    pub(crate) send_lateness: Durations,
    /// Requests due while as many as there may be were under way.
    pub(crate) not_sent: u64,
    /// Bytes of all bodies.
    pub(crate) bytes: u64,
}

/// What the requests of one route came to, each kind of end apart: saying no is quicker than doing what was asked, and a
/// gateway that is not there refuses a connection sooner than any answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTally {
    /// From when a request was due until its answer was read, of those that were answered with success.
    pub(crate) latency: Durations,
    /// The same, of those that were answered with a refusal.
    pub(crate) refusal: Durations,
    /// From when a request was due until it was given up, of those that were never answered.
    pub(crate) failure: Durations,
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
}

impl RestTally {
    /// Requests that were due.
    pub(crate) fn due(&self) -> u64 {
        let ended = self
            .routes
            .values()
            .map(|route| route.latency.0.len() + route.refusal.0.len() + route.failure.0.len());
        ended.sum::<u64>() + self.not_sent
    }
}

/// What requests are made of.
pub(crate) struct RestPlan {
    /// Where to.
    pub(crate) gateway: Arc<Gateway>,
    /// Simulations.
    pub(crate) targets: Arc<[Target]>,
    /// Requests a second.
    pub(crate) per_s: f64,
    /// Connections at most.
    pub(crate) connections: u32,
    /// Which.
    pub(crate) mix: Mix,
    /// Of their order.
    pub(crate) seed: u64,
    /// Part of every idempotency key.
    pub(crate) run: u64,
    /// When is measured.
    pub(crate) window: Arc<Window>,
    /// What is found.
    pub(crate) violations: Arc<Violations>,
    /// What is answered when.
    pub(crate) timeline: Arc<Timeline>,
}

/// Sends requests until the window is over; answers what they came to. Blocks the thread.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn drive(plan: RestPlan) -> anyhow::Result<RestTally> {
    if plan.per_s <= 0.0 {
        return Ok(RestTally::default());
    }
    let (due, dues) = mpsc::channel(MAX_UNDER_WAY);
    let (schedule, window) = (
        Schedule::new(Instant::now(), plan.per_s),
        plan.window.clone(),
    );
    let pacer = thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(move || pace(&schedule, &window, &due))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let driver = Rc::new(Driver::new(plan));
    LocalSet::new().block_on(&runtime, Rc::clone(&driver).run(dues));
    driver.tally.borrow_mut().not_sent += pacer.join().expect("it only sleeps and sends");
    Ok(driver.tally.take())
}

/// Tells of each due time when it comes; answers how many found no room.
fn pace(schedule: &Schedule, window: &Window, due: &mpsc::Sender<Instant>) -> u64 {
    /// So that the end is never far.
    const LONGEST_SLEEP: Duration = Duration::from_millis(200);
    let mut not_sent = 0;
    for n in 0.. {
        let at = schedule.due(n);
        loop {
            if window.is_over() {
                return not_sent;
            }
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(LONGEST_SLEEP));
        }
        let has_room = due.try_send(at).is_ok();
        not_sent += u64::from(!has_room && window.is_measuring());
    }
    not_sent
}

struct Driver {
    plan: RestPlan,
    free: Semaphore,
    idle: RefCell<Vec<Connection>>,
    tally: RefCell<RestTally>,
    recorder: RefCell<Recorder>,
    stamps: RefCell<Stamps>,
}

/// A request that is due. One that is dropped without an answer counts as unanswered.
struct Due {
    driver: Rc<Driver>,
    route: Route,
    at: Instant,
    sent: Option<Instant>,
    counts: bool,
}

impl Driver {
    fn new(plan: RestPlan) -> Driver {
        Driver {
            free: Semaphore::new(plan.connections as usize),
            idle: RefCell::default(),
            tally: RefCell::default(),
            recorder: RefCell::new(Recorder::new(Arc::clone(&plan.timeline))),
            stamps: RefCell::default(),
            plan,
        }
    }

    async fn run(self: Rc<Self>, mut dues: mpsc::Receiver<Instant>) {
        let plan = &self.plan;
        let mut requests = Requests::new(plan.mix.clone(), plan.seed, plan.run);
        let mut under_way = JoinSet::new();
        while let Some(at) = dues.recv().await {
            let planned = requests.next(&plan.targets);
            let counts = plan.window.is_measuring();
            while under_way.try_join_next().is_some() {}
            if under_way.len() >= MAX_UNDER_WAY {
                self.tally.borrow_mut().not_sent += u64::from(counts);
                continue;
            }
            let due = Due {
                driver: Rc::clone(&self),
                route: planned.route,
                at,
                sent: None,
                counts,
            };
            under_way.spawn_local(Rc::clone(&self).send(planned, due));
        }
        let answers = async { while under_way.join_next().await.is_some() {} };
        // What has no answer by then is dropped, and so counted.
        let _ = timeout(LAST_ANSWERS_PATIENCE, answers).await;
        under_way.shutdown().await;
    }

    async fn send(self: Rc<Self>, planned: Planned, mut due: Due) {
        let _permit = self.free.acquire().await.expect("it is never closed");
        due.sent = Some(Instant::now());
        let Ok(reply) = self.call(&planned).await else {
            return;
        };
        due.answered(&reply);
        self.judge(&planned, check(planned.route, &reply));
        if planned.route == Route::Commands && reply.status == 202 {
            let repeated = match planned.repeat {
                true => self.call(&planned).await.ok(),
                false => None,
            };
            let mut stamps = self.stamps.borrow_mut();
            let stamped = stamps.handle(planned.target, &reply, repeated.as_ref());
            self.judge(&planned, stamped);
        }
        if planned.route == Route::Simulation && reply.status == 200 {
            let target = &self.plan.targets[planned.target];
            let read = serde_json::from_slice(&reply.body);
            let seen = read
                .map_err(|error| {
                    finding(
                        Check::Malformed,
                        format!("{error}: {}", quoted(&reply.body)),
                    )
                })
                .and_then(|resource| target.see(&resource));
            self.judge(&planned, seen);
        }
    }

    fn judge(&self, planned: &Planned, checked: Result<(), Finding>) {
        if let Err(found) = checked {
            let path = &planned.call.path;
            let place = || format!("{} {path}", planned.call.method);
            self.plan.violations.add(place, found);
        }
    }

    async fn call(&self, planned: &Planned) -> anyhow::Result<Reply> {
        let idle = self.idle.borrow_mut().pop().filter(Connection::is_usable);
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.plan.gateway.connect().await?,
        };
        let reply = connection.call(&planned.call).await?;
        self.idle.borrow_mut().push(connection);
        Ok(reply)
    }
}

impl Due {
    fn answered(mut self, reply: &Reply) {
        self.count(Some(reply));
        self.counts = false;
    }

    fn count(&self, answer: Option<&Reply>) {
        if !self.counts {
            return;
        }
        let mut tally = self.driver.tally.borrow_mut();
        let now = Instant::now();
        let (sent, latency) = (self.sent.unwrap_or(now), now - self.at);
        tally.send_lateness.record(sent - self.at);
        let mut recorder = self.driver.recorder.borrow_mut();
        tally.bytes += answer.map_or(0, |reply| reply.body.len() as u64);
        let of_route = tally.routes.entry(self.route.name()).or_default();
        let status = answer.map(|reply| reply.status);
        if let Some(status) = status {
            *of_route.statuses.entry(status).or_default() += 1;
        }
        match status {
            Some(status) if status < FIRST_REFUSAL => {
                of_route.latency.record(latency);
                recorder.record(now, |slot| slot.rest.record(latency));
            }
            Some(_) => {
                of_route.refusal.record(latency);
                recorder.record(now, |slot| slot.refused += 1);
            }
            None => {
                of_route.failure.record(latency);
                recorder.record(now, |slot| slot.unanswered += 1);
            }
        }
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.count(None);
    }
}

/// Whether an answer is a success or says that it comes at a bad time: every request here is valid.
fn check(route: Route, reply: &Reply) -> Result<(), Finding> {
    let success = if route == Route::Commands { 202 } else { 200 };
    match reply.status {
        status if status == success => {
            match serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body) {
                Ok(_) => Ok(()),
                Err(error) => Err(finding(
                    Check::Malformed,
                    format!("{error}: {}", quoted(&reply.body)),
                )),
            }
        }
        // Not while it is in this status, too many requests, over capacity.
        409 | 429 | 503 => Ok(()),
        status => Err(finding(
            Check::Status,
            format!("{status}: {}", quoted(&reply.body)),
        )),
    }
}

fn quoted(body: &Bytes) -> String {
    let part = &body[..body.len().min(MAX_QUOTED_BYTES)];
    String::from_utf8_lossy(part).into_owned()
}

/// Places that commands were given.
#[derive(Default)]
struct Stamps(BTreeSet<(usize, u64)>);

#[derive(Deserialize, PartialEq, Debug)]
struct Stamp {
    seq: u64,
    tick: u64,
}

impl Stamps {
    fn handle(
        &mut self,
        target: usize,
        reply: &Reply,
        repeated: Option<&Reply>,
    ) -> Result<(), Finding> {
        let read = |reply: &Reply| {
            serde_json::from_slice::<Stamp>(&reply.body).map_err(|error| {
                finding(
                    Check::Malformed,
                    format!("{error}: {}", quoted(&reply.body)),
                )
            })
        };
        let stamp = read(reply)?;
        if !self.0.insert((target, stamp.seq)) {
            let what = format!("seq {} was given to two commands", stamp.seq);
            return Err(finding(Check::CommandStamp, what));
        }
        let Some(repeated) = repeated.filter(|r| !matches!(r.status, 429 | 503)) else {
            return Ok(());
        };
        if repeated.status != reply.status || read(repeated)? != stamp {
            let what = format!(
                "{stamp:?}, and with the same key again: {}",
                quoted(&repeated.body)
            );
            return Err(finding(Check::CommandStamp, what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        Reply {
            status,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn check_of(result: Result<(), Finding>) -> Option<Check> {
        result.err().map(|finding| finding.check)
    }

    #[test]
    fn answers_are_successes_or_come_at_a_bad_time() {
        assert_eq!(check(Route::World, &reply(200, "{}")), Ok(()));
        assert_eq!(check(Route::Commands, &reply(503, "")), Ok(()));
        let wrong = |route, status, body| check_of(check(route, &reply(status, body)));
        assert_eq!(wrong(Route::World, 500, ""), Some(Check::Status));
        assert_eq!(wrong(Route::World, 404, ""), Some(Check::Status));
        assert_eq!(wrong(Route::Commands, 200, "{}"), Some(Check::Status));
        assert_eq!(wrong(Route::World, 200, "{"), Some(Check::Malformed));
    }

    #[test]
    fn a_place_given_twice_or_another_one_for_a_repetition_is_found() {
        let mut stamps = Stamps::default();
        let first = reply(202, r#"{"seq":1,"tick":10}"#);
        assert_eq!(stamps.handle(0, &first, Some(&first)), Ok(()));
        assert_eq!(stamps.handle(1, &first, None), Ok(()), "another simulation");
        let again = stamps.handle(0, &first, None);
        assert_eq!(check_of(again), Some(Check::CommandStamp));
        let second = reply(202, r#"{"seq":2,"tick":11}"#);
        let other = reply(202, r#"{"seq":3,"tick":11}"#);
        let other = stamps.handle(0, &second, Some(&other));
        assert_eq!(check_of(other), Some(Check::CommandStamp));
        let late = stamps.handle(
            0,
            &reply(202, r#"{"seq":4,"tick":11}"#),
            Some(&reply(503, "")),
        );
        assert_eq!(late, Ok(()));
    }
}
