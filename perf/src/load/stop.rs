//! Ctrl-C and SIGTERM: the first ends what is measured, with its results; the second ends at once.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// Whether an end was asked for.
pub(crate) struct Stop(watch::Receiver<bool>);

/// What a program has to do before it ends at once.
type Before = Box<dyn Fn() + Send>;

impl Stop {
    /// Catches both signals from now on; where it ends at once, `before` is done first. Call it inside a runtime.
    ///
    /// # Errors
    /// Where the system does not let it.
    pub(crate) fn catch(before: Before) -> std::io::Result<Stop> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (asked, stop) = watch::channel(false);
        tokio::spawn(async move {
            for is_second in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if is_second {
                    before();
                    std::process::exit(INTERRUPTED);
                }
                asked.send_replace(true);
            }
        });
        Ok(Stop(stop))
    }

    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for something, or until an end is asked for.
    pub(crate) async fn or(&self, other: impl Future<Output = ()>) {
        let mut stop = self.0.clone();
        tokio::select! {
            // Its sender lives as long as the runtime.
            _ = stop.wait_for(|asked| *asked) => {}
            () = other => {}
        }
    }
}
