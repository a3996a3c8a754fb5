//! Views: which windows carry one, and which view frames are passed on.
//!
//! A window's view is of its last tick. A window is never made shorter for one: an unhurried one takes
//! about [`crate::limits::WINDOW_TARGET`] at any speed, `max` too, and less where ticks are due, so
//! the next one is soon enough for whoever watches. What is asked for is remembered for each
//! partition; a view that was not asked for is dropped and counted, and one that does not come delays
//! nothing: no window waits for it, and no further view is asked for while one is on its way, so a
//! slow link has fewer.

use std::time::Duration;

use transport::control::MAX_VIEW_HZ;
use transport::frame::Frame;

use crate::context::Context;
use crate::control::WorkerId;
use crate::limits::{MAX_ATTEMPTS, VIEW_PATIENCE};
use crate::simulation::Simulation;
use crate::wire;

/// Which view was asked of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ask {
    tick: u64,
    owner: WorkerId,
    epoch: u32,
}

/// A run's views.
#[derive(Debug, Default)]
pub(crate) struct Views {
    /// Time between two; `None` while nobody wants them at a rate.
    every: Option<Duration>,
    /// When the next one is due at that rate.
    due_at: Duration,
    /// One is wanted of the present tick, whatever the rate.
    wanted: bool,
    /// Tick of the newest one, and when it was asked for.
    newest: Option<(u64, Duration)>,
    /// Times that one was asked for again.
    attempts: u32,
    /// What has not come, by partition.
    asks: Vec<Option<Ask>>,
    missing: usize,
}

impl Views {
    /// From now on views come at most so many times a second; never where `hz` is `None` or 0.
    pub(crate) fn set_hz(&mut self, hz: Option<u32>) {
        let hz = hz.filter(|hz| *hz > 0).map(|hz| hz.min(MAX_VIEW_HZ));
        let every = hz.map(|hz| Duration::from_secs(1) / hz);
        if every != self.every {
            self.every = every;
            self.due_at = Duration::ZERO;
        }
    }

    /// A view of the present is wanted.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// When a window that ends with `last` is to carry a view; `None` if it is not.
    pub(crate) fn due_at(&self, last: u64) -> Option<Duration> {
        if self.wanted {
            return Some(Duration::ZERO);
        }
        let patient_until = self
            .newest
            .filter(|_| self.missing > 0)
            .map(|(_, asked_at)| asked_at + VIEW_PATIENCE);
        if self.is_newest(last) {
            // It stands, and what was asked for may have been lost.
            return patient_until.filter(|_| self.attempts < MAX_ATTEMPTS);
        }
        let due_at = self.every.map(|_| self.due_at);
        due_at.map(|at| patient_until.map_or(at, |until| at.max(until)))
    }

    /// Whether someone watches and has not been shown `tick`.
    pub(crate) fn is_behind(&self, tick: u64) -> bool {
        self.wanted || (self.every.is_some() && !self.is_newest(tick))
    }

    /// Decides whether a window that ends with `last` and is dispatched `now` carries a view;
    /// `must`, if it is the last one that can show that tick.
    pub(crate) fn begin(&mut self, now: Duration, last: u64, must: bool) -> bool {
        let due = self.due_at(last).is_some_and(|at| at <= now);
        if !(due || (must && self.is_behind(last))) {
            return false;
        }
        self.attempts = if self.is_newest(last) {
            self.attempts + 1
        } else {
            0
        };
        self.wanted = false;
        self.newest = Some((last, now));
        if let Some(every) = self.every {
            // One that comes after its time does not put off those after it, but a gap is not made
            // up for by more than one.
            self.due_at = (self.due_at + every).max(now);
        }
        true
    }

    fn is_newest(&self, tick: u64) -> bool {
        self.newest.is_some_and(|(newest, _)| newest == tick)
    }

    /// Notes that partition `p` of `count` is asked for the newest view, under this placement.
    pub(crate) fn ask(&mut self, now: Duration, p: usize, count: usize, by: (WorkerId, u32)) {
        let Some((tick, asked_at)) = &mut self.newest else {
            return;
        };
        // A window that is sent again is shown later.
        *asked_at = now;
        let (owner, epoch) = by;
        self.asks.resize(count, None);
        let before = self.asks[p].replace(Ask {
            tick: *tick,
            owner,
            epoch,
        });
        self.missing += usize::from(before.is_none());
    }

    /// Forgets what partition `p` was asked for; answers whether that had not come.
    pub(crate) fn give_up(&mut self, p: usize) -> bool {
        let ask = self.asks.get_mut(p).and_then(Option::take);
        self.missing -= usize::from(ask.is_some());
        ask.is_some()
    }

