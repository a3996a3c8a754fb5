//! A line on the terminal while it runs, and nothing elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The line.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A line if standard error is a terminal.
    pub(crate) fn new() -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} s  {msg}")
            .expect("a constant template");
        Progress(ProgressBar::new(0).with_style(style))
    }

    /// Something begins that takes so long.
    pub(crate) fn phase(&self, name: &'static str, takes: Duration) {
        self.0.set_prefix(name);
        self.0.set_length(takes.as_secs());
        self.0.set_position(0);
        self.0.set_message("");
        self.0.tick();
    }

    /// Another second has passed.
    pub(crate) fn look(&self, messages: u64, violations: u64) {
        self.0.inc(1);
        self.0
            .set_message(format!("{messages} messages, {violations} violations"));
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
