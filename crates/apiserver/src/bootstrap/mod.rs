//! What a cluster has before anybody asks for it: made at every start where it is missing.

mod api_services;
mod apply;
mod cluster;
mod masters;
mod rbac;
mod reconcile;

use std::net::IpAddr;

use ipnet::IpNet;
use machinery::Value;

pub use apply::{apply, ensure};
pub use cluster::{NAMESPACES, flow_control};
pub use masters::keep;
pub use reconcile::{Action, plan};

use crate::authorization::Rule;

/// What the objects depend on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where this server tells others to reach it.
    pub advertise_address: IpAddr,
    /// The port it listens on.
    pub secure_port: u16,
    /// The addresses of services: a range, or two of different families, the preferred one first.
    pub service_ranges: Vec<IpNet>,
    /// The certificates that client certificates are checked against.
    pub client_ca_pem: String,
}

impl Settings {
    /// The address of the service `kubernetes`: the first of the first range.
    #[must_use]
    pub fn service_address(&self) -> Option<IpAddr> {
        self.service_ranges.first().copied().map(first_address)
    }
}

/// The first address of a service range that is not the range's own.
#[must_use]
pub fn first_address(range: IpNet) -> IpAddr {
    range.hosts().next().unwrap_or_else(|| range.network())
}

/// Every object that the cluster should have, in the order in which they can be made. Objects of kinds that the server
/// does not have are the caller's to leave out.
#[must_use]
pub fn objects(settings: &Settings) -> Vec<Value> {
    let mut objects = cluster::namespaces();
    objects.extend(rbac::objects());
    objects.extend(cluster::priority_classes());
    objects.extend(cluster::flow_control());
    objects.extend(api_services::objects());
    objects.extend(cluster::service_range(settings));
    objects.push(cluster::service(settings));
    objects.push(cluster::authentication_config(settings));
    objects
}

/// What every kubelet may do: the rules of the role `system:node`.
#[must_use]
pub fn node_rules() -> Vec<Rule> {
    rbac::rules_of("system:node")
}
