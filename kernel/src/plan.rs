//! How a farm is cut into sites and partitions: a pure function of the configuration.
//!
//! Whole sites are packed into partitions in order. A site with more machines than a partition holds
//! is cut along a Hilbert curve over its homes into parts of equal size.

use std::ops::Range;
use std::sync::Arc;

use crate::command::{Command, scope};
use crate::config::{ConfigError, MAX_CHECKPOINT_BYTES, MIN_PARTITION_ROWS, SimulationConfig};
use crate::farm::{Farm, last_that};
use crate::hilbert;
use crate::partition::max_checkpoint_bytes;

/// One partition of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlan {
    /// Its place in the plan, 0-based.
    pub index: u32,
    /// First site it holds, or the cut site it holds a part of.
    pub first_site: u32,
    /// Whole sites it holds; 1 for a part of a cut site.
    pub sites: u32,
    /// Rows it holds.
    pub rows: u32,
    /// Set where it is a part of a cut site.
    pub cut: Option<CutPart>,
}

/// A part of a cut site. The parts of one site are consecutive partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutPart {
    /// Which part this is, 0-based; part 0 holds the site's state.
    pub part: u32,
    /// Parts of the site.
    pub parts: u32,
    /// Partition of part 0.
    pub first_partition: u32,
}

/// Sites and partitions of a simulation.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The farm that is cut.
    pub farm: Arc<Farm>,
    /// The partitions, by index.
    pub partitions: Vec<PartitionPlan>,
    /// First partition of each site.
    first_partition: Vec<u32>,
    /// Where sites are cut, which all are or none is: part of each machine, by its index in a site.
    /// All but the last site have the same machines in the same homes, so they are cut alike.
    part_of: Vec<u32>,
    /// The same for the last site.
    part_of_last: Vec<u32>,
}

impl Plan {
    /// Cuts a farm.
    ///
    /// # Errors
    /// [`ConfigError`] where the configuration is not valid.
    pub fn new(config: &SimulationConfig) -> Result<Plan, ConfigError> {
        let farm = Farm::new(config)?;
        check_checkpoints(&farm)?;
        let mut plan = Plan {
            partitions: Vec::new(),
            first_partition: Vec::with_capacity(farm.sites as usize),
            part_of: Vec::new(),
            part_of_last: Vec::new(),
            farm: Arc::new(farm),
        };
        if plan.farm.machines_per_site > config.partition_rows {
            plan.cut_sites();
        } else {
            plan.pack_sites();
        }
        Ok(plan)
    }

    /// Most bytes that a partition's checkpoint may have; never over
    /// [`MAX_CHECKPOINT_BYTES`]. It takes a machine to have
    /// few commands in one tick.
    #[must_use]
    pub fn max_checkpoint_bytes(&self) -> u64 {
        max_checkpoint_bytes(&self.farm, self.farm.config.partition_rows)
    }

    /// Whether messages travel between partitions.
    #[must_use]
    pub fn has_cut_site(&self) -> bool {
        !self.part_of.is_empty() || !self.part_of_last.is_empty()
    }

    /// The partition that holds a machine.
    ///
    /// # Panics
    /// Panics where there is no such machine.
    #[must_use]
    pub fn partition_of(&self, entity: u32) -> u32 {
        assert!((1..=self.farm.config.entities).contains(&entity));
        let site = (entity - 1) / self.farm.machines_per_site;
        let machine = (entity - 1) % self.farm.machines_per_site;
        self.first_partition[site as usize] + self.part_of(site, machine)
    }

    /// The partitions that hold machines of a site: one, or the parts of a cut site.
    ///
    /// # Panics
    /// Panics where there is no such site.
    #[must_use]
    pub fn partitions_of_site(&self, site: u32) -> Range<u32> {
        let first = self.first_partition[site as usize];
        let parts = self.partitions[first as usize]
            .cut
            .map_or(1, |cut| cut.parts);
        first..first + parts
    }

    /// How many machines of a partition a command is for; `None` where it is not for that partition, or
    /// its scope means nothing.
    #[must_use]
    pub fn machines_of(&self, command: &Command, partition: u32) -> Option<u32> {
        let plan = self.partitions.get(partition as usize)?;
        let (target, farm) = (command.target, &self.farm);
        match command.scope {
            scope::MACHINE => {
                let is_there = (1..=farm.config.entities).contains(&target);
                (is_there && self.partition_of(target) == partition).then_some(1)
            }
            scope::SITE => {
                let sites = plan.first_site..plan.first_site + plan.sites;
                let is_there = sites.contains(&target);
                is_there.then(|| match plan.cut {
                    Some(_) => plan.rows,
                    None => farm.machines_of(target),
                })
            }
            scope::ALL => (target == 0).then_some(plan.rows),
            _ => None,
        }
    }

