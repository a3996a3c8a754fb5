//! A file of flags: `--profile FILE`. It says other defaults, so a flag counts more, and so does a variable.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

/// The subcommand that has a profile.
const LOAD: &str = "load";
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Flags that a profile cannot hold: they say what is to be done instead.
const NO_SETTINGS: [&str; 4] = ["profile", "list_measures", "help", "version"];

/// The command with the defaults that the profile gives, if these arguments name one.
///
/// # Errors
/// What is wrong with the file, by its name and the key.
pub(crate) fn with_profile(command: Command, arguments: &[OsString]) -> anyhow::Result<Command> {
    let mut lenient = command.clone().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from_mut(arguments) else {
        return Ok(command);
    };
    let Some(given) = matches.subcommand_matches(LOAD) else {
        return Ok(command);
    };
    let Some(path) = given.try_get_one::<PathBuf>("profile").ok().flatten() else {
        return Ok(command);
    };
    let place = || format!("profile {}", path.display());
    let table = read(path).with_context(place)?;
    applied(command, &table, given).with_context(place)
}

fn read(path: &Path) -> anyhow::Result<Table> {
    let bytes = std::fs::metadata(path)?.len();
    anyhow::ensure!(bytes <= MAX_BYTES, "larger than {MAX_BYTES} bytes");
    Ok(std::fs::read_to_string(path)?.parse()?)
}

fn applied(command: Command, table: &Table, given: &ArgMatches) -> anyhow::Result<Command> {
    let mut load = (command.find_subcommand(LOAD))
        .expect("there is one")
        .clone();
    let plain = load.clone();
    for (key, value) in table {
        let arg = setting(&plain, key)?;
        let values = values(arg, value).with_context(|| format!("`{key}`"))?;
        for other in plain.get_arg_conflicts_with(arg) {
            let long = other.get_long().unwrap_or_default();
            anyhow::ensure!(
                !table.keys().any(|key| key.replace('_', "-") == long),
                "`{key}` and `{long}` do not go together"
            );
        }
        let conflicts = plain.get_arg_conflicts_with(arg);
        let gives_way = conflicts.iter().any(|other| {
            given.value_source(other.get_id().as_str()) == Some(ValueSource::CommandLine)
        });
        if !gives_way {
            let id = arg.get_id().clone();
            load = load.mut_arg(id, |arg| arg.default_values(values));
        }
    }
    // A value that is wrong is told as the file's, before anything is told of the flags.
    if let Err(error) = load
        .clone()
        .no_binary_name(true)
        .try_get_matches_from([""; 0])
    {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default();
        anyhow::bail!("{}", first.trim_start_matches("error: "));
    }
    Ok(command.mut_subcommand(LOAD, |_| load))
}

/// The flag that a key names.
fn setting<'a>(load: &'a Command, key: &str) -> anyhow::Result<&'a Arg> {
    let long = key.replace('_', "-");
    let settings = || {
        let all = load.get_arguments();
        all.filter(|arg| !NO_SETTINGS.contains(&arg.get_id().as_str()))
    };
    if let Some(arg) = settings().find(|arg| arg.get_long() == Some(&long)) {
        return Ok(arg);
    }
    let mut there: Vec<_> = settings().filter_map(Arg::get_long).collect();
    there.sort_unstable();
    anyhow::bail!("`{key}` is no setting; there are {}", there.join(", "))
}

fn values(arg: &Arg, value: &Value) -> anyhow::Result<Vec<String>> {
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    match value {
        Value::Array(many) => {
            anyhow::ensure!(
                matches!(arg.get_action(), ArgAction::Append),
                "a list, where one value is wanted"
            );
            many.iter().map(one).collect()
        }
        Value::Boolean(_) if is_flag => Ok(vec![one(value)?]),
        _ if is_flag => anyhow::bail!("want true or false, not a {}", value.type_str()),
        value => Ok(vec![one(value)?]),
    }
}

fn one(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Boolean(b) => b.to_string(),
        other => anyhow::bail!("a {} is no value of a setting", other.type_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    use crate::Cli;
    use crate::load::args::{LoadArgs, Speed};

    /// What the arguments of `perf load` come to with a profile of this text.
    fn load(profile: &str, arguments: &[&str]) -> anyhow::Result<LoadArgs> {
        let mut given = Cli::command().ignore_errors(true);
        let whole = [&["perf", LOAD][..], arguments].concat();
        let given = given.try_get_matches_from_mut(&whole)?;
        let given = given.subcommand_matches(LOAD).unwrap();
        let command = applied(Cli::command(), &profile.parse()?, given)?;
        let matches = command.try_get_matches_from(whole)?;
        Ok(LoadArgs::from_arg_matches(
            matches.subcommand_matches(LOAD).unwrap(),
        )?)
    }

    #[test]
    fn a_flag_counts_more_than_the_file_and_that_more_than_the_default() {
        let profile =
            "entities = 5000\nspeed = \"max\"\nrest_per_s = 2.5\nkeep = true\njson-clients = 3";
        let args = load(profile, &["--json-clients", "7"]).unwrap();
        assert_eq!((args.entities, args.json_clients), (5_000, 7));
        assert_eq!((args.speed, args.rest_per_s), (Speed::Max, 2.5));
        assert!(args.keep);
        assert_eq!(args.binary_clients, 10, "as it is by default");
    }

    #[test]
    fn a_list_is_replaced_by_flags_and_not_added_to() {
        let profile = "fail-if = ['tick.p99>12ms', 'late_ticks>0']";
        let texts = |args: LoadArgs| -> Vec<String> {
            args.output.fail_if.into_iter().map(|t| t.text).collect()
        };
        let file = texts(load(profile, &[]).unwrap());
        assert_eq!(file, ["tick.p99>12ms", "late_ticks>0"]);
        let flag = texts(load(profile, &["--fail-if", "tick.p50>1ms"]).unwrap());
        assert_eq!(flag, ["tick.p50>1ms"]);
    }

    #[test]
    fn what_a_flag_excludes_gives_way_in_the_file() {
        let args = load("simulations = 3", &["--simulation", "s-1"]).unwrap();
        assert_eq!(args.simulation, ["s-1"]);
        let args = load("simulation = ['s-1']", &["--simulations", "2"]).unwrap();
        assert_eq!((args.simulation.len(), args.simulations), (0, 2));
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_by_its_key() {
        for (profile, said) in [
            ("entitys = 5", "`entitys` is no setting; there are"),
            ("profile = 'x'", "`profile` is no setting"),
            ("[load]\nentities = 5", "`load` is no setting"),
            ("entities = 0", "--entities"),
            ("entities = 'many'", "--entities"),
            ("entities = [1, 2]", "`entities`: a list"),
            ("entities = 2026-01-01", "`entities`: a datetime"),
            ("keep = 1", "`keep`: want true or false"),
            ("fail-if = ['tock.p99>1ms']", "tock.p99"),
            ("fail-if = ['tick.p99>1']", "us, µs, ms, s"),
            ("simulation = ['a']\nsimulations = 2", "do not go together"),
            ("entities = ", "TOML"),
        ] {
            let error = format!("{:#}", load(profile, &[]).unwrap_err());
            assert!(error.contains(said), "{profile}: {error}");
        }
    }
}
