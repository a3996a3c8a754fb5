//! SIGTERM and Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a process that Ctrl-C ended, as shells count it: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// The same for SIGTERM.
pub(crate) const TERMINATED: u8 = 143;

/// Both signals, caught from now on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub(crate) fn catch() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the first; answers the exit code that says which it was. The next one ends the process.
    pub(crate) async fn first(mut self) -> u8 {
        let code = self.next().await;
        tracing::info!("ending; another signal ends at once");
        tokio::spawn(async move {
            let code = self.next().await;
            std::process::exit(code.into());
        });
        code
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}
