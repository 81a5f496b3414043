//! What the operator may choose, with kube-proxy's names and defaults.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The bit of the packet mark that asks for masquerade, as `--masquerade-bit` counts it.
pub const DEFAULT_MASQUERADE_BIT: u8 = 14;

/// How the proxy of one node works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of the Node object (`--hostname-override`).
    pub node_name: String,
    /// The node's addresses, at most one a family; they fix which families are served and, unless `nodeport_addresses`
    /// says otherwise, where node ports answer.
    pub node_ips: Vec<IpAddr>,
    /// Where pods' addresses come from (`--cluster-cidr`): traffic from elsewhere to a cluster IP is masqueraded. Empty:
    /// no such traffic is told apart.
    pub cluster_cidrs: Vec<IpNet>,
    /// Masquerade all traffic to cluster IPs (`--masquerade-all`).
    pub masquerade_all: bool,
    /// The bit of the packet mark that asks for masquerade (`--masquerade-bit`, 0 to 31).
    pub masquerade_bit: u8,
    /// The local addresses where node ports answer (`--nodeport-addresses`); empty means the node's primary ones.
    pub nodeport_addresses: Vec<IpNet>,
    /// Where `/healthz` and `/livez` answer (`--healthz-bind-address`); none: nowhere.
    pub healthz_bind_address: Option<SocketAddr>,
    /// Where `/metrics` and `/proxyMode` answer (`--metrics-bind-address`); none: nowhere.
    pub metrics_bind_address: Option<SocketAddr>,
}

impl Options {
    /// kube-proxy's defaults for a node.
    #[must_use]
    pub fn new(node_name: impl Into<String>, node_ips: Vec<IpAddr>) -> Self {
        Self {
            node_name: node_name.into(),
            node_ips,
            cluster_cidrs: Vec::new(),
            masquerade_all: false,
            masquerade_bit: DEFAULT_MASQUERADE_BIT,
            nodeport_addresses: Vec::new(),
            healthz_bind_address: Some(SocketAddr::from(([0, 0, 0, 0], 10256))),
            metrics_bind_address: Some(SocketAddr::from(([127, 0, 0, 1], 10249))),
        }
    }
}
