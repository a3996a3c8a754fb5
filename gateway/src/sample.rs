//! Simulations small enough for tests and benches, stepped by the kernel itself.

use std::sync::Arc;

use bumpalo::Bump;
use kernel::aggregate::Aggregate;
use kernel::config::{Scenario, SimulationConfig};
use kernel::plan::Plan;
use kernel::{Partition, StepInputs};
use transport::control::{
    Cause, LatePolicy, Log, LogEvent, Published, SimulationId, SimulationInfo, Spec, Speed, Status,
    Subscribed, event_kind,
};
use transport::frame::Frame;
use transport::header::{Header, Kind};
use transport::pool::FramePool;
use transport::view::ViewWriter;

use crate::view_index::ViewIndex;
use crate::view_tick::ViewTick;

/// Id of every sample's simulation.
pub(crate) const SIMULATION: SimulationId = SimulationId(0x0197_0000_0000_7000_8000_0000_0000_0001);

/// A simulation and all its partitions.
pub(crate) struct Sample {
    /// What it is made from.
    pub(crate) config: SimulationConfig,
    /// Whose its records are.
    pub(crate) index: Arc<ViewIndex>,
    partitions: Vec<Partition>,
    writers: Vec<ViewWriter>,
    bump: Bump,
}

impl Sample {
    /// A crowded site.
    ///
    /// # Panics
    /// Panics where the numbers are none of a simulation.
    #[must_use]
    pub(crate) fn dense(entities: u32, partition_rows: u32) -> Sample {
        Sample::new(Scenario::Dense, entities, partition_rows)
    }

    /// Sites of twelve.
    ///
    /// # Panics
    /// As [`Sample::dense`].
    #[must_use]
    pub(crate) fn weeding(entities: u32, partition_rows: u32) -> Sample {
        Sample::new(Scenario::Weeding, entities, partition_rows)
    }

    fn new(scenario: Scenario, entities: u32, partition_rows: u32) -> Sample {
        let config = SimulationConfig {
            scenario: scenario.code(),
            entities,
            tick_ms: 50,
            seed: 9,
            partition_rows,
        };
        let plan = Plan::new(&config).expect("a valid sample");
        let pool = FramePool::new();
        let partitions: Vec<Partition> = (0..plan.partitions.len() as u32)
            .map(|index| Partition::create(&plan, index))
            .collect();
        let writer = |p: &Partition| ViewWriter::new(&pool, p.view_blocks(), p.rows());
        let writers = partitions.iter().map(|p| writer(p).expect("it fits"));
        Sample {
            writers: writers.collect(),
            index: Arc::new(ViewIndex::new(&config).expect("a valid sample")),
            partitions,
            config,
            bump: Bump::new(),
        }
    }

    /// Steps every partition that needs no mail of others.
    ///
    /// # Panics
    /// Panics where a site is cut.
    pub(crate) fn step(&mut self, ticks: u32) {
        for partition in &mut self.partitions {
            for _ in 0..ticks {
                self.bump.reset();
                let stepped = partition.step(&StepInputs::default(), &self.bump);
                stepped.expect("no mail is needed");
            }
        }
    }

    /// The view of every partition as it is now, under the header of a tick.
    ///
    /// # Panics
    /// Never: the frames are laid out for it.
    pub(crate) fn views(&mut self, epoch: u32, tick: u64) -> Vec<Frame> {
        let frames = self.partitions.iter().zip(&mut self.writers).zip(0..);
        frames
            .map(|((partition, writer), index)| {
                let header = Header {
                    simulation: SIMULATION,
                    tick,
                    partition: index,
                    lease_epoch: epoch,
                    ..Header::new(Kind::View)
                };
                let frame = writer.write(header, |blocks, records| {
                    partition.write_view(blocks, records);
                });
                frame.expect("laid out")
            })
            .collect()
    }

