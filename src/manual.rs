//! `autofarm man`: the manual pages, made from the same words as `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;

use crate::failure::wrong_input;
use crate::standard_output::tell;

/// Flags of `autofarm man`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    autofarm man | man -l -\n  \
    autofarm man --out /usr/local/share/man/man1")]
pub(crate) struct Manual {
    /// Directory for the pages of all commands, as autofarm-up.1; made where it is not there [default: none,
    /// the page of autofarm itself is printed].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Manual {
    /// Prints or writes them.
    ///
    /// # Errors
    /// Where the directory cannot be written, naming it.
    pub(crate) fn run(&self, command: Command) -> anyhow::Result<ExitCode> {
        let Some(directory) = &self.out else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            tell(page)?;
            return Ok(ExitCode::SUCCESS);
        };
        let unusable = |error: std::io::Error| {
            wrong_input(format!(
                "out: {}: {error}; give a directory that can be written",
                directory.display()
            ))
        };
        std::fs::create_dir_all(directory).map_err(unusable)?;
        clap_mangen::generate_to(command, directory).map_err(unusable)?;
        tell(format!(
            "{}: a page for each command\n",
            directory.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
