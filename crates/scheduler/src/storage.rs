//! Claims, volumes and what provides them, as far as they decide where a pod can run.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSelector, PersistentVolume, PersistentVolumeClaim, TopologySelectorTerm};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use machinery::quantity::Quantity;

use crate::selector;

/// On which node the pod of a claim is to run: what tells a provisioner where to make the volume.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Set on a claim once its volume is its own for good.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The class of claims that name their class by annotation.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// What is known of storage.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    /// By `NAMESPACE/NAME`.
    pub claims: HashMap<String, Arc<PersistentVolumeClaim>>,
    /// By name; the order makes the choice among equals stable.
    pub volumes: BTreeMap<String, Arc<PersistentVolume>>,
    /// By name.
    pub classes: HashMap<String, Arc<StorageClass>>,
    /// By node name.
    pub csi_nodes: HashMap<String, Arc<CSINode>>,
    /// By name.
    pub drivers: HashMap<String, Arc<CSIDriver>>,
    /// By `NAMESPACE/NAME`.
    pub capacities: HashMap<String, Arc<CSIStorageCapacity>>,
    /// Volumes given to claims by decisions that the API does not show yet: volume name to claim key.
    pub assumed: HashMap<String, String>,
    /// Nodes chosen for claims by decisions that the API does not show yet, by claim key.
    pub assumed_nodes: HashMap<String, String>,
}

impl Storage {
    /// The class that a claim asks for.
    #[must_use]
    pub fn class_of(&self, claim: &PersistentVolumeClaim) -> Option<&Arc<StorageClass>> {
        self.classes.get(class_name(claim))
    }

    /// The volume that a claim is bound to.
    #[must_use]
    pub fn volume_of(&self, claim: &PersistentVolumeClaim) -> Option<&Arc<PersistentVolume>> {
        self.volumes.get(claim.spec.as_ref()?.volume_name.as_deref()?)
    }

    /// Whether a claim waits for its first pod (`WaitForFirstConsumer`).
    #[must_use]
    pub fn waits_for_pod(&self, claim: &PersistentVolumeClaim) -> bool {
        let mode = self.class_of(claim).and_then(|class| class.volume_binding_mode.as_deref());
        mode == Some("WaitForFirstConsumer")
    }

    /// The node chosen for a claim, in the API or by a decision under way.
    #[must_use]
    pub fn selected_node<'a>(&'a self, key: &str, claim: &'a PersistentVolumeClaim) -> Option<&'a str> {
        let annotation = claim.metadata.annotations.as_ref().and_then(|all| all.get(SELECTED_NODE));
        annotation.or_else(|| self.assumed_nodes.get(key)).map(String::as_str)
    }
}

/// The class name that a claim asks for; empty for none.
#[must_use]
pub fn class_name(claim: &PersistentVolumeClaim) -> &str {
    let annotation = claim.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
    let spec = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotation.or(spec).map_or("", String::as_str)
}

/// Whether a claim has its volume for good.
#[must_use]
pub fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).is_some_and(|name| !name.is_empty());
    named && claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(BIND_COMPLETED))
}

/// Whether a claim names a volume at all.
#[must_use]
pub fn names_volume(claim: &PersistentVolumeClaim) -> bool {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).is_some_and(|name| !name.is_empty())
}

/// How many bytes a claim asks for.
#[must_use]
pub fn requested(claim: &PersistentVolumeClaim) -> i64 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    requests.and_then(|all| all.get("storage")).and_then(|text| Quantity::parse(&text.0).ok()).map_or(0, |q| q.value())
}

/// How many bytes a volume has.
#[must_use]
pub fn capacity(volume: &PersistentVolume) -> i64 {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    capacity.and_then(|text| Quantity::parse(&text.0).ok()).map_or(0, |quantity| quantity.value())
}

/// Whether a volume can be reached from a node.
#[must_use]
pub fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    affinity.is_none_or(|required: &NodeSelector| selector::any_term(&required.node_selector_terms, node))
}

/// Whether a class makes volumes for a node (`allowedTopologies`).
#[must_use]
pub fn allows(terms: &[TopologySelectorTerm], node: &Node) -> bool {
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let holds = |term: &TopologySelectorTerm| {
        term.match_label_expressions
            .iter()
            .flatten()
            .all(|expression| label(&expression.key).is_some_and(|value| expression.values.contains(value)))
    };
    terms.is_empty() || terms.iter().any(holds)
}

/// Whether a volume fits a claim's class, size, access and mode, whatever node.
#[must_use]
pub fn suits(volume: &PersistentVolume, key: &str, claim: &PersistentVolumeClaim) -> bool {
    let (Some(spec), Some(wanted)) = (&volume.spec, &claim.spec) else { return false };
    let modes = |modes: &Option<Vec<String>>| modes.clone().unwrap_or_default();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let labels = volume.metadata.labels.clone().unwrap_or_default();
    let selected = wanted.selector.is_none() || crate::affinity::to_selector(wanted.selector.as_ref()).matches(&labels);
    let owner = spec.claim_ref.as_ref();
    let free = owner.is_none_or(|owner| {
        let named =
            client::key(owner.namespace.as_deref().unwrap_or_default(), owner.name.as_deref().unwrap_or_default());
        named == key
            && owner.uid.as_deref().is_none_or(|uid| uid.is_empty() || claim.metadata.uid.as_deref() == Some(uid))
    });
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    free && (owner.is_some() || phase == Some("Available"))
        && volume.metadata.deletion_timestamp.is_none()
        && spec.storage_class_name.as_deref().unwrap_or_default() == class_name(claim)
        && mode(&spec.volume_mode) == mode(&wanted.volume_mode)
        && capacity(volume) >= requested(claim)
        && modes(&wanted.access_modes).iter().all(|mode| modes(&spec.access_modes).contains(mode))
        && selected
}
