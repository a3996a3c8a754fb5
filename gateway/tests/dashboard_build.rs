//! How the gateway's build makes the dashboard, with programs in the place of Node.js and npm that write down how they
//! are called.

#[path = "../build/node.rs"]
mod node;
#[path = "../build/npm.rs"]
mod npm;
#[path = "../build/paths.rs"]
mod paths;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use npm::{Programs, SOURCES};

/// What stands beside the sources: nothing of it changes the app, or it is made from them.
const NO_SOURCES: [&str; 9] = [
    ".gitignore",
    "README.md",
    "biome.json",
    "coverage",
    "dist",
    "node_modules",
    "scripts",
    "test-results",
    "tests",
];

/// A program cannot be started while it is open to be written, which a process that another test starts at that moment
/// keeps it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A directory with programs and an app, and one to build it in.
struct Stage {
    directory: tempfile::TempDir,
    programs: Programs,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    fn new(version: &str) -> Stage {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let programs = Programs {
            node: program(at, "node", &format!("echo {version}")),
            // It says with which of the variables it was called.
            npm: program(
                at,
                "npm",
                &format!(
                    "echo \"$1 $2 NODE_ENV=$NODE_ENV\" >> {0}/called\n\
                     if [ \"$1\" = run ]; then mkdir -p \"$AUTOFARM_DASHBOARD_OUT\"; ls > {0}/copied; fi",
                    at.display()
                ),
            ),
        };
        for name in SOURCES {
            let source = at.join("app").join(name);
            match name {
                "src" => std::fs::create_dir_all(source).unwrap(),
                _ => {
                    std::fs::create_dir_all(at.join("app")).unwrap();
                    std::fs::write(source, "").unwrap();
                }
            }
        }
        Stage {
            directory,
            programs,
            _alone: alone,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn build(&self) -> Result<PathBuf, String> {
        npm::build(&self.programs, &self.path("app"), &self.path("scratch"))
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_node_that_is_too_old_is_told_before_anything_is_installed() {
    for version in ["v18.20.4", "v20.18.3", "v21.7.3", "v22.11.0", "", "20"] {
        let stage = Stage::new(version);
        let why = stage.build().unwrap_err();
        assert!(why.contains(version) && why.contains("too old"), "{why}");
        assert!(why.contains("20.19") && why.contains("22.12"), "{why}");
        assert_eq!(stage.text("called"), "");
    }
    for version in ["v20.19.0", "v20.20.2", "v22.12.0", "v23.0.0", "v24.1.0"] {
        let built = Stage::new(version).build();
        assert!(built.is_ok(), "{version}: {built:?}");
    }
    let mut stage = Stage::new("v20.19.0");
    stage.programs.node = stage.path("not-there");
    assert!(
        stage
            .build()
            .unwrap_err()
            .contains("Node.js was not there; install")
    );
}

#[test]
fn the_app_is_built_for_production_from_its_sources_alone() {
    let stage = Stage::new("v20.19.0");
    std::fs::create_dir(stage.path("app/public")).unwrap();
    std::fs::create_dir(stage.path("app/node_modules")).unwrap();
    assert_eq!(stage.build(), Ok(stage.path("scratch/dashboard-built")));
    let called = stage.text("called");
    assert!(
        called.contains("\nrun build NODE_ENV=production\n"),
        "{called}"
    );
    let copied = stage.text("copied");
    assert_eq!(copied.lines().collect::<Vec<_>>(), SOURCES, "{copied}");

    std::fs::remove_file(stage.path("app/vite.config.ts")).unwrap();
    let why = stage.build().unwrap_err();
    assert!(why.ends_with("vite.config.ts is missing"), "{why}");
}

#[test]
fn whatever_stands_in_the_dashboard_is_known_to_its_build() {
    for entry in std::fs::read_dir("dashboard").unwrap() {
        let name = entry.unwrap().file_name();
        let known = SOURCES.iter().chain(&NO_SOURCES).any(|n| name == *n);
        assert!(
            known,
            "dashboard/{}: name it among SOURCES of build/npm.rs, or here if it changes nothing of the app",
            name.display()
        );
    }
}

#[test]
fn a_relative_path_is_refused_for_it_would_be_another() {
    assert_eq!(paths::absolute("/farm/app".into()), Ok("/farm/app".into()));
    for given in ["app", "./app", "../app", ""] {
        let why = paths::absolute(given.into()).unwrap_err();
        assert!(
            why.contains("is relative; give an absolute path"),
            "{given}: {why}"
        );
    }
}
