//! What `perf load` says, as text and as JSON. The names of fields are the JSON's.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use transport::hgrm::write_hgrm;

use crate::load::leg::{Advance, Measured};
use crate::load::processes::Usage;
use crate::load::rest::{RestTally, RouteTally};
use crate::load::tally::{Connections, Durations, Received, StreamTally, WallDurations};
use crate::load::violation::Found;

/// us in a ms, in which `.hgrm` files are.
const US_PER_MS: f64 = 1_000.0;
/// Reporting points in each halving of the distance to 100 %, as other tools of the family write.
const HGRM_TICKS_PER_HALF: u32 = 5;

/// Percentiles of a histogram, us.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Percentiles {
    count: u64,
    p50_us: u64,
    p90_us: u64,
    /// 99 % were at most so long.
    pub(crate) p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

/// One run of clients.
#[derive(Serialize)]
pub(crate) struct RunReport {
    measured_s: f64,
    clients: u64,
    joined: u64,
    rest: RestReport,
    stream: StreamReport,
    simulations: Vec<SimulationReport>,
    timer_jitter: Percentiles,
    processes: Vec<Usage>,
    #[serde(skip)]
    histograms: BTreeMap<String, Durations>,
}

#[derive(Serialize)]
struct RestReport {
    all: Percentiles,
    routes: BTreeMap<&'static str, RouteReport>,
    send_lateness: Percentiles,
    not_sent: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct RouteReport {
    latency: Percentiles,
    statuses: BTreeMap<u16, u64>,
    unanswered: u64,
}

#[derive(Serialize)]
struct StreamReport {
    end_to_end: Percentiles,
    json: ReceivedReport,
    binary: ReceivedReport,
    connect: Percentiles,
    hello: Percentiles,
    reconnects: u64,
    failed_attempts: u64,
    reasons: BTreeMap<String, u64>,
    stalled_opened: u64,
    stalled_closed: u64,
}

#[derive(Serialize)]
struct ReceivedReport {
    end_to_end: Percentiles,
    sent_to_received: Percentiles,
    jitter: Percentiles,
    /// Messages whose sender's clock was ahead of this one's.
    negative: u64,
    messages: u64,
    messages_per_s: f64,
    bytes: u64,
    bytes_per_s: f64,
    ticks: u64,
    events: u64,
    events_missing: u64,
    lagged: u64,
    skipped: u64,
    decoded: u64,
}

#[derive(Serialize)]
struct SimulationReport {
    id: String,
    status: String,
    ticks: u64,
    late_ticks: u64,
    dilated_ms: f64,
    achieved_speed: f64,
    stages: BTreeMap<String, Percentiles>,
}

/// What was checked.
#[derive(Serialize)]
pub(crate) struct CheckReport {
    /// Violations in all.
    pub(crate) violations: u64,
    /// They and the first of them.
    #[serde(flatten)]
    pub(crate) found: Found,
    /// Ticks of which two clients' sums were compared.
    pub(crate) compared_ticks: u64,
    /// Digests that were compared with the database's.
    pub(crate) compared_digests: u64,
}

/// An invocation with one run.
#[derive(Serialize)]
pub(crate) struct SingleReport {
    /// Processors that all sides share, if they share any.
    pub(crate) processors: usize,
    /// An end was asked for before it was due.
    pub(crate) interrupted: bool,
    /// Lateness of this machine's timer before the load.
    pub(crate) idle_timer_jitter: Percentiles,
    /// What was measured; absent where the end came before.
    pub(crate) run: Option<RunReport>,
    /// What was checked.
    pub(crate) checks: CheckReport,
}

impl Percentiles {
    /// Those of a histogram of us.
    pub(crate) fn of(us: &Histogram<u64>) -> Percentiles {
        Percentiles {
            count: us.len(),
            p50_us: us.value_at_quantile(0.5),
            p90_us: us.value_at_quantile(0.9),
            p99_us: us.value_at_quantile(0.99),
            p999_us: us.value_at_quantile(0.999),
            max_us: us.max(),
        }
    }

