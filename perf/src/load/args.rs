//! What `perf load` is asked to do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};
use hyper::Uri;
use kernel::config::MAX_ENTITIES;
use transport::control::MAX_VIEW_HZ;

use crate::load::mix::Mix;
use crate::load::output_args::OutputArgs;
use crate::load::processes::{Named, OWN_NAME};

/// Most clients of one kind: what the ports of one address allow.
const MAX_CLIENTS: i64 = 20_000;

/// Drives a running AutoFarm over REST and WebSocket, and measures and checks what comes back.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LoadArgs {
    /// TOML file of settings: keys are the names of these flags, with - or _. Flags count more, and so do
    /// variables.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Print every measure that --fail-if and baselines know, with its unit, and end.
    #[arg(long)]
    pub(crate) list_measures: bool,

    /// The gateway: http://HOST:PORT or https://HOST:PORT.
    #[arg(long, env = "AUTOFARM_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: Uri,
    /// Bearer token, of an operator.
    #[arg(long, env = "AUTOFARM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Authorities to trust for https, as PEM; else those of the system.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Simulations to create, start, and delete in the end.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) simulations: u32,
    /// Watch this one instead, as it is; repeatable. It is neither started nor deleted.
    #[arg(long, value_name = "ID", conflicts_with = "simulations")]
    pub(crate) simulation: Vec<String>,
    /// Scenario of what is created.
    #[arg(long, default_value = "weeding")]
    pub(crate) scenario: String,
    /// Machines of each.
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_ENTITIES))
    )]
    pub(crate) entities: u32,
    /// Length of a tick, ms.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(5..=1_000))]
    pub(crate) tick_ms: u32,
    /// Factor on real time, or max.
    #[arg(long, default_value = "1", value_parser = parse_speed)]
    pub(crate) speed: Speed,
    /// Seed of the first simulation, and of the order of requests; further ones have the next.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Simulated seconds that what is created goes on for, as fast as it goes, before anybody connects: a farm
    /// that was just created has all machines at home.
    #[arg(long, default_value_t = 0.0, value_parser = parse_seconds)]
    pub(crate) begin_at: f64,
    /// Do not delete what was created.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Requests a second, sent on schedule whatever the answers take; 0 for none.
    #[arg(long, default_value_t = 10.0, value_parser = parse_rate)]
    pub(crate) rest_per_s: f64,
    /// Connections that requests wait for where all are busy.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) rest_connections: u32,
    /// Weights of routes, as ROUTE=WEIGHT,…; routes left out are not called.
    #[arg(long, default_value_t)]
    pub(crate) rest_mix: Mix,

    /// Clients of autofarm.v1.json.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(0..=MAX_CLIENTS))]
    pub(crate) json_clients: u32,
    /// Clients of autofarm.v1.bin.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(0..=MAX_CLIENTS))]
    pub(crate) binary_clients: u32,
    /// Clients of autofarm.v1.bin that stop reading as soon as they have joined.
    #[arg(long, default_value_t = 0, value_parser = value_parser!(u32).range(0..=MAX_CLIENTS))]
    pub(crate) stalled_clients: u32,
    /// When those join, s after all others have.
    #[arg(long, default_value_t = 0.0, value_parser = parse_seconds)]
    pub(crate) stall_after: f64,
    /// Ticks a second that clients ask for.
    #[arg(
        long,
        default_value_t = 10,
        value_parser = value_parser!(u32).range(1..=i64::from(MAX_VIEW_HZ))
    )]
    pub(crate) rate_hz: u32,
    /// West, south, east, north, m: what clients ask to see; else the world.
    #[arg(long, value_parser = parse_bounds, allow_hyphen_values = true, value_name = "W,S,E,N")]
    pub(crate) bounds_m: Option<Bounds>,
    /// Machines of a tick at most.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) max_entities: u32,
    /// Events that clients ask for; only where it is all are gaps found.
    #[arg(long, value_enum, default_value_t = Events::All)]
    pub(crate) events: Events,
    /// Connections opened a second.
    #[arg(long, default_value_t = 100.0, value_parser = parse_rate)]
    pub(crate) opens_per_s: f64,
    /// One in so many clients reads ticks to the last machine and compares them with the others'; the rest
    /// read heads.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    pub(crate) decode_one_in: u32,
    /// Threads that clients of the stream are spread over.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,

    /// What is measured, s.
    #[arg(long, default_value_t = 60.0, value_parser = parse_seconds)]
    pub(crate) duration: f64,
    /// What is not, from when all clients have joined until then, s.
    #[arg(long, default_value_t = 5.0, value_parser = parse_seconds)]
    pub(crate) warm_up: f64,
    /// Measures so many pairs: once without the stalled clients and once with them, in turns. Both halves of a
    /// pair run the same ticks of the same farm: each on a fork of what is created, at one tick. One that
    /// --simulation names is watched as it goes on.
    #[arg(long, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) pairs: Option<u32>,
    /// A process of AutoFarm on this machine whose CPU time and memory are reported; repeatable.
    #[arg(long, value_name = "NAME=PID")]
    pub(crate) pid: Vec<Named>,
    /// Page of metrics of a role that runs apart, http://HOST:PORT/metrics; repeatable. The gateway's own is
    /// always read.
    #[arg(long, value_name = "URL")]
    pub(crate) metrics: Vec<Uri>,

    /// What comes out of it, and how it is judged.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What `--help` ends with.
