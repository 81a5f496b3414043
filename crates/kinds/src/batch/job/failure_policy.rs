//! What is wrong with a pod failure policy (KEP-3329).

use machinery::field::{Error, Errors, Path, quote};
use machinery::{Value, names};

use crate::validate::{one_of, text};

const MAX_RULES: usize = 20;
const MAX_VALUES: usize = 255;
const MAX_CONDITIONS: usize = 20;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// What is wrong with the policy of a job's spec, if it has one.
pub(super) fn check(spec: &Value, path: &Path) -> Errors {
    let rules = spec.items_at(&["podFailurePolicy", "rules"]);
    let mut errors = Errors::new();
    if rules.len() > MAX_RULES {
        errors.push(Error::too_many(&path.child("rules"), rules.len(), MAX_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        errors.extend(self::rule(spec, rule, &path.child("rules").index(i)));
    }
    errors
}

fn rule(spec: &Value, rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let action = rule.str_at(&["action"]).unwrap_or_default();
    let field = path.child("action");
    if action.is_empty() {
        errors.push(Error::required(&field, valid(&ACTIONS)));
    } else if action == "FailIndex" && spec.int_at(&["backoffLimitPerIndex"]).is_none() {
        errors.push(Error::invalid(&field, action, "requires the backoffLimitPerIndex to be set"));
    } else {
        errors.extend(one_of(action, &ACTIONS, &field));
    }
    let codes = rule.get("onExitCodes").filter(|codes| !codes.is_null());
    let conditions = rule.items_at(&["onPodConditions"]);
    if let Some(codes) = codes {
        errors.extend(exit_codes(spec, codes, &path.child("onExitCodes")));
    }
    errors.extend(pod_conditions(conditions, &path.child("onPodConditions")));
    match (codes.is_some(), !conditions.is_empty()) {
        (true, true) => {
            let detail = "specifying both OnExitCodes and OnPodConditions is not supported";
            errors.push(Error { value: None, ..Error::invalid(path, Value::Null, detail) });
        }
        (false, false) => {
            let detail = "specifying one of OnExitCodes and OnPodConditions is required";
            errors.push(Error { value: None, ..Error::invalid(path, Value::Null, detail) });
        }
        _ => {}
    }
    errors
}

fn pod_conditions(conditions: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if conditions.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), MAX_CONDITIONS));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let part = |field: &str| condition.str_at(&[field]).unwrap_or_default();
        errors.extend(text(names::is_qualified_name, part("type"), &path.index(i).child("type")));
        let field = path.index(i).child("status");
        match part("status") {
            "" => errors.push(Error::required(&field, valid(&STATUSES))),
            status => errors.extend(one_of(status, &STATUSES, &field)),
        }
    }
    errors
}

/// The values that a text may have, as Go prints a list of texts.
fn valid(values: &[&str]) -> String {
    format!("valid values: [{}]", values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(" "))
}

fn exit_codes(spec: &Value, codes: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let operator = codes.str_at(&["operator"]).unwrap_or_default();
    if operator.is_empty() {
        errors.push(Error::required(&path.child("operator"), valid(&OPERATORS)));
    } else {
        errors.extend(one_of(operator, &OPERATORS, &path.child("operator")));
    }
    if let Some(name) = codes.str_at(&["containerName"]) {
        let lists = ["containers", "initContainers"];
        let known = lists
            .iter()
            .any(|list| spec.items_at(&["template", "spec", list]).iter().any(|c| c.str_at(&["name"]) == Some(name)));
        if !known {
            let detail = "must be one of the container or initContainer names in the pod template";
            errors.push(Error::invalid(&path.child("containerName"), name, detail));
        }
    }
    let values: Vec<i64> = codes.items_at(&["values"]).iter().filter_map(Value::as_i64).collect();
    let field = path.child("values");
    if values.is_empty() {
        errors.push(Error::invalid(&field, codes.get("values").cloned(), "at least one value is required"));
    } else if values.len() > MAX_VALUES {
        errors.push(Error::too_many(&field, values.len(), MAX_VALUES));
    }
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.push(Error::invalid(&field.index(i), *value, "must not be 0 for the In operator"));
        }
        if values[..i].contains(value) {
            errors.push(Error::duplicate(&field.index(i), *value));
        }
    }
    if values.windows(2).any(|pair| pair[0] > pair[1]) {
        errors.push(Error::invalid(&field, codes.get("values").cloned(), "must be ordered"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn rules() {
        let of = |rules: Value| {
            field::aggregate(&check(&value!({"podFailurePolicy": {"rules": rules}}), &Path::new("policy")))
        };
        expect_test::expect![[r#"[policy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"], policy.rules[0].onExitCodes.operator: Required value: valid values: ["In" "NotIn"]]"#]]
            .assert_eq(&of(value!([{"onExitCodes": {"values": [1]}}])));
        expect_test::expect![[r#"[policy.rules[0].onPodConditions[0].type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'), policy.rules[0].onPodConditions[0].status: Required value: valid values: ["False" "True" "Unknown"]]"#]]
            .assert_eq(&of(value!([{"action": "Count", "onPodConditions": [{"type": "a b"}]}])));
        let many = Value::Array(vec![value!({"type": "A", "status": "True"}); 21]);
        expect_test::expect!["policy.rules[0].onPodConditions: Too many: 21: must have at most 20 items"]
            .assert_eq(&of(value!([{"action": "Count", "onPodConditions": many}])));
    }
}
