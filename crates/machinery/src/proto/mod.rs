//! Protobuf as Kubernetes has it: an object inside an envelope that names its kind, both ways over the field table.
//!
//! Invariant: what is not a pointer in Go is always written, so an absent field and a zero one look alike; the reader
//! leaves it to [`crate::schema::decode()`] to drop what JSON would not show.

mod read;
#[cfg(test)]
mod sample;
mod wire;
mod write;

use crate::schema::{self, FieldValidation, Message};
use crate::{Value, meta};

/// What stands before every object.
const MAGIC: &[u8] = b"k8s\0";

/// Why bytes are no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are not those of an object.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// A length leads beyond the end.
    #[error("unexpected EOF")]
    End,
    /// A number has too many bytes.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field has another wire type than its message says.
    #[error("proto: wrong wireType = {0} for field {1}")]
    WireType(u8, String),
    /// A text is no UTF-8, a raw object no JSON, or messages nest too deep.
    #[error("proto: {0}")]
    Invalid(String),
}

/// The outside of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope<'b> {
    /// The object's API version; empty if it is not told.
    pub api_version: String,
    /// The object's kind; empty if it is not told.
    pub kind: String,
    /// The object itself.
    pub raw: &'b [u8],
    /// How `raw` is written; empty: protobuf.
    pub content_type: String,
}

/// Whether `bytes` begin as an object in protobuf does.
#[must_use]
pub fn is_protobuf(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads the envelope of an object.
///
/// # Errors
/// If the bytes are no envelope.
pub fn open(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    read::envelope(bytes.strip_prefix(MAGIC).ok_or(Error::Prefix)?)
}

/// Reads an object that [`open`] has unpacked, in the form that [`crate::schema::decode()`] gives.
///
/// # Errors
/// If the bytes are no such message, or a value in it has the wrong form.
pub fn decode(message: &Message, envelope: &Envelope) -> Result<Value, Error> {
    let mut value = Value::Object(read::message(message, envelope.raw)?);
    schema::decode(message, &mut value, FieldValidation::Ignore).map_err(|error| Error::Invalid(error.to_string()))?;
    if message.is_root() && !envelope.kind.is_empty() {
        meta::set_type(&mut value, &envelope.api_version, &envelope.kind);
        schema::order(message, &mut value);
    }
    Ok(value)
}

/// Writes `value`, an object in the form that [`crate::schema::decode()`] gives, in its envelope.
#[must_use]
pub fn encode(message: &Message, value: &Value) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    write::envelope(message, value, &mut out);
    out
}

/// Writes `value` without an envelope, as it stands in a list.
#[must_use]
pub fn encode_bare(message: &Message, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(message, value, &mut out);
    out
}

/// Puts what [`encode_bare`] has written into an envelope.
#[must_use]
pub fn wrap(api_version: &str, kind: &str, bare: &[u8]) -> Vec<u8> {
    let (mut out, tail) = head(api_version, kind, bare.len());
    out.reserve(bare.len() + tail.len());
    out.extend_from_slice(bare);
    out.extend_from_slice(tail);
    out
}

/// What stands before and after the items of a list. `list` is the list without its items, `items_bytes` the sum of their
/// [`item_bytes`]; each is written by [`put_item`].
#[must_use]
pub fn list_around(message: &Message, list: &Value, items_bytes: usize) -> (Vec<u8>, &'static [u8]) {
    let bare = encode_bare(message, list);
    let (mut out, tail) = head(meta::api_version(list), meta::kind(list), bare.len() + items_bytes);
    out.extend_from_slice(&bare);
    (out, tail)
}

/// How many bytes [`put_item`] writes for an item of `bare_bytes` bytes.
#[must_use]
pub fn item_bytes(bare_bytes: usize) -> usize {
    let mut length = Vec::with_capacity(10);
    wire::put_varint(bare_bytes as u64, &mut length);
    1 + length.len() + bare_bytes
}

/// Writes an item of a list, given as [`encode_bare`] has written it.
pub fn put_item(bare: &[u8], out: &mut Vec<u8>) {
    wire::put_bytes(LIST_ITEMS, bare, out);
}

