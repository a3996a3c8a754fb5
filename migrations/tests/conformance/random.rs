//! Rows of any content.

use bytes::Bytes;
use kernel::command::{Action, Component};
use kernel::config::{KERNEL_VERSION, Scenario, SimulationConfig};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use store::history::{Cut, EntityRow, Head, History, MetricSnapshot};
use store::reader::MetricQuery;
use store::write::{Change, Committed, State};
use transport::control::{
    Access, Cause, CommandRequest, CommandStamp, LatePolicy, Log, LogEvent, SimulationId, Spec,
    Speed, StageLatency, Status, Target, Token,
};
use transport::header::SCHEMA_HASH;
use transport::message::{Mail, TickDigest};

use crate::bench::{Bench, commit_one};
use crate::samples;

/// Rounds, each with a simulation of its own.
const ROUNDS: u128 = 24;

/// Any text without NUL, which no database keeps.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>().prop_filter("NUL", |c| *c != '\0'), 0..40)
        .prop_map(|chars| chars.into_iter().collect())
}

fn speed() -> impl Strategy<Value = Speed> {
    prop_oneof![any::<u32>().prop_map(Speed::Milli), Just(Speed::Max)]
}

fn spec(id: SimulationId) -> impl Strategy<Value = Spec> {
    let config = (
        any::<bool>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        any::<u32>(),
    );
    let rest = (
        option::of(any::<u64>()),
        any::<u32>(),
        any::<bool>(),
        option::of(any::<(u128, u64)>()),
    );
    (text(), config, speed(), rest).prop_map(move |(name, config, speed, rest)| Spec {
        id,
        name,
        config: SimulationConfig {
            scenario: if config.0 {
                Scenario::Dense
            } else {
                Scenario::Weeding
            }
            .code(),
            entities: config.1,
            tick_ms: config.2,
            seed: config.3,
            partition_rows: config.4,
        },
        speed,
        max_ticks: rest.0,
        digest_every: rest.1,
        late: if rest.2 {
            LatePolicy::Fail
        } else {
            LatePolicy::Dilate
        },
        parent: rest.3.map(|(parent, tick)| (SimulationId(parent), tick)),
    })
}

fn state() -> impl Strategy<Value = State> {
    let open = prop::sample::select(vec![Status::Created, Status::Running, Status::Paused]);
    let cause = prop::sample::select(Cause::ALL.to_vec());
    let times = (
        any::<u64>(),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
    );
    (
        open,
        cause,
        text(),
        speed(),
        option::of(any::<u64>()),
        times,
    )
        .prop_map(|(status, cause, name, speed, step_until, times)| State {
            status,
            cause,
            name,
            speed,
            step_until,
            created_at_us: times.0,
            started_at_us: times.1,
            ended_at_us: times.2,
        })
}

fn request() -> impl Strategy<Value = CommandRequest> {
    let target = prop_oneof![
        any::<u32>().prop_map(Target::Entity),
        vec(any::<u32>(), 0..50).prop_map(Target::Entities),
        any::<u32>().prop_map(Target::Site),
        Just(Target::All),
    ];
    let component = prop::sample::select(vec![Component::Drive, Component::Battery]);
    let action = prop_oneof![
        Just(Action::Hold),
        Just(Action::Release),
        any::<(i32, i32)>().prop_map(|(x_mm, y_mm)| Action::Goto { x_mm, y_mm }),
        Just(Action::ReturnToCharger),
        any::<i32>().prop_map(|mm_per_s| Action::SetSpeedLimit { mm_per_s }),
        (component, any::<i32>())
            .prop_map(|(component, for_ms)| Action::InjectFault { component, for_ms }),
    ];
    (target, action, option::of(any::<u64>())).prop_map(|(target, action, tick)| CommandRequest {
        target,
        action,
        tick,
    })
}

fn event() -> impl Strategy<Value = (u64, [u32; 4], Vec<u32>, String)> {
    (
        0..1_000_u64,
        any::<[u32; 4]>(),
        vec(any::<u32>(), 0..50),
        text(),
    )
}

fn home() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |x| x.is_finite())
}

fn snapshot() -> impl Strategy<Value = MetricSnapshot> {
    let stage = (text(), vec(any::<u8>(), 0..200));
    (any::<[u64; 3]>(), 0..1_u64 << 40, vec(stage, 0..5)).prop_map(|(n, rows, stages)| {
        MetricSnapshot {
            tick: 9,
            at_us: n[0],
            aggregate: samples::aggregate(rows),
            late_ticks: n[1],
            achieved_speed_milli: n[2],
            stages: stages
                .into_iter()
                .map(|(stage, histogram)| StageLatency { stage, histogram })
                .collect(),
        }
    })
}

fn cut() -> impl Strategy<Value = Cut> {
    let mail = (
        any::<u64>(),
        any::<u32>(),
        any::<u32>(),
        vec(any::<u32>(), 0..20),
    );
    let payloads = vec(vec(any::<u8>(), 0..300), 0..4);
    (payloads, vec(mail, 0..4), any::<u64>()).prop_map(|(payloads, mail, last_sim_seq)| Cut {
        tick: 9,
        kernel_version: KERNEL_VERSION,
        schema_hash: SCHEMA_HASH,
        last_sim_seq,
        checkpoints: payloads.into_iter().map(Bytes::from).collect(),
        mail: mail
            .into_iter()
            .map(|(tick, from, to, words)| Mail {
                tick,
                from,
                to,
                words,
            })
            .collect(),
    })
}

