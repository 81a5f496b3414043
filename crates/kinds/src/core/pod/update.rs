//! What may change of a pod, and through which door.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::Context;
use crate::kind::keep;
use crate::pod_spec::check;
use crate::validate::diff::unified;

mod gated;
pub(super) mod resize;

/// Says that the pod only mirrors one that a kubelet has by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";

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

/// The place of an error that is about the whole object.
fn whole() -> Path {
    Path::default().key("")
}

fn bump(new: &mut Value, old: &Value) {
    let changed = new.get("spec") != old.get("spec");
    meta::set_generation(new, meta::generation(old) + i64::from(changed));
}
