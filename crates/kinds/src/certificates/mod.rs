//! The certificates.k8s.io group, v1.

use crate::Kind;

pub mod certificate_signing_request;
mod der;
mod pem;
mod request;
mod signature;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&certificate_signing_request::KIND];
