//! The cluster as one scheduling cycle sees it: nodes with what runs on them, counts of pods by part of the cluster,
//! volumes, and who owns what. It is changed in place, so that a cycle copies nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::Node;

use crate::affinity::{NamespaceLabels, Term};
use crate::node::NodeInfo;
use crate::owners::Owners;
use crate::pod::PodInfo;
use crate::spread::ZONE;
use crate::storage::Storage;
use crate::terms::{Placed, Terms};
use crate::topology::Slot;

/// Everything that a decision looks at.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Claims, volumes and what provides them.
    pub storage: Storage,
    /// Services and workloads, for the default spreading of their pods.
    pub owners: Owners,
    nodes: Vec<Option<NodeInfo>>,
    free: Vec<Slot>,
    by_name: HashMap<String, Slot>,
    /// The nodes, zone after zone in turn, so that looking at some of them looks at all zones; made when asked for.
    order: OnceLock<Vec<Slot>>,
    /// On which node each pod stands, by pod key.
    places: HashMap<Arc<str>, String>,
    /// Pods whose node is not there (yet), by node name.
    homeless: BTreeMap<String, Vec<Arc<PodInfo>>>,
    terms: Terms,
    namespaces: NamespaceLabels,
    /// On how many nodes each image is.
    images: HashMap<String, usize>,
    soft_tainted: usize,
    /// How many placed pods use each claim, by `NAMESPACE/NAME`.
    claims: HashMap<String, usize>,
    /// Pods that wait for room which preemption makes, by node name.
    nominated: HashMap<String, BTreeMap<Arc<str>, Arc<PodInfo>>>,
    nominations: HashMap<Arc<str>, String>,
}

impl Snapshot {
    /// Every node, in the order in which they are looked at.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.order().iter().filter_map(|slot| self.at(*slot))
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many pods stand on nodes.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The node that is `turn`th in order, turning over at the end.
    #[must_use]
    pub fn turn(&self, turn: usize) -> Option<&NodeInfo> {
        let order = self.order();
        let slot = order.get(turn % order.len().max(1))?;
        self.at(*slot)
    }

    /// The node in `slot`.
    #[must_use]
    pub fn at(&self, slot: Slot) -> Option<&NodeInfo> {
        self.nodes.get(slot)?.as_ref()
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.at(*self.by_name.get(name)?)
    }

