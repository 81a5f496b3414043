//! Taints of devices and what claims tolerate (KEP-5055).

use machinery::Value;
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::metadata::label_name;
use crate::validate::{one_of, text};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];

/// What is wrong with a taint.
pub(super) fn taint(taint: &Value, path: &Path) -> Errors {
    let part = |field: &str| taint.str_at(&[field]).unwrap_or_default();
    let mut errors = label_name(part("key"), &path.child("key"));
    if !part("value").is_empty() {
        errors.extend(text(names::is_label_value, part("value"), &path.child("value")));
    }
    match part("effect") {
        "" => errors.push(Error::required(&path.child("effect"), "")),
        effect => errors.extend(one_of(effect, &EFFECTS, &path.child("effect"))),
    }
    errors
}

/// What is wrong with a list of tolerations.
pub(super) fn all(all: &[Value], path: &Path) -> Errors {
    all.iter().enumerate().flat_map(|(i, one)| toleration(one, &path.index(i))).collect()
}

fn toleration(toleration: &Value, path: &Path) -> Errors {
    let part = |field: &str| toleration.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    if !part("key").is_empty() {
        errors.extend(label_name(part("key"), &path.child("key")));
    }
    let value = path.child("value");
    match part("operator") {
        "Exists" if !part("value").is_empty() => {
            errors.push(Error::invalid(&value, part("value"), "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => errors.extend(text(names::is_label_value, part("value"), &value)),
        "" => errors.push(Error::required(&path.child("operator"), "")),
        operator => errors.extend(one_of(operator, &["Equal", "Exists"], &path.child("operator"))),
    }
    if !part("effect").is_empty() {
        errors.extend(one_of(part("effect"), &EFFECTS, &path.child("effect")));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn tolerations() {
        let list = value!([{"operator": "Exists", "value": "v"}, {}, {"operator": "Odd", "effect": "Odd"}]);
        expect_test::expect![[r#"[t[0].value: Invalid value: "v": must be empty for operator `Exists`, t[1].operator: Required value, t[2].operator: Unsupported value: "Odd": supported values: "Equal", "Exists", t[2].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", "None"]"#]]
        .assert_eq(&field::aggregate(&all(list.as_array().unwrap(), &Path::new("t"))));
    }
}
