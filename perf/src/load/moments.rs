//! How a run went, slot by slot: what clients read, what processes used, what the server said of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::catalogue::WAYS;
use crate::load::leg::Measured;
use crate::load::processes::Usage;
use crate::load::timeline::{Coarse, Slot};
use crate::load::watch::Words;

/// A slot that was cut off after this share of its length says nothing, and is left out.
const LEAST_SHARE: f64 = 0.2;

/// One slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Moment {
    /// Its begin, s since the begin of measuring.
    pub(crate) from_s: f64,
    /// Its end.
    pub(crate) to_s: f64,
    /// From a tick's deadline to its message being read, us; absent where none was.
    pub(crate) end_to_end: Option<Times>,
    /// How old what clients saw was whenever one was due a tick, us; absent where none was.
    pub(crate) staleness: Option<Times>,
    /// Requests answered with success in it, us.
    pub(crate) rest: Option<Times>,
    /// Requests answered with a refusal.
    pub(crate) refused: u64,
    /// Requests given up without an answer.
    pub(crate) unanswered: u64,
    /// Messages read, a second.
    pub(crate) messages_per_s: f64,
    /// Bytes of their payloads, a second.
    pub(crate) bytes_per_s: f64,
    /// Ticks that gave way to newer ones.
    pub(crate) skipped: u64,
    /// Streams that broke, and attempts to open one that failed.
    pub(crate) broken: u64,
    /// Ticks that were late, as far as the server said.
    pub(crate) late_ticks: Option<f64>,
    /// Processes, by name.
    pub(crate) processes: BTreeMap<String, Load>,
    /// Bytes a second of the roles, by way.
    pub(crate) traffic: BTreeMap<&'static str, f64>,
}

/// Percentiles of a slot, us.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Times {
    /// How many.
    pub(crate) count: u64,
    /// Half of them are at most this.
    pub(crate) p50_us: u64,
    /// 99 %.
    pub(crate) p99_us: u64,
    /// All.
    pub(crate) max_us: u64,
}

/// What a process used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Load {
    /// CPU time, of one processor's.
    pub(crate) cpu_percent: f64,
    /// Resident at the end.
    pub(crate) rss_bytes: f64,
}

/// All slots of a run.
pub(crate) fn moments(measured: &Measured) -> Vec<Moment> {
    let (wall, slot) = (measured.wall.as_secs_f64(), measured.slot.as_secs_f64());
    let slots = measured.slots.iter().enumerate();
    let moments = slots.map(|(n, read)| (n as f64 * slot, read));
    moments
        .filter(|(from_s, _)| *from_s == 0.0 || wall - from_s >= LEAST_SHARE * slot)
        .map(|(from_s, read)| {
            let to_s = (from_s + slot).min(wall);
            moment(read, from_s, to_s, &measured.processes, &measured.words)
        })
        .collect()
}

fn moment(read: &Slot, from_s: f64, to_s: f64, processes: &[Usage], words: &Words) -> Moment {
    let seconds = (to_s - from_s).max(1e-3);
    let rate = |line: &[(f64, f64)]| grown_per_s(line, from_s, to_s);
    let processes = processes.iter().filter_map(|usage| {
        let line = |of: fn(&crate::load::processes::Sample) -> f64| -> Vec<(f64, f64)> {
            usage.samples.iter().map(|s| (s.at_s, of(s))).collect()
        };
        let load = Load {
            cpu_percent: 100.0 * rate(&line(|s| s.cpu_s))?,
            rss_bytes: at(&line(|s| s.rss_bytes as f64), to_s)?,
        };
        Some((usage.name.clone(), load))
    });
    let traffic = WAYS.iter().enumerate().filter_map(|(n, way)| {
        let said = words.said.iter();
        let line: Vec<_> = said.filter_map(|s| Some((s.at_s, s.traffic[n]?))).collect();
        Some((*way, rate(&line)?))
    });
    let late: Vec<_> = (words.said.iter())
        .map(|s| (s.at_s, s.late_ticks as f64))
        .collect();
    Moment {
        from_s,
        to_s,
        end_to_end: times(&read.end_to_end),
        staleness: times(&read.staleness),
        rest: times(&read.rest),
        refused: read.refused,
        unanswered: read.unanswered,
        messages_per_s: read.messages as f64 / seconds,
        bytes_per_s: read.bytes as f64 / seconds,
        skipped: read.skipped,
        broken: read.broken,
        late_ticks: rate(&late).map(|per_s| (per_s * seconds).round()),
        processes: processes.collect(),
        traffic: traffic.collect(),
    }
}

