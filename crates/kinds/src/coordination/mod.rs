//! The group coordination.k8s.io, v1.

use crate::Kind;

pub mod lease;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&lease::KIND];
