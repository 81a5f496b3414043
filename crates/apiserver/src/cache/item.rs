//! A stored object: its bytes, and the few fields by which lists and watches choose.
//!
//! Invariant: the bytes begin `{"kind":…,"apiVersion":…,"metadata":{` and hold no resourceVersion; it is written in right
//! there, so that no read and no write has to parse.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kinds::Kind;
use machinery::labels::Labels;
use machinery::schema::Message;
use machinery::{Text, Value, decimal, json, meta, proto};
use store::Revision;

const METADATA: &[u8] = b"\"metadata\":{";

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With kind and apiVersion.
    Whole,
    /// Without them, as items of typed lists are.
    ListItem,
    /// As PartialObjectMetadata.
    Partial,
}

/// One version of a stored object.
#[derive(Debug)]
pub struct Item {
    /// Where it is stored.
    pub key: Arc<str>,
    /// What is stored.
    pub bytes: Bytes,
    /// When it was written.
    pub revision: Revision,
    /// The object's namespace; empty for cluster-wide kinds.
    pub namespace: Text,
    /// The object's name.
    pub name: Text,
    labels: Box<[(Text, Text)]>,
    /// The values of the kind's selectable fields, in their order.
    fields: Box<[Text]>,
    metadata_at: usize,
    /// The object in protobuf, once somebody has asked for it.
    protobuf: OnceLock<Bytes>,
    /// The object as a tree, once admission has looked at it.
    tree: OnceLock<Arc<Value>>,
}

impl Labels for Item {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Item {
    /// Reads the header of stored bytes.
    ///
    /// # Errors
    /// When they are no object as this server stores it.
    pub fn read(kind: &Kind, key: Arc<str>, bytes: Bytes, revision: Revision) -> Result<Self, json::Error> {
        let damaged = |what: &str| json::Error { message: what.to_owned(), offset: 0 };
        let at = find(&bytes, METADATA).ok_or_else(|| damaged("a stored object has no metadata"))? + METADATA.len();
        let end = object_end(&bytes, at - 1).ok_or_else(|| damaged("a stored object's metadata does not end"))?;
        let object = if kind.selectable.is_empty() {
            let mut object = Value::object();
            object.set_at(&["metadata"], json::parse(&bytes[at - 1..end])?);
            object
        } else {
            json::parse(&bytes)?
        };
        Ok(Self::with_header(kind, key, bytes, revision, &object, at))
    }

    /// The header of an object whose bytes are known, before it is stored.
    #[must_use]
    pub fn of(kind: &Kind, bytes: Bytes, object: &Value) -> Option<Self> {
        let at = find(&bytes, METADATA)? + METADATA.len();
        Some(Self::with_header(kind, Arc::default(), bytes, Revision(0), object, at))
    }

    fn with_header(kind: &Kind, key: Arc<str>, bytes: Bytes, revision: Revision, object: &Value, at: usize) -> Self {
        let labels = meta::labels(object).into_iter().flat_map(machinery::Object::iter);
        let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into()))).collect();
        Self {
            key,
            bytes,
            revision,
            namespace: meta::namespace(object).into(),
            name: meta::name(object).into(),
            labels,
            fields: kind.selectable.iter().map(|field| (field.get)(object)).collect(),
            metadata_at: at,
            protobuf: OnceLock::new(),
            tree: OnceLock::new(),
        }
    }

    /// The object as a tree, with its resourceVersion.
    #[must_use]
    pub fn value(&self) -> Value {
        crate::storage::decode(&self.bytes, self.revision)
    }

    /// The same, kept for the next who asks: for kinds of which there are few objects and many questions.
    #[must_use]
    pub fn tree(&self) -> Arc<Value> {
        self.tree.get_or_init(|| Arc::new(self.value())).clone()
    }

    /// The object as of `revision` in protobuf, without an envelope.
    #[must_use]
    pub fn protobuf(&self, message: &Message, revision: Revision) -> Bytes {
        let encode = || proto::encode_bare(message, &crate::storage::decode(&self.bytes, revision)).into();
        if revision == self.revision { self.protobuf.get_or_init(encode).clone() } else { encode() }
    }

    /// The value of a selectable field by its place in the kind's list.
    #[must_use]
    pub fn field(&self, at: usize) -> &str {
        self.fields.get(at).map_or("", Text::as_str)
    }

    /// Writes the object as of `revision` (its own, or that of its deletion).
    pub fn write(&self, form: Form, revision: Revision, out: &mut Vec<u8>) {
        write(&self.bytes, self.metadata_at, form, revision, out);
    }
}

/// A stored object as of `revision` and a line end; `None` when the bytes are no object as this server stores it.
#[must_use]
pub fn written(bytes: &[u8], form: Form, revision: Revision) -> Option<Vec<u8>> {
    let at = find(bytes, METADATA)? + METADATA.len();
    let mut out = Vec::with_capacity(bytes.len() + 96);
    write(bytes, at, form, revision, &mut out);
    out.push(b'\n');
    Some(out)
}

/// Writes an object, the members of whose metadata begin at `at`.
fn write(bytes: &[u8], at: usize, form: Form, revision: Revision, out: &mut Vec<u8>) {
    match form {
        Form::Whole => out.extend_from_slice(&bytes[..at]),
        Form::ListItem => {
            out.push(b'{');
            out.extend_from_slice(METADATA);
        }
        Form::Partial => {
            out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#);
            out.extend_from_slice(METADATA);
        }
    }
    write_version(bytes, at, revision, out);
    if form == Form::Partial {
        let end = object_end(bytes, at - 1).unwrap_or(bytes.len());
        out.extend_from_slice(&bytes[at..end]);
        out.push(b'}');
    } else {
        out.extend_from_slice(&bytes[at..]);
    }
}

/// The resourceVersion as the first member of metadata, which begins at `at`.
fn write_version(bytes: &[u8], at: usize, revision: Revision, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(decimal(revision.0, &mut [0; 20]).as_bytes());
    out.push(b'"');
    if bytes.get(at) != Some(&b'}') {
        out.push(b',');
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Where the JSON object that opens at `start` ends (the index after its brace).
fn object_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (index, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' if !in_text => depth += 1,
            b'}' if !in_text => {
                depth -= 1;
                if depth == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let stored = br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"n","labels":{"x":"}\""}},"data":{"k":"v"}}"#;
        let kind = kinds::lookup("", "v1", "configmaps").unwrap();
        let item = Item::read(kind, "k".into(), Bytes::from_static(stored), Revision(7)).unwrap();
        assert_eq!(item.label("x"), Some("}\""));
        let show = |form| {
            let mut out = Vec::new();
            item.write(form, Revision(9), &mut out);
            String::from_utf8(out).unwrap()
        };
        expect_test::expect![[r#"
            {"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"9","name":"a","namespace":"n","labels":{"x":"}\""}},"data":{"k":"v"}}
            {"metadata":{"resourceVersion":"9","name":"a","namespace":"n","labels":{"x":"}\""}},"data":{"k":"v"}}
            {"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"9","name":"a","namespace":"n","labels":{"x":"}\""}}}"#]]
        .assert_eq(&[Form::Whole, Form::ListItem, Form::Partial].map(show).join("\n"));
    }
}
