//! Values in an etcd that stock servers share: there protobuf or JSON as they write it, here our JSON.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use machinery::schema::{self, FieldValidation, Message};
use machinery::{Value, json, meta, proto};
use store::Translation;

use super::older;
use crate::codec;

/// The form in which objects are stored; whatever it is, both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`.
    Json,
    /// `application/vnd.kubernetes.protobuf`; custom resources are JSON all the same.
    Protobuf,
}

const ALL: [MediaType; 2] = [MediaType::Json, MediaType::Protobuf];

/// A media type that is none of [`MediaType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--storage-media-type {0:?} invalid, allowed values: {json}, {protobuf}", json = MediaType::Json, protobuf = MediaType::Protobuf)]
pub struct UnknownMediaType(String);

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        })
    }
}

impl FromStr for MediaType {
    type Err = UnknownMediaType;

    fn from_str(text: &str) -> Result<Self, UnknownMediaType> {
        ALL.into_iter().find(|known| known.to_string() == text).ok_or_else(|| UnknownMediaType(text.to_owned()))
    }
}

impl Translation for MediaType {
    fn ours(&self, key: &str, value: Bytes) -> Bytes {
        if is_ours(&value) {
            return value;
        }
        match read(&value) {
            Ok(Some(object)) => super::encode(&object),
            // Of no kind of ours: nobody here reads it.
            Ok(None) => value,
            Err(error) => {
                tracing::error!(key, error, "what is stored cannot be read");
                value
            }
        }
    }

    fn theirs(&self, value: Bytes) -> Bytes {
        match self {
            Self::Json if older::may_be_of(&value) => to_older_json(&value).map_or(value, Bytes::from),
            Self::Json => value,
            Self::Protobuf => to_protobuf(&value).map_or(value, Bytes::from),
        }
    }
}

/// Whether this server wrote `value`: a stock one ends its JSON with a line feed.
fn is_ours(value: &[u8]) -> bool {
    value.starts_with(b"{\"kind\":") && value.ends_with(b"}")
}

/// The object in `value` in the form that the table gives it; none if its kind is unknown.
fn read(value: &[u8]) -> Result<Option<Value>, String> {
    let mut object = if proto::is_protobuf(value) {
        let envelope = proto::open(value).map_err(|error| error.to_string())?;
        let Some(message) = message_of(&envelope.api_version, &envelope.kind) else { return Ok(None) };
        proto::decode(message, &envelope).map_err(|error| error.to_string())?
    } else {
        let mut object = json::parse(value).map_err(|error| error.to_string())?;
        let Some(message) = message_of(meta::api_version(&object), meta::kind(&object)) else { return Ok(None) };
        schema::decode(message, &mut object, FieldValidation::Ignore).map_err(|error| error.to_string())?;
        object
    };
    older::to_served(&mut object);
    complete(&mut object);
    Ok(Some(object))
}

/// Fills in what was left out, by an older server or because protobuf has no place for it, and turns an object of a
/// version that is stored in another one's form into that form.
fn complete(object: &mut Value) {
    let (group, version) = split(meta::api_version(object));
    let Some(kind) = kinds::by_kind(group, version, meta::kind(object)) else { return };
    codec::default(kind, object);
    codec::settle(kind, object);
    if let Some(conversion) = &kind.stored_as {
        (conversion.to_stored)(object);
        meta::set_type(object, &conversion.kind.api_version(), conversion.kind.kind);
        codec::settle(conversion.kind, object);
    }
}

/// The older form as a stock server writes it: its line feed tells that it is none of ours.
fn to_older_json(value: &[u8]) -> Option<Vec<u8>> {
    let mut object = json::parse(value).ok()?;
    older::to_stored(&mut object);
    let mut bytes = json::to_vec(&object);
    bytes.push(b'\n');
    Some(bytes)
}

/// `None` for what has no protobuf form: custom resources, and what is no object.
fn to_protobuf(value: &[u8]) -> Option<Vec<u8>> {
    let mut object = json::parse(value).ok()?;
    older::to_stored(&mut object);
    let message = message_of(meta::api_version(&object), meta::kind(&object))?;
    Some(proto::encode(message, &object))
}

