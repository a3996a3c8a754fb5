//! What a simulation did in the time that was measured, and not at its end, nor before.

use crate::fake::{Fake, Fault};
use crate::{perf, report_of};

/// The resource's own figure is of its last moments, and reading latencies takes time in which ticks are made.
#[test]
fn speed_and_rate_are_of_the_time_between_two_readings() {
    let fake = Fake::start(Fault::HalfSpeed);
    let conditions = [
        "achieved_speed>0.6",
        "achieved_speed<0.4",
        "ticks_per_s>30/s",
        "ticks_per_s<20/s",
    ];
    let conditions = conditions
        .map(|condition| ["--fail-if", condition])
        .concat();
    let short = ["--duration", "1", "--warm-up", "0"];
    let output = perf(&fake, &[&short[..], &conditions].concat());
    let output = output.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let simulation = &report_of(&output)["run"]["simulations"][0];
    assert!(simulation["over_s"].as_f64() > Some(1.7), "{simulation}");
}

#[test]
fn ticks_among_many_from_before_are_said_to_be_known_coarsely() {
    let directory = tempfile::TempDir::new().unwrap();
    let saved = |fault, name: &str| {
        let fake = Fake::start(fault);
        let file = directory.path().join(name);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_perf"))
            .args([
                "load",
                "--url",
                &fake.url,
                "--duration",
                "1",
                "--warm-up",
                "0",
                "--save",
            ])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let file = std::fs::read(file).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
        (said, file["measures"]["tick.p99"].clone())
    };
    let (said, p99) = saved(Fault::None, "new.json");
    assert!(!said.contains("These are coarse"), "{said}");
    assert_eq!(p99, 2_000.0);
    let (said, p99) = saved(Fault::LongBefore, "old.json");
    assert!(said.contains("These are coarse"), "{said}");
    assert!(p99.is_null(), "it is in no baseline");
}
