//! Discovery one document at a time: `/api`, `/apis`, `/apis/GROUP`, `/apis/GROUP/VERSION`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kinds::Kind;
use machinery::{Object, Value, value};
use sha2::{Digest, Sha256};

use super::{GroupVersion, group_versions};
use crate::storage::older;

/// `/api`: the versions of the core group, and where the server is.
#[must_use]
pub fn core_versions(server_address: &str) -> Value {
    value!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: every named group.
#[must_use]
pub fn groups() -> Value {
    let mut names: Vec<&str> = group_versions().iter().map(|one| one.group).filter(|name| !name.is_empty()).collect();
    names.dedup();
    let groups: Vec<Value> = names.into_iter().filter_map(description).map(Value::Object).collect();
    value!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`: the versions of a group.
#[must_use]
pub fn group(name: &str) -> Option<Value> {
    let mut object = Object::from_iter([("kind", "APIGroup".into()), ("apiVersion", "v1".into())]);
    for (key, value) in description(name)? {
        object.insert(key, value);
    }
    Some(Value::Object(object))
}

fn description(name: &str) -> Option<Object> {
    let versions: Vec<Value> = group_versions()
        .iter()
        .filter(|one| !name.is_empty() && one.group == name)
        .map(|one| value!({"groupVersion": (one.api_version()), "version": (one.version)}))
        .collect();
    let preferred = versions.first()?.clone();
    let name = Value::from(name);
    Some(Object::from_iter([("name", name), ("versions", versions.into()), ("preferredVersion", preferred)]))
}

/// `/api/v1` and `/apis/GROUP/VERSION`: the resources of a version.
#[must_use]
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let known = group_versions().into_iter().find(|one| one.group == group && one.version == version)?;
    let resources: Vec<Value> = known.kinds.iter().flat_map(|kind| with_subresources(kind)).collect();
    let mut list = Object::from_iter([("kind", Value::from("APIResourceList"))]);
    // The core group's document has always come without an apiVersion.
    if !group.is_empty() {
        list.insert("apiVersion", "v1");
    }
    list.insert("groupVersion", GroupVersion::api_version(&known));
    list.insert("resources", resources);
    Some(Value::Object(list))
}

fn with_subresources(kind: &'static Kind) -> Vec<Value> {
    let mut entry = entry(kind.plural.to_owned(), kind.singular(), kind.namespaced, ("", "", kind.kind), kind.verbs);
    for (name, texts) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
        if !texts.is_empty() {
            entry.insert(name, texts.to_vec());
        }
    }
    if !kind.storage.is_empty() {
        entry.insert("storageVersionHash", storage_version_hash(kind));
    }
    let mut subresources: Vec<_> = kind.subresources.iter().collect();
    subresources.sort_by_key(|sub| sub.name);
    let below = subresources.into_iter().map(|sub| {
        let body = if sub.body.2.is_empty() { ("", "", kind.kind) } else { sub.body };
        self::entry(format!("{}/{}", kind.plural, sub.name), String::new(), kind.namespaced, body, sub.verbs)
    });
    std::iter::once(entry).chain(below).map(Value::Object).collect()
}

/// One resource or subresource; `body` is its group, version (both empty if they are the list's own) and kind.
fn entry(name: String, singular: String, namespaced: bool, body: (&str, &str, &str), verbs: &[&str]) -> Object {
    let (group, version, kind) = body;
    let mut entry = Object::from_iter([
        ("name", Value::from(name)),
        ("singularName", singular.into()),
        ("namespaced", namespaced.into()),
    ]);
    if !group.is_empty() {
        entry.insert("group", group);
        entry.insert("version", version);
    }
    entry.insert("kind", kind);
    entry.insert("verbs", verbs.to_vec());
    entry
}

/// Changes with the kind in which objects are stored: eight bytes of a digest of its name, in base64.
fn storage_version_hash(kind: &Kind) -> String {
    let stored = kind.stored_as.map_or(kind, |conversion| conversion.kind);
    let version = if older::is_used_for(stored) { older::VERSION } else { stored.version };
    let digest = Sha256::digest(format!("{}/{version}/{}", stored.group, stored.kind));
    BASE64_STANDARD.encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_maps() {
        let list = resources("", "v1").unwrap();
        let named =
            |name: &str| list.items_at(&["resources"]).iter().find(|r| r.str_at(&["name"]) == Some(name)).cloned();
        expect_test::expect![[r#"{"name":"configmaps","singularName":"configmap","namespaced":true,"kind":"ConfigMap","verbs":["create","delete","deletecollection","get","list","patch","update","watch"],"shortNames":["cm"],"storageVersionHash":"qFsyl6wFWjQ="}"#]]
        .assert_eq(&serde_json::to_string(&named("configmaps").unwrap()).unwrap());
        assert_eq!(list.get("apiVersion"), None);
    }

    #[test]
    fn what_is_not_there() {
        assert_eq!(resources("apps", "v9"), None);
        assert_eq!(group("nope"), None);
        assert_eq!(group(""), None);
    }
}
