//! The networking.k8s.io group, v1.

use crate::Kind;

pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod network_policy;
pub mod service_cidr;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] =
    &[&ingress_class::KIND, &ingress::KIND, &ip_address::KIND, &network_policy::KIND, &service_cidr::KIND];
