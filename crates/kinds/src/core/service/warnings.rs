//! What deserves a warning in a Service.

use machinery::field::{Path, quote};
use machinery::{Value, meta};

use super::is_headless;
use crate::validate::address::{cidr_warnings, ip_warnings};

const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";

/// The type of Services that are only a name.
const NAMED: &str = "ExternalName";

/// The warnings about a Service.
pub(super) fn warnings(service: &Value, _: Option<&Value>) -> Vec<String> {
    let path = Path::new("spec");
    let mut all = Vec::new();
    if meta::annotation(service, TOPOLOGY_HINTS).is_some() {
        all.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let texts = |field: &str| {
        let items = service.items_at(&["spec", field]).to_vec();
        items.into_iter().filter_map(|item| item.as_str().map(str::to_owned)).enumerate()
    };
    let balancer = service.str_at(&["spec", "loadBalancerIP"]).filter(|ip| !ip.is_empty());
    if is_headless(service) {
        all.extend(headless(service));
    } else {
        let addresses = texts("clusterIPs");
        all.extend(addresses.flat_map(|(i, ip)| ip_warnings(&ip, &path.child("clusterIPs").index(i))));
    }
    let kind = service.str_at(&["spec", "type"]).unwrap_or_default();
    let has_external = texts("externalIPs").next().is_some();
    all.extend(texts("externalIPs").flat_map(|(i, ip)| ip_warnings(&ip, &path.child("externalIPs").index(i))));
    if has_external && !is_headless(service) && kind != NAMED {
        all.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    all.extend(balancer.into_iter().flat_map(|ip| ip_warnings(ip, &path.child("loadBalancerIP"))));
    let ranges = texts("loadBalancerSourceRanges");
    all.extend(ranges.flat_map(|(i, range)| cidr_warnings(&range, &path.child("loadBalancerSourceRanges").index(i))));
    if has_external && kind == NAMED {
        all.push(format!("spec.externalIPs is ignored when spec.type is {}", quote(NAMED)));
    }
    if kind != NAMED && service.str_at(&["spec", "externalName"]).is_some_and(|name| !name.is_empty()) {
        all.push(format!("spec.externalName is ignored when spec.type is not {}", quote(NAMED)));
    }
    if service.str_at(&["spec", "trafficDistribution"]) == Some("PreferClose") {
        all.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    all
}

/// What a service without an address of its own does not use.
fn headless(service: &Value) -> Vec<String> {
    let ignored = [
        ("loadBalancerIP", service.str_at(&["spec", "loadBalancerIP"]).is_some_and(|ip| !ip.is_empty())),
        ("externalIPs", !service.items_at(&["spec", "externalIPs"]).is_empty()),
        ("SessionAffinity", service.str_at(&["spec", "sessionAffinity"]).is_some_and(|kind| kind != "None")),
    ];
    let used = ignored.into_iter().filter(|(_, set)| *set);
    used.map(|(field, _)| format!("spec.{field} is ignored for headless services")).collect()
}
