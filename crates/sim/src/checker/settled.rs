//! Whether all that was asked for has come true.

use std::collections::BTreeSet;

use machinery::{Value, meta};

use super::{Objects, under};
use crate::node::EXIT_CODE;
use crate::objects::{condition, is_available, is_finished, is_going, number, owner, store_key};

/// What is not yet as it was asked for, as a sentence.
#[must_use]
pub fn unsettled(all: &Objects) -> Option<String> {
    let of = |prefix: &'static str, test: fn(&Objects, &Value) -> Option<String>| {
        under(all, prefix).find_map(|(key, object)| Some(format!("{key} {}", test(all, object)?)))
    };
    of("/registry/minions/", node)
        .or_else(|| of("/registry/deployments/", deployment))
        .or_else(|| of("/registry/replicasets/", replica_set))
        .or_else(|| of("/registry/jobs/", job))
        .or_else(|| of("/registry/pods/", pod))
        .or_else(|| of("/registry/services/specs/", service))
}

fn node(_: &Objects, node: &Value) -> Option<String> {
    let ready = condition(node, "Ready");
    if ready != "True" {
        return Some(format!("has the condition Ready {ready:?}"));
    }
    let taints = node.items_at(&["spec", "taints"]);
    taints.first().map(|taint| format!("has the taint {}", taint.str_at(&["key"]).unwrap_or_default()))
}

fn deployment(_: &Objects, deployment: &Value) -> Option<String> {
    if is_going(deployment) {
        return Some("is still there".to_owned());
    }
    if number(deployment, &["status", "observedGeneration"]) != meta::generation(deployment) {
        return Some("was not observed in its latest generation".to_owned());
    }
    let wanted = number(deployment, &["spec", "replicas"]);
    let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
    let wrong = counts.iter().find(|name| number(deployment, &["status", name]) != wanted)?;
    Some(format!("wants {wanted} replicas, its {wrong} are {}", number(deployment, &["status", wrong])))
}

fn replica_set(all: &Objects, set: &Value) -> Option<String> {
    let wanted = number(set, &["spec", "replicas"]);
    for name in ["replicas", "readyReplicas", "availableReplicas"] {
        if number(set, &["status", name]) != wanted {
            return Some(format!("wants {wanted} replicas, its {name} are {}", number(set, &["status", name])));
        }
    }
    let prefix = store_key("pods", meta::namespace(set), "");
    let owned = under(all, &prefix).filter(|(_, pod)| owner(pod, "ReplicaSet") == Some(meta::name(set)));
    let there = owned.filter(|(_, pod)| is_available(pod)).count() as i64;
    (there != wanted).then(|| format!("wants {wanted} replicas and says so, but has {there}"))
}

fn job(_: &Objects, job: &Value) -> Option<String> {
    if is_going(job) {
        return Some("is still there".to_owned());
    }
    let fails = job.str_at(&["spec", "template", "metadata", "annotations", EXIT_CODE]).is_some_and(|code| code != "0");
    let end = if fails { "Failed" } else { "Complete" };
    if condition(job, end) != "True" {
        return Some(format!("is not {end}"));
    }
    let (wanted, succeeded) = (number(job, &["spec", "completions"]), number(job, &["status", "succeeded"]));
    if !fails && succeeded != wanted {
        return Some(format!("is complete with {succeeded} of {wanted} completions"));
    }
    let active = number(job, &["status", "active"]);
    (active != 0).then(|| format!("is over, but {active} pods are active"))
}

fn pod(all: &Objects, pod: &Value) -> Option<String> {
    if is_going(pod) {
        return Some("is still there".to_owned());
    }
    for (kind, storage) in [("ReplicaSet", "replicasets"), ("Job", "jobs")] {
        if let Some(name) = owner(pod, kind)
            && !all.contains_key(&store_key(storage, meta::namespace(pod), name))
        {
            return Some(format!("outlived its {kind} {name}"));
        }
    }
    if pod.items_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some("batch.kubernetes.io/job-tracking"))
    {
        return Some("is not counted by its job yet".to_owned());
    }
    (!is_finished(pod) && !is_available(pod)).then(|| "is not ready".to_owned())
}

/// A service's slices name the addresses of its ready pods, no more and no less.
fn service(all: &Objects, service: &Value) -> Option<String> {
    let selector = service.at(&["spec", "selector"])?.as_object()?;
    let (namespace, name) = (meta::namespace(service), meta::name(service));
    let prefix = store_key("pods", namespace, "");
    let selected =
        |pod: &Value| selector.iter().all(|(label, value)| pod.at(&["metadata", "labels", label]) == Some(value));
    let pods = under(all, &prefix).map(|(_, pod)| pod).filter(|pod| selected(pod) && is_available(pod));
    let wanted: BTreeSet<&str> = pods.filter_map(|pod| pod.str_at(&["status", "podIP"])).collect();
    let prefix = store_key("endpointslices", namespace, "");
    let slices = under(all, &prefix).map(|(_, slice)| slice);
    let slices =
        slices.filter(|slice| slice.str_at(&["metadata", "labels", "kubernetes.io/service-name"]) == Some(name));
    let endpoints = slices.flat_map(|slice| slice.items_at(&["endpoints"]));
    let ready = endpoints.filter(|endpoint| endpoint.bool_at(&["conditions", "ready"]) == Some(true));
    let given: BTreeSet<&str> = ready.flat_map(|e| e.items_at(&["addresses"])).filter_map(Value::as_str).collect();
    (given != wanted).then(|| format!("leads to {given:?}, its pods are {wanted:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(objects: &[(&str, &str)]) -> String {
        let parse = |(key, text): &(&str, &str)| ((*key).to_owned(), machinery::json::parse(text.as_bytes()).unwrap());
        unsettled(&objects.iter().map(parse).collect()).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_is_named() {
        let pod = r#"{"metadata":{"namespace":"a","ownerReferences":[{"controller":true,"kind":"ReplicaSet","name":"s"}]},
            "status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
        let shown = [
            judged(&[(
                "/registry/minions/n",
                r#"{"spec":{"taints":[{"key":"k"}]},"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#,
            )]),
            judged(&[("/registry/deployments/a/d", r#"{"spec":{"replicas":1},"status":{"replicas":1}}"#)]),
            judged(&[("/registry/replicasets/a/s", r#"{"spec":{"replicas":0}}"#)]),
            judged(&[(
                "/registry/jobs/a/j",
                r#"{"spec":{"completions":2},"status":{"succeeded":1,"conditions":[{"type":"Complete","status":"True"}]}}"#,
            )]),
            judged(&[("/registry/pods/a/p", pod)]),
            judged(&[("/registry/pods/a/p", r#"{"spec":{}}"#)]),
            judged(&[(
                "/registry/services/specs/a/s",
                r#"{"metadata":{"namespace":"a","name":"s"},"spec":{"selector":{"x":"y"}}}"#,
            )]),
        ];
        expect_test::expect![[r#"
            /registry/minions/n has the taint k
            /registry/deployments/a/d wants 1 replicas, its updatedReplicas are 0

            /registry/jobs/a/j is complete with 1 of 2 completions
            /registry/pods/a/p outlived its ReplicaSet s
            /registry/pods/a/p is not ready
        "#]]
        .assert_eq(&shown.join("\n"));
    }
}
