//! Builds the app with npm, in a copy of its sources: a build leaves nothing in the tree.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::node;
use crate::paths::told;

/// Says to the app's build where what it makes is to go.
const OUT: &str = "AUTOFARM_DASHBOARD_OUT";
/// What the app is built from. By name, for cargo can be told to look at what is there, not at what may come: what
/// stands in none of these is not in the app.
pub(crate) const SOURCES: [&str; 6] = [
    "index.html",
    "package-lock.json",
    "package.json",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];
/// Where npm installs what the app depends on.
const INSTALLED: &str = "node_modules";
/// Longest that an error of npm is repeated, in characters.
const MAX_TOLD: usize = 400;

/// The programs that build it.
pub(crate) struct Programs {
    /// Node.js.
    pub(crate) node: PathBuf,
    /// npm.
    pub(crate) npm: PathBuf,
}

/// Builds the app whose sources are in `sources`; answers the directory with what came out.
///
/// # Errors
/// Why there is none, in a line.
pub(crate) fn build(
    programs: &Programs,
    sources: &Path,
    scratch: &Path,
) -> Result<PathBuf, String> {
    for name in SOURCES {
        let source = sources.join(name);
        println!("cargo::rerun-if-changed={}", source.display());
        if !source.exists() {
            return Err(format!("{} is missing", source.display()));
        }
    }
    node::check(&programs.node)?;
    let npm = Command::new(&programs.npm).arg("--version").output();
    if !npm.is_ok_and(|output| output.status.success()) {
        return Err(format!("npm was not there; install {}", node::WANTED));
    }
    let (copy, built) = (scratch.join("dashboard"), scratch.join("dashboard-built"));
    refresh(sources, &copy).map_err(|error| told(&copy, &error))?;
    install(&programs.npm, &copy, &scratch.join("dashboard-installed"))?;
    remove(&built).map_err(|error| told(&built, &error))?;
    // Whoever builds may have NODE_ENV set for work of their own: then it would be a bundle for development.
    let of_build = [
        (OUT, built.as_os_str()),
        ("NODE_ENV", OsStr::new("production")),
    ];
    run(&programs.npm, &copy, &["run", "build"], &of_build)?;
    Ok(built)
}

/// Installs what the app depends on, unless the last build did just that: `done` holds what it was.
fn install(npm: &Path, copy: &Path, done: &Path) -> Result<(), String> {
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
    run(npm, copy, &flags, &[])?;
    std::fs::write(done, wanted).map_err(|error| told(done, &error))
}

fn run(
    npm: &Path,
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &OsStr)],
) -> Result<(), String> {
    let mut command = Command::new(npm);
    command
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied());
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
    for entry in std::fs::read_dir(copy)? {
        let entry = entry?;
        if entry.file_name() != INSTALLED {
            remove(&entry.path())?;
        }
    }
    for name in SOURCES {
        copy_all(&sources.join(name), &copy.join(name))?;
    }
    Ok(())
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
