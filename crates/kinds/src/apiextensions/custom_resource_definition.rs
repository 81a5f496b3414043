//! CustomResourceDefinition: a kind that a user adds to the API.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, value};

use super::{approval, names, spec};
use crate::kind::{BASE, Context, Generation, Kind, STATUS, Subresource, Writes, keep, keep_spec};
use crate::pod_spec::default::set_in;

const DEFAULT_PORT: i64 = 443;

/// The kind.
pub static KIND: Kind = Kind {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    namespaced: false,
    storage: "apiextensions.k8s.io/customresourcedefinitions",
    schema: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    subresources: &[Subresource { prepare: prepare_status, validate: |new, _| check_status(new), ..STATUS }],
    writes: Writes { create_on_update: false, unconditional: false },
    generation: Generation::Of(&["spec"]),
    default,
    prepare_create: |new, _| store_version(new),
    prepare_update: |new, _, _| store_version(new),
    validate: |definition| check(definition, None),
    validate_update: |new, old| check(new, Some(old)),
    ..BASE
};

fn default(definition: &mut Value) {
    if definition.get("spec").is_none() {
        return;
    }
    let kind = definition.str_at(&["spec", "names", "kind"]).unwrap_or_default().to_owned();
    if !kind.is_empty() {
        set_in(definition, &["spec", "names"], "singular", || kind.to_lowercase().into());
        set_in(definition, &["spec", "names"], "listKind", || format!("{kind}List").into());
    }
    set_in(definition, &["spec"], "conversion", || value!({"strategy": "None"}));
    let service = ["spec", "conversion", "webhook", "clientConfig", "service"];
    set_in(definition, &service, "port", || DEFAULT_PORT.into());
}

/// Remembers the version in which objects are stored from now on.
fn store_version(definition: &mut Value) {
    let mut versions = definition.items_at(&["spec", "versions"]).iter();
    let stored = versions.find(|version| version.bool_at(&["storage"]) == Some(true));
    let Some(name) = stored.and_then(|version| version.get("name")).cloned() else { return };
    let mut all = definition.items_at(&["status", "storedVersions"]).to_vec();
    if !all.contains(&name) {
        all.push(name);
        definition.set_at(&["status", "storedVersions"], all);
    }
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_spec(new, old);
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        keep(new, old, &["metadata", field]);
    }
}

fn check(definition: &Value, old: Option<&Value>) -> Errors {
    let mut errors: Errors = if old.is_none() { check_name(definition).into_iter().collect() } else { Errors::new() };
    errors.extend(spec::check(definition, old));
    errors.extend(check_status(definition));
    errors.extend(check_stored(definition, &Path::new("status.storedVersions")));
    errors.extend(approval::check(definition, old));
    let preserves = |definition: &Value| definition.bool_at(&["spec", "preserveUnknownFields"]) == Some(true);
    if preserves(definition) && !old.is_some_and(preserves) {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(&Path::new("spec.preserveUnknownFields"), true, detail));
    }
    errors
}

fn check_name(definition: &Value) -> Option<Error> {
    let part = |path: &[&str]| definition.str_at(path).unwrap_or_default();
    let wanted = format!("{}.{}", part(&["spec", "names", "plural"]), part(&["spec", "group"]));
    let name = meta::name(definition);
    let detail = "must be spec.names.plural+\".\"+spec.group";
    (!name.is_empty() && name != wanted).then(|| Error::invalid(&Path::new("metadata.name"), name, detail))
}

fn check_status(definition: &Value) -> Errors {
    let accepted = definition.at(&["status", "acceptedNames"]).unwrap_or(&Value::Null);
    names::check(accepted, &Path::new("status.acceptedNames"))
}

fn check_stored(definition: &Value, path: &Path) -> Errors {
    let stored = definition.items_at(&["status", "storedVersions"]);
    if stored.is_empty() {
        return vec![Error::invalid(path, Value::Null, "must have at least one stored version")];
    }
    let versions = definition.items_at(&["spec", "versions"]);
    let mut errors = Errors::new();
    for version in versions.iter().filter(|version| version.bool_at(&["storage"]) == Some(true)) {
        let name = version.str_at(&["name"]).unwrap_or_default();
        if !stored.iter().any(|one| one.as_str() == Some(name)) {
            let detail = format!("must have the storage version {name}");
            errors.push(Error::invalid(path, stored.to_vec(), detail));
        }
    }
    for (i, name) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !versions.iter().any(|version| version.str_at(&["name"]) == Some(name)) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(Error::invalid(&path.index(i), name, detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    fn definition(versions: Value) -> Value {
        let mut definition = value!({"metadata": {"name": "widgets.example.com"}, "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": versions}});
        default(&mut definition);
        store_version(&mut definition);
        definition
    }

    #[test]
    fn a_definition() {
        let schema = value!({"openAPIV3Schema": {"type": "object"}});
        let good = definition(value!([{"name": "v1", "served": true, "storage": true, "schema": (schema.clone())}]));
        assert_eq!(check(&good, None), []);
        assert_eq!(good.str_at(&["spec", "names", "listKind"]), Some("WidgetList"));
        let mut other = definition(value!([{"name": "v2", "served": true, "storage": true, "schema": schema}]));
        other.set_at(&["status", "storedVersions"], value!(["v1", "v2"]));
        expect_test::expect![[r#"status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions"#]]
        .assert_eq(&field::aggregate(&check(&other, Some(&good))));
    }

    #[test]
    fn what_is_missing() {
        let mut bad = value!({"metadata": {"name": "a.b"}, "spec": {"names": {"kind": "Widget"}, "versions": []}});
        default(&mut bad);
        expect_test::expect![[r#"[metadata.name: Invalid value: "a.b": must be spec.names.plural+"."+spec.group, spec.group: Required value, spec.scope: Required value, spec.versions: Invalid value: []: must have exactly one version marked as storage version, spec.names.plural: Required value, status.storedVersions: Invalid value: null: must have at least one stored version]"#]]
        .assert_eq(&field::aggregate(&check(&bad, None)));
    }
}
