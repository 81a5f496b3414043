//! Discovery in one answer per prefix: `APIGroupDiscoveryList` (KEP-3352).

use kinds::{Kind, Subresource};
use machinery::{Object, Value, value};

use super::{GroupVersion, group_versions};

/// The groups below `/api` (`core`) or `/apis`, as `apidiscovery.k8s.io/v2`.
#[must_use]
pub fn aggregated(core: bool) -> Value {
    let mut items: Vec<(&str, Vec<Value>)> = Vec::new();
    for one in group_versions().iter().filter(|one| one.group.is_empty() == core) {
        match items.last_mut().filter(|(group, _)| *group == one.group) {
            Some((_, versions)) => versions.push(version_entry(one)),
            None => items.push((one.group, vec![version_entry(one)])),
        }
    }
    let items: Vec<Value> = items
        .into_iter()
        .map(|(group, versions)| {
            let metadata = if group.is_empty() { Value::object() } else { value!({"name": group}) };
            value!({"metadata": metadata, "versions": versions})
        })
        .collect();
    value!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn version_entry(one: &GroupVersion) -> Value {
    let resources: Vec<Value> = one.kinds.iter().map(|kind| resource(kind)).collect();
    value!({"version": (one.version), "resources": resources, "freshness": "Current"})
}

fn resource(kind: &Kind) -> Value {
    let mut entry = Object::from_iter([
        ("resource", Value::from(kind.plural)),
        ("responseKind", response_kind(("", "", kind.kind))),
        ("scope", if kind.namespaced { "Namespaced" } else { "Cluster" }.into()),
        ("singularResource", kind.singular().into()),
        ("verbs", kind.verbs.to_vec().into()),
    ]);
    for (name, texts) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
        if !texts.is_empty() {
            entry.insert(name, texts.to_vec());
        }
    }
    if !kind.subresources.is_empty() {
        let mut sorted: Vec<&Subresource> = kind.subresources.iter().collect();
        sorted.sort_by_key(|sub| sub.name);
        entry.insert("subresources", sorted.into_iter().map(|sub| subresource(kind, sub)).collect::<Vec<Value>>());
    }
    Value::Object(entry)
}

fn subresource(kind: &Kind, sub: &Subresource) -> Value {
    let body = if sub.body.2.is_empty() { ("", "", kind.kind) } else { sub.body };
    value!({"subresource": (sub.name), "responseKind": (response_kind(body)), "verbs": (sub.verbs.to_vec())})
}

/// The core group's kinds go without their version.
fn response_kind((group, version, kind): (&str, &str, &str)) -> Value {
    let version = if group.is_empty() { "" } else { version };
    value!({"group": group, "version": version, "kind": kind})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_has_no_name_and_others_have() {
        let core = aggregated(true);
        assert_eq!(core.items_at(&["items"]).len(), 1);
        assert_eq!(core.items_at(&["items"])[0].get("metadata"), Some(&Value::object()));
        let named = aggregated(false);
        assert!(named.items_at(&["items"]).iter().all(|group| group.str_at(&["metadata", "name"]).is_some()));
    }
}
