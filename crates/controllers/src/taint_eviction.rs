//! Taint eviction: a pod leaves a node whose NoExecute taints it does not tolerate, at once or when its patience ends.

use std::time::Duration;

use client::driver::{Controller, Watches};
use client::{Action, Object, Patch, View, reference};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use machinery::value;

use crate::pods;

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "taint-eviction-controller", workers: 8, watches, plan };

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Pod>();
    watch.index::<Pod>("node", |pod| vec![pods::node(pod).to_owned()]);
    watch.on::<Node>(|change, view| {
        let taints = |node: &std::sync::Arc<Node>| node.spec.as_ref().and_then(|spec| spec.taints.clone());
        if change.old.as_ref().map(taints) == change.new.as_ref().map(taints) {
            return Vec::new();
        }
        view.by_index::<Pod>("node", &change.key).iter().map(|pod| pod.key()).collect()
    });
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(pod) = view.get::<Pod>(key).filter(|pod| !pod.is_deleted()) else { return Vec::new() };
    let Some(node) = view.get::<Node>(pods::node(&pod)) else { return Vec::new() };
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let taints: Vec<&Taint> = taints.filter(|taint| taint.effect == "NoExecute").collect();
    match leave(&pod, &taints, view.now) {
        None => Vec::new(),
        Some(at) if at > view.now => {
            vec![Action::Requeue(Duration::try_from(at.duration_since(view.now)).unwrap_or_default())]
        }
        Some(_) => evict(&pod, view),
    }
}

/// When the pod has to leave, if ever.
fn leave(pod: &Pod, taints: &[&Taint], now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let moments = taints.iter().filter_map(|taint| {
        let added = taint.time_added.as_ref().map_or(now, |time| time.0);
        let mut patience = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if patience.peek().is_none() {
            return Some(now);
        }
        let seconds = patience.filter_map(|toleration| toleration.toleration_seconds).min()?;
        Some(added + SignedDuration::from_secs(seconds.max(0)))
    });
    moments.min()
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let field = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (field(&toleration.effect), field(&toleration.key));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match field(&toleration.operator).as_str() {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && field(&toleration.value) == field(&taint.value),
        _ => false,
    }
}

fn evict(pod: &Pod, view: &View) -> Vec<Action> {
    let message = format!("Marking for deletion Pod {}", pod.key());
    let now = machinery::meta::seconds(view.now);
    let patch = value!({
        "metadata": {"uid": (pod.uid())},
        "status": {"conditions": [{
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": now
        }]}
    });
    vec![
        Action::event(reference(pod), "Normal", "TaintManagerEviction", message),
        Action::patch(pod, "status", Patch::Strategic(patch)),
        Action::delete(pod),
    ]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    #[test]
    fn patience_ends() {
        let node = "
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute, timeAdded: '2026-01-01T00:08:00Z'}]}
---
";
        let pod = |tolerations: &str| {
            format!(
                "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: a, uid: u}}, spec: {{nodeName: n1, containers: [], tolerations: [{tolerations}]}}}}"
            )
        };
        for (tolerations, expected) in [
            (
                "",
                expect![[r#"
                event Normal TaintManagerEviction: Marking for deletion Pod a/p
                patch Pod/status a/p {"metadata":{"uid":"u"},"status":{"conditions":[{"type":"DisruptionTarget","status":"True","reason":"DeletionByTaintManager","message":"Taint manager: deleting due to NoExecute taint","lastTransitionTime":"2026-01-01T00:10:00Z"}]}}
                delete Pod a/p
            "#]],
            ),
            ("{operator: Exists}", expect![[""]]),
            (
                "{key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 300}",
                expect![[r#"
                requeue after 180s
            "#]],
            ),
            (
                "{key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 60}",
                expect![[r#"
                event Normal TaintManagerEviction: Marking for deletion Pod a/p
                patch Pod/status a/p {"metadata":{"uid":"u"},"status":{"conditions":[{"type":"DisruptionTarget","status":"True","reason":"DeletionByTaintManager","message":"Taint manager: deleting due to NoExecute taint","lastTransitionTime":"2026-01-01T00:10:00Z"}]}}
                delete Pod a/p
            "#]],
            ),
        ] {
            expected.assert_eq(&table::plan(&CONTROLLER, "a/p", &format!("{node}{}", pod(tolerations))));
        }
    }
}
