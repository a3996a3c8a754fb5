//! How many files, and so connections, a process may have open.

use rustix::process::{Resource, getrlimit};

use super::finding::Finding;

/// What a process needs beside its clients' connections: listeners, the database, the link, the workers.
const BESIDE: u64 = 128;

/// The limit of this process, which those that are started from here have too.
pub(crate) fn limit(max_connections: usize) -> Finding {
    of(getrlimit(Resource::Nofile).current, max_connections)
}

fn of(limit: Option<u64>, max_connections: usize) -> Finding {
    let wanted = max_connections as u64 + BESIDE;
    let Some(limit) = limit else {
        return Finding::ok("open files", "without a limit");
    };
    match limit >= wanted {
        true => Finding::ok("open files", format!("{limit} at once")),
        false => Finding::warning(
            "open files",
            format!(
                "{limit} at once: room for some {} clients, of the {max_connections} of --max-connections",
                limit.saturating_sub(BESIDE)
            ),
            "nothing for a few clients; else `ulimit -n 65536` before the start, or LimitNOFILE=65536 in its systemd unit",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_limit_below_the_connections_is_a_warning() {
        assert_eq!(of(None, 4_096).outcome, Outcome::Ok);
        assert_eq!(of(Some(65_536), 4_096).outcome, Outcome::Ok);
        assert_eq!(of(Some(1_024), 512).outcome, Outcome::Ok);
        let low = of(Some(1_024), 4_096);
        assert_eq!(low.outcome, Outcome::Warning);
        assert!(
            low.found.contains("896 clients, of the 4096"),
            "{}",
            low.found
        );
    }
}
