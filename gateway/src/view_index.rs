//! Whose the records of a simulation's views are and where its sites lie: made once, from its configuration.

use std::ops::Range;

use kernel::config::{ConfigError, SimulationConfig};
use kernel::plan::Plan;
use kernel::view::ViewLayout;
use kernel::world::World;

/// One block of a simulation's views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedBlock {
    /// Its site, 0-based.
    pub site: u32,
    /// Its partition.
    pub partition: u32,
    /// Its records among those of the partition.
    pub records: Range<usize>,
    /// Its ids in [`ViewIndex::entities`].
    pub entities: Range<usize>,
    /// Where the site's origin lies in the world, 2^-16 m.
    pub site_at: [i64; 2],
    /// What is added to its share of a sample before that is rounded down, 2^-32 records: those of all blocks are even steps
    /// from 0 to 1, dealt out at random. So a sample has no pattern, and one that is larger has what a smaller
    /// one has, but for the few by which a sum is mended.
    pub dither: u32,
}

/// All blocks of a simulation's views, by partition, and the machines of their records.
#[derive(Clone, Debug)]
pub struct ViewIndex {
    /// The blocks.
    pub blocks: Vec<IndexedBlock>,
    /// First block of each partition, and one more.
    pub first_block: Vec<usize>,
    /// Machine of each record, 1-based, in the order of the blocks.
    pub entities: Vec<u32>,
    /// Edges of the world: west, south, east, north, m.
    pub world_m: [f64; 4],
    /// Sites.
    pub sites: u32,
    /// Fields of all sites.
    pub fields: u64,
}

impl ViewIndex {
    /// Lays the views of a simulation out. It takes up to some seconds for the largest: not on a thread that
    /// must not block.
    ///
    /// # Errors
    /// [`ConfigError`] where the configuration is not valid.
    pub fn new(config: &SimulationConfig) -> Result<ViewIndex, ConfigError> {
        let plan = Plan::new(config)?;
        let world = World::new(&plan.farm);
        let mut index = ViewIndex {
            blocks: Vec::new(),
            first_block: vec![0],
            entities: Vec::with_capacity(config.entities as usize),
            world_m: world.bounds_m(),
            sites: plan.farm.sites,
            fields: u64::from(plan.farm.sites) * u64::from(plan.farm.layout.fields),
        };
        for partition in &plan.partitions {
            let layout = ViewLayout::new(&plan, partition.index);
            let first = index.entities.len();
            for (site, records) in layout.blocks {
                index.blocks.push(IndexedBlock {
                    site,
                    partition: partition.index,
                    entities: first + records.start..first + records.end,
                    records,
                    site_at: world.site_at(site),
                    dither: 0,
                });
            }
            index.entities.extend(layout.entities);
            index.first_block.push(index.blocks.len());
        }
        deal_dithers(&mut index.blocks);
        Ok(index)
    }

    /// Partitions.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.first_block.len() - 1
    }

    /// The blocks of a partition.
    #[must_use]
    pub fn blocks_of(&self, partition: usize) -> &[IndexedBlock] {
        &self.blocks[self.first_block[partition]..self.first_block[partition + 1]]
    }
}

/// Deals even steps from 0 to 1 out to blocks: at random, but to each the same in every gateway.
fn deal_dithers(blocks: &mut [IndexedBlock]) {
    let steps = blocks.len() as u64;
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_unstable_by_key(|block| scatter(*block as u64));
    for (step, block) in (0..steps).zip(order) {
        blocks[block].dither = ((step << 32) / steps) as u32;
    }
}

/// A number that neighbours do not share a bit of: the output function of SplitMix64.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
