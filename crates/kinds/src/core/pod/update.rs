//! What may change of a pod, and through which door.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::Context;
use crate::kind::keep;
use crate::pod_spec::check;
use crate::validate::diff::unified;

mod gated;

/// Says that the pod only mirrors one that a kubelet has by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
const ONLY_CPU_AND_MEMORY: &str = "only cpu and memory resources are mutable";

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with a changed pod.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = super::metadata_and_spec(new);
    errors.extend(super::annotations::check_update(new, old));
    for list in ["containers", "initContainers"] {
        let count = |pod: &Value| pod.items_at(&["spec", list]).len();
        if count(new) != count(old) {
            errors.push(Error::forbidden(&path.child(list), "pod updates may not add or remove containers"));
            return errors;
        }
        errors.extend(images(new, list, &path.child(list)));
    }
    let (wrong, stop) = deadline(new, old, &path);
    errors.extend(wrong);
    if stop {
        return errors;
    }
    errors.extend(tolerations(new, old, &path.child("tolerations")));
    errors.extend(check::gates_update(new, old));
    let old_spec = spec(old);
    let (changed, wrong) = beyond_allowed(new, old);
    errors.extend(wrong);
    if changed != old_spec {
        errors.push(Error::forbidden(&path, format!("{FIXED}\n{}", unified(&old_spec, &changed))));
    }
    errors
}

fn spec(pod: &Value) -> Value {
    pod.get("spec").cloned().unwrap_or_else(Value::object)
}

/// The new spec with everything that may change taken back, and what is wrong with how gated pods changed.
fn beyond_allowed(new: &Value, old: &Value) -> (Value, Errors) {
    let (mut changed, mut errors) = (spec(new), Errors::new());
    for list in ["containers", "initContainers"] {
        let before = old.items_at(&["spec", list]);
        let containers = changed.get_mut(list).and_then(Value::as_array_mut);
        for (container, before) in containers.into_iter().flatten().zip(before) {
            keep(container, before, &["image"]);
        }
    }
    let before = spec(old);
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(&mut changed, &before, &[field]);
    }
    let grace = |spec: &Value| spec.int_at(&["terminationGracePeriodSeconds"]);
    if grace(&before).is_some_and(|seconds| seconds < 0) && grace(&changed) == Some(1) {
        keep(&mut changed, &before, &["terminationGracePeriodSeconds"]);
    }
    if !old.items_at(&["spec", "schedulingGates"]).is_empty() {
        errors = gated::check(&changed, &before);
        keep(&mut changed, &before, &["nodeSelector"]);
        gated::keep_node_affinity(&mut changed, &before);
    }
    (changed, errors)
}

fn images(new: &Value, list: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, container) in new.items_at(&["spec", list]).iter().enumerate() {
        let field = path.index(i).child("image");
        let image = container.str_at(&["image"]).unwrap_or_default();
        if image.is_empty() {
            errors.push(Error::required(&field, ""));
        }
        if image.trim() != image {
            errors.push(Error::invalid(&field, image, "must not have leading or trailing whitespace"));
        }
    }
    errors
}

/// The deadline may come and shrink, never grow or go; a wrong one ends the check.
fn deadline(new: &Value, old: &Value, path: &Path) -> (Option<Error>, bool) {
    let path = path.child("activeDeadlineSeconds");
    let [new, old] = [new, old].map(|pod| pod.int_at(&["spec", "activeDeadlineSeconds"]));
    match (new, old) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            let detail = machinery::names::inclusive_range(0, i32::MAX.into());
            (Some(Error::invalid(&path, new, detail)), true)
        }
        (Some(new), Some(old)) if new > old => {
            (Some(Error::invalid(&path, new, "must be less than or equal to previous value")), true)
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            (Some(Error::invalid(&path, Value::Null, detail)), false)
        }
        _ => (None, false),
    }
}

/// Tolerations may come; of those that are there only the seconds may change.
fn tolerations(new: &Value, old: &Value, path: &Path) -> Errors {
    let [new, old] = [new, old].map(|pod| pod.items_at(&["spec", "tolerations"]));
    let same = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|f| a.get(f) == b.get(f));
    if old.iter().any(|before| !new.iter().any(|after| same(before, after))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return vec![Error::forbidden(path, detail)];
    }
    check::toleration_list(new, path)
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
    if meta::annotation(old, MIRROR).is_some() {
        return vec![Error::forbidden(&whole(), "static pods do not support ephemeral containers")];
    }
    let path = Path::new("spec.ephemeralContainers");
    let mut errors = super::metadata_and_spec(new);
    errors.extend(super::annotations::check_update(new, old));
    let [new, old] = [new, old].map(|pod| pod.items_at(&["spec", "ephemeralContainers"]));
    for before in old {
        let name = before.str_at(&["name"]);
        let shown = machinery::field::quote(name.unwrap_or_default());
        let detail = match new.iter().find(|after| after.str_at(&["name"]) == name) {
            None => format!("existing ephemeral containers {shown} may not be removed\n"),
            Some(after) if after != before => {
                format!("existing ephemeral containers {shown} may not be changed\n{}", unified(before, after))
            }
            Some(_) => continue,
        };
        errors.push(Error::forbidden(&path, detail));
    }
    errors
}

