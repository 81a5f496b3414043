//! The storage.k8s.io group, v1.

use crate::Kind;

pub mod storage_class;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&storage_class::KIND];
