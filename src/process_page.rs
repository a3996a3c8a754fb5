//! What every process tells of itself as a process, beside the figures of its roles: under the names that Prometheus's
//! own libraries have for them.

use std::sync::OnceLock;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustix::process::{Resource, getrlimit};

/// What the kernel tells of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    cpu_s: f64,
    threads: i64,
    /// Since the machine's start.
    started_s: f64,
    resident_bytes: i64,
}

/// The page, in the OpenMetrics text format.
pub(crate) fn text() -> String {
    let mut registry = Registry::default();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("commit", env!("AUTOFARM_COMMIT")),
    ];
    let help = "What this program was built from";
    registry.register("autofarm_build", help, Info::new(labels.to_vec()));
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(figures) = figures(&stat) {
        let help = "Time on a processor, over all threads";
        let cpu = ConstCounter::new(figures.cpu_s);
        registry.register_with_unit("process_cpu", help, Unit::Seconds, cpu);
        let help = "Threads";
        registry.register("process_threads", help, ConstGauge::new(figures.threads));
        let help = "Memory in use";
        let resident = ConstGauge::new(figures.resident_bytes);
        registry.register_with_unit("process_resident_memory", help, Unit::Bytes, resident);
        if let Some(at_s) = started_at_s(figures.started_s) {
            let help = "When the process started, s after 1970";
            let at = ConstGauge::new(at_s);
            registry.register_with_unit("process_start_time", help, Unit::Seconds, at);
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is what they are listed by.
        let open = open.count().saturating_sub(1);
        let open = ConstGauge::new(i64::try_from(open).unwrap_or(i64::MAX));
        registry.register("process_open_fds", "Files and sockets that are open", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let most = ConstGauge::new(i64::try_from(most).unwrap_or(i64::MAX));
        registry.register("process_max_fds", "Most that may be", most);
    }
    let mut page = String::new();
    encode(&mut page, &registry).expect("writing to a string does not fail");
    page
}

/// When this process started. The same each time: a clock that is set must not look like a new start.
fn started_at_s(since_boot_s: f64) -> Option<f64> {
    static AT: OnceLock<Option<f64>> = OnceLock::new();
    *AT.get_or_init(|| {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(boot.trim().parse::<f64>().ok()? + since_boot_s)
    })
}

/// Reads `/proc/self/stat`, whose fields are numbered in proc(5).
fn figures(stat: &str) -> Option<Figures> {
    // The second field is the program's name, which may hold anything, a parenthesis too.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    let seconds = |ticks: i64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Some(Figures {
        cpu_s: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        started_s: seconds(field(22)?),
        resident_bytes: field(24)? * i64::try_from(rustix::param::page_size()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_whatever_the_program_is_called() {
        let ticks = rustix::param::clock_ticks_per_second();
        let page = i64::try_from(rustix::param::page_size()).unwrap();
        let stat = format!(
            "1 (a) (b)) S 0 1 1 0 -1 4194560 9 0 0 0 {} {ticks} 0 0 20 0 7 0 {} 999 3 18446744073709551615",
            ticks * 2,
            ticks * 50
        );
        let expected = Figures {
            cpu_s: 3.0,
            threads: 7,
            started_s: 50.0,
            resident_bytes: 3 * page,
        };
        assert_eq!(figures(&stat), Some(expected));
        assert_eq!(figures("1 (a) S 0"), None);
        assert_eq!(figures(""), None);
    }

    #[test]
    fn the_start_is_now_and_stays() {
        let value = |name: &str| {
            let page = text();
            let line = page
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {page}"))
                .parse::<f64>()
                .unwrap()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap().as_secs_f64();
        let start = value("process_start_time_seconds");
        assert!(
            (now - 3_600.0..now + 2.0).contains(&start),
            "{start} is not before {now}"
        );
        assert!((start - value("process_start_time_seconds")).abs() < f64::EPSILON);
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_threads") >= 1.0);
    }
}
