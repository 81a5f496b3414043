//! PersistentVolumeClaim: the wish for storage.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use super::persistent_volume::{access_modes, short_modes};
use crate::kind::{BASE, Context, Kind, MetadataChecks, STATUS, Subresource};
use crate::pod_spec::default::{set_absent, set_in};
use crate::pod_spec::quantity;
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, str_or, text};
use crate::validate::diff::unified;
use crate::validate::metadata::sorted;
use crate::validate::resources::is_native;
use crate::validate::{deprecated, one_of, selector, text as check_text};

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.PersistentVolumeClaimStatus";
/// Where the class stood before it became a field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// The kind.
pub static KIND: Kind = Kind {
    kind: "PersistentVolumeClaim",
    plural: "persistentvolumeclaims",
    short_names: &["pvc"],
    storage: "persistentvolumeclaims",
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
    subresources: &[Subresource { validate: |new, _| validate_status(new), ..STATUS }],
    columns: &[
        NAME,
        text("Status", Describe::Field(STATUS_SCHEMA, "phase")),
        text("Volume", Describe::Field(SPEC, "volumeName")),
        text("Capacity", Describe::Field(STATUS_SCHEMA, "capacity")),
        text("Access Modes", Describe::Field(STATUS_SCHEMA, "accessModes")),
        text("StorageClass", Describe::Text("StorageClass of the pvc")),
        text("VolumeAttributesClass", Describe::Text("VolumeAttributesClass of the pvc")),
        AGE,
        text("VolumeMode", Describe::Field(SPEC, "volumeMode")).wide(),
    ],
    row,
    default: |claim| {
        set_absent(claim, &["spec"], "volumeMode", || "Filesystem".into());
        set_in(claim, &["status"], "phase", || "Pending".into());
    },
    prepare_create,
    prepare_update: |new, _, _| same_sources(new),
    metadata: MetadataChecks::BOTH,
    validate: |claim| claim_spec(claim.get("spec").unwrap_or(&Value::Null), &Path::new("spec")),
    validate_update,
    warnings: |claim, _| {
        let spec = claim.get("spec").unwrap_or(&Value::Null);
        let mut warnings: Vec<String> = deprecated::class_annotation(claim).into_iter().collect();
        warnings.extend(deprecated::claim_spec(spec, &Path::new("spec")));
        warnings
    },
    ..BASE
};

fn row(claim: &Value, now: Timestamp) -> Vec<Value> {
    let phase = claim.str_at(&["status", "phase"]).unwrap_or_default();
    let status = if meta::is_deleting(claim) { "Terminating" } else { phase };
    let bound = claim.str_at(&["spec", "volumeName"]).is_some_and(|name| !name.is_empty());
    let (capacity, modes) = if bound {
        let modes = short_modes(claim.items_at(&["status", "accessModes"]));
        (str_or(claim, &["status", "capacity", "storage"], "0"), modes)
    } else {
        ("".into(), String::new())
    };
    vec![
        meta::name(claim).into(),
        status.into(),
        str(claim, &["spec", "volumeName"]),
        capacity,
        modes.into(),
        deprecated::class(claim),
        str_or(claim, &["spec", "volumeAttributesClassName"], "<unset>"),
        age(claim, now),
        str_or(claim, &["spec", "volumeMode"], "<unset>"),
    ]
}

fn prepare_create(claim: &mut Value, _: &Context<'_>) {
    claim.set_at(&["status"], value!({"phase": "Pending"}));
    // Content from other namespaces is not on by default (KEP-3294).
    if claim.str_at(&["spec", "dataSourceRef", "namespace"]).is_some_and(|namespace| !namespace.is_empty()) {
        claim.remove_at(&["spec", "dataSourceRef"]);
    }
    let part = |field: &str| claim.str_at(&["spec", "dataSource", field]).unwrap_or_default();
    let known = matches!(
        (part("apiGroup"), part("kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    );
    if !known {
        claim.remove_at(&["spec", "dataSource"]);
    }
    same_sources(claim);
}

/// Of the old field and the new one for the first content, the one that is missing says what the other says (KEP-1495).
fn same_sources(claim: &mut Value) {
    const FIELDS: [&str; 3] = ["apiGroup", "kind", "name"];
    let source = |field: &str| claim.at(&["spec", field]).filter(|source| !source.is_null()).cloned();
    let (from, to) = match (source("dataSource"), source("dataSourceRef")) {
        (Some(old), None) => (old, "dataSourceRef"),
        (None, Some(new)) if new.str_at(&["namespace"]).is_none_or(str::is_empty) => (new, "dataSource"),
        _ => return,
    };
    for field in FIELDS {
        claim.set_at(&["spec", to, field], from.get(field).cloned().unwrap_or_default());
    }
}

/// What is wrong with the spec of a claim or of a template for one.
#[must_use]
pub fn claim_spec(spec: &Value, path: &Path) -> Errors {
    whole_spec(spec, false, path)
}

fn whole_spec(spec: &Value, any_group: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let modes = spec.items_at(&["accessModes"]);
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), "at least 1 access mode is required"));
    }
    errors.extend(selector::label_selector(spec.get("selector"), &path.child("selector")));
    errors.extend(access_modes(modes, &path.child("accessModes")));
    let storage = path.child("resources").key("storage");
    match spec.at(&["resources", "requests", "storage"]).and_then(quantity) {
        None => errors.push(Error::required(&storage, "")),
        Some(amount) if amount.sign() <= 0 => {
            errors.push(Error::invalid(&storage, amount.to_string(), "must be greater than zero"));
        }
        Some(_) => {}
    }
    let class = |field: &str| -> Errors {
        let name = spec.str_at(&[field]).unwrap_or_default();
        let problems = if name.is_empty() { Vec::new() } else { names::is_dns1123_subdomain(name) };
        problems.into_iter().map(|m| Error::invalid(&path.child(field), name, m)).collect()
    };
    errors.extend(class("storageClassName"));
    let mode = spec.str_at(&["volumeMode"]);
    errors.extend(mode.and_then(|m| one_of(m, &["Block", "Filesystem"], &path.child("volumeMode"))));
    errors.extend(data_sources(spec, any_group, path));
    errors.extend(class("volumeAttributesClassName"));
    errors
}

