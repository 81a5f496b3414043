//! PersistentVolume: storage that exists on its own.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, meta, names, value};

use crate::kind::{BASE, Kind, STATUS};
use crate::pod_spec::default::{network_volume, set_in};
use crate::pod_spec::quantity;
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, str_or, text};
use crate::validate::{one_of, selector, text as check_text};

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.PersistentVolumeStatus";
/// The fields of a spec that are no volume source.
const PLAIN_FIELDS: [&str; 9] = [
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];
/// What a volume may be used like.
pub const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// The kind.
pub static KIND: Kind = Kind {
    kind: "PersistentVolume",
    plural: "persistentvolumes",
    short_names: &["pv"],
    namespaced: false,
    storage: "persistentvolumes",
    schema: "io.k8s.api.core.v1.PersistentVolume",
    subresources: &[STATUS],
    columns: &[
        NAME,
        text("Capacity", Describe::Field(SPEC, "capacity")),
        text("Access Modes", Describe::Field(SPEC, "accessModes")),
        text("Reclaim Policy", Describe::Field(SPEC, "persistentVolumeReclaimPolicy")),
        text("Status", Describe::Field(STATUS_SCHEMA, "phase")),
        text("Claim", Describe::Field(SPEC, "claimRef")),
        text("StorageClass", Describe::Text("StorageClass of the pv")),
        text("VolumeAttributesClass", Describe::Text("VolumeAttributesClass of the pv")),
        text("Reason", Describe::Field(STATUS_SCHEMA, "reason")),
        AGE,
        text("VolumeMode", Describe::Field(SPEC, "volumeMode")).wide(),
    ],
    row,
    default: |volume| {
        set_in(volume, &["spec"], "persistentVolumeReclaimPolicy", || "Retain".into());
        set_in(volume, &["spec"], "volumeMode", || "Filesystem".into());
        if let Some(spec) = volume.get_mut("spec") {
            network_volume(spec);
            if let Some(host_path) = spec.get_mut("hostPath").and_then(Value::as_object_mut)
                && !host_path.contains_key("type")
            {
                host_path.insert("type", "");
            }
        }
    },
    prepare_create: |volume, context| {
        let now = meta::seconds(context.now);
        volume.set_at(&["status"], value!({"phase": "Pending", "lastPhaseTransitionTime": now}));
    },
    validate,
    validate_update,
    ..BASE
};

fn row(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = volume.at(&["spec", "claimRef"]).filter(|claim| !claim.is_null()).map(|claim| {
        let part = |field: &str| claim.str_at(&[field]).unwrap_or_default();
        format!("{}/{}", part("namespace"), part("name"))
    });
    let phase = volume.str_at(&["status", "phase"]).unwrap_or_default();
    let status = if meta::is_deleting(volume) { "Terminating" } else { phase };
    vec![
        meta::name(volume).into(),
        str(volume, &["spec", "capacity", "storage"]),
        short_modes(volume.items_at(&["spec", "accessModes"])).into(),
        str(volume, &["spec", "persistentVolumeReclaimPolicy"]),
        status.into(),
        claim.unwrap_or_default().into(),
        str(volume, &["spec", "storageClassName"]),
        str_or(volume, &["spec", "volumeAttributesClassName"], "<unset>"),
        str(volume, &["status", "reason"]),
        age(volume, now),
        str_or(volume, &["spec", "volumeMode"], "<unset>"),
    ]
}

/// Access modes in the short form of tables.
#[must_use]
pub fn short_modes(modes: &[Value]) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |name: &str| modes.iter().any(|mode| mode.as_str() == Some(name));
    let shown: Vec<&str> = short.iter().filter(|(name, _)| has(name)).map(|(_, short)| *short).collect();
    shown.join(",")
}

