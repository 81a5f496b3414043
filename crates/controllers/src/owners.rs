//! Whose a dependent is: selectors, adoption, release.

use std::sync::Arc;

use client::{Action, Kind, Patch};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use machinery::labels::Selector;
use machinery::{Value, value};

/// The reference by which `owner` manages its dependents.
pub(crate) fn controller_reference<K: Kind>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The selector of a workload; one that cannot be read selects nothing (validation lets none through).
pub(crate) fn selector(selector: &LabelSelector) -> Selector {
    Selector::from_label_selector(Some(&machinery::to_value(selector))).unwrap_or_else(|_| Selector::nothing())
}

/// The dependents that an owner has, and what to write so that it stays so.
pub(crate) struct Claimed<K> {
    pub(crate) owned: Vec<Arc<K>>,
    pub(crate) writes: Vec<Action>,
}

/// Divides `candidates` (of the owner's namespace): those managed and matching are owned, matching orphans are adopted,
/// managed ones that match no more are let go.
pub(crate) fn claim<K: Kind>(
    owner: &OwnerReference,
    owner_deleted: bool,
    selector: &Selector,
    candidates: Vec<Arc<K>>,
) -> Claimed<K> {
    let mut claimed = Claimed { owned: Vec::new(), writes: Vec::new() };
    for candidate in candidates {
        let matches = selector.matches(&candidate.meta().labels);
        match candidate.controller().map(|controller| controller.uid == owner.uid) {
            Some(true) if matches => claimed.owned.push(candidate),
            Some(true) if !owner_deleted => claimed.writes.push(release(&*candidate, owner)),
            None if matches && !owner_deleted && !candidate.is_deleted() => {
                claimed.writes.push(adopt(&*candidate, owner));
                claimed.owned.push(candidate);
            }
            _ => {}
        }
    }
    claimed
}

fn adopt<K: Kind>(candidate: &K, owner: &OwnerReference) -> Action {
    let references: Value = machinery::to_value(&vec![owner]);
    let patch = value!({"metadata": {"ownerReferences": references, "uid": (candidate.uid())}});
    Action::patch(candidate, "", Patch::Strategic(patch))
}

fn release<K: Kind>(candidate: &K, owner: &OwnerReference) -> Action {
    let uid = owner.uid.as_str();
    let patch = value!({"metadata": {
        "ownerReferences": [{"$patch": "delete", "uid": uid}],
        "uid": (candidate.uid())
    }});
    Action::patch(candidate, "", Patch::Strategic(patch))
}
