//! The live stream's figures as Prometheus reads them. Cheap to clone: every clone counts into the same.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use transport::metrics::{encode_histogram, in_bytes};

use crate::view_setting::Subprotocol;

/// Longest time told apart, in us; longer ones count as this.
const MAX_US: u64 = 60_000_000;

/// Times in us.
#[derive(Debug)]
struct Durations(Mutex<Histogram<u64>>);

impl Default for Durations {
    fn default() -> Durations {
        let three_digits = Histogram::new(3).expect("a constant number of digits");
        Durations(Mutex::new(three_digits))
    }
}

impl Durations {
    fn record_us(&self, us: u64) {
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It grows with the longest, so nothing up to the bound is refused.
        let _ = histogram.record(us.min(MAX_US));
    }

    fn snapshot(&self) -> Histogram<u64> {
        let histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.clone()
    }
}

/// Figures of one subprotocol.
#[derive(Debug, Default)]
struct OfSubprotocol {
    clients: AtomicI64,
    messages: AtomicU64,
    bytes: AtomicU64,
    encoded: AtomicU64,
    encoded_bytes: AtomicU64,
    encode: Durations,
    send: Durations,
    end_to_end: Durations,
}

#[derive(Debug, Default)]
struct Figures {
    by_subprotocol: [OfSubprotocol; 2],
    skipped: AtomicU64,
    event_closes: AtomicU64,
    idle_drops: AtomicU64,
    write_drops: AtomicU64,
    bad_frames: AtomicU64,
    stray_frames: AtomicU64,
    views: AtomicI64,
    feeds: AtomicI64,
}

/// The live stream's figures.
#[derive(Clone, Debug, Default)]
pub struct StreamMetrics(Arc<Figures>);

impl StreamMetrics {
    fn of(&self, subprotocol: Subprotocol) -> &OfSubprotocol {
        &self.0.by_subprotocol[subprotocol as usize]
    }

    /// A client came, or went.
    pub(crate) fn clients(&self, subprotocol: Subprotocol, by: i64) {
        self.of(subprotocol).clients.fetch_add(by, Relaxed);
    }

