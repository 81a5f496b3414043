//! Metadata: names, labels, annotations, owners, finalizers, and what an update may not change.

use machinery::field::{Error, Errors, Path, quote};
use machinery::{Object, Value, meta, names};

use crate::kind::NameRule;

/// All annotations together may have this many bytes.
const TOTAL_ANNOTATION_SIZE_LIMIT_BYTES: usize = 256 * 1024;
const FIELD_MANAGER_VERSIONS: [&str; 2] = ["Apply", "Update"];

/// What is wrong with the metadata of a new object.
#[must_use]
pub fn object_meta(object: &Value, namespaced: bool, rule: NameRule, path: &Path) -> Errors {
    let mut errors = naming(object, rule, path);
    let namespace = meta::namespace(object);
    match (namespaced, namespace) {
        (true, "") => errors.push(Error::required(&path.child("namespace"), "")),
        (true, _) => {
            let problems = names::is_dns1123_label(namespace);
            errors.extend(problems.into_iter().map(|m| Error::invalid(&path.child("namespace"), namespace, m)));
        }
        (false, "") => {}
        (false, _) => errors.push(Error::forbidden(&path.child("namespace"), "not allowed on this type")),
    }
    if meta::generation(object) < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(Error::invalid(&path.child("generation"), meta::generation(object), detail));
    }
    errors.extend(labels(meta::labels(object), &path.child("labels")));
    errors.extend(annotations(meta::annotations(object), &path.child("annotations")));
    errors.extend(owner_references(meta::owner_references(object), &path.child("ownerReferences")));
    errors.extend(finalizers(object, &path.child("finalizers")));
    errors.extend(managed_fields(object.items_at(&["metadata", "managedFields"]), &path.child("managedFields")));
    errors
}

/// What is wrong with a name as a segment of a URL path: the last check of a creation.
#[must_use]
pub fn path_segment(object: &Value) -> Errors {
    let problems = NameRule::PathSegment.name(meta::name(object));
    problems.into_iter().map(|m| Error::invalid(&Path::new("metadata.name"), meta::name(object), m)).collect()
}

/// What is wrong with the metadata of a changed object.
#[must_use]
pub fn object_meta_update(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if meta::is_deleting(old) {
        errors.extend(no_new_finalizers(new, old, &path.child("finalizers")));
    }
    if meta::resource_version(new).is_empty() {
        let detail = "must be specified for an update";
        errors.push(Error::invalid(&path.child("resourceVersion"), "", detail));
    }
    if meta::generation(new) < meta::generation(old) {
        let detail = "must not be decremented";
        errors.push(Error::invalid(&path.child("generation"), meta::generation(new), detail));
    }
    let fields = ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in fields {
        let [new, old] = [new, old].map(|object| object.at(&["metadata", field]));
        errors.extend(crate::strategy::immutable(new, old, &path.child(field)));
    }
    errors.extend(labels(meta::labels(new), &path.child("labels")));
    errors.extend(annotations(meta::annotations(new), &path.child("annotations")));
    errors.extend(owner_references(meta::owner_references(new), &path.child("ownerReferences")));
    errors.extend(managed_fields(new.items_at(&["metadata", "managedFields"]), &path.child("managedFields")));
    errors
}

/// What is wrong with labels.
#[must_use]
pub fn labels(labels: Option<&Object>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in sorted(labels) {
        errors.extend(label_name(key, path));
        let value = value.as_str().unwrap_or_default();
        errors.extend(names::is_label_value(value).into_iter().map(|m| Error::invalid(path, value, m)));
    }
    errors
}

/// What is wrong with a label's key.
#[must_use]
pub fn label_name(key: &str, path: &Path) -> Errors {
    names::is_qualified_name(key).into_iter().map(|m| Error::invalid(path, key, m)).collect()
}

