//! The log `sim` as it should be, of the events of the undisturbed run: written apart from the
//! orchestrator's, by sorting.

use std::collections::BTreeMap;

use kernel::event::Event;
use transport::control::{Log, LogEvent};

/// The entries of some whole ticks' events, numbered after `last_seq`.
pub(crate) fn entries(events: &[Event], last_seq: u64) -> Vec<LogEvent> {
    let mut sets: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for e in events {
        let cause = (e.tick, e.site, e.kind, e.detail, e.reason);
        sets.entry(cause).or_default().push(e);
    }
    let mut sets: Vec<Vec<&Event>> = sets.into_values().collect();
    for set in &mut sets {
        set.sort();
    }
    sets.sort_by_key(|set| *set[0]);
    let numbered = (last_seq + 1..).zip(sets);
    numbered.map(|(seq, set)| entry(seq, &set)).collect()
}

fn entry(seq: u64, set: &[&Event]) -> LogEvent {
    let mut entities: Vec<u32> = set.iter().map(|e| e.entity).collect();
    entities.dedup();
    LogEvent {
        seq,
        log: Log::Sim,
        tick: set[0].tick,
        kind: set[0].kind,
        site: set[0].site,
        detail: set[0].detail,
        reason: set[0].reason,
        entities,
        text: String::new(),
    }
}
