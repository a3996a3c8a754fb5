//! Merging what the partitions report, by partition index: never by arrival.

use kernel::aggregate::Aggregate;
use kernel::event::Event;
use transport::message::{Mail, TickDigest};

/// What one partition reported for a window.
///
/// It is moved from its frame to what is published and cannot be copied on the way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionReport {
    /// Sums at the last tick.
    pub(crate) aggregate: Aggregate,
    /// Its shares of the digests that were due or wanted, in order of ticks.
    pub(crate) digests: Vec<TickDigest>,
    /// Its events, in order.
    pub(crate) events: Vec<Event>,
    /// Its messages to other parts.
    pub(crate) mail: Vec<Mail>,
}

/// What the whole simulation reports for a window.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Sums over all partitions.
    pub(crate) aggregate: Aggregate,
    /// Digests of the whole.
    pub(crate) digests: Vec<TickDigest>,
    /// All events by (tick, site, entity, ordinal).
    pub(crate) events: Vec<Event>,
    /// All messages, by the index of the partition that emitted them.
    pub(crate) mail: Vec<Mail>,
}

/// Merges the reports, which stand in the order of partition indices.
///
/// # Panics
/// If two reports name different ticks of digests: each was checked against the window before.
#[must_use]
pub(crate) fn merge(reports: impl IntoIterator<Item = PartitionReport>) -> Merged {
    let mut merged = Merged::default();
    let mut sorted = true;
    for (index, report) in reports.into_iter().enumerate() {
        merged.aggregate.merge(&report.aggregate);
        if index == 0 {
            merged.digests = report.digests;
            merged.events = report.events;
            merged.mail = report.mail;
            continue;
        }
        add_digests(&mut merged.digests, &report.digests);
        sorted &= match (merged.events.last(), report.events.first()) {
            (Some(last), Some(first)) => last <= first,
            _ => true,
        };
        merged.events.extend(report.events);
        merged.mail.extend(report.mail);
    }
    // Whole sites come in order already; parts of one site interleave.
    if !sorted {
        merged.events.sort_unstable();
    }
    merged
}

fn add_digests(sums: &mut [TickDigest], shares: &[TickDigest]) {
    assert_eq!(sums.len(), shares.len(), "reports of different windows");
    for (sum, share) in sums.iter_mut().zip(shares) {
        assert_eq!(sum.tick, share.tick, "reports of different windows");
        sum.digest = sum.digest.wrapping_add(share.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tick: u64, site: u32, entity: u32) -> Event {
        Event {
            tick,
            site,
            entity,
            ordinal: 0,
            kind: 1,
            detail: 0,
            reason: 0,
        }
    }

    fn report(rows: u64, digest: u64, events: Vec<Event>) -> PartitionReport {
        PartitionReport {
            aggregate: Aggregate {
                rows,
                ..Aggregate::default()
            },
            digests: vec![TickDigest { tick: 5, digest }],
            events,
            mail: Vec::new(),
        }
    }

    #[test]
    fn sums_and_digests_wrap_around() {
        let merged = merge(vec![report(2, u64::MAX, vec![]), report(3, 2, vec![])]);
        assert_eq!(merged.aggregate.rows, 5);
        assert_eq!(merged.digests, vec![TickDigest { tick: 5, digest: 1 }]);
    }

    #[test]
    fn events_of_a_cut_site_interleave_by_machine() {
        let a = vec![event(4, 0, 1), event(5, 0, 3)];
        let b = vec![event(4, 0, 2), event(5, 0, 4)];
        let merged = merge(vec![report(1, 0, a), report(1, 0, b)]);
        let order: Vec<_> = merged.events.iter().map(|e| (e.tick, e.entity)).collect();
        assert_eq!(order, vec![(4, 1), (4, 2), (5, 3), (5, 4)]);
    }

    #[test]
    fn nothing_reported_is_nothing() {
        assert_eq!(merge(Vec::new()), Merged::default());
    }
}
