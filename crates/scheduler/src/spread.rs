//! How a pod wants to be spread with its like: topology spread constraints (KEP-895).

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodSpec, TopologySpreadConstraint};
use machinery::labels::Selector;

use crate::affinity::{Term, to_selector, with_keys};

/// The label that names a node.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label that names a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// One constraint.
#[derive(Debug, Clone)]
pub struct Constraint {
    /// How much fuller a part may be than the emptiest.
    pub max_skew: i64,
    /// Which label of nodes names the parts.
    pub topology_key: String,
    /// Whether a node that breaks it is out, not just worse.
    pub required: bool,
    /// Fewer parts than this make the emptiest count as empty.
    pub min_domains: i64,
    /// Whether only nodes count that the pod's node affinity allows.
    pub honor_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates.
    pub honor_taints: bool,
    /// The pod's like.
    pub like: Arc<Term>,
}

/// The constraints that a pod names itself.
#[must_use]
pub fn constraints(namespace: &str, labels: &BTreeMap<String, String>, spec: &PodSpec) -> Vec<Constraint> {
    let from = |constraint: &TopologySpreadConstraint| {
        let keys = constraint.match_label_keys.as_deref();
        let selector = with_keys(constraint.label_selector.as_ref(), labels, keys, None);
        Constraint::new(constraint, namespace, to_selector(selector.as_ref()))
    };
    spec.topology_spread_constraints.iter().flatten().map(from).collect()
}

impl Constraint {
    /// A constraint over the pods of `namespace` that `selector` selects.
    #[must_use]
    pub fn new(constraint: &TopologySpreadConstraint, namespace: &str, selector: Selector) -> Self {
        Self {
            max_skew: constraint.max_skew.into(),
            topology_key: constraint.topology_key.clone(),
            required: constraint.when_unsatisfiable == "DoNotSchedule",
            min_domains: constraint.min_domains.unwrap_or(1).into(),
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
            like: Arc::new(Term::of_namespace(namespace, selector)),
        }
    }
}

/// What holds for pods of a Service or a workload that name no constraints themselves.
#[must_use]
pub fn system_defaults() -> Vec<TopologySpreadConstraint> {
    let soft = |key: &str, max_skew| TopologySpreadConstraint {
        max_skew,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    vec![soft(HOSTNAME, 3), soft(ZONE, 5)]
}
