//! Everything that is wrong with a settings file at once: each key is tried alone, so that none hides another.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Command, Error};
use toml::{Table, Value};

use crate::refused;

use super::{ConfigFileError, File, read, setting};

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Settings that were looked at.
    pub(crate) settings: usize,
    /// What is wrong with some of them.
    pub(crate) errors: Vec<ConfigFileError>,
}

/// Checks what a file says for one role, or for all of them.
///
/// # Errors
/// Where it cannot be read, or is no TOML.
pub(crate) fn check(
    command: &Command,
    path: &Path,
    role: Option<&str>,
) -> Result<Checked, ConfigFileError> {
    let table = read(path)?;
    let path = path.to_path_buf();
    let trial = Trial {
        file: File { path },
        command: without_environment(command.clone()),
        role,
    };
    let mut checked = Checked::default();
    for (key, value) in &table {
        match value {
            Value::Table(settings) if command.find_subcommand(key).is_some() => {
                if role.is_none_or(|role| role == key) {
                    for (name, value) in settings {
                        checked.note(trial.in_table(key, name, value));
                    }
                }
            }
            _ => checked.note(trial.at_the_top(key, value)),
        }
    }
    Ok(checked)
}

impl Checked {
    fn note(&mut self, tried: Result<(), ConfigFileError>) {
        self.settings += 1;
        self.errors.extend(tried.err());
    }
}

/// Settings that are tried alone.
struct Trial<'a> {
    file: File,
    command: Command,
    role: Option<&'a str>,
}

impl Trial<'_> {
    fn in_table(&self, role: &str, key: &str, value: &Value) -> Result<(), ConfigFileError> {
        let alone = Table::from_iter([(key.to_owned(), value.clone())]);
        let command = self.file.apply_table(self.command.clone(), role, &alone)?;
        self.read_by(&command, role, key)
    }

    fn at_the_top(&self, key: &str, value: &Value) -> Result<(), ConfigFileError> {
        let roles: Vec<String> = names(&self.command);
        let command = self
            .file
            .apply_to_all(self.command.clone(), &roles, key, value)?;
        // What is no role's own is global, and read by any.
        let id = setting(&self.command, key);
        let reads = |role: &&String| {
            let of_role = self.command.find_subcommand(role);
            id.is_some() || of_role.is_some_and(|of_role| setting(of_role, key).is_some())
        };
        let asked = |role: &&String| self.role.is_none_or(|asked| asked == **role);
        let values = self.file.values(key, value)?;
        for role in roles.iter().filter(reads).filter(asked) {
            let of_role = self.command.find_subcommand(role);
            if let Some(of_role) = of_role
                && let Some(id) = setting(of_role, key)
            {
                self.file.check_count(of_role, &id, key, &values)?;
            }
            self.read_by(&command, role, key)?;
        }
        Ok(())
    }

    /// Has a role, or its actions, read what has been applied to the command.
    fn read_by(&self, command: &Command, role: &str, key: &str) -> Result<(), ConfigFileError> {
        let of_role = command.find_subcommand(role).expect("it was found before");
        let own: Vec<OsString> = vec![command.get_name().into(), role.into()];
        let actions = of_role
            .get_subcommands()
            .map(|action| [&own[..], &[action.get_name().into()]].concat());
        let calls: Vec<Vec<OsString>> = match of_role.has_subcommands() {
            true => actions.collect(),
            false => vec![own.clone()],
        };
        for call in calls {
            if let Err(error) = command.clone().try_get_matches_from(call)
                && is_of_a_value(&error)
            {
                return Err(ConfigFileError::Value {
                    path: self.file.path.clone(),
                    key: key.to_owned(),
                    role: role.to_owned(),
                    why: refused::in_a_line(&error).unwrap_or_else(|| in_a_line(&error)),
                });
            }
        }
        Ok(())
    }
}

/// Whether a call failed for a value that cannot be read. That others are missing is no fault of the file: flags may
/// give them.
fn is_of_a_value(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ValueValidation
            | ErrorKind::InvalidValue
            | ErrorKind::InvalidUtf8
            | ErrorKind::TooManyValues
            | ErrorKind::TooFewValues
            | ErrorKind::WrongNumberOfValues
    )
}

/// What clap says first, before it says how to ask for help.
fn in_a_line(error: &Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    let line = words.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn names(command: &Command) -> Vec<String> {
    let roles = command.get_subcommands();
    roles.map(|role| role.get_name().to_owned()).collect()
}

/// The command as it is where no variable is set.
pub(crate) fn without_environment(command: Command) -> Command {
    let command = command.mut_args(|arg| arg.env(Resettable::Reset));
    names(&command).into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, without_environment)
    })
}