fn times(us: &Coarse) -> Option<Times> {
    (!us.0.is_empty()).then(|| Times {
        count: us.0.len(),
        p50_us: us.0.value_at_quantile(0.5),
        p99_us: us.0.value_at_quantile(0.99),
        max_us: us.0.max(),
    })
}

/// By how much a line grows a second in a time, as far as it is known there; `None` where that is less than half of
/// the time.
fn grown_per_s(line: &[(f64, f64)], from_s: f64, to_s: f64) -> Option<f64> {
    let (first, last) = (line.first()?.0, line.last()?.0);
    let (begin, end) = (from_s.clamp(first, last), to_s.clamp(first, last));
    let is_known = end - begin >= 0.5 * (to_s - from_s) && end > begin;
    let grown = (at(line, end)? - at(line, begin)?).max(0.0);
    is_known.then(|| grown / (end - begin))
}

/// The value of a line at a moment: between two of its points straight, beyond an end that of the end.
fn at(line: &[(f64, f64)], moment: f64) -> Option<f64> {
    let (first, last) = (line.first()?, line.last()?);
    if moment <= first.0 {
        return Some(first.1);
    }
    if moment >= last.0 {
        return Some(last.1);
    }
    let after = line.partition_point(|point| point.0 <= moment);
    let (before, after) = (line[after - 1], line[after]);
    let share = (moment - before.0) / (after.0 - before.0);
    Some(before.1 + share * (after.1 - before.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::processes::Sample;
    use crate::load::watch::Said;

    #[test]
    fn a_line_is_straight_between_its_points() {
        let line = [(0.1, 10.0), (1.1, 20.0), (2.1, 60.0)];
        for (moment, value) in [
            (0.0, Some(10.0)),
            (0.6, Some(15.0)),
            (1.1, Some(20.0)),
            (1.6, Some(40.0)),
            (3.0, Some(60.0)),
        ] {
            let found = at(&line, moment);
            assert_eq!(found.map(f64::round), value, "{moment}");
        }
        assert_eq!(at(&[], 1.0), None);
    }

    #[test]
    fn growth_is_of_the_time_in_which_it_is_known() {
        let line = [(0.1, 10.0), (1.1, 20.0), (2.1, 60.0)];
        let grown = |from_s, to_s| grown_per_s(&line, from_s, to_s).map(f64::round);
        assert_eq!(grown(0.0, 1.0), Some(10.0));
        assert_eq!(grown(1.1, 2.1), Some(40.0));
        assert_eq!(
            grown(1.5, 2.5),
            Some(40.0),
            "no more is known than up to 2.1"
        );
        assert_eq!(grown(2.0, 3.0), None);
        assert_eq!(grown(7.0, 8.0), None);
    }

    #[test]
    fn a_slot_has_what_was_used_in_it_and_not_before() {
        let samples = [(0.0, 0.0, 5), (1.0, 0.25, 6), (2.0, 0.75, 8)];
        let samples = samples.map(|(at_s, cpu_s, rss_bytes)| Sample {
            at_s,
            cpu_s,
            rss_bytes,
        });
        let gateway = Usage {
            name: "gateway".to_owned(),
            pid: 1,
            cpu_s: 0.75,
            rss_begin_bytes: 5,
            rss_end_bytes: 8,
            rss_peak_bytes: 8,
            gone: false,
            samples: samples.to_vec(),
        };
        let said = |at_s, bytes, late_ticks| Said {
            at_s,
            traffic: [Some(bytes), None, None, None, None],
            ticks: 0,
            late_ticks,
        };
        let words = Words {
            said: vec![
                said(0.0, 100.0, 7),
                said(1.0, 300.0, 7),
                said(2.0, 900.0, 9),
            ],
            unread: None,
        };
        let mut read = Slot::default();
        (read.messages, read.bytes) = (10, 1_000);
        read.rest.record_us(500);
        let moment = moment(&read, 1.0, 2.0, &[gateway], &words);
        let load = moment.processes["gateway"];
        assert_eq!((load.cpu_percent, load.rss_bytes), (50.0, 8.0));
        assert_eq!(moment.traffic, [("gateway_sent", 600.0)].into());
        assert_eq!(
            (moment.late_ticks, moment.messages_per_s),
            (Some(2.0), 10.0)
        );
        assert_eq!(moment.rest.map(|times| times.count), Some(1));
        assert_eq!(moment.end_to_end, None);
    }
}
