//! Settings from a file, and what they come to: `--config FILE` and `--print-config`.
//!
//! A flag counts more than its environment variable, that more than the file, that more than the default.
//! The file is TOML. What stands at its top is for whichever role has such a flag; what stands in a table
//! named after a role is for that role. Keys are the long names of flags, with `-` or `_`. A role that has actions of
//! its own, as `token` has, takes what says where it acts, for all of them, from its table and nowhere else.

mod check;

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

pub(crate) use check::{check, without_environment};

/// Largest settings file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// A key is taken for another one mistyped where at least this part of the letters is the same.
const LEAST_LIKENESS: f64 = 0.5;
/// Flags that say where settings come from, and are none themselves.
const NO_SETTINGS: [&str; 4] = ["config", "print_config", "help", "version"];
/// Flags of actions that say what is done, and are no settings either.
const OF_ACTIONS: [&str; 2] = ["name", "role"];
/// Flags whose value is never shown.
const SECRETS: [&str; 1] = ["token"];

/// Flags of the settings themselves, common to every role.
#[derive(clap::Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// TOML file of settings: keys are the names of flags, at the top or in a table named after the
    /// role. Flags and variables count more [default: none].
    #[arg(long, env = "AUTOFARM_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print what the settings come to, and where each is from, and end. Secrets are hidden.
    #[arg(long, global = true)]
    pub(crate) print_config: bool,
}

/// What is wrong with a settings file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    #[error("config: {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("config: {}: larger than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("config: {}: {source}", path.display())]
    Toml {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("config: {}: `{key}` is no setting of {role}; {}there are {there}", path.display(), did_you_mean(nearest.as_deref()))]
    UnknownKey {
        path: PathBuf,
        key: String,
        role: String,
        /// Of those that are there, if one is like it.
        nearest: Option<String>,
        there: String,
    },
    #[error("config: {}: `{key}`: a {found} is no value of a setting", path.display())]
    Type {
        path: PathBuf,
        key: String,
        found: &'static str,
    },
    #[error("config: {}: `{key}`: {count} values, and {role} takes one", path.display())]
    TooMany {
        path: PathBuf,
        key: String,
        role: String,
        count: usize,
    },
    #[error("config: {}: `{key}` of {role}: {why}", path.display())]
    Value {
        path: PathBuf,
        key: String,
        role: String,
        why: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| {
        format!("did you mean `{nearest}`? Otherwise ")
    })
}

/// The command with the defaults that the settings file gives, and the file, if these arguments name one.
///
/// # Errors
/// [`ConfigFileError`] names the file, and the key that is wrong.
pub(crate) fn with_file(
    command: Command,
    arguments: &[OsString],
) -> Result<(Command, Option<PathBuf>), ConfigFileError> {
    let Some(path) = file_of(&command, arguments) else {
        return Ok((command, None));
    };
    let command = with_settings_of(command, &path, None)?;
    Ok((command, Some(path)))
}

/// The command with the defaults that a settings file gives: of one role, or of all of them.
///
/// # Errors
/// [`ConfigFileError`] names the file, and the key that is wrong.
pub(crate) fn with_settings_of(
    command: Command,
    path: &Path,
    role: Option<&str>,
) -> Result<Command, ConfigFileError> {
    let table = read(path)?;
    let path = path.to_path_buf();
    let file = File { path };
    let mut command = command;
    let roles: Vec<String> = command
        .get_subcommands()
        .map(|role| role.get_name().to_owned())
        .collect();
    for (key, value) in &table {
        match value {
            Value::Table(settings) if roles.contains(key) => {
                if role.is_none_or(|role| role == key) {
                    command = file.apply_table(command, key, settings)?;
                }
            }
            _ => command = file.apply_to_all(command, &roles, key, value)?,
        }
    }
    Ok(command)
}

/// What the settings of the role that was chosen come to, as a settings file. `plain` is the command
/// before [`with_file`].
pub(crate) fn print(command: &Command, plain: &Command, matches: &ArgMatches) -> String {
    let mut text = String::new();
    let Some((role, mut chosen)) = matches.subcommand() else {
        return text;
    };
    let Some(mut of_role) = command.find_subcommand(role) else {
        return text;
    };
    let mut none = NO_SETTINGS.to_vec();
    while let Some((action, deeper)) = chosen.subcommand()
        && let Some(of_action) = of_role.find_subcommand(action)
    {
        (chosen, of_role) = (deeper, of_action);
        none.extend(OF_ACTIONS);
    }
    let _ = writeln!(text, "[{role}]");
    let mut shown = std::collections::BTreeSet::new();
    for arg in of_role.get_arguments().chain(command.get_arguments()) {
        let id = arg.get_id().as_str();
        if none.contains(&id) || arg.is_hide_set() || !shown.insert(id.to_owned()) {
            continue;
        }
        let Some(long) = arg.get_long() else { continue };
        let Some(source) = chosen.value_source(id) else {
            let _ = writeln!(text, "# {long} is not set");
            continue;
        };
        let values: Vec<String> = chosen
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|raw| hide(id, &raw.to_string_lossy()))
            .collect();
        let from = match source {
            ValueSource::CommandLine => "flag",
            ValueSource::EnvVariable => "environment",
            _ if is_default(plain, role, arg, &values) => "default",
            _ => "file",
        };
        let _ = writeln!(text, "{long} = {} # {from}", literal(arg, &values));
    }
    text
}

