//! A command as JSON: the same object in REST, in scripts and wherever commands are listed.

use std::collections::HashSet;

use kernel::command::{Action, Component};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use transport::control::{CommandRequest, MAX_COMMAND_ENTITIES, Target};

/// Farthest that a target may lie from the site's origin, m; the kernel's positions end there.
pub const MAX_DISTANCE_M: f64 = 32_000.0;
/// Fastest speed limit, m/s.
pub const MAX_SPEED_LIMIT_M_PER_S: f64 = 100.0;
/// Shortest injected fault, s: what is told apart.
pub const MIN_FAULT_S: f64 = 0.001;
/// Longest injected fault, s: a week.
pub const MAX_FAULT_S: f64 = 7.0 * 86_400.0;
/// Every command.
pub const COMMANDS: [&str; 6] = [
    "hold",
    "release",
    "goto",
    "return_to_charger",
    "set_speed_limit",
    "inject_fault",
];
/// Parts that can be made to fail.
pub const COMPONENTS: [&str; 2] = ["drive", "battery"];

const _: () = assert!(MAX_FAULT_S * 1_000.0 < i32::MAX as f64);
const _: () = assert!(MAX_DISTANCE_M * 1_000.0 < i32::MAX as f64);

/// A command: `{"tick":100,"entity":17,"command":"set_speed_limit","args":{"m_per_s":0.1}}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandJson {
    /// At which tick; left out for as soon as possible.
    pub tick: Option<u64>,
    /// For one machine.
    pub entity: Option<u32>,
    /// For some machines.
    pub entities: Option<Vec<u32>>,
    /// `true` for all machines.
    pub all: Option<bool>,
    /// For the machines of one site, 0-based.
    pub site: Option<u32>,
    /// For a station. Not supported yet.
    pub station: Option<Value>,
    /// One of [`COMMANDS`].
    pub command: String,
    /// What it takes.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// What is wrong with a command.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// None or several of the targets.
    #[error("give just one of `entity`, `entities`, `all` (as true) and `site`")]
    Target,
    /// No machine, or too many.
    #[error("`entities`: {count} ids are not from 1 to {MAX_COMMAND_ENTITIES}")]
    Entities {
        /// How many there were.
        count: usize,
    },
    /// A machine named twice.
    #[error("`entities`: {entity} is named more than once")]
    Repeated {
        /// Which.
        entity: u32,
        /// Where for the second time, from 0 on.
        at: usize,
    },
    /// No command of that name.
    #[error("`command`: `{name}` is none of {}", COMMANDS.join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// Arguments that are not the command's.
    #[error("`args`: {detail}")]
    Args {
        /// The argument; empty where it is all of them.
        field: String,
        /// What is wrong.
        detail: String,
    },
    /// A number outside its range.
    #[error("`{field}`: {value} is not from {min} to {max}")]
    OutOfRange {
        /// The argument.
        field: &'static str,
        /// What was given.
        value: f64,
        /// Least that is allowed.
        min: f64,
        /// Most that is allowed.
        max: f64,
    },
    /// What comes with a later version.
    #[error("`{field}`: {detail}")]
    NotSupported {
        /// The field.
        field: &'static str,
        /// What is missing.
        detail: &'static str,
    },
}

impl CommandError {
    /// The offending field, by its path.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            CommandError::Target => "entity".to_owned(),
            CommandError::Entities { .. } => "entities".to_owned(),
            CommandError::Repeated { at, .. } => format!("entities[{at}]"),
            CommandError::Unknown { .. } => "command".to_owned(),
            CommandError::Args { field, .. } if field.is_empty() => "args".to_owned(),
            CommandError::Args { field, .. } => format!("args.{field}"),
            CommandError::OutOfRange { field, .. } => format!("args.{field}"),
            CommandError::NotSupported { field, .. } => (*field).to_owned(),
        }
    }
}

impl CommandJson {
    /// The command that it is.
    ///
    /// # Errors
    /// [`CommandError`] names the first thing that is wrong.
    pub fn request(self) -> Result<CommandRequest, CommandError> {
        if self.station.is_some() {
            return Err(CommandError::NotSupported {
                field: "station",
                detail: "stations take commands once their model is there",
            });
        }
        Ok(CommandRequest {
            target: target(self.entity, self.entities, self.all, self.site)?,
            action: action(&self.command, self.args)?,
            tick: self.tick,
        })
    }
}

