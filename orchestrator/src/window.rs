//! The window of ticks a simulation has in flight, and what of it is still missing.

use std::time::Duration;

use transport::message::TickDigest;

use crate::aggregate::PartitionReport;
use crate::cost::visit;
use crate::schedule::Schedule;

/// One partition's place in a window.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// What it reported; `None` while missing.
    pub(crate) report: Option<PartitionReport>,
    /// Ticks it was last told to step, a replay included.
    pub(crate) steps: u64,
    /// Whether its digest of the last tick is wanted for a verification.
    pub(crate) sampled: bool,
    /// Time its steps took.
    pub(crate) compute: Duration,
    /// When the work was last sent; `None` while it has no worker.
    pub(crate) sent_at: Option<Duration>,
    /// When its worker becomes suspect.
    pub(crate) due_by: Duration,
    /// Whether the only worker there is was given more time for it.
    pub(crate) extended: bool,
    /// Times it was sent.
    pub(crate) attempts: u32,
}

impl Slot {
    /// Whether an answer that says it is of so many ticks may be the missing one.
    #[must_use]
    pub(crate) fn awaits(&self, ticks: u32) -> bool {
        self.report.is_none() && self.steps == u64::from(ticks)
    }
}

/// A window in flight.
///
/// `first ..= last` are its ticks; `last == first - 1` asks about the present tick, and creation is
/// the window of tick 0 alone, of no steps.
#[derive(Debug)]
pub(crate) struct Window {
    /// First tick that is not complete.
    pub(crate) first: u64,
    /// Last tick.
    pub(crate) last: u64,
    /// Steps to take.
    pub(crate) ticks: u32,
    /// Whether partitions are created in it.
    pub(crate) creation: bool,
    /// Whether the digest of the last tick is wanted though it may not be due.
    pub(crate) wants_digest: bool,
    /// Whether views of the last tick are wanted.
    pub(crate) wants_view: bool,
    /// Ticks whose digests are reported, in order.
    pub(crate) digest_ticks: Vec<u64>,
    /// Deadline it was dispatched for; `None` at speed `max` and for steps.
    pub(crate) deadline: Option<Duration>,
    /// The deadlines of its ticks, whatever becomes of the speed while it is in flight.
    pub(crate) schedule: Option<Schedule>,
    /// Since when it was owed, where that is before `deadline` and `dispatched_at`.
    pub(crate) owed_since: Option<Duration>,
    /// When it was dispatched.
    pub(crate) dispatched_at: Duration,
    /// Whether a partition was replayed in it.
    pub(crate) handed_over: bool,
    /// Partitions that have an owner and wait until it has answered other replays.
    pub(crate) waiting: Vec<usize>,
    /// Places by partition index.
    pub(crate) slots: Vec<Slot>,
    /// Missing partitions that lost their worker since they were sent.
    pub(crate) ownerless: Vec<usize>,
    /// No worker becomes suspect before this time.
    pub(crate) suspect_from: Duration,
    /// Places without a report.
    pub(crate) missing: usize,
}

impl Window {
    /// A window of `ticks` steps from `first` on.
    #[must_use]
    pub(crate) fn new(first: u64, ticks: u32, partitions: usize, now: Duration) -> Window {
        Window {
            first,
            last: (first + u64::from(ticks)).saturating_sub(1),
            ticks,
            creation: first == 0,
            wants_digest: false,
            wants_view: false,
            digest_ticks: Vec::new(),
            deadline: None,
            schedule: None,
            owed_since: None,
            dispatched_at: now,
            handed_over: false,
            waiting: Vec::new(),
            slots: (0..partitions).map(|_| Slot::default()).collect(),
            ownerless: Vec::new(),
            suspect_from: Duration::MAX,
            missing: partitions,
        }
    }

