//! Which node has to do with which object: through its pods, their claims, the claims' volumes.

use std::collections::{BTreeSet, HashMap};

use machinery::{Text, Value, meta};

use super::Change;
use super::references::{self, Kind};

/// The annotation of a static pod's mirror. It gives its node no access to anything (KEP-279, node authorizer).
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A namespace and a name.
type Key = (Text, Text);

#[derive(Debug, Default)]
struct Pod {
    node: Text,
    references: Vec<(Kind, Text)>,
}

#[derive(Debug, Default)]
struct Volume {
    claim: Key,
    secrets: Vec<Key>,
}

/// The relations, kept from the objects' changes.
#[derive(Debug, Default)]
pub struct Graph {
    pods: HashMap<Key, Pod>,
    /// For each object that pods name: the nodes of these pods and how many there are on each.
    nodes: HashMap<(Kind, Key), HashMap<Text, u32>>,
    volumes: HashMap<Text, Volume>,
    volumes_by_secret: HashMap<Key, BTreeSet<Text>>,
    /// VolumeAttachments and their node.
    attachments: HashMap<Text, Text>,
    /// ResourceSlices and their node.
    slices: HashMap<Text, Text>,
}

impl Graph {
    /// Takes note of a change of an object.
    pub fn observe(&mut self, resource: &str, namespace: &str, name: &str, change: Change<'_>) {
        match (resource, change) {
            ("pods", Change::Put(pod)) => self.put_pod((namespace.into(), name.into()), pod),
            ("pods", Change::Delete) => self.forget_pod(&(namespace.into(), name.into())),
            ("persistentvolumes", Change::Put(volume)) => self.put_volume(name, volume),
            ("persistentvolumes", Change::Delete) => self.forget_volume(name),
            ("volumeattachments", change) => note(&mut self.attachments, name, change),
            ("resourceslices", change) => note(&mut self.slices, name, change),
            _ => {}
        }
    }

    /// Whether a pod on `node` names the object, or one that leads to it.
    pub fn reaches(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let key = (Text::from(namespace), Text::from(name));
        let through_volume = |volumes: &BTreeSet<Text>| volumes.iter().any(|volume| self.has_volume(node, volume));
        self.uses(node, kind, &key)
            || (kind == Kind::Secret && self.volumes_by_secret.get(&key).is_some_and(through_volume))
    }

    /// Whether the pod runs on `node`.
    pub fn has_pod(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.pods.get(&(Text::from(namespace), Text::from(name))).is_some_and(|pod| pod.node == node)
    }

    /// Whether a pod on `node` uses the volume through its claim.
    pub fn has_volume(&self, node: &str, name: &str) -> bool {
        self.volumes.get(name).is_some_and(|volume| self.uses(node, Kind::Claim, &volume.claim))
    }

    /// Whether the attachment is one to `node`.
    pub fn has_attachment(&self, node: &str, name: &str) -> bool {
        self.attachments.get(name).is_some_and(|at| at == node)
    }

    /// Whether the slice describes devices of `node`.
    pub fn has_slice(&self, node: &str, name: &str) -> bool {
        self.slices.get(name).is_some_and(|at| at == node)
    }

    fn uses(&self, node: &str, kind: Kind, key: &Key) -> bool {
        self.nodes.get(&(kind, key.clone())).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn put_pod(&mut self, key: Key, pod: &Value) {
        self.forget_pod(&key);
        let Some(node) = pod.str_at(&["spec", "nodeName"]).filter(|node| !node.is_empty()) else { return };
        let named = if meta::annotation(pod, MIRROR).is_some() { Vec::new() } else { references::of_pod(pod) };
        let references: BTreeSet<(Kind, Text)> = named.into_iter().map(|(kind, name)| (kind, name.into())).collect();
        for (kind, name) in &references {
            let nodes = self.nodes.entry((*kind, (key.0.clone(), name.clone()))).or_default();
            *nodes.entry(node.into()).or_default() += 1;
        }
        self.pods.insert(key, Pod { node: node.into(), references: references.into_iter().collect() });
    }

    fn forget_pod(&mut self, key: &Key) {
        let Some(pod) = self.pods.remove(key) else { return };
        for (kind, name) in pod.references {
            let object = (kind, (key.0.clone(), name));
            let Some(nodes) = self.nodes.get_mut(&object) else { continue };
            if let Some(count) = nodes.get_mut(&pod.node) {
                *count -= 1;
            }
            nodes.retain(|_, count| *count > 0);
            if nodes.is_empty() {
                self.nodes.remove(&object);
            }
        }
    }

    fn put_volume(&mut self, name: &str, volume: &Value) {
        self.forget_volume(name);
        let claim = |field: &str| Text::from(volume.str_at(&["spec", "claimRef", field]).unwrap_or_default());
        let claim = (claim("namespace"), claim("name"));
        if claim.1.is_empty() {
            return;
        }
        let secrets = references::secrets_of_volume(volume);
        let secrets: Vec<Key> = secrets.into_iter().map(|(namespace, name)| (namespace.into(), name.into())).collect();
        for secret in &secrets {
            self.volumes_by_secret.entry(secret.clone()).or_default().insert(name.into());
        }
        self.volumes.insert(name.into(), Volume { claim, secrets });
    }

    fn forget_volume(&mut self, name: &str) {
        let Some(volume) = self.volumes.remove(name) else { return };
        for secret in volume.secrets {
            let Some(volumes) = self.volumes_by_secret.get_mut(&secret) else { continue };
            volumes.remove(name);
            if volumes.is_empty() {
                self.volumes_by_secret.remove(&secret);
            }
        }
    }
}

/// Keeps the node that an object's spec names.
fn note(nodes: &mut HashMap<Text, Text>, name: &str, change: Change<'_>) {
    let node = match change {
        Change::Put(object) => object.str_at(&["spec", "nodeName"]).filter(|node| !node.is_empty()),
        Change::Delete => None,
    };
    match node {
        Some(node) => _ = nodes.insert(name.into(), node.into()),
        None => _ = nodes.remove(name),
    }
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    fn pod(node: &str, secret: &str) -> Value {
        value!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "volumes": [
            {"name": "s", "secret": {"secretName": secret}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}
        ]}})
    }

    #[test]
    fn pods_claims_volumes_secrets() {
        let mut graph = Graph::default();
        graph.observe("pods", "a", "p", Change::Put(&pod("n1", "s1")));
        graph.observe(
            "persistentvolumes",
            "",
            "pv",
            Change::Put(&value!({"spec": {
                "claimRef": {"namespace": "a", "name": "data"},
                "csi": {"nodeStageSecretRef": {"name": "stage", "namespace": "storage"}}
            }})),
        );
        assert!(graph.reaches("n1", Kind::Secret, "a", "s1"));
        assert!(!graph.reaches("n2", Kind::Secret, "a", "s1"));
        assert!(!graph.reaches("n1", Kind::Secret, "b", "s1"));
        assert!(graph.has_volume("n1", "pv") && !graph.has_volume("n2", "pv"));
        assert!(graph.reaches("n1", Kind::Secret, "storage", "stage"));
        assert!(graph.has_pod("n1", "a", "p"));

        graph.observe("pods", "a", "p", Change::Put(&pod("n1", "s2")));
        assert!(!graph.reaches("n1", Kind::Secret, "a", "s1") && graph.reaches("n1", Kind::Secret, "a", "s2"));
        graph.observe("pods", "a", "p", Change::Delete);
        graph.observe("persistentvolumes", "", "pv", Change::Delete);
        assert!(graph.nodes.is_empty() && graph.volumes_by_secret.is_empty());
    }
}
