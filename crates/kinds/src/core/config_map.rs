//! ConfigMap: configuration as keys and values.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Kind, MetadataChecks};
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::metadata::sorted;

/// All values of a ConfigMap or Secret together may have this many bytes.
pub const MAX_SIZE_BYTES: usize = 1024 * 1024;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ConfigMap",
    plural: "configmaps",
    short_names: &["cm"],
    storage: "configmaps",
    schema: "io.k8s.api.core.v1.ConfigMap",
    columns: &[NAME, text("Data", Describe::Field("io.k8s.api.core.v1.ConfigMap", "data")), AGE],
    row,
    validate,
    validate_update,
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(map: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::name(map).into(), Value::Int(count(map, "data") + count(map, "binaryData")), age(map, now)]
}

fn count(map: &Value, field: &str) -> i64 {
    let members = map.get(field).and_then(Value::as_object).map_or(0, |members| members.len());
    i64::try_from(members).unwrap_or(i64::MAX)
}

fn validate(map: &Value) -> Errors {
    let mut errors = Errors::new();
    let mut size = 0;
    for field in ["data", "binaryData"] {
        let path = Path::new(field);
        for (key, value) in sorted(map.get(field).and_then(Value::as_object)) {
            let path = path.key(key);
            errors.extend(names::is_config_map_key(key).into_iter().map(|m| Error::invalid(&path, key, m)));
            if field == "data" && map.at(&["binaryData", key]).is_some() {
                errors.push(Error::invalid(&path, key, "duplicate of key present in binaryData"));
            }
            let value = value.as_str().unwrap_or_default();
            size += if field == "data" { value.len() } else { decoded_length(value) };
        }
    }
    if size > MAX_SIZE_BYTES {
        // Upstream gives no name to the field: the whole object is too long.
        errors.push(Error::too_long(&Path::default().key(""), MAX_SIZE_BYTES));
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = immutable_data(new, old, &["data", "binaryData"]);
    errors.extend(validate(new));
    errors
}

/// What an update may not change once `immutable` is set.
pub(crate) fn immutable_data(new: &Value, old: &Value, fields: &[&str]) -> Errors {
    let mut errors = Errors::new();
    if old.bool_at(&["immutable"]) != Some(true) {
        return errors;
    }
    let detail = "field is immutable when `immutable` is set";
    if new.bool_at(&["immutable"]) != Some(true) {
        errors.push(Error::forbidden(&Path::new("immutable"), detail));
    }
    for field in fields {
        if members(new, field) != members(old, field) {
            errors.push(Error::forbidden(&Path::new(*field), detail));
        }
    }
    errors
}

/// How many bytes a base64 text stands for.
pub(crate) fn decoded_length(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
    base64.len() / 4 * 3 - padding.min(2)
}

fn members<'a>(object: &'a Value, field: &str) -> Vec<(&'a str, &'a Value)> {
    sorted(object.get(field).and_then(Value::as_object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn keys() {
        let map = value!({"data": {"..a": "x", "a/b": "y", "k": "z"}, "binaryData": {"k": "eA=="}});
        expect_test::expect![[r#"[data[..a]: Invalid value: "..a": must not start with '..', data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+'), data[k]: Invalid value: "k": duplicate of key present in binaryData]"#]]
        .assert_eq(&field::aggregate(&validate(&map)));
    }

    #[test]
    fn immutable() {
        let old = value!({"immutable": true, "data": {"a": "b"}});
        let new = value!({"data": {"a": "c"}});
        expect_test::expect!["[immutable: Forbidden: field is immutable when `immutable` is set, data: Forbidden: field is immutable when `immutable` is set]"]
            .assert_eq(&field::aggregate(&validate_update(&new, &old)));
    }
}
