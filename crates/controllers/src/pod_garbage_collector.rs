//! Pod garbage collection: pods of nodes that are gone, and too many ended ones.

use std::sync::Arc;
use std::time::Duration;

use client::driver::{Controller, Watches};
use client::{Action, Change, Object, Patch, View};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use machinery::value;

use crate::{Options, pods};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "pod-garbage-collector-controller", workers: 1, watches, plan };

/// A node must be missing for so long before its pods go: it may just be registering anew.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);

/// The key of the plan over all ended pods; no node is called so.
const ENDED: &str = "*";

fn watches(watch: &mut Watches<'_>) {
    watch.on::<Pod>(woken_by_pod);
    watch.on::<Node>(|change, _| vec![change.key.to_string()]);
    watch.index::<Pod>("node", |pod| vec![pods::node(pod).to_owned()]);
    watch.index::<Pod>("ended", |pod| if pods::is_terminal(pod) { vec![ENDED.to_owned()] } else { Vec::new() });
}

fn woken_by_pod(change: &Change<Pod>, view: &View) -> Vec<String> {
    let pod = change.object();
    let mut keys = Vec::new();
    if pods::is_terminal(pod) {
        keys.push(ENDED.to_owned());
    }
    if view.get::<Node>(pods::node(pod)).is_none() {
        keys.push(pods::node(pod).to_owned());
    }
    keys
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    match key {
        ENDED => ended(view),
        "" => unbound(view),
        node => orphaned(node, view),
    }
}

/// The oldest ended pods beyond the threshold.
fn ended(view: &View) -> Vec<Action> {
    let mut pods = view.by_index::<Pod>("ended", ENDED);
    pods.retain(|pod| !pod.is_deleted());
    let surplus = pods.len().saturating_sub(view.settings::<Options>().terminated_pod_gc_threshold);
    pods.sort_by_key(|pod| (pods::created(pod), pod.key()));
    pods.iter().take(surplus).flat_map(|pod| collect(pod, view, None)).collect()
}

/// Pods that were deleted before they had a node: no kubelet will finish them.
fn unbound(view: &View) -> Vec<Action> {
    let pods = view.by_index::<Pod>("node", "");
    pods.iter().filter(|pod| pod.is_deleted()).flat_map(|pod| collect(pod, view, None)).collect()
}

fn orphaned(node: &str, view: &View) -> Vec<Action> {
    if view.get::<Node>(node).is_some() {
        return Vec::new();
    }
    let pods = view.by_index::<Pod>("node", node);
    let mut actions = Vec::new();
    let mut wait: Option<SignedDuration> = None;
    for pod in pods {
        let since = view.gone::<Node>(node).or_else(|| view.changed::<Pod>(&pod.key())).unwrap_or(view.now);
        let left = QUARANTINE - view.now.duration_since(since);
        if left.is_positive() {
            wait = Some(wait.map_or(left, |wait| wait.min(left)));
            continue;
        }
        actions.extend(collect(&pod, view, Some("PodGC: node no longer exists")));
    }
    actions.extend(wait.and_then(|wait| Duration::try_from(wait).ok()).map(Action::Requeue));
    actions
}

/// Marks a pod that had not ended as failed, then deletes it without grace.
fn collect(pod: &Arc<Pod>, view: &View, disruption: Option<&str>) -> Vec<Action> {
    let mut actions = Vec::new();
    if !pods::is_terminal(pod) {
        let now = machinery::meta::seconds(view.now);
        let mut patch = value!({"metadata": {"uid": (pod.uid())}, "status": {"phase": "Failed"}});
        if let Some(message) = disruption {
            let condition = value!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": message,
                "lastTransitionTime": now
            });
            patch.set_at(&["status", "conditions"], vec![condition]);
        }
        actions.push(Action::patch(&**pod, "status", Patch::Strategic(patch)));
    }
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    actions.push(Action::delete_with(&**pod, options));
    actions
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    #[test]
    fn pods_without_a_node_go() {
        let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a, uid: u}, spec: {nodeName: n1, containers: []}, status: {phase: Running}}";
        expect![[r#"
            patch Pod/status a/p {"metadata":{"uid":"u"},"status":{"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True","reason":"DeletionByPodGC","message":"PodGC: node no longer exists","lastTransitionTime":"2026-01-01T00:10:00Z"}]}}
            delete Pod a/p grace 0
        "#]].assert_eq(&table::plan(&CONTROLLER, "n1", pod));
        let node = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: n1}}";
        assert_eq!(table::plan(&CONTROLLER, "n1", &format!("{pod}{node}")), "");
    }
}
