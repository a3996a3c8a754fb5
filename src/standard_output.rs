//! What commands tell people on standard output.

use std::io::{ErrorKind, Write};

use anyhow::Context;

/// Writes a text. That its reader has gone, as `head` does once it has enough, is no failure.
///
/// # Errors
/// Where standard output takes nothing, as on a full disk.
pub(crate) fn tell(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let told = out.write_all(text.as_ref()).and_then(|()| out.flush());
    match told {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        told => told.context("standard output"),
    }
}
