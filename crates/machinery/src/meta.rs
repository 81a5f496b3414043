//! An object's metadata, read and written in the tree.

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::{Object, Text, Value, value};

/// The object's `apiVersion`.
#[must_use]
pub fn api_version(object: &Value) -> &str {
    object.str_at(&["apiVersion"]).unwrap_or_default()
}

/// The object's `kind`.
#[must_use]
pub fn kind(object: &Value) -> &str {
    object.str_at(&["kind"]).unwrap_or_default()
}

/// Sets `apiVersion` and `kind`.
pub fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    object.set_at(&["kind"], kind);
    object.set_at(&["apiVersion"], api_version);
}

macro_rules! text_field {
    ($get:ident, $set:ident, $name:literal, $doc:literal) => {
        #[doc = concat!("The object's ", $doc, "; empty when there is none.")]
        #[must_use]
        pub fn $get(object: &Value) -> &str {
            object.str_at(&["metadata", $name]).unwrap_or_default()
        }

        #[doc = concat!("Sets the object's ", $doc, "; an empty one is taken out.")]
        pub fn $set(object: &mut Value, value: &str) {
            set_text(object, $name, value);
        }
    };
}
text_field!(name, set_name, "name", "name");
text_field!(generate_name, set_generate_name, "generateName", "prefix for a generated name");
text_field!(namespace, set_namespace, "namespace", "namespace");
text_field!(uid, set_uid, "uid", "UID");
text_field!(resource_version, set_resource_version, "resourceVersion", "resource version");
text_field!(creation_timestamp_text, set_creation_timestamp_text, "creationTimestamp", "creation time as text");
text_field!(deletion_timestamp_text, set_deletion_timestamp_text, "deletionTimestamp", "deletion time as text");

/// How often the wanted state changed; 0 when the object does not count.
#[must_use]
pub fn generation(object: &Value) -> i64 {
    object.int_at(&["metadata", "generation"]).unwrap_or_default()
}

/// Sets the generation; 0 takes it out.
pub fn set_generation(object: &mut Value, generation: i64) {
    if generation == 0 {
        object.remove_at(&["metadata", "generation"]);
    } else {
        object.set_at(&["metadata", "generation"], generation);
    }
}

/// When the object was made.
#[must_use]
pub fn creation_timestamp(object: &Value) -> Option<Timestamp> {
    creation_timestamp_text(object).parse().ok()
}

/// Sets when the object was made, to the second.
pub fn set_creation_timestamp(object: &mut Value, at: Timestamp) {
    set_text(object, "creationTimestamp", &seconds(at));
}

/// When the object goes (graceful deletion counts from here), if it is being deleted.
#[must_use]
pub fn deletion_timestamp(object: &Value) -> Option<Timestamp> {
    deletion_timestamp_text(object).parse().ok()
}

/// Whether the object is being deleted.
#[must_use]
pub fn is_deleting(object: &Value) -> bool {
    !deletion_timestamp_text(object).is_empty()
}

/// Sets when the object goes, to the second; `None` takes it out.
pub fn set_deletion_timestamp(object: &mut Value, at: Option<Timestamp>) {
    set_text(object, "deletionTimestamp", &at.map(seconds).unwrap_or_default());
}

/// How many seconds the object was given to end.
#[must_use]
pub fn deletion_grace_period_seconds(object: &Value) -> Option<i64> {
    object.int_at(&["metadata", "deletionGracePeriodSeconds"])
}

/// Sets how many seconds the object is given to end; `None` takes it out.
pub fn set_deletion_grace_period_seconds(object: &mut Value, seconds: Option<i64>) {
    match seconds {
        Some(seconds) => object.set_at(&["metadata", "deletionGracePeriodSeconds"], seconds),
        None => drop(object.remove_at(&["metadata", "deletionGracePeriodSeconds"])),
    }
}

/// The labels, if there are any.
#[must_use]
pub fn labels(object: &Value) -> Option<&Object> {
    object.at(&["metadata", "labels"])?.as_object()
}

/// The value of the label `name`.
#[must_use]
pub fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    labels(object)?.get(name)?.as_str()
}

/// The annotations, if there are any.
#[must_use]
pub fn annotations(object: &Value) -> Option<&Object> {
    object.at(&["metadata", "annotations"])?.as_object()
}