    /// All that is shown of it as it is now, as of a tick.
    ///
    /// # Panics
    /// Never: the views are its own.
    pub(crate) fn tick(&mut self, tick: u64) -> Arc<ViewTick> {
        let frames = self.views(1, tick);
        let mut info = info(&self.config, tick);
        info.aggregate = Aggregate::default();
        for partition in &self.partitions {
            info.aggregate.merge(&partition.aggregate());
        }
        let shown = ViewTick::new(1, info, 1_000_000, self.index.clone(), frames);
        Arc::new(shown.expect("its own views"))
    }
}

/// A running simulation of a configuration at a tick.
#[must_use]
pub(crate) fn info(config: &SimulationConfig, tick: u64) -> SimulationInfo {
    SimulationInfo {
        spec: Spec {
            id: SIMULATION,
            name: "sample".to_owned(),
            config: config.clone(),
            speed: Speed::REAL,
            max_ticks: None,
            digest_every: 20,
            late: LatePolicy::Dilate,
            parent: None,
        },
        status: Status::Running,
        cause: Cause::Requested,
        tick,
        digest: None,
        aggregate: Aggregate {
            rows: config.entities.into(),
            ..Aggregate::default()
        },
        achieved_speed_milli: 1_000,
        late_ticks: 0,
        dilated_ms: 0,
        created_at_us: 1,
        started_at_us: Some(2),
        ended_at_us: None,
        settled: false,
        replaying_to: None,
        history_lag_ticks: 0,
    }
}

/// A transition in the log `sim`, or a change of status in the log `system`.
#[must_use]
pub(crate) fn event(log: Log, seq: u64) -> LogEvent {
    let is_sim = log == Log::Sim;
    LogEvent {
        seq,
        log,
        tick: seq / 3,
        kind: if is_sim {
            kernel::event::kind::TRANSITION
        } else {
            event_kind::LIFECYCLE
        },
        site: 0,
        detail: u32::from(is_sim) * 2,
        reason: 0,
        entities: if is_sim { vec![1, 2, 3] } else { Vec::new() },
        text: if is_sim {
            String::new()
        } else {
            r#"{"status":"running"}"#.to_owned()
        },
    }
}

/// Where a subscription to a configuration's simulation begins; `unflushed` are its newest events, by log.
#[must_use]
pub(crate) fn subscribed(
    config: &SimulationConfig,
    tick: u64,
    unflushed: &[LogEvent],
) -> Subscribed {
    let last = |log| {
        let seqs = unflushed.iter().filter(|e| e.log == log).map(|e| e.seq);
        seqs.max().unwrap_or(0)
    };
    Subscribed {
        info: info(config, tick),
        unflushed: unflushed.to_vec(),
        last_sim_seq: last(Log::Sim),
        last_system_seq: last(Log::System),
        epochs: Vec::new(),
    }
}

/// What is published of a tick that has views.
#[must_use]
pub(crate) fn published(
    config: &SimulationConfig,
    epoch: u32,
    tick: u64,
    events: &[LogEvent],
) -> Frame {
    publish(config, epoch, tick, events, 0)
}

/// The last that is published.
#[must_use]
pub(crate) fn deleted(
    config: &SimulationConfig,
    epoch: u32,
    tick: u64,
    events: &[LogEvent],
) -> Frame {
    publish(config, epoch, tick, events, 1)
}

fn publish(
    config: &SimulationConfig,
    epoch: u32,
    tick: u64,
    events: &[LogEvent],
    deleted: u8,
) -> Frame {
    let header = Header {
        simulation: SIMULATION,
        tick,
        lease_epoch: epoch,
        ..Header::new(Kind::Published)
    };
    let published = Published {
        info: info(config, tick),
        started_at_us: 1_000_000,
        published_at_us: 1_000_500,
        has_view: 1,
        events: events.to_vec(),
        deleted,
    };
    transport::frame::encode(&FramePool::new(), header, &published).expect("a short frame")
}