    /// Those of a histogram of ns.
    pub(crate) fn of_ns(ns: &Histogram<u64>) -> Percentiles {
        Percentiles::of(&us_of(ns).0)
    }
}

fn us_of(ns: &Histogram<u64>) -> Durations {
    let mut us = Durations::default();
    for step in ns.iter_recorded() {
        us.record_n_us(step.value_iterated_to() / 1_000, step.count_at_value());
    }
    us
}

impl RunReport {
    /// Of what was measured.
    pub(crate) fn new(measured: Measured) -> RunReport {
        let seconds = measured.wall.as_secs_f64();
        let mut histograms = BTreeMap::new();
        let rest = RestReport::new(&measured.rest, &mut histograms);
        let stream = StreamReport::new(&measured.stream, seconds, &mut histograms);
        let simulations = (measured.simulations.iter())
            .map(|advance| SimulationReport::new(advance, &mut histograms))
            .collect();
        let jitter = us_of(&measured.jitter_ns);
        let timer_jitter = Percentiles::of(&jitter.0);
        histograms.insert("timer_jitter".to_owned(), jitter);
        RunReport {
            measured_s: seconds,
            clients: measured.clients,
            joined: measured.joined,
            rest,
            stream,
            simulations,
            timer_jitter,
            processes: measured.processes,
            histograms,
        }
    }

    /// Of the ticks of all clients that read: 99 % arrived within so many us of their start.
    pub(crate) fn end_to_end(&self) -> &Percentiles {
        &self.stream.end_to_end
    }

    /// Of this machine's timer meanwhile.
    pub(crate) fn timer_jitter(&self) -> &Percentiles {
        &self.timer_jitter
    }

    /// Ticks of all simulations that were late.
    pub(crate) fn late_ticks(&self) -> u64 {
        self.simulations.iter().map(|s| s.late_ticks).sum()
    }