fn message_of(api_version: &str, kind: &str) -> Option<&'static Message> {
    let (group, version) = split(api_version);
    older::message(group, version, kind).or_else(|| schema::of_kind(group, version, kind))
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stock server stores of a small ConfigMap in protobuf.
    const STOCK: &[u8] = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x23\x0a\x18\x0a\x01a\x12\x00\x1a\x02ns\x22\x00\x2a\x01u\x32\x00\x38\x00\x42\x04\x08\x07\x10\x00\x12\x07\x0a\x01k\x12\x02vw\x1a\x00\x22\x00";
    const OURS: &str = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","uid":"u","creationTimestamp":"1970-01-01T00:00:07Z"},"data":{"k":"vw"}}"#;

    #[test]
    fn values_of_stock_servers_are_read() {
        let json = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","uid":"u","creationTimestamp":"1970-01-01T00:00:07Z"},"data":{"k":"vw"}}
"#;
        for stored in [STOCK, json.as_bytes(), OURS.as_bytes()] {
            let read = MediaType::Json.ours("/registry/configmaps/ns/a", Bytes::copy_from_slice(stored));
            assert_eq!(read, OURS);
        }
    }

    #[test]
    fn the_media_type_decides_what_is_written() {
        let written = MediaType::Protobuf.theirs(Bytes::from_static(OURS.as_bytes()));
        assert!(written.starts_with(b"k8s\0"));
        assert_eq!(MediaType::Json.ours("k", written), OURS);
        assert_eq!(MediaType::Json.theirs(Bytes::from_static(OURS.as_bytes())), OURS);
        let custom = r#"{"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"a"}}"#;
        assert_eq!(MediaType::Protobuf.theirs(Bytes::from_static(custom.as_bytes())), custom);
    }

    #[test]
    fn other_versions_take_the_stored_form() {
        let old = br#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1","metadata":{"name":"a","namespace":"ns"},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d","apiVersion":"apps/v1"},"maxReplicas":3,"targetCPUUtilizationPercentage":50}}
"#;
        let read = json::parse(&MediaType::Json.ours("k", Bytes::from_static(old))).unwrap();
        assert_eq!(meta::api_version(&read), "autoscaling/v2");
        assert_eq!(read.items_at(&["spec", "metrics"]).len(), 1);
    }

    #[test]
    fn some_kinds_are_stored_in_an_older_form() {
        let binding = concat!(
            r#"{"kind":"MutatingAdmissionPolicyBinding","apiVersion":"admissionregistration.k8s.io/v1","#,
            r#""metadata":{"name":"a","creationTimestamp":"1970-01-01T00:00:07Z"},"spec":{"policyName":"p"}}"#
        );
        let definition = concat!(
            r#"{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","#,
            r#""metadata":{"name":"as.b.c","creationTimestamp":"1970-01-01T00:00:07Z"},"#,
            r#""spec":{"group":"b.c","names":{"plural":"as","singular":"a","kind":"A","listKind":"AList"},"scope":"Cluster","#,
            r#""versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}},"#,
            r#""additionalPrinterColumns":[{"name":"a","type":"string","jsonPath":".a"}]}],"conversion":{"strategy":"None"}},"#,
            r#""status":{"conditions":null,"acceptedNames":{"plural":"","kind":""},"storedVersions":["v1"]}}"#
        );
        for (media, ours) in ALL.into_iter().flat_map(|media| [(media, binding), (media, definition)]) {
            let theirs = media.theirs(Bytes::from_static(ours.as_bytes()));
            assert!(theirs.windows(7).any(|part| part == b"v1beta1"), "{media}");
            assert_eq!(media.ours("k", theirs), ours);
        }
    }

    /// What a stock server 1.20 stores of an Ingress.
    const STOCK_INGRESS: &[u8] = b"k8s\0\x0a\x24\x0a\x19networking.k8s.io/v1beta1\x12\x07Ingress\x12\x46\x0a\x17\x0a\x02zz\x12\0\x1a\x02ns\x22\0\x2a\x01u2\08\x01B\x02\x08\x07\x12\x27\x1a\x25\x0a\x03a.b\x12\x1e\x0a\x1c\x0a\x1a\x0a\x02/c\x12\x0d\x0a\x03web\x12\x06\x08\0\x10P\x1a\0\x1a\x05Exact\x1a\x02\x0a\0\x1a\0\x22\0";

    #[test]
    fn what_earlier_servers_stored_is_read() {
        let lease = br#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1beta1","metadata":{"name":"a"},"spec":{"holderIdentity":"h"}}
"#;
        let read = [STOCK_INGRESS, &lease[..]].map(|stored| MediaType::Json.ours("k", Bytes::from_static(stored)));
        expect_test::expect![[r#"
            {"kind":"Ingress","apiVersion":"networking.k8s.io/v1","metadata":{"name":"zz","namespace":"ns","uid":"u","generation":1,"creationTimestamp":"1970-01-01T00:00:07Z"},"spec":{"rules":[{"host":"a.b","http":{"paths":[{"path":"/c","pathType":"Exact","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]},"status":{"loadBalancer":{}}}
            {"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"a"},"spec":{"holderIdentity":"h"}}"#]].assert_eq(&read.map(|read| String::from_utf8(read.to_vec()).unwrap()).join("\n"));
    }

    #[test]
    fn what_is_nobodys_stays() {
        for value in [&b"1234"[..], b"", b"k8s\0\x0a\x0f\x0a\x02v9\x12\x09ConfigMap\x12\x00", b"k8s\0\x0a\x7f"] {
            assert_eq!(MediaType::Protobuf.ours("k", Bytes::copy_from_slice(value)), value);
        }
    }

    #[test]
    fn media_types_have_names() {
        assert_eq!("application/json".parse(), Ok(MediaType::Json));
        assert_eq!(
            "text/html".parse::<MediaType>().unwrap_err().to_string(),
            r#"--storage-media-type "text/html" invalid, allowed values: application/json, application/vnd.kubernetes.protobuf"#
        );
    }

    /// Where upstream keeps what it does not keep under the resource's name.
    const ELSEWHERE: [(&str, &str, &str); 7] = [
        ("", "endpoints", "services/endpoints"),
        ("", "nodes", "minions"),
        ("", "replicationcontrollers", "controllers"),
        ("", "services", "services/specs"),
        ("networking.k8s.io", "ingresses", "ingress"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "apiextensions.k8s.io/customresourcedefinitions"),
        ("apiregistration.k8s.io", "apiservices", "apiregistration.k8s.io/apiservices"),
    ];

    #[test]
    fn objects_are_where_stock_servers_keep_them() {
        for kind in kinds::all().iter().filter(|kind| !kind.storage.is_empty()) {
            let special = ELSEWHERE.iter().find(|(group, plural, _)| (*group, *plural) == (kind.group, kind.plural));
            assert_eq!(kind.storage, special.map_or(kind.plural, |(_, _, place)| place), "{}", kind.kind);
        }
    }
}
