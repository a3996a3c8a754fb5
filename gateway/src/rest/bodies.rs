//! What requests hold.

use kernel::config::{DEFAULT_PARTITION_ROWS, MAX_TICK, Scenario, SimulationConfig};
use kernel::farm::Farm;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::command_json::{
    COMMANDS, COMPONENTS, CommandError, CommandJson, MAX_DISTANCE_M, MAX_FAULT_S,
    MAX_SPEED_LIMIT_M_PER_S, MIN_FAULT_S,
};
use transport::control::{CommandRequest, MAX_COMMAND_ENTITIES, MAX_LABEL_BYTES, Spec, Speed};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::document::schema;
use super::range::{label, within};
use super::resource::{AccessJson, LatePolicyJson, MAX_SPEED, MIN_SPEED, SpeedJson, new_id};
use super::wording::misread;
use crate::problem::{Problem, ProblemKind};

/// Machines if nothing else is asked for.
const DEFAULT_ENTITIES: u64 = 1_000;
/// Length of a tick if nothing else is asked for, ms.
const DEFAULT_TICK_MS: u64 = 50;
/// Seed if nothing else is asked for.
const DEFAULT_SEED: u64 = 1;

/// A body without a field.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A simulation to be created.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "beet, spring", "scenario": "weeding", "entities": 200, "speed": 1}))]
pub(crate) struct CreateSimulation {
    /// Its name, for people; that of the scenario if left out.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Name of a built-in scenario: see `/v1/scenarios`. A document of one's own is not supported yet.
    #[schema(value_type = ScenarioName)]
    scenario: Value,
    /// Machines.
    #[schema(minimum = 1, maximum = 1_000_000, default = 1000)]
    entities: Option<u64>,
    /// Simulated length of a tick, ms. A scenario with fast machines allows less.
    #[schema(minimum = 5, maximum = 1000, default = 50)]
    tick_ms: Option<u64>,
    /// Seed of every random draw: the same seed gives the same run.
    // Not int64, which utoipa says of a u64 and which ends at half of it.
    #[schema(
        minimum = 0,
        maximum = 18_446_744_073_709_551_615_u64,
        default = 1,
        format = "uint64"
    )]
    seed: Option<u64>,
    /// Factor on real time.
    #[schema(value_type = Option<SpeedIn>)]
    speed: Option<SpeedIn>,
    /// Last tick, after which it is completed; left out, it runs until stopped.
    #[schema(minimum = 1, maximum = 4_294_967_294_u64)]
    max_ticks: Option<u64>,
    /// Ticks between digests; those of one simulated second if left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    digest_every: Option<u64>,
    /// What happens once it is a second behind.
    late_policy: Option<LatePolicyJson>,
    /// Parameters of the scenario. The built-in ones have none: only an empty object is taken.
    #[schema(value_type = Option<Object>)]
    params: Option<Map<String, Value>>,
}

/// The name of a built-in scenario.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case", example = "weeding")]
#[expect(
    dead_code,
    reason = "it stands for the names in the document; a test holds them equal"
)]
pub(crate) enum ScenarioName {
    /// Sites of 12 weeding robots on 240 ha of sugar beet.
    Weeding,
    /// One crowded site.
    Dense,
}

/// Most ticks between digests.
const MAX_DIGEST_EVERY: u64 = 1_000_000;

impl CreateSimulation {
    /// The simulation that is to be created, under a new id.
    ///
    /// # Errors
    /// The problem of the first field that is wrong.
    pub(crate) fn spec(self) -> Result<Spec, Problem> {
        let scenario = scenario(&self.scenario)?;
        if self.params.is_some_and(|params| !params.is_empty()) {
            return Err(not_supported(
                "params",
                "the built-in scenarios have no parameters; they come with scenario documents",
            ));
        }
        let name = self.name.unwrap_or_else(|| scenario.name().to_owned());
        label("name", &name, MAX_LABEL_BYTES)?;
        let entities = self.entities.unwrap_or(DEFAULT_ENTITIES);
        let tick_ms = self.tick_ms.unwrap_or(DEFAULT_TICK_MS);
        let config = SimulationConfig {
            scenario: scenario.code(),
            entities: within("entities", entities, 1, kernel::config::MAX_ENTITIES.into())?,
            tick_ms: within(
                "tick_ms",
                tick_ms,
                kernel::config::MIN_TICK_MS.into(),
                kernel::config::MAX_TICK_MS.into(),
            )?,
            seed: self.seed.unwrap_or(DEFAULT_SEED),
            partition_rows: DEFAULT_PARTITION_ROWS,
        };
        Farm::new(&config).map_err(|error| {
            // The kernel's errors begin with the field.
            let detail = error.to_string();
            let field = detail.split(':').next().unwrap_or_default().to_owned();
            let allowed = detail.rsplit("at most ").next().unwrap_or_default();
            Problem::invalid(field, detail.as_str(), format!("at most {allowed}"))
        })?;
        let second = (1_000 / config.tick_ms).max(1);
        let max_ticks = self.max_ticks;
        Ok(Spec {
            id: new_id(),
            name,
            speed: self.speed.map_or(Speed::REAL, |speed| speed.0),
            max_ticks: max_ticks
                .map(|ticks| within("max_ticks", ticks, 1, MAX_TICK))
                .transpose()?,
            digest_every: match self.digest_every {
                Some(every) => within("digest_every", every, 1, MAX_DIGEST_EVERY)?,
                None => second,
            },
            late: self.late_policy.unwrap_or(LatePolicyJson::Dilate).into(),
            parent: None,
            config,
        })
    }
}

