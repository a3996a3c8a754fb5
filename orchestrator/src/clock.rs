//! The clock: a thread that does nothing but sleep until an absolute deadline and say so.

use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use crate::latency;

/// Time since an origin, the same for everyone who holds a copy.
#[derive(Clone, Copy, Debug)]
pub struct Origin(Instant);

impl Origin {
    /// Time begins now.
    #[must_use]
    pub fn now() -> Origin {
        Origin(Instant::now())
    }

    /// Time since the origin.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// How late this machine's timer wakes a thread that does nothing else: `wakes` sleeps to absolute
/// deadlines, a period apart, each one's lateness in us. To be read beside a run's own lateness.
#[must_use]
pub fn timer_jitter(period: Duration, wakes: u32) -> Histogram<u64> {
    let mut lateness = latency::new_histogram();
    let start = Instant::now();
    for n in 1..=wakes {
        let deadline = start + period * n;
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        latency::record(&mut lateness, deadline.elapsed());
    }
    lateness
}

/// A handle to the clock's thread; the thread ends when the handle is dropped.
#[derive(Debug)]
pub struct Clock {
    requests: std_mpsc::Sender<Option<Duration>>,
    wakes: mpsc::Receiver<()>,
    armed: Option<Duration>,
}

impl Clock {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(origin: Origin) -> std::io::Result<Clock> {
        let (requests, inbox) = std_mpsc::channel();
        // One place: a wake that waits says all that a second one would.
        let (outbox, wakes) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("clock".to_owned())
            .spawn(move || run(origin, &inbox, &outbox))?;
        Ok(Clock {
            requests,
            wakes,
            armed: None,
        })
    }

    /// Wakes at `deadline`; replaces what was asked before. Nothing is sent if it is the same.
    pub fn arm(&mut self, deadline: Option<Duration>) {
        if deadline != self.armed {
            self.armed = deadline;
            // The thread outlives this handle, so there is always someone to hear it.
            let _ = self.requests.send(deadline);
        }
    }

    /// Waits for a wake. Cancel-safe.
    pub async fn wake(&mut self) {
        if self.wakes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.armed = None;
    }
}

fn run(origin: Origin, inbox: &std_mpsc::Receiver<Option<Duration>>, outbox: &mpsc::Sender<()>) {
    let mut deadline: Option<Duration> = None;
    loop {
        let request = match deadline.map(|d| d.saturating_sub(origin.elapsed())) {
            None => inbox
                .recv()
                .map_err(|_| std_mpsc::RecvTimeoutError::Disconnected),
            Some(Duration::ZERO) => Err(std_mpsc::RecvTimeoutError::Timeout),
            Some(wait) => inbox.recv_timeout(wait),
        };
        match request {
            Ok(newer) => deadline = newer,
            Err(std_mpsc::RecvTimeoutError::Timeout) => {
                deadline = None;
                // Full means that a wake waits already; closed is seen at the next receive.
                let _ = outbox.try_send(());
            }
            Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_never_early_and_again_after_each_request() {
        let origin = Origin::now();
        let mut clock = Clock::start(origin).unwrap();
        for ms in [3, 5, 6] {
            let deadline = Duration::from_millis(ms);
            clock.arm(Some(deadline));
            clock.wake().await;
            assert!(origin.elapsed() >= deadline);
        }
    }

    #[tokio::test]
    async fn an_earlier_deadline_replaces_a_later_one() {
        let origin = Origin::now();
        let mut clock = Clock::start(origin).unwrap();
        clock.arm(Some(Duration::from_secs(3_600)));
        clock.arm(Some(Duration::from_millis(1)));
        clock.wake().await;
        assert!(origin.elapsed() < Duration::from_secs(3_600));
    }
}
