//! The gateway's metrics as Prometheus reads them. Other parts of the gateway register theirs beside these.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::client::Standing;

/// Bounds of a request's duration: 100 us to 13 s, each twice the one before.
const BUCKETS: u16 = 18;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Routed {
    route: String,
}

/// The gateway's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Answered, Counter>,
    durations: Family<Routed, Histogram>,
    ready: Gauge,
    epoch: Gauge,
    /// Open connections, those of the live stream too.
    pub connections: Gauge,
    /// Connections that found no place.
    pub turned_away: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let buckets = || Histogram::new(exponential_buckets(1e-4, 2.0, BUCKETS));
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("autofarm_gateway")),
            requests: Family::default(),
            durations: Family::new_with_constructor(buckets),
            ready: Gauge::default(),
            epoch: Gauge::default(),
            connections: Gauge::default(),
            turned_away: Counter::default(),
        };
        metrics.register(|registry| {
            let help = "Requests answered, by route and status";
            registry.register("requests", help, metrics.requests.clone());
            let help = "From a request's head to its answer's head";
            let durations = metrics.durations.clone();
            registry.register_with_unit("request_duration", help, Unit::Seconds, durations);
            let help = "1 while the orchestrator takes questions";
            registry.register("ready", help, metrics.ready.clone());
            let help = "Newest epoch of a lease that was seen";
            registry.register("lease_epoch", help, metrics.epoch.clone());
            let help = "Open connections";
            registry.register("connections", help, metrics.connections.clone());
            let help = "Connections that found no place";
            registry.register("turned_away", help, metrics.turned_away.clone());
        });
        metrics
    }
}

impl Metrics {
    /// Registers further metrics; their names begin with `autofarm_gateway_` too.
    pub fn register(&self, with: impl FnOnce(&mut Registry)) {
        with(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a request that was answered. `route` is the pattern of its path, of which there are few.
    pub fn note_request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // Anybody may send any method; only those that routes know are told apart.
        let method = match *method {
            Method::GET | Method::POST | Method::PATCH | Method::DELETE | Method::HEAD => {
                method.as_str()
            }
            _ => "other",
        };
        let answered = Answered {
            method: method.to_owned(),
            route: route.to_owned(),
            status: status.as_u16(),
        };
        self.requests.get_or_create(&answered).inc();
        let route = route.to_owned();
        let durations = self.durations.get_or_create(&Routed { route });
        durations.observe(took.as_secs_f64());
    }

    /// The page, in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self, standing: &Standing) -> String {
        self.ready.set(standing.ready.into());
        self.epoch.set(standing.epoch.into());
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = String::new();
        encode(&mut page, &registry).expect("writing to a string does not fail");
        page
    }
}