/// The value of the annotation `name`.
#[must_use]
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    annotations(object)?.get(name)?.as_str()
}

/// Sets the label `name`.
pub fn set_label(object: &mut Value, name: &str, value: &str) {
    object.set_at(&["metadata", "labels", name], value);
}

/// Sets the annotation `name`.
pub fn set_annotation(object: &mut Value, name: &str, value: &str) {
    object.set_at(&["metadata", "annotations", name], value);
}

/// The owner references.
#[must_use]
pub fn owner_references(object: &Value) -> &[Value] {
    object.items_at(&["metadata", "ownerReferences"])
}

/// The owner that controls the object.
#[must_use]
pub fn controller(object: &Value) -> Option<&Value> {
    owner_references(object).iter().find(|owner| owner.bool_at(&["controller"]) == Some(true))
}

/// The finalizers in order.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object.items_at(&["metadata", "finalizers"]).iter().filter_map(Value::as_str)
}

/// Sets the finalizers; none takes the list out.
pub fn set_finalizers<T: Into<Text>>(object: &mut Value, finalizers: impl IntoIterator<Item = T>) {
    let list: Vec<Value> = finalizers.into_iter().map(|name| Value::String(name.into())).collect();
    if list.is_empty() {
        object.remove_at(&["metadata", "finalizers"]);
    } else {
        object.set_at(&["metadata", "finalizers"], Value::Array(list));
    }
}

/// A reference to `owner` as its controller, for an object it makes.
#[must_use]
pub fn controller_reference(owner: &Value, api_version: &str, kind: &str) -> Value {
    value!({
        "apiVersion": api_version,
        "kind": kind,
        "name": (name(owner)),
        "uid": (uid(owner)),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A time as the API writes it: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn seconds(at: Timestamp) -> String {
    let mut text = to_the_second(at);
    text.push('Z');
    text
}

/// A time as the API writes a `MicroTime`.
#[must_use]
pub fn micros(at: Timestamp) -> String {
    let mut text = to_the_second(at);
    text.push('.');
    push_digits(&mut text, Offset::UTC.to_datetime(at).subsec_nanosecond() / 1000, 6);
    text.push('Z');
    text
}

/// `2006-01-02T15:04:05`, without a general formatter: it is written several times a write.
fn to_the_second(at: Timestamp) -> String {
    let time = Offset::UTC.to_datetime(at);
    let parts = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
    let mut text = String::with_capacity(27);
    push_digits(&mut text, time.year().into(), 4);
    for (separator, part) in ['-', '-', 'T', ':', ':'].into_iter().zip(parts) {
        text.push(separator);
        push_digits(&mut text, part.into(), 2);
    }
    text
}

fn push_digits(text: &mut String, number: i32, count: u32) {
    let digit = |at: u32| u8::try_from(number.unsigned_abs() / 10_u32.pow(at) % 10).expect("a digit");
    text.extend((0..count).rev().map(|at| char::from(b'0' + digit(at))));
}

fn set_text(object: &mut Value, field: &str, value: &str) {
    if value.is_empty() {
        object.remove_at(&["metadata", field]);
    } else {
        object.set_at(&["metadata", field], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        let mut pod = value!({"kind": "Pod", "metadata": {"name": "a", "labels": {"x": "y"}}});
        assert_eq!((name(&pod), namespace(&pod), label(&pod, "x")), ("a", "", Some("y")));
        set_creation_timestamp(&mut pod, Timestamp::from_second(1_600_000_000).unwrap());
        assert_eq!(creation_timestamp_text(&pod), "2020-09-13T12:26:40Z");
        let at = creation_timestamp(&pod);
        set_deletion_timestamp(&mut pod, at);
        assert!(is_deleting(&pod));
        set_deletion_timestamp(&mut pod, None);
        assert!(!is_deleting(&pod));
        set_finalizers(&mut pod, ["a/b"]);
        assert_eq!(finalizers(&pod).collect::<Vec<_>>(), ["a/b"]);
        set_finalizers(&mut pod, Vec::<Text>::new());
        assert_eq!(pod.at(&["metadata", "finalizers"]), None);
        assert_eq!(micros(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }
}
