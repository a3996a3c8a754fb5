//! What every role's metrics page says alike: traffic in frames, copies, and times as histograms.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use crate::frame::Frame;
use crate::pool::FramePool;

/// Upper bounds of a histogram's buckets, in us: 1, 2 and 5 in each decade; everything comes last.
const BUCKETS_US: [u64; 20] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Frames that a role gave to its link and took from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames given to the link.
    pub sent_frames: u64,
    /// Bytes of them, headers included.
    pub sent_bytes: u64,
    /// Frames taken from the link.
    pub received_frames: u64,
    /// Bytes of them, headers included.
    pub received_bytes: u64,
}

impl Traffic {
    /// A frame goes to the link.
    pub fn sent(&mut self, frame: &Frame) {
        self.sent_frames += 1;
        self.sent_bytes += frame.wire_len() as u64;
    }

    /// A frame came from the link.
    pub fn received(&mut self, frame: &Frame) {
        self.received_frames += 1;
        self.received_bytes += frame.wire_len() as u64;
    }
}

/// Whose a figure is: no label where a page is of one role, or the name of one of several.
pub type Whose<'a> = Option<&'a str>;

/// The labels of a figure that has one of its own.
fn labels<'a>(whose: Whose<'a>, own: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    let whose = whose.map(|name| ("name", name));
    whose.into_iter().chain([own]).collect()
}

/// The unit of a figure whose name ends with it, and the name without: the encoder writes it itself, and tells it apart.
#[must_use]
pub fn in_bytes(name: &str) -> (&str, Option<&'static Unit>) {
    match name.strip_suffix("_bytes") {
        Some(of) => (of, Some(&Unit::Bytes)),
        None => (name, None),
    }
}

/// One page of several, each in the OpenMetrics text format. No two of them may tell of the same metric.
#[must_use]
pub fn join(pages: impl IntoIterator<Item = String>) -> String {
    const END: &str = "# EOF\n";
    let mut all = String::new();
    for page in pages {
        all.push_str(page.strip_suffix(END).unwrap_or(&page));
    }
    all + END
}

/// Writes frames and bytes each way.
///
/// # Errors
/// What the encoder answers.
pub fn encode_traffic(
    encoder: &mut DescriptorEncoder<'_>,
    of: &[(Whose<'_>, Traffic)],
) -> fmt::Result {
    type Way = (&'static str, fn(&Traffic) -> u64);
    let families: [(&str, Option<&Unit>, &str, [Way; 2]); 2] = [
        (
            "frames",
            None,
            "Frames exchanged with the link",
            [
                ("sent", |t| t.sent_frames),
                ("received", |t| t.received_frames),
            ],
        ),
        (
            "frame",
            Some(&Unit::Bytes),
            "Bytes of frames exchanged with the link",
            [
                ("sent", |t| t.sent_bytes),
                ("received", |t| t.received_bytes),
            ],
        ),
    ];
    for (name, unit, help, ways) in families {
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (whose, traffic) in of {
            for (way, count) in ways {
                let labels = labels(*whose, ("way", way));
                ConstCounter::new(count(traffic)).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

/// Writes how many bytes were moved in memory for frames. A tick's share is its growth over the ticks'.
///
/// # Errors
/// What the encoder answers.
pub fn encode_copies(
    encoder: &mut DescriptorEncoder<'_>,
    of: &[(Whose<'_>, &FramePool)],
) -> fmt::Result {
    let help = "Bytes moved in memory for frames: copied on the way out, copied from a socket's chunks, \
                encoded into variable archives, written as checkpoints, and allocated because no buffer was free";
    let (unit, kind) = (Some(&Unit::Bytes), MetricType::Counter);
    let mut family = encoder.encode_descriptor("copied", help, unit, kind)?;
    for (whose, pool) in of {
        let copies = pool.copies();
        for (step, bytes) in [
            ("sent", &copies.sent),
            ("received", &copies.received),
            ("encoded", &copies.encoded),
            ("checkpoints", &copies.checkpoints),
            ("allocated", &copies.allocated),
        ] {
            let labels = labels(*whose, ("step", step));
            ConstCounter::new(bytes.load(Relaxed)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// Writes a histogram of us as one of seconds.
///
/// # Errors
/// What the encoder answers.
pub fn encode_histogram(mut encoder: MetricEncoder<'_>, us: &Histogram<u64>) -> fmt::Result {
    let mut below = 0;
    let mut buckets = Vec::with_capacity(BUCKETS_US.len() + 1);
    for bound in BUCKETS_US {
        let upto = us.count_between(0, bound);
        buckets.push((bound as f64 / 1e6, upto.saturating_sub(below)));
        below = upto.max(below);
    }
    buckets.push((f64::INFINITY, us.len().saturating_sub(below)));
    let sum_s = us.mean() * us.len() as f64 / 1e6;
    encoder.encode_histogram::<NoLabelSet>(sum_s, us.len(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_bytes_has_its_unit() {
        assert_eq!(in_bytes("mail_bytes"), ("mail", Some(&Unit::Bytes)));
        assert_eq!(in_bytes("mails"), ("mails", None));
    }

    #[test]
    fn pages_that_are_joined_have_one_end() {
        let page = |name: &str| format!("{name} 1\n# EOF\n");
        assert_eq!(join([page("a"), page("b")]), "a 1\nb 1\n# EOF\n");
        assert_eq!(join([]), "# EOF\n");
    }
}
