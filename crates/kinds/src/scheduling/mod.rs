//! The group scheduling.k8s.io, v1.

use crate::Kind;

pub mod priority_class;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&priority_class::KIND];
