//! The node.k8s.io group, v1.

use crate::Kind;

pub mod runtime_class;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&runtime_class::KIND];
