//! What AutoFarm's processes use meanwhile, as `/proc` has it.

use std::time::Duration;

use anyhow::Context as _;
use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;

/// A process to be looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// What the report calls it.
    pub(crate) name: String,
    /// Its id.
    pub(crate) pid: u32,
}

/// What a process has used so far and holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    cpu: Duration,
    rss_bytes: u64,
    /// Tells the process from a later one of the same id.
    started_at: u64,
}

/// Processes from a first look to a last.
pub(crate) struct Processes {
    watched: Vec<Watched>,
}

struct Watched {
    named: Named,
    begin: Reading,
    last: Reading,
    peak_rss_bytes: u64,
    gone: bool,
}

/// One process's use over a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Usage {
    /// As it was named.
    pub(crate) name: String,
    /// Its id.
    pub(crate) pid: u32,
    /// CPU time of all its threads, in the run.
    pub(crate) cpu_s: f64,
    /// Resident bytes at the begin.
    pub(crate) rss_begin_bytes: u64,
    /// The same at the end.
    pub(crate) rss_end_bytes: u64,
    /// Most that any look saw.
    pub(crate) rss_peak_bytes: u64,
    /// It ended before the run did; what is said of it is what was seen last.
    pub(crate) gone: bool,
}

impl Processes {
    /// A first look at each.
    ///
    /// # Errors
    /// Where one is not there.
    pub(crate) fn begin(named: &[Named]) -> anyhow::Result<Processes> {
        let watched = named.iter().map(|named| {
            let begin = read(named.pid)
                .with_context(|| format!("process {} ({})", named.pid, named.name))?;
            Ok(Watched {
                named: named.clone(),
                begin,
                last: begin,
                peak_rss_bytes: begin.rss_bytes,
                gone: false,
            })
        });
        Ok(Processes {
            watched: watched.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Another look at each.
    pub(crate) fn look(&mut self) {
        for watched in &mut self.watched {
            let same = |r: &Reading| r.started_at == watched.begin.started_at;
            match read(watched.named.pid).ok().filter(same) {
                Some(reading) if !watched.gone => {
                    watched.last = reading;
                    watched.peak_rss_bytes = watched.peak_rss_bytes.max(reading.rss_bytes);
                }
                _ => watched.gone = true,
            }
        }
    }

    /// The last look, and what it comes to.
    pub(crate) fn end(mut self) -> Vec<Usage> {
        self.look();
        self.watched.iter().map(Watched::usage).collect()
    }
}

impl Watched {
    fn usage(&self) -> Usage {
        Usage {
            name: self.named.name.clone(),
            pid: self.named.pid,
            cpu_s: self.last.cpu.saturating_sub(self.begin.cpu).as_secs_f64(),
            rss_begin_bytes: self.begin.rss_bytes,
            rss_end_bytes: self.last.rss_bytes,
            rss_peak_bytes: self.peak_rss_bytes,
            gone: self.gone,
        }
    }
}

impl std::str::FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Named, Self::Err> {
        let (name, pid) = text.split_once('=').ok_or("want NAME=PID")?;
        if name.is_empty() {
            return Err("want NAME=PID, the name is empty");
        }
        Ok(Named {
            name: name.to_owned(),
            pid: pid
                .parse()
                .map_err(|_| "want NAME=PID, the id is no number")?,
        })
    }
}

fn read(pid: u32) -> anyhow::Result<Reading> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    parse(&text).with_context(|| format!("{path} is not as proc(5) has it"))
}

/// The fields of proc(5)'s `stat` that count here: the name, which may hold anything, ends at the last
/// parenthesis; what follows is the third field and on.
fn parse(stat: &str) -> Option<Reading> {
    const USER: usize = 14 - 3;
    const SYSTEM: usize = 15 - 3;
    const STARTED: usize = 22 - 3;
    const RSS_PAGES: usize = 24 - 3;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let clock_ticks = number(USER)? + number(SYSTEM)?;
    let ms = clock_ticks * 1_000 / clock_ticks_per_second();
    Some(Reading {
        cpu: Duration::from_millis(ms),
        rss_bytes: number(RSS_PAGES)? * page_size() as u64,
        started_at: number(STARTED)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read_over() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 1 0 4242 1000 3 0";
        let reading = parse(stat).unwrap();
        assert_eq!(
            reading.cpu,
            Duration::from_millis(3_000 * 100 / clock_ticks_per_second())
        );
        assert_eq!(reading.rss_bytes, 3 * page_size() as u64);
        assert_eq!(reading.started_at, 4_242);
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_there_and_another_of_its_id_is_not_it() {
        let named: Named = format!("self={}", std::process::id()).parse().unwrap();
        let mut processes = Processes::begin(std::slice::from_ref(&named)).unwrap();
        processes.look();
        assert!(!processes.watched[0].gone);
        processes.watched[0].begin.started_at += 1;
        let usage = processes.end().remove(0);
        assert!(usage.gone && usage.rss_peak_bytes > 0);
    }

    #[test]
    fn what_is_no_name_and_id_is_refused() {
        for wrong in ["gateway", "=1", "a=x", "a="] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }
}