/// What is wrong with annotations.
#[must_use]
pub fn annotations(annotations: Option<&Object>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut size = 0;
    for (key, value) in sorted(annotations) {
        // The rule is that of labels, but capitals do not matter.
        let problems = names::is_qualified_name(&key.to_lowercase());
        errors.extend(problems.into_iter().map(|m| Error::invalid(path, key, m)));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > TOTAL_ANNOTATION_SIZE_LIMIT_BYTES {
        errors.push(Error::too_long(path, TOTAL_ANNOTATION_SIZE_LIMIT_BYTES));
    }
    errors
}

/// The members of a map in the order of their names: upstream's order is random, ours is always the same.
#[must_use]
pub fn sorted(map: Option<&Object>) -> Vec<(&str, &Value)> {
    let mut members: Vec<(&str, &Value)> =
        map.into_iter().flat_map(Object::iter).map(|(name, value)| (name.as_str(), value)).collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

fn naming(object: &Value, rule: NameRule, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (name, prefix) = (meta::name(object), meta::generate_name(object));
    if !prefix.is_empty() {
        let problems = rule.prefix(prefix);
        errors.extend(problems.into_iter().map(|m| Error::invalid(&path.child("generateName"), prefix, m)));
    }
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), "name or generateName is required"));
    } else {
        errors.extend(rule.name(name).into_iter().map(|m| Error::invalid(&path.child("name"), name, m)));
    }
    errors
}

fn owner_references(owners: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut controller: Option<&str> = None;
    for owner in owners {
        errors.extend(owner_reference(owner, path));
        if owner.bool_at(&["controller"]) != Some(true) {
            continue;
        }
        let name = owner.str_at(&["name"]).unwrap_or_default();
        if let Some(first) = controller {
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
            );
            errors.push(Error::invalid(path, Value::Array(owners.to_vec()), detail));
        }
        controller = Some(name);
    }
    errors
}

fn owner_reference(owner: &Value, path: &Path) -> Errors {
    let text = |name: &str| owner.str_at(&[name]).unwrap_or_default();
    let mut errors = Errors::new();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    // With more than one slash it is no version at all.
    let version = if version.contains('/') { "" } else { version };
    if version.is_empty() {
        errors.push(Error::invalid(&path.child("apiVersion"), text("apiVersion"), "version must not be empty"));
    }
    for field in ["kind", "name", "uid"] {
        if text(field).is_empty() {
            errors.push(Error::invalid(&path.child(field), text(field), "must not be empty"));
        }
    }
    if (group, version, text("kind")) == ("", "v1", "Event") {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(Error::invalid(path, owner.clone(), detail));
    }
    errors
}

fn finalizers(object: &Value, path: &Path) -> Errors {
    let all: Vec<&str> = meta::finalizers(object).collect();
    let mut errors: Errors = all.iter().flat_map(|name| label_name(name, path)).collect();
    if all.contains(&"orphan") && all.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(Error::invalid(path, Value::from(all), detail));
    }
    errors
}

/// What is wrong with finalizers that have no domain: the last look at the metadata of Kubernetes' own kinds.
#[must_use]
pub fn standard_finalizers(object: &Value, path: &Path) -> Errors {
    let path = path.child("finalizers");
    meta::finalizers(object).enumerate().filter_map(|(i, name)| standard_finalizer(name, &path.index(i))).collect()
}

/// A finalizer without a domain must be one of Kubernetes' own.
#[must_use]
pub fn standard_finalizer(name: &str, path: &Path) -> Option<Error> {
    let known = name.contains('/') || matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    (!known).then(|| Error::invalid(path, name, detail))
}

fn no_new_finalizers(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let before: Vec<&str> = meta::finalizers(old).collect();
    let mut added: Vec<&str> = meta::finalizers(new).filter(|name| !before.contains(name)).collect();
    added.sort_unstable();
    added.dedup();
    if added.is_empty() {
        return None;
    }
    let list = added.into_iter().map(quote).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
    );
    Some(Error::forbidden(path, detail))
}

fn managed_fields(entries: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, entry) in entries.iter().enumerate() {
        let path = path.index(i);
        let operation = entry.str_at(&["operation"]).unwrap_or_default();
        if !FIELD_MANAGER_VERSIONS.contains(&operation) {
            let detail = "must be `Apply` or `Update`";
            errors.push(Error::invalid(&path.child("operation"), operation, detail));
        }
        let fields_type = entry.str_at(&["fieldsType"]).unwrap_or_default();
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(Error::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        let manager = entry.str_at(&["manager"]).unwrap_or_default();
        errors.extend(
            names::is_field_manager(manager).into_iter().map(|m| Error::invalid(&path.child("manager"), manager, m)),
        );
    }
    errors
}
