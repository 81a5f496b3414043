//! The core group, v1.

use crate::Kind;

pub mod config_map;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&config_map::KIND];
