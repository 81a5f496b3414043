//! PersistentVolume: storage that exists on its own.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, meta, names, value};

use crate::kind::{BASE, Context, Kind, MetadataChecks, STATUS, Subresource};
use crate::pod_spec::default::{network_volume, set_absent, set_in};
use crate::pod_spec::quantity;
use crate::strategy::{immutable, immutable_part};
use crate::table::{AGE, Describe, NAME, age, str, str_or, text};
use crate::validate::{deprecated, one_of, selector, text as check_text};

mod source;

const SPEC: &str = "io.k8s.api.core.v1.PersistentVolumeSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.PersistentVolumeStatus";
const AFFINITY: &str = "io.k8s.api.core.v1.VolumeNodeAffinity";
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
    subresources: &[Subresource { prepare: prepare_status, ..STATUS }],
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
        set_absent(volume, &["status"], "phase", || "Pending".into());
        set_in(volume, &["spec"], "persistentVolumeReclaimPolicy", || "Retain".into());
        set_absent(volume, &["spec"], "volumeMode", || "Filesystem".into());
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
    metadata: MetadataChecks::NEW,
    validate,
    validate_update,
    warnings: |volume, _| warnings(volume),
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
        deprecated::class(volume),
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
    let mut errors = modes(spec, &path);
    errors.extend(capacity(spec, &path.child("capacity")));
    let policy = spec.str_at(&["persistentVolumeReclaimPolicy"]).filter(|policy| !policy.is_empty());
    let supported = ["Delete", "Recycle", "Retain"];
    errors.extend(policy.and_then(|p| one_of(p, &supported, &path.child("persistentVolumeReclaimPolicy"))));
    if let Some(affinity) = spec.get("nodeAffinity").filter(|affinity| !affinity.is_null()) {
        let path = path.child("nodeAffinity.required");
        errors.extend(match affinity.get("required").filter(|required| !required.is_null()) {
            Some(required) => selector::node_selector(required, &path),
            None => vec![Error::required(&path, "must specify required node constraints")],
        });
    }
    errors.extend(source::check(spec, meta::name(volume), &path));
    if let Some(class) = spec.str_at(&["storageClassName"]).filter(|class| !class.is_empty()) {
        errors.extend(check_text(names::is_dns1123_subdomain, class, &path.child("storageClassName")));
    }
    let mode = spec.str_at(&["volumeMode"]);
    errors.extend(mode.and_then(|m| one_of(m, &["Block", "Filesystem"], &path.child("volumeMode"))));
    errors.extend(attributes_class(spec, &path));
    errors
}

/// What is wrong with the spec of a volume that stands in a `VolumeAttachment`.
#[must_use]
pub fn inline_spec(spec: &Value, path: &Path) -> Errors {
    let has = |field: &str| match spec.get(field) {
        None | Some(Value::Null) => false,
        Some(Value::Object(fields)) => !fields.is_empty() || field != "capacity",
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    let not_here = |field: &str| {
        let detail = "may not be specified in the context of inline volumes";
        has(field).then(|| Error::forbidden(&path.child(field), detail))
    };
    let mut errors: Errors = ["claimRef", "capacity"].into_iter().filter_map(not_here).collect();
    if !has("csi") {
        errors.push(Error::required(&path.child("csi"), "has to be specified in the context of inline volumes"));
    }
    errors.extend(modes(spec, path));
    let policy = spec.str_at(&["persistentVolumeReclaimPolicy"]).filter(|policy| !policy.is_empty());
    if policy.is_some_and(|policy| policy != "Retain") {
        let detail = "may only be Retain in the context of inline volumes";
        errors.push(Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail));
    }
    errors.extend(not_here("nodeAffinity"));
    errors.extend(source::check(spec, "", path));
    errors.extend(not_here("storageClassName"));
    if spec.str_at(&["volumeMode"]).is_some_and(|mode| mode != "Filesystem") {
        let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(Error::forbidden(&path.child("volumeMode"), detail));
    }
    errors.extend(attributes_class(spec, path));
    errors
}

