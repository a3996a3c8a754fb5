//! How long history is kept. Commands are kept as long as their simulation: with its creation they lead to any tick.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::StoreError;
use crate::lease::{self, Fence, Lease};
use crate::limits::{IDEMPOTENCY_AGE, PRUNE_CHECKPOINTS, PRUNE_ROWS, TRANSACTION_PATIENCE};
use crate::session::{Database, Row, Session, Unfit, Value, bits, ordinal, small, within};

/// What is kept of every simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Newest events of each log.
    pub events: u64,
    /// Newest metric snapshots.
    pub metrics: u64,
    /// Newest digests.
    pub digests: u64,
    /// Cuts: the two newest, and older ones spread evenly over the past; at least 2.
    pub cuts: usize,
    /// How long an idempotency key is kept.
    pub idempotency: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            events: 1_000_000,
            metrics: 20_000,
            digests: 100_000,
            cuts: 16,
            idempotency: IDEMPOTENCY_AGE,
        }
    }
}

/// What a step of retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows that were removed.
    pub rows: u64,
    /// Whether it stopped at a bound, and there may be more.
    pub more: bool,
}

impl Pruned {
    /// Counts rows of a statement that removes so many at most.
    fn count(&mut self, rows: u64, most: u32) {
        self.rows += rows;
        self.more |= rows >= u64::from(most);
    }
}

/// Cuts that are never thinned.
const NEWEST_CUTS: usize = 2;

/// Removes the oldest rows of a table whose rows are known by their tick, but for so many newest ones.
macro_rules! beyond_newest {
    ($table:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE simulation_key = $1 AND tick <= (SELECT tick FROM ",
            $table,
            " WHERE simulation_key = $1 ORDER BY tick DESC LIMIT 1 OFFSET $2) AND tick <= (SELECT max(tick) FROM ( \
             SELECT tick FROM ",
            $table,
            " WHERE simulation_key = $1 ORDER BY tick LIMIT $3) AS oldest)"
        )
    };
}
/// Removes some rows of a table.
macro_rules! some_of {
    ($table:literal, $columns:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE simulation_key = $1 AND (",
            $columns,
            ") IN (SELECT ",
            $columns,
            " FROM ",
            $table,
            " WHERE simulation_key = $1 LIMIT $2)"
        )
    };
}
/// Where the newest rows of a simulation are. Whatever is written of it moves one of these, but what is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    /// Seq of its newest event, by log.
    seq: [u64; 2],
    /// Ticks of its newest digest, snapshot and cut.
    ticks: [Option<u64>; 3],
}

/// A simulation, as retention sees it.
#[derive(Debug)]
struct Simulation {
    key: i64,
    deleted: bool,
    newest: Newest,
}

/// One who removes what is beyond retention, and knows from step to step where there may be something.
#[derive(Debug, Default)]
pub struct Pruner {
    retention: Retention,
    /// Where those stood that had nothing more to remove, by key.
    clean: BTreeMap<i64, Newest>,
    /// Those of which the last step left something.
    left: Vec<Simulation>,
    /// Whether it left idempotency keys.
    keys_left: bool,
}

impl Pruner {
    /// One who knows nothing yet.
    #[must_use]
    pub fn new(retention: Retention) -> Pruner {
        Pruner {
            retention,
            ..Pruner::default()
        }
    }

    /// One step: of what the one before left, or else of whatever was written of since it had nothing more to remove. After
    /// an error the next one looks everywhere it has to.
    pub(crate) async fn step(
        &mut self,
        database: &dyn Database,
        lease: &Lease,
    ) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        let mut due = std::mem::take(&mut self.left);
        let goes_on = !due.is_empty() || self.keys_left;
        if std::mem::take(&mut self.keys_left) || !goes_on {
            let keys = idempotency_keys(database, lease, &self.retention);
            let removed = within(TRANSACTION_PATIENCE, keys).await?;
            pruned.count(removed, PRUNE_ROWS);
            self.keys_left = pruned.more;
        }
        if !goes_on {
            let found = within(TRANSACTION_PATIENCE, simulations(database)).await?;
            self.clean
                .retain(|key, _| found.iter().any(|found| found.key == *key));
            due = found;
            due.retain(|found| found.deleted || self.clean.get(&found.key) != Some(&found.newest));
        }
        for simulation in due {
            let mut of_it = Pruned::default();
            let work = async {
                if simulation.deleted {
                    remains(database, lease, simulation.key, &mut of_it).await
                } else {
                    history(database, lease, &self.retention, &simulation, &mut of_it).await
                }
            };
            match within(TRANSACTION_PATIENCE, work).await {
                // It keeps no other from being pruned.
                Err(error @ StoreError::Unreadable { .. }) => {
                    tracing::warn!(%error, "a simulation is not pruned");
                    continue;
                }
                done => done?,
            }
            pruned.rows += of_it.rows;
            pruned.more |= of_it.more;
            if of_it.more {
                self.left.push(simulation);
            } else {
                self.clean.insert(simulation.key, simulation.newest);
            }
        }
        Ok(pruned)
    }
}

