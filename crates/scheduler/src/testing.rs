//! Small nodes and pods for tables.

use std::sync::Arc;

use base::Random;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::config::Profile;
use crate::cycle::{Cycle, Verdict, schedule};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

/// A node with room for 110 pods.
pub fn node(name: &str, cpu: &str, memory: &str) -> Arc<Node> {
    node_with(name, json!({}), json!({"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}}))
}

/// A node with this `spec` and `status`, labelled with its host name.
pub fn node_with(name: &str, spec: Value, status: Value) -> Arc<Node> {
    let metadata = json!({"name": name, "labels": {"kubernetes.io/hostname": name}});
    Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap())
}

/// A roomy node with these labels beside its host name.
pub fn labelled(name: &str, labels: Value) -> Arc<Node> {
    let mut node = Node::clone(&node(name, "32", "64Gi"));
    let labels: std::collections::BTreeMap<String, String> = serde_json::from_value(labels).unwrap();
    node.metadata.labels.get_or_insert_default().extend(labels);
    Arc::new(node)
}

/// A pod with this spec (JSON).
pub fn pod(spec: &str) -> Arc<PodInfo> {
    named("p", spec)
}

/// A pod with this name and spec in namespace `a`.
pub fn named(name: &str, spec: &str) -> Arc<PodInfo> {
    pod_in("a", name, json!({}), spec)
}

/// A pod with these labels.
pub fn pod_in(namespace: &str, name: &str, labels: Value, spec: &str) -> Arc<PodInfo> {
    pod_of(
        json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": labels}),
        spec,
        json!({}),
    )
}

/// A pod with this metadata, spec and status.
pub fn pod_of(metadata: Value, spec: &str, status: Value) -> Arc<PodInfo> {
    let spec: Value = serde_json::from_str(spec).unwrap();
    let pod: Pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap();
    Arc::new(PodInfo::new(Arc::new(pod)))
}

/// A cycle about a pod, with every plugin prepared.
pub fn cycle<'a>(profile: &'a Profile, snapshot: &'a Snapshot, pod: &'a PodInfo) -> Cycle<'a> {
    let mut cycle = Cycle::new(profile, snapshot, pod);
    drop(cycle.prepare());
    cycle
}

/// Where a pod goes, or why nowhere.
pub fn place(snapshot: &Snapshot, pod: &PodInfo) -> String {
    match schedule(&Profile::default(), snapshot, pod, &mut 0, &Random::seeded(1)) {
        Verdict::Node(placement) => placement.node,
        Verdict::Unschedulable(diagnosis) => diagnosis.message(""),
    }
}

/// What every node says to a pod: `NAME: ok` or `NAME: reasons`.
pub fn verdicts(snapshot: &Snapshot, pod: &PodInfo) -> String {
    let profile = Profile::default();
    let cycle = cycle(&profile, snapshot, pod);
    let line = |node: &NodeInfo| match cycle.filter(node) {
        Ok(()) => format!("{}: ok\n", node.name()),
        Err((_, rejection)) => format!("{}: {}\n", node.name(), rejection.reasons.join(", ")),
    };
    snapshot.nodes().map(line).collect()
}

/// The normalized scores that one plugin gives all nodes: `NAME: SCORE`.
pub fn scores(plugin: &'static crate::plugins::Plugin, snapshot: &Snapshot, pod: &PodInfo) -> String {
    let profile = Profile::default();
    let mut cycle = cycle(&profile, snapshot, pod);
    let nodes: Vec<&NodeInfo> = snapshot.nodes().collect();
    if !cycle.prepare_score(plugin, &nodes) {
        return "skipped".to_owned();
    }
    let scores = cycle.scores(plugin, &nodes);
    nodes.iter().zip(scores).map(|(node, score)| format!("{}: {score}\n", node.name())).collect()
}
