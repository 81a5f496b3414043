//! Objects as the store keeps them, and the store's errors as the API words them.

mod media;
pub mod older;

use bytes::Bytes;
use machinery::{Status, Value, json};
pub use media::{MediaType, UnknownMediaType};
use store::{Error, Revision};

/// The bytes of `object`: type and metadata first, no resourceVersion (see [`crate::cache::Item`]).
#[must_use]
pub fn encode(object: &Value) -> Bytes {
    let mut out = Vec::with_capacity(4096);
    let text = |name: &str, out: &mut Vec<u8>| match object.get(name) {
        Some(value) => json::write(value, out),
        None => out.extend_from_slice(b"\"\""),
    };
    out.extend_from_slice(b"{\"kind\":");
    text("kind", &mut out);
    out.extend_from_slice(b",\"apiVersion\":");
    text("apiVersion", &mut out);
    out.extend_from_slice(b",\"metadata\":");
    write_without(object.get("metadata"), &["resourceVersion", "selfLink"], &mut out);
    for (name, value) in object.as_object().into_iter().flat_map(machinery::Object::iter) {
        if !matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
            out.push(b',');
            json::write_string(name, &mut out);
            out.push(b':');
            json::write(value, &mut out);
        }
    }
    out.push(b'}');
    // Spare room would stay in memory for as long as the object does.
    out.into_boxed_slice().into()
}

fn write_without(object: Option<&Value>, names: &[&str], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in object.and_then(Value::as_object).into_iter().flat_map(machinery::Object::iter) {
        if names.contains(&name.as_str()) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        json::write_string(name, out);
        out.push(b':');
        json::write(value, out);
    }
    out.push(b'}');
}

/// The object in `bytes`, with its resourceVersion. What cannot be read is an empty object: the caller finds no name.
#[must_use]
pub fn decode(bytes: &[u8], revision: Revision) -> Value {
    let mut object = json::parse(bytes).unwrap_or_else(|error| {
        tracing::error!(%error, "what is stored is no object");
        Value::object()
    });
    object.set_at(&["metadata", "resourceVersion"], revision.to_string());
    object
}

/// What a client is told when the store fails.
#[must_use]
pub fn failure(error: &Error) -> Status {
    match error {
        Error::Closed => Status::service_unavailable(error.to_string()),
        Error::TooLarge { .. } => Status::request_entity_too_large(error),
        Error::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        Error::Future { requested, current } => crate::cache::too_large(*requested, *current),
        Error::TimedOut { .. } => {
            Status::timeout("request did not complete within requested timeout - context deadline exceeded", 0)
        }
        // In etcd's words, without a reason, as stock servers pass them on.
        Error::Refused { message } | Error::Unavailable { message } => Status::unknown(message),
        other => Status::internal(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_metadata_come_first() {
        let text = r#"{"data":{"k":"v"},"metadata":{"name":"a","resourceVersion":"5","uid":"u"},"apiVersion":"v1","kind":"ConfigMap"}"#;
        let stored = encode(&json::parse(text.as_bytes()).unwrap());
        let expected = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","uid":"u"},"data":{"k":"v"}}"#;
        assert_eq!(stored, expected.as_bytes());
        assert_eq!(decode(&stored, Revision(7)).str_at(&["metadata", "resourceVersion"]), Some("7"));
    }
}
