//! Examples of what users ask and are told: each holds enums, options, lists and words.

use kernel::aggregate::Aggregate;
use kernel::command::Action;
use kernel::config::SimulationConfig;
use transport::control::{
    Access, Answer, Ask, Cause, CommandRequest, EpochBegin, Idempotency, LatePolicy, Log, LogEvent,
    Published, Request, Response, SimulationId, SimulationInfo, Spec, Speed, Status, Subscribed,
    Target, Token, event_kind,
};
use transport::message::TickDigest;

pub(crate) fn request() -> Request {
    Request {
        id: 4,
        token: 9,
        idempotency: Some(Idempotency {
            key: "once".to_owned(),
            route: "POST /v1/simulations/7/commands".to_owned(),
            body_hash: [6; 32],
        }),
        ask: Ask::Command(
            SimulationId(7),
            CommandRequest {
                target: Target::Entities(vec![1, 2, 30]),
                action: Action::Hold,
                tick: Some(200),
            },
        ),
    }
}

pub(crate) fn response() -> Response {
    Response {
        id: 4,
        answer: Answer::Subscribed(Box::new(Subscribed {
            info: info(),
            unflushed: events(),
            last_sim_seq: 2,
            last_system_seq: 3,
            epochs: vec![EpochBegin {
                epoch: 2,
                from_tick: 40,
                from_event: 3,
                from_system_event: 4,
            }],
        })),
    }
}

pub(crate) fn published() -> Published {
    Published {
        info: info(),
        started_at_us: 1,
        published_at_us: 2,
        has_view: 1,
        events: events(),
        deleted: 0,
    }
}

pub(crate) fn token() -> Token {
    Token {
        id: 3,
        name: "the night shift".to_owned(),
        access: Access::Operator,
        secret_hash: [7; 32],
        created_at_us: 1_700_000_000_000_000,
    }
}

fn info() -> SimulationInfo {
    SimulationInfo {
        spec: Spec {
            id: SimulationId(7),
            name: "north farm".to_owned(),
            config: SimulationConfig {
                scenario: 1,
                entities: 200,
                tick_ms: 20,
                seed: 7,
                partition_rows: 16,
            },
            speed: Speed::Milli(2_000),
            max_ticks: Some(5_000),
            digest_every: 50,
            late: LatePolicy::Fail,
            parent: Some((SimulationId(6), 40)),
        },
        status: Status::Paused,
        cause: Cause::HistoryFull,
        tick: 148,
        digest: Some(TickDigest {
            tick: 100,
            digest: 1,
        }),
        aggregate: Aggregate::default(),
        achieved_speed_milli: 1_990,
        late_ticks: 1,
        dilated_ms: 2,
        created_at_us: 3,
        started_at_us: Some(4),
        ended_at_us: None,
        settled: false,
        replaying_to: Some(150),
        history_lag_ticks: 0,
    }
}

fn events() -> Vec<LogEvent> {
    let event = |log, kind, entities: &[u32], text: &str| LogEvent {
        seq: 2,
        log,
        tick: 148,
        kind,
        site: 1,
        detail: 0,
        reason: 0,
        entities: entities.to_vec(),
        text: text.to_owned(),
    };
    vec![
        event(Log::Sim, 1, &[4, 5, 6], ""),
        event(
            Log::System,
            event_kind::LIFECYCLE,
            &[],
            r#"{"status":"paused"}"#,
        ),
    ]
}
