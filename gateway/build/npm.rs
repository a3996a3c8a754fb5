//! Builds the app with npm, in a copy of its sources: a build leaves nothing in the tree.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Says to the app's build where what it makes is to go.
const OUT: &str = "AUTOFARM_DASHBOARD_OUT";
/// What stands beside the sources and is none.
const NO_SOURCES: [&str; 4] = ["node_modules", "dist", "coverage", "test-results"];
/// Sources that do not change what is built.
const NOT_BUILT: [&str; 1] = ["tests"];
/// Longest that an error of npm is repeated, in characters.
const MAX_TOLD: usize = 400;

/// Builds the app whose sources are in `sources`; answers the directory with what came out.
///
/// # Errors
/// Why there is none, in a line.
pub(crate) fn build(sources: &Path, scratch: &Path) -> Result<PathBuf, String> {
    if !sources.join("package-lock.json").is_file() {
        return Err(format!("{} holds no app", sources.display()));
    }
    for entry in entries(sources).map_err(|error| told(sources, &error))? {
        if !NOT_BUILT
            .iter()
            .any(|name| entry.file_name() == Some(OsStr::new(name)))
        {
            println!("cargo::rerun-if-changed={}", entry.display());
        }
    }
    let npm = Command::new("npm").arg("--version").output();
    if !npm.is_ok_and(|output| output.status.success()) {
        return Err("npm was not there; install Node.js 20 or newer with npm".to_owned());
    }
    let (copy, built) = (scratch.join("dashboard"), scratch.join("dashboard-built"));
    refresh(sources, &copy).map_err(|error| told(&copy, &error))?;
    install(&copy, &scratch.join("dashboard-installed"))?;
    remove(&built).map_err(|error| told(&built, &error))?;
    run(&copy, &["run", "build"], Some(&built))?;
    Ok(built)
}

/// Installs what the app depends on, unless the last build did just that: `done` holds what it was.
fn install(copy: &Path, done: &Path) -> Result<(), String> {
    let lock = copy.join("package-lock.json");
    let wanted = std::fs::read(&lock).map_err(|error| told(&lock, &error))?;
    if std::fs::read(done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    remove(done).map_err(|error| told(done, &error))?;
    // A machine without a network shall learn of it in a minute, not in ten. What builds the app is among its
    // dependencies for development, whatever NODE_ENV says.
    let quick = ["--fetch-retries=1", "--fetch-timeout=60000"];
    let quiet = ["--no-audit", "--no-fund", "--prefer-offline"];
    let flags = [&["ci", "--include=dev"][..], &quick, &quiet].concat();
    run(copy, &flags, None)?;
    std::fs::write(done, wanted).map_err(|error| told(done, &error))
}

fn run(directory: &Path, arguments: &[&str], out: Option<&Path>) -> Result<(), String> {
    let mut command = Command::new("npm");
    command
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1");
    if let Some(out) = out {
        command.env(OUT, out);
    }
    let called = format!("npm {}", arguments[..arguments.len().min(2)].join(" "));
    let output = command
        .output()
        .map_err(|error| format!("{called}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{called} failed ({}): {}",
            output.status,
            said(&output)
        )),
    }
}

/// What a program said, its errors first, as one line.
fn said(output: &Output) -> String {
    let text = [&output.stderr[..], &output.stdout[..]]
        .map(String::from_utf8_lossy)
        .join("\n");
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("npm error").unwrap_or(line));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.join(" ").chars().take(MAX_TOLD).collect()
}

/// Makes `copy` hold what `sources` holds, and nothing else but what npm has installed there.
fn refresh(sources: &Path, copy: &Path) -> io::Result<()> {
    std::fs::create_dir_all(copy)?;
    for entry in entries(copy)? {
        remove(&entry)?;
    }
    for entry in entries(sources)? {
        let name = entry
            .file_name()
            .expect("an entry of a directory has a name");
        copy_all(&entry, &copy.join(name))?;
    }
    Ok(())
}

/// What stands in a directory, but for [`NO_SOURCES`].
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if !NO_SOURCES
            .iter()
            .any(|name| entry.file_name() == OsStr::new(name))
        {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return std::fs::copy(from, to).map(|_| ());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