    /// Whether this view was asked for, and is the first that comes.
    fn take(&mut self, p: usize, came: Ask) -> bool {
        let was_asked = self.asks.get(p) == Some(&Some(came));
        if was_asked {
            self.give_up(p);
        }
        was_asked
    }
}

impl Simulation {
    /// From now on views come at most so many times a second of wall time: the highest rate that
    /// anyone wants, `None` for nobody.
    pub(crate) fn set_view_hz(&mut self, hz: Option<u32>) {
        self.views.set_hz(hz);
    }

    /// A view of the present tick is wanted, of the next window's if it goes on. A run that stands gives
    /// rise to a window of no ticks; one that has settled shows nothing any more.
    pub(crate) fn ask_view(&mut self) {
        if !self.settled {
            self.views.want();
        }
    }

    /// Passes a view on, or drops and counts it. It is not looked into: its length was bounded when it
    /// was received, and whoever shows it validates it.
    pub(crate) fn handle_view(&mut self, ctx: &mut Context<'_>, owner: WorkerId, frame: Frame) {
        let from = wire::from(&frame);
        let came = Ask {
            tick: from.tick,
            owner,
            epoch: from.placement_epoch,
        };
        // What was asked of an owner counts though he was told to drop it since: so the last view of a
        // run that ends is shown.
        let p = usize::try_from(from.partition).unwrap_or(usize::MAX);
        if self.views.take(p, came) {
            self.totals.views += 1;
            ctx.outbox.views.push_back(frame);
        } else {
            self.totals.unasked_views += 1;
        }
    }

    /// The owner of partition `p` is not to be relied on: where its view has not come and no work of the
    /// window in flight will be sent again, another one is asked for.
    pub(crate) fn lose_view(&mut self, p: usize) {
        let again = self
            .window
            .as_ref()
            .is_some_and(|w| w.wants_view && w.slots[p].report.is_none());
        if self.views.give_up(p) && !again {
            self.views.want();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Views of ticks that are dispatched every `tick_ms` for ten seconds and come at once.
    fn views_in_ten_seconds(hz: u32, tick_ms: u64) -> usize {
        let mut views = Views::default();
        views.set_hz(Some(hz));
        (1..=10_000 / tick_ms)
            .filter(|tick| {
                // Some come a little late, as deadlines do.
                let now = MS * (tick * tick_ms + tick % 3) as u32;
                views.begin(now, *tick, false)
            })
            .count()
    }

    #[test]
    fn views_come_at_the_rate_wanted_and_never_above_it() {
        for (hz, tick_ms, expected) in [(10, 20, 100), (10, 50, 100), (15, 50, 150), (20, 50, 200)]
        {
            let views = views_in_ten_seconds(hz, tick_ms);
            let most = hz as usize * 10 + 1;
            assert!((expected - 2..=most).contains(&views), "{hz} Hz: {views}");
        }
        assert_eq!(views_in_ten_seconds(60, 100), 100, "no more than ticks");
        assert_eq!(views_in_ten_seconds(0, 100), 0);
    }

    #[test]
    fn no_view_is_asked_for_while_one_is_on_its_way() {
        let mut views = Views::default();
        views.set_hz(Some(60));
        assert!(views.begin(100 * MS, 5, false));
        views.ask(100 * MS, 0, 2, (WorkerId(1), 1));
        assert!(!views.begin(200 * MS, 10, false));
        let came = Ask {
            tick: 5,
            owner: WorkerId(1),
            epoch: 1,
        };
        assert!(!views.take(0, Ask { epoch: 2, ..came }));
        assert!(!views.take(1, came));
        assert!(views.take(0, came));
        assert!(!views.take(0, came), "once");
        assert!(views.begin(200 * MS, 10, false));
        views.ask(200 * MS, 0, 2, (WorkerId(1), 1));
        let later = 200 * MS + VIEW_PATIENCE;
        assert!(!views.begin(later - MS, 40, false));
        assert!(views.begin(later, 41, false), "it may be lost");
    }

    #[test]
    fn a_standing_run_is_shown_once_and_again_where_nothing_comes() {
        let mut views = Views::default();
        assert_eq!(views.due_at(7), None);
        views.want();
        assert!(views.begin(Duration::ZERO, 7, false));
        views.ask(Duration::ZERO, 0, 1, (WorkerId(1), 1));
        for n in 1..=MAX_ATTEMPTS {
            let due = views.due_at(7).expect("it has not come");
            assert_eq!(due, VIEW_PATIENCE * n);
            assert!(views.begin(due, 7, false));
        }
        assert_eq!(views.due_at(7), None, "it never will");
    }
}
