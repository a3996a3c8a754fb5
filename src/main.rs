//! The `autofarm` binary: one subcommand a role, one match that dispatches them.

mod certs;
mod failure;
mod fleet;
mod logging;
mod metrics_page;
mod orchestrator_role;
mod run;
mod script;
mod signals;
mod simulation_args;
mod summary;
mod tls_args;
mod watch;
mod worker_role;

use std::process::ExitCode;

use clap::Parser;

use crate::logging::Logging;

/// Simulates fleets of autonomous farm machines, on as many computers as it is given.
#[derive(Parser)]
#[command(
    name = "autofarm",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Every flag can be given as an environment variable too; --help of a command names it.\n\
        Exit codes: 0 done, 1 failed, 2 wrong input; a run that was stopped: 130 by Ctrl-C, 143 by SIGTERM."
)]
struct Cli {
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
    /// Makes the certificates by which the roles know each other.
    Certs(certs::Certs),
}

fn main() -> ExitCode {
    let Cli { logging, role } = Cli::parse();
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
    });
    done.unwrap_or_else(|error| failure::report(&error))
}
