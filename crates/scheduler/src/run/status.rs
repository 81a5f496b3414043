//! What a pod's status says of its scheduling, and the patches that make it say so.

use client::Patch;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use machinery::{Value, value};

use crate::preemption::PREEMPTED;

/// Whether a pod has a node.
pub fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

/// Whether a pod has ended.
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The machine's name, as events tell instances apart.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// The patch that says why no node takes a pod, and which node it waits for (`Some(None)`: none any longer); none when
/// the status says so already.
pub fn unschedulable(pod: &Pod, message: &str, nominate: Option<&Option<String>>, now: Timestamp) -> Option<Patch> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let known = conditions.iter().find(|condition| condition.type_ == "PodScheduled");
    let said = known.is_some_and(|known| {
        known.status == "False"
            && known.reason.as_deref() == Some("Unschedulable")
            && known.message.as_deref() == Some(message)
    });
    let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
    let nominated = nominated.filter(|node| !node.is_empty());
    let renominate = nominate.filter(|node| node.as_deref() != nominated);
    if said && renominate.is_none() {
        return None;
    }
    let mut condition =
        value!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
    if known.is_none_or(|known| known.status != "False") {
        condition.set_at(&["lastTransitionTime"], time(now));
    }
    observe(&mut condition, pod);
    let mut status = value!({"conditions": [condition]});
    if let Some(node) = renominate {
        status.set_at(&["nominatedNodeName"], node.as_deref().map_or(Value::Null, Value::from));
    }
    Some(patch(pod, status))
}

/// The patch that takes back the node that a pod waits for.
pub fn not_nominated(pod: &Pod) -> Patch {
    let mut status = value!({});
    status.set_at(&["nominatedNodeName"], Value::Null);
    patch(pod, status)
}

/// The patch that says why a pod is taken away; none when its status says so already.
pub fn disrupted(pod: &Pod, scheduler_name: &str, now: Timestamp) -> Option<Patch> {
    let message = format!("{scheduler_name}: preempting to accommodate a higher priority pod");
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let known = conditions.iter().find(|condition| condition.type_ == "DisruptionTarget");
    let said = known.is_some_and(|known| {
        known.status == "True"
            && known.reason.as_deref() == Some(PREEMPTED)
            && known.message.as_deref() == Some(message.as_str())
    });
    if said {
        return None;
    }
    let mut condition =
        value!({"type": "DisruptionTarget", "status": "True", "reason": PREEMPTED, "message": (message)});
    if known.is_none_or(|known| known.status != "True") {
        condition.set_at(&["lastTransitionTime"], time(now));
    }
    observe(&mut condition, pod);
    Some(patch(pod, value!({"conditions": [condition]})))
}

fn observe(condition: &mut Value, pod: &Pod) {
    if let Some(generation) = pod.metadata.generation.filter(|generation| *generation > 0) {
        condition.set_at(&["observedGeneration"], Value::Int(generation));
    }
}

fn time(now: Timestamp) -> Value {
    machinery::to_value(&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now))
}

fn patch(pod: &Pod, status: Value) -> Patch {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    Patch::Strategic(value!({"metadata": {"uid": (uid)}, "status": (status)}))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"uid": "u", "generation": 2}, "status": status})).unwrap()
    }

    fn text(patch: Option<Patch>) -> String {
        patch.map_or_else(
            || "-".to_owned(),
            |patch| match patch {
                Patch::Strategic(value) => String::from_utf8(machinery::json::to_vec(&value)).unwrap(),
                _ => "another kind".to_owned(),
            },
        )
    }

    #[test]
    fn a_condition_is_written_once() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let fresh = text(unschedulable(&pod(json!({})), "m", None, now));
        assert!(fresh.contains(r#""lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":2"#), "{fresh}");
        let said = json!({"nominatedNodeName": "n", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "m"}]});
        assert_eq!(text(unschedulable(&pod(said.clone()), "m", None, now)), "-");
        assert_eq!(text(unschedulable(&pod(said.clone()), "m", Some(&Some("n".into())), now)), "-");
        let cleared = text(unschedulable(&pod(said), "m", Some(&None), now));
        assert!(cleared.contains(r#""nominatedNodeName":null"#), "{cleared}");
    }
}
