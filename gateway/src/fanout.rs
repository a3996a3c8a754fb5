//! The clients of one simulation and what each of them gets.
//!
//! A state machine without I/O that never waits for a client: what it has for one goes into the client's
//! [`Mailbox`]. Call order: [`Fanout::handle_tick`] and [`Fanout::handle_event`] for what happens;
//! [`Fanout::poll_timeout`] says when [`Fanout::handle_timeout`] is due. `now` is the time since an origin that
//! the caller keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use transport::control::{EpochBegin, Speed, Status};

use crate::event_log::{EventMessage, Missing};
use crate::mailbox::{Close, Mailbox, TickMessage};
use crate::stream_limits::{FRESH_PATIENCE, FRESH_TICKS, LINGER_HZ};
use crate::stream_metrics::StreamMetrics;
use crate::view_setting::{Grant, Subprotocol, ViewError, ViewSetting};
use crate::view_tick::ViewTick;

/// Names a client for as long as it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// The clients of one simulation.
#[derive(Debug)]
pub struct Fanout {
    most_views: usize,
    metrics: StreamMetrics,
    clients: BTreeMap<ClientId, Member>,
    /// Clients of each view but the default one.
    views: BTreeMap<ViewSetting, usize>,
    newest: Option<Arc<ViewTick>>,
    /// When it came.
    newest_at: Duration,
    /// The newest tick for each (view, subprotocol) that somebody was given it for.
    messages: BTreeMap<(ViewSetting, Subprotocol), Arc<TickMessage>>,
}

#[derive(Debug)]
struct Member {
    mailbox: Arc<Mailbox>,
    subprotocol: Subprotocol,
    grant: Grant,
    pace: Pace,
    /// While the newest tick was old when it came: until when it waits for another one.
    fresh_until: Option<Duration>,
    /// Whether it has the newest tick, or it waits for it.
    has_newest: bool,
    /// Whether it gets events as they happen.
    is_live: bool,
    /// While it does not: what has become void of those that it may have been given.
    void: Option<EpochBegin>,
}

/// Spaces ticks so that there are no more than so many a second, but for jitter.
#[derive(Clone, Copy, Debug)]
struct Pace {
    period: Duration,
    /// When the next tick would be due if all came evenly.
    next: Duration,
}

impl Pace {
    fn new(rate_hz: u32) -> Pace {
        Pace {
            period: Duration::from_secs(1) / rate_hz,
            next: Duration::ZERO,
        }
    }

    /// From when on a tick that arrives is passed on at once: half a period early, so that a client gets fresh
    /// ticks though they do not come in step with it.
    fn due_at(&self) -> Duration {
        self.next.saturating_sub(self.period / 2)
    }

    /// When a tick that came too early is sent after all: a period later, for where ticks go on there is a
    /// fresher one before.
    fn flush_at(&self) -> Duration {
        self.due_at() + self.period
    }

    fn note(&mut self, now: Duration) {
        self.next = self.next.max(now) + self.period;
    }
}

impl Member {
    /// When the newest tick is sent to it though another may come.
    fn flush_at(&self) -> Duration {
        self.fresh_until.unwrap_or_else(|| self.pace.flush_at())
    }
}

impl Fanout {
    /// Nobody yet; at most so many distinct views beside the default one.
    #[must_use]
    pub fn new(most_views: usize, metrics: StreamMetrics) -> Fanout {
        Fanout {
            most_views,
            metrics,
            clients: BTreeMap::new(),
            views: BTreeMap::new(),
            newest: None,
            newest_at: Duration::ZERO,
            messages: BTreeMap::new(),
        }
    }

    /// Clients.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Ticks a second that serve every client.
    #[must_use]
    pub fn highest_hz(&self) -> u32 {
        let rates = self.clients.values().map(|client| client.grant.rate_hz);
        rates.max().unwrap_or(LINGER_HZ)
    }

