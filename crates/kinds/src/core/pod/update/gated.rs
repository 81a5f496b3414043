//! What may change of where a pod runs while scheduling gates hold it (KEP-3838): it may only become stricter.

use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value};

use crate::kind::keep;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// What is wrong with the changes: the new spec, then the old one.
pub(super) fn check(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors: Errors = node_selector(new, old, &path.child("nodeSelector")).into_iter().collect();
    errors.extend(node_affinity(new, old, &path.child("affinity.nodeAffinity")));
    errors
}

/// Takes the change of the node affinity back.
pub(super) fn keep_node_affinity(new: &mut Value, old: &Value) {
    let path = ["affinity", "nodeAffinity"];
    if new.at(&path) == old.at(&path) {
        return;
    }
    keep(new, old, &path);
    let emptied = new.get("affinity").and_then(Value::as_object).is_some_and(Object::is_empty);
    if emptied && old.get("affinity").is_none() {
        new.remove_at(&["affinity"]);
    }
}

fn node_selector(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let [new, old] = [new, old].map(|spec| spec.get("nodeSelector").and_then(Value::as_object));
    let kept = old.into_iter().flat_map(Object::iter).all(|(key, value)| new.and_then(|n| n.get(key)) == Some(value));
    let shown = new.cloned().map_or(Value::Null, Value::Object);
    let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    (!kept).then(|| Error::invalid(path, shown, detail))
}

fn node_affinity(new: &Value, old: &Value, path: &Path) -> Errors {
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    let [new, old] = [new, old].map(|spec| spec.items_at(&["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"]));
    if old.is_empty() {
        return Errors::new();
    }
    if new.len() != old.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return vec![Error::invalid(&path, Value::Array(new.to_vec()), detail)];
    }
    let mut errors = Errors::new();
    for (i, (new, old)) in new.iter().zip(old).enumerate() {
        let empty = |term: &Value| ["matchExpressions", "matchFields"].iter().all(|f| term.items_at(&[f]).is_empty());
        let kept = ["matchExpressions", "matchFields"]
            .iter()
            .all(|field| new.items_at(&[field]).starts_with(old.items_at(&[field])));
        if (empty(old) && !empty(new)) || !kept {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(Error::invalid(&path.index(i), new.clone(), detail));
        }
    }
    errors
}