    /// The counts for terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The labels of namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &NamespaceLabels {
        &self.namespaces
    }

    /// On how many nodes an image is.
    #[must_use]
    pub fn image_nodes(&self, image: &str) -> usize {
        self.images.get(image).copied().unwrap_or(0)
    }

    /// Whether some node has a taint that pods would rather avoid.
    #[must_use]
    pub fn has_soft_taints(&self) -> bool {
        self.soft_tainted > 0
    }

    /// How many placed pods use a claim.
    #[must_use]
    pub fn claim_users(&self, namespace: &str, claim: &str) -> usize {
        self.claims.get(&client::key(namespace, claim)).copied().unwrap_or(0)
    }

    /// Every node with its place, labels and pods.
    pub fn placed(&self) -> impl Iterator<Item = Placed<'_>> + Clone {
        placed(&self.nodes)
    }

    /// The node on which a pod stands.
    #[must_use]
    pub fn node_of(&self, key: &str) -> Option<&str> {
        self.places.get(key).map(String::as_str)
    }

    /// The pods that wait for room on a node.
    pub fn nominated(&self, node: &str) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.nominated.get(node).into_iter().flat_map(BTreeMap::values)
    }

    /// Whether any pod waits for room that preemption makes.
    #[must_use]
    pub fn has_nominations(&self) -> bool {
        !self.nominations.is_empty()
    }

    /// Notes that a pod waits for room on a node, or (`None`) for none.
    pub fn nominate(&mut self, pod: &Arc<PodInfo>, node: Option<&str>) {
        self.forget_nomination(&pod.key);
        if let Some(node) = node {
            self.nominations.insert(pod.key.clone(), node.to_owned());
            self.nominated.entry(node.to_owned()).or_default().insert(pod.key.clone(), pod.clone());
        }
    }

    /// A pod waits for no node any longer.
    pub fn forget_nomination(&mut self, key: &str) {
        let Some(node) = self.nominations.remove(key) else { return };
        if let Some(pods) = self.nominated.get_mut(&node) {
            pods.remove(key);
            if pods.is_empty() {
                self.nominated.remove(&node);
            }
        }
    }

    /// Adds a node or takes over its new state; its pods stay.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let Some(slot) = self.by_name.get(&name).copied() else {
            self.add_node(&name, node);
            return;
        };
        let Some(mut old) = self.nodes[slot].take() else { return };
        let mut info = NodeInfo::new(slot, node);
        let relabelled = old.labels() != info.labels();
        self.note_node(&old, false);
        info.pods = std::mem::take(&mut old.pods);
        (info.requested, info.non_zero_requested) = (old.requested, old.non_zero_requested);
        info.host_ports = old.host_ports;
        self.note_node(&info, true);
        if relabelled {
            let pods = info.pods.clone();
            pods.iter().for_each(|pod| self.place(pod, slot, -1));
            self.terms.set_node(slot, info.labels());
            self.nodes[slot] = Some(info);
            pods.iter().for_each(|pod| self.place(pod, slot, 1));
            self.order = OnceLock::new();
        } else {
            self.nodes[slot] = Some(info);
        }
    }

    /// Takes a node out; its pods wait for it to come back or to be removed themselves.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.by_name.remove(name) else { return };
        let Some(info) = self.nodes[slot].take() else { return };
        self.note_node(&info, false);
        info.pods.iter().for_each(|pod| self.leave(pod, slot));
        self.terms.remove_node(slot);
        if !info.pods.is_empty() {
            self.homeless.entry(name.to_owned()).or_default().extend(info.pods);
        }
        self.free.push(slot);
        self.order = OnceLock::new();
    }

    /// Puts a pod on a node, from wherever it was.
    pub fn set_pod(&mut self, node: &str, pod: Arc<PodInfo>) {
        self.remove_pod(&pod.key);
        self.places.insert(pod.key.clone(), node.to_owned());
        let Some(slot) = self.by_name.get(node).copied() else {
            self.homeless.entry(node.to_owned()).or_default().push(pod);
            return;
        };
        self.settle(pod, slot);
    }

    /// Takes a pod off its node.
    pub fn remove_pod(&mut self, key: &str) -> Option<Arc<PodInfo>> {
        let node = self.places.remove(key)?;
        let Some(slot) = self.by_name.get(&node).copied() else {
            let pods = self.homeless.get_mut(&node)?;
            let at = pods.iter().position(|pod| *pod.key == *key)?;
            let pod = pods.swap_remove(at);
            if pods.is_empty() {
                self.homeless.remove(&node);
            }
            return Some(pod);
        };
        let pod = self.nodes[slot].as_mut()?.remove(key)?;
        self.leave(&pod, slot);
        Some(pod)
    }

    /// Takes over the labels of a namespace; `None` when it is gone.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) {
        match labels {
            Some(labels) => drop(self.namespaces.insert(name.to_owned(), labels)),
            None => drop(self.namespaces.remove(name)),
        }
        self.terms.namespaces_changed();
    }

    /// Keeps the counts that a pod's terms need, so that deciding it (and its like after it) is a lookup.
    pub fn watch(&mut self, pod: &PodInfo) {
        let required = (pod.affinity.required.len() == 1).then_some(&pod.affinity.required).into_iter().flatten();
        let affinity = required.chain(&pod.affinity.anti_required).chain(pod.affinity.preferred.iter().map(|(_, t)| t));
        affinity.for_each(|term| self.watch_term(term));
        for constraint in &pod.spread {
            self.watch_term(&constraint.like);
            self.terms.watch_topology(&constraint.topology_key, placed(&self.nodes));
        }
    }

    /// Keeps the counts of one term.
    pub fn watch_term(&mut self, term: &Arc<Term>) {
        self.terms.watch(term, &self.namespaces, placed(&self.nodes));
    }

    fn add_node(&mut self, name: &str, node: Arc<Node>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        let info = NodeInfo::new(slot, node);
        self.terms.set_node(slot, info.labels());
        self.note_node(&info, true);
        self.nodes[slot] = Some(info);
        self.by_name.insert(name.to_owned(), slot);
        for pod in self.homeless.remove(name).unwrap_or_default() {
            self.settle(pod, slot);
        }
        self.order = OnceLock::new();
    }

    fn settle(&mut self, pod: Arc<PodInfo>, slot: Slot) {
        self.place(&pod, slot, 1);
        for claim in &pod.claims {
            *self.claims.entry(client::key(pod.namespace(), &claim.name)).or_default() += 1;
        }
        if let Some(info) = &mut self.nodes[slot] {
            info.add(pod);
        }
    }

    fn leave(&mut self, pod: &PodInfo, slot: Slot) {
        self.place(pod, slot, -1);
        for claim in &pod.claims {
            let key = client::key(pod.namespace(), &claim.name);
            if let Some(users) = self.claims.get_mut(&key) {
                *users -= 1;
                if *users == 0 {
                    self.claims.remove(&key);
                }
            }
        }
    }

    fn place(&mut self, pod: &PodInfo, slot: Slot, sign: i64) {
        self.terms.place(pod, slot, sign, &self.namespaces, placed(&self.nodes));
    }

    fn note_node(&mut self, info: &NodeInfo, present: bool) {
        for image in info.images.keys() {
            let nodes = self.images.entry(image.clone()).or_default();
            *nodes = if present { *nodes + 1 } else { nodes.saturating_sub(1) };
            if *nodes == 0 {
                self.images.remove(image);
            }
        }
        let soft = usize::from(info.has_soft_taints);
        self.soft_tainted = if present { self.soft_tainted + soft } else { self.soft_tainted - soft };
    }

    fn order(&self) -> &[Slot] {
        self.order.get_or_init(|| self.dealt_by_zone())
    }

    /// Deals the nodes out zone by zone, each zone's by name.
    fn dealt_by_zone(&self) -> Vec<Slot> {
        let mut zones: BTreeMap<&str, Vec<(&str, Slot)>> = BTreeMap::new();
        for info in self.nodes.iter().flatten() {
            let zone = info.labels().get(ZONE).map_or("", String::as_str);
            zones.entry(zone).or_default().push((info.name(), info.slot));
        }
        let mut zones: Vec<_> = zones.into_values().collect();
        zones.iter_mut().for_each(|nodes| nodes.sort_unstable());
        let longest = zones.iter().map(Vec::len).max().unwrap_or(0);
        (0..longest).flat_map(|i| zones.iter().filter_map(move |nodes| Some(nodes.get(i)?.1))).collect()
    }
}

