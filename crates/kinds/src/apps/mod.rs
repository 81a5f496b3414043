//! The apps group, v1.

use crate::Kind;

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] =
    &[&controller_revision::KIND, &daemon_set::KIND, &deployment::KIND, &replica_set::KIND, &stateful_set::KIND];
