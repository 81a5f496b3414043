//! Merge patch (RFC 7386): objects are merged name by name, null removes, everything else replaces.

use crate::{Object, Value};

/// Why a merge patch is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid JSON Patch")]
pub struct Error;

/// Changes `object` as `patch` says.
///
/// # Errors
/// If the patch is no object.
pub fn apply(object: &mut Value, patch: Value) -> Result<(), Error> {
    let Value::Object(patch) = patch else { return Err(Error) };
    match object {
        Value::Object(members) => merge(members, patch),
        other => {
            let mut patch = Value::Object(patch);
            drop_nulls(&mut patch);
            *other = patch;
        }
    }
    Ok(())
}

fn merge(object: &mut Object, patch: Object) {
    for (name, mut value) in patch {
        match (object.get_mut(&name), value) {
            (_, Value::Null) => {
                object.remove(&name);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            (_, other) => {
                value = other;
                drop_nulls(&mut value);
                object.insert(name, value);
            }
        }
    }
}

/// Removes the null members of objects, at every depth; null items of lists stay.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, member| !member.is_null());
            object.iter_mut().for_each(|(_, member)| drop_nulls(member));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn merges() {
        for (object, patch, expected) in [
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":null,"d":3}}"#, r#"{"a":{"c":2,"d":3}}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[3]}"#, r#"{"a":[3]}"#),
            (r#"{"a":1}"#, r#"{"a":{"x":null,"y":{"z":null}}}"#, r#"{"a":{"y":{}}}"#),
            (r#"{}"#, r#"{"a":[{"x":null},null]}"#, r#"{"a":[{},null]}"#),
            (r#"{"a":1}"#, r#"{"b":null}"#, r#"{"a":1}"#),
        ] {
            let mut value = json::parse(object.as_bytes()).unwrap();
            apply(&mut value, json::parse(patch.as_bytes()).unwrap()).unwrap();
            assert_eq!(json::to_string(&value), expected);
        }
        assert_eq!(apply(&mut Value::object(), Value::Array(vec![])), Err(Error));
    }

    proptest::proptest! {
        #[test]
        fn twice_is_once(object in texts(), patch in texts()) {
            let mut once = object;
            apply(&mut once, patch.clone()).unwrap();
            let mut twice = once.clone();
            apply(&mut twice, patch).unwrap();
            proptest::prop_assert_eq!(once, twice);
        }
    }

    fn texts() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![Just(Value::Null), (0..3i64).prop_map(Value::Int)];
        let object = |inner| prop::collection::vec(("[abc]", inner), 0..4);
        let tree = leaf
            .prop_recursive(3, 16, 4, move |inner| object(inner).prop_map(|p| Value::Object(p.into_iter().collect())));
        prop::collection::vec(("[abc]", tree), 0..4).prop_map(|p| Value::Object(p.into_iter().collect()))
    }
}
