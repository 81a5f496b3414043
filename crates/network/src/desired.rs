//! `plan`: from the cluster's nodes and this node's pods to what the host shall have. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::{Options, conflist, tables};

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// This node's pod ranges; empty while nobody has given it any.
    pub pod_cidrs: Vec<IpNet>,
    /// The addresses of all nodes, this one too.
    pub node_ips: BTreeSet<IpAddr>,
    /// The other nodes with their pod ranges.
    pub peers: BTreeSet<Peer>,
    /// The host ports of this node's pods.
    pub host_ports: BTreeSet<HostPort>,
}

/// Another node's pods and the way there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The node's pod range.
    pub pod_cidr: IpNet,
    /// The node's address of the same family.
    pub via: IpAddr,
}

/// A port of the node that leads to a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// On which of the node's addresses; none means all.
    pub host_ip: Option<IpAddr>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// The node's port.
    pub host_port: u16,
    /// The pod's address.
    pub pod_ip: IpAddr,
    /// The pod's port.
    pub container_port: u16,
}

/// A route of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// To another node's pods.
    Via(IpNet, IpAddr),
    /// This node's range: an address that no pod has is unreachable, rather than sent to the default gateway.
    Unreachable(IpNet),
}

/// What the host shall have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// The CNI configuration; none while the pod range is unknown: the runtime then reports the network as not ready.
    pub conflist: Option<String>,
    /// The nftables tables, as a script that replaces them.
    pub nft: String,
    /// Our routes.
    pub routes: BTreeSet<Route>,
    /// Kernel settings: path under `/proc/sys`, value.
    pub sysctls: Vec<(&'static str, &'static str)>,
}

impl View {
    /// What nodes and pods say.
    #[must_use]
    pub fn new<'a>(
        options: &Options,
        nodes: impl IntoIterator<Item = &'a Node>,
        pods: impl IntoIterator<Item = &'a Pod>,
    ) -> Self {
        let mut view = Self { pod_cidrs: options.pod_cidrs.clone(), ..Self::default() };
        for node in nodes {
            let (cidrs, ips) = (pod_cidrs(node), internal_ips(node));
            if node.metadata.name.as_deref() != Some(&options.node_name) {
                view.peers.extend(cidrs.iter().filter_map(|cidr| peer(*cidr, &ips)));
            } else if !cidrs.is_empty() {
                view.pod_cidrs = cidrs;
            }
            view.node_ips.extend(ips);
        }
        view.host_ports = pods.into_iter().flat_map(host_ports).collect();
        view
    }
}

/// What the host shall have.
#[must_use]
pub fn plan(view: &View, options: &Options) -> Desired {
    let mut desired = Desired { sysctls: sysctls(view), ..Desired::default() };
    if view.pod_cidrs.is_empty() {
        return desired;
    }
    desired.conflist = Some(conflist(&view.pod_cidrs, &leases_dir(&options.state_dir), options.mtu));
    desired.nft = tables::script(view, &options.cluster_cidrs);
    desired.routes = view.pod_cidrs.iter().map(|cidr| Route::Unreachable(*cidr)).collect();
    desired.routes.extend(view.peers.iter().map(|peer| Route::Via(peer.pod_cidr, peer.via)));
    desired
}

/// Where the `host-local` plugin remembers which addresses are taken.
pub(crate) fn leases_dir(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("leases")
}

fn sysctls(view: &View) -> Vec<(&'static str, &'static str)> {
    let mut sysctls = vec![("net/ipv4/ip_forward", "1")];
    if view.pod_cidrs.iter().any(|cidr| cidr.addr().is_ipv6()) {
        sysctls.push(("net/ipv6/conf/all/forwarding", "1"));
    }
    if view.host_ports.iter().any(|port| port.pod_ip.is_ipv4()) {
        // Lets 127.0.0.1:PORT lead to a pod; the raw chain of our table keeps others' packets away from loopback.
        sysctls.push(("net/ipv4/conf/all/route_localnet", "1"));
    }
    sysctls
}

fn pod_cidrs(node: &Node) -> Vec<IpNet> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let several = spec.pod_cidrs.as_deref().filter(|cidrs| !cidrs.is_empty());
    let cidrs = several.unwrap_or(spec.pod_cidr.as_slice());
    cidrs.iter().filter_map(|cidr| cidr.parse::<IpNet>().ok()).map(|cidr| cidr.trunc()).collect()
}

fn internal_ips(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    addresses
        .iter()
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

fn peer(pod_cidr: IpNet, ips: &[IpAddr]) -> Option<Peer> {
    let via = *ips.iter().find(|ip| ip.is_ipv4() == pod_cidr.addr().is_ipv4())?;
    Some(Peer { pod_cidr, via })
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return Vec::new() };
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if spec.host_network == Some(true) || over {
        return Vec::new();
    }
    let mut ips: BTreeSet<IpAddr> = status.pod_ip.iter().filter_map(|ip| ip.parse().ok()).collect();
    ips.extend(status.pod_ips.iter().flatten().filter_map(|ip| ip.ip.parse::<IpAddr>().ok()));
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let host_port = u16::try_from(port.host_port?).ok().filter(|port| *port != 0)?;
            let container_port = u16::try_from(port.container_port).ok()?;
            let host_ip = port.host_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => "udp",
                Some("SCTP") => "sctp",
                _ => "tcp",
            };
            Some((host_ip, protocol, host_port, container_port))
        })
        .flat_map(|(host_ip, protocol, host_port, container_port)| {
            let fits = move |pod_ip: &&IpAddr| host_ip.is_none_or(|ip| ip.is_ipv4() == pod_ip.is_ipv4());
            let host_ip = host_ip.filter(|ip| !ip.is_unspecified());
            let port =
                move |pod_ip: &IpAddr| HostPort { host_ip, protocol, host_port, pod_ip: *pod_ip, container_port };
            ips.iter().filter(fits).map(port).collect::<Vec<_>>()
        })
        .collect()
}