    /// A client comes. It gets the newest tick at once, or where that is old the next one, for which it waits no longer than
    /// [`FRESH_PATIENCE`]; and events once it is [`Fanout::go_live`].
    ///
    /// # Errors
    /// [`ViewError::TooManyViews`]; it is here nevertheless, with the default view.
    pub fn join(
        &mut self,
        id: ClientId,
        mailbox: Arc<Mailbox>,
        subprotocol: Subprotocol,
        grant: Grant,
        now: Duration,
    ) -> Result<(), ViewError> {
        let has_room = self.add_view(grant.setting);
        let granted = if has_room.is_ok() {
            grant
        } else {
            let setting = ViewSetting::default();
            Grant { setting, ..grant }
        };
        mailbox.set_filter(grant.events);
        let client = Member {
            mailbox,
            subprotocol,
            pace: Pace::new(granted.rate_hz),
            grant: granted,
            fresh_until: self
                .is_old(now, granted.rate_hz)
                .then_some(now + FRESH_PATIENCE),
            has_newest: false,
            is_live: false,
            void: None,
        };
        let waits = client.fresh_until.is_some();
        self.clients.insert(id, client);
        if !waits {
            self.deliver(id, now);
        }
        has_room
    }

    /// A client wants another view; it gets the newest tick of it at once.
    ///
    /// # Errors
    /// [`ViewError::TooManyViews`]; its last view stays, with its rate and events.
    pub fn change(&mut self, id: ClientId, grant: Grant, now: Duration) -> Result<(), ViewError> {
        let Some(client) = self.clients.get(&id) else {
            return Ok(());
        };
        let before = client.grant.setting;
        if before != grant.setting {
            self.remove_view(before);
            if let Err(error) = self.add_view(grant.setting) {
                // It was there a moment ago.
                let _ = self.add_view(before);
                return Err(error);
            }
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.mailbox.set_filter(grant.events);
            if client.grant.rate_hz != grant.rate_hz {
                client.pace = Pace::new(grant.rate_hz);
            }
            client.has_newest &= before == grant.setting;
            client.grant = grant;
            if !client.has_newest {
                // Who changes views all the time gets no more ticks than it may.
                self.handle_timeout(now);
            }
        }
        Ok(())
    }

