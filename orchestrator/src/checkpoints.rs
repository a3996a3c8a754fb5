//! How far apart checkpoints are, and when a partition is asked for one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::context::Context;
use crate::control::WorkerId;
use crate::limits::{
    CHECKPOINT_PATIENCE, MAX_CHECKPOINT_TICKS, MIN_CHECKPOINT_TICKS, REPLAY_BUDGET,
};
use crate::simulation::Simulation;

impl Simulation {
    /// Chooses how far apart checkpoints are: so near that what the worker with the most to do would
    /// lose is replayed by the others within the budget.
    pub(crate) fn choose_checkpoint_ticks(&mut self, ctx: &Context<'_>) {
        let mut load_ns: BTreeMap<WorkerId, f64> = BTreeMap::new();
        for p in &self.partitions {
            let (Some(owner), Some(step_ns)) = (p.owner, p.step_ns) else {
                return;
            };
            *load_ns.entry(owner).or_default() += step_ns;
        }
        let threads: u32 = ctx.registry.ready().map(|w| w.threads).sum();
        let slowest = load_ns
            .iter()
            .map(|(worker, ns)| {
                let own = ctx.registry.get(*worker).map_or(0, |w| w.threads);
                let others = threads.saturating_sub(own).max(1);
                ns / f64::from(others)
            })
            .fold(1.0, f64::max);
        let ticks = (REPLAY_BUDGET.as_nanos() as f64 / slowest) as u64;
        let ticks = ticks.clamp(MIN_CHECKPOINT_TICKS, MAX_CHECKPOINT_TICKS);
        // Phases are of use only while the interval stays: it grows where that is worth it.
        if ticks < self.checkpoint_ticks || ticks / 3 >= self.checkpoint_ticks / 2 {
            self.checkpoint_ticks = ticks;
        }
    }

    /// Whether a checkpoint of partition `p` shall be asked for in a window that ends with `last`;
    /// notes that it was.
    pub(crate) fn ask_checkpoint(&mut self, p: usize, last: u64, now: Duration) -> bool {
        let (interval, count) = (self.checkpoint_ticks, self.partitions.len() as u64);
        let state = &mut self.partitions[p];
        let awaited = state.asked.is_some_and(|(_, until)| until > now);
        let lost = state.asked.is_some() && !awaited;
        let moves = matches!(state.moving, Some((_, None)));
        let due = state.checkpoint_at <= last || state.history.is_heavy() || state.is_far(last);
        let is_cut = self.window.as_ref().is_some_and(|w| w.is_cut);
        if last == 0 || !(is_cut || moves || lost || (due && !awaited)) {
            return false;
        }
        if let Some((_, since)) = &mut state.moving {
            *since = Some(last);
        }
        state.asked = Some((last, now + CHECKPOINT_PATIENCE));
        state.checkpoint_at = next_checkpoint(last, interval, p as u64, count);
        true
    }
}

/// The first tick after `last` in which a checkpoint of partition `p` of `count` is due: one an
/// interval each, in phases spread evenly over it, so that they never come all at once.
pub(crate) fn next_checkpoint(last: u64, interval: u64, p: u64, count: u64) -> u64 {
    let phase = p * interval / count.max(1);
    // The next number after `last` that is `phase` more than a multiple of the interval.
    last + interval - (last + interval - phase) % interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_an_interval_apart_each_and_evenly_spread() {
        for (interval, count) in [(64, 4), (16, 100), (1_000, 7)] {
            for p in 0..count {
                let first = next_checkpoint(0, interval, p, count);
                assert!((1..=interval).contains(&first));
                assert_eq!(first % interval, p * interval / count);
                assert_eq!(next_checkpoint(first, interval, p, count), first + interval);
            }
            // Whatever lined them up, the next ones are spread again, and none is late.
            let next: Vec<u64> = (0..count)
                .map(|p| next_checkpoint(12_345, interval, p, count))
                .collect();
            assert!(
                next.iter()
                    .all(|at| (1..=interval).contains(&(at - 12_345)))
            );
            let at_once = |at: &&u64| next.iter().filter(|other| other == at).count() as u64;
            assert!(next.iter().map(|at| at_once(&at)).max().unwrap() <= count.div_ceil(interval));
        }
    }
}
