//! Rows to write.

use bytes::Bytes;
use kernel::aggregate::Aggregate;
use kernel::command::Action;
use kernel::config::{KERNEL_VERSION, Scenario, SimulationConfig};
use store::history::{Batch, Cut, EntityRow, Head, History, MetricSnapshot};
use store::write::{Change, Guard, State, Write};
use transport::control::{
    Access, Cause, CommandRequest, CommandStamp, LatePolicy, Log, LogEvent, SimulationId, Spec,
    Speed, StageLatency, Status, Target, Token,
};
use transport::header::SCHEMA_HASH;
use transport::message::{Mail, TickDigest};

pub(crate) fn id(n: u128) -> SimulationId {
    SimulationId(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

pub(crate) fn spec(n: u128) -> Spec {
    Spec {
        id: id(n),
        name: format!("farm {n}"),
        config: SimulationConfig {
            scenario: Scenario::Dense.code(),
            entities: 3,
            tick_ms: 20,
            seed: u64::MAX - 5,
            partition_rows: 4_096,
        },
        speed: Speed::Milli(1_500),
        max_ticks: Some(u64::MAX),
        digest_every: 50,
        late: LatePolicy::Fail,
        parent: None,
    }
}

pub(crate) fn state(status: Status) -> State {
    State {
        status,
        cause: Cause::Requested,
        name: "renamed \u{1f33e} 'farm'".to_owned(),
        speed: Speed::Max,
        step_until: Some(77),
        created_at_us: 1_700_000_000_000_001,
        started_at_us: Some(1_700_000_000_000_002),
        ended_at_us: None,
    }
}

pub(crate) fn create(n: u128) -> Change {
    Change::Create {
        spec: spec(n),
        state: state(Status::Running),
    }
}

pub(crate) fn command(n: u128, seq: u64, tick: u64) -> Change {
    Change::Command {
        simulation: id(n),
        stamp: CommandStamp { seq, tick },
        request: request(seq),
        token: u64::MAX,
        at_us: 1_700_000_000_000_003,
    }
}

pub(crate) fn request(seq: u64) -> CommandRequest {
    CommandRequest {
        target: Target::Entity(seq as u32),
        action: Action::Goto {
            x_mm: -1_234,
            y_mm: seq as i32,
        },
        tick: seq.is_multiple_of(2).then_some(seq * 10),
    }
}

pub(crate) fn token(n: u64) -> Token {
    Token {
        id: n,
        name: format!("token {n}"),
        access: Access::Operator,
        secret_hash: [n as u8; 32],
        created_at_us: 5,
    }
}

pub(crate) fn guard(key: &str, body: u8, answer: &str) -> Guard {
    Guard {
        token: 7,
        route: "POST /v1/simulations".to_owned(),
        key: key.to_owned(),
        body_hash: [body; 32],
        answer: answer.as_bytes().to_vec(),
        now_us: 1_700_000_000_000_000,
    }
}

pub(crate) fn guarded(id: u64, guard: Guard, change: Change) -> Write {
    Write {
        id,
        guard: Some(guard),
        change,
    }
}

pub(crate) fn event(log: Log, seq: u64, tick: u64, kind: u32) -> LogEvent {
    LogEvent {
        seq,
        log,
        tick,
        kind,
        site: 3,
        detail: u32::MAX,
        reason: 2,
        entities: match log {
            Log::Sim => vec![1, 7, u32::MAX],
            Log::System => Vec::new(),
        },
        text: match log {
            Log::Sim => String::new(),
            Log::System => r#"{"b":1, "a":"\u0000"}"#.to_owned(),
        },
    }
}

pub(crate) fn entity(entity: u32) -> EntityRow {
    EntityRow {
        entity,
        class: if entity.is_multiple_of(2) {
            "weeder"
        } else {
            "drone"
        }
        .to_owned(),
        site: entity / 10,
        home_x_m: f64::from(entity) / 3.0,
        home_y_m: -0.1,
    }
}

pub(crate) fn aggregate(n: u64) -> Aggregate {
    let mut aggregate = Aggregate {
        rows: n,
        charge_sum: -(n as i64),
        speed_sum_mm_per_s: 1 << 60,
        ..Aggregate::default()
    };
    aggregate.by_state[2] = n;
    aggregate.counters.turns = n + 1;
    aggregate
}

pub(crate) fn snapshot(tick: u64) -> MetricSnapshot {
    MetricSnapshot {
        tick,
        at_us: tick + 1,
        aggregate: aggregate(tick),
        late_ticks: 3,
        achieved_speed_milli: 999,
        stages: vec![
            StageLatency {
                stage: "compute".to_owned(),
                histogram: vec![0, 1, 255],
            },
            StageLatency {
                stage: "aggregate".to_owned(),
                histogram: Vec::new(),
            },
        ],
    }
}

pub(crate) fn head(tick: u64) -> Head {
    Head {
        tick,
        status: None,
        step_until: None,
        ended_at_us: None,
        digest: Some(digest(tick)),
        aggregate: aggregate(tick),
        late_ticks: 4,
        dilated_ms: 5,
    }
}

pub(crate) fn digest(tick: u64) -> TickDigest {
    TickDigest {
        tick,
        digest: u64::MAX - tick,
    }
}

pub(crate) fn cut(tick: u64) -> Cut {
    Cut {
        tick,
        kernel_version: KERNEL_VERSION,
        schema_hash: SCHEMA_HASH,
        last_sim_seq: tick / 2,
        checkpoints: vec![Bytes::from(vec![tick as u8; 100]), Bytes::new()],
        mail: vec![Mail {
            tick: tick + 1,
            from: 0,
            to: 1,
            words: vec![tick as u32, u32::MAX],
        }],
    }
}

pub(crate) fn batch(id: u64, pieces: Vec<History>) -> Batch {
    Batch { id, pieces }
}

/// A batch with one cut and the head at its tick.
pub(crate) fn cut_batch(id: u64, simulation: SimulationId, tick: u64) -> Batch {
    let pieces = vec![
        History::Head(simulation, head(tick)),
        History::Cut(simulation, Box::new(cut(tick))),
    ];
    batch(id, pieces)
}
