//! PriorityClass: a name for how important pods are.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Generation, Kind, NameRule};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, boolean, int, integer, str, text};
use crate::validate::one_of_if_set;

const SCHEMA: &str = "io.k8s.api.scheduling.v1.PriorityClass";
/// The highest value of a class that is not the system's.
const HIGHEST_USER_VALUE: i64 = 1_000_000_000;
/// Names that begin so are the system's.
const SYSTEM_PREFIX: &str = "system-";
/// The system's classes with their values.
pub const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// The kind.
pub static KIND: Kind = Kind {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    plural: "priorityclasses",
    short_names: &["pc"],
    namespaced: false,
    storage: "priorityclasses",
    schema: SCHEMA,
    columns: &[
        NAME,
        integer("Value", Describe::Field(SCHEMA, "value")),
        boolean("Global-Default", Describe::Field(SCHEMA, "globalDefault")),
        AGE,
        text("PreemptionPolicy", Describe::Field(SCHEMA, "preemptionPolicy")),
    ],
    row,
    generation: Generation::One,
    name: NameRule::Text(names::is_dns1123_subdomain),
    default,
    validate: check,
    validate_update: check_update,
    ..BASE
};

fn row(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        meta::name(class).into(),
        int(class, &["value"]),
        class.bool_at(&["globalDefault"]).unwrap_or_default().into(),
        age(class, now),
        str(class, &["preemptionPolicy"]),
    ]
}

fn default(class: &mut Value) {
    if class.get("preemptionPolicy").is_none() {
        class.set_at(&["preemptionPolicy"], "PreemptLowerPriority");
    }
}

fn check(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let (name, value) = (meta::name(class), class.int_at(&["value"]).unwrap_or_default());
    if name.starts_with(SYSTEM_PREFIX) {
        if !is_system_class(class) {
            let detail = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            let why = system_mismatch(class);
            errors.push(Error::forbidden(&Path::new("metadata.name"), format!("{detail}{why}")));
        }
    } else if value > HIGHEST_USER_VALUE {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_VALUE}");
        errors.push(Error::forbidden(&Path::new("value"), detail));
    }
    let (policies, path) = (["PreemptLowerPriority", "Never"], Path::new("preemptionPolicy"));
    match class.str_at(&["preemptionPolicy"]) {
        Some("") => errors.push(Error::required(&path, "")),
        _ => errors.extend(one_of_if_set(class.get("preemptionPolicy"), &policies, &path)),
    }
    errors
}

fn is_system_class(class: &Value) -> bool {
    system_mismatch(class).is_empty()
}

/// How a class with a system name differs from the system's own; empty when it does not.
fn system_mismatch(class: &Value) -> String {
    let name = meta::name(class);
    let Some((_, value)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return format!("{name} is not a known system priority class");
    };
    if class.int_at(&["value"]) != Some(*value) {
        return format!("value of {name} PriorityClass must be {value}");
    }
    if class.bool_at(&["globalDefault"]) == Some(true) {
        return format!("globalDefault of {name} PriorityClass must be false");
    }
    String::new()
}

fn check_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    if new.int_at(&["value"]).unwrap_or_default() != old.int_at(&["value"]).unwrap_or_default() {
        errors.push(Error::forbidden(&Path::new("value"), "may not be changed in an update."));
    }
    let policy = "preemptionPolicy";
    errors.extend(immutable(new.get(policy), old.get(policy), &Path::new(policy)));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn values() {
        let of =
            |name: &str, number: i64| field::aggregate(&check(&value!({"metadata": {"name": name}, "value": number})));
        expect_test::expect!["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
            .assert_eq(&of("a", 1_000_000_001));
        expect_test::expect!["metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"]
            .assert_eq(&of("system-x", 1));
        assert_eq!(check(&value!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000})), []);
    }
}
