//! Paths as they are given and told of.

use std::io;
use std::path::{Path, PathBuf};

/// The directory that somebody has named, which has to be absolute: cargo runs a build in the package's directory, not
/// where it was called, and a relative one would mean another place than it says.
///
/// # Errors
/// What to give instead.
pub(crate) fn absolute(given: PathBuf) -> Result<PathBuf, String> {
    match given.is_absolute() {
        true => Ok(given),
        false => Err(format!(
            "`{0}` is relative; give an absolute path, as \"$PWD/{0}\"",
            given.display()
        )),
    }
}

/// An error of a path, in a line.
pub(crate) fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
