//! What one client is told, in order: ticks, epochs and events. No I/O and no clock.
//!
//! Call one `handle_*` for each message; each connection begins with a hello.

use crate::load::args::Events;
use crate::load::message::{Hello, Log, Tick};
use crate::load::violation::{Check, Finding, finding};

/// Where one client is in what it is told.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    events: Events,
    /// Of the newest hello.
    epoch: Option<u64>,
    /// Last tick since the last hello.
    tick: Option<u64>,
    sim_seq: Option<u64>,
    system_seq: Option<u64>,
}

impl Sequence {
    /// Nothing was told yet.
    pub(crate) fn new(events: Events) -> Sequence {
        Sequence {
            events,
            epoch: None,
            tick: None,
            sim_seq: None,
            system_seq: None,
        }
    }

    /// The event of a log that a new connection has to go on with; `None` before the first hello, and
    /// where no events are wanted.
    pub(crate) fn resume_at(&self, log: Log) -> Option<u64> {
        let last = match log {
            Log::Sim => self.sim_seq,
            Log::System => self.system_seq,
        };
        last.filter(|_| self.events != Events::None)
            .map(|last| last + 1)
    }

    /// The epoch that a new connection has to name, so that it is told again what has become void since.
    pub(crate) fn resume_epoch(&self) -> Option<u64> {
        self.epoch.filter(|_| self.events != Events::None)
    }

