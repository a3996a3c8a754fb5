//! A few lines on the terminal that say how it goes, drawn anew every second; nothing where standard error is no
//! terminal. Neither the cursor nor the terminal's mode is touched, so nothing has to be put back but the lines.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::processes::Now;
use crate::load::timeline::{Coarse, Slot};
use crate::load::unit::Unit;
use crate::load::watch::Said;

/// Lines below the first.
const LINES: usize = 4;
/// Drawings a second at most.
const MAX_HZ: u8 = 10;

/// The lines. Copies draw the same ones.
#[derive(Clone)]
pub(crate) struct Live {
    all: MultiProgress,
    phase: ProgressBar,
    lines: [ProgressBar; LINES],
}

/// What there is to say after another second.
pub(crate) struct Look<'a> {
    /// The last slot that is over.
    pub(crate) slot: Option<Slot>,
    /// How long a slot is.
    pub(crate) seconds: f64,
    /// Processes.
    pub(crate) processes: Vec<Now<'a>>,
    /// What the server said last, and before.
    pub(crate) said: Option<(Said, Said)>,
    /// Violations so far.
    pub(crate) violations: u64,
}

impl Live {
    /// Lines if standard error is a terminal that can draw.
    pub(crate) fn new() -> Live {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_shown = std::io::stderr().is_terminal() && !is_dumb;
        let target = match is_shown {
            true => ProgressDrawTarget::stderr_with_hz(MAX_HZ),
            false => ProgressDrawTarget::hidden(),
        };
        let all = MultiProgress::with_draw_target(target);
        let phase = all.add(ProgressBar::new(0));
        let bar = style("{prefix:<11} {bar:32.cyan} {pos}/{len} s");
        phase.set_style(bar.progress_chars("━╸─"));
        let lines = std::array::from_fn(|_| {
            let line = all.add(ProgressBar::new(0));
            line.set_style(style("{wide_msg}"));
            line
        });
        Live { all, phase, lines }
    }

    /// Something begins that takes so long.
    pub(crate) fn phase(&self, name: &'static str, takes: Duration) {
        self.phase.set_prefix(name);
        // A bar of no length would be full.
        let seconds = takes.as_secs_f64().ceil().max(1.0);
        self.phase.set_length(seconds as u64);
        self.phase.set_position(0);
        self.phase.tick();
        self.lines.iter().for_each(|line| line.set_message(""));
    }

    /// Another second has passed.
    pub(crate) fn look(&self, seconds_in: u64, look: &Look<'_>) {
        self.phase.set_position(seconds_in);
        let [stream, rest, server, processes] = &self.lines;
        if let Some(slot) = &look.slot {
            stream.set_message(stream_line(slot, look.seconds));
            rest.set_message(rest_line(slot, look.seconds));
        }
        let is_wrong = look.violations > 0 || look.slot.as_ref().is_some_and(Slot::is_odd);
        let shown = if is_wrong {
            "{wide_msg:.yellow}"
        } else {
            "{wide_msg}"
        };
        server.set_style(style(shown));
        server.set_message(server_line(look));
        let each = look.processes.iter().map(Now::to_string);
        processes.set_message(format!(
            "processes   {}",
            each.collect::<Vec<_>>().join("; ")
        ));
    }

    /// It is over, or the program ends.
    pub(crate) fn end(&self) {
        self.phase.finish_and_clear();
        self.lines.iter().for_each(ProgressBar::finish_and_clear);
        // What cannot be cleared is a terminal that is gone.
        let _ = self.all.clear();
    }
}

/// The library leaves colour out where NO_COLOR is set or the terminal has none.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a constant template")
}

fn times(us: &Coarse) -> String {
    if us.0.is_empty() {
        return "nothing yet".to_owned();
    }
    let at = |quantile| Unit::Time.show(us.0.value_at_quantile(quantile) as f64);
    let max = Unit::Time.show(us.0.max() as f64);
    format!("p50 {}, p99 {}, max {max}", at(0.5), at(0.99))
}

fn stream_line(slot: &Slot, seconds: f64) -> String {
    let oldest_us = slot.staleness.0.max() as f64;
    let old = match slot.staleness.0.is_empty() {
        true => String::new(),
        false => format!("at most {} old; ", Unit::Time.show(oldest_us)),
    };
    format!(
        "end to end  {}; {old}{}, {}, {} skipped",
        times(&slot.end_to_end),
        Unit::Rate.show(slot.messages as f64 / seconds),
        Unit::ByteRate.show(slot.bytes as f64 / seconds),
        slot.skipped
    )
}

fn rest_line(slot: &Slot, seconds: f64) -> String {
    let answers = Unit::Rate.show(slot.rest.0.len() as f64 / seconds);
    let mut line = format!("rest        {}; {answers}", times(&slot.rest));
    let (refused, unanswered) = (slot.refused, slot.unanswered);
    if refused + unanswered > 0 {
        line += &format!("; {refused} refused, {unanswered} unanswered");
    }
    line
}

fn server_line(look: &Look<'_>) -> String {
    let mut line = "server      ".to_owned();
    if let Some((before, last)) = &look.said {
        let apart = (last.at_s - before.at_s).max(1e-3);
        let ticks = last.ticks.saturating_sub(before.ticks) as f64 / apart;
        let late = last.late_ticks.saturating_sub(before.late_ticks);
        line += &format!("{} ticks, {late} late; ", Unit::Rate.show(ticks));
    }
    line + &format!("{} violations so far", look.violations)
}
