//! What the runtime is told of a pod's sandbox.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::resolver::{self, NodeDns};
use super::{hosts, labels, resources, security, spec};
use crate::proto::cri::*;

/// The configuration of the pod's sandbox number `attempt`.
#[must_use]
pub fn sandbox_config(pod: &Pod, attempt: u32, dns: &NodeDns, logs: &Path, cgroup_parent: &str) -> PodSandboxConfig {
    let sysctls = spec::spec(pod).security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    let sysctls = sysctls.into_iter().flatten().map(|sysctl| (sysctl.name.clone(), sysctl.value.clone()));
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: spec::name(pod).to_owned(),
            namespace: spec::namespace(pod).to_owned(),
            uid: spec::uid(pod).to_owned(),
            attempt,
        }),
        hostname: hosts::sandbox_hostname(pod, &dns.cluster_domain),
        log_directory: logs.to_string_lossy().into_owned(),
        dns_config: Some(resolver::resolver(pod, dns)),
        port_mappings: if spec::host_network(pod) { Vec::new() } else { port_mappings(pod) },
        labels: labels::sandbox_labels(pod),
        annotations: pod.metadata.annotations.clone().into_iter().flatten().collect(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(security::sandbox(pod)),
            sysctls: sysctls.collect(),
            overhead: Some(resources::overhead(pod)),
            resources: Some(sandbox_resources(pod)),
        }),
        windows: None,
    }
}

fn sandbox_resources(pod: &Pod) -> LinuxContainerResources {
    let pod = resources::pod_resources(pod);
    LinuxContainerResources {
        cpu_period: resources::CPU_PERIOD_US,
        cpu_quota: pod.cpu_quota.unwrap_or(0),
        cpu_shares: pod.cpu_shares,
        memory_limit_in_bytes: pod.memory_limit.unwrap_or(0),
        ..LinuxContainerResources::default()
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let ports = spec::containers(pod).flat_map(|(_, container)| container.ports.iter().flatten());
    let mapping = |port: &k8s_openapi::api::core::v1::ContainerPort| PortMapping {
        protocol: match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp as i32,
            Some("SCTP") => Protocol::Sctp as i32,
            _ => Protocol::Tcp as i32,
        },
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    };
    ports.map(mapping).collect()
}
