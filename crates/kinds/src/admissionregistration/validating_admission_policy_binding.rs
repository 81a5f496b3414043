//! ValidatingAdmissionPolicyBinding: where a policy holds, with which parameters, and what a breach means.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use super::{REGISTRATION, policy};
use crate::kind::{Generation, Kind, MetadataChecks};
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::one_of;

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ValidatingAdmissionPolicyBinding",
    plural: "validatingadmissionpolicybindings",
    storage: "validatingadmissionpolicybindings",
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    columns: &[
        NAME,
        text(
            "PolicyName",
            Describe::Text("PolicyName indicates the policy definition which the policy binding binded to"),
        ),
        text("ParamRef", Describe::Text("ParamRef indicates the param resource which sets the configuration param")),
        AGE,
    ],
    row,
    generation: Generation::Of(&["spec"]),
    default: |binding| policy::default_match(binding, &["spec", "matchResources"]),
    metadata: MetadataChecks::NEW,
    validate: check,
    validate_update: |new, _| check(new),
    ..REGISTRATION
};

fn row(binding: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        meta::name(binding).into(),
        str(binding, &["spec", "policyName"]),
        policy::shown_param_ref(binding).into(),
        age(binding, now),
    ]
}

fn check(binding: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = binding.get("spec").unwrap_or(&Value::Null);
    let mut errors = policy::check_binding(spec, &path);
    errors.extend(check_actions(spec.items_at(&["validationActions"]), &path.child("validationActions")));
    errors
}

fn check_actions(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, action) in all.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(one_of(action, &ACTIONS, &path.index(i)));
        if all[..i].iter().any(|other| other.as_str() == Some(action)) {
            errors.push(Error::duplicate(&path.index(i), action));
        }
    }
    let has = |wanted: &str| all.iter().any(|action| action.as_str() == Some(wanted));
    if has("Deny") && has("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                      response and headers serves no purpose)";
        errors.push(Error::invalid(path, all.to_vec(), detail));
    }
    if all.is_empty() {
        errors.push(Error::required(path, "at least one validation action is required"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn actions() {
        let binding = value!({"spec": {"validationActions": ["Deny", "Warn", "Deny", "Odd"]}});
        expect_test::expect![[r#"[spec.policyName: Required value, spec.validationActions[2]: Duplicate value: "Deny", spec.validationActions[3]: Unsupported value: "Odd": supported values: "Audit", "Deny", "Warn", spec.validationActions: Invalid value: ["Deny","Warn","Deny","Odd"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)]"#]]
        .assert_eq(&field::aggregate(&check(&binding)));
    }
}
