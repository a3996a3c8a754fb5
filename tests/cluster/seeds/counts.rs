//! What happened, over all seeds: a run in which nothing went wrong proves little.

use kernel::aggregate::Counters;
use orchestrator::snapshot::{Totals, Verified};

/// What happened in one seed, or in several.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) seeds: u64,
    pub(crate) simulations: u64,
    /// Virtual time, s.
    pub(crate) virtual_s: u64,
    /// What the orchestrator counted.
    pub(crate) totals: Totals,
    pub(crate) verified: Verified,
    pub(crate) lost_workers: u64,
    /// What the machines did.
    pub(crate) farm: Counters,
    /// What was done to the cluster.
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) slowed: u64,
    pub(crate) cuts: u64,
    pub(crate) parted: u64,
    pub(crate) joins: u64,
    pub(crate) drains: u64,
    pub(crate) stalls: u64,
    /// What was seen of it.
    pub(crate) suspicions: u64,
    pub(crate) rebalances: u64,
    pub(crate) no_worker: u64,
    pub(crate) late_answers: u64,
    pub(crate) drained: u64,
    /// Windows of several ticks.
    pub(crate) windows: u64,
    /// What was asked of the runs.
    pub(crate) commands: u64,
    pub(crate) pauses: u64,
    pub(crate) steps: u64,
    pub(crate) speeds: u64,
    pub(crate) ends: u64,
    pub(crate) deletions: u64,
    /// Longest time from the last fault to the end of a run, ms.
    pub(crate) longest_recovery_ms: u64,
    /// Most bytes of inputs kept for replays.
    pub(crate) most_replay_bytes: u64,
    /// Bytes of checkpoints that the workers wrote.
    pub(crate) checkpoint_bytes: u64,
    /// Most bytes of checkpoints that the orchestrator kept.
    pub(crate) most_checkpoint_bytes: u64,
    /// Most bytes of buffers for the workers' frames.
    pub(crate) most_frame_bytes: u64,
}

impl Counts {
    /// Adds another seed's.
    pub(crate) fn merge(&mut self, other: &Counts) {
        let mut copy = *other;
        self.totals.merge(&other.totals);
        self.farm.merge(&other.farm);
        self.verified.agreed += other.verified.agreed;
        self.verified.mismatches += other.verified.mismatches;
        self.verified.skipped += other.verified.skipped;
        for (sum, n) in self.sums().into_iter().zip(copy.sums()) {
            *sum += *n;
        }
        for (most, n) in self.maxima().into_iter().zip(copy.maxima()) {
            *most = (*most).max(*n);
        }
    }

    fn sums(&mut self) -> [&mut u64; 25] {
        [
            &mut self.seeds,
            &mut self.simulations,
            &mut self.virtual_s,
            &mut self.lost_workers,
            &mut self.kills,
            &mut self.stops,
            &mut self.slowed,
            &mut self.cuts,
            &mut self.parted,
            &mut self.joins,
            &mut self.drains,
            &mut self.stalls,
            &mut self.suspicions,
            &mut self.rebalances,
            &mut self.no_worker,
            &mut self.late_answers,
            &mut self.drained,
            &mut self.commands,
            &mut self.pauses,
            &mut self.steps,
            &mut self.speeds,
            &mut self.ends,
            &mut self.windows,
            &mut self.deletions,
            &mut self.checkpoint_bytes,
        ]
    }

    fn maxima(&mut self) -> [&mut u64; 4] {
        [
            &mut self.longest_recovery_ms,
            &mut self.most_replay_bytes,
            &mut self.most_checkpoint_bytes,
            &mut self.most_frame_bytes,
        ]
    }

    /// Panics if one of the things that the seeds are there for did not happen.
    pub(crate) fn assert_all_happened(&self) {
        for (what, count) in [
            ("replays", self.totals.replays),
            ("replayed ticks", self.totals.replayed_ticks),
            ("suspicions", self.suspicions),
            ("late answers dropped", self.totals.stale_results),
            ("repeated answers dropped", self.totals.duplicate_results),
            ("verifications", self.verified.agreed),
            ("rebalances", self.rebalances),
            ("runs without a worker", self.no_worker),
            ("workers drained", self.drained),
            ("commands", self.farm.commands),
            ("rejected commands", self.farm.rejected_commands),
            ("ghosts", self.farm.ghosts),
            ("charger waits", self.farm.charger_waits),
            ("turns", self.farm.turns),
            ("faults", self.farm.faults),
            ("repairs", self.farm.repairs),
            ("stand-offs", self.farm.stand_offs),
            ("kills", self.kills),
            ("stops", self.stops),
            ("slowed", self.slowed),
            ("cuts", self.cuts),
            ("partitions of the network", self.parted),
            ("joins", self.joins),
            ("drains", self.drains),
            ("stalls of the orchestrator", self.stalls),
            ("pauses", self.pauses),
            ("steps", self.steps),
            ("changes of speed", self.speeds),
            ("runs stopped", self.ends),
            ("runs deleted", self.deletions),
            ("checkpoints", self.checkpoint_bytes),
            ("views", self.totals.views),
            ("windows of several ticks", self.windows),
        ] {
            assert!(count > 0, "{what} did not happen in {self:#?}");
        }
    }
}
