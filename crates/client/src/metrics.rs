//! What is counted of every component of this process, under the names of upstream's client library.

use std::sync::LazyLock;

use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

const FITS: &str = "the names and labels are constant and correct";

/// One for the process, as in upstream: queues and leases have names of their own.
static ALL: LazyLock<All> = LazyLock::new(All::new);

struct All {
    registry: Registry,
    depth: IntGaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    leads: IntGaugeVec,
}

impl All {
    fn new() -> Self {
        let registry = Registry::new();
        let counter = |name, help| {
            let made = IntCounterVec::new(Opts::new(name, help), &["name"]).expect(FITS);
            registry.register(Box::new(made.clone())).expect(FITS);
            made
        };
        let gauge = |name, help| {
            let made = IntGaugeVec::new(Opts::new(name, help), &["name"]).expect(FITS);
            registry.register(Box::new(made.clone())).expect(FITS);
            made
        };
        Self {
            depth: gauge("workqueue_depth", "Keys that wait in a work queue."),
            adds: counter("workqueue_adds_total", "Keys that were put in a work queue."),
            retries: counter("workqueue_retries_total", "Keys that failed and come again."),
            leads: gauge("leader_election_master_status", "Whether this process leads."),
            registry,
        }
    }
}

/// The counters of one work queue.
#[derive(Debug, Clone)]
pub(crate) struct OfQueue {
    pub(crate) depth: IntGauge,
    pub(crate) adds: IntCounter,
    pub(crate) retries: IntCounter,
}

impl OfQueue {
    /// Those of the queue of this controller.
    pub(crate) fn of(controller: &str) -> Self {
        let name = [queue_name(controller)];
        Self {
            depth: ALL.depth.with_label_values(&name),
            adds: ALL.adds.with_label_values(&name),
            retries: ALL.retries.with_label_values(&name),
        }
    }
}

/// Whether this process holds the lease of this name.
pub(crate) fn leads(lease: &str, leads: bool) {
    ALL.leads.with_label_values(&[lease]).set(i64::from(leads));
}

/// Everything in Prometheus' text form.
#[must_use]
pub fn text() -> String {
    let mut out = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&ALL.registry.gather(), &mut out) {
        tracing::error!(%error, "the metrics cannot be written");
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What upstream calls the queue of a controller.
fn queue_name(controller: &str) -> &str {
    match controller {
        "clusterrole-aggregation-controller" => "ClusterRoleAggregator",
        "ttl-after-finished-controller" => "ttl_jobs_to_delete",
        "endpoints-controller" => "endpoint",
        "endpointslice-controller" => "endpoint_slice",
        "root-ca-certificate-publisher-controller" => "root_ca_cert_publisher",
        "service-cidr-controller" => "servicecidrs",
        "taint-eviction-controller" => "noexec_taint_pod",
        "pod-garbage-collector-controller" => "orphaned_pods_nodes",
        "node-lifecycle-controller" => "node_lifecycle_controller",
        "replicationcontroller-controller" => "replicationmanager",
        "garbage-collector-controller" => "garbage_collector_attempt_to_delete",
        "resourcequota-controller" => "resourcequota_primary",
        other => other.strip_suffix("-controller").unwrap_or(other),
    }
}
