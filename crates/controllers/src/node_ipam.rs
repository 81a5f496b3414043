//! Node IPAM: every node gets a range of pod addresses from the cluster's.

use std::collections::HashSet;
use std::net::IpAddr;

use client::driver::{Controller, Watches};
use client::{Action, Object, Patch, View, reference};
use k8s_openapi::api::core::v1::Node;
use machinery::value;

use crate::Options;

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "node-ipam-controller", workers: 1, watches, plan };

/// All nodes are planned together: two plans that do not see each other's writes could give a range twice.
const ALL: &str = "nodes";

fn watches(watch: &mut Watches<'_>) {
    watch.on::<Node>(|_, _| vec![ALL.to_owned()]);
}

fn plan(_: &str, view: &View) -> Vec<Action> {
    let options = view.settings::<Options>();
    let ranges: Vec<Range> = options.cluster_cidrs.iter().filter_map(|text| Range::parse(text, options)).collect();
    if ranges.is_empty() {
        return Vec::new();
    }
    let nodes = view.list::<Node>();
    let mut used: HashSet<String> = nodes.iter().flat_map(|node| cidrs(node)).collect();
    let mut actions = Vec::new();
    for node in nodes.iter().filter(|node| cidrs(node).is_empty() && !node.is_deleted()) {
        let free: Option<Vec<String>> = ranges.iter().map(|range| range.free(&used)).collect();
        let Some(free) = free else {
            let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
            actions.push(Action::event(reference(&**node), "Normal", "CIDRNotAvailable", message));
            continue;
        };
        let list: Vec<&str> = free.iter().map(String::as_str).collect();
        let patch = value!({"spec": {"podCIDR": (list[0]), "podCIDRs": list}});
        actions.push(Action::patch(&**node, "", Patch::Strategic(patch)));
        used.extend(free);
    }
    actions
}

fn cidrs(node: &Node) -> Vec<String> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let many = spec.pod_cidrs.clone().unwrap_or_default();
    if many.is_empty() { spec.pod_cidr.clone().filter(|cidr| !cidr.is_empty()).into_iter().collect() } else { many }
}

/// A cluster's range, divided into nodes' ranges.
struct Range {
    first: IpAddr,
    prefix: u8,
    node_prefix: u8,
}

impl Range {
    fn parse(text: &str, options: &Options) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let first: IpAddr = address.parse().ok()?;
        let node_prefix = if first.is_ipv4() { options.node_cidr_mask_ipv4 } else { options.node_cidr_mask_ipv6 };
        Some(Self { first, prefix: prefix.parse().ok()?, node_prefix })
    }

    fn free(&self, used: &HashSet<String>) -> Option<String> {
        let bits = u32::from(self.node_prefix.checked_sub(self.prefix)?);
        // No cluster has more nodes than 2^16 (upstream's own limit of a range's size).
        (0..1u128 << bits.min(16)).map(|at| self.nth(at)).find(|range| !used.contains(range))
    }

    fn nth(&self, at: u128) -> String {
        match self.first {
            IpAddr::V4(first) => {
                let step = at << (32 - u32::from(self.node_prefix));
                let address = u128::from(u32::from(first)) + step;
                let address = std::net::Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX));
                format!("{address}/{}", self.node_prefix)
            }
            IpAddr::V6(first) => {
                let address = std::net::Ipv6Addr::from(u128::from(first) + (at << (128 - u32::from(self.node_prefix))));
                format!("{address}/{}", self.node_prefix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn ranges_are_given_once() {
        let nodes = "
{apiVersion: v1, kind: Node, metadata: {name: a}}
---
{apiVersion: v1, kind: Node, metadata: {name: b}, spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24]}}
---
{apiVersion: v1, kind: Node, metadata: {name: c}}
";
        let expected = "patch Node a {\"spec\":{\"podCIDR\":\"10.1.1.0/24\",\"podCIDRs\":[\"10.1.1.0/24\"]}}
patch Node c {\"spec\":{\"podCIDR\":\"10.1.2.0/24\",\"podCIDRs\":[\"10.1.2.0/24\"]}}
";
        assert_eq!(table::plan(&CONTROLLER, ALL, nodes), expected);
    }
}
