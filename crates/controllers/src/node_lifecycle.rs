//! Node lifecycle: a node that shows no life becomes unknown; taints tell the scheduler and evict pods.

use std::sync::Arc;
use std::time::Duration;

use client::driver::{Controller, Watches};
use client::{Action, Object, Patch, View, reference};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::{Value, value};

use crate::{Options, pods};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "node-lifecycle-controller", workers: 2, watches, plan };

const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions that taint a node against new pods when they are true.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// Conditions that are unknown when the kubelet is silent.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

fn watches(watch: &mut Watches<'_>) {
    // A node that changes may end (or begin) the state in which no node is ready, which concerns all.
    watch.on::<Node>(|change, view| {
        let ready = |node: &Arc<Node>| is_ready(node);
        if change.old.as_ref().map(ready) == change.new.as_ref().map(ready) {
            return vec![change.key.to_string()];
        }
        view.list::<Node>().iter().map(|node| node.key()).collect()
    });
    watch.on::<Lease>(|change, _| {
        let lease = change.object();
        if lease.namespace() == LEASES { vec![lease.name().to_owned()] } else { Vec::new() }
    });
    watch.read::<Pod>();
    watch.index::<Pod>("node", |pod| vec![pods::node(pod).to_owned()]);
}

fn plan(name: &str, view: &View) -> Vec<Action> {
    let Some(node) = view.get::<Node>(name) else { return Vec::new() };
    let mut actions = Vec::new();
    match silence(&node, view) {
        Silence::Over(left) => actions.push(Action::Requeue(left)),
        Silence::TooLong if truth(&node, "Ready") != Some("Unknown") => return unknown(&node, view),
        Silence::TooLong => {}
    }
    actions.extend(sync_taints(&node, view));
    if !is_ready(&node) && condition(&node, "Ready").is_some() {
        actions.extend(unready_pods(&node, view));
    }
    actions
}

enum Silence {
    /// The node showed life; look again when it will have been silent for too long.
    Over(Duration),
    TooLong,
}

fn silence(node: &Node, view: &View) -> Silence {
    let options = view.settings::<Options>();
    let lease = view.changed::<Lease>(&client::key(LEASES, node.name()));
    let changed = || view.changed::<Node>(node.name()).unwrap_or(view.now);
    let (last, grace) = match (lease, condition(node, "Ready")) {
        (Some(renewed), ready) => (last_life(renewed, ready, changed()), options.node_monitor_grace_period),
        (None, Some(_)) => (changed(), options.node_monitor_grace_period),
        (None, None) => (created(node, view), options.node_startup_grace_period),
    };
    let silent = Duration::try_from(view.now.duration_since(last)).unwrap_or_default();
    if silent < grace { Silence::Over(grace - silent) } else { Silence::TooLong }
}

/// A kubelet lives that renews its lease or says how it is: one that comes back may do the second first. What it says of
/// the time counts no further than to when we saw the node change, because its clock may be ahead of ours.
fn last_life(renewed: Timestamp, ready: Option<&NodeCondition>, changed: Timestamp) -> Timestamp {
    let heartbeat = ready.and_then(|ready| ready.last_heartbeat_time.as_ref());
    heartbeat.map_or(renewed, |heartbeat| renewed.max(heartbeat.0.min(changed)))
}

fn created(node: &Node, view: &View) -> Timestamp {
    node.metadata.creation_timestamp.as_ref().map_or(view.now, |time| time.0)
}

/// What the kubelet would say nobody knows any more.
fn unknown(node: &Node, view: &View) -> Vec<Action> {
    let mut conditions = Vec::new();
    for condition_type in KUBELET_CONDITIONS {
        let known = condition(node, condition_type);
        let (reason, message) = match known {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        conditions.push(NodeCondition {
            type_: condition_type.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: known
                .map_or(Some(Time(created(node, view))), |known| known.last_heartbeat_time.clone()),
            last_transition_time: Some(Time(view.now)),
        });
    }
    let conditions: Value = machinery::to_value(&conditions);
    let patch = Patch::Strategic(value!({"status": {"conditions": conditions}}));
    let mut actions = Vec::new();
    if is_ready(node) {
        actions.push(not_ready_event(node));
    }
    actions.push(Action::patch(node, "status", patch));
    actions
}

fn not_ready_event(node: &Node) -> Action {
    let message = format!("Node {} status is now: NodeNotReady", node.name());
    Action::event(reference(node), "Normal", "NodeNotReady", message)
}

/// The write of the node's taints, if they are not what its conditions ask for.
fn sync_taints(node: &Node, view: &View) -> Option<Action> {
    let known = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut taints: Vec<Taint> = known.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    for (key, effect) in wanted_taints(node, view) {
        let same = |taint: &&Taint| taint.key == key && taint.effect == effect;
        taints.push(known.iter().find(same).cloned().unwrap_or_else(|| Taint {
            key: key.to_owned(),
            effect: effect.to_owned(),
            time_added: Some(Time(view.now)),
            value: None,
        }));
    }
    let missing = |from: &[Taint], of: &[Taint]| of.iter().any(|taint| !from.contains(taint));
    if !missing(&known, &taints) && !missing(&taints, &known) {
        return None;
    }
    let taints: Value = machinery::to_value(&taints);
    let version = node.resource_version();
    let patch = value!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
    Some(Action::patch(node, "", Patch::Merge(patch)))
}

fn is_ours(taint: &Taint) -> bool {
    let key = taint.key.as_str();
    match taint.effect.as_str() {
        "NoSchedule" => {
            matches!(key, NOT_READY | UNREACHABLE | UNSCHEDULABLE) || PRESSURES.iter().any(|(_, known)| *known == key)
        }
        "NoExecute" => matches!(key, NOT_READY | UNREACHABLE),
        _ => false,
    }
}

fn wanted_taints(node: &Node, view: &View) -> Vec<(&'static str, &'static str)> {
    let mut taints = Vec::new();
    let down = match truth(node, "Ready") {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        _ => Some(NOT_READY),
    };
    taints.extend(down.map(|key| (key, "NoSchedule")));
    let pressed = PRESSURES.iter().filter(|(condition, _)| truth(node, condition) == Some("True"));
    taints.extend(pressed.map(|(_, key)| (*key, "NoSchedule")));
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        taints.push((UNSCHEDULABLE, "NoSchedule"));
    }
    // When no node is ready the fault is more likely ours than theirs: nothing is evicted.
    let any_ready = view.list::<Node>().iter().any(|node| is_ready(node));
    if let Some(key) = down.filter(|_| any_ready && condition(node, "Ready").is_some()) {
        taints.push((key, "NoExecute"));
    }
    taints
}

