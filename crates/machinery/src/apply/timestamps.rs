//! A write that changes nothing is no write: new times in `managedFields` alone do not count.

use super::managers;
use crate::Value;

/// Gives `new` the `managedFields` of `old` if times and the resource version are all in which the two differ.
pub fn ignore_timestamps(old: &Value, new: &mut Value) {
    let path = ["metadata", "managedFields"];
    let (before, after) = (old.items_at(&path), new.items_at(&path));
    if before.is_empty() || before.len() != after.len() || !before.iter().zip(after).all(|(a, b)| same_but_time(a, b)) {
        return;
    }
    if plain(old) == plain(new) {
        new.set_at(&path, Value::Array(before.to_vec()));
    }
}

fn same_but_time(a: &Value, b: &Value) -> bool {
    ["manager", "operation", "apiVersion", "fieldsType", "fieldsV1", "subresource"]
        .iter()
        .all(|name| a.get(name) == b.get(name))
}

fn plain(object: &Value) -> Value {
    let mut object = managers::without(object);
    object.remove_at(&["metadata", "resourceVersion"]);
    object
}
