//! ValidatingAdmissionPolicy: rules in CEL that a write must follow (KEP-3488).

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use super::{FAILURE_POLICIES, REGISTRATION, match_condition, policy};
use crate::kind::{Generation, Kind, MetadataChecks, STATUS, Subresource};
use crate::pod_spec::default::set_absent;
use crate::table::{AGE, Describe, NAME, age, integer, text};
use crate::validate::{conditions, one_of, one_of_if_set};

const ANNOTATION: &str = "io.k8s.api.admissionregistration.v1.AuditAnnotation";
const MAX_AUDIT_ANNOTATIONS: usize = 20;
const MAX_VALUE_EXPRESSION_BYTES: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const NOTHING_TO_DO: &str = "validations or auditAnnotations must contain at least one item";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ValidatingAdmissionPolicy",
    plural: "validatingadmissionpolicies",
    storage: "validatingadmissionpolicies",
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    subresources: &[Subresource { validate: check_status, ..STATUS }],
    columns: &[
        NAME,
        integer(
            "Validations",
            Describe::Text("Validations indicates the number of validation rules defined in this configuration"),
        ),
        text("ParamKind", Describe::Text("ParamKind specifies the kind of resources used to parameterize this policy")),
        AGE,
    ],
    row,
    generation: Generation::Of(&["spec"]),
    default: |policy| {
        set_absent(policy, &["spec"], "failurePolicy", || "Fail".into());
        policy::default_match(policy, &["spec", "matchConstraints"]);
    },
    metadata: MetadataChecks::NEW,
    validate: |policy| check(policy, true),
    validate_update: |new, old| {
        let part = |policy: &Value, field: &str| policy.at(&["spec", field]).cloned();
        let changed = |field: &str| part(new, field) != part(old, field);
        check(new, changed("paramKind") || changed("matchConditions"))
    },
    ..REGISTRATION
};

fn row(policy: &Value, now: Timestamp) -> Vec<Value> {
    let validations = i64::try_from(policy.items_at(&["spec", "validations"]).len()).unwrap_or(i64::MAX);
    vec![meta::name(policy).into(), validations.into(), policy::shown_param_kind(policy).into(), age(policy, now)]
}

/// What is wrong with a policy; conditions that did not change are left alone.
fn check(object: &Value, with_conditions: bool) -> Errors {
    let path = Path::new("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    let mut errors = Errors::new();
    let failure = path.child("failurePolicy");
    match spec.str_at(&["failurePolicy"]) {
        None => errors.push(Error::required(&failure, "")),
        Some(value) => errors.extend(one_of(value, &FAILURE_POLICIES, &failure)),
    }
    errors.extend(policy::check_param_kind(spec.get("paramKind"), &path.child("paramKind")));
    errors.extend(policy::check_constraints(spec, &path.child("matchConstraints")));
    if with_conditions {
        let all = spec.items_at(&["matchConditions"]);
        errors.extend(match_condition::check(all, &path.child("matchConditions")));
    }
    errors.extend(policy::check_variables(spec.items_at(&["variables"]), &path.child("variables")));
    let (validations, annotations) = (spec.items_at(&["validations"]), spec.items_at(&["auditAnnotations"]));
    if validations.is_empty() && annotations.is_empty() {
        errors.push(Error::required(&path.child("validations"), NOTHING_TO_DO));
        errors.push(Error::required(&path.child("auditAnnotations"), NOTHING_TO_DO));
    }
    for (i, validation) in validations.iter().enumerate() {
        errors.extend(check_validation(validation, &path.child("validations").index(i)));
    }
    errors.extend(check_annotations(meta::name(object), annotations, &path.child("auditAnnotations")));
    errors
}

fn check_validation(validation: &Value, path: &Path) -> Errors {
    let part = |field: &str| validation.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    if part("expression").trim().is_empty() {
        errors.push(Error::required(&path.child("expression"), "expression is not specified"));
    }
    for field in ["messageExpression", "message"] {
        if !part(field).is_empty() && part(field).trim().is_empty() {
            errors.push(Error::invalid(&path.child(field), part(field), "must be non-empty if specified"));
        }
    }
    if part("message").trim().contains(['\n', '\r']) {
        errors.push(Error::invalid(&path.child("message"), part("message"), "must not contain line breaks"));
    }
    errors.extend(one_of_if_set(validation.get("reason"), &REASONS, &path.child("reason")));
    errors
}

fn check_annotations(policy: &str, all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if all.len() > MAX_AUDIT_ANNOTATIONS {
        let detail = format!("must not have more than {MAX_AUDIT_ANNOTATIONS} auditAnnotations");
        let shown = all.iter().map(|annotation| crate::go_shape::shown(ANNOTATION, annotation));
        errors.push(Error::invalid(path, Value::Array(shown.collect()), detail));
    }
    for (i, annotation) in all.iter().enumerate() {
        let path = path.index(i);
        let key = annotation.str_at(&["key"]).unwrap_or_default();
        if policy.is_empty() {
            errors.push(Error::invalid(&path.child("key"), key, "requires metadata.name be non-empty"));
        } else {
            let full = format!("{policy}/{key}");
            errors.extend(crate::validate::text(names::is_qualified_name, &full, &path.child("key")));
        }
        let expression = annotation.str_at(&["valueExpression"]).unwrap_or_default().trim();
        let field = path.child("valueExpression");
        if expression.is_empty() {
            errors.push(Error::required(&field, "valueExpression is not specified"));
        } else if expression.len() > MAX_VALUE_EXPRESSION_BYTES {
            let detail = format!("must not exceed {MAX_VALUE_EXPRESSION_BYTES} bytes in length");
            errors.push(Error::required(&field, detail));
        }
        if all[..i].iter().any(|other| other.str_at(&["key"]).unwrap_or_default() == key) {
            errors.push(Error::duplicate(&path.child("key"), key));
        }
    }
    errors
}

fn check_status(new: &Value, _: &Value) -> Errors {
    let path = Path::new("status");
    let mut errors = Errors::new();
    let warnings = path.child("typeChecking.expressionWarnings");
    for (i, warning) in new.items_at(&["status", "typeChecking", "expressionWarnings"]).iter().enumerate() {
        for field in ["warning", "fieldRef"] {
            if warning.str_at(&[field]).is_none_or(|text| text.trim().is_empty()) {
                errors.push(Error::required(&warnings.index(i).child(field), ""));
            }
        }
    }
    errors.extend(conditions::check(new.items_at(&["status", "conditions"]), &path.child("conditions")));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn what_a_policy_needs() {
        let mut policy = value!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": []}}});
        (KIND.default)(&mut policy);
        expect_test::expect!["[spec.matchConstraints.resourceRules: Required value, spec.validations: Required value: validations or auditAnnotations must contain at least one item, spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item]"]
            .assert_eq(&field::aggregate(&check(&policy, true)));
        policy.set_at(&["spec", "validations"], value!([{"expression": " ", "message": "a\nb", "reason": "Odd"}]));
        policy.set_at(&["spec", "auditAnnotations"], value!([{"key": "a b"}]));
        expect_test::expect![[r#"[spec.matchConstraints.resourceRules: Required value, spec.validations[0].expression: Required value: expression is not specified, spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks, spec.validations[0].reason: Unsupported value: "Odd": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge", spec.auditAnnotations[0].key: Invalid value: "p/a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified]"#]]
        .assert_eq(&field::aggregate(&check(&policy, true)));
    }
}