/// Pods of a node that is not ready are not ready either.
fn unready_pods(node: &Node, view: &View) -> Vec<Action> {
    let pods = view.by_index::<Pod>("node", node.name());
    let ready = pods.iter().filter(|pod| pods::is_ready(pod));
    ready.flat_map(|pod| [unready(pod, view), pod_event(pod)]).collect()
}

fn unready(pod: &Pod, view: &View) -> Action {
    let now = machinery::meta::seconds(view.now);
    let patch = value!({
        "metadata": {"uid": (pod.uid())},
        "status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}]}
    });
    Action::patch(pod, "status", Patch::Strategic(patch))
}

fn pod_event(pod: &Pod) -> Action {
    Action::event(reference(pod), "Warning", "NodeNotReady", "Node is not ready")
}

fn condition<'a>(node: &'a Node, condition_type: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == condition_type)
}

fn truth<'a>(node: &'a Node, condition_type: &str) -> Option<&'a str> {
    condition(node, condition_type).map(|condition| condition.status.as_str())
}

fn is_ready(node: &Node) -> bool {
    truth(node, "Ready") == Some("True")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    fn node(name: &str, ready: &str, spec: &str) -> String {
        format!(
            "---
apiVersion: v1
kind: Node
metadata: {{name: {name}, resourceVersion: '7', creationTimestamp: '2025-01-01T00:00:00Z'}}
spec: {{{spec}}}
status: {{conditions: [{{type: Ready, status: '{ready}', lastHeartbeatTime: '2026-01-01T00:00:00Z'}}]}}
"
        )
    }

    #[test]
    fn signs_of_life() {
        let at = |second: i64| Timestamp::from_second(second).expect("a time");
        let life = |renewed, heartbeat: Option<i64>, changed| {
            let heartbeat = heartbeat.map(|second| Time(at(second)));
            let ready = NodeCondition { last_heartbeat_time: heartbeat, ..NodeCondition::default() };
            last_life(at(renewed), Some(&ready), at(changed)).as_second()
        };
        assert_eq!(life(100, Some(50), 60), 100, "the lease is younger");
        assert_eq!(life(100, Some(500), 501), 500, "the node came back and said so first");
        assert_eq!(life(100, Some(9000), 501), 501, "its clock is ahead");
        assert_eq!(life(100, Some(50), 700), 100, "somebody else changed the node");
        assert_eq!(life(100, None, 700), 100);
        assert_eq!(last_life(at(100), None, at(700)), at(100));
    }

    #[test]
    fn silence_conditions_and_taints() {
        let ready = node("b", "True", "");
        let pod = "---
{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a, uid: u}, spec: {nodeName: a, containers: []}, status: {conditions: [{type: Ready, status: 'True'}]}}
";
        for (state, expected) in [
            (
                node("a", "True", "") + &ready,
                expect![[r#"
                event Normal NodeNotReady: Node a status is now: NodeNotReady
                patch Node/status a {"status":{"conditions":[{"lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet stopped posting node status.","reason":"NodeStatusUnknown","status":"Unknown","type":"Ready"},{"lastHeartbeatTime":"2025-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"MemoryPressure"},{"lastHeartbeatTime":"2025-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"DiskPressure"},{"lastHeartbeatTime":"2025-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Kubelet never posted node status.","reason":"NodeStatusNeverUpdated","status":"Unknown","type":"PIDPressure"}]}}
            "#]],
            ),
            (
                node("a", "Unknown", "") + &ready + pod,
                expect![[r#"
                patch Node a {"metadata":{"resourceVersion":"7"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:10:00Z"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:10:00Z"}]}}
                patch Pod/status a/p {"metadata":{"uid":"u"},"status":{"conditions":[{"type":"Ready","status":"False","lastTransitionTime":"2026-01-01T00:10:00Z"}]}}
                event Warning NodeNotReady: Node is not ready
            "#]],
            ),
            (
                node("a", "Unknown", ""),
                expect![[r#"
                patch Node a {"metadata":{"resourceVersion":"7"},"spec":{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/unreachable","timeAdded":"2026-01-01T00:10:00Z"}]}}
            "#]],
            ),
        ] {
            expected.assert_eq(&table::plan(&CONTROLLER, "a", &state));
        }
    }
}
