//! What may change of a pod, and through which door.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::Context;
use crate::kind::keep;
use crate::pod_spec::check;

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with a changed pod.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    for list in ["containers", "initContainers"] {
        let count = |pod: &Value| pod.items_at(&["spec", list]).len();
        if count(new) != count(old) {
            errors.push(Error::forbidden(&path.child(list), "pod updates may not add or remove containers"));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    errors.extend(images(new, &path));
    errors.extend(deadline(new, old, &path));
    errors.extend(tolerations(new, old, &path.child("tolerations")));
    errors.extend(check::gates_update(new, old));
    let (new_spec, expected) = (spec(new), allowed(new, old));
    if new_spec != expected {
        errors.push(Error::forbidden(&path, FIXED));
    }
    errors
}

fn spec(pod: &Value) -> Value {
    pod.get("spec").cloned().unwrap_or_else(Value::object)
}

/// The old spec with everything that may change taken from the new pod.
fn allowed(new: &Value, old: &Value) -> Value {
    let mut expected = spec(old);
    for list in ["containers", "initContainers"] {
        let images: Vec<Option<Value>> =
            new.items_at(&["spec", list]).iter().map(|c| c.get("image").cloned()).collect();
        let containers = expected.get_mut(list).and_then(Value::as_array_mut);
        for (container, image) in containers.into_iter().flatten().zip(images) {
            if let Some(image) = image {
                container.set_at(&["image"], image);
            } else {
                container.remove_at(&["image"]);
            }
        }
    }
    let mut take = |field: &str| match new.at(&["spec", field]) {
        Some(value) => expected.set_at(&[field], value.clone()),
        None => drop(expected.remove_at(&[field])),
    };
    take("activeDeadlineSeconds");
    take("tolerations");
    let gated = !old.items_at(&["spec", "schedulingGates"]).is_empty();
    take("schedulingGates");
    if gated {
        take("nodeSelector");
        take("affinity");
    }
    let was_negative = old.int_at(&["spec", "terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0);
    if was_negative && new.int_at(&["spec", "terminationGracePeriodSeconds"]) == Some(1) {
        take("terminationGracePeriodSeconds");
    }
    expected
}

fn images(new: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for list in ["containers", "initContainers"] {
        for (i, container) in new.items_at(&["spec", list]).iter().enumerate() {
            let field = path.child(list).index(i).child("image");
            let image = container.str_at(&["image"]).unwrap_or_default();
            if image.is_empty() {
                errors.push(Error::required(&field, ""));
            } else if image.trim() != image {
                errors.push(Error::invalid(&field, image, "must not have leading or trailing whitespace"));
            }
        }
    }
    errors
}

/// The deadline may come and shrink, never grow or go.
fn deadline(new: &Value, old: &Value, path: &Path) -> Option<Error> {
    let path = path.child("activeDeadlineSeconds");
    let [new, old] = [new, old].map(|pod| pod.int_at(&["spec", "activeDeadlineSeconds"]));
    match (new, old) {
        (Some(new), _) if !(1..=i64::from(i32::MAX)).contains(&new) => {
            Some(Error::invalid(&path, new, machinery::names::inclusive_range(1, i32::MAX.into())))
        }
        (Some(new), Some(old)) if new > old => {
            Some(Error::invalid(&path, new, "must be less than or equal to previous value"))
        }
        (None, Some(_)) => {
            Some(Error::invalid(&path, Value::Null, "must not update from a positive integer to nil value"))
        }
        _ => None,
    }
}

/// Tolerations may come; of those that are there only the seconds may change.
fn tolerations(new: &Value, old: &Value, path: &Path) -> Errors {
    let [new, old] = [new, old].map(|pod| pod.items_at(&["spec", "tolerations"]));
    let same = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|f| a.get(f) == b.get(f));
    let mut errors = check::toleration_list(new, path);
    if old.iter().any(|before| !new.iter().any(|after| same(before, after))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

/// Only ephemeral containers change through their door.
pub(super) fn prepare_ephemeral(new: &mut Value, old: &Value, _: &Context<'_>) {
    let list = new.at(&["spec", "ephemeralContainers"]).cloned();
    let version = meta::resource_version(new).to_owned();
    *new = old.clone();
    meta::set_resource_version(new, &version);
    match list {
        Some(list) => new.set_at(&["spec", "ephemeralContainers"], list),
        None => drop(new.remove_at(&["spec", "ephemeralContainers"])),
    }
    bump(new, old);
}

/// Ephemeral containers may be added, never changed or taken away.
pub(super) fn validate_ephemeral(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec.ephemeralContainers");
    let mut errors = check::containers::all(new.get("spec").unwrap_or(&Value::Null), &Path::new("spec"));
    let [new, old] = [new, old].map(|pod| pod.items_at(&["spec", "ephemeralContainers"]));
    for (i, before) in old.iter().enumerate() {
        let name = before.str_at(&["name"]);
        let display = name.unwrap_or_default();
        match new.iter().find(|after| after.str_at(&["name"]) == name) {
            None => {
                let detail =
                    format!("existing ephemeral containers {} may not be removed\n", machinery::field::quote(display));
                errors.push(Error::forbidden(&path, detail));
            }
            Some(after) if after != before => {
                let detail =
                    format!("existing ephemeral containers {} may not be changed\n", machinery::field::quote(display));
                errors.push(Error::forbidden(&path.index(i), detail));
            }
            Some(_) => {}
        }
    }
    errors
}

/// Only resources change through their door.
pub(super) fn prepare_resize(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep(new, old, &["status"]);
    let metadata = old.get("metadata").cloned();
    let version = meta::resource_version(new).to_owned();
    if let Some(metadata) = metadata {
        new.set_at(&["metadata"], metadata);
        meta::set_resource_version(new, &version);
    }
    bump(new, old);
}

/// Only CPU and memory of containers change, and the pod keeps its class.
pub(super) fn validate_resize(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    for list in ["containers", "initContainers"] {
        for (i, container) in new.items_at(&["spec", list]).iter().enumerate() {
            let resources = container.get("resources").unwrap_or(&Value::Null);
            let path = path.child(list).index(i).child("resources");
            errors.extend(crate::validate::resources::requirements(resources, &path));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    if super::qos_class(&spec(new)) != super::qos_class(&spec(old)) {
        let class = super::qos_class(&spec(new));
        errors.push(Error::invalid(&path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    let (plain, keeps_others) = (without_resources(new, true), without_resources(new, false));
    if keeps_others != without_resources(old, false) {
        let same_otherwise = plain == without_resources(old, true);
        let detail = if same_otherwise { "only cpu and memory resources are mutable" } else { FIXED };
        errors.push(Error::forbidden(&path, detail));
    }
    errors
}

/// The spec without the CPU and memory of its containers, or without any of their resources.
fn without_resources(pod: &Value, all: bool) -> Value {
    let mut spec = spec(pod);
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if all {
                container.remove_at(&["resources"]);
                continue;
            }
            for list in ["limits", "requests"] {
                let amounts = container.at_mut(&["resources", list]).and_then(Value::as_object_mut);
                let Some(amounts) = amounts else { continue };
                amounts.retain(|name, _| !matches!(name, "cpu" | "memory"));
                if amounts.is_empty() {
                    container.remove_at(&["resources", list]);
                }
            }
        }
    }
    spec
}

/// A container that has ended for good may not run again in the status.
pub(super) fn state_transitions(new: &Value, old: &Value, list: &str, statuses: &str) -> Errors {
    let path = Path::new("status").child(statuses);
    let mut errors = Errors::new();
    let policy = old.str_at(&["spec", "restartPolicy"]).unwrap_or("Always");
    if policy == "Always" && list == "containers" {
        return errors;
    }
    for before in old.items_at(&["status", statuses]) {
        let name = before.str_at(&["name"]);
        let Some(ended) = before.at(&["state", "terminated"]).filter(|state| !state.is_null()) else { continue };
        let failed = ended.int_at(&["exitCode"]).unwrap_or_default() != 0;
        let sidecar =
            old.items_at(&["spec", list]).iter().any(|c| c.str_at(&["name"]) == name && crate::pod_spec::is_sidecar(c));
        if sidecar || (failed && policy != "Never") {
            continue;
        }
        for (i, after) in new.items_at(&["status", statuses]).iter().enumerate() {
            if after.str_at(&["name"]) == name && after.at(&["state", "terminated"]).is_none_or(Value::is_null) {
                let detail = "may not be transitioned to non-terminated state";
                errors.push(Error::forbidden(&path.index(i).child("state"), detail));
            }
        }
    }
    errors
}

fn bump(new: &mut Value, old: &Value) {
    let changed = new.get("spec") != old.get("spec");
    meta::set_generation(new, meta::generation(old) + i64::from(changed));
}
