//! Owner references that stand twice in an object: one is dropped, and the client is told.

use std::collections::BTreeSet;

use machinery::{Value, meta};

use crate::call::Call;

/// What the warning says of a time at which the object may differ from what the client sent.
pub const AFTER_ADMISSION: &str = " after mutating admission happens";

/// Drops owner references that are there already and warns of them.
pub fn name_once(call: &mut Call, object: &mut Value, when: &str) {
    let Some(twice) = drop_twins(object) else { return };
    call.warnings.push(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and \
         may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {twice}"
    ));
}

/// The UIDs of what was dropped, as a list.
fn drop_twins(object: &mut Value) -> Option<String> {
    let owners = meta::owner_references(object);
    let uid = |owner: &Value| owner.str_at(&["uid"]).unwrap_or_default().to_owned();
    if owners.iter().map(uid).collect::<BTreeSet<_>>().len() == owners.len() {
        return None;
    }
    let (mut kept, mut dropped): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    for owner in owners {
        if kept.contains(owner) { dropped.push(uid(owner)) } else { kept.push(owner.clone()) }
    }
    object.set_at(&["metadata", "ownerReferences"], kept);
    (!dropped.is_empty()).then(|| dropped.join(", "))
}

#[cfg(test)]
mod tests {
    use machinery::{json, value};

    use super::*;

    #[test]
    fn twins_go() {
        let owner = |name: &str, uid: &str| value!({"name": name, "uid": uid});
        let owners = value!([(owner("a", "1")), (owner("b", "2")), (owner("a", "1")), (owner("c", "1"))]);
        let mut object = value!({"metadata": {"ownerReferences": owners}});
        assert_eq!(drop_twins(&mut object).as_deref(), Some("1"));
        let left = r#"{"metadata":{"ownerReferences":[{"name":"a","uid":"1"},{"name":"b","uid":"2"},{"name":"c","uid":"1"}]}}"#;
        assert_eq!(json::to_string(&object), left);
        assert_eq!(drop_twins(&mut object), None);
    }
}