    /// From now on a client gets events as they happen.
    pub fn go_live(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.is_live = true;
        }
    }

    /// Whether a client is here.
    #[must_use]
    pub fn has(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// What waits for a client, if it is here.
    #[must_use]
    pub fn mailbox(&self, id: ClientId) -> Option<&Arc<Mailbox>> {
        self.clients.get(&id).map(|client| &client.mailbox)
    }

    /// How a client reads, if it is here.
    #[must_use]
    pub fn subprotocol(&self, id: ClientId) -> Option<Subprotocol> {
        self.clients.get(&id).map(|client| client.subprotocol)
    }

    /// A client goes.
    pub fn leave(&mut self, id: ClientId) {
        if let Some(client) = self.clients.remove(&id) {
            self.remove_view(client.grant.setting);
        }
    }

    /// There is a newer tick. Clients that had their share for now get the newest one when they may.
    pub fn handle_tick(&mut self, tick: Arc<ViewTick>, now: Duration) {
        self.newest = Some(tick);
        self.newest_at = now;
        self.messages.clear();
        for client in self.clients.values_mut() {
            client.has_newest = false;
            client.fresh_until = None;
        }
        self.deliver_where(now, |client| client.pace.due_at());
    }

    /// Whether a run that goes on must have made ticks since the newest one, of which a client with this rate would have
    /// been given some.
    fn is_old(&self, now: Duration, rate_hz: u32) -> bool {
        let Some(info) = self.newest.as_ref().map(|newest| &newest.info) else {
            return false;
        };
        let tick = Duration::from_millis(info.spec.config.tick_ms.into());
        let tick = match info.spec.speed {
            Speed::Milli(milli) => tick * 1_000 / milli.max(1),
            Speed::Max => Duration::ZERO,
        };
        let apart = tick.max(Duration::from_secs(1) / rate_hz);
        info.status == Status::Running && now > self.newest_at + apart * FRESH_TICKS
    }

    /// When some client may have the newest tick.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.newest.as_ref()?;
        let waiting = self.clients.values().filter(|client| !client.has_newest);
        waiting.map(Member::flush_at).min()
    }

    /// Gives the newest tick to all who may have it.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.deliver_where(now, Member::flush_at);
    }

    fn deliver_where(&mut self, now: Duration, at: impl Fn(&Member) -> Duration) {
        let due: Vec<ClientId> = (self.clients.iter())
            .filter(|(_, client)| !client.has_newest && at(client) <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.deliver(id, now);
        }
    }

    /// Something happened. Clients for which too much waits are closed and gone.
    pub fn handle_event(&mut self, message: &Arc<EventMessage>) {
        let mut behind = Vec::new();
        for (id, client) in self.clients.iter().filter(|(_, client)| client.is_live) {
            if client.mailbox.put_event(message).is_err() {
                behind.push(*id);
            }
        }
        for id in behind {
            self.metrics.event_close();
            self.leave(id);
        }
    }

    /// Events are missing for all who read live.
    pub fn handle_missing(&mut self, missing: Missing) {
        for client in self.clients.values().filter(|client| client.is_live) {
            client.mailbox.put_missing(missing);
        }
    }

    /// A new epoch begins, with a hello for all.
    pub fn begin_epoch(&mut self, hello: &Bytes, void: Option<EpochBegin>) {
        for client in self.clients.values_mut() {
            client.mailbox.put_hello(hello.clone());
            if !client.is_live {
                client.void = client.void.or(void);
            }
        }
        self.newest = None;
        self.messages.clear();
    }

    /// What has become void for a client that is behind since this was asked last.
    pub fn take_void(&mut self, id: ClientId) -> Option<EpochBegin> {
        self.clients.get_mut(&id)?.void.take()
    }

    /// Every client is closed and gone.
    pub fn close_all(&mut self, close: Close) {
        while let Some((id, client)) = self.clients.pop_first() {
            client.mailbox.close(close);
            self.remove_view(client.grant.setting);
            debug_assert!(!self.clients.contains_key(&id));
        }
    }

    fn deliver(&mut self, id: ClientId, now: Duration) {
        let (Some(tick), Some(client)) = (&self.newest, self.clients.get_mut(&id)) else {
            return;
        };
        let key = (client.grant.setting, client.subprotocol);
        let message = self.messages.entry(key);
        let message = message.or_insert_with(|| TickMessage::new(tick.clone(), key.0, key.1));
        if client.mailbox.put_tick(message.clone()) {
            self.metrics.skipped();
        }
        client.has_newest = true;
        // It has what it waited for, or instead of it: from now on it has its pace.
        client.fresh_until = None;
        client.pace.note(now);
    }

    /// The default view is always to be had, so it is not counted.
    fn add_view(&mut self, setting: ViewSetting) -> Result<(), ViewError> {
        if setting == ViewSetting::default() {
            return Ok(());
        }
        if self.views.len() >= self.most_views && !self.views.contains_key(&setting) {
            let most = self.most_views;
            return Err(ViewError::TooManyViews { most });
        }
        let clients = self.views.entry(setting).or_insert(0);
        *clients += 1;
        if *clients == 1 {
            self.metrics.views(1);
        }
        Ok(())
    }

    fn remove_view(&mut self, setting: ViewSetting) {
        if let Some(clients) = self.views.get_mut(&setting) {
            *clients -= 1;
            if *clients == 0 {
                self.views.remove(&setting);
                self.metrics.views(-1);
            }
        }
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.metrics.views(-(self.views.len() as i64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Outgoing;
    use crate::sample::{Sample, event};
    use crate::view_setting::{EventFilter, Wish};
    use transport::control::Log;

    const MS: Duration = Duration::from_millis(1);

    struct Bench {
        fanout: Fanout,
        sample: Sample,
        metrics: StreamMetrics,
        next: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let metrics = StreamMetrics::default();
            Bench {
                fanout: Fanout::new(3, metrics.clone()),
                sample: Sample::weeding(48, 24),
                metrics,
                next: 1,
            }
        }

        fn join(&mut self, grant: Grant, now: Duration) -> (ClientId, Arc<Mailbox>) {
            let mailbox = Arc::new(Mailbox::new(4));
            let id = ClientId(self.next);
            self.next += 1;
            let joined = self
                .fanout
                .join(id, mailbox.clone(), Subprotocol::Json, grant, now);
            joined.unwrap();
            self.fanout.go_live(id);
            (id, mailbox)
        }

        fn tick(&mut self, tick: u64, now: Duration) {
            let shown = self.sample.tick(tick);
            self.fanout.handle_tick(shown, now);
        }
    }

    fn capped(max_entities: u32) -> Grant {
        let world = [0.0, 0.0, 1.0, 1.0];
        let wish = Wish {
            max_entities: Some(max_entities),
            ..Wish::default()
        };
        wish.grant(Subprotocol::Json, world).unwrap()
    }

    fn at(rate_hz: u32) -> Grant {
        Grant {
            rate_hz,
            events: EventFilter::All,
            ..Grant::default()
        }
    }

    fn ticks(mailbox: &Mailbox) -> Vec<Arc<TickMessage>> {
        std::iter::from_fn(|| mailbox.take())
            .filter_map(|message| match message {
                Outgoing::Tick { message, .. } => Some(message),
                _ => None,
            })
            .collect()
    }

    fn numbers(mailbox: &Mailbox) -> Vec<u64> {
        ticks(mailbox).iter().map(|m| m.tick.info.tick).collect()
    }

    #[tokio::test]
    async fn a_tick_is_written_once_a_view_and_subprotocol_however_many_want_it() {
        let mut bench = Bench::new();
        let mut mailboxes = Vec::new();
        for _ in 0..50 {
            mailboxes.push(bench.join(Grant::default(), MS).1);
            mailboxes.push(bench.join(capped(7), MS).1);
        }
        let binary = Arc::new(Mailbox::new(4));
        let (id, grant) = (ClientId(900), Grant::default());
        let joined = bench
            .fanout
            .join(id, binary.clone(), Subprotocol::Binary, grant, MS);
        joined.unwrap();
        mailboxes.push(binary);
        bench.tick(1, MS);
        let mut written = Vec::new();
        for mailbox in &mailboxes {
            let message = ticks(mailbox).swap_remove(0);
            written.push(message.bytes(&bench.metrics, || 5).await);
        }
        assert_eq!(bench.metrics.encoded_ticks(Subprotocol::Json), 2);
        assert_eq!(bench.metrics.encoded_ticks(Subprotocol::Binary), 1);
        assert_eq!(
            written[0].as_ptr(),
            written[2].as_ptr(),
            "shared, not copied"
        );
        assert_eq!(written[1].as_ptr(), written[99].as_ptr());
        assert_ne!(written[0], written[1]);
        // What nobody sends nobody writes.
        bench.tick(2, 200 * MS);
        bench.tick(3, 400 * MS);
        assert_eq!(bench.metrics.encoded_ticks(Subprotocol::Json), 2);
    }

    #[test]
    fn who_joins_late_has_the_newest_tick_at_once() {
        let mut bench = Bench::new();
        bench.tick(1, MS);
        bench.tick(2, 2 * MS);
        let (_, mailbox) = bench.join(Grant::default(), 3 * MS);
        assert_eq!(numbers(&mailbox), [2]);
    }

    #[test]
    fn who_comes_to_a_run_that_nobody_watched_has_a_fresh_tick_first() {
        let mut bench = Bench::new();
        bench.tick(1, MS);
        // Ticks of 50 ms, at speed 1, of which a lingering feed shows one a second.
        let came = 700 * MS;
        let (_, first) = bench.join(at(60), came);
        let (_, waits) = bench.join(at(20), came + MS);
        assert_eq!((numbers(&first), numbers(&waits)), (vec![], vec![]));
        bench.fanout.handle_timeout(came + 20 * MS);
        assert_eq!(numbers(&first), [0; 0], "it was fresh long ago");
        bench.tick(15, came + 30 * MS);
        assert_eq!((numbers(&first), numbers(&waits)), (vec![15], vec![15]));
        assert_eq!(bench.fanout.poll_timeout(), None);
        // Fresh ones come again, so the next has one at once.
        let (_, next) = bench.join(at(60), came + 130 * MS);
        assert_eq!(numbers(&next), [15]);
    }

    #[test]
    fn who_waits_for_a_fresh_tick_in_vain_has_the_newest_soon() {
        let mut bench = Bench::new();
        bench.tick(1, MS);
        let (_, mailbox) = bench.join(at(60), 700 * MS);
        let due = bench.fanout.poll_timeout().unwrap();
        assert_eq!(due, 700 * MS + FRESH_PATIENCE);
        bench.fanout.handle_timeout(due - MS);
        assert_eq!(numbers(&mailbox), [0; 0]);
        bench.fanout.handle_timeout(due);
        assert_eq!(numbers(&mailbox), [1]);
    }

    #[test]
    fn who_has_waited_in_vain_gets_no_more_ticks_by_changing_views() {
        let mut bench = Bench::new();
        bench.tick(1, MS);
        let (id, mailbox) = bench.join(at(1), 3_000 * MS);
        let due = bench.fanout.poll_timeout().unwrap();
        bench.fanout.handle_timeout(due);
        assert_eq!(numbers(&mailbox), [1]);
        for most in [5, 6] {
            let view = Grant {
                rate_hz: 1,
                ..capped(most)
            };
            bench.fanout.change(id, view, due + MS).unwrap();
            assert_eq!(numbers(&mailbox), [0; 0]);
        }
    }

    #[test]
    fn what_stands_or_is_slow_is_never_old() {
        for (status, speed, is_old) in [
            (Status::Running, Speed::REAL, true),
            (Status::Running, Speed::Max, true),
            (Status::Running, Speed::Milli(100), false),
            (Status::Paused, Speed::REAL, false),
            (Status::Completed, Speed::Max, false),
        ] {
            let mut bench = Bench::new();
            let mut shown = ViewTick::clone(&bench.sample.tick(1));
            shown.info.status = status;
            shown.info.spec.speed = speed;
            bench.fanout.handle_tick(Arc::new(shown), MS);
            // A tick of 50 ms at a tenth of the speed takes 500.
            let (_, mailbox) = bench.join(at(10), 900 * MS);
            assert_eq!(numbers(&mailbox).is_empty(), is_old, "{status:?} {speed:?}");
        }
    }

    #[test]
    fn nobody_gets_ticks_faster_than_it_wants_nor_misses_the_last() {
        let mut bench = Bench::new();
        let (_, slow) = bench.join(at(10), Duration::ZERO);
        let (_, fast) = bench.join(at(50), Duration::ZERO);
        assert_eq!(bench.fanout.highest_hz(), 50);
        let (mut to_slow, mut to_fast) = (Vec::new(), Vec::new());
        for tick in 0..=50_u64 {
            // 50 a second, with 3 ms of jitter.
            let now = (20 * tick as u32 + tick as u32 % 2 * 3) * MS;
            bench.tick(tick, now);
            to_slow.extend(numbers(&slow));
            to_fast.extend(numbers(&fast));
        }
        assert_eq!(to_fast, (0..=50).collect::<Vec<_>>());
        assert!((10..=11).contains(&to_slow.len()), "{to_slow:?}");
        // The run pauses: the last one comes when it may.
        if to_slow.last() != Some(&50) {
            let due = bench.fanout.poll_timeout().unwrap();
            bench.fanout.handle_timeout(due - MS);
            assert!(numbers(&slow).is_empty());
            bench.fanout.handle_timeout(due);
            assert_eq!(numbers(&slow), [50]);
        }
        assert_eq!(bench.fanout.poll_timeout(), None);
    }

    #[test]
    fn a_client_that_joins_out_of_step_gets_fresh_ticks_all_the_same() {
        for phase in [10, 30, 60, 90] {
            let mut bench = Bench::new();
            bench.tick(0, Duration::ZERO);
            let (_, client) = bench.join(at(10), phase * MS);
            numbers(&client);
            let mut fresh = 0;
            for tick in 1..=20_u32 {
                // As many a second as it wants, with 2 ms of jitter.
                let now = (100 * tick + tick % 2 * 2) * MS;
                while let Some(due) = bench.fanout.poll_timeout().filter(|due| *due < now) {
                    bench.fanout.handle_timeout(due);
                }
                numbers(&client);
                bench.tick(tick.into(), now);
                fresh += numbers(&client).len();
            }
            assert!(fresh >= 19, "{fresh} of 20 for one {phase} ms off");
        }
    }

    #[test]
    fn a_client_that_takes_nothing_skips_and_nobody_else_does() {
        let mut bench = Bench::new();
        let (_, stuck) = bench.join(at(60), Duration::ZERO);
        let (_, other) = bench.join(at(60), Duration::ZERO);
        let mut seen = Vec::new();
        for tick in 1..=100_u64 {
            bench.tick(tick, tick as u32 * 20 * MS);
            seen.extend(numbers(&other));
        }
        assert_eq!(seen, (1..=100).collect::<Vec<_>>());
        assert_eq!(bench.metrics.skipped_ticks(), 99);
        let Some(Outgoing::Tick { skipped, message }) = stuck.take() else {
            panic!("a tick waits for it")
        };
        assert_eq!((skipped, message.tick.info.tick), (99, 100));
        assert!(stuck.take().is_none());
    }

    #[test]
    fn a_client_behind_on_events_is_closed_and_others_get_them_all() {
        let mut bench = Bench::new();
        let (id, stuck) = bench.join(at(10), MS);
        let (_, other) = bench.join(at(10), MS);
        let mut seen = 0;
        for seq in 1..=20 {
            let message = EventMessage::new(event(Log::Sim, seq));
            bench.fanout.handle_event(&message);
            seen += std::iter::from_fn(|| other.take()).count();
        }
        assert_eq!((seen, bench.fanout.len()), (20, 1));
        assert!(!bench.fanout.has(id));
        assert_eq!(bench.metrics.event_closes(), 1);
        assert!(matches!(
            stuck.take(),
            Some(Outgoing::Close(Close::EventsBehind))
        ));
    }

    #[test]
    fn distinct_views_are_capped_and_the_last_one_stays() {
        let mut bench = Bench::new();
        let (id, _) = bench.join(capped(1), MS);
        let (_, mailbox) = bench.join(capped(2), MS);
        bench.join(capped(3), MS);
        let most = 3;
        let refused = Err(ViewError::TooManyViews { most });
        // One that is there already, and the default one, are always to be had.
        bench.join(capped(3), MS);
        bench.join(Grant::default(), MS);
        let late = Arc::new(Mailbox::new(4));
        let five = ClientId(500);
        let json = Subprotocol::Json;
        assert_eq!(
            bench.fanout.join(five, late.clone(), json, capped(5), MS),
            refused
        );
        assert_eq!(bench.fanout.change(ClientId(3), capped(4), MS), refused);
        bench.tick(1, 200 * MS);
        assert_eq!(ticks(&late)[0].setting, ViewSetting::default());
        assert_eq!(ticks(&mailbox)[0].setting, capped(2).setting);
        // Its only one may be changed for another, and one that left makes room.
        assert_eq!(bench.fanout.change(id, capped(4), 400 * MS), Ok(()));
        assert_eq!(bench.fanout.change(five, capped(5), 400 * MS), refused);
        bench.fanout.leave(id);
        assert_eq!(bench.fanout.change(five, capped(5), 400 * MS), Ok(()));
        assert_eq!(ticks(&late)[0].setting, capped(5).setting);
    }
}
