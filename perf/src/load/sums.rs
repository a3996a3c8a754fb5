//! Sums over a simulation as JSON has them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kernel::aggregate::{Aggregate, CHARGE_BUCKETS, Counters};
use kernel::rows::State;
use serde::Deserialize;

/// The exact sums of the object `aggregates`; the means are not read.
#[derive(Debug, Deserialize)]
pub(crate) struct Sums<'a> {
    machines: u64,
    #[serde(borrow)]
    by_state: BTreeMap<Cow<'a, str>, u64>,
    by_charge: [u64; CHARGE_BUCKETS],
    charge_sum: i64,
    speed_sum_mm_per_s: i64,
    #[serde(borrow)]
    counters: BTreeMap<Cow<'a, str>, u64>,
}

impl Sums<'_> {
    /// The same in the kernel's terms; a name that is not there counts 0.
    pub(crate) fn aggregate(&self) -> Aggregate {
        let count = |name: &str| self.counters.get(name).copied().unwrap_or(0);
        let of_state = |state: State| self.by_state.get(state.name()).copied().unwrap_or(0);
        Aggregate {
            rows: self.machines,
            by_state: State::ALL.map(of_state),
            by_charge: self.by_charge,
            charge_sum: self.charge_sum,
            speed_sum_mm_per_s: self.speed_sum_mm_per_s,
            counters: Counters {
                turns: count("turns"),
                swaths: count("swaths"),
                charger_waits: count("charger_waits"),
                charges: count("charges"),
                denied_grants: count("denied_grants"),
                faults: count("faults"),
                repairs: count("repairs"),
                commands: count("commands"),
                rejected_commands: count("rejected_commands"),
                stand_offs: count("stand_offs"),
                separation_violations: count("separation_violations"),
                ghosts: count("ghosts"),
                ghost_bytes: count("ghost_bytes"),
            },
        }
    }
}

/// Sums of so many machines that work, for tests.
#[cfg(test)]
pub(crate) fn json(machines: u64) -> serde_json::Value {
    serde_json::json!({
        "machines": machines,
        "by_state": {"idle": 0, "working": machines},
        "by_charge": [0, 0, 0, 0, 0, 0, 0, 0, 0, machines],
        "battery_mean_percent": 95.0,
        "charge_sum": -7,
        "speed_sum_mm_per_s": 12,
        "counters": {"turns": 5, "ghost_bytes": 6},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_is_read_by_its_name() {
        let text = json(3).to_string();
        let sums: Sums<'_> = serde_json::from_str(&text).unwrap();
        let aggregate = sums.aggregate();
        assert_eq!((aggregate.rows, aggregate.by_charge[9]), (3, 3));
        assert_eq!(aggregate.by_state[State::Working as usize], 3);
        assert_eq!(
            (aggregate.charge_sum, aggregate.speed_sum_mm_per_s),
            (-7, 12)
        );
        assert_eq!(
            (aggregate.counters.turns, aggregate.counters.ghost_bytes),
            (5, 6)
        );
    }
}