fn modes(spec: &Value, path: &Path) -> Errors {
    let modes = spec.items_at(&["accessModes"]);
    let mut errors = Errors::new();
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), ""));
    }
    errors.extend(access_modes(modes, &path.child("accessModes")));
    errors
}

fn attributes_class(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(class) = spec.str_at(&["volumeAttributesClassName"]) else { return errors };
    let field = path.child("volumeAttributesClassName");
    if class.is_empty() {
        errors.push(Error::required(&field, "an empty string is disallowed"));
    } else {
        errors.extend(check_text(names::is_dns1123_subdomain, class, &field));
    }
    if spec.get("csi").is_none_or(Value::is_null) {
        let detail = "has to be specified when using volumeAttributesClassName";
        errors.push(Error::required(&path.child("csi"), detail));
    }
    errors
}

/// What is wrong with access modes.
#[must_use]
pub fn access_modes(modes: &[Value], path: &Path) -> Errors {
    let all = modes.iter().filter_map(Value::as_str);
    let mut errors: Errors = all.clone().filter_map(|mode| one_of(mode, &ACCESS_MODES, path)).collect();
    let others = all.clone().any(|mode| mode != "ReadWriteOncePod" && ACCESS_MODES.contains(&mode));
    if others && all.into_iter().any(|mode| mode == "ReadWriteOncePod") {
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

fn validate_update(new: &Value, old: &Value) -> Errors {
    // Upstream looks twice: causes stand as often as they were found.
    let wrong = validate(new);
    let mut errors = [wrong.clone(), wrong].concat();
    errors.extend(source::stays(new, old));
    let field = |volume: &Value, name: &str| volume.at(&["spec", name]).cloned();
    let mode = |volume: &Value| field(volume, "volumeMode");
    errors.extend(immutable(mode(new).as_ref(), mode(old).as_ref(), &Path::new("volumeMode")));
    let affinity = |volume: &Value| field(volume, "nodeAffinity").filter(|affinity| !affinity.is_null());
    if affinity(old).is_some() {
        let (new, old) = (affinity(new), affinity(old));
        errors.extend(immutable_part(AFFINITY, new.as_ref(), old.as_ref(), &Path::new("nodeAffinity")));
    }
    let class = |volume: &Value| field(volume, "volumeAttributesClassName");
    if class(old).is_some() && class(new).is_none() {
        let path = Path::new("spec.volumeAttributesClassName");
        errors.push(Error::forbidden(&path, "update from non-nil value to nil is forbidden"));
    }
    errors
}

/// Where the mount options stood before they became a field.
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

/// What deserves a warning in a volume.
fn warnings(volume: &Value) -> Vec<String> {
    let mut warnings: Vec<String> = deprecated::class_annotation(volume).into_iter().collect();
    if meta::annotation(volume, MOUNT_OPTIONS).is_some() {
        let place = Path::new("metadata.annotations").key(MOUNT_OPTIONS);
        warnings.push(format!("{place}: deprecated since v1.31; use \"mountOptions\" attribute instead"));
    }
    if volume.str_at(&["spec", "persistentVolumeReclaimPolicy"]) == Some("Recycle") {
        let advice = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        warnings.push(format!("spec.persistentVolumeReclaimPolicy: {advice}"));
    }
    let path = Path::new("spec.nodeAffinity.required.nodeSelectorTerms");
    let terms = volume.items_at(&["spec", "nodeAffinity", "required", "nodeSelectorTerms"]).iter().enumerate();
    warnings.extend(terms.flat_map(|(i, term)| deprecated::expressions(term, &path.index(i))));
    warnings.extend(source::warnings(volume));
    warnings
}

/// The time of the last change of phase is the server's to write.
fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    (STATUS.prepare)(new, old, context);
    let phase = |volume: &Value| volume.str_at(&["status", "phase"]).map(str::to_owned);
    let path = ["status", "lastPhaseTransitionTime"];
    if new.at(&path) == old.at(&path) && phase(new) != phase(old) {
        new.set_at(&path, meta::seconds(context.now));
    }
}
