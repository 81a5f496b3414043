//! Small nodes and pods for tables.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use crate::snapshot::{NodeInfo, PodInfo};

/// A node with room for 110 pods.
pub fn node(name: &str, cpu: &str, memory: &str) -> Arc<Node> {
    node_with(name, json!({}), json!({"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}}))
}

/// A node with this `spec` and `status`, labelled with its host name.
pub fn node_with(name: &str, spec: serde_json::Value, status: serde_json::Value) -> Arc<Node> {
    let metadata = json!({"name": name, "labels": {"kubernetes.io/hostname": name}});
    Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap())
}

/// The empty node of a table.
pub fn info(node: Arc<Node>) -> NodeInfo {
    NodeInfo::new(node)
}

/// A pod with this spec (JSON).
pub fn pod(spec: &str) -> Arc<PodInfo> {
    let spec: serde_json::Value = serde_json::from_str(spec).unwrap();
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"}, "spec": spec})).unwrap();
    Arc::new(PodInfo::new(Arc::new(pod)))
}
