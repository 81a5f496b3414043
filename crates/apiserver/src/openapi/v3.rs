//! OpenAPI v3: an index of documents, a document a group and version.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kinds::Kind;
use machinery::{Object, Value, json, value};
use sha2::{Digest, Sha512};

use super::{Form, descriptions, paths, schemas::Schemas};

/// What each document hashes to, by its place.
static HASHES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let documents = places().into_iter().filter_map(|place| document(&place).map(|document| (place, document)));
    documents.map(|(place, document)| (place, hex::encode_upper(Sha512::digest(json::to_vec(&document))))).collect()
});

/// `/openapi/v3`: where each document is. The hash in its address changes with the document, so that clients may keep
/// what they have.
#[must_use]
pub fn index() -> Value {
    let address = |place: &str, hash: &str| value!({"serverRelativeURL": (format!("/openapi/v3/{place}?hash={hash}"))});
    let documents: Object = HASHES.iter().map(|(place, hash)| (place.as_str(), address(place, hash))).collect();
    value!({"paths": documents})
}

/// What the document at `place` hashes to; nothing when there is none.
#[must_use]
pub fn hash(place: &str) -> Option<&'static str> {
    HASHES.get(place).map(String::as_str)
}

/// `api/v1`, `apis/GROUP/VERSION`, sorted.
fn places() -> Vec<String> {
    let mut places: Vec<String> = kinds::all().iter().map(|kind| place(kind)).collect();
    places.sort();
    places.dedup();
    places
}

fn place(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

/// `/openapi/v3/PLACE`: the document of a group and version.
#[must_use]
pub fn document(wanted: &str) -> Option<Value> {
    let kinds: Vec<&Kind> = kinds::all().iter().copied().filter(|kind| place(kind) == wanted).collect();
    if kinds.is_empty() {
        return None;
    }
    let descriptions = descriptions::all();
    let mut schemas = Schemas::new(Form::V3, &descriptions);
    let mut all_paths = Object::new();
    for kind in kinds {
        add_kind(&mut schemas, kind);
        for (path, operations) in paths::of_kind(Form::V3, kind) {
            all_paths.insert(path, operations);
        }
    }
    all_paths.sort();
    Some(value!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36"},
        "paths": all_paths,
        "components": {"schemas": (schemas.finish())},
    }))
}

/// Adds what the paths of a kind speak of.
pub(super) fn add_kind(schemas: &mut Schemas<'_>, kind: &Kind) {
    let list = kind.list_kind();
    for name in [kind.kind, &list] {
        if let Some(message) = machinery::schema::of_kind(kind.group, kind.version, name) {
            schemas.add(message, &[(kind.group, kind.version, name)]);
        }
    }
    for sub in kind.subresources.iter().filter(|sub| !sub.body.2.is_empty()) {
        let (group, version, name) = sub.body;
        let (group, version) = if version.is_empty() { (kind.group, kind.version) } else { (group, version) };
        if let Some(message) = machinery::schema::of_kind(group, version, name) {
            schemas.add(message, &[(group, version, name)]);
        }
    }
    for name in ["DeleteOptions", "Status"] {
        if let Some(message) = machinery::schema::of_kind(kind.group, kind.version, name) {
            schemas.add(message, &[("", "v1", name)]);
        }
    }
    schemas.add_as(paths::PATCH_SCHEMA, value!({"type": "object"}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_core_document_leads_somewhere() {
        let document = document("api/v1").unwrap();
        let text = String::from_utf8(json::to_vec(&document)).unwrap();
        let schemas = document.at(&["components", "schemas"]).and_then(Value::as_object).unwrap();
        let marker = "\"#/components/schemas/";
        for (at, _) in text.match_indices(marker) {
            let rest = &text[at + marker.len()..];
            let name = &rest[..rest.find('"').unwrap()];
            assert!(schemas.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_field_is_described_and_typed() {
        let document = document("api/v1").unwrap();
        let schema = |name: &str| document.at(&["components", "schemas", name]).unwrap();
        let data = schema("io.k8s.api.core.v1.ConfigMap").at(&["properties", "data"]).unwrap();
        assert!(data.str_at(&["description"]).is_some_and(|text| !text.is_empty()));
        assert_eq!(data.get("additionalProperties"), Some(&value!({"type": "string", "default": ""})));
        let kinds = schema("io.k8s.api.core.v1.ConfigMap").items_at(&["x-kubernetes-group-version-kind"]);
        assert_eq!(kinds, [value!({"group": "", "kind": "ConfigMap", "version": "v1"})]);
    }

    #[test]
    fn a_patch_says_that_it_takes_field_validation() {
        let document = document("api/v1").unwrap();
        let path = "/api/v1/namespaces/{namespace}/configmaps/{name}";
        let parameters = document.at(&["paths", path, "patch", "parameters"]).and_then(Value::as_array).unwrap();
        assert!(parameters.iter().any(|p| p.str_at(&["name"]) == Some("fieldValidation")));
    }
}
