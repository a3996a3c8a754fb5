//! An orchestrator over a SQLite file that is killed with its whole runtime, and the one that comes after it.

use std::path::Path;
use std::time::Duration;

use kernel::command::Action;
use orchestrator::Config;
use orchestrator::clock::Origin;
use orchestrator::control::{
    CommandRequest, CommandStamp, RefusalKind, Spec, Speed, Status, Target,
};
use orchestrator::handle::Handle;
use orchestrator::tenure::{self, Owned, TenureError};
use store::Store;
use store::lease::SameAddress;
use store::retention::Retention;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use transport::frame;
use transport::header::{Header, Kind};
use transport::link::{Class, Endpoint, LinkCommand, LinkEvent, Role, Transmit};
use transport::memory::{self, HUB, MemoryHub};
use transport::pool::FramePool;

use crate::fake_worker::{FakeWorker, expected_digests, registration};
use crate::testbed::{SIM, whole};

const PATIENCE: Duration = Duration::from_secs(60);

/// A life of an orchestrator: all its tasks.
struct Life {
    runtime: Runtime,
    handle: Handle,
    driven: JoinHandle<Result<(), TenureError>>,
    store: Store,
}

impl Life {
    fn begin(file: &Path) -> Life {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let url = format!("sqlite:{}", file.display());
        let (handle, driven, store) = runtime.block_on(async {
            store::migrate(&url).await.unwrap();
            let store = Store::connect(&url).await.unwrap();
            let (link, hub) = memory::hub(Role::Orchestrator, "test");
            let owned = Owned {
                standing: Default::default(),
                store: store.clone(),
                address: "here".to_owned(),
                same_address: SameAddress::TakesOver,
                retention: Retention::default(),
            };
            let config = Config {
                verify_one_in: 0,
                ..Config::default()
            };
            let started = tenure::start(config, owned, FramePool::new(), link, Origin::now());
            let (handle, run) = timeout(PATIENCE, started).await.unwrap().unwrap();
            work(&hub);
            (handle, tokio::spawn(run), store)
        });
        Life {
            runtime,
            handle,
            driven,
            store,
        }
    }

    /// Nothing of it gets to say a last word.
    fn kill(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { timeout(PATIENCE, future).await };
        self.runtime.block_on(bounded).expect("it takes too long")
    }

    /// Waits until a tick is complete.
    fn pass(&self, tick: u64) -> u64 {
        self.block_on(async {
            loop {
                let at = self.handle.simulation(SIM).await.unwrap().tick;
                if at >= tick {
                    return at;
                }
                sleep(Duration::from_millis(2)).await;
            }
        })
    }

    fn hold(&self, entity: u32) -> CommandStamp {
        let request = CommandRequest {
            target: Target::Entity(entity),
            action: Action::Hold,
            tick: None,
        };
        self.block_on(self.handle.command(SIM, request)).unwrap()
    }
}

/// A worker on a task of its own.
fn work(hub: &MemoryHub) {
    let link = hub.connect(Role::Worker, "w").unwrap();
    tokio::spawn(async move {
        let Endpoint {
            commands,
            mut events,
            ..
        } = link;
        let pool = FramePool::new();
        let mut worker = FakeWorker::default();
        let register = frame::encode(&pool, Header::new(Kind::Register), &registration());
        let mut answers = vec![register.unwrap()];
        let mut epoch = 0;
        loop {
            for mut frame in answers.drain(..) {
                frame.header.lease_epoch = epoch;
                let transmit = Transmit {
                    peer: HUB,
                    class: Class::Tick,
                    group: 0,
                    frame,
                    last: false,
                };
                let _ = commands.send(LinkCommand::Transmit(transmit)).await;
            }
            match events.recv().await {
                Some(LinkEvent::Frame { frame, .. }) => {
                    epoch = frame.header.lease_epoch;
                    answers = worker.handle(&pool, &frame);
                }
                Some(LinkEvent::Connected { .. }) => {}
                _ => return,
            }
        }
    });
}

fn spec() -> Spec {
    Spec {
        speed: Speed::Milli(5_000),
        max_ticks: None,
        digest_every: 1,
        ..whole(2)
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_with_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("farm.db");
    let mut applied = Vec::new();
    let life = Life::begin(&file);
    life.block_on(life.handle.create(spec())).unwrap();
    life.block_on(life.handle.start(SIM)).unwrap();
    for round in 1..=3 {
        life.pass(round * 20);
        let stamp = life.hold(round as u32);
        applied.push((stamp.tick, stamp.seq, round as u32));
    }
    let seen = life.pass(80);
    life.kill();

    let life = Life::begin(&file);
    let info = life.block_on(life.handle.simulation(SIM)).unwrap();
    assert_eq!((info.status, info.spec), (Status::Running, spec()));
    let stamp = life.hold(4);
    assert_eq!(stamp.seq, 4, "seqs go on");
    applied.push((stamp.tick, stamp.seq, 4));
    life.pass(seen + 50);
    life.block_on(life.handle.pause(SIM)).unwrap();
    let info = life.block_on(async {
        loop {
            let info = life.handle.simulation(SIM).await.unwrap();
            if info.digest.is_some_and(|d| d.tick == info.tick) {
                return info;
            }
            sleep(Duration::from_millis(2)).await;
        }
    });
    let expected = expected_digests(&spec(), info.tick, &applied);
    assert_eq!(info.digest.unwrap().digest, expected[&info.tick]);
    life.kill();

    let life = Life::begin(&file);
    let again = life.block_on(life.handle.simulation(SIM)).unwrap();
    assert_eq!(again.status, Status::Paused);
    life.kill();
}

#[test]
fn one_that_is_shut_down_leaves_nothing_to_replay() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("farm.db");
    let life = Life::begin(&file);
    life.block_on(life.handle.create(spec())).unwrap();
    life.block_on(life.handle.start(SIM)).unwrap();
    life.pass(60);
    let is_written = life.block_on(life.handle.shutdown()).unwrap();
    assert!(is_written, "all that happened");
    let Life {
        runtime,
        handle,
        driven,
        store,
    } = life;
    runtime
        .block_on(async { timeout(PATIENCE, driven).await })
        .unwrap()
        .unwrap()
        .unwrap();
    let refusal = runtime.block_on(handle.start(SIM)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Ending);
    let kept = runtime
        .block_on(store.load())
        .unwrap()
        .simulations
        .remove(0);
    assert!(kept.head_tick >= 60);
    assert_eq!(kept.cut.unwrap().tick, kept.head_tick);
    assert_eq!(kept.state.status, Status::Running);
    assert!(kept.has_entities);
    let owner = runtime.block_on(store.owner()).unwrap().unwrap();
    assert!(owner.remaining.is_zero(), "the lease is given up");
}

#[test]
fn one_whose_database_is_taken_over_ends_and_says_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("farm.db");
    let first = Life::begin(&file);
    first.block_on(first.handle.create(spec())).unwrap();
    let second = Life::begin(&file);
    let Life {
        runtime, driven, ..
    } = first;
    let ended = runtime
        .block_on(async { timeout(PATIENCE, driven).await })
        .unwrap()
        .unwrap();
    let reason = ended.unwrap_err().to_string();
    assert!(
        reason.contains("here") && reason.contains("epoch 2"),
        "{reason}"
    );
    second.block_on(second.handle.start(SIM)).unwrap();
    second.pass(5);
    second.kill();
}
