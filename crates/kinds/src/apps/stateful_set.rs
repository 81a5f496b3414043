//! StatefulSet: pods with a number, a name and storage of their own.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use crate::core::persistent_volume_claim::claim_spec;
use crate::go_shape::shown;
use crate::kind::{BASE, Generation, Kind, SCALE, STATUS, Subresource};
use crate::pod_spec::default::{each, set, set_in, template};
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, text};
use crate::validate::{collisions_stay, deprecated, non_negative_at, one_of, pod_template};

const STRATEGY: &str = "io.k8s.api.apps.v1.StatefulSetUpdateStrategy";
const ROLLING: &str = "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy";

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
    subresources: &[SCALE, Subresource { validate: status, ..STATUS }],
    columns: &[NAME, text("Ready", Describe::Text("Number of the pod with ready state")), AGE, CONTAINERS, IMAGES],
    row,
    generation: Generation::Of(&["spec"]),
    default,
    validate,
    validate_update,
    warnings,
    ..BASE
};

fn row(set: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(set.at(&["spec", "template", "spec"]));
    let wanted = set.int_at(&["spec", "replicas"]).unwrap_or_default();
    let ready = set.int_at(&["status", "readyReplicas"]).unwrap_or_default();
    vec![meta::name(set).into(), format!("{ready}/{wanted}").into(), age(set, now), containers, images]
}

fn warnings(set: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = crate::core::pod::warnings::of_workload(set, old, &["spec", "template"]);
    for (i, claim) in set.items_at(&["spec", "volumeClaimTemplates"]).iter().enumerate() {
        let path = Path::new("spec.volumeClaimTemplates").index(i).child("Spec");
        warnings.extend(claim.get("spec").into_iter().flat_map(|spec| deprecated::claim_spec(spec, &path)));
    }
    if set.int_at(&["spec", "revisionHistoryLimit"]).is_some_and(|limit| limit < 0) {
        let advice = "a negative value retains all historical revisions; a value >= 0 is recommended";
        warnings.push(format!("spec.revisionHistoryLimit: {advice}"));
    }
    warnings
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
    // Behind a gate that 1.36 has off (KEP-961).
    object.remove_at(&["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"]);
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
    check(object, false)
}

/// What is wrong with a set; what an update cannot change is looked at in a new one only.
fn check(object: &Value, changed: bool) -> Errors {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors = policies(spec, &path);
    if !changed {
        for (i, claim) in spec.items_at(&["volumeClaimTemplates"]).iter().enumerate() {
            let path = path.child("volumeClaimTemplates").index(i).child("spec");
            errors.extend(claim_spec(claim.get("spec").unwrap_or(&Value::Null), &path));
        }
    }
    for field in ["replicas", "minReadySeconds"] {
        errors.extend(non_negative_at(spec, field, &path));
    }
    errors.extend(non_negative_at(spec.get("ordinals").unwrap_or(&Value::Null), "start", &path.child("ordinals")));
    if let Some(service) = spec.str_at(&["serviceName"]).filter(|name| !changed && !name.is_empty()) {
        errors.extend(crate::validate::text(names::is_dns1123_label, service, &path.child("serviceName")));
    }
    errors.extend(pod_template::selected(spec, &path, "statefulset"));
    errors.extend(template_of_set(spec, &path));
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_template::always_restarts(template, &path.child("template"), "StatefulSet"));
    errors
}

fn template_of_set(spec: &Value, path: &Path) -> Errors {
    let mismatch = pod_template::labels_match(spec, path);
    if let Some(error) = mismatch.as_ref().filter(|error| error.detail == "invalid label selector") {
        return vec![Error { detail: String::new(), ..error.clone() }];
    }
    let mut errors: Errors = mismatch.into_iter().collect();
    let template = as_pods_have_it(spec);
    let path = path.child("template");
    errors.extend(pod_template::validate(&template, &path));
    // Upstream checks the template's metadata once more by itself.
    errors.extend(pod_template::metadata(&template, &path));
    errors
}

/// The template with what the controller sets in each pod: its name as host name, its claims as volumes.
fn as_pods_have_it(spec: &Value) -> Value {
    let mut template = spec.get("template").cloned().unwrap_or_else(Value::object);
    for field in ["hostname", "subdomain"] {
        template.remove_at(&["spec", field]);
    }
    let claims = spec.items_at(&["volumeClaimTemplates"]);
    if claims.is_empty() {
        return template;
    }
    let names: Vec<&str> = claims.iter().map(meta::name).collect();
    let mut volumes: Vec<Value> =
        names.iter().map(|name| value!({"name": (*name), "persistentVolumeClaim": {"claimName": (*name)}})).collect();
    let own = template.items_at(&["spec", "volumes"]);
    volumes.extend(own.iter().filter(|volume| !names.contains(&volume.str_at(&["name"]).unwrap_or_default())).cloned());
    template.set_at(&["spec", "volumes"], Value::Array(volumes));
    template
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
                errors.push(Error::invalid(&field.child("rollingUpdate"), shown(ROLLING, rolling), detail));
            }
        }
        "RollingUpdate" => {
            let rolling = rolling.unwrap_or(&Value::Null);
            errors.extend(non_negative_at(rolling, "partition", &field.child("rollingUpdate")));
        }
        _ => {
            let strategy = spec.get("updateStrategy").map(|strategy| shown(STRATEGY, strategy));
            errors.push(Error::invalid(&field, strategy, "must be 'RollingUpdate' or 'OnDelete'"));
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
    errors.extend(check(new, true));
    if fixed(new) != fixed(old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(Error::forbidden(&Path::new("spec"), detail));
    }
    errors
}

fn status(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let count = |field: &str| status.int_at(&[field]).unwrap_or_default();
    let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    let all = ["replicas"].into_iter().chain(parts).chain(["observedGeneration", "collisionCount"]);
    let mut errors: Errors = all.filter_map(|field| non_negative_at(status, field, &path)).collect();
    for part in parts.into_iter().filter(|part| count(part) > count("replicas")) {
        errors.push(Error::invalid(&path.child(part), count(part), "cannot be greater than status.replicas"));
    }
    let available = count("availableReplicas");
    if available > count("readyReplicas") {
        let detail = "cannot be greater than status.readyReplicas";
        errors.push(Error::invalid(&path.child("availableReplicas"), available, detail));
    }
    errors.extend(collisions_stay(new, old));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_without_end_and_parts_of_bytes_are_warned_of() {
        let set = value!({"spec": {"revisionHistoryLimit": (-1), "volumeClaimTemplates": [
            {"spec": {"resources": {"requests": {"storage": "1500m"}}}}]}});
        expect_test::expect![[r#"
            spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer
            spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"#]].assert_eq(&warnings(&set, None).join("\n"));
    }
}