    /// Writes each histogram as `NAME.hgrm`, in ms, into a directory that is there.
    ///
    /// # Errors
    /// Where a file cannot be written, naming it.
    pub(crate) fn write_hgrm(&self, directory: &Path) -> anyhow::Result<()> {
        for (name, durations) in &self.histograms {
            let path = directory.join(format!("{name}.hgrm"));
            let text = hgrm_of(durations)?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A histogram as `.hgrm` text, in ms.
///
/// # Errors
/// None that memory has.
pub(crate) fn hgrm_of(durations: &Durations) -> anyhow::Result<String> {
    let mut text = Vec::new();
    write_hgrm(&mut text, &durations.0, US_PER_MS, HGRM_TICKS_PER_HALF)?;
    Ok(String::from_utf8(text)?)
}

impl RestReport {
    fn new(tally: &RestTally, histograms: &mut BTreeMap<String, Durations>) -> RestReport {
        let mut all = Durations::default();
        for (name, route) in &tally.routes {
            all.add(&route.latency);
            histograms.insert(format!("rest_{name}"), route.latency.clone());
        }
        let report = RestReport {
            all: Percentiles::of(&all.0),
            routes: (tally.routes.iter())
                .map(|(name, route)| (*name, RouteReport::new(route)))
                .collect(),
            send_lateness: Percentiles::of(&tally.send_lateness.0),
            not_sent: tally.not_sent,
            bytes: tally.bytes,
        };
        histograms.insert("rest".to_owned(), all);
        report
    }
}

impl RouteReport {
    fn new(tally: &RouteTally) -> RouteReport {
        RouteReport {
            latency: Percentiles::of(&tally.latency.0),
            statuses: tally.statuses.clone(),
            unanswered: tally.unanswered,
        }
    }
}

impl StreamReport {
    fn new(
        tally: &StreamTally,
        seconds: f64,
        histograms: &mut BTreeMap<String, Durations>,
    ) -> StreamReport {
        let mut end_to_end = Durations::default();
        for (form, received) in [("json", &tally.json), ("binary", &tally.binary)] {
            end_to_end.add(&received.end_to_end.durations);
            let mut keep = |name: &str, durations: &Durations| {
                histograms.insert(format!("{form}_{name}"), durations.clone());
            };
            keep("end_to_end", &received.end_to_end.durations);
            keep("sent_to_received", &received.sent_to_received.durations);
            keep("jitter", &received.jitter);
        }
        let Connections {
            connect,
            hello,
            reconnects,
            failed,
            reasons,
            stalled_opened,
            stalled_closed,
        } = &tally.connections;
        histograms.insert("connect".to_owned(), connect.clone());
        histograms.insert("hello".to_owned(), hello.clone());
        let report = StreamReport {
            end_to_end: Percentiles::of(&end_to_end.0),
            json: ReceivedReport::new(&tally.json, seconds),
            binary: ReceivedReport::new(&tally.binary, seconds),
            connect: Percentiles::of(&connect.0),
            hello: Percentiles::of(&hello.0),
            reconnects: *reconnects,
            failed_attempts: *failed,
            reasons: reasons.clone(),
            stalled_opened: *stalled_opened,
            stalled_closed: *stalled_closed,
        };
        histograms.insert("end_to_end".to_owned(), end_to_end);
        report
    }
}

impl ReceivedReport {
    fn new(received: &Received, seconds: f64) -> ReceivedReport {
        let WallDurations {
            durations: end_to_end,
            negative,
        } = &received.end_to_end;
        let sent = &received.sent_to_received;
        ReceivedReport {
            end_to_end: Percentiles::of(&end_to_end.0),
            sent_to_received: Percentiles::of(&sent.durations.0),
            jitter: Percentiles::of(&received.jitter.0),
            negative: negative + sent.negative,
            messages: received.messages,
            messages_per_s: per_second(received.messages, seconds),
            bytes: received.bytes,
            bytes_per_s: per_second(received.bytes, seconds),
            ticks: received.ticks,
            events: received.events,
            events_missing: received.events_missing,
            lagged: received.lagged,
            skipped: received.skipped,
            decoded: received.decoded,
        }
    }
}

impl SimulationReport {
    fn new(advance: &Advance, histograms: &mut BTreeMap<String, Durations>) -> SimulationReport {
        let (before, after) = (&advance.before.resource, &advance.after.resource);
        let mut stages = BTreeMap::new();
        for (name, cumulative) in &advance.after.stages {
            let nothing = Default::default();
            let since = advance.before.stages.get(name).unwrap_or(&nothing);
            let added = cumulative.since(since);
            stages.insert(name.clone(), Percentiles::of(&added.0));
            // Of all simulations together.
            let all = histograms.entry(format!("stage_{name}")).or_default();
            all.add(&added);
        }
        SimulationReport {
            id: after.id.clone(),
            status: after.status.clone(),
            ticks: after.tick.saturating_sub(before.tick),
            late_ticks: after.late_ticks.saturating_sub(before.late_ticks),
            dilated_ms: after.dilated_ms - before.dilated_ms,
            achieved_speed: after.achieved_speed,
            stages,
        }
    }
}

fn per_second(amount: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        amount as f64 / seconds
    } else {
        0.0
    }
}

impl fmt::Display for SingleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.run {
            Some(run) => write!(f, "{run}")?,
            None => writeln!(f, "ended before anything was measured")?,
        }
        write_row(f, "idle timer jitter", &self.idle_timer_jitter)?;
        if self.interrupted {
            writeln!(f, "\nended early, as asked for")?;
        }
        write!(f, "\n{}", self.checks)
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measured_s, joined, clients) = (self.measured_s, self.joined, self.clients);
        writeln!(
            f,
            "measured {measured_s:.1} s; {joined} of {clients} clients joined\n"
        )?;
        let columns = ["count", "p50", "p90", "p99", "p99.9", "max"];
        write!(f, "{:<28}", "us")?;
        for column in columns {
            write!(f, " {column:>10}")?;
        }
        writeln!(f)?;
        self.stream.write(f)?;
        self.rest.write(f)?;
        write_row(f, "timer jitter", &self.timer_jitter)?;
        for simulation in &self.simulations {
            write!(f, "\n{simulation}")?;
        }
        writeln!(f)?;
        self.processes
            .iter()
            .try_for_each(|usage| write_usage(f, usage, measured_s))
    }
}

