//! Conditions of the common form (KEP-1623): who sets one says since when, and why.

use std::sync::LazyLock;

use machinery::Value;
use machinery::field::{Error, Errors, Path};
use regex::Regex;

use super::metadata::label_name;
use super::one_of;

const MAX_REASON_BYTES: usize = 1024;
const MAX_MESSAGE_BYTES: usize = 32 * 1024;
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";

/// What is wrong with a list of conditions.
#[must_use]
pub fn check(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, condition) in all.iter().enumerate() {
        let path = path.index(i);
        let kind = condition.str_at(&["type"]).unwrap_or_default();
        if all[..i].iter().any(|other| other.str_at(&["type"]).unwrap_or_default() == kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        errors.extend(one(condition, kind, &path));
    }
    errors
}

fn one(condition: &Value, kind: &str, path: &Path) -> Errors {
    let mut errors = label_name(kind, &path.child("type"));
    let part = |field: &str| condition.str_at(&[field]).unwrap_or_default();
    errors.extend(one_of(part("status"), &STATUSES, &path.child("status")));
    if let Some(generation) = condition.int_at(&["observedGeneration"]).filter(|n| *n < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, detail));
    }
    if part("lastTransitionTime").is_empty() {
        errors.push(Error::required(&path.child("lastTransitionTime"), "must be set"));
    }
    errors.extend(reason(part("reason"), &path.child("reason")));
    if part("message").len() > MAX_MESSAGE_BYTES {
        errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE_BYTES));
    }
    errors
}

fn reason(reason: &str, path: &Path) -> Errors {
    static FORM: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&format!("^{REASON}$")).expect("the pattern is fixed and right"));
    if reason.is_empty() {
        return vec![Error::required(path, "must be set")];
    }
    let mut errors = Errors::new();
    if !FORM.is_match(reason) {
        let detail = format!(
            "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
             characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  \
             or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{REASON}')"
        );
        errors.push(Error::invalid(path, reason, detail));
    }
    if reason.len() > MAX_REASON_BYTES {
        errors.push(Error::too_long(path, MAX_REASON_BYTES));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn conditions() {
        let all = value!([
            {"type": "Ready", "status": "True", "reason": "Fine", "lastTransitionTime": "2020-01-02T03:04:05Z"},
            {"type": "Ready", "status": "Odd", "reason": "so so", "observedGeneration": (-1)}]);
        expect_test::expect![[r#"[c[1].type: Duplicate value: "Ready", c[1].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown", c[1].observedGeneration: Invalid value: -1: must be greater than or equal to zero, c[1].lastTransitionTime: Required value: must be set, c[1].reason: Invalid value: "so so": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')]"#]]
        .assert_eq(&field::aggregate(&check(all.as_array().unwrap(), &Path::new("c"))));
    }
}
