//! The `autofarm` binary: one subcommand a role, one match that dispatches them.

mod api_args;
mod certs;
mod completions;
mod config_check;
mod config_file;
mod connect_args;
mod database_args;
mod demo;
mod doctor;
mod failure;
mod fleet;
mod gateway_args;
mod gateway_role;
mod greeting;
mod logging;
mod manual;
mod metrics_page;
mod migrate;
mod orchestrator_page;
mod orchestrator_role;
mod process_page;
mod refused;
mod run;
mod scrapes;
mod script;
mod service_args;
mod signals;
mod simulation_args;
mod standard_output;
mod summary;
mod tls_args;
mod token;
mod up;
mod value_parser;
mod watch;
mod wording;
mod worker_role;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config_file::Settings;
use crate::logging::Logging;

/// Commands that tell of a file or of the program itself: no settings are theirs, and none that is wrong keeps them
/// from it.
const WITHOUT_SETTINGS: [&str; 3] = ["config", "completions", "man"];

/// Simulates fleets of autonomous farm machines, on as many computers as it is given.
#[derive(Parser)]
#[command(
    name = "autofarm",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("AUTOFARM_COMMIT"), ")"),
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "`autofarm up` is all that is needed to begin with. What a setting is called in the environment, in\n\
        which unit it is and what it is by default is in --help of each command.\n\
        Exit codes: 0 done; 1 failed, a new start may help; 2 wrong input; a run that was stopped: 130 by\n\
        Ctrl-C, 143 by SIGTERM."
)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    logging: Logging,
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    /// Runs every role in this process, with state in a file: the whole service, without any set-up.
    Up(Box<up::Up>),
    /// Runs a farm to its last tick, headless, and prints what happened and a digest.
    Run(Box<run::Run>),
    /// Schedules ticks, places partitions on workers and aggregates what they answer.
    Orchestrator(Box<orchestrator_role::OrchestratorRole>),
    /// Serves the API for an orchestrator: REST and live streams. Keeps nothing.
    Gateway(Box<gateway_role::GatewayRole>),
    /// Steps partitions for an orchestrator. Keeps nothing that cannot be rebuilt.
    Worker(worker_role::WorkerRole),
    /// Makes, lists and revokes the tokens that the API asks for.
    Token(token::TokenRole),
    /// Shows how the database's schema compares with this build's, and mends it.
    Migrate(migrate::Migrate),
    /// Makes the certificates by which the roles know each other.
    Certs(certs::Certs),
    /// Says whether this machine is fit for AutoFarm, and what to mend.
    Doctor(doctor::Doctor),
    /// Checks a settings file.
    Config(config_check::ConfigRole),
    /// Prints what completes commands and flags in a shell.
    Completions(completions::Completions),
    /// Prints the manual page, or writes those of all commands.
    Man(manual::Manual),
}

impl Role {
    /// What the process is called where logs of many are read together.
    fn service_name(&self) -> &'static str {
        match self {
            Role::Up(_) => "autofarm-up",
            Role::Run(_) => "autofarm-run",
            Role::Orchestrator(_) => "autofarm-orchestrator",
            Role::Gateway(_) => "autofarm-gateway",
            Role::Worker(_) => "autofarm-worker",
            _ => "autofarm",
        }
    }
}

fn main() -> ExitCode {
    match parse() {
        Ok(cli) => run(cli).unwrap_or_else(|error| failure::report(&error)),
        Err(code) => code,
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { logging, role, .. } = cli;
    let default_level = match role {
        // What these did is in what they print; a role's log is all that it says.
        Role::Run(_) | Role::Doctor(_) => "warn",
        _ => "info",
    };
    let service = role.service_name();
    let _log = logging.start(service, default_level)?;
    match role {
        Role::Up(up) => up.run(),
        Role::Run(run) => run.run(),
        Role::Orchestrator(role) => role.run(),
        Role::Gateway(role) => role.run(),
        Role::Worker(role) => role.run(),
        Role::Certs(certs) => certs.run(),
        Role::Token(token) => token.run(),
        Role::Migrate(migrate) => migrate.run(),
        Role::Doctor(doctor) => doctor.run(),
        Role::Config(config) => config.run(&Cli::command()),
        Role::Completions(completions) => completions.run(Cli::command()),
        Role::Man(manual) => manual.run(Cli::command()),
    }
}

/// Reads flags, environment and settings file. An exit code where there is nothing left to do.
fn parse() -> Result<Cli, ExitCode> {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() < 2 {
        eprint!("{}", greeting::HOW_TO_BEGIN);
        return Err(ExitCode::from(failure::WRONG_INPUT));
    }
    let (mut command, file) = match is_without_settings(&arguments) {
        true => (config_file::without_environment(Cli::command()), None),
        false => config_file::with_file(Cli::command(), &arguments)
            .map_err(|error| failure::report(&failure::wrong_input(error)))?,
    };
    let matches = command
        .try_get_matches_from_mut(&arguments)
        .unwrap_or_else(|error| {
            refused::reword(error, &command, &arguments, file.as_deref()).exit()
        });
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.settings.print_config {
        let settings = config_file::print(&command, &Cli::command(), &matches);
        let told = standard_output::tell(settings);
        return Err(told.map_or_else(|error| failure::report(&error), |()| ExitCode::SUCCESS));
    }
    Ok(cli)
}

/// Whether the arguments name a command [`WITHOUT_SETTINGS`]. What is wrong with them is found later.
fn is_without_settings(arguments: &[OsString]) -> bool {
    let lenient = config_file::without_environment(Cli::command()).ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments);
    matches.is_ok_and(|matches| {
        let named = matches.subcommand_name();
        named.is_some_and(|name| WITHOUT_SETTINGS.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{ArgAction, Command};

    /// What is asked for, and nothing that is set once and for all.
    const NO_SETTINGS: [&str; 7] = [
        "apply",
        "help",
        "name",
        "out",
        "print_config",
        "role",
        "version",
    ];
    /// Widest line of help: longer ones are broken wherever they happen to be.
    const WIDTH: usize = 100;

    #[test]
    fn every_flag_says_its_default_and_its_variable_and_every_line_fits() {
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    fn check(command: &Command) {
        let name = command.get_name();
        let after = command.get_after_help().map(ToString::to_string);
        for line in after.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= WIDTH, "{name}: {line}");
        }
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            if arg.is_hide_set() || arg.is_positional() || NO_SETTINGS.contains(&id) {
                // A worker's name is a setting; a token's is what is asked for.
                continue;
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(arg.get_env().is_some(), "{name} --{id} has no variable");
            let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
            let has_default = !arg.get_default_values().is_empty() || help.contains("[default: ");
            assert!(is_switch || has_default, "{name} --{id}: {help}");
        }
        for command in command.get_subcommands() {
            check(command);
        }
    }
}
