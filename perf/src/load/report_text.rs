//! Reports as text.

use std::fmt::{self, Write as _};

use crate::load::baseline::caution;
use crate::load::processes::Usage;
use crate::load::report::{CheckReport, Frame, SingleReport, Verdict};
use crate::load::run_report::{Percentiles, RestReport, RunReport, SimulationReport, StreamReport};

/// What is said of stages that are known coarsely.
pub(crate) const COARSE: &str = "These are coarse: the server's histograms hold more than ten times as many ticks from before, and a p99 may be \
    off by a fifth. They are compared with no baseline; create a simulation, or measure longer.";

impl fmt::Display for SingleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\n{}", self.run, self.frame, self.verdict)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, "idle timer jitter", &self.idle_timer_jitter)?;
        if self.interrupted {
            writeln!(f, "\nended early, as asked for")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.checks)?;
        for what in &self.incomparable {
            writeln!(f, "FAILED  {what}")?;
        }
        for judged in &self.thresholds {
            writeln!(f, "{judged}")?;
        }
        if let Some(ratios) = &self.comparison {
            writeln!(f, "\nbeside the baseline:")?;
            if let Some(caution) = caution(ratios) {
                writeln!(f, "note: {caution}")?;
            }
            ratios.iter().try_for_each(|ratio| writeln!(f, "{ratio}"))?;
        }
        Ok(())
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
            write_row(f, &format!("{form} staleness"), &received.staleness)?;
            write_row(
                f,
                &format!("{form} sent to received"),
                &received.sent_to_received,
            )?;
            write_row(f, &format!("{form} jitter"), &received.jitter)?;
        }
        write_row(f, "end to end", &self.end_to_end)?;
        write_row(f, "staleness", &self.staleness)?;
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
        for (name, ended) in [
            ("rest refusal", &self.refusal),
            ("rest failure", &self.failure),
        ] {
            if ended.count > 0 {
                write_row(f, name, ended)?;
            }
        }
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
        if self.failed_percent > 0.0 {
            writeln!(
                f,
                "rest: {:.2} % of all requests were no success",
                self.failed_percent
            )?;
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
        if self.stages_coarse {
            writeln!(f, "  {COARSE}")?;
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
