//! Requests and limits in the kernel's terms: CPU weight and quota, memory limit, OOM score.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::spec::{self, QosClass, Role};
use crate::proto::cri::LinuxContainerResources;
use crate::quantity::{self, Resources};

/// The period of the CPU quota.
pub const CPU_PERIOD_US: i64 = 100_000;
/// The least CPU weight the kernel takes (cgroup v1 shares).
pub const MIN_CPU_SHARES: i64 = 2;
const MAX_CPU_SHARES: i64 = 262_144;
const MIN_CPU_QUOTA_US: i64 = 1000;

/// The OOM scores of classes: critical pods and Guaranteed ones go last, BestEffort ones first.
const GUARANTEED_OOM_SCORE: i64 = -997;
const BEST_EFFORT_OOM_SCORE: i64 = 1000;
/// From here on a priority belongs to the system.
const SYSTEM_CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// What a container's cgroup is told. `node_memory` are the bytes that the node has.
#[must_use]
pub fn container_resources(pod: &Pod, container: &Container, node_memory: i64) -> LinuxContainerResources {
    let (requests, limits) = lists(container);
    let cpu_limit = quantity::milli(limits, "cpu");
    // Without a request the limit is the request; without both the container gets the least weight.
    let cpu_request = quantity::milli(requests, "cpu").or(cpu_limit).unwrap_or(0);
    LinuxContainerResources {
        cpu_shares: cpu_shares(cpu_request),
        cpu_quota: cpu_limit.map_or(0, cpu_quota),
        cpu_period: CPU_PERIOD_US,
        memory_limit_in_bytes: quantity::value(limits, "memory").unwrap_or(0),
        oom_score_adj: oom_score(pod, container, node_memory),
        ..LinuxContainerResources::default()
    }
}

/// What the sandbox itself needs (`spec.overhead`, filled in from the RuntimeClass).
#[must_use]
pub fn overhead(pod: &Pod) -> LinuxContainerResources {
    let overhead = spec::spec(pod).overhead.as_ref();
    if overhead.is_none() {
        return LinuxContainerResources::default();
    }
    let cpu = quantity::milli(overhead, "cpu").unwrap_or(0);
    LinuxContainerResources {
        cpu_shares: cpu_shares(cpu),
        cpu_quota: cpu_quota(cpu),
        cpu_period: CPU_PERIOD_US,
        memory_limit_in_bytes: quantity::value(overhead, "memory").unwrap_or(0),
        ..LinuxContainerResources::default()
    }
}

/// The cgroup of a whole pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PodResources {
    /// cgroup v1's CPU weight.
    pub cpu_shares: i64,
    /// CPU time a period; none when some container has no limit.
    pub cpu_quota: Option<i64>,
    /// Bytes; none when some container has no limit.
    pub memory_limit: Option<i64>,
}

/// What a pod's cgroup is told: the sum of its containers, or the greatest init container where that is more.
#[must_use]
pub fn pod_resources(pod: &Pod) -> PodResources {
    let request = |container: &Container| {
        let (requests, limits) = lists(container);
        quantity::milli(requests, "cpu").or_else(|| quantity::milli(limits, "cpu")).unwrap_or(0)
    };
    let limit = |name: &'static str, of: fn(Option<&Resources>, &str) -> Option<i64>| {
        let all =
            spec::containers(pod).all(|(_, container)| of(lists(container).1, name).is_some_and(|limit| limit > 0));
        all.then(|| peak(pod, |container| of(lists(container).1, name).unwrap_or(0)))
    };
    PodResources {
        cpu_shares: cpu_shares(peak(pod, request)),
        cpu_quota: limit("cpu", quantity::milli).map(cpu_quota),
        memory_limit: limit("memory", quantity::value),
    }
}

/// The most that the pod asks for at any time (KEP-753): sidecars stay while later init containers run.
fn peak(pod: &Pod, amount: impl Fn(&Container) -> i64) -> i64 {
    let (mut sidecars, mut most) = (0, 0);
    for (role, container) in spec::init_containers(pod) {
        match role {
            Role::Sidecar => sidecars += amount(container),
            _ => most = most.max(sidecars + amount(container)),
        }
        most = most.max(sidecars);
    }
    most.max(sidecars + spec::spec(pod).containers.iter().map(amount).sum::<i64>())
}

/// Milli-CPUs as cgroup v1 shares.
#[must_use]
pub fn cpu_shares(milli: i64) -> i64 {
    if milli == 0 { MIN_CPU_SHARES } else { (milli.saturating_mul(1024) / 1000).clamp(MIN_CPU_SHARES, MAX_CPU_SHARES) }
}

/// cgroup v1 shares as cgroup v2 weight, by the formula that runc 1.1 and upstream share.
#[must_use]
pub fn cpu_weight(shares: i64) -> i64 {
    1 + (shares.clamp(MIN_CPU_SHARES, MAX_CPU_SHARES) - 2) * 9999 / 262_142
}

fn cpu_quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli.saturating_mul(CPU_PERIOD_US) / 1000).max(MIN_CPU_QUOTA_US) }
}

/// How soon the kernel kills the container when memory runs out.
fn oom_score(pod: &Pod, container: &Container, node_memory: i64) -> i64 {
    if spec::spec(pod).priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL_PRIORITY) {
        return GUARANTEED_OOM_SCORE;
    }
    match spec::qos_class(pod) {
        QosClass::Guaranteed => GUARANTEED_OOM_SCORE,
        QosClass::BestEffort => BEST_EFFORT_OOM_SCORE,
        QosClass::Burstable => {
            let (requests, limits) = lists(container);
            let memory = quantity::value(requests, "memory").or_else(|| quantity::value(limits, "memory")).unwrap_or(0);
            let score = 1000 - memory.saturating_mul(1000) / node_memory.max(1);
            score.clamp(1000 + GUARANTEED_OOM_SCORE, BEST_EFFORT_OOM_SCORE - 1)
        }
    }
}

fn lists(container: &Container) -> (Option<&Resources>, Option<&Resources>) {
    let resources = container.resources.as_ref();
    (resources.and_then(|list| list.requests.as_ref()), resources.and_then(|list| list.limits.as_ref()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_in_the_kernels_terms() {
        let cases = [
            (json!({}), [2, 0, 0, 1000]),
            (json!({"requests": {"cpu": "250m", "memory": "1Gi"}}), [256, 0, 0, 938]),
            (json!({"limits": {"cpu": "500m", "memory": "64Mi"}}), [512, 50_000, 67_108_864, -997]),
            (json!({"limits": {"cpu": "1m"}}), [2, 1000, 0, 999]),
        ];
        for (resources, expected) in cases {
            let pod = json!({"spec": {"containers": [{"name": "a", "resources": resources}]}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let found = container_resources(&pod, &spec::spec(&pod).containers[0], 16 << 30);
            let found = [found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes, found.oom_score_adj];
            assert_eq!(found, expected, "{resources}");
        }
    }

    #[test]
    fn a_pod_is_the_most_that_runs_at_once() {
        let with = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu, "memory": "1Mi"}});
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": with("100m")},
                {"name": "i", "resources": with("2")},
            ],
            "containers": [{"name": "a", "resources": with("500m")}, {"name": "b", "resources": with("500m")}],
        }}))
        .unwrap();
        let expected = PodResources { cpu_shares: 2150, cpu_quota: Some(210_000), memory_limit: Some(3 << 20) };
        assert_eq!(pod_resources(&pod), expected);
        assert_eq!((cpu_weight(2), cpu_weight(1024), cpu_weight(262_144)), (1, 39, 10_000));
    }
}
