//! How much a pod asks for and a node has: CPU in thousandths, the rest in whole units.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::Quantity;

/// What a container without a CPU request counts as when nodes are scored, in thousandths of a core.
const DEFAULT_MILLI_CPU: i64 = 100;
/// What a container without a memory request counts as when nodes are scored, in bytes.
const DEFAULT_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// Amounts of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU, in thousandths of a core.
    pub milli_cpu: i64,
    /// Memory, in bytes.
    pub memory: i64,
    /// Local ephemeral storage, in bytes.
    pub ephemeral_storage: i64,
    /// Everything else by name, in whole units.
    pub scalar: BTreeMap<String, i64>,
}

impl Resources {
    /// The amounts of a `requests`, `capacity` or `allocatable` map; `pods` is left out.
    #[must_use]
    pub fn from_map(map: Option<&BTreeMap<String, Text>>) -> Self {
        let mut resources = Self::default();
        for (name, text) in map.into_iter().flatten() {
            // The API server let only well-formed amounts in.
            let Ok(quantity) = Quantity::parse(&text.0) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                _ => drop(resources.scalar.insert(name.clone(), quantity.value())),
            }
        }
        resources
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.milli_cpu += other.milli_cpu;
        self.memory += other.memory;
        self.ephemeral_storage += other.ephemeral_storage;
        for (name, amount) in &other.scalar {
            *self.scalar.entry(name.clone()).or_default() += amount;
        }
    }

    /// Takes `other` away.
    pub fn subtract(&mut self, other: &Self) {
        self.milli_cpu -= other.milli_cpu;
        self.memory -= other.memory;
        self.ephemeral_storage -= other.ephemeral_storage;
        for (name, amount) in &other.scalar {
            *self.scalar.entry(name.clone()).or_default() -= amount;
        }
    }

    /// The larger of both, each resource by itself.
    fn max(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let mine = self.scalar.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
    }

    /// The amount of `name`, as the API names it.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            _ => self.scalar.get(name).copied().unwrap_or(0),
        }
    }
}

/// What the pod asks its node for: its containers and sidecars together, or its largest init step if that is more,
/// plus the overhead of its runtime class (KEP-753, KEP-688). Pod-level requests win over the sum (KEP-2837).
#[must_use]
pub fn pod_requests(spec: &PodSpec) -> Resources {
    total(spec, |container| Resources::from_map(container.resources.as_ref().and_then(|r| r.requests.as_ref())))
}

/// Like [`pod_requests`], but a container that asks for no CPU or memory counts as a small one: what scoring uses so
/// that pods without requests spread too.
#[must_use]
pub fn pod_non_zero_requests(spec: &PodSpec) -> Resources {
    total(spec, |container| {
        let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        let mut resources = Resources::from_map(requests);
        let asks = |name| requests.is_some_and(|r| r.contains_key(name));
        if !asks("cpu") {
            resources.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if !asks("memory") {
            resources.memory = DEFAULT_MEMORY_BYTES;
        }
        resources
    })
}

fn total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut step = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&step);
            running.add(&step);
            step = sidecars.clone();
        } else {
            step.add(&sidecars);
        }
        starting.max(&step);
    }
    running.max(&starting);
    if let Some(pod_level) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let wanted = Resources::from_map(Some(pod_level));
        for name in pod_level.keys() {
            match name.as_str() {
                "cpu" => running.milli_cpu = wanted.milli_cpu,
                "memory" => running.memory = wanted.memory,
                other => drop(running.scalar.insert(other.to_owned(), wanted.get(other))),
            }
        }
    }
    running.add(&Resources::from_map(spec.overhead.as_ref()));
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> PodSpec {
        serde_json::from_value(json).unwrap()
    }

    fn asks(cpu: &str) -> serde_json::Value {
        serde_json::json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}})
    }

    #[test]
    fn init_steps_count_by_the_largest_and_sidecars_always() {
        let mut sidecar = asks("200m");
        sidecar["restartPolicy"] = "Always".into();
        let of = |init: &[serde_json::Value]| {
            pod_requests(&spec(serde_json::json!({"containers": [asks("100m"), asks("300m")], "initContainers": init})))
                .milli_cpu
        };
        assert_eq!(of(&[]), 400);
        assert_eq!(of(&[asks("250m"), asks("350m")]), 400);
        assert_eq!(of(&[asks("1")]), 1000);
        assert_eq!(of(&[sidecar.clone()]), 600);
        assert_eq!(of(&[sidecar, asks("1")]), 1200);
    }

    #[test]
    fn overhead_and_pod_level_requests() {
        let pod = spec(serde_json::json!({
            "containers": [asks("100m")], "overhead": {"cpu": "50m"}, "resources": {"requests": {"cpu": "2"}}}));
        assert_eq!((pod_requests(&pod).milli_cpu, pod_requests(&pod).memory), (2050, 1 << 30));
    }

    #[test]
    fn a_pod_without_requests_scores_as_a_small_one() {
        let pod = spec(serde_json::json!({"containers": [{"name": "c"}]}));
        assert_eq!(pod_requests(&pod), Resources::default());
        let scored = pod_non_zero_requests(&pod);
        assert_eq!((scored.milli_cpu, scored.memory), (100, 209_715_200));
    }
}
