//! Every name that a measure can have. docs/operations.md describes each.

use std::fmt::Write as _;

use crate::load::measure::Better;
use crate::load::mix::Route;
use crate::load::unit::Unit;

/// Histograms, and what they are of. Where one has `<...>` it is a family of them.
pub(crate) const HISTOGRAMS: [(&str, &str); 21] = [
    (
        "tick",
        "from a tick's deadline to its sums complete, as the orchestrator has it",
    ),
    ("stage.<stage>", "one stage of it"),
    (
        "end_to_end",
        "from a tick's deadline to its message read here, all clients; of ticks that came",
    ),
    ("json.end_to_end", "the same, clients of JSON"),
    ("binary.end_to_end", "the same, clients of binary"),
    (
        "staleness",
        "how old what a client saw was, whenever one was due a tick, connected or not",
    ),
    ("json.staleness", "the same, clients of JSON"),
    ("binary.staleness", "the same, clients of binary"),
    (
        "json.sent_to_received",
        "from the gateway's time of sending to the message read here",
    ),
    ("binary.sent_to_received", "the same, clients of binary"),
    (
        "json.jitter",
        "by how much two ticks of a client came further apart, or closer together, than they started",
    ),
    ("binary.jitter", "the same, clients of binary"),
    (
        "connect",
        "from when a stream was first due to be opened to its upgrade answered",
    ),
    ("hello", "from then to its hello read"),
    (
        "rest",
        "from when a request was due to its answer read, of successes",
    ),
    ("rest.<route>", "the same, one route"),
    (
        "rest.refusal",
        "the same, of answers of status 400 and above",
    ),
    (
        "rest.failure",
        "from when a request was due to when it was given up without an answer",
    ),
    (
        "rest.send_lateness",
        "from when a request was due to when it was sent",
    ),
    (
        "timer_jitter",
        "how late this machine's timer was, beside the load",
    ),
    ("idle_timer_jitter", "the same, before it"),
];

/// Numbers: name, unit, which way is better, and what they are.
pub(crate) const NUMBERS: [(&str, Unit, Better, &str); 25] = [
    (
        "ticks",
        Unit::Count,
        Better::Neither,
        "ticks that the simulations made, all together",
    ),
    (
        "ticks_per_s",
        Unit::Rate,
        Better::Higher,
        "the same, a second",
    ),
    (
        "late_ticks",
        Unit::Count,
        Better::Lower,
        "those that were complete only after the next was due",
    ),
    (
        "late_share",
        Unit::Percent,
        Better::Lower,
        "the same, of all",
    ),
    (
        "dilated",
        Unit::Time,
        Better::Lower,
        "by how much deadlines were shifted",
    ),
    (
        "achieved_speed",
        Unit::Factor,
        Better::Higher,
        "simulated over real time, of the slowest simulation",
    ),
    (
        "json.messages_per_s",
        Unit::Rate,
        Better::Higher,
        "messages that clients of JSON read",
    ),
    (
        "binary.messages_per_s",
        Unit::Rate,
        Better::Higher,
        "those of binary",
    ),
    (
        "json.bytes_per_s",
        Unit::ByteRate,
        Better::Neither,
        "payloads that clients of JSON read",
    ),
    (
        "binary.bytes_per_s",
        Unit::ByteRate,
        Better::Neither,
        "those of binary",
    ),
    (
        "json.skipped",
        Unit::Count,
        Better::Lower,
        "ticks that gave way to newer ones, as `lagged` says",
    ),
    (
        "binary.skipped",
        Unit::Count,
        Better::Lower,
        "the same, clients of binary",
    ),
    (
        "events_missing",
        Unit::Count,
        Better::Lower,
        "messages that told of events that cannot be had any more",
    ),
    (
        "not_joined",
        Unit::Count,
        Better::Lower,
        "clients that were never let in",
    ),
    (
        "reconnects",
        Unit::Count,
        Better::Lower,
        "streams that were opened again after they broke",
    ),
    (
        "failed_attempts",
        Unit::Count,
        Better::Lower,
        "attempts to open one that failed",
    ),
    (
        "rest.answers_per_s",
        Unit::Rate,
        Better::Higher,
        "requests answered with success",
    ),
    (
        "rest.refused",
        Unit::Count,
        Better::Lower,
        "answers of status 400 and above",
    ),
    (
        "rest.unanswered",
        Unit::Count,
        Better::Lower,
        "requests without an answer, and those not sent for too many were under way",
    ),
    (
        "rest.failed_share",
        Unit::Percent,
        Better::Lower,
        "both, of all requests that were due; above 1 % the run fails unless --fail-if has another bound",
    ),
    (
        "violations",
        Unit::Count,
        Better::Lower,
        "things that a check found wrong",
    ),
    (
        "cpu.<process>",
        Unit::Percent,
        Better::Lower,
        "CPU time of a process that --pid names, or of perf, of one processor's",
    ),
    (
        "rss.<process>",
        Unit::Bytes,
        Better::Lower,
        "its resident memory, the most that was seen",
    ),
    (
        "traffic.<way>",
        Unit::ByteRate,
        Better::Neither,
        "bytes of a role, as its metrics have them",
    ),
    (
        "pairs.ratio_p99",
        Unit::Factor,
        Better::Lower,
        "with --pairs: the middle of p99 end to end with the stalled clients over without",
    ),
];