    /// A message was written to a client's socket, to its last byte.
    pub(crate) fn sent(&self, subprotocol: Subprotocol, bytes: usize) {
        let of = self.of(subprotocol);
        of.messages.fetch_add(1, Relaxed);
        of.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A tick was: how long the write took, and how long it is since the tick's deadline.
    pub(crate) fn sent_tick(&self, subprotocol: Subprotocol, send: Duration, end_to_end_us: u64) {
        let of = self.of(subprotocol);
        of.send.record_us(send.as_micros() as u64);
        of.end_to_end.record_us(end_to_end_us);
    }

    /// A tick was written for all clients of one setting.
    pub(crate) fn encoded(&self, subprotocol: Subprotocol, took: Duration, bytes: usize) {
        let of = self.of(subprotocol);
        of.encoded.fetch_add(1, Relaxed);
        of.encoded_bytes.fetch_add(bytes as u64, Relaxed);
        of.encode.record_us(took.as_micros() as u64);
    }

    /// Ticks gave way to newer ones before they were sent.
    pub(crate) fn skipped(&self) {
        self.0.skipped.fetch_add(1, Relaxed);
    }

    /// A client was closed because too many events waited for it.
    pub(crate) fn event_close(&self) {
        self.0.event_closes.fetch_add(1, Relaxed);
    }

    /// A client was dropped because nothing was heard of it.
    pub(crate) fn idle_drop(&self) {
        self.0.idle_drops.fetch_add(1, Relaxed);
    }

    /// A client was dropped because it took nothing.
    pub(crate) fn write_drop(&self) {
        self.0.write_drops.fetch_add(1, Relaxed);
    }

    /// The orchestrator sent a frame that is none of its simulation.
    pub(crate) fn stray_frame(&self) {
        self.0.stray_frames.fetch_add(1, Relaxed);
    }

    pub(crate) fn bad_frame(&self) {
        self.0.bad_frames.fetch_add(1, Relaxed);
    }

    /// Distinct views that were added, or taken away.
    pub(crate) fn views(&self, by: i64) {
        self.0.views.fetch_add(by, Relaxed);
    }

    /// A simulation is followed, or no longer.
    pub(crate) fn feeds(&self, by: i64) {
        self.0.feeds.fetch_add(by, Relaxed);
    }

    /// Clients there are.
    #[must_use]
    pub fn clients_now(&self) -> i64 {
        let by = &self.0.by_subprotocol;
        by.iter().map(|of| of.clients.load(Relaxed)).sum()
    }

    /// Ticks written, once for all clients of a setting.
    #[must_use]
    pub fn encoded_ticks(&self, subprotocol: Subprotocol) -> u64 {
        self.of(subprotocol).encoded.load(Relaxed)
    }

    /// Ticks that gave way to newer ones.
    #[must_use]
    pub fn skipped_ticks(&self) -> u64 {
        self.0.skipped.load(Relaxed)
    }

    /// Clients that were dropped because nothing was heard of them.
    #[must_use]
    pub fn idle_drops(&self) -> u64 {
        self.0.idle_drops.load(Relaxed)
    }

    /// Clients that were closed because too many events waited.
    #[must_use]
    pub fn event_closes(&self) -> u64 {
        self.0.event_closes.load(Relaxed)
    }

    /// Times in us from the deadline of a tick to the last byte of its message written to a client's socket.
    #[must_use]
    pub fn end_to_end(&self, subprotocol: Subprotocol) -> Histogram<u64> {
        self.of(subprotocol).end_to_end.snapshot()
    }

    /// Times in us that writes of ticks to clients' sockets took.
    #[must_use]
    pub fn send(&self, subprotocol: Subprotocol) -> Histogram<u64> {
        self.of(subprotocol).send.snapshot()
    }
}

type OfEach = (&'static str, &'static str, fn(&OfSubprotocol) -> &AtomicU64);
type Timing = (&'static str, &'static str, fn(&OfSubprotocol) -> &Durations);

const COUNTED: [OfEach; 4] = [
    ("stream_messages", "Messages written to clients", |of| {
        &of.messages
    }),
    (
        "stream_bytes",
        "Bytes of messages written to clients",
        |of| &of.bytes,
    ),
    (
        "stream_encoded",
        "Ticks written for all clients of a view",
        |of| &of.encoded,
    ),
    (
        "stream_encoded_bytes",
        "Bytes of ticks written for all clients of a view",
        |of| &of.encoded_bytes,
    ),
];

const TIMED: [Timing; 3] = [
    (
        "stream_encode",
        "Time to write a tick for all clients of a view",
        |of| &of.encode,
    ),
    (
        "stream_send",
        "Time to write a tick to a client's socket",
        |of| &of.send,
    ),
    (
        "stream_end_to_end",
        "From a tick's deadline to the last byte of its message written to a client's socket",
        |of| &of.end_to_end,
    ),
];

impl Collector for StreamMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = &self.0;
        let help = "Clients of the live stream";
        let mut family =
            encoder.encode_descriptor("stream_clients", help, None, MetricType::Gauge)?;
        for subprotocol in Subprotocol::ALL {
            let gauge = ConstGauge::new(self.of(subprotocol).clients.load(Relaxed));
            gauge.encode(family.encode_family(&[("subprotocol", subprotocol.label())])?)?;
        }
        for (name, help, value) in [
            (
                "stream_views",
                "Distinct views beside the default one",
                &all.views,
            ),
            ("stream_feeds", "Simulations that are followed", &all.feeds),
        ] {
            let gauge = ConstGauge::new(value.load(Relaxed));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for (name, help, value) in [
            (
                "stream_skipped",
                "Ticks that gave way to newer ones",
                &all.skipped,
            ),
            (
                "stream_event_closes",
                "Clients closed behind on events",
                &all.event_closes,
            ),
            (
                "stream_idle_drops",
                "Clients dropped of which nothing was heard",
                &all.idle_drops,
            ),
            (
                "stream_write_drops",
                "Clients dropped that took nothing",
                &all.write_drops,
            ),
            (
                "stream_bad_frames",
                "Frames that are none of their simulation",
                &all.bad_frames,
            ),
            (
                "stream_stray_frames",
                "Frames of simulations that are not followed",
                &all.stray_frames,
            ),
        ] {
            let counter = ConstCounter::new(value.load(Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, value) in COUNTED {
            let (name, unit) = in_bytes(name);
            let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
            for subprotocol in Subprotocol::ALL {
                let counter = ConstCounter::new(value(self.of(subprotocol)).load(Relaxed));
                counter.encode(family.encode_family(&[("subprotocol", subprotocol.label())])?)?;
            }
        }
        for (name, help, durations) in TIMED {
            let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
            let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
            for subprotocol in Subprotocol::ALL {
                let histogram = durations(self.of(subprotocol)).snapshot();
                let labels = [("subprotocol", subprotocol.label())];
                encode_histogram(family.encode_family(&labels)?, &histogram)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_on_the_page() {
        let metrics = StreamMetrics::default();
        metrics.clients(Subprotocol::Binary, 3);
        metrics.sent(Subprotocol::Json, 100);
        metrics.sent_tick(Subprotocol::Json, Duration::from_micros(40), 12_000);
        metrics.skipped();
        let mut registry = prometheus_client::registry::Registry::with_prefix("autofarm_gateway");
        registry.register_collector(Box::new(metrics));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for line in [
            r#"autofarm_gateway_stream_clients{subprotocol="bin"} 3"#,
            r#"autofarm_gateway_stream_messages_total{subprotocol="json"} 1"#,
            r#"autofarm_gateway_stream_bytes_total{subprotocol="json"} 100"#,
            "# UNIT autofarm_gateway_stream_bytes bytes",
            "autofarm_gateway_stream_skipped_total 1",
            r#"autofarm_gateway_stream_end_to_end_seconds_bucket{le="0.02",subprotocol="json"} 1"#,
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}
