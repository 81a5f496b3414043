//! StatefulSet: pods with a number, a name and storage of their own.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Generation, Kind, SCALE, STATUS, Subresource};
use crate::pod_spec::default::{each, set, set_in, template};
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, text};
use crate::validate::{non_negative_at, one_of, pod_template, replica_counts};

/// What an update may change of the spec.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    kind: "StatefulSet",
    plural: "statefulsets",
    short_names: &["sts"],
    categories: &["all"],
    storage: "statefulsets",
    schema: "io.k8s.api.apps.v1.StatefulSet",
    subresources: &[SCALE, Subresource { validate: |new, _| status(new), ..STATUS }],
    columns: &[NAME, text("Ready", Describe::Text("Number of the pod with ready state")), AGE, CONTAINERS, IMAGES],
    row,
    generation: Generation::Of(&["spec"]),
    default,
    validate,
    validate_update,
    warnings: |new, old| crate::core::pod::warnings::of_workload(new, old, &["spec", "template"]),
    ..BASE
};

fn row(set: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(set.at(&["spec", "template", "spec"]));
    let wanted = set.int_at(&["spec", "replicas"]).unwrap_or_default();
    let ready = set.int_at(&["status", "readyReplicas"]).unwrap_or_default();
    vec![meta::name(set).into(), format!("{ready}/{wanted}").into(), age(set, now), containers, images]
}

fn default(object: &mut Value) {
    set_in(object, &["spec"], "podManagementPolicy", || "OrderedReady".into());
    set_in(object, &["spec"], "updateStrategy", Value::object);
    set_in(object, &["spec", "updateStrategy"], "type", || "RollingUpdate".into());
    if object.str_at(&["spec", "updateStrategy", "type"]) == Some("RollingUpdate") {
        set_in(object, &["spec", "updateStrategy"], "rollingUpdate", Value::object);
        set_in(object, &["spec", "updateStrategy", "rollingUpdate"], "partition", || Value::Int(0));
    }
    set_in(object, &["spec"], "persistentVolumeClaimRetentionPolicy", Value::object);
    for field in ["whenDeleted", "whenScaled"] {
        set_in(object, &["spec", "persistentVolumeClaimRetentionPolicy"], field, || "Retain".into());
    }
    set_in(object, &["spec"], "replicas", || Value::Int(1));
    set_in(object, &["spec"], "revisionHistoryLimit", || Value::Int(10));
    template(object, &["spec"]);
    each(object, &["spec", "volumeClaimTemplates"], |claim| {
        if let Some(fields) = claim.as_object_mut() {
            fields.insert("kind", "PersistentVolumeClaim");
            fields.insert("apiVersion", "v1");
            set(fields, "status", Value::object);
        }
        (crate::core::persistent_volume_claim::KIND.default)(claim);
    });
}

fn validate(object: &Value) -> Errors {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = policies(spec, &path);
    for field in ["replicas", "minReadySeconds"] {
        errors.extend(non_negative_at(spec, field, &path));
    }
    errors.extend(non_negative_at(spec.get("ordinals").unwrap_or(&Value::Null), "start", &path.child("ordinals")));
    errors.extend(pod_template::selected(spec, &path, "statefulset"));
    errors.extend(pod_template::labels_match(spec, &path));
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_template::validate(template, &path.child("template")));
    errors.extend(pod_template::always_restarts(template, &path.child("template"), "StatefulSet"));
    if let Some(service) = spec.str_at(&["serviceName"]).filter(|name| !name.is_empty()) {
        errors.extend(crate::validate::text(names::is_dns1123_label, service, &path.child("serviceName")));
    }
    errors
}

fn policies(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let field = path.child("podManagementPolicy");
    match spec.str_at(&["podManagementPolicy"]).unwrap_or_default() {
        "" => errors.push(Error::required(&field, "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(Error::invalid(&field, other, "must be 'OrderedReady' or 'Parallel'")),
    }
    let field = path.child("updateStrategy");
    let rolling = spec.at(&["updateStrategy", "rollingUpdate"]);
    match spec.str_at(&["updateStrategy", "type"]).unwrap_or_default() {
        "" => errors.push(Error::required(&field, "")),
        "OnDelete" => {
            if let Some(rolling) = rolling {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(Error::invalid(&field.child("rollingUpdate"), rolling.clone(), detail));
            }
        }
        "RollingUpdate" => {
            let rolling = rolling.unwrap_or(&Value::Null);
            errors.extend(non_negative_at(rolling, "partition", &field.child("rollingUpdate")));
        }
        _ => {
            let shown = spec.get("updateStrategy").cloned();
            errors.push(Error::invalid(&field, shown, "must be 'RollingUpdate' or 'OnDelete'"));
        }
    }
    let field = path.child("persistentVolumeClaimRetentionPolicy");
    for name in ["whenDeleted", "whenScaled"] {
        let policy = spec.str_at(&["persistentVolumeClaimRetentionPolicy", name]);
        errors.extend(policy.and_then(|p| one_of(p, &["Retain", "Delete"], &field.child(name))));
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let fixed = |set: &Value| {
        let mut spec = set.get("spec").cloned().unwrap_or_else(Value::object);
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !MUTABLE.contains(&name));
        }
        spec
    };
    errors.extend(validate(new));
    if fixed(new) != fixed(old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(Error::forbidden(&Path::new("spec"), detail));
    }
    errors
}

fn status(set: &Value) -> Errors {
    let mut errors = replica_counts(
        set,
        &["replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "observedGeneration", "collisionCount"],
    );
    errors.extend(non_negative_at(set.get("status").unwrap_or(&Value::Null), "currentReplicas", &Path::new("status")));
    errors
}
