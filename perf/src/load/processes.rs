//! What AutoFarm's processes use meanwhile, as `/proc` has it.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;

use crate::load::unit::Unit;

/// What reports call this program itself.
pub(crate) const OWN_NAME: &str = "perf";

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
    /// Between two samples that are kept.
    sample_every: Duration,
}

struct Watched {
    named: Named,
    begin: Reading,
    last: Reading,
    /// The one before, and when each was, s since the begin.
    before: Reading,
    before_at: Duration,
    last_at: Duration,
    peak_rss_bytes: u64,
    gone: bool,
    samples: Vec<Sample>,
}

/// A process at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// s since the begin.
    pub(crate) at_s: f64,
    /// CPU time since then, s.
    pub(crate) cpu_s: f64,
    /// Resident bytes.
    pub(crate) rss_bytes: u64,
}

/// What a process used between the last two looks.
pub(crate) struct Now<'a> {
    name: &'a str,
    cpu_percent: f64,
    rss_bytes: u64,
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
    /// How it went.
    #[serde(skip)]
    pub(crate) samples: Vec<Sample>,
}

impl Processes {
    /// A first look at each; samples are kept so far apart.
    ///
    /// # Errors
    /// Where one is not there.
    pub(crate) fn begin(named: &[Named], sample_every: Duration) -> anyhow::Result<Processes> {
        let watched = named.iter().map(|named| {
            let begin = read(named.pid)
                .with_context(|| format!("process {} ({})", named.pid, named.name))?;
            let mut watched = Watched {
                named: named.clone(),
                begin,
                last: begin,
                before: begin,
                before_at: Duration::ZERO,
                last_at: Duration::ZERO,
                peak_rss_bytes: begin.rss_bytes,
                gone: false,
                samples: Vec::new(),
            };
            watched.sample(Duration::ZERO);
            Ok(watched)
        });
        Ok(Processes {
            watched: watched.collect::<anyhow::Result<_>>()?,
            sample_every,
        })
    }

    /// Another look at each, so long after the begin.
    pub(crate) fn look(&mut self, at: Duration) {
        for watched in &mut self.watched {
            watched.look(at);
            let due = watched.samples.last().map_or(0.0, |last| last.at_s);
            // A look comes a little early or late.
            if at.as_secs_f64() >= due + 0.9 * self.sample_every.as_secs_f64() {
                watched.sample(at);
            }
        }
    }

    /// What each used between the last two looks.
    pub(crate) fn now(&self) -> Vec<Now<'_>> {
        self.watched.iter().map(Watched::now).collect()
    }

    /// The last look, and what it comes to.
    pub(crate) fn end(mut self, at: Duration) -> Vec<Usage> {
        for watched in &mut self.watched {
            watched.look(at);
            watched.sample(at);
        }
        self.watched.into_iter().map(Watched::usage).collect()
    }
}

impl Watched {
    fn look(&mut self, at: Duration) {
        let same = |r: &Reading| r.started_at == self.begin.started_at;
        match read(self.named.pid).ok().filter(same) {
            Some(reading) if !self.gone => {
                (self.before, self.before_at) = (self.last, self.last_at);
                (self.last, self.last_at) = (reading, at);
                self.peak_rss_bytes = self.peak_rss_bytes.max(reading.rss_bytes);
            }
            _ => self.gone = true,
        }
    }

    fn sample(&mut self, at: Duration) {
        if !self.gone {
            self.samples.push(Sample {
                at_s: at.as_secs_f64(),
                cpu_s: self.last.cpu.saturating_sub(self.begin.cpu).as_secs_f64(),
                rss_bytes: self.last.rss_bytes,
            });
        }
    }

    fn now(&self) -> Now<'_> {
        let apart = self.last_at.saturating_sub(self.before_at).as_secs_f64();
        let cpu = self.last.cpu.saturating_sub(self.before.cpu).as_secs_f64();
        Now {
            name: &self.named.name,
            cpu_percent: 100.0 * cpu / apart.max(1e-3),
            rss_bytes: self.last.rss_bytes,
            gone: self.gone,
        }
    }

    fn usage(self) -> Usage {
        Usage {
            name: self.named.name,
            pid: self.named.pid,
            cpu_s: self.last.cpu.saturating_sub(self.begin.cpu).as_secs_f64(),
            rss_begin_bytes: self.begin.rss_bytes,
            rss_end_bytes: self.last.rss_bytes,
            rss_peak_bytes: self.peak_rss_bytes,
            gone: self.gone,
            samples: self.samples,
        }
    }
}

impl fmt::Display for Now<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.gone {
            return write!(f, "{} gone", self.name);
        }
        let (cpu, rss) = (
            Unit::Percent.show(self.cpu_percent),
            Unit::Bytes.show(self.rss_bytes as f64),
        );
        write!(f, "{} {cpu}, {rss}", self.name)
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
        let every = Duration::from_secs(2);
        let mut processes = Processes::begin(std::slice::from_ref(&named), every).unwrap();
        for seconds in 1..=4 {
            processes.look(Duration::from_secs(seconds));
        }
        assert!(!processes.watched[0].gone);
        processes.watched[0].begin.started_at += 1;
        let usage = processes.end(Duration::from_secs(5)).remove(0);
        assert!(usage.gone && usage.rss_peak_bytes > 0);
        let at: Vec<_> = usage.samples.iter().map(|sample| sample.at_s).collect();
        assert_eq!(at, [0.0, 2.0, 4.0]);
    }

    #[test]
    fn what_is_no_name_and_id_is_refused() {
        for wrong in ["gateway", "=1", "a=x", "a="] {
            assert!(wrong.parse::<Named>().is_err(), "{wrong}");
        }
    }
}
