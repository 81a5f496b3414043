//! The apiextensions.k8s.io group, v1: kinds that users define.
//!
//! Definitions are stored and checked as to names, versions, conversion, the shape of their schemas and default values;
//! rules of CEL are not looked into.

use crate::Kind;

mod approval;
mod column;
mod conversion;
pub mod custom_resource_definition;
mod default_value;
mod fit;
mod format;
mod names;
mod pattern;
mod schema;
mod spec;
mod structural;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&custom_resource_definition::KIND];
