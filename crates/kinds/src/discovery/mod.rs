//! The group discovery.k8s.io, v1.

use crate::Kind;

pub mod endpoint_slice;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&endpoint_slice::KIND];