    /// A connection has said where it begins, or that it begins anew: ticks may then go back, and events that
    /// became void come again, from the first of them on. The others go on where they were.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn handle_hello(&mut self, hello: &Hello) -> Result<(), Finding> {
        self.tick = None;
        let Some(seen) = self.epoch else {
            self.epoch = Some(hello.epoch);
            let before = |next: Option<u64>| next.map(|next| next.saturating_sub(1));
            self.sim_seq = before(hello.next_event);
            self.system_seq = before(hello.next_system_event);
            return Ok(());
        };
        if hello.epoch < seen {
            let what = format!("epoch {} after epoch {seen}", hello.epoch);
            return Err(finding(Check::EpochOrder, what));
        }
        self.epoch = Some(hello.epoch);
        if let Some(first) = hello.epochs.iter().find(|other| other.epoch > seen) {
            for (last, from) in [
                (&mut self.sim_seq, first.from_event),
                (&mut self.system_seq, first.from_system_event),
            ] {
                *last = last.map(|last| last.min(from.saturating_sub(1)));
            }
        }
        Ok(())
    }

    /// A tick came.
    ///
    /// # Errors
    /// What is wrong with its place; the next ones are judged from it on.
    pub(crate) fn handle_tick(&mut self, tick: &Tick) -> Result<(), Finding> {
        // A newer one would have said hello.
        let epoch = self.epoch.unwrap_or(0);
        if tick.epoch != epoch {
            let what = format!(
                "tick {} of epoch {}, in epoch {epoch}",
                tick.tick, tick.epoch
            );
            return Err(finding(Check::EpochOrder, what));
        }
        let Some(last) = self.tick.replace(tick.tick) else {
            return Ok(());
        };
        let now = tick.tick;
        if now < last {
            let what = format!("tick {now} after tick {last} of the same epoch");
            return Err(finding(Check::TickOrder, what));
        }
        if now == last {
            return Err(finding(Check::TickOrder, format!("tick {now} twice")));
        }
        Ok(())
    }

    /// An event came.
    ///
    /// # Errors
    /// What is wrong with its number; the next ones are judged from it on.
    pub(crate) fn handle_event(&mut self, log: Log, seq: u64) -> Result<(), Finding> {
        let is_dense = self.events == Events::All;
        let Some(last) = self.last_seq(log).replace(seq) else {
            return Ok(());
        };
        let is_next = if is_dense {
            seq == last + 1
        } else {
            seq > last
        };
        if is_next {
            return Ok(());
        }
        let what = format!("event {seq} after event {last} of the log {log:?}");
        Err(finding(Check::EventGap, what))
    }

    /// Events up to this one cannot be had any more.
    pub(crate) fn handle_events_missing(&mut self, log: Log, to_seq: u64) {
        *self.last_seq(log) = Some(to_seq);
    }

    fn last_seq(&mut self, log: Log) -> &mut Option<u64> {
        match log {
            Log::Sim => &mut self.sim_seq,
            Log::System => &mut self.system_seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::api::Resource;
    use crate::load::message::TakeOver;

    fn tick(epoch: u64, tick: u64) -> Tick {
        Tick {
            epoch,
            tick,
            started_at_us: None,
            sent_at_us: None,
            entities_total: 1,
            shown: None,
            aggregate: None,
            machines: None,
        }
    }

    fn hello(epoch: u64, next_event: u64) -> Hello {
        Hello {
            epoch,
            next_event: Some(next_event),
            next_system_event: Some(1),
            epochs: Vec::new(),
            simulation: Resource::default(),
        }
    }

    /// Another epoch, that began with this event.
    fn taken_over(epoch: u64, from_event: u64) -> Hello {
        let first = TakeOver {
            epoch,
            from_event,
            from_system_event: 1,
        };
        Hello {
            epochs: vec![first],
            ..hello(epoch, from_event + 3)
        }
    }

    fn check_of(result: Result<(), Finding>) -> Option<Check> {
        result.err().map(|finding| finding.check)
    }

    #[test]
    fn a_tick_twice_or_back_is_found_and_the_next_one_judged_from_there() {
        let mut sequence = Sequence::new(Events::None);
        sequence.handle_hello(&hello(1, 1)).unwrap();
        let told = [5, 6, 9, 9, 10, 8, 9];
        let found: Vec<_> = (told.iter())
            .map(|&t| check_of(sequence.handle_tick(&tick(1, t))))
            .collect();
        let wrong = Some(Check::TickOrder);
        assert_eq!(found, [None, None, None, wrong, None, wrong, None]);
    }

    #[test]
    fn after_a_hello_ticks_may_go_back_and_events_come_again() {
        let mut sequence = Sequence::new(Events::All);
        sequence.handle_hello(&hello(1, 7)).unwrap();
        assert_eq!(sequence.handle_tick(&tick(1, 5)), Ok(()));
        for seq in 7..10 {
            assert_eq!(sequence.handle_event(Log::Sim, seq), Ok(()));
        }
        sequence.handle_hello(&taken_over(2, 8)).unwrap();
        assert_eq!(sequence.handle_tick(&tick(2, 4)), Ok(()));
        assert_eq!(sequence.handle_event(Log::Sim, 8), Ok(()));
        let back = sequence.handle_event(Log::Sim, 8);
        assert_eq!(check_of(back), Some(Check::EventGap));
    }

    /// The example of docs/stream.md: of epochs 2 and 3, that begin at 31 and 88.
    #[test]
    fn what_is_void_is_what_the_first_epoch_after_the_one_seen_says() {
        let mut example = hello(3, 88);
        example.epochs = [(2, 31), (3, 88)]
            .map(|(epoch, from_event)| TakeOver {
                epoch,
                from_event,
                from_system_event: 9,
            })
            .into();
        for (seen, last, next) in [(2, 93, 88), (1, 93, 31), (3, 93, 94), (2, 50, 51)] {
            let mut sequence = Sequence::new(Events::All);
            sequence.handle_hello(&hello(seen, last + 1)).unwrap();
            assert_eq!(sequence.resume_epoch(), Some(seen));
            sequence.handle_hello(&example).unwrap();
            assert_eq!(sequence.resume_at(Log::Sim), Some(next), "of epoch {seen}");
            assert_eq!(sequence.resume_epoch(), Some(3));
        }
    }

    #[test]
    fn epochs_never_go_back_and_change_with_a_hello_only() {
        let mut sequence = Sequence::new(Events::None);
        sequence.handle_hello(&hello(2, 1)).unwrap();
        let wrong = Some(Check::EpochOrder);
        assert_eq!(check_of(sequence.handle_tick(&tick(1, 51))), wrong);
        assert_eq!(check_of(sequence.handle_tick(&tick(3, 52))), wrong);
        assert_eq!(check_of(sequence.handle_hello(&hello(1, 1))), wrong);
    }

    #[test]
    fn a_gap_in_a_log_is_found_where_all_events_are_told() {
        let mut all = Sequence::new(Events::All);
        assert_eq!((all.resume_at(Log::Sim), all.resume_epoch()), (None, None));
        all.handle_hello(&hello(1, 3)).unwrap();
        let told = [3, 4, 6, 7, 7];
        let found: Vec<_> = (told.iter())
            .map(|&seq| check_of(all.handle_event(Log::Sim, seq)))
            .collect();
        let wrong = Some(Check::EventGap);
        assert_eq!(found, [None, None, wrong, None, wrong]);
        assert_eq!(all.handle_event(Log::System, 1), Ok(()), "numbered apart");
        all.handle_events_missing(Log::Sim, 20);
        assert_eq!(all.handle_event(Log::Sim, 21), Ok(()), "told as missing");
    }

    #[test]
    fn events_begin_where_the_hello_says_and_go_on_over_connections() {
        let mut all = Sequence::new(Events::All);
        all.handle_hello(&hello(1, 5)).unwrap();
        let skipped = all.handle_event(Log::Sim, 6);
        assert_eq!(check_of(skipped), Some(Check::EventGap));
        assert_eq!(all.resume_at(Log::Sim), Some(7));
        // It goes on with 7, though the live ones are at 9 by now.
        all.handle_hello(&hello(1, 9)).unwrap();
        let lost = all.handle_event(Log::Sim, 9);
        assert_eq!(check_of(lost), Some(Check::EventGap));
        let none = Sequence::new(Events::None);
        assert_eq!(
            (none.resume_at(Log::Sim), none.resume_epoch()),
            (None, None)
        );
    }

    #[test]
    fn changes_of_status_alone_have_gaps_but_never_go_back() {
        let mut some = Sequence::new(Events::Lifecycle);
        assert_eq!(some.handle_event(Log::System, 3), Ok(()));
        assert_eq!(some.handle_event(Log::System, 9), Ok(()));
        let back = some.handle_event(Log::System, 9);
        assert_eq!(check_of(back), Some(Check::EventGap));
    }
}
