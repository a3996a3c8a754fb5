//! Where log lines go: to standard error, as JSON for machines or laid out for people.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::failure::wrong_input;

/// Flags of the log, common to every role.
#[derive(clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Logging {
    /// Form of log lines; `auto` is `pretty` on a terminal and `json` elsewhere.
    #[arg(long, env = "AUTOFARM_LOG_FORMAT", value_enum, default_value_t = Format::Auto, global = true)]
    log_format: Format,
    /// What is logged: a level, or `module=level` pairs [default: warn for run, info for the roles].
    #[arg(long, env = "AUTOFARM_LOG", global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Auto,
    Json,
    Pretty,
}

impl Logging {
    /// Starts logging for the process.
    ///
    /// # Errors
    /// Where the filter cannot be read.
    pub(crate) fn start(&self, default_level: &str) -> anyhow::Result<()> {
        let filter = self.log.as_deref().unwrap_or(default_level);
        let filter = EnvFilter::try_new(filter).map_err(|error| {
            wrong_input(format!(
                "log: `{filter}` is no filter ({error}); try `info` or `transport=debug,info`"
            ))
        })?;
        let terminal = std::io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.log_format {
            Format::Json => lines.json().flatten_event(true).init(),
            Format::Auto if !terminal => lines.json().flatten_event(true).init(),
            Format::Auto | Format::Pretty => {
                // The convention of https://no-color.org.
                let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
                lines.with_ansi(terminal && !plain).init();
            }
        }
        Ok(())
    }
}
