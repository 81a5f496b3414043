//! The cluster as one scheduling cycle sees it: nodes with what runs on them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Taint};

use crate::resources::{Resources, pod_non_zero_requests, pod_requests};

/// A port on the node that a pod wants: address (`0.0.0.0` is any), protocol, number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address on the node.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot stand on one node.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        const ANY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ANY || other.address == ANY)
    }
}

/// A pod with what scheduling wants to know of it, worked out once.
#[derive(Debug, Clone)]
pub struct PodInfo {
    /// The pod.
    pub pod: Arc<Pod>,
    /// What it asks for.
    pub requests: Resources,
    /// What it counts as when nodes are scored.
    pub non_zero_requests: Resources,
    /// The ports that it takes on its node.
    pub host_ports: Vec<HostPort>,
}

impl PodInfo {
    /// Works out what scheduling wants to know of `pod`.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let (requests, non_zero_requests) = (pod_requests(spec), pod_non_zero_requests(spec));
        let host_ports = host_ports(spec);
        Self { pod, requests, non_zero_requests, host_ports }
    }

    /// The pod's wishes.
    #[must_use]
    pub fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::OnceLock<PodSpec> = std::sync::OnceLock::new();
        self.pod.spec.as_ref().unwrap_or_else(|| EMPTY.get_or_init(PodSpec::default))
    }

    /// Its priority; pods without one have 0.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or(0)
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let address = port.host_ip.clone().filter(|a| !a.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some(HostPort { address, protocol, port: number })
        })
        .collect()
}

/// A node with what runs on it.
#[derive(Debug, Clone)]
pub struct NodeInfo {
    /// The node.
    pub node: Arc<Node>,
    /// What it can give.
    pub allocatable: Resources,
    /// How many pods it takes.
    pub allowed_pods: i64,
    /// What its pods ask for together.
    pub requested: Resources,
    /// What its pods count as when nodes are scored.
    pub non_zero_requested: Resources,
    /// The pods that run or will run on it, by key.
    pub pods: BTreeMap<String, Arc<PodInfo>>,
}

impl NodeInfo {
    /// An empty node.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        let map = node.status.as_ref().and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        let pods = map.and_then(|m| m.get("pods")).and_then(|q| machinery::quantity::Quantity::parse(&q.0).ok());
        Self {
            allocatable: Resources::from_map(map),
            allowed_pods: pods.map_or(0, |quantity| quantity.value()),
            node,
            requested: Resources::default(),
            non_zero_requested: Resources::default(),
            pods: BTreeMap::new(),
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

    /// Puts a pod on the node.
    pub fn add(&mut self, key: String, pod: Arc<PodInfo>) {
        self.remove(&key);
        self.requested.add(&pod.requests);
        self.non_zero_requested.add(&pod.non_zero_requests);
        self.pods.insert(key, pod);
    }

    /// Takes a pod off the node.
    pub fn remove(&mut self, key: &str) {
        if let Some(pod) = self.pods.remove(key) {
            self.requested.subtract(&pod.requests);
            self.non_zero_requested.subtract(&pod.non_zero_requests);
        }
    }
}

/// All nodes, by name.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    nodes: BTreeMap<String, Arc<NodeInfo>>,
    /// On which node each pod stands, by pod key.
    places: HashMap<String, String>,
    /// Pods whose node is not there (yet), by node name.
    homeless: BTreeMap<String, BTreeSet<String>>,
    strays: HashMap<String, Arc<PodInfo>>,
}

impl Snapshot {
    /// Every node.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Arc<NodeInfo>> {
        self.nodes.values()
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.nodes.get(name)
    }

    /// Adds a node or takes over its new state; its pods stay.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let mut info = NodeInfo::new(node);
        let name = info.name().to_owned();
        if let Some(old) = self.nodes.get(&name) {
            for (key, pod) in &old.pods {
                info.add(key.clone(), pod.clone());
            }
        }
        for key in self.homeless.remove(&name).unwrap_or_default() {
            if let Some(pod) = self.strays.remove(&key) {
                info.add(key, pod);
            }
        }
        self.nodes.insert(name, Arc::new(info));
    }

    /// Takes a node out; its pods wait for it to come back or to be removed themselves.
    pub fn remove_node(&mut self, name: &str) {
        let Some(info) = self.nodes.remove(name) else { return };
        for (key, pod) in &info.pods {
            self.homeless.entry(name.to_owned()).or_default().insert(key.clone());
            self.strays.insert(key.clone(), pod.clone());
        }
    }

    /// Puts a pod on a node, from wherever it was.
    pub fn set_pod(&mut self, key: &str, node: &str, pod: Arc<PodInfo>) {
        self.remove_pod(key);
        self.places.insert(key.to_owned(), node.to_owned());
        if let Some(info) = self.nodes.get_mut(node) {
            Arc::make_mut(info).add(key.to_owned(), pod);
        } else {
            self.homeless.entry(node.to_owned()).or_default().insert(key.to_owned());
            self.strays.insert(key.to_owned(), pod);
        }
    }

    /// Takes a pod off its node.
    pub fn remove_pod(&mut self, key: &str) {
        let Some(node) = self.places.remove(key) else { return };
        if let Some(info) = self.nodes.get_mut(&node) {
            Arc::make_mut(info).remove(key);
        }
        self.strays.remove(key);
        if let Some(keys) = self.homeless.get_mut(&node) {
            keys.remove(key);
            if keys.is_empty() {
                self.homeless.remove(&node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    #[test]
    fn pods_follow_their_node() {
        let mut snapshot = Snapshot::default();
        snapshot.set_pod("a/p", "n", pod(r#"{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}"#));
        snapshot.set_node(node("n", "4", "8Gi"));
        let cpu = |s: &Snapshot| s.node("n").map(|n| n.requested.milli_cpu);
        assert_eq!(cpu(&snapshot), Some(1000));
        snapshot.remove_node("n");
        snapshot.set_node(node("n", "2", "8Gi"));
        assert_eq!(cpu(&snapshot), Some(1000));
        snapshot.remove_pod("a/p");
        assert_eq!(cpu(&snapshot), Some(0));
        snapshot.remove_pod("a/p");
        assert_eq!(cpu(&snapshot), Some(0));
    }
}
