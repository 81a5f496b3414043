//! MutatingAdmissionPolicy: changes in CEL that every write gets (KEP-3962).

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use super::{FAILURE_POLICIES, REGISTRATION, REINVOCATION_POLICIES, match_condition, policy};
use crate::kind::{Generation, Kind, MetadataChecks};
use crate::pod_spec::default::set_absent;
use crate::table::{AGE, Describe, NAME, age, integer, text};
use crate::validate::one_of;

/// What is deleted cannot be changed.
const OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

/// The kind.
pub static KIND: Kind = Kind {
    kind: "MutatingAdmissionPolicy",
    plural: "mutatingadmissionpolicies",
    storage: "mutatingadmissionpolicies",
    schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    columns: &[
        NAME,
        integer(
            "Mutations",
            Describe::Text("Mutation indicates the number of mutations rules defined in this configuration"),
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
    let mutations = i64::try_from(policy.items_at(&["spec", "mutations"]).len()).unwrap_or(i64::MAX);
    vec![meta::name(policy).into(), mutations.into(), policy::shown_param_kind(policy).into(), age(policy, now)]
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
    errors.extend(check_operations(spec.get("matchConstraints"), &path.child("matchConstraints")));
    if with_conditions {
        let all = spec.items_at(&["matchConditions"]);
        errors.extend(match_condition::check(all, &path.child("matchConditions")));
    }
    errors.extend(policy::check_variables(spec.items_at(&["variables"]), &path.child("variables")));
    let mutations = spec.items_at(&["mutations"]);
    if mutations.is_empty() {
        errors.push(Error::required(&path.child("mutations"), "mutations must contain at least one item"));
    }
    for (i, mutation) in mutations.iter().enumerate() {
        errors.extend(check_mutation(mutation, &path.child("mutations").index(i)));
    }
    let reinvocation = path.child("reinvocationPolicy");
    match spec.str_at(&["reinvocationPolicy"]).unwrap_or_default() {
        "" => errors.push(Error::required(&reinvocation, "")),
        value => errors.extend(one_of(value, &REINVOCATION_POLICIES, &reinvocation)),
    }
    errors
}

/// What is wrong with the operations that a policy or a binding matches. The path names no rule, as upstream's does not.
pub(super) fn check_operations(matched: Option<&Value>, path: &Path) -> Errors {
    let path = path.child("resourceRules.operations");
    let rules = matched.into_iter().flat_map(|matched| matched.items_at(&["resourceRules"]));
    let operations = rules.flat_map(|rule| rule.items_at(&["operations"])).filter_map(Value::as_str);
    operations.filter_map(|operation| one_of(operation, &OPERATIONS, &path)).collect()
}

fn check_mutation(mutation: &Value, path: &Path) -> Errors {
    let kind = mutation.str_at(&["patchType"]).unwrap_or_default();
    let (own, other) = match kind {
        "" => return vec![Error::required(&path.child("patchType"), "")],
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        _ => return one_of(kind, &["ApplyConfiguration", "JSONPatch"], &path.child("patchType")).into_iter().collect(),
    };
    let mut errors = Errors::new();
    match mutation.get(own).filter(|value| !value.is_null()) {
        None => {
            errors.push(Error::required(&path.child(own), format!("must be specified when patchType is {kind}")));
        }
        Some(patch) if patch.str_at(&["expression"]).is_none_or(|text| text.trim().is_empty()) => {
            errors.push(Error::required(&path.child(own).child("expression"), ""));
        }
        Some(_) => {}
    }
    if mutation.get(other).is_some_and(|value| !value.is_null()) {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.push(Error::invalid(&path.child(other), format!("{{{other}}}"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn operations() {
        let matched = value!({"resourceRules": [{"operations": ["*", "DELETE"]}, {"operations": ["CONNECT", ""]}]});
        expect_test::expect![[r#"[m.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE", m.resourceRules.operations: Unsupported value: "": supported values: "*", "CONNECT", "CREATE", "UPDATE"]"#]]
        .assert_eq(&field::aggregate(&check_operations(Some(&matched), &Path::new("m"))));
    }

    #[test]
    fn mutations() {
        let table = [
            value!({}),
            value!({"patchType": "Odd"}),
            value!({"patchType": "JSONPatch", "applyConfiguration": {}}),
            value!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": ""}}),
        ];
        let shown = table.map(|mutation| field::aggregate(&check_mutation(&mutation, &Path::new("m")))).join("\n");
        expect_test::expect![[r#"
            m.patchType: Required value
            m.patchType: Unsupported value: "Odd": supported values: "ApplyConfiguration", "JSONPatch"
            [m.jsonPatch: Required value: must be specified when patchType is JSONPatch, m.applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch]
            m.applyConfiguration.expression: Required value"#]]
        .assert_eq(&shown);
    }
}
