//! `autofarm config check`: everything that is wrong with a settings file, without starting anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, FromArgMatches as _};

use crate::api_args::ApiArgs;
use crate::config_file::{self, ConfigFileError};
use crate::failure::{WRONG_INPUT, wrong_input};
use crate::standard_output::tell;
use crate::wording::counted;

/// Flags of `autofarm config`.
#[derive(clap::Args)]
pub(crate) struct ConfigRole {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Names every unknown key and every bad value of a settings file, whatever the environment says.
    Check(Check),
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm config check /etc/autofarm/autofarm.toml\n  \
    autofarm config check /etc/autofarm/autofarm.toml --role gateway\n\n\
    Exit code 0: every key is known and every value can be read; 2: not so. Whether what values name is\n\
    there, as files and hosts, is not looked at. What all settings of a role come to, with flags and\n\
    environment, is told by --print-config of the role.")]
struct Check {
    /// The file.
    file: PathBuf,
    /// Command whose settings are looked at, as `gateway`: its own table, and what stands at the top
    /// [default: every one].
    #[arg(long, value_name = "COMMAND")]
    role: Option<String>,
}

impl ConfigRole {
    /// Checks, and says what is wrong.
    ///
    /// # Errors
    /// Where the file cannot be read, or there is no such role.
    pub(crate) fn run(&self, command: &Command) -> anyhow::Result<ExitCode> {
        let Action::Check(Check { file, role }) = &self.action;
        if let Some(role) = role
            && command.find_subcommand(role).is_none()
        {
            let there: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            let there = there.join(", ");
            return Err(wrong_input(format!(
                "role: `{role}` is no command; there are {there}"
            )));
        }
        let checked = config_file::check(command, file, role.as_deref()).map_err(wrong_input)?;
        let mut errors: Vec<String> = checked.errors.iter().map(ToString::to_string).collect();
        if errors.is_empty() {
            errors = https(command, file, role.as_deref()).map_err(wrong_input)?;
        }
        for error in &errors {
            eprintln!("error: {error}");
        }
        let (settings, wrong) = (checked.settings, errors.len());
        match wrong {
            0 => {
                let settings = counted(settings, "setting");
                tell(format!(
                    "{}: {settings}, each known and readable\n",
                    file.display()
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            _ => {
                let settings = counted(settings, "setting");
                let are = if wrong == 1 { "is" } else { "are" };
                eprintln!("{}: {wrong} of {settings} {are} wrong", file.display());
                Ok(ExitCode::from(WRONG_INPUT))
            }
        }
    }
}

/// What no setting shows alone: HTTPS of each role that serves the API, or looks whether it could be, needs both of its
/// files. Flags and variables do not complete a half that the file gives.
///
/// # Errors
/// Where the file cannot be read.
fn https(
    command: &Command,
    file: &Path,
    role: Option<&str>,
) -> Result<Vec<String>, ConfigFileError> {
    let plain = config_file::without_environment(command.clone());
    let given = config_file::with_settings_of(plain, file, role)?;
    let roles = given.get_subcommands();
    let serving = roles.filter(|of_role| {
        of_role
            .get_arguments()
            .any(|arg| arg.get_id() == "tls_cert")
    });
    let asked = serving.filter(|of_role| role.is_none_or(|role| role == of_role.get_name()));
    let mut refusals: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for of_role in asked {
        // What only a flag gives is missing here, and is no fault of the file.
        let lenient = of_role.clone().mut_args(|arg| arg.required(false));
        let matches = lenient.try_get_matches_from([of_role.get_name()]);
        let read = matches.and_then(|matches| ApiArgs::from_arg_matches(&matches));
        if let Ok(Err(error)) = read.map(|api| api.https()) {
            let roles = refusals.entry(error.to_string()).or_default();
            roles.push(of_role.get_name());
        }
    }
    let refusals = refusals.iter();
    let told = refusals.map(|(error, roles)| {
        let roles = roles.join(", ");
        format!("config: {}: {roles}: {error}", file.display())
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn refused(text: &str, role: Option<&str>) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let checked = config_file::check(&crate::Cli::command(), file.path(), role).unwrap();
        assert!(
            checked.errors.is_empty(),
            "each is right alone: {:?}",
            checked.errors
        );
        https(&crate::Cli::command(), file.path(), role).unwrap()
    }

    /// Each setting is right alone, and the role refused the file nevertheless.
    #[test]
    fn https_with_half_of_its_files_is_named_for_each_role_that_would_refuse_it() {
        for (given, missing) in [("tls-cert", "tls-key"), ("tls-key", "tls-cert")] {
            for role in ["up", "gateway", "doctor"] {
                let text = format!("[{role}]\n{given} = \"x.pem\"\n");
                let errors = refused(&text, None);
                assert_eq!(errors.len(), 1, "{errors:?}");
                let wanted = format!("{role}: {missing}: there is none for the ");
                assert!(errors[0].contains(&wanted), "{errors:?}");
                assert_eq!(refused(&text, Some(role)).len(), 1);
                assert_eq!(refused(&text, Some("worker")), [""; 0]);
            }
            let errors = refused(&format!("{given} = \"x.pem\"\n"), None);
            assert_eq!(errors.len(), 1, "at the top it is one for all: {errors:?}");
            assert!(errors[0].contains("up, gateway, doctor: "), "{errors:?}");
            let both = format!("{given} = \"x.pem\"\n[up]\n{missing} = \"y.pem\"\n");
            let errors = refused(&both, None);
            assert!(errors[0].contains(": gateway, doctor: "), "{errors:?}");
            assert_eq!(refused(&both, Some("up")), [""; 0]);
        }
        assert_eq!(refused("[up]\nburst = 5\n", None), [""; 0]);
    }
}
