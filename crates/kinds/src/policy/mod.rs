//! The policy group, v1.

use crate::Kind;

pub mod eviction;
pub mod pod_disruption_budget;

/// The group's kinds, in discovery's order; an Eviction is only the body of a pod's subresource.
pub static ALL: &[&Kind] = &[&pod_disruption_budget::KIND];
