//! The live stream: a tick written as JSON and as binary, put together from its views, and given to clients.

mod farm;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use benches::Form;
use criterion::{Criterion, Throughput};
use farm::Farm;
use gateway::fanout::{ClientId, Fanout};
use gateway::mailbox::Mailbox;
use gateway::stream_metrics::StreamMetrics;
use gateway::view_setting::{Grant, Subprotocol, ViewSetting};
use gateway::{stream_binary, stream_json};

/// Machines of the farm.
const MACHINES: u32 = 10_000;
/// Clients of the fan-out.
const CLIENTS: u64 = 1_000;

fn main() {
    let form = Form::from_environment();
    let mut criterion = Criterion::default().configure_from_args();
    let mut farm = Farm::new(MACHINES);
    let everything = ViewSetting {
        max_entities: MACHINES,
        ..ViewSetting::default()
    };
    let mut group = criterion.benchmark_group("stream");
    group
        .warm_up_time(form.warm_up)
        .measurement_time(form.measurement)
        .sample_size(form.samples)
        .throughput(Throughput::Elements(MACHINES.into()));
    let frames = farm.views(1);
    group.bench_function("view_pass_on", |b| {
        b.iter(|| farm.tick(1, black_box(frames.clone())));
    });
    let tick = farm.tick(1, frames);
    group.bench_function("json_encode", |b| {
        b.iter(|| stream_json::tick(black_box(&tick), &everything, 1));
    });
    group.bench_function("binary_encode", |b| {
        b.iter(|| stream_binary::tick(black_box(&tick), &everything, 1));
    });
    group.throughput(Throughput::Elements(CLIENTS));
    let mut fanout = Fanout::new(64, StreamMetrics::default());
    for id in 0..CLIENTS {
        let (mailbox, grant) = (Arc::new(Mailbox::new(4_096)), Grant::default());
        let now = Duration::ZERO;
        let joined = fanout.join(ClientId(id), mailbox, Subprotocol::Json, grant, now);
        joined.expect("the default view is always to be had");
    }
    let mut now = Duration::ZERO;
    group.bench_function("fan_out", |b| {
        b.iter(|| {
            now += Duration::from_millis(100);
            fanout.handle_tick(black_box(tick.clone()), now);
        });
    });
    group.finish();
    criterion.final_summary();
}
