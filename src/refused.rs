//! What is said of flags that are refused. It is one form for all of them: the flag, the value, where the value is from if it was
//! not given as a flag, and what is allowed; and of flags that are missing, what they are and how else they can be given.

use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use crate::config_file::without_environment;
use crate::wording::one_of;

/// How help is asked for, which every refusal ends with.
const MORE: &str = "For more information, try '--help'.";

/// The refusal of a call in words of this program; whatever has no value and no flag that is missing stays as it is. `file` is the
/// settings file whose values the command has as its defaults.
pub(crate) fn reword(
    error: Error,
    command: &Command,
    arguments: &[OsString],
    file: Option<&Path>,
) -> Error {
    let role = role_of(command, arguments);
    let words = match error.kind() {
        ErrorKind::MissingRequiredArgument => missing(&error, &role),
        _ => value(&error).map(|refused| {
            let arg = find(&role, &refused.flag);
            let from = arg.and_then(|arg| source(arg, arguments, file));
            refused.told(from.as_deref())
        }),
    };
    match words {
        Some(words) => Error::raw(error.kind(), format!("{words}\n\n{MORE}\n")).with_cmd(command),
        None => error,
    }
}

/// The same of a value in one line, where whoever tells it says where it is from.
pub(crate) fn in_a_line(error: &Error) -> Option<String> {
    value(error).map(|refused| refused.told(None))
}

/// A value that is refused.
struct Refused {
    /// The flag as help shows it: `--threads <N>`.
    flag: String,
    /// `None` where it is a secret.
    value: Option<String>,
    why: String,
}

impl Refused {
    fn told(&self, from: Option<&str>) -> String {
        let Refused { flag, value, why } = self;
        let from = from.map_or(String::new(), |from| format!(" from {from}"));
        match value {
            Some(value) => format!("invalid value '{value}' for '{flag}'{from}: {why}"),
            None => format!("invalid value for '{flag}'{from}, which is not shown: {why}"),
        }
    }
}

/// What an error says of a value, if it is of one.
fn value(error: &Error) -> Option<Refused> {
    let flag = text(error, ContextKind::InvalidArg)?;
    let value = text(error, ContextKind::InvalidValue);
    let why = match error.kind() {
        ErrorKind::ValueValidation => match error.source() {
            Some(why) => why.to_string(),
            None => text(error, ContextKind::Custom)?,
        },
        // Where there is no value at all, that is the fault.
        ErrorKind::InvalidValue if value.as_ref().is_some_and(|value| !value.is_empty()) => {
            let Some(ContextValue::Strings(allowed)) = error.get(ContextKind::ValidValue) else {
                return None;
            };
            format!("{} is expected", one_of(allowed))
        }
        _ => return None,
    };
    Some(Refused { flag, value, why })
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Which flags are missing, what they are, and how else they can be given.
fn missing(error: &Error, role: &Command) -> Option<String> {
    let Some(ContextValue::Strings(flags)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let mut words = "the following required arguments were not provided:".to_owned();
    for flag in flags {
        words += &format!("\n  {flag}");
        let Some(arg) = find(role, flag) else {
            continue;
        };
        if let Some(variable) = arg.get_env() {
            words += &format!(", or {} in the environment", variable.to_string_lossy());
        }
        if let Some(help) = arg.get_help() {
            let help = help.to_string();
            let help = help.split(" [default: ").next().unwrap_or_default();
            words += &format!(": {}", help.trim_end_matches('.'));
        }
    }
    Some(words)
}

/// Where the value of a flag is from, unless it is the flag itself.
fn source(arg: &Arg, arguments: &[OsString], file: Option<&Path>) -> Option<String> {
    let long = arg.get_long()?;
    let flag = format!("--{long}");
    let with_value = format!("{flag}=");
    let mut given = arguments.iter().map(|argument| argument.to_string_lossy());
    if given.any(|given| given == flag || given.starts_with(&with_value)) {
        return None;
    }
    let variable = arg
        .get_env()
        .filter(|name| std::env::var_os(name).is_some());
    variable
        .map(|name| name.to_string_lossy().into_owned())
        .or_else(|| file.map(|file| format!("`{long}` in {}", file.display())))
}

/// The role, or its action, that arguments name, with what is common to all. What is wrong with them does not matter here.
fn role_of(command: &Command, arguments: &[OsString]) -> Command {
    let mut lenient = without_environment(command.clone()).ignore_errors(true);
    let matches = lenient.try_get_matches_from_mut(arguments);
    let mut role = command.clone();
    role.build();
    let Ok(matches) = matches else {
        return role;
    };
    let mut chosen = &matches;
    while let Some((name, deeper)) = chosen.subcommand()
        && let Some(found) = role.find_subcommand(name)
    {
        role = found.clone();
        chosen = deeper;
    }
    role
}

fn find<'a>(role: &'a Command, flag: &str) -> Option<&'a Arg> {
    role.get_arguments().find(|arg| arg.to_string() == flag)
}
