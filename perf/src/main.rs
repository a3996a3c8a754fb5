//! `perf`: measures AutoFarm, beside its rivals and under load, on the machine it runs on.

mod cpu;
mod exchange;
mod fleet;
mod grpc;
mod jitter;
mod load;
mod message_each;
mod ours;
mod packed;
mod raw_tcp;
mod report;
mod view;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// The system's own gives the memory of large messages back after each, which cost the packed rival
/// up to four tenths of its time; with this one no contestant pays for another's memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures AutoFarm, beside its rivals and under load, on this machine.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A tick's exchange of N entities over loopback: our link, two gRPC rivals and raw TCP in turn.
    Exchange(exchange::ExchangeArgs),
    /// Load on a running AutoFarm, over its public API.
    Load(Box<load::args::LoadArgs>),
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = match load::profile::with_profile(Cli::command(), &arguments) {
        Ok(command) => command,
        Err(error) => return Ok(load::wrong_input(&format!("{error:#}"))),
    };
    let cli = Cli::from_arg_matches(&command.get_matches_from(arguments));
    match cli.unwrap_or_else(|error| error.exit()).command {
        Command::Exchange(args) => exchange::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Load(args) => load::run(&args),
    }
}
