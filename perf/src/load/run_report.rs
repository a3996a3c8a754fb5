//! What one run of clients came to. The names of fields are the JSON's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use transport::hgrm::write_hgrm;

use crate::load::catalogue::STAGES;
use crate::load::figures::Figures;
use crate::load::leg::{Advance, Measured};
use crate::load::moments::{Moment, moments};
use crate::load::processes::Usage;
use crate::load::rest::{RestTally, RouteTally};
use crate::load::tally::{Connections, Durations, Received, StreamTally, WallDurations};

const MS_PER_S: f64 = 1_000.0;
/// us in a ms, in which `.hgrm` files are.
const US_PER_MS: f64 = 1_000.0;
/// The server's name of the whole of a tick.
const TICK_LATENCY: &str = "tick_latency";
/// Reporting points in each halving of the distance to 100 %, as other tools of the family write.
const HGRM_TICKS_PER_HALF: u32 = 5;

/// Percentiles of a histogram, us.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    /// 99 % were at most so long.
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

/// One run of clients.
#[derive(Serialize)]
pub(crate) struct RunReport {
    pub(crate) measured_s: f64,
    pub(crate) clients: u64,
    pub(crate) joined: u64,
    pub(crate) rest: RestReport,
    pub(crate) stream: StreamReport,
    pub(crate) simulations: Vec<SimulationReport>,
    pub(crate) timer_jitter: Percentiles,
    pub(crate) processes: Vec<Usage>,
    /// Why the roles' bytes are not known, where they are not.
    pub(crate) metrics_unread: Option<String>,
    /// How it went.
    pub(crate) timeline: Vec<Moment>,
    /// All of it by name.
    #[serde(skip)]
    pub(crate) figures: Figures,
    /// Time between two ticks that a client asked for, us.
    #[serde(skip)]
    pub(crate) client_period_us: f64,
}

#[derive(Serialize)]
pub(crate) struct RestReport {
    /// Answered with success, all routes.
    pub(crate) all: Percentiles,
    /// Answered with a refusal.
    pub(crate) refusal: Percentiles,
    /// Given up without an answer.
    pub(crate) failure: Percentiles,
    /// Of all requests that were due: those refused, not answered or not sent.
    pub(crate) failed_percent: f64,
    pub(crate) routes: BTreeMap<&'static str, RouteReport>,
    pub(crate) send_lateness: Percentiles,
    pub(crate) not_sent: u64,
    pub(crate) bytes: u64,
}

#[derive(Serialize)]
pub(crate) struct RouteReport {
    pub(crate) latency: Percentiles,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) unanswered: u64,
}

#[derive(Serialize)]
pub(crate) struct StreamReport {
    pub(crate) end_to_end: Percentiles,
    pub(crate) staleness: Percentiles,
    pub(crate) json: ReceivedReport,
    pub(crate) binary: ReceivedReport,
    pub(crate) connect: Percentiles,
    pub(crate) hello: Percentiles,
    pub(crate) reconnects: u64,
    pub(crate) failed_attempts: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) stalled_opened: u64,
    pub(crate) stalled_closed: u64,
}

#[derive(Serialize)]
pub(crate) struct ReceivedReport {
    pub(crate) end_to_end: Percentiles,
    pub(crate) staleness: Percentiles,
    pub(crate) sent_to_received: Percentiles,
    pub(crate) jitter: Percentiles,
    /// Messages whose sender's clock was ahead of this one's.
    pub(crate) negative: u64,
    pub(crate) messages: u64,
    pub(crate) messages_per_s: f64,
    pub(crate) bytes: u64,
    pub(crate) bytes_per_s: f64,
    pub(crate) ticks: u64,
    pub(crate) events: u64,
    pub(crate) events_missing: u64,
    pub(crate) lagged: u64,
    pub(crate) skipped: u64,
    pub(crate) decoded: u64,
}

#[derive(Serialize)]
pub(crate) struct SimulationReport {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) entities: u64,
    pub(crate) tick_ms: u32,
    /// Asked for; absent where it goes as fast as it can.
    pub(crate) speed: Option<f64>,
    /// Between the two times that it was read.
    pub(crate) ticks: u64,
    /// How far these are apart: reading it takes time of its own.
    pub(crate) over_s: f64,
    pub(crate) late_ticks: u64,
    pub(crate) dilated_ms: f64,
    /// Simulated over real time, in all of that time.
    pub(crate) achieved_speed: f64,
    pub(crate) stages: BTreeMap<String, Percentiles>,
    /// So many ticks are in the server's histograms from before that what was added is known coarsely.
    pub(crate) stages_coarse: bool,
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
}

