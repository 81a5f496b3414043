//! What the server serves, for clients that ask before they act: groups, versions and resources, one by one and all in
//! one answer (KEP-3352). Everything follows from the kinds' declarations.

mod aggregated;
mod legacy;

pub use aggregated::aggregated;
pub use legacy::{core_versions, group, groups, resources};

use kinds::Kind;

/// A group and version with its kinds, sorted by resource.
struct GroupVersion {
    group: &'static str,
    version: &'static str,
    kinds: Vec<&'static Kind>,
}

/// Groups in the order in which clients should prefer them; the core group stands apart. Groups that are not named
/// here come last.
const GROUP_ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Every group and version, preferred ones first: later versions of a group before earlier ones.
fn group_versions() -> Vec<GroupVersion> {
    let mut all: Vec<GroupVersion> = Vec::new();
    for kind in kinds::all().iter().copied().filter(|kind| !kind.verbs.is_empty()) {
        match all.iter_mut().find(|known| known.group == kind.group && known.version == kind.version) {
            Some(known) => known.kinds.push(kind),
            None => all.push(GroupVersion { group: kind.group, version: kind.version, kinds: vec![kind] }),
        }
    }
    let rank = |group: &str| GROUP_ORDER.iter().position(|known| *known == group).unwrap_or(GROUP_ORDER.len());
    all.sort_by(|a, b| rank(a.group).cmp(&rank(b.group)).then_with(|| b.version.cmp(a.version)));
    for one in &mut all {
        one.kinds.sort_by_key(|kind| kind.plural);
    }
    all
}

impl GroupVersion {
    /// Group and version as objects carry them.
    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}