/// A settings file that is being applied.
struct File {
    path: PathBuf,
}

impl File {
    fn apply_table(
        &self,
        command: Command,
        role: &str,
        settings: &Table,
    ) -> Result<Command, ConfigFileError> {
        let mut command = command;
        for (key, value) in settings {
            let of_role = command.find_subcommand(role);
            let id = of_role.and_then(|c| setting_of_role(c, key));
            let global = setting(&command, key);
            let Some(id) = id.or(global) else {
                let of_role = of_role.into_iter().flat_map(settings_of_role);
                let all = of_role.chain(command.get_arguments());
                return Err(self.unknown(key, role, all));
            };
            let values = self.values(key, value)?;
            if let Some(of_role) = of_role {
                self.check_count(of_role, &id, key, &values)?;
            }
            command = if of_role.is_some_and(|c| with_actions(c).any(|c| has(c, &id))) {
                command.mut_subcommand(role, |c| with_default_in_actions(c, &id, &values))
            } else {
                with_default(command, &id, values)
            };
        }
        Ok(command)
    }

    fn apply_to_all(
        &self,
        command: Command,
        roles: &[String],
        key: &str,
        value: &Value,
    ) -> Result<Command, ConfigFileError> {
        let mut command = command;
        let mut known = false;
        if let Some(id) = setting(&command, key) {
            known = true;
            command = with_default(command, &id, self.values(key, value)?);
        }
        for role in roles {
            let id = command.find_subcommand(role).and_then(|c| setting(c, key));
            if let Some(id) = id {
                known = true;
                let values = self.values(key, value)?;
                command = command.mut_subcommand(role, |c| with_default(c, &id, values));
            }
        }
        if known {
            return Ok(command);
        }
        let of_roles = command.get_subcommands().flat_map(Command::get_arguments);
        let all = of_roles.chain(command.get_arguments());
        Err(self.unknown(key, "any role", all))
    }

    fn unknown<'a>(
        &self,
        key: &str,
        role: &str,
        arguments: impl Iterator<Item = &'a Arg>,
    ) -> ConfigFileError {
        let mut there: Vec<&str> = arguments
            .filter(|a| !NO_SETTINGS.contains(&a.get_id().as_str()) && !a.is_hide_set())
            .filter_map(Arg::get_long)
            .collect();
        there.sort_unstable();
        there.dedup();
        let long = key.replace('_', "-");
        let likeness = |name: &str| strsim::normalized_damerau_levenshtein(name, &long);
        let like = there.iter().filter(|name| likeness(name) >= LEAST_LIKENESS);
        let nearest = like.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
        ConfigFileError::UnknownKey {
            nearest: nearest.map(ToString::to_string),
            path: self.path.clone(),
            key: key.to_owned(),
            role: role.to_owned(),
            there: there.join(", "),
        }
    }

    /// Where a flag has one value, a list of several is a mistake.
    fn check_count(
        &self,
        role: &Command,
        id: &str,
        key: &str,
        values: &[String],
    ) -> Result<(), ConfigFileError> {
        let mut flags = with_actions(role).flat_map(Command::get_arguments);
        let takes_one =
            flags.any(|arg| arg.get_id() == id && !matches!(arg.get_action(), ArgAction::Append));
        match takes_one && values.len() > 1 {
            true => Err(ConfigFileError::TooMany {
                path: self.path.clone(),
                key: key.to_owned(),
                role: role.get_name().to_owned(),
                count: values.len(),
            }),
            false => Ok(()),
        }
    }

    fn values(&self, key: &str, value: &Value) -> Result<Vec<String>, ConfigFileError> {
        let one = |value: &Value| {
            Ok(match value {
                Value::String(text) => text.clone(),
                Value::Integer(n) => n.to_string(),
                Value::Float(x) => x.to_string(),
                Value::Boolean(b) => b.to_string(),
                other => {
                    return Err(ConfigFileError::Type {
                        path: self.path.clone(),
                        key: key.to_owned(),
                        found: other.type_str(),
                    });
                }
            })
        };
        match value {
            Value::Array(values) => values.iter().map(one).collect(),
            value => Ok(vec![one(value)?]),
        }
    }
}

