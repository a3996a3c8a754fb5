//! The log `sim`: what the farm's events are called and numbered as. Events of one tick that differ
//! in nothing but their machine are one entry with a set of machines.
//!
//! It depends on the merged events alone, so a replay, another cut and another placement give the same
//! entries and numbers.

use std::collections::BTreeMap;

use kernel::event::Event;
use transport::control::{Log, LogEvent};

/// What the events of one entry have in common, beside their tick and site.
type Nature = (u32, u32, u32);

/// Numbers events, which are in their order, after `last_seq`, the number of the last entry before
/// them. Entries are ordered by (tick, site, first machine, ordinal of its event).
pub(crate) fn number(events: &[Event], last_seq: &mut u64) -> Vec<LogEvent> {
    debug_assert!(events.is_sorted(), "merged before they are numbered");
    let mut entries: Vec<LogEvent> = Vec::new();
    // Only looked up, and empty, so without memory, for the many sites of which there is one event.
    let mut known: BTreeMap<Nature, usize> = BTreeMap::new();
    for of_site in events.chunk_by(|a, b| (a.tick, a.site) == (b.tick, b.site)) {
        known.clear();
        for event in of_site {
            let nature = (event.kind, event.detail, event.reason);
            if let Some(&entry) = known.get(&nature) {
                let machines = &mut entries[entry].entities;
                // A machine may enter a state twice in a tick: it is in the set once.
                if machines.last() != Some(&event.entity) {
                    machines.push(event.entity);
                }
                continue;
            }
            if of_site.len() > 1 {
                known.insert(nature, entries.len());
            }
            *last_seq += 1;
            entries.push(entry(*last_seq, event));
        }
    }
    entries
}

/// The entry that begins with an event.
fn entry(seq: u64, event: &Event) -> LogEvent {
    LogEvent {
        seq,
        log: Log::Sim,
        tick: event.tick,
        kind: event.kind,
        site: event.site,
        detail: event.detail,
        reason: event.reason,
        entities: vec![event.entity],
        text: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tick: u64, site: u32, entity: u32, ordinal: u32, detail: u32) -> Event {
        Event {
            tick,
            site,
            entity,
            ordinal,
            kind: 1,
            detail,
            reason: 0,
        }
    }

    /// Number, tick, site, detail and machines of each entry.
    fn entries(events: &[Event], last_seq: &mut u64) -> Vec<(u64, u64, u32, u32, Vec<u32>)> {
        number(events, last_seq)
            .into_iter()
            .map(|e| (e.seq, e.tick, e.site, e.detail, e.entities))
            .collect()
    }

    #[test]
    fn one_cause_is_one_entry_a_tick_and_site() {
        let events = [
            event(4, 0, 1, 0, 7),
            event(4, 0, 2, 0, 8),
            event(4, 0, 2, 1, 7),
            event(4, 0, 3, 0, 8),
            event(4, 1, 9, 0, 7),
            event(5, 0, 1, 0, 7),
        ];
        let mut last_seq = 10;
        let expected = vec![
            (11, 4, 0, 7, vec![1, 2]),
            (12, 4, 0, 8, vec![2, 3]),
            (13, 4, 1, 7, vec![9]),
            (14, 5, 0, 7, vec![1]),
        ];
        assert_eq!(entries(&events, &mut last_seq), expected);
        assert_eq!(last_seq, 14);
    }

    #[test]
    fn windows_of_any_length_give_the_same_numbers() {
        let events: Vec<Event> = (1..40_u64)
            .flat_map(|tick| (0..tick as u32 % 5).map(move |n| event(tick, n / 3, n + 1, 0, n % 2)))
            .collect();
        let whole = number(&events, &mut 0);
        let mut last_seq = 0;
        let by_tick: Vec<LogEvent> = events
            .chunk_by(|a, b| a.tick == b.tick)
            .flat_map(|of_tick| number(of_tick, &mut last_seq))
            .collect();
        assert_eq!(by_tick, whole);
        assert!(whole.iter().zip(1..).all(|(e, seq)| e.seq == seq), "dense");
    }

    #[test]
    fn a_machine_is_in_a_set_once() {
        let twice = [event(4, 0, 3, 0, 7), event(4, 0, 3, 1, 7)];
        assert_eq!(entries(&twice, &mut 0), vec![(1, 4, 0, 7, vec![3])]);
    }
}
