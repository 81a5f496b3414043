//! The networking.k8s.io group, v1.

use crate::Kind;

pub mod ingress_class;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&ingress_class::KIND];
