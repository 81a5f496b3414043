//! The admissionregistration.k8s.io group, v1: who else has a say in writes.
//!
//! The kinds are stored and checked; expressions of CEL are checked for being there, not for what they say.

use crate::Kind;
use crate::kind::BASE;

mod match_condition;
pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
mod policy;
mod rule;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;
mod webhook;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[
    &mutating_admission_policy::KIND,
    &mutating_admission_policy_binding::KIND,
    &mutating_webhook_configuration::KIND,
    &validating_admission_policy::KIND,
    &validating_admission_policy_binding::KIND,
    &validating_webhook_configuration::KIND,
];

/// What the group's kinds share.
const REGISTRATION: Kind = Kind {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    namespaced: false,
    writes: crate::Writes { create_on_update: false, unconditional: false },
    ..BASE
};

const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
