//! What checkers and workloads ask of stored objects.

use machinery::{Value, meta};

/// The place of a namespaced object in the store.
pub fn store_key(storage: &str, namespace: &str, name: &str) -> String {
    format!("/registry/{storage}/{namespace}/{name}")
}

/// The name of the managing owner, if it is of this kind.
pub fn owner<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let owners = object.items_at(&["metadata", "ownerReferences"]).iter();
    let mut managing = owners.filter(|owner| owner.bool_at(&["controller"]) == Some(true));
    managing.find(|owner| owner.str_at(&["kind"]) == Some(kind))?.str_at(&["name"])
}

/// Whether deletion was asked for.
pub fn is_going(object: &Value) -> bool {
    !meta::deletion_timestamp_text(object).is_empty()
}

/// The status of a condition; empty when there is none.
pub fn condition<'a>(object: &'a Value, name: &str) -> &'a str {
    let conditions = object.items_at(&["status", "conditions"]).iter();
    let mut named = conditions.filter(|condition| condition.str_at(&["type"]) == Some(name));
    named.find_map(|condition| condition.str_at(&["status"])).unwrap_or_default()
}

/// Whether a pod serves: ready and not going.
pub fn is_available(pod: &Value) -> bool {
    condition(pod, "Ready") == "True" && !is_going(pod)
}

/// Whether a pod ran to its end.
pub fn is_finished(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), Some("Succeeded" | "Failed"))
}

/// A number; 0 when it is absent.
pub fn number(object: &Value, path: &[&str]) -> i64 {
    object.int_at(path).unwrap_or_default()
}
