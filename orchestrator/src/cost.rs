//! What an input costs, counted where the core walks over partitions. Outside tests nothing is counted.

/// A partition is looked at in a walk over all.
#[cfg(not(test))]
pub(crate) fn visit() {}

#[cfg(test)]
pub(crate) use tests::visit;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use kernel::aggregate::Aggregate;
    use kernel::config::{KERNEL_VERSION, SimulationConfig};
    use transport::frame::{self, Frame};
    use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH, SimulationId};
    use transport::link::{LinkCommand, LinkEvent, PeerId, Role};
    use transport::message::{Dispatch, Register, ResultExtras, ResultFixed, want};
    use transport::pool::FramePool;

    use crate::control::{LatePolicy, Spec, Speed};
    use crate::latency::Stage;
    use crate::snapshot::Snapshot;
    use crate::{Config, Orchestrator};

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn visit() {
        VISITS.set(VISITS.get() + 1);
    }

    /// Rows of a partition: a weeding site's.
    const ROWS: u64 = 12;
    const PARTITIONS: u32 = 200;

    /// A core whose first worker does all the work, at a time that stands still.
    struct Bench {
        core: Orchestrator,
        pool: FramePool,
        now: Duration,
        frames: usize,
        workers: u64,
    }

    impl Bench {
        fn new() -> Bench {
            let config = Config {
                verify_one_in: 0,
                rebalance: false,
                ..Config::default()
            };
            let mut bench = Bench {
                core: Orchestrator::new(config, FramePool::new()),
                pool: FramePool::new(),
                now: Duration::from_secs(1),
                frames: 0,
                workers: 0,
            };
            bench.join();
            bench
        }

        fn join(&mut self) {
            self.workers += 1;
            let connected = LinkEvent::Connected {
                peer: PeerId(self.workers),
                role: Role::Worker,
                name: String::new(),
            };
            self.core.handle_link(self.now, connected);
            let register = Register {
                protocol_version: u32::from(PROTOCOL_VERSION),
                kernel_version: KERNEL_VERSION,
                schema_hash: SCHEMA_HASH,
                threads: 1,
                name: "w".into(),
            };
            let frame = frame::encode(&self.pool, Header::new(Kind::Register), &register);
            self.deliver(PeerId(self.workers), frame.unwrap());
        }

        fn start(&mut self, id: u128, partitions: u32, speed: Speed) {
            let id = SimulationId(id);
            let spec = Spec {
                id,
                name: String::new(),
                config: SimulationConfig {
                    scenario: 1,
                    entities: ROWS as u32 * partitions,
                    tick_ms: 1_000,
                    seed: 3,
                    partition_rows: ROWS as u32,
                },
                speed,
                max_ticks: None,
                digest_every: 1_000_000,
                late: LatePolicy::Dilate,
                parent: None,
            };
            self.core.create(self.now, spec).unwrap();
            self.core.start(self.now, id).unwrap();
        }

        /// Answers all that was sent, a result a frame, once.
        fn answer(&mut self) {
            let mut results = Vec::new();
            while let Some(command) = self.core.poll_transmit() {
                let LinkCommand::Transmit(transmit) = command else {
                    continue;
                };
                if transmit.frame.header.kind == Kind::Dispatch {
                    results.extend(self.results(&transmit.frame));
                }
            }
            for result in results {
                self.deliver(PeerId(1), result);
            }
        }

        fn results(&self, dispatch: &Frame) -> Vec<Frame> {
            let header = dispatch.header;
            let work = dispatch.decode::<Dispatch>().unwrap().work;
            let result = |w: &transport::message::PartitionWork| {
                let mut aggregate = Aggregate {
                    rows: ROWS,
                    ..Aggregate::default()
                };
                (aggregate.by_state[0], aggregate.by_charge[0]) = (ROWS, ROWS);
                let fixed = ResultFixed {
                    aggregate,
                    stepped: w.ticks,
                    has_digest: u32::from(header.tick == 0 || w.wants & want::DIGEST != 0),
                    compute_us: 1_000,
                    ..ResultFixed::default()
                };
                let header = Header {
                    kind: Kind::Result,
                    partition: w.partition,
                    placement_epoch: w.placement_epoch,
                    ..header
                };
                transport::result::write(&self.pool, header, &fixed, &ResultExtras::default())
            };
            work.iter().map(|w| result(w).unwrap()).collect()
        }

        fn deliver(&mut self, peer: PeerId, frame: Frame) {
            self.frames += 1;
            let event = LinkEvent::Frame { peer, frame };
            self.core.handle_link(self.now, event);
            while self.core.poll_event().is_some() {}
            self.core.poll_timeout();
        }
    }

    #[test]
    fn a_window_costs_its_partitions_not_their_square() {
        let mut bench = Bench::new();
        bench.start(7, PARTITIONS, Speed::Max);
        bench.answer();
        let (visits, frames) = (VISITS.get(), bench.frames);
        for _ in 0..3 {
            bench.answer();
        }
        let frames = bench.frames - frames;
        assert_eq!(frames, 3 * PARTITIONS as usize, "all were answered");
        let visits = VISITS.get() - visits;
        assert!(visits <= 4 * frames, "{visits} visits for {frames} frames");
    }

    #[test]
    fn runs_that_wait_cost_nothing_while_another_goes_on() {
        let mut bench = Bench::new();
        for id in 0..20 {
            bench.start(100 + id, PARTITIONS, Speed::REAL);
        }
        bench.answer();
        bench.start(7, 10, Speed::Max);
        bench.answer();
        let visits = VISITS.get();
        for _ in 0..10 {
            bench.answer();
        }
        let visits = VISITS.get() - visits;
        assert!(
            visits <= 1_000,
            "{visits} visits for 10 windows of 10 partitions"
        );
    }

    #[test]
    fn a_deadline_of_one_run_does_not_advance_the_others() {
        let mut bench = Bench::new();
        for id in 0..20 {
            bench.start(100 + id, PARTITIONS, Speed::REAL);
            bench.answer();
            bench.now += Duration::from_millis(10);
        }
        let visits = VISITS.get();
        let due = bench.core.poll_timeout().unwrap();
        assert!(due > bench.now, "the first tick is due in a second");
        bench.now = due;
        bench.core.handle_timeout(due);
        bench.answer();
        let visits = VISITS.get() - visits;
        let most = 4 * PARTITIONS as usize;
        assert!(visits <= most, "{visits} visits for one run's window");
    }

    #[test]
    fn a_snapshot_copies_no_histogram_and_a_run_that_goes_on_copies_them_once_a_second() {
        let mut bench = Bench::new();
        bench.start(7, 10, Speed::Max);
        bench.answer();
        bench.answer();
        bench.core.show_histograms();
        let first = bench.core.snapshot(bench.now);
        let of = |s: &Snapshot| s.simulations[0].latencies.clone();
        bench.answer();
        // It has recorded since, and however often it is looked at, it shows what it showed.
        for _ in 0..10 {
            let again = bench.core.snapshot(bench.now);
            assert_eq!(of(&again).shared_with(&of(&first)), Stage::ALL.len());
            assert!(again.totals.ticks > first.totals.ticks);
            bench.answer();
        }
        bench.core.show_histograms();
        let later = bench.core.snapshot(bench.now);
        let latency = |s: &Snapshot| of(s).stage(Stage::TickLatency).len();
        assert!(latency(&later) > latency(&first));
    }

    #[test]
    fn a_snapshot_looks_at_a_partition_once_however_many_workers_there_are() {
        let mut bench = Bench::new();
        bench.start(7, PARTITIONS, Speed::Max);
        for _ in 0..5 {
            bench.join();
        }
        let visits = VISITS.get();
        let _ = bench.core.snapshot(bench.now);
        assert_eq!(VISITS.get() - visits, PARTITIONS as usize);
    }
}
