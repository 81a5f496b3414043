//! Eviction: the wish that a pod goes, if its budgets allow it; never stored.

use crate::kind::{BASE, Kind};

/// The kind; no path of its own serves it.
pub static KIND: Kind = Kind {
    group: "policy",
    kind: "Eviction",
    plural: "evictions",
    schema: "io.k8s.api.policy.v1.Eviction",
    verbs: &["create"],
    ..BASE
};
