//! What one run came to: the digest of each tick, and what happened in it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cases::{Case, Farm};

/// What a run printed and wrote.
pub(crate) struct Outcome {
    digests: BTreeMap<u64, String>,
    summary: Value,
}

/// What must have happened in a farm for its digest to prove anything.
const MUST_HAPPEN: [&str; 7] = [
    "turns",
    "charger_waits",
    "charges",
    "denied_grants",
    "faults",
    "repairs",
    "commands",
];

/// Runs `autofarm` for a case.
pub(crate) fn run(farm: Farm, case: &Case, seed: u64) -> Result<Outcome, String> {
    let file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let output = Command::new(env!("CARGO_BIN_EXE_autofarm"))
        .args(case.command_line(farm, seed))
        .arg("--digests")
        .arg(file.path())
        .args(["--json", "--log", "error"])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {said}", output.status));
    }
    let summary = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let text = std::fs::read_to_string(file.path()).map_err(|e| e.to_string())?;
    let mut digests = BTreeMap::new();
    for line in text.lines() {
        let (tick, digest) = line.split_once(' ').ok_or("digests: a line of one word")?;
        let tick: u64 = tick.parse().map_err(|_| "digests: no tick")?;
        if digests.insert(tick, digest.to_owned()).is_some() {
            return Err(format!("tick {tick} was published twice"));
        }
    }
    if !digests.keys().copied().eq(0..=farm.ticks) {
        return Err("digests: not one of each tick".into());
    }
    Ok(Outcome { digests, summary })
}

impl Outcome {
    fn count(&self, name: &str) -> u64 {
        self.summary["counts"][name]
            .as_u64()
            .expect("every summary has it")
    }

    /// Whether all of it happened that a proof must have met.
    pub(crate) fn check_meets_all(&self) -> Result<(), String> {
        match MUST_HAPPEN.iter().find(|name| self.count(name) == 0) {
            Some(name) => Err(format!(
                "no {name} in the whole run: it proves nothing of them"
            )),
            None => Ok(()),
        }
    }

    /// Whether it came to the same as `reference`, and met what its case is there for.
    pub(crate) fn check_against(
        &self,
        reference: &Outcome,
        farm: Farm,
        case: &Case,
    ) -> Result<String, String> {
        let ticks = self.digests.iter().zip(&reference.digests);
        if let Some(((tick, ours), (_, theirs))) = ticks.into_iter().find(|(a, b)| a != b) {
            return Err(format!("tick {tick} has digest {ours}, not {theirs}"));
        }
        self.check_meets_all()?;
        for name in MUST_HAPPEN {
            let (ours, theirs) = (self.count(name), reference.count(name));
            if ours != theirs {
                return Err(format!("{ours} {name}, not {theirs}"));
            }
        }
        let (ghosts, replays) = (self.count("ghosts"), self.count("replays"));
        if case.is_cut(farm) != (ghosts > 0) {
            return Err(format!("{ghosts} ghosts"));
        }
        if case.killed && replays == 0 {
            return Err("a worker was killed, and nothing was replayed".into());
        }
        Ok(format!("{ghosts} ghosts, {replays} replays"))
    }
}