fn placed(nodes: &[Option<NodeInfo>]) -> impl Iterator<Item = Placed<'_>> + Clone {
    nodes.iter().flatten().map(|info| (info.slot, info.labels(), info.pods.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{labelled, named, node, pod, pod_in};

    #[test]
    fn pods_follow_their_node() {
        let mut snapshot = Snapshot::default();
        let asks = named("p", r#"{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}"#);
        snapshot.set_pod("n", asks);
        snapshot.set_node(node("n", "4", "8Gi"));
        let cpu = |s: &Snapshot| s.node("n").map(|n| n.requested.milli_cpu);
        assert_eq!(cpu(&snapshot), Some(1000));
        snapshot.remove_node("n");
        snapshot.set_node(node("n", "2", "8Gi"));
        assert_eq!(cpu(&snapshot), Some(1000));
        snapshot.remove_pod("a/p");
        assert_eq!(cpu(&snapshot), Some(0));
        assert!(snapshot.remove_pod("a/p").is_none());
    }

    #[test]
    fn zones_take_turns() {
        let mut snapshot = Snapshot::default();
        for (name, zone) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c")] {
            snapshot.set_node(labelled(name, serde_json::json!({ZONE: zone})));
        }
        let names: Vec<_> = snapshot.nodes().map(NodeInfo::name).collect();
        assert_eq!(names, ["a1", "b1", "c1", "a2", "a3"]);
    }

    /// What is counted step by step equals what is counted anew, whatever happened before.
    #[test]
    fn counts_follow_nodes_and_pods() {
        let away = r#"{"containers":[],"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey":"zone","labelSelector":{"matchLabels":{"app":"web"}}}]}}}"#;
        let asking = pod(away);
        let term = asking.affinity.anti_required[0].clone();
        let mut snapshot = Snapshot::default();
        let check = |snapshot: &Snapshot, meant: [i64; 2], held: [i64; 2]| {
            let group = snapshot.terms().group(&term).unwrap();
            let topology = snapshot.terms().topology(group.topology);
            let of = |node: &str| topology.domain(snapshot.node(node).unwrap().slot).unwrap();
            let counts = group.meant.as_ref().unwrap();
            assert_eq!([counts.get(of("x")), counts.get(of("y"))], meant);
            assert_eq!([group.anti_required.get(of("x")), group.anti_required.get(of("y"))], held);
            let anew = crate::terms::count(&[&term], topology, snapshot.namespaces(), snapshot.placed());
            anew.iter().for_each(|(domain, count)| assert_eq!(counts.get(domain), count));
        };
        snapshot.set_node(labelled("x", serde_json::json!({"zone": "1"})));
        snapshot.set_node(labelled("y", serde_json::json!({"zone": "2"})));
        let web = |name: &str| pod_in("a", name, serde_json::json!({"app": "web"}), away);
        snapshot.set_pod("x", web("p"));
        snapshot.watch(&asking);
        check(&snapshot, [1, 0], [1, 0]);
        snapshot.set_pod("y", web("q"));
        snapshot.set_pod("y", web("r"));
        check(&snapshot, [1, 2], [1, 2]);
        snapshot.set_node(labelled("x", serde_json::json!({"zone": "2"})));
        check(&snapshot, [3, 3], [3, 3]);
        snapshot.remove_pod("a/q");
        snapshot.remove_node("x");
        snapshot.set_node(labelled("x", serde_json::json!({"zone": "1"})));
        check(&snapshot, [1, 1], [1, 1]);
    }
}
