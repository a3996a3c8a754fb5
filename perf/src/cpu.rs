//! What the system says this process has used.

use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process so far.
pub(crate) fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.cast_unsigned(),
        u32::try_from(time.tv_nsec).expect("below a second"),
    )
}

/// Bytes that the loopback interface has carried so far, for every process of this machine.
pub(crate) fn loopback_bytes() -> anyhow::Result<u64> {
    let path = "/sys/class/net/lo/statistics/rx_bytes";
    let text = std::fs::read_to_string(path).with_context(|| path)?;
    text.trim().parse().with_context(|| path)
}
