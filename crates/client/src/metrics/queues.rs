//! What is counted of work queues.

use std::sync::{Arc, Weak};

use base::Clock;
use base::metrics::{Counter, Counters, Gauge, Gauges, Histogram, Histograms, Registry, alpha, exponential};
use parking_lot::Mutex;

use super::ALL;

/// How long each key that is worked on has been, in seconds.
pub(crate) trait Working: Send + Sync {
    /// By key, in no order.
    fn seconds(&self) -> Vec<f64>;
}

pub(super) struct Families {
    depth: Gauges,
    adds: Counters,
    retries: Counters,
    waited: Histograms,
    worked: Histograms,
    unfinished: Gauges,
    longest: Gauges,
    /// The queues that there are, by name.
    queues: Mutex<Vec<(String, Weak<dyn Working>)>>,
}

impl Families {
    pub(super) fn new(registry: &Registry) -> Self {
        let name = ["name"];
        let times = exponential(1e-8, 10.0, 12);
        Self {
            depth: registry.gauges(alpha("workqueue_depth", "Keys that wait in a work queue."), &name),
            adds: registry.counters(alpha("workqueue_adds_total", "Keys that were put in a work queue."), &name),
            retries: registry.counters(alpha("workqueue_retries_total", "Keys that failed and come again."), &name),
            waited: registry.histograms(
                alpha("workqueue_queue_duration_seconds", "How long keys waited in a work queue."),
                &name,
                &times,
            ),
            worked: registry.histograms(
                alpha("workqueue_work_duration_seconds", "How long the work on a key took."),
                &name,
                &times,
            ),
            unfinished: registry.gauges(
                alpha("workqueue_unfinished_work_seconds", "How long the work under way has taken so far, in all."),
                &name,
            ),
            longest: registry.gauges(
                alpha("workqueue_longest_running_processor_seconds", "How long the longest work has been under way."),
                &name,
            ),
            queues: Mutex::default(),
        }
    }

    /// Finds out what is under way now.
    pub(super) fn look(&self) {
        let mut queues = self.queues.lock();
        queues.retain(|(name, queue)| {
            let Some(queue) = queue.upgrade() else { return false };
            let seconds = queue.seconds();
            self.unfinished.with(&[name]).set(seconds.iter().sum());
            self.longest.with(&[name]).set(seconds.iter().copied().fold(0.0, f64::max));
            true
        });
    }
}

/// The counters of one work queue.
#[derive(Debug, Clone)]
pub(crate) struct OfQueue {
    pub(crate) depth: Arc<Gauge>,
    pub(crate) adds: Arc<Counter>,
    pub(crate) retries: Arc<Counter>,
    pub(crate) waited: Arc<Histogram>,
    pub(crate) worked: Arc<Histogram>,
}

impl OfQueue {
    /// Those of the queue of this controller, which is looked at when somebody asks.
    pub(crate) fn of(controller: &str, queue: Weak<dyn Working>) -> Self {
        let (name, families) = (queue_name(controller), &ALL.queues);
        families.queues.lock().push((name.to_owned(), queue));
        let name = [name];
        let depth = families.depth.with(&name);
        depth.set(0.0);
        Self {
            depth,
            adds: families.adds.with(&name),
            retries: families.retries.with(&name),
            waited: families.waited.with(&name),
            worked: families.worked.with(&name),
        }
    }
}

/// How long it has been since `then`, in seconds.
pub(crate) fn since(clock: &Clock, then: base::Instant) -> f64 {
    clock.instant().saturating_duration_since(then).as_secs_f64()
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
