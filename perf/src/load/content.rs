//! What a tick holds, beside what was asked for and beside what other clients are told of it. No I/O.

use std::collections::BTreeMap;

use kernel::aggregate::Aggregate;

use crate::load::message::{Machine, Tick};
use crate::load::violation::{Check, Finding, finding};

/// Ticks of one simulation whose sums are kept to be compared; the oldest give way.
const MAX_HELD_TICKS: usize = 4_096;
/// Digests of one simulation that are kept until they are compared with the database's.
const MAX_HELD_DIGESTS: usize = 100_000;
/// Side of the smallest tile that bounds snap to, m.
const MIN_TILE_M: f64 = 16.0;
/// What of a position is lost on the way, m.
const POSITION_SLACK_M: f64 = 1.0;

/// What a client has asked for, of which simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// Machines of the simulation.
    pub(crate) entities: u64,
    /// Machines of a tick at most.
    pub(crate) max_entities: u64,
    /// West, south, east and north edge, m; `None` for the world.
    pub(crate) bounds_m: Option<[f64; 4]>,
    /// Whether only machines inside come; else whole blocks of machines that touch the bounds do.
    pub(crate) exact: bool,
}

/// Everything wrong with what a tick holds.
pub(crate) fn check(tick: &Tick, wanted: &Wanted) -> Vec<Finding> {
    let mut found = Vec::new();
    if tick.entities_total != wanted.entities {
        let (said, is) = (tick.entities_total, wanted.entities);
        let what = format!("tick {}: {said} machines in all, not {is}", tick.tick);
        found.push(finding(Check::EntitiesTotal, what));
    }
    found.extend(
        tick.shown
            .and_then(|shown| check_count(tick, shown, wanted)),
    );
    found.extend(
        tick.aggregate
            .as_ref()
            .and_then(|a| check_sums(tick, a, wanted)),
    );
    if let Some(machines) = &tick.machines {
        found.extend(check_machines(tick.tick, machines, wanted));
    }
    found
}

fn check_count(tick: &Tick, shown: u64, wanted: &Wanted) -> Option<Finding> {
    let most = wanted.max_entities.min(wanted.entities);
    let is_right = match wanted.bounds_m {
        None => shown == most,
        Some(_) => shown <= most,
    };
    let listed = tick.machines.as_ref().map(|m| m.len() as u64);
    if is_right && listed.is_none_or(|listed| listed == shown) {
        return None;
    }
    let what = format!(
        "tick {}: {shown} machines shown, {} listed, where {most} were asked for",
        tick.tick,
        listed.map_or("none".to_owned(), |n| n.to_string())
    );
    Some(finding(Check::EntityCount, what))
}

fn check_sums(tick: &Tick, sums: &Aggregate, wanted: &Wanted) -> Option<Finding> {
    let by_state: u64 = sums.by_state.iter().sum();
    let by_charge: u64 = sums.by_charge.iter().sum();
    let counts = [sums.rows, by_state, by_charge];
    if counts == [wanted.entities; 3] {
        return None;
    }
    let [rows, by_state, by_charge] = counts;
    let what = format!(
        "tick {}: sums over {rows} machines, {by_state} by state, {by_charge} by charge, not {}",
        tick.tick, wanted.entities
    );
    Some(finding(Check::Aggregates, what))
}

fn check_machines(tick: u64, machines: &[Machine], wanted: &Wanted) -> Option<Finding> {
    let mut ids: Vec<u32> = machines.iter().map(|m| m.id).collect();
    ids.sort_unstable();
    if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        let what = format!("tick {tick}: machine {} twice", pair[0]);
        return Some(finding(Check::Entities, what));
    }
    let [west, south, east, north] = snapped(wanted.bounds_m.filter(|_| wanted.exact)?);
    let is_outside = |m: &&Machine| !(m.x >= west && m.x <= east && m.y >= south && m.y <= north);
    let outside = machines.iter().find(is_outside)?;
    let Machine { id, x, y } = outside;
    let what = format!("tick {tick}: machine {id} at ({x}, {y}) is outside of the bounds");
    Some(finding(Check::Entities, what))
}

