//! What a partition says of itself each tick: integer sums, so that adding them up in any order
//! and over any cut gives the same figures.

use rkyv::{Archive, Deserialize, Serialize};

/// Number of machine states, [`crate::rows::State`].
pub const STATES: usize = 10;
/// Buckets of the charge histogram, a tenth of full charge each.
pub const CHARGE_BUCKETS: usize = 10;

/// Sums over the rows of a partition, or of a simulation when merged.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// Machines.
    pub rows: u64,
    /// Machines in each state.
    pub by_state: [u64; STATES],
    /// Machines by charge, 0-10 % first.
    pub by_charge: [u64; CHARGE_BUCKETS],
    /// Sum of charge, 2^-30 of full.
    pub charge_sum: i64,
    /// Sum of speed, mm/s.
    pub speed_sum_mm_per_s: i64,
    /// What has happened since creation.
    pub counters: Counters,
}

/// What has happened since creation. Part of a partition's state, so a replay counts nothing twice.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns completed at a headland.
    pub turns: u64,
    /// Swaths completed.
    pub swaths: u64,
    /// Times a machine had to queue for a charger.
    pub charger_waits: u64,
    /// Charges completed.
    pub charges: u64,
    /// Requests for a way that were answered with hold.
    pub denied_grants: u64,
    /// Faults, drawn and injected.
    pub faults: u64,
    /// Repairs completed.
    pub repairs: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Commands that could not be carried out.
    pub rejected_commands: u64,
    /// Times a machine has stood before another for too long.
    pub stand_offs: u64,
    /// Pairs of machines closer than their bodies allow, once a tick.
    pub separation_violations: u64,
    /// Ghost rows sent to other parts. Depends on the cut; never part of a digest.
    pub ghosts: u64,
    /// Bytes of ghosts sent. Depends on the cut.
    pub ghost_bytes: u64,
}

impl Aggregate {
    /// Adds another partition's sums.
    pub fn merge(&mut self, other: &Aggregate) {
        self.rows += other.rows;
        for (sum, n) in self.by_state.iter_mut().zip(other.by_state) {
            *sum += n;
        }
        for (sum, n) in self.by_charge.iter_mut().zip(other.by_charge) {
            *sum += n;
        }
        self.charge_sum += other.charge_sum;
        self.speed_sum_mm_per_s += other.speed_sum_mm_per_s;
        self.counters.merge(&other.counters);
    }
}

impl Counters {
    /// Whether no count is near its end.
    #[must_use]
    pub(crate) fn can_count(&self) -> bool {
        [
            self.turns,
            self.swaths,
            self.charger_waits,
            self.charges,
            self.denied_grants,
            self.faults,
            self.repairs,
            self.commands,
            self.rejected_commands,
            self.stand_offs,
            self.separation_violations,
            self.ghosts,
            self.ghost_bytes,
        ]
        .iter()
        .all(|count| *count < 1 << 60)
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: &Counters) {
        self.turns += other.turns;
        self.swaths += other.swaths;
        self.charger_waits += other.charger_waits;
        self.charges += other.charges;
        self.denied_grants += other.denied_grants;
        self.faults += other.faults;
        self.repairs += other.repairs;
        self.commands += other.commands;
        self.rejected_commands += other.rejected_commands;
        self.stand_offs += other.stand_offs;
        self.separation_violations += other.separation_violations;
        self.ghosts += other.ghosts;
        self.ghost_bytes += other.ghost_bytes;
    }
}
