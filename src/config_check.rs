//! `autofarm config check`: everything that is wrong with a settings file, without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;

use crate::config_file;
use crate::failure::{WRONG_INPUT, wrong_input};
use crate::standard_output::tell;

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
        for error in &checked.errors {
            eprintln!("error: {error}");
        }
        let (settings, wrong) = (checked.settings, checked.errors.len());
        match wrong {
            0 => {
                tell(format!(
                    "{}: {settings} settings, each known and readable\n",
                    file.display()
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            _ => {
                eprintln!(
                    "{}: {wrong} of {settings} settings are wrong",
                    file.display()
                );
                Ok(ExitCode::from(WRONG_INPUT))
            }
        }
    }
}
