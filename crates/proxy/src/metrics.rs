//! What the proxy counts, under kube-proxy's names.

use std::sync::Arc;

use base::metrics::{Counter, Gauge, Histogram, Registry, alpha, exponential};

/// The proxy's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    pub(crate) sync_duration_seconds: Arc<Histogram>,
    pub(crate) last_sync_seconds: Arc<Gauge>,
    pub(crate) last_queued_seconds: Arc<Gauge>,
    pub(crate) endpoint_changes: Arc<Counter>,
    pub(crate) service_changes: Arc<Counter>,
    pub(crate) sync_failures: Arc<Counter>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let all = &registry;
        Self {
            sync_duration_seconds: all.histogram(
                alpha(
                    "kubeproxy_sync_proxy_rules_duration_seconds",
                    "How long it took to bring the rules into the kernel.",
                ),
                &exponential(0.001, 2.0, 15),
            ),
            last_sync_seconds: all.gauge(alpha(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "When the rules were last brought into the kernel.",
            )),
            last_queued_seconds: all.gauge(alpha(
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "When a change of rules was last asked for.",
            )),
            endpoint_changes: all.counter(alpha(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Changes of endpoint slices taken in.",
            )),
            service_changes: all
                .counter(alpha("kubeproxy_sync_proxy_rules_service_changes_total", "Changes of services taken in.")),
            sync_failures: all.counter(alpha(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Transactions that the kernel refused.",
            )),
            registry,
        }
    }

    /// All families, those that every component has with them.
    #[must_use]
    pub fn gather(&self) -> Vec<base::metrics::Family> {
        client::metrics::gather(self.registry.gather())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