fn scenario(given: &Value) -> Result<Scenario, Problem> {
    let names = Scenario::ALL.map(Scenario::name).join(", ");
    match given {
        Value::String(name) => name.parse().map_err(|_| {
            let detail = format!("`scenario`: `{}` is unknown", short(name));
            Problem::invalid("scenario", detail, names)
        }),
        Value::Object(_) => Err(not_supported(
            "scenario",
            "documents of scenarios come with a later version; name a built-in one",
        )),
        _ => Err(Problem::invalid(
            "scenario",
            "`scenario` is neither a name nor a document",
            names,
        )),
    }
}

/// As much of a text as an answer repeats.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn not_supported(field: &str, detail: &str) -> Problem {
    Problem {
        field: Some(field.to_owned()),
        ..Problem::new(ProblemKind::NotSupported, detail)
    }
}

/// What of a simulation can be changed.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"speed": 10}))]
pub(crate) struct ChangeSimulation {
    /// New name.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) name: Option<String>,
    /// New factor on real time.
    pub(crate) speed: Option<SpeedIn>,
}

impl ChangeSimulation {
    /// Checks that something is changed, to something allowed.
    ///
    /// # Errors
    /// The problem of the first field that is wrong.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.name.is_none() && self.speed.is_none() {
            return Err(Problem::invalid(
                "speed",
                "nothing is to be changed",
                "`speed`, `name` or both",
            ));
        }
        match &self.name {
            Some(name) => label("name", name, MAX_LABEL_BYTES),
            None => Ok(()),
        }
    }
}

/// How far to advance a paused simulation.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ticks": 1}))]
pub(crate) struct StepSimulation {
    /// Ticks.
    #[schema(minimum = 1, maximum = 4_294_967_294_u64, default = 1)]
    ticks: Option<u64>,
}

impl StepSimulation {
    /// The ticks.
    ///
    /// # Errors
    /// [`ProblemKind::Invalid`] of `ticks`.
    pub(crate) fn ticks(&self) -> Result<u64, Problem> {
        within("ticks", self.ticks.unwrap_or(1), 1, MAX_TICK)
    }
}

/// A fork to be made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tick": 6000, "name": "what if"}))]
pub(crate) struct ForkSimulation {
    /// Tick at which it begins; the last complete one if left out.
    #[schema(minimum = 0, maximum = 4_294_967_294_u64)]
    tick: Option<u64>,
    /// Its name; made of its parent's if left out.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) name: Option<String>,
}

impl ForkSimulation {
    /// The tick.
    ///
    /// # Errors
    /// The problem of the field that is wrong.
    pub(crate) fn tick(&self) -> Result<Option<u64>, Problem> {
        if let Some(name) = &self.name {
            label("name", name, MAX_LABEL_BYTES)?;
        }
        let tick = self.tick;
        tick.map(|tick| within("tick", tick, 0, MAX_TICK))
            .transpose()
    }
}

/// A token to be made.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "dashboard", "role": "viewer"}))]
pub(crate) struct CreateToken {
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) name: String,
    /// What it may do.
    pub(crate) role: AccessJson,
}

/// A factor on real time, 0.1 to 1000, or `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SpeedIn(pub(crate) Speed);

impl<'de> Deserialize<'de> for SpeedIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SpeedIn, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = SpeedIn;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a number from {MIN_SPEED} to {MAX_SPEED} or \"max\"")
            }

            fn visit_f64<E: Error>(self, factor: f64) -> Result<SpeedIn, E> {
                if !(MIN_SPEED..=MAX_SPEED).contains(&factor) {
                    let given = serde::de::Unexpected::Float(factor);
                    return Err(E::invalid_value(given, &self));
                }
                Ok(SpeedIn(Speed::Milli((factor * 1_000.0).round() as u32)))
            }

            fn visit_u64<E: Error>(self, factor: u64) -> Result<SpeedIn, E> {
                self.visit_f64(factor as f64)
            }

            fn visit_i64<E: Error>(self, factor: i64) -> Result<SpeedIn, E> {
                self.visit_f64(factor as f64)
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<SpeedIn, E> {
                match word {
                    "max" => Ok(SpeedIn(Speed::Max)),
                    _ => Err(E::invalid_value(
                        serde::de::Unexpected::Str(&short(word)),
                        &self,
                    )),
                }
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl Serialize for SpeedIn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SpeedJson::from(self.0).serialize(serializer)
    }
}