    /// The part of a cut site that holds a machine; 0 where the site is whole.
    #[must_use]
    pub fn part_of(&self, site: u32, machine: u32) -> u32 {
        let parts = if site + 1 == self.farm.sites {
            &self.part_of_last
        } else {
            &self.part_of
        };
        parts.get(machine as usize).copied().unwrap_or(0)
    }

    fn pack_sites(&mut self) {
        let farm = self.farm.clone();
        let mut site = 0;
        while site < farm.sites {
            let fits = (farm.config.partition_rows / farm.machines_per_site).min(farm.sites - site);
            let index = self.partitions.len() as u32;
            self.partitions.push(PartitionPlan {
                index,
                first_site: site,
                sites: fits,
                rows: (site..site + fits).map(|s| farm.machines_of(s)).sum(),
                cut: None,
            });
            self.first_partition
                .extend(std::iter::repeat_n(index, fits as usize));
            site += fits;
        }
    }

    fn cut_sites(&mut self) {
        let farm = self.farm.clone();
        if farm.sites > 1 {
            self.part_of = cut(&farm, farm.machines_per_site);
        }
        self.part_of_last = cut(&farm, farm.machines_of(farm.sites - 1));
        for site in 0..farm.sites {
            let machines = farm.machines_of(site);
            let parts = machines.div_ceil(farm.config.partition_rows);
            let first_partition = self.partitions.len() as u32;
            self.first_partition.push(first_partition);
            for part in 0..parts {
                let (start, end) = part_range(machines, parts, part);
                self.partitions.push(PartitionPlan {
                    index: first_partition + part,
                    first_site: site,
                    sites: 1,
                    rows: end - start,
                    cut: (parts > 1).then_some(CutPart {
                        part,
                        parts,
                        first_partition,
                    }),
                });
            }
        }
    }
}

/// Refuses partitions whose checkpoints could be too long.
fn check_checkpoints(farm: &Farm) -> Result<(), ConfigError> {
    let partition_rows = farm.config.partition_rows;
    let bytes = max_checkpoint_bytes(farm, partition_rows);
    if bytes <= MAX_CHECKPOINT_BYTES {
        return Ok(());
    }
    let fits = |rows| max_checkpoint_bytes(farm, rows) <= MAX_CHECKPOINT_BYTES;
    Err(ConfigError::PartitionTooLarge {
        partition_rows,
        bytes,
        max_partition_rows: last_that(MIN_PARTITION_ROWS, partition_rows, fits),
    })
}

/// The places along the curve that a part holds.
fn part_range(machines: u32, parts: u32, part: u32) -> (u32, u32) {
    let at = |p: u32| (u64::from(machines) * u64::from(p) / u64::from(parts)) as u32;
    (at(part), at(part + 1))
}

/// Where a machine's home lies along the Hilbert curve over its site. The curve fills the site whatever
/// its shape: one over a larger square would leave and enter it, and leave strips.
pub(crate) fn along_the_curve(farm: &Farm, machine: u32) -> u32 {
    let home = farm.layout.home(machine);
    let (low, high) = (farm.layout.origin(), farm.layout.far_corner());
    let share = |at: i32, low: i32, high: i32| {
        let (way, all) = (
            i64::from(at) - i64::from(low),
            i64::from(high) - i64::from(low),
        );
        (way * i64::from(u16::MAX) / all) as u16
    };
    hilbert::index(share(home.x, low.x, high.x), share(home.y, low.y, high.y))
}