/// Removes old idempotency keys; rows that it removed.
async fn idempotency_keys(
    database: &dyn Database,
    lease: &Lease,
    retention: &Retention,
) -> Result<u64, StoreError> {
    let mut session = database.begin().await?;
    lease::pass(session.as_mut(), lease, Fence::Prune).await?;
    let age_us = i64::try_from(retention.idempotency.as_micros()).unwrap_or(i64::MAX);
    let before_us = session.now_us().await?.saturating_sub(age_us);
    let removed = session
        .execute(
            "DELETE FROM idempotency_keys WHERE (token, route, key) IN ( \
             SELECT token, route, key FROM idempotency_keys WHERE at_us < $1 ORDER BY at_us LIMIT $2)",
            &[Value::Int(before_us), small(PRUNE_ROWS)],
        )
        .await?;
    lease::renew_if_only_writer(session.as_mut(), lease).await?;
    session.commit().await?;
    Ok(removed)
}

/// Every simulation, deleted ones included, and where its newest rows are. Each of these is a look at the end of an index.
async fn simulations(database: &dyn Database) -> Result<Vec<Simulation>, StoreError> {
    let mut session = database.begin().await?;
    let rows = session
        .fetch(
            "SELECT s.simulation_key, CAST(CASE WHEN s.id IS NULL THEN 1 ELSE 0 END AS BIGINT), \
             COALESCE(h.last_sim_seq, 0), COALESCE(h.last_system_seq, 0), \
             (SELECT max(tick) FROM tick_digests d WHERE d.simulation_key = s.simulation_key), \
             (SELECT max(tick) FROM metric_snapshots m WHERE m.simulation_key = s.simulation_key), \
             (SELECT max(tick) FROM cuts c WHERE c.simulation_key = s.simulation_key) \
             FROM simulations s LEFT JOIN heads h ON h.simulation_key = s.simulation_key ORDER BY 1",
            &[],
        )
        .await?;
    session.commit().await?;
    let read = |row: &Row| -> Result<Simulation, Unfit> {
        Ok(Simulation {
            key: row.int(0)?,
            deleted: row.int(1)? != 0,
            newest: Newest {
                seq: [row.bits(2)?, row.bits(3)?],
                ticks: [
                    row.bits_or_null(4)?,
                    row.bits_or_null(5)?,
                    row.bits_or_null(6)?,
                ],
            },
        })
    };
    let mut simulations = Vec::with_capacity(rows.len());
    for row in &rows {
        match read(row) {
            Ok(simulation) => simulations.push(simulation),
            Err(unfit) => {
                let error = unfit.at("simulations", None, row.int(0).unwrap_or(-1));
                tracing::warn!(%error, "a simulation is not pruned");
            }
        }
    }
    Ok(simulations)
}

/// Removes what is beyond retention of one simulation.
async fn history(
    database: &dyn Database,
    lease: &Lease,
    retention: &Retention,
    simulation: &Simulation,
    pruned: &mut Pruned,
) -> Result<(), StoreError> {
    let mut session = database.begin().await?;
    lease::pass(session.as_mut(), lease, Fence::Prune).await?;
    let key = Value::Int(simulation.key);
    for (log, last_seq) in (0..).zip(simulation.newest.seq) {
        // Seqs are dense, so that nothing has to be counted.
        let up_to = last_seq.saturating_sub(retention.events);
        let removed = session
            .execute(
                "DELETE FROM events WHERE simulation_key = $1 AND log = $2 AND seq <= $3 AND seq < $4 + \
                 (SELECT min(seq) FROM events WHERE simulation_key = $1 AND log = $2)",
                &[key.clone(), Value::Int(log), ordinal(up_to), small(PRUNE_ROWS)],
            )
            .await?;
        pruned.count(removed, PRUNE_ROWS);
    }
    for (sql, keep) in [
        (beyond_newest!("tick_digests"), retention.digests),
        (beyond_newest!("metric_snapshots"), retention.metrics),
    ] {
        let removed = session
            .execute(sql, &[key.clone(), ordinal(keep), small(PRUNE_ROWS)])
            .await?;
        pruned.count(removed, PRUNE_ROWS);
    }
    cuts(session.as_mut(), simulation.key, retention.cuts, pruned).await?;
    lease::renew_if_only_writer(session.as_mut(), lease).await?;
    session.commit().await
}

