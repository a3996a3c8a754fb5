//! What one thread logs, for a test to wait for.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use crate::loopback::PATIENCE;

#[derive(Clone, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<String>, Condvar)>,
}

impl Log {
    /// Takes what this thread logs until the guard is dropped.
    pub(crate) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(self.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Waits for a line that holds all of the words.
    pub(crate) fn wait_for(&self, words: &[&str]) -> String {
        let (text, grown) = &*self.shared;
        let line = |text: &str| {
            let mut lines = text.lines();
            let found = lines.find(|line| words.iter().all(|word| line.contains(word)));
            found.map(str::to_owned)
        };
        let missing = |text: &mut String| line(text).is_none();
        let held = text.lock().unwrap();
        let (text, waited) = grown.wait_timeout_while(held, PATIENCE, missing).unwrap();
        assert!(!waited.timed_out(), "no {words:?} in:\n{text}");
        line(&text).expect("it was waited for")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (text, grown) = &*self.shared;
        text.lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        grown.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}
