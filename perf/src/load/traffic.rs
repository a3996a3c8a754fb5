//! How many bytes the roles have sent and received so far, read from their pages of metrics (OpenMetrics text).

use std::sync::Arc;

use anyhow::Context as _;
use hyper::Uri;

use crate::load::catalogue::WAYS;
use crate::load::gateway::{Call, Connection, Gateway};

/// Where each of [`WAYS`] is counted: a metric, and a label that its lines have.
const METRICS: [(&str, &str); WAYS.len()] = [
    ("autofarm_gateway_stream_bytes_total", ""),
    ("autofarm_orchestrator_frame_bytes_total", "way=\"sent\""),
    (
        "autofarm_orchestrator_frame_bytes_total",
        "way=\"received\"",
    ),
    ("autofarm_worker_frame_bytes_total", "way=\"sent\""),
    ("autofarm_worker_frame_bytes_total", "way=\"received\""),
];
/// The gateway's own page.
const GATEWAY_PAGE: &str = "/metrics";

/// Bytes so far in each of [`WAYS`]; `None` where no page has it.
pub(crate) type Traffic = [Option<f64>; WAYS.len()];

/// A page of metrics, and the connection to it.
pub(crate) struct Page {
    server: Arc<Gateway>,
    path: String,
    connection: Option<Connection>,
}

impl Page {
    /// The gateway's own.
    pub(crate) fn of_gateway(gateway: &Arc<Gateway>) -> Page {
        Page {
            server: Arc::clone(gateway),
            path: GATEWAY_PAGE.to_owned(),
            connection: None,
        }
    }

    /// That of another role. It asks for no token.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub(crate) async fn find(url: &Uri) -> anyhow::Result<Page> {
        let server = Gateway::find(url, None, None).await;
        Ok(Page {
            server: Arc::new(server.with_context(|| format!("--metrics {url}"))?),
            path: url
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            connection: None,
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where it is not answered with a page.
    pub(crate) async fn read(&mut self) -> anyhow::Result<Traffic> {
        let mut connection = match self.connection.take().filter(Connection::is_usable) {
            Some(connection) => connection,
            None => self.server.connect().await?,
        };
        let call = Call {
            accept: "application/openmetrics-text",
            ..Call::get(self.path.clone())
        };
        let reply = connection.call(&call).await?;
        self.connection = Some(connection);
        anyhow::ensure!(reply.status == 200, "answered {}", reply.status);
        Ok(parse(&String::from_utf8_lossy(&reply.body)))
    }
}

/// Adds what another page has.
pub(crate) fn add(all: &mut Traffic, more: &Traffic) {
    for (all, more) in all.iter_mut().zip(more) {
        if let Some(more) = more {
            *all.get_or_insert(0.0) += more;
        }
    }
}

fn parse(page: &str) -> Traffic {
    let mut traffic = Traffic::default();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        for (sum, (metric, label)) in traffic.iter_mut().zip(METRICS) {
            let Some(rest) = line.strip_prefix(metric) else {
                continue;
            };
            // Names of workers stand in labels and may hold anything but a quote that is not escaped.
            let labels_end = rest.rfind('}').map_or(0, |at| at + 1);
            let (labels, value) = rest.split_at(labels_end);
            let is_bare = labels.is_empty() && value.starts_with(' ');
            let is_whole_name = is_bare || labels.starts_with('{');
            let number = value
                .split_whitespace()
                .next()
                .and_then(|n| n.parse::<f64>().ok());
            if let Some(number) = number.filter(|_| is_whole_name && labels.contains(label)) {
                *sum.get_or_insert(0.0) += number;
            }
        }
    }
    traffic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_added_up_over_subprotocols_and_workers() {
        let page = "# TYPE autofarm_gateway_stream_bytes counter\n\
            autofarm_gateway_stream_bytes_total{subprotocol=\"json\"} 10\n\
            autofarm_gateway_stream_bytes_total{subprotocol=\"bin\"} 5\n\
            autofarm_worker_frame_bytes_total{name=\"a } 9\",way=\"sent\"} 7\n\
            autofarm_worker_frame_bytes_total{name=\"b\",way=\"sent\"} 1.5e3 1763999999\n\
            autofarm_worker_frame_bytes_total_more{way=\"sent\"} 1\n\
            autofarm_worker_frame_bytes_total{name=\"b\",way=\"received\"} none\n# EOF\n";
        let traffic = parse(page);
        assert_eq!(traffic, [Some(15.0), None, None, Some(1_507.0), None]);
        let mut both = traffic;
        add(&mut both, &[Some(1.0), Some(2.0), None, None, None]);
        assert_eq!(both, [Some(16.0), Some(2.0), None, Some(1_507.0), None]);
    }
}
