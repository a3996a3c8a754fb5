//! `autofarm completions`: what completes commands and flags in a shell.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use crate::standard_output::tell;

/// Flags of `autofarm completions`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm completions bash > ~/.local/share/bash-completion/completions/autofarm\n  \
    autofarm completions zsh > /usr/local/share/zsh/site-functions/_autofarm\n  \
    autofarm completions fish > ~/.config/fish/completions/autofarm.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints it.
    ///
    /// # Errors
    /// Where standard output takes nothing.
    pub(crate) fn run(&self, mut command: Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "autofarm", &mut script);
        tell(script)?;
        Ok(ExitCode::SUCCESS)
    }
}