const AFTER_HELP: &str = "\
Requests are sent open loop: request n is due n/rate after the start, whatever became of those before. Its
latency counts from when it was due, not from when a connection was free to send it, so a server
that stalls is charged for every request that it kept waiting (coordinated omission corrected).
Connections of the stream are opened on such a schedule too. Latencies are of requests that succeeded; where
more than 1 % of them do not, the run fails, unless --fail-if has another bound for rest.failed_share.

end_to_end is from a tick's start, its deadline, to the message being read here; sent_to_received from
the gateway's time of sending. Both compare wall clocks: run this where the gateway runs, or keep the
clocks together. The first tick of a connection shows where the run stands and is in neither. Both are of
ticks that came: staleness is how old what a client has read is whenever it is due a tick, whether one comes
or not, and has stalls, skipped ticks and reconnects in it. jitter is by how much two ticks of a client came
further apart, or closer together, than they started.

Checked: ticks in order and none twice, none missing where every one was asked for, events without a gap,
numbers of machines, sums, bounds, what clients are told of the same tick, digests, answers,
places of commands. Exit code 0: measured, and every check and threshold held; 1: it could not be measured, or a
check or threshold failed, or something became worse than the baseline, each of which is told; 2: wrong
arguments, profile or baseline. Ctrl-C ends it early, with what was measured so far.

Examples:
  cargo run --release -p perf -- load --entities 10000 --rate-hz 50 --pid gateway=4711
  cargo run --release -p perf -- load --stalled-clients 200 --pairs 5 --duration 20 --json
  cargo run --release -p perf -- load --json-clients 0 --binary-clients 1000 --hgrm histograms
  cargo run --release -p perf -- load --fail-if 'tick.p99>12ms' --fail-if 'late_ticks>0' --html load.html
  cargo run --release -p perf -- load --profile nightly.toml --compare nightly.json --tolerance 15%";

/// Which events clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Events {
    /// None.
    None,
    /// Changes of status.
    Lifecycle,
    /// Those of both logs.
    All,
}

impl Events {
    /// As the stream spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Events::None => "none",
            Events::Lifecycle => "lifecycle",
            Events::All => "all",
        }
    }
}

/// A factor on real time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// So many times as fast.
    Factor(f64),
    /// As fast as it goes.
    Max,
}

/// West, south, east and north edge, m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds(pub(crate) [f64; 4]);

impl LoadArgs {
    /// What one flag cannot know of another.
    ///
    /// # Errors
    /// What does not go together.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.pairs.is_some() && self.stalled_clients == 0 {
            return Err("--pairs compares with --stalled-clients, of which there are none".into());
        }
        if self.pairs.is_some() && self.stall_after > self.warm_up {
            return Err("in --pairs, stalled clients join while warming up: --stall-after is longer than --warm-up".into());
        }
        if self.pairs.is_some() && self.json_clients + self.binary_clients == 0 {
            return Err(
                "--pairs compares what clients measure, and there are none that read".into(),
            );
        }
        if self.duration <= 0.0 {
            return Err("--duration is 0".into());
        }
        self.names_of_processes()?;
        self.output.validate(self)
    }

    /// Names of the processes that are watched, this one's first.
    ///
    /// # Errors
    /// Where two have one.
    fn names_of_processes(&self) -> Result<(), String> {
        let mut names = BTreeSet::from([OWN_NAME]);
        for named in &self.pid {
            if !names.insert(&named.name) {
                return Err(format!("--pid {}: the name is taken", named.name));
            }
        }
        Ok(())
    }

    /// Whether a process of that name is watched.
    pub(crate) fn watches(&self, process: &str) -> bool {
        process == OWN_NAME || self.pid.iter().any(|named| named.name == process)
    }
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let factor: f64 = text.parse().map_err(|_| "want a number or max")?;
    match (0.1..=1_000.0).contains(&factor) {
        true => Ok(Speed::Factor(factor)),
        false => Err("want 0.1 to 1000, or max".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "want a number")?;
    match (0.0..=100_000.0).contains(&rate) {
        true => Ok(rate),
        false => Err("want 0 to 100000".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "want a number")?;
    match (0.0..=1e6).contains(&seconds) {
        true => Ok(seconds),
        false => Err("want 0 to 1000000".to_owned()),
    }
}

fn parse_bounds(text: &str) -> Result<Bounds, String> {
    let edges: Result<Vec<f64>, _> = text.split(',').map(str::parse).collect();
    let edges = edges.map_err(|_| "want four numbers")?;
    let edges: [f64; 4] = edges.try_into().map_err(|_| "want four numbers")?;
    let [west, south, east, north] = edges;
    match west < east && south < north {
        true => Ok(Bounds(edges)),
        false => Err("want west < east and south < north".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_four_numbers_in_order() {
        let bounds = Bounds([-5.0, 0.0, 1.5, 2.0]);
        assert_eq!(parse_bounds("-5,0,1.5,2"), Ok(bounds));
        for wrong in ["", "1,2,3", "1,2,0,3", "1,2,3,x"] {
            assert!(parse_bounds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn speeds_are_factors_or_max() {
        assert_eq!(parse_speed("max"), Ok(Speed::Max));
        assert_eq!(parse_speed("2.5"), Ok(Speed::Factor(2.5)));
        assert!(parse_speed("0").is_err() && parse_speed("NaN").is_err());
    }
}
