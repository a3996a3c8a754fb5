//! How late this machine's own timer is: with nothing else to do, and beside a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::exchange::histogram;

const PERIOD: Duration = Duration::from_millis(1);
const PERIODS: u32 = 1_000;
/// Between two wake-ups beside a load: seldom enough to cost nothing.
const BESIDE_PERIOD: Duration = Duration::from_millis(5);

/// Sleeps to a second of absolute deadlines and records how late each wake-up was, in ns.
pub(crate) fn measure() -> Histogram<u64> {
    let mut lateness_ns = histogram();
    let start = Instant::now();
    for n in 1..=PERIODS {
        record_wake_up(&mut lateness_ns, start + PERIOD * n);
    }
    lateness_ns
}

/// The same on a thread of its own, until told to end.
pub(crate) struct Beside {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Histogram<u64>>,
}

impl Beside {
    /// Begins.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub(crate) fn start() -> std::io::Result<Beside> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = thread::Builder::new()
            .name("jitter".to_owned())
            .spawn(move || {
                let mut lateness_ns = histogram();
                let mut deadline = Instant::now();
                while !seen.load(Ordering::Relaxed) {
                    deadline += BESIDE_PERIOD;
                    record_wake_up(&mut lateness_ns, deadline);
                }
                lateness_ns
            })?;
        Ok(Beside { ended, thread })
    }

    /// Ends it; answers how late each wake-up was, in ns.
    pub(crate) fn end(self) -> Histogram<u64> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only sleeps and counts")
    }
}

fn record_wake_up(lateness_ns: &mut Histogram<u64>, deadline: Instant) {
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    let late = Instant::now().saturating_duration_since(deadline);
    lateness_ns.saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
}
