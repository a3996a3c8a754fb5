//! Which versions of Node.js build the app: those that its bundler runs on.

use std::path::Path;
use std::process::Command;

/// What to install, in words.
pub(crate) const WANTED: &str = "Node.js 20.19 or newer, of version 22 at least 22.12, with npm";

/// Checks the version of a Node.js before minutes are spent on what it cannot build.
///
/// # Errors
/// What it is, and what to install.
pub(crate) fn check(program: &Path) -> Result<(), String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.ok().filter(|output| output.status.success());
    let said = output.ok_or_else(|| format!("Node.js was not there; install {WANTED}"))?;
    let said = String::from_utf8_lossy(&said.stdout);
    let version = said.trim();
    match is_new_enough(version) {
        true => Ok(()),
        false => Err(format!(
            "Node.js is {version}, which is too old; install {WANTED}"
        )),
    }
}

/// Whether a version as `v20.19.0` is one of `^20.19.0 || >=22.12.0`.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(20), Some(minor)) => minor >= 19,
        (Some(22), Some(minor)) => minor >= 12,
        (Some(major), Some(_)) => major > 22,
        _ => false,
    }
}
