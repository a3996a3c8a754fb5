//! A script of commands: one JSON object a line, in the form in which the API takes a command.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use store::command_json::{CommandError, CommandJson};
use transport::control::CommandRequest;

/// Most lines of a script.
pub(crate) const MAX_SCRIPT_LINES: usize = 1_000_000;
/// Longest line of a script, so that a file that is no script is refused early.
const MAX_LINE_BYTES: usize = 1 << 20;

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
    #[error("missing field `tick`")]
    NoTick,
    #[error("{0}")]
    Command(#[from] CommandError),
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
    let command: CommandJson = serde_json::from_str(line)?;
    if command.tick.is_none() {
        return Err(LineError::NoTick);
    }
    Ok(command.request()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::command::Action;
    use transport::control::Target;

    #[test]
    fn lines_are_commands_of_the_api() {
        let goto = r#"{"tick":7,"entity":3,"command":"goto","args":{"x_m":1.5,"y_m":-2}}"#;
        let command = parse(goto).unwrap();
        let (x_mm, y_mm) = (1_500, -2_000);
        assert_eq!(command.action, Action::Goto { x_mm, y_mm });
        assert_eq!((command.target, command.tick), (Target::Entity(3), Some(7)));
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
        assert!(said(fault).contains("`for_s`: 0 is not from 0.001 to 604800"));
        let extra =
            r#"{"tick":1,"all":true,"command":"set_speed_limit","args":{"m_per_s":1,"x":2}}"#;
        assert!(said(extra).contains("`x`"));
        let unknown = r#"{"tick":1,"all":true,"command":"hold","when":3}"#;
        assert!(said(unknown).contains("`when`"));
    }
}
