//! How late this machine's own timer is when nothing else is asked of it.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::exchange::histogram;

const PERIOD: Duration = Duration::from_millis(1);
const PERIODS: u32 = 1_000;

/// Sleeps to a second of absolute deadlines and records how late each wake-up was, in ns.
pub(crate) fn measure() -> Histogram<u64> {
    let mut lateness_ns = histogram();
    let start = Instant::now();
    for n in 1..=PERIODS {
        let deadline = start + PERIOD * n;
        thread::sleep(deadline.saturating_duration_since(Instant::now()));
        let late = Instant::now().saturating_duration_since(deadline);
        lateness_ns.saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
    }
    lateness_ns
}