/// Stages of a tick, in the order in which it passes through them.
pub(crate) const STAGES: [&str; 7] = [
    "deadline_lateness",
    "dispatch",
    "network",
    "worker_queue",
    "compute",
    "aggregate",
    "publish",
];
/// Where bytes are counted: role, and which way they go.
pub(crate) const WAYS: [&str; 5] = [
    "gateway_sent",
    "orchestrator_sent",
    "orchestrator_received",
    "worker_sent",
    "worker_received",
];

/// What is said of a name that is none.
pub(crate) fn unknown(name: &str) -> String {
    let mut text = format!("{name:?} is no measure; there are, of each of ");
    let histograms: Vec<_> = HISTOGRAMS.iter().map(|(known, _)| *known).collect();
    let numbers: Vec<_> = NUMBERS.iter().map(|(known, ..)| *known).collect();
    // Writing to memory does not fail.
    let _ = write!(
        text,
        "{}, the statistics p50 (or any other p), max, mean and count, as in tick.p99; and {}",
        histograms.join(", "),
        numbers.join(", ")
    );
    text
}

/// Every measure with its unit, as `--list-measures` prints it.
pub(crate) fn listed() -> String {
    let mut text = String::from("Histograms; each has .p50 (or any other p), .max and .mean in ");
    let _ = writeln!(text, "{}, and .count:\n", Unit::Time.allowed());
    for (name, is) in HISTOGRAMS {
        let _ = writeln!(text, "  {name:<24} {is}");
    }
    let routes: Vec<_> = Route::ALL.iter().map(|route| route.name()).collect();
    let _ = writeln!(text, "\n  <stage>: {}", STAGES.join(" "));
    let _ = writeln!(
        text,
        "  <route>: {}\n\nNumbers, with their units:\n",
        routes.join(" ")
    );
    for (name, unit, _, is) in NUMBERS {
        let _ = writeln!(text, "  {name:<24} {is} ({})", unit.allowed());
    }
    let _ = writeln!(text, "\n  <way>: {}", WAYS.join(" "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_is_in_the_documentation() {
        let docs = include_str!("../../../docs/operations.md");
        let names = HISTOGRAMS.iter().map(|(name, _)| *name);
        for name in names.chain(NUMBERS.iter().map(|(name, ..)| *name)) {
            assert!(
                docs.contains(&format!("`{name}`")),
                "{name} is not in docs/operations.md"
            );
        }
        for member in STAGES.iter().chain(&WAYS) {
            assert!(
                docs.contains(member),
                "{member} is not in docs/operations.md"
            );
        }
    }
}
