//! What is counted of probes, under upstream's name.

use std::sync::LazyLock;

use base::metrics::{Counters, Family, Registry, beta};
use k8s_openapi::api::core::v1::Pod;

use super::Failure;

/// One for the process, which is one node.
static COUNTS: LazyLock<(Registry, Counters)> = LazyLock::new(|| {
    let registry = Registry::new();
    let about = beta("prober_probe_total", "Probes of containers, by what came out.");
    let labels = ["probe_type", "result", "container", "pod", "namespace", "pod_uid"];
    let probes = registry.counters(about, &labels);
    (registry, probes)
});

/// A probe was made.
pub(super) fn probed(pod: &Pod, container: &str, kind: &str, result: &Result<(), Failure>) {
    let result = match result {
        Ok(()) => "successful",
        Err(Failure::Unhealthy(_)) => "failed",
        Err(Failure::Errored(_)) => "unknown",
    };
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let (name, namespace) = (text(&pod.metadata.name), text(&pod.metadata.namespace));
    COUNTS.1.with(&[kind, result, container, &name, &namespace, &text(&pod.metadata.uid)]).inc();
}

/// The pod is gone; nothing more is told of it.
pub(crate) fn forget(uid: &str) {
    COUNTS.1.retain(|labels| labels.iter().all(|(name, value)| *name != "pod_uid" || *value != uid));
}

/// All that was counted.
pub(crate) fn gather() -> Vec<Family> {
    COUNTS.0.gather()
}
