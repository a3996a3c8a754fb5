//! How a command fails: what is printed, and the exit code that tells wrong input from bad luck.

use std::net::SocketAddr;
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

/// Why an address cannot be listened on, as `flag` gave it. That another process has it may pass by itself; that it is
/// not this machine's does not.
pub(crate) fn of_address(flag: &str, address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        return anyhow::anyhow!(
            "{flag}: {address}: {error}; another process has the port: end it, or give another one with --{flag}"
        );
    }
    wrong_input(format!(
        "{flag}: {address}: {error}; give a free address of this machine with --{flag}"
    ))
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
