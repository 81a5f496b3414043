//! The status of a pod as the API shall show it: phase, conditions, containers. Pure, from what is asked for and seen.

mod conditions;
mod container;
mod phase;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::memory::Memory;
use super::observed::Observed;
use super::spec::{self, Role};

pub use self::phase::Phase;

/// What a status is made from, beside the pod.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What the runtime has.
    pub observed: &'a Observed,
    /// What the runtime cannot tell.
    pub memory: &'a Memory,
    /// The node's addresses.
    pub host_ips: &'a [String],
    /// The time.
    pub now: Timestamp,
}

/// The pod's whole status. What others wrote into the old one (conditions of their own, the nomination) is kept.
#[must_use]
pub fn status(pod: &Pod, view: &View<'_>) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let init =
        spec::init_containers(pod).map(|(role, each)| container::status(pod, role, each, view)).collect::<Vec<_>>();
    let main = spec::spec(pod).containers.iter().map(|each| container::status(pod, Role::Main, each, view));
    let main = main.collect::<Vec<_>>();
    let phase = phase::phase(pod, view, &init, &main);
    let conditions = conditions::conditions(pod, view, phase, &init, &main);
    let (reason, message) = view.memory.failed.clone().unzip();
    let ips = addresses(pod, view, &old);
    PodStatus {
        phase: Some(phase.as_str().to_owned()),
        conditions: Some(conditions),
        reason,
        message,
        host_ip: view.host_ips.first().cloned(),
        host_ips: Some(view.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect()),
        pod_ip: ips.first().cloned(),
        pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip }).collect::<Vec<_>>()).filter(|ips| !ips.is_empty()),
        start_time: old.start_time.clone().or(Some(Time(whole_second(view.now)))),
        init_container_statuses: Some(init).filter(|list| !list.is_empty()),
        container_statuses: Some(main),
        qos_class: Some(spec::qos_class(pod).as_str().to_owned()),
        observed_generation: pod.metadata.generation,
        ..old
    }
}

/// The API writes times without fractions: keep them so, or every comparison sees a change.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("a timestamp's second is a timestamp")
}

fn addresses(pod: &Pod, view: &View<'_>, old: &PodStatus) -> Vec<String> {
    if spec::host_network(pod) {
        return view.host_ips.to_vec();
    }
    match view.observed.sandbox() {
        Some(sandbox) if !sandbox.ips.is_empty() => sandbox.ips.clone(),
        // The address of a sandbox that is gone stays in the status of a pod that has ended.
        _ => old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect(),
    }
}

#[cfg(test)]
mod tests;
