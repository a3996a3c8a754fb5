//! How late this machine's timer wakes a sleeper, what its clock is read from, and whether it shows the right time.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use orchestrator::clock::timer_jitter;

use super::finding::Finding;

/// What is slept, so often: a second in all, in steps of the shortest tick.
const PERIOD: Duration = Duration::from_millis(5);
const WAKES: u32 = 200;
/// Later than this at the 99th percentile, a tick of 50 ms is noticeably late.
const LATE_US: u64 = 2_000;
/// Later than this, no tick of that length is in time.
const TOO_LATE_US: u64 = 50_000;
/// When this was written: a clock that shows less is wrong.
const NO_EARLIER_S: u64 = 1_764_547_200;
/// What the clock is read from where that is quick. Others take a call into the kernel, or more, each time.
const QUICK_SOURCES: [&str; 5] = [
    "tsc",
    "kvm-clock",
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
    "xen",
];

/// All of it.
pub(crate) fn look() -> Vec<Finding> {
    let source =
        std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let mut findings = vec![timer()];
    findings.extend(source.ok().map(|source| read_from(source.trim())));
    findings.push(time(SystemTime::now(), is_synchronised()));
    findings
}

fn timer() -> Finding {
    let late = timer_jitter(PERIOD, WAKES);
    lateness(
        late.value_at_quantile(0.5),
        late.value_at_quantile(0.99),
        late.max(),
    )
}

fn lateness(p50_us: u64, p99_us: u64, max_us: u64) -> Finding {
    let ms = |us: u64| us as f64 / 1e3;
    let found = format!(
        "wakes {:.2} ms late, the 99th percentile {:.2} ms, the worst {:.2} ms",
        ms(p50_us),
        ms(p99_us),
        ms(max_us)
    );
    let advice = "see with `top` and `vmstat 1` (column st) what else runs here or on the host, and move that or AutoFarm; a \
                  larger --tick-ms bears more";
    // None of these keeps AutoFarm from running, and with longer ticks it runs well.
    if p99_us > TOO_LATE_US {
        let found = format!("{found}: no tick of 50 ms is in time");
        return Finding::warning("timer", found, advice);
    }
    if p99_us > LATE_US {
        let found = format!("{found}: ticks are late by as much");
        return Finding::warning("timer", found, advice);
    }
    Finding::ok("timer", found)
}

fn read_from(source: &str) -> Finding {
    match QUICK_SOURCES.contains(&source) {
        true => Finding::ok("clock source", source),
        false => Finding::warning(
            "clock source",
            format!("{source}: reading the clock takes a call into the kernel, or more"),
            "where tsc stands in /sys/devices/system/clocksource/clocksource0/available_clocksource, as root: `echo tsc > \
             /sys/devices/system/clocksource/clocksource0/current_clocksource`",
        ),
    }
}

/// Whether a service keeps the time right; `None` where nobody says.
fn is_synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .output();
    match asked.ok()?.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

fn time(now: SystemTime, synchronised: Option<bool>) -> Finding {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if since.as_secs() < NO_EARLIER_S {
        return Finding::failure(
            "time",
            format!(
                "the clock shows {} s after 1970, which is long past",
                since.as_secs()
            ),
            "set it: `timedatectl set-ntp true`, or `date --set`; certificates are not valid by such a clock",
        );
    }
    match synchronised {
        Some(true) => Finding::ok("time", "kept right by a time service"),
        None => Finding::ok(
            "time",
            "plausible; whether a time service keeps it right cannot be told from here",
        ),
        Some(false) => Finding::warning(
            "time",
            "no time service keeps it right; ticks do not need it, times in the API and certificates do",
            "`timedatectl set-ntp true`, or install chrony",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_timer_is_judged_by_its_99th_percentile() {
        assert_eq!(lateness(60, 2_000, 90_000).outcome, Outcome::Ok);
        assert_eq!(lateness(60, 2_001, 90_000).outcome, Outcome::Warning);
        let worst = lateness(60_000, 60_000, 90_000);
        assert_eq!(worst.outcome, Outcome::Warning, "it runs, late");
        assert!(worst.found.contains("60.00 ms late"), "{}", worst.found);
        assert!(worst.found.contains("no tick of 50 ms"), "{}", worst.found);
    }

    #[test]
    fn a_clock_that_is_long_past_or_kept_by_nobody_is_told() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NO_EARLIER_S);
        assert_eq!(time(now, None).outcome, Outcome::Ok);
        assert_eq!(time(now, Some(true)).outcome, Outcome::Ok);
        assert_eq!(time(now, Some(false)).outcome, Outcome::Warning);
        assert_eq!(
            time(SystemTime::UNIX_EPOCH, Some(true)).outcome,
            Outcome::Failure
        );
        assert_eq!(read_from("tsc").outcome, Outcome::Ok);
        assert_eq!(read_from("hpet").outcome, Outcome::Warning);
    }
}
