//! A write that changes nothing is no write: new times in `managedFields` alone do not count.

use crate::{Object, Value};

/// Gives `new` the `managedFields` of `old` if times and the resource version are all in which the two differ.
pub fn ignore_timestamps(old: &Value, new: &mut Value) {
    let path = ["metadata", "managedFields"];
    let (before, after) = (old.items_at(&path), new.items_at(&path));
    if before.is_empty() || before.len() != after.len() || !before.iter().zip(after).all(|(a, b)| same_but_time(a, b)) {
        return;
    }
    if same_but(old, new, &["metadata"]) && same_metadata(old.get("metadata"), new.get("metadata")) {
        new.set_at(&path, Value::Array(before.to_vec()));
    }
}

fn same_but_time(a: &Value, b: &Value) -> bool {
    ["manager", "operation", "apiVersion", "fieldsType", "fieldsV1", "subresource"]
        .iter()
        .all(|name| a.get(name) == b.get(name))
}

fn same_metadata(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => same_but(old, new, &["managedFields", "resourceVersion"]),
        _ => false,
    }
}

/// Whether two objects have the same members, whatever those are of which the names are given.
fn same_but(old: &Value, new: &Value, names: &[&str]) -> bool {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return old == new };
    let counted = |object: &Object| object.keys().filter(|name| !names.contains(&name.as_str())).count();
    let mut members = old.iter().filter(|(name, _)| !names.contains(&name.as_str()));
    counted(old) == counted(new) && members.all(|(name, value)| new.get(name) == Some(value))
}
