//! Compares a run of the `instructions` bench, on standard input, with its budget.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use benches::budget;
use clap::Parser;

/// Compares what `cargo bench --bench instructions -- --output-format=json` prints with its budget.
#[derive(Parser)]
struct Cli {
    /// The budget.
    file: PathBuf,
    /// Write the budget anew from this run.
    #[arg(long)]
    renew: bool,
    /// What compiled and counted, for whoever reads the budget.
    #[arg(long, default_value = "by unnamed tools")]
    tools: String,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let file = || cli.file.display().to_string();
    let mut output = String::new();
    std::io::stdin().read_to_string(&mut output)?;
    let costs = budget::measured(&output)?;
    if cli.renew {
        std::fs::write(&cli.file, budget::write(&costs, &cli.tools)).with_context(file)?;
    }
    let text = std::fs::read_to_string(&cli.file).with_context(file)?;
    let comparison = budget::compare(&costs, &budget::read(&text)?);
    print!("{}", comparison.table);
    if comparison.faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\n{}\n", comparison.faults.join("\n"));
    eprintln!("this run: {}", cli.tools);
    eprintln!("budget:   {}", text.lines().next().unwrap_or_default());
    eprintln!(
        "If what the instructions pay for is worth it, write {} anew with `.ci/bench --counts --renew` and \
         give the reason in the commit. Another compiler is such a reason.",
        file()
    );
    Ok(ExitCode::FAILURE)
}
