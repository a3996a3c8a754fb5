//! A script of commands: one JSON object a line, in the form in which the API takes a command.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use kernel::command::{Action, Component};
use orchestrator::control::{CommandRequest, Target};
use serde::Deserialize;
use serde_json::Value;

/// Most lines of a script.
pub(crate) const MAX_SCRIPT_LINES: usize = 1_000_000;
/// Longest line of a script, so that a file that is no script is refused early.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Farthest that a target may lie from the site's origin; the kernel's positions end there.
const MAX_DISTANCE_M: f64 = 32_000.0;
/// Fastest speed limit.
const MAX_SPEED_M_PER_S: f64 = 100.0;
/// Longest injected fault, a week.
const MAX_FAULT_S: f64 = 7.0 * 86_400.0;

/// What is wrong with a script.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    #[error("commands: {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("commands: {}:{line}: {error}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        error: LineError,
    },
    #[error("commands: {}: more than {MAX_SCRIPT_LINES} lines", path.display())]
    TooLong { path: PathBuf },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("give just one of `entity`, `entities`, `site` and `all`")]
    Target,
    #[error("`{field}`: {value} is not in {min}..={max}")]
    OutOfRange {
        field: &'static str,
        value: f64,
        min: f64,
        max: f64,
    },
}

/// One line: `{"tick":100,"entity":17,"command":"set_speed_limit","args":{"m_per_s":0.1}}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tick: u64,
    entity: Option<u32>,
    entities: Option<Vec<u32>>,
    site: Option<u32>,
    all: Option<bool>,
    command: Name,
    #[serde(default)]
    args: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Hold,
    Release,
    ReturnToCharger,
    Goto,
    SetSpeedLimit,
    InjectFault,
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
    component: ComponentArg,
    for_s: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ComponentArg {
    Drive,
    Battery,
}

/// Reads a script. Empty lines are passed over.
///
/// # Errors
/// [`ScriptError`] names the file, and the line that is wrong.
pub(crate) fn read(path: &Path) -> Result<Vec<CommandRequest>, ScriptError> {
    let failed = |source| ScriptError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut commands = Vec::new();
    for (number, line) in (1..).zip(std::io::BufReader::new(file).lines()) {
        if number > MAX_SCRIPT_LINES {
            let path = path.to_path_buf();
            return Err(ScriptError::TooLong { path });
        }
        let line = line.map_err(failed)?;
        if line.trim().is_empty() {
            continue;
        }
        let command = parse(&line).map_err(|error| ScriptError::Line {
            path: path.to_path_buf(),
            line: number,
            error,
        })?;
        commands.push(command);
    }
    Ok(commands)
}

fn parse(line: &str) -> Result<CommandRequest, LineError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    let line: Line = serde_json::from_str(line)?;
    let target = match (line.entity, line.entities, line.site, line.all) {
        (Some(entity), None, None, None) => Target::Entity(entity),
        (None, Some(entities), None, None) => Target::Entities(entities),
        (None, None, Some(site), None) => Target::Site(site),
        (None, None, None, Some(true)) => Target::All,
        _ => return Err(LineError::Target),
    };
    Ok(CommandRequest {
        target,
        action: action(&line.command, Value::Object(line.args))?,
        tick: Some(line.tick),
    })
}

fn action(name: &Name, args: Value) -> Result<Action, LineError> {
    let plain = |args, action| serde_json::from_value::<NoArgs>(args).map(|_| action);
    Ok(match name {
        Name::Hold => plain(args, Action::Hold)?,
        Name::Release => plain(args, Action::Release)?,
        Name::ReturnToCharger => plain(args, Action::ReturnToCharger)?,
        Name::Goto => {
            let to: GotoArgs = serde_json::from_value(args)?;
            Action::Goto {
                x_mm: milli("x_m", to.x_m, -MAX_DISTANCE_M, MAX_DISTANCE_M)?,
                y_mm: milli("y_m", to.y_m, -MAX_DISTANCE_M, MAX_DISTANCE_M)?,
            }
        }
        Name::SetSpeedLimit => {
            let limit: SpeedLimitArgs = serde_json::from_value(args)?;
            Action::SetSpeedLimit {
                mm_per_s: milli("m_per_s", limit.m_per_s, 0.0, MAX_SPEED_M_PER_S)?,
            }
        }
        Name::InjectFault => {
            let fault: FaultArgs = serde_json::from_value(args)?;
            Action::InjectFault {
                component: match fault.component {
                    ComponentArg::Drive => Component::Drive,
                    ComponentArg::Battery => Component::Battery,
                },
                for_ms: milli("for_s", fault.for_s, 0.001, MAX_FAULT_S)?,
            }
        }
    })
}

/// A value in thousandths of its unit.
fn milli(field: &'static str, value: f64, min: f64, max: f64) -> Result<i32, LineError> {
    if !(min..=max).contains(&value) {
        return Err(LineError::OutOfRange {
            field,
            value,
            min,
            max,
        });
    }
    Ok((value * 1_000.0).round() as i32)
}

const _: () = assert!(MAX_FAULT_S * 1_000.0 < i32::MAX as f64);
const _: () = assert!(MAX_DISTANCE_M * 1_000.0 < i32::MAX as f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_of_the_api() {
        let goto = r#"{"tick":7,"entity":3,"command":"goto","args":{"x_m":1.5,"y_m":-2}}"#;
        let command = parse(goto).unwrap();
        let (x_mm, y_mm) = (1_500, -2_000);
        assert_eq!(command.action, Action::Goto { x_mm, y_mm });
        assert_eq!((command.target, command.tick), (Target::Entity(3), Some(7)));
        let hold = parse(r#"{"tick":1,"site":2,"command":"hold"}"#).unwrap();
        assert_eq!(hold.target, Target::Site(2));
        let hold = parse(r#"{"tick":1,"all":true,"command":"hold"}"#).unwrap();
        assert_eq!((hold.target, hold.action), (Target::All, Action::Hold));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |line: &str| parse(line).unwrap_err().to_string();
        assert!(said(r#"{"tick":1,"all":true,"command":"jump"}"#).contains("`jump`"));
        assert!(said(r#"{"tick":1,"command":"hold"}"#).contains("`entity`"));
        assert!(said(r#"{"all":true,"command":"hold"}"#).contains("`tick`"));
        let fault = r#"{"tick":1,"all":true,"command":"inject_fault","args":{"component":"drive","for_s":0}}"#;
        assert!(said(fault).contains("`for_s`: 0 is not in 0.001..=604800"));
        let extra =
            r#"{"tick":1,"all":true,"command":"set_speed_limit","args":{"m_per_s":1,"x":2}}"#;
        assert!(said(extra).contains("`x`"));
        let unknown = r#"{"tick":1,"all":true,"command":"hold","when":3}"#;
        assert!(said(unknown).contains("`when`"));
    }
}