/// A watch event with the four bytes of its length before it; `object` is in its envelope.
#[must_use]
pub fn watch_frame(word: &str, object: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.reserve(object.len() + word.len() + 24);
    wire::put_bytes(1, word.as_bytes(), &mut out);
    wire::put_nested(2, &mut out, |out| wire::put_bytes(1, object, out));
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

/// The number of every list's items.
const LIST_ITEMS: u32 = 2;

/// An envelope up to its object of `bare_bytes` bytes, and the rest of it.
fn head(api_version: &str, kind: &str, bare_bytes: usize) -> (Vec<u8>, &'static [u8]) {
    let mut out = MAGIC.to_vec();
    wire::put_nested(1, &mut out, |out| {
        wire::put_bytes(1, api_version.as_bytes(), out);
        wire::put_bytes(2, kind.as_bytes(), out);
    });
    out.push(2 << 3 | 2);
    wire::put_varint(bare_bytes as u64, &mut out);
    (out, &[3 << 3 | 2, 0, 4 << 3 | 2, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn there_and_back(group: &str, version: &str, kind: &str, text: &str) -> String {
        let message = schema::of_kind(group, version, kind).unwrap();
        let mut value = json::parse(text.as_bytes()).unwrap();
        schema::decode(message, &mut value, FieldValidation::Strict).unwrap();
        let bytes = encode(message, &value);
        let back = decode(message, &open(&bytes).unwrap()).unwrap();
        assert_eq!(json::to_string(&back), json::to_string(&value));
        bytes[4..].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_are_those_of_go() {
        // {1: {1: "v1", 2: "ConfigMap"}, 2: {1: metadata, 2: {"k": "v"}, 4: false}, 3: "", 4: ""}
        let found = there_and_back(
            "",
            "v1",
            "ConfigMap",
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"k":"v"},"immutable":false}"#,
        );
        expect_test::expect![
            "0a0f0a0276311209436f6e6669674d6170121d0a110a016112001a0022002a0032003800420012060a016b12017620001a002200"
        ]
        .assert_eq(&found);
    }

    #[test]
    fn all_forms_of_values() {
        there_and_back(
            "",
            "v1",
            "Pod",
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","creationTimestamp":"2020-01-02T03:04:05Z","managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}]},
            "spec":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}],"containers":[{"name":"c","resources":{"requests":{"cpu":"100m"}},"livenessProbe":{"httpGet":{"port":"http"},"periodSeconds":-1}}],"priority":0,"hostNetwork":true}}"#,
        );
        there_and_back(
            "coordination.k8s.io",
            "v1",
            "Lease",
            r#"{"spec":{"renewTime":"2020-01-02T03:04:05.000006Z","leaseDurationSeconds":40}}"#,
        );
        there_and_back("apps", "v1", "ControllerRevision", r#"{"data":{"spec":{"a":[1,"x"]}},"revision":3}"#);
        there_and_back(
            "authentication.k8s.io",
            "v1",
            "TokenReview",
            r#"{"status":{"user":{"extra":{"a":["x","y"],"b":null}}}}"#,
        );
        there_and_back(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            r#"{"spec":{"versions":[{"name":"v1","schema":{"openAPIV3Schema":{"type":"object","maximum":1.5,"enum":[1,"a",null],"additionalProperties":{"type":"string"},"items":{"type":"string"},"properties":{"x":{"default":{"a":1},"additionalProperties":true}}}}}]}}"#,
        );
    }

    #[test]
    fn lists_item_by_item_and_frames() {
        let list = json::parse(
            br#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"},"data":{"k":"v"}}]}"#,
        )
        .unwrap();
        let (message, item) =
            (schema::of_kind("", "v1", "ConfigMapList").unwrap(), schema::of_kind("", "v1", "ConfigMap").unwrap());
        let bare: Vec<Vec<u8>> = list.items_at(&["items"]).iter().map(|value| encode_bare(item, value)).collect();
        let mut head = list.clone();
        head.remove_at(&["items"]);
        let (mut out, tail) = list_around(message, &head, bare.iter().map(|bare| item_bytes(bare.len())).sum());
        bare.iter().for_each(|bare| put_item(bare, &mut out));
        out.extend_from_slice(tail);
        assert_eq!(out, encode(message, &list));
        assert_eq!(wrap("v1", "ConfigMapList", open(&out).unwrap().raw), out);
        assert_eq!(watch_frame("ADDED", b"k8s"), b"\0\0\0\x0e\x0a\x05ADDED\x12\x05\x0a\x03k8s");
    }

    #[test]
    fn bad_bytes() {
        let message = schema::of_kind("", "v1", "ConfigMap").unwrap();
        assert_eq!(open(b"{}").unwrap_err(), Error::Prefix);
        assert_eq!(open(b"k8s\0\x0a\x7f").unwrap_err(), Error::End);
        let raw = |raw| Envelope { raw, ..Envelope::default() };
        assert_eq!(
            decode(message, &raw(b"\x08\x01")).unwrap_err().to_string(),
            "proto: wrong wireType = 0 for field metadata"
        );
        assert_eq!(
            decode(message, &raw(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")).unwrap_err(),
            Error::Overflow
        );
        // Fields that nobody knows are skipped.
        assert_eq!(json::to_string(&decode(message, &raw(b"\xf8\x07\x01")).unwrap()), r#"{"metadata":{}}"#);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_fatal(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let pod = schema::of_kind("", "v1", "Pod").unwrap();
            let _ = decode(pod, &Envelope { raw: &bytes, ..Envelope::default() });
            let _ = open(&bytes);
        }
    }
}