fn target(
    entity: Option<u32>,
    entities: Option<Vec<u32>>,
    all: Option<bool>,
    site: Option<u32>,
) -> Result<Target, CommandError> {
    match (entity, entities, all, site) {
        (Some(entity), None, None, None) => Ok(Target::Entity(entity)),
        (None, Some(entities), None, None) => some(entities),
        (None, None, Some(true), None) => Ok(Target::All),
        (None, None, None, Some(site)) => Ok(Target::Site(site)),
        _ => Err(CommandError::Target),
    }
}

fn some(entities: Vec<u32>) -> Result<Target, CommandError> {
    let count = entities.len();
    if !(1..=MAX_COMMAND_ENTITIES).contains(&count) {
        return Err(CommandError::Entities { count });
    }
    let mut seen = HashSet::with_capacity(count);
    if let Some(at) = entities.iter().position(|entity| !seen.insert(entity)) {
        let entity = entities[at];
        return Err(CommandError::Repeated { entity, at });
    }
    Ok(Target::Entities(entities))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GotoArgs {
    x_m: f64,
    y_m: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpeedLimitArgs {
    m_per_s: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultArgs {
    component: String,
    kind: Option<Value>,
    for_s: f64,
}

fn action(name: &str, args: Map<String, Value>) -> Result<Action, CommandError> {
    Ok(match name {
        "hold" => plain(args, Action::Hold)?,
        "release" => plain(args, Action::Release)?,
        "return_to_charger" => plain(args, Action::ReturnToCharger)?,
        "goto" => {
            let to: GotoArgs = read(args)?;
            Action::Goto {
                x_mm: milli("x_m", to.x_m, -MAX_DISTANCE_M, MAX_DISTANCE_M)?,
                y_mm: milli("y_m", to.y_m, -MAX_DISTANCE_M, MAX_DISTANCE_M)?,
            }
        }
        "set_speed_limit" => {
            let limit: SpeedLimitArgs = read(args)?;
            Action::SetSpeedLimit {
                mm_per_s: milli("m_per_s", limit.m_per_s, 0.0, MAX_SPEED_LIMIT_M_PER_S)?,
            }
        }
        "inject_fault" => fault(&read(args)?)?,
        "set_weather" => {
            return Err(CommandError::NotSupported {
                field: "command",
                detail: "set_weather comes with the model of weather",
            });
        }
        name => {
            return Err(CommandError::Unknown {
                name: name.to_owned(),
            });
        }
    })
}

fn fault(args: &FaultArgs) -> Result<Action, CommandError> {
    let component = match args.component.as_str() {
        "drive" => Component::Drive,
        "battery" => Component::Battery,
        _ => {
            return Err(CommandError::NotSupported {
                field: "args.component",
                detail: "only drive and battery can be made to fail",
            });
        }
    };
    if args.kind.is_some() {
        return Err(CommandError::NotSupported {
            field: "args.kind",
            detail: "a component fails in one way only; leave it out",
        });
    }
    let for_ms = milli("for_s", args.for_s, MIN_FAULT_S, MAX_FAULT_S)?;
    Ok(Action::InjectFault { component, for_ms })
}

fn plain(args: Map<String, Value>, action: Action) -> Result<Action, CommandError> {
    read::<NoArgs>(args).map(|_| action)
}

fn read<T: DeserializeOwned>(args: Map<String, Value>) -> Result<T, CommandError> {
    serde_path_to_error::deserialize(Value::Object(args)).map_err(|error| {
        let path = error.path().to_string();
        CommandError::Args {
            field: path.trim_end_matches(['.', '?']).to_owned(),
            detail: error.inner().to_string(),
        }
    })
}

/// A value in thousandths of its unit.
fn milli(field: &'static str, value: f64, min: f64, max: f64) -> Result<i32, CommandError> {
    if !(min..=max).contains(&value) {
        return Err(CommandError::OutOfRange {
            field,
            value,
            min,
            max,
        });
    }
    Ok((value * 1_000.0).round() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(json: Value) -> Result<CommandRequest, CommandError> {
        let command: CommandJson = serde_json::from_value(json).expect("it is a command");
        command.request()
    }

    #[test]
    fn every_command_and_every_target_is_read() {
        let goto = json!({"tick":7,"entity":3,"command":"goto","args":{"x_m":1.5,"y_m":-2}});
        let (x_mm, y_mm) = (1_500, -2_000);
        let expected = CommandRequest {
            target: Target::Entity(3),
            action: Action::Goto { x_mm, y_mm },
            tick: Some(7),
        };
        assert_eq!(request(goto), Ok(expected));
        let of = |target: Value| {
            let mut json = json!({"command": "hold"});
            let fields = target.as_object().unwrap().clone();
            json.as_object_mut().unwrap().extend(fields);
            request(json).map(|request| request.target)
        };
        assert_eq!(of(json!({"all": true})), Ok(Target::All));
        assert_eq!(of(json!({"site": 0})), Ok(Target::Site(0)));
        assert_eq!(
            of(json!({"entities": [2, 1]})),
            Ok(Target::Entities(vec![2, 1]))
        );
        let action = |command: &str, args: Value| {
            request(json!({"all": true, "command": command, "args": args})).map(|r| r.action)
        };
        assert_eq!(action("release", json!({})), Ok(Action::Release));
        assert_eq!(
            action("return_to_charger", json!({})),
            Ok(Action::ReturnToCharger)
        );
        assert_eq!(
            action("set_speed_limit", json!({"m_per_s": 0.1})),
            Ok(Action::SetSpeedLimit { mm_per_s: 100 })
        );
        assert_eq!(
            action("inject_fault", json!({"component": "battery", "for_s": 2})),
            Ok(Action::InjectFault {
                component: Component::Battery,
                for_ms: 2_000
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |json: Value| {
            let error = request(json).expect_err("it is wrong");
            (error.field(), error)
        };
        let all = |command: &str, args: Value| {
            wrong(json!({"all": true, "command": command, "args": args}))
        };
        for target in [
            json!({"command": "hold"}),
            json!({"command": "hold", "all": false}),
            json!({"command": "hold", "all": true, "entity": 1}),
            json!({"command": "hold", "site": 1, "entities": [1]}),
        ] {
            assert_eq!(wrong(target).1, CommandError::Target);
        }
        let many: Vec<u32> = (1..=MAX_COMMAND_ENTITIES as u32 + 1).collect();
        for entities in [vec![], many] {
            let (field, _) = wrong(json!({"entities": entities, "command": "hold"}));
            assert_eq!(field, "entities");
        }
        let (_, twice) = wrong(json!({"entities": [3, 1, 3], "command": "hold"}));
        assert_eq!(twice, CommandError::Repeated { entity: 3, at: 2 });
        assert_eq!(all("jump", json!({})).0, "command");
        assert_eq!(all("hold", json!({"x": 1})).0, "args.x");
        assert_eq!(all("goto", json!({"x_m": "a", "y_m": 1})).0, "args.x_m");
        assert_eq!(
            all("goto", json!({"x_m": 32_000.1, "y_m": 1})).0,
            "args.x_m"
        );
        assert_eq!(
            all("set_speed_limit", json!({"m_per_s": -0.1})).0,
            "args.m_per_s"
        );
        assert_eq!(
            all("inject_fault", json!({"component": "drive", "for_s": 0})).0,
            "args.for_s"
        );
        let unsupported = [
            all("set_weather", json!({})),
            all("inject_fault", json!({"component": "gps", "for_s": 1})),
            all(
                "inject_fault",
                json!({"component": "drive", "kind": "stuck", "for_s": 1}),
            ),
            wrong(json!({"station": 1, "command": "hold"})),
        ];
        let fields = unsupported.map(|(field, error)| {
            assert!(matches!(error, CommandError::NotSupported { .. }));
            field
        });
        assert_eq!(
            fields,
            ["command", "args.component", "args.kind", "station"]
        );
    }
}
