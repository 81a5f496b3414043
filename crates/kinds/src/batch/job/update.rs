//! What may change of a job: little, and a bit more while it is suspended.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::{NAME_LABEL, UID_LABEL, check, condition_holds};
use crate::go_shape;
use crate::kind::keep;
use crate::strategy::immutable;

const POLICIES: [(&str, &str); 2] = [
    ("podFailurePolicy", "io.k8s.api.batch.v1.PodFailurePolicy"),
    ("successPolicy", "io.k8s.api.batch.v1.SuccessPolicy"),
];

/// What is wrong with a changed job. What is checked of any job is checked twice, as upstream does.
pub(super) fn check(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let labels = ["spec", "template", "metadata", "labels"];
    let labelled =
        [UID_LABEL, NAME_LABEL].iter().all(|key| old.at(&labels).is_some_and(|labels| labels.get(key).is_some()));
    let mut errors = check::job(new, labelled);
    errors.extend(check::job_spec(spec, &path));
    errors.extend(completions(new, old, &path.child("completions")));
    let changed = |field: &str| {
        let [new, old] = [new, old].map(|job| job.at(&["spec", field]));
        immutable(new, old, &path.child(field))
    };
    errors.extend(changed("selector"));
    errors.extend(template(new, old, &path));
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        let shown = POLICIES.iter().find(|(name, _)| *name == field);
        errors.extend(match (changed(field), shown) {
            (Some(error), Some((_, schema))) => {
                let policy = spec.get(field).map(|policy| go_shape::shown(schema, policy));
                Some(Error::invalid(&error.field, policy, error.detail))
            }
            (error, _) => error,
        });
    }
    errors
}

/// An indexed job may grow if it runs as many pods as it wants completions (KEP-3715).
fn completions(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let of = |job: &Value, field: &str| job.at(&["spec", field]).cloned();
    let (after, before) = (of(new, "completions"), of(old, "completions"));
    if new.str_at(&["spec", "completionMode"]) != Some("Indexed") {
        return immutable(after.as_ref(), before.as_ref(), path);
    }
    if after == before || after.is_none() || after == of(new, "parallelism") {
        return None;
    }
    Some(Error::invalid(path, after, "can only be modified in tandem with spec.parallelism"))
}

/// Where and with what the pods of a suspended job will run may change before they run (KEP-2926, KEP-5440).
fn template(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let [after, before] = [new, old].map(|job| job.at(&["spec", "template"]).cloned().unwrap_or_else(Value::object));
    let suspended = old.bool_at(&["spec", "suspend"]) == Some(true);
    let idle = old.at(&["status", "startTime"]).is_none()
        || (condition_holds(old, "Suspended") && old.int_at(&["status", "active"]).unwrap_or_default() == 0);
    let mut expected = before;
    if suspended && idle {
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            keep(&mut expected, &after, &["spec", field]);
        }
        for field in ["annotations", "labels"] {
            keep(&mut expected, &after, &["metadata", field]);
        }
        node_affinity(&mut expected, &after);
    }
    let resources = suspended && idle;
    if resources {
        same_resources(&mut expected, &after);
    }
    if after == expected {
        return None;
    }
    if resources {
        let spec = go_shape::pod_spec(after.get("spec").unwrap_or(&Value::Null));
        return Some(Error::invalid(&path.child("template.spec"), spec, "field is immutable"));
    }
    Some(Error::invalid(&path.child("template"), go_shape::pod_template(&after), "field is immutable"))
}

fn node_affinity(expected: &mut Value, after: &Value) {
    let path = ["spec", "affinity", "nodeAffinity"];
    keep(expected, after, &path);
    let empty = expected.at(&["spec", "affinity"]).and_then(Value::as_object).is_some_and(machinery::Object::is_empty);
    if empty && after.at(&["spec", "affinity"]).is_none() {
        expected.remove_at(&["spec", "affinity"]);
    }
}

fn same_resources(expected: &mut Value, after: &Value) {
    for list in ["containers", "initContainers"] {
        let wanted = after.items_at(&["spec", list]);
        let containers = expected.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        let Some(containers) = containers.filter(|containers| containers.len() == wanted.len()) else { continue };
        for (container, wanted) in containers.iter_mut().zip(wanted) {
            if container.get("name") == wanted.get("name") {
                keep(container, wanted, &["resources"]);
            }
        }
    }
}
