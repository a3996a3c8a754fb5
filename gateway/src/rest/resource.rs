//! The simulation as REST and the live stream show it.

use kernel::config::Scenario;
use serde::{Deserialize, Serialize};
use serde_json::json;
use transport::control::{
    Access, Cause, LatePolicy, MAX_SPEED_MILLI, MIN_SPEED_MILLI, SimulationInfo, Speed, Status,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::clock::rfc3339;
use super::document::schema;

/// A simulation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Simulation)]
pub struct SimulationResource {
    /// Its id, a UUID of version 7.
    #[schema(value_type = String, format = Uuid, example = "0199f3a0-7a2b-7c3d-8e4f-0123456789ab")]
    pub id: String,
    /// Its name, for people.
    #[schema(example = "beet, spring")]
    pub name: String,
    /// Name of what is simulated.
    #[schema(example = "weeding")]
    pub scenario: &'static str,
    /// Machines; their ids are 1 to this.
    #[schema(minimum = 1, maximum = 1_000_000, example = 200)]
    pub entities: u32,
    /// Simulated length of a tick, ms.
    #[schema(minimum = 5, maximum = 1000, example = 50)]
    pub tick_ms: u32,
    /// Seed of every random draw.
    #[schema(minimum = 0, example = 1, format = "uint64")]
    pub seed: u64,
    /// Factor on real time that is asked for.
    pub speed: SpeedJson,
    /// Last tick, after which it is completed.
    #[schema(required, minimum = 1)]
    pub max_ticks: Option<u64>,
    /// Ticks between digests.
    #[schema(minimum = 1, example = 20)]
    pub digest_every: u32,
    /// What happens once it is a second behind.
    pub late_policy: LatePolicyJson,
    /// Where it stands.
    pub status: StatusJson,
    /// Why it has this status.
    pub cause: CauseJson,
    /// Last tick that is complete.
    #[schema(example = 148)]
    pub tick: u64,
    /// Simulated time at that tick, s.
    #[schema(example = 7.4)]
    pub sim_time_s: f64,
    /// Simulated over real time, over the last seconds; 0 while it stands or replays, and before its first start.
    #[schema(example = 1.0)]
    pub achieved_speed: f64,
    /// Ticks that were complete only after their time.
    pub late_ticks: u64,
    /// By how much deadlines were shifted, ms.
    pub dilated_ms: u64,
    /// Newest digest, hex; null before the first.
    #[schema(required, pattern = "^[0-9a-f]{16}$", example = "90f1c2d3a4b5c6d7")]
    pub digest: Option<String>,
    /// Tick of the digest.
    #[schema(required)]
    pub digest_tick: Option<u64>,
    /// When it was created.
    #[schema(format = DateTime, example = "2026-11-25T20:56:44.000000Z")]
    pub created_at: String,
    /// When it was first started.
    #[schema(required, format = DateTime)]
    pub started_at: Option<String>,
    /// When it reached a final status.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
    /// The simulation it was forked from.
    #[schema(required, format = Uuid)]
    pub parent: Option<String>,
    /// At which tick.
    #[schema(required)]
    pub parent_tick: Option<u64>,
    /// While it replays, as after a crash or a fork: the tick it replays to.
    #[schema(required)]
    pub replaying_to: Option<u64>,
    /// Ticks whose history still waits for the database, up to the present one; 0 where all is written.
    #[schema(example = 20)]
    pub history_lag_ticks: u64,
}

impl From<&SimulationInfo> for SimulationResource {
    fn from(info: &SimulationInfo) -> SimulationResource {
        let (spec, config) = (&info.spec, &info.spec.config);
        let scenario = Scenario::from_code(config.scenario);
        SimulationResource {
            id: spec.id.to_string(),
            name: spec.name.clone(),
            scenario: scenario.map_or("unknown", Scenario::name),
            entities: config.entities,
            tick_ms: config.tick_ms,
            seed: config.seed,
            speed: spec.speed.into(),
            max_ticks: spec.max_ticks,
            digest_every: spec.digest_every,
            late_policy: spec.late.into(),
            status: info.status.into(),
            cause: info.cause.into(),
            tick: info.tick,
            sim_time_s: sim_time_s(info.tick, config.tick_ms),
            achieved_speed: info.achieved_speed_milli as f64 / 1_000.0,
            late_ticks: info.late_ticks,
            dilated_ms: info.dilated_ms,
            digest: info.digest.map(|d| format!("{:016x}", d.digest)),
            digest_tick: info.digest.map(|d| d.tick),
            created_at: rfc3339(info.created_at_us),
            started_at: info.started_at_us.map(rfc3339),
            ended_at: info.ended_at_us.map(rfc3339),
            parent: spec.parent.map(|(parent, _)| parent.to_string()),
            parent_tick: spec.parent.map(|(_, tick)| tick),
            replaying_to: info.replaying_to,
            history_lag_ticks: info.history_lag_ticks,
        }
    }
}

/// Simulated time at a tick, s.
#[must_use]
pub fn sim_time_s(tick: u64, tick_ms: u32) -> f64 {
    // Divided last: 3 ticks of 100 ms are 0.3 s, not 0.30000000000000004.
    (tick * u64::from(tick_ms)) as f64 / 1_000.0
}

/// A factor on real time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SpeedJson {
    /// A number.
    Factor(f64),
    /// As fast as the workers go.
    Max(SpeedWord),
}

