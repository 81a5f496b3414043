//! A node with what runs on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod::{HostPort, PodInfo, tagged};
use crate::resources::Resources;
use crate::topology::Slot;

/// A node with what runs on it.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// Its place in the snapshot.
    pub slot: Slot,
    /// What it can give.
    pub allocatable: Resources,
    /// What its pods ask for together.
    pub requested: Resources,
    /// What its pods count as when nodes are scored.
    pub non_zero_requested: Resources,
    /// How many pods it takes.
    pub allowed_pods: usize,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether it has taints that keep pods off.
    pub has_hard_taints: bool,
    /// Whether it has taints that pods would rather avoid.
    pub has_soft_taints: bool,
    /// The pods that run or will run on it.
    pub pods: Vec<Arc<PodInfo>>,
    /// The ports that they take.
    pub host_ports: Vec<HostPort>,
    /// The images that it has, with their sizes in bytes.
    pub images: HashMap<String, i64>,
    /// The node.
    pub node: Arc<Node>,
}

impl NodeInfo {
    /// An empty node.
    #[must_use]
    pub fn new(slot: Slot, node: Arc<Node>) -> Self {
        let status = node.status.as_ref();
        let map = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        let pods = map.and_then(|m| m.get("pods")).and_then(|q| machinery::quantity::Quantity::parse(&q.0).ok());
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let images = status.and_then(|status| status.images.as_deref()).unwrap_or_default();
        let names = images.iter().flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.iter().flatten().map(move |name| (tagged(name), size))
        });
        Self {
            slot,
            allocatable: Resources::from_map(map),
            requested: Resources::default(),
            non_zero_requested: Resources::default(),
            allowed_pods: pods.map_or(0, |quantity| usize::try_from(quantity.value()).unwrap_or(0)),
            unschedulable: node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)),
            has_hard_taints: taints.iter().any(is_hard),
            has_soft_taints: taints.iter().any(|taint| taint.effect == "PreferNoSchedule"),
            pods: Vec::new(),
            host_ports: Vec::new(),
            images: names.collect(),
            node,
        }
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    /// The node's labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static EMPTY: BTreeMap<String, String> = BTreeMap::new();
        self.node.metadata.labels.as_ref().unwrap_or(&EMPTY)
    }

    /// The node's taints.
    #[must_use]
    pub fn taints(&self) -> &[Taint] {
        self.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    /// Puts a pod on the node that is not there.
    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.non_zero_requested.add(&pod.non_zero_requests);
        self.host_ports.extend(pod.host_ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Takes a pod off the node.
    pub fn remove(&mut self, key: &str) -> Option<Arc<PodInfo>> {
        let at = self.pods.iter().position(|pod| *pod.key == *key)?;
        let pod = self.pods.swap_remove(at);
        self.requested.subtract(&pod.requests);
        self.non_zero_requested.subtract(&pod.non_zero_requests);
        for port in &pod.host_ports {
            if let Some(at) = self.host_ports.iter().position(|known| known == port) {
                self.host_ports.swap_remove(at);
            }
        }
        Some(pod)
    }
}

/// Whether a taint keeps pods off that do not tolerate it.
#[must_use]
pub fn is_hard(taint: &Taint) -> bool {
    matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
}
