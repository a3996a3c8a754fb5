//! How a command fails: what is printed, and the exit code that tells wrong input from bad luck.

use std::process::ExitCode;

/// What was given is wrong; trying again unchanged cannot help.
pub(crate) const WRONG_INPUT: u8 = 2;

/// An error in what the user gave: a flag, a variable or a file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongInput(String);

/// Marks an error as the input's.
pub(crate) fn wrong_input(error: impl std::fmt::Display) -> anyhow::Error {
    WrongInput(error.to_string()).into()
}

/// Prints an error with its causes, and chooses the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    if error.chain().any(<dyn std::error::Error>::is::<WrongInput>) {
        ExitCode::from(WRONG_INPUT)
    } else {
        ExitCode::FAILURE
    }
}