/// A line of percentiles.
fn write_row(f: &mut fmt::Formatter<'_>, name: &str, p: &Percentiles) -> fmt::Result {
    write!(f, "{name:<28}")?;
    for value in [p.count, p.p50_us, p.p90_us, p.p99_us, p.p999_us, p.max_us] {
        write!(f, " {value:>10}")?;
    }
    writeln!(f)
}

impl StreamReport {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, "connect", &self.connect)?;
        write_row(f, "hello", &self.hello)?;
        let forms = [("json", &self.json), ("binary", &self.binary)];
        for (form, received) in forms {
            write_row(f, &format!("{form} end to end"), &received.end_to_end)?;
            write_row(
                f,
                &format!("{form} sent to received"),
                &received.sent_to_received,
            )?;
            write_row(f, &format!("{form} jitter"), &received.jitter)?;
        }
        write_row(f, "end to end", &self.end_to_end)?;
        writeln!(f)?;
        for (form, r) in forms {
            writeln!(
                f,
                "{form:<8} {:.0} messages/s, {:.0} bytes/s, {} ticks, {} events, {} skipped, {} read whole",
                r.messages_per_s, r.bytes_per_s, r.ticks, r.events, r.skipped, r.decoded
            )?;
            if r.negative > 0 {
                writeln!(
                    f,
                    "{form:<8} {} arrived before they were sent: the clocks differ",
                    r.negative
                )?;
            }
        }
        writeln!(
            f,
            "{:<8} {} reconnects, {} attempts failed, {} stalled, {} of them closed",
            "clients",
            self.reconnects,
            self.failed_attempts,
            self.stalled_opened,
            self.stalled_closed
        )?;
        for (reason, n) in &self.reasons {
            writeln!(f, "{:<8} {n} x {reason}", "")?;
        }
        writeln!(f)
    }
}

impl RestReport {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, route) in &self.routes {
            write_row(f, &format!("rest {name}"), &route.latency)?;
        }
        write_row(f, "rest", &self.all)?;
        write_row(f, "rest send lateness", &self.send_lateness)?;
        for (name, route) in &self.routes {
            let mut odd = String::new();
            for (status, n) in route.statuses.iter().filter(|(status, _)| **status >= 300) {
                write!(odd, " {n} x {status}")?;
            }
            if route.unanswered > 0 {
                write!(odd, " {} unanswered", route.unanswered)?;
            }
            if !odd.is_empty() {
                writeln!(f, "rest {name}:{odd}")?;
            }
        }
        if self.not_sent > 0 {
            writeln!(
                f,
                "rest: {} not sent, too many were under way",
                self.not_sent
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for SimulationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {}: {} ticks, {} late, {:.0} ms dilated, speed {:.2}",
            self.id, self.status, self.ticks, self.late_ticks, self.dilated_ms, self.achieved_speed
        )?;
        for (name, stage) in &self.stages {
            write_row(f, &format!("  {name}"), stage)?;
        }
        Ok(())
    }
}

fn write_usage(f: &mut fmt::Formatter<'_>, usage: &Usage, seconds: f64) -> fmt::Result {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let gone = if usage.gone { ", gone" } else { "" };
    writeln!(
        f,
        "{:<16} cpu {:.2} s ({:.0} %), rss {:.1} -> {:.1} MiB, peak {:.1}{gone}",
        usage.name,
        usage.cpu_s,
        100.0 * usage.cpu_s / seconds.max(1e-9),
        mib(usage.rss_begin_bytes),
        mib(usage.rss_end_bytes),
        mib(usage.rss_peak_bytes),
    )
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "checks: {} violations; {} ticks compared between clients, {} digests with the database",
            self.violations, self.compared_ticks, self.compared_digests
        )?;
        for (check, n) in &self.found.counts {
            writeln!(f, "  {check}: {n}")?;
        }
        self.found
            .first
            .iter()
            .try_for_each(|v| writeln!(f, "  {v}"))
    }
}
