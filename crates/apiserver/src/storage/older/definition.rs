//! A definition of custom resources in the older form, which tells once what all its versions share.

use machinery::{Value, value};

/// The parts that a definition tells once when all its versions have the same: their names in a version, then at the top.
const COMMON: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// Takes a field out; none if it says nothing.
pub fn take(object: &mut Value, field: &str) -> Option<Value> {
    object.remove_at(&[field]).filter(|value| !value.is_null())
}

fn versions(spec: &mut Value) -> &mut [Value] {
    spec.get_mut("versions").and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// From the older form to that of v1.
pub fn serve(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").filter(|spec| spec.as_object().is_some()) else { return };
    let first = take(spec, "version").filter(|name| name.as_str() != Some(""));
    if let Some(name) = first.filter(|_| spec.items_at(&["versions"]).is_empty()) {
        spec.set_at(&["versions"], value!([{"name": name, "served": true, "storage": true}]));
    }
    for (own, top) in COMMON {
        let Some(part) = take(spec, top) else { continue };
        versions(spec).iter_mut().for_each(|version| version.set_at(&[own], part.clone()));
    }
    versions(spec).iter_mut().for_each(|version| rename_paths(version, "JSONPath", "jsonPath"));
    // What v1beta1 does not say is true there and false in v1.
    if spec.get("preserveUnknownFields").is_none_or(Value::is_null) {
        spec.set_at(&["preserveUnknownFields"], true);
    }
    let Some(conversion) = spec.get_mut("conversion").filter(|conversion| !conversion.is_null()) else { return };
    for (old, new) in
        [("webhookClientConfig", "clientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
    {
        if let Some(part) = take(conversion, old) {
            conversion.set_at(&["webhook", new], part);
        }
    }
}

/// From the form of v1 to the older one.
pub fn store(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").filter(|spec| spec.as_object().is_some()) else { return };
    versions(spec).iter_mut().for_each(|version| rename_paths(version, "jsonPath", "JSONPath"));
    for (own, top) in COMMON {
        let all = versions(spec);
        if all.windows(2).any(|pair| pair[0].get(own) != pair[1].get(own)) {
            continue;
        }
        let parts: Vec<Value> = all.iter_mut().filter_map(|version| take(version, own)).collect();
        if let Some(part) = parts.into_iter().next() {
            spec.set_at(&[top], part);
        }
    }
    if let Some(name) = versions(spec).first().and_then(|version| version.get("name")).cloned() {
        spec.set_at(&["version"], name);
    }
    let preserves = spec.bool_at(&["preserveUnknownFields"]).unwrap_or_default();
    spec.set_at(&["preserveUnknownFields"], preserves);
    if let Some(mut webhook) = spec.get_mut("conversion").and_then(|conversion| take(conversion, "webhook")) {
        for (new, old) in
            [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
        {
            if let Some(part) = take(&mut webhook, new) {
                spec.set_at(&["conversion", old], part);
            }
        }
    }
}

/// The path of a printer column has another name in each version.
fn rename_paths(version: &mut Value, from: &str, to: &str) {
    let columns = version.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut);
    for column in columns.into_iter().flatten() {
        if let Some(path) = take(column, from) {
            column.set_at(&[to], path);
        }
    }
}

#[cfg(test)]
mod tests {
    use machinery::{json, meta};

    use super::super::{DEFINITION, to_served, to_stored};
    use super::*;

    fn definition(spec: Value) -> Value {
        value!({"kind": DEFINITION, "apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": "as.b.c"}, "spec": spec,
            "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]}})
    }

    fn version(name: &str, more: &Value) -> Value {
        let mut version = value!({"name": name, "served": true, "storage": (name == "v1")});
        for (name, value) in more.as_object().unwrap().iter() {
            version.set_at(&[name], value.clone());
        }
        version
    }

    #[test]
    fn definitions_go_there_and_back() {
        let schema = value!({"schema": {"openAPIV3Schema": {"type": "object"}}});
        let columns = value!({"schema": {"openAPIV3Schema": {"type": "object"}},
            "additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": ".a"}]});
        let names = value!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"});
        let table = [
            value!({"group": "b.c", "names": (names.clone()), "scope": "Cluster", "versions": [(version("v1", &columns))],
                "conversion": {"strategy": "None"}}),
            value!({"group": "b.c", "names": names, "scope": "Cluster",
                "versions": [(version("v1", &columns)), (version("v2", &schema))], "conversion": {"strategy": "Webhook",
                "webhook": {"clientConfig": {"url": "https://h"}, "conversionReviewVersions": ["v1"]}}}),
        ];
        let kind = kinds::by_kind("apiextensions.k8s.io", "v1", DEFINITION).unwrap();
        let shown = table.map(|spec| {
            let mut object = definition(spec);
            crate::codec::settle(kind, &mut object);
            let before = json::to_string(&object);
            to_stored(&mut object);
            let stored = json::to_string(object.get("spec").unwrap());
            assert_eq!(meta::api_version(&object), "apiextensions.k8s.io/v1beta1");
            to_served(&mut object);
            crate::codec::settle(kind, &mut object);
            assert_eq!(json::to_string(&object), before);
            stored
        });
        expect_test::expect![[r#"
            {"group":"b.c","version":"v1","names":{"plural":"as","singular":"a","kind":"A","listKind":"AList"},"scope":"Cluster","validation":{"openAPIV3Schema":{"type":"object"}},"versions":[{"name":"v1","served":true,"storage":true}],"additionalPrinterColumns":[{"name":"a","type":"string","JSONPath":".a"}],"conversion":{"strategy":"None"},"preserveUnknownFields":false}
            {"group":"b.c","version":"v1","names":{"plural":"as","singular":"a","kind":"A","listKind":"AList"},"scope":"Cluster","validation":{"openAPIV3Schema":{"type":"object"}},"versions":[{"name":"v1","served":true,"storage":true,"additionalPrinterColumns":[{"name":"a","type":"string","JSONPath":".a"}]},{"name":"v2","served":true,"storage":false}],"conversion":{"strategy":"Webhook","webhookClientConfig":{"url":"https://h"},"conversionReviewVersions":["v1"]},"preserveUnknownFields":false}"#]].assert_eq(&shown.join("\n"));
    }

    #[test]
    fn what_v1beta1_leaves_out() {
        let mut old = value!({"kind": DEFINITION, "apiVersion": "apiextensions.k8s.io/v1beta1", "spec": {"version": "v1", "names": {},
            "validation": {"openAPIV3Schema": {"type": "object"}}, "additionalPrinterColumns": [{"name": "a", "JSONPath": ".a"}]}});
        to_served(&mut old);
        expect_test::expect![[r#"{"names":{},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}},"additionalPrinterColumns":[{"name":"a","jsonPath":".a"}]}],"preserveUnknownFields":true}"#]].assert_eq(&json::to_string(old.get("spec").unwrap()));
    }
}
