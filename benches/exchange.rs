//! A tick's exchange without a step: a dispatch one way, results and views back, over both links.

use std::time::{Duration, SystemTime};

use benches::Form;
use benches::frames::{quiet_work, view_writer, write_dispatch, write_result, write_view};
use benches::stepper::Stepper;
use criterion::{BenchmarkId, Criterion, Throughput};
use kernel::config::Scenario;
use kernel::isa::Isa;
use tokio::runtime::{Builder, Runtime};
use transport::certs;
use transport::frame::Frame;
use transport::header::Kind;
use transport::link::{Class, Endpoint, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::message::Dispatch;
use transport::pool::FramePool;
use transport::quic_config::Network;
use transport::result::ResultReader;
use transport::view::View;
use transport::{memory, quic};

/// Partitions, each of [`benches::ROWS`] rows.
const PARTITIONS: [u32; 2] = [1, 25];

fn main() {
    let form = Form::from_environment();
    let mut criterion = Criterion::default().configure_from_args();
    // Two threads, as an orchestrator and a worker have at the least.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let links = [
        ("memory", over_memory as fn() -> (Endpoint, Endpoint)),
        ("quic", over_quic),
    ];
    for (link, open) in links {
        let mut group = criterion.benchmark_group(format!("exchange/{link}"));
        group
            .warm_up_time(form.warm_up)
            .measurement_time(form.measurement)
            .sample_size(form.samples);
        for partitions in PARTITIONS {
            let mut driver = start(&runtime, open, partitions);
            let rows = partitions * benches::ROWS;
            group.throughput(Throughput::Elements(rows.into()));
            group.bench_function(BenchmarkId::from_parameter(rows), |b| {
                b.iter(|| runtime.block_on(driver.exchange()));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

fn over_memory() -> (Endpoint, Endpoint) {
    let (orchestrator, hub) = memory::hub(Role::Orchestrator, "orchestrator");
    let worker = hub.connect(Role::Worker, "worker").expect("an open hub");
    (orchestrator, worker)
}

fn over_quic() -> (Endpoint, Endpoint) {
    const VALIDITY: Duration = Duration::from_secs(24 * 3600);
    let certificates = certs::generate(SystemTime::now() - VALIDITY, 2 * VALIDITY);
    let certificates = certificates.expect("certificates");
    let identity = |role| certificates.identity(role);
    let (orchestrator, address) = quic::listen(
        ([127, 0, 0, 1], 0).into(),
        &identity(Role::Orchestrator),
        &[Role::Worker],
        Network::Local,
        &FramePool::new(),
    )
    .expect("a free port");
    let worker = quic::connect(
        address,
        &identity(Role::Worker),
        Role::Orchestrator,
        Network::Local,
        &FramePool::new(),
    );
    (orchestrator, worker.expect("own certificates"))
}

/// Opens a link, and starts a worker on it that answers with frames that are ready.
fn start(runtime: &Runtime, open: fn() -> (Endpoint, Endpoint), partitions: u32) -> Driver {
    let stepper = Stepper::at_work(Scenario::Dense, Isa::detect());
    let (pool, partition) = (FramePool::new(), &stepper.partition);
    let mut writer = view_writer(&pool, partition).expect("a view of one partition");
    let result = write_result(&pool, partition).expect("a short frame");
    let view = write_view(&mut writer, partition).expect("laid out");
    runtime.block_on(async {
        let (mut endpoint, worker) = open();
        tokio::spawn(answer(worker, result, view));
        let event = endpoint.events.recv().await;
        let Some(LinkEvent::Connected { peer, .. }) = event else {
            panic!("no worker connected: {event:?}");
        };
        Driver {
            endpoint,
            pool,
            peer,
            dispatch: quiet_work(partitions),
            group: 0,
        }
    })
}

async fn answer(mut endpoint: Endpoint, result: Frame, view: Frame) {
    let mut group = 0;
    while let Some(event) = endpoint.events.recv().await {
        let LinkEvent::Frame { peer, frame } = event else {
            continue;
        };
        let work = frame.decode::<Dispatch>().expect("a dispatch").work;
        for (class, frame) in [(Class::Tick, &result), (Class::View, &view)] {
            for n in 1..=work.len() {
                send(
                    &endpoint,
                    peer,
                    class,
                    group,
                    frame.clone(),
                    n == work.len(),
                );
            }
        }
        group += 1;
    }
}

struct Driver {
    endpoint: Endpoint,
    pool: FramePool,
    peer: PeerId,
    dispatch: Dispatch,
    group: u64,
}

impl Driver {
    /// One tick: until every result and every view is there and validated.
    async fn exchange(&mut self) {
        let frame = write_dispatch(&self.pool, &self.dispatch).expect("a short frame");
        self.group += 1;
        send(
            &self.endpoint,
            self.peer,
            Class::Tick,
            self.group,
            frame,
            true,
        );
        for _ in 0..2 * self.dispatch.work.len() {
            let event = self.endpoint.events.recv().await;
            let Some(LinkEvent::Frame { frame, .. }) = event else {
                panic!("the worker is gone: {event:?}");
            };
            match frame.header.kind {
                Kind::View => drop(frame.access::<View>().expect("a view").records.len()),
                _ => drop(ResultReader::new(&frame).expect("a result").fixed.stepped),
            }
        }
    }
}

fn send(endpoint: &Endpoint, peer: PeerId, class: Class, group: u64, frame: Frame, last: bool) {
    let transmit = Transmit {
        peer,
        class,
        group,
        frame,
        last,
    };
    let sent = endpoint.commands.try_send(LinkCommand::Transmit(transmit));
    sent.expect("the link takes what an exchange needs");
}
