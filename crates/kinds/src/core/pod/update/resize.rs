//! The door through which a pod's CPU and memory change while it runs (KEP-1287, KEP-5419).

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use super::{MIRROR, bump, spec, whole};
use crate::Context;
use crate::core::pod::{metadata_and_spec, qos_class};
use crate::kind::keep;
use crate::pod_spec::{amounts, is_sidecar};

const ONLY_CPU_AND_MEMORY: &str = "only cpu and memory resources are mutable";
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Only resources change through their door: of what is written the rest is dropped. What comes, goes or moves among
/// the containers stays as it is written, for validation to refuse.
pub(crate) fn prepare(new: &mut Value, old: &Value, _: &Context<'_>) {
    let asked = std::mem::replace(new, old.clone());
    meta::set_resource_version(new, meta::resource_version(&asked));
    let other_count =
        LISTS.iter().any(|list| asked.items_at(&["spec", list]).len() != old.items_at(&["spec", list]).len());
    for list in LISTS {
        let wishes = asked.items_at(&["spec", list]);
        let moved = wishes.iter().zip(old.items_at(&["spec", list])).any(|(a, b)| a.get("name") != b.get("name"));
        if other_count || moved {
            keep(new, &asked, &["spec", list]);
            continue;
        }
        let containers = new.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for (container, wish) in containers.into_iter().flatten().zip(wishes) {
            keep(container, wish, &["resources"]);
            keep(container, wish, &["resizePolicy"]);
        }
    }
    keep(new, &asked, &["spec", "resources"]);
    bump(new, old);
}

