//! What `perf load` says. The names of fields are the JSON's.

use std::collections::BTreeMap;
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
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    /// 99 % were at most so long.
    pub(crate) p99_us: u64,
    pub(super) p999_us: u64,
    pub(super) max_us: u64,
}

/// One run of clients.
#[derive(Serialize)]
pub(crate) struct RunReport {
    pub(super) measured_s: f64,
    pub(super) clients: u64,
    pub(super) joined: u64,
    pub(super) rest: RestReport,
    pub(super) stream: StreamReport,
    pub(super) simulations: Vec<SimulationReport>,
    pub(super) timer_jitter: Percentiles,
    pub(super) processes: Vec<Usage>,
    #[serde(skip)]
    pub(super) histograms: BTreeMap<String, Durations>,
}

#[derive(Serialize)]
pub(super) struct RestReport {
    pub(super) all: Percentiles,
    pub(super) routes: BTreeMap<&'static str, RouteReport>,
    pub(super) send_lateness: Percentiles,
    pub(super) not_sent: u64,
    pub(super) bytes: u64,
}

#[derive(Serialize)]
pub(super) struct RouteReport {
    pub(super) latency: Percentiles,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) unanswered: u64,
}

#[derive(Serialize)]
pub(super) struct StreamReport {
    pub(super) end_to_end: Percentiles,
    pub(super) json: ReceivedReport,
    pub(super) binary: ReceivedReport,
    pub(super) connect: Percentiles,
    pub(super) hello: Percentiles,
    pub(super) reconnects: u64,
    pub(super) failed_attempts: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    pub(super) stalled_opened: u64,
    pub(super) stalled_closed: u64,
}

#[derive(Serialize)]
pub(super) struct ReceivedReport {
    pub(super) end_to_end: Percentiles,
    pub(super) sent_to_received: Percentiles,
    pub(super) jitter: Percentiles,
    /// Messages whose sender's clock was ahead of this one's.
    pub(super) negative: u64,
    pub(super) messages: u64,
    pub(super) messages_per_s: f64,
    pub(super) bytes: u64,
    pub(super) bytes_per_s: f64,
    pub(super) ticks: u64,
    pub(super) events: u64,
    pub(super) events_missing: u64,
    pub(super) lagged: u64,
    pub(super) skipped: u64,
    pub(super) decoded: u64,
}

#[derive(Serialize)]
pub(super) struct SimulationReport {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) ticks: u64,
    pub(super) late_ticks: u64,
    pub(super) dilated_ms: f64,
    pub(super) achieved_speed: f64,
    pub(super) stages: BTreeMap<String, Percentiles>,
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
