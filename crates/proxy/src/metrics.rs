//! What the proxy counts, under kube-proxy's names.

use prometheus::{Encoder, Gauge, Histogram, HistogramOpts, IntCounter, Registry, TextEncoder};

/// The proxy's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    pub(crate) sync_duration_seconds: Histogram,
    pub(crate) last_sync_seconds: Gauge,
    pub(crate) last_queued_seconds: Gauge,
    pub(crate) endpoint_changes: IntCounter,
    pub(crate) service_changes: IntCounter,
    pub(crate) sync_failures: IntCounter,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Panics
    /// Never: the names are well-formed and each is registered once.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 15).expect("the buckets are well-formed");
        let duration = HistogramOpts::new(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "How long it took to bring the rules into the kernel",
        );
        let metrics = Self {
            sync_duration_seconds: Histogram::with_opts(duration.buckets(buckets)).expect(WELL_FORMED),
            last_sync_seconds: gauge(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "When the rules were last brought into the kernel",
            ),
            last_queued_seconds: gauge(
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "When a change of rules was last asked for",
            ),
            endpoint_changes: counter(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Changes of endpoint slices taken in",
            ),
            service_changes: counter(
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Changes of services taken in",
            ),
            sync_failures: counter(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Transactions that the kernel refused",
            ),
            registry,
        };
        metrics.register();
        metrics
    }

    /// The metrics in Prometheus' text form.
    ///
    /// # Panics
    /// Never: the text form of registered metrics is UTF-8 and fits in memory.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory takes all writes");
        String::from_utf8(text).expect("metrics are UTF-8")
    }

    fn register(&self) {
        let all: [Box<dyn prometheus::core::Collector>; 6] = [
            Box::new(self.sync_duration_seconds.clone()),
            Box::new(self.last_sync_seconds.clone()),
            Box::new(self.last_queued_seconds.clone()),
            Box::new(self.endpoint_changes.clone()),
            Box::new(self.service_changes.clone()),
            Box::new(self.sync_failures.clone()),
        ];
        for metric in all {
            self.registry.register(metric).expect("each name is registered once");
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

const WELL_FORMED: &str = "the name is well-formed";

fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect(WELL_FORMED)
}

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(WELL_FORMED)
}
