//! `perf`: measures AutoFarm beside its rivals, on the machine it runs on.

mod cpu;
mod exchange;
mod fleet;
mod grpc;
mod jitter;
mod message_each;
mod packed;
mod raw_tcp;
mod report;
mod view;

use clap::{Parser, Subcommand};

/// Measures AutoFarm beside its rivals, on this machine.
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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Exchange(args) => exchange::run(&args),
    }
}
