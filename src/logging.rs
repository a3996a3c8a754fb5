//! Where log lines go: to standard error, as JSON for machines or laid out for people. Whoever logs
//! never waits for whoever reads: a thread writes the lines, and what it cannot take is dropped.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde_json::json;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::failure::wrong_input;

/// Lines that wait for the reader of the log before further ones are dropped.
const MAX_WAITING_LINES: usize = 16_384;

/// Flags of the log, common to every role.
#[derive(clap::Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct Logging {
    /// Form of log lines; `auto` is `pretty` on a terminal and `json` elsewhere.
    #[arg(long, env = "AUTOFARM_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = Format::Auto, global = true)]
    log_format: Format,
    /// What is logged: a level, or `module=level` pairs [default: warn for run, info for the roles].
    #[arg(long, env = "AUTOFARM_LOG", global = true, value_name = "FILTER", value_parser = parse_filter)]
    log: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Auto,
    Json,
    Pretty,
}

/// Reads a filter. It is kept as text, for its form that is parsed cannot be copied.
fn parse_filter(text: &str) -> Result<String, String> {
    let read = EnvFilter::try_new(text);
    read.map(|_| text.to_owned())
        .map_err(|error| format!("{error}; try `info` or `transport=debug,info`"))
}

/// The log of the process. Dropping it writes the lines that wait, for about a second at most.
pub(crate) struct Log {
    /// `None` once nobody can be waited for.
    guard: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

impl Log {
    /// A log that is written to `out`, and what to log to.
    fn new(out: impl Write + Send + 'static) -> (NonBlocking, Log) {
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(MAX_WAITING_LINES)
            .thread_name("log")
            .finish(out);
        let dropped = writer.error_counter();
        let guard = Some(guard);
        (writer, Log { guard, dropped })
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let lines = self.dropped.dropped_lines();
        if lines == 0 {
            return;
        }
        tracing::warn!(lines, "log lines were dropped: their reader was too slow");
        if self.dropped.dropped_lines() > lines {
            // The reader stands: the guard could tell nobody but standard output, which is not for
            // that.
            std::mem::forget(self.guard.take());
        }
    }
}

impl Logging {
    /// Starts logging for the process, which keeps the answer until it ends. `service` is what it is called.
    ///
    /// # Errors
    /// Where the filter cannot be read.
    pub(crate) fn start(&self, service: &str, default_level: &str) -> anyhow::Result<Log> {
        let filter = self.log.as_deref().unwrap_or(default_level);
        let filter = EnvFilter::try_new(filter).map_err(wrong_input)?;
        let terminal = std::io::stderr().is_terminal();
        let (writer, log) = Log::new(std::io::stderr());
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer);
        if self.is_json(terminal) {
            let lines = lines.json().flatten_event(true);
            lines
                .map_event_format(|json| Named::new(service, json))
                .init();
        } else {
            // The convention of https://no-color.org.
            let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
            lines.with_ansi(terminal && !plain).init();
        }
        Ok(log)
    }

    fn is_json(&self, terminal: bool) -> bool {
        match self.log_format {
            Format::Json => true,
            Format::Auto => !terminal,
            Format::Pretty => false,
        }
    }
}

/// Lines of JSON that each say which service wrote them, as OpenTelemetry has it: logs of many are read together.
struct Named<F> {
    /// What each line begins with.
    head: String,
    json: F,
}

impl<F> Named<F> {
    fn new(service: &str, json: F) -> Named<F> {
        let named = json!({"service.name": service, "service.version": env!("CARGO_PKG_VERSION")});
        let head = named.to_string();
        let head = head.trim_end_matches('}').to_owned() + ",";
        Named { head, json }
    }
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.json
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&self.head)?;
        writer.write_str(line.strip_prefix('{').unwrap_or(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Takes nothing before it is told to, and then says what it was given.
    struct Reader {
        reads: mpsc::Receiver<()>,
        lines: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            // An end of the sender is as good as a word from it.
            let _ = self.reads.recv();
            let _ = self.lines.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_stops_nobody_who_logs() {
        let (read, reads) = mpsc::channel();
        let (lines, written) = mpsc::channel();
        let (mut writer, log) = Log::new(Reader { reads, lines });
        for n in 0..MAX_WAITING_LINES + 100 {
            writer.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        let dropped = log.dropped.dropped_lines();
        // One is held by the thread that writes.
        assert!((99..=100).contains(&dropped), "{dropped} lines dropped");
        drop(read);
        drop(log);
        assert_eq!(written.iter().next().unwrap(), b"0\n");
        assert_eq!(written.iter().count(), MAX_WAITING_LINES + 99 - dropped);
    }
}
