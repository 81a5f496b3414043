//! A pod with what scheduling wants to know of it, worked out once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::affinity::AffinityTerms;
use crate::resources::{Resources, pod_non_zero_requests, pod_requests};
use crate::spread::{self, Constraint};

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// A port on the node that a pod wants: address (`0.0.0.0` is any), protocol, number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The address on the node.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The number.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot stand on one node.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> bool {
        const ANY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address == ANY || other.address == ANY)
    }
}

/// A claim for a volume that a pod names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimName {
    /// The claim's name in the pod's namespace.
    pub name: String,
    /// Whether it is made for this pod (a generic ephemeral volume).
    pub ephemeral: bool,
}

/// A pod with what scheduling wants to know of it.
#[derive(Debug, Clone)]
pub struct PodInfo {
    /// The pod.
    pub pod: Arc<Pod>,
    /// `NAMESPACE/NAME`.
    pub key: Arc<str>,
    /// What it asks for.
    pub requests: Resources,
    /// What it counts as when nodes are scored.
    pub non_zero_requests: Resources,
    /// The ports that it takes on its node.
    pub host_ports: Vec<HostPort>,
    /// Where it wants to be relative to other pods.
    pub affinity: AffinityTerms,
    /// How it wants to be spread with its like.
    pub spread: Vec<Constraint>,
    /// The claims of its volumes.
    pub claims: Vec<ClaimName>,
    /// The images that its containers run, with a tag or digest each.
    pub images: Vec<String>,
}

impl PodInfo {
    /// Works out what scheduling wants to know of `pod`.
    #[must_use]
    pub fn new(pod: Arc<Pod>) -> Self {
        let empty = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&empty);
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.as_ref().unwrap_or(&NO_LABELS);
        Self {
            key: client::key(namespace, name).into(),
            requests: pod_requests(spec),
            non_zero_requests: pod_non_zero_requests(spec),
            host_ports: host_ports(spec),
            affinity: AffinityTerms::new(namespace, labels, spec.affinity.as_ref()),
            spread: spread::constraints(namespace, labels, spec),
            claims: claims(name, spec),
            images: images(spec),
            pod,
        }
    }

    /// The pod's wishes.
    #[must_use]
    pub fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::OnceLock<PodSpec> = std::sync::OnceLock::new();
        self.pod.spec.as_ref().unwrap_or_else(|| EMPTY.get_or_init(PodSpec::default))
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        self.pod.metadata.labels.as_ref().unwrap_or(&NO_LABELS)
    }

    /// Its uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its priority; pods without one have 0.
    #[must_use]
    pub fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or(0)
    }

    /// Whether deletion was asked for.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// When it was first seen by its node; none before that.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0)
    }

    /// The node that was cleared for it by preemption, or nothing.
    #[must_use]
    pub fn nominated_node(&self) -> Option<&str> {
        let node = self.pod.status.as_ref().and_then(|status| status.nominated_node_name.as_deref());
        node.filter(|node| !node.is_empty())
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let address = port.host_ip.clone().filter(|a| !a.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some(HostPort { address, protocol, port: number })
        })
        .collect()
}

fn claims(pod: &str, spec: &PodSpec) -> Vec<ClaimName> {
    let of = |volume: &k8s_openapi::api::core::v1::Volume| {
        if let Some(source) = &volume.persistent_volume_claim {
            return Some(ClaimName { name: source.claim_name.clone(), ephemeral: false });
        }
        volume.ephemeral.as_ref()?;
        Some(ClaimName { name: format!("{pod}-{}", volume.name), ephemeral: true })
    };
    spec.volumes.iter().flatten().filter_map(of).collect()
}

fn images(spec: &PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let containers = containers.filter_map(|container| container.image.as_deref());
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref()?.reference.as_deref());
    containers.chain(volumes).map(tagged).collect()
}

/// An image name as node status lists it: `latest` when neither tag nor digest is given.
#[must_use]
pub fn tagged(image: &str) -> String {
    let tag = image.rfind(':').is_some_and(|colon| image.rfind('/').is_none_or(|slash| colon > slash));
    if tag { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn images_have_a_tag() {
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("host:5000/nginx", "host:5000/nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("nginx@sha256:00", "nginx@sha256:00"),
        ] {
            assert_eq!(tagged(image), expected);
        }
    }

    #[test]
    fn claims_of_volumes() {
        let volumes = r#"{"containers":[],"volumes":[{"name":"a","persistentVolumeClaim":{"claimName":"c"}},
            {"name":"b","ephemeral":{}},{"name":"d","emptyDir":{}}]}"#;
        let claims: Vec<_> = pod(volumes).claims.iter().map(|c| (c.name.clone(), c.ephemeral)).collect();
        assert_eq!(claims, [("c".to_owned(), false), ("p-b".to_owned(), true)]);
    }
}