/// Only resources change through their door: of what is written the rest is dropped.
pub(super) fn prepare_resize(new: &mut Value, old: &Value, _: &Context<'_>) {
    let asked = std::mem::replace(new, old.clone());
    meta::set_resource_version(new, meta::resource_version(&asked));
    for list in ["containers", "initContainers"] {
        let containers = new.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container.get("name").cloned();
            let wish = asked.items_at(&["spec", list]).iter().find(|wish| wish.get("name") == name.as_ref());
            for field in ["resources", "resizePolicy"] {
                wish.into_iter().for_each(|wish| keep(container, wish, &[field]));
            }
        }
    }
    bump(new, old);
}

/// Only CPU and memory of containers change, and the pod keeps its class.
pub(super) fn validate_resize(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = super::metadata_and_spec(new);
    if meta::annotation(old, MIRROR).is_some() {
        return vec![Error::forbidden(&whole(), "static pods cannot be resized")];
    }
    if old.str_at(&["spec", "os", "name"]) == Some("windows") {
        return vec![Error::forbidden(&whole(), "windows pods cannot be resized")];
    }
    if super::qos_class(&spec(new)) != super::qos_class(&spec(old)) {
        let class = new.str_at(&["status", "qosClass"]).unwrap_or_default();
        errors.push(Error::invalid(&path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    if !node_can_resize(old) {
        errors.push(Error::forbidden(&path, "Pod running on node without support for resize"));
    }
    for list in ["initContainers", "containers"] {
        let before = old.items_at(&["spec", list]);
        for (i, (after, before)) in new.items_at(&["spec", list]).iter().zip(before).enumerate() {
            if list == "containers" || crate::pod_spec::is_sidecar(before) {
                errors.extend(nothing_removed(after, before, &path.child(list).index(i).child("resources")));
            }
        }
    }
    errors.extend(only_cpu_and_memory(new, old, &path));
    if errors.is_empty() && without_resources(new, false) != without_resources(old, false) {
        errors.push(Error::forbidden(&path, ONLY_CPU_AND_MEMORY));
    }
    errors
}

/// A kubelet that says nothing of its containers' resources is too old; one that runs none may be new enough.
fn node_can_resize(pod: &Value) -> bool {
    let mut running = pod
        .items_at(&["status", "containerStatuses"])
        .iter()
        .filter(|status| status.at(&["state", "running"]).is_some_and(|running| !running.is_null()));
    running.next().is_none_or(|status| status.get("resources").is_some_and(|resources| !resources.is_null()))
}

fn nothing_removed(after: &Value, before: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (list, detail) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let [after, before] = [after, before].map(|container| crate::pod_spec::amounts(container, list));
        if before.keys().any(|name| !after.contains_key(name)) {
            errors.push(Error::forbidden(&path.child(list), detail));
        }
    }
    errors
}

fn only_cpu_and_memory(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for list in ["containers", "initContainers"] {
        let [after, before] = [new, old].map(|pod| without_resources(pod, false).items_at(&[list]).to_vec());
        let [whole_after, whole_before] = [new, old].map(|pod| pod.items_at(&["spec", list]));
        for (i, (after, before)) in after.iter().zip(&before).enumerate() {
            let sidecar = crate::pod_spec::is_sidecar(before);
            let detail = match list {
                "containers" => ONLY_CPU_AND_MEMORY,
                _ if sidecar => "only cpu and memory resources for sidecar containers are mutable",
                _ => "resources for non-sidecar init containers are immutable",
            };
            let fixed = list == "initContainers" && !sidecar;
            let changed = if fixed { whole_after.get(i) != whole_before.get(i) } else { after != before };
            errors.extend(changed.then(|| Error::forbidden(path, detail)));
        }
    }
    errors
}

/// The place of an error that is about the whole object.
fn whole() -> Path {
    Path::default().key("")
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

fn bump(new: &mut Value, old: &Value) {
    let changed = new.get("spec") != old.get("spec");
    meta::set_generation(new, meta::generation(old) + i64::from(changed));
}