/// The part of each of a site's machines.
fn cut(farm: &Farm, machines: u32) -> Vec<u32> {
    let parts = machines.div_ceil(farm.config.partition_rows);
    let mut along: Vec<u64> = (0..machines)
        .map(|machine| u64::from(along_the_curve(farm, machine)) << 32 | u64::from(machine))
        .collect();
    along.sort_unstable();
    let mut part_of = vec![0; machines as usize];
    for part in 0..parts {
        let (start, end) = part_range(machines, parts, part);
        for &key in &along[start as usize..end as usize] {
            part_of[(key & u64::from(u32::MAX)) as usize] = part;
        }
    }
    part_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scenario;
    use crate::layout::VERGE;

    fn config(scenario: Scenario, entities: u32, partition_rows: u32) -> SimulationConfig {
        SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms: 50,
            seed: 1,
            partition_rows,
        }
    }

    fn plan(scenario: Scenario, entities: u32, partition_rows: u32) -> Plan {
        Plan::new(&config(scenario, entities, partition_rows)).expect("the configuration is valid")
    }

    #[test]
    fn a_site_that_is_too_large_is_refused_by_the_number_that_fits() {
        // At 576,000 and more the site was wider than positions reach.
        for entities in [1_000_000, 577_000] {
            let refused = Farm::new(&config(Scenario::Dense, entities, 4_096)).map(|_| ());
            let Err(ConfigError::SiteTooLarge { max_entities, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert!((100_000..576_000).contains(&max_entities), "{max_entities}");
            let farm = |entities| Farm::new(&config(Scenario::Dense, entities, 4_096));
            assert!(farm(max_entities).is_ok() && farm(max_entities + 1).is_err());
        }
        for entities in [100_000, 1_000_000] {
            plan(Scenario::Weeding, entities, 4_096);
        }
        plan(Scenario::Dense, 100_000, 4_096);
    }

    #[test]
    fn positions_reach_over_every_site_that_is_not_refused() {
        let mut layout = (Farm::new(&config(Scenario::Dense, 20, 4_096)).expect("valid")).layout;
        let columns = (i32::MAX - 2 * VERGE) / layout.column_pitch();
        layout.columns = columns.cast_unsigned();
        let fence = layout.fence();
        assert!(layout.fits_positions() && fence.high.x - fence.low.x > columns);
        layout.columns += 1;
        assert!(!layout.fits_positions());
    }

    #[test]
    fn the_verge_of_every_farm_has_room_for_its_turns() {
        for scenario in Scenario::ALL {
            let farm = Farm::new(&config(scenario, 20, 4_096)).expect("valid");
            for machine in 0..farm.machines_per_site {
                assert!(crate::site::reach(&farm, machine) <= VERGE, "{machine}");
            }
        }
    }

    #[test]
    fn partitions_whose_checkpoints_are_too_long_are_refused_by_the_rows_that_fit() {
        let refused = Plan::new(&config(Scenario::Weeding, 1_000_000, 65_536)).map(|_| ());
        let Err(ConfigError::PartitionTooLarge {
            max_partition_rows, ..
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert!((30_000..65_536).contains(&max_partition_rows));
        let fits = plan(Scenario::Weeding, 1_000_000, max_partition_rows);
        assert!(fits.max_checkpoint_bytes() <= MAX_CHECKPOINT_BYTES);
        assert!(
            Plan::new(&config(
                Scenario::Weeding,
                1_000_000,
                max_partition_rows + 12
            ))
            .is_err()
        );
        // Few machines fit whatever is asked for.
        plan(Scenario::Weeding, 10_000, 65_536);
    }

    #[test]
    fn no_checkpoint_is_longer_than_its_plan_says() {
        for (scenario, entities, rows) in [
            (Scenario::Weeding, 600, 4_096),
            (Scenario::Dense, 640, 97),
            (Scenario::Dense, 640, 4_096),
        ] {
            let plan = plan(scenario, entities, rows);
            for index in 0..plan.partitions.len() as u32 {
                let partition = crate::Partition::create(&plan, index);
                assert!(partition.checkpoint_bytes() as u64 <= plan.max_checkpoint_bytes());
            }
        }
    }

    #[test]
    fn every_machine_is_in_exactly_one_partition() {
        for (scenario, entities, partition_rows) in [
            (Scenario::Weeding, 1_000, 97),
            (Scenario::Weeding, 30, 8),
            (Scenario::Dense, 640, 16),
            (Scenario::Dense, 640, 4096),
        ] {
            let plan = plan(scenario, entities, partition_rows);
            let mut rows = vec![0; plan.partitions.len()];
            for entity in 1..=entities {
                rows[plan.partition_of(entity) as usize] += 1;
            }
            for partition in &plan.partitions {
                assert_eq!(rows[partition.index as usize], partition.rows);
                assert!(partition.rows <= partition_rows);
            }
        }
    }

    #[test]
    fn a_site_is_cut_only_where_it_does_not_fit() {
        assert!(plan(Scenario::Dense, 640, 16).has_cut_site());
        assert!(!plan(Scenario::Dense, 640, 4096).has_cut_site());
        assert!(!plan(Scenario::Weeding, 640, 16).has_cut_site());
    }
}
