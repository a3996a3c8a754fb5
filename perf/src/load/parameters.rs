//! What a run was asked to do, as far as its figures depend on it: two runs are compared only where all of
//! this is the same.

use std::collections::BTreeMap;

use crate::load::args::{LoadArgs, Speed};
use crate::load::target::Target;

/// Names, which are those of flags, and values.
pub(crate) type Parameters = BTreeMap<String, String>;

/// Those of a run. Of simulations that were there before, their sizes count and not their ids.
pub(crate) fn parameters(args: &LoadArgs, targets: &[Target], processors: usize) -> Parameters {
    let mut all = Parameters::new();
    let mut say = |name: &str, value: String| {
        all.insert(name.to_owned(), value);
    };
    if args.simulation.is_empty() {
        say("simulations", args.simulations.to_string());
        say("scenario", args.scenario.clone());
        say("entities", args.entities.to_string());
        say("tick-ms", args.tick_ms.to_string());
        say("speed", speed(args.speed));
        say("begin-at", args.begin_at.to_string());
    } else {
        let sizes = targets.iter().map(|target| {
            let speed = target.speed.map_or("max".to_owned(), |s| s.to_string());
            format!(
                "{} machines of {} at {} ms and speed {speed}",
                target.entities, target.scenario, target.tick_ms
            )
        });
        say("simulation", sizes.collect::<Vec<_>>().join(", "));
    }
    say("seed", args.seed.to_string());
    say("rest-per-s", args.rest_per_s.to_string());
    say("rest-connections", args.rest_connections.to_string());
    say("rest-mix", args.rest_mix.to_string());
    say("json-clients", args.json_clients.to_string());
    say("binary-clients", args.binary_clients.to_string());
    say("stalled-clients", args.stalled_clients.to_string());
    say("stall-after", args.stall_after.to_string());
    say("rate-hz", args.rate_hz.to_string());
    let bounds = args.bounds_m.map_or("the world".to_owned(), |bounds| {
        bounds.0.map(|edge| edge.to_string()).join(",")
    });
    say("bounds-m", bounds);
    say("max-entities", args.max_entities.to_string());
    say("events", args.events.name().to_owned());
    say("opens-per-s", args.opens_per_s.to_string());
    say("decode-one-in", args.decode_one_in.to_string());
    say("threads", args.threads.to_string());
    say("duration", args.duration.to_string());
    say("warm-up", args.warm_up.to_string());
    say(
        "pairs",
        args.pairs.map_or("none".to_owned(), |n| n.to_string()),
    );
    let processes: Vec<_> = args.pid.iter().map(|named| named.name.as_str()).collect();
    say(
        "pid",
        match processes.is_empty() {
            true => "none".to_owned(),
            false => processes.join(","),
        },
    );
    say("processors", processors.to_string());
    all
}

fn speed(speed: Speed) -> String {
    match speed {
        Speed::Factor(factor) => factor.to_string(),
        Speed::Max => "max".to_owned(),
    }
}

/// What differs, each by its name with both values; empty where nothing does.
pub(crate) fn differences(there: &Parameters, here: &Parameters) -> Vec<String> {
    let mut names: Vec<_> = there.keys().chain(here.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let shown =
        |of: &Parameters, name: &String| of.get(name).map_or("not there".to_owned(), String::clone);
    names
        .into_iter()
        .filter(|name| there.get(*name) != here.get(*name))
        .map(|name| {
            format!(
                "{name}: {} in the baseline, {} now",
                shown(there, name),
                shown(here, name)
            )
        })
        .collect()
}
