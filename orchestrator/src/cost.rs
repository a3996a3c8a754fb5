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

    use kernel::config::{KERNEL_VERSION, SimulationConfig};
    use transport::frame::{self, Frame};
    use transport::header::{Header, Kind, PROTOCOL_VERSION, SCHEMA_HASH, SimulationId};
    use transport::link::{LinkCommand, LinkEvent, PeerId, Role};
    use transport::message::{Dispatch, Register, ResultExtras, ResultFixed, want};
    use transport::pool::FramePool;

    use crate::control::{LatePolicy, Spec, Speed};
    use crate::{Config, Orchestrator};

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn visit() {
        VISITS.set(VISITS.get() + 1);
    }

    const PEER: PeerId = PeerId(1);
    const PARTITIONS: u32 = 200;

    /// A core with one worker, at a time that stands still.
    struct Bench {
        core: Orchestrator,
        pool: FramePool,
        now: Duration,
        frames: usize,
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
            };
            bench.core.handle_link(
                bench.now,
                LinkEvent::Connected {
                    peer: PEER,
                    role: Role::Worker,
                    name: String::new(),
                },
            );
            let register = Register {
                protocol_version: u32::from(PROTOCOL_VERSION),
                kernel_version: KERNEL_VERSION,
                schema_hash: SCHEMA_HASH,
                threads: 1,
                name: "w".into(),
            };
            let frame = frame::encode(&bench.pool, Header::new(Kind::Register), &register);
            bench.deliver(frame.unwrap());
            bench
        }

        fn start(&mut self, id: u128, partitions: u32, speed: Speed) {
            let id = SimulationId(id);
            let spec = Spec {
                id,
                name: String::new(),
                config: SimulationConfig {
                    scenario: 1,
                    entities: 12 * partitions,
                    tick_ms: 1_000,
                    seed: 3,
                    partition_rows: 12,
                },
                speed,
                max_ticks: None,
                digest_every: 1_000_000,
                late: LatePolicy::Dilate,
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
                self.deliver(result);
            }
        }

        fn results(&self, dispatch: &Frame) -> Vec<Frame> {
            let header = dispatch.header;
            let work = dispatch.decode::<Dispatch>().unwrap().work;
            let result = |w: &transport::message::PartitionWork| {
                let fixed = ResultFixed {
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

        fn deliver(&mut self, frame: Frame) {
            self.frames += 1;
            let event = LinkEvent::Frame { peer: PEER, frame };
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
}
