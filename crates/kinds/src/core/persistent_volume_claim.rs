//! PersistentVolumeClaim: the wish for storage.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use super::persistent_volume::{access_modes, short_modes};
use crate::kind::{BASE, Context, Kind, STATUS};
use crate::pod_spec::default::set_in;
use crate::pod_spec::quantity;
use crate::table::{AGE, Describe, NAME, age, str, str_or, text};
use crate::validate::{one_of, selector, text as check_text};

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeClaimSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.PersistentVolumeClaimStatus";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "PersistentVolumeClaim",
    plural: "persistentvolumeclaims",
    short_names: &["pvc"],
    storage: "persistentvolumeclaims",
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
    subresources: &[STATUS],
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
        set_in(claim, &["spec"], "volumeMode", || "Filesystem".into());
        set_in(claim, &["status"], "phase", || "Pending".into());
    },
    prepare_create,
    validate: |claim| claim_spec(claim.get("spec").unwrap_or(&Value::Null), &Path::new("spec")),
    validate_update,
    ..BASE
};

fn row(claim: &Value, now: Timestamp) -> Vec<Value> {
    let phase = claim.str_at(&["status", "phase"]).unwrap_or_default();
    let status = if meta::is_deleting(claim) { "Terminating" } else { phase };
    let bound = claim.str_at(&["spec", "volumeName"]).is_some_and(|name| !name.is_empty());
    let (capacity, modes) = if bound {
        let modes = short_modes(claim.items_at(&["status", "accessModes"]));
        (str(claim, &["status", "capacity", "storage"]), modes)
    } else {
        ("".into(), String::new())
    };
    vec![
        meta::name(claim).into(),
        status.into(),
        str(claim, &["spec", "volumeName"]),
        capacity,
        modes.into(),
        str(claim, &["spec", "storageClassName"]),
        str_or(claim, &["spec", "volumeAttributesClassName"], "<unset>"),
        age(claim, now),
        str_or(claim, &["spec", "volumeMode"], "<unset>"),
    ]
}

fn prepare_create(claim: &mut Value, _: &Context<'_>) {
    claim.set_at(&["status"], value!({"phase": "Pending"}));
    let part = |field: &str| claim.str_at(&["spec", "dataSource", field]).unwrap_or_default();
    let known = matches!(
        (part("apiGroup"), part("kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    );
    if !known {
        claim.remove_at(&["spec", "dataSource"]);
    }
}

/// What is wrong with the spec of a claim or of a template for one.
#[must_use]
pub fn claim_spec(spec: &Value, path: &Path) -> Errors {
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
    for field in ["storageClassName", "volumeAttributesClassName"] {
        if let Some(class) = spec.str_at(&[field]).filter(|class| !class.is_empty()) {
            errors.extend(check_text(names::is_dns1123_subdomain, class, &path.child(field)));
        }
    }
    let mode = spec.str_at(&["volumeMode"]);
    errors.extend(mode.and_then(|m| one_of(m, &["Block", "Filesystem"], &path.child("volumeMode"))));
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = claim_spec(new.get("spec").unwrap_or(&Value::Null), &path);
    let mut expected = old.get("spec").cloned().unwrap_or_else(Value::object);
    let new_spec = new.get("spec").cloned().unwrap_or_else(Value::object);
    let take = |expected: &mut Value, field: &[&str]| match new_spec.at(field) {
        Some(value) => expected.set_at(field, value.clone()),
        None => drop(expected.remove_at(field)),
    };
    let bound = old.str_at(&["status", "phase"]) == Some("Bound");
    if bound {
        take(&mut expected, &["resources", "requests"]);
        take(&mut expected, &["volumeAttributesClassName"]);
    }
    let unset = |spec: &Value, field: &str| spec.str_at(&[field]).is_none_or(str::is_empty);
    if unset(&expected, "volumeName") {
        take(&mut expected, &["volumeName"]);
    }
    if expected.get("storageClassName").is_none() {
        take(&mut expected, &["storageClassName"]);
    }
    if expected != new_spec {
        let detail =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(Error::forbidden(&path, detail));
    }
    if bound {
        errors.extend(shrink(new, old));
    }
    errors
}

fn shrink(new: &Value, old: &Value) -> Option<Error> {
    let wanted = |claim: &Value| claim.at(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    let given = old.at(&["status", "capacity", "storage"]).and_then(quantity);
    let (new, old) = (wanted(new)?, wanted(old)?);
    let too_small = new < old && given.is_none_or(|given| new <= given);
    let detail = "field can not be less than status.capacity";
    too_small.then(|| Error::forbidden(&Path::new("spec.resources.requests.storage"), detail))
}
