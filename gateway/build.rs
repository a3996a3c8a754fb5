//! Puts the dashboard into the gateway: builds the app in `dashboard/` with npm, compresses what comes out, and
//! writes a table of it that `src/dashboard.rs` includes.
//!
//! `AUTOFARM_DASHBOARD_DIR` names, by an absolute path, a directory that holds the built app already; then no npm is needed, and one that
//! cannot be used fails the build. Otherwise nothing that is wrong with npm does: the gateway is built without a
//! dashboard, cargo shows why as a warning, and so does the page.

#[path = "build/embed.rs"]
mod embed;
#[path = "build/node.rs"]
mod node;
#[path = "build/npm.rs"]
mod npm;
#[path = "build/paths.rs"]
mod paths;

use std::path::{Path, PathBuf};

/// Names a directory with the built app.
const BUILT: &str = "AUTOFARM_DASHBOARD_DIR";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-env-changed={BUILT}");
    let scratch = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo gives one"));
    let written = match std::env::var_os(BUILT) {
        Some(given) => paths::absolute(PathBuf::from(given))
            .and_then(|directory| embed::table_of(&watched(&directory), &scratch))
            .unwrap_or_else(|error| panic!("{BUILT}: {error}")),
        None => {
            let programs = npm::Programs {
                node: "node".into(),
                npm: "npm".into(),
            };
            let built = npm::build(&programs, Path::new("dashboard"), &scratch);
            let table = built.and_then(|directory| embed::table_of(&directory, &scratch));
            table.unwrap_or_else(|error| {
                println!("cargo::warning=this build has no dashboard: {error}");
                embed::empty_table(&error)
            })
        }
    };
    std::fs::write(scratch.join("dashboard.rs"), written).expect("OUT_DIR can be written");
}

/// The directory, whose changes are from now on a reason to build again.
fn watched(directory: &Path) -> PathBuf {
    println!("cargo::rerun-if-changed={}", directory.display());
    directory.to_path_buf()
}