/// Where the first content comes from, in the old field and the new one, which say the same.
fn data_sources(spec: &Value, any_group: bool, path: &Path) -> Errors {
    let [old, new] = ["dataSource", "dataSourceRef"].map(|field| spec.get(field).filter(|source| !source.is_null()));
    let mut errors = Errors::new();
    for (source, field) in [(old, "dataSource"), (new, "dataSourceRef")] {
        errors.extend(source.into_iter().flat_map(|source| data_source(source, any_group, &path.child(field))));
    }
    let (Some(old), Some(new)) = (old, new) else { return errors };
    let across = new.str_at(&["namespace"]).is_some_and(|namespace| !namespace.is_empty());
    let same = ["apiGroup", "kind", "name"].iter().all(|field| old.get(field) == new.get(field));
    // The value that upstream gives is the field's path, which has nothing to show.
    let mut wrong = |detail: &str| errors.push(Error::invalid(path, Value::object(), detail));
    if across {
        wrong("may not be specified when dataSourceRef.namespace is specified");
    } else if !same {
        wrong("must match dataSourceRef");
    }
    errors
}

fn data_source(source: &Value, any_group: bool, path: &Path) -> Errors {
    let part = |field: &str| source.str_at(&[field]).unwrap_or_default();
    let mut errors: Errors = ["name", "kind"]
        .into_iter()
        .filter_map(|field| crate::validate::required(source.str_at(&[field]), &path.child(field), ""))
        .collect();
    if part("apiGroup").is_empty() && part("kind") != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(Error::invalid(path, part("kind"), detail));
    } else if !part("apiGroup").is_empty() && !any_group {
        errors.extend(check_text(names::is_dns1123_subdomain, part("apiGroup"), &path.child("apiGroup")));
    }
    if !part("namespace").is_empty() {
        errors.extend(check_text(names::is_dns1123_label, part("namespace"), &path.child("namespace")));
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    // Groups that were let in before they were looked at may stay.
    let grouped = |field: &str| old.at(&["spec", field, "apiGroup"]).is_some_and(|group| !group.is_null());
    let any_group = grouped("dataSource") || grouped("dataSourceRef");
    let wrong = whole_spec(new.get("spec").unwrap_or(&Value::Null), any_group, &path);
    // Upstream looks twice: causes stand as often as they were found.
    let mut errors = [wrong.clone(), wrong].concat();
    let mut normal = old.clone();
    same_sources(&mut normal);
    let before = normal.get("spec").cloned().unwrap_or_else(Value::object);
    let mut after = new.get("spec").cloned().unwrap_or_else(Value::object);
    let take = |after: &mut Value, field: &[&str]| match before.at(field) {
        Some(value) => after.set_at(field, value.clone()),
        None => drop(after.remove_at(field)),
    };
    let bound = new.str_at(&["status", "phase"]) == Some("Bound");
    if bound && after.at(&["resources", "requests"]).is_some() {
        take(&mut after, &["resources", "requests", "storage"]);
    }
    if bound && after.get("volumeAttributesClassName").is_some() {
        take(&mut after, &["volumeAttributesClassName"]);
    }
    if before.str_at(&["volumeName"]).is_none_or(str::is_empty) {
        take(&mut after, &["volumeName"]);
    }
    errors.extend(class_annotation_stays(new, old));
    if class_may_come(new, old) {
        take(&mut after, &["storageClassName"]);
    }
    if after != before {
        let fixed =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        let detail = format!("{fixed}\n{}", unified(&before, &after));
        errors.push(Error::forbidden(&path, detail));
    }
    errors.extend(shrink(new, old));
    let mode = |claim: &Value| claim.at(&["spec", "volumeMode"]).cloned();
    errors.extend(immutable(mode(new).as_ref(), mode(old).as_ref(), &Path::new("volumeMode")));
    errors.extend(attributes_class_stays(new, old, &path.child("volumeAttributesClassName")));
    errors
}

