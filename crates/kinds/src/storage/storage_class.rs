//! StorageClass: how volumes of a class are made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, meta, names};

use crate::kind::{BASE, Kind, MetadataChecks};
use crate::pod_spec::default::set_absent;
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::metadata::{label_name, sorted};
use crate::validate::{deprecated, one_of_if_set};

const CLASS: &str = "io.k8s.api.storage.v1.StorageClass";
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;
const IS_DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    kind: "StorageClass",
    plural: "storageclasses",
    short_names: &["sc"],
    namespaced: false,
    storage: "storageclasses",
    schema: CLASS,
    columns: &[
        NAME,
        text("Provisioner", Describe::Field(CLASS, "provisioner")),
        text("ReclaimPolicy", Describe::Field(CLASS, "reclaimPolicy")),
        text("VolumeBindingMode", Describe::Field(CLASS, "volumeBindingMode")),
        text("AllowVolumeExpansion", Describe::Field(CLASS, "allowVolumeExpansion")),
        AGE,
    ],
    row,
    default: |class| {
        set_absent(class, &[], "reclaimPolicy", || "Delete".into());
        set_absent(class, &[], "volumeBindingMode", || "Immediate".into());
    },
    metadata: MetadataChecks::BOTH,
    validate,
    validate_update,
    warnings: |class, _| warnings(class),
    ..BASE
};

fn row(class: &Value, now: Timestamp) -> Vec<Value> {
    let default = IS_DEFAULT.iter().any(|name| meta::annotation(class, name) == Some("true"));
    let name = meta::name(class);
    vec![
        if default { format!("{name} (default)").into() } else { name.into() },
        str(class, &["provisioner"]),
        str(class, &["reclaimPolicy"]),
        str(class, &["volumeBindingMode"]),
        class.bool_at(&["allowVolumeExpansion"]).unwrap_or_default().into(),
        age(class, now),
    ]
}

fn validate(class: &Value) -> Errors {
    let mut errors = provisioner(class.str_at(&["provisioner"]).unwrap_or_default(), &Path::new("provisioner"));
    errors.extend(parameters(class.get("parameters").and_then(Value::as_object)));
    let policy = class.get("reclaimPolicy").filter(|policy| policy.as_str() != Some(""));
    errors.extend(one_of_if_set(policy, &["Delete", "Retain"], &Path::new("reclaimPolicy")));
    let modes = ["Immediate", "WaitForFirstConsumer"];
    errors.extend(one_of_if_set(class.get("volumeBindingMode"), &modes, &Path::new("volumeBindingMode")));
    errors.extend(topologies(class.items_at(&["allowedTopologies"])));
    errors
}

/// What is wrong with the name of a provisioner or driver.
pub(super) fn provisioner(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    // Capitals do not matter, but the message shows the name without them.
    let lower = name.to_lowercase();
    crate::validate::text(names::is_qualified_name, &lower, path).collect()
}

/// What is wrong with what a class hands to its driver.
pub(super) fn parameters(parameters: Option<&Object>) -> Errors {
    let path = Path::new("parameters");
    let mut errors = Errors::new();
    let all = sorted(parameters);
    if all.len() > MAX_PARAMETERS {
        errors.push(Error::too_long(&Path::new("Provisioner Parameters Length"), MAX_PARAMETERS));
        return errors;
    }
    let mut size = 0;
    for (key, value) in all {
        if key.is_empty() {
            errors.push(Error::invalid(&path, key, "field can not be empty."));
        }
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MAX_PARAMETER_BYTES {
        errors.push(Error::too_long(&path, MAX_PARAMETER_BYTES));
    }
    errors
}

fn topologies(all: &[Value]) -> Errors {
    let mut errors = Errors::new();
    // Upstream's list of what it has seen begins with as many empty terms as there are terms, so an empty one counts as
    // seen before.
    let mut seen = vec![BTreeMap::new(); all.len()];
    for (i, term) in all.iter().enumerate() {
        let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
        let expressions = term.items_at(&["matchLabelExpressions"]);
        for (j, expression) in expressions.iter().enumerate() {
            let before = &expressions[..j];
            errors.extend(topology(expression, before, &path.index(j)));
        }
        let places = places(expressions);
        errors.extend(seen.iter().filter(|other| **other == places).map(|_| Error::duplicate(&path, "")));
        seen.push(places);
    }
    errors
}

fn topology(expression: &Value, before: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let key = expression.str_at(&["key"]).unwrap_or_default();
    let values = expression.items_at(&["values"]);
    if values.is_empty() {
        errors.push(Error::required(&path.child("values"), ""));
    }
    for (i, value) in values.iter().enumerate().filter(|(i, value)| values[..*i].contains(value)) {
        errors.push(Error::duplicate(&path.child("values").index(i), value.clone()));
    }
    errors.extend(label_name(key, &path.child("key")));
    if before.iter().any(|other| other.str_at(&["key"]) == Some(key)) {
        errors.push(Error::duplicate(&path.child("key"), key));
    }
    errors
}

/// What a term says, whatever the order: values by key.
fn places(expressions: &[Value]) -> BTreeMap<&str, BTreeSet<&str>> {
    let places = expressions.iter().map(|expression| {
        let values = expression.items_at(&["values"]).iter().filter_map(Value::as_str).collect();
        (expression.str_at(&["key"]).unwrap_or_default(), values)
    });
    places.collect()
}

fn warnings(class: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, term) in class.items_at(&["allowedTopologies"]).iter().enumerate() {
        let path = Path::new("allowedTopologies").index(i).child("matchLabelExpressions");
        for (j, expression) in term.items_at(&["matchLabelExpressions"]).iter().enumerate() {
            let key = expression.str_at(&["key"]).unwrap_or_default();
            warnings.extend(deprecated::label(key, &path.index(j).child("key")));
        }
    }
    warnings
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let fields = ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"];
    errors.extend(fields.iter().filter_map(|field| immutable(new.get(field), old.get(field), &Path::new(*field))));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn terms() {
        let one = || value!({"matchLabelExpressions": [{"key": "z", "values": ["a", "b"]}]});
        let table = [
            vec![one(), value!({"matchLabelExpressions": [{"key": "z", "values": ["b", "a"]}]})],
            vec![one(), value!({})],
            vec![one(), value!({"matchLabelExpressions": [{"key": "z", "values": ["a"]}]})],
        ];
        let shown = table.map(|terms| field::aggregate(&topologies(&terms))).join("\n");
        expect_test::expect![[r#"
            allowedTopologies[1].matchLabelExpressions: Duplicate value: ""
            allowedTopologies[1].matchLabelExpressions: Duplicate value: ""
            []"#]]
        .assert_eq(&shown);
    }
}
