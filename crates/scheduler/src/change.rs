//! What changed in the cluster: decides which waiting pods are tried again.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use crate::pod::PodInfo;

/// Something changed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A node came.
    NodeAdded(Arc<Node>),
    /// A node is not as it was.
    NodeUpdated {
        /// As it was.
        old: Arc<Node>,
        /// As it is.
        new: Arc<Node>,
    },
    /// A pod has a node now, or its labels changed there.
    PodPlaced(Arc<PodInfo>),
    /// A pod went away from a node, or asks for less there.
    PodLeft(Arc<PodInfo>),
    /// The waiting pod itself changed.
    PodUpdated,
    /// A claim came, changed or went: its `NAMESPACE/NAME`.
    Claim(String),
    /// A persistent volume came or changed.
    Volume,
    /// A storage class, CSI driver, or what a driver has left changed.
    StorageOffer,
    /// What CSI drivers allow on a node changed.
    CsiNode,
    /// A Service changed, or a namespace's labels.
    Selection,
}

impl Change {
    /// The node's name for metrics and logs: upstream's names of events.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self {
            Self::NodeAdded(_) => "NodeAdd",
            Self::NodeUpdated { .. } => "NodeUpdate",
            Self::PodPlaced(_) => "AssignedPodAdd",
            Self::PodLeft(_) => "AssignedPodDelete",
            Self::PodUpdated => "UnscheduledPodUpdate",
            Self::Claim(_) => "PersistentVolumeClaimUpdate",
            Self::Volume => "PersistentVolumeUpdate",
            Self::StorageOffer => "StorageClassUpdate",
            Self::CsiNode => "CSINodeUpdate",
            Self::Selection => "NamespaceUpdate",
        }
    }

    /// The node that came or changed.
    #[must_use]
    pub fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Self::NodeAdded(node) | Self::NodeUpdated { new: node, .. } => Some(node),
            _ => None,
        }
    }

    /// Whether a node came, or one changed in what `of` shows of it.
    #[must_use]
    pub fn touches<T: PartialEq>(&self, of: impl Fn(&Node) -> T) -> bool {
        match self {
            Self::NodeAdded(_) => true,
            Self::NodeUpdated { old, new } => of(old) != of(new),
            _ => false,
        }
    }

    /// Whether a node came, or one has other taints than before.
    #[must_use]
    pub fn touches_taints(&self) -> bool {
        self.touches(|node| node.spec.as_ref().map(|spec| (spec.taints.clone(), spec.unschedulable)))
    }

    /// Whether a node came, or one has other labels than before.
    #[must_use]
    pub fn touches_labels(&self) -> bool {
        self.touches(|node| node.metadata.labels.clone())
    }

    /// Whether a node came, or one can give something else than before.
    #[must_use]
    pub fn touches_allocatable(&self) -> bool {
        self.touches(|node| node.status.as_ref().and_then(|status| status.allocatable.clone()))
    }
}