/// Bounds as the gateway snaps them: outward to a grid whose side is the power of two from a quarter of
/// their longer side on.
fn snapped(bounds_m: [f64; 4]) -> [f64; 4] {
    let [west, south, east, north] = bounds_m;
    let quarter = (east - west).max(north - south) / 4.0;
    let side = quarter.max(MIN_TILE_M).log2().ceil().exp2();
    let low = |m: f64| (m / side).floor() * side - POSITION_SLACK_M;
    let high = |m: f64| (m / side).ceil() * side + POSITION_SLACK_M;
    [low(west), low(south), high(east), high(north)]
}

/// What all clients of one simulation are told of each tick.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    sums: BTreeMap<u64, Told>,
    digests: BTreeMap<u64, u64>,
    /// Ticks of which more than one client was compared.
    pub(crate) compared: u64,
}

/// What was told of a tick's sums, and by which epoch.
#[derive(Debug)]
struct Told {
    epoch: u64,
    aggregate: Aggregate,
}

impl Agreement {
    /// Compares a tick with what others were told of it.
    ///
    /// # Errors
    /// Where they differ.
    pub(crate) fn handle_tick(&mut self, tick: &Tick) -> Result<(), Finding> {
        let Some(aggregate) = &tick.aggregate else {
            return Ok(());
        };
        let told = self.sums.get(&tick.tick);
        if let Some(told) = told.filter(|told| told.epoch == tick.epoch) {
            self.compared += 1;
            if told.aggregate != **aggregate {
                let what = format!(
                    "tick {}: sums that another client was told otherwise",
                    tick.tick
                );
                return Err(finding(Check::Agreement, what));
            }
        } else if told.is_none_or(|told| told.epoch < tick.epoch) {
            let (epoch, aggregate) = (tick.epoch, **aggregate);
            self.sums.insert(tick.tick, Told { epoch, aggregate });
        }
        if self.sums.len() > MAX_HELD_TICKS {
            self.sums.pop_first();
        }
        Ok(())
    }

    /// Compares a digest with what others were told: it depends neither on who says it nor on the epoch.
    ///
    /// # Errors
    /// Where they differ.
    pub(crate) fn handle_digest(&mut self, tick: u64, digest: u64) -> Result<(), Finding> {
        if let Some(told) = self.digests.get(&tick) {
            if *told != digest {
                let what = format!("tick {tick}: digest {digest:016x}, and {told:016x} before");
                return Err(finding(Check::Agreement, what));
            }
        } else if self.digests.len() < MAX_HELD_DIGESTS {
            self.digests.insert(tick, digest);
        }
        Ok(())
    }

    /// First and last tick of which a digest was told.
    pub(crate) fn digest_range(&self) -> Option<(u64, u64)> {
        let (first, _) = self.digests.first_key_value()?;
        let (last, _) = self.digests.last_key_value()?;
        Some((*first, *last))
    }