/// The settings file that the arguments or the environment name. What else is wrong with the arguments
/// is found later.
fn file_of(command: &Command, arguments: &[OsString]) -> Option<PathBuf> {
    let mut lenient = command.clone().ignore_errors(true);
    let matches = lenient.try_get_matches_from_mut(arguments).ok()?;
    let (_, mut chosen) = matches.subcommand()?;
    while let Some((_, action)) = chosen.subcommand() {
        chosen = action;
    }
    chosen.try_get_one::<PathBuf>("config").ok()?.cloned()
}

fn read(path: &Path) -> Result<Table, ConfigFileError> {
    let path = path.to_path_buf();
    let failed = |source| ConfigFileError::Read {
        path: path.clone(),
        source,
    };
    if std::fs::metadata(&path).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(ConfigFileError::TooLarge { path });
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    text.parse().map_err(|source| ConfigFileError::Toml {
        path,
        source: Box::new(source),
    })
}

/// The id of the flag that a key names.
fn setting(command: &Command, key: &str) -> Option<String> {
    let long = key.replace('_', "-");
    command
        .get_arguments()
        .filter(|arg| !NO_SETTINGS.contains(&arg.get_id().as_str()) && !arg.is_hide_set())
        .find(|arg| arg.get_long() == Some(&long))
        .map(|arg| arg.get_id().to_string())
}

/// The same of a role or its actions.
fn setting_of_role(role: &Command, key: &str) -> Option<String> {
    let of_actions = || {
        let mut found = (role.get_subcommands()).filter_map(|action| setting(action, key));
        found.find(|id| !OF_ACTIONS.contains(&id.as_str()))
    };
    setting(role, key).or_else(of_actions)
}

/// A role, and the actions that it has.
fn with_actions(role: &Command) -> impl Iterator<Item = &Command> {
    std::iter::once(role).chain(role.get_subcommands())
}

/// The flags of a role, and those of its actions that are settings.
fn settings_of_role(role: &Command) -> impl Iterator<Item = &Arg> {
    let of_actions = role.get_subcommands().flat_map(Command::get_arguments);
    let of_actions = of_actions.filter(|arg| !OF_ACTIONS.contains(&arg.get_id().as_str()));
    role.get_arguments().chain(of_actions)
}

fn has(command: &Command, id: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == id)
}

/// A role with the default of a flag that it has, or that its actions have.
fn with_default_in_actions(role: Command, id: &str, values: &[String]) -> Command {
    if has(&role, id) {
        return with_default(role, id, values.to_vec());
    }
    let having = role.get_subcommands().filter(|action| has(action, id));
    let having: Vec<String> = having.map(|action| action.get_name().to_owned()).collect();
    having.iter().fold(role, |role, action| {
        role.mut_subcommand(action, |action| with_default(action, id, values.to_vec()))
    })
}

fn with_default(command: Command, id: &str, values: Vec<String>) -> Command {
    command.mut_arg(id, |arg| arg.default_values(values).required(false))
}

/// A value as it may be shown: without a secret, and a URL without its password.
fn hide(id: &str, value: &str) -> String {
    match SECRETS.contains(&id) {
        true => "(hidden)".to_owned(),
        false => without_password(value),
    }
}

/// A URL as it may be shown; anything else as it is.
pub(crate) fn without_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else {
        return value.to_owned();
    };
    let user = rest[..at].split(':').next().unwrap_or_default();
    let secret = rest[..at].contains(':');
    let hidden = if secret { ":(hidden)" } else { "" };
    format!("{scheme}://{user}{hidden}{}", &rest[at..])
}

/// Whether these values of a flag are its own default.
fn is_default(plain: &Command, role: &str, arg: &Arg, values: &[String]) -> bool {
    let of_role = plain.find_subcommand(role).into_iter();
    let same = of_role
        .flat_map(with_actions)
        .flat_map(Command::get_arguments)
        .chain(plain.get_arguments())
        .find(|other| other.get_id() == arg.get_id());
    same.is_some_and(|own| {
        let defaults = own.get_default_values().iter();
        let flag = values == ["false"] && own.get_default_values().is_empty();
        flag || defaults
            .map(|v| v.to_string_lossy())
            .eq(values.iter().map(String::as_str))
    })
}

/// Values as TOML has them.
fn literal(arg: &Arg, values: &[String]) -> String {
    let one = |value: &String| match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => value.clone(),
        _ if value.parse::<i64>().is_ok() => value.clone(),
        _ => Value::String(value.clone()).to_string(),
    };
    match values {
        [value] => one(value),
        many => format!("[{}]", many.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
