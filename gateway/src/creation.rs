//! A simulation that was not started, as its tick 0 will show it: creation follows from the configuration alone, so no
//! worker need be there to be asked.

use kernel::Partition;
use kernel::aggregate::Aggregate;
use kernel::config::{ConfigError, SimulationConfig};
use kernel::plan::Plan;
use transport::control::SimulationId;
use transport::frame::{Frame, FrameError};
use transport::header::{Header, Kind};
use transport::pool::FramePool;
use transport::view::ViewWriter;

/// What workers would show of tick 0.
#[derive(Debug)]
pub struct Creation {
    /// A view a partition.
    pub frames: Vec<Frame>,
    /// Sums over all machines.
    pub aggregate: Aggregate,
}

/// Why it cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CreationError {
    /// This build cannot lay the farm out.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A view does not fit a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl Creation {
    /// Creates a simulation's partitions, one after the other, and keeps what is shown of them. Of many machines that is
    /// no work for a thread that serves sockets.
    ///
    /// # Errors
    /// [`CreationError`].
    pub fn new(
        simulation: SimulationId,
        epoch: u32,
        config: &SimulationConfig,
    ) -> Result<Creation, CreationError> {
        let plan = Plan::new(config)?;
        let pool = FramePool::new();
        let mut creation = Creation {
            frames: Vec::with_capacity(plan.partitions.len()),
            aggregate: Aggregate::default(),
        };
        for of in &plan.partitions {
            let partition = Partition::create(&plan, of.index);
            let header = Header {
                simulation,
                partition: of.index,
                lease_epoch: epoch,
                ..Header::new(Kind::View)
            };
            let mut writer = ViewWriter::new(&pool, partition.view_blocks(), partition.rows())?;
            let frame = writer.write(header, |blocks, records| {
                partition.write_view(blocks, records);
            })?;
            creation.frames.push(frame);
            creation.aggregate.merge(&partition.aggregate());
        }
        Ok(creation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{SIMULATION, Sample};

    #[test]
    fn it_is_what_workers_show_of_tick_0() {
        let mut sample = Sample::dense(640, 97);
        let creation = Creation::new(SIMULATION, 3, &sample.config).unwrap();
        let shown = sample.views(3, 0);
        assert_eq!(creation.frames.len(), shown.len());
        for (created, shown) in creation.frames.iter().zip(&shown) {
            assert_eq!(created.header, shown.header);
            assert_eq!(created.payload(), shown.payload());
        }
        assert_eq!(creation.aggregate.rows, 640);
    }
}
