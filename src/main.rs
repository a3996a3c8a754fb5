//! The `autofarm` binary: one subcommand a role, one match that dispatches them.

mod certs;
mod config_file;
mod database_args;
mod failure;
mod fleet;
mod gateway_args;
mod logging;
mod metrics_page;
mod migrate;
mod orchestrator_role;
mod run;
mod script;
mod signals;
mod simulation_args;
mod summary;
mod tls_args;
mod token;
mod watch;
mod worker_role;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config_file::Settings;
use crate::logging::Logging;

/// Simulates fleets of autonomous farm machines, on as many computers as it is given.
#[derive(Parser)]
#[command(
    name = "autofarm",
    version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("AUTOFARM_COMMIT"), ")"),
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Every flag can be given as an environment variable too; --help of a command names it.\n\
        Exit codes: 0 done, 1 failed, 2 wrong input; a run that was stopped: 130 by Ctrl-C, 143 by SIGTERM."
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
    /// Runs a farm to its last tick, headless, and prints what happened and a digest.
    Run(Box<run::Run>),
    /// Schedules ticks, places partitions on workers and aggregates what they answer.
    Orchestrator(Box<orchestrator_role::OrchestratorRole>),
    /// Steps partitions for an orchestrator. Keeps nothing that cannot be rebuilt.
    Worker(worker_role::WorkerRole),
    /// Makes, lists and revokes the tokens that the API asks for.
    Token(token::TokenRole),
    /// Shows how the database's schema compares with this build's, and mends it.
    Migrate(migrate::Migrate),
    /// Makes the certificates by which the roles know each other.
    Certs(certs::Certs),
}

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let Cli { logging, role, .. } = cli;
    let default_level = match role {
        // What a run did is in its summary; a role's log is all that it says.
        Role::Run(_) => "warn",
        _ => "info",
    };
    let done = logging.start(default_level).and_then(|_log| match role {
        Role::Run(run) => run.run(),
        Role::Orchestrator(role) => role.run(),
        Role::Worker(role) => role.run(),
        Role::Certs(certs) => certs.run(),
        Role::Token(token) => token.run(),
        Role::Migrate(migrate) => migrate.run(),
    });
    done.unwrap_or_else(|error| failure::report(&error))
}

/// Reads flags, environment and settings file. An exit code where there is nothing left to do.
fn parse() -> Result<Cli, ExitCode> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let mut command = config_file::with_file(Cli::command(), &arguments)
        .map_err(|error| failure::report(&failure::wrong_input(error)))?;
    let matches = command
        .try_get_matches_from_mut(arguments)
        .unwrap_or_else(|error| error.exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if cli.settings.print_config {
        print!(
            "{}",
            config_file::print(&command, &Cli::command(), &matches)
        );
        return Err(ExitCode::SUCCESS);
    }
    Ok(cli)
}
