//! What was received and should not have been: which check says so, where, and what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use serde::Serialize;

/// Violations that are told in full; the others are counted.
const MAX_KEPT: usize = 100;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// Ticks of an epoch come in order, and none comes twice.
    TickOrder,
    /// An epoch is never older than one that a client has seen.
    EpochOrder,
    /// Every frame that a client is not sent is told by a `lagged`.
    MissingTick,
    /// Events of a log follow each other without a gap.
    EventGap,
    /// A tick has as many machines as it says, or as was asked for.
    EntityCount,
    /// `entities_total` is the simulation's number of machines.
    EntitiesTotal,
    /// No machine is there twice, and none lies outside of the bounds asked for.
    Entities,
    /// Sums over machines count each once.
    Aggregates,
    /// Two clients are told the same of the same tick.
    Agreement,
    /// A digest in the stream is the one `GET /digests` has.
    Digest,
    /// A message or an answer is what the documentation says.
    Malformed,
    /// A request is answered with success, or refused for want of capacity.
    Status,
    /// A command has a place of its own, and a repetition of it the same one.
    CommandStamp,
}

impl Check {
    /// As the report spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Check::TickOrder => "tick_order",
            Check::EpochOrder => "epoch_order",
            Check::MissingTick => "missing_tick",
            Check::EventGap => "event_gap",
            Check::EntityCount => "entity_count",
            Check::EntitiesTotal => "entities_total",
            Check::Entities => "entities",
            Check::Aggregates => "aggregates",
            Check::Agreement => "agreement",
            Check::Digest => "digest",
            Check::Malformed => "malformed",
            Check::Status => "status",
            Check::CommandStamp => "command_stamp",
        }
    }
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// By which check.
    pub(crate) check: Check,
    /// Client or route, and simulation.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) detail: String,
}

/// A finding of a check that does not know where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// By which check.
    pub(crate) check: Check,
    /// What is wrong.
    pub(crate) detail: String,
}

/// A finding.
pub(crate) fn finding(check: Check, detail: impl Into<String>) -> Finding {
    let detail = detail.into();
    Finding { check, detail }
}

/// All that was found, by every thread.
#[derive(Debug, Default)]
pub(crate) struct Violations(Mutex<Found>);

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Found {
    /// How often, by check.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// The first of them.
    pub(crate) first: Vec<Violation>,
}

impl Violations {
    /// Keeps one, or counts it where there are many.
    pub(crate) fn add(&self, place: impl FnOnce() -> String, finding: Finding) {
        let mut found = self.0.lock().expect("nobody panics with it");
        *found.counts.entry(finding.check.name()).or_default() += 1;
        if found.first.len() < MAX_KEPT {
            found.first.push(Violation {
                check: finding.check,
                place: place(),
                detail: finding.detail,
            });
        }
    }

    /// All so far.
    pub(crate) fn found(&self) -> Found {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

impl Found {
    /// How many in all.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check.name(), self.place, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_and_the_first_kept() {
        let violations = Violations::default();
        for n in 0..MAX_KEPT + 5 {
            let what = finding(Check::EventGap, format!("event {n}"));
            violations.add(|| "client 1".to_owned(), what);
        }
        let found = violations.found();
        assert_eq!(found.first.len(), MAX_KEPT);
        assert_eq!(found.total(), MAX_KEPT as u64 + 5);
        assert_eq!(found.first[0].to_string(), "event_gap: client 1: event 0");
    }
}
