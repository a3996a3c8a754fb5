//! How a farm is cut into sites and partitions: a pure function of the configuration.

use crate::config::SimulationConfig;

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
    /// The partitions, by index.
    pub partitions: Vec<PartitionPlan>,
}

impl Plan {
    /// Cuts a valid configuration.
    #[must_use]
    pub fn new(_config: &SimulationConfig) -> Plan {
        Plan { partitions: Vec::new() }
    }
}
