//! The apiregistration.k8s.io group, v1: which server serves which group and version.

use crate::Kind;

pub mod api_service;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&api_service::KIND];
