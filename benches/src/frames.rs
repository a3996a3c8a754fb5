//! The frames of a tick, written as orchestrator and worker write them.

use kernel::Partition;
use transport::frame::{self, Frame, FrameError};
use transport::header::{Header, Kind};
use transport::message::{Dispatch, PartitionWork, ResultExtras, ResultFixed, base, want};
use transport::pool::FramePool;
use transport::result;
use transport::view::ViewWriter;

/// Partitions of a dispatch: 100,000 machines at the default size of a partition.
pub const DISPATCHED: u32 = 25;

/// The work of a quiet tick that asks for views.
#[must_use]
pub fn quiet_work(partitions: u32) -> Dispatch {
    let work = (0..partitions).map(|partition| PartitionWork {
        partition,
        placement_epoch: 1,
        base: base::HELD,
        first_tick: 1,
        ticks: 1,
        report_from: 1,
        wants: want::VIEW,
        ..PartitionWork::default()
    });
    Dispatch {
        work: work.collect(),
    }
}

/// Writes a dispatch.
///
/// # Errors
/// As [`frame::encode`].
pub fn write_dispatch(pool: &FramePool, dispatch: &Dispatch) -> Result<Frame, FrameError> {
    frame::encode(pool, Header::new(Kind::Dispatch), dispatch)
}

/// Writes a partition's result, its sums included.
///
/// # Errors
/// As [`result::write`].
pub fn write_result(pool: &FramePool, partition: &Partition) -> Result<Frame, FrameError> {
    let fixed = ResultFixed {
        aggregate: partition.aggregate(),
        stepped: 1,
        ..ResultFixed::default()
    };
    let extras = ResultExtras::default();
    result::write(pool, Header::new(Kind::Result), &fixed, &extras)
}

/// What [`write_view`] writes a partition's views with.
///
/// # Errors
/// As [`ViewWriter::new`].
pub fn view_writer(pool: &FramePool, partition: &Partition) -> Result<ViewWriter, FrameError> {
    ViewWriter::new(pool, partition.view_blocks(), partition.rows())
}

/// Writes a partition's view: the kernel's records straight into the frame.
///
/// # Errors
/// As [`ViewWriter::write`].
pub fn write_view(writer: &mut ViewWriter, partition: &Partition) -> Result<Frame, FrameError> {
    writer.write(Header::new(Kind::View), |blocks, records| {
        partition.write_view(blocks, records);
    })
}