pub(crate) async fn random_rows_come_back(bench: &Bench) {
    let (store, lease) = bench.owner().await;
    let reader = bench.reader().await;
    // Seeded, so that a failure comes again.
    let mut runner = TestRunner::deterministic();
    macro_rules! draw {
        ($strategy:expr) => {
            $strategy.new_tree(&mut runner).unwrap().current()
        };
    }
    let mut write_id = 0;
    for round in 1..=ROUNDS {
        let simulation = samples::id(round * 7);
        let (spec, state) = (draw!(spec(simulation)), draw!(state()));
        let requests = draw!(vec(request(), 1..8));
        let mut changes = vec![Change::Create {
            spec: spec.clone(),
            state: state.clone(),
        }];
        for (seq, request) in (1..).zip(&requests) {
            changes.push(Change::Command {
                simulation,
                stamp: CommandStamp {
                    seq,
                    tick: 10 + seq,
                },
                request: request.clone(),
                token: draw!(any::<u64>()),
                at_us: 1,
            });
        }
        let token = Token {
            id: draw!(any::<u64>()),
            name: draw!(text()),
            access: draw!(prop::sample::select(Access::ALL.to_vec())),
            secret_hash: draw!(any::<[u8; 32]>()),
            created_at_us: draw!(any::<u64>()),
        };
        changes.push(Change::CreateToken(token.clone()));
        for change in changes {
            write_id += 1;
            let committed = commit_one(&store, &lease, write_id, change).await;
            assert!(matches!(committed, Committed::Done), "{committed:?}");
        }
        let events: Vec<LogEvent> = (1..)
            .zip(draw!(vec(event(), 0..20)))
            .map(|(seq, (tick, n, entities, text))| LogEvent {
                seq,
                log: if n[0] % 2 == 0 { Log::Sim } else { Log::System },
                tick,
                kind: n[0],
                site: n[1],
                detail: n[2],
                reason: n[3],
                entities,
                text,
            })
            .collect();
        let entities: Vec<EntityRow> = (1..)
            .zip(draw!(vec((text(), any::<u32>(), home(), home()), 0..20)))
            .map(|(entity, (class, site, home_x_m, home_y_m))| EntityRow {
                entity,
                class,
                site,
                home_x_m,
                home_y_m,
            })
            .collect();
        let digests: Vec<TickDigest> = (1..)
            .zip(draw!(vec(any::<u64>(), 0..20)))
            .map(|(tick, digest)| TickDigest { tick, digest })
            .collect();
        let (snapshot, cut) = (draw!(snapshot()), draw!(cut()));
        let head = Head {
            tick: 9,
            status: None,
            step_until: None,
            ended_at_us: None,
            digest: digests.last().copied(),
            aggregate: snapshot.aggregate,
            late_ticks: draw!(any::<u64>()),
            dilated_ms: draw!(any::<u64>()),
        };
        let pieces = vec![
            History::Events(simulation, events.clone()),
            History::Entities(simulation, entities.clone()),
            History::Digests(simulation, digests.clone()),
            History::Metrics(simulation, Box::new(snapshot.clone())),
            History::Cut(simulation, Box::new(cut.clone())),
            History::Head(simulation, head.clone()),
        ];
        store
            .append(&lease, &samples::batch(round as u64, pieces))
            .await
            .unwrap();

        let loaded = store.load().await.unwrap();
        assert!(loaded.unreadable.is_empty(), "{:?}", loaded.unreadable);
        let found = loaded
            .simulations
            .iter()
            .find(|found| found.spec.id == simulation)
            .unwrap();
        assert_eq!(found.spec, spec);
        assert_eq!(found.state, state);
        assert_eq!(found.cut, Some(cut));
        assert_eq!(found.digest, head.digest);
        assert_eq!(
            (found.late_ticks, found.dilated_ms),
            (head.late_ticks, head.dilated_ms)
        );
        let commands: Vec<_> = found
            .commands
            .iter()
            .map(|(_, request)| request.clone())
            .collect();
        assert_eq!(commands, requests);
        assert!(store.tokens().await.unwrap().contains(&token));
        for log in [Log::Sim, Log::System] {
            let page = reader.log(simulation, log, 0, 100).await.unwrap().unwrap();
            let expected: Vec<_> = events
                .iter()
                .filter(|event| event.log == log)
                .cloned()
                .collect();
            assert_eq!(page.items, expected);
        }
        assert_eq!(bench.machines(simulation).await, entities);
        assert_eq!(
            reader
                .digests(simulation, 0, 100)
                .await
                .unwrap()
                .unwrap()
                .items,
            digests
        );
        let query = MetricQuery {
            simulation,
            from_tick: 0,
            to_tick: 100,
            every: 1,
            limit: 10,
        };
        assert_eq!(
            reader.metrics(&query).await.unwrap().unwrap().items,
            [snapshot]
        );
    }
}
