//! Which worker gets which partition: pure functions of loads and capacities. The same inputs give
//! the same answer; ties go to the lower id and index.

use crate::control::WorkerId;

/// What a worker can take and what it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Which.
    pub worker: WorkerId,
    /// Row-steps a second it was measured to do, or a guess in proportion to its threads.
    pub weight: f64,
    /// Rows it has already.
    pub rows: u64,
}

/// A partition to be placed or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load<K> {
    /// Names it to the caller.
    pub key: K,
    /// Its rows.
    pub rows: u64,
    /// Who has it.
    pub owner: WorkerId,
}

/// Gives each partition, by its rows, to the worker that would be done with everything first.
/// Larger ones are placed first, so the small ones even out. The answer stands in the order of
/// `rows`; it is `None` only where `workers` is empty.
#[must_use]
pub fn assign(rows: &[u64], workers: &[Capacity]) -> Option<Vec<WorkerId>> {
    let mut workers = workers.to_vec();
    workers.sort_by_key(|w| w.worker);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(rows[i]), i));
    let mut owners = vec![WorkerId(0); rows.len()];
    for i in order {
        let best = argmin(&workers, |w| busy(w, rows[i]))?;
        workers[best].rows += rows[i];
        owners[i] = workers[best].worker;
    }
    (!workers.is_empty()).then_some(owners)
}

/// Whether the busiest worker is busier than the average by more than a share of `tolerated`.
#[must_use]
pub fn is_uneven(workers: &[Capacity], tolerated: f64) -> bool {
    let rows: u64 = workers.iter().map(|w| w.rows).sum();
    let weight: f64 = workers.iter().map(|w| w.weight).sum();
    let even = rows as f64 / weight.max(f64::MIN_POSITIVE);
    workers
        .iter()
        .any(|w| busy(w, 0) > even * (1.0 + tolerated))
}

/// Moves, at most `max`, that make the busiest worker less busy by at least a `gain` share each.
/// A partition moves at most once.
#[must_use]
pub fn rebalance<K: Copy>(
    partitions: &[Load<K>],
    workers: &[Capacity],
    gain: f64,
    max: usize,
) -> Vec<(K, WorkerId)> {
    let mut workers = workers.to_vec();
    workers.sort_by_key(|w| w.worker);
    let mut owners: Vec<Option<WorkerId>> = partitions.iter().map(|p| Some(p.owner)).collect();
    let mut moves = Vec::new();
    while moves.len() < max {
        let Some((from, to)) = extremes(&workers) else {
            break;
        };
        let before = busy(&workers[from], 0);
        // The partition whose move leaves the pair most even.
        let candidate = (0..partitions.len())
            .filter(|&i| owners[i] == Some(workers[from].worker))
            .map(|i| {
                (
                    after_move(&workers[from], &workers[to], partitions[i].rows),
                    i,
                )
            })
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some((after, i)) = candidate else { break };
        if after > before * (1.0 - gain) {
            break;
        }
        workers[from].rows -= partitions[i].rows;
        workers[to].rows += partitions[i].rows;
        owners[i] = None;
        moves.push((partitions[i].key, workers[to].worker));
    }
    moves
}

/// The busier of two workers once `rows` have moved from one to the other.
fn after_move(from: &Capacity, to: &Capacity, rows: u64) -> f64 {
    let left = from.rows.saturating_sub(rows) as f64 / from.weight.max(f64::MIN_POSITIVE);
    left.max(busy(to, rows))
}

/// Time the worker needs for what it has and `more` rows, in arbitrary units.
fn busy(worker: &Capacity, more: u64) -> f64 {
    (worker.rows + more) as f64 / worker.weight.max(f64::MIN_POSITIVE)
}

/// The busiest worker, and the one that is least busy.
fn extremes(workers: &[Capacity]) -> Option<(usize, usize)> {
    let most = argmin(workers, |w| -busy(w, 0))?;
    let least = argmin(workers, |w| busy(w, 0))?;
    (most != least).then_some((most, least))
}

fn argmin(workers: &[Capacity], key: impl Fn(&Capacity) -> f64) -> Option<usize> {
    (0..workers.len()).min_by(|&a, &b| key(&workers[a]).total_cmp(&key(&workers[b])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: u32, weight: f64, rows: u64) -> Capacity {
        Capacity {
            worker: WorkerId(id),
            weight,
            rows,
        }
    }

    fn rows_of(owners: &[WorkerId], rows: &[u64], id: u32) -> u64 {
        owners
            .iter()
            .zip(rows)
            .filter(|(o, _)| **o == WorkerId(id))
            .map(|(_, n)| n)
            .sum()
    }

    #[test]
    fn shares_follow_the_weights() {
        let rows = vec![100; 40];
        let owners = assign(&rows, &[worker(1, 1.0, 0), worker(2, 3.0, 0)]).unwrap();
        assert_eq!(rows_of(&owners, &rows, 1), 1_000);
        assert_eq!(rows_of(&owners, &rows, 2), 3_000);
    }

    #[test]
    fn what_a_worker_has_already_counts() {
        let owners = assign(&[100; 4], &[worker(1, 1.0, 400), worker(2, 1.0, 0)]).unwrap();
        assert_eq!(owners, vec![WorkerId(2); 4]);
    }

    #[test]
    fn no_worker_no_placement() {
        assert_eq!(assign(&[5], &[]), None);
    }

    #[test]
    fn the_order_of_workers_changes_nothing() {
        let (a, b) = (worker(1, 2.0, 0), worker(2, 2.0, 0));
        let rows = [7, 5, 5, 3, 1];
        assert_eq!(assign(&rows, &[a, b]), assign(&rows, &[b, a]));
    }

    fn loads(owners: &[u32]) -> Vec<Load<usize>> {
        owners
            .iter()
            .enumerate()
            .map(|(key, &id)| Load {
                key,
                rows: 100,
                owner: WorkerId(id),
            })
            .collect()
    }

    #[test]
    fn a_newcomer_gets_its_share() {
        let moves = rebalance(
            &loads(&[1; 8]),
            &[worker(1, 1.0, 800), worker(2, 1.0, 0)],
            0.05,
            64,
        );
        assert_eq!(moves.len(), 4);
        assert!(moves.iter().all(|(_, to)| *to == WorkerId(2)));
    }

    #[test]
    fn even_loads_stay_where_they_are() {
        let workers = [worker(1, 1.0, 400), worker(2, 1.1, 400)];
        let moves = rebalance(&loads(&[1, 1, 1, 1, 2, 2, 2, 2]), &workers, 0.05, 64);
        assert!(moves.is_empty(), "{moves:?}");
    }

    #[test]
    fn moves_are_bounded() {
        let workers = [worker(1, 1.0, 1_600), worker(2, 1.0, 0)];
        assert_eq!(rebalance(&loads(&[1; 16]), &workers, 0.05, 3).len(), 3);
    }
}
