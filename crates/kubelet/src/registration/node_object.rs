//! The Node object and its status, from facts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base::Instant;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, json};

use super::conditions::{RuntimeHealth, conditions};
use super::facts::Facts;
use crate::options::{KubeletOptions, VERSION};
use crate::quantity::Resources;

/// What upstream's default eviction thresholds keep from pods: memory, and a tenth of the disk.
const RESERVED_MEMORY_BYTES: u64 = 100 << 20;
const RESERVED_DISK_TENTHS: u64 = 1;
/// So many images, largest first, with so many names each (upstream's limits).
const IMAGE_LIMIT: usize = 50;
const IMAGE_NAME_LIMIT: usize = 5;

pub(super) fn node(options: &KubeletOptions, facts: &Facts, health: &RuntimeHealth, now: Timestamp) -> Node {
    let annotation = ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
    Node {
        metadata: ObjectMeta {
            name: Some(facts.name.clone()),
            labels: Some(labels(options, facts)),
            annotations: Some([annotation].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(options.register_with_taints.clone()).filter(|taints| !taints.is_empty()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            conditions: Some(conditions(
                Some("container runtime status check may not have completed yet".to_owned()),
                &[],
                now,
            )),
            ..without_conditions(options, facts, health)
        }),
    }
}

pub(super) fn status(
    options: &KubeletOptions,
    facts: &Facts,
    health: &RuntimeHealth,
    old: &NodeStatus,
    now: Timestamp,
    instant: Instant,
) -> NodeStatus {
    let before = old.conditions.as_deref().unwrap_or_default();
    let conditions = conditions(health.problem(instant), before, now);
    NodeStatus { conditions: Some(conditions), ..without_conditions(options, facts, health) }
}

/// Whether nothing but heartbeats differs in what the kubelet writes.
pub(super) fn is_same(old: &NodeStatus, new: &NodeStatus) -> bool {
    let without_heartbeats = |status: &NodeStatus| {
        let mut fields = fields(status);
        let conditions = fields.get_mut("conditions").and_then(|conditions| conditions.as_array_mut());
        for condition in conditions.into_iter().flatten().filter_map(|condition| condition.as_object_mut()) {
            condition.remove("lastHeartbeatTime");
        }
        fields
    };
    let (old, new) = (without_heartbeats(old), without_heartbeats(new));
    new.iter().all(|(name, value)| {
        let known = old.get(name);
        match (name.as_str(), value, known) {
            // Others have conditions of their own on the node.
            ("conditions", serde_json::Value::Array(new), Some(serde_json::Value::Array(old))) => {
                new.iter().all(|condition| old.contains(condition))
            }
            _ => known == Some(value),
        }
    })
}

/// The status part of a strategic merge patch: what differs; addresses as a whole, conditions by type.
pub(super) fn patch(old: &NodeStatus, new: &NodeStatus) -> Map<String, serde_json::Value> {
    let old = fields(old);
    let mut changed = fields(new);
    changed.retain(|name, value| name == "conditions" || old.get(name) != Some(value));
    if let Some(serde_json::Value::Array(addresses)) = changed.get_mut("addresses") {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    changed
}

fn fields(status: &NodeStatus) -> Map<String, serde_json::Value> {
    match serde_json::to_value(status) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn without_conditions(options: &KubeletOptions, facts: &Facts, health: &RuntimeHealth) -> NodeStatus {
    NodeStatus {
        addresses: Some(addresses(facts)),
        capacity: Some(capacity(options, facts)),
        allocatable: Some(allocatable(options, facts)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: facts.port.into() }),
        }),
        images: Some(images(health)),
        node_info: Some(info(facts)),
        ..NodeStatus::default()
    }
}

/// What the machine has.
fn capacity(options: &KubeletOptions, facts: &Facts) -> Resources {
    let mut capacity = Resources::from([
        ("cpu".to_owned(), Quantity(facts.cpus.to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", facts.memory_bytes / 1024))),
        ("ephemeral-storage".to_owned(), Quantity(format!("{}Ki", facts.disk_bytes / 1024))),
        ("pods".to_owned(), Quantity(options.max_pods.to_string())),
    ]);
    let huge = facts.huge_page_sizes.iter().map(|(name, bytes)| {
        let text = if *bytes == 0 { "0".to_owned() } else { format!("{}Mi", bytes >> 20) };
        (name.clone(), Quantity(text))
    });
    capacity.extend(huge);
    capacity
}

/// What pods may have of it.
pub(crate) fn allocatable(options: &KubeletOptions, facts: &Facts) -> Resources {
    let huge: u64 = facts.huge_page_sizes.iter().map(|(_, bytes)| bytes).sum();
    let memory = facts.memory_bytes.saturating_sub(RESERVED_MEMORY_BYTES + huge);
    let mut allocatable = capacity(options, facts);
    allocatable.insert("memory".to_owned(), Quantity(format!("{}Ki", memory / 1024)));
    let disk = facts.disk_bytes / 10 * (10 - RESERVED_DISK_TENTHS);
    allocatable.insert("ephemeral-storage".to_owned(), Quantity(disk.to_string()));
    allocatable
}

fn labels(options: &KubeletOptions, facts: &Facts) -> BTreeMap<String, String> {
    let own = [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", &facts.name),
        ("kubernetes.io/os", "linux"),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.chain(options.node_labels.clone()).collect()
}

fn addresses(facts: &Facts) -> Vec<NodeAddress> {
    let ips = facts.addresses.iter().map(IpAddr::to_string).map(|address| ("InternalIP", address));
    let all = ips.chain([("Hostname", facts.name.clone())]);
    all.map(|(kind, address)| NodeAddress { type_: kind.to_owned(), address }).collect()
}

fn images(health: &RuntimeHealth) -> Vec<ContainerImage> {
    let mut images: Vec<_> = health.images.iter().collect();
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    let named = images.into_iter().take(IMAGE_LIMIT).map(|image| ContainerImage {
        names: Some(image.repo_digests.iter().chain(&image.repo_tags).take(IMAGE_NAME_LIMIT).cloned().collect()),
        size_bytes: i64::try_from(image.size).ok(),
    });
    named.collect()
}

fn info(facts: &Facts) -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: facts.boot_id.clone(),
        container_runtime_version: facts.runtime_version.clone(),
        kernel_version: facts.kernel_version.clone(),
        kubelet_version: VERSION.to_owned(),
        machine_id: facts.machine_id.clone(),
        operating_system: "linux".to_owned(),
        os_image: facts.os_image.clone(),
        system_uuid: facts.system_uuid.clone(),
        ..NodeSystemInfo::default()
    }
}

/// The processor in Go's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
