//! What was measured as comma-separated values, for spreadsheets and data frames.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::load::catalogue::WAYS;
use crate::load::figures::Figures;
use crate::load::moments::{Moment, Times};
use crate::load::report::SingleReport;

/// Writes `measures.csv` and `timeline.csv` into a directory that is there.
///
/// # Errors
/// Where a file cannot be written, naming it.
pub(crate) fn write(report: &SingleReport, directory: &Path) -> anyhow::Result<()> {
    let files = [
        ("measures.csv", measures(report.figures())),
        ("timeline.csv", timeline(&report.run.timeline)),
    ];
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn measures(figures: &Figures) -> String {
    let mut text = String::from("measure,value,unit\r\n");
    for (measure, value) in figures.all() {
        // Writing to memory does not fail.
        let _ = write!(
            text,
            "{},{value},{}\r\n",
            field(measure.name()),
            measure.unit.base()
        );
    }
    text
}

/// A row a slot; what is not known is empty.
fn timeline(moments: &[Moment]) -> String {
    let mut columns: Vec<String> = ["from_s", "to_s"].map(str::to_owned).into();
    for times in ["end_to_end", "staleness", "rest"] {
        columns.extend(["count", "p50_us", "p99_us", "max_us"].map(|c| format!("{times}.{c}")));
    }
    let counts = ["messages_per_s", "bytes_per_s", "skipped", "late_ticks"];
    let failures = ["refused", "unanswered", "broken"];
    columns.extend(counts.iter().chain(&failures).map(ToString::to_string));
    let processes: Vec<&String> = moments
        .first()
        .map_or(Vec::new(), |moment| moment.processes.keys().collect());
    for name in &processes {
        columns.push(format!("cpu.{name}_percent"));
        columns.push(format!("rss.{name}_bytes"));
    }
    columns.extend(WAYS.map(|way| format!("traffic.{way}_bytes_per_s")));
    let mut text = columns
        .iter()
        .map(|column| field(column))
        .collect::<Vec<_>>()
        .join(",");
    text += "\r\n";
    for moment in moments {
        text += &row(moment, &processes).join(",");
        text += "\r\n";
    }
    text
}

fn row(moment: &Moment, processes: &[&String]) -> Vec<String> {
    let mut row = vec![moment.from_s.to_string(), moment.to_s.to_string()];
    for times in [&moment.end_to_end, &moment.staleness, &moment.rest] {
        row.extend(match times {
            None => [const { String::new() }; 4],
            Some(Times {
                count,
                p50_us,
                p99_us,
                max_us,
            }) => [count, p50_us, p99_us, max_us].map(ToString::to_string),
        });
    }
    let known = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    row.extend([
        moment.messages_per_s.to_string(),
        moment.bytes_per_s.to_string(),
    ]);
    row.extend([moment.skipped.to_string(), known(moment.late_ticks)]);
    row.extend([moment.refused, moment.unanswered, moment.broken].map(|n| n.to_string()));
    for name in processes {
        let load = moment.processes.get(*name);
        row.push(known(load.map(|load| load.cpu_percent)));
        row.push(known(load.map(|load| load.rss_bytes)));
    }
    row.extend(WAYS.map(|way| known(moment.traffic.get(way).copied())));
    row
}

/// A value as RFC 4180 has it: quoted where it holds what would end it.
fn field(value: &str) -> String {
    match value.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::moments::Load;

    #[test]
    fn every_row_has_a_value_or_nothing_for_each_column() {
        let mut moment = Moment {
            from_s: 0.0,
            to_s: 1.0,
            end_to_end: None,
            staleness: Some(Times {
                count: 2,
                p50_us: 6,
                p99_us: 7,
                max_us: 8,
            }),
            rest: Some(Times {
                count: 3,
                p50_us: 1,
                p99_us: 2,
                max_us: 4,
            }),
            refused: 11,
            unanswered: 12,
            broken: 13,
            messages_per_s: 9.5,
            bytes_per_s: 8.0,
            skipped: 0,
            late_ticks: None,
            processes: [(
                "a,\"b".to_owned(),
                Load {
                    cpu_percent: 5.0,
                    rss_bytes: 7.0,
                },
            )]
            .into(),
            traffic: [("worker_sent", 6.0)].into(),
        };
        let first = moment.clone();
        moment.processes.clear();
        let text = timeline(&[first, moment]);
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        assert!(lines[0].contains("\"cpu.a,\"\"b_percent\""), "{}", lines[0]);
        assert_eq!(
            lines[1],
            "0,1,,,,,2,6,7,8,3,1,2,4,9.5,8,0,,11,12,13,5,7,,,,6,"
        );
        assert_eq!(
            lines[2],
            "0,1,,,,,2,6,7,8,3,1,2,4,9.5,8,0,,11,12,13,,,,,,6,"
        );
        // The quoted name of a process holds a comma in two columns.
        let columns = lines[0].matches(',').count() - 2;
        assert_eq!(columns, lines[1].matches(',').count());
    }

    #[test]
    fn measures_are_told_with_their_units() {
        let mut figures = Figures::default();
        figures.set("late_ticks", 3.0);
        figures.set("cpu.perf", 12.5);
        assert_eq!(
            measures(&figures),
            "measure,value,unit\r\ncpu.perf,12.5,%\r\nlate_ticks,3,\r\n"
        );
    }
}