/// A histogram of ns as one of us.
pub(crate) fn us_of(ns: &Histogram<u64>) -> Durations {
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
        let timeline = moments(&measured);
        let mut figures = Figures::default();
        let rest = RestReport::new(&measured.rest, seconds, &mut figures);
        let stream = StreamReport::new(&measured.stream, seconds, &mut figures);
        let simulations: Vec<_> = (measured.simulations.iter())
            .map(|advance| SimulationReport::new(advance, &mut figures))
            .collect();
        set_simulations(&simulations, &mut figures);
        for usage in &measured.processes {
            let cpu_percent = 100.0 * usage.cpu_s / seconds;
            figures.set(format!("cpu.{}", usage.name), cpu_percent);
            let rss = usage.rss_peak_bytes as f64;
            figures.set(format!("rss.{}", usage.name), rss);
        }
        for (way, bytes_per_s) in measured.words.bytes_per_s() {
            figures.set(format!("traffic.{way}"), bytes_per_s);
        }
        let not_joined = measured.clients.saturating_sub(measured.joined);
        figures.set("not_joined", not_joined as f64);
        let jitter = us_of(&measured.jitter_ns);
        let timer_jitter = Percentiles::of(&jitter.0);
        figures.keep("timer_jitter", &jitter);
        RunReport {
            measured_s: seconds,
            clients: measured.clients,
            joined: measured.joined,
            rest,
            stream,
            simulations,
            timer_jitter,
            processes: measured.processes,
            metrics_unread: measured.words.unread,
            timeline,
            figures,
            client_period_us: 1e6 / f64::from(measured.rate_hz.max(1)),
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

    /// How long a tick has, us, of the simulation that gives it least; `None` where all go as fast as they can.
    pub(crate) fn period_us(&self) -> Option<f64> {
        let periods = self.simulations.iter().filter_map(|simulation| {
            let speed = simulation.speed.filter(|speed| *speed > 0.0)?;
            Some(f64::from(simulation.tick_ms) * US_PER_MS / speed)
        });
        periods.min_by(f64::total_cmp)
    }

    /// The share of its requests that were refused, not answered or not sent, in hundredths.
    pub(crate) fn failed_percent(&self) -> f64 {
        self.rest.failed_percent
    }

    /// How old a picture may be before it is told that clients were left without a newer one, us: some ticks at the
    /// slower of the two rates, and never so little that a pause of this machine is one.
    pub(crate) fn stale_after_us(&self) -> f64 {
        const LEAST_US: f64 = 500_000.0;
        const PERIODS: f64 = 3.0;
        let periods = self.period_us().unwrap_or(0.0).max(self.client_period_us);
        (PERIODS * periods).max(LEAST_US)
    }

    /// Names of the simulations whose stages are known coarsely.
    pub(crate) fn coarse(&self) -> Vec<&str> {
        let coarse = self.simulations.iter().filter(|s| s.stages_coarse);
        coarse.map(|s| s.id.as_str()).collect()
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
        for (name, durations) in &self.figures.durations {
            let path = directory.join(format!("{}.hgrm", name.replace('.', "_")));
            let text = hgrm_of(durations)?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// What all simulations did together.
fn set_simulations(simulations: &[SimulationReport], figures: &mut Figures) {
    let sum = |of: fn(&SimulationReport) -> f64| simulations.iter().map(of).sum::<f64>();
    let (ticks, late) = (sum(|s| s.ticks as f64), sum(|s| s.late_ticks as f64));
    figures.set("ticks", ticks);
    let rates = simulations.iter().map(|s| s.ticks as f64 / s.over_s);
    figures.set("ticks_per_s", rates.sum());
    figures.set("late_ticks", late);
    figures.set("late_share", 100.0 * late / ticks.max(1.0));
    figures.set("dilated", sum(|s| s.dilated_ms) * US_PER_MS);
    let speeds = simulations.iter().map(|s| s.achieved_speed);
    if let Some(slowest) = speeds.min_by(f64::total_cmp) {
        figures.set("achieved_speed", slowest);
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
    fn new(tally: &RestTally, seconds: f64, figures: &mut Figures) -> RestReport {
        let [mut all, mut refusal, mut failure] = [(); 3].map(|()| Durations::default());
        for (name, route) in &tally.routes {
            all.add(&route.latency);
            refusal.add(&route.refusal);
            failure.add(&route.failure);
            figures.keep(format!("rest.{name}"), &route.latency);
        }
        let (refused, unanswered) = (refusal.0.len(), failure.0.len() + tally.not_sent);
        let failed_percent = 100.0 * (refused + unanswered) as f64 / tally.due().max(1) as f64;
        figures.set("rest.answers_per_s", per_second(all.0.len(), seconds));
        figures.set("rest.refused", refused as f64);
        figures.set("rest.unanswered", unanswered as f64);
        figures.set("rest.failed_share", failed_percent);
        figures.keep("rest.refusal", &refusal);
        figures.keep("rest.failure", &failure);
        figures.keep("rest.send_lateness", &tally.send_lateness);
        let report = RestReport {
            all: Percentiles::of(&all.0),
            refusal: Percentiles::of(&refusal.0),
            failure: Percentiles::of(&failure.0),
            failed_percent,
            routes: (tally.routes.iter())
                .map(|(name, route)| (*name, RouteReport::new(route)))
                .collect(),
            send_lateness: Percentiles::of(&tally.send_lateness.0),
            not_sent: tally.not_sent,
            bytes: tally.bytes,
        };
        figures.keep("rest", &all);
        report
    }
}

impl RouteReport {
    fn new(tally: &RouteTally) -> RouteReport {
        RouteReport {
            latency: Percentiles::of(&tally.latency.0),
            statuses: tally.statuses.clone(),
            unanswered: tally.failure.0.len(),
        }
    }
}

impl StreamReport {
    fn new(tally: &StreamTally, seconds: f64, figures: &mut Figures) -> StreamReport {
        let (mut end_to_end, mut staleness) = (Durations::default(), Durations::default());
        for (form, received) in [("json", &tally.json), ("binary", &tally.binary)] {
            end_to_end.add(&received.end_to_end.durations);
            staleness.add(&received.staleness);
            let mut keep = |name: &str, durations: &Durations| {
                figures.keep(format!("{form}.{name}"), durations);
            };
            keep("end_to_end", &received.end_to_end.durations);
            keep("staleness", &received.staleness);
            keep("sent_to_received", &received.sent_to_received.durations);
            keep("jitter", &received.jitter);
            let mut set = |name: &str, value: f64| figures.set(format!("{form}.{name}"), value);
            set("messages_per_s", per_second(received.messages, seconds));
            set("bytes_per_s", per_second(received.bytes, seconds));
            set("skipped", received.skipped as f64);
        }
        let missing = tally.json.events_missing + tally.binary.events_missing;
        figures.set("events_missing", missing as f64);
        let Connections {
            connect,
            hello,
            reconnects,
            failed,
            reasons,
            stalled_opened,
            stalled_closed,
        } = &tally.connections;
        figures.keep("connect", connect);
        figures.keep("hello", hello);
        figures.set("reconnects", *reconnects as f64);
        figures.set("failed_attempts", *failed as f64);
        let report = StreamReport {
            end_to_end: Percentiles::of(&end_to_end.0),
            staleness: Percentiles::of(&staleness.0),
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
        figures.keep("end_to_end", &end_to_end);
        figures.keep("staleness", &staleness);
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
            staleness: Percentiles::of(&received.staleness.0),
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
    fn new(advance: &Advance, figures: &mut Figures) -> SimulationReport {
        let (before, after) = (&advance.before.resource, &advance.after.resource);
        let mut stages = BTreeMap::new();
        let mut stages_coarse = false;
        for (name, cumulative) in &advance.after.stages {
            let nothing = Default::default();
            let since = advance.before.stages.get(name).unwrap_or(&nothing);
            let added = cumulative.since(since);
            let is_coarse = since.hides(&added);
            stages_coarse |= is_coarse;
            stages.insert(name.clone(), Percentiles::of(&added.0));
            // Of all simulations together; a stage that another version has is told, and has no name here.
            let known_as = match name.as_str() {
                TICK_LATENCY => "tick".to_owned(),
                stage if STAGES.contains(&stage) => format!("stage.{stage}"),
                _ => continue,
            };
            figures.keep(known_as.clone(), &added);
            if is_coarse {
                figures.keep_coarse(known_as);
            }
        }
        let over_s = (advance.after.at - advance.before.at)
            .as_secs_f64()
            .max(1e-3);
        let ticks = after.tick.saturating_sub(before.tick);
        let simulated_s = ticks as f64 * f64::from(after.tick_ms) / MS_PER_S;
        SimulationReport {
            id: after.id.clone(),
            status: after.status.clone(),
            entities: after.entities,
            tick_ms: after.tick_ms,
            speed: after.speed(),
            ticks,
            over_s,
            late_ticks: after.late_ticks.saturating_sub(before.late_ticks),
            dilated_ms: after.dilated_ms - before.dilated_ms,
            achieved_speed: simulated_s / over_s,
            stages,
            stages_coarse,
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
