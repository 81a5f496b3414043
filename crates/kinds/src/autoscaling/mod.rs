//! The autoscaling group.

use crate::Kind;

pub mod horizontal_pod_autoscaler;
pub mod scale;

/// The group's kinds, version 2 first as in discovery.
pub static ALL: &[&Kind] = &[&horizontal_pod_autoscaler::KIND, &horizontal_pod_autoscaler::V1_KIND];