/// Only CPU and memory change, and the pod keeps its class.
pub(crate) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = metadata_and_spec(new);
    if meta::annotation(old, MIRROR).is_some() {
        return vec![Error::forbidden(&whole(), "static pods cannot be resized")];
    }
    if old.str_at(&["spec", "os", "name"]) == Some("windows") {
        return vec![Error::forbidden(&whole(), "windows pods cannot be resized")];
    }
    if qos_class(&spec(new)) != qos_class(&spec(old)) {
        let class = new.str_at(&["status", "qosClass"]).unwrap_or_default();
        errors.push(Error::invalid(&path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    if !node_can_resize(old) {
        errors.push(Error::forbidden(&path, "Pod running on node without support for resize"));
    }
    errors.extend(of_pod(new, old, &path));
    let moved = order(new, old, &path);
    if !moved.is_empty() {
        errors.extend(moved);
        return errors;
    }
    for list in ["initContainers", "containers"] {
        for (i, (after, before)) in pairs(new, old, list) {
            errors.extend(nothing_removed(after, before, "resource", &path.child(list).index(i).child("resources")));
        }
    }
    for (_, (after, before)) in pairs(new, old, "containers") {
        errors.extend(differs(after, before).then(|| Error::forbidden(&path, ONLY_CPU_AND_MEMORY)));
    }
    for (i, (after, before)) in pairs(new, old, "initContainers") {
        errors.extend(initial(after, before, &path.child("initContainers").index(i)));
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

/// What is wrong with how the resources of the pod as one change.
fn of_pod(new: &Value, old: &Value, path: &Path) -> Errors {
    let of = |pod: &Value| spec(pod).get("resources").filter(|resources| !resources.is_null()).cloned();
    let (after, before) = (of(new), of(old));
    let field = path.child("resources");
    if after.is_none() && before.is_some() {
        return vec![Error::forbidden(&field, "pod-level resources cannot be removed")];
    }
    let mut errors = nothing_removed(&spec(new), &spec(old), "pod-level resource", &field);
    if ["limits", "requests"].iter().any(|list| others(&spec(new), list) != others(&spec(old), list)) {
        errors.push(Error::forbidden(path, "only cpu and memory resources are mutable at pod-level"));
    }
    errors
}

/// Containers neither come nor go, and keep their places.
fn order(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for list in LISTS {
        let field = path.child(list);
        if new.items_at(&["spec", list]).len() != old.items_at(&["spec", list]).len() {
            errors.push(Error::forbidden(&field, format!("{list} may not be added or removed on resize")));
            continue;
        }
        for (i, _) in pairs(new, old, list).filter(|(_, (after, before))| after.get("name") != before.get("name")) {
            let detail = format!("{list} may not be renamed or reordered on resize");
            errors.push(Error::forbidden(&field.index(i).child("name"), detail));
        }
    }
    errors
}

fn pairs<'a>(new: &'a Value, old: &'a Value, list: &str) -> impl Iterator<Item = (usize, (&'a Value, &'a Value))> {
    new.items_at(&["spec", list]).iter().zip(old.items_at(&["spec", list])).enumerate()
}

fn nothing_removed(after: &Value, before: &Value, words: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for list in ["requests", "limits"] {
        let [after, before] = [after, before].map(|container| amounts(container, list));
        if before.keys().any(|name| !after.contains_key(name)) {
            errors.push(Error::forbidden(&path.child(list), format!("{words} {list} cannot be removed")));
        }
    }
    errors
}

/// Whether more than CPU and memory is another; claims on devices, too, keep a container from changing.
fn differs(after: &Value, before: &Value) -> bool {
    let rest = |container: &Value| {
        let mut container = container.clone();
        container.remove_at(&["resources"]);
        container
    };
    rest(after) != rest(before)
        || ["limits", "requests"].iter().any(|list| others(after, list) != others(before, list))
        || !before.items_at(&["resources", "claims"]).is_empty()
}

/// The amounts that cannot change.
fn others(container: &Value, list: &str) -> std::collections::BTreeMap<machinery::Text, machinery::Quantity> {
    let mut all = amounts(container, list);
    all.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
    all
}

fn initial(after: &Value, before: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if differs(after, before) {
        let detail = "only cpu and memory resources for init or sidecar containers are mutable";
        errors.push(Error::forbidden(path, detail));
    }
    let restarts = |policy: &&Value| policy.str_at(&["restartPolicy"]) == Some("RestartContainer");
    if after != before && !is_sidecar(after) {
        let policies = after.items_at(&["resizePolicy"]).iter().filter(restarts);
        let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
        errors.extend(policies.map(|_| Error::forbidden(path, detail)));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    /// What is wrong with writing `change` of the first of these containers: one that runs on, an init container.
    fn resized(list: &str, change: Value) -> String {
        let wants = value!({"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}});
        let container = |name: &str| value!({"name": name, "image": "i:1", "resources": (wants.clone())});
        let mut spec = value!({"containers": [(container("a"))], "initContainers": [(container("b"))]});
        crate::pod_spec::default::pod_spec(&mut spec);
        let old = value!({"metadata": {"name": "p"}, "spec": spec});
        let mut new = old.clone();
        let items = new.at_mut(&["spec", list]).and_then(Value::as_array_mut).unwrap();
        for (field, value) in change.as_object().unwrap().iter() {
            items[0].set_at(&[field.as_str()], value.clone());
        }
        let context = Context { user: "", uid: "", groups: &[], extra: &[], now: jiff::Timestamp::UNIX_EPOCH };
        prepare(&mut new, &old, &context);
        field::aggregate(&validate(&new, &old))
    }

    #[test]
    fn what_may_change() {
        let more = value!({"resources": {"requests": {"cpu": "2"}, "limits": {"memory": "2Gi"}}, "image": "j:1"});
        assert_eq!(resized("containers", more.clone()), "[]");
        assert_eq!(resized("initContainers", more), "[]");
        let storage =
            value!({"resources": {"requests": {"cpu": "1", "ephemeral-storage": "1"}, "limits": {"memory": "1Gi"}}});
        expect_test::expect!["spec: Forbidden: only cpu and memory resources are mutable"]
            .assert_eq(&resized("containers", storage.clone()));
        expect_test::expect![
            "spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"
        ]
        .assert_eq(&resized("initContainers", storage));
        expect_test::expect!["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]
            .assert_eq(&resized("containers", value!({"resources": {"requests": {"cpu": "1"}}})));
        expect_test::expect![
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"
        ]
        .assert_eq(&resized("containers", value!({"name": "c"})));
    }
}