impl PartialSchema for SpeedIn {
    fn schema() -> RefOr<Schema> {
        SpeedJson::schema()
    }
}

impl ToSchema for SpeedIn {
    fn name() -> std::borrow::Cow<'static, str> {
        SpeedJson::name()
    }
}

/// A command to be given.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct GiveCommand(CommandJson);

impl GiveCommand {
    /// The command.
    ///
    /// # Errors
    /// The problem of the first field that is wrong.
    pub(crate) fn request(self) -> Result<CommandRequest, Problem> {
        if let Some(tick) = self.0.tick {
            within::<u64>("tick", tick, 1, MAX_TICK)?;
        }
        self.0.request().map_err(|error| {
            let kind = match error {
                CommandError::NotSupported { .. } => ProblemKind::NotSupported,
                _ => ProblemKind::Invalid,
            };
            if let CommandError::Args { field, detail } = &error {
                return misread(&format!("args.{field}"), detail);
            }
            let mut problem = Problem {
                field: Some(error.field()),
                ..Problem::new(kind, error.to_string())
            };
            match error {
                CommandError::OutOfRange { min, max, .. } => {
                    problem.allowed = Some(format!("{min} to {max}"));
                }
                CommandError::Unknown { .. } => problem.allowed = Some(COMMANDS.join(", ")),
                CommandError::Entities { .. } => {
                    problem.limit = Some(MAX_COMMAND_ENTITIES as u64);
                    problem.allowed = Some(format!("1 to {MAX_COMMAND_ENTITIES} ids"));
                }
                CommandError::Repeated { .. } => problem.allowed = Some("each id once".to_owned()),
                _ => {}
            }
            problem
        })
    }
}

impl PartialSchema for GiveCommand {
    fn schema() -> RefOr<Schema> {
        let id = json!({"type": "integer", "minimum": 1, "maximum": kernel::config::MAX_ENTITIES});
        let command = |name: &str, args: Value| {
            json!({
                "properties": {"command": {"type": "string", "enum": [name]}, "args": args},
                "required": ["command"],
            })
        };
        let none = json!({"type": "object", "additionalProperties": false});
        let with = |properties: Value| {
            let required: Vec<_> = properties
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
            json!({
                "type": "object", "properties": properties, "required": required,
                "additionalProperties": false,
            })
        };
        let place =
            json!({"type": "number", "minimum": -MAX_DISTANCE_M, "maximum": MAX_DISTANCE_M});
        let mut commands = vec![
            command("hold", none.clone()),
            command("release", none.clone()),
            command("return_to_charger", none),
        ];
        for (name, args) in [
            ("goto", json!({"x_m": place, "y_m": place})),
            (
                "set_speed_limit",
                json!({"m_per_s": {"type": "number", "minimum": 0, "maximum": MAX_SPEED_LIMIT_M_PER_S}}),
            ),
            (
                "inject_fault",
                json!({
                    "component": {"type": "string", "enum": COMPONENTS},
                    "for_s": {"type": "number", "minimum": MIN_FAULT_S, "maximum": MAX_FAULT_S},
                }),
            ),
        ] {
            let mut one = command(name, with(args));
            one["required"] = json!(["command", "args"]);
            commands.push(one);
        }
        let targets = ["entity", "entities", "all", "site"];
        let targets = targets.map(|name| json!({"required": [name]}));
        schema(json!({
            "type": "object",
            "description": "Places are metres in the frame of the machine's site. `set_weather`, `station` and other \
                components come with their models and are answered with `not-supported` until then.",
            "properties": {
                "entity": id,
                "entities": {"type": "array", "items": id, "minItems": 1, "maxItems": MAX_COMMAND_ENTITIES, "uniqueItems": true},
                "all": {"type": "boolean", "enum": [true]},
                "site": {"type": "integer", "minimum": 0, "maximum": kernel::config::MAX_ENTITIES},
                "command": {"type": "string", "enum": COMMANDS},
                "args": {"type": "object"},
                "tick": {"type": "integer", "minimum": 1, "maximum": MAX_TICK, "description": "At which tick; left out for as soon as possible."},
            },
            "required": ["command"],
            "additionalProperties": false,
            "allOf": [
                {"oneOf": targets},
                {"oneOf": commands},
            ],
            "example": {"entity": 17, "command": "set_speed_limit", "args": {"m_per_s": 0.1}},
        }))
    }
}

impl ToSchema for GiveCommand {
    fn name() -> std::borrow::Cow<'static, str> {
        "Command".into()
    }
}
