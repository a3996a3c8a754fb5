//! A farm whose ticks are shown.

use std::sync::Arc;

use benches::frames::{view_writer, write_view};
use gateway::view_index::ViewIndex;
use gateway::view_tick::ViewTick;
use kernel::Partition;
use kernel::aggregate::Aggregate;
use kernel::config::{DEFAULT_PARTITION_ROWS, Scenario, SimulationConfig};
use kernel::plan::Plan;
use transport::control::{Cause, LatePolicy, SimulationId, SimulationInfo, Spec, Speed, Status};
use transport::frame::Frame;
use transport::pool::FramePool;
use transport::view::ViewWriter;

/// A crowded farm at its homes.
pub(crate) struct Farm {
    index: Arc<ViewIndex>,
    info: SimulationInfo,
    parts: Vec<(Partition, ViewWriter)>,
}

impl Farm {
    /// One of so many machines.
    pub(crate) fn new(entities: u32) -> Farm {
        let config = SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities,
            tick_ms: 20,
            seed: 1,
            partition_rows: DEFAULT_PARTITION_ROWS,
        };
        let plan = Plan::new(&config).expect("a valid farm");
        let pool = FramePool::new();
        let part = |index| {
            let partition = Partition::create(&plan, index);
            let writer = view_writer(&pool, &partition).expect("a view of one partition");
            (partition, writer)
        };
        Farm {
            index: Arc::new(ViewIndex::new(&config).expect("a valid farm")),
            parts: (0..plan.partitions.len() as u32).map(part).collect(),
            info: info(config),
        }
    }

    /// The views of every partition.
    pub(crate) fn views(&mut self, tick: u64) -> Vec<Frame> {
        let write = |(partition, writer): &mut (Partition, ViewWriter)| {
            let mut frame = write_view(writer, partition).expect("laid out");
            frame.header.tick = tick;
            frame
        };
        self.parts.iter_mut().map(write).collect()
    }

    /// A tick, put together from its views.
    pub(crate) fn tick(&self, tick: u64, frames: Vec<Frame>) -> Arc<ViewTick> {
        let info = SimulationInfo {
            tick,
            ..self.info.clone()
        };
        let shown = ViewTick::new(1, info, 1, self.index.clone(), frames);
        Arc::new(shown.expect("its own views"))
    }
}

fn info(config: SimulationConfig) -> SimulationInfo {
    SimulationInfo {
        spec: Spec {
            id: SimulationId(1),
            name: "bench".to_owned(),
            config,
            speed: Speed::REAL,
            max_ticks: None,
            digest_every: 50,
            late: LatePolicy::Dilate,
            parent: None,
        },
        status: Status::Running,
        cause: Cause::Requested,
        tick: 0,
        digest: None,
        aggregate: Aggregate::default(),
        achieved_speed_milli: 1_000,
        late_ticks: 0,
        dilated_ms: 0,
        created_at_us: 1,
        started_at_us: None,
        ended_at_us: None,
        settled: false,
        replaying_to: None,
        history_lag_ticks: 0,
    }
}