    /// Sets which digests are reported: those due every `every` ticks, and that of the last tick if
    /// it is wanted.
    #[must_use]
    pub(crate) fn with_digests(mut self, every: u32, wants_digest: bool) -> Window {
        let every = u64::from(every);
        let from = self.first.div_ceil(every) * every;
        self.digest_ticks = (from..=self.last)
            .step_by(usize::try_from(every).expect("32 bits"))
            .collect();
        self.wants_digest = wants_digest;
        if wants_digest && self.digest_ticks.last() != Some(&self.last) {
            self.digest_ticks.push(self.last);
        }
        self
    }

    /// Whether mail was emitted in the window's last tick that nobody has seen yet.
    #[must_use]
    pub(crate) fn emits_mail(&self) -> bool {
        self.ticks > 0 || self.creation
    }

    /// Takes a report in.
    ///
    /// # Panics
    /// If the slot was filled before.
    pub(crate) fn fill(&mut self, partition: u32, report: PartitionReport) {
        let slot = &mut self.slots[partition as usize];
        assert!(slot.report.is_none(), "a partition reports once");
        slot.report = Some(report);
        self.missing -= 1;
    }

    /// Partitions without a report.
    pub(crate) fn missing_slots(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0_u32..)
            .zip(&self.slots)
            .inspect(|_| visit())
            .filter(|(_, slot)| slot.report.is_none())
    }

    /// Checks a report's digests against what was asked, and splits off the one that only a
    /// verification wanted. `None` if they are not what was asked.
    #[must_use]
    pub(crate) fn split_sample(
        &self,
        partition: u32,
        digests: &mut Vec<TickDigest>,
    ) -> Option<Option<u64>> {
        let due = &self.digest_ticks;
        let sampled = self.slots[partition as usize].sampled;
        let extra = sampled && due.last() != Some(&self.last);
        let sample = digests.last().copied();
        if extra {
            digests.pop().filter(|d| d.tick == self.last)?;
        }
        let fits = digests.len() == due.len() && digests.iter().zip(due).all(|(d, t)| d.tick == *t);
        fits.then(|| sample.filter(|_| sampled).map(|d| d.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(first: u64, ticks: u32) -> Window {
        Window::new(first, ticks, 2, Duration::ZERO)
    }

    fn digest(tick: u64) -> TickDigest {
        TickDigest { tick, digest: 7 }
    }

    #[test]
    fn digests_are_due_on_multiples_and_where_wanted() {
        assert_eq!(window(1, 10).with_digests(4, false).digest_ticks, [4, 8]);
        assert_eq!(window(1, 10).with_digests(4, true).digest_ticks, [4, 8, 10]);
        assert_eq!(window(1, 8).with_digests(4, true).digest_ticks, [4, 8]);
        assert_eq!(window(0, 0).with_digests(50, false).digest_ticks, [0]);
    }

    #[test]
    fn a_question_about_the_present_has_no_tick_of_its_own() {
        let w = window(6, 0).with_digests(5, false);
        assert_eq!((w.first, w.last), (6, 5));
        assert!(w.digest_ticks.is_empty());
        assert!(!w.emits_mail());
        assert_eq!(window(6, 0).with_digests(5, true).digest_ticks, [5]);
    }

    #[test]
    fn only_the_digests_asked_for_are_taken() {
        let mut w = window(1, 4).with_digests(2, false);
        let mut good = vec![digest(2), digest(4)];
        assert_eq!(w.split_sample(0, &mut good), Some(None));
        assert_eq!(w.split_sample(0, &mut vec![digest(2)]), None);
        assert_eq!(w.split_sample(0, &mut vec![digest(2), digest(3)]), None);
        w.slots[0].sampled = true;
        assert_eq!(w.split_sample(0, &mut good), Some(Some(7)));
        assert_eq!(good.len(), 2);
    }

    #[test]
    fn a_digest_for_a_verification_alone_is_not_published() {
        let mut w = window(3, 1).with_digests(2, false);
        w.slots[1].sampled = true;
        let mut digests = vec![digest(3)];
        assert_eq!(w.split_sample(1, &mut digests), Some(Some(7)));
        assert!(digests.is_empty());
        assert_eq!(w.split_sample(1, &mut digests), None, "it is missing now");
    }
}
