//! MutatingAdmissionPolicyBinding: where a mutating policy holds, and with which parameters.

use machinery::Value;
use machinery::field::{Errors, Path};

use super::mutating_admission_policy::check_operations;
use super::{REGISTRATION, policy, validating_admission_policy_binding};
use crate::kind::{Generation, Kind, MetadataChecks};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "MutatingAdmissionPolicyBinding",
    plural: "mutatingadmissionpolicybindings",
    storage: "mutatingadmissionpolicybindings",
    schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    columns: validating_admission_policy_binding::KIND.columns,
    row: validating_admission_policy_binding::KIND.row,
    generation: Generation::Of(&["spec"]),
    default: |binding| policy::default_match(binding, &["spec", "matchResources"]),
    metadata: MetadataChecks::NEW,
    validate: check,
    validate_update: |new, _| check(new),
    ..REGISTRATION
};

fn check(binding: &Value) -> Errors {
    let (spec, path) = (binding.get("spec").unwrap_or(&Value::Null), Path::new("spec"));
    let mut errors = policy::check_binding(spec, &path);
    errors.extend(check_operations(spec.get("matchResources"), &path.child("matchResources")));
    errors
}