fn validate(volume: &Value) -> Errors {
    let spec = volume.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let modes = spec.items_at(&["accessModes"]);
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), ""));
    }
    errors.extend(access_modes(modes, &path.child("accessModes")));
    errors.extend(capacity(spec, &path.child("capacity")));
    let policy = spec.str_at(&["persistentVolumeReclaimPolicy"]).filter(|policy| !policy.is_empty());
    let supported = ["Delete", "Recycle", "Retain"];
    errors.extend(policy.and_then(|p| one_of(p, &supported, &path.child("persistentVolumeReclaimPolicy"))));
    if let Some(required) = spec.at(&["nodeAffinity", "required"]) {
        errors.extend(selector::node_selector(required, &path.child("nodeAffinity.required")));
    } else if spec.get("nodeAffinity").is_some() {
        errors.push(Error::required(&path.child("nodeAffinity.required"), "must specify required node constraints"));
    }
    errors.extend(source(spec, &path));
    if let Some(class) = spec.str_at(&["storageClassName"]).filter(|class| !class.is_empty()) {
        errors.extend(check_text(names::is_dns1123_subdomain, class, &path.child("storageClassName")));
    }
    let mode = spec.str_at(&["volumeMode"]);
    errors.extend(mode.and_then(|m| one_of(m, &["Block", "Filesystem"], &path.child("volumeMode"))));
    errors
}

/// What is wrong with access modes.
#[must_use]
pub fn access_modes(modes: &[Value], path: &Path) -> Errors {
    let all = modes.iter().filter_map(Value::as_str);
    let mut errors: Errors = all.clone().filter_map(|mode| one_of(mode, &ACCESS_MODES, path)).collect();
    if modes.len() > 1 && all.into_iter().any(|mode| mode == "ReadWriteOncePod") {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

fn capacity(spec: &Value, path: &Path) -> Errors {
    let amounts = spec.get("capacity").and_then(Value::as_object);
    let mut errors = Errors::new();
    if amounts.is_none_or(Object::is_empty) {
        errors.push(Error::required(path, ""));
    }
    if spec.at(&["capacity", "storage"]).is_none() || amounts.is_some_and(|amounts| amounts.len() > 1) {
        let shown = spec.get("capacity").cloned().unwrap_or_default();
        errors.push(Error::not_supported(path, shown, &["storage"]));
    }
    for (name, amount) in crate::validate::metadata::sorted(amounts) {
        let Some(amount) = quantity(amount) else { continue };
        let path = path.key(name);
        if amount.sign() < 0 {
            errors.push(Error::invalid(&path, amount.value(), "must be a valid resource quantity"));
        }
        if amount.sign() <= 0 {
            errors.push(Error::invalid(&path, amount.to_string(), "must be greater than zero"));
        }
    }
    errors
}

fn source(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let sources = spec
        .as_object()
        .into_iter()
        .flat_map(Object::iter)
        .filter(|(name, value)| !PLAIN_FIELDS.contains(&name.as_str()) && !value.is_null());
    let mut count = 0;
    for (kind, source) in sources {
        count += 1;
        let path = path.child(kind);
        if count > 1 {
            errors.push(Error::forbidden(&path, "may not specify more than 1 volume type"));
            continue;
        }
        errors.extend(match kind.as_str() {
            "csi" => ["driver", "volumeHandle"]
                .iter()
                .filter_map(|f| crate::validate::required(source.str_at(&[f]), &path.child(f), ""))
                .collect(),
            "local" => {
                let mut errors: Errors =
                    crate::validate::required(source.str_at(&["path"]), &path.child("path"), "").into_iter().collect();
                if spec.get("nodeAffinity").is_none() {
                    errors
                        .push(Error::required(&Path::new("spec.nodeAffinity"), "Local volume requires node affinity"));
                }
                errors
            }
            kind => crate::pod_spec::check::volume_source(kind, source, &path),
        });
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let sources = |volume: &Value| {
        let mut spec = volume.get("spec").cloned().unwrap_or_else(Value::object);
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !PLAIN_FIELDS.contains(&name));
        }
        spec
    };
    if sources(new) != sources(old) {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.push(Error::forbidden(&Path::new("spec.persistentvolumesource"), detail));
    }
    let mode = |volume: &Value| volume.at(&["spec", "volumeMode"]).cloned();
    errors.extend(immutable(mode(new).as_ref(), mode(old).as_ref(), &Path::new("volumeMode")));
    errors
}