/// Removes cuts that are too many, manifest first.
async fn cuts(
    session: &mut dyn Session,
    key: i64,
    most: usize,
    pruned: &mut Pruned,
) -> Result<(), StoreError> {
    let rows = session
        .fetch(
            "SELECT tick FROM cuts WHERE simulation_key = $1 ORDER BY tick",
            &[Value::Int(key)],
        )
        .await?;
    let ticks = rows
        .iter()
        .map(|row| row.bits(0))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|unfit| unfit.at("cuts", None, key))?;
    for tick in surplus(&ticks, most) {
        for sql in [
            "DELETE FROM cuts WHERE simulation_key = $1 AND tick = $2",
            "DELETE FROM checkpoints WHERE simulation_key = $1 AND tick = $2",
        ] {
            pruned.rows += session.execute(sql, &[Value::Int(key), bits(tick)]).await?;
        }
    }
    Ok(())
}

/// Which of some cuts, by tick, to remove so that at most so many are left: each time the one whose neighbours,
/// creation being the first, are nearest to each other. Never one of the two newest.
fn surplus(ticks: &[u64], most: usize) -> Vec<u64> {
    let most = most.max(NEWEST_CUTS);
    let mut kept = ticks.to_vec();
    let mut removed = Vec::new();
    while kept.len() > most {
        let before = std::iter::once(0).chain(kept.iter().copied());
        let nearest = before
            .zip(kept.iter().skip(1))
            .take(kept.len() - NEWEST_CUTS)
            .enumerate()
            .min_by_key(|(_, (before, after))| *after - before)
            .map(|(at, _)| at)
            .expect("more cuts than are never removed");
        removed.push(kept.remove(nearest));
    }
    removed
}

/// What a deleted simulation leaves, table by table, and what tells one row from another there.
const REMAINS: [(&str, u32); 9] = [
    (some_of!("events", "log, seq"), PRUNE_ROWS),
    (some_of!("entities", "entity"), PRUNE_ROWS),
    (some_of!("commands", "seq"), PRUNE_ROWS),
    (some_of!("tick_digests", "tick"), PRUNE_ROWS),
    (some_of!("metric_snapshots", "tick"), PRUNE_ROWS),
    (some_of!("cuts", "tick"), PRUNE_ROWS),
    (
        some_of!("checkpoints", "tick, partition"),
        PRUNE_CHECKPOINTS,
    ),
    (some_of!("epochs", "epoch"), PRUNE_ROWS),
    (some_of!("heads", "simulation_key"), PRUNE_ROWS),
];

/// Removes some of what a deleted simulation leaves, and at last itself.
async fn remains(
    database: &dyn Database,
    lease: &Lease,
    key: i64,
    pruned: &mut Pruned,
) -> Result<(), StoreError> {
    let mut session = database.begin().await?;
    // With the fence of those who append: what they wrote is there to be removed, and as the simulation has
    // no id any more, they write nothing further under its key.
    lease::pass(session.as_mut(), lease, Fence::Append).await?;
    let mut left = false;
    for (sql, most) in REMAINS {
        let removed = session
            .execute(sql, &[Value::Int(key), small(most)])
            .await?;
        pruned.count(removed, most);
        left |= removed >= u64::from(most);
    }
    if !left {
        pruned.rows += session
            .execute(
                "DELETE FROM simulations WHERE simulation_key = $1",
                &[Value::Int(key)],
            )
            .await?;
    }
    lease::renew_if_only_writer(session.as_mut(), lease).await?;
    session.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_thinned_evenly_and_the_newest_stay() {
        let ticks: Vec<u64> = (1..=9).map(|n| n * 100).collect();
        let removed = surplus(&ticks, 5);
        let kept: Vec<u64> = ticks
            .iter()
            .copied()
            .filter(|t| !removed.contains(t))
            .collect();
        assert_eq!(kept, [200, 400, 600, 800, 900]);
        assert_eq!(surplus(&ticks, 0).len(), 7);
        assert_eq!(surplus(&ticks, 9), [0; 0]);
        assert_eq!(surplus(&[5], 1), [0; 0]);
    }

    #[test]
    fn thinning_as_cuts_come_keeps_the_past_covered() {
        let mut kept: Vec<u64> = Vec::new();
        for n in 1..=1_000 {
            kept.push(n * 10);
            let removed = surplus(&kept, 16);
            kept.retain(|tick| !removed.contains(tick));
        }
        assert_eq!(kept.len(), 16);
        assert_eq!(kept[14..], [9_990, 10_000]);
        let gaps = std::iter::once(0).chain(kept.iter().copied()).zip(&kept);
        let widest = gaps.map(|(before, after)| after - before).max();
        assert!(widest < Some(2 * 10_000 / 14), "{kept:?}");
    }
}