/// The word for as fast as the workers go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeedWord {
    /// As fast as the workers go.
    Max,
}

/// Slowest factor.
pub(crate) const MIN_SPEED: f64 = MIN_SPEED_MILLI as f64 / 1_000.0;
/// Fastest factor.
pub(crate) const MAX_SPEED: f64 = MAX_SPEED_MILLI as f64 / 1_000.0;

impl PartialSchema for SpeedJson {
    fn schema() -> RefOr<Schema> {
        schema(json!({
            "oneOf": [
                {"type": "number", "minimum": MIN_SPEED, "maximum": MAX_SPEED},
                {"type": "string", "enum": ["max"]},
            ],
            "description": "Factor on real time, in thousandths, or `max` for as fast as the workers go.",
            "example": 1,
        }))
    }
}

impl ToSchema for SpeedJson {
    fn name() -> std::borrow::Cow<'static, str> {
        "Speed".into()
    }
}

impl From<Speed> for SpeedJson {
    fn from(speed: Speed) -> SpeedJson {
        match speed {
            Speed::Milli(milli) => SpeedJson::Factor(f64::from(milli) / 1_000.0),
            Speed::Max => SpeedJson::Max(SpeedWord::Max),
        }
    }
}

macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident as $schema:ident of $of:ident { $($(#[$each:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[schema(as = $schema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl From<$of> for $name {
            fn from(of: $of) -> $name {
                match of { $($of::$variant => $name::$variant,)* }
            }
        }

        impl From<$name> for $of {
            fn from(name: $name) -> $of {
                match name { $($name::$variant => $of::$variant,)* }
            }
        }
    };
}

spelled! {
    /// Where a simulation stands. `stopped`, `completed` and `failed` are final.
    StatusJson as Status of Status {
        /// Not started.
        Created,
        /// Ticking.
        Running,
        /// Standing until resumed or stepped.
        Paused,
        /// Ended by request.
        Stopped,
        /// Ended at its last tick.
        Completed,
        /// Ended by an error.
        Failed,
    }
}

spelled! {
    /// Why a simulation has its status.
    CauseJson as Cause of Cause {
        /// Asked for.
        Requested,
        /// Its last tick was reached.
        LastTick,
        /// Two workers computed different digests.
        DigestMismatch,
        /// Late beyond catching up, under the policy `fail`.
        Late,
        /// A part of it could not be stepped anywhere.
        Unable,
        /// The database takes nothing, and the history that waits for it has reached its bound.
        HistoryFull,
        /// The database has no room, and the history that waits for it has reached its bound.
        DiskFull,
        /// What the database holds of it cannot be read by this release.
        Unrecoverable,
    }
}

spelled! {
    /// What happens once a run is a second behind.
    LatePolicyJson as LatePolicy of LatePolicy {
        /// Deadlines are shifted, and by how much is counted.
        Dilate,
        /// The run ends as failed.
        Fail,
    }
}

spelled! {
    /// What a token may do: each role may do what those before it may.
    AccessJson as Role of Access {
        /// Read and watch.
        Viewer,
        /// Create, command, end and delete simulations.
        Operator,
        /// Make and revoke tokens.
        Admin,
    }
}

/// The id of a simulation in UUID's type, for those who make one.
#[must_use]
pub(crate) fn new_id() -> transport::control::SimulationId {
    transport::control::SimulationId(Uuid::now_v7().as_u128())
}