/// A claim without a class may get one, and one whose class is in the annotation gets that one.
fn class_may_come(new: &Value, old: &Value) -> bool {
    let class = |claim: &Value| claim.str_at(&["spec", "storageClassName"]).map(str::to_owned);
    let annotated = meta::annotation(old, BETA_CLASS);
    class(old).is_none() && class(new).is_some_and(|class| annotated.is_none_or(|annotated| annotated == class))
}

fn class_annotation_stays(new: &Value, old: &Value) -> Option<Error> {
    let [after, before] = [new, old].map(|claim| meta::annotation(claim, BETA_CLASS));
    if before.is_some() && after.is_none() && class_may_come(new, old) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(BETA_CLASS);
    let (after, before) = (after.unwrap_or_default(), before.unwrap_or_default());
    (after != before).then(|| Error::invalid(&path, after, "field is immutable"))
}

fn attributes_class_stays(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let class = |claim: &Value| claim.str_at(&["spec", "volumeAttributesClassName"]).map(str::to_owned);
    class(old)?;
    match class(new).as_deref() {
        None => Some(Error::forbidden(path, "update from non-nil value to nil is forbidden")),
        Some("") => Some(Error::forbidden(path, "update from non-nil value to an empty string is forbidden")),
        Some(_) => None,
    }
}

/// What is wrong with a status that is written.
fn validate_status(claim: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let amounts = |field: &str| sorted(claim.at(&["status", field]).and_then(Value::as_object));
    for (name, amount) in amounts("capacity") {
        errors.extend(negative(amount, &path.child("capacity").key(name)));
    }
    let field = path.child("allocatedResourceStatus");
    for (name, state) in amounts("allocatedResourceStatuses") {
        errors.extend(resource_key(name, &field));
        if !RESIZE_STATES.contains(&state.as_str().unwrap_or_default()) {
            errors.push(Error::not_supported(&field, name, &RESIZE_STATES));
        }
    }
    let field = path.child("allocatedResources");
    for (name, amount) in amounts("allocatedResources") {
        let wrong = resource_key(name, &field);
        if wrong.is_empty() {
            errors.extend(negative(amount, &field.key(name)));
        }
        errors.extend(wrong);
    }
    errors
}

fn negative(amount: &Value, path: &Path) -> Option<Error> {
    let amount = quantity(amount).filter(|amount| amount.sign() < 0)?;
    Some(Error::invalid(path, amount.value(), "must be a valid resource quantity"))
}

fn resource_key(name: &str, path: &Path) -> Errors {
    let wrong: Errors = check_text(names::is_qualified_name, name, path).collect();
    if wrong.is_empty() && is_native(name) && name != "storage" {
        return vec![Error::not_supported(path, name, &["storage"])];
    }
    wrong
}

fn shrink(new: &Value, old: &Value) -> Option<Error> {
    let wanted = |claim: &Value| claim.at(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    let given = old.at(&["status", "capacity", "storage"]).and_then(quantity);
    let (new, old) = (wanted(new)?, wanted(old)?);
    let too_small = new < old && given.is_none_or(|given| new <= given);
    let detail = "field can not be less than status.capacity";
    too_small.then(|| Error::forbidden(&Path::new("spec.resources.requests.storage"), detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, json};

    #[test]
    fn both_fields_say_where_the_content_is_from() {
        let source = |name: &str| value!({"kind": "PersistentVolumeClaim", "name": name});
        let fill = |spec: Value| {
            let mut claim = value!({"spec": spec});
            same_sources(&mut claim);
            json::to_string(claim.get("spec").unwrap())
        };
        let shown = [
            fill(value!({"dataSource": (source("a"))})),
            fill(value!({"dataSourceRef": (source("a"))})),
            field::aggregate(&data_sources(
                &value!({"dataSource": (source("a")), "dataSourceRef": (source("b"))}),
                false,
                &Path::new("spec"),
            )),
        ];
        expect_test::expect![[r#"
            {"dataSource":{"kind":"PersistentVolumeClaim","name":"a"},"dataSourceRef":{"apiGroup":null,"kind":"PersistentVolumeClaim","name":"a"}}
            {"dataSourceRef":{"kind":"PersistentVolumeClaim","name":"a"},"dataSource":{"apiGroup":null,"kind":"PersistentVolumeClaim","name":"a"}}
            spec: Invalid value: {}: must match dataSourceRef"#]].assert_eq(&shown.join("\n"));
    }
}
