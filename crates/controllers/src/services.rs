//! What Endpoints and EndpointSlices have in common: which pods stand behind a service, and on which ports.

use std::sync::Arc;

use client::{Change, Object, View};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::labels::Selector;

use crate::pods;

pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
pub(crate) const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The selector of a service that has one.
pub(crate) fn selector(service: &Service) -> Option<Selector> {
    let labels = service.spec.as_ref()?.selector.as_ref()?;
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Selector::from_map(pairs).ok()
}

/// The services that select a pod, before or after its change.
pub(crate) fn of_pod(change: &Change<Pod>, view: &View) -> Vec<String> {
    let services = view.in_namespace::<Service>(change.object().namespace());
    let selecting = services.iter().filter(|service| {
        selector(service).is_some_and(|selector| change.states().any(|pod| selector.matches(&pod.metadata.labels)))
    });
    selecting.map(|service| service.key()).collect()
}

/// The pods that a service selects and that may stand behind it: with an address, and not ended for good.
pub(crate) fn backends(service: &Service, include_terminating: bool, view: &View) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let mut pods = view.in_namespace::<Pod>(service.namespace());
    pods.retain(|pod| {
        selector.matches(&pod.metadata.labels)
            && !pods::is_terminal(pod)
            && addresses(pod).next().is_some()
            && (include_terminating || !pod.is_deleted())
    });
    pods
}

/// The pod's addresses, one a family.
pub(crate) fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pods::status(pod);
    let many = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let one = status.pod_ip.as_deref().filter(|_| status.pod_ips.as_ref().is_none_or(Vec::is_empty));
    many.chain(one).filter(|ip| !ip.is_empty())
}

/// The number behind a service's port on this pod; none if the pod has no port of that name.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(container_ports);
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let named = |(known, of, _): &(&str, &str, i32)| known == name && *of == protocol;
    ports.into_iter().find(named).map(|(_, _, number)| number)
}

fn container_ports(container: &Container) -> impl Iterator<Item = (&str, &str, i32)> {
    container.ports.iter().flatten().map(|port| {
        (port.name.as_deref().unwrap_or_default(), port.protocol.as_deref().unwrap_or("TCP"), port.container_port)
    })
}

pub(crate) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

/// The pod's own name within the service, if it has one.
pub(crate) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let ours = spec.subdomain.as_deref() == Some(service.name()) && pod.namespace() == service.namespace();
    spec.hostname.clone().filter(|hostname| ours && !hostname.is_empty())
}

pub(crate) fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The moment of the latest change that the endpoints reflect, as proxies measure their delay from it.
pub(crate) fn trigger_time(service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
    let made = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let ready = pods.iter().filter_map(|pod| pods::condition(pod, "Ready")?.last_transition_time.as_ref()).map(|t| t.0);
    ready.chain(made).max()
}
