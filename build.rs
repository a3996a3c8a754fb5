//! Tells the program which commit it was built from: `AUTOFARM_COMMIT`, or what git says, or `unknown`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=AUTOFARM_COMMIT");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    let given = std::env::var("AUTOFARM_COMMIT").ok();
    let commit = given.or_else(|| {
        let described = Command::new("git")
            .args(["describe", "--always", "--dirty", "--abbrev=12", "--match="])
            .output()
            .ok()?;
        let text = String::from_utf8(described.stdout).ok()?;
        described.status.success().then(|| text.trim().to_owned())
    });
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=AUTOFARM_COMMIT={commit}");
}