    /// Compares what was told with what the database holds, as (tick, digest). Answers how many were
    /// compared; those that it does not hold, or not yet, are not.
    pub(crate) fn check_digests(&self, kept: &[(u64, u64)]) -> (u64, Vec<Finding>) {
        let mut compared = 0;
        let mut found = Vec::new();
        for (tick, digest) in kept {
            let Some(told) = self.digests.get(tick) else {
                continue;
            };
            compared += 1;
            if told != digest {
                let what = format!(
                    "tick {tick}: {told:016x} in the stream, {digest:016x} in the database"
                );
                found.push(finding(Check::Digest, what));
            }
        }
        (compared, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted {
        entities: 3,
        max_entities: 2_000,
        bounds_m: None,
        exact: true,
    };

    fn sums(machines: u64) -> Aggregate {
        let mut sums = Aggregate {
            rows: machines,
            ..Aggregate::default()
        };
        sums.by_state[2] = machines;
        sums.by_charge[9] = machines;
        sums
    }

    fn tick(ids: &[u32]) -> Tick {
        let machine = |&id: &u32| Machine {
            id,
            x: f64::from(id) * 100.0,
            y: 0.0,
        };
        Tick {
            epoch: 1,
            tick: 7,
            started_at_us: None,
            sent_at_us: None,
            entities_total: 3,
            shown: Some(ids.len() as u64),
            aggregate: Some(Box::new(sums(3))),
            machines: Some(ids.iter().map(machine).collect()),
        }
    }

    fn checks(tick: &Tick, wanted: &Wanted) -> Vec<Check> {
        check(tick, wanted).iter().map(|f| f.check).collect()
    }

    #[test]
    fn a_wrong_count_of_machines_is_found() {
        assert_eq!(checks(&tick(&[1, 2, 3]), &WANTED), []);
        assert_eq!(checks(&tick(&[1, 2]), &WANTED), [Check::EntityCount]);
        let few = Wanted {
            max_entities: 2,
            ..WANTED
        };
        assert_eq!(checks(&tick(&[1, 2]), &few), []);
        assert_eq!(checks(&tick(&[1, 2, 3]), &few), [Check::EntityCount]);
        let mut said = tick(&[1, 2, 3]);
        said.machines.as_mut().unwrap().pop();
        assert_eq!(checks(&said, &WANTED), [Check::EntityCount]);
        said = tick(&[1, 2, 3]);
        said.entities_total = 4;
        assert_eq!(checks(&said, &WANTED), [Check::EntitiesTotal]);
    }

    #[test]
    fn sums_that_leave_a_machine_out_are_found() {
        let mut short = tick(&[1, 2, 3]);
        short.aggregate.as_mut().unwrap().by_charge[9] = 2;
        assert_eq!(checks(&short, &WANTED), [Check::Aggregates]);
        *short.aggregate.as_mut().unwrap().as_mut() = sums(4);
        assert_eq!(checks(&short, &WANTED), [Check::Aggregates]);
    }

    #[test]
    fn a_machine_twice_or_outside_is_found() {
        assert_eq!(checks(&tick(&[1, 2, 1]), &WANTED), [Check::Entities]);
        let mut bounded = Wanted {
            bounds_m: Some([0.0, -10.0, 250.0, 10.0]),
            ..WANTED
        };
        assert_eq!(checks(&tick(&[1, 2]), &bounded), []);
        // The grid's side is 64 m: up to 256 m.
        assert_eq!(checks(&tick(&[1, 3]), &bounded), [Check::Entities]);
        bounded.exact = false;
        assert_eq!(checks(&tick(&[1, 3]), &bounded), []);
    }

    #[test]
    fn clients_that_are_told_otherwise_of_a_tick_are_found() {
        let mut agreement = Agreement::default();
        let mut told = tick(&[]);
        assert_eq!(agreement.handle_tick(&told), Ok(()));
        assert_eq!(agreement.handle_tick(&told), Ok(()));
        told.aggregate.as_mut().unwrap().charge_sum += 1;
        let found = agreement.handle_tick(&told).unwrap_err();
        assert_eq!((found.check, agreement.compared), (Check::Agreement, 2));
        told.epoch = 2;
        assert_eq!(agreement.handle_tick(&told), Ok(()), "a newer epoch");
        assert_eq!(agreement.handle_digest(5, 0xab), Ok(()));
        let found = agreement.handle_digest(5, 0xac).unwrap_err();
        assert_eq!(found.check, Check::Agreement);
    }

    #[test]
    fn a_digest_that_the_database_has_otherwise_is_found() {
        let mut agreement = Agreement::default();
        agreement.handle_digest(5, 0xab).unwrap();
        assert_eq!(agreement.digest_range(), Some((5, 5)));
        assert_eq!(agreement.check_digests(&[(4, 1), (5, 0xab)]), (1, vec![]));
        let (_, found) = agreement.check_digests(&[(5, 0xac)]);
        assert_eq!(found[0].check, Check::Digest);
    }

    #[test]
    fn bounds_snap_as_the_gateway_does() {
        let inside = |b| snapped(b).map(|m| (m / 16.0).round() * 16.0);
        assert_eq!(inside([10.0, 20.0, 110.0, 90.0]), [0.0, 0.0, 128.0, 96.0]);
        assert_eq!(inside([-1.0, 20.0, 99.0, 90.0]), [-32.0, 0.0, 128.0, 96.0]);
    }
}
